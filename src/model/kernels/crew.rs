//! Threads that do a small piece of work together, many thousand times a second.
//!
//! A layer of a small network takes some ten microseconds: less than a sleeping thread
//! takes to wake up, and a general thread pool lets its threads sleep between two layers.
//! These wait for the next piece with open eyes for a while.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a thread that has nothing to do stays awake: longer than what one thread does
/// alone between two layers, far shorter than the time between two clips.
const AWAKE: Duration = Duration::from_micros(200);
/// How often a waiting thread looks at what it waits for before it looks at the clock.
const LOOKS: u32 = 64;

/// What each member does, given its number.
type Work<'a> = dyn Fn(usize) + Sync + 'a;

/// Some threads that wait for work to share, beside the one that brings it.
#[derive(Debug)]
pub struct Crew {
    shared: Arc<Shared>,
    members: Vec<JoinHandle<()>>,
    /// Held by whoever has the members work.
    turn: Mutex<()>,
}

#[derive(Default)]
struct Shared {
    work: Mutex<Option<&'static Work<'static>>>,
    /// Counts the works that were given out.
    given: AtomicUsize,
    /// Members that are still at the newest.
    busy: AtomicUsize,
    asleep: AtomicUsize,
    /// Held by members while they fall asleep.
    bed: Mutex<()>,
    alarm: Condvar,
    panicked: AtomicBool,
    over: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("given", &self.given).finish_non_exhaustive()
    }
}

impl Crew {
    /// `count` members, the caller of [`Crew::share`] among them.
    ///
    /// # Errors
    /// Not all threads can be started.
    pub fn new(count: usize) -> std::io::Result<Self> {
        let mut crew = Crew { shared: Arc::default(), members: Vec::new(), turn: Mutex::default() };
        for member in 1..count {
            let shared = crew.shared.clone();
            let thread = thread::Builder::new().name(format!("model-{member}"));
            crew.members.push(thread.spawn(move || shared.serve(member))?);
        }
        Ok(crew)
    }

    /// How many members there are, the caller included.
    pub fn count(&self) -> usize {
        self.members.len() + 1
    }

    /// Has each member call `work` once, with its number: the caller is 0. Returns when all
    /// have done so. While another caller has the members work, this one does all itself.
    ///
    /// # Panics
    /// `work` did.
    pub fn share(&self, work: &Work<'_>) {
        let Ok(_turn) = self.turn.try_lock() else {
            return (0..self.count()).for_each(work);
        };
        let shared = &*self.shared;
        // SAFETY: only its lifetime is changed. Members call it between `given` going up
        // and their own count-down of `busy`; `AtWork` lets nothing leave this function,
        // a panic neither, before `busy` is 0, and takes the reference back. So nobody
        // holds it when what it borrows ends.
        let work_of_all = unsafe { std::mem::transmute::<&Work<'_>, &'static Work<'static>>(work) };
        *lock(&shared.work) = Some(work_of_all);
        shared.busy.store(self.members.len(), Ordering::Relaxed);
        shared.given.fetch_add(1, Ordering::SeqCst);
        let at_work = AtWork(shared);
        if shared.asleep.load(Ordering::SeqCst) > 0 {
            let _bed = lock(&shared.bed);
            shared.alarm.notify_all();
        }
        work(0);
        drop(at_work);
        if shared.panicked.swap(false, Ordering::Relaxed) {
            panic!("a thread of the model panicked");
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        drop(lock(&self.shared.bed));
        self.shared.alarm.notify_all();
        for member in self.members.drain(..) {
            let _ = member.join();
        }
    }
}

/// Until this is dropped, members may be at work.
struct AtWork<'a>(&'a Shared);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        let done = || self.0.busy.load(Ordering::Acquire) == 0;
        while !watch(done) {
            // A member waits for a core: perhaps for this one.
            thread::yield_now();
        }
        *lock(&self.0.work) = None;
    }
}

impl Shared {
    /// A member's life.
    fn serve(&self, member: usize) {
        let mut seen = 0;
        loop {
            let called =
                || self.given.load(Ordering::SeqCst) != seen || self.over.load(Ordering::SeqCst);
            if !watch(called) {
                let mut bed = lock(&self.bed);
                self.asleep.fetch_add(1, Ordering::SeqCst);
                while !called() {
                    bed = self.alarm.wait(bed).unwrap_or_else(PoisonError::into_inner);
                }
                self.asleep.fetch_sub(1, Ordering::SeqCst);
            }
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            // The next is not given out before this member has counted down.
            seen = self.given.load(Ordering::SeqCst);
            let work = *lock(&self.work);
            if let Some(work) = work
                && catch_unwind(AssertUnwindSafe(|| work(member))).is_err()
            {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.busy.fetch_sub(1, Ordering::Release);
        }
    }
}

/// Waits, awake, for `what`; gives up after a while.
fn watch(what: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    loop {
        for _ in 0..LOOKS {
            if what() {
                return true;
            }
            std::hint::spin_loop();
        }
        if began.elapsed() > AWAKE {
            return false;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked while holding one of these left nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    /// What [`Crew::share`] does, on one thread.
    fn alone(count: usize, work: &Work<'_>) {
        (0..count).for_each(work);
    }

    /// Each member adds its number, and a value of its own, to sums that it borrows.
    fn sums(rounds: u64, share: impl Fn(&Work<'_>)) -> Vec<u64> {
        let sums: Vec<AtomicU64> = (0..4).map(|_| AtomicU64::new(0)).collect();
        for round in 0..rounds {
            let values: Vec<u64> = (0..4).map(|member| round * 31 + member * 7).collect();
            share(&|member| {
                sums[member].fetch_add(values[member], Ordering::Relaxed);
            });
        }
        sums.iter().map(|sum| sum.load(Ordering::Relaxed)).collect()
    }

    #[test]
    fn shared_work_is_what_one_thread_would_do() {
        let crew = Crew::new(4).unwrap();
        assert_eq!(crew.count(), 4);
        assert_eq!(sums(2_000, |work| crew.share(work)), sums(2_000, |work| alone(4, work)));
    }

    #[test]
    fn members_that_sleep_are_woken() {
        let crew = Crew::new(2).unwrap();
        for _ in 0..5 {
            let deadline = Instant::now() + Duration::from_secs(30);
            while crew.shared.asleep.load(Ordering::SeqCst) == 0 {
                assert!(Instant::now() < deadline, "it never sleeps");
                thread::yield_now();
            }
            assert_eq!(sums(1, |work| crew.share(work))[1], 7);
        }
    }

    #[test]
    fn callers_at_the_same_time_each_get_their_own_work_done() {
        let crew = Crew::new(2).unwrap();
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let found = sums(1_000, |work| crew.share(work));
                    assert_eq!(found[..2], sums(1_000, |work| alone(2, work))[..2]);
                });
            }
        });
    }

    #[test]
    fn a_panic_of_any_member_reaches_the_caller_and_the_crew_goes_on() {
        let crew = Crew::new(3).unwrap();
        for guilty in 0..3 {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                crew.share(&|member| assert_ne!(member, guilty));
            }));
            assert!(outcome.is_err(), "member {guilty}");
            assert_eq!(sums(10, |work| crew.share(work)), {
                let mut expected = sums(10, |work| alone(3, work));
                expected[3] = 0;
                expected
            });
        }
    }
}
