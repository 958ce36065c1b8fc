//! What can be counted one sample at a time, exactly and in bounded memory:
//! everything that needs no ranking over samples.

use super::average::ratio;
use super::bins::{EqualWidth, Fill, expected_error, greatest_error};
use super::conventions::{Options, Task};
use super::counts::Counts;
use super::set::argmax;
use super::topk::{self, TopK};

/// Probabilities are kept this far from 0 and 1 before their logarithm is taken:
/// the machine epsilon of f64, as scikit-learn's `log_loss` does.
const EPSILON: f64 = f64::EPSILON;

/// Counts and sums over samples.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    task: Task,
    options: Options,
    ks: Vec<usize>,
    width: EqualWidth,
    pub samples: u64,
    /// Samples whose prediction was wholly right.
    right: u64,
    /// Samples with a true class, and those whose truth was among the top k.
    with_truth: u64,
    k_hits: Vec<u64>,
    pub counts: Vec<Counts>,
    /// Of the top class (single-label) or of every label (multi-label).
    fills: Vec<Fill>,
    /// Of each class against the rest.
    class_fills: Vec<Vec<Fill>>,
    brier: f64,
    nll: f64,
}

impl Tally {
    pub fn new(task: Task, classes: usize, options: &Options) -> Self {
        let ks = options.ks(classes);
        let width = EqualWidth::new(options.bins, options.conventions);
        Tally {
            task,
            options: options.clone(),
            samples: 0,
            right: 0,
            with_truth: 0,
            k_hits: vec![0; ks.len()],
            ks,
            counts: vec![Counts::default(); classes],
            fills: vec![Fill::default(); width.len()],
            class_fills: vec![vec![Fill::default(); width.len()]; classes],
            width,
            brier: 0.0,
            nll: 0.0,
        }
    }

    /// Takes one sample: a probability for each class and the true classes,
    /// ascending. Multi-label: classes may have `thresholds` of their own.
    pub fn add(&mut self, scores: &[f64], truth: &[u32], thresholds: Option<&[f64]>) {
        self.samples += 1;
        if let Some(rank) = topk::rank(scores, truth, self.task, self.options.conventions) {
            self.with_truth += 1;
            for (hits, &k) in self.k_hits.iter_mut().zip(&self.ks) {
                *hits += u64::from(rank < k);
            }
        }
        let mut true_classes = truth.iter().map(|&class| class as usize).peekable();
        let mut right = true;
        for (class, &p) in scores.iter().enumerate() {
            let is_true = true_classes.next_if_eq(&class).is_some();
            let bin = self.width.index(p);
            self.class_fills[class][bin].add(p, is_true, 1);
            self.counts[class].support += u64::from(is_true);
            if self.task == Task::MultiLabel {
                let predicted = self.options.predicts(class, p, thresholds);
                self.counts[class].predicted += u64::from(predicted);
                self.counts[class].hits += u64::from(predicted && is_true);
                right &= predicted == is_true;
                self.fills[bin].add(p, is_true, 1);
            }
        }
        let (brier, nll) = brier_and_nll(scores, truth, self.task);
        self.brier += brier;
        self.nll += nll;
        if let (Task::SingleLabel, Some(&class)) = (self.task, truth.first()) {
            let class = class as usize;
            let best = argmax(scores);
            right = best == class;
            self.counts[best].predicted += 1;
            self.counts[class].hits += u64::from(right);
            self.fills[self.width.index(scores[best])].add(scores[best], right, 1);
        }
        self.right += u64::from(right);
    }

    pub fn accuracy(&self) -> f64 {
        ratio(self.right as f64, self.samples as f64)
    }

    /// The share of (sample, label) decisions that were right.
    pub fn hamming_accuracy(&self) -> Option<f64> {
        let decisions = self.samples as f64 * self.counts.len() as f64;
        let wrong: u64 =
            self.counts.iter().map(|class| class.predicted + class.support - 2 * class.hits).sum();
        (self.task == Task::MultiLabel).then(|| ratio(decisions - wrong as f64, decisions))
    }

    pub fn top_k(&self) -> Vec<TopK> {
        let accuracy = |hits| (self.with_truth > 0).then(|| hits as f64 / self.with_truth as f64);
        let hits = self.ks.iter().zip(&self.k_hits);
        hits.map(|(&k, &hits)| TopK { k, accuracy: accuracy(hits) }).collect()
    }

    pub fn ece(&self) -> f64 {
        expected_error(&self.fills)
    }

    pub fn mce(&self) -> f64 {
        greatest_error(&self.fills)
    }

