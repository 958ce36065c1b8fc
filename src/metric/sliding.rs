//! Figures of the last samples of a stream: the oldest leave again.

use std::collections::VecDeque;

use super::average::ratio;
use super::bins::{EqualMass, EqualWidth, Fill, expected_error};
use super::conventions::{Options, Task};
use super::counts::{self, Counts};
use super::set::{Fault, Truth, append_scores, append_truth, argmax, check_classes};
use super::tally::{brier_and_nll, brier_scale, nll_scale};
use super::topk::{self, TopK};
use crate::error::Result;

/// Takes samples one at a time and lets the oldest go. Of each it keeps what the
/// figures need, some 64 bytes in a single-label task, and in a multi-label one
/// some 32 and 24 for each calibration bin that its labels fall into: never its
/// scores. Figures are made from what is kept, so that sums do not drift as
/// samples come and go.
#[derive(Clone, Debug)]
pub struct Sliding {
    task: Task,
    classes: usize,
    options: Options,
    width: EqualWidth,
    samples: VecDeque<Sample>,
    /// Of each sample in turn, its true classes, then its predicted ones.
    named: VecDeque<u32>,
    /// Of each sample in turn, what fell into which bin.
    fills: VecDeque<(u32, Fill)>,
    scores: Vec<f64>,
    truth: Vec<u32>,
    /// Multi-label, while a sample is added: what it puts into each bin.
    own: Vec<Fill>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    brier: f64,
    nll: f64,
    /// How many scores lie above the truth's; `None` without a true class.
    rank: Option<u32>,
    right: bool,
    truths: u32,
    predicted: u32,
    fills: u32,
}

/// The figures of the samples that are there: what [`summary`](super::summary())
/// gives for the same ones.
#[derive(Clone, Debug, PartialEq)]
pub struct SlidingSummary {
    /// Samples.
    pub samples: usize,
    /// As in [`Summary`](super::Summary).
    pub accuracy: f64,
    /// For each k asked for, ascending.
    pub top_k: Vec<TopK>,
    /// Macro-F1 by the chosen conventions.
    pub macro_f1: Option<f64>,
    /// Expected calibration error, bins of equal width.
    pub ece: f64,
    /// The same over bins of equal mass; `None` in a multi-label task, where
    /// every score of every sample would have to be kept.
    pub ece_equal_mass: Option<f64>,
    /// Brier score.
    pub brier: f64,
    /// Negative log-likelihood, nats.
    pub nll: f64,
}

impl Sliding {
    /// For `classes` classes.
    ///
    /// # Errors
    /// Options that mean nothing, or too few classes for the task.
    pub fn new(task: Task, classes: usize, options: &Options) -> Result<Self> {
        options.check()?;
        check_classes(task, classes)?;
        Ok(Sliding {
            task,
            classes,
            options: options.clone(),
            width: EqualWidth::new(options.bins, options.conventions),
            samples: VecDeque::new(),
            named: VecDeque::new(),
            fills: VecDeque::new(),
            scores: Vec::with_capacity(classes),
            truth: Vec::new(),
            own: Vec::new(),
        })
    }

