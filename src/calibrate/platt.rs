//! Online Platt scaling of the top label's probability, with calibeating.

use super::batch::Batch;
use super::hedge::Hedge;
use super::parameters::{Bin, First, MOST_SLOPE, Parameters, logit, observed, platt};
use super::scaling::{MOST_BIAS, scale};
use super::state::Numbers;
use super::top::{place, replace_top};

/// A prior on (a, b) around (1, 0), as precision.
const PRIOR: f64 = 4.0;
/// A step changes a or b by at most this much.
const MOST_STEP: f64 = 0.25;
/// The faster fit looks back this far, effective samples.
const FAST: f64 = 100.0;
/// Bins over the probability for calibeating (the paper's ε = 0.1).
const BINS: usize = 10;
/// What was said weighs as much as this many samples of what was observed.
const SHRINK: f64 = 20.0;
/// A slope below this would turn the order of probabilities around.
const LEAST_SLOPE: f64 = 1.0 / MOST_SLOPE;
/// Where the slow fit stands among what is weighed; the fast one comes next.
const SLOW: usize = 1;
/// Bound of what a state may hold for a sum.
const MOST: f64 = 1e12;

/// σ(a logit p + b) by Online Newton Step (Gupta & Ramdas, "Online Platt Scaling
/// with Calibeating", ICML 2023, arXiv 2305.00070, section 2): each sample moves
/// (a, b) by A⁻¹ g, g being its gradient. Where theirs sums g gᵀ, A here sums the
/// loss's own curvature, p(1 − p) times the features: what g gᵀ is on average, with
/// less noise. Their γ = 0.1 guards against any sequence; γ = 1 is the natural
/// gradient, which wastes no sample of a steady stream, and the [`Hedge`] guards
/// instead. The past is
/// forgotten, and (a, b) is held within a box.
#[derive(Clone, Debug)]
struct Ons {
    horizon: f64,
    a: f64,
    b: f64,
    /// A's upper triangle.
    sums: [f64; 3],
}

impl Ons {
    fn new(horizon: f64) -> Self {
        Ons { horizon, a: 1.0, b: 0.0, sums: [PRIOR, 0.0, PRIOR] }
    }

    fn learn(&mut self, x: f64, right: f64, evidence: f64) {
        let p = sigmoid(self.a * x + self.b);
        let error = p - right;
        let bend = p * (1.0 - p);
        let keep = 1.0 - evidence / self.horizon;
        let back = PRIOR * evidence / self.horizon;
        let outer = [bend * x * x, bend * x, bend];
        for ((sum, new), prior) in self.sums.iter_mut().zip(outer).zip([back, 0.0, back]) {
            *sum = keep * *sum + evidence * new + prior;
        }
        let g = [evidence * error * x + back * (self.a - 1.0), evidence * error + back * self.b];
        let [step_a, step_b] = solve(self.sums, g);
        self.a = (self.a - step_a.clamp(-MOST_STEP, MOST_STEP)).clamp(LEAST_SLOPE, MOST_SLOPE);
        self.b = (self.b - step_b.clamp(-MOST_STEP, MOST_STEP)).clamp(-MOST_BIAS, MOST_BIAS);
    }
}

/// The calibrator: two such fits and the identity, weighted by what they
/// foresaw, then tracking calibeating (section 3 of the paper; Foster & Hart,
/// "Calibeating", 2023): where a probability was said, what was observed there
/// takes its place, as far as there is evidence and it foresaw better.
#[derive(Clone, Debug)]
pub(super) struct Platt {
    first: First,
    fits: [Ons; 2],
    hedge: Hedge,
    /// What was observed: right, and in all, for each bin.
    right: [f64; BINS],
    all: [f64; BINS],
    horizon: f64,
    /// Between the forecast and what was observed.
    beat: Hedge,
    a: f64,
    b: f64,
    bins: [Bin; BINS],
}

impl Platt {
    /// Looking back `length` effective samples, over probabilities scaled by
    /// `first`.
    pub fn new(length: f64, first: First) -> Self {
        let mut platt = Platt {
            first,
            fits: [Ons::new(length), Ons::new(FAST)],
            hedge: Hedge::new(&[8.0, 0.9, 0.1]),
            right: [0.0; BINS],
            all: [0.0; BINS],
            horizon: length,
            beat: Hedge::new(&[0.9, 0.1]),
            a: 1.0,
            b: 0.0,
            bins: [Bin { to: 1.0, p: 0.0, weight: 0.0 }; BINS],
        };
        platt.mix();
        platt
    }