    pub fn class_ece(&self, class: usize) -> f64 {
        expected_error(&self.class_fills[class])
    }

    /// The mean of the classes' own calibration errors, each against the rest
    /// (Kull et al., NeurIPS 2019, arXiv 1910.12656; "static" calibration error
    /// in Nixon et al., arXiv 1904.01685).
    pub fn classwise_ece(&self) -> f64 {
        let sum: f64 = (0..self.counts.len()).map(|class| self.class_ece(class)).sum();
        ratio(sum, self.counts.len() as f64)
    }

    pub fn diagram(&self) -> Vec<super::bins::Bin> {
        self.width.diagram(&self.fills)
    }

    pub fn brier(&self) -> f64 {
        ratio(self.brier * brier_scale(self.task, self.counts.len()), self.samples as f64)
    }

    pub fn nll(&self) -> f64 {
        ratio(self.nll * nll_scale(self.task, self.counts.len()), self.samples as f64)
    }
}

/// The natural logarithm of a probability kept off 0 and 1.
fn logarithm(p: f64) -> f64 {
    p.clamp(EPSILON, 1.0 - EPSILON).ln()
}

/// Brier score (Brier 1950): Σ over classes of (p − y)², averaged over samples;
/// halved for two classes, so that it is the binary (p − y)²: scikit-learn's
/// `brier_score_loss(scale_by_half="auto")`. Multi-label: the binary score,
/// averaged over labels.
pub(super) fn brier_scale(task: Task, classes: usize) -> f64 {
    match task {
        Task::SingleLabel if classes == 2 => 0.5,
        Task::SingleLabel => 1.0,
        Task::MultiLabel => 1.0 / classes as f64,
    }
}

/// Negative log-likelihood in nats: −ln p of the true class (scikit-learn's
/// `log_loss`). Multi-label: the binary cross-entropy, averaged over labels.
pub(super) fn nll_scale(task: Task, classes: usize) -> f64 {
    match task {
        Task::SingleLabel => 1.0,
        Task::MultiLabel => 1.0 / classes as f64,
    }
}

/// What one sample adds to the sums that those scale.
pub(super) fn brier_and_nll(scores: &[f64], truth: &[u32], task: Task) -> (f64, f64) {
    let mut true_classes = truth.iter().map(|&class| class as usize).peekable();
    let (mut squares, mut nll) = (0.0, 0.0);
    for (class, &p) in scores.iter().enumerate() {
        let is_true = true_classes.next_if_eq(&class).is_some();
        squares += if is_true { (1.0 - p) * (1.0 - p) } else { p * p };
        if task == Task::MultiLabel {
            nll -= logarithm(if is_true { p } else { 1.0 - p });
        } else if is_true {
            nll -= logarithm(p);
        }
    }
    (squares, nll)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn single(rows: &[(u32, [f64; 3])]) -> Tally {
        let mut tally = Tally::new(Task::SingleLabel, 3, &Options::default());
        rows.iter().for_each(|(truth, scores)| tally.add(scores, &[*truth], None));
        tally
    }

    /// The example in scikit-learn's documentation of `brier_score_loss`.
    #[test]
    fn brier_agrees_with_the_reference_example() {
        let tally = single(&[(0, [0.8, 0.1, 0.1]), (1, [0.2, 0.7, 0.1]), (2, [0.2, 0.2, 0.6])]);
        assert!((tally.brier() - 0.44 / 3.0).abs() < 1e-15);
        assert_eq!((tally.accuracy(), tally.hamming_accuracy()), (1.0, None));
        let nll = -(0.8f64.ln() + 0.7f64.ln() + 0.6f64.ln()) / 3.0;
        assert!((tally.nll() - nll).abs() < 1e-15);
    }

    #[test]
    fn a_truth_given_no_chance_costs_a_finite_loss() {
        let tally = single(&[(1, [1.0, 0.0, 0.0])]);
        assert!((tally.nll() + f64::EPSILON.ln()).abs() < 1e-12);
    }

    #[test]
    fn multi_label_accuracy_is_the_whole_set_of_labels() {
        let mut tally = Tally::new(Task::MultiLabel, 2, &Options::default());
        tally.add(&[0.9, 0.2], &[0], None);
        tally.add(&[0.9, 0.6], &[0], None);
        tally.add(&[0.5, 0.1], &[], None);
        assert_eq!(tally.accuracy(), 2.0 / 3.0);
        assert_eq!(tally.hamming_accuracy(), Some(5.0 / 6.0));
        // The sample without a label says nothing about top-k.
        assert_eq!(tally.top_k(), [TopK { k: 1, accuracy: Some(1.0) }]);
    }
}
