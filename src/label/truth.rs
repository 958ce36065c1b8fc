//! What is known about one video.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::track::{Span, Track};

/// The labels of one video.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Truth {
    /// They hold for the whole recording.
    Whole(Vec<String>),
    /// They hold for stretches of it, in order of their start. Empty where the
    /// video is listed but nothing is labelled.
    Spans(Vec<Span>),
}

impl Truth {
    /// The same as a track. Labels of a whole recording hold from 0 for ever.
    pub fn track(&self) -> Track {
        match self {
            Truth::Spans(spans) => Track::new(spans.clone()),
            Truth::Whole(labels) => {
                let whole =
                    |label: &String| Span { start: 0.0, end: f64::INFINITY, label: label.clone() };
                Track::new(labels.iter().map(whole).collect())
            }
        }
    }

    /// The labels that the recording as a whole can be judged by: its own, or
    /// the one label that every span carries. None where spans differ or where
    /// there is no label.
    pub fn video_labels(&self) -> Option<Vec<&str>> {
        match self {
            Truth::Whole(labels) if labels.is_empty() => None,
            Truth::Whole(labels) => Some(labels.iter().map(String::as_str).collect()),
            Truth::Spans(spans) => {
                let first = spans.first()?;
                let same = spans.iter().all(|span| span.label == first.label);
                same.then(|| vec![first.label.as_str()])
            }
        }
    }

    /// Each label, once for every time that it is given.
    pub fn labels(&self) -> Vec<&str> {
        match self {
            Truth::Whole(labels) => labels.iter().map(String::as_str).collect(),
            Truth::Spans(spans) => spans.iter().map(|span| span.label.as_str()).collect(),
        }
    }

    /// Whether no label is given at all.
    pub fn is_empty(&self) -> bool {
        self.labels().is_empty()
    }

    /// The spans that reach past the end of a video of `duration` seconds.
    pub fn past(&self, duration: f64) -> impl Iterator<Item = &Span> {
        let spans = match self {
            Truth::Spans(spans) => spans.as_slice(),
            Truth::Whole(_) => &[],
        };
        spans.iter().filter(move |span| span.end > duration)
    }

    /// Whether different labels hold at the same time.
    pub fn overlaps(&self) -> bool {
        match self {
            Truth::Whole(labels) => labels.iter().collect::<BTreeSet<_>>().len() > 1,
            Truth::Spans(spans) => {
                // The two spans that end last, of different labels: enough to
                // see an overlap with a third.
                let mut last: Option<(f64, &str)> = None;
                let mut other: Option<(f64, &str)> = None;
                for span in spans {
                    for (end, label) in [last, other].into_iter().flatten() {
                        if label != span.label && span.start < end {
                            return true;
                        }
                    }
                    match last {
                        Some((end, label)) if label == span.label => {
                            last = Some((end.max(span.end), label));
                        }
                        before => {
                            other = before;
                            last = Some((span.end, &span.label));
                        }
                    }
                }
                false
            }
        }
    }
}

/// One video of an annotation file.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its path or name, as the file gives it, with `/` between folders.
    pub video: String,
    /// Its labels.
    pub truth: Truth,
    /// Its length in seconds, where the format states it.
    pub duration: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(spans: &[(f64, f64, &str)]) -> Truth {
        let span =
            |&(start, end, label): &(f64, f64, &str)| Span { start, end, label: label.into() };
        Truth::Spans(spans.iter().map(span).collect())
    }

    #[test]
    fn a_whole_recording_is_labelled_at_any_time() {
        let track = Truth::Whole(vec!["a".into(), "b".into()]).track();
        assert_eq!(track.spans_at(0.0).count(), 2);
        assert_eq!(track.labels_over(5.0, 1e6).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn a_video_is_judged_by_a_label_that_holds_throughout() {
        assert_eq!(spans(&[(0.0, 1.0, "a"), (2.0, 3.0, "a")]).video_labels(), Some(vec!["a"]));
        assert_eq!(spans(&[(0.0, 1.0, "a"), (2.0, 3.0, "b")]).video_labels(), None);
        assert_eq!(spans(&[]).video_labels(), None);
        assert_eq!(Truth::Whole(vec!["a".into()]).video_labels(), Some(vec!["a"]));
    }

    #[test]
    fn overlap_is_seen_behind_spans_of_the_same_label() {
        assert!(!spans(&[(0.0, 2.0, "a"), (1.0, 3.0, "a"), (3.0, 4.0, "b")]).overlaps());
        assert!(spans(&[(0.0, 9.0, "b"), (1.0, 2.0, "a"), (3.0, 4.0, "a")]).overlaps());
        assert!(spans(&[(0.0, 9.0, "a"), (9.0, 10.0, "b"), (9.5, 10.0, "a")]).overlaps());
    }
}
