//! CSV with all of a video's labels in one cell: `Sitting[0 to 1]; Sleeping[2 to
//! 8]`, in seconds; a label may have several times (`Standing[0 to 0.5; 4.2 to
//! 6.5]`). This is how GMDCSA24 publishes its annotations, in a CSV for each
//! folder of videos (`Subject 1/ADL.csv` for `Subject 1/ADL/01.mp4`), so the CSV's
//! own name is part of its videos' names. The cells were typed by hand: stray
//! punctuation, spaces and a missing `to` are read over; what cannot be read is
//! reported.
//!
//! Source: the CSV files and README of github.com/ekramalam/GMDCSA24-A-Dataset-for-Human-Fall-Detection-in-Videos
//! (MIT; release at doi.org/10.5281/zenodo.13354453).

use super::Source;
use super::csv;
use crate::label::collect::Collector;
use crate::label::fault::Broken;
use crate::label::seconds;
use crate::label::table::{self, Row, Table};

const CLASSES: [&str; 4] = ["classes", "class", "labels", "segments"];

/// Whether these fields are the header of such a file.
pub(in super::super) fn is_header(fields: &[String], text: &str) -> bool {
    table::column(fields, &CLASSES).is_some_and(|column| {
        let video = csv::video_column(fields).is_some_and(|video| video != column);
        video
            && second_row(text, column).is_some_and(|cell| {
                cell.split_once('[').is_some_and(|(label, rest)| {
                    !label.trim().is_empty()
                        && rest.trim_start().starts_with(|c: char| c.is_ascii_digit())
                        && rest.contains(']')
                })
            })
    })
}

fn second_row(text: &str, column: usize) -> Option<String> {
    let row = text.lines().filter(|line| !line.trim().is_empty()).nth(1)?;
    let mut table = Table::new(row, table::delimiter(text)).ok()?;
    Some(table.next_row().ok()??.get(column).to_owned())
}

pub(super) fn read(source: &Source<'_>, out: &mut Collector) -> Result<(), Broken> {
    let mut table = Table::new(source.text, table::delimiter(source.text))?;
    let Some(row) = table.next_row()? else {
        return Err(Broken::at(0, "it is empty; expected a header with a file name and classes"));
    };
    let header: Vec<String> = row.fields().map(str::to_owned).collect();
    let classes = table::column(&header, &CLASSES)
        .ok_or_else(|| row.broken(0, "there is no column \"Classes\""))?;
    let video = csv::video_column(&header)
        .filter(|video| *video != classes)
        .ok_or_else(|| row.broken(0, "there is no column \"File Name\""))?;
    let length = csv::duration_column(&header);
    while let Some(row) = table.next_row()? {
        if row.len() != header.len() {
            return Err(row.broken(
                header.len(),
                format!("expected {} fields as in the header, found {}", header.len(), row.len()),
            ));
        }
        if row.get(video).is_empty() {
            return Err(row.broken(video, "the file name is missing"));
        }
        let path = format!("{}/{}", source.stem(), row.get(video));
        out.video(&path, || row.at(video))?;
        if let Some(length) = length.and_then(|i| seconds::seconds(row.get(i))) {
            out.duration(&path, length);
        }
        cell(&path, &row, classes, out)?;
    }
    Ok(())
}

fn cell(video: &str, row: &Row<'_>, column: usize, out: &mut Collector) -> Result<(), Broken> {
    let cell = row.get(column);
    let begins = row.at(column);
    // Within the cell; a quoted cell begins one character later.
    let mut rest = cell;
    loop {
        rest = rest
            .trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ';' | ':' | ',' | '.'));
        if rest.is_empty() {
            return Ok(());
        }
        let at = begins + cell.len() - rest.len();
        let Some((label, after)) = rest.split_once('[') else {
            return out.fault(format!("\"{rest}\" has no times"), || at);
        };
        let Some((ranges, after)) = after.split_once(']') else {
            return Err(Broken::at(
                at + label.len(),
                format!("the bracket behind \"{}\" is never closed", label.trim()),
            ));
        };
        let label = label.trim();
        for range in ranges.split([';', ',']).filter(|range| !range.trim().is_empty()) {
            match times(range) {
                Some(times) => out.span(video, times, label, || at)?,
                None => out.fault(
                    format!(
                        "\"{}\" is no time of \"{label}\"; expected such as 0.5 to 3",
                        range.trim()
                    ),
                    || at,
                )?,
            }
        }
        rest = after;
    }
}

/// `0.5 to 3`, `0.5-3` or `0.5 3`.
fn times(range: &str) -> Option<(f64, f64)> {
    let range = range.replace("to", " ").replace(['-', '–'], " ");
    let mut parts = range.split_whitespace().map(seconds::seconds);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(Some(start)), Some(Some(end)), None) => Some((start, end)),
        _ => None,
    }
}
