//! How one stream's source is doing: a state machine with its history, and
//! counters. The supervisor writes it; whoever holds a clone may read it at any
//! time. Noting a picture costs a few atomic stores.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use serde::Serialize;

use crate::clock::{Clock, SystemClock};
use crate::video::address::shown;

/// So many changes of state are remembered.
const HISTORY: usize = 32;
/// No text in the history is longer, in characters.
const LONGEST: usize = 300;
/// How long a picture may be due before a source counts as not fresh, where
/// nobody said anything else.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a source is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is being opened, or is open and has not given a picture yet.
    Connecting,
    /// Pictures come.
    Live,
    /// It is open and the next picture is overdue, but not yet given up.
    Stalled,
    /// It was lost, or could not be opened; it is tried again later.
    BackingOff,
    /// It failed and is not tried again: a recording, or a panic.
    Failed,
    /// A recording that came to its end, or a stream that was asked to stop.
    Ended,
}

impl State {
    /// The word that stands for it in every output.
    pub fn name(self) -> &'static str {
        match self {
            State::Connecting => "connecting",
            State::Live => "live",
            State::Stalled => "stalled",
            State::BackingOff => "backing-off",
            State::Failed => "failed",
            State::Ended => "ended",
        }
    }

    /// Whether this state is left only by a new start of the stream.
    pub fn is_final(self) -> bool {
        matches!(self, State::Failed | State::Ended)
    }
}

/// One change of state.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// What it became.
    pub state: State,
    /// Why, in words and without secrets; empty where the state says it all.
    pub why: String,
    /// When, by the wall clock: RFC 3339 with milliseconds, UTC.
    pub at: String,
    /// When, in seconds on a clock that is never set, since the stream began.
    pub after_s: f64,
}

/// Everything there is to say of a source, at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// Why it is doing that; empty where the state says it all.
    pub why: String,
    /// For how long, in seconds.
    pub for_s: f64,
    /// In how many seconds it is tried again, while it backs off.
    pub retry_in_s: Option<f64>,
    /// Which of the stream's sources is in use or is being tried, from 0: more
    /// than 0 is a fallback.
    pub source: usize,
    /// That source in words, without secrets.
    pub source_text: String,
    /// Age of the newest decoded picture in seconds; `None` before the first.
    pub frame_age_s: Option<f64>,
    /// The age at which the source is given up and opened again, in seconds; from
    /// half of that on it counts as stalled. `None` for a recording.
    pub patience_s: Option<f64>,
    /// Decoded pictures so far, over all connections.
    pub frames: u64,
    /// Pictures that a full decoder queue dropped.
    pub dropped: u64,
    /// Times that a source was opened and gave a picture.
    pub opened: u64,
    /// Times that a source was lost after it had given one.
    pub lost: u64,
    /// Tries that gave no picture.
    pub refused: u64,
    /// Times that a source stood still.
    pub stalls: u64,
    /// Seconds spent waiting to try again.
    pub backing_off_s: f64,
    /// Threads that hang in a plugin or a driver now and were left behind.
    pub abandoned: usize,
    /// Threads that were ever left behind.
    pub abandoned_in_all: u64,
    /// The last changes of state, the newest last.
    pub history: Vec<Change>,
}

/// How a stream's source is doing. Clones share it.
#[derive(Clone)]
pub struct Health(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    begun: Instant,
    /// Nanoseconds from `begun` to the newest picture, and 1; 0 before the first.
    newest: AtomicU64,
    /// Nanoseconds from `begun` to the last look of the supervisor.
    looked: AtomicU64,
    /// In nanoseconds; 0 where there is no end to it.
    patience: AtomicU64,
    frames: AtomicU64,
    dropped: AtomicU64,
    opened: AtomicU64,
    lost: AtomicU64,
    refused: AtomicU64,
    stalls: AtomicU64,
    abandoned: AtomicUsize,
    abandoned_in_all: AtomicU64,
    record: Mutex<Record>,
}

/// What changes a few times an hour.
struct Record {
    state: State,
    why: String,
    since: Instant,
    retry: Option<Instant>,
    source: usize,
    source_text: String,
    backing_off: Duration,
    history: VecDeque<Change>,
}

impl Default for Health {
    fn default() -> Self {
        Health::new(Arc::new(SystemClock))
    }
}

