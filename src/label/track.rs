//! The labels of one stream over its time.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::aliases::Aliases;

/// A stretch of time, `start <= t < end` in seconds on the stream's own clock,
/// in which a label holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Track {
    spans: Vec<Span>,
    /// The longest span: how far back a search for a time must look.
    longest: f64,
}

impl Track {
    /// A track of spans in any order.
    pub fn new(mut spans: Vec<Span>) -> Self {
        spans.sort_by(|a, b| a.start.total_cmp(&b.start).then(a.end.total_cmp(&b.end)));
        let longest = spans.iter().map(|s| s.end - s.start).fold(0.0, f64::max);
        Track { spans, longest }
    }

    /// The same with the names of the model's classes, where `aliases` know them.
    #[must_use]
    pub fn in_classes(mut self, aliases: &Aliases) -> Self {
        for span in &mut self.spans {
            if let Some(class) = aliases.class(&span.label) {
                class.clone_into(&mut span.label);
            }
        }
        self
    }

    /// The spans, in order of their start.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Takes one more span.
    pub(super) fn insert(&mut self, span: Span) {
        self.longest = self.longest.max(span.end - span.start);
        let order = |s: &Span| s.start.total_cmp(&span.start).then(s.end.total_cmp(&span.end));
        let at = self.spans.partition_point(|s| order(s).is_le());
        self.spans.insert(at, span);
    }

    /// Takes more spans, in any order.
    pub(super) fn extend(&mut self, spans: impl IntoIterator<Item = Span>) {
        self.spans.extend(spans);
        *self = Track::new(std::mem::take(&mut self.spans));
    }

    /// Drops the spans that ended at or before `t` seconds.
    pub(super) fn forget_before(&mut self, t: f64) {
        self.spans.retain(|span| span.end > t);
    }

    /// Drops the earliest spans but for the last `most`.
    pub(super) fn keep_last(&mut self, most: usize) {
        let surplus = self.spans.len().saturating_sub(most);
        self.spans.drain(..surplus);
    }

    /// Every span that shares some time with `start <= t < end`, in order of
    /// their start.
    pub(super) fn spans_over(&self, start: f64, end: f64) -> impl Iterator<Item = &Span> {
        let first = self.spans.partition_point(|s| s.start < start - self.longest);
        let after = self.spans.partition_point(|s| s.start < end);
        let among = self.spans.get(first..after).unwrap_or_default();
        among.iter().filter(move |s| start < s.end)
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

    /// Labels that a model does not know, each once, in alphabetical order. Those
    /// that are left out on purpose are not among them.
    pub fn unknown_to(&self, aliases: &Aliases) -> Vec<String> {
        let unknown = |label: &&String| aliases.index(label).is_none() && !aliases.ignored(label);
        let labels: BTreeSet<_> = self.spans.iter().map(|s| &s.label).filter(unknown).collect();
        labels.into_iter().cloned().collect()
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

    fn track(spans: &[(f64, f64, &str)]) -> Track {
        let span =
            |&(start, end, label): &(f64, f64, &str)| Span { start, end, label: label.into() };
        Track::new(spans.iter().map(span).collect())
    }

    fn two() -> Track {
        track(&[(2.0, 5.5, "wave"), (0.0, 2.0, "idle")])
    }

    #[test]
    fn a_label_holds_from_its_start_to_before_its_end() {
        assert_eq!(two().label_at(0.0), Some("idle"));
        assert_eq!(two().label_at(1.999), Some("idle"));
        assert_eq!(two().label_at(2.0), Some("wave"));
        assert_eq!(two().label_at(5.5), None);
    }

    #[test]
    fn a_clip_counts_only_when_one_span_covers_it_whole() {
        let two = two();
        assert_eq!(two.labels_over(0.0, 1.9).collect::<Vec<_>>(), ["idle"]);
        assert_eq!(two.labels_over(2.0, 4.0).collect::<Vec<_>>(), ["wave"]);
        assert_eq!(two.labels_over(1.9, 4.0).count(), 0);
        assert_eq!(two.labels_over(4.0, 6.0).count(), 0);
    }

    #[test]
    fn overlapping_spans_all_hold_and_the_last_begun_is_the_label() {
        let track = track(&[(0.0, 10.0, "rain"), (2.0, 3.0, "car"), (4.0, 6.0, "dog")]);
        assert_eq!(
            track.spans_at(2.5).map(|s| s.label.as_str()).collect::<Vec<_>>(),
            ["rain", "car"]
        );
        assert_eq!(track.label_at(2.5), Some("car"));
        assert_eq!(track.label_at(9.0), Some("rain"));
        assert_eq!(track.first_overlap().unwrap().1.label, "car");
        assert!(two().first_overlap().is_none());
    }

    #[test]
    fn a_track_grows_and_forgets() {
        let mut track = two();
        track.insert(Span { start: 1.0, end: 3.0, label: "nod".into() });
        assert_eq!(track.spans().iter().map(|s| s.start).collect::<Vec<_>>(), [0.0, 1.0, 2.0]);
        track.extend([Span { start: 0.5, end: 0.7, label: "tap".into() }]);
        assert_eq!(track.label_at(0.6), Some("tap"));
        let over = |track: &Track, start, end| -> Vec<String> {
            track.spans_over(start, end).map(|s| s.label.clone()).collect()
        };
        assert_eq!(over(&track, 2.5, 2.6), ["nod", "wave"]);
        assert_eq!(over(&track, 0.0, 1.0), ["idle", "tap"]);
        assert_eq!(over(&track, 5.5, 9.0), [""; 0]);
        assert_eq!(track.label_at(1.5), Some("nod"));
        track.forget_before(2.0);
        assert_eq!(over(&track, 0.0, 9.0), ["nod", "wave"]);
        track.keep_last(1);
        assert_eq!(over(&track, 0.0, 9.0), ["wave"]);
    }

    #[test]
    fn labels_are_renamed_to_classes_and_unknown_ones_are_listed_once() {
        let aliases = Aliases::new(&["Idle".into()]);
        let track = track(&[(0.0, 1.0, "idle"), (1.0, 2.0, "wave"), (3.0, 4.0, "wave")]);
        assert_eq!(track.unknown_to(&aliases), ["wave"]);
        let labels: Vec<_> =
            track.in_classes(&aliases).spans().iter().map(|s| s.label.clone()).collect();
        assert_eq!(labels, ["Idle", "wave", "wave"]);
    }
}
