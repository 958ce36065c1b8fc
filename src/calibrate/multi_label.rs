//! Multi-label models: a temperature, a bias and a threshold for each class.

use super::batch::Batch;
use super::hedge::Hedge;
use super::parameters::{MOST_SLOPE, Parameters};
use super::platt::{fit_line, sigmoid, solve};
use super::probability::logistic;
use super::scaling::MOST_BIAS;
use super::state::Numbers;

/// A prior on each class's own (a, b) around (1, 0), as precision.
const PRIOR: f64 = 2.0;
/// A step changes a or b by at most this much.
const MOST_STEP: f64 = 0.25;
/// How far back the fit that all classes share looks, and the faster of the
/// fits of each class, effective samples.
const FAST: f64 = 200.0;
/// A threshold of 0.5 weighs as much as this many samples of a class.
const THRESHOLD_PRIOR: f64 = 10.0;
const LEAST_SLOPE: f64 = 1.0 / MOST_SLOPE;
/// What the model says, the prior, the shared fit, the slow and the fast ones.
const EXPERTS: usize = 5;
/// A logit counts for at most this much.
const DEPTH: f64 = 50.0;
/// Factors of at most 2 that a product may have and stay finite.
const FACTORS: usize = 512;
/// Bound of what a state may hold for a sum.
const MOST: f64 = 1e12;

/// A line for each class: σ(a z + b).
#[derive(Clone, Debug)]
struct Lines {
    a: Vec<f64>,
    b: Vec<f64>,
}

impl Lines {
    fn identity(classes: usize) -> Self {
        Lines { a: vec![1.0; classes], b: vec![0.0; classes] }
    }

    /// a z + b.
    fn at(&self, class: usize, z: f64) -> f64 {
        match (self.a.get(class), self.b.get(class)) {
            (Some(a), Some(b)) => a * z + b,
            _ => z,
        }
    }
}

/// Each class's line over what the shared temperature makes of its logit, by one
/// Newton step a sample.
#[derive(Clone, Debug)]
struct Own {
    horizon: f64,
    lines: Lines,
    /// Curvature of each class's loss: a upper triangle each.
    bend: Vec<[f64; 3]>,
}

impl Own {
    fn new(horizon: f64, classes: usize) -> Self {
        let lines = Lines::identity(classes);
        Own { horizon, lines, bend: vec![[PRIOR, 0.0, PRIOR]; classes] }
    }

    /// Takes the class's logit `x`, the error p - y and p itself.
    fn learn(&mut self, class: usize, x: f64, p: f64, holds: f64, evidence: f64, bias: bool) {
        let lines = &mut self.lines;
        let (Some(a), Some(b), Some(bend)) =
            (lines.a.get_mut(class), lines.b.get_mut(class), self.bend.get_mut(class))
        else {
            return;
        };
        let keep = 1.0 - evidence / self.horizon;
        let back = PRIOR * evidence / self.horizon;
        let (error, w) = (evidence * (p - holds), evidence * p * (1.0 - p));
        *bend = [
            keep * bend[0] + w * x * x + back,
            if bias { keep * bend[1] + w * x } else { 0.0 },
            keep * bend[2] + w + back,
        ];
        let slope = [error * x + back * (*a - 1.0), if bias { error + back * *b } else { 0.0 }];
        let [step_a, step_b] = solve(*bend, slope);
        *a = (*a - step_a.clamp(-MOST_STEP, MOST_STEP)).clamp(LEAST_SLOPE, MOST_SLOPE);
        *b = (*b - step_b.clamp(-MOST_STEP, MOST_STEP)).clamp(-MOST_BIAS, MOST_BIAS);
    }
}

