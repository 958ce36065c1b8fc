//! Procedural labelled test streams, from a seed.
//!
//! A stream is a scene seen by a camera, a script of what happens in
//! it, and the camera's own faults. The same [`Options`] give the same frames.
//! It teaches and tests `models/camera-events`, drives the demo, and stands in
//! for a camera where there is none.

mod actor;
mod codec;
mod dataset;
mod fault;
mod image;
mod options;
mod rng;
mod scene;
mod script;
mod sensor;
mod stream;
mod subject;
mod texture;
mod write;

pub use dataset::{Dataset, Shrink};
pub use options::{Options, parse_size};
pub use stream::Stream;
pub use write::{encode, label_csv, name_of, write};

/// The classes, in the order of `models/camera-events/labels.txt`.
pub const LABELS: [&str; 10] = [
    IDLE,
    "left-to-right",
    "right-to-left",
    "approaching",
    "receding",
    "camera-pan",
    "camera-shake",
    "covered",
    "out-of-focus",
    "light-change",
];

/// Nothing happens, or nothing but noise, leaves, and people on the spot.
const IDLE: &str = "idle";

/// What happens between two moments, in seconds from the first frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub start: f64,
    pub end: f64,
    /// One of [`LABELS`].
    pub label: &'static str,
}
