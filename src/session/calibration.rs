//! One stream's calibrator, prediction sets and drift detectors, joined.

use super::learned::Learned;
use crate::calibrate::{
    Alarm, CalibrateOptions, Calibrator, Conformal, Drift, OnDrift, Parameters,
};
use crate::metric::Task;
use crate::model::Output;
use crate::predict::probabilities;

/// The least probability that has a logarithm here.
const LEAST: f32 = 1e-12;

/// From what the network gave to calibrated probabilities and a set, with what
/// was learned so far.
pub(super) struct Calibration {
    task: Task,
    output: Output,
    calibrator: Calibrator,
    conformal: Option<Conformal>,
    drift: Option<Drift>,
    on_drift: OnDrift,
    logits: Vec<f32>,
    raw: Vec<f32>,
    probabilities: Vec<f32>,
    set: Vec<usize>,
}

impl Calibration {
    /// For a model of `classes` classes; `prior` is what its bundle begins with.
    /// Without `options` nothing is learned, and there are neither sets nor alarms.
    pub fn new(
        options: Option<&CalibrateOptions>,
        classes: usize,
        task: Task,
        output: Output,
        prior: Option<&Parameters>,
    ) -> Self {
        let off = CalibrateOptions::off();
        let options = options.unwrap_or(&off);
        Calibration {
            task,
            output,
            calibrator: Calibrator::new(options, classes, task, prior),
            conformal: options
                .conformal_options()
                .map(|options| Conformal::new(&options, classes, task)),
            drift: options.drift_options().map(|options| Drift::new(&options, classes)),
            on_drift: options.on_drift,
            logits: Vec::with_capacity(classes),
            raw: vec![0.0; classes],
            probabilities: vec![0.0; classes],
            set: Vec::with_capacity(classes),
        }
    }

    /// Takes `values`, what the network gave: finite, one a class. The
    /// probabilities and the set then speak of them.
    pub fn predict(&mut self, values: &[f32]) {
        probabilities(values, self.task, self.output, &mut self.raw);
        let logits = logits_of(values, self.task, self.output, &mut self.logits);
        if self.calibrator.is_identity() {
            // To the bit, also where the network ends with its own softmax.
            self.probabilities.copy_from_slice(&self.raw);
        } else {
            self.calibrator.predict(logits, &mut self.probabilities);
        }
        match &self.conformal {
            Some(conformal) if conformal.ready() => {
                conformal.set(&self.probabilities, &mut self.set);
            }
            _ => self.set.clear(),
        }
    }

    /// The calibrated probabilities.
    pub fn probabilities(&self) -> &[f32] {
        &self.probabilities
    }

    /// The prediction set, most probable first, where there is one.
    pub fn set(&self) -> Option<&[usize]> {
        self.conformal.as_ref().filter(|conformal| conformal.ready()).map(|_| self.set.as_slice())
    }

    /// Multi-label: from which probability on each class counts as predicted.
    pub fn thresholds(&self) -> Option<Box<[f64]>> {
        // Only such a model's parameters are worth the look.
        let parameters = (self.task == Task::MultiLabel).then(|| self.calibrator.parameters())?;
        parameters.thresholds().map(Into::into)
    }

    /// The coverage that was asked for.
    pub fn target(&self) -> Option<f64> {
        self.conformal.as_ref().map(|conformal| conformal.parameters().coverage)
    }

    /// What the calibrator does now.
    pub fn parameters(&self) -> Parameters {
        self.calibrator.parameters()
    }

    /// Looks for drift in the newest prediction, which speaks of `t` seconds and
    /// counts for `evidence` of an independent one.
    pub fn observe(&mut self, t: f64, evidence: f64) -> Option<Alarm> {
        let alarm = self.drift.as_mut()?.observe(t, &self.raw, evidence)?;
        Some(self.alarmed(alarm))
    }

    /// Learns that of the clip whose network output was `values`, predicted as
    /// `predicted`, the classes `truth` were true.
    pub fn learn(
        &mut self,
        t: f64,
        values: &[f32],
        predicted: &[f32],
        truth: &[usize],
        evidence: f64,
    ) -> Option<Alarm> {
        let logits = logits_of(values, self.task, self.output, &mut self.logits);
        self.calibrator.learn(logits, predicted, truth, evidence);
        if let Some(conformal) = &mut self.conformal {
            conformal.learn(predicted, truth, evidence);
        }
        let drift = self.drift.as_mut()?;
        probabilities(values, self.task, self.output, &mut self.raw);
        let alarm = drift.learned(t, loss(&self.raw, self.task, truth), evidence)?;
        Some(self.alarmed(alarm))
    }

    /// Does what the configuration asks for when the world has changed.
    fn alarmed(&mut self, alarm: Alarm) -> Alarm {
        if self.on_drift == OnDrift::Reset {
            self.calibrator.reset();
        }
        if let (OnDrift::Widen | OnDrift::Reset, Some(conformal)) =
            (self.on_drift, &mut self.conformal)
        {
            conformal.widen();
        }
        alarm
    }

    /// All that was learned.
    pub fn learned(&self) -> Learned {
        Learned {
            calibrator: self.calibrator.state(),
            conformal: self.conformal.as_ref().map(Conformal::state),
            drift: self.drift.as_ref().map(Drift::state),
        }
    }

    /// Goes on from what was learned before. A part that does not fit begins
    /// anew; the texts say which and why.
    pub fn restore(&mut self, learned: Learned) -> Vec<String> {
        let mut faults = Vec::new();
        let mut note = |what: &str, outcome: Result<(), String>| {
            faults.extend(outcome.err().map(|fault| format!("{what}: {fault}")));
        };
        note("calibrator", self.calibrator.restore(learned.calibrator));
        if let (Some(conformal), Some(state)) = (&mut self.conformal, learned.conformal) {
            note("prediction sets", conformal.restore(state));
        }
        if let (Some(drift), Some(state)) = (&mut self.drift, learned.drift) {
            note("drift", drift.restore(state));
        }
        faults
    }
}

/// The logits of which `values` are the network's output: these themselves, or those
/// whose softmax or logistic function they are, in `room`.
fn logits_of<'a>(
    values: &'a [f32],
    task: Task,
    output: Output,
    room: &'a mut Vec<f32>,
) -> &'a [f32] {
    if output == Output::Logits {
        return values;
    }
    room.clear();
    room.extend(values.iter().map(|&p| match task {
        Task::SingleLabel => p.max(LEAST).ln(),
        Task::MultiLabel => {
            let p = p.clamp(LEAST, 1.0 - f32::EPSILON);
            (p / (1.0 - p)).ln()
        }
    }));
    room
}

/// Negative log-likelihood in nats: of several true classes of a single-label
/// task the most probable counts; of a multi-label task the mean over classes.
fn loss(probabilities: &[f32], task: Task, truth: &[usize]) -> f64 {
    let nll = |p: f32| -f64::from(p.max(LEAST)).ln();
    match task {
        Task::SingleLabel => {
            let named = truth.iter().filter_map(|&class| probabilities.get(class).copied());
            nll(named.fold(0.0, f32::max))
        }
        Task::MultiLabel => {
            let of =
                |(class, &p): (usize, &f32)| nll(if truth.contains(&class) { p } else { 1.0 - p });
            probabilities.iter().enumerate().map(of).sum::<f64>()
                / probabilities.len().max(1) as f64
        }
    }
}
