//! McNemar's test: do two models err on different samples?

use serde::{Deserialize, Serialize};

use super::conventions::Task;
use super::set::Set;
use crate::error::{Error, Result};

/// McNemar's test of two models on the same samples (McNemar, Psychometrika
/// 1947). It takes samples to be independent: give it videos, not the
/// overlapping clips of one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct McNemar {
    /// Samples that both had right.
    pub both: u64,
    /// Samples that only the first had right.
    pub only_a: u64,
    /// Samples that only the second had right.
    pub only_b: u64,
    /// Samples that neither had right.
    pub neither: u64,
    /// Two-sided p of the exact test: twice the lower tail of
    /// Binomial(only_a + only_b, ½), at most 1. To be preferred when the two
    /// add up to few (Dietterich, Neural Computation 1998, uses 25).
    pub exact_p: f64,
    /// χ² with continuity correction: (|only_a − only_b| − 1)² / (only_a +
    /// only_b) (Edwards, Psychometrika 1948); 0 where the two are equal, as R's
    /// `mcnemar.test` has it.
    pub statistic: f64,
    /// p of that, with one degree of freedom.
    pub corrected_p: f64,
}

impl McNemar {
    /// For pairs of (first right?, second right?).
    pub fn of(pairs: impl IntoIterator<Item = (bool, bool)>) -> McNemar {
        let (mut both, mut only_a, mut only_b, mut neither) = (0u64, 0u64, 0u64, 0u64);
        for pair in pairs {
            match pair {
                (true, true) => both += 1,
                (true, false) => only_a += 1,
                (false, true) => only_b += 1,
                (false, false) => neither += 1,
            }
        }
        let differ = only_a + only_b;
        let statistic = if only_a == only_b {
            0.0
        } else {
            let corrected = only_a.abs_diff(only_b) as f64 - 1.0;
            corrected * corrected / differ as f64
        };
        McNemar {
            both,
            only_a,
            only_b,
            neither,
            exact_p: (2.0 * lower_tail(only_a.min(only_b), differ)).min(1.0),
            statistic,
            corrected_p: erfc((statistic / 2.0).sqrt()),
        }
    }

    /// For two sets of the same samples in the same order.
    ///
    /// # Errors
    /// The sets hold different samples: another number, video or truth.
    pub fn sets(a: &Set, b: &Set) -> Result<McNemar> {
        let doing = "comparing two models sample by sample";
        if a.len() != b.len() || a.task() != b.task() {
            return Err(Error::data(doing, format!("{} samples against {}", a.len(), b.len()))
                .remedy("run both over the same videos with the same views"));
        }
        let video = |set: &'_ Set, i| set.videos()[set.video(i)].clone();
        for i in 0..a.len() {
            let (of_a, of_b) = (video(a, i), video(b, i));
            if of_a != of_b || a.truth(i) != b.truth(i) {
                return Err(Error::data(
                    doing,
                    format!(
                        "sample {i} is of {of_a:?} with class {:?} \
                     in one and of {of_b:?} with class {:?} in the other",
                        a.truth(i),
                        b.truth(i)
                    ),
                )
                .remedy("run both over the same videos with the same views and labels"));
            }
        }
        Ok(Self::of((0..a.len()).map(|i| (is_right(a, i), is_right(b, i)))))
    }
}

/// The most probable class is right; multi-label: every label is, at 0.5.
fn is_right(set: &Set, i: usize) -> bool {
    match set.task() {
        Task::SingleLabel => set.truth(i) == [set.predicted(i) as u32],
        Task::MultiLabel => {
            let above = set.scores(i).iter().enumerate().filter(|(_, p)| **p > 0.5);
            above.map(|(class, _)| class as u32).eq(set.truth(i).iter().copied())
        }
    }
}

