//! The labels of one stream over its time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::csv;
use crate::error::{Error, Result};

/// A stretch of time, `start <= t < end` in seconds on the stream's own clock,
/// in which a label holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// First instant, seconds.
    pub start: f64,
    /// End, seconds, not included.
    pub end: f64,
    /// The class.
    pub label: String,
}

/// The labels of one stream, in order of their start. Spans may overlap (a
/// multi-label stream) and may leave gaps (nobody knows, nothing is scored).
#[derive(Clone, Debug, Default)]
pub struct Track {
    spans: Vec<Span>,
    /// The longest span: how far back a search for a time must look.
    longest: f64,
}

const HEADER: [&str; 4] = ["video", "start", "end", "label"];

impl Track {
    /// A track of spans in any order.
    pub fn new(mut spans: Vec<Span>) -> Self {
        spans.sort_by(|a, b| a.start.total_cmp(&b.start).then(a.end.total_cmp(&b.end)));
        let longest = spans.iter().map(|s| s.end - s.start).fold(0.0, f64::max);
        Track { spans, longest }
    }

    /// Reads a label file for the stream whose recording or name is one of
    /// `names`. A file that speaks of a single video matches any stream.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config), with file, line and
    /// column: the file cannot be read, its header differs, a field is missing
    /// or is no time, a span ends before it starts, or none of its videos is
    /// this stream's.
    pub fn read(path: &Path, names: &[&str]) -> Result<Track> {
        let doing = format!("reading labels \"{}\"", path.display());
        let text = fs::read_to_string(path).map_err(|error| {
            Error::config(&doing, error)
                .remedy("name a CSV file with the header video,start,end,label")
        })?;
        Track::parse(&text, names).map_err(|(line, column, fault)| match line {
            0 => Error::config(&doing, fault),
            _ => Error::config(format!("{doing}, line {line}, column {column}"), fault),
        })
    }

    /// [`Track::read`] on text already in memory; the error is line, column
    /// (both from 1; 0 for the whole file) and fault.
    fn parse(text: &str, names: &[&str]) -> Result<Track, (usize, usize, String)> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = text.lines().enumerate().map(|(i, line)| (i + 1, line));
        let mut videos: BTreeMap<String, Vec<Span>> = BTreeMap::new();

        let header = lines.next().map(|(_, line)| line).unwrap_or_default();
        let found = csv::fields(header).map_err(|(column, fault)| (1, column, fault))?;
        for (i, name) in HEADER.iter().enumerate() {
            match found.get(i) {
                Some(field) if field.text == *name => {}
                Some(field) => {
                    return Err((
                        1,
                        field.column,
                        format!(
                            "expected the header video,start,end,label; this column is called \"{}\" in place of \"{name}\"",
                            field.text
                        ),
                    ));
                }
                None => {
                    return Err((
                        1,
                        header.chars().count() + 1,
                        format!("expected the header video,start,end,label; \"{name}\" is missing"),
                    ));
                }
            }
        }
        if let Some(extra) = found.get(HEADER.len()) {
            return Err((
                1,
                extra.column,
                format!(
                    "expected the header video,start,end,label; \"{}\" is one column too many",
                    extra.text
                ),
            ));
        }

        for (number, line) in lines {
            if line.trim().is_empty() {
                continue;
            }
            let fields = csv::fields(line).map_err(|(column, fault)| (number, column, fault))?;
            let [video, start, end, label] = fields.as_slice() else {
                let column =
                    fields.get(HEADER.len()).map_or(line.chars().count() + 1, |f| f.column);
                return Err((
                    number,
                    column,
                    format!("expected 4 fields (video,start,end,label), found {}", fields.len()),
                ));
            };
            let seconds = |field: &csv::Field, what: &str| match field.text.parse::<f64>() {
                Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
                _ => Err((
                    number,
                    field.column,
                    format!("{what} is \"{}\"; expected seconds, such as 12.5", field.text),
                )),
            };
            let span = Span {
                start: seconds(start, "start")?,
                end: seconds(end, "end")?,
                label: label.text.clone(),
            };
            if span.end <= span.start {
                return Err((
                    number,
                    end.column,
                    format!(
                        "the span ends at {} s, not after its start at {} s",
                        span.end, span.start
                    ),
                ));
            }
            if label.text.is_empty() {
                return Err((number, label.column, "the label is empty".into()));
            }
            videos.entry(video.text.clone()).or_default().push(span);
        }

