//! The accuracy log of one stream: a file of JSON lines.

use std::path::Path;
use std::sync::Arc;

use super::line::Line;
use super::options::AccuracyOptions;
use crate::clock::Clock;
use crate::error::Result;
use crate::file_name::safe_name;
use crate::rolling::{FileOptions, Rolling};

/// What the names of accuracy logs end with; older files get `.1`, `.2` … after it.
pub const EXTENSION: &str = ".accuracy.jsonl";

/// Writes lines, whole or not at all, into a file that is rotated and bounded.
pub struct AccuracyLog {
    file: Rolling,
    line: Vec<u8>,
    lost: u64,
    /// Lines lost since one got through.
    burst: u64,
}

impl AccuracyLog {
    /// Opens the log of `stream` in `folder`, creating both as needed. Its name is
    /// the stream's, in which all but letters, digits, `.`, `_` and `-` is `%XX`.
    ///
    /// # Errors
    /// As [`Rolling::open`].
    pub fn open(
        folder: &Path,
        stream: &str,
        options: &AccuracyOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let options = FileOptions {
            path: folder.join(format!("{}{EXTENSION}", safe_name(stream))),
            rotate_bytes: Some(options.rotate_bytes),
            rotate_age: None,
            keep: options.keep,
        };
        let file = Rolling::open("accuracy log", options, clock)?;
        Ok(AccuracyLog { file, line: Vec::new(), lost: 0, burst: 0 })
    }

    /// Appends a line. One that does not get through (a full disk) is counted and
    /// ends nothing; the first of several is told in the log.
    pub fn write(&mut self, line: &Line) {
        self.line.clear();
        let written = serde_json::to_writer(&mut self.line, line)
            .map_err(std::io::Error::from)
            .and_then(|()| {
                self.line.push(b'\n');
                self.file.append(&self.line)
            });
        let path = self.file.path().display();
        match written {
            Ok(()) if self.burst > 0 => {
                log::warn!("the accuracy log \"{path}\" goes on; {} lines are lost", self.burst);
                self.burst = 0;
            }
            Ok(()) => {}
            Err(error) => {
                if self.burst == 0 {
                    log::warn!("the accuracy log \"{path}\" loses lines: {error}");
                }
                self.burst += 1;
                self.lost += 1;
            }
        }
    }

    /// Where it is written.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Lines that did not get through.
    pub fn lost(&self) -> u64 {
        self.lost
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
    fn a_full_disk_loses_lines_and_ends_nothing() {
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
        assert_eq!(log.lost(), 2);
        fs::remove_file(log.path()).unwrap();
        log.write(&line(3.0));
        let text = fs::read_to_string(log.path()).unwrap();
        assert!(log.lost() == 2 && text.lines().count() == 1, "{text}");
    }
}
