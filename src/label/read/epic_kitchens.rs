//! EPIC-KITCHENS-100 CSV (`EPIC_100_train.csv`, `EPIC_100_validation.csv`), one
//! narrated action a row; of its columns these are read: `video_id` (`P01_01`),
//! `start_timestamp` and `stop_timestamp` (`HH:MM:SS.ss`), and one for the label:
//! `verb_class` unless another is asked for (`noun_class`, `verb`, `noun`,
//! `narration`). Class numbers count from 0; `EPIC_100_verb_classes.csv` and
//! `EPIC_100_noun_classes_v2.csv` (`id,key,…`) name them.
//!
//! Source: README.md of github.com/epic-kitchens/epic-kitchens-100-annotations.

use super::Source;
use super::csv::is_number;
use crate::label::collect::Collector;
use crate::label::fault::Broken;
use crate::label::seconds;
use crate::label::table::{self, Row, Table};

/// The column that holds the label where none is asked for.
pub(in super::super) const LABEL: &str = "verb_class";

pub(super) fn read(source: &Source<'_>, out: &mut Collector) -> Result<(), Broken> {
    let mut table = Table::new(source.text, b',')?;
    let Some(row) = table.next_row()? else {
        return Err(Broken::at(
            0,
            "it is empty; expected a header with video_id and start_timestamp",
        ));
    };
    let header: Vec<String> = row.fields().map(str::to_owned).collect();
    let column = |name: &str| {
        table::column(&header, &[&table::folded(name)])
            .ok_or_else(|| row.broken(0, format!("there is no column \"{name}\"")))
    };
    let video = column("video_id")?;
    let (start, stop) = (column("start_timestamp")?, column("stop_timestamp")?);
    let label = column(source.options.column.as_deref().unwrap_or(LABEL)).map_err(|broken| {
        broken.remedy(
            "name a column of this file (--column); the test split is published without labels",
        )
    })?;
    while let Some(row) = table.next_row()? {
        let at = || row.at(label);
        let name = row.get(label);
        let name = if is_number(name) { source.class(name, at)? } else { name };
        let times = (time(&row, start)?, time(&row, stop)?);
        out.span(row.get(video), times, name, at)?;
    }
    Ok(())
}

fn time(row: &Row<'_>, i: usize) -> Result<f64, Broken> {
    seconds::clock(row.get(i)).ok_or_else(|| {
        row.broken(i, format!("\"{}\" is no time stamp; expected HH:MM:SS.ss", row.get(i)))
    })
}
