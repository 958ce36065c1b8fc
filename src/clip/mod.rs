//! The fixed-capacity ring of sampled frames, and frames to normalised tensors.

mod feed;
mod geometry;
mod input;
mod preprocess;
mod resample;
mod ring;

pub use feed::{Feed, Normalised, Pictures, Preprocessed};
pub use input::{Crop, InputSpec, Layout, Resize};
pub use preprocess::Preprocess;
pub use ring::Ring;
