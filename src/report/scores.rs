//! What the network gave, as probabilities and as logits, in double precision.

use crate::metric;
use crate::model::{Output, Task};

/// Probabilities nearer to 0 (or 1) than this count as this near when they are
/// turned back into logits, which would otherwise have no bounds.
const NEAREST: f64 = 1e-12;

/// The probabilities of one clip: softmax for a single-label task, the logistic
/// function of each logit for a multi-label one. Of a network that gives
/// probabilities itself, those, cut to 0 … 1.
pub(super) fn probabilities(values: &[f32], task: Task, output: Output) -> Vec<f64> {
    let values = values.iter().map(|&z| f64::from(z));
    match output {
        Output::Probabilities => values.map(|p| p.clamp(0.0, 1.0)).collect(),
        Output::Logits => activate(&values.collect::<Vec<_>>(), task),
    }
}

/// The logits of one clip; of a network that gives probabilities, their
/// logarithms (single-label) or log-odds, which lead back to them.
pub(super) fn logits(values: &[f32], task: Task, output: Output) -> Vec<f64> {
    let values = values.iter().map(|&z| f64::from(z));
    match output {
        Output::Logits => values.collect(),
        Output::Probabilities => values.map(|p| logit(p, task)).collect(),
    }
}

/// The logit of a probability: its logarithm where softmax leads back, its
/// log-odds where the logistic function does.
pub(super) fn logit(p: f64, task: Task) -> f64 {
    match task {
        Task::SingleLabel => p.max(NEAREST).ln(),
        Task::MultiLabel => {
            let p = p.clamp(NEAREST, 1.0 - NEAREST);
            (p / (1.0 - p)).ln()
        }
    }
}

/// Logits to probabilities.
pub(super) fn activate(logits: &[f64], task: Task) -> Vec<f64> {
    let mut p = logits.to_vec();
    metric::activate(&mut p, task);
    p
}

/// The greatest value's place; the first among equals, as everywhere here.
pub(super) fn argmax(values: &[f64]) -> usize {
    let better = |best: usize, i: usize| if values[i] > values[best] { i } else { best };
    (1..values.len()).fold(0, better)
}

/// The places of the `k` greatest values, greatest first; the first among equals
/// first.
pub(super) fn top(values: &[f64], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    let by = |a: &usize, b: &usize| values[*b].total_cmp(&values[*a]).then(a.cmp(b));
    if k < order.len() {
        order.select_nth_unstable_by(k, by);
        order.truncate(k);
    }
    order.sort_unstable_by(by);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_and_logits_lead_to_each_other() {
        for task in [Task::SingleLabel, Task::MultiLabel] {
            let p = probabilities(&[1.5, -2.0, 0.25], task, Output::Logits);
            let back: Vec<f32> = p.iter().map(|&p| p as f32).collect();
            let again = activate(&logits(&back, task, Output::Probabilities), task);
            for (a, b) in p.iter().zip(&again) {
                assert!((a - b).abs() < 1e-6, "{p:?} {again:?}");
            }
        }
    }

    #[test]
    fn great_logits_do_not_overflow() {
        let p = probabilities(&[3e38, -3e38], Task::SingleLabel, Output::Logits);
        assert_eq!(p, [1.0, 0.0]);
        assert_eq!(probabilities(&[-3e38], Task::MultiLabel, Output::Logits), [0.0]);
        assert!(
            logit(0.0, Task::MultiLabel).is_finite() && logit(1.0, Task::MultiLabel).is_finite()
        );
    }

    #[test]
    fn a_network_whose_softmax_rounds_above_one_is_cut() {
        let p = probabilities(&[1.000_000_1, 0.0], Task::SingleLabel, Output::Probabilities);
        assert_eq!(p, [1.0, 0.0]);
    }

    #[test]
    fn the_first_among_equals_comes_first() {
        assert_eq!(argmax(&[0.2, 0.4, 0.4]), 1);
        assert_eq!(top(&[0.2, 0.4, 0.4, 0.1], 3), [1, 2, 0]);
        assert_eq!(top(&[0.5, 0.5], 5), [0, 1]);
    }
}
