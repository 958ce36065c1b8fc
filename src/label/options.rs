//! What a reader may need to be told.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::format::Format;
use crate::duration::HumanDuration;

/// How long predictions wait for a label, where nothing else is said.
pub const WAIT: HumanDuration = HumanDuration::seconds(600);

/// Which clock the times of labels are on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelClock {
    /// The stream's own: seconds from its beginning.
    #[default]
    Stream,
    /// The time of day, as the machine that runs the stream knows it.
    Wall,
}

impl LabelClock {
    /// Its name in a configuration and in a request.
    pub fn name(self) -> &'static str {
        match self {
            LabelClock::Stream => "stream",
            LabelClock::Wall => "wall",
        }
    }
}

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
    /// Which clock the times are on. The time of day, as RFC 3339 or in seconds
    /// since 1970, is read from [`Format::Csv`] and [`Format::SpanMap`].
    #[serde(skip_serializing_if = "is_stream")]
    pub clock: LabelClock,
}

fn is_stream(clock: &LabelClock) -> bool {
    *clock == LabelClock::Stream
}

/// Where labels are and how they are to be read: in a configuration
/// `labels = "gate.csv"`, or a table with further keys
/// (`labels = { path = "gate.eaf", tier = "events" }`). They may also come while
/// the stream runs (`labels = { live = true }`, `labels = { watch = "folder" }`).
#[derive(Clone, Debug, PartialEq)]
pub struct LabelSource {
    /// A file or a folder, read once at the start.
    pub path: Option<PathBuf>,
    /// Which clock their times are on; for labels that are sent, unless they
    /// say otherwise themselves.
    pub clock: LabelClock,
    /// They may be sent to the control endpoint.
    pub live: bool,
    /// A folder in which label files appear.
    pub watch: Option<PathBuf>,
    /// How long a prediction waits for labels that are yet to come.
    pub wait: HumanDuration,
    /// A CSV file `from,to` from labels to the model's classes.
    pub map: Option<PathBuf>,
    /// How to read it.
    pub read: ReadOptions,
}

impl From<&Path> for LabelSource {
    fn from(path: &Path) -> Self {
        LabelSource {
            path: Some(path.to_owned()),
            clock: LabelClock::Stream,
            live: false,
            watch: None,
            wait: WAIT,
            map: None,
            read: ReadOptions::default(),
        }
    }
}

impl LabelSource {
    /// Whether labels may come while the stream runs, so that predictions have
    /// to wait for them.
    pub fn still_come(&self) -> bool {
        self.live || self.watch.is_some()
    }

    /// Whether the values make sense together.
    ///
    /// # Errors
    /// The key, and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if self.path.is_none() && !self.still_come() {
            let fault = "nothing says where labels come from; expected path = \"a file\", live = true or watch = \"a folder\"";
            return Err(("path", fault.into()));
        }
        for (key, path) in [("path", &self.path), ("watch", &self.watch)] {
            if path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
                return Err((key, "it is empty; expected a path".into()));
            }
        }
        if self.still_come() && self.wait.0.is_zero() {
            let fault = "no label could come in no time at all; expected a longer time";
            return Err(("wait", fault.into()));
        }
        if !self.read.offset.is_finite() {
            return Err(("offset", "it is no number; expected seconds".into()));
        }
        Ok(())
    }
}

/// The keys of the table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    path: Option<PathBuf>,
    #[serde(default)]
    clock: LabelClock,
    #[serde(default)]
    live: bool,
    watch: Option<PathBuf>,
    #[serde(default = "wait")]
    wait: HumanDuration,
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

fn wait() -> HumanDuration {
    WAIT
}

impl<'de> Deserialize<'de> for LabelSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrTable;
        impl<'de> Visitor<'de> for TextOrTable {
            type Value = LabelSource;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a file of labels, or a table of where they come from")
            }

            fn visit_str<E: serde::de::Error>(self, path: &str) -> Result<LabelSource, E> {
                Ok(Path::new(path).into())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<LabelSource, A::Error> {
                let keys = Keys::deserialize(MapAccessDeserializer::new(map))?;
                Ok(LabelSource {
                    path: keys.path,
                    clock: keys.clock,
                    live: keys.live,
                    watch: keys.watch,
                    wait: keys.wait,
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
                        clock: keys.clock,
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

    #[derive(Deserialize)]
    struct Stream {
        labels: LabelSource,
    }

    fn source(toml: &str) -> LabelSource {
        toml::from_str::<Stream>(&format!("labels = {toml}")).unwrap().labels
    }

    #[test]
    fn labels_may_come_from_a_file_a_folder_or_the_endpoint() {
        let plain = source("\"x.csv\"");
        assert_eq!((plain.clock, plain.still_come()), (LabelClock::Stream, false));
        let wall = source("{ path = \"x.csv\", clock = \"wall\" }");
        assert_eq!((wall.clock, wall.read.clock), (LabelClock::Wall, LabelClock::Wall));
        let live = source("{ live = true, wait = \"2 min\" }");
        assert_eq!((live.still_come(), live.wait), (true, HumanDuration::seconds(120)));
        let watch = source("{ watch = \"in\" }");
        assert_eq!((watch.still_come(), watch.wait), (true, WAIT));
        for sound in [plain, wall, live, watch] {
            assert_eq!(sound.check(), Ok(()));
        }
    }

    #[test]
    fn a_table_that_brings_no_labels_is_refused() {
        for (toml, key) in [
            ("{ clock = \"wall\" }", "path"),
            ("{ live = false }", "path"),
            ("{ path = \"\" }", "path"),
            ("{ watch = \"\" }", "watch"),
            ("{ live = true, wait = \"0 s\" }", "wait"),
            ("{ path = \"x.csv\", offset = nan }", "offset"),
        ] {
            assert_eq!(source(toml).check().unwrap_err().0, key, "{toml}");
        }
        assert!(toml::from_str::<Stream>("labels = { path = \"x\", clock = \"sun\" }").is_err());
    }

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
