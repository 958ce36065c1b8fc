//! Predictions against what was really there.

use super::summary::{Score, Scores};
use crate::metric::{Confusion, answer};

/// Scores one stream. A prediction at `t` is compared with the label at `t`.
/// It counts for the *clip* figures when its whole clip lies within one label's
/// span: a clip that straddles two labels has no single right answer.
pub(super) struct Scorer {
    labels: Vec<String>,
    clip: Confusion,
    every: Confusion,
}

impl Scorer {
    /// For a model with these `labels`, in index order.
    pub fn new(labels: &[String]) -> Self {
        let confusion = || Confusion::new(labels.len());
        Scorer { labels: labels.to_vec(), clip: confusion(), every: confusion() }
    }

    /// The indices of the classes called so; what the model does not know is
    /// left out, and time with nothing else is not scored.
    pub fn classes(&self, names: &[&str]) -> Vec<usize> {
        let index = |name: &&str| self.labels.iter().position(|label| label == name);
        names.iter().filter_map(index).collect()
    }

    /// The name of a class.
    pub fn label(&self, class: usize) -> Option<&str> {
        self.labels.get(class).map(String::as_str)
    }

    /// Counts the prediction `best` (a class index) for a clip over the whole of
    /// which the classes `whole` hold, and at whose end the classes `here` do.
    pub fn add(&mut self, best: usize, whole: &[usize], here: &[usize]) {
        count(&mut self.every, here, best);
        count(&mut self.clip, whole, best);
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

fn count(confusion: &mut Confusion, truths: &[usize], best: usize) {
    if let Some(truth) = answer(truths, best) {
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

    fn scorer() -> Scorer {
        Scorer::new(&["idle", "wave"].map(String::from))
    }

    #[test]
    fn a_clip_across_a_change_counts_only_among_every_prediction() {
        let mut scorer = scorer();
        scorer.add(0, &[0], &[0]);
        scorer.add(0, &[], &[1]);
        scorer.add(1, &[1], &[1]);
        let score = scorer.score();
        assert_eq!((score.clip.predictions, score.clip.top1), (2, Some(1.0)));
        assert_eq!((score.every.predictions, score.every.top1), (3, Some(2.0 / 3.0)));
        assert_eq!(score.every.confusion, [[1, 0], [1, 1]]);
    }

    #[test]
    fn unlabelled_time_and_unknown_labels_are_not_scored() {
        let mut scorer = scorer();
        assert_eq!(scorer.classes(&["dance", "wave"]), [1]);
        scorer.add(0, &[], &[]);
        assert_eq!(scorer.score().every.predictions, 0);
        assert_eq!(scorer.clip_top1(), None);
    }

    #[test]
    fn any_of_several_labels_at_once_is_right() {
        let mut scorer = scorer();
        scorer.add(0, &[0, 1], &[0, 1]);
        scorer.add(1, &[0, 1], &[0, 1]);
        assert_eq!(scorer.clip_top1(), Some(1.0));
    }
}
