//! kinewatch: streaming video classification for edge boards.
//!
//! ```text
//! source ──► sampler ──► clip ring ──► model ──► smooth ──► events ──► sinks
//! (video/)   (video/)     (clip/)      (model/)  (predict/) (predict/)  (sink/)
//! ```
//!
//! [`session`] is the one place that joins these rooms; `cli` is what a person
//! types. Imports point one way, from the end of that line to its start.

pub mod accuracy;
mod atomic;
#[cfg(feature = "bench")]
pub mod bench;
pub mod calibrate;
pub mod cli;
pub mod clip;
pub mod clock;
pub mod config;
pub mod control;
pub mod duration;
pub mod error;
mod file_name;
mod hex;
pub mod label;
pub mod metric;
pub mod model;
pub mod nearest;
mod outbox;
pub mod predict;
#[cfg(feature = "replay")]
pub mod replay;
#[cfg(feature = "replay")]
pub mod report;
pub mod rolling;
mod secret;
pub mod service;
pub mod session;
pub mod sink;
mod stamp;
pub mod stop;
#[cfg(feature = "synth")]
pub mod synth;
pub mod video;
