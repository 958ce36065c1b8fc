//! How right a stream is while it runs: figures over all of its labelled clips
//! and over the last of them, before and after calibration; lines of them in a
//! log that is bounded, and a few lines for a person.
//!
//! Clips are counted as a report counts them, so that the log of a live run and
//! the report of a replay of the same recording agree; `docs/accuracy.md` says
//! which figure equals which.

mod cumulative;
mod evidence;
mod line;
mod log;
mod options;
mod scored;
mod stream;
mod text;
mod window;

pub use evidence::Evidence;
pub use line::{Counts, Cumulative, DriftState, FORMAT, Figures, KIND, Level, Line, Mark, Window};
pub use log::{AccuracyLog, EXTENSION};
pub use options::AccuracyOptions;
pub use scored::{Raw, Scored};
pub use stream::Accuracy;
