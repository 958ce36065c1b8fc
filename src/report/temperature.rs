//! What one temperature, fitted on other videos, does to the calibration.

use serde::Serialize;

use super::scores::{activate, logit};
use crate::error::Result;
use crate::metric::{self, Calibration, Options, Set, Truth};
use crate::model::Task;

/// Most folds.
const FOLDS: usize = 5;
/// Temperatures tried lie at e^(k/5), k from -15 to 15: from 0.05 to 20.
const STEPS: i32 = 15;
const STEP: f64 = 0.2;
/// Most logits that a fit looks at; of more samples every n-th is taken.
const BUDGET: usize = 4_000_000;

/// Calibration after temperature scaling (Guo et al., "On Calibration of Modern
/// Neural Networks", ICML 2017, section 4.2): logits are divided by a
/// temperature T that makes the negative log-likelihood least. No sample is
/// scored with a temperature that was fitted on its own video.
#[derive(Clone, Debug, Serialize)]
pub struct Temperature {
    /// How it was come by: always `cross-validated over videos`.
    pub method: &'static str,
    /// Fitted on all videos: the one to use.
    pub temperature: f64,
    /// Fitted on all but one fold of the videos, for each fold.
    pub folds: Vec<f64>,
    /// Of each sample with the temperature of its fold.
    pub calibration: Calibration,
}

impl Temperature {
    /// Fits and scores. `None` with fewer than two videos.
    ///
    /// # Errors
    /// None but the metrics' own.
    pub(super) fn of(set: &Set, task: Task, options: &Options) -> Result<Option<Self>> {
        let videos = set.videos().len();
        if videos < 2 || set.is_empty() {
            return Ok(None);
        }
        let count = FOLDS.min(videos);
        // Videos come sorted by id: neighbours, often of one scene, would make
        // good folds; the remainder spreads them, which is what a new video meets.
        let losses = losses(set, task, count);
        let all: Vec<f64> =
            (0..losses[0].len()).map(|step| losses.iter().map(|fold| fold[step]).sum()).collect();
        let folds: Vec<f64> = losses
            .iter()
            .map(|fold| {
                least(&all.iter().zip(fold).map(|(all, own)| all - own).collect::<Vec<_>>())
            })
            .collect();
        let mut tempered = Set::new(set.task(), set.classes())?;
        for i in 0..set.len() {
            let scores = scaled(set.scores(i), task, folds[set.video(i) % count]);
            let video = &set.videos()[set.video(i)];
            let classes: Vec<usize> = set.truth(i).iter().map(|&c| c as usize).collect();
            match (task, classes.as_slice()) {
                (Task::SingleLabel, &[class]) => {
                    tempered.push(video, Truth::Class(class), &scores)?;
                }
                _ => tempered.push(video, Truth::Classes(&classes), &scores)?,
            }
        }
        Ok(Some(Temperature {
            method: "cross-validated over videos",
            temperature: least(&all),
            folds,
            calibration: metric::summary(&tempered, options)?.calibration,
        }))
    }
}

/// Probabilities at another temperature.
fn scaled(p: &[f64], task: Task, temperature: f64) -> Vec<f64> {
    let logits: Vec<f64> = p.iter().map(|&p| logit(p, task) / temperature).collect();
    activate(&logits, task)
}

/// Negative log-likelihood: for each fold a sum at each temperature tried.
fn losses(set: &Set, task: Task, folds: usize) -> Vec<Vec<f64>> {
    let temperatures: Vec<f64> = (-STEPS..=STEPS).map(|k| (STEP * f64::from(k)).exp()).collect();
    let mut losses = vec![vec![0.0; temperatures.len()]; folds];
    let stride = (set.len() * set.classes()).div_ceil(BUDGET).max(1);
    let mut truth = vec![false; set.classes()];
    for i in (0..set.len()).step_by(stride) {
        let logits: Vec<f64> = set.scores(i).iter().map(|&p| logit(p, task)).collect();
        truth.fill(false);
        set.truth(i).iter().for_each(|&class| truth[class as usize] = true);
        let sums = &mut losses[set.video(i) % folds];
        for (sum, t) in sums.iter_mut().zip(&temperatures) {
            *sum += loss(&logits, &truth, task, *t);
        }
    }
    losses
}