    /// Takes one sample: `scores` are probabilities, one for each class. In a
    /// multi-label task a class is predicted where its probability reaches its
    /// own of the `thresholds`, or without them where it is above
    /// [`Options::threshold`].
    ///
    /// # Errors
    /// As [`Set::push`](super::Set::push); the sample is then not taken.
    pub fn add<S: Copy + Into<f64>>(
        &mut self,
        truth: Truth<'_>,
        scores: &[S],
        thresholds: Option<&[f64]>,
    ) -> Result<()> {
        self.scores.clear();
        self.truth.clear();
        append_scores(&mut self.scores, scores, self.classes)
            .and_then(|()| append_truth(&mut self.truth, truth, self.task, self.classes))
            .map_err(|fault: Fault| fault.error("scoring a prediction".to_owned()))?;
        let (scores, truth) = (&self.scores, &self.truth);
        self.named.extend(truth);
        let (predicted, fills, right) = match (self.task, truth.first()) {
            (Task::SingleLabel, first) => {
                let best = argmax(scores);
                let right = first.is_some_and(|&class| class as usize == best);
                self.named.push_back(best as u32);
                let p = scores.get(best).copied().unwrap_or_default();
                let mut fill = Fill::default();
                fill.add(p, right, 1);
                self.fills.push_back((self.width.index(p) as u32, fill));
                (1, 1, right)
            }
            (Task::MultiLabel, _) => {
                self.own.clear();
                self.own.resize(self.width.len(), Fill::default());
                let mut true_classes = truth.iter().map(|&class| class as usize).peekable();
                let (mut count, mut right) = (0, true);
                for (class, &p) in scores.iter().enumerate() {
                    let is_true = true_classes.next_if_eq(&class).is_some();
                    let predicted = self.options.predicts(class, p, thresholds);
                    right &= predicted == is_true;
                    if predicted {
                        self.named.push_back(class as u32);
                        count += 1;
                    }
                    if let Some(fill) = self.own.get_mut(self.width.index(p)) {
                        fill.add(p, is_true, 1);
                    }
                }
                let before = self.fills.len();
                let own = self.own.iter().enumerate().filter(|(_, fill)| fill.count > 0);
                self.fills.extend(own.map(|(bin, fill)| (bin as u32, *fill)));
                (count, self.fills.len() - before, right)
            }
        };
        let (brier, nll) = brier_and_nll(scores, truth, self.task);
        let rank = topk::rank(scores, truth, self.task, self.options.conventions);
        self.samples.push_back(Sample {
            brier,
            nll,
            rank: rank.map(|rank| rank as u32),
            right,
            truths: truth.len() as u32,
            predicted,
            fills: fills as u32,
        });
        Ok(())
    }

    /// Lets the oldest sample go, if there is one.
    pub fn remove_oldest(&mut self) {
        if let Some(sample) = self.samples.pop_front() {
            self.named.drain(..(sample.truths + sample.predicted) as usize);
            self.fills.drain(..sample.fills as usize);
        }
    }

    /// Samples that are there.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The figures of the samples that are there; `None` of none.
    pub fn summary(&self) -> Option<SlidingSummary> {
        if self.is_empty() {
            return None;
        }
        let ks = self.options.ks(self.classes);
        let mut hits = vec![0u64; ks.len()];
        let (mut right, mut with_truth, mut brier, mut nll) = (0u64, 0u64, 0.0, 0.0);
        let mut counts = vec![Counts::default(); self.classes];
        let mut named = self.named.iter().map(|&class| class as usize);
        let mut truth: Vec<usize> = Vec::new();
        for sample in &self.samples {
            right += u64::from(sample.right);
            brier += sample.brier;
            nll += sample.nll;
            if let Some(rank) = sample.rank {
                with_truth += 1;
                for (hits, &k) in hits.iter_mut().zip(&ks) {
                    *hits += u64::from((rank as usize) < k);
                }
            }
            truth.clear();
            truth.extend(named.by_ref().take(sample.truths as usize));
            for &class in &truth {
                counts[class].support += 1;
            }
            for class in named.by_ref().take(sample.predicted as usize) {
                counts[class].predicted += 1;
                counts[class].hits += u64::from(truth.contains(&class));
            }
        }
        let mut bins = vec![Fill::default(); self.width.len()];
        for (bin, fill) in &self.fills {
            bins[*bin as usize].merge(fill, 1);
        }
        let samples = self.len() as f64;
        let accuracy = |hits: u64| (with_truth > 0).then(|| hits as f64 / with_truth as f64);
        Some(SlidingSummary {
            samples: self.len(),
            accuracy: ratio(right as f64, samples),
            top_k: ks
                .iter()
                .zip(&hits)
                .map(|(&k, &hits)| TopK { k, accuracy: accuracy(hits) })
                .collect(),
            macro_f1: counts::averages(&counts, self.task, Counts::f1).macro_average,
            ece: expected_error(&bins),
            ece_equal_mass: (self.task == Task::SingleLabel).then(|| self.equal_mass()),
            brier: ratio(brier * brier_scale(self.task, self.classes), samples),
            nll: ratio(nll * nll_scale(self.task, self.classes), samples),
        })
    }

    /// Of single-label samples, each of which fills one bin alone.
    fn equal_mass(&self) -> f64 {
        let mut sorted: Vec<(f64, bool, u32)> =
            self.fills.iter().map(|(_, fill)| (fill.confidence, fill.right > 0, 0)).collect();
        sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        expected_error(&EqualMass::new(&sorted, |_| 1, self.options.bins).fills)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Conventions, Set, summary};

