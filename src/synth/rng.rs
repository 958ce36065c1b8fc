//! The one source of chance: ChaCha8, so that a seed gives the same stream on
//! every machine and in every later version of the `rand` family.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// A seeded generator with the few draws that scenes need.
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// `part` keeps the draws of one part of a stream apart from the others',
    /// so that a change in one does not shift the rest.
    pub fn new(seed: u64, part: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(part);
        Rng(generator)
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32
    }

    /// Uniform in [low, high).
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Uniform in the logarithm between `low` and `high`, both positive.
    pub fn log_range(&mut self, low: f32, high: f32) -> f32 {
        self.range(low.ln(), high.ln()).exp()
    }

    /// Uniform integer in [low, high], both included.
    pub fn int(&mut self, low: usize, high: usize) -> usize {
        low + ((high - low + 1) as f32 * self.unit()) as usize
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f32) -> bool {
        self.unit() < p
    }

    /// -1 or 1.
    pub fn sign(&mut self) -> f32 {
        if self.chance(0.5) { -1.0 } else { 1.0 }
    }

    /// One of `items`, which must not be empty, all equally likely.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.int(0, items.len() - 1)]
    }

    /// Normal with mean 0 and standard deviation 1 (Box–Muller).
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f32::consts::TAU * self.unit()).cos()
    }

    /// A raw 32-bit draw, as a seed for what is made of it.
    pub fn bits(&mut self) -> u32 {
        self.0.next_u32()
    }
}
