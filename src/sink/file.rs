//! JSON lines in a file.

use std::sync::Arc;
use std::time::Duration;

use super::line::LineBuffer;
use super::{Record, Sink, SinkError};
use crate::clock::Clock;
use crate::error::Result;
use crate::rolling::{Batched, FileOptions};

/// A rolling file of predictions and events, written many lines at a time.
pub struct FileSink {
    file: Batched,
    line: LineBuffer,
    queue_bytes: usize,
}

impl FileSink {
    /// Opens the file for appending, creating it and its folder as needed.
    ///
    /// # Errors
    /// As [`Rolling::open`](crate::rolling::Rolling::open).
    pub fn open(options: FileOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        let queue_bytes = options.queue_bytes;
        let file = Batched::open("file sink", options, clock)?;
        Ok(FileSink { file, line: LineBuffer::default(), queue_bytes })
    }
}

impl Sink for FileSink {
    fn name(&self) -> String {
        format!("file \"{}\"", self.file.path().display())
    }

    fn write(&mut self, record: Record<'_>) -> std::result::Result<(), SinkError> {
        self.file.take(self.line.fill(record)?)
    }

    fn flush(&mut self, all: bool) -> std::result::Result<Option<Duration>, SinkError> {
        self.file.flush(all)
    }

    fn queue_bytes(&self) -> usize {
        self.queue_bytes
    }

    fn held(&self) -> u64 {
        self.file.held()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::clock::SystemClock;
    use crate::predict::{EndedBy, Event, EventKind};

    fn open(path: &Path) -> FileSink {
        FileSink::open(FileOptions::new(path), Arc::new(SystemClock)).unwrap()
    }

    fn write(sink: &mut FileSink, label: &str) -> std::result::Result<(), SinkError> {
        let event = Event {
            v: 1,
            kind: EventKind,
            stream: "gate".into(),
            label: label.into(),
            start: 0.0,
            end: 1.0,
            peak: 0.9,
            ended_by: EndedBy::Off,
            at: String::new(),
        };
        sink.write(Record::Event(&event))?;
        sink.flush(true).map(|_| ())
    }

    fn labels(path: &Path) -> Vec<String> {
        let text = fs::read_to_string(path).unwrap();
        let label = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["label"].as_str().unwrap().to_owned()
        };
        text.lines().map(label).collect()
    }

    #[test]
    fn each_record_is_a_line_after_those_that_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/folder/p.jsonl");
        for label in ["a", "b"] {
            let mut sink = open(&path);
            assert_eq!(sink.name(), format!("file \"{}\"", path.display()));
            write(&mut sink, label).unwrap();
        }
        assert_eq!(labels(&path), ["a", "b"]);
    }

    #[test]
    fn a_device_without_space_keeps_records_until_there_is_some() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.jsonl");
        std::os::unix::fs::symlink(full, &path).unwrap();
        // /dev/full reads as endless zeros of length 0: nothing is torn.
        let mut sink = open(&path);
        assert!(matches!(write(&mut sink, "a"), Err(SinkError::Later(_))));
        assert_eq!(sink.held(), 1);
        fs::remove_file(&path).unwrap();
        write(&mut sink, "b").unwrap();
        assert_eq!((labels(&path), sink.held()), (vec!["a".into(), "b".into()], 0));
    }
}
