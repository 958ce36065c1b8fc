//! Logits to probabilities, in the double precision that figures are made in.

use super::conventions::Task;

/// Turns the logits of one sample into its probabilities, in place: softmax for
/// a single-label task, the logistic function of each for a multi-label one.
/// Great logits do not overflow.
pub fn activate(logits: &mut [f64], task: Task) {
    match task {
        Task::SingleLabel => softmax(logits),
        Task::MultiLabel => logits.iter_mut().for_each(|z| *z = logistic(*z)),
    }
}

/// Shifted by the greatest logit, so that no exponential overflows.
fn softmax(logits: &mut [f64]) {
    let greatest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    logits.iter_mut().for_each(|z| *z = (*z - greatest).exp());
    let sum: f64 = logits.iter().sum();
    logits.iter_mut().for_each(|p| *p /= sum);
}

/// 1 / (1 + e^-z), on the side where the exponential is at most 1.
fn logistic(z: f64) -> f64 {
    let e = (-z.abs()).exp();
    if z >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn great_logits_do_not_overflow_and_rows_sum_to_one() {
        let mut row = [1e300, -1e300];
        activate(&mut row, Task::SingleLabel);
        assert_eq!(row, [1.0, 0.0]);
        let mut row = [1e300, -1e300, 0.0];
        activate(&mut row, Task::MultiLabel);
        assert_eq!(row, [1.0, 0.0, 0.5]);
        let mut row = [1.0, 3.0, 2.0];
        activate(&mut row, Task::SingleLabel);
        assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-15);
        assert!((row[1] - 0.665_240_955_774_821_8).abs() < 1e-12, "{row:?}");
    }
}
