//! How well scores put the samples that hold a class above the rest: average
//! precision and the areas under the ROC and precision-recall curves.

use super::conventions::{Conventions, Task};

/// How often scores fall on and between the distinct scores of the positives.
/// All that the figures below need: no sort over the negatives, and counts that
/// can be taken in parts and added.
#[derive(Clone, Debug)]
pub(super) struct Ladder {
    /// The distinct scores of the positives, ascending: the rungs.
    rungs: Vec<f64>,
    /// Positives on each rung.
    positives: Vec<u64>,
    /// Scores, positives included: `2i` below rung i and above the one before,
    /// `2i + 1` on rung i.
    scores: Vec<u64>,
}

impl Ladder {
    /// For the scores of all positives, in any order.
    pub fn new(mut positives: Vec<f64>) -> Self {
        positives.sort_unstable_by(f64::total_cmp);
        let (mut rungs, mut counts) = (Vec::<f64>::new(), Vec::new());
        for score in positives {
            match (rungs.last(), counts.last_mut()) {
                (Some(&last), Some(count)) if last == score => *count += 1,
                _ => {
                    rungs.push(score);
                    counts.push(1);
                }
            }
        }
        let scores = vec![0; 2 * rungs.len() + 1];
        Ladder { rungs, positives: counts, scores }
    }

    /// Where `score` falls: see `scores`.
    pub fn place(&self, score: f64) -> usize {
        let rung = self.rungs.partition_point(|&rung| rung < score);
        2 * rung + usize::from(self.rungs.get(rung) == Some(&score))
    }

    /// Counts scores, those of positives too.
    pub fn count(&mut self, scores: impl IntoIterator<Item = f64>) {
        for score in scores {
            let place = self.place(score);
            self.scores[place] += 1;
        }
    }

    /// The same ladder with nothing counted yet.
    pub fn cleared(&self) -> Self {
        Ladder { scores: vec![0; self.scores.len()], ..self.clone() }
    }

    /// Adds what `other`, of the same positives, has counted.
    pub fn merge(&mut self, other: &Ladder) {
        self.scores.iter_mut().zip(&other.scores).for_each(|(a, b)| *a += b);
    }

    /// The figures of everything counted.
    pub fn rank(&self) -> Rank {
        let all_positives: u64 = self.positives.iter().sum();
        let all: u64 = self.scores.iter().sum();
        let all_negatives = all - all_positives;
        let (p, n) = (all_positives as f64, all_negatives as f64);
        // From the highest score down: hits so far, and scores so far.
        let (mut hits, mut passed) = (0u64, 0u64);
        let (mut ap, mut auprc) = (0.0, 0.0);
        // Twice the pairs of a positive and a negative in the right order.
        let mut ordered = 0u128;
        let mut precision = 1.0;
        for i in (0..self.rungs.len()).rev() {
            let between = self.scores[2 * i + 2];
            passed += between;
            if between > 0 {
                precision = hits as f64 / passed as f64;
            }
            let before = precision;
            let (new, on) = (self.positives[i], self.scores[2 * i + 1]);
            let level = on - new;
            let below = all_negatives - (passed - hits) - level;
            hits += new;
            passed += on;
            precision = hits as f64 / passed as f64;
            let gained = new as f64 / p;
            ap += gained * precision;
            auprc += gained * (before + precision) / 2.0;
            ordered += u128::from(new) * u128::from(2 * below + level);
        }
        Rank {
            positives: all_positives,
            negatives: all_negatives,
            ap: (all_positives > 0).then_some(ap),
            auprc: (all_positives > 0).then_some(auprc),
            auroc: (all_positives > 0 && all_negatives > 0).then(|| ordered as f64 / (2.0 * p * n)),
        }
    }
}

