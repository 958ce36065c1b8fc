//! Every figure of a whole set, exact.

use serde::{Deserialize, Serialize};

use super::average::{Averages, mean, weighted};
use super::bins::{Bin, EqualMass, expected_error};
use super::confusion::Confusion;
use super::conventions::{Conventions, Options, Task};
use super::counts::{self, Counts};
use super::rank::{self, Ladder, Rank};
use super::set::Set;
use super::spread::spread;
use super::tally::Tally;
use super::topk::TopK;
use crate::error::{Error, Result};

/// Every figure of a set. `None` where one is undefined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Single- or multi-label.
    pub task: Task,
    /// Whose rules hold.
    pub conventions: Conventions,
    /// Samples scored.
    pub samples: usize,
    /// Videos that they were cut from.
    pub videos: usize,
    /// Classes of the model.
    pub classes: usize,
    /// Single-label: the most probable class is right (of equals the lowest
    /// index). Multi-label: every label is right (exact match).
    pub accuracy: f64,
    /// Multi-label: the share of single labels that are right.
    pub hamming_accuracy: Option<f64>,
    /// For each k asked for, ascending.
    pub top_k: Vec<TopK>,
    /// Mean recall: see `docs/metrics.md`.
    pub balanced_accuracy: Option<f64>,
    /// TP / (TP + FP).
    pub precision: Averages,
    /// TP / (TP + FN).
    pub recall: Averages,
    /// 2TP / (2TP + FP + FN).
    pub f1: Averages,
    /// Average precision; its macro average is mAP.
    pub average_precision: Averages,
    /// Area under the ROC curve, each class against the rest.
    pub auroc: Averages,
    /// Area under the precision-recall curve by trapezoids.
    pub auprc: Averages,
    /// Confidence against accuracy.
    pub calibration: Calibration,
    /// One for each class, in index order.
    pub per_class: Vec<ClassFigures>,
}

/// How far probabilities can be taken at their word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Expected calibration error over bins of equal width: of the most probable
    /// class (single-label), or of every label (multi-label).
    pub ece: f64,
    /// The same over bins of equal mass.
    pub ece_equal_mass: f64,
    /// The mean over classes of each one's own expected calibration error.
    pub classwise_ece: f64,
    /// Maximum calibration error over bins of equal width.
    pub mce: f64,
    /// Brier score: 0 to 2 with three classes or more, else 0 to 1.
    pub brier: f64,
    /// Negative log-likelihood, nats.
    pub nll: f64,
    /// The reliability diagram, bins of equal width.
    pub bins: Vec<Bin>,
    /// The reliability diagram, bins of equal mass.
    pub equal_mass_bins: Vec<Bin>,
}

/// The figures of one class against the rest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassFigures {
    /// Its index.
    pub class: usize,
    /// Samples where it was true.
    pub support: u64,
    /// Samples where it was predicted.
    pub predicted: u64,
    /// Samples where it was both.
    pub true_positives: u64,
    /// 0 where it was never predicted.
    pub precision: f64,
    /// 0 where it was never true.
    pub recall: f64,
    /// 0 where it was neither.
    pub f1: f64,
    /// Average precision.
    pub average_precision: Option<f64>,
    /// Area under the ROC curve.
    pub auroc: Option<f64>,
    /// Area under the precision-recall curve by trapezoids.
    pub auprc: Option<f64>,
    /// Expected calibration error, bins of equal width.
    pub ece: f64,
}

/// Every figure of `set`. 400 classes and 100,000 samples take seconds.
///
/// # Errors
/// An empty set, or options that mean nothing.
pub fn summary(set: &Set, options: &Options) -> Result<Summary> {
    options.check()?;
    if set.is_empty() {
        return Err(Error::data("computing metrics", "there is no sample")
            .remedy("check that labels and videos have names in common"));
    }
    let (task, conventions) = (set.task(), options.conventions);
    let mut tally = Tally::new(task, set.classes(), options);
    set.rows().for_each(|(scores, truth)| tally.add(scores, truth, None));
    let ranks = rank_classes(set);
    let pooled = rank_pooled(set);
    let counts = &tally.counts;

    let only_first = only_first_class(set);
    let ap = |rank: &Rank| rank::ap(rank, task, conventions, only_first);
    let auroc = |rank: &Rank| rank::auroc(rank, conventions);
    let per_class =
        ranks.iter().zip(counts).enumerate().map(|(class, (rank, counts))| ClassFigures {
            class,
            support: counts.support,
            predicted: counts.predicted,
            true_positives: counts.hits,
            precision: counts.precision(),
            recall: counts.recall(),
            f1: counts.f1(),
            average_precision: ap(rank),
            auroc: auroc(rank),
            auprc: rank.auprc,
            ece: tally.class_ece(class),
        });
    let equal_mass = EqualMass::new(&confidences(set), |_| 1, options.bins);
    Ok(Summary {
        task,
        conventions,
        samples: set.len(),
        videos: set.videos().len(),
        classes: set.classes(),
        accuracy: tally.accuracy(),
        hamming_accuracy: tally.hamming_accuracy(),
        top_k: tally.top_k(),
        balanced_accuracy: counts::balanced_accuracy(counts, tally.samples, task, conventions),
        precision: counts::averages(counts, task, Counts::precision),
        recall: counts::averages(counts, task, Counts::recall),
        f1: counts::averages(counts, task, Counts::f1),
        average_precision: averages(&ranks, &pooled, conventions, ap),
        auroc: averages(&ranks, &pooled, conventions, auroc),
        // No library defines it for an absent class: left out.
        auprc: averages(&ranks, &pooled, Conventions::TorchMetrics, |rank| rank.auprc),
        per_class: per_class.collect(),
        calibration: Calibration {
            ece: tally.ece(),
            ece_equal_mass: expected_error(&equal_mass.fills),
            classwise_ece: tally.classwise_ece(),
            mce: tally.mce(),
            brier: tally.brier(),
            nll: tally.nll(),
            bins: tally.diagram(),
            equal_mass_bins: equal_mass.diagram(),
        },
    })
}

