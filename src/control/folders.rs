//! The folders in which label files appear, looked at again and again.

use std::collections::BTreeSet;
use std::fs;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::error::{Error, Result};
use crate::label::{FolderWatch, Looked};

/// From one look to the next. A file is read at the second look that finds it
/// unchanged.
const EVERY: Duration = Duration::from_secs(2);
/// Faults of one file that are logged.
const MOST_FAULTS: usize = 10;

/// Watches folders until it is dropped.
pub struct Folders {
    /// Goes before the thread is waited for, and wakes it.
    end: Option<Sender<()>>,
    watcher: Option<JoinHandle<()>>,
}

impl Folders {
    /// Begins to watch, and returns. Without a folder nothing is started.
    ///
    /// # Errors
    /// Two streams watch one folder: a file there could be about either.
    pub fn start(watches: Vec<FolderWatch>) -> Result<Folders> {
        Folders::start_every(watches, EVERY)
    }

    /// The same with another time between two looks.
    ///
    /// # Errors
    /// As [`Folders::start`].
    pub fn start_every(watches: Vec<FolderWatch>, every: Duration) -> Result<Folders> {
        let mut seen = BTreeSet::new();
        for watch in &watches {
            let folder = watch.folder();
            if !seen.insert(fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned())) {
                let doing = format!(
                    "watching labels \"{}\" for stream \"{}\"",
                    folder.display(),
                    watch.stream()
                );
                return Err(Error::config(doing, "another stream watches this folder")
                    .remedy("give each stream a folder of its own"));
            }
        }
        if watches.is_empty() {
            return Ok(Folders { end: None, watcher: None });
        }
        let (end, ended) = bounded(0);
        let watcher = thread::Builder::new()
            .name("label folders".into())
            .spawn(move || watch(watches, &ended, every))
            .map_err(|error| Error::unavailable("watching label folders", error))?;
        Ok(Folders { end: Some(end), watcher: Some(watcher) })
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(watcher) = self.watcher.take() {
            // That it panicked was on standard error.
            let _ = watcher.join();
        }
    }
}

fn watch(mut watches: Vec<FolderWatch>, ended: &Receiver<()>, every: Duration) {
    loop {
        for watch in &mut watches {
            for looked in watch.look() {
                tell(watch.stream(), looked);
            }
        }
        match ended.recv_timeout(every) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn tell(stream: &str, looked: Looked) {
    let (path, receipt, unknown, faults) = match looked {
        Looked::Broken(error) => return log::warn!("stream \"{stream}\": {error}"),
        Looked::Read { path, receipt, unknown, faults } => (path, receipt, unknown, faults),
    };
    let path = path.display();
    log::info!("stream \"{stream}\": {} new labels in \"{path}\"", receipt.taken);
    for fault in faults.iter().take(MOST_FAULTS) {
        log::warn!("stream \"{stream}\": left out: {fault}");
    }
    if faults.len() > MOST_FAULTS {
        log::warn!("stream \"{stream}\": left out: {} more", faults.len() - MOST_FAULTS);
    }
    if !unknown.is_empty() {
        log::warn!(
            "stream \"{stream}\": the model does not know {} of the labels in \"{path}\" ({}); time under them is not scored",
            unknown.len(),
            unknown.join(", ")
        );
    }
    if let Some(first) = receipt.refused.first() {
        log::warn!(
            "stream \"{stream}\": {} labels in \"{path}\" were not taken, the first because {}. Remedy: {}",
            receipt.refusals,
            first.refusal.fault,
            first.refusal.remedy
        );
    }
}
