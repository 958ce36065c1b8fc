//! JSON lines on standard output.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;

use super::line::LineBuffer;
use super::{Record, Sink, SinkError};
use crate::error::{Error, Result};

/// Standard output, past the standard library's buffer: a line leaves at once
/// and in one write, and is atomic on a pipe up to `PIPE_BUF`.
pub(super) fn unbuffered() -> Result<File> {
    io::stdout()
        .as_fd()
        .try_clone_to_owned()
        .map(File::from)
        .map_err(|error| Error::unavailable("opening standard output", error))
}

/// Writes all of `bytes`; a closed pipe is no loss but the end.
pub(super) fn write_all(out: &mut File, bytes: &[u8]) -> std::result::Result<(), SinkError> {
    out.write_all(bytes).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => SinkError::Closed,
        _ => SinkError::Lost(error.to_string()),
    })
}

/// JSON lines on standard output.
pub struct StdoutSink {
    out: File,
    line: LineBuffer,
}

impl StdoutSink {
    /// # Errors
    /// Standard output is closed.
    pub fn open() -> Result<Self> {
        Ok(StdoutSink { out: unbuffered()?, line: LineBuffer::default() })
    }
}

impl Sink for StdoutSink {
    fn name(&self) -> String {
        "standard output".into()
    }

    fn write(&mut self, record: Record<'_>) -> std::result::Result<(), SinkError> {
        write_all(&mut self.out, self.line.fill(record)?)
    }
}
