//! `metrics.json`: every figure of a run. Its keys are described in
//! `docs/report.md`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::aggregate::Aggregate;
use super::store::{Run, RunLabels};
use super::temperature::Temperature;
use super::timeline::Timeline;
use crate::metric::{Averages, Conventions, EventSummary, Figure, FigureInterval, Summary};
use crate::model::{Output, Task};
use crate::predict::PredictOptions;

/// Version of `metrics.json`; raised when a key changes its meaning or goes away.
pub const FORMAT: u32 = 1;

/// The whole file. A part is null where there is nothing to measure.
#[derive(Clone, Debug, Serialize)]
pub struct Metrics {
    /// `FORMAT`.
    pub v: u32,
    /// What was measured.
    pub model: Model,
    /// Against what.
    pub labels: Option<RunLabels>,
    /// How clips were chosen.
    pub options: BTreeMap<String, Value>,
    /// How predictions became events.
    pub predict: PredictOptions,
    /// By which rules.
    pub rules: Rules,
    /// Over what.
    pub videos: Videos,
    /// What does not fit together.
    pub survey: Survey,
    /// Clips that lie within one label.
    pub clip: Option<Level>,
    /// Every clip, against the label at its time; null where no label changes
    /// within a video, for then it would be `clip` again.
    pub every: Option<Level>,
    /// Whole videos.
    pub video: Option<Level>,
    /// Each way from clips to videos.
    pub aggregates: Vec<AggregateFigures>,
    /// Per-frame AP of videos whose labels change over time.
    pub per_frame: Option<PerFrame>,
    /// Events of videos whose labels change over time.
    pub events: Option<EventFigures>,
    /// What was there and what was said in each of them.
    pub timelines: Vec<Timeline>,
}

/// The model.
#[derive(Clone, Debug, Serialize)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// SHA-256 of its network.
    pub sha256: String,
    /// Whether one class is true at a time.
    pub task: Task,
    /// What it gives.
    pub output: Output,
    /// How it was run.
    pub mode: String,
    /// Its classes, in the order of every list and matrix here.
    pub classes: Vec<String>,
}

impl From<&Run> for Model {
    fn from(run: &Run) -> Self {
        Model {
            name: run.model.name.clone(),
            sha256: run.model.sha256.clone(),
            task: run.model.task,
            output: run.model.output,
            mode: run.model.mode.clone(),
            classes: run.model.labels.clone(),
        }
    }
}

/// The rules that the figures follow.
#[derive(Clone, Debug, Serialize)]
pub struct Rules {
    /// Whose conventions for ties, empty classes and divisions by zero.
    pub conventions: Conventions,
    /// From clips to the video.
    pub aggregate: Aggregate,
    /// Intervals: percentile bootstrap over videos.
    pub bootstrap: BootstrapRules,
    /// The rest, in words.
    pub notes: Vec<&'static str>,
}

/// How intervals are made.
#[derive(Clone, Debug, Serialize)]
pub struct BootstrapRules {
    /// Resamples.
    pub replicates: usize,
    /// Share of them that an interval holds.
    pub level: f64,
    /// Chance's only source.
    pub seed: u64,
    /// What is drawn: always `videos`.
    pub unit: &'static str,
}

/// What was measured, and what was not.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Videos {
    /// Finished videos.
    pub total: u64,
    /// Videos of the run that are not there yet.
    pub missing: u64,
    /// Videos with an annotation in words of the model and at least a clip.
    pub scored: u64,
    /// Clips of videos that did not fail.
    pub clips: u64,
    /// Seconds of video that did not fail.
    pub seconds: f64,
    /// Videos that could not be read to the end.
    pub failed: Vec<Failed>,
    /// Videos without an annotation.
    pub unlabelled: Vec<String>,
    /// Videos too short for a clip.
    pub without_clips: Vec<String>,
}

/// A video that failed.
#[derive(Clone, Debug, Serialize)]
pub struct Failed {
    /// Its id.
    pub video: String,
    /// Why.
    pub error: String,
}

/// Annotations that could not be used as they are.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Survey {
    /// Labels that the model has no class for.
    pub unknown_labels: Vec<UnknownLabel>,
    /// Spans that end after their video does.
    pub past_end: Vec<PastEnd>,
    /// Classes that no annotation names.
    pub absent_classes: Vec<String>,
}

/// A label that the model has no class for.
#[derive(Clone, Debug, Serialize)]
pub struct UnknownLabel {
    /// The label.
    pub label: String,
    /// In how many videos it stands.
    pub videos: u64,
}

/// A span that ends after its video does.
#[derive(Clone, Debug, Serialize)]
pub struct PastEnd {
    /// The video's id.
    pub video: String,
    /// The label.
    pub label: String,
    /// The span's start, seconds.
    pub start: f64,
    /// Its end, seconds.
    pub end: f64,
    /// The video's length, seconds.
    pub seconds: f64,
}

/// Figures of clips or of videos.
#[derive(Clone, Debug, Serialize)]
pub struct Level {
    /// Every figure.
    #[serde(flatten)]
    pub summary: Summary,
    /// How sure the most important of them are.
    pub intervals: Vec<FigureInterval>,
    /// After temperature scaling; null with fewer than two videos.
    pub tempered: Option<Temperature>,
    /// Counts, rows are the truth; null in a multi-label task.
    pub confusion: Option<Vec<Vec<u64>>>,
}

impl Level {
    /// The interval of a figure, where there is one.
    pub fn interval(&self, figure: Figure) -> Option<&FigureInterval> {
        self.intervals.iter().find(|interval| interval.figure == figure)
    }
}

/// What one way from clips to videos comes to.
#[derive(Clone, Debug, Serialize)]
pub struct AggregateFigures {
    /// The way.
    pub aggregate: Aggregate,
    /// Top-1 accuracy; exact match in a multi-label task.
    pub accuracy: f64,
    /// Top-5 accuracy, of five classes or more.
    pub top_5: Option<f64>,
    /// Mean average precision over the classes that occur.
    pub mean_average_precision: Option<f64>,
    /// Expected calibration error.
    pub ece: f64,
}

/// Per-frame figures: a sample for each prediction in time, classes apart.
#[derive(Clone, Debug, Serialize)]
pub struct PerFrame {
    /// Predictions.
    pub samples: usize,
    /// Videos.
    pub videos: usize,
    /// AP averaged in several ways.
    pub average_precision: Averages,
    /// AP of each class; null for one that never holds.
    pub per_class: Vec<Option<f64>>,
    /// How sure the mean over the classes that occur is.
    pub interval: Option<FigureInterval>,
}

/// Event figures.
#[derive(Clone, Debug, Serialize)]
pub struct EventFigures {
    /// F1 at each overlap, latency, and both for each class.
    #[serde(flatten)]
    pub summary: EventSummary,
    /// How sure they are.
    pub intervals: Vec<FigureInterval>,
}
