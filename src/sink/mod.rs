//! Where predictions go: standard output and files, as JSON lines, or a view
//! for a person at a terminal.

mod fan;
mod file;
mod line;
mod options;
mod stdout;
mod view;

pub use fan::{Flow, Sinks};
pub use file::FileSink;
pub use options::{SinkKind, SinkOptions};
pub use stdout::StdoutSink;
pub use view::View;

use crate::predict::{Drift, Event, Prediction};
pub use crate::rolling::FileOptions;

/// What a sink is given.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    /// A prediction.
    Prediction(&'a Prediction),
    /// An event that ended.
    Event(&'a Event),
    /// A change in the world.
    Drift(&'a Drift),
}

/// Why a record did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkError {
    /// The reader has gone away and will not come back (a closed pipe).
    Closed,
    /// This record is lost; a later one may get through (a full disk).
    Lost(String),
}

/// Takes predictions, events and drift, one at a time and in order.
pub trait Sink: Send {
    /// What the log calls it, such as `file "/var/log/gate.jsonl"`.
    fn name(&self) -> String;

    /// Takes one record.
    ///
    /// # Errors
    /// See [`SinkError`]. A record is written whole or not at all.
    fn write(&mut self, record: Record<'_>) -> Result<(), SinkError>;
}
