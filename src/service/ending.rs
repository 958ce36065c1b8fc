//! The end has a deadline, whatever hangs.

use std::thread;
use std::time::{Duration, Instant};

/// From the first ask to the last moment. systemd and people at a terminal are
/// promised 5 seconds.
const ALL: Duration = Duration::from_millis(4_800);
/// In which streams must have ended; the rest is for state files and summaries.
const STREAMS: Duration = Duration::from_millis(3_200);
/// In which states must be on the disk.
const STATES: Duration = Duration::from_millis(4_000);
/// In which sinks must have taken what still waits for them, and how long they have.
const SINKS: Duration = Duration::from_millis(4_600);
const SINKS_MOST: Duration = Duration::from_secs(1);

/// The deadlines of an end that was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    begun: Instant,
}

impl Ending {
    /// Begins now. Should the process still be there at the last moment, it is
    /// ended with exit code 1, without a look at what hangs.
    pub fn begin() -> Ending {
        let guard = thread::Builder::new().name("end".into()).spawn(|| {
            thread::sleep(ALL);
            // Even the log may hang: it gets a moment of its own.
            let said = thread::Builder::new().spawn(|| {
                log::error!("it did not end within {ALL:?}; ending without what hangs");
            });
            if said.is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
            // Not `std::process::exit`: that runs what libraries want to be run at
            // the end, which may wait for what hangs.
            signal_hook::low_level::exit(1);
        });
        if let Err(error) = guard {
            log::warn!("nobody watches over the end: {error}");
        }
        Ending { begun: Instant::now() }
    }

    /// How long streams still have.
    pub fn left_for_streams(&self) -> Duration {
        STREAMS.saturating_sub(self.begun.elapsed())
    }

    /// How long the disk still has.
    pub fn left_for_states(&self) -> Duration {
        STATES.saturating_sub(self.begun.elapsed())
    }

    /// How long the sinks still have.
    pub fn left_for_sinks(&self) -> Duration {
        SINKS.saturating_sub(self.begun.elapsed()).min(SINKS_MOST)
    }
}
