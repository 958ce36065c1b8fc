//! JSON lines on standard output.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use super::line::LineBuffer;
use super::{Record, Sink, SinkError};
use crate::error::{Error, Result};

/// How often a standard output that somebody made non-blocking is tried again.
const BUSY: Duration = Duration::from_millis(5);

/// Standard output, past the standard library's buffer: a line leaves at once
/// and in one write, and is atomic on a pipe up to `PIPE_BUF`. What a write left
/// over is kept and goes first, so that no line is ever cut short by another.
pub(super) struct Output {
    out: Box<dyn Write + Send>,
    left: Vec<u8>,
}

impl Output {
    pub fn open() -> Result<Self> {
        let out = io::stdout()
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| Error::unavailable("opening standard output", error))?;
        Ok(Output { out: Box::new(File::from(out)), left: Vec::new() })
    }

    /// Takes `bytes`, if nothing is left over from before.
    pub fn take(&mut self, bytes: &[u8]) -> std::result::Result<(), SinkError> {
        self.flush()?;
        self.left.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes what was taken; a closed pipe is no loss but the end.
    pub fn flush(&mut self) -> std::result::Result<(), SinkError> {
        while !self.left.is_empty() {
            match self.out.write(&self.left) {
                Ok(0) => return Err(SinkError::Later("nothing can be written to it".into())),
                Ok(written) => drop(self.left.drain(..written)),
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock => thread::sleep(BUSY),
                    ErrorKind::BrokenPipe => return Err(SinkError::Closed),
                    _ => return Err(SinkError::Later(error.to_string())),
                },
            }
        }
        Ok(())
    }

    pub fn is_held(&self) -> bool {
        !self.left.is_empty()
    }
}

/// JSON lines on standard output.
pub struct StdoutSink {
    out: Output,
    line: LineBuffer,
    queue_bytes: usize,
}

impl StdoutSink {
    /// With so much memory for what waits for it, about, in bytes.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn open(queue_bytes: usize) -> Result<Self> {
        Ok(StdoutSink { out: Output::open()?, line: LineBuffer::default(), queue_bytes })
    }
}

impl Sink for StdoutSink {
    fn name(&self) -> String {
        "standard output".into()
    }

    fn write(&mut self, record: Record<'_>) -> std::result::Result<(), SinkError> {
        self.out.take(self.line.fill(record)?)
    }

    fn flush(&mut self, _: bool) -> std::result::Result<Option<Duration>, SinkError> {
        self.out.flush().map(|()| None)
    }

    fn queue_bytes(&self) -> usize {
        self.queue_bytes
    }

    fn held(&self) -> u64 {
        u64::from(self.out.is_held())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Takes so many bytes and then fails, until it is given more room.
    #[derive(Clone)]
    struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut disk = self.0.lock().unwrap();
            let room = bytes.len().min(disk.1 - disk.0.len());
            if room == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            disk.0.extend_from_slice(&bytes[..room]);
            Ok(room)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_full_disk_cut_short_is_finished_before_anything_else() {
        let disk = Disk(Arc::new(Mutex::new((Vec::new(), 10))));
        let mut out = Output { out: Box::new(disk.clone()), left: Vec::new() };
        out.take(b"12345\n").unwrap();
        out.flush().unwrap();
        out.take(b"67890\n").unwrap();
        assert!(matches!(out.flush(), Err(SinkError::Later(_))) && out.is_held());
        assert!(matches!(out.take(b"abc\n"), Err(SinkError::Later(_))));
        disk.0.lock().unwrap().1 = 100;
        out.take(b"abc\n").unwrap();
        out.flush().unwrap();
        assert_eq!(disk.0.lock().unwrap().0, b"12345\n67890\nabc\n");
    }
}
