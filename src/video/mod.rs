//! What to open, the GStreamer pipeline, and the sampler: from a source to
//! sampled frames, one at each tick of the model's rate.
//!
//! ```text
//! spec ──► pipeline ──► pacer ──► sampler ──► convert ──► Frame
//!          (decodes)    (recordings)  (drops)   (kept pictures only)
//! ```

mod address;
mod convert;
mod decoder;
mod download;
mod fault;
mod frame;
mod health;
pub mod isolate;
mod orientation;
mod pacer;
mod package;
mod pipeline;
mod sampler;
mod source;
mod spec;
mod synthetic;
mod yuv;

pub use frame::{Colour, Frame, FrameSource, Next, Orientation, Recording, Reset};
pub use health::{Change, Health, State, Status};
pub use pacer::Pace;
pub use sampler::{Sampler, Tick};
pub use source::{Source, Want, open, open_recording};
pub use spec::{DecoderChoice, SourceSpec, Transport};