/// An undefined class makes scikit-learn's macro average undefined (NaN);
/// torchmetrics leaves it out.
fn averages(
    ranks: &[Rank],
    pooled: &Rank,
    conventions: Conventions,
    figure: impl Fn(&Rank) -> Option<f64>,
) -> Averages {
    let figures: Vec<Option<f64>> = ranks.iter().map(&figure).collect();
    let weight = |rank: &Rank| rank.positives;
    // torchmetrics drops an undefined class from the weighted mean too, but none
    // of those has a weight.
    let with_weights = figures.iter().copied().zip(ranks.iter().map(weight));
    let defined = figures.iter().flatten().copied();
    let undefined = figures.iter().any(Option::is_none);
    let present = figures.iter().zip(ranks).filter(|(_, rank)| rank.positives > 0);
    Averages {
        macro_average: if undefined && conventions == Conventions::ScikitLearn {
            None
        } else {
            mean(defined)
        },
        weighted: weighted(with_weights),
        micro: figure(pooled),
        macro_all: mean(figures.iter().map(|figure| figure.unwrap_or(0.0))),
        macro_present: mean(present.filter_map(|(figure, _)| *figure)),
    }
}

/// Whether every sample of a single-label set is of class 0.
pub(super) fn only_first_class(set: &Set) -> bool {
    set.task() == Task::SingleLabel && set.rows().all(|(_, truth)| truth == [0])
}

/// Classes whose scores are gathered in one pass over the rows: a cache line's
/// worth.
const TOGETHER: usize = 8;

/// Calls `work(class, scores of all samples)` for every class, on all cores, and
/// returns the results in class order.
pub(super) fn by_class<T: Send>(set: &Set, work: impl Fn(usize, &[f64]) -> T + Sync) -> Vec<T> {
    let (classes, samples) = (set.classes(), set.len());
    let blocks = spread(classes.div_ceil(TOGETHER), |block| {
        let first = block * TOGETHER;
        let width = TOGETHER.min(classes - first);
        let mut columns = vec![0.0; width * samples];
        for i in 0..samples {
            for (k, &score) in set.scores(i)[first..first + width].iter().enumerate() {
                columns[k * samples + i] = score;
            }
        }
        let work = |(k, column)| work(first + k, column);
        columns.chunks_exact(samples.max(1)).enumerate().map(work).collect::<Vec<_>>()
    });
    blocks.into_iter().flatten().collect()
}

/// Each class against the rest.
fn rank_classes(set: &Set) -> Vec<Rank> {
    let positives = set.positives();
    by_class(set, |class, scores| {
        let of_positives = positives[class].iter().map(|&i| scores[i as usize]);
        let mut ladder = Ladder::new(of_positives.collect());
        ladder.count(scores.iter().copied());
        ladder.rank()
    })
}

/// All classes as one binary problem.
fn rank_pooled(set: &Set) -> Rank {
    let of_truth = |(scores, truth): (_, &[u32])| {
        let scores: &[f64] = scores;
        truth.iter().map(|&class| scores[class as usize]).collect::<Vec<_>>()
    };
    let mut ladder = Ladder::new(set.rows().flat_map(of_truth).collect());
    let parts: Vec<&[f64]> = set.all_scores().chunks(1 << 18).collect();
    let counted = spread(parts.len(), |part| {
        let mut ladder = ladder.cleared();
        ladder.count(parts[part].iter().copied());
        ladder
    });
    counted.iter().for_each(|part| ladder.merge(part));
    ladder.rank()
}

/// (confidence, right?, video) of the predictions that calibration is about,
/// sorted: the most probable class of each sample, or every label.
pub(super) fn confidences(set: &Set) -> Vec<(f64, bool, u32)> {
    let mut all = Vec::new();
    for i in 0..set.len() {
        let (scores, truth, video) = (set.scores(i), set.truth(i), set.video(i) as u32);
        let holds = |class: usize| truth.binary_search(&(class as u32)).is_ok();
        match set.task() {
            Task::SingleLabel => {
                let best = set.predicted(i);
                all.push((scores[best], holds(best), video));
            }
            Task::MultiLabel => {
                let labels = scores.iter().enumerate();
                all.extend(labels.map(|(class, &p)| (p, holds(class), video)));
            }
        }
    }
    all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    all
}

