//! One video's predictions: a compressed file of JSON lines, first the header,
//! then a line a clip.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer};

use super::run::FORMAT;
use crate::atomic::rename_durably;
use crate::error::{Error, Result};

/// zstd's own default: a third of the size at a hundred megabytes a second.
const LEVEL: i32 = 3;
/// The longest line that is read, bytes: over a million classes.
const LONGEST_LINE: u64 = 32 << 20;
const REMEDY: &str = "delete the file and run replay again: it does that video anew";

/// The first line of a video's file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VideoHeader {
    /// Version of the format: [`FORMAT`].
    pub v: u32,
    /// The video's id.
    pub video: String,
    /// Where the recording was, absolute: frames in the report come from there.
    pub path: String,
    /// Its length as far as it was read, seconds.
    pub seconds: f64,
    /// Sampled frames.
    pub frames: u64,
    /// What was really there.
    pub truth: Truth,
    /// How clips were chosen, for people: `sliding`, `uniform 10x3` …
    pub views: String,
    /// Lines that follow.
    pub clips: u64,
    /// Why it failed; such a video counts in no metric.
    pub error: Option<String>,
}

/// What was really there, in the model's own words where it has them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Truth {
    /// Nobody knows.
    #[default]
    None,
    /// One label or several for the whole recording.
    Video(Vec<String>),
    /// Labels over stretches of time; they may overlap and leave gaps.
    Spans(Vec<TruthSpan>),
}

/// A stretch of time, `start <= t < end` in seconds, in which a label holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TruthSpan {
    /// First instant, seconds.
    pub start: f64,
    /// End, seconds, not included.
    pub end: f64,
    /// The class.
    pub label: String,
}

/// What the model said of one clip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clip {
    /// Time of its first frame, seconds.
    pub start: f64,
    /// The time that it speaks of: that of its last frame, seconds.
    pub t: f64,
    /// Which view it is: its index in time, and the crop (0 left or only, 1
    /// centre, 2 right).
    pub view: [u32; 2],
    /// One value a class, as the network gave it.
    #[serde(serialize_with = "finite")]
    pub logits: Vec<f32>,
}

/// JSON has no NaN: serde_json would write `null`, which nothing reads back.
fn finite<S: Serializer>(logits: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
    match logits.iter().position(|z| !z.is_finite()) {
        Some(bad) => Err(serde::ser::Error::custom(format!("logit {bad} is {}", logits[bad]))),
        None => logits.serialize(serializer),
    }
}

/// Takes a video's clips one by one and makes its file at the end. Dropped
/// before that, it leaves nothing behind.
///
/// The clips go into a temporary file, compressed: the header, which stands
/// before them, is known only at the end. zstd frames may follow one another in
/// a file (RFC 8878, section 3), so the header becomes a frame of its own.
pub struct VideoWriter {
    target: PathBuf,
    video: String,
    classes: usize,
    spool: Option<Temporary>,
    encoder: Option<zstd::Encoder<'static, BufWriter<File>>>,
    clips: u64,
}

impl VideoWriter {
    pub(super) fn new(target: PathBuf, video: &str, classes: usize) -> Result<Self> {
        let begin = || -> io::Result<_> {
            let (spool, file) = Temporary::create(&target, "clips")?;
            let encoder = encoder(BufWriter::new(file))?;
            Ok((spool, encoder))
        };
        let (spool, encoder) = begin().map_err(|error| cannot_write(&target, error))?;
        Ok(VideoWriter {
            target,
            video: video.to_owned(),
            classes,
            spool: Some(spool),
            encoder: Some(encoder),
            clips: 0,
        })
    }

