//! JSON that maps a video to its labels: `{"a.mp4": [["wave", 0.0, 2.5], …]}`.
//! Label, start and end may stand in a list, the label first or last, or in an
//! object (`{"label": "wave", "start": 0, "end": 2.5}`); times are seconds. A
//! video may also have just a label, a class index, or a list of them, which hold
//! for all of it. A list of objects that name their `video` is read the same way.
//!
//! This is no published format but the common denominator of what people write
//! with a few lines of Python.

use serde_json::Value;

use super::Source;
use super::activitynet::{pair, time};
use crate::label::collect::Collector;
use crate::label::fault::Broken;
use crate::label::json::{self, Node};

const EXPECTED: &str = "expected {\"video\": [[\"label\", start, end], …]} or a list of {\"video\", \"label\", \"start\", \"end\"}";

pub(super) fn read(source: &Source<'_>, out: &mut Collector) -> Result<(), Broken> {
    let value = json::parse(source.text)?;
    let root = Node::root(source.text, &value);
    match &value {
        Value::Object(_) => {
            for (video, labels) in root.members() {
                out.video(video, || labels.at())?;
                of_video(source, video, &labels, out)?;
            }
        }
        Value::Array(_) => {
            for item in root.items() {
                let video = ["video", "file", "path", "name", "id"]
                    .iter()
                    .find_map(|key| item.value.get(key)?.as_str())
                    .ok_or_else(|| item.broken(format!("it names no video; {EXPECTED}")))?;
                annotation(source, video, &item, out)?;
            }
        }
        _ => return Err(root.broken(EXPECTED)),
    }
    Ok(())
}

fn of_video(
    source: &Source<'_>,
    video: &str,
    labels: &Node<'_>,
    out: &mut Collector,
) -> Result<(), Broken> {
    if !labels.value.is_array() || is_triple(labels) {
        return annotation(source, video, labels, out);
    }
    for item in labels.items() {
        annotation(source, video, &item, out)?;
    }
    Ok(())
}

/// Whether a list is itself a label with two times.
fn is_triple(node: &Node<'_>) -> bool {
    let items = node.value.as_array().map(Vec::as_slice).unwrap_or_default();
    let numbers = items.iter().filter(|v| v.is_number()).count();
    let texts = items.iter().filter(|v| v.is_string()).count();
    items.len() == 3 && numbers == 2 && texts == 1
}

fn annotation(
    source: &Source<'_>,
    video: &str,
    node: &Node<'_>,
    out: &mut Collector,
) -> Result<(), Broken> {
    let at = || node.at();
    match node.value {
        Value::String(label) => out.whole(video, label, at),
        Value::Number(index) => {
            let index = index.to_string();
            out.whole(video, source.class(&index, at)?, at)
        }
        Value::Array(_) => {
            let items: Vec<Node<'_>> = node.items().take(4).collect();
            let [a, b, c] = items.as_slice() else {
                return Err(node.broken("expected a label, a start and an end"));
            };
            let (label, start, end) = if a.value.is_string() { (a, b, c) } else { (c, a, b) };
            let Some(label) = label.str() else {
                return Err(node.broken("there is no label; expected text beside the two times"));
            };
            out.span(video, (time(start)?, time(end)?), label, at)
        }
        Value::Object(_) => {
            let label = ["label", "class", "action", "category"]
                .iter()
                .find_map(|key| node.value.get(key)?.as_str())
                .ok_or_else(|| node.broken("there is no \"label\""))?;
            if let Some(segment) = node.get("segment") {
                return out.span(video, pair(&segment)?, label, at);
            }
            match (node.get("start"), node.get("end")) {
                (Some(start), Some(end)) => {
                    out.span(video, (time(&start)?, time(&end)?), label, at)
                }
                (None, None) => out.whole(video, label, at),
                _ => Err(node.broken("expected both \"start\" and \"end\", or neither")),
            }
        }
        Value::Null | Value::Bool(_) => Err(node.broken(EXPECTED)),
    }
}
