//! What makes a program a daemon: its streams as threads, signals, systemd,
//! and the log.

mod arenas;
mod daemon;
mod keeper;
mod logging;
mod notify;
mod plan;
mod signals;
mod state;

pub use arenas::share_arenas;
pub use daemon::{Format, Options, run};
pub use logging::{above as log_above, init as init_log};
pub use plan::{Plan, StreamPlan};
pub use signals::listen;
pub use state::StateFile;
