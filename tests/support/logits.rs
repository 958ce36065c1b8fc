//! Simulated logits of a model whose right probabilities are known exactly.
//!
//! A class y is drawn with its prior π, and features x with it:
//! x_k = d·1[k = y] + ε_k, ε_k standard normal. Then by Bayes' rule
//! P(y | x) = softmax(d·x + ln π), so a model that gives the logits
//! z = T·(d·x + ln π₀) is perfectly calibrated at the temperature T as long as
//! classes come with the priors π₀ it was trained for; where they come with
//! others, softmax(z / T + ln π − ln π₀) is right. In a multi-label world each
//! class is there or not for itself: x_k = d·(y_k − ½) + ε_k, and the right
//! probability is the logistic function of d·x_k + ln(π_k / (1 − π_k)).
//!
//! How hard a clip is (d) differs from clip to clip, so that confidences spread.
//! Overlapping clips are alike: labels, d and ε are Markov chains that leave each
//! clip's own distribution as it is. With the evidence e of a clip (how much of
//! it is new) their autocorrelation is ρ = (1 − e) / (1 + e), for which n clips
//! are worth n·e independent ones (the effective sample size of an AR(1) series).

#![allow(dead_code)]

use kinewatch::metric::Task;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// A seeded source of chance.
#[derive(Clone)]
pub struct Chance(ChaCha8Rng);

impl Chance {
    pub fn new(seed: u64, part: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(part);
        Chance(generator)
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// An index, each as likely as its weight; weights sum to 1.
    pub fn choose(&mut self, weights: &[f64]) -> usize {
        let mut left = self.unit();
        for (index, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return index;
            }
        }
        weights.len() - 1
    }

    /// Puts `items` into a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = (self.unit() * (last + 1) as f64) as usize;
            items.swap(last, other.min(last));
        }
    }
}

/// What decides a clip's logits and label.
#[derive(Clone)]
pub struct World {
    pub task: Task,
    /// Logits are this many times too great; of each class in a multi-label world
    /// times [`World::skew`].
    pub temperature: f64,
    /// Priors that the model was trained for; in a multi-label world each class's own.
    pub trained: Vec<f64>,
    /// Priors with which classes come.
    pub priors: Vec<f64>,
    /// How far classes lie apart: drawn evenly between these two for each clip.
    pub distance: [f64; 2],
    /// Multi-label: each class's own factor on its temperature.
    pub skew: Vec<f64>,
}

impl World {
    /// `classes` classes, all as likely as each other, at `temperature`.
    pub fn new(classes: usize, temperature: f64) -> Self {
        let priors = vec![1.0 / classes as f64; classes];
        // More classes are harder to tell apart: top-1 stays near 0.7.
        let distance = if classes > 50 { [2.0, 5.5] } else { [0.8, 4.2] };
        World {
            task: Task::SingleLabel,
            temperature,
            trained: priors.clone(),
            priors,
            distance,
            skew: vec![1.0; classes],
        }
    }

    /// A multi-label world: class k is there in a share of the clips that falls from
    /// 0.5 to 0.1, and its temperature is `temperature` times a factor from 0.7 to 1.4.
    pub fn multi_label(classes: usize, temperature: f64) -> Self {
        let place = |k: usize| k as f64 / (classes.max(2) - 1) as f64;
        let priors: Vec<f64> = (0..classes).map(|k| 0.5 - 0.4 * place(k)).collect();
        World {
            task: Task::MultiLabel,
            temperature,
            trained: priors.clone(),
            priors,
            distance: [0.5, 4.0],
            skew: (0..classes).map(|k| 0.7 * 2f64.powf(place(k))).collect(),
        }
    }

    /// The same with another temperature.
    pub fn at(&self, temperature: f64) -> Self {
        World { temperature, ..self.clone() }
    }

    /// The same with priors that fall by a factor `ratio` from the first class to the
    /// last, the model being trained for what was before.
    pub fn mixed(&self, ratio: f64) -> Self {
        let last = (self.priors.len().max(2) - 1) as f64;
        let mut priors: Vec<f64> =
            (0..self.priors.len()).map(|k| ratio.powf(-(k as f64) / last)).collect();
        let sum: f64 = priors.iter().sum();
        priors.iter_mut().for_each(|p| *p /= sum);
        World { priors, ..self.clone() }
    }

    pub fn classes(&self) -> usize {
        self.priors.len()
    }

    /// The right probabilities for what the model said.
    pub fn oracle(&self, logits: &[f32]) -> Vec<f64> {
        match self.task {
            Task::SingleLabel => {
                let shift =
                    self.priors.iter().zip(&self.trained).map(|(now, then)| (now / then).ln());
                let right: Vec<f64> = logits
                    .iter()
                    .zip(shift)
                    .map(|(&z, shift)| f64::from(z) / self.temperature + shift)
                    .collect();
                softmax(&right)
            }
            Task::MultiLabel => logits
                .iter()
                .zip(&self.skew)
                .map(|(&z, skew)| 1.0 / (1.0 + (-f64::from(z) / (self.temperature * skew)).exp()))
                .collect(),
        }
    }
}

/// Softmax in double precision.
pub fn softmax(logits: &[f64]) -> Vec<f64> {
    let greatest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut p: Vec<f64> = logits.iter().map(|z| (z - greatest).exp()).collect();
    let sum: f64 = p.iter().sum();
    p.iter_mut().for_each(|p| *p /= sum);
    p
}

