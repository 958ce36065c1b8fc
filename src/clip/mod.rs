//! The fixed-capacity ring of sampled frames, and frames to normalised tensors.

mod geometry;
mod input;
mod preprocess;
mod resample;
mod ring;

pub use input::{InputSpec, Layout, Resize};
pub use preprocess::Preprocess;
pub use ring::Ring;
