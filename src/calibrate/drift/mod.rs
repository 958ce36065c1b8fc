//! Says when the world has changed: without labels from how sure the model is and
//! what it sees, with labels also from how wrong it is.

mod adwin;
mod alarm;
mod correlation;
mod gather;
#[cfg(test)]
mod golden;
mod mix;
mod options;
mod page_hinkley;
mod series;

use serde::{Deserialize, Serialize};

pub use self::alarm::{Alarm, Detector, Watched};
pub use self::options::DriftOptions;

use self::alarm::rounded;
use self::gather::{Gather, evidence};
use self::mix::Mix;
use self::series::Series;
use crate::calibrate::exact;

/// Watches one stream with ADWIN and a two-sided Page–Hinkley test each on the
/// logarithm of the confidence, on the class mix and on the loss.
///
/// *One value for each effective sample*: what overlapping clips say is averaged
/// until their evidence sums to 1. What still repeats itself, because a label lasts
/// for many clips, is measured (see `correlation.rs`) and makes the detectors that
/// much more patient.
///
/// *After an alarm* the detectors of what changed begin anew, with a new reference.
///
/// Give it the model's own (raw) probabilities: calibrated ones change whenever the
/// calibrator learns.
#[derive(Clone, Debug)]
pub struct Drift {
    options: DriftOptions,
    classes: usize,
    confidence: Series,
    mix: Mix,
    loss: Series,
    /// The log-confidence, then the probabilities.
    seen: Gather,
    wrong: Gather,
    sample: Vec<f64>,
    samples: u64,
    alarms: u64,
    last: Option<Alarm>,
    /// Found, but not yet told.
    due: Option<Alarm>,
}

/// Logarithms of confidence are cut off here and losses capped, in nats: 7 is a
/// probability of 1/1,100. It scales both to [0, 1], as ADWIN's bound wants.
const RANGE: f64 = 7.0;

/// How drift watching stands, for the accuracy log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DriftSummary {
    /// Effective samples seen.
    pub samples: u64,
    /// Alarms so far.
    pub alarms: u64,
    /// The latest.
    pub last: Option<Alarm>,
}

/// Everything that is needed to go on exactly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DriftState {
    classes: usize,
    summary: DriftSummary,
    due: Option<Alarm>,
    #[serde(with = "exact")]
    figures: Vec<f64>,
    /// Sums of the class mix's buckets, row by row, each after how many it has.
    mix: Vec<u32>,
}

impl Drift {
    /// For `classes` classes.
    pub fn new(options: &DriftOptions, classes: usize) -> Drift {
        Drift {
            options: *options,
            classes,
            confidence: Series::default(),
            mix: Mix::new(classes),
            loss: Series::default(),
            seen: Gather::new(classes + 1),
            wrong: Gather::new(1),
            sample: Vec::with_capacity(classes + 1),
            samples: 0,
            alarms: 0,
            last: None,
            due: None,
        }
    }

    /// Takes the raw probabilities of a prediction at stream time `t` (seconds) and
    /// its evidence. A second alarm at the same moment comes with a later call.
    /// What is not finite or of the wrong length is ignored.
    pub fn observe(&mut self, t: f64, raw: &[f32], given: f64) -> Option<Alarm> {
        let due = self.due.take();
        let found = self.see(t, raw, given);
        if due.is_some() {
            self.due = found;
            return due;
        }
        found
    }

