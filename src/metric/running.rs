//! Figures of a stream that does not end: memory does not grow with it.

use serde::{Deserialize, Serialize};

use super::average::{Averages, mean};
use super::bins::Bin;
use super::conventions::{Conventions, Options, Task};
use super::counts::{self, Counts};
use super::histogram::{Bounded, Histogram};
use super::rank::{self, Rank};
use super::set::{Fault, Truth, append_scores, append_truth, check_classes};
use super::tally::Tally;
use super::topk::TopK;
use crate::error::Result;

/// Takes samples one at a time. For each class it keeps three counts, its
/// calibration bins and 24 KiB of histogram.
#[derive(Clone, Debug)]
pub struct Running {
    task: Task,
    classes: usize,
    conventions: Conventions,
    tally: Tally,
    /// Empty without ranking figures.
    histograms: Vec<Histogram>,
    only_first: bool,
    scores: Vec<f64>,
    truth: Vec<u32>,
}

/// The figures so far. All are exact, what [`summary`](super::summary()) gives
/// for the same samples, but for the ranking figures, which come with the range
/// that the exact ones lie in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunningSummary {
    /// Single- or multi-label.
    pub task: Task,
    /// Whose rules hold.
    pub conventions: Conventions,
    /// Samples so far.
    pub samples: u64,
    /// As in [`Summary`](super::Summary).
    pub accuracy: f64,
    /// As in [`Summary`](super::Summary).
    pub hamming_accuracy: Option<f64>,
    /// For each k asked for, ascending.
    pub top_k: Vec<TopK>,
    /// As in [`Summary`](super::Summary).
    pub balanced_accuracy: Option<f64>,
    /// TP / (TP + FP).
    pub precision: Averages,
    /// TP / (TP + FN).
    pub recall: Averages,
    /// 2TP / (2TP + FP + FN).
    pub f1: Averages,
    /// Average precision.
    pub average_precision: BoundedAverages,
    /// Area under the ROC curve.
    pub auroc: BoundedAverages,
    /// Expected calibration error, bins of equal width.
    pub ece: f64,
    /// The mean of the classes' own.
    pub classwise_ece: f64,
    /// Maximum calibration error.
    pub mce: f64,
    /// Brier score.
    pub brier: f64,
    /// Negative log-likelihood, nats.
    pub nll: f64,
    /// The reliability diagram, bins of equal width.
    pub bins: Vec<Bin>,
}

/// A ranking figure over classes, each with its range.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BoundedAverages {
    /// The mean over classes as the chosen library gives it.
    #[serde(rename = "macro")]
    pub macro_average: Option<Bounded>,
    /// The mean over the classes that occurred as truth.
    pub macro_present: Option<Bounded>,
    /// All classes pooled into one binary problem.
    pub micro: Option<Bounded>,
    /// Of each class, in index order.
    pub per_class: Vec<Option<Bounded>>,
}

impl Running {
    /// For `classes` classes.
    ///
    /// # Errors
    /// Options that mean nothing, or too few classes for the task.
    pub fn new(task: Task, classes: usize, options: &Options) -> Result<Self> {
        options.check()?;
        check_classes(task, classes)?;
        let histograms = vec![Histogram::new(); classes];
        Ok(Running { histograms, ..Self::without_ranks(task, classes, options)? })
    }

