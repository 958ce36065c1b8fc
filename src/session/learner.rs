//! Predictions meet their labels, at once or minutes later: each is scored as
//! it was predicted, and only then learned from.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::calibration::Calibration;
use super::learned::Keeper;
use super::scorer::Scorer;
use super::standing::Standing;
use super::waiting::{Predicted, Waiting};
use crate::accuracy::{AccuracyLog, Counts, Evidence, Raw, Scored};
use crate::calibrate::Alarm;
use crate::label::{ClipTime, Known, Truths};
use crate::model::Output;

/// How often and by whom what was learned is kept.
pub struct Keeping {
    /// Who keeps it.
    pub keeper: Box<dyn Keeper>,
    /// The recovery point: at most this much is lost by a crash.
    pub every: Duration,
}

/// One stream's labels and all that is done with them.
pub(super) struct Learner {
    pub calibration: Calibration,
    pub scorer: Scorer,
    pub output: Output,
    pub truths: Truths,
    pub waiting: Waiting,
    /// How much of an independent sample each prediction is.
    pub evidence: Evidence,
    /// Where the accuracy stands; shared with whoever asks for it.
    pub standing: Arc<Standing>,
    pub log: Option<AccuracyLog>,
    pub keeping: Option<Keeping>,
    pub kept: Instant,
    pub counts: Counts,
    /// The clip of the newest prediction.
    pub newest: Option<ClipTime>,
}

impl Learner {
    /// Begins with what was learned before, if anything was.
    pub fn begin(&mut self, stream: &str) {
        let Some(learned) = self.keeping.as_mut().and_then(|keeping| keeping.keeper.load()) else {
            return;
        };
        let faults = self.calibration.restore(learned);
        for fault in &faults {
            log::warn!("stream \"{stream}\": begins anew without what it had learned: {fault}");
        }
        if faults.is_empty() {
            log::info!("stream \"{stream}\": goes on with what it had learned");
        }
    }

    /// The labels that hold at the clip's end, as far as anybody knows yet.
    pub fn truth_at(&self, clip: &ClipTime) -> Vec<String> {
        match self.truths.over(clip) {
            Known::Labels(labels) => labels.at.iter().map(|&label| label.to_owned()).collect(),
            Known::NotYet | Known::Never => Vec::new(),
        }
    }

    /// Takes the prediction just made; `best` is the class that it names.
    /// Returns what has changed in the world, if anything has.
    pub fn take(&mut self, clip: ClipTime, values: &[f32], best: usize) -> Vec<Alarm> {
        self.counts.predictions += 1;
        self.newest = Some(clip);
        let mut alarms = Vec::new();
        let evidence = self.evidence.of(clip.start, clip.t);
        alarms.extend(self.calibration.observe(clip.t, evidence));

        if self.truths.take(&clip) > 0 {
            self.resolve_known(&mut alarms);
        }
        let predicted = Predicted {
            clip,
            values: values.into(),
            probabilities: self.calibration.probabilities().into(),
            thresholds: self.calibration.thresholds(),
            set: self.calibration.set().map(Into::into),
            best,
        };
        if matches!(self.truths.over(&clip), Known::NotYet) {
            if let Some(oldest) = self.waiting.push(predicted) {
                self.give_up(&oldest);
            }
        } else {
            self.resolve(predicted, &mut alarms);
        }
        let wait = self.truths.wait().as_secs_f64();
        // By the wall clock, as labels are late by it; a stream that stands
        // still makes no predictions, and none is given up.
        while let Some(oldest) = self.waiting.pop_oldest_if(|p| clip.wall - p.clip.wall > wait) {
            self.give_up(&oldest);
        }
        for alarm in &alarms {
            let text = alarm.text(alarm.class.and_then(|class| self.scorer.label(class)));
            self.standing.with(|accuracy| accuracy.alarm(clip.t, &text, alarm));
        }
        alarms
    }

    /// Scores those that waited for what is now known.
    fn resolve_known(&mut self, alarms: &mut Vec<Alarm>) {
        let truths = &self.truths;
        let known = |p: &Predicted| !matches!(truths.over(&p.clip), Known::NotYet);
        for predicted in self.waiting.take(known) {
            self.resolve(predicted, alarms);
        }
    }

    /// Scores `predicted` against what is now known of its clip, then learns.
    fn resolve(&mut self, predicted: Predicted, alarms: &mut Vec<Alarm>) {
        let Predicted { clip, values, probabilities, .. } = &predicted;
        let Known::Labels(labels) = self.truths.over(clip) else {
            self.counts.unlabelled += 1;
            return;
        };
        let here = self.scorer.classes(&labels.at);
        let is_whole = labels.whole;
        let whole = self.scorer.classes(if is_whole { &labels.clip } else { &[] });
        self.scorer.add(predicted.best, &whole, &here);
        self.truths.used(clip);
        let raw = match self.output {
            Output::Logits => Raw::Logits(values),
            Output::Probabilities => Raw::Probabilities(values),
        };
        let scored = Scored {
            start: clip.start,
            t: clip.t,
            raw,
            calibrated: probabilities,
            thresholds: predicted.thresholds.as_deref(),
            set: predicted.set.as_deref(),
            whole: is_whole.then_some(&whole),
            here: Some(&here),
        };
        let evidence = self.standing.with(|accuracy| accuracy.add(&scored)).flatten();
        if let Some(evidence) = evidence {
            alarms.extend(self.calibration.learn(clip.t, values, probabilities, &whole, evidence));
        }
    }

    /// No label came in time.
    fn give_up(&mut self, predicted: &Predicted) {
        self.counts.unlabelled += 1;
        self.truths.given_up(&predicted.clip);
    }

    /// Writes the accuracy log and keeps what was learned, where it is time to.
    pub fn note(&mut self, t: f64, now: Instant, at: impl FnOnce() -> String) {
        self.count();
        if self.standing.with(|accuracy| accuracy.due(t)) == Some(true) {
            self.write(t, &at());
        }
        if let Some(keeping) = &mut self.keeping
            && now.saturating_duration_since(self.kept) >= keeping.every
        {
            self.kept = now;
            keeping.keeper.keep(self.calibration.learned());
        }
    }

    /// Tells the accuracy how many predictions wait, and what became of the others.
    fn count(&mut self) {
        self.counts.waiting = self.waiting.len() as u64;
        self.counts.late = self.truths.late();
        let counts = self.counts;
        self.standing.with(|accuracy| accuracy.set_counts(counts));
    }

    fn write(&mut self, t: f64, at: &str) {
        let Some(log) = &mut self.log else { return };
        let parameters = self.calibration.parameters();
        if let Some(line) = self.standing.with(|accuracy| accuracy.line(t, at, &parameters)) {
            log.write(&line);
        }
    }

    /// The stream ended: labels that came since its last prediction still count,
    /// and what waits for others is given up.
    pub fn finish(&mut self, at: &str) {
        let Some(newest) = self.newest else { return };
        if self.truths.take(&newest) > 0 {
            // Too late for an alarm to be of use.
            self.resolve_known(&mut Vec::new());
        }
        for predicted in self.waiting.take(|_| true) {
            self.give_up(&predicted);
        }
        self.count();
        self.write(newest.t, at);
        if let Some(keeping) = &mut self.keeping {
            keeping.keeper.keep(self.calibration.learned());
        }
    }
}
