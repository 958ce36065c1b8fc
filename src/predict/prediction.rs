//! What leaves kinewatch: one JSON object a line. Fields, units and meaning
//! stand in `docs/output.md`; `docs/prediction.schema.json` is their schema.

use serde::{Serialize, Serializer};

use crate::video::Reset;

/// Version of the output format (`v`): raised when a field changes its meaning
/// or goes away.
pub const FORMAT: u32 = 1;

/// A class and its probability.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scored {
    /// The class.
    pub label: String,
    /// Its probability, 0 to 1.
    pub p: f32,
}

/// What the model says of the clip that ends at `t`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(into = "PredictionLine")]
pub struct Prediction {
    /// The stream's name.
    pub stream: String,
    /// Numbered from 0 in each stream, without holes.
    pub seq: u64,
    /// The time it speaks of, seconds on the stream's own clock.
    pub t: f64,
    /// Where its clip begins, seconds on the stream's own clock.
    pub start: f64,
    /// When it was made, wall clock, RFC 3339 with milliseconds, UTC.
    pub at: String,
    /// The most probable class; `None` when its probability lies below `abstain`.
    pub label: Option<String>,
    /// The k most probable classes, most probable first.
    pub top: Vec<Scored>,
    /// The prediction set: classes among which the truth is as often as was
    /// asked for, most probable first. `None` without sets, or before they mean
    /// something.
    pub set: Option<Vec<String>>,
    /// The label of the event that is on.
    pub event: Option<String>,
    /// What was really there at `t`, for a labelled stream: no label, one, or
    /// several that hold at once.
    pub truth: Option<Vec<String>>,
    /// How far `t` lies behind the newest frame, seconds.
    pub delay_s: f64,
    /// From the newest frame's arrival to this prediction, milliseconds.
    pub latency_ms: f64,
    /// Predictions left out just before this one, because the model could not
    /// keep up with a live stream.
    pub skipped: u64,
    /// Why the clip was begun anew, on the first prediction since.
    pub reset: Option<Reset>,
    /// Clip top-1 so far (see `docs/output.md`), for the live view only.
    pub clip_top1: Option<f64>,
}

/// [`Prediction`] as it is written, in the order of its fields.
#[derive(Serialize)]
struct PredictionLine {
    v: u32,
    kind: &'static str,
    stream: String,
    seq: u64,
    t: f64,
    start: f64,
    at: String,
    label: Option<String>,
    top: Vec<Scored>,
    set: Option<Vec<String>>,
    event: Option<String>,
    truth: Option<Vec<String>>,
    delay_s: f64,
    latency_ms: f64,
    skipped: u64,
    reset: Option<Reset>,
}

impl From<Prediction> for PredictionLine {
    fn from(p: Prediction) -> Self {
        PredictionLine {
            v: FORMAT,
            kind: "prediction",
            stream: p.stream,
            seq: p.seq,
            t: p.t,
            start: p.start,
            at: p.at,
            label: p.label,
            top: p.top,
            set: p.set,
            event: p.event,
            truth: p.truth,
            delay_s: p.delay_s,
            latency_ms: p.latency_ms,
            skipped: p.skipped,
            reset: p.reset,
        }
    }
}

/// Why an event ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndedBy {
    /// Its probability fell below `off`.
    Off,
    /// Another label took its place (only one holds at a time).
    Replaced,
    /// The clip was begun anew: a gap, a reconnect, an overload.
    Reset,
    /// The stream ended.
    End,
}

/// A label that held long enough, written when it is over.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Version of the format: 1.
    pub v: u32,
    /// Always `event`.
    pub kind: EventKind,
    /// The stream's name.
    pub stream: String,
    /// The class.
    pub label: String,
    /// When its probability reached `on`, seconds on the stream's own clock.
    pub start: f64,
    /// When it ended, seconds on the stream's own clock.
    pub end: f64,
    /// The highest probability in between, 0 to 1.
    pub peak: f32,
    /// What ended it.
    pub ended_by: EndedBy,
    /// When this line was made, wall clock, RFC 3339 with milliseconds, UTC.
    pub at: String,
}

/// Writes the constant `"event"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventKind;

impl Serialize for EventKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("event")
    }
}
