//! What a reader may need to be told.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::format::Format;

/// How annotations are to be read. The default suits most files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReadOptions {
    /// The format; found out from content, header and name where none is given.
    pub format: Option<Format>,
    /// Frames a second, for formats that count frames (Label Studio).
    pub fps: Option<f64>,
    /// Which column holds the label, where a format has several (CSV,
    /// EPIC-KITCHENS), by its header.
    pub column: Option<String>,
    /// Which ELAN tier holds the labels; `*` means all of them.
    pub tier: Option<String>,
    /// Which part of a data set: `train`, `val`, `test`; with a number where
    /// there are several splits, such as `test2`.
    pub split: Option<String>,
    /// A file that names classes by their index or code.
    pub classes: Option<PathBuf>,
    /// Seconds added to every time, such as -900 for films that were cut at
    /// their fifteenth minute. What then lies before 0 is cut off.
    pub offset: f64,
    /// Refuse a file that holds a [`Fault`](super::Fault) in place of leaving
    /// it out.
    pub strict: bool,
}

/// Where labels are and how they are to be read: in a configuration
/// `labels = "gate.csv"`, or a table with further keys
/// (`labels = { path = "gate.eaf", tier = "events" }`).
#[derive(Clone, Debug, PartialEq)]
pub struct LabelSource {
    /// A file or a folder.
    pub path: PathBuf,
    /// A CSV file `from,to` from labels to the model's classes.
    pub map: Option<PathBuf>,
    /// How to read it.
    pub read: ReadOptions,
}

impl From<&Path> for LabelSource {
    fn from(path: &Path) -> Self {
        LabelSource { path: path.to_owned(), map: None, read: ReadOptions::default() }
    }
}

/// The keys of the table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    path: PathBuf,
    format: Option<Format>,
    fps: Option<f64>,
    column: Option<String>,
    tier: Option<String>,
    split: Option<String>,
    classes: Option<PathBuf>,
    map: Option<PathBuf>,
    #[serde(default)]
    offset: f64,
    #[serde(default)]
    strict: bool,
}

impl<'de> Deserialize<'de> for LabelSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrTable;
        impl<'de> Visitor<'de> for TextOrTable {
            type Value = LabelSource;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a file of labels, or a table with its path")
            }

            fn visit_str<E: serde::de::Error>(self, path: &str) -> Result<LabelSource, E> {
                Ok(Path::new(path).into())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<LabelSource, A::Error> {
                let keys = Keys::deserialize(MapAccessDeserializer::new(map))?;
                Ok(LabelSource {
                    path: keys.path,
                    map: keys.map,
                    read: ReadOptions {
                        format: keys.format,
                        fps: keys.fps,
                        column: keys.column,
                        tier: keys.tier,
                        split: keys.split,
                        classes: keys.classes,
                        offset: keys.offset,
                        strict: keys.strict,
                    },
                })
            }
        }
        deserializer.deserialize_any(TextOrTable)
    }
}

/// A split such as `test2`: its part and its number.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Split {
    /// In lower case: `train`, `val`, `test`, or empty.
    pub part: String,
    /// The number behind it.
    pub number: Option<u32>,
}

impl ReadOptions {
    /// The split, taken apart; `validation`, `training` and `testing` are read
    /// as the short words.
    pub(super) fn split(&self) -> Option<Split> {
        let text = self.split.as_deref()?.trim().to_lowercase();
        let word = text.trim_end_matches(|c: char| c.is_ascii_digit());
        let number = text[word.len()..].parse().ok();
        Some(Split { part: part(word).to_owned(), number })
    }

    /// Whether a row whose split is called `name` is wanted.
    pub(super) fn wants_split(&self, name: &str) -> bool {
        let name = name.trim().to_lowercase();
        self.split().is_none_or(|split| split.part.is_empty() || split.part == part(&name))
    }
}

fn part(word: &str) -> &str {
    match word {
        "training" => "train",
        "validation" | "validate" | "valid" => "val",
        "testing" => "test",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_are_taken_apart() {
        let options = |split: &str| ReadOptions { split: Some(split.into()), ..Default::default() };
        assert_eq!(options("Test02").split(), Some(Split { part: "test".into(), number: Some(2) }));
        assert_eq!(options("validation").split().unwrap().part, "val");
        assert!(options("val").wants_split("validate"));
        assert!(!options("val").wants_split("train"));
        assert!(ReadOptions::default().wants_split("anything"));
    }
}
