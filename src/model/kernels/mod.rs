//! The inner loops of a video network, for the CPU that runs them.
//!
//! Everything works on one output frame at a time, channels last, so that the same
//! loops serve a whole clip and a stream that gives one frame after the other. Each
//! loop is written once over [`Isa`]'s vectors and compiled for AVX-512, AVX2 with
//! FMA, NEON and plain code; which one runs is found out at start.

mod activation;
mod buffer;
mod crew;
mod dense;
mod depthwise;
mod extent;
mod isa;
mod peak;
mod pointwise;
mod pool;
#[cfg(test)]
mod random;
mod vector;

pub use activation::Activation;
pub use buffer::Buffer;
pub use crew::Crew;
pub use dense::{Dense, DenseShape, DenseTask, Precision};
pub use depthwise::{Depthwise, DepthwiseShape};
pub use extent::{Border, Extent};
pub use isa::Isa;
pub use peak::{multiply_adds, read_sum};
pub use pointwise::{add, channel_sums, multiply, scale_channels};
pub use pool::{Pool, PoolKind};
