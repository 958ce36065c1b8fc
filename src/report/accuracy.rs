//! Accuracy logs, which a daemon wrote while it ran, as curves and tables.

mod columns;
mod history;
mod page;
mod plots;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::json;
use super::output::make_folder;
use super::store::{AtomicFile, write_atomically};
use crate::accuracy::{Line, Mark};
use crate::error::{Error, Result};
use columns::Columns;
use history::History;
pub use history::holds_logs;

/// Version of `accuracy.json`; raised when a key changes its meaning or goes away.
const FORMAT: u32 = 1;

/// What the logs came to: its `Display` is what to tell at the end.
#[derive(Clone, Debug)]
pub struct AccuracyOutcome {
    /// The last line of each stream.
    pub last: Vec<Line>,
}

impl fmt::Display for AccuracyOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.last.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// `accuracy.json`.
#[derive(Serialize)]
struct Report<'a> {
    v: u32,
    kind: &'static str,
    streams: Vec<StreamReport<'a>>,
}

#[derive(Serialize)]
struct StreamReport<'a> {
    stream: &'a str,
    lines: usize,
    from: &'a str,
    to: &'a str,
    restarts: usize,
    last: &'a Line,
    alarms: Vec<&'a Mark>,
    series: columns::Series<'a>,
}

/// Reads accuracy logs (files, or the folders that they lie in; older parts
/// beside a file belong to it) and writes `accuracy.html`, `accuracy.csv` and
/// `accuracy.json` into the folder `out`.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data): a file is no accuracy log, or
/// damaged. [`Kind::Unavailable`](crate::error::Kind::Unavailable): one cannot be
/// read, or `out` cannot be written.
pub fn write_accuracy(paths: &[PathBuf], out: &Path) -> Result<AccuracyOutcome> {
    let histories = history::read(paths)?;
    make_folder(out)?;
    let columns = Columns::of(&histories);
    write_csv(&histories, &columns, &out.join("accuracy.csv"))?;
    let report = Report {
        v: FORMAT,
        kind: "accuracy-report",
        streams: histories.iter().map(|history| stream(history, &columns)).collect(),
    };
    let path = out.join("accuracy.json");
    let text = json::text(&report)
        .map_err(|error| Error::internal(format!("writing \"{}\"", path.display()), error))?;
    write_atomically(&path, &text)?;
    write_atomically(&out.join("accuracy.html"), page::page(&histories).as_bytes())?;
    Ok(AccuracyOutcome { last: histories.into_iter().map(|history| history.last).collect() })
}

fn stream<'a>(history: &'a History, columns: &'a Columns) -> StreamReport<'a> {
    let at = |row: Option<&'a history::Row>| row.map_or("", |row| row.at.as_str());
    StreamReport {
        stream: &history.stream,
        lines: history.rows.len(),
        from: at(history.rows.first()),
        to: at(history.rows.last()),
        restarts: history.restarts(),
        last: &history.last,
        alarms: history.alarms.iter().map(|(_, mark)| mark).collect(),
        series: columns.series(&history.rows),
    }
}

fn write_csv(histories: &[History], columns: &Columns, path: &Path) -> Result<()> {
    let cannot = |error: &dyn fmt::Display| {
        Error::unavailable(format!("writing \"{}\"", path.display()), error)
    };
    let file = AtomicFile::create(path).map_err(|error| cannot(&error))?;
    let mut writer = csv::Writer::from_writer(file);
    let names = ["stream", "at", "t"].into_iter().map(str::to_owned).chain(columns.names());
    writer.write_record(names).map_err(|error| cannot(&error))?;
    for history in histories {
        for row in &history.rows {
            let given = [history.stream.clone(), row.at.clone(), row.t.to_string()];
            let values = columns.values(row).map(|value| value.map_or(String::new(), short));
            writer.write_record(given.into_iter().chain(values)).map_err(|error| cannot(&error))?;
        }
    }
    let file = writer.into_inner().map_err(|error| cannot(&error))?;
    file.commit().map_err(|error| cannot(&error))
}

/// To nine places, without zeros at the end.
fn short(value: f64) -> String {
    format!("{}", (value * 1e9).round() / 1e9)
}
