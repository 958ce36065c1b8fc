//! Keeps what streams learned on disk, apart from the streams: a slow card must
//! not hold up a model.

use std::path::Path;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::state::StateFile;
use crate::error::{Error, Result};
use crate::session::{Keeper, Learned};

/// The one thread that writes the states of all streams.
pub struct Keep {
    jobs: Option<Sender<(StateFile, Learned)>>,
    thread: Option<JoinHandle<()>>,
}

impl Keep {
    /// Starts it for so many streams.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(streams: usize) -> Result<Keep> {
        // One that waits and the last of each; one more is left out, the next will do.
        let (jobs, work) = bounded(2 * streams.max(1));
        let thread = thread::Builder::new()
            .name("state".into())
            .spawn(move || save_all(&work))
            .map_err(|error| Error::unavailable("starting the thread that keeps states", error))?;
        Ok(Keep { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Who keeps the state of `stream` in `folder`, for the model with this hash.
    pub fn of(&self, folder: &Path, stream: &str, model_sha256: &str) -> Option<Box<dyn Keeper>> {
        let jobs = self.jobs.clone()?;
        Some(Box::new(StreamKeeper { file: StateFile::new(folder, stream, model_sha256), jobs }))
    }
}

/// Waits until all that was given is on the disk. Every [`Keeper`] must be gone.
impl Drop for Keep {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // It panics as little as the rest; what it wrote is whole either way.
            let _ = thread.join();
        }
    }
}

fn save_all(work: &Receiver<(StateFile, Learned)>) {
    let mut failing = false;
    for (file, learned) in work {
        match file.save(&learned) {
            Ok(()) => failing = false,
            // Said once for each outage.
            Err(error) if !failing => {
                log::error!("what was learned is not kept: {error}");
                failing = true;
            }
            Err(_) => {}
        }
    }
}

struct StreamKeeper {
    file: StateFile,
    jobs: Sender<(StateFile, Learned)>,
}

impl Keeper for StreamKeeper {
    fn load(&mut self) -> Option<Learned> {
        self.file.load()
    }

    fn keep(&mut self, learned: Learned) {
        match self.jobs.try_send((self.file.clone(), learned)) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => {
                log::warn!("the disk is slow: a state was not kept; the next one will be");
            }
        }
    }
}
