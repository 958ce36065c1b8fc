//! One stream's calibrator.

use super::batch::{likeliest, usable};
use super::histogram::Histogram;
use super::multi_label::MultiLabel;
use super::options::{CalibrateOptions, Method, Update};
use super::parameters::{First, Parameters};
use super::platt::Platt;
use super::probability::probabilities;
use super::scaler::Scaler;
use super::scaling::Scaling;
use super::state::{Numbers, State, VERSION};
use crate::metric::Task;

/// Bound of the effective samples that a state may have seen.
const MOST_EVIDENCE: f64 = 1e12;

/// Corrects one stream's probabilities by what turned out to be true.
///
/// Predict first, then update: [`Calibrator::predict`] uses what was learned
/// before and learns nothing. Until there are `min_evidence` effective samples
/// it is exactly the model's own softmax or sigmoid, or the calibration that came
/// with the model. Numbers that are not finite are never learned from.
#[derive(Clone, Debug)]
pub struct Calibrator {
    method: Method,
    update: Update,
    min_evidence: f64,
    task: Task,
    classes: usize,
    prior: Parameters,
    evidence: f64,
    learner: Learner,
    scratch: Vec<f32>,
}

#[derive(Clone, Debug)]
enum Learner {
    Nothing,
    Scaler(Box<Scaler>),
    Platt(Box<Platt>),
    Histogram(Box<Histogram>),
    MultiLabel(Box<MultiLabel>),
}

impl Calibrator {
    /// For a model with this many classes and this task; `prior` is the
    /// calibration that came with it. Options and prior are checked elsewhere
    /// ([`CalibrateOptions::check_task`], [`Parameters::check`]): a method that
    /// the task cannot have corrects nothing.
    ///
    /// A temperature goes on from a prior temperature or bias; a method for the
    /// top label works on what the prior makes of the logits. A prior for the
    /// top label holds until there is evidence; what then comes begins from the
    /// scaling in it.
    pub fn new(
        options: &CalibrateOptions,
        classes: usize,
        task: Task,
        prior: Option<&Parameters>,
    ) -> Calibrator {
        let prior = prior.filter(|prior| **prior != Parameters::Identity);
        let first = prior.map(scaling_of).unwrap_or_default();
        let length = options.window;
        let learner = match (options.method, task) {
            (Method::Temperature | Method::Vector, Task::SingleLabel) => {
                let prior = (first != First::default())
                    .then(|| Scaling::new(first.temperature, &first.bias));
                let scaler =
                    Scaler::new(options.method, options.update, length, prior.as_ref(), classes);
                Learner::Scaler(Box::new(scaler))
            }
            (Method::Platt, Task::SingleLabel) => {
                Learner::Platt(Box::new(Platt::new(length, first)))
            }
            (Method::Histogram, Task::SingleLabel) => {
                Learner::Histogram(Box::new(Histogram::new(length, first, classes)))
            }
            (Method::Temperature | Method::Vector, Task::MultiLabel) => {
                let bias = options.method == Method::Vector;
                Learner::MultiLabel(Box::new(MultiLabel::new(bias, length, prior, classes)))
            }
            (Method::None, _) | (Method::Platt | Method::Histogram, Task::MultiLabel) => {
                Learner::Nothing
            }
        };
        Calibrator {
            method: options.method,
            update: options.update,
            min_evidence: options.min_evidence,
            task,
            classes,
            prior: prior.cloned().unwrap_or_default(),
            evidence: 0.0,
            learner,
            scratch: vec![0.0; classes],
        }
    }

    /// Whether predictions are the model's own probabilities as they stand.
    pub fn is_identity(&self) -> bool {
        let idle = matches!(self.learner, Learner::Nothing) || self.evidence < self.min_evidence;
        idle && self.prior == Parameters::Identity
    }

    /// Writes the calibrated probabilities of `logits` into `probabilities`
    /// (both one a class), with what was learned so far. Allocates nothing. Of
    /// logits that are not finite, or not one a class, the model's own softmax or
    /// sigmoid.
    pub fn predict(&mut self, logits: &[f32], out: &mut [f32]) {
        if out.len() != logits.len() {
            return;
        }
        if !usable(logits, self.classes) {
            return probabilities(logits, self.task, out);
        }
        match &self.learner {
            _ if self.evidence < self.min_evidence => self.prior.apply(logits, self.task, out),
            Learner::Nothing => self.prior.apply(logits, self.task, out),
            Learner::Scaler(scaler) => scaler.predict(logits, out),
            Learner::Platt(platt) => platt.predict(logits, out),
            Learner::Histogram(histogram) => histogram.predict(logits, out),
            Learner::MultiLabel(multi) => multi.predict(logits, out),
        }
    }

