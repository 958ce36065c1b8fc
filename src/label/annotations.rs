//! Everything that an annotation file or folder says.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::classes::Classes;
use super::collect::{Collected, Collector};
use super::fault::{Broken, Fault};
use super::folder;
use super::format::Format;
use super::matching::{Ambiguous, Index, Match};
use super::options::{LabelClock, ReadOptions};
use super::read::{self, Source};
use super::seconds;
use super::text::{self, Lines};
use super::track::Track;
use super::truth::Entry;
use crate::error::{Error, Result};

/// The labels of all videos that a file or a folder speaks of.
#[derive(Clone, Debug)]
pub struct Annotations {
    format: Format,
    entries: Vec<Entry>,
    index: Index,
    faults: Vec<Fault>,
}

impl Annotations {
    /// Reads a file of any [`Format`]; or a folder, which holds files of one
    /// format (read together, those in folders below it included) or a folder of
    /// videos for each class.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config), with file, line and column:
    /// nothing can be read there, the format cannot be told, the text breaks its
    /// format's rules, or something that the format needs is not in `options`.
    pub fn read(path: &Path, options: &ReadOptions) -> Result<Annotations> {
        let kind = fs::metadata(path).map_err(|error| {
            Error::config(doing(path), error).remedy("name a file or a folder of labels")
        })?;
        if kind.is_dir() {
            return folder::read(path, options);
        }
        let bytes = text::bytes(path).map_err(|fault| Error::config(doing(path), fault))?;
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let mut reading = Reading::new(options)?;
        let format = reading.format(path, &name, &bytes)?;
        reading.file(format, path, &name, &bytes)?;
        reading.finish(format, path)
    }

    /// The same for bytes already in memory, in a file of this name. No class
    /// list is looked for beside it.
    ///
    /// # Errors
    /// As [`Annotations::read`].
    pub fn parse(name: &str, bytes: &[u8], options: &ReadOptions) -> Result<Annotations> {
        let mut reading = Reading::new(options)?;
        let path = Path::new(name);
        let format = reading.format(path, name, bytes)?;
        reading.text(format, path, name, bytes, None)?;
        reading.finish(format, path)
    }

    /// The format that they were read in.
    pub fn format(&self) -> Format {
        self.format
    }

    /// One for each video, in order of their names.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Each label and how often it is given, in order of their names.
    pub fn labels(&self) -> Vec<(String, usize)> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for label in self.entries.iter().flat_map(|entry| entry.truth.labels()) {
            *counts.entry(label).or_default() += 1;
        }
        counts.into_iter().map(|(label, count)| (label.to_owned(), count)).collect()
    }

    /// Whether several labels hold at once: by the format's nature (Charades,
    /// AVA), or because different labels do somewhere.
    pub fn multi_label(&self) -> bool {
        self.format.is_multi_label() || self.entries.iter().any(|entry| entry.truth.overlaps())
    }

    /// What had to be left out.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The entry of the video of this path, or name. Tried in this order: the
    /// same path; one path ends in the other; the same without its extension;
    /// the same with case, `_`, `-`, spaces and `/` folded; the same file name in
    /// another folder, as it is, without extension and folded; a name that the
    /// format gives to files (Kinetics' `ID_000123_000133`, ActivityNet's `v_ID`).
    ///
    /// # Errors
    /// Several entries fit equally well and differ.
    pub fn find(&self, video: &str) -> Result<Option<&Entry>, Ambiguous> {
        self.index.find(&self.entries, video)
    }

    /// [`Annotations::find`] for all videos of a run, in the order given. Of
    /// several videos that fit one entry the best fit gets it; where they fit
    /// equally well, none does and all are ambiguous.
    pub fn match_videos<S: AsRef<str>>(&self, videos: &[S]) -> Vec<Match<'_>> {
        self.index.match_all(&self.entries, videos)
    }

    /// The labels of a stream whose recording or name is one of `names`. A file
    /// that speaks of a single video is about any stream.
    ///
    /// # Errors
    /// What is wrong: no entry is this stream's, or several may be.
    pub fn track(&self, names: &[&str]) -> Result<Track, String> {
        if let [only] = self.entries.as_slice() {
            return Ok(only.truth.track());
        }
        for name in names {
            if let Some(entry) = self.find(name).map_err(|ambiguous| ambiguous.to_string())? {
                return Ok(entry.truth.track());
            }
        }
        let some: Vec<_> =
            self.entries.iter().take(5).map(|entry| format!("\"{}\"", entry.video)).collect();
        let names: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
        Err(format!(
            "none of its {} videos is this stream's: it has {}{}; this stream is called {}",
            self.entries.len(),
            some.join(", "),
            if self.entries.len() > some.len() { ", …" } else { "" },
            names.join(" or "),
        ))
    }
}

/// What is being done, for an error.
pub(super) fn doing(path: &Path) -> String {
    format!("reading labels \"{}\"", path.display())
}