/// The calibrator: what the model says, what came with it, a temperature that
/// all classes share, and on top of that a fit for each class over a long and a
/// short stretch of the past; weighted by what they foresaw.
#[derive(Clone, Debug)]
pub(super) struct MultiLabel {
    bias: bool,
    start: Lines,
    has_prior: bool,
    /// ln of the shared slope, and the curvature of the loss over it.
    shared: f64,
    shared_bend: f64,
    slow: Own,
    fast: Own,
    hedge: Hedge,
    now: Lines,
    /// For each class's threshold: right positives, and positives said plus
    /// positives there were.
    right: Vec<f64>,
    either: Vec<f64>,
    threshold: Vec<f64>,
    threshold_start: Vec<f64>,
}

impl MultiLabel {
    /// Looking back `length` effective samples, beginning from `prior`; with a
    /// bias for each class or a temperature only.
    pub fn new(bias: bool, length: f64, prior: Option<&Parameters>, classes: usize) -> Self {
        let (start, threshold) = beginning(prior, classes);
        let has_prior = prior.is_some();
        let trust: &[f64] =
            if has_prior { &[0.05, 0.05, 0.3, 0.4, 0.2] } else { &[0.1, 0.3, 0.4, 0.2] };
        MultiLabel {
            bias,
            now: start.clone(),
            start,
            has_prior,
            shared: 0.0,
            shared_bend: PRIOR,
            slow: Own::new(length, classes),
            fast: Own::new(FAST.min(length), classes),
            hedge: Hedge::new(trust),
            right: vec![0.0; classes],
            either: vec![0.0; classes],
            threshold_start: threshold.clone(),
            threshold,
        }
    }

    /// Writes each class's probability.
    pub fn predict(&self, logits: &[f32], out: &mut [f32]) {
        for (class, (p, z)) in out.iter_mut().zip(logits).enumerate() {
            *p = logistic(self.now.at(class, f64::from(*z)) as f32);
        }
    }

    /// Judges by a sample, then learns from it; `truth` are the classes that
    /// hold.
    pub fn learn(&mut self, logits: &[f32], truth: &[usize], evidence: f64) {
        let slope = self.shared.exp();
        let mut losses = [Loss::default(); EXPERTS];
        let (mut shared_slope, mut shared_bend) = (0.0, 0.0);
        for (class, z) in logits.iter().enumerate() {
            let z = f64::from(*z).clamp(-DEPTH, DEPTH);
            let holds = if truth.contains(&class) { 1.0 } else { 0.0 };
            let base = self.start.at(class, z);
            let x = slope * base;
            losses[0].add(z, holds);
            losses[1].add(base, holds);
            let p = losses[2].add(x, holds);
            shared_slope += (p - holds) * x;
            shared_bend += p * (1.0 - p) * x * x;
            let p = losses[3].add(self.slow.lines.at(class, x), holds);
            self.slow.learn(class, x, p, holds, evidence, self.bias);
            let p = losses[4].add(self.fast.lines.at(class, x), holds);
            self.fast.learn(class, x, p, holds, evidence, self.bias);
            self.judge(class, z, holds, evidence);
        }
        let losses = losses.map(|loss| loss.sum());
        // Without a prior the second is the first.
        self.hedge.learn(if self.has_prior { &losses } else { &losses[1..] }, evidence);

        let (keep, back) = (1.0 - evidence / FAST, PRIOR * evidence / FAST);
        self.shared_bend = keep * self.shared_bend + evidence * shared_bend + back;
        let step = (evidence * shared_slope + back * self.shared) / self.shared_bend;
        let most = MOST_SLOPE.ln();
        self.shared = (self.shared - step.clamp(-MOST_STEP, MOST_STEP)).clamp(-most, most);
        self.mix();
    }

    /// Online F-measure optimisation (Busa-Fekete et al., NIPS 2015): the F1 of
    /// a class is greatest with half that F1 for a threshold on its calibrated
    /// probability, and the F1 reached so far stands for the greatest.
    fn judge(&mut self, class: usize, z: f64, holds: f64, evidence: f64) {
        let (Some(right), Some(either), Some(threshold), Some(start)) = (
            self.right.get_mut(class),
            self.either.get_mut(class),
            self.threshold.get_mut(class),
            self.threshold_start.get(class),
        ) else {
            return;
        };
        let said = if sigmoid(self.now.at(class, z)) >= *threshold { 1.0 } else { 0.0 };
        let keep = 1.0 - evidence / self.slow.horizon;
        *right = keep * *right + evidence * said * holds;
        *either = keep * *either + evidence * (said + holds);
        *threshold = (THRESHOLD_PRIOR * start + *right) / (THRESHOLD_PRIOR + *either);
    }

