//! A line of the accuracy log. Fields, units and meaning stand in
//! `docs/accuracy.md`; `docs/accuracy.schema.json` is its schema.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::text;
use crate::metric::{Task, TopK};

/// Version of the log's format (`v`): raised when a field changes its meaning or
/// goes away.
pub const FORMAT: u32 = 1;
/// What `kind` says in each line.
pub const KIND: &str = "accuracy";

/// How right a stream was up to a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// [`FORMAT`].
    pub v: u32,
    /// [`KIND`].
    pub kind: String,
    /// The stream's name.
    pub stream: String,
    /// Whether one class is true at a time.
    pub task: Task,
    /// When, seconds on the stream's own clock.
    pub t: f64,
    /// When, by the wall clock: RFC 3339 with milliseconds, UTC.
    pub at: String,
    /// From line to line, seconds.
    pub interval: f64,
    /// The coverage that prediction sets promise, 0 to 1; `None` without sets.
    pub target: Option<f64>,
    /// Over everything since the daemon began.
    pub cumulative: Cumulative,
    /// Over the last of it.
    pub window: Window,
    /// How many.
    pub counts: Counts,
    /// What has changed.
    pub drift: DriftState,
    /// What the calibrator has fitted so far.
    pub parameters: Value,
}

/// Some aligned lines for a person, without a newline at the end.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::summary(self))
    }
}

/// Figures since the daemon began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cumulative {
    /// Predictions whose whole clip lies within one label; `None` of none.
    pub clip: Option<Level>,
    /// Every prediction at whose time a label holds; `None` of none.
    pub every: Option<Level>,
}

/// Figures of the last clips.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// How far back it reaches at most, seconds.
    pub seconds: f64,
    /// The time of the oldest clip in it, seconds on the stream's own clock.
    pub from: Option<f64>,
    /// The time of the newest.
    pub to: Option<f64>,
    /// Predictions whose whole clip lies within one label; `None` of none.
    pub clip: Option<Level>,
}

/// Figures over one choice of predictions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// How many predictions.
    pub samples: u64,
    /// About how many that do not overlap: the effective sample size.
    pub effective: f64,
    /// The model's own output.
    pub raw: Figures,
    /// What was predicted, after calibration.
    pub calibrated: Figures,
    /// The share of prediction sets that held what was there; `None` without any.
    pub coverage: Option<f64>,
    /// Mean number of classes in a set; `None` without any.
    pub set_size: Option<f64>,
}

/// How right, and how far probabilities can be taken at their word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Single-label: the most probable class is right. Multi-label: every label
    /// is right (exact match).
    pub accuracy: f64,
    /// For each k asked for, ascending.
    pub top_k: Vec<TopK>,
    /// Mean F1 over classes.
    pub macro_f1: Option<f64>,
    /// Expected calibration error, 15 bins of equal width.
    pub ece: f64,
    /// The same over 15 bins of equal mass: of the window, single-label.
    pub ece_equal_mass: Option<f64>,
    /// Brier score.
    pub brier: f64,
    /// Negative log-likelihood, nats.
    pub nll: f64,
}

/// How many predictions, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Predictions made.
    pub predictions: u64,
    /// Scored at their own time or over their whole clip.
    pub scored: u64,
    /// Waiting for a label.
    pub waiting: u64,
    /// Given up without a label.
    pub unlabelled: u64,
    /// Labels that came after all their clips had been given up.
    pub late: u64,
    /// Not scored, because a figure in them was none.
    pub refused: u64,
}

/// Drift alarms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DriftState {
    /// Alarms since the daemon began.
    pub alarms: u64,
    /// The last one.
    pub last: Option<Mark>,
    /// Those since the line before, the last few of very many.
    pub new: Vec<Mark>,
}

/// A drift alarm and its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// When, seconds on the stream's own clock.
    pub t: f64,
    /// What changed, in words.
    pub text: String,
    /// What changed, as the detector tells it.
    pub alarm: Value,
}