    /// The same without average precision and AUROC: then a class takes bytes, not
    /// kilobytes, and those two are undefined.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn without_ranks(task: Task, classes: usize, options: &Options) -> Result<Self> {
        options.check()?;
        check_classes(task, classes)?;
        Ok(Running {
            task,
            classes,
            conventions: options.conventions,
            tally: Tally::new(task, classes, options),
            histograms: Vec::new(),
            only_first: true,
            scores: Vec::with_capacity(classes),
            truth: Vec::new(),
        })
    }

    /// Takes one sample: `scores` are probabilities, one for each class.
    ///
    /// # Errors
    /// As [`Set::push`](super::Set::push); the sample is then not counted.
    pub fn add<S: Copy + Into<f64>>(&mut self, truth: Truth<'_>, scores: &[S]) -> Result<()> {
        self.add_at(truth, scores, None)
    }

    /// The same where, in a multi-label task, each class has a threshold of its
    /// own: it is predicted where its probability reaches that.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_at<S: Copy + Into<f64>>(
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
        self.tally.add(&self.scores, &self.truth, thresholds);
        self.only_first &= self.task == Task::SingleLabel && self.truth == [0];
        let mut classes = self.truth.iter().map(|&class| class as usize).peekable();
        let histograms = self.histograms.iter_mut().zip(&self.scores).enumerate();
        for (class, (histogram, &score)) in histograms {
            histogram.add(score, classes.next_if_eq(&class).is_some());
        }
        Ok(())
    }

    /// The figures so far.
    pub fn summary(&self) -> RunningSummary {
        let (tally, task) = (&self.tally, self.task);
        RunningSummary {
            task,
            conventions: self.conventions,
            samples: tally.samples,
            accuracy: tally.accuracy(),
            hamming_accuracy: tally.hamming_accuracy(),
            top_k: tally.top_k(),
            balanced_accuracy: counts::balanced_accuracy(
                &tally.counts,
                tally.samples,
                task,
                self.conventions,
            ),
            precision: counts::averages(&tally.counts, task, Counts::precision),
            recall: counts::averages(&tally.counts, task, Counts::recall),
            f1: counts::averages(&tally.counts, task, Counts::f1),
            average_precision: self.ranked(Histogram::ap, |nothing| {
                rank::ap(nothing, task, self.conventions, self.only_first)
            }),
            auroc: self.ranked(Histogram::auroc, |nothing| rank::auroc(nothing, self.conventions)),
            ece: tally.ece(),
            classwise_ece: tally.classwise_ece(),
            mce: tally.mce(),
            brier: tally.brier(),
            nll: tally.nll(),
            bins: tally.diagram(),
        }
    }

    /// `undefined` gives what a figure that has nothing to rank counts for.
    fn ranked(
        &self,
        figure: fn(&Histogram) -> Option<Bounded>,
        undefined: impl Fn(&Rank) -> Option<f64>,
    ) -> BoundedAverages {
        if self.histograms.is_empty() {
            return BoundedAverages::default();
        }
        let nothing = Rank { positives: 0, negatives: 0, ap: None, auroc: None, auprc: None };
        let fallback = undefined(&nothing).map(Bounded::exactly);
        let of = |histogram: &Histogram| figure(histogram).or(fallback);
        let per_class: Vec<Option<Bounded>> = self.histograms.iter().map(of).collect();
        let mut pooled = Histogram::new();
        self.histograms.iter().for_each(|histogram| pooled.merge(histogram));
        let defined: Vec<Bounded> = per_class.iter().flatten().copied().collect();
        let present: Vec<Bounded> = per_class
            .iter()
            .zip(&self.histograms)
            .filter(|(_, histogram)| histogram.support() > 0)
            .filter_map(|(figure, _)| *figure)
            .collect();
        let whole = defined.len() == per_class.len();
        BoundedAverages {
            macro_average: if whole || self.conventions == Conventions::TorchMetrics {
                mean_of(&defined)
            } else {
                None
            },
            macro_present: mean_of(&present),
            micro: of(&pooled),
            per_class,
        }
    }
}

