//! What a stream came to.

use std::fmt;

use serde::Serialize;

use crate::error::Error;

/// One stream's figures, at its end.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The stream's name.
    pub stream: String,
    /// Sampled frames that the model took.
    pub frames: u64,
    /// Predictions made.
    pub predictions: u64,
    /// Predictions left out because the model could not keep up.
    pub skipped: u64,
    /// How often the clip was begun anew after the start.
    pub resets: u64,
    /// Events that ended.
    pub events: u64,
    /// Time of the last sampled frame on the stream's own clock, seconds.
    pub seconds: f64,
    /// Against the labels, for a labelled stream.
    pub score: Option<Score>,
    /// Why it failed, if it did.
    #[serde(serialize_with = "as_text")]
    pub error: Option<Error>,
    /// It ended because every sink of its predictions was gone.
    #[serde(skip)]
    pub closed: bool,
}

/// How often a labelled stream was right.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// The classes, in the order of the confusion matrices.
    pub labels: Vec<String>,
    /// Predictions whose whole clip lies within one label's span.
    pub clip: Scores,
    /// Every prediction at whose time there is a label.
    pub every: Scores,
}

/// The figures over one choice of predictions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scores {
    /// How many there were.
    pub predictions: u64,
    /// Top-1 accuracy.
    pub top1: Option<f64>,
    /// Macro-F1 over the classes that occur as truth or as prediction.
    pub macro_f1: Option<f64>,
    /// Counts: rows are the truth, columns the prediction.
    pub confusion: Vec<Vec<u64>>,
}

fn as_text<S: serde::Serializer>(error: &Option<Error>, serializer: S) -> Result<S::Ok, S::Error> {
    match error {
        Some(error) => serializer.collect_str(error),
        None => serializer.serialize_none(),
    }
}

impl Summary {
    /// Of a stream that has not begun.
    pub fn new(stream: &str) -> Self {
        Summary {
            stream: stream.to_owned(),
            frames: 0,
            predictions: 0,
            skipped: 0,
            resets: 0,
            events: 0,
            seconds: 0.0,
            score: None,
            error: None,
            closed: false,
        }
    }

    /// This stream and what it came to when it was started again.
    #[must_use]
    pub fn followed_by(self, next: Summary) -> Self {
        Summary {
            frames: self.frames + next.frames,
            predictions: self.predictions + next.predictions,
            skipped: self.skipped + next.skipped,
            resets: self.resets + next.resets,
            events: self.events + next.events,
            ..next
        }
    }

    /// The same, with why it failed.
    #[must_use]
    pub fn failed(mut self, error: Error) -> Self {
        self.error = Some(error);
        self
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "stream \"{}\": {} sampled frames over {:.1} s, {} predictions, {} skipped, {} resets, {} events",
            self.stream,
            self.frames,
            self.seconds,
            self.predictions,
            self.skipped,
            self.resets,
            self.events
        )?;
        let Some(score) = &self.score else { return Ok(()) };
        match (score.clip.top1, score.clip.macro_f1) {
            (Some(top1), Some(f1)) => write!(
                f,
                "; clip top-1 {top1:.4} and macro-F1 {f1:.4} over {} clips within one label",
                score.clip.predictions
            )?,
            _ => write!(f, "; no clip lay within one label")?,
        }
        match score.every.top1 {
            Some(top1) => write!(
                f,
                "; top-1 {top1:.4} over all {} labelled predictions",
                score.every.predictions
            ),
            None => Ok(()),
        }
    }
}