    /// Writes the model's probabilities with the top label's corrected.
    pub fn predict(&self, logits: &[f32], out: &mut [f32]) {
        scale(logits, self.first.temperature, &self.first.bias, out);
        replace_top(out, |_, p| observed(&self.bins, platt(p, self.a, self.b)));
    }

    /// Judges by a sample, then learns from it. `p` is scratch of one value a
    /// class.
    pub fn learn(&mut self, logits: &[f32], truth: usize, evidence: f64, p: &mut [f32]) {
        scale(logits, self.first.temperature, &self.first.bias, p);
        let Some((top, said)) = top(p) else { return };
        let right = if top == truth { 1.0 } else { 0.0 };
        let x = logit(said);

        let forecast = sigmoid(self.a * x + self.b);
        let bin = bin(forecast);
        let beaten = self.beaten(bin, forecast);
        self.beat.learn(&[cross_entropy(forecast, right), cross_entropy(beaten, right)], evidence);

        let [slow, fast] = self.fits.each_ref().map(|fit| sigmoid(fit.a * x + fit.b));
        let losses = [said, slow, fast].map(|q| cross_entropy(q, right));
        self.hedge.learn(&losses, evidence);
        self.fits.iter_mut().for_each(|fit| fit.learn(x, right, evidence));

        if self.hedge.outdated(SLOW, SLOW + 1) {
            let [slow, fast] = &mut self.fits;
            (slow.a, slow.b, slow.sums) = (fast.a, fast.b, fast.sums);
            self.hedge.renew(SLOW, SLOW + 1);
            self.right.fill(0.0);
            self.all.fill(0.0);
            self.beat.reset();
        }

        let keep = 1.0 - evidence / self.horizon;
        self.right.iter_mut().chain(&mut self.all).for_each(|sum| *sum *= keep);
        if let (Some(all), Some(hits)) = (self.all.get_mut(bin), self.right.get_mut(bin)) {
            *all += evidence;
            *hits += evidence * right;
        }
        self.mix();
    }

    /// What was observed where `forecast` was said, drawn to it while little was.
    fn beaten(&self, bin: usize, forecast: f64) -> f64 {
        let (Some(right), Some(all)) = (self.right.get(bin), self.all.get(bin)) else {
            return forecast;
        };
        (SHRINK * forecast + right) / (SHRINK + all)
    }

    fn mix(&mut self) {
        (self.a, self.b) = (0.0, 0.0);
        let lines =
            [(1.0, 0.0), (self.fits[0].a, self.fits[0].b), (self.fits[1].a, self.fits[1].b)];
        for ((a, b), weight) in lines.into_iter().zip(self.hedge.weights()) {
            self.a += weight * a;
            self.b += weight * b;
        }
        let trust = self.beat.weights().last().copied().unwrap_or_default();
        for (k, bin) in self.bins.iter_mut().enumerate() {
            let (right, all) = (self.right[k], self.all[k]);
            bin.to = (k + 1) as f64 / BINS as f64;
            bin.p = if all > 0.0 { (right / all).min(1.0) } else { 0.0 };
            bin.weight = trust * all / (SHRINK + all);
        }
    }

    /// What is now used.
    pub fn parameters(&self) -> Parameters {
        let (a, b) = (self.a, self.b);
        Parameters::Platt { first: self.first.clone(), a, b, bins: self.bins.to_vec() }
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        *self = Platt::new(self.horizon, self.first.clone());
    }

    pub fn write(&self, out: &mut Vec<f64>) {
        for fit in &self.fits {
            out.extend([fit.a, fit.b]);
            out.extend(fit.sums);
        }
        self.hedge.write(out);
        out.extend(self.right.iter().chain(&self.all));
        self.beat.write(out);
    }

    pub fn read(&mut self, numbers: &mut Numbers<'_>) -> Option<()> {
        for fit in &mut self.fits {
            fit.a = numbers.within(LEAST_SLOPE, MOST_SLOPE)?;
            fit.b = numbers.within(-MOST_BIAS, MOST_BIAS)?;
            numbers.fill(&mut fit.sums, -MOST, MOST)?;
        }
        self.hedge.read(numbers)?;
        numbers.fill(&mut self.right, 0.0, MOST)?;
        numbers.fill(&mut self.all, 0.0, MOST)?;
        self.beat.read(numbers)?;
        self.mix();
        Some(())
    }
}

/// Platt scaling of the top label's probability over all samples at once (Platt,
/// 1999), without his smoothed targets: the (a, b) of least negative
/// log-likelihood, a Newton step at a time, each halved until it helps.
pub fn fit_platt(batch: &Batch) -> (f64, f64) {
    let points = top_labels(batch, &First::default());
    let points: Vec<_> = points.into_iter().map(|t| (logit(t.p), t.right, t.weight)).collect();
    fit_line(&points, true)
}

