//! Charades CSV: `id,subject,scene,quality,relevance,verified,script,objects,
//! descriptions,actions,length`. `actions` is `c092 11.90 21.20;c147 0.00 12.60`:
//! class, start and end in seconds, overlapping as people do several things at
//! once; `length` is the video's in seconds. `Charades_v1_classes.txt` names the
//! classes (`c092 Watching outside of a window`).
//!
//! Source: the README of the release, prior.allenai.org/projects/data/charades/README.txt.

use super::Source;
use crate::label::collect::Collector;
use crate::label::fault::Broken;
use crate::label::seconds;
use crate::label::table::{self, Table};

pub(super) fn read(source: &Source<'_>, out: &mut Collector) -> Result<(), Broken> {
    let mut table = Table::new(source.text, b',')?;
    let Some(row) = table.next_row()? else {
        return Err(Broken::at(0, "it is empty; expected a header with id and actions"));
    };
    let header: Vec<String> = row.fields().map(str::to_owned).collect();
    let column = |name: &str| {
        table::column(&header, &[name])
            .ok_or_else(|| row.broken(0, format!("there is no column \"{name}\"")))
    };
    let (id, actions) = (column("id")?, column("actions")?);
    let length = column("length").ok();
    while let Some(row) = table.next_row()? {
        if row.len() != header.len() {
            return Err(row.broken(
                header.len(),
                format!("expected {} fields as in the header, found {}", header.len(), row.len()),
            ));
        }
        let video = row.get(id);
        out.video(video, || row.at(id))?;
        if let Some(length) = length
            && let Some(seconds) = seconds::seconds(row.get(length))
        {
            out.duration(video, seconds);
        }
        let at = || row.at(actions);
        for action in row.get(actions).split(';').map(str::trim).filter(|a| !a.is_empty()) {
            let mut parts = action.split_whitespace();
            let (Some(code), Some(start), Some(end), None) = (
                parts.next(),
                parts.next().and_then(seconds::seconds),
                parts.next().and_then(seconds::seconds),
                parts.next(),
            ) else {
                return Err(row.broken(
                    actions,
                    format!("\"{action}\" is no action; expected a class, a start and an end, such as c092 11.90 21.20"),
                ));
            };
            out.span(video, (start, end), source.class(code, at)?, at)?;
        }
    }
    Ok(())
}
