//! What was really there, as class indices: at a time, over a clip, for a video.

use std::collections::{BTreeMap, BTreeSet};

use super::store::{Truth, TruthSpan};
use crate::model::Task;

/// The model's classes, looked up by name.
pub(super) struct Classes<'a>(BTreeMap<&'a str, usize>);

impl<'a> Classes<'a> {
    /// Of labels in index order.
    pub fn new(labels: &'a [String]) -> Self {
        // Of two classes with one name the first counts.
        let mut classes = BTreeMap::new();
        for (index, label) in labels.iter().enumerate() {
            classes.entry(label.as_str()).or_insert(index);
        }
        Classes(classes)
    }

    /// The index of a label, `None` where the model does not know it.
    pub fn index(&self, label: &str) -> Option<usize> {
        self.0.get(label).copied()
    }
}

/// One video's truth.
pub(super) struct VideoTruth {
    task: Task,
    kind: Kind,
}

enum Kind {
    None,
    /// Known classes, and whether the video had any label at all.
    Whole {
        classes: Vec<usize>,
        unknown_only: bool,
    },
    /// By start, then end.
    Spans(Vec<(TruthSpan, Option<usize>)>),
}

impl VideoTruth {
    /// Of what the store says.
    pub fn new(truth: &Truth, task: Task, classes: &Classes<'_>) -> Self {
        let kind = match truth {
            Truth::None => Kind::None,
            Truth::Video(labels) => {
                let known: Vec<usize> = labels.iter().filter_map(|l| classes.index(l)).collect();
                let unknown_only = known.is_empty() && !labels.is_empty();
                Kind::Whole { classes: unique(known), unknown_only }
            }
            Truth::Spans(spans) => {
                let mut spans: Vec<_> =
                    spans.iter().map(|s| (s.clone(), classes.index(&s.label))).collect();
                spans.sort_by(|(a, _), (b, _)| {
                    a.start.total_cmp(&b.start).then(a.end.total_cmp(&b.end))
                });
                Kind::Spans(spans)
            }
        };
        VideoTruth { task, kind }
    }

    /// Whether labels change over the video's time.
    pub fn is_timed(&self) -> bool {
        matches!(self.kind, Kind::Spans(_))
    }

    /// The classes that hold at `t` seconds, the last begun last. `None` where
    /// nobody knows: no annotation, or, with one class true at a time, a time
    /// outside every span. In a multi-label video an annotated time without a
    /// label is one where no class holds.
    pub fn at(&self, t: f64) -> Option<Vec<usize>> {
        match &self.kind {
            Kind::Spans(spans) => {
                let here = spans.iter().filter(|(s, _)| s.start <= t && t < s.end);
                self.known(here.filter_map(|(_, class)| *class).collect())
            }
            _ => self.whole_recording(),
        }
    }

    /// The classes that hold over the whole clip from `start` to `t` seconds,
    /// both included; `None` where there is no single answer.
    pub fn over(&self, start: f64, t: f64) -> Option<Vec<usize>> {
        let Kind::Spans(spans) = &self.kind else { return self.whole_recording() };
        let touching = spans.iter().filter(|(s, _)| s.start <= t && start < s.end);
        let covers = |s: &TruthSpan| s.start <= start && t < s.end;
        // Where classes are independent, one that comes or goes makes the clip
        // ambiguous for it.
        if self.task == Task::MultiLabel && touching.clone().any(|(s, _)| !covers(s)) {
            return None;
        }
        self.known(touching.filter(|(s, _)| covers(s)).filter_map(|(_, class)| *class).collect())
    }

    /// The video's own classes: of a whole recording its labels; of spans the
    /// one label that all carry, or, in a multi-label task, every label.
    pub fn of_video(&self) -> Option<Vec<usize>> {
        let Kind::Spans(spans) = &self.kind else { return self.whole_recording() };
        let labels: BTreeSet<&str> = spans.iter().map(|(s, _)| s.label.as_str()).collect();
        if self.task == Task::SingleLabel && labels.len() != 1 {
            return None;
        }
        self.known(spans.iter().filter_map(|(_, class)| *class).collect())
    }