/// The (a, b) of least cross-entropy for points (x, whether it held, weight);
/// with b = 0 where there is no `bias`. A hair of a prior keeps what separates
/// perfectly within bounds.
pub(super) fn fit_line(points: &[(f64, f64, f64)], bias: bool) -> (f64, f64) {
    const RIDGE: f64 = 1e-6;
    const STEPS: usize = 100;
    let loss = |a: f64, b: f64| {
        let sum: f64 = points.iter().map(|(x, y, w)| w * softplus_loss(a * x + b, *y)).sum();
        sum + 0.5 * RIDGE * ((a - 1.0) * (a - 1.0) + b * b)
    };
    let (mut a, mut b) = (1.0, 0.0);
    let mut least = loss(a, b);
    for _ in 0..STEPS {
        let mut g = [RIDGE * (a - 1.0), RIDGE * b];
        let mut h = [RIDGE, 0.0, RIDGE];
        for (x, y, w) in points {
            let p = sigmoid(a * x + b);
            let (error, bend) = (w * (p - y), w * p * (1.0 - p));
            g[0] += error * x;
            h[0] += bend * x * x;
            if bias {
                g[1] += error;
                h[1] += bend * x;
                h[2] += bend;
            }
        }
        let [step_a, step_b] = solve(h, g);
        let mut share = 1.0;
        let moved = loop {
            let to = (
                (a - share * step_a).clamp(LEAST_SLOPE, MOST_SLOPE),
                (b - share * step_b).clamp(-MOST_BIAS, MOST_BIAS),
            );
            let now = loss(to.0, to.1);
            if now <= least {
                let moved = (to.0 - a).abs().max((to.1 - b).abs());
                (a, b) = to;
                least = now;
                break moved;
            }
            share *= 0.5;
            if share < 1e-6 {
                break 0.0;
            }
        };
        if moved < 1e-10 {
            break;
        }
    }
    (a, b)
}

/// One sample's top label.
pub(super) struct TopLabel {
    pub class: usize,
    pub p: f64,
    /// 1 where it was right.
    pub right: f64,
    pub weight: f64,
}

/// The top label of each sample, after `first`.
pub(super) fn top_labels(batch: &Batch, first: &First) -> Vec<TopLabel> {
    let mut p = vec![0.0; batch.classes()];
    batch
        .iter()
        .filter_map(|(logits, truth, weight)| {
            scale(logits, first.temperature, &first.bias, &mut p);
            let (class, p) = top(&p)?;
            let right = if truth.contains(&class) { 1.0 } else { 0.0 };
            Some(TopLabel { class, p, right, weight })
        })
        .collect()
}

/// The most probable class, the first of equals, and its probability.
pub(super) fn top(p: &[f32]) -> Option<(usize, f64)> {
    let mut best: Option<(usize, f32)> = None;
    for (class, &value) in p.iter().enumerate() {
        if best.is_none_or(|(_, most)| value > most) {
            best = Some((class, value));
        }
    }
    best.filter(|(_, p)| p.is_finite()).map(|(class, p)| (class, f64::from(p)))
}

/// Which of [`BINS`] equal bins; an edge belongs to the bin below it.
fn bin(p: f64) -> usize {
    let edges: [Bin; BINS] =
        std::array::from_fn(|k| Bin { to: (k + 1) as f64 / BINS as f64, p: 0.0, weight: 0.0 });
    place(&edges, p).min(BINS - 1)
}

/// -ln of the probability that was given to what happened.
pub(super) fn cross_entropy(p: f64, right: f64) -> f64 {
    const LEAST: f64 = 1e-9;
    -(right * p.max(LEAST).ln() + (1.0 - right) * (1.0 - p).max(LEAST).ln())
}

/// The cross-entropy of σ(z).
fn softplus_loss(z: f64, right: f64) -> f64 {
    z.max(0.0) - right * z + (-z.abs()).exp().ln_1p()
}

pub(super) fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// H⁻¹ g for a symmetric 2 × 2 matrix given by its upper triangle; nothing where
/// it has no inverse.
pub(super) fn solve(h: [f64; 3], g: [f64; 2]) -> [f64; 2] {
    let det = h[0] * h[2] - h[1] * h[1];
    if !(det > 0.0 && det.is_finite()) {
        return [0.0; 2];
    }
    [(h[2] * g[0] - h[1] * g[1]) / det, (h[0] * g[1] - h[1] * g[0]) / det]
}