fn loss(logits: &[f64], truth: &[bool], task: Task, t: f64) -> f64 {
    match task {
        Task::SingleLabel => {
            let greatest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = logits.iter().map(|z| ((z - greatest) / t).exp()).sum();
            let right = logits.iter().zip(truth).find(|(_, is)| **is).map_or(greatest, |(z, _)| *z);
            sum.ln() - (right - greatest) / t
        }
        Task::MultiLabel => {
            // -ln σ(z) where the label holds, -ln σ(-z) where it does not.
            let signed = logits.iter().zip(truth).map(|(&z, &is)| if is { -z / t } else { z / t });
            signed.map(|z| z.max(0.0) + (-z.abs()).exp().ln_1p()).sum()
        }
    }
}

/// The temperature with the least loss: the best of those tried, moved to the
/// vertex of the parabola through it and its neighbours.
fn least(losses: &[f64]) -> f64 {
    let best = (0..losses.len()).fold(0, |b, i| if losses[i] < losses[b] { i } else { b });
    let mut place = best as f64;
    if best > 0 && best + 1 < losses.len() {
        let (a, b, c) = (losses[best - 1], losses[best], losses[best + 1]);
        let curvature = a - 2.0 * b + c;
        if curvature > 0.0 {
            place += (0.5 * (a - c) / curvature).clamp(-0.5, 0.5);
        }
    }
    (STEP * (place - f64::from(STEPS))).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Task as MetricTask;

    /// Samples whose logits are `factor` times those that would be calibrated:
    /// class 0 is right in exactly the share of cases that its probability says.
    fn overconfident(factor: f64) -> Set {
        let mut set = Set::new(MetricTask::SingleLabel, 2).unwrap();
        for i in 0..4000u32 {
            let p = 0.55 + 0.4 * f64::from(i % 20) / 20.0;
            let right = f64::from((i / 20 * 7919) % 200) < 200.0 * p;
            let z = factor * (p / (1.0 - p)).ln();
            let q = activate(&[z, 0.0], Task::SingleLabel);
            let class = usize::from(!right);
            set.push(&format!("v{}", i % 17), Truth::Class(class), &q).unwrap();
        }
        set
    }

    #[test]
    fn finds_the_temperature_that_was_put_in() {
        for factor in [0.5, 1.0, 3.0] {
            let set = overconfident(factor);
            let fitted =
                Temperature::of(&set, Task::SingleLabel, &Options::default()).unwrap().unwrap();
            assert!((fitted.temperature / factor - 1.0).abs() < 0.05, "{factor}: {fitted:?}");
            assert_eq!(fitted.folds.len(), 5);
            let before = metric::summary(&set, &Options::default()).unwrap().calibration;
            assert!(fitted.calibration.nll <= before.nll + 1e-3);
            assert!(factor == 1.0 || fitted.calibration.ece < before.ece / 2.0);
        }
    }

    #[test]
    fn one_video_cannot_be_held_out() {
        let mut set = Set::new(MetricTask::SingleLabel, 2).unwrap();
        set.push("v", Truth::Class(0), &[0.5, 0.5]).unwrap();
        let fitted = Temperature::of(&set, Task::SingleLabel, &Options::default()).unwrap();
        assert!(fitted.is_none());
    }

    #[test]
    fn labels_apart_are_scaled_apart() {
        let mut set = Set::new(MetricTask::MultiLabel, 2).unwrap();
        for i in 0..40 {
            // Says 0.9 of what holds half the time.
            let classes: &[usize] = if i % 2 == 0 { &[0] } else { &[] };
            set.push(&format!("v{}", i / 4), Truth::Classes(classes), &[0.9, 0.1]).unwrap();
        }
        let fitted = Temperature::of(&set, Task::MultiLabel, &Options::default()).unwrap().unwrap();
        assert!(fitted.temperature > 1.2, "{fitted:?}");
    }
}
