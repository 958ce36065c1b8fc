//! What makes a program a daemon: its streams as threads, signals, systemd,
//! and the log.

mod daemon;
mod logging;
mod notify;
mod plan;
mod signals;

pub use daemon::{Format, Options, run};
pub use logging::init as init_log;
pub use plan::{Plan, StreamPlan};
