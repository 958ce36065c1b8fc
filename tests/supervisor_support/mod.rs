//! Cameras that fail: simulated ones, and real servers behind a bad network.

pub mod daemon;
pub mod network;
#[path = "../support/program.rs"]
mod program;
pub mod server;
pub mod simulated;
