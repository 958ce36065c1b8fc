//! Figures since the daemon began.

use super::evidence::Evidence;
use super::line::{Figures, Level};
use super::scored::Scored;
use crate::calibrate::Conformal;
use crate::error::Result;
use crate::metric::{Options, Running, RunningSummary, Task, Truth, answer};

/// One choice of predictions, in memory that does not grow.
pub(super) struct Total {
    task: Task,
    raw: Running,
    calibrated: Running,
    evidence: Evidence,
    effective: f64,
    sets: Sets,
}

/// How well prediction sets did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sets {
    given: u64,
    classes: u64,
    asked: u64,
    covered: u64,
}

impl Total {
    pub fn new(task: Task, classes: usize, options: &Options) -> Result<Self> {
        Ok(Total {
            task,
            raw: Running::without_ranks(task, classes, options)?,
            calibrated: Running::without_ranks(task, classes, options)?,
            evidence: Evidence::default(),
            effective: 0.0,
            sets: Sets::default(),
        })
    }

    /// Counts a clip, and returns its evidence. `raw` and `calibrated` are
    /// probabilities that were found to be such.
    ///
    /// # Errors
    /// Something in it is out of range; nothing is counted.
    pub fn add(
        &mut self,
        scored: &Scored<'_>,
        truth: &[usize],
        raw: &[f64],
        calibrated: &[f64],
    ) -> Result<f64> {
        let (of_raw, of_calibrated) = truths(self.task, truth, raw, calibrated);
        self.raw.add(of_raw.as_truth(), raw)?;
        self.calibrated.add_at(of_calibrated.as_truth(), calibrated, scored.thresholds)?;
        self.sets.add(self.task, scored.set, truth);
        let evidence = self.evidence.of(scored.start, scored.t);
        self.effective += evidence;
        Ok(evidence)
    }

    pub fn level(&self) -> Option<Level> {
        let raw = self.raw.summary();
        (raw.samples > 0).then(|| Level {
            samples: raw.samples,
            effective: self.effective,
            raw: figures(raw),
            calibrated: figures(self.calibrated.summary()),
            coverage: self.sets.coverage(),
            set_size: self.sets.size(),
        })
    }
}

fn figures(summary: RunningSummary) -> Figures {
    Figures {
        accuracy: summary.accuracy,
        top_k: summary.top_k,
        macro_f1: summary.f1.macro_average,
        ece: summary.ece,
        ece_equal_mass: None,
        brier: summary.brier,
        nll: summary.nll,
    }
}

impl Sets {
    pub fn add(&mut self, task: Task, set: Option<&[usize]>, truth: &[usize]) {
        let Some(set) = set else { return };
        self.given += 1;
        self.classes += set.len() as u64;
        if let Some(covered) = Conformal::covers(task, set, truth) {
            self.asked += 1;
            self.covered += u64::from(covered);
        }
    }

    /// Takes away what a former `add` of the same brought.
    pub fn remove(&mut self, other: Sets) {
        self.given -= other.given;
        self.classes -= other.classes;
        self.asked -= other.asked;
        self.covered -= other.covered;
    }

    pub fn coverage(&self) -> Option<f64> {
        (self.asked > 0).then(|| self.covered as f64 / self.asked as f64)
    }

    pub fn size(&self) -> Option<f64> {
        (self.given > 0).then(|| self.classes as f64 / self.given as f64)
    }
}

/// What a prediction is scored against.
pub(super) enum Against<'a> {
    One(usize),
    All(&'a [usize]),
}

impl Against<'_> {
    pub fn as_truth(&self) -> Truth<'_> {
        match self {
            Against::One(class) => Truth::Class(*class),
            Against::All(classes) => Truth::Classes(classes),
        }
    }
}

/// With one class at a time, of several labels at once naming any is right: raw and calibrated probabilities
/// may be scored against different ones.
pub(super) fn truths<'a>(
    task: Task,
    truth: &'a [usize],
    raw: &[f64],
    calibrated: &[f64],
) -> (Against<'a>, Against<'a>) {
    let of = |p: &[f64]| match (task, truth) {
        (Task::MultiLabel, _) => Against::All(truth),
        (Task::SingleLabel, [one]) => Against::One(*one),
        (Task::SingleLabel, _) => {
            answer(truth, argmax(p)).map_or(Against::All(truth), Against::One)
        }
    };
    (of(raw), of(calibrated))
}

/// The first of the greatest.
fn argmax(p: &[f64]) -> usize {
    let first = p.iter().enumerate().reduce(|a, b| if b.1 > a.1 { b } else { a });
    first.map_or(0, |(class, _)| class)
}
