//! What is on its way to a place that may be slow, full or gone: a bounded queue
//! and a thread of its own that empties it, so that nothing such a place does can
//! hold up whoever sends, other than one who chooses to wait.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::stop::Stop;

/// Pauses between two tries at a place that refuses lines: the first, which
/// doubles, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often a waiting sender looks whether it is asked to end.
const LOOK: Duration = Duration::from_millis(100);
/// How long a sender still waits once it is asked to end.
const LAST_WAIT: Duration = Duration::from_millis(500);
/// Why a line did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The reader has gone away and will not come back (a closed pipe).
    Closed,
    /// This line is lost; a later one may get through.
    Lost(String),
    /// Nothing was taken, and all of it may get through when it is offered again
    /// (a full disk).
    Later(String),
}

/// Why lines are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// They came faster than they could be written.
    Slow,
    /// They could not be written at all (a full disk, a read-only one).
    Failed,
}

/// A place where lines go, used by the queue's own thread only.
pub(crate) trait Outlet<T>: Send {
    /// Takes one item, whole or not at all.
    fn put(&mut self, item: &T) -> Result<(), Trouble>;
    /// Tells whoever reads there that so many items are missing at this point.
    fn gap(&mut self, lost: u64, cause: Cause) -> Result<(), Trouble>;
    /// Lets out what was taken and held back, if it is time to, or `all` of it.
    /// Returns how long from now it wants to be asked again.
    fn flush(&mut self, all: bool) -> Result<Option<Duration>, Trouble>;
    /// Items that were taken and are held back.
    fn held(&self) -> u64;
}

/// How things stand with one place.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Standing {
    /// What the log calls it.
    pub name: String,
    /// Lines that it took.
    pub written: u64,
    /// Lines that were lost.
    pub lost: u64,
    /// Lines that wait for it.
    pub waiting: u64,
    /// Why it takes none at the moment.
    pub fault: Option<String>,
}

/// Whether a place still takes lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Open,
    /// Its reader is gone, or everything was written and it has ended.
    Closed,
    /// It panicked.
    Failed,
}

/// The sender's end. Dropped, what waits is still written if that is possible,
/// and nobody waits for it.
pub(crate) struct Outbox<T>(Arc<Shared<T>>);

struct Shared<T> {
    name: String,
    /// Weight that may wait: the oldest go beyond it.
    most: usize,
    state: Mutex<State<T>>,
    /// There is work, or the end.
    work: Condvar,
    /// Something was done.
    done: Condvar,
}

struct State<T> {
    waiting: VecDeque<Entry<T>>,
    weight: usize,
    phase: Phase,
    ending: bool,
    /// Number of the newest item sent, and of the newest that was dealt with.
    sent: u64,
    done: u64,
    in_hand: bool,
    held: u64,
    written: u64,
    lost: u64,
    /// Lost since that was last said in the log.
    unsaid: u64,
    /// Whether the log was told that items are dropped.
    dropping: bool,
    /// Lost just before the next item that is sent.
    carry: u64,
    fault: Option<String>,
}

struct Entry<T> {
    item: T,
    weight: usize,
    number: u64,
    /// Its sender waits for it: it is never dropped.
    awaited: bool,
    /// Items that were lost between the one before and this.
    lost_before: u64,
}

enum Job<T> {
    Take(Entry<T>),
    Flush,
    End,
}

/// The place is of no more use.
enum Over {
    Closed,
    /// The end came while it refused.
    GaveUp,
}

impl<T> State<T> {
    /// Drops the oldest item that nobody waits for. The items after it will know.
    fn drop_oldest(&mut self) -> bool {
        let Some(at) = self.waiting.iter().position(|entry| !entry.awaited) else { return false };
        let Some(entry) = self.waiting.remove(at) else { return false };
        self.weight -= entry.weight;
        self.lost += 1;
        self.unsaid += 1;
        let lost = entry.lost_before + 1;
        match self.waiting.get_mut(at) {
            Some(next) => next.lost_before += lost,
            None => self.carry += lost,
        }
        true
    }

