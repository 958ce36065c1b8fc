//! Ranking figures in bounded memory: scores are counted in fixed bins, and the
//! figures come with the range that the exact ones lie in.

use serde::{Deserialize, Serialize};

/// A figure known to lie between two numbers, both included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bounded {
    /// The figure with all scores in a bin taken as equal.
    pub value: f64,
    /// The exact figure is not less …
    pub low: f64,
    /// … nor greater, up to rounding.
    pub high: f64,
}

impl Bounded {
    /// A figure that is known.
    pub(super) fn exactly(value: f64) -> Self {
        Bounded { value, low: value, high: value }
    }
}

/// Bins in each doubling of the odds: neighbours differ by at most 1/32, about
/// 3 %.
const PER_OCTAVE: u32 = 32;
/// Odds from 2⁻²⁴ to 2²⁴ are told apart: probabilities from 6·10⁻⁸ to 1 − 6·10⁻⁸.
const OCTAVES: u32 = 48;
/// 24 KiB for each class.
const BINS: usize = (PER_OCTAVE * OCTAVES) as usize;

/// Positives and negatives by score, for one class.
///
/// The bins are of equal width in the leading bits of the odds p / (1 − p): fine
/// where softmax and sigmoid crowd, near 0 and near 1, and the same on every
/// machine, since no logarithm is taken.
///
/// The error: two scores in one bin may be in either order. For AUROC that is at
/// most half the share of (positive, negative) pairs that share a bin, to either
/// side; both ends of the range can be reached. For AP the ends are those of the
/// worst order in each bin (all negatives first) and a limit on the best (all
/// positives first and tied).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Histogram {
    positives: Vec<u64>,
    negatives: Vec<u64>,
}

impl Histogram {
    pub fn new() -> Self {
        Histogram { positives: vec![0; BINS], negatives: vec![0; BINS] }
    }

    /// Counts one score from 0 to 1.
    pub fn add(&mut self, score: f64, positive: bool) {
        let side = if positive { &mut self.positives } else { &mut self.negatives };
        side[bin(score)] += 1;
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Histogram) {
        let add = |a: &mut [u64], b: &[u64]| a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        add(&mut self.positives, &other.positives);
        add(&mut self.negatives, &other.negatives);
    }

    /// Scores of positives counted.
    pub fn support(&self) -> u64 {
        self.positives.iter().sum()
    }

    /// Average precision; `None` without a positive.
    pub fn ap(&self) -> Option<Bounded> {
        let all = self.support() as f64;
        let (mut hits, mut passed) = (0.0, 0.0);
        let (mut value, mut low, mut high) = (0.0, 0.0, 0.0);
        for (&p, &n) in self.positives.iter().zip(&self.negatives).rev() {
            let (p, n) = (p as f64, n as f64);
            if p > 0.0 {
                value += p * (hits + p) / (passed + p + n);
                high += p * (hits + p) / (passed + p);
                // Σ over i = 1 … p of (hits + i) / (passed + n + i).
                let wrong = passed + n - hits;
                low += p - wrong * harmonics(passed + n, p);
            }
            hits += p;
            passed += p + n;
        }
        (all > 0.0).then(|| Bounded {
            value: value / all,
            low: (low / all).max(0.0),
            high: high / all,
        })
    }

    /// Area under the ROC curve; `None` without a positive or without a negative.
    pub fn auroc(&self) -> Option<Bounded> {
        let positives = self.support() as f64;
        let negatives = self.negatives.iter().sum::<u64>() as f64;
        let mut below = negatives;
        let (mut low, mut high) = (0.0, 0.0);
        for (&p, &n) in self.positives.iter().zip(&self.negatives).rev() {
            let (p, n) = (p as f64, n as f64);
            high += p * below;
            below -= n;
            low += p * below;
        }
        let pairs = positives * negatives;
        (pairs > 0.0).then(|| Bounded {
            value: (low + high) / 2.0 / pairs,
            low: low / pairs,
            high: high / pairs,
        })
    }
}

/// The bin of a score: its odds' exponent and leading bits.
fn bin(score: f64) -> usize {
    let odds = score / (1.0 - score);
    let bits = odds.to_bits() >> (52 - PER_OCTAVE.ilog2());
    let lowest = u64::from((1023 - OCTAVES / 2) * PER_OCTAVE);
    (bits.saturating_sub(lowest) as usize).min(BINS - 1)
}

