//! The folder that a run leaves behind: `run.json`, and a file of predictions
//! for each finished video. All else in it can be made again from these.
//!
//! ```text
//! OUT/run.json                         what was run
//! OUT/predictions/<safe id>.jsonl.zst  a video: header line, then a line a clip
//! ```

mod run;
mod video;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub(crate) use crate::atomic::{AtomicFile, write_atomically};
use crate::error::{Error, Result};
pub use crate::file_name::safe_name;
#[cfg(test)]
pub(crate) use run::tests::run as test_run;
pub use run::{FORMAT, Run, RunLabels, RunModel, Shard};
pub use video::{Clip, Truth, TruthSpan, VideoHeader, VideoReader, VideoWriter};

const RUN: &str = "run.json";
const PREDICTIONS: &str = "predictions";
const EXTENSION: &str = ".jsonl.zst";
/// What a report leaves beside them.
pub(crate) const REPORT_FILES: [&str; 4] =
    ["metrics.json", "clips.csv", "videos.csv", "report.html"];
/// Where a report's charts lie.
pub(crate) const FIGURES: &str = "figures";

/// Whether a run lies in `folder`.
pub(crate) fn is_run(folder: &Path) -> bool {
    folder.join(RUN).exists()
}

/// A run's folder.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
    run: Run,
}

impl Store {
    /// Makes the folder for `run`, or opens it where it already holds that run.
    /// Temporary files that a killed run left are removed.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config): the folder holds another
    /// run, or something that is no run. [`Kind::Unavailable`](crate::error::Kind::Unavailable):
    /// it cannot be written.
    pub fn create(folder: &Path, run: &Run) -> Result<Store> {
        let doing = format!("writing to the folder \"{}\"", folder.display());
        let cannot = |error: io::Error| Error::unavailable(&doing, error);
        fs::create_dir_all(folder).map_err(cannot)?;
        if !is_run(folder) {
            // Dotted names are other programs' own business (.nfs…, .DS_Store).
            let foreign = names(folder).map_err(cannot)?.into_iter().find(|n| !n.starts_with('.'));
            if let Some(name) = foreign.filter(|name| name != PREDICTIONS) {
                return Err(Error::config(&doing, format!("it holds \"{name}\" and no {RUN}"))
                    .remedy("name a folder that is empty or not there"));
            }
            fs::create_dir_all(folder.join(PREDICTIONS)).map_err(cannot)?;
            write_run(folder, run)?;
        }
        let store = Store::open(folder)?;
        if let Some(difference) = store.run.difference(run) {
            return Err(Error::config(&doing, format!("it holds another run, with {difference}"))
                .remedy("name another folder, or begin anew in this one with --force"));
        }
        fs::create_dir_all(folder.join(PREDICTIONS)).map_err(cannot)?;
        video::remove_leftovers(&folder.join(PREDICTIONS)).map_err(cannot)?;
        Ok(store)
    }

    /// Removes the run that the folder holds, and its report, then creates
    /// `run` in it. Files that kinewatch did not write stay.
    ///
    /// # Errors
    /// As [`Store::create`], and a file that cannot be removed.
    pub fn begin_anew(folder: &Path, run: &Run) -> Result<Store> {
        let doing = format!("removing the run in \"{}\"", folder.display());
        if is_run(folder) {
            clear(folder).map_err(|error| Error::unavailable(&doing, error))?;
            write_run(folder, run)?;
        }
        Store::create(folder, run)
    }

    /// Opens a run's folder.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config): it holds no run.
    /// [`Kind::Data`](crate::error::Kind::Data): its `run.json` is damaged or of
    /// another version.
    pub fn open(folder: &Path) -> Result<Store> {
        let path = folder.join(RUN);
        let doing = format!("reading \"{}\"", path.display());
        let text = fs::read_to_string(&path).map_err(|error| {
            Error::config(&doing, error)
                .remedy("name a folder that `kinewatch replay` wrote (its -o)")
        })?;
        let damaged = |error: serde_json::Error| Error::data(&doing, error);
        let Version { v } = serde_json::from_str(&text).map_err(damaged)?;
        if v != FORMAT {
            let fault =
                format!("it has version {v} of the format; this kinewatch reads version {FORMAT}");
            return Err(Error::data(&doing, fault).remedy("run replay again into a new folder"));
        }
        let run: Run = serde_json::from_str(&text).map_err(damaged)?;
        Ok(Store { folder: folder.to_owned(), run })
    }

