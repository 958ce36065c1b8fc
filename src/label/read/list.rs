//! List files: one `path label` a line.
//!
//! PySlowFast writes `path label` with a space (or another `PATH_LABEL_SEPARATOR`
//! such as a comma), the label a class index from 0
//! (github.com/facebookresearch/SlowFast, `slowfast/datasets/kinetics.py` and
//! `DATASET.md`). MMAction2's `VideoDataset` is the same, with several indices
//! where a video has several classes; its `RawframeDataset` has
//! `folder total_frames label` (github.com/open-mmlab/mmaction2,
//! `mmaction/datasets/video_dataset.py`, `docs/en/user_guides/prepare_dataset.md`).
//!
//! The label may be a name as well, with spaces in it: a path ends with its
//! video extension, or at the first space where it has none.

use super::Source;
use super::csv::is_number;
use crate::label::collect::Collector;
use crate::label::fault::Broken;
use crate::label::naming::has_video_extension;
use crate::label::text;

const SEPARATORS: [char; 4] = [' ', '\t', ',', ';'];

/// A line taken apart: the path, the labels, and the offset of the latter.
struct Line<'a> {
    path: &'a str,
    labels: &'a str,
    labels_at: usize,
    is_video: bool,
}

fn split(line: &str) -> Option<Line<'_>> {
    let (path, rest, is_video) = if let Some(inner) = line.strip_prefix('"') {
        let (path, rest) = inner.split_once('"')?;
        (path, rest, true)
    } else if let Some(end) = end_of_path(line) {
        (&line[..end], &line[end..], true)
    } else {
        let end = line.find(SEPARATORS)?;
        (&line[..end], &line[end..], false)
    };
    let labels = rest.trim_start_matches(SEPARATORS);
    let labels_at = line.len() - labels.len();
    let labels = labels.trim().trim_matches('"');
    let sound = !path.is_empty() && !labels.is_empty();
    sound.then_some(Line { path, labels, labels_at, is_video })
}

/// The end of a path that has a video's extension, which a separator follows.
fn end_of_path(line: &str) -> Option<usize> {
    line.char_indices()
        .filter(|(_, c)| SEPARATORS.contains(c))
        .map(|(i, _)| i)
        .find(|&i| has_video_extension(&line[..i]))
}

/// Whether a text reads like a list: its first lines all do.
pub(in super::super) fn looks_like(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(20).peekable();
    lines.peek().is_some()
        && lines.all(|line| {
            split(line).is_some_and(|line| {
                let index = line.labels.split(SEPARATORS).all(is_number);
                line.is_video || line.path.contains('/') || index
            })
        })
}

pub(super) fn read(source: &Source<'_>, out: &mut Collector) -> Result<(), Broken> {
    let mut any = false;
    for (at, raw) in text::lines(source.text) {
        let (at, line) = text::trimmed(at, raw);
        if line.is_empty() {
            continue;
        }
        any = true;
        let Some(line) = split(line) else {
            return Err(Broken::at(
                at + line.len(),
                "the label is missing; expected a path and a label",
            ));
        };
        let labels_at = || at + line.labels_at;
        let mut numbers: Vec<&str> =
            line.labels.split(SEPARATORS).filter(|part| !part.is_empty()).collect();
        if !numbers.iter().all(|part| is_number(part)) {
            out.whole(line.path, line.labels, labels_at)?;
            continue;
        }
        // A folder of frames: the first number counts them.
        if !line.is_video && numbers.len() > 1 {
            numbers.remove(0);
        }
        for number in numbers {
            out.whole(line.path, source.class(number, labels_at)?, labels_at)?;
        }
    }
    if any {
        Ok(())
    } else {
        Err(Broken::whole("it is empty; expected lines of a path and a label"))
    }
}
