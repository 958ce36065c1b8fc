//! The sampler: which decoded frames stand for which ticks of the time grid.

/// Tick k is at t0 + k/rate and takes the frame nearest to it.
pub struct Sampler;
