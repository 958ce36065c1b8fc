//! ActivityNet's JSON: `{"database": {"<id>": {"duration": 82.7, "subset":
//! "validation", "annotations": [{"label": "…", "segment": [start, end]}]}}}`,
//! times in seconds. The same without `database` around it (MMAction2's
//! `anet_anno_val.json`, `duration_second`), and THUMOS14, HACS or FineAction as
//! passed around in this form, are read too. Files are named `<id>.mp4` or
//! `v_<id>.mp4`.
//!
//! Where `annotations` is one object rather than a list, the file is Kinetics'
//! JSON: the clip between the two times was cut out, and its label holds for the
//! whole of it.
//!
//! Source: "How to read the annotation files?" at activity-net.org/download.html.

use super::Source;
use super::kinetics;
use crate::label::collect::Collector;
use crate::label::fault::Broken;
use crate::label::json::{self, Node};
use crate::label::seconds;

pub(super) fn read(source: &Source<'_>, out: &mut Collector) -> Result<(), Broken> {
    let value = json::parse(source.text)?;
    let root = Node::root(source.text, &value);
    let database = root.get("database").unwrap_or(root);
    if !database.value.is_object() {
        return Err(database.broken("expected an object with a video's id for each of its keys"));
    }
    for (id, video) in database.members() {
        let subset = video.get("subset").and_then(|s| s.str()).unwrap_or_default();
        if !subset.is_empty() && !source.options.wants_split(subset) {
            continue;
        }
        let Some(annotations) = video.get("annotations") else {
            return Err(video.broken(format!(
                "video \"{id}\" has no annotations; expected {{\"annotations\": […]}}"
            )));
        };
        let place = || video.at();
        if annotations.value.is_object() {
            let clip = match segment(&annotations)? {
                Some((start, end)) => kinetics::clip_name(id, start, end),
                None => id.to_owned(),
            };
            out.whole(&clip, &label(&annotations)?, || annotations.at())?;
            out.alternate(&clip, id.to_owned());
            continue;
        }
        if !annotations.value.is_array() {
            return Err(annotations.broken("expected a list of annotations"));
        }
        out.video(id, place)?;
        out.alternate(id, format!("v_{id}"));
        let duration =
            ["duration", "duration_second"].iter().find_map(|key| video.get(key)?.number());
        if let Some(duration) = duration.filter(|d| seconds::sound(*d)) {
            out.duration(id, duration);
        }
        for annotation in annotations.items() {
            let label = label(&annotation)?;
            match segment(&annotation)? {
                Some(times) => out.span(id, times, &label, || annotation.at())?,
                None => return Err(annotation.broken("there is no \"segment\": [start, end]")),
            }
        }
    }
    Ok(())
}

fn label(annotation: &Node<'_>) -> Result<String, Broken> {
    let label =
        annotation.get("label").ok_or_else(|| annotation.broken("there is no \"label\""))?;
    let text = label.str().ok_or_else(|| label.broken("the label is not text"))?;
    Ok(text.to_owned())
}

/// Start and end of an annotation's segment.
fn segment(annotation: &Node<'_>) -> Result<Option<(f64, f64)>, Broken> {
    let Some(segment) = annotation.get("segment") else { return Ok(None) };
    pair(&segment).map(Some)
}

/// A list of two times.
pub(super) fn pair(node: &Node<'_>) -> Result<(f64, f64), Broken> {
    let times: Vec<Node<'_>> = node.items().take(3).collect();
    let [start, end] = times.as_slice() else {
        return Err(node.broken("expected a list of a start and an end"));
    };
    Ok((time(start)?, time(end)?))
}

/// A time in seconds.
pub(super) fn time(node: &Node<'_>) -> Result<f64, Broken> {
    node.number().filter(|s| seconds::sound(*s)).ok_or_else(|| {
        node.broken(format!("{} is no time; expected seconds, such as 12.5", node.value))
    })
}