    /// The annotated spans of classes that the model knows.
    pub fn spans(&self) -> impl Iterator<Item = (&TruthSpan, usize)> {
        let spans = match &self.kind {
            Kind::Spans(spans) => spans.as_slice(),
            _ => &[],
        };
        spans.iter().filter_map(|(span, class)| Some((span, (*class)?)))
    }

    fn whole_recording(&self) -> Option<Vec<usize>> {
        match &self.kind {
            Kind::Whole { classes, unknown_only: false } => self.known(classes.clone()),
            _ => None,
        }
    }

    fn known(&self, classes: Vec<usize>) -> Option<Vec<usize>> {
        match self.task {
            Task::SingleLabel if classes.is_empty() => None,
            _ => Some(unique(classes)),
        }
    }
}

/// Each class once, where it stands last.
fn unique(classes: Vec<usize>) -> Vec<usize> {
    let mut kept: Vec<usize> = Vec::with_capacity(classes.len());
    for class in classes.into_iter().rev() {
        if !kept.contains(&class) {
            kept.push(class);
        }
    }
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::answer;

    fn spans(task: Task, spans: &[(f64, f64, &str)]) -> VideoTruth {
        let labels = ["a", "b"].map(String::from);
        let span =
            |&(start, end, label): &(f64, f64, &str)| TruthSpan { start, end, label: label.into() };
        let truth = Truth::Spans(spans.iter().map(span).collect());
        VideoTruth::new(&truth, task, &Classes::new(&labels))
    }

    fn whole(task: Task, labels: &[&str]) -> VideoTruth {
        let names = ["a", "b"].map(String::from);
        let truth = Truth::Video(labels.iter().map(|l| (*l).to_owned()).collect());
        VideoTruth::new(&truth, task, &Classes::new(&names))
    }

    #[test]
    fn a_clip_across_a_change_has_no_single_answer() {
        let truth = spans(Task::SingleLabel, &[(2.0, 9.0, "b"), (0.0, 2.0, "a")]);
        assert_eq!(
            (truth.at(1.0), truth.at(2.0), truth.at(9.0)),
            (Some(vec![0]), Some(vec![1]), None)
        );
        assert_eq!(truth.over(0.5, 1.5), Some(vec![0]));
        assert_eq!(truth.over(1.5, 2.5), None);
        assert_eq!(truth.of_video(), None);
    }

    #[test]
    fn unlabelled_time_is_unknown_for_one_label_and_empty_for_many() {
        assert_eq!(spans(Task::SingleLabel, &[(0.0, 1.0, "a")]).at(5.0), None);
        let many = spans(Task::MultiLabel, &[(0.0, 1.0, "a"), (0.0, 9.0, "b")]);
        assert_eq!(many.at(10.0), Some(vec![]));
        assert_eq!(many.at(0.5), Some(vec![0, 1]));
        assert_eq!((many.over(0.5, 2.0), many.over(2.0, 3.0)), (None, Some(vec![1])));
        assert_eq!(many.of_video(), Some(vec![0, 1]));
    }

    #[test]
    fn labels_that_the_model_does_not_know_are_not_scored() {
        for task in [Task::SingleLabel, Task::MultiLabel] {
            assert_eq!(whole(task, &["dance"]).at(0.0), None);
            assert_eq!(whole(task, &["dance", "b"]).of_video(), Some(vec![1]));
        }
        let truth = spans(Task::SingleLabel, &[(0.0, 1.0, "dance"), (1.0, 2.0, "a")]);
        assert_eq!((truth.at(0.5), truth.of_video()), (None, None));
    }

    #[test]
    fn spans_of_one_label_speak_for_the_video() {
        let truth = spans(Task::SingleLabel, &[(0.0, 1.0, "b"), (3.0, 4.0, "b")]);
        assert_eq!(truth.of_video(), Some(vec![1]));
    }

    #[test]
    fn any_of_several_labels_is_right_and_the_last_begun_counts_else() {
        let truth = spans(Task::SingleLabel, &[(0.0, 9.0, "b"), (1.0, 9.0, "a")]);
        let here = truth.at(2.0).unwrap();
        assert_eq!(
            (answer(&here, 1), answer(&here, 0), answer(&here, 7)),
            (Some(1), Some(0), Some(0))
        );
    }
}
