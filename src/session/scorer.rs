//! Predictions against what was really there.

use super::summary::{Score, Scores};
use crate::label::Track;
use crate::metric::Confusion;

/// Scores one stream. A prediction at `t` is compared with the label at `t`.
/// It counts for the *clip* figures when its whole clip lies within one label's
/// span: a clip that straddles two labels has no single right answer.
pub(super) struct Scorer {
    track: Track,
    labels: Vec<String>,
    clip: Confusion,
    every: Confusion,
}

impl Scorer {
    /// For a model with these `labels`, in index order.
    pub fn new(track: Track, labels: &[String]) -> Self {
        let confusion = || Confusion::new(labels.len());
        Scorer { track, labels: labels.to_vec(), clip: confusion(), every: confusion() }
    }

    /// The labels that hold at `t` seconds.
    pub fn truth_at(&self, t: f64) -> Vec<String> {
        self.track.spans_at(t).map(|s| s.label.clone()).collect()
    }

    /// Counts the prediction `best` (a class index) for the clip from `start`
    /// to `t` seconds. Time without a label, or with one that the model does
    /// not know, is not scored.
    pub fn add(&mut self, best: usize, start: f64, t: f64) {
        let labels = &self.labels;
        let index = |label: &str| labels.iter().position(|l| l == label);
        let truths: Vec<usize> = self.track.spans_at(t).filter_map(|s| index(&s.label)).collect();
        count(&mut self.every, &truths, best);
        let truths: Vec<usize> = self.track.labels_over(start, t).filter_map(index).collect();
        count(&mut self.clip, &truths, best);
    }

    /// Clip top-1 so far.
    pub fn clip_top1(&self) -> Option<f64> {
        self.clip.top1()
    }

    /// The figures so far.
    pub fn score(&self) -> Score {
        Score { labels: self.labels.clone(), clip: scores(&self.clip), every: scores(&self.every) }
    }
}

/// Where several labels hold at once, naming any of them is right.
fn count(confusion: &mut Confusion, truths: &[usize], best: usize) {
    let truth = truths.iter().find(|&&t| t == best).or(truths.last());
    if let Some(&truth) = truth {
        confusion.add(truth, best);
    }
}

fn scores(confusion: &Confusion) -> Scores {
    Scores {
        predictions: confusion.total(),
        top1: confusion.top1(),
        macro_f1: confusion.macro_f1(),
        confusion: confusion.rows().map(<[u64]>::to_vec).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::Span;

    fn scorer(spans: &[(f64, f64, &str)]) -> Scorer {
        let spans =
            spans.iter().map(|&(start, end, label)| Span { start, end, label: label.into() });
        Scorer::new(Track::new(spans.collect()), &["idle", "wave"].map(String::from))
    }

    #[test]
    fn a_clip_across_a_change_counts_only_among_every_prediction() {
        let mut scorer = scorer(&[(0.0, 2.0, "idle"), (2.0, 9.0, "wave")]);
        scorer.add(0, 0.5, 1.5);
        scorer.add(0, 1.5, 2.5);
        scorer.add(1, 2.0, 3.0);
        let score = scorer.score();
        assert_eq!((score.clip.predictions, score.clip.top1), (2, Some(1.0)));
        assert_eq!((score.every.predictions, score.every.top1), (3, Some(2.0 / 3.0)));
        assert_eq!(score.every.confusion, [[1, 0], [1, 1]]);
    }

    #[test]
    fn unlabelled_time_and_unknown_labels_are_not_scored() {
        let mut scorer = scorer(&[(0.0, 1.0, "idle"), (2.0, 3.0, "dance")]);
        scorer.add(0, 1.2, 1.5);
        scorer.add(0, 2.2, 2.5);
        assert_eq!(scorer.score().every.predictions, 0);
        assert_eq!(scorer.truth_at(2.5), ["dance"]);
        assert_eq!(scorer.clip_top1(), None);
    }

    #[test]
    fn any_of_several_labels_at_once_is_right() {
        let mut scorer = scorer(&[(0.0, 9.0, "idle"), (0.0, 9.0, "wave")]);
        scorer.add(0, 1.0, 2.0);
        scorer.add(1, 1.0, 2.0);
        assert_eq!(scorer.clip_top1(), Some(1.0));
    }
}
