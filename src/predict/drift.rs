//! A change in the world, as it leaves kinewatch.

use serde::Serialize;

use super::prediction::FORMAT;
use crate::calibrate::{Alarm, Detector, Watched};

/// What a stream shows, or how sure the model is of it, has changed for good:
/// written when a detector is sure of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Drift {
    /// Version of the format: 1.
    pub v: u32,
    /// Always `drift`.
    pub kind: &'static str,
    /// The stream's name.
    pub stream: String,
    /// When it was noticed, seconds on the stream's own clock.
    pub t: f64,
    /// What has changed.
    pub what: Watched,
    /// The class, where it is its share that has changed.
    pub label: Option<String>,
    /// Who noticed.
    pub detector: Detector,
    /// What was usual: for `confidence` a probability, for `class-mix` a share
    /// of the predictions (both 0 to 1), for `loss` nats.
    pub from: f64,
    /// What it is now.
    pub to: f64,
    /// When this line was made, wall clock, RFC 3339 with milliseconds, UTC.
    pub at: String,
}

impl Drift {
    /// The line for `alarm` of `stream`; `label` is its class's name.
    pub fn new(stream: &str, alarm: &Alarm, label: Option<String>, at: String) -> Self {
        Drift {
            v: FORMAT,
            kind: "drift",
            stream: stream.to_owned(),
            t: to_micro(alarm.t),
            what: alarm.what,
            label,
            detector: alarm.detector,
            from: to_micro(alarm.from),
            to: to_micro(alarm.to),
            at,
        }
    }
}

/// Six decimals: more than any detector can tell, and short to read.
fn to_micro(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}
