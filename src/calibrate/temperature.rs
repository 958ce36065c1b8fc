//! One temperature, fitted to all samples at once.

use super::batch::Batch;
use super::curve::newton;
use super::platt::sigmoid;
use super::scaling::{MOST_TEMPERATURE, below_greatest};
use crate::metric::Task;

/// The temperature of least negative log-likelihood (Guo et al., ICML 2017,
/// section 4.2; for a multi-label task the sum over classes of the binary one),
/// by safeguarded Newton steps over ln β, β = 1/T; 1 for no sample.
pub fn fit_temperature(batch: &Batch) -> f64 {
    if batch.is_empty() {
        return 1.0;
    }
    let most = MOST_TEMPERATURE.ln();
    let mut z = Vec::with_capacity(batch.classes());
    let s = newton(
        |s| {
            let beta = s.exp();
            let (mut slope, mut bend) = (0.0, 0.0);
            for (logits, truth, weight) in batch.iter() {
                let (first, second) = match batch.task() {
                    Task::SingleLabel => {
                        below_greatest(logits, &mut z);
                        softmax_slope(&z, truth.first().copied().unwrap_or_default(), beta)
                    }
                    Task::MultiLabel => sigmoid_slope(logits, truth, beta),
                };
                slope += weight * beta * first;
                bend += weight * (beta * beta * second + beta * first);
            }
            (slope, bend)
        },
        0.0,
        -most,
        most,
    );
    (-s).exp()
}

/// First and second derivative over β of -ln softmax(β z) at the truth.
fn softmax_slope(z: &[f64], truth: usize, beta: f64) -> (f64, f64) {
    let (mut sum, mut first, mut second) = (0.0, 0.0, 0.0);
    for z in z {
        let e = (beta * z).exp();
        sum += e;
        first += e * z;
        second += e * z * z;
    }
    let mean = first / sum;
    (mean - z.get(truth).copied().unwrap_or_default(), second / sum - mean * mean)
}

/// The same of the classes' binary cross-entropies, summed.
fn sigmoid_slope(logits: &[f32], truth: &[usize], beta: f64) -> (f64, f64) {
    let (mut first, mut second) = (0.0, 0.0);
    for (class, &z) in logits.iter().enumerate() {
        let (z, holds) = (f64::from(z), if truth.contains(&class) { 1.0 } else { 0.0 });
        let p = sigmoid(beta * z);
        first += (p - holds) * z;
        second += p * (1.0 - p) * z * z;
    }
    (first, second)
}