fn mean_of(figures: &[Bounded]) -> Option<Bounded> {
    Some(Bounded {
        value: mean(figures.iter().map(|figure| figure.value))?,
        low: mean(figures.iter().map(|figure| figure.low))?,
        high: mean(figures.iter().map(|figure| figure.high))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Set, summary};

    fn both(task: Task, conventions: Conventions) -> (RunningSummary, super::super::Summary) {
        let options = Options { conventions, top_k: vec![1, 2], ..Options::default() };
        let mut running = Running::new(task, 4, &options).unwrap();
        let mut set = Set::new(task, 4).unwrap();
        for i in 0..300usize {
            // Class 3 never occurs.
            let class = i * 7 % 3;
            let mut scores = [1.0, 2.0, 3.0, 1.0].map(|weight| weight * (1 + i * 13 % 17) as f64);
            scores[(i * 5 + i / 7) % 4] += 9.0;
            scores[class] += 12.0;
            let sum: f64 = scores.iter().sum();
            scores.iter_mut().for_each(|score| *score /= sum);
            let truth = if task == Task::SingleLabel {
                Truth::Class(class)
            } else {
                Truth::Classes(if i % 5 == 0 { &[] } else { &[0, 2] })
            };
            running.add(truth, &scores).unwrap();
            set.push("v", truth, &scores).unwrap();
        }
        (running.summary(), summary(&set, &options).unwrap())
    }

    #[test]
    fn what_is_counted_is_exact_and_what_is_ranked_is_bounded() {
        for task in [Task::SingleLabel, Task::MultiLabel] {
            for conventions in [Conventions::ScikitLearn, Conventions::TorchMetrics] {
                let (running, exact) = both(task, conventions);
                assert_eq!(running.accuracy, exact.accuracy);
                assert_eq!(running.hamming_accuracy, exact.hamming_accuracy);
                assert_eq!(running.top_k, exact.top_k);
                assert_eq!(running.balanced_accuracy, exact.balanced_accuracy);
                assert_eq!(running.f1, exact.f1);
                let calibration = &exact.calibration;
                assert_eq!((running.ece, running.mce), (calibration.ece, calibration.mce));
                assert_eq!((running.brier, running.nll), (calibration.brier, calibration.nll));
                assert_eq!(running.classwise_ece, calibration.classwise_ece);
                assert_eq!(running.bins, calibration.bins);
                let within = |bounded: Option<Bounded>, exact: Option<f64>| match (bounded, exact) {
                    (Some(b), Some(x)) => assert!(b.low - 1e-12 <= x && x <= b.high + 1e-12),
                    (bounded, exact) => assert!(bounded.is_none() && exact.is_none()),
                };
                for (bounded, exact) in [
                    (&running.average_precision, &exact.average_precision),
                    (&running.auroc, &exact.auroc),
                ] {
                    within(bounded.macro_average, exact.macro_average);
                    within(bounded.macro_present, exact.macro_present);
                    within(bounded.micro, exact.micro);
                }
                for (class, figures) in exact.per_class.iter().enumerate() {
                    within(running.average_precision.per_class[class], figures.average_precision);
                    within(running.auroc.per_class[class], figures.auroc);
                }
            }
        }
    }

    #[test]
    fn without_ranks_all_else_is_the_same() {
        let options = Options::default();
        let mut with = Running::new(Task::SingleLabel, 3, &options).unwrap();
        let mut without = Running::without_ranks(Task::SingleLabel, 3, &options).unwrap();
        for i in 0..30usize {
            let scores = [0.5, 0.3, 0.2].map(|p| p * (1.0 - 0.01 * i as f64));
            with.add(Truth::Class(i % 3), &scores).unwrap();
            without.add(Truth::Class(i % 3), &scores).unwrap();
        }
        let (with, without) = (with.summary(), without.summary());
        assert_eq!(without.auroc, BoundedAverages::default());
        let none = BoundedAverages::default;
        assert_eq!(RunningSummary { average_precision: none(), auroc: none(), ..with }, without);
    }

    #[test]
    fn a_class_may_have_a_threshold_of_its_own() {
        let mut running = Running::new(Task::MultiLabel, 2, &Options::default()).unwrap();
        running.add_at(Truth::Classes(&[0]), &[0.3, 0.8], Some(&[0.3, 0.9])).unwrap();
        assert_eq!(running.summary().accuracy, 1.0);
        running.add(Truth::Classes(&[0]), &[0.3, 0.8]).unwrap();
        assert_eq!(running.summary().accuracy, 0.5);
    }

    #[test]
    fn a_sample_that_cannot_be_scored_is_refused_and_not_counted() {
        let mut running = Running::new(Task::SingleLabel, 2, &Options::default()).unwrap();
        assert!(running.add(Truth::Class(0), &[f32::NAN, 0.5]).is_err());
        assert!(running.add(Truth::Class(2), &[0.5f32, 0.5]).is_err());
        assert_eq!(running.summary().samples, 0);
    }
}