    /// So many items are missing before the next one that waits or comes.
    fn miss(&mut self, lost: u64) {
        match self.waiting.front_mut() {
            Some(next) => next.lost_before += lost,
            None => self.carry += lost,
        }
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing in here can panic halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + 'static> Outbox<T> {
    /// Starts a thread that gives what is sent to `outlet`; items of the weight
    /// `most` may wait for it.
    pub fn start(name: String, most: usize, outlet: impl Outlet<T> + 'static) -> Self {
        let shared = Arc::new(Shared {
            name,
            most,
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                weight: 0,
                phase: Phase::Open,
                ending: false,
                sent: 0,
                done: 0,
                in_hand: false,
                held: 0,
                written: 0,
                lost: 0,
                unsaid: 0,
                dropping: false,
                carry: 0,
                fault: None,
            }),
            work: Condvar::new(),
            done: Condvar::new(),
        });
        let worker = Worker { shared: shared.clone(), outlet, faulted: false };
        let spawned = thread::Builder::new().name("sink".into()).spawn(move || worker.run());
        if let Err(error) = spawned {
            log::error!("{} is left out: no thread could be started: {error}", shared.name);
            shared.lock().phase = Phase::Failed;
        }
        Outbox(shared)
    }

    /// Sends an item of so much weight. Where too much waits, the oldest items are
    /// dropped, a quarter of the queue at once, so that there are few holes. An
    /// `awaited` item is never dropped and drops none: its sender must [`wait`](Self::wait)
    /// with the number that is returned.
    pub fn send(&self, item: T, weight: usize, awaited: bool) -> u64 {
        let mut state = self.0.lock();
        if state.phase != Phase::Open {
            return state.done;
        }
        let most = self.0.most;
        let mut say = false;
        if !awaited && state.weight + weight > most {
            while state.weight + weight > most - most / 4 && state.drop_oldest() {
                say |= state.fault.is_none() && !std::mem::replace(&mut state.dropping, true);
            }
        }
        state.sent += 1;
        state.weight += weight;
        let (number, lost_before) = (state.sent, std::mem::take(&mut state.carry));
        state.waiting.push_back(Entry { item, weight, number, awaited, lost_before });
        drop(state);
        self.0.work.notify_one();
        if say {
            log::error!("{} does not keep up: the oldest lines that wait are lost", self.0.name);
        }
        number
    }

    /// Waits until the item of this number was taken, or the place is gone; when
    /// `stop` is asked, not for long.
    pub fn wait(&self, number: u64, stop: &Stop) {
        let mut asked: Option<Instant> = None;
        let mut state = self.0.lock();
        while state.phase == Phase::Open && state.done < number {
            if stop.asked() && asked.get_or_insert_with(Instant::now).elapsed() >= LAST_WAIT {
                return;
            }
            state = self.look(state);
        }
    }

    /// Waits until everything sent so far was taken, or the place is gone.
    pub fn settle(&self) {
        let mut state = self.0.lock();
        while state.phase == Phase::Open && state.done < state.sent {
            state = self.look(state);
        }
    }

    fn look<'a>(&'a self, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        let (state, _) =
            self.0.done.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner);
        state
    }

    pub fn phase(&self) -> Phase {
        self.0.lock().phase
    }

    pub fn standing(&self) -> Standing {
        let state = self.0.lock();
        Standing {
            name: self.0.name.clone(),
            written: state.written,
            lost: state.lost,
            waiting: state.waiting.len() as u64 + u64::from(state.in_hand),
            fault: state.fault.clone(),
        }
    }
}

impl<T> Outbox<T> {
    /// Says that nothing more will be sent.
    pub fn end(&self) {
        self.0.lock().ending = true;
        self.0.work.notify_all();
    }

