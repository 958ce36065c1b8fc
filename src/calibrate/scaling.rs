//! Logits times an inverse temperature, plus a bias for each class.

use super::probability::softmax;

/// Temperatures lie between 1/16 and 16.
pub(super) const MOST_TEMPERATURE: f64 = 16.0;
/// Biases lie between -8 and 8.
pub(super) const MOST_BIAS: f64 = 8.0;
/// A logit this far below the greatest counts as this far below it: one absurd
/// logit must not outweigh a whole window.
const DEPTH: f64 = 50.0;

/// softmax(β z + b), with β = 1/T: temperature scaling where there is no bias,
/// vector scaling with one temperature for all classes where there is (Guo et
/// al., ICML 2017, section 4.2). The negative log-likelihood is convex in
/// (β, b), so that a weighted mean of several does no worse than the mean of
/// their losses.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scaling {
    pub beta: f64,
    /// One a class, or empty.
    pub bias: Vec<f64>,
}

impl Scaling {
    /// What the model says, as it is.
    pub fn identity() -> Self {
        Scaling { beta: 1.0, bias: Vec::new() }
    }

    /// With a temperature and a bias for each class (or none), each held within
    /// its bounds.
    pub fn new(temperature: f64, bias: &[f64]) -> Self {
        Scaling { beta: 1.0 / bounded_temperature(temperature), bias: bias.to_vec() }
    }

    /// 1/β.
    pub fn temperature(&self) -> f64 {
        1.0 / self.beta
    }

    /// Becomes the weighted mean of others; a weight counts as a share of all.
    pub fn mean<'a>(&mut self, others: impl Iterator<Item = (&'a Scaling, f64)>) {
        self.beta = 0.0;
        self.bias.fill(0.0);
        let mut sum = 0.0;
        for (other, weight) in others {
            sum += weight;
            self.beta += weight * other.beta;
            if other.bias.len() > self.bias.len() {
                self.bias.resize(other.bias.len(), 0.0);
            }
            for (mean, bias) in self.bias.iter_mut().zip(&other.bias) {
                *mean += weight * bias;
            }
        }
        if sum > 0.0 {
            self.beta /= sum;
            self.bias.iter_mut().for_each(|bias| *bias /= sum);
        } else {
            self.beta = 1.0;
        }
    }

    /// The cross-entropy of the class `truth` under softmax(β z + b), whose
    /// probabilities go into `p`; `z` from [`below_greatest`].
    pub fn loss(&self, z: &[f64], truth: usize, p: &mut [f64]) -> f64 {
        for (p, &z) in p.iter_mut().zip(z) {
            *p = self.beta * z;
        }
        for (p, &b) in p.iter_mut().zip(&self.bias) {
            *p += b;
        }
        let greatest = p.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let right = p.get(truth).map_or(0.0, |z| z - greatest);
        let mut sum = 0.0;
        for p in p.iter_mut() {
            *p = (*p - greatest).exp();
            sum += *p;
        }
        for p in p.iter_mut() {
            *p /= sum;
        }
        sum.ln() - right
    }
}

/// Probabilities of `logits` at a temperature and with a bias for each class
/// (or none); exactly the plain softmax for 1 and none.
pub(super) fn scale(logits: &[f32], temperature: f64, bias: &[f64], out: &mut [f32]) {
    out.copy_from_slice(logits);
    if temperature != 1.0 || !bias.is_empty() {
        // Shifted first: f32 has no digits to spare.
        let greatest = out.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for (i, z) in out.iter_mut().enumerate() {
            let b = bias.get(i).copied().unwrap_or_default();
            *z = (f64::from(*z - greatest) / temperature + b) as f32;
        }
    }
    softmax(out);
}

/// Writes each logit's distance from the greatest into `out`: 0 or below.
pub(super) fn below_greatest(logits: &[f32], out: &mut Vec<f64>) {
    let greatest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    out.clear();
    out.extend(logits.iter().map(|&z| (f64::from(z) - greatest).max(-DEPTH)));
}

/// The nearest temperature that may be used; 1 for what is no number.
pub(super) fn bounded_temperature(temperature: f64) -> f64 {
    if temperature.is_finite() {
        temperature.clamp(1.0 / MOST_TEMPERATURE, MOST_TEMPERATURE)
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temperature_of_one_is_exactly_the_softmax() {
        let logits = [0.3f32, -1.7, 2.9, 2.9];
        let (mut plain, mut scaled) = (logits, [0.0; 4]);
        softmax(&mut plain);
        scale(&logits, 1.0, &[], &mut scaled);
        assert_eq!(plain.map(f32::to_bits), scaled.map(f32::to_bits));
    }

    #[test]
    fn a_temperature_and_a_bias_do_what_they_say() {
        let mut p = [0.0; 2];
        scale(&[4.0, 0.0], 2.0, &[], &mut p);
        assert!((p[0] - 0.880_797).abs() < 1e-6, "{p:?}");
        scale(&[4.0, 0.0], 2.0, &[0.0, 2.0], &mut p);
        assert!((p[0] - 0.5).abs() < 1e-6, "{p:?}");
        scale(&[3e38, -3e38], 0.5, &[], &mut p);
        assert_eq!(p, [1.0, 0.0]);
    }

    #[test]
    fn the_loss_is_the_cross_entropy() {
        let mut z = Vec::new();
        below_greatest(&[1.0, 3.0, 2.0], &mut z);
        let mut p = vec![0.0; 3];
        let scaling = Scaling { beta: 0.5, bias: vec![0.1, 0.0, -0.2] };
        let loss = scaling.loss(&z, 2, &mut p);
        let e: Vec<f64> = [0.6f64, 1.5, 0.8].iter().map(|z| z.exp()).collect();
        let sum: f64 = e.iter().sum();
        assert!((loss + (e[2] / sum).ln()).abs() < 1e-12);
        assert!((p[0] - e[0] / sum).abs() < 1e-12);
        below_greatest(&[f32::MAX, -f32::MAX], &mut z);
        assert!(scaling.loss(&z, 1, &mut p).is_finite());
    }
}
