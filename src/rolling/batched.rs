//! Lines for a rolling file, written many at a time and flushed to the disk now
//! and then, as flash cards wear out by small writes.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{FileOptions, Rolling};
use crate::clock::Clock;
use crate::error::Result;
use crate::outbox::Trouble;

/// Bytes that are written at once at the most, and that a full disk leaves waiting
/// here besides those in the queue.
const BATCH: usize = 64 << 10;

/// A [`Rolling`] file behind a buffer of whole lines.
pub struct Batched {
    file: Rolling,
    flush: Duration,
    sync: Duration,
    clock: Arc<dyn Clock>,
    batch: Vec<u8>,
    /// Since when the oldest line waits in the batch.
    since: Option<Instant>,
    /// Since when something written is not known to be on the disk.
    unsynced: Option<Instant>,
    /// It was said that the disk cannot be flushed.
    said: bool,
}

impl Batched {
    /// Opens the file; `what` is what an error calls it.
    ///
    /// # Errors
    /// As [`Rolling::open`].
    pub fn open(what: &str, options: FileOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        let (flush, sync) = (options.flush.0, options.sync.0);
        let file = Rolling::open(what, options, clock.clone())?;
        Ok(Batched {
            file,
            flush,
            sync,
            clock,
            batch: Vec::new(),
            since: None,
            unsynced: None,
            said: false,
        })
    }

    /// Where it is written.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Lines that were taken and not yet written.
    pub fn held(&self) -> u64 {
        self.batch.iter().filter(|&&byte| byte == b'\n').count() as u64
    }

    /// Takes a line with its newline, which [`flush`](Self::flush) writes.
    ///
    /// # Errors
    /// The batch is full and cannot be written; the line was not taken.
    pub fn take(&mut self, line: &[u8]) -> std::result::Result<(), Trouble> {
        if !self.batch.is_empty() && self.batch.len() + line.len() > BATCH {
            self.write()?;
        }
        if self.batch.is_empty() {
            self.since = Some(self.clock.instant());
        }
        self.batch.extend_from_slice(line);
        Ok(())
    }

    /// Writes the lines that have waited for long enough, and has what was written
    /// brought to the disk where that is due; `all`: both at once. Returns how long
    /// it is until something is due.
    ///
    /// # Errors
    /// Lines cannot be written; they are still held.
    pub fn flush(&mut self, all: bool) -> std::result::Result<Option<Duration>, Trouble> {
        let now = self.clock.instant();
        let left = |since: Option<Instant>, period: Duration| {
            since.map(|since| period.saturating_sub(now.saturating_duration_since(since)))
        };
        let sync_due = all || left(self.unsynced, self.sync) == Some(Duration::ZERO);
        if all || sync_due || left(self.since, self.flush) == Some(Duration::ZERO) {
            self.write()?;
        }
        if sync_due && self.unsynced.is_some() {
            self.sync();
        }
        let next = [left(self.since, self.flush), left(self.unsynced, self.sync)];
        Ok(next.into_iter().flatten().min())
    }

    fn write(&mut self) -> std::result::Result<(), Trouble> {
        while !self.batch.is_empty() {
            let written =
                self.file.append(&self.batch).map_err(|error| Trouble::Later(error.to_string()))?;
            self.batch.drain(..written);
            // From when the oldest of these lines was made: the promise is about them.
            self.unsynced = self.unsynced.or(self.since);
        }
        self.since = None;
        Ok(())
    }

    /// Lines go on where a disk cannot be flushed: only a power cut would tell.
    fn sync(&mut self) {
        self.unsynced = None;
        match self.file.sync() {
            Ok(()) => self.said = false,
            Err(error) if !self.said => {
                log::warn!("flushing \"{}\" to the disk: {error}", self.path().display());
                self.said = true;
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::clock::HeldClock;
    use crate::duration::HumanDuration;

    #[test]
    fn lines_are_written_together_when_the_oldest_has_waited_long_enough() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.jsonl");
        let hand = HeldClock::new();
        let options = FileOptions {
            flush: HumanDuration::seconds(1),
            sync: HumanDuration::seconds(10),
            ..FileOptions::new(&path)
        };
        let mut file = Batched::open("test file", options, hand.clone()).unwrap();
        let text = || fs::read_to_string(&path).unwrap();
        let ms = |n| Some(Duration::from_millis(n));
        assert_eq!(file.flush(false).unwrap(), None);
        file.take(b"{\"v\":1}\n").unwrap();
        assert_eq!(file.flush(false).unwrap(), ms(1000));
        hand.pass(Duration::from_millis(600));
        file.take(b"{\"v\":2}\n").unwrap();
        assert_eq!((file.flush(false).unwrap(), file.held(), text()), (ms(400), 2, String::new()));
        hand.pass(Duration::from_millis(400));
        // On the disk 10 s after the oldest was made, not after it was written.
        assert_eq!(file.flush(false).unwrap(), ms(9000));
        assert_eq!((file.held(), text()), (0, "{\"v\":1}\n{\"v\":2}\n".into()));
        hand.pass(Duration::from_millis(8500));
        file.take(b"{\"v\":3}\n").unwrap();
        assert_eq!(file.flush(false).unwrap(), ms(500));
        hand.pass(Duration::from_millis(500));
        assert_eq!((file.flush(false).unwrap(), file.held()), (None, 0));
        assert!(text().ends_with("{\"v\":3}\n"));
        file.take(b"{\"v\":4}\n").unwrap();
        assert_eq!((file.flush(true).unwrap(), file.held()), (None, 0));
    }

    #[test]
    fn a_full_batch_is_written_at_once_and_split_where_files_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.jsonl");
        let options = FileOptions { rotate_bytes: 50_000, keep: 9, ..FileOptions::new(&path) };
        let clock = Arc::new(crate::clock::SystemClock);
        let mut file = Batched::open("test file", options, clock).unwrap();
        let line = |k: u32| format!("{{\"v\":1,\"k\":{k},\"more\":\"{}\"}}\n", "-".repeat(70));
        for k in 0..2000 {
            file.take(line(k).as_bytes()).unwrap();
            assert!(file.held() < 1000);
        }
        file.flush(true).unwrap();
        let mut all = String::new();
        for n in (1..=9).rev() {
            let older = folder.path().join(format!("p.jsonl.{n}"));
            all += &fs::read_to_string(&older).unwrap_or_default();
            assert!(fs::metadata(&older).map_or(0, |m| m.len()) <= 50_000);
        }
        all += &fs::read_to_string(&path).unwrap();
        assert_eq!(all, (0..2000).map(line).collect::<String>());
    }
}