/// Σ over i = 1 … count of 1 / (from + i).
fn harmonics(from: f64, count: f64) -> f64 {
    if count <= 64.0 {
        let (mut sum, mut i) = (0.0, 1.0);
        while i <= count {
            sum += 1.0 / (from + i);
            i += 1.0;
        }
        return sum;
    }
    // Up to where the asymptotic expansion of ψ(x + 1) holds, one by one.
    let skipped = (64.0 - from).max(0.0);
    let tail = |x: f64| {
        let inverse = 1.0 / (x * x);
        0.5 / x - inverse / 12.0 * (1.0 - inverse / 10.0)
    };
    let (start, end) = (from + skipped, from + count);
    if skipped >= count {
        return harmonics(from, 64.0);
    }
    harmonics(from, skipped) + (end / start).ln() + tail(end) - tail(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::rank::Ladder;

    fn scores(seed: u64, count: usize, sharp: i32) -> Vec<(f64, bool)> {
        let mut state = seed;
        let mut unit = move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        (0..count)
            .map(|_| {
                let positive = unit() < 0.3;
                let score = unit().powi(sharp);
                (if positive { 1.0 - (1.0 - score) * unit() } else { score }, positive)
            })
            .collect()
    }

    #[test]
    fn the_exact_figures_lie_within_their_bounds_and_those_are_narrow() {
        for seed in 1..40 {
            for sharp in [1, 4, 30] {
                let scores = scores(seed, 400, sharp);
                let positives = scores.iter().filter(|(_, positive)| *positive).map(|(s, _)| *s);
                let mut ladder = Ladder::new(positives.collect());
                ladder.count(scores.iter().map(|(score, _)| *score));
                let mut histogram = Histogram::new();
                scores.iter().for_each(|&(score, positive)| histogram.add(score, positive));
                let exact = ladder.rank();
                for (bounded, exact) in [
                    (histogram.ap().unwrap(), exact.ap.unwrap()),
                    (histogram.auroc().unwrap(), exact.auroc.unwrap()),
                ] {
                    assert!(bounded.low - 1e-12 <= exact && exact <= bounded.high + 1e-12);
                    assert!(bounded.low <= bounded.value && bounded.value <= bounded.high + 1e-12);
                    assert!(bounded.high - bounded.low < 0.03, "{bounded:?}");
                }
            }
        }
    }

    #[test]
    fn scores_all_alike_bound_nothing_but_are_tied_in_value() {
        let mut histogram = Histogram::new();
        [true, false, false, true].iter().for_each(|&positive| histogram.add(0.5, positive));
        assert_eq!(histogram.auroc().unwrap(), Bounded { value: 0.5, low: 0.0, high: 1.0 });
        let ap = histogram.ap().unwrap();
        assert_eq!((ap.value, ap.high), (0.5, 1.0));
        // Negatives first: (1/3 + 2/4) / 2.
        assert!((ap.low - 5.0 / 12.0).abs() < 1e-15);
    }

    #[test]
    fn bins_rise_with_the_score_and_take_both_ends() {
        assert_eq!((bin(0.0), bin(1.0)), (0, BINS - 1));
        let bins: Vec<usize> = (0..=10_000).map(|i| bin(f64::from(i) / 10_000.0)).collect();
        assert!(bins.is_sorted());
        assert!(bin(0.5) != bin(0.51) && bin(0.999) != bin(0.9991) && bin(1e-6) != bin(1.1e-6));
    }

    #[test]
    fn harmonic_sums_of_any_length_agree_with_adding_up() {
        for (from, count) in [(0, 1), (0, 65), (3, 1000), (70, 500), (10, 60), (1_000_000, 70_000)]
        {
            let slow: f64 = (1..=count).map(|i| 1.0 / f64::from(from + i)).sum();
            let fast = harmonics(f64::from(from), f64::from(count));
            assert!((fast - slow).abs() < 1e-12, "{from} {count}: {fast} {slow}");
        }
    }

    #[test]
    fn nothing_to_rank_is_undefined() {
        let mut histogram = Histogram::new();
        assert_eq!((histogram.ap(), histogram.auroc()), (None, None));
        histogram.add(0.3, true);
        assert_eq!((histogram.ap(), histogram.auroc()), (Some(Bounded::exactly(1.0)), None));
    }
}