/// The ranking figures of one class. `None` where there is nothing to rank: no
/// positive, or for the ROC curve no negative either.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rank {
    pub positives: u64,
    pub negatives: u64,
    /// Average precision: Σ (R_n − R_{n−1}) P_n over the distinct scores, not
    /// interpolated (scikit-learn's `average_precision_score`).
    pub ap: Option<f64>,
    /// Area under the ROC curve by trapezoids: the share of (positive, negative)
    /// pairs in the right order, a tie being half a pair (Hanley & McNeil 1982).
    pub auroc: Option<f64>,
    /// Area under the precision-recall curve by trapezoids, from precision 1 at
    /// recall 0 (`auc(recall, precision)`). Linear interpolation between points
    /// of that curve is too optimistic (Davis & Goadrich, ICML 2006): prefer AP.
    pub auprc: Option<f64>,
}

/// The class's AP as a library gives it. A class without positives: 0 in
/// scikit-learn; undefined (NaN) in torchmetrics for single-label tasks, but 0
/// for multi-label ones, and 0 too where the whole set holds nothing but class
/// 0 (`only_first`), because it then takes every class to be without positives.
pub(super) fn ap(
    rank: &Rank,
    task: Task,
    conventions: Conventions,
    only_first: bool,
) -> Option<f64> {
    let undefined =
        conventions == Conventions::TorchMetrics && task == Task::SingleLabel && !only_first;
    rank.ap.or(if undefined { None } else { Some(0.0) })
}

/// The class's AUROC as a library gives it. Without positives or negatives:
/// undefined in scikit-learn, 0 in torchmetrics.
pub(super) fn auroc(rank: &Rank, conventions: Conventions) -> Option<f64> {
    rank.auroc.or((conventions == Conventions::TorchMetrics).then_some(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(truth: &[u8], scores: &[f64]) -> Rank {
        let positives = truth.iter().zip(scores).filter(|(t, _)| **t == 1).map(|(_, s)| *s);
        let mut ladder = Ladder::new(positives.collect());
        ladder.count(scores.iter().copied());
        ladder.rank()
    }

    /// The examples in scikit-learn's documentation: AP 0.83, AUROC 0.75.
    #[test]
    fn agrees_with_the_reference_example() {
        let rank = rank(&[0, 0, 1, 1], &[0.1, 0.4, 0.35, 0.8]);
        assert!((rank.ap.unwrap() - 5.0 / 6.0).abs() < 1e-15);
        assert_eq!(rank.auroc, Some(0.75));
        // (0, 1), (0.5, 1), (0.5, 0.5), (1, 2/3)
        assert!((rank.auprc.unwrap() - (0.5 + 0.25 * (0.5 + 2.0 / 3.0))).abs() < 1e-15);
    }

    #[test]
    fn all_scores_equal_rank_nothing() {
        let rank = rank(&[1, 0, 0, 1], &[0.5; 4]);
        assert_eq!((rank.ap, rank.auroc), (Some(0.5), Some(0.5)));
    }

    #[test]
    fn nothing_to_rank_is_undefined() {
        let absent = rank(&[0, 0], &[0.1, 0.2]);
        assert_eq!((absent.ap, absent.auroc, absent.auprc), (None, None, None));
        let always = rank(&[1, 1], &[0.1, 0.2]);
        assert_eq!((always.ap, always.auroc, always.auprc), (Some(1.0), None, Some(1.0)));
    }

    #[test]
    fn counts_taken_in_parts_add_up() {
        let scores: Vec<f64> = (0..50).map(|i| f64::from(i * 7 % 11) / 11.0).collect();
        let truth: Vec<u8> = (0..50).map(|i| u8::from(i % 3 == 0)).collect();
        let whole = rank(&truth, &scores);
        let positives = truth.iter().zip(&scores).filter(|(t, _)| **t == 1).map(|(_, s)| *s);
        let mut ladder = Ladder::new(positives.collect());
        for part in scores.chunks(7) {
            let mut counted = ladder.cleared();
            counted.count(part.iter().copied());
            ladder.merge(&counted);
        }
        assert_eq!(ladder.rank(), whole);
    }
}