/// One clip.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Time of its first frame, seconds.
    pub start: f64,
    /// Time of its last, seconds.
    pub t: f64,
    pub logits: Vec<f32>,
    /// The true class, or in a multi-label world those that are there.
    pub truth: Vec<usize>,
    /// How much of it is new: in (0, 1].
    pub evidence: f64,
}

/// Length of a simulated clip, seconds.
pub const CLIP: f64 = 2.0;

/// Clips of a stream without an end. The world may change at any time
/// ([`Stream::world`]): the next clip is of the new one.
#[derive(Clone)]
pub struct Stream {
    pub world: World,
    chance: Chance,
    evidence: f64,
    clips: u64,
    noise: Vec<f64>,
    /// Multi-label: what decides whether each class is there.
    present: Vec<f64>,
    class: usize,
    distance: f64,
}

impl Stream {
    pub fn new(world: World, evidence: f64, seed: u64) -> Self {
        let classes = world.classes();
        Stream {
            world,
            chance: Chance::new(seed, 1),
            evidence,
            clips: 0,
            noise: vec![0.0; classes],
            present: vec![0.0; classes],
            class: 0,
            distance: 0.0,
        }
    }

    pub fn next(&mut self) -> Sample {
        let (world, chance) = (&self.world, &mut self.chance);
        let rho = (1.0 - self.evidence) / (1.0 + self.evidence);
        let keep = if self.clips == 0 { 0.0 } else { rho };
        let innovation = (1.0 - keep * keep).sqrt();
        self.noise
            .iter_mut()
            .for_each(|noise| *noise = keep * *noise + innovation * chance.normal());
        if chance.unit() >= keep {
            let [low, high] = world.distance;
            self.distance = low + (high - low) * chance.unit();
        }
        let d = self.distance;
        let (logits, truth): (Vec<f32>, Vec<usize>) = match world.task {
            Task::SingleLabel => {
                if chance.unit() >= keep {
                    self.class = chance.choose(&world.priors);
                }
                let logit = |k: usize| {
                    let x = if k == self.class { d } else { 0.0 } + self.noise[k];
                    (world.temperature * (d * x + world.trained[k].ln())) as f32
                };
                ((0..world.classes()).map(logit).collect(), vec![self.class])
            }
            Task::MultiLabel => {
                for present in &mut self.present {
                    if chance.unit() >= keep {
                        *present = chance.unit();
                    }
                }
                let there = |k: usize| self.present[k] < world.priors[k];
                let logit = |k: usize| {
                    let x = d * if there(k) { 0.5 } else { -0.5 } + self.noise[k];
                    let prior = (world.trained[k] / (1.0 - world.trained[k])).ln();
                    (world.temperature * world.skew[k] * (d * x + prior)) as f32
                };
                let classes = 0..world.classes();
                (classes.clone().map(logit).collect(), classes.filter(|&k| there(k)).collect())
            }
        };
        let start = self.clips as f64 * self.evidence * CLIP;
        let evidence = if self.clips == 0 { 1.0 } else { self.evidence };
        self.clips += 1;
        Sample { start, t: start + CLIP, logits, truth, evidence }
    }

    pub fn take(&mut self, count: usize) -> Vec<Sample> {
        (0..count).map(|_| self.next()).collect()
    }
}

/// Orders in which an adversary may bring the same clips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// From the most to the least probable truth: easy first, hopeless last.
    EasyFirst,
    /// The other way.
    HardFirst,
    /// All clips of one class, then all of the next.
    Blocks,
    /// The easiest, the hardest, the second easiest …
    Alternating,
    /// 250 easy ones, 250 hard ones, and again.
    Bursts,
}

impl Order {
    pub const ALL: [Order; 5] =
        [Order::EasyFirst, Order::HardFirst, Order::Blocks, Order::Alternating, Order::Bursts];

    pub fn name(self) -> &'static str {
        match self {
            Order::EasyFirst => "easy first",
            Order::HardFirst => "hard first",
            Order::Blocks => "blocks of a label",
            Order::Alternating => "easy, hard, easy …",
            Order::Bursts => "bursts of 250",
        }
    }

    /// Brings independent clips of `world` into this order; times are given anew.
    pub fn apply(self, world: &World, mut samples: Vec<Sample>) -> Vec<Sample> {
        let ease = |s: &Sample| s.truth.first().map_or(0.0, |&y| world.oracle(&s.logits)[y]);
        if self == Order::Blocks {
            samples.sort_by_key(|s| s.truth.first().copied());
        } else {
            let mut keyed: Vec<(f64, Sample)> =
                samples.into_iter().map(|s| (ease(&s), s)).collect();
            keyed.sort_by(|a, b| b.0.total_cmp(&a.0));
            samples = keyed.into_iter().map(|(_, sample)| sample).collect();
        }
        match self {
            Order::HardFirst => samples.reverse(),
            Order::Alternating => samples = from_both_ends(samples, 1),
            Order::Bursts => samples = from_both_ends(samples, 250),
            Order::EasyFirst | Order::Blocks => {}
        }
        for (k, sample) in samples.iter_mut().enumerate() {
            sample.start = k as f64 * CLIP;
            sample.t = sample.start + CLIP;
        }
        samples
    }
}

/// `run` from the beginning, `run` from the end, and again.
fn from_both_ends(samples: Vec<Sample>, run: usize) -> Vec<Sample> {
    let mut left = std::collections::VecDeque::from(samples);
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        ordered.extend((0..run).map_while(|_| left.pop_front()));
        ordered.extend((0..run).map_while(|_| left.pop_back()));
    }
    ordered
}