    /// Waits until all is written, but not beyond `until`. What does not get
    /// through is counted as lost.
    pub fn ended(&self, until: Instant) {
        self.end();
        let mut state = self.0.lock();
        while state.phase == Phase::Open {
            if Instant::now() >= until {
                // Its thread hangs in a system call; the process ends without it.
                let left = state.waiting.len() as u64 + u64::from(state.in_hand) + state.held;
                state.lost += left;
                state.waiting.clear();
                state.phase = Phase::Closed;
                drop(state);
                log::error!("{} hangs at the end; {left} lines are lost", self.0.name);
                return;
            }
            let waited = self.0.done.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl<T> Drop for Outbox<T> {
    fn drop(&mut self) {
        self.end();
    }
}

struct Worker<T, O> {
    shared: Arc<Shared<T>>,
    outlet: O,
    /// It refused lines since a hole was last told.
    faulted: bool,
}

impl<T, O: Outlet<T>> Worker<T, O> {
    fn run(mut self) {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.work()));
        let Worker { shared, outlet, .. } = self;
        // A live view ends its last line before anybody is told that it is over.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(outlet)));
        let mut state = shared.lock();
        if state.phase != Phase::Open {
            return;
        }
        let left = state.waiting.len() as u64 + u64::from(std::mem::take(&mut state.in_hand));
        let closed = matches!(outcome, Ok(Err(Over::Closed)));
        let panicked = outcome.is_err() || dropped.is_err();
        // Nobody misses what a reader who has seen enough did not read.
        state.lost += if closed { 0 } else { left + state.held };
        state.waiting.clear();
        state.phase = if panicked { Phase::Failed } else { Phase::Closed };
        drop(state);
        if panicked {
            log::error!("{} panicked and is left out from now on", shared.name);
        } else if closed {
            log::info!("{} was closed by its reader", shared.name);
        }
        shared.done.notify_all();
    }

    fn work(&mut self) -> Result<(), Over> {
        let mut wake = None;
        loop {
            let number = match self.next(wake) {
                Job::Take(entry) => {
                    if entry.lost_before > 0 {
                        self.tell(entry.lost_before)?;
                    }
                    let taken = self.attempt(|outlet| outlet.put(&entry.item))?.is_some();
                    self.note(taken);
                    Some(entry.number)
                }
                Job::Flush => None,
                Job::End => {
                    // What was lost after the last line that was written.
                    let carry = std::mem::take(&mut self.shared.lock().carry);
                    if carry > 0 {
                        self.tell(carry)?;
                    }
                    self.attempt(|outlet| outlet.flush(true))?;
                    self.shared.lock().held = self.outlet.held();
                    return Ok(());
                }
            };
            let next = self.attempt(|outlet| outlet.flush(false))?.flatten();
            wake = next.map(|next| Instant::now() + next);
            let mut state = self.shared.lock();
            state.held = self.outlet.held();
            state.done = number.unwrap_or(state.done);
            drop(state);
            self.shared.done.notify_all();
        }
    }

    fn next(&self, wake: Option<Instant>) -> Job<T> {
        let mut state = self.shared.lock();
        loop {
            if let Some(entry) = state.waiting.pop_front() {
                state.weight -= entry.weight;
                state.in_hand = true;
                return Job::Take(entry);
            }
            if state.ending {
                return Job::End;
            }
            let left = wake.map(|wake| wake.saturating_duration_since(Instant::now()));
            state = match left {
                Some(Duration::ZERO) => return Job::Flush,
                Some(left) => {
                    let waited = self.shared.work.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.shared.work.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn note(&self, taken: bool) {
        let mut state = self.shared.lock();
        state.in_hand = false;
        state.written += u64::from(taken);
        state.held = self.outlet.held();
        if !taken {
            state.lost += 1;
            state.unsaid += 1;
            state.miss(1);
        }
    }

    /// Tells readers, and the log, what is missing here.
    fn tell(&mut self, lost: u64) -> Result<(), Over> {
        let cause = if self.faulted { Cause::Failed } else { Cause::Slow };
        if self.attempt(|outlet| outlet.gap(lost, cause))?.is_none() {
            self.shared.lock().miss(lost);
            return Ok(());
        }
        self.faulted = false;
        self.say_recovered();
        Ok(())
    }

    /// Does something until it succeeds; `None`: an item was lost instead.
    fn attempt<R>(
        &mut self,
        mut what: impl FnMut(&mut O) -> Result<R, Trouble>,
    ) -> Result<Option<R>, Over> {
        let mut pause = FIRST_PAUSE;
        loop {
            match what(&mut self.outlet) {
                Ok(done) => {
                    let mut state = self.shared.lock();
                    let (fault, unsaid) = (state.fault.take(), state.unsaid);
                    drop(state);
                    if fault.is_some() {
                        self.say_recovered();
                        // Nothing is missing that readers would have to be told of.
                        self.faulted = unsaid > 0;
                    }
                    return Ok(Some(done));
                }
                Err(Trouble::Closed) => return Err(Over::Closed),
                Err(Trouble::Lost(why)) => {
                    self.fail(why);
                    return Ok(None);
                }
                Err(Trouble::Later(why)) => {
                    self.fail(why);
                    if self.shared.lock().ending {
                        return Err(Over::GaveUp);
                    }
                    self.pause(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Said once for each outage: at 8 lines a second a full disk would otherwise
    /// fill the log as well.
    fn fail(&mut self, why: String) {
        self.faulted = true;
        let name = &self.shared.name;
        let before = self.shared.lock().fault.replace(why.clone());
        if before.is_none() {
            log::error!("{name} takes no lines: {why}; trying again");
        }
    }

    fn say_recovered(&self) {
        let mut state = self.shared.lock();
        let lost = std::mem::take(&mut state.unsaid);
        let dropping = std::mem::take(&mut state.dropping);
        drop(state);
        if lost > 0 || dropping || self.faulted {
            log::warn!("{} takes lines again; {lost} were lost", self.shared.name);
        }
    }

    /// Until this time has passed or the end has come.
    fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut state = self.shared.lock();
        while !state.ending {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.shared.work.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
