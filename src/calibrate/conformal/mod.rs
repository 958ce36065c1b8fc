//! Prediction sets that hold the truth as often as they promise.
//!
//! A set is every class whose probability is at least a threshold: the quantile of
//! the probabilities that the truth was given lately, at a level that adapts.
//! [`window`] holds those probabilities, [`experts`] the level (ACI or DtACI), and
//! [`guard`] bounds the misses for any sequence whatever.

mod experts;
mod guard;
mod options;
mod window;

use serde::{Deserialize, Serialize};

pub use self::options::{ConformalOptions, SetMethod, SetParameters};

use self::experts::Experts;
use self::guard::Guard;
use self::window::Window;
use crate::calibrate::exact;
use crate::metric::Task;

/// Makes prediction sets and learns from labels as they come.
///
/// *The promise.* Of any n clips learned in sequence since [`ready`](Self::ready),
/// the share whose set held the truth is the coverage asked for, within 12/n from
/// the beginning and 23/n from anywhere: no assumption about what comes, or in what
/// order. It holds in the order of learning, for the set that the level held at
/// each moment gives: exactly what was shown where labels come at once, and the
/// same levels shifted by the delay where they come late. (Closing the loop over
/// the sets that were shown would make it swing: with d clips in flight, d more of
/// them go wrong before the first correction shows.)
///
/// *Clips count alike*, however much they overlap: the promise is about clips.
/// Evidence decides only when there is enough of it to begin.
///
/// *Sets may be empty*, mostly where the model is right more often than the sets
/// are to be, and for clips that it is least sure of; and *full*, always before
/// there is evidence enough and rarely in bad times.
///
/// *Several truths*: in single-label streams labels that hold at once are each
/// right, and the set is to hold any of them. In multi-label streams it is to hold
/// all of a clip's classes, so a clip's score is that of its least probable one;
/// clips without any class have nothing to cover and are not counted.
#[derive(Clone, Debug)]
pub struct Conformal {
    options: ConformalOptions,
    classes: usize,
    task: Task,
    window: Window,
    experts: Experts,
    guard: Guard,
    evidence: f64,
    samples: u64,
    /// Clips still to come for which the level stays halved.
    widened: u32,
}

/// For how many labelled clips [`Conformal::widen`] lasts, and how many of the
/// newest scores it keeps.
const WIDENED: u32 = 100;

/// Everything that is needed to go on exactly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ConformalState {
    method: SetMethod,
    classes: usize,
    samples: u64,
    widened: u32,
    /// The coverage asked for, the evidence, the excess of misses.
    #[serde(with = "exact")]
    figures: Vec<f64>,
    #[serde(with = "exact")]
    experts: Vec<f64>,
    /// Bits of the probabilities of the truth, oldest first.
    window: Vec<u32>,
}

impl Conformal {
    /// For `classes` classes, with options that [`ConformalOptions::check`] passed.
    pub fn new(options: &ConformalOptions, classes: usize, task: Task) -> Conformal {
        let target = 1.0 - options.coverage;
        Conformal {
            options: options.clone(),
            classes,
            task,
            window: Window::new(options.window),
            experts: match options.method {
                SetMethod::Aci => Experts::aci(target, options.gamma),
                SetMethod::Dtaci => Experts::dtaci(target),
            },
            guard: Guard::new(target),
            evidence: 0.0,
            samples: 0,
            widened: 0,
        }
    }

    /// Whether there is evidence enough for sets that say something. Until then
    /// every set holds all classes, which is the only honest one.
    pub fn ready(&self) -> bool {
        self.evidence >= self.options.min_evidence
    }

    /// The classes that may be the truth, the most probable first (of equal ones
    /// the lower index). `set` is emptied first. A probability that is not finite
    /// gets in only where all do.
    pub fn set(&self, probabilities: &[f32], set: &mut Vec<usize>) {
        set.clear();
        let threshold = self.threshold();
        let inside = |p: f32| p >= threshold || threshold == f32::NEG_INFINITY;
        set.extend(
            probabilities.iter().enumerate().filter(|(_, p)| inside(**p)).map(|(class, _)| class),
        );
        let p = |class: usize| probabilities.get(class).copied().unwrap_or_default();
        set.sort_unstable_by(|&a, &b| p(b).total_cmp(&p(a)).then(a.cmp(&b)));
    }