/// The confusion matrix of a single-label set: rows are the truth.
///
/// # Errors
/// A multi-label set has none.
pub fn confusion(set: &Set) -> Result<Confusion> {
    if set.task() == Task::MultiLabel {
        return Err(Error::data("counting confusions", "the set is multi-label")
            .remedy("read the counts of each label instead"));
    }
    let mut confusion = Confusion::new(set.classes());
    for i in 0..set.len() {
        set.truth(i).iter().for_each(|&class| confusion.add(class as usize, set.predicted(i)));
    }
    Ok(confusion)
}

/// One bar of a confidence histogram.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfidenceBin {
    /// Lower edge.
    pub low: f64,
    /// Upper edge.
    pub high: f64,
    /// Right predictions in it.
    pub right: u64,
    /// Wrong predictions in it.
    pub wrong: u64,
}

/// How confident right and wrong predictions were, in `bins` bins of equal
/// width: of the most probable class (single-label), or of every label.
pub fn confidence_histogram(set: &Set, bins: usize) -> Vec<ConfidenceBin> {
    let bins = bins.max(1);
    let edge = |i: usize| i as f64 / bins as f64;
    let bar = |i| ConfidenceBin { low: edge(i), high: edge(i + 1), right: 0, wrong: 0 };
    let mut bars: Vec<ConfidenceBin> = (0..bins).map(bar).collect();
    for (confidence, right, _) in confidences(set) {
        let bar = &mut bars[((confidence * bins as f64) as usize).min(bins - 1)];
        *(if right { &mut bar.right } else { &mut bar.wrong }) += 1;
    }
    bars
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Truth;

    fn single(rows: &[(usize, [f64; 3])]) -> Set {
        let mut set = Set::new(Task::SingleLabel, 3).unwrap();
        for (truth, scores) in rows {
            set.push("v", Truth::Class(*truth), scores).unwrap();
        }
        set
    }

    fn options(conventions: Conventions) -> Options {
        Options { conventions, ..Options::default() }
    }

    /// Class 2 never occurs.
    fn with_absent() -> Set {
        single(&[(0, [0.7, 0.2, 0.1]), (1, [0.4, 0.3, 0.3]), (1, [0.1, 0.8, 0.1])])
    }

    #[test]
    fn an_absent_class_counts_as_each_library_has_it() {
        let set = with_absent();
        let sklearn = summary(&set, &options(Conventions::ScikitLearn)).unwrap();
        assert_eq!(sklearn.average_precision.macro_average, Some(2.0 / 3.0));
        assert_eq!(sklearn.average_precision.macro_present, Some(1.0));
        assert_eq!((sklearn.auroc.macro_average, sklearn.auroc.weighted), (None, Some(1.0)));
        let torch = summary(&set, &options(Conventions::TorchMetrics)).unwrap();
        assert_eq!(torch.average_precision.macro_average, Some(1.0));
        assert_eq!(torch.auroc.macro_average, Some(2.0 / 3.0));
        assert_eq!(torch.per_class[2].auroc, Some(0.0));
    }

    #[test]
    fn torchmetrics_takes_a_set_of_nothing_but_class_0_to_lack_every_class() {
        let of = |class| {
            let set = single(&[(class, [0.7, 0.2, 0.1]), (class, [0.4, 0.3, 0.3])]);
            let figures = summary(&set, &options(Conventions::TorchMetrics)).unwrap();
            figures.average_precision.macro_average
        };
        assert_eq!((of(0), of(1)), (Some(1.0 / 3.0), Some(1.0)));
    }

    #[test]
    fn an_empty_set_has_no_figures() {
        let empty = Set::new(Task::SingleLabel, 3).unwrap();
        assert!(summary(&empty, &Options::default()).is_err());
    }

    #[test]
    fn a_summary_reads_back_from_json() {
        let figures = summary(&with_absent(), &Options::default()).unwrap();
        let json = serde_json::to_string(&figures).unwrap();
        assert!(json.contains("\"macro\":null") && json.contains("\"task\":\"single-label\""));
        let read: Summary = serde_json::from_str(&json).unwrap();
        assert_eq!((read.f1, read.auroc), (figures.f1, figures.auroc));
        assert_eq!(read.per_class.len(), 3);
    }

    #[test]
    fn the_confusion_matrix_and_the_histogram_count_every_sample() {
        let set = with_absent();
        let matrix = confusion(&set).unwrap();
        assert_eq!((matrix.count(1, 0), matrix.count(1, 1), matrix.total()), (1, 1, 3));
        let bars = confidence_histogram(&set, 2);
        assert_eq!((bars[0].right, bars[0].wrong), (0, 1));
        assert_eq!((bars[1].right, bars[1].wrong), (2, 0));
        assert!(confusion(&Set::new(Task::MultiLabel, 2).unwrap()).is_err());
    }
}
