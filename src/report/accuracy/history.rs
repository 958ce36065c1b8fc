//! Accuracy logs on disk: which parts there are, in which order, and what of
//! their lines is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::columns::{value, values};
use crate::accuracy::{EXTENSION, FORMAT, KIND, Line, Mark};
use crate::error::{Error, Result};
use crate::metric::TopK;
use crate::report::store;

/// No line is as long: more is something else.
const LONGEST: u64 = 64 << 20;

/// One stream over all of its logs.
pub(super) struct History {
    pub stream: String,
    /// In the order in which they were written.
    pub rows: Vec<Row>,
    /// Every drift alarm, with the index of its row.
    pub alarms: Vec<(usize, Mark)>,
    /// The last line.
    pub last: Line,
}

/// What is kept of a line.
pub(super) struct Row {
    pub at: String,
    pub t: f64,
    /// The figures of [`columns`](super::columns), in its order; NaN for none.
    pub values: Vec<f64>,
    /// Top-k accuracies: of the window raw and calibrated, then since the start.
    pub top_k: [Vec<TopK>; 4],
}

impl History {
    /// How often the daemon was started again.
    pub fn restarts(&self) -> usize {
        self.rows.windows(2).filter(|pair| is_restart(&pair[0], &pair[1])).count()
    }
}

/// Whether the daemon was started again between two lines: its counts, or the
/// stream's own time, begin anew.
pub(super) fn is_restart(before: &Row, after: &Row) -> bool {
    after.t < before.t || value(after, "predictions") < value(before, "predictions")
}

/// Whether `path` is a file, or a folder that holds accuracy logs and no run.
pub fn holds_logs(path: &Path) -> bool {
    path.is_file() || !store::is_run(path) && parts_in(path).is_ok_and(|parts| !parts.is_empty())
}

/// The histories of all streams in these files and folders, by name.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<History>> {
    // By the log's own name: its parts, the newest first.
    let mut logs: BTreeMap<PathBuf, BTreeMap<u64, PathBuf>> = BTreeMap::new();
    let mut seen: BTreeSet<PathBuf> = BTreeSet::new();
    // However a file is named, it is read once, and known by where it really lies.
    let mut add = |path: PathBuf| {
        let place = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        let (base, part) = base_of(&place);
        if seen.insert(place) {
            logs.entry(base).or_default().insert(part, path);
        }
    };
    for path in paths {
        let cannot = |error: std::io::Error| {
            Error::unavailable(
                format!("looking for accuracy logs in \"{}\"", path.display()),
                error,
            )
        };
        if path.is_dir() {
            parts_in(path).map_err(cannot)?.into_iter().for_each(&mut add);
            continue;
        }
        add(path.clone());
        let (base, part) = base_of(path);
        if part == 0 {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let beside = parts_in(folder.unwrap_or(Path::new("."))).unwrap_or_default();
            beside.into_iter().filter(|other| same_log(other, &base)).for_each(&mut add);
        }
    }
    let mut read = Vec::new();
    for parts in logs.into_values() {
        read.push(Log::read(parts.into_values().rev())?);
    }
    // Logs that were moved away by hand, in the order of their first lines.
    read.sort_by(|a, b| a.first_at().cmp(b.first_at()));
    let mut streams: BTreeMap<String, History> = BTreeMap::new();
    for (stream, history) in read.into_iter().flat_map(|log| log.streams) {
        match streams.get_mut(&stream) {
            Some(known) => known.append(history),
            None => {
                streams.insert(stream, history);
            }
        }
    }
    if streams.is_empty() {
        let names: Vec<String> = paths.iter().map(|p| format!("\"{}\"", p.display())).collect();
        return Err(Error::data(
            format!("reading the accuracy logs {}", names.join(", ")),
            "there is no line in them",
        )
        .remedy("wait for the daemon's first line: see [accuracy] interval"));
    }
    Ok(streams.into_values().collect())
}

impl History {
    fn append(&mut self, later: History) {
        let before = self.rows.len();
        self.rows.extend(later.rows);
        self.alarms.extend(later.alarms.into_iter().map(|(row, mark)| (before + row, mark)));
        self.last = later.last;
    }

    fn push(&mut self, line: Line) {
        self.rows.push(Row::of(&line));
        let row = self.rows.len() - 1;
        self.alarms.extend(line.drift.new.iter().map(|mark| (row, mark.clone())));
        self.last = line;
    }
}

