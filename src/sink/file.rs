//! JSON lines in a file.

use std::sync::Arc;

use super::line::LineBuffer;
use super::{Record, Sink, SinkError};
use crate::clock::Clock;
use crate::error::Result;
use crate::rolling::{FileOptions, Rolling};

/// A [`Rolling`] file of predictions and events.
pub struct FileSink {
    file: Rolling,
    line: LineBuffer,
}

impl FileSink {
    /// Opens the file for appending, creating it and its folder as needed.
    ///
    /// # Errors
    /// As [`Rolling::open`].
    pub fn open(options: FileOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        let file = Rolling::open("file sink", options, clock)?;
        Ok(FileSink { file, line: LineBuffer::default() })
    }
}

impl Sink for FileSink {
    fn name(&self) -> String {
        format!("file \"{}\"", self.file.path().display())
    }

    fn write(&mut self, record: Record<'_>) -> std::result::Result<(), SinkError> {
        let bytes = self.line.fill(record)?;
        self.file.append(bytes).map_err(|error| SinkError::Lost(error.to_string()))
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
        let options = FileOptions {
            path: path.to_owned(),
            rotate_bytes: None,
            rotate_age: None,
            keep: FileOptions::KEEP,
        };
        FileSink::open(options, Arc::new(SystemClock)).unwrap()
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
        sink.write(Record::Event(&event))
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
    fn a_device_without_space_loses_records_and_goes_on() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.jsonl");
        std::os::unix::fs::symlink(full, &path).unwrap();
        // /dev/full reads as endless zeros of length 0: nothing is torn.
        let mut sink = open(&path);
        assert!(matches!(write(&mut sink, "a"), Err(SinkError::Lost(_))));
        fs::remove_file(&path).unwrap();
        write(&mut sink, "b").unwrap();
        assert_eq!(labels(&path), ["b"]);
    }
}
