//! How good probabilities are, measured against the right ones instead of against
//! labels drawn from them: the same figures without the labels' noise.

use crate::logits::{Sample, Stream, World};

/// Bins of equal mass.
const BINS: usize = 15;

/// Clips to judge by, with their right probabilities.
pub struct Exam {
    samples: Vec<Sample>,
    right: Vec<Vec<f64>>,
}

/// What came out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Score {
    /// Expected calibration error of the top class, 15 bins of equal mass.
    pub ece: f64,
    /// Expected negative log-likelihood, nats.
    pub nll: f64,
}

impl Exam {
    /// Independent clips of a world.
    pub fn new(world: &World, count: usize, seed: u64) -> Self {
        let samples = Stream::new(world.clone(), 1.0, seed).take(count);
        let right = samples.iter().map(|sample| world.oracle(&sample.logits)).collect();
        Exam { samples, right }
    }

    /// Judges what makes probabilities of logits.
    pub fn judge(&self, mut predict: impl FnMut(&[f32], &mut [f32])) -> Score {
        let mut p = vec![0.0f32; self.right[0].len()];
        let mut nll = 0.0;
        let mut tops: Vec<(f64, f64)> = Vec::with_capacity(self.samples.len());
        for (sample, right) in self.samples.iter().zip(&self.right) {
            predict(&sample.logits, &mut p);
            let top = (1..p.len()).fold(0, |best, k| if p[k] > p[best] { k } else { best });
            tops.push((f64::from(p[top]), right[top]));
            nll -=
                right.iter().zip(&p).map(|(r, &p)| r * f64::from(p).max(1e-12).ln()).sum::<f64>();
        }
        Score { ece: gap(&mut tops), nll: nll / self.samples.len() as f64 }
    }

    /// Judges every class of a multi-label world for itself, all pooled.
    pub fn judge_labels(&self, mut predict: impl FnMut(&[f32], &mut [f32])) -> Score {
        let mut p = vec![0.0f32; self.right[0].len()];
        let mut nll = 0.0;
        let mut all: Vec<(f64, f64)> = Vec::new();
        for (sample, right) in self.samples.iter().zip(&self.right) {
            predict(&sample.logits, &mut p);
            for (&p, &right) in p.iter().zip(right) {
                let p = f64::from(p);
                all.push((p, right));
                nll -= right * p.max(1e-12).ln() + (1.0 - right) * (1.0 - p).max(1e-12).ln();
            }
        }
        let count = all.len() as f64;
        Score { ece: gap(&mut all), nll: nll / count }
    }

    /// Mean F1 over classes of what is predicted, each class being there as likely as
    /// it is.
    pub fn macro_f1(&self, mut predict: impl FnMut(&[f32], &mut [bool])) -> f64 {
        let classes = self.right[0].len();
        let mut predicted = vec![false; classes];
        let mut counts = vec![[0.0f64; 3]; classes];
        for (sample, right) in self.samples.iter().zip(&self.right) {
            predict(&sample.logits, &mut predicted);
            for ((counts, &predicted), &right) in counts.iter_mut().zip(&predicted).zip(right) {
                let predicted = f64::from(u8::from(predicted));
                counts[0] += predicted * right;
                counts[1] += predicted;
                counts[2] += right;
            }
        }
        let f1 = |[hits, predicted, there]: [f64; 3]| 2.0 * hits / (predicted + there).max(1e-12);
        counts.into_iter().map(f1).sum::<f64>() / classes as f64
    }
}

/// Σ over bins of equal mass of their share of |mean confidence − mean right|.
fn gap(pairs: &mut [(f64, f64)]) -> f64 {
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let count = pairs.len();
    (0..BINS)
        .map(|bin| &pairs[bin * count / BINS..(bin + 1) * count / BINS])
        .map(|bin| bin.iter().map(|(said, right)| said - right).sum::<f64>().abs())
        .sum::<f64>()
        / count as f64
}

/// The temperature with the least NLL on `samples`, by golden-section search on its
/// logarithm: an implementation that shares nothing with the one it judges.
pub fn offline_temperature(samples: &[Sample]) -> f64 {
    let loss = |log: f64| -> f64 {
        let t = log.exp();
        samples
            .iter()
            .map(|sample| {
                let scaled: Vec<f64> = sample.logits.iter().map(|&z| f64::from(z) / t).collect();
                let most = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = scaled.iter().map(|z| (z - most).exp()).sum();
                sum.ln() + most - scaled[sample.truth[0]]
            })
            .sum()
    };
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (0.05f64.ln(), 20f64.ln());
    let (mut a, mut b) = (high - golden * (high - low), low + golden * (high - low));
    let (mut at_a, mut at_b) = (loss(a), loss(b));
    while high - low > 1e-4 {
        if at_a < at_b {
            (high, b, at_b) = (b, a, at_a);
            a = high - golden * (high - low);
            at_a = loss(a);
        } else {
            (low, a, at_a) = (a, b, at_b);
            b = low + golden * (high - low);
            at_b = loss(b);
        }
    }
    (0.5 * (low + high)).exp()
}
