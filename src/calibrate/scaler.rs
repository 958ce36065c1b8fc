//! Temperature and vector scaling, online.

use super::expert::{Expert, Kind};
use super::hedge::Hedge;
use super::options::{Method, Update};
use super::parameters::Parameters;
use super::scaling::{Scaling, below_greatest, scale};
use super::state::Numbers;
use super::window::Window;

/// How far back the faster fits look, effective samples: they are rougher, and
/// follow a change of the stream sooner. What is forgotten step by step is half
/// forgotten long before that.
const HORIZONS: [f64; 2] = [250.0, 100.0];
const RECURSIVE_HORIZONS: [f64; 2] = [150.0, 60.0];

/// The model's own scaling, and the one that came with it, are trusted as much
/// as all fits together before anything is known: they are not given up for the
/// noise of a fit to few samples, and within some ten samples where they are
/// clearly wrong.
const IDENTITY: f64 = 7.0;

/// Of the trust that is given out anew, a short look gets so much more.
const SHORT: f64 = 3.0;

/// Biases lower the loss most by finding the right class, and may yet leave the
/// top label's probability further from how often it is right. So far back that
/// is watched, effective samples;
const GUARD_MEMORY: f64 = 200.0;
/// where it is off by this much more than without the biases, trust in them
/// begins to go, and at the second it is gone.
const WORSE: [f64; 2] = [0.01, 0.03];

/// Compares the weighted mean with that of the experts without a bias by how far
/// the top label's mean probability lies from how often it was right.
#[derive(Clone, Debug)]
struct Guard {
    with: Scaling,
    without: Scaling,
    /// Sums of probability less rightness, the past forgotten.
    gaps: [f64; 2],
}

impl Guard {
    fn new(start: &Scaling) -> Self {
        Guard { with: start.clone(), without: start.clone(), gaps: [0.0; 2] }
    }

    fn learn(&mut self, z: &[f64], truth: usize, evidence: f64, p: &mut [f64]) {
        for (gap, scaling) in self.gaps.iter_mut().zip([&self.with, &self.without]) {
            scaling.loss(z, truth, p);
            let most = p.iter().copied().fold(0.0, f64::max);
            let right = if p.get(truth).is_some_and(|p| *p >= most) { 1.0 } else { 0.0 };
            *gap = (1.0 - evidence / GUARD_MEMORY) * *gap + evidence * (most - right);
        }
    }

    /// How far the mean with biases is to be used, 0 to 1.
    fn trust(&self) -> f64 {
        let worse = (self.gaps[0].abs() - self.gaps[1].abs()) / GUARD_MEMORY;
        ((WORSE[1] - worse) / (WORSE[1] - WORSE[0])).clamp(0.0, 1.0)
    }
}

/// Several scalings side by side (the model's own, the one that came with it,
/// fits over long and short stretches of the past), and their mean, weighted by
/// how well each foresaw the latest samples.
#[derive(Clone, Debug)]
pub(super) struct Scaler {
    experts: Vec<Expert>,
    hedge: Hedge,
    window: Option<Window>,
    now: Scaling,
    /// With a bias for each class: whether the biases deserve their trust.
    guard: Guard,
    z: Vec<f64>,
    p: Vec<f64>,
    losses: Vec<f64>,
}

impl Scaler {
    /// Fitting `method` over `length` effective samples, beginning from `prior`.
    pub fn new(
        method: Method,
        update: Update,
        length: f64,
        prior: Option<&Scaling>,
        classes: usize,
    ) -> Self {
        let identity = Scaling::identity();
        let start = prior.unwrap_or(&identity);
        let mut experts = Vec::new();
        let (mut trust, mut fresh) = (Vec::new(), Vec::new());
        let mut add = |kind, horizon, start: &Scaling, share| {
            experts.push(Expert::new(kind, horizon, start, classes));
            trust.push(share);
            // After a change it is the short looks that are right first.
            fresh.push(if kind != Kind::Fixed && horizon < length { SHORT } else { 1.0 });
        };
        add(Kind::Fixed, length, &identity, IDENTITY);
        if let Some(prior) = prior {
            add(Kind::Fixed, length, prior, IDENTITY);
        }
        let (temperature, horizons) = match update {
            Update::Window => (Kind::Windowed, HORIZONS),
            Update::Recursive => (Kind::Recursive, RECURSIVE_HORIZONS),
        };
        let mut fits = |kind, weight: f64| {
            add(kind, length, start, 0.8 * weight);
            // So many biases need more samples.
            let fastest = if kind == Kind::Vector { horizons[0] } else { horizons[1] };
            for horizon in horizons.into_iter().filter(|h| *h < length && *h >= fastest) {
                add(kind, horizon, start, 0.03 * weight);
            }
        };
        fits(temperature, 1.0);
        if method == Method::Vector {
            // They cost more samples, so they are to show more before they are trusted.
            fits(Kind::Vector, 0.2);
        }
        let windowed = update == Update::Window;
        Scaler {
            hedge: Hedge::sharing(&trust, &fresh),
            losses: vec![0.0; experts.len()],
            experts,
            window: windowed.then(|| Window::new(length)),
            now: start.clone(),
            guard: Guard::new(start),
            z: Vec::with_capacity(classes),
            p: vec![0.0; classes],
        }
    }

