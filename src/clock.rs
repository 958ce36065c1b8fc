//! Wall-clock time, injected so that tests choose it.

use std::time::{Duration, Instant, SystemTime};

/// What time it is.
pub trait Clock: Send + Sync {
    /// Time of day: for stamps and the age of files, never for timing.
    fn wall(&self) -> SystemTime;
    /// Monotonic time: for latency, and for how long a source is silent or away.
    fn instant(&self) -> Instant;
    /// Lets so much time pass.
    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// The machine's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }
}

/// A clock that stands still until it is told to go on, or is set.
#[cfg(test)]
pub(crate) struct HeldClock(std::sync::Mutex<(SystemTime, Instant)>);

#[cfg(test)]
impl HeldClock {
    pub fn new() -> std::sync::Arc<Self> {
        let now = (SystemClock.wall(), SystemClock.instant());
        std::sync::Arc::new(HeldClock(std::sync::Mutex::new(now)))
    }

    pub fn pass(&self, time: Duration) {
        let mut now = self.0.lock().unwrap();
        *now = (now.0 + time, now.1 + time);
    }
}

#[cfg(test)]
impl Clock for HeldClock {
    fn wall(&self) -> SystemTime {
        self.0.lock().unwrap().0
    }

    fn instant(&self) -> Instant {
        self.0.lock().unwrap().1
    }
}
