//! Recordings through the daemon's own session, faster than real time, with
//! everything that the model said kept for the report.
//!
//! ```text
//! videos ──► source or cache ──► views ──► session ──► store
//! ```
//!
//! Each video is run by one thread and stored in one file when it is finished,
//! so that a run can be stopped at any moment, even by `kill -9`, and goes on
//! where it was.

mod cache;
mod collector;
mod cutter;
mod job;
mod lock;
mod progress;
mod runner;
mod tally;
mod truth;
mod videos;
mod views;
mod watch;

pub use cache::Cache;
pub use lock::Lock;
pub use progress::Progress;
pub use runner::{Options, Outcome, run};
pub use tally::Tally;
pub use truth::Labels;
pub use videos::{Video, list, shard};
pub use views::{Clips, Views};
