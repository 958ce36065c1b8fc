//! One stream's figures.

use serde::Serialize;
use serde_json::Value;

use super::cumulative::Total;
use super::line::{Counts, Cumulative, DriftState, FORMAT, KIND, Line, Mark};
use super::options::AccuracyOptions;
use super::scored::Scored;
use super::window::Recent;
use crate::error::Result;
use crate::metric::{Options, Task};

/// Alarms that a line has room for.
const NEW_ALARMS: usize = 16;

/// How right one stream is: everything since it was made, and the last of it.
/// Memory is bounded, and a figure that is no number is refused, never spread.
pub struct Accuracy {
    stream: String,
    task: Task,
    classes: usize,
    target: Option<f64>,
    interval: f64,
    clip: Total,
    every: Total,
    recent: Recent,
    counts: Counts,
    drift: DriftState,
    /// When the next line is due.
    next: Option<f64>,
    /// The newest time that was told.
    now: f64,
    raw: Vec<f64>,
    calibrated: Vec<f64>,
}

impl Accuracy {
    /// For the stream `stream` and a model of `classes` classes; `target` is the
    /// coverage that its prediction sets promise, if it gives any.
    ///
    /// # Errors
    /// Too few classes for the task, or options that mean nothing.
    pub fn new(
        options: &AccuracyOptions,
        stream: &str,
        classes: usize,
        task: Task,
        target: Option<f64>,
    ) -> Result<Self> {
        let metrics = Options { top_k: options.top_k.clone(), ..Options::default() };
        let window = options.window.0.as_secs_f64();
        Ok(Accuracy {
            stream: stream.to_owned(),
            task,
            classes,
            target,
            interval: options.interval.0.as_secs_f64(),
            clip: Total::new(task, classes, &metrics)?,
            every: Total::new(task, classes, &metrics)?,
            recent: Recent::new(task, classes, &metrics, window)?,
            counts: Counts::default(),
            drift: DriftState::default(),
            next: None,
            now: 0.0,
            raw: Vec::with_capacity(classes),
            calibrated: Vec::with_capacity(classes),
        })
    }

    /// Scores a clip with what was predicted of it then. Returns its evidence,
    /// more than 0 and at most 1, where the whole clip has a truth: what a
    /// calibrator may learn from, and only after this.
    pub fn add(&mut self, scored: &Scored<'_>) -> Option<f64> {
        // With one class at a time, no class means that nobody knows.
        let known = |truth: Option<&[usize]>| {
            truth.is_some_and(|truth| self.task == Task::MultiLabel || !truth.is_empty())
        };
        let whole = scored.whole.filter(|&truth| known(Some(truth)));
        let here = scored.here.filter(|&truth| known(Some(truth)));
        if whole.is_none() && here.is_none() {
            return None;
        }
        scored.raw.probabilities(self.task, &mut self.raw);
        self.calibrated.clear();
        self.calibrated.extend(scored.calibrated.iter().map(|&p| f64::from(p)));
        if !self.is_usable(scored) {
            self.counts.refused += 1;
            return None;
        }
        // Rounding in single precision may end a hair above 1.
        self.calibrated.iter_mut().for_each(|p| *p = p.clamp(0.0, 1.0));
        let (raw, calibrated) = (&self.raw, &self.calibrated);
        let mut evidence = None;
        let outcome = here
            .map_or(Ok(0.0), |truth| self.every.add(scored, truth, raw, calibrated))
            .and_then(|_| {
                let Some(truth) = whole else { return Ok(()) };
                let own = self.clip.add(scored, truth, raw, calibrated)?;
                evidence = Some(own);
                self.recent.add(scored, truth, raw, calibrated, own)
            });
        match outcome {
            Ok(()) => self.counts.scored += 1,
            // What can be wrong was looked for above.
            Err(_) => self.counts.refused += 1,
        }
        evidence
    }

    /// Whether all of it is there, finite and in range, so that every figure or
    /// none takes it.
    fn is_usable(&self, scored: &Scored<'_>) -> bool {
        let whole = |row: &[f64]| row.len() == self.classes && row.iter().all(|p| p.is_finite());
        let known = |classes: Option<&[usize]>| {
            classes.is_none_or(|classes| classes.iter().all(|&class| class < self.classes))
        };
        whole(&self.raw)
            && whole(&self.calibrated)
            && known(scored.whole)
            && known(scored.here)
            && scored.start.is_finite()
            && scored.t.is_finite()
    }

    /// How many predictions there were and what became of those that are not
    /// scored. `scored` and `refused` are counted here and not taken over.
    pub fn set_counts(&mut self, counts: Counts) {
        let Counts { scored, refused, .. } = self.counts;
        self.counts = Counts { scored, refused, ..counts };
    }

    /// Predictions scored so far.
    pub fn scored(&self) -> u64 {
        self.counts.scored
    }

    /// A drift alarm at `t` seconds: in words, and as the detector tells it.
    pub fn alarm(&mut self, t: f64, text: &str, alarm: &impl Serialize) {
        let alarm = serde_json::to_value(alarm).unwrap_or(Value::Null);
        let mark = Mark { t, text: text.to_owned(), alarm };
        self.drift.alarms += 1;
        self.drift.last = Some(mark.clone());
        if self.drift.new.len() == NEW_ALARMS {
            self.drift.new.remove(0);
        }
        self.drift.new.push(mark);
    }

    /// Whether a line is due at `t` seconds: at each whole interval after the
    /// first time that was asked about. A clock that was set back begins anew.
    pub fn due(&mut self, t: f64) -> bool {
        if !t.is_finite() {
            return false;
        }
        self.now = t;
        match self.next {
            Some(next) if t >= next - self.interval => t >= next,
            _ => {
                self.next = Some(t + self.interval);
                false
            }
        }
    }

    /// The figures up to `t` seconds, which is `at` by the wall clock (RFC 3339),
    /// beside the calibrator's `parameters`. The next line is due a whole
    /// interval on.
    pub fn line(&mut self, t: f64, at: &str, parameters: &impl Serialize) -> Line {
        self.now = t;
        if let Some(next) = self.next.filter(|next| t >= *next) {
            let steps = ((t - next) / self.interval).floor() + 1.0;
            self.next = Some(next + steps * self.interval);
        }
        self.recent.leave(t);
        let parameters = serde_json::to_value(parameters).unwrap_or(Value::Null);
        let line = self.figures(t, at, parameters);
        self.drift.new.clear();
        line
    }

    /// The figures so far for a person: some aligned lines, without a newline at
    /// the end.
    pub fn summary(&mut self) -> String {
        self.recent.leave(self.now);
        self.figures(self.now, "", Value::Null).to_string()
    }

    fn figures(&self, t: f64, at: &str, parameters: Value) -> Line {
        Line {
            v: FORMAT,
            kind: KIND.to_owned(),
            stream: self.stream.clone(),
            task: self.task,
            t: (t * 1e6).round() / 1e6,
            at: at.to_owned(),
            interval: self.interval,
            target: self.target,
            cumulative: Cumulative { clip: self.clip.level(), every: self.every.level() },
            window: self.recent.window(),
            counts: self.counts,
            drift: self.drift.clone(),
            parameters,
        }
    }
}