    /// Adds a clip.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data): a logit is not finite, or there
    /// is not one for each class; [`Kind::Unavailable`](crate::error::Kind::Unavailable):
    /// the file cannot be written.
    pub fn clip(&mut self, clip: &Clip) -> Result<()> {
        let doing = || format!("writing clip {} of video \"{}\"", self.clips, self.video);
        if clip.logits.len() != self.classes {
            let fault = format!("{} logits for {} classes", clip.logits.len(), self.classes);
            return Err(Error::data(doing(), fault));
        }
        let mut line =
            serde_json::to_vec(clip).map_err(|error| Error::data(doing(), error.to_string()))?;
        line.push(b'\n');
        let Some(encoder) = &mut self.encoder else {
            return Err(Error::internal(doing(), "the file is already closed"));
        };
        encoder.write_all(&line).map_err(|error| cannot_write(&self.target, error))?;
        self.clips += 1;
        Ok(())
    }

    /// Makes the file. From here on the video is done, whatever happens next.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](crate::error::Kind::Unavailable): it cannot be
    /// written; then there is none.
    pub fn finish(mut self, mut header: VideoHeader) -> Result<()> {
        header.v = FORMAT;
        header.video.clone_from(&self.video);
        header.clips = self.clips;
        self.write(&header).map_err(|error| cannot_write(&self.target, error))
    }

    fn write(&mut self, header: &VideoHeader) -> io::Result<()> {
        let (Some(encoder), Some(spool)) = (self.encoder.take(), self.spool.take()) else {
            return Err(io::Error::other("the file is already closed"));
        };
        encoder.finish()?.flush()?;
        let (whole, file) = Temporary::create(&self.target, "whole")?;
        let mut first = encoder_over(BufWriter::new(file))?;
        serde_json::to_writer(&mut first, header)?;
        first.write_all(b"\n")?;
        let mut out = first.finish()?;
        out.flush()?;
        io::copy(&mut File::open(&spool.path)?, out.get_mut())?;
        out.get_ref().sync_all()?;
        whole.rename(&self.target)
    }
}

fn encoder<W: Write>(out: W) -> io::Result<zstd::Encoder<'static, W>> {
    encoder_over(out)
}

fn encoder_over<W: Write>(out: W) -> io::Result<zstd::Encoder<'static, W>> {
    let mut encoder = zstd::Encoder::new(out, LEVEL)?;
    encoder.include_checksum(true)?;
    Ok(encoder)
}

fn cannot_write(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::unavailable(format!("writing \"{}\"", path.display()), error)
        .remedy("see to the folder's permissions and free space")
}

/// A file that is removed when dropped. It is locked while it is in use, so that
/// another process can tell it from one that a killed run left behind.
struct Temporary {
    path: PathBuf,
    /// Holds the lock.
    _file: File,
}

impl Temporary {
    fn create(target: &Path, part: &str) -> io::Result<(Self, File)> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let path = target.with_file_name(format!(".{name}.{part}.{}{PART}", std::process::id()));
        let file = File::create(&path)?;
        // Where the file system knows no locks there is nothing to tell apart by.
        let _ = file.try_lock();
        let own = file.try_clone()?;
        Ok((Temporary { path, _file: own }, file))
    }

    fn rename(self, to: &Path) -> io::Result<()> {
        rename_durably(&self.path, to)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename it is no longer there.
        let _ = fs::remove_file(&self.path);
    }
}

/// What the name of every temporary file ends with.
const PART: &str = ".part";

