//! A temperature and a bias for each class, fitted to all samples at once.

use super::batch::Batch;
use super::scaling::{MOST_BIAS, MOST_TEMPERATURE, Scaling, below_greatest};

/// A Gaussian prior on each bias, as precision: a class with few samples keeps
/// to the model.
const PRIOR: f64 = 1.0;
/// Steps at most.
const STEPS: usize = 200;
/// Pairs of steps and gradients that stand for the Hessian.
const MEMORY: usize = 8;

/// softmax(z / T + b) of least negative log-likelihood (vector scaling of Guo et
/// al., ICML 2017, section 4.2, with one temperature for all classes), each bias
/// drawn to 0 by a prior of precision 1; by L-BFGS (Nocedal & Wright, "Numerical
/// Optimization", algorithm 7.4) over (β, b), in which it is convex.
pub fn fit_vector(batch: &Batch) -> (f64, Vec<f64>) {
    let classes = batch.classes();
    let mut x = vec![0.0; classes + 1];
    x[0] = 1.0;
    if batch.is_empty() {
        return (1.0, x.split_off(1));
    }
    let mut objective = Objective { batch, z: Vec::new(), p: vec![0.0; classes] };
    let mut gradient = vec![0.0; classes + 1];
    let mut value = objective.at(&x, &mut gradient);
    let mut pairs: Vec<(Vec<f64>, Vec<f64>)> = Vec::new();
    for _ in 0..STEPS {
        let direction = descent(&gradient, &pairs);
        let slope = dot(&direction, &gradient);
        if slope > -1e-12 * (1.0 + value.abs()) {
            break;
        }
        let longest = direction.iter().fold(0.0f64, |most, d| most.max(d.abs()));
        // The first step knows nothing of the scale.
        let mut length = if pairs.is_empty() { (0.1 / longest).min(1.0) } else { 1.0 };
        let mut next_gradient = vec![0.0; classes + 1];
        let found = (0..40).find_map(|_| {
            let mut next: Vec<f64> =
                x.iter().zip(&direction).map(|(x, d)| x + length * d).collect();
            next[0] = next[0].clamp(1.0 / MOST_TEMPERATURE, MOST_TEMPERATURE);
            next.iter_mut().skip(1).for_each(|b| *b = b.clamp(-MOST_BIAS, MOST_BIAS));
            let next_value = objective.at(&next, &mut next_gradient);
            if next_value <= value + 1e-4 * length * slope {
                return Some((next, next_value));
            }
            length *= 0.5;
            None
        });
        let Some((next, next_value)) = found else { break };
        let step = difference(&next, &x);
        let change = difference(&next_gradient, &gradient);
        if dot(&step, &change) > 1e-12 {
            if pairs.len() == MEMORY {
                pairs.remove(0);
            }
            pairs.push((step, change));
        }
        (x, value, gradient) = (next, next_value, next_gradient);
    }
    let bias = x.split_off(1);
    (1.0 / x.first().copied().unwrap_or(1.0), bias)
}

struct Objective<'a> {
    batch: &'a Batch,
    z: Vec<f64>,
    p: Vec<f64>,
}

impl Objective<'_> {
    /// The loss at (β, b), and its gradient.
    fn at(&mut self, x: &[f64], gradient: &mut [f64]) -> f64 {
        let Some((&beta, bias)) = x.split_first() else { return 0.0 };
        let Some((slope, slopes)) = gradient.split_first_mut() else { return 0.0 };
        let scaling = Scaling { beta, bias: bias.to_vec() };
        *slope = 0.0;
        slopes.iter_mut().zip(bias).for_each(|(g, b)| *g = PRIOR * b);
        let mut value = 0.5 * PRIOR * dot(bias, bias);
        for (logits, truth, weight) in self.batch.iter() {
            let truth = truth.first().copied().unwrap_or_default();
            below_greatest(logits, &mut self.z);
            value += weight * scaling.loss(&self.z, truth, &mut self.p);
            for (class, ((g, p), z)) in slopes.iter_mut().zip(&self.p).zip(&self.z).enumerate() {
                let error = weight * (p - if class == truth { 1.0 } else { 0.0 });
                *g += error;
                *slope += error * z;
            }
        }
        value
    }
}

/// -H⁻¹ g, with H from the last steps.
fn descent(gradient: &[f64], pairs: &[(Vec<f64>, Vec<f64>)]) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut shares = Vec::with_capacity(pairs.len());
    for (step, change) in pairs.iter().rev() {
        let share = dot(step, &q) / dot(step, change);
        q.iter_mut().zip(change).for_each(|(q, y)| *q -= share * y);
        shares.push(share);
    }
    if let Some((step, change)) = pairs.last() {
        let scale = dot(step, change) / dot(change, change);
        q.iter_mut().for_each(|q| *q *= scale);
    }
    for ((step, change), share) in pairs.iter().zip(shares.iter().rev()) {
        let back = share - dot(change, &q) / dot(step, change);
        q.iter_mut().zip(step).for_each(|(q, s)| *q += back * s);
    }
    q
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}
