//! How sure a figure is: intervals from resampling whole videos.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

use super::spread::spread;
use crate::error::{Error, Result};

/// The cluster bootstrap with percentile intervals (Efron & Tibshirani 1993,
/// chapter 13; clusters: Davison & Hinkley 1997, section 3.8). Clips of one
/// video overlap and resemble each other, so whole videos are drawn, with
/// replacement, as many as there are. The same seed gives the same intervals
/// on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bootstrap {
    /// Resamples.
    pub replicates: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// How likely the interval is to hold the true figure: 0.95 leaves 2.5 % on
    /// each side.
    pub level: f64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Bootstrap { replicates: 1000, seed: 0, level: 0.95 }
    }
}

/// A figure and the range that it plausibly lies in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The figure of the set itself; `None` where it is undefined.
    pub estimate: Option<f64>,
    /// Lower end. `None` without an estimate, with fewer than two videos, or
    /// where fewer than half the resamples had the figure.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Resamples that had the figure.
    pub replicates: usize,
}

impl Bootstrap {
    /// Intervals of `figures` figures over `clusters` clusters. `figure` is
    /// given how often each cluster was drawn and writes the figures; it is
    /// called from several threads.
    ///
    /// # Errors
    /// No replicates, no cluster, or a level outside (0, 1).
    pub fn run(
        &self,
        clusters: usize,
        figures: usize,
        figure: impl Fn(&[u32], &mut [Option<f64>]) + Sync,
    ) -> Result<Vec<Interval>> {
        self.check(clusters)?;
        let mut estimates = vec![None; figures];
        figure(&vec![1; clusters], &mut estimates);
        let replicates = spread(self.replicates, |replicate| {
            let mut values = vec![None; figures];
            figure(&self.draw(clusters, replicate), &mut values);
            values
        });
        let of = |k: usize| replicates.iter().map(|values| values[k]).collect::<Vec<_>>();
        let intervals = estimates.iter().enumerate();
        Ok(intervals.map(|(k, &estimate)| self.interval(estimate, &of(k), clusters)).collect())
    }

    /// # Errors
    /// As [`run`](Self::run).
    pub(super) fn check(&self, clusters: usize) -> Result<()> {
        let doing = "computing bootstrap intervals";
        if self.replicates == 0 {
            return Err(Error::config(doing, "no replicates").remedy("ask for 1000"));
        }
        if !(self.level > 0.0 && self.level < 1.0) {
            return Err(Error::config(doing, format!("level = {}", self.level))
                .remedy("give a level between 0 and 1, such as 0.95"));
        }
        if clusters == 0 || u32::try_from(clusters).is_err() {
            return Err(Error::data(doing, format!("{clusters} videos")));
        }
        Ok(())
    }

    /// How often each of `clusters` clusters is drawn in a replicate. Each
    /// replicate has a stream of the generator of its own.
    pub(super) fn draw(&self, clusters: usize, replicate: usize) -> Vec<u32> {
        let mut generator = ChaCha8Rng::seed_from_u64(self.seed);
        generator.set_stream(replicate as u64);
        let mut drawn = vec![0; clusters];
        for _ in 0..clusters {
            drawn[below(&mut generator, clusters as u32) as usize] += 1;
        }
        drawn
    }

    /// The percentile interval of `replicates` around `estimate`.
    pub(super) fn interval(
        &self,
        estimate: Option<f64>,
        replicates: &[Option<f64>],
        clusters: usize,
    ) -> Interval {
        let mut values: Vec<f64> = replicates.iter().flatten().copied().collect();
        values.sort_unstable_by(f64::total_cmp);
        let enough = estimate.is_some() && clusters > 1 && 2 * values.len() >= replicates.len();
        let tail = (1.0 - self.level) / 2.0;
        let end = |fraction| if enough { quantile(&values, fraction) } else { None };
        Interval { estimate, low: end(tail), high: end(1.0 - tail), replicates: values.len() }
    }
}

/// A uniform draw below `bound`, which is not 0, without bias (Lemire, ACM
/// TOMACS 2019).
fn below(generator: &mut ChaCha8Rng, bound: u32) -> u32 {
    let reject_under = bound.wrapping_neg() % bound;
    loop {
        let product = u64::from(generator.next_u32()) * u64::from(bound);
        if product as u32 >= reject_under {
            return (product >> 32) as u32;
        }
    }
}

