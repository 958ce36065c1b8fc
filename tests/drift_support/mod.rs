//! Simulated streams: a classifier's probabilities, the truth and its evidence,
//! from a seed.

/// SplitMix64 (Steele, Lea & Flood 2014).
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Mean 0, variance 1.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// How long one label holds, in clips.
#[derive(Clone, Copy, Debug)]
pub enum Runs {
    /// Each clip has a label of its own.
    None,
    /// Geometric, with this mean.
    Geometric(f64),
    /// Log-normal with this median and a σ of 1: a long tail.
    LogNormal(f64),
    /// Always as long.
    Fixed(f64),
}

/// A classifier over a stream. Logits are normal noise, and the truth's is greater
/// by a margin; the probabilities are their softmax.
#[derive(Clone)]
pub struct Stream {
    random: Random,
    /// How often each class comes, in sum 1.
    pub mix: Vec<f64>,
    /// Of each class.
    pub margin: Vec<f64>,
    /// What logits are divided by.
    pub temperature: f64,
    pub runs: Runs,
    /// φ and size of a slow wander of the margin (AR(1)): light, weather.
    pub wander: (f64, f64),
    /// Of each clip. Below 1 its noise is shared with the clips that it overlaps.
    pub evidence: f64,
    /// Instead of logits: the most probable class has a probability of
    /// Beta(this, 1), is right as often as that says, and the others share the rest.
    pub beta: Option<f64>,
    pub truth: usize,
    left: f64,
    wandered: f64,
    noise: Vec<f64>,
    pub probabilities: Vec<f32>,
}

impl Stream {
    pub fn new(seed: u64, classes: usize) -> Self {
        let mut random = Random(seed);
        let noise = (0..classes).map(|_| random.normal()).collect();
        Stream {
            random,
            mix: vec![1.0 / classes as f64; classes],
            margin: vec![4.0; classes],
            temperature: 1.0,
            runs: Runs::None,
            wander: (0.0, 0.0),
            evidence: 1.0,
            beta: None,
            truth: 0,
            left: 0.0,
            wandered: 0.0,
            noise,
            probabilities: vec![0.0; classes],
        }
    }

    /// Class k comes as 1/(k + 1).
    pub fn zipf(mut self) -> Self {
        let total: f64 = (1..=self.mix.len()).map(|k| 1.0 / k as f64).sum();
        self.mix
            .iter_mut()
            .enumerate()
            .for_each(|(k, share)| *share = 1.0 / (k + 1) as f64 / total);
        self
    }

    /// Classes differ: the margins run from 2 to 6.
    pub fn uneven(mut self) -> Self {
        let last = (self.margin.len() - 1) as f64;
        for (class, margin) in self.margin.iter_mut().enumerate() {
            *margin = 2.0 + 4.0 * class as f64 / last;
        }
        self
    }

    pub fn step(&mut self) {
        self.left -= 1.0;
        if self.left < 0.5 {
            let mut at = self.random.uniform();
            self.truth = self
                .mix
                .iter()
                .position(|share| {
                    at -= share;
                    at < 0.0
                })
                .unwrap_or(self.mix.len() - 1);
            self.left = match self.runs {
                Runs::None => 1.0,
                Runs::Fixed(length) => length,
                Runs::Geometric(mean) => {
                    ((1.0 - self.random.uniform()).ln() / (1.0 - 1.0 / mean).ln()).ceil().max(1.0)
                }
                Runs::LogNormal(median) => (median * self.random.normal().exp()).ceil(),
            };
        }
        if let Some(shape) = self.beta {
            let (classes, p) = (self.mix.len(), self.random.uniform().powf(1.0 / shape));
            self.probabilities.fill(((1.0 - p) / (classes - 1) as f64) as f32);
            let right = self.random.uniform() < p;
            let top = if right { self.truth } else { (self.truth + 1) % classes };
            self.probabilities[top] = p as f32;
            return;
        }
        let (phi, size) = self.wander;
        self.wandered = phi * self.wandered + (1.0 - phi * phi).sqrt() * self.random.normal();
        let kept = 1.0 - self.evidence;
        let fresh = (1.0 - kept * kept).sqrt();
        let mut logits = Vec::with_capacity(self.mix.len());
        for (class, noise) in self.noise.iter_mut().enumerate() {
            *noise = kept * *noise + fresh * self.random.normal();
            let margin = self.margin[class] + size * self.wandered;
            logits
                .push((*noise + if class == self.truth { margin } else { 0.0 }) / self.temperature);
        }
        let most = logits.iter().copied().fold(f64::MIN, f64::max);
        let total: f64 = logits.iter().map(|logit| (logit - most).exp()).sum();
        for (p, logit) in self.probabilities.iter_mut().zip(&logits) {
            *p = ((logit - most).exp() / total) as f32;
        }
    }

    /// Of the truth, in nats.
    pub fn loss(&self) -> f64 {
        -f64::from(self.probabilities[self.truth]).max(1e-30).ln()
    }
}
