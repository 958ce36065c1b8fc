//! What makes a program a daemon: its streams as threads, signals, systemd,
//! and the log.

mod arenas;
mod blueprint;
mod daemon;
mod ending;
mod fleet;
mod job;
mod keeper;
mod logging;
mod notify;
mod place;
mod plan;
mod prepare;
mod reload;
mod signals;
mod slot;
mod state;
mod status;
mod watchdog;

pub use arenas::share_arenas;
pub use daemon::{Format, Options, run};
pub use logging::{Aside, above as log_above, init as init_log};
pub use place::status_sockets;
pub use plan::{Plan, StreamPlan};
pub use signals::{Asked, listen};
pub use state::StateFile;
