//! Where predictions go: standard output and files, as JSON lines, or a view
//! for a person at a terminal. Each sink has a queue and a thread of its own.

mod fan;
mod file;
mod line;
mod options;
mod record;
mod stdout;
mod view;

use std::time::Duration;

pub use fan::{Flow, Patience, Sinks};
pub use file::FileSink;
pub use options::{SinkKind, SinkOptions};
pub use record::{Lost, Record};
pub use stdout::StdoutSink;
pub use view::View;

pub use crate::outbox::{Cause, Standing, Trouble as SinkError};
pub use crate::rolling::FileOptions;

/// Takes predictions, events and drift, one at a time and in order, on a thread
/// of its own: it may take as long as it likes.
pub trait Sink: Send {
    /// What the log calls it, such as `file "/var/log/gate.jsonl"`.
    fn name(&self) -> String;

    /// Takes one record. It may be held back until [`flush`](Self::flush).
    ///
    /// # Errors
    /// See [`SinkError`]. A record is written whole or not at all.
    fn write(&mut self, record: Record<'_>) -> Result<(), SinkError>;

    /// Lets out what is held back, if it is time to, or `all` of it. Returns how
    /// long from now it wants to be asked again; `None`: not before the next record.
    ///
    /// # Errors
    /// See [`SinkError`]. What did not get out is still held.
    fn flush(&mut self, all: bool) -> Result<Option<Duration>, SinkError> {
        let _ = all;
        Ok(None)
    }

    /// Memory for the records that wait for it, about, in bytes.
    fn queue_bytes(&self) -> usize {
        FileOptions::QUEUE_BYTES
    }

    /// Records that are held back.
    fn held(&self) -> u64 {
        0
    }
}