/// The reading of one or more files into one whole.
pub(super) struct Reading<'a> {
    options: &'a ReadOptions,
    /// The class list that the options name.
    classes: Option<Classes>,
    out: Collector,
}

impl<'a> Reading<'a> {
    pub fn new(options: &'a ReadOptions) -> Result<Self> {
        if !seconds::sound(options.offset.abs()) {
            return Err(Error::config(
                "reading labels",
                format!("an offset of {} s is impossible", options.offset),
            ));
        }
        let classes = options.classes.as_deref().map(class_list).transpose()?;
        Ok(Reading { options, classes, out: Collector::new(options) })
    }

    /// The format of a file: the one that was asked for, or found out.
    fn format(&self, path: &Path, name: &str, bytes: &[u8]) -> Result<Format> {
        if let Some(format) = self.options.format {
            return Ok(format);
        }
        let text = text::decode(bytes).map_err(|broken| error(path, bytes, broken))?;
        Format::detect(name, text).ok_or_else(|| {
            let begins: String =
                text.trim_start().chars().take_while(|c| !c.is_control()).take(60).collect();
            let fault = if begins.is_empty() {
                format!("it is empty; expected such as the header {}", read::csv::OURS)
            } else {
                format!(
                    "it begins \"{begins}\", which is no format that is known; expected such as the header {}",
                    read::csv::OURS
                )
            };
            let names = Format::ALL.map(Format::name).join(", ");
            let remedy = format!("say which format it is (--format): {names}");
            error(path, bytes, Broken::at(0, fault).remedy(remedy))
        })
    }

    /// Reads a file whose format is known, with the class list that lies beside
    /// it where none was named.
    pub fn file(&mut self, format: Format, path: &Path, name: &str, bytes: &[u8]) -> Result<()> {
        let beside = match self.classes {
            Some(_) => None,
            None => folder::class_list_beside(format, path, self.options)
                .map(|list| class_list(&list))
                .transpose()?,
        };
        self.text(format, path, name, bytes, beside.as_ref())
    }

    fn text(
        &mut self,
        format: Format,
        path: &Path,
        name: &str,
        bytes: &[u8],
        beside: Option<&Classes>,
    ) -> Result<()> {
        let outcome = text::decode(bytes).and_then(|text| {
            if self.options.clock == LabelClock::Wall && !format.has_times_of_day() {
                let fault = format!("the format {format} counts from a recording's beginning and cannot give times of day (clock = \"wall\")");
                return Err(Broken::whole(fault).remedy("write them as csv or span-map"));
            }
            let classes = self.classes.as_ref().or(beside);
            let source = Source { name, text, options: self.options, classes };
            read::file(format, &source, &mut self.out)
        });
        outcome.map_err(|broken| error(path, bytes, broken))?;
        self.out.end_of_file(&path.display().to_string(), strip(bytes));
        Ok(())
    }

    /// Takes a video for one of its folder's class.
    pub fn in_class(&mut self, root: &Path, video: &str, class: &str) -> Result<()> {
        self.out
            .whole(video, class, || 0)
            .map_err(|broken| Error::config(doing(&root.join(video)), broken.fault))
    }

    /// Notes that a file had to be left out.
    pub fn left_out(&mut self, path: &Path, fault: &str) -> Result<()> {
        self.out
            .fault(fault.to_owned(), || 0)
            .map_err(|broken| Error::config(doing(path), broken.fault))?;
        self.out.end_of_file(&path.display().to_string(), &[]);
        Ok(())
    }

    /// Everything that was read.
    pub fn finish(self, format: Format, path: &Path) -> Result<Annotations> {
        let Collected { entries, alternates, faults } = self.out.finish();
        if entries.is_empty() {
            let fault = match &self.options.split {
                Some(split) => format!("it holds no labels of the split \"{split}\""),
                None => "it holds no labels".to_owned(),
            };
            return Err(Error::config(doing(path), fault));
        }
        let index = Index::new(&entries, &alternates);
        Ok(Annotations { format, entries, index, faults })
    }
}

fn class_list(path: &Path) -> Result<Classes> {
    let doing = format!("reading the class list \"{}\"", path.display());
    let bytes = text::bytes(path).map_err(|fault| Error::config(&doing, fault))?;
    text::decode(&bytes)
        .and_then(Classes::parse)
        .map_err(|broken| place(&doing, strip(&bytes), broken))
}

fn error(path: &Path, bytes: &[u8], broken: Broken) -> Error {
    place(&doing(path), strip(bytes), broken)
}

fn place(doing: &str, bytes: &[u8], broken: Broken) -> Error {
    let error = match broken.at {
        None => Error::config(doing, broken.fault),
        Some(at) => {
            let (line, column) = Lines::new(bytes).place(at);
            Error::config(format!("{doing}, line {line}, column {column}"), broken.fault)
        }
    };
    match broken.remedy {
        Some(remedy) => error.remedy(remedy),
        None => error,
    }
}

/// Offsets count from behind the byte order mark.
fn strip(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}