impl Row {
    fn of(line: &Line) -> Row {
        let of = |level: Option<&crate::accuracy::Level>| {
            level.map_or_else(Default::default, |level| {
                (level.raw.top_k.clone(), level.calibrated.top_k.clone())
            })
        };
        let (window, all) = (of(line.window.clip.as_ref()), of(line.cumulative.clip.as_ref()));
        Row {
            at: line.at.clone(),
            t: line.t,
            values: values(line),
            top_k: [window.0, window.1, all.0, all.1],
        }
    }
}

/// One log, whole: its parts put together.
struct Log {
    streams: BTreeMap<String, History>,
}

/// What every line says of itself.
#[derive(Deserialize)]
struct Kind {
    v: Option<u32>,
    kind: Option<String>,
}

impl Log {
    /// From the oldest part to the newest.
    fn read(parts: impl Iterator<Item = PathBuf>) -> Result<Log> {
        let mut log = Log { streams: BTreeMap::new() };
        for path in parts {
            log.read_part(&path)?;
        }
        Ok(log)
    }

    fn read_part(&mut self, path: &Path) -> Result<()> {
        let doing = || format!("reading the accuracy log \"{}\"", path.display());
        let cannot = |error: std::io::Error| Error::unavailable(doing(), error);
        let mut reader = BufReader::new(File::open(path).map_err(cannot)?);
        let mut bytes = Vec::new();
        for number in 1u64.. {
            bytes.clear();
            let read = reader.by_ref().take(LONGEST).read_until(b'\n', &mut bytes);
            if read.map_err(cannot)? == 0 {
                break;
            }
            let whole = bytes.last() == Some(&b'\n');
            let fault = match parse(&bytes) {
                Ok(line) => {
                    self.push(line);
                    continue;
                }
                // The daemon may be writing it now, or have been killed by a power cut.
                Err(_) if !whole && number > 1 => {
                    log::warn!("\"{}\" ends in a torn line, which is left out", path.display());
                    break;
                }
                Err(fault) => fault,
            };
            let error = Error::data(doing(), format!("line {number}: {fault}"));
            return Err(match number {
                1 => error.remedy(
                    "name accuracy logs of `kinewatch run`, or the folders of `kinewatch replay`",
                ),
                _ => error.remedy("remove that line, and what else does not belong there"),
            });
        }
        Ok(())
    }

    fn push(&mut self, line: Line) {
        match self.streams.get_mut(&line.stream) {
            Some(history) => history.push(line),
            None => {
                let mut history = History {
                    stream: line.stream.clone(),
                    rows: Vec::new(),
                    alarms: Vec::new(),
                    last: line.clone(),
                };
                history.push(line);
                self.streams.insert(history.stream.clone(), history);
            }
        }
    }

    fn first_at(&self) -> &str {
        let firsts = self.streams.values().filter_map(|history| history.rows.first());
        firsts.map(|row| row.at.as_str()).min().unwrap_or_default()
    }
}

/// A line, or why it is none.
fn parse(bytes: &[u8]) -> Result<Line, String> {
    let kind: Kind = serde_json::from_slice(bytes)
        .map_err(|_| "it is not a line of an accuracy log".to_owned())?;
    match (kind.kind.as_deref(), kind.v) {
        (Some(KIND), Some(FORMAT)) => {
            serde_json::from_slice(bytes).map_err(|error| format!("it is damaged: {error}"))
        }
        (Some(KIND), Some(v)) => {
            Err(format!("its format is {v}, and this kinewatch reads {FORMAT}"))
        }
        (Some(other), _) => Err(format!("it is of kind \"{other}\", not \"{KIND}\"")),
        (None, _) => Err("it is not a line of an accuracy log".to_owned()),
    }
}

/// The parts of logs that lie in a folder.
fn parts_in(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut parts = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let (base, _) = base_of(&path);
        if base.as_os_str().to_string_lossy().ends_with(EXTENSION) && path.is_file() {
            parts.push(path);
        }
    }
    parts.sort();
    Ok(parts)
}

/// `a.jsonl.2` is part 2 of `a.jsonl`, which itself is part 0.
fn base_of(path: &Path) -> (PathBuf, u64) {
    let part = path.extension().and_then(|e| e.to_str()).and_then(|e| e.parse::<u64>().ok());
    match part {
        Some(part) => (path.with_extension(""), part),
        None => (path.to_owned(), 0),
    }
}

fn same_log(path: &Path, base: &Path) -> bool {
    base_of(path).0.file_name() == base.file_name()
}
