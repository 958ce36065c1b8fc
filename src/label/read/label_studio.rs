//! Label Studio's JSON export of video timelines. A task has `data` with the
//! video's path and `annotations`, each with its `result`s; a result of type
//! `timelinelabels` has `value: {"ranges": [{"start": 1, "end": 30}],
//! "timelinelabels": ["Run"]}`, where start and end are frames, counted from 1,
//! both included: at `fps` frames a second that is from (start - 1) / fps to
//! end / fps seconds. The short export (JSON-MIN), in which a task holds such
//! values under the names of its controls, is read too.
//!
//! Also read are `choices` (for the whole recording) and `labels` with start and
//! end (in seconds: audio of a video). Of several annotations of one task the one
//! marked as ground truth counts, or the first that was not cancelled.
//!
//! Source: labelstud.io/tags/timelinelabels (result parameters, example JSON);
//! HumanSignal/label-studio pull request 6191, which brought the tag in;
//! labelstud.io/guide/export for tasks and the short form.

use serde_json::Value;

use super::Source;
use crate::label::collect::Collector;
use crate::label::fault::Broken;
use crate::label::json::{self, Node};
use crate::label::naming::has_video_extension;

pub(super) fn read(source: &Source<'_>, out: &mut Collector) -> Result<(), Broken> {
    if let Some(fps) = source.options.fps
        && !(fps.is_finite() && fps > 0.0)
    {
        return Err(Broken::whole(format!("{fps} frames a second are impossible")));
    }
    let value = json::parse(source.text)?;
    let root = Node::root(source.text, &value);
    match &value {
        Value::Array(_) => root.items().try_for_each(|item| task(source, &item, out)),
        Value::Object(_) => task(source, &root, out),
        _ => Err(root.broken("expected a list of tasks")),
    }
}

fn task(source: &Source<'_>, task: &Node<'_>, out: &mut Collector) -> Result<(), Broken> {
    let data = task.get("data").unwrap_or(*task);
    let Some(url) = media(&data) else {
        return Err(task.broken("the task names no video; expected {\"data\": {\"video\": \"…\"}}"));
    };
    let video = file_name(url);
    out.video(&video, || task.at())?;
    // Uploads are stored as `<8 hex digits>-<name>`.
    if let Some((hash, name)) = video.split_once('-')
        && hash.len() == 8
        && hash.bytes().all(|b| b.is_ascii_hexdigit())
    {
        out.alternate(&video, name.to_owned());
    }
    let fps = source.options.fps.or_else(|| {
        let keys = ["fps", "framerate", "frame_rate", "frameRate"];
        keys.iter().find_map(|key| data.get(key)?.number()).filter(|f| f.is_finite() && *f > 0.0)
    });
    let reader = Reader { video: &video, fps };
    let Some(annotations) = task.get("annotations") else {
        // The short form: the values stand under the names of their controls.
        for (_, control) in task.members() {
            for value in control.items() {
                if value.value.get("timelinelabels").is_some()
                    || value.value.get("labels").is_some()
                {
                    reader.value(&value, out)?;
                }
            }
        }
        return Ok(());
    };
    let flag =
        |node: &Node<'_>, key: &str| node.value.get(key).is_some_and(|v| *v == Value::Bool(true));
    let all: Vec<Node<'_>> = annotations.items().filter(|a| !flag(a, "was_cancelled")).collect();
    let Some(one) = all.iter().find(|a| flag(a, "ground_truth")).or(all.first()) else {
        return Ok(());
    };
    if all.len() > 1 {
        out.fault(
            format!("\"{video}\" has {} annotations; one of them was read", all.len()),
            || annotations.at(),
        )?;
    }
    let Some(results) = one.get("result") else { return Ok(()) };
    for result in results.items() {
        let Some(value) = result.get("value") else { continue };
        // Boxes, text and ratings are no labels.
        let kind = result.value.get("type").and_then(Value::as_str);
        if matches!(kind, Some("timelinelabels" | "labels" | "choices")) {
            reader.value(&value, out)?;
        }
    }
    Ok(())
}

struct Reader<'a> {
    video: &'a str,
    fps: Option<f64>,
}

impl Reader<'_> {
    fn value(&self, value: &Node<'_>, out: &mut Collector) -> Result<(), Broken> {
        for choice in value.get("choices").iter().flat_map(Node::items) {
            let Some(label) = choice.str() else {
                return Err(choice.broken("expected the name of a choice"));
            };
            out.whole(self.video, label, || choice.at())?;
        }
        for key in ["timelinelabels", "labels"] {
            for label in value.get(key).iter().flat_map(Node::items) {
                let Some(label_text) = label.str() else {
                    return Err(label.broken("expected the name of a label"));
                };
                if let Some(ranges) = value.get("ranges") {
                    for range in ranges.items() {
                        out.span(self.video, self.frames(&range)?, label_text, || range.at())?;
                    }
                } else if key == "labels" {
                    let seconds = (number(value, "start")?, number(value, "end")?);
                    out.span(self.video, seconds, label_text, || value.at())?;
                } else {
                    return Err(value.broken("there are no \"ranges\""));
                }
            }
        }
        Ok(())
    }

    fn frames(&self, range: &Node<'_>) -> Result<(f64, f64), Broken> {
        let Some(fps) = self.fps else {
            return Err(range
                .broken("its times are frames, and nothing says how many there are a second")
                .remedy("give the frame rate of the videos (--fps 30)"));
        };
        let (start, end) = (number(range, "start")?, number(range, "end")?);
        Ok(((start - 1.0).max(0.0) / fps, end / fps))
    }
}

fn number(node: &Node<'_>, key: &str) -> Result<f64, Broken> {
    let Some(member) = node.get(key) else {
        return Err(node.broken(format!("there is no \"{key}\"")));
    };
    member
        .number()
        .filter(|n| (0.0..=1e12).contains(n))
        .ok_or_else(|| member.broken(format!("{} is no {key}; expected a number", member.value)))
}

/// The path or address of the task's recording.
fn media<'a>(data: &Node<'a>) -> Option<&'a str> {
    let members = data.value.as_object()?;
    let named = ["video", "video_url", "url", "path", "file"];
    named.iter().find_map(|key| members.get(*key)?.as_str()).or_else(|| {
        members.values().filter_map(Value::as_str).find(|text| has_video_extension(text))
    })
}

/// The last part of a path or address; for local files it stands behind `?d=`.
fn file_name(url: &str) -> String {
    let url = url.split_once("?d=").map_or(url, |(_, path)| path);
    let url = url.split(['?', '#']).next().unwrap_or(url);
    url.rsplit(['/', '\\']).next().unwrap_or(url).replace("%20", " ")
}