/// The quantile of ascending `values`, linear between two (Hyndman & Fan's type
/// 7, numpy's default); `None` of none.
pub(super) fn quantile(values: &[f64], fraction: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let place = last as f64 * fraction.clamp(0.0, 1.0);
    let low = place.floor() as usize;
    let high = (low + 1).min(last);
    Some(values[low] + (values[high] - values[low]) * (place - place.floor()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_of(values: &[f64]) -> impl Fn(&[u32], &mut [Option<f64>]) + Sync {
        let values = values.to_vec();
        move |weights, figures| {
            let sum: f64 = weights.iter().zip(&values).map(|(&w, v)| f64::from(w) * v).sum();
            figures[0] = Some(sum / values.len() as f64);
        }
    }

    #[test]
    fn each_replicate_draws_as_many_as_there_are_and_no_two_alike() {
        let bootstrap = Bootstrap::default();
        let draws: Vec<_> = (0..50).map(|replicate| bootstrap.draw(40, replicate)).collect();
        assert!(draws.iter().all(|drawn| drawn.iter().sum::<u32>() == 40));
        let distinct: std::collections::BTreeSet<_> = draws.iter().collect();
        assert_eq!(distinct.len(), 50);
        // Each cluster is drawn once on average.
        let all: u32 = draws.iter().map(|drawn| drawn[7]).sum();
        assert!((20..90).contains(&all), "{all} of 50");
    }

    #[test]
    fn the_same_seed_gives_the_same_interval_and_another_another() {
        let values: Vec<f64> = (0..30).map(f64::from).collect();
        let run = |seed| {
            let bootstrap = Bootstrap { seed, replicates: 200, ..Bootstrap::default() };
            bootstrap.run(30, 1, mean_of(&values)).unwrap()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    /// The standard error of a mean is σ/√n; its 95 % interval ±1.96 of those.
    #[test]
    fn the_interval_of_a_mean_is_as_wide_as_theory_has_it() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i * 37 % 400)).collect();
        let interval = Bootstrap { replicates: 2000, ..Bootstrap::default() }
            .run(400, 1, mean_of(&values))
            .unwrap()[0];
        let (low, high) = (interval.low.unwrap(), interval.high.unwrap());
        let expected = 2.0 * 1.96 * (400.0 / 12f64.sqrt()) / 20.0;
        assert_eq!(interval.estimate, Some(199.5));
        assert!(((high - low) / expected - 1.0).abs() < 0.08, "{} for {expected}", high - low);
        assert!((low + high - 399.0).abs() < 4.0);
    }

    /// Of 200 samples from a known population, about 95 % of the intervals hold
    /// its mean; clusters of clips that are all alike must not narrow them.
    #[test]
    fn intervals_cover_as_often_as_they_say() {
        let mut generator = ChaCha8Rng::seed_from_u64(5);
        let covered = (0..200)
            .filter(|_| {
                let videos: Vec<f64> =
                    (0..60).map(|_| f64::from(below(&mut generator, 1000))).collect();
                let bootstrap = Bootstrap { replicates: 300, ..Bootstrap::default() };
                let interval = bootstrap.run(60, 1, mean_of(&videos)).unwrap()[0];
                interval.low.unwrap() <= 499.5 && interval.high.unwrap() >= 499.5
            })
            .count();
        assert!((178..=198).contains(&covered), "{covered} of 200");
    }

    #[test]
    fn a_figure_that_few_resamples_have_gets_no_interval() {
        let rare = |weights: &[u32], figures: &mut [Option<f64>]| {
            figures[0] = (weights[0] == 1 && weights[1] == 1).then_some(1.0);
            figures[1] = Some(2.0);
        };
        let intervals = Bootstrap::default().run(20, 2, rare).unwrap();
        assert_eq!((intervals[0].estimate, intervals[0].low), (Some(1.0), None));
        assert!(intervals[0].replicates < 500);
        assert_eq!((intervals[1].low, intervals[1].high), (Some(2.0), Some(2.0)));
        let one_video = Bootstrap::default().run(1, 2, rare_of_one).unwrap();
        assert_eq!((one_video[0].estimate, one_video[0].low), (Some(1.0), None));
    }

    fn rare_of_one(_: &[u32], figures: &mut [Option<f64>]) {
        figures.fill(Some(1.0));
    }

    #[test]
    fn what_cannot_be_resampled_is_refused() {
        let run = |bootstrap: Bootstrap, clusters| bootstrap.run(clusters, 1, |_, _| {}).is_err();
        assert!(run(Bootstrap { replicates: 0, ..Bootstrap::default() }, 3));
        assert!(run(Bootstrap { level: 1.0, ..Bootstrap::default() }, 3));
        assert!(run(Bootstrap { level: f64::NAN, ..Bootstrap::default() }, 3));
        assert!(run(Bootstrap::default(), 0));
    }
}