    /// What was run.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The header of a finished video, `None` where it is not finished.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data): the file's beginning is
    /// damaged; the video can be done again over it.
    pub fn header(&self, video: &str) -> Result<Option<VideoHeader>> {
        let reader = VideoReader::open(&self.file(video), video, self.run.model.labels.len())?;
        Ok(reader.map(|reader| reader.header().clone()))
    }

    /// The ids of the finished videos, sorted.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](crate::error::Kind::Unavailable): the folder cannot
    /// be read. [`Kind::Data`](crate::error::Kind::Data): a file's beginning is
    /// damaged, or a file does not bear its video's name.
    pub fn videos(&self) -> Result<Vec<String>> {
        let folder = self.folder.join(PREDICTIONS);
        let listed = names(&folder).map_err(|error| {
            Error::unavailable(format!("reading the folder \"{}\"", folder.display()), error)
        })?;
        let mut videos = Vec::new();
        for name in listed {
            let Some(base) = name.strip_suffix(EXTENSION).filter(|n| !n.starts_with('.')) else {
                continue;
            };
            let path = folder.join(&name);
            let id = VideoReader::id(&path)?;
            if safe_name(&id) != base {
                let doing = format!("reading \"{}\"", path.display());
                return Err(Error::data(doing, format!("it speaks of video \"{id}\""))
                    .remedy("give the file back the name it had"));
            }
            videos.push(id);
        }
        videos.sort();
        Ok(videos)
    }

    /// Starts a video's file. It is there when [`VideoWriter::finish`] returns.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](crate::error::Kind::Unavailable): it cannot be written.
    pub fn write(&self, video: &str) -> Result<VideoWriter> {
        VideoWriter::new(self.file(video), video, self.run.model.labels.len())
    }

    /// Reads a finished video's file, clip by clip.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data): it is damaged.
    /// [`Kind::Unavailable`](crate::error::Kind::Unavailable): it is not there.
    pub fn read(&self, video: &str) -> Result<VideoReader> {
        let path = self.file(video);
        VideoReader::open(&path, video, self.run.model.labels.len())?.ok_or_else(|| {
            Error::unavailable(format!("reading \"{}\"", path.display()), "there is no such file")
        })
    }

    fn file(&self, video: &str) -> PathBuf {
        self.folder.join(PREDICTIONS).join(format!("{}{EXTENSION}", safe_name(video)))
    }
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

fn write_run(folder: &Path, run: &Run) -> Result<()> {
    let path = folder.join(RUN);
    let text = serde_json::to_string_pretty(run)
        .map_err(|error| Error::internal(format!("writing \"{}\"", path.display()), error))?;
    write_atomically(&path, format!("{text}\n").as_bytes())
}

/// Removes all that a run and its report wrote into a folder, but `run.json`.
fn clear(folder: &Path) -> io::Result<()> {
    let parts = [(PREDICTIONS, &[EXTENSION, ".part"][..]), (FIGURES, &[".svg", ".png"])];
    for (part, ours) in parts {
        let part = folder.join(part);
        if !part.is_dir() {
            continue;
        }
        for name in names(&part)? {
            if ours.iter().any(|ending| name.ends_with(ending)) {
                fs::remove_file(part.join(name))?;
            }
        }
        if names(&part)?.is_empty() {
            fs::remove_dir(&part)?;
        }
    }
    for name in REPORT_FILES {
        match fs::remove_file(folder.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// What lies in a folder, sorted.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<String>>>()?;
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests;
