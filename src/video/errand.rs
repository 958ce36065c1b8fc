//! Work that may hang in a plugin or a driver: done in a thread that can be
//! left behind. Whoever is left behind is counted, and there are never many.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};

use crate::error::{Error, Result};
use crate::video::Health;

/// So many threads of one stream may hang; then nothing more is tried until one
/// of them comes back.
pub(crate) const MOST: usize = 4;

#[derive(PartialEq, Eq)]
enum Stage {
    Running,
    Done,
    LeftBehind,
}

/// A thread that does one thing. Dropped before that is done, it is left behind.
pub(crate) struct Errand<T> {
    outcome: Receiver<T>,
    stage: Arc<Mutex<Stage>>,
    health: Health,
    /// Whether nothing more is awaited of it.
    over: bool,
}

impl<T: Send + 'static> Errand<T> {
    /// Starts `work` in a thread with this name.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(
        name: &str,
        health: &Health,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Self> {
        let (tell, outcome) = bounded(1);
        let stage = Arc::new(Mutex::new(Stage::Running));
        let end = End { stage: stage.clone(), health: health.clone() };
        thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                // Dropped last, even where the work panics.
                let _end = end;
                // Where nobody waits any more, what was made goes here.
                let _ = tell.send(work());
            })
            .map_err(|error| Error::unavailable(format!("starting the thread {name:?}"), error))?;
        Ok(Errand { outcome, stage, health: health.clone(), over: false })
    }

    /// Waits so long for the outcome. An error says that there will be none: the
    /// work panicked, or its outcome was taken.
    pub fn wait(&mut self, time: Duration) -> Result<Option<T>> {
        use crossbeam_channel::RecvTimeoutError::{Disconnected, Timeout};
        let outcome = self.outcome.recv_timeout(time);
        self.over |= !matches!(outcome, Err(Timeout));
        match outcome {
            Ok(outcome) => Ok(Some(outcome)),
            Err(Timeout) => Ok(None),
            Err(Disconnected) => Err(Error::internal("waiting for GStreamer", "it panicked")),
        }
    }
}

impl<T> Drop for Errand<T> {
    fn drop(&mut self) {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if *stage == Stage::Running && self.outcome.is_empty() && !self.over {
            *stage = Stage::LeftBehind;
            self.health.abandon();
        }
    }
}

struct End {
    stage: Arc<Mutex<Stage>>,
    health: Health,
}

impl Drop for End {
    fn drop(&mut self) {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *stage, Stage::Done) == Stage::LeftBehind {
            self.health.recovered();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_hangs_is_counted_until_it_comes_back() {
        let health = Health::default();
        let (go, gate) = bounded::<()>(1);
        let mut slow = Errand::start("slow", &health, move || gate.recv().is_ok()).unwrap();
        assert!(slow.wait(Duration::from_millis(10)).unwrap().is_none());
        drop(slow);
        assert_eq!(health.abandoned(), 1);
        go.send(()).unwrap();
        for _ in 0..2_000 {
            if health.abandoned() == 0 {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!((health.abandoned(), health.status().abandoned_in_all), (0, 1));
    }

    #[test]
    fn who_ends_in_time_or_panics_is_not() {
        let health = Health::default();
        let mut quick = Errand::start("quick", &health, || 7).unwrap();
        assert_eq!(quick.wait(Duration::from_secs(60)).unwrap(), Some(7));
        drop(quick);
        let mut broken = Errand::<()>::start("broken", &health, || panic!("on purpose")).unwrap();
        assert!(broken.wait(Duration::from_secs(60)).is_err());
        assert_eq!(health.status().abandoned_in_all, 0);
    }
}
