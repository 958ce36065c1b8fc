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