    /// Sample `i` of a stream in which class 3 never occurs.
    fn sample(i: usize, task: Task) -> (Vec<usize>, Vec<f64>) {
        let class = i * 7 % 3;
        let mut scores = [1.0, 2.0, 3.0, 1.0].map(|weight| weight * (1 + i * 13 % 17) as f64);
        scores[(i * 5 + i / 7) % 4] += 9.0;
        scores[class] += 12.0;
        let sum: f64 = scores.iter().sum();
        let truth = match task {
            Task::SingleLabel => vec![class],
            Task::MultiLabel if i.is_multiple_of(5) => vec![],
            Task::MultiLabel => vec![0, 2],
        };
        (truth, scores.iter().map(|score| score / sum).collect())
    }

    #[test]
    fn what_is_left_has_the_figures_of_a_set_of_the_same_samples() {
        for task in [Task::SingleLabel, Task::MultiLabel] {
            for conventions in [Conventions::ScikitLearn, Conventions::TorchMetrics] {
                let options = Options { conventions, top_k: vec![1, 2], ..Options::default() };
                let mut sliding = Sliding::new(task, 4, &options).unwrap();
                for i in 0..300 {
                    let (truth, scores) = sample(i, task);
                    sliding.add(Truth::Classes(&truth), &scores, None).unwrap();
                    if sliding.len() > 120 {
                        sliding.remove_oldest();
                    }
                }
                let mut set = Set::new(task, 4).unwrap();
                for i in 180..300 {
                    let (truth, scores) = sample(i, task);
                    set.push("v", Truth::Classes(&truth), &scores).unwrap();
                }
                let (some, exact) = (sliding.summary().unwrap(), summary(&set, &options).unwrap());
                assert_eq!(some.samples, exact.samples);
                assert_eq!((some.accuracy, &some.top_k), (exact.accuracy, &exact.top_k));
                assert_eq!(some.macro_f1, exact.f1.macro_average);
                let calibration = &exact.calibration;
                assert!((some.ece - calibration.ece).abs() < 1e-14);
                assert!((some.brier - calibration.brier).abs() < 1e-14);
                assert!((some.nll - calibration.nll).abs() < 1e-14);
                match task {
                    Task::SingleLabel => {
                        assert_eq!(some.ece_equal_mass, Some(calibration.ece_equal_mass));
                    }
                    Task::MultiLabel => assert_eq!(some.ece_equal_mass, None),
                }
            }
        }
    }

    #[test]
    fn nothing_is_left_behind_when_all_have_gone() {
        for task in [Task::SingleLabel, Task::MultiLabel] {
            let mut sliding = Sliding::new(task, 4, &Options::default()).unwrap();
            for i in 0..50 {
                let (truth, scores) = sample(i, task);
                sliding.add(Truth::Classes(&truth), &scores, None).unwrap();
            }
            for _ in 0..60 {
                sliding.remove_oldest();
            }
            assert_eq!(sliding.summary(), None);
            assert!(sliding.named.is_empty() && sliding.fills.is_empty());
        }
    }

    #[test]
    fn a_class_has_its_own_threshold() {
        let mut sliding = Sliding::new(Task::MultiLabel, 2, &Options::default()).unwrap();
        sliding.add(Truth::Classes(&[0]), &[0.3, 0.8], Some(&[0.3, 0.9])).unwrap();
        assert_eq!(sliding.summary().unwrap().accuracy, 1.0);
        sliding.add(Truth::Classes(&[0]), &[0.3, 0.8], None).unwrap();
        assert_eq!(sliding.summary().unwrap().accuracy, 0.5);
    }

    #[test]
    fn a_sample_that_cannot_be_scored_is_refused_and_not_kept() {
        let mut sliding = Sliding::new(Task::SingleLabel, 2, &Options::default()).unwrap();
        assert!(sliding.add(Truth::Class(0), &[f32::NAN, 0.5], None).is_err());
        assert!(sliding.add(Truth::Class(2), &[0.5f32, 0.5], None).is_err());
        assert!(sliding.is_empty() && sliding.named.is_empty());
    }
}
