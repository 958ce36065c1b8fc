//! The accuracy log of one stream: a file of JSON lines.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::line::Line;
use super::options::AccuracyOptions;
use crate::clock::Clock;
use crate::duration::HumanDuration;
use crate::error::Result;
use crate::file_name::safe_name;
use crate::outbox::{Cause, Outbox, Outlet, Trouble};
use crate::rolling::{Batched, FileOptions};
use crate::stop::Stop;

/// What the names of accuracy logs end with; older files get `.1`, `.2` … after it.
pub const EXTENSION: &str = ".accuracy.jsonl";
/// Bytes of lines that may wait for a disk.
const WAITING: usize = 256 << 10;
/// How long the end of a stream waits for them.
const GRACE: Duration = Duration::from_secs(1);

/// Writes lines, whole or not at all, into a file that is rotated and bounded, on a
/// thread of its own: a disk that hangs holds up nobody.
pub struct AccuracyLog {
    outbox: Outbox<Vec<u8>>,
    path: PathBuf,
    /// Lines of a recording are waited for, until this is asked.
    patient: Option<Stop>,
}

impl AccuracyLog {
    /// Opens the log of `stream` in `folder`, creating both as needed. Its name is
    /// the stream's, in which all but letters, digits, `.`, `_` and `-` is `%XX`.
    ///
    /// # Errors
    /// As [`Rolling::open`](crate::rolling::Rolling::open).
    pub fn open(
        folder: &Path,
        stream: &str,
        options: &AccuracyOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let path = folder.join(format!("{}{EXTENSION}", safe_name(stream)));
        let options = FileOptions {
            rotate_bytes: options.rotate_bytes,
            rotate_age: options.rotate_age,
            keep: options.keep,
            // There is one a minute.
            flush: HumanDuration(Duration::ZERO),
            ..FileOptions::new(&path)
        };
        let file = Batched::open("accuracy log", options, clock)?;
        let name = format!("the accuracy log \"{}\"", path.display());
        let outbox = Outbox::start(name, WAITING, Place(file));
        Ok(AccuracyLog { outbox, path, patient: None })
    }

    /// Waits from now on for a disk that is behind, as nothing of a recording may
    /// be lost; not for long once `stop` is asked.
    pub fn wait_until(&mut self, stop: Stop) {
        self.patient = Some(stop);
    }

    /// Appends a line. Where the disk is full or hangs, this ends nothing: it is
    /// tried again, and the oldest lines that wait are lost and counted.
    pub fn write(&mut self, line: &Line) {
        let mut bytes = match serde_json::to_vec(line) {
            Ok(bytes) => bytes,
            Err(error) => return log::warn!("a line of the accuracy log is lost: {error}"),
        };
        bytes.push(b'\n');
        let weight = bytes.len();
        let number = self.outbox.send(bytes, weight, self.patient.is_some());
        if let Some(stop) = &self.patient {
            self.outbox.wait(number, stop);
        }
    }

    /// Waits until all that was written is in the file.
    pub fn settle(&self) {
        self.outbox.settle();
    }

    /// Where it is written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lines that did not get through.
    pub fn lost(&self) -> u64 {
        self.outbox.standing().lost
    }
}

/// Waits a moment for what is still on its way.
impl Drop for AccuracyLog {
    fn drop(&mut self) {
        self.outbox.ended(Instant::now() + GRACE);
    }
}

/// The file at the end of the queue.
struct Place(Batched);

impl Outlet<Vec<u8>> for Place {
    fn put(&mut self, line: &Vec<u8>) -> std::result::Result<(), Trouble> {
        self.0.take(line)
    }

    /// Lines come at regular times: who reads them sees one that is missing.
    fn gap(&mut self, _: u64, _: Cause) -> std::result::Result<(), Trouble> {
        Ok(())
    }

    fn flush(&mut self, all: bool) -> std::result::Result<Option<Duration>, Trouble> {
        self.0.flush(all)
    }

    fn held(&self) -> u64 {
        self.0.held()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::Value;

    use super::*;
    use crate::accuracy::Accuracy;
    use crate::clock::SystemClock;
    use crate::metric::Task;

    fn line(t: f64) -> Line {
        let options = AccuracyOptions::default();
        let mut accuracy = Accuracy::new(&options, "a/b", 3, Task::SingleLabel, None).unwrap();
        accuracy.line(t, "2026-11-22T09:30:02.412Z", &Value::Null)
    }

    #[test]
    fn a_stream_has_a_file_of_its_own_whatever_it_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let open = |stream: &str| {
            let options = AccuracyOptions::default();
            AccuracyLog::open(folder.path(), stream, &options, Arc::new(SystemClock)).unwrap()
        };
        let (mut a, b) = (open("a/b"), open("../c"));
        assert_eq!(a.path(), folder.path().join("a%2Fb.accuracy.jsonl"));
        assert_eq!(b.path().parent(), Some(folder.path()));
        a.write(&line(1.0));
        a.write(&line(2.0));
        a.settle();
        let text = fs::read_to_string(a.path()).unwrap();
        let lines: Vec<Line> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines, [line(1.0), line(2.0)]);
        assert!(text.starts_with("{\"v\":"), "{text}");
    }

    #[test]
    fn files_are_rotated_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let options = AccuracyOptions { rotate_bytes: 2000, keep: 2, ..AccuracyOptions::default() };
        let mut log =
            AccuracyLog::open(folder.path(), "gate", &options, Arc::new(SystemClock)).unwrap();
        (0..50).for_each(|t| log.write(&line(f64::from(t))));
        log.settle();
        let mut names: Vec<String> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let base = "gate.accuracy.jsonl";
        assert_eq!(names, [base.to_owned(), format!("{base}.1"), format!("{base}.2")]);
        assert!(names.iter().all(|n| fs::metadata(folder.path().join(n)).unwrap().len() <= 2000));
        assert_eq!(log.lost(), 0);
    }

    #[test]
    fn a_full_disk_ends_nothing_and_gets_its_lines_later() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(full, folder.path().join("gate.accuracy.jsonl")).unwrap();
        let options = AccuracyOptions::default();
        let mut log =
            AccuracyLog::open(folder.path(), "gate", &options, Arc::new(SystemClock)).unwrap();
        log.write(&line(1.0));
        log.write(&line(2.0));
        fs::remove_file(log.path()).unwrap();
        log.write(&line(3.0));
        log.settle();
        let text = fs::read_to_string(log.path()).unwrap();
        assert!(log.lost() == 0 && text.lines().count() == 3, "{text}");
    }

    #[test]
    fn a_disk_that_stays_full_loses_the_oldest_lines_and_holds_up_nobody() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(full, folder.path().join("gate.accuracy.jsonl")).unwrap();
        let options = AccuracyOptions::default();
        let mut log =
            AccuracyLog::open(folder.path(), "gate", &options, Arc::new(SystemClock)).unwrap();
        (0..2000).for_each(|t| log.write(&line(f64::from(t))));
        let lost = log.lost();
        assert!(lost > 1000, "{lost}");
    }
}
