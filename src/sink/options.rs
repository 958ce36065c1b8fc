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
}

impl SinkOptions {
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
                if self.keep.is_some() && self.rotate_bytes.is_none() && self.rotate_age.is_none() {
                    return Err((
                        "keep",
                        "nothing is rotated; expected rotate_bytes or rotate_age beside it".into(),
                    ));
                }
                Ok(Some(FileOptions {
                    path,
                    rotate_bytes: self.rotate_bytes,
                    rotate_age: self.rotate_age,
                    keep: self.keep.unwrap_or(FileOptions::KEEP),
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
    fn a_file_keeps_five_older_ones_unless_told() {
        let file =
            read("kind = \"file\"\npath = \"p.jsonl\"\nrotate_bytes = 1000").unwrap().unwrap();
        assert_eq!((file.keep, file.rotate_bytes, file.rotate_age), (5, Some(1000), None));
        let file =
            read("kind = \"file\"\npath = \"p\"\nrotate_age = \"1 h\"\nkeep = 0").unwrap().unwrap();
        assert_eq!(file.keep, 0);
    }

    #[test]
    fn what_does_not_go_together_is_refused_by_key() {
        for (text, key) in [
            ("kind = \"file\"", "kind"),
            ("kind = \"stdout\"\npath = \"p\"", "path"),
            ("kind = \"stdout\"\nkeep = 2", "keep"),
            ("kind = \"file\"\npath = \"p\"\nrotate_bytes = 0", "rotate_bytes"),
            ("kind = \"file\"\npath = \"p\"\nrotate_age = \"0 s\"", "rotate_age"),
            ("kind = \"file\"\npath = \"p\"\nkeep = 2", "keep"),
        ] {
            assert_eq!(read(text).unwrap_err().0, key, "{text}");
        }
        assert_eq!(read("kind = \"stdout\""), Ok(None));
    }
}
