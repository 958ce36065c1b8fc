//! Keeps what streams learned on disk, apart from the streams: a slow card must
//! not hold up a model.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::state::StateFile;
use crate::error::{Error, Result};
use crate::session::{Keeper, Learned};

/// How long the end waits for a disk that hangs: what was saved before is whole.
const GRACE: Duration = Duration::from_secs(1);
/// From one look to the next whether it is done.
const LOOK: Duration = Duration::from_millis(5);

/// The one thread that writes the states of all streams.
pub struct Keep {
    jobs: Option<Sender<(StateFile, Learned)>>,
    thread: Option<JoinHandle<()>>,
    /// It was said that the disk is behind.
    behind: Arc<AtomicBool>,
}

impl Keep {
    /// Starts it for so many streams.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(streams: usize) -> Result<Keep> {
        // One that waits and the last of each; one more is left out, the next will do.
        let (jobs, work) = bounded(2 * streams.max(1));
        let behind = Arc::new(AtomicBool::new(false));
        let told = behind.clone();
        let thread = thread::Builder::new()
            .name("state".into())
            .spawn(move || save_all(&work, &told))
            .map_err(|error| Error::unavailable("starting the thread that keeps states", error))?;
        Ok(Keep { jobs: Some(jobs), thread: Some(thread), behind })
    }

    /// Who keeps the state of `stream` in `folder`, for the model with this hash.
    pub fn of(&self, folder: &Path, stream: &str, model_sha256: &str) -> Option<Box<dyn Keeper>> {
        let (jobs, behind) = (self.jobs.clone()?, self.behind.clone());
        let file = StateFile::new(folder, stream, model_sha256);
        Some(Box::new(StreamKeeper { file, jobs, behind }))
    }
}

/// Waits until all that was given is on the disk, but not for one that hangs. Every
/// [`Keeper`] must be gone.
impl Drop for Keep {
    fn drop(&mut self) {
        self.jobs = None;
        let Some(thread) = self.thread.take() else { return };
        let begun = Instant::now();
        while !thread.is_finished() {
            if begun.elapsed() >= GRACE {
                log::error!("the disk hangs: what was learned last is not kept");
                return;
            }
            thread::sleep(LOOK);
        }
        // It panics as little as the rest; what it wrote is whole either way.
        let _ = thread.join();
    }
}

fn save_all(work: &Receiver<(StateFile, Learned)>, behind: &AtomicBool) {
    let mut failing = false;
    for (file, learned) in work {
        match file.save(&learned) {
            Ok(()) => {
                if std::mem::take(&mut failing) | behind.swap(false, Ordering::Relaxed) {
                    log::warn!("what is learned is kept again");
                }
            }
            // Said once for each outage; the next state takes this one's place.
            Err(error) if !failing => {
                log::error!("what was learned is not kept: {error}; trying again");
                failing = true;
            }
            Err(_) => {}
        }
    }
}

struct StreamKeeper {
    file: StateFile,
    jobs: Sender<(StateFile, Learned)>,
    behind: Arc<AtomicBool>,
}

impl Keeper for StreamKeeper {
    fn load(&mut self) -> Option<Learned> {
        self.file.load()
    }

    fn keep(&mut self, learned: Learned) {
        match self.jobs.try_send((self.file.clone(), learned)) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => {
                if !self.behind.swap(true, Ordering::Relaxed) {
                    log::warn!("the disk is slow: a state was not kept; the next one will be");
                }
            }
        }
    }
}
