//! What to open, the GStreamer pipeline, and the sampler: from a source to
//! sampled frames, one at each tick of the model's rate.

mod frame;
mod sampler;

pub use frame::{Colour, Frame, FrameSource, Next, Orientation, Reset};
pub use sampler::Sampler;
