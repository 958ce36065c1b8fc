//! The door by which labels come in while streams run: an HTTP server on a
//! loopback address or a Unix socket, and folders that are looked at again and
//! again. `docs/control.md` is its manual.
//!
//! Nothing that comes through it can stop a stream: sizes, times and the number
//! of those who come at once are bounded, each has a thread of its own, and what
//! is not understood is answered and closed.
//!
//! The same server, on a Unix socket of its own, tells how the daemon is doing.

mod client;
mod doors;
mod endpoint;
mod folders;
mod listener;
mod options;
mod request;
mod response;
mod server;

pub use client::ask;
pub use folders::Folders;
pub use options::{ControlOptions, StatusOptions};
pub use server::{Control, StatusDoor};
