//! What to open, the GStreamer pipeline, and the sampler: from a source to
//! sampled frames, one at each tick of the model's rate.
//!
//! ```text
//! spec ──► pipeline ──► pacer ──► sampler ──► convert ──► Frame
//!          (decodes)    (recordings)  (drops)   (kept pictures only)
//! ```
//!
//! Around all that stands the supervisor: it opens a source, watches it, and
//! opens it again when it is lost. How it fares is in the stream's health.

mod address;
mod connection;
mod convert;
mod decoder;
mod download;
mod errand;
mod fault;
mod frame;
mod health;
pub mod isolate;
mod line;
mod orientation;
mod pacer;
mod package;
mod patience;
mod pipeline;
mod reconnect;
mod repeats;
mod sampler;
mod source;
mod spec;
mod supervisor;
#[cfg_attr(not(feature = "synth"), path = "synthetic/absent.rs")]
mod synthetic;
mod timeline;
mod yuv;

pub use connection::{Candidate, Connection, Open, Polled, Pulse};
pub use frame::{Colour, Frame, FrameSource, Next, Orientation, Recording, Reset};
pub use health::{Change, Health, State, Status};
pub use pacer::Pace;
pub use reconnect::ReconnectOptions;
pub use sampler::{Sampler, Tick};
pub use source::{Source, Want, open, open_recording};
pub use spec::{DecoderChoice, SourceSpec, Sources, Transport};
pub use supervisor::{Supervised, Supervisor, supervise};