    fn see(&mut self, t: f64, raw: &[f32], given: f64) -> Option<Alarm> {
        let weight = evidence(given)?;
        if raw.len() != self.classes || raw.is_empty() || !raw.iter().all(|p| p.is_finite()) {
            return None;
        }
        let top = raw.iter().copied().fold(0.0, f32::max);
        let confidence = 1.0 + (f64::from(top).ln() / RANGE).clamp(-1.0, 0.0);
        let values = std::iter::once(confidence).chain(raw.iter().map(|&p| f64::from(p)));
        if !self.seen.add(values, weight) {
            return None;
        }
        self.seen.take(&mut self.sample);
        self.samples = self.samples.saturating_add(1);
        let (&confidence, mix) = self.sample.split_first()?;
        let surer = self.confidence.add(confidence, self.options.least / RANGE, &self.options);
        let mixed = self.mix.add(mix, &self.options);
        let surer = surer.map(|(detector, change)| {
            let sure = |value: f64| ((value - 1.0) * RANGE).exp();
            let change = (sure(change.from), sure(change.to), change.since);
            self.alarm(t, Watched::Confidence, detector, change, None)
        });
        let mixed = mixed.map(|mixed| {
            let change = (mixed.change.from, mixed.change.to, mixed.change.since);
            self.alarm(t, Watched::ClassMix, mixed.detector, change, Some(mixed.class))
        });
        if surer.is_some() {
            self.due = mixed;
            return surer;
        }
        mixed
    }

    /// Takes the loss of a clip whose truth is known, in nats (the negative
    /// logarithm of the raw probability of the truth) and its evidence.
    pub fn learned(&mut self, t: f64, loss: f64, given: f64) -> Option<Alarm> {
        let weight = evidence(given)?;
        // An infinite loss is one of the greatest; NaN is none.
        if loss.is_nan() {
            return None;
        }
        let loss = (loss / RANGE).clamp(0.0, 1.0);
        if !self.wrong.add(std::iter::once(loss), weight) {
            return None;
        }
        self.wrong.take(&mut self.sample);
        let loss = *self.sample.first()?;
        let (detector, change) = self.loss.add(loss, self.options.least / RANGE, &self.options)?;
        let change = (change.from * RANGE, change.to * RANGE, change.since);
        Some(self.alarm(t, Watched::Loss, detector, change, None))
    }

    fn alarm(
        &mut self,
        t: f64,
        what: Watched,
        detector: Detector,
        (from, to, samples): (f64, f64, u64),
        class: Option<usize>,
    ) -> Alarm {
        let (t, from, to) = (rounded(t), rounded(from), rounded(to));
        let alarm = Alarm { t, what, detector, from, to, class, samples };
        self.alarms = self.alarms.saturating_add(1);
        self.last = Some(alarm.clone());
        alarm
    }

    /// How it stands.
    pub fn summary(&self) -> DriftSummary {
        DriftSummary { samples: self.samples, alarms: self.alarms, last: self.last.clone() }
    }

    /// Everything that is needed to go on exactly.
    pub fn state(&self) -> DriftState {
        let (mut figures, mut mix) = (Vec::new(), Vec::new());
        self.seen.save(&mut figures);
        self.wrong.save(&mut figures);
        self.confidence.save(&mut figures);
        self.loss.save(&mut figures);
        self.mix.save(&mut figures, &mut mix);
        DriftState {
            classes: self.classes,
            summary: self.summary(),
            due: self.due.clone(),
            figures,
            mix,
        }
    }

    /// Goes on from a [`state`](Self::state).
    ///
    /// # Errors
    /// A state of another model, or one that no run can have left: what does not
    /// fit. Nothing has changed then.
    pub fn restore(&mut self, state: DriftState) -> Result<(), String> {
        if state.classes != self.classes {
            return Err(format!(
                "the state is of {} classes, not of {}",
                state.classes, self.classes
            ));
        }
        let mut restored = Drift::new(&self.options, self.classes);
        restored
            .load(&state.figures, &state.mix)
            .ok_or_else(|| "a state of drift detectors holds impossible numbers".to_owned())?;
        restored.samples = state.summary.samples;
        restored.alarms = state.summary.alarms;
        restored.last = state.summary.last;
        restored.due = state.due;
        *self = restored;
        Ok(())
    }

    fn load(&mut self, figures: &[f64], mix: &[u32]) -> Option<()> {
        if !figures.iter().all(|figure| figure.is_finite()) {
            return None;
        }
        let mut figures = figures.iter().copied();
        self.seen.load(&mut figures)?;
        self.wrong.load(&mut figures)?;
        self.confidence = Series::load(&mut figures)?;
        self.loss = Series::load(&mut figures)?;
        self.mix = Mix::load(self.classes, &mut figures, mix)?;
        figures.next().is_none().then_some(())
    }
}
