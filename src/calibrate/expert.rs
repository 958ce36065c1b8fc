//! One guess at the scaling that a stream needs.

use super::curve::PRIOR;
use super::scaling::{MOST_BIAS, MOST_TEMPERATURE, Scaling};
use super::state::Numbers;
use super::window::Window;

/// A recursive step changes ln β by at most this much.
const MOST_STEP: f64 = 0.25;
/// A recursive step changes a bias by at most this much.
const MOST_BIAS_STEP: f64 = 0.5;
/// A Gaussian prior on each bias, as precision (a standard deviation of 0.7).
const BIAS_PRIOR: f64 = 2.0;
/// Bound of what a state may hold for a curvature.
const MOST_CURVATURE: f64 = 1e9;

/// How an expert comes by its scaling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It stays as it is.
    Fixed,
    /// The temperature that fits the window best.
    Windowed,
    /// The temperature, by one Newton step a sample.
    Recursive,
    /// The temperature and a bias for each class, by one Newton step a sample.
    Vector,
}

/// A scaling fitted to about the last `horizon` effective samples.
#[derive(Clone, Debug)]
pub(super) struct Expert {
    pub kind: Kind,
    pub horizon: f64,
    start: Scaling,
    pub scaling: Scaling,
    /// Curvature of the loss over ln β, the past forgotten.
    curvature: f64,
    /// The same over each bias.
    bias_curvature: Vec<f64>,
}

impl Expert {
    /// Beginning from `start`, for this many classes.
    pub fn new(kind: Kind, horizon: f64, start: &Scaling, classes: usize) -> Self {
        let mut start = start.clone();
        let mut bias_curvature = Vec::new();
        if kind == Kind::Vector {
            start.bias.resize(classes, 0.0);
            bias_curvature.resize(classes, BIAS_PRIOR);
        }
        let scaling = start.clone();
        Expert { kind, horizon, start, scaling, curvature: PRIOR, bias_curvature }
    }

    /// The loss for a sample that this expert has not seen, then, for those that
    /// learn from each sample, one Newton step, the past weighing
    /// 1 - evidence/horizon of what it did. `p` is scratch of one value a class.
    pub fn learn(&mut self, z: &[f64], truth: usize, evidence: f64, p: &mut [f64]) -> f64 {
        let loss = self.scaling.loss(z, truth, p);
        if !loss.is_finite() || !matches!(self.kind, Kind::Recursive | Kind::Vector) {
            return loss;
        }
        let keep = 1.0 - evidence / self.horizon;
        let beta = self.scaling.beta;
        let (mut mean, mut square) = (0.0, 0.0);
        for (p, z) in p.iter().zip(z) {
            mean += p * z;
            square += p * z * z;
        }
        let right = z.get(truth).copied().unwrap_or_default();
        // The prior fades like everything past; this share of it comes back.
        let back = PRIOR * evidence / self.horizon;
        let slope = evidence * beta * (mean - right) + back * (beta / self.start.beta).ln();
        self.curvature =
            keep * self.curvature + evidence * beta * beta * (square - mean * mean).max(0.0) + back;
        let step = (-slope / self.curvature).clamp(-MOST_STEP, MOST_STEP);
        let moved = (beta.ln() + step).exp();
        self.scaling.beta = moved.clamp(1.0 / MOST_TEMPERATURE, MOST_TEMPERATURE);
        if self.kind == Kind::Vector {
            self.learn_bias(truth, evidence, keep, p);
        }
        loss
    }

    /// The diagonal of the Hessian over the biases is p (1 - p); C / (C - 1) of
    /// it is exact for two classes, whose biases move against each other.
    fn learn_bias(&mut self, truth: usize, evidence: f64, keep: f64, p: &[f64]) {
        let classes = p.len() as f64;
        let coupled = evidence * classes / (classes - 1.0).max(1.0);
        let back = BIAS_PRIOR * evidence / self.horizon;
        let places = self.scaling.bias.iter_mut().zip(&mut self.bias_curvature);
        for (class, ((bias, curvature), p)) in places.zip(p).enumerate() {
            let start = self.start.bias.get(class).copied().unwrap_or_default();
            let here = if class == truth { 1.0 } else { 0.0 };
            let slope = evidence * (p - here) + back * (*bias - start);
            *curvature = keep * *curvature + coupled * p * (1.0 - p) + back;
            let step = (-slope / *curvature).clamp(-MOST_BIAS_STEP, MOST_BIAS_STEP);
            *bias = (*bias + step).clamp(-MOST_BIAS, MOST_BIAS);
        }
    }

    /// Fits a [`Kind::Windowed`] expert to the window.
    pub fn refit(&mut self, window: &Window) {
        if self.kind == Kind::Windowed {
            let curve = window.last(self.horizon);
            self.scaling.beta = curve.least(self.scaling.beta, self.start.beta);
        }
    }

    /// Goes on from what another, which looks back less far, has found.
    pub fn renew(&mut self, other: &Expert) {
        self.scaling.clone_from(&other.scaling);
        self.curvature = other.curvature;
        self.bias_curvature.clone_from(&other.bias_curvature);
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.scaling.clone_from(&self.start);
        self.curvature = PRIOR;
        self.bias_curvature.fill(BIAS_PRIOR);
    }

    pub fn write(&self, out: &mut Vec<f64>) {
        out.push(self.scaling.beta);
        out.push(self.curvature);
        out.extend(&self.scaling.bias);
        out.extend(&self.bias_curvature);
    }

    pub fn read(&mut self, numbers: &mut Numbers<'_>) -> Option<()> {
        self.scaling.beta = numbers.within(1.0 / MOST_TEMPERATURE, MOST_TEMPERATURE)?;
        self.curvature = numbers.within(0.0, MOST_CURVATURE)?;
        numbers.fill(&mut self.scaling.bias, -MOST_BIAS, MOST_BIAS)?;
        numbers.fill(&mut self.bias_curvature, 0.0, MOST_CURVATURE)
    }
}