    /// Learns that `truth` (class indices) was right for `logits`. `predicted`
    /// are the probabilities that were given then; `evidence` is how many
    /// samples this is worth, above 0 and up to 1. Of several truths of a
    /// single-label model the one with the highest predicted probability is
    /// taken. What cannot be used (not finite, of another length, classes that do
    /// not exist, a single-label sample without a class) changes nothing.
    pub fn learn(&mut self, logits: &[f32], predicted: &[f32], truth: &[usize], evidence: f64) {
        let known = truth.iter().all(|&class| class < self.classes);
        if !(usable(logits, self.classes) && known && evidence > 0.0 && evidence.is_finite()) {
            return;
        }
        let evidence = evidence.min(1.0);
        let class = match self.task {
            Task::SingleLabel => {
                match likeliest(predicted, truth).or_else(|| likeliest(logits, truth)) {
                    Some(class) => class,
                    None => return,
                }
            }
            Task::MultiLabel => 0,
        };
        match &mut self.learner {
            Learner::Nothing => {}
            Learner::Scaler(scaler) => scaler.learn(logits, class, evidence),
            Learner::Platt(platt) => platt.learn(logits, class, evidence, &mut self.scratch),
            Learner::Histogram(histogram) => {
                histogram.learn(logits, class, evidence, &mut self.scratch);
            }
            Learner::MultiLabel(multi) => multi.learn(logits, truth, evidence),
        }
        self.evidence = (self.evidence + evidence).min(MOST_EVIDENCE);
    }

    /// What [`Calibrator::predict`] uses now.
    pub fn parameters(&self) -> Parameters {
        match &self.learner {
            _ if self.evidence < self.min_evidence => self.prior.clone(),
            Learner::Nothing => self.prior.clone(),
            Learner::Scaler(scaler) => scaler.parameters(),
            Learner::Platt(platt) => platt.parameters(),
            Learner::Histogram(histogram) => histogram.parameters(),
            Learner::MultiLabel(multi) => multi.parameters(),
        }
    }

    /// Effective samples learned from, since the beginning or the last reset.
    pub fn evidence(&self) -> f64 {
        self.evidence
    }

    /// Forgets what was learned: back to the prior, until there is evidence again.
    pub fn reset(&mut self) {
        self.evidence = 0.0;
        match &mut self.learner {
            Learner::Nothing => {}
            Learner::Scaler(scaler) => scaler.reset(),
            Learner::Platt(platt) => platt.reset(),
            Learner::Histogram(histogram) => histogram.reset(),
            Learner::MultiLabel(multi) => multi.reset(),
        }
    }

    /// Everything needed to go on exactly.
    pub fn state(&self) -> State {
        let mut numbers = vec![self.evidence];
        match &self.learner {
            Learner::Nothing => {}
            Learner::Scaler(scaler) => scaler.write(&mut numbers),
            Learner::Platt(platt) => platt.write(&mut numbers),
            Learner::Histogram(histogram) => histogram.write(&mut numbers),
            Learner::MultiLabel(multi) => multi.write(&mut numbers),
        }
        State {
            version: VERSION,
            method: self.method,
            update: self.update,
            task: self.task,
            classes: self.classes,
            numbers,
        }
    }

    /// Goes on from a state.
    ///
    /// # Errors
    /// It is of another method, task or number of classes, or torn; then nothing
    /// changes.
    pub fn restore(&mut self, state: State) -> Result<(), String> {
        if state.version != VERSION {
            return Err(format!("version {} of a calibrator, not {VERSION}", state.version));
        }
        let same = (state.method, state.update) == (self.method, self.update);
        if !same || (state.task, state.classes) != (self.task, self.classes) {
            return Err(format!(
                "it is of another calibrator ({:?}, {:?}, {:?}, {} classes)",
                state.method, state.update, state.task, state.classes
            ));
        }
        let mut learner = self.learner.clone();
        let mut numbers = Numbers::new(&state.numbers);
        let evidence = numbers.within(0.0, MOST_EVIDENCE);
        let read = match &mut learner {
            Learner::Nothing => Some(()),
            Learner::Scaler(scaler) => scaler.read(&mut numbers),
            Learner::Platt(platt) => platt.read(&mut numbers),
            Learner::Histogram(histogram) => histogram.read(&mut numbers),
            Learner::MultiLabel(multi) => multi.read(&mut numbers),
        };
        match (evidence, read, numbers.is_empty()) {
            (Some(evidence), Some(()), true) => {
                self.evidence = evidence;
                self.learner = learner;
                Ok(())
            }
            _ => Err("its numbers are not those of this calibrator".into()),
        }
    }
}

/// The part of a prior that scales logits.
fn scaling_of(prior: &Parameters) -> First {
    match prior {
        Parameters::Temperature { temperature } => {
            First { temperature: *temperature, bias: Vec::new() }
        }
        Parameters::Vector { temperature, bias } => {
            First { temperature: *temperature, bias: bias.clone() }
        }
        Parameters::Platt { first, .. } | Parameters::Histogram { first, .. } => first.clone(),
        Parameters::Identity | Parameters::MultiLabel { .. } => First::default(),
    }
}
