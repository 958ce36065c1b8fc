//! `run.json`: what was run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{Output, Task};
use crate::predict::PredictOptions;

/// Version of the store's format; raised when a field changes its meaning.
pub const FORMAT: u32 = 1;

/// What a run is: all that decides its predictions, and a few facts beside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Version of the format: [`FORMAT`].
    pub v: u32,
    /// The version of kinewatch that ran it.
    pub kinewatch: String,
    /// When it was begun, wall clock, RFC 3339.
    pub created: String,
    /// The model.
    pub model: RunModel,
    /// The annotations, if there were any.
    pub labels: Option<RunLabels>,
    /// How the session made predictions and events of what the model said.
    pub predict: PredictOptions,
    /// Whatever else decides the predictions: protocol, views, crops, sampling.
    pub options: BTreeMap<String, Value>,
    /// Which part of the run this folder holds.
    pub shard: Option<Shard>,
    /// Videos in the whole run, all shards together.
    pub planned: Option<u64>,
}

/// The model of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunModel {
    /// Its name in `model.toml`.
    pub name: String,
    /// SHA-256 of its network, hexadecimal.
    pub sha256: String,
    /// Whether one class is true at a time.
    pub task: Task,
    /// What the stored values are: logits, or probabilities.
    pub output: Output,
    /// The way in which it was run: `window`, `stateful` …
    pub mode: String,
    /// The classes, in index order.
    pub labels: Vec<String>,
}

/// The annotations of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunLabels {
    /// Name of the file or folder, without the way there.
    pub name: String,
    /// Its format.
    pub format: String,
    /// SHA-256 of what was read, hexadecimal.
    pub sha256: String,
}

/// Part `index` (from 1) of `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// From 1.
    pub index: u32,
    /// How many there are.
    pub of: u32,
}

/// Keys of `run.json` in which two folders of one run may differ.
const FREE: [&str; 4] = ["kinewatch", "created", "shard", "planned"];

impl Run {
    /// The first thing in which two runs differ, so that their predictions may
    /// not be put together: `model.sha256: "a1…" here, "b2…" there`. Version,
    /// date, shard and number of videos may differ.
    pub fn difference(&self, other: &Run) -> Option<String> {
        let value = |run: &Run| {
            let mut value = serde_json::to_value(run).unwrap_or_default();
            if let Some(map) = value.as_object_mut() {
                FREE.iter().for_each(|key| drop(map.remove(*key)));
            }
            value
        };
        first_difference("", &value(self), &value(other))
    }
}

fn first_difference(at: &str, a: &Value, b: &Value) -> Option<String> {
    if a == b {
        return None;
    }
    if let (Value::Object(a), Value::Object(b)) = (a, b) {
        let null = Value::Null;
        let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        return keys.into_iter().find_map(|key| {
            let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            first_difference(&at, a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null))
        });
    }
    Some(format!("{at}: {} here, {} there", shortened(a), shortened(b)))
}

/// A value as a person can read it in a line.
fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A run of a single-label model over `labels`.
    pub(crate) fn run(labels: &[&str]) -> Run {
        Run {
            v: FORMAT,
            kinewatch: "0.1.0".into(),
            created: "2026-11-22T09:00:00.000Z".into(),
            model: RunModel {
                name: "test".into(),
                sha256: "00".into(),
                task: Task::SingleLabel,
                output: Output::Logits,
                mode: "window".into(),
                labels: labels.iter().map(|l| (*l).to_owned()).collect(),
            },
            labels: None,
            predict: PredictOptions::default(),
            options: BTreeMap::new(),
            shard: None,
            planned: None,
        }
    }

    #[test]
    fn a_run_reads_back_as_it_was_written() {
        let mut run = run(&["a", "b"]);
        run.options.insert("views".into(), Value::from("10x3"));
        run.shard = Some(Shard { index: 1, of: 3 });
        let text = serde_json::to_string(&run).unwrap();
        assert_eq!(serde_json::from_str::<Run>(&text).unwrap(), run);
    }

    #[test]
    fn shards_of_one_run_do_not_differ_and_another_model_does() {
        let one = run(&["a"]);
        let mut two = Run {
            created: "later".into(),
            shard: Some(Shard { index: 2, of: 2 }),
            planned: Some(7),
            ..one.clone()
        };
        assert_eq!(one.difference(&two), None);
        two.model.sha256 = "ff".into();
        assert_eq!(
            one.difference(&two).as_deref(),
            Some("model.sha256: \"00\" here, \"ff\" there")
        );
        let mut three = one.clone();
        three.options.insert("views".into(), Value::from("10x3"));
        assert_eq!(
            one.difference(&three).as_deref(),
            Some("options.views: null here, \"10x3\" there")
        );
    }
}
