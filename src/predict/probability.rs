//! What a model gives, to probabilities.

use crate::calibrate;
use crate::model::{Output, Task};

/// Writes the probabilities of `values` into `out` (same length): softmax for a
/// single-label task, the logistic function of each for a multi-label one, the
/// values themselves where the model already gives probabilities.
pub fn probabilities(values: &[f32], task: Task, output: Output, out: &mut [f32]) {
    match output {
        Output::Probabilities => out.copy_from_slice(values),
        Output::Logits => calibrate::probabilities(values, task, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f32], task: Task, output: Output) -> Vec<f32> {
        let mut out = vec![0.0; values.len()];
        probabilities(values, task, output, &mut out);
        out
    }

    #[test]
    fn softmax_sums_to_one_and_keeps_the_order() {
        let p = of(&[1.0, 3.0, 2.0], Task::SingleLabel, Output::Logits);
        assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((p[1] - 0.665_241).abs() < 1e-5 && p[1] > p[2] && p[2] > p[0], "{p:?}");
    }

    #[test]
    fn great_logits_do_not_overflow() {
        assert_eq!(of(&[1e30, -1e30], Task::SingleLabel, Output::Logits), [1.0, 0.0]);
        assert_eq!(of(&[200.0, -200.0, 0.0], Task::MultiLabel, Output::Logits), [1.0, 0.0, 0.5]);
    }

    #[test]
    fn labels_of_a_multi_label_task_do_not_share_their_probability() {
        let p = of(&[2.0, 2.0], Task::MultiLabel, Output::Logits);
        assert!((p[0] - 0.880_797).abs() < 1e-5 && p[0] == p[1], "{p:?}");
    }

    #[test]
    fn probabilities_pass_through() {
        assert_eq!(of(&[0.2, 0.8], Task::SingleLabel, Output::Probabilities), [0.2, 0.8]);
    }
}