        let spans = match videos.len() {
            0 => return Err((0, 0, "it holds no labels, only a header".into())),
            1 => videos.into_values().next().unwrap_or_default(),
            _ => {
                let Some(name) = names.iter().find(|name| videos.contains_key(**name)) else {
                    let some: Vec<_> = videos.keys().take(5).map(|v| format!("\"{v}\"")).collect();
                    return Err((
                        0,
                        0,
                        format!(
                            "none of its {} videos is this stream's: it has {}{}; this stream is called {}",
                            videos.len(),
                            some.join(", "),
                            if videos.len() > some.len() { ", …" } else { "" },
                            names
                                .iter()
                                .map(|n| format!("\"{n}\""))
                                .collect::<Vec<_>>()
                                .join(" or "),
                        ),
                    ));
                };
                videos.remove(*name).unwrap_or_default()
            }
        };
        Ok(Track::new(spans))
    }

    /// The spans, in order of their start.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Every span that holds at `t` seconds, in order of their start.
    pub fn spans_at(&self, t: f64) -> impl Iterator<Item = &Span> {
        let first = self.spans.partition_point(|s| s.start < t - self.longest);
        let after = self.spans.partition_point(|s| s.start <= t);
        self.spans[first..after].iter().filter(move |s| t < s.end)
    }

    /// The label at `t` seconds; where several hold, the one that began last.
    pub fn label_at(&self, t: f64) -> Option<&str> {
        self.spans_at(t).last().map(|s| s.label.as_str())
    }

    /// The labels that hold over the whole clip from `start` to `t` seconds,
    /// both included.
    pub fn labels_over(&self, start: f64, t: f64) -> impl Iterator<Item = &str> {
        self.spans_at(t).filter(move |s| s.start <= start).map(|s| s.label.as_str())
    }

    /// Labels that a model does not know, each once, in alphabetical order.
    pub fn unknown_to(&self, labels: &[String]) -> Vec<String> {
        let unknown: BTreeSet<_> =
            self.spans.iter().map(|s| &s.label).filter(|l| !labels.contains(l)).collect();
        unknown.into_iter().cloned().collect()
    }

    /// The first two spans that overlap, if any do: a mistake where only one
    /// label can hold at a time.
    pub fn first_overlap(&self) -> Option<(&Span, &Span)> {
        let mut latest: Option<&Span> = None;
        for span in &self.spans {
            match latest {
                Some(before) if span.start < before.end => return Some((before, span)),
                _ => latest = Some(span),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "video,start,end,label\na.mp4,0,2,idle\na.mp4,2,5.5,wave\nb.mp4,1,2,run\n";

    #[test]
    fn a_label_holds_from_its_start_to_before_its_end() {
        let track = Track::parse(TWO, &["a.mp4"]).unwrap();
        assert_eq!(track.label_at(0.0), Some("idle"));
        assert_eq!(track.label_at(1.999), Some("idle"));
        assert_eq!(track.label_at(2.0), Some("wave"));
        assert_eq!(track.label_at(5.5), None);
    }

    #[test]
    fn a_clip_counts_only_when_one_span_covers_it_whole() {
        let track = Track::parse(TWO, &["a.mp4"]).unwrap();
        assert_eq!(track.labels_over(0.0, 1.9).collect::<Vec<_>>(), ["idle"]);
        assert_eq!(track.labels_over(2.0, 4.0).collect::<Vec<_>>(), ["wave"]);
        assert_eq!(track.labels_over(1.9, 4.0).count(), 0);
        assert_eq!(track.labels_over(4.0, 6.0).count(), 0);
    }

    #[test]
    fn the_videos_of_others_are_left_out() {
        assert_eq!(Track::parse(TWO, &["gate", "b.mp4"]).unwrap().spans().len(), 1);
        let (line, _, fault) = Track::parse(TWO, &["gate", "c.mp4"]).unwrap_err();
        assert_eq!(line, 0);
        assert!(
            fault.contains("\"a.mp4\", \"b.mp4\"") && fault.contains("\"gate\" or \"c.mp4\""),
            "{fault}"
        );
    }

    #[test]
    fn a_file_about_one_video_matches_any_stream() {
        let one = "video,start,end,label\nx,0,1,idle\n";
        assert_eq!(Track::parse(one, &["gate"]).unwrap().label_at(0.5), Some("idle"));
    }

    #[test]
    fn overlapping_spans_all_hold_and_the_last_begun_is_the_label() {
        let text = "video,start,end,label\nx,0,10,rain\nx,2,3,car\nx,4,6,dog\n";
        let track = Track::parse(text, &[]).unwrap();
        assert_eq!(
            track.spans_at(2.5).map(|s| s.label.as_str()).collect::<Vec<_>>(),
            ["rain", "car"]
        );
        assert_eq!(track.label_at(2.5), Some("car"));
        assert_eq!(track.label_at(9.0), Some("rain"));
        assert_eq!(track.first_overlap().unwrap().1.label, "car");
        assert!(Track::parse(TWO, &["a.mp4"]).unwrap().first_overlap().is_none());
    }

    #[test]
    fn faults_name_line_and_column() {
        for (text, line, column, why) in [
            ("", 1, 1, "expected the header"),
            ("video,begin,end,label\n", 1, 7, "called \"begin\""),
            ("video,start,end\n", 1, 16, "\"label\" is missing"),
            ("video,start,end,label,p\n", 1, 23, "too many"),
            ("video,start,end,label\na,0,1\n", 2, 6, "found 3"),
            ("video,start,end,label\na,0,1,x,y\n", 2, 9, "found 5"),
            ("video,start,end,label\n\na,zero,1,x\n", 3, 3, "\"zero\""),
            ("video,start,end,label\na,0,-1,x\n", 2, 5, "expected seconds"),
            ("video,start,end,label\na,2,1,x\n", 2, 5, "not after its start"),
            ("video,start,end,label\na,0,1,\n", 2, 7, "label is empty"),
            ("video,start,end,label\na,0,1,\"x\n", 2, 7, "never closed"),
            ("video,start,end,label\n", 0, 0, "no labels"),
        ] {
            let (l, c, fault) = Track::parse(text, &[]).unwrap_err();
            assert_eq!((l, c), (line, column), "{text:?}: {fault}");
            assert!(fault.contains(why), "{text:?}: {fault}");
        }
    }

    #[test]
    fn a_missing_file_is_an_error_that_names_it() {
        let error = Track::read(Path::new("/nonexistent/labels.csv"), &[]).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/labels.csv"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn labels_that_the_model_does_not_know_are_listed_once() {
        let track = Track::parse(TWO, &["a.mp4"]).unwrap();
        assert_eq!(track.unknown_to(&["idle".into()]), ["wave"]);
    }
}