    fn mix(&mut self) {
        let slope = self.shared.exp();
        let mut weights = [0.0; EXPERTS];
        let skipped = EXPERTS - self.hedge.weights().len();
        for (weight, trust) in weights.iter_mut().skip(skipped).zip(self.hedge.weights()) {
            *weight = *trust;
        }
        let [identity, given, shared, slow, fast] = weights;
        for class in 0..self.now.a.len() {
            let (a0, b0) = (self.start.a[class], self.start.b[class]);
            let (a, b) = (slope * a0, slope * b0);
            let (sa, fa) = (self.slow.lines.a[class], self.fast.lines.a[class]);
            let (sb, fb) = (self.slow.lines.b[class], self.fast.lines.b[class]);
            self.now.a[class] = (identity + given * a0 + shared * a + (slow * sa + fast * fa) * a)
                .clamp(LEAST_SLOPE, MOST_SLOPE);
            self.now.b[class] =
                (given * b0 + shared * b + slow * (sa * b + sb) + fast * (fa * b + fb))
                    .clamp(-MOST_BIAS, MOST_BIAS);
        }
    }

    /// What is now used.
    pub fn parameters(&self) -> Parameters {
        Parameters::MultiLabel {
            temperature: self.now.a.iter().map(|a| 1.0 / a).collect(),
            bias: self.now.b.clone(),
            threshold: self.threshold.clone(),
        }
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        let classes = self.start.a.len();
        (self.shared, self.shared_bend) = (0.0, PRIOR);
        self.slow = Own::new(self.slow.horizon, classes);
        self.fast = Own::new(self.fast.horizon, classes);
        self.hedge.reset();
        self.right.fill(0.0);
        self.either.fill(0.0);
        self.threshold.clone_from(&self.threshold_start);
        self.mix();
    }

    pub fn write(&self, out: &mut Vec<f64>) {
        out.extend([self.shared, self.shared_bend]);
        for own in [&self.slow, &self.fast] {
            out.extend(own.lines.a.iter().chain(&own.lines.b));
            out.extend(own.bend.iter().flatten());
        }
        self.hedge.write(out);
        out.extend(self.right.iter().chain(&self.either).chain(&self.threshold));
    }

    pub fn read(&mut self, numbers: &mut Numbers<'_>) -> Option<()> {
        let most = MOST_SLOPE.ln();
        self.shared = numbers.within(-most, most)?;
        self.shared_bend = numbers.within(0.0, MOST)?;
        for own in [&mut self.slow, &mut self.fast] {
            numbers.fill(&mut own.lines.a, LEAST_SLOPE, MOST_SLOPE)?;
            numbers.fill(&mut own.lines.b, -MOST_BIAS, MOST_BIAS)?;
            for bend in &mut own.bend {
                numbers.fill(bend, -MOST, MOST)?;
            }
        }
        self.hedge.read(numbers)?;
        numbers.fill(&mut self.right, 0.0, MOST)?;
        numbers.fill(&mut self.either, 0.0, MOST)?;
        numbers.fill(&mut self.threshold, 0.0, 1.0)?;
        self.mix();
        Some(())
    }
}

/// The lines and thresholds that came with the model.
fn beginning(prior: Option<&Parameters>, classes: usize) -> (Lines, Vec<f64>) {
    let mut lines = Lines::identity(classes);
    let mut thresholds = vec![0.5; classes];
    match prior {
        Some(Parameters::Temperature { temperature }) => lines.a.fill(1.0 / temperature),
        Some(Parameters::MultiLabel { temperature, bias, threshold }) => {
            lines.a.iter_mut().zip(temperature).for_each(|(a, t)| *a = 1.0 / t);
            lines.b.iter_mut().zip(bias).for_each(|(b, given)| *b = *given);
            thresholds.iter_mut().zip(threshold).for_each(|(t, given)| *t = *given);
        }
        _ => {}
    }
    (lines, thresholds)
}

