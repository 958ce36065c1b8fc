//! Kinetics-400/600/700 CSV: `label,youtube_id,time_start,time_end,split`, with
//! further columns in some releases (`is_cc`). Times are seconds in the YouTube
//! video; the published clips are cut there and named
//! `<youtube_id>_<start>_<end>.mp4` with six digits each, so the label holds for
//! the whole file.
//!
//! Source: the header and the names as in ActivityNet's downloader
//! (github.com/activitynet/ActivityNet, `Crawler/Kinetics`) and CVDF's mirror
//! (github.com/cvdfoundation/kinetics-dataset). The test split is published
//! without the label column.

use super::Source;
use crate::label::collect::Collector;
use crate::label::fault::Broken;
use crate::label::seconds;
use crate::label::table::{self, Row, Table};

pub(super) fn read(source: &Source<'_>, out: &mut Collector) -> Result<(), Broken> {
    let mut table = Table::new(source.text, b',')?;
    let Some(row) = table.next_row()? else {
        return Err(Broken::at(
            0,
            "it is empty; expected the header label,youtube_id,time_start,time_end,split",
        ));
    };
    let header: Vec<String> = row.fields().map(str::to_owned).collect();
    let column = |name: &str| {
        table::column(&header, &[&table::folded(name)]).ok_or_else(|| {
            row.broken(
                0,
                format!("there is no column \"{name}\"; expected the header label,youtube_id,time_start,time_end,split"),
            )
        })
    };
    let label = column(source.options.column.as_deref().unwrap_or("label")).map_err(|broken| {
        broken.remedy("the test split is published without labels: use the validation split")
    })?;
    let (id, start, end) = (column("youtube_id")?, column("time_start")?, column("time_end")?);
    let split = column("split").ok();
    while let Some(row) = table.next_row()? {
        if split.is_some_and(|split| !source.options.wants_split(row.get(split))) {
            continue;
        }
        let (from, to) = (time(&row, start)?, time(&row, end)?);
        if row.get(id).is_empty() {
            return Err(row.broken(id, "the youtube_id is missing"));
        }
        let clip = clip_name(row.get(id), from, to);
        out.whole(&clip, row.get(label), || row.at(label))?;
        out.alternate(&clip, format!("{}_{from:.0}_{to:.0}", row.get(id)));
        out.alternate(&clip, row.get(id).to_owned());
    }
    Ok(())
}

fn time(row: &Row<'_>, i: usize) -> Result<f64, Broken> {
    seconds::seconds(row.get(i)).ok_or_else(|| {
        row.broken(i, format!("\"{}\" is no time; expected seconds, such as 123", row.get(i)))
    })
}

/// The name of a clip's file, without extension.
pub(super) fn clip_name(id: &str, start: f64, end: f64) -> String {
    format!("{id}_{start:06.0}_{end:06.0}")
}