/// Removes what killed runs left in `folder`; files in use stay.
pub(super) fn remove_leftovers(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !(name.starts_with('.') && name.ends_with(PART)) {
            continue;
        }
        let stale = match File::open(entry.path()) {
            Ok(file) => file.try_lock().is_ok(),
            // Its owner has just finished with it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if stale {
            match fs::remove_file(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// A video's file, read clip by clip.
pub struct VideoReader {
    doing: String,
    lines: BufReader<zstd::Decoder<'static, BufReader<File>>>,
    header: VideoHeader,
    classes: usize,
    read: u64,
    over: bool,
    line: Vec<u8>,
}

impl VideoReader {
    /// `None` where there is no such file.
    pub(super) fn open(path: &Path, video: &str, classes: usize) -> Result<Option<Self>> {
        let doing = format!("reading \"{}\"", path.display());
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::unavailable(doing, error)),
        };
        let decoder =
            zstd::Decoder::new(file).map_err(|error| Error::unavailable(&doing, error))?;
        let mut lines = BufReader::new(decoder);
        let mut line = Vec::new();
        let header = (|| -> Result<VideoHeader, String> {
            if !next_line(&mut lines, &mut line)? {
                return Err("it is empty".into());
            }
            let Version { v } = serde_json::from_slice(&line)
                .map_err(|error| format!("its first line is no header: {error}"))?;
            if v != FORMAT {
                return Err(format!(
                    "it has version {v} of the format; this kinewatch reads version {FORMAT}"
                ));
            }
            let header: VideoHeader = serde_json::from_slice(&line)
                .map_err(|error| format!("its first line is no header: {error}"))?;
            if header.video != video {
                return Err(format!("it speaks of video \"{}\", not \"{video}\"", header.video));
            }
            Ok(header)
        })()
        .map_err(|fault| Error::data(&doing, fault).remedy(REMEDY))?;
        Ok(Some(VideoReader { doing, lines, header, classes, read: 0, over: false, line }))
    }

    /// The header of whatever video the file at `path` speaks of.
    pub(super) fn id(path: &Path) -> Result<String> {
        let doing = format!("reading \"{}\"", path.display());
        let read = || -> Result<String, String> {
            let file = File::open(path).map_err(|error| error.to_string())?;
            let decoder = zstd::Decoder::new(file).map_err(|error| error.to_string())?;
            let mut line = Vec::new();
            next_line(&mut BufReader::new(decoder), &mut line)?;
            let Id { video } = serde_json::from_slice(&line)
                .map_err(|error| format!("its first line is no header: {error}"))?;
            Ok(video)
        };
        read().map_err(|fault| Error::data(doing, fault).remedy(REMEDY))
    }

    /// The first line.
    pub fn header(&self) -> &VideoHeader {
        &self.header
    }

    fn clip(&mut self) -> Result<Option<Clip>, String> {
        if !next_line(&mut self.lines, &mut self.line)? {
            return match self.read == self.header.clips {
                true => Ok(None),
                false => Err(format!(
                    "it is cut off: {} clips of {} are there",
                    self.read, self.header.clips
                )),
            };
        }
        let number = self.read + 2;
        self.read += 1;
        let clip: Clip = serde_json::from_slice(&self.line)
            .map_err(|error| format!("line {number} is no clip: {error}"))?;
        if clip.logits.len() != self.classes {
            let found = clip.logits.len();
            return Err(format!("line {number} has {found} logits for {} classes", self.classes));
        }
        if !(clip.start.is_finite()
            && clip.t.is_finite()
            && clip.logits.iter().all(|z| z.is_finite()))
        {
            return Err(format!("line {number} has a value beyond all bounds"));
        }
        if self.read > self.header.clips {
            return Err(format!("it has more lines than its {} clips", self.header.clips));
        }
        Ok(Some(clip))
    }
}

impl Iterator for VideoReader {
    type Item = Result<Clip>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.clip();
        self.over = !matches!(next, Ok(Some(_)));
        next.map_err(|fault| Error::data(&self.doing, fault).remedy(REMEDY)).transpose()
    }
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

#[derive(Deserialize)]
struct Id {
    video: String,
}

/// Reads a line into `line`, without its end; false at the end of the file.
fn next_line(lines: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool, String> {
    line.clear();
    let count = lines
        .take(LONGEST_LINE)
        .read_until(b'\n', line)
        .map_err(|error| format!("it is damaged or cut off: {error}"))?;
    if count == 0 {
        return Ok(false);
    }
    if line.pop() != Some(b'\n') {
        return Err("it is cut off within a line".into());
    }
    Ok(true)
}