    /// Learns the truth of a clip from the probabilities it was given *then*, which
    /// may be minutes ago. What is not finite, of the wrong length, or names no
    /// class there is, is ignored.
    pub fn learn(&mut self, predicted: &[f32], truth: &[usize], evidence: f64) {
        if !(evidence.is_finite() && evidence > 0.0) || predicted.len() != self.classes {
            return;
        }
        let Some(p) = score(self.task, predicted, truth) else { return };
        if self.ready() {
            let missed = p < self.threshold();
            self.guard.learn(missed);
            self.experts.learn(self.window.beta(p));
            self.widened = self.widened.saturating_sub(1);
        }
        self.window.push(p);
        self.evidence += evidence.min(1.0);
        self.samples = self.samples.saturating_add(1);
    }

    /// The world has changed (a drift alarm): the level is halved for the next 100
    /// labelled clips, and of the scores only the newest 100 count. Without labels
    /// the sets stay wide until some come. The promise holds throughout.
    pub fn widen(&mut self) {
        self.widened = WIDENED;
        self.window.keep_newest(WIDENED as usize);
    }

    /// Whether `set` covered the truth, by the rule that the promise is about; none
    /// where there was nothing to cover.
    pub fn covers(task: Task, set: &[usize], truth: &[usize]) -> Option<bool> {
        let held = |class: &usize| set.contains(class);
        match (task, truth) {
            (_, []) => None,
            (Task::SingleLabel, truth) => Some(truth.iter().any(held)),
            (Task::MultiLabel, truth) => Some(truth.iter().all(held)),
        }
    }

    /// How sets are made now.
    pub fn parameters(&self) -> SetParameters {
        let threshold = self.threshold();
        SetParameters {
            method: self.options.method,
            coverage: self.options.coverage,
            ready: self.ready(),
            level: if self.ready() { self.level().clamp(0.0, 1.0) } else { 0.0 },
            threshold: threshold.is_finite().then_some(f64::from(threshold)),
            gamma: self.experts.gamma(),
            excess: self.guard.excess(),
            samples: self.samples,
        }
    }

    fn level(&self) -> f64 {
        let level = self.guard.level(self.experts.level());
        // The guard's last word, 1, is not halved.
        if self.widened > 0 && level < 1.0 { level / 2.0 } else { level }
    }

    fn threshold(&self) -> f32 {
        if self.ready() { self.window.threshold(self.level()) } else { f32::NEG_INFINITY }
    }

    /// Everything that is needed to go on exactly.
    pub fn state(&self) -> ConformalState {
        ConformalState {
            method: self.options.method,
            classes: self.classes,
            samples: self.samples,
            widened: self.widened,
            figures: vec![self.options.coverage, self.evidence, self.guard.excess()],
            experts: self.experts.state(),
            window: self.window.values().map(f32::to_bits).collect(),
        }
    }

    /// Goes on from a [`state`](Self::state). Of more scores than the window holds
    /// the newest are taken.
    ///
    /// # Errors
    /// A state of other options or another model, or one that no run can have left:
    /// what does not fit. Nothing has changed then.
    pub fn restore(&mut self, state: ConformalState) -> Result<(), String> {
        let [coverage, evidence, excess] = state.figures[..] else {
            return Err("a state of prediction sets is incomplete".to_owned());
        };
        if state.method != self.options.method
            || coverage.to_bits() != self.options.coverage.to_bits()
            || state.classes != self.classes
        {
            return Err("the state is of prediction sets of another kind".to_owned());
        }
        let sound = evidence.is_finite()
            && evidence >= 0.0
            && state.widened <= WIDENED
            && state.window.iter().all(|&p| f32::from_bits(p).is_finite());
        if !sound {
            return Err("a state of prediction sets holds impossible numbers".to_owned());
        }
        let mut restored = Conformal::new(&self.options, self.classes, self.task);
        restored.experts.restore(&state.experts)?;
        restored.guard.restore(excess)?;
        state.window.iter().for_each(|&p| restored.window.push(f32::from_bits(p)));
        restored.evidence = evidence;
        restored.samples = state.samples;
        restored.widened = state.widened;
        *self = restored;
        Ok(())
    }
}

/// The probability that decides whether a set holds the truth; none where there is
/// nothing to cover or a number is impossible.
fn score(task: Task, predicted: &[f32], truth: &[usize]) -> Option<f32> {
    let mut p: Option<f32> = None;
    for &class in truth {
        let of_class = *predicted.get(class)?;
        if !of_class.is_finite() {
            return None;
        }
        p = Some(match (task, p) {
            (_, None) => of_class,
            (Task::SingleLabel, Some(p)) => p.max(of_class),
            (Task::MultiLabel, Some(p)) => p.min(of_class),
        });
    }
    p
}
