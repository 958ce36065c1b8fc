//! AVA CSV, without a header: `video_id,middle_frame_timestamp,x1,y1,x2,y2,
//! action_id,person_id`, one action of one person in one key frame. Time stamps
//! are seconds from the start of the film, one key frame a second; boxes are
//! fractions of the picture. Key frames at `t` label the second around them, from
//! t - 0.5 to t + 0.5, for the picture as a whole: boxes and persons are not kept.
//! Rows of a key frame in which nobody acts have empty fields (AVA-Kinetics).
//!
//! Films are often cut to their minutes 15 to 30 first: give an offset of -900
//! then. Action numbers count from 1; `ava_action_list_v2.2.pbtxt` names them.
//!
//! Source: research.google.com/ava/download.html ("the format of a row");
//! arXiv 1705.08421, section 3, for the key frames at 1 Hz; the cut as in
//! PySlowFast's `slowfast/datasets/DATASET.md`.

use std::collections::BTreeMap;

use super::Source;
use super::csv::is_number;
use crate::label::collect::Collector;
use crate::label::fault::Broken;
use crate::label::seconds;
use crate::label::table::{Row, Table};

/// Half the time between two key frames, seconds.
const HALF: f64 = 0.5;

/// Whether the fields look like a row.
pub(in super::super) fn is_row(fields: &[String]) -> bool {
    (7..=8).contains(&fields.len())
        && seconds::seconds(&fields[1]).is_some()
        && fields[2..6].iter().all(|f| f.is_empty() || f.parse().is_ok_and(|x: f64| x.abs() <= 1.5))
        && (fields[6].is_empty() || is_number(&fields[6]))
}

pub(super) fn read(source: &Source<'_>, out: &mut Collector) -> Result<(), Broken> {
    let mut table = Table::new(source.text, b',')?;
    // Key frames that follow one another make one span; for each video and
    // action, where it began and where it ends so far.
    let mut open: BTreeMap<(String, String), Vec<(f64, usize)>> = BTreeMap::new();
    while let Some(row) = table.next_row()? {
        if !(7..=8).contains(&row.len()) {
            return Err(row.broken(
                row.len().min(8),
                format!("expected 7 or 8 fields (video_id, time stamp, box, action_id, person_id), found {}", row.len()),
            ));
        }
        let t = time(&row)?;
        let (video, action) = (row.get(0), row.get(6));
        out.video(video, || row.at(0))?;
        if action.is_empty() {
            continue;
        }
        if !is_number(action) {
            return Err(row.broken(6, format!("\"{action}\" is no action_id; expected a number")));
        }
        let label = match source.classes {
            Some(_) => source.class(action, || row.at(6))?.to_owned(),
            // A bare number would be taken for a class index, which counts from 0.
            None => format!("action {action}"),
        };
        open.entry((video.to_owned(), label)).or_default().push((t, row.at(6)));
    }
    for ((video, label), mut frames) in open {
        frames.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut frames = frames.into_iter();
        let Some((first, at)) = frames.next() else { continue };
        let (mut start, mut end, mut begun) = ((first - HALF).max(0.0), first + HALF, at);
        for (t, at) in frames {
            if t - HALF > end {
                out.span(&video, (start, end), &label, || begun)?;
                (start, begun) = (t - HALF, at);
            }
            end = t + HALF;
        }
        out.span(&video, (start, end), &label, || begun)?;
    }
    Ok(())
}

fn time(row: &Row<'_>) -> Result<f64, Broken> {
    seconds::seconds(row.get(1)).ok_or_else(|| {
        row.broken(1, format!("\"{}\" is no time stamp; expected seconds, such as 902", row.get(1)))
    })
}
