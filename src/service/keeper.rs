//! Keeps what streams learned on disk, apart from the streams: a slow card must
//! not hold up a model.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::state::StateFile;
use crate::error::{Error, Result};
use crate::session::{Keeper, Learned};

/// States that may wait for the disk: of this many streams one that is behind, and
/// the last. One more is left out, the next will do.
const WAITING: usize = 2 * 32;

enum Work {
    Save(Box<(StateFile, Learned)>),
    End,
}

/// The one thread that writes the states of all streams.
pub(super) struct Keep {
    keeps: Keeps,
    /// Closed when the thread has ended.
    ended: Receiver<()>,
}

/// Makes [`Keeper`]s.
#[derive(Clone)]
pub(super) struct Keeps {
    work: Sender<Work>,
    /// It was said that the disk is behind.
    behind: Arc<AtomicBool>,
}

impl Keep {
    /// Starts it.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start() -> Result<Keep> {
        let (work, waiting) = bounded(WAITING);
        let (alive, ended) = bounded(0);
        let behind = Arc::new(AtomicBool::new(false));
        let told = behind.clone();
        let save = move || {
            let _alive: Sender<()> = alive;
            save_all(&waiting, &told);
        };
        thread::Builder::new()
            .name("state".into())
            .spawn(save)
            .map_err(|error| Error::unavailable("starting the thread that keeps states", error))?;
        Ok(Keep { keeps: Keeps { work, behind }, ended })
    }

    /// What streams need of it.
    pub fn keeps(&self) -> Keeps {
        self.keeps.clone()
    }

    /// Waits until all that was given so far is on the disk, at most `patience`.
    /// Whether it is.
    pub fn finish(self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let left = || until.saturating_duration_since(Instant::now());
        // A stream that hangs holds its keeper: that the others are gone is no sign.
        self.keeps.work.send_timeout(Work::End, left()).is_ok()
            && !self.ended.recv_timeout(left()).is_err_and(|error| error.is_timeout())
    }
}

impl Keeps {
    /// Who keeps the state of `stream` in `folder`, for the model with this hash.
    pub fn of(&self, folder: &Path, stream: &str, model_sha256: &str) -> Box<dyn Keeper> {
        let file = StateFile::new(folder, stream, model_sha256);
        Box::new(StreamKeeper { file, keeps: self.clone() })
    }
}

fn save_all(work: &Receiver<Work>, behind: &AtomicBool) {
    let mut failing = false;
    for work in work {
        let Work::Save(state) = work else { return };
        let (file, learned) = *state;
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
    keeps: Keeps,
}

impl Keeper for StreamKeeper {
    fn load(&mut self) -> Option<Learned> {
        self.file.load()
    }

    fn keep(&mut self, learned: Learned) {
        match self.keeps.work.try_send(Work::Save(Box::new((self.file.clone(), learned)))) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => {
                if !self.keeps.behind.swap(true, Ordering::Relaxed) {
                    log::warn!("the disk is slow: a state was not kept; the next one will be");
                }
            }
        }
    }
}