/// Sums cross-entropies of σ(z), with one logarithm for many.
#[derive(Clone, Copy)]
struct Loss {
    sum: f64,
    product: f64,
    factors: usize,
}

impl Default for Loss {
    fn default() -> Self {
        Loss { sum: 0.0, product: 1.0, factors: 0 }
    }
}

impl Loss {
    /// Adds max(z, 0) - y z + ln(1 + e^-|z|); gives σ(z).
    fn add(&mut self, z: f64, holds: f64) -> f64 {
        let e = (-z.abs()).exp();
        self.sum += z.max(0.0) - holds * z;
        self.product *= 1.0 + e;
        self.factors += 1;
        if self.factors == FACTORS {
            *self = Loss { sum: self.sum + self.product.ln(), ..Loss::default() };
        }
        if z >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
    }

    fn sum(self) -> f64 {
        self.sum + self.product.ln()
    }
}

/// A temperature, with `bias` a bias too, and the threshold of the greatest F1
/// for each class, over all samples at once. A class that never or always holds
/// keeps what the model says.
pub fn fit_multi_label(batch: &Batch, bias: bool) -> Parameters {
    let classes = batch.classes();
    let mut fitted = (vec![1.0; classes], vec![0.0; classes], vec![0.5; classes]);
    for class in 0..classes {
        let points: Vec<(f64, f64, f64)> = batch
            .iter()
            .map(|(logits, truth, weight)| {
                let z = logits.get(class).copied().unwrap_or_default();
                let holds = if truth.contains(&class) { 1.0 } else { 0.0 };
                (f64::from(z).clamp(-DEPTH, DEPTH), holds, weight)
            })
            .collect();
        let mixed = points.iter().any(|p| p.1 > 0.5) && points.iter().any(|p| p.1 < 0.5);
        if !mixed {
            continue;
        }
        let (a, b) = fit_line(&points, bias);
        fitted.0[class] = 1.0 / a;
        fitted.1[class] = b;
        let scored: Vec<(f64, f64, f64)> =
            points.iter().map(|(z, holds, weight)| (sigmoid(a * z + b), *holds, *weight)).collect();
        fitted.2[class] = fit_threshold(scored);
    }
    let (temperature, bias, threshold) = fitted;
    Parameters::MultiLabel { temperature, bias, threshold }
}

/// The threshold of the greatest F1 for samples (probability, whether it held,
/// weight): half-way between two probabilities that occur. Of equals the one
/// nearest to 0.5.
pub fn fit_threshold(mut samples: Vec<(f64, f64, f64)>) -> f64 {
    samples.sort_by(|a, b| b.0.total_cmp(&a.0));
    let positives: f64 = samples.iter().map(|(_, holds, weight)| holds * weight).sum();
    let (mut best, mut threshold) = (0.0, 0.5);
    let (mut right, mut said) = (0.0, 0.0);
    for (i, (p, holds, weight)) in samples.iter().enumerate() {
        right += holds * weight;
        said += weight;
        let next = samples.get(i + 1).map_or(0.0, |next| next.0);
        if next >= *p {
            continue;
        }
        let f1 = 2.0 * right / (said + positives);
        // Any threshold above `next` and up to `p` says the same.
        let here = if next < 0.5 && 0.5 <= *p { 0.5 } else { 0.5 * (p + next) };
        let nearer = (here - 0.5_f64).abs() < (threshold - 0.5_f64).abs();
        if f1 > best + 1e-12 || (f1 > best - 1e-12 && nearer) {
            (best, threshold) = (f1.max(best), here);
        }
    }
    threshold
}