/// P(X ≤ k) of X ~ Binomial(n, ½), for k ≤ n / 2.
fn lower_tail(k: u64, n: u64) -> f64 {
    // The greatest term, in logarithms, then the rest as multiples of it.
    let (k, n) = (k as f64, n as f64);
    let mut log = -n * std::f64::consts::LN_2;
    let mut i = 1.0;
    while i <= k {
        log += ((n - k + i) / i).ln();
        i += 1.0;
    }
    let (mut sum, mut term, mut j) = (1.0, 1.0, k);
    while j > 0.0 && term > f64::EPSILON * sum {
        term *= j / (n - j + 1.0);
        sum += term;
        j -= 1.0;
    }
    log.exp() * sum
}

/// The complementary error function of x ≥ 0: the Maclaurin series of erf below
/// 2, the continued fraction above (Abramowitz & Stegun 7.1.5 and 7.1.14).
fn erfc(x: f64) -> f64 {
    let scale = (-x * x).exp() / std::f64::consts::PI.sqrt();
    if x < 2.0 {
        // erf x = 2/√π e^(−x²) Σ 2ⁿ x^(2n+1) / (2n+1)!!  (7.1.6), all terms positive
        let (mut term, mut sum, mut n) = (x, x, 1.0);
        while term > sum * f64::EPSILON / 4.0 {
            term *= 2.0 * x * x / (2.0 * n + 1.0);
            sum += term;
            n += 1.0;
        }
        return 1.0 - 2.0 * scale * sum;
    }
    // x + (1/2)/(x + 1/(x + (3/2)/(x + …))), from the inside out.
    let fraction = (1..=120).rev().fold(x, |inner, n| x + f64::from(n) / 2.0 / inner);
    scale / fraction
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Truth;

    fn table(only_a: usize, only_b: usize) -> McNemar {
        let a = std::iter::repeat_n((true, false), only_a);
        McNemar::of(a.chain(std::iter::repeat_n((false, true), only_b)))
    }

    /// Counts from a table by hand: 1 and 9 of 10 discordant pairs.
    /// Exact: 2 · (1 + 10) / 1024. Corrected: (8 − 1)² / 10 = 4.9.
    #[test]
    fn small_counts_by_hand() {
        let test = table(1, 9);
        assert!((test.exact_p - 22.0 / 1024.0).abs() < 1e-15);
        assert!((test.statistic - 4.9).abs() < 1e-15);
        // Upper tail of χ² with one degree of freedom at 4.9, from tables: 0.0269.
        assert!((test.corrected_p - 0.0269).abs() < 5e-5);
    }

    #[test]
    fn models_that_err_alike_do_not_differ() {
        for counts in [table(0, 0), table(7, 7)] {
            assert_eq!((counts.exact_p, counts.statistic, counts.corrected_p), (1.0, 0.0, 1.0));
        }
        assert!(table(0, 100_000).exact_p < 1e-300);
    }

    /// Known values: erfc(0.5), erfc(1), erfc(2), erfc(3) (Abramowitz & Stegun,
    /// table 7.1 and its continuation).
    #[test]
    fn erfc_agrees_with_tables() {
        for (x, expected) in [
            (0.0, 1.0),
            (0.5, 0.479_500_122_186_953_5),
            (1.0, 0.157_299_207_050_285_13),
            (2.0, 0.004_677_734_981_047_266),
            (3.0, 2.209_049_699_858_544e-5),
        ] {
            assert!((erfc(x) / expected - 1.0).abs() < 1e-13, "{x}: {}", erfc(x));
        }
    }

    #[test]
    fn sets_of_other_samples_are_refused() {
        let set = |video: &str, truth| {
            let mut set = Set::new(Task::SingleLabel, 2).unwrap();
            set.push(video, Truth::Class(truth), &[0.9, 0.1]).unwrap();
            set
        };
        assert_eq!(McNemar::sets(&set("a", 0), &set("a", 0)).unwrap().both, 1);
        assert_eq!(McNemar::sets(&set("a", 1), &set("a", 1)).unwrap().neither, 1);
        assert!(McNemar::sets(&set("a", 0), &set("b", 0)).is_err());
        assert!(McNemar::sets(&set("a", 0), &set("a", 1)).is_err());
        let empty = Set::new(Task::SingleLabel, 2).unwrap();
        assert!(McNemar::sets(&set("a", 0), &empty).is_err());
    }
}
