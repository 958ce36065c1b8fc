//! THUMOS14's temporal annotations: for each class a text file
//! (`BaseballPitch_val.txt`, `Diving_test.txt`) with one `video start end` a line,
//! in seconds, set apart by spaces. `Ambiguous_*.txt` lists stretches that the
//! challenge leaves out of the count; they keep the label "Ambiguous", which no
//! model knows.
//!
//! Source: `TH14_Temporal_annotations_validation.zip` and `…_test.zip` at
//! crcv.ucf.edu/THUMOS14/download.html. The JSON in which the set is passed
//! around since is ActivityNet's and read as such.

use super::Source;
use crate::label::collect::Collector;
use crate::label::fault::Broken;
use crate::label::seconds;
use crate::label::text;

/// The three fields of a line.
pub(in super::super) fn row(line: &str) -> Option<(&str, f64, f64)> {
    let mut fields = line.split_whitespace();
    let (video, start, end) = (fields.next()?, fields.next()?, fields.next()?);
    let row = (video, seconds::seconds(start)?, seconds::seconds(end)?);
    // Seconds have a fraction here; `folder 120 5` is a list of frames.
    let fraction = start.contains('.') || end.contains('.');
    (fields.next().is_none() && fraction).then_some(row)
}

pub(super) fn read(source: &Source<'_>, out: &mut Collector) -> Result<(), Broken> {
    let stem = source.stem();
    let stem = stem.rsplit('/').next().unwrap_or(stem);
    let class = ["_test", "_validation", "_val"]
        .iter()
        .find_map(|part| stem.strip_suffix(part))
        .unwrap_or(stem);
    for (at, raw) in text::lines(source.text) {
        let (at, line) = text::trimmed(at, raw);
        if line.is_empty() {
            continue;
        }
        let mut fields = line.split_whitespace();
        let (Some(video), Some(start), Some(end), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(Broken::at(at, format!("\"{line}\" is not a video, a start and an end")));
        };
        let time = |text: &str, what: &str| {
            seconds::seconds(text).ok_or_else(|| {
                // The fields are parts of the line, so their offsets can be found.
                let within = text.as_ptr() as usize - line.as_ptr() as usize;
                Broken::at(
                    at + within,
                    format!("{what} is \"{text}\"; expected seconds, such as 12.5"),
                )
            })
        };
        out.span(video, (time(start, "start")?, time(end, "end")?), class, || at)?;
    }
    Ok(())
}