impl Health {
    /// Of a source that is about to be opened.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let begun = clock.instant();
        let health = Health(Arc::new(Inner {
            begun,
            newest: AtomicU64::new(0),
            looked: AtomicU64::new(0),
            patience: AtomicU64::new(nanos(PATIENCE)),
            frames: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            opened: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            stalls: AtomicU64::new(0),
            abandoned: AtomicUsize::new(0),
            abandoned_in_all: AtomicU64::new(0),
            record: Mutex::new(Record {
                state: State::Connecting,
                why: String::new(),
                since: begun,
                retry: None,
                source: 0,
                source_text: String::new(),
                backing_off: Duration::ZERO,
                history: VecDeque::with_capacity(HISTORY),
            }),
            clock,
        }));
        health.remember(&mut health.record());
        health
    }

    /// What it is doing.
    pub fn state(&self) -> State {
        self.record().state
    }

    /// Age of the newest decoded picture; `None` before the first.
    pub fn frame_age(&self) -> Option<Duration> {
        let newest = self.0.newest.load(Ordering::Acquire).checked_sub(1)?;
        Some(self.since_begun().saturating_sub(Duration::from_nanos(newest)))
    }

    /// Decoded pictures so far: it grows for as long as the source is alive.
    pub fn frames(&self) -> u64 {
        self.0.frames.load(Ordering::Relaxed)
    }

    /// The age of the newest picture at which the source is given up and opened
    /// again: by the source's own frame rate, and never less than its `timeout`.
    /// From half of that on it counts as stalled. `None` for a recording: it waits
    /// for whoever reads its predictions, for however long.
    pub fn patience(&self) -> Option<Duration> {
        let patience = self.0.patience.load(Ordering::Relaxed);
        (patience > 0).then(|| Duration::from_nanos(patience))
    }

    /// Whether pictures come as they should. A source that is called live although
    /// nobody looked at it for twice as long as it would be waited for is not fresh:
    /// then the supervisor itself hangs.
    pub fn is_fresh(&self) -> bool {
        let looked = Duration::from_nanos(self.0.looked.load(Ordering::Acquire));
        let unseen = self.since_begun().saturating_sub(looked);
        let in_time = |limit: Duration| unseen <= limit.saturating_mul(2);
        self.state() == State::Live && self.patience().is_none_or(in_time)
    }

    /// Everything there is to say, at this moment.
    pub fn status(&self) -> Status {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let inner = &*self.0;
        let record = self.record();
        let now = inner.clock.instant();
        let so_far = now.saturating_duration_since(record.since);
        let waiting = if record.state == State::BackingOff { so_far } else { Duration::ZERO };
        Status {
            state: record.state,
            why: record.why.clone(),
            for_s: so_far.as_secs_f64(),
            retry_in_s: record.retry.map(|at| at.saturating_duration_since(now).as_secs_f64()),
            source: record.source,
            source_text: record.source_text.clone(),
            frame_age_s: self.frame_age().map(|age| age.as_secs_f64()),
            patience_s: self.patience().map(|limit| limit.as_secs_f64()),
            frames: count(&inner.frames),
            dropped: count(&inner.dropped),
            opened: count(&inner.opened),
            lost: count(&inner.lost),
            refused: count(&inner.refused),
            stalls: count(&inner.stalls),
            backing_off_s: (record.backing_off + waiting).as_secs_f64(),
            abandoned: inner.abandoned.load(Ordering::Acquire),
            abandoned_in_all: count(&inner.abandoned_in_all),
            history: record.history.iter().cloned().collect(),
        }
    }

    /// Notes pictures that were decoded, the newest of them at `newest`.
    pub fn saw(&self, pictures: u64, newest: Instant) {
        let since = nanos(newest.saturating_duration_since(self.0.begun));
        self.0.newest.fetch_max(since.saturating_add(1), Ordering::AcqRel);
        self.0.frames.fetch_add(pictures, Ordering::Relaxed);
    }

    /// Notes pictures that a full queue dropped.
    pub fn dropped(&self, pictures: u64) {
        self.0.dropped.fetch_add(pictures, Ordering::Relaxed);
    }

    /// Notes that the supervisor looked, and the age of the newest picture at which
    /// it would give the source up; `None` says that it never would.
    pub fn looked(&self, patience: Option<Duration>) {
        self.0.looked.store(nanos(self.since_begun()), Ordering::Release);
        self.0.patience.store(patience.map_or(0, nanos), Ordering::Relaxed);
    }

    /// Says which of the stream's sources is being tried.
    pub fn trying(&self, source: usize, text: &str) {
        let mut record = self.record();
        record.source = source;
        record.source_text = fit(text);
        self.turn(&mut record, State::Connecting, "", None);
    }

    /// The source gave its first picture, or the next one after a stall.
    pub fn live(&self) {
        let mut record = self.record();
        match record.state {
            State::Live => return,
            State::Connecting => self.0.opened.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
        self.turn(&mut record, State::Live, "", None);
    }

    /// The next picture is overdue.
    pub fn stalled(&self, why: &str) {
        let mut record = self.record();
        if record.state != State::Stalled {
            self.0.stalls.fetch_add(1, Ordering::Relaxed);
            self.turn(&mut record, State::Stalled, why, None);
        }
    }

    /// The source was lost or did not open; it is tried again in `wait`.
    pub fn backing_off(&self, why: &str, wait: Duration) {
        let mut record = self.record();
        let counter = match record.state {
            State::Live | State::Stalled => &self.0.lost,
            _ => &self.0.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let retry = self.0.clock.instant().checked_add(wait);
        self.turn(&mut record, State::BackingOff, why, retry);
    }

    /// It failed for good.
    pub fn failed(&self, why: &str) {
        self.turn(&mut self.record(), State::Failed, why, None);
    }

    /// A recording came to its end, or the stream was asked to stop. What has
    /// failed stays so.
    pub fn ended(&self) {
        let mut record = self.record();
        if !record.state.is_final() {
            self.turn(&mut record, State::Ended, "", None);
        }
    }

    /// Threads that hang now and were left behind.
    pub fn abandoned(&self) -> usize {
        self.0.abandoned.load(Ordering::Acquire)
    }

    /// A thread hangs and is left behind.
    pub fn abandon(&self) {
        self.0.abandoned.fetch_add(1, Ordering::AcqRel);
        self.0.abandoned_in_all.fetch_add(1, Ordering::Relaxed);
    }

    /// A thread that had been left behind came to its end after all.
    pub fn recovered(&self) {
        self.0.abandoned.fetch_sub(1, Ordering::AcqRel);
    }

    fn turn(&self, record: &mut Record, state: State, why: &str, retry: Option<Instant>) {
        let now = self.0.clock.instant();
        if record.state == State::BackingOff {
            record.backing_off += now.saturating_duration_since(record.since);
        }
        let same = record.state == state && record.why == why;
        record.retry = retry;
        record.state = state;
        record.since = now;
        if !same {
            record.why = fit(why);
            self.remember(record);
        }
    }

    fn remember(&self, record: &mut Record) {
        if record.history.len() == HISTORY {
            record.history.pop_front();
        }
        record.history.push_back(Change {
            state: record.state,
            why: record.why.clone(),
            at: stamp(self.0.clock.wall()),
            after_s: self.since_begun().as_secs_f64(),
        });
    }

    fn since_begun(&self) -> Duration {
        self.0.clock.instant().saturating_duration_since(self.0.begun)
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        // Whoever panicked left a record that is at worst one change behind.
        self.0.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Health").field(&self.status()).finish()
    }
}

/// Without secrets, and no longer than it may be.
fn fit(text: &str) -> String {
    let text = shown(text);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn stamp(time: SystemTime) -> String {
    let stamp = Timestamp::try_from(time).unwrap_or(Timestamp::MAX);
    format!("{stamp:.3}")
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::HeldClock;

    #[test]
    fn a_source_that_comes_and_goes_is_counted() {
        let health = Health::default();
        health.trying(0, "camera");
        health.backing_off("refused", Duration::from_secs(1));
        health.trying(1, "other camera");
        health.saw(1, Instant::now());
        health.live();
        health.saw(4, Instant::now());
        health.stalled("nothing for 10 s");
        health.live();
        health.backing_off("gone", Duration::from_secs(2));
        let status = health.status();
        assert_eq!((status.opened, status.lost, status.refused, status.stalls), (1, 1, 1, 1));
        assert_eq!((status.source, status.frames), (1, 5));
        assert_eq!(status.state, State::BackingOff);
        assert!(status.retry_in_s.is_some_and(|s| s > 0.0 && s <= 2.0), "{status:?}");
        assert!(!health.is_fresh());
        let states: Vec<&str> = status.history.iter().map(|c| c.state.name()).collect();
        assert_eq!(
            states,
            ["connecting", "backing-off", "connecting", "live", "stalled", "live", "backing-off"]
        );
    }

    #[test]
    fn the_history_is_bounded_and_shows_no_password() {
        let health = Health::default();
        for i in 0..1_000 {
            health.trying(0, "rtsp://u:hunter2@h/x");
            let why = format!("{i}: rtsp://u:hunter2@h/x {}", "long ".repeat(100));
            health.backing_off(&why, Duration::from_secs(1));
        }
        let text = serde_json::to_string(&health.status()).unwrap();
        assert!(!text.contains("hunter2") && text.contains("***"), "{text}");
        assert_eq!(health.status().history.len(), HISTORY);
        assert!(health.status().history.iter().all(|c| c.why.chars().count() <= LONGEST + 1));
    }

    #[test]
    fn only_a_live_source_must_be_looked_at() {
        let clock = HeldClock::new();
        let health = Health::new(clock.clone());
        health.saw(1, clock.instant());
        health.live();
        health.looked(Some(Duration::from_secs(10)));
        clock.pass(Duration::from_secs(19));
        assert!(health.is_fresh());
        clock.pass(Duration::from_secs(2));
        assert!(!health.is_fresh());
        // A look is enough: how long it was silent, the supervisor judges.
        health.looked(Some(Duration::from_secs(10)));
        assert!(health.is_fresh());
        health.looked(None);
        clock.pass(Duration::from_secs(100));
        assert!(health.is_fresh());
        assert_eq!(health.status().patience_s, None);
    }

    #[test]
    fn a_final_state_stays() {
        let health = Health::default();
        health.failed("no such file");
        health.ended();
        assert_eq!(health.state(), State::Failed);
    }
}
