//! The `[[sink]]` tables.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::duration::HumanDuration;
use crate::rolling::FileOptions;

/// What a sink is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SinkKind {
    /// Standard output.
    #[default]
    Stdout,
    /// A file of JSON lines.
    File,
}

/// One `[[sink]]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SinkOptions {
    /// What it is.
    pub kind: SinkKind,
    /// `file`: where it is written.
    pub path: Option<PathBuf>,
    /// `file`: a new file is begun before this one grows beyond this many bytes.
    pub rotate_bytes: Option<u64>,
    /// `file`: a new file is begun when this one is this old.
    pub rotate_age: Option<HumanDuration>,
    /// `file`: how many files are kept besides the current one.
    pub keep: Option<usize>,
    /// `file`: how long a line may wait to be written together with others.
    pub flush: Option<HumanDuration>,
    /// `file`: how long a line may wait to be safe from a power cut.
    pub sync: Option<HumanDuration>,
    /// Memory for what waits for a sink that is behind, about, in bytes.
    pub queue_bytes: Option<usize>,
}

/// A smaller queue holds too few lines.
const LEAST_QUEUE: usize = 16 << 10;

impl SinkOptions {
    /// Memory for what waits, in bytes.
    ///
    /// # Errors
    /// The key, below `[[sink]]`, and the fault.
    pub fn queue_bytes(&self) -> Result<usize, (&'static str, String)> {
        match self.queue_bytes.unwrap_or(FileOptions::QUEUE_BYTES) {
            few if few < LEAST_QUEUE => Err((
                "queue_bytes",
                format!("{few} bytes hold too few lines; expected {LEAST_QUEUE} or more"),
            )),
            bytes => Ok(bytes),
        }
    }

    /// The options of a `file` sink; `None` for another kind.
    ///
    /// # Errors
    /// The key, below `[[sink]]`, and the fault.
    pub fn file(&self) -> Result<Option<FileOptions>, (&'static str, String)> {
        match self.kind {
            SinkKind::Stdout => {
                let given = [
                    ("path", self.path.is_some()),
                    ("rotate_bytes", self.rotate_bytes.is_some()),
                    ("rotate_age", self.rotate_age.is_some()),
                    ("keep", self.keep.is_some()),
                    ("flush", self.flush.is_some()),
                    ("sync", self.sync.is_some()),
                ];
                match given.iter().find(|(_, given)| *given) {
                    Some((key, _)) => Err((
                        key,
                        "a stdout sink has none; expected only for kind = \"file\"".into(),
                    )),
                    None => Ok(None),
                }
            }
            SinkKind::File => {
                let Some(path) = self.path.clone() else {
                    return Err((
                        "kind",
                        "a file sink needs a path; expected path = \"predictions.jsonl\" beside it"
                            .into(),
                    ));
                };
                if self.rotate_bytes == Some(0) {
                    return Err((
                        "rotate_bytes",
                        "0 bytes hold no line; expected 1 or more".into(),
                    ));
                }
                if self.rotate_age.is_some_and(|age| age.0.is_zero()) {
                    return Err(("rotate_age", "a file of no age; expected a longer time".into()));
                }
                if self.sync.is_some_and(|sync| sync.0.is_zero()) {
                    return Err((
                        "sync",
                        "a flash card would not last; expected a longer time, such as \"30 s\""
                            .into(),
                    ));
                }
                let defaults = FileOptions::new(&path);
                Ok(Some(FileOptions {
                    rotate_bytes: self.rotate_bytes.unwrap_or(defaults.rotate_bytes),
                    rotate_age: self.rotate_age.unwrap_or(defaults.rotate_age),
                    keep: self.keep.unwrap_or(defaults.keep),
                    flush: self.flush.unwrap_or(defaults.flush),
                    sync: self.sync.unwrap_or(defaults.sync),
                    queue_bytes: self.queue_bytes()?,
                    path,
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<FileOptions>, (&'static str, String)> {
        toml::from_str::<SinkOptions>(text).unwrap().file()
    }

    #[test]
    fn a_file_is_bounded_unless_told_otherwise() {
        let file = read("kind = \"file\"\npath = \"p.jsonl\"").unwrap().unwrap();
        assert_eq!(file, FileOptions::new("p.jsonl".as_ref()));
        let text = "kind = \"file\"\npath = \"p\"\nrotate_age = \"1 h\"\nkeep = 0\nflush = \"0 s\"";
        let file = read(text).unwrap().unwrap();
        assert_eq!((file.keep, file.rotate_age), (0, HumanDuration::seconds(3600)));
        assert_eq!(file.flush, HumanDuration::seconds(0));
    }

    #[test]
    fn what_does_not_go_together_is_refused_by_key() {
        for (text, key) in [
            ("kind = \"file\"", "kind"),
            ("kind = \"stdout\"\npath = \"p\"", "path"),
            ("kind = \"stdout\"\nkeep = 2", "keep"),
            ("kind = \"file\"\npath = \"p\"\nrotate_bytes = 0", "rotate_bytes"),
            ("kind = \"file\"\npath = \"p\"\nrotate_age = \"0 s\"", "rotate_age"),
            ("kind = \"file\"\npath = \"p\"\nsync = \"0 s\"", "sync"),
            ("kind = \"stdout\"\nflush = \"1 s\"", "flush"),
            ("kind = \"file\"\npath = \"p\"\nqueue_bytes = 1000", "queue_bytes"),
        ] {
            assert_eq!(read(text).unwrap_err().0, key, "{text}");
        }
        assert_eq!(read("kind = \"stdout\""), Ok(None));
        let small = SinkOptions { queue_bytes: Some(1), ..SinkOptions::default() };
        assert_eq!(small.queue_bytes().unwrap_err().0, "queue_bytes");
    }
}