    /// Judges every expert by a sample, then lets them learn from it.
    pub fn learn(&mut self, logits: &[f32], truth: usize, evidence: f64) {
        below_greatest(logits, &mut self.z);
        for (expert, loss) in self.experts.iter_mut().zip(&mut self.losses) {
            *loss = expert.learn(&self.z, truth, evidence, &mut self.p);
        }
        self.hedge.learn(&self.losses, evidence);
        if self.experts.iter().any(|expert| expert.kind == Kind::Vector) {
            self.guard.learn(&self.z, truth, evidence, &mut self.p);
        }
        if let Some(window) = &mut self.window {
            window.add(&self.z, truth, evidence);
            self.experts.iter_mut().for_each(|expert| expert.refit(window));
        }
        self.renew();
        self.mix();
    }

    /// Where a longer look has become outdated it goes on from the shorter one.
    fn renew(&mut self) {
        for long in 0..self.experts.len() {
            let (before, after) = self.experts.split_at_mut(long + 1);
            let Some(old) = before.last_mut() else { continue };
            for (k, new) in after.iter().enumerate() {
                let short = long + 1 + k;
                let alike = new.kind == old.kind && new.kind != Kind::Fixed;
                if !alike || !self.hedge.outdated(long, short) {
                    continue;
                }
                old.renew(new);
                if let (Kind::Windowed, Some(window)) = (new.kind, &mut self.window) {
                    window.keep(new.horizon);
                }
                self.hedge.renew(long, short);
            }
        }
    }

    fn mix(&mut self) {
        let weights = self.hedge.weights();
        let all = self.experts.iter().zip(weights).map(|(expert, weight)| (expert, *weight));
        if !self.experts.iter().any(|expert| expert.kind == Kind::Vector) {
            return self.now.mean(all.map(|(expert, weight)| (&expert.scaling, weight)));
        }
        let unbiased = all.clone().filter(|(expert, _)| expert.kind != Kind::Vector);
        self.guard.with.mean(all.map(|(expert, weight)| (&expert.scaling, weight)));
        self.guard.without.mean(unbiased.map(|(expert, weight)| (&expert.scaling, weight)));
        let trust = self.guard.trust();
        let both = [(&self.guard.with, trust), (&self.guard.without, 1.0 - trust)];
        self.now.mean(both.into_iter());
    }

    /// Writes the probabilities of `logits`.
    pub fn predict(&self, logits: &[f32], out: &mut [f32]) {
        scale(logits, self.now.temperature(), &self.now.bias, out);
    }

    /// What is now used.
    pub fn parameters(&self) -> Parameters {
        let temperature = self.now.temperature();
        if self.now.bias.is_empty() {
            Parameters::Temperature { temperature }
        } else {
            Parameters::Vector { temperature, bias: self.now.bias.clone() }
        }
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.experts.iter_mut().for_each(Expert::reset);
        self.hedge.reset();
        self.guard.gaps = [0.0; 2];
        if let Some(window) = &mut self.window {
            window.reset();
        }
        self.mix();
    }

    pub fn write(&self, out: &mut Vec<f64>) {
        self.experts.iter().for_each(|expert| expert.write(out));
        self.hedge.write(out);
        out.extend(self.guard.gaps);
        if let Some(window) = &self.window {
            window.write(out);
        }
    }

    pub fn read(&mut self, numbers: &mut Numbers<'_>) -> Option<()> {
        for expert in &mut self.experts {
            expert.read(numbers)?;
        }
        self.hedge.read(numbers)?;
        numbers.fill(&mut self.guard.gaps, -GUARD_MEMORY, GUARD_MEMORY)?;
        if let Some(window) = &mut self.window {
            window.read(numbers)?;
        }
        self.mix();
        Some(())
    }
}
