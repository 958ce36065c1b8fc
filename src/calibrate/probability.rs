//! Logits to probabilities: what the model itself says.

use crate::metric::Task;

/// Writes the model's own probabilities of `logits` into `out` (same length):
/// softmax for a single-label task, the logistic function of each logit for a
/// multi-label one.
pub fn probabilities(logits: &[f32], task: Task, out: &mut [f32]) {
    match task {
        Task::SingleLabel => {
            out.copy_from_slice(logits);
            softmax(out);
        }
        Task::MultiLabel => {
            for (p, &z) in out.iter_mut().zip(logits) {
                *p = logistic(z);
            }
        }
    }
}

/// Softmax in place, shifted by the greatest logit, so that no exponential
/// overflows.
pub fn softmax(values: &mut [f32]) {
    let greatest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0f64;
    for p in values.iter_mut() {
        *p = (*p - greatest).exp();
        sum += f64::from(*p);
    }
    for p in values.iter_mut() {
        *p = (f64::from(*p) / sum) as f32;
    }
}

/// 1 / (1 + e^-z), on the side where the exponential is at most 1.
pub fn logistic(z: f32) -> f32 {
    let e = (-z.abs()).exp();
    if z >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(logits: &[f32], task: Task) -> Vec<f32> {
        let mut out = vec![0.0; logits.len()];
        probabilities(logits, task, &mut out);
        out
    }

    #[test]
    fn softmax_sums_to_one_and_keeps_the_order() {
        let p = of(&[1.0, 3.0, 2.0], Task::SingleLabel);
        assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((p[1] - 0.665_241).abs() < 1e-5 && p[1] > p[2] && p[2] > p[0], "{p:?}");
    }

    #[test]
    fn great_logits_do_not_overflow() {
        assert_eq!(of(&[1e30, -1e30], Task::SingleLabel), [1.0, 0.0]);
        assert_eq!(of(&[200.0, -200.0, 0.0], Task::MultiLabel), [1.0, 0.0, 0.5]);
    }

    #[test]
    fn labels_of_a_multi_label_task_do_not_share_their_probability() {
        let p = of(&[2.0, 2.0], Task::MultiLabel);
        assert!((p[0] - 0.880_797).abs() < 1e-5 && p[0] == p[1], "{p:?}");
    }
}
