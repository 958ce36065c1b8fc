//! JSON that maps a video to its labels: `{"a.mp4": [["wave", 0.0, 2.5], …]}`.
//! Label, start and end may stand in a list, the label first or last, or in an
//! object (`{"label": "wave", "start": 0, "end": 2.5}`); times are seconds. A
//! video may also have just a label, a class index, or a list of them, which hold
//! for all of it. Where the options say so, times are times of day (RFC 3339, or
//! seconds since 1970). A list of objects that name their `video` is read the same way.
//!
//! This is no published format but the common denominator of what people write
//! with a few lines of Python.

use serde_json::Value;

use super::Source;
use super::activitynet;
use crate::label::collect::Collector;
use crate::label::fault::Broken;
use crate::label::json::{self, Node};
use crate::label::options::LabelClock;
use crate::label::wall;

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
    if !labels.value.is_array() || is_triple(source, labels) {
        return annotation(source, video, labels, out);
    }
    for item in labels.items() {
        annotation(source, video, &item, out)?;
    }
    Ok(())
}

/// Whether a list is itself a label with two times.
fn is_triple(source: &Source<'_>, node: &Node<'_>) -> bool {
    let times = node.items().filter(|item| is_time(source, item)).count();
    let labels = node.items().filter(|item| item.value.is_string() && !is_time(source, item));
    node.items().count() == 3 && times == 2 && labels.count() == 1
}

/// Whether a value is a time rather than a label.
fn is_time(source: &Source<'_>, node: &Node<'_>) -> bool {
    node.value.is_number()
        || source.options.clock == LabelClock::Wall
            && node.str().is_some_and(|text| wall::from_rfc3339(text).is_some())
}

fn time(source: &Source<'_>, node: &Node<'_>) -> Result<f64, Broken> {
    if source.options.clock == LabelClock::Stream {
        return activitynet::time(node);
    }
    match (node.value.as_f64(), node.str()) {
        (Some(number), _) => wall::from_number(number),
        (None, text) => wall::from_text(text.unwrap_or_default(), 1.0),
    }
    .map_err(|fault| node.broken(fault))
}

/// A list of two times.
fn pair(source: &Source<'_>, node: &Node<'_>) -> Result<(f64, f64), Broken> {
    if source.options.clock == LabelClock::Stream {
        return activitynet::pair(node);
    }
    let times: Vec<Node<'_>> = node.items().take(3).collect();
    let [start, end] = times.as_slice() else {
        return Err(node.broken("expected a list of a start and an end"));
    };
    Ok((time(source, start)?, time(source, end)?))
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
            let (label, start, end) = if is_time(source, a) { (c, a, b) } else { (a, b, c) };
            let Some(label) = label.str() else {
                return Err(node.broken("there is no label; expected text beside the two times"));
            };
            out.span(video, (time(source, start)?, time(source, end)?), label, at)
        }
        Value::Object(_) => {
            let label = ["label", "class", "action", "category"]
                .iter()
                .find_map(|key| node.value.get(key)?.as_str())
                .ok_or_else(|| node.broken("there is no \"label\""))?;
            if let Some(segment) = node.get("segment") {
                return out.span(video, pair(source, &segment)?, label, at);
            }
            match (node.get("start"), node.get("end")) {
                (Some(start), Some(end)) => {
                    out.span(video, (time(source, &start)?, time(source, &end)?), label, at)
                }
                (None, None) => out.whole(video, label, at),
                _ => Err(node.broken("expected both \"start\" and \"end\", or neither")),
            }
        }
        Value::Null | Value::Bool(_) => Err(node.broken(EXPECTED)),
    }
}
