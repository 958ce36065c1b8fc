//! Figures of the last clips: those that leave the window are taken away again.

use std::collections::VecDeque;

use super::cumulative::{Sets, truths};
use super::line::{Figures, Level, Window};
use super::scored::Scored;
use crate::error::Result;
use crate::metric::{Options, Sliding, SlidingSummary, Task};

/// Most clips in a window, whatever its length: some 20 MB in a single-label
/// task, 72 minutes at 30 predictions a second.
const MOST: usize = 1 << 17;

pub(super) struct Recent {
    task: Task,
    seconds: f64,
    raw: Sliding,
    calibrated: Sliding,
    clips: VecDeque<Clip>,
    sets: Sets,
}

/// What of a clip the two [`Sliding`] do not keep.
struct Clip {
    t: f64,
    evidence: f64,
    sets: Sets,
}

impl Recent {
    pub fn new(task: Task, classes: usize, options: &Options, seconds: f64) -> Result<Self> {
        Ok(Recent {
            task,
            seconds,
            raw: Sliding::new(task, classes, options)?,
            calibrated: Sliding::new(task, classes, options)?,
            clips: VecDeque::new(),
            sets: Sets::default(),
        })
    }

    /// Takes a clip that was counted in the total, with its `evidence`.
    ///
    /// # Errors
    /// As there; it is then not taken.
    pub fn add(
        &mut self,
        scored: &Scored<'_>,
        truth: &[usize],
        raw: &[f64],
        calibrated: &[f64],
        evidence: f64,
    ) -> Result<()> {
        // The stream's clock was set back: times before and after cannot be
        // compared, and what is there would never leave.
        if self.clips.back().is_some_and(|last| scored.t < last.t) {
            self.clear();
        }
        let (of_raw, of_calibrated) = truths(self.task, truth, raw, calibrated);
        self.raw.add(of_raw.as_truth(), raw, None)?;
        self.calibrated.add(of_calibrated.as_truth(), calibrated, scored.thresholds)?;
        let mut own = Sets::default();
        own.add(self.task, scored.set, truth);
        self.sets.add(self.task, scored.set, truth);
        self.clips.push_back(Clip { t: scored.t, evidence, sets: own });
        if self.clips.len() > MOST {
            self.remove_oldest();
        }
        self.leave(scored.t);
        Ok(())
    }

    /// Lets go what lies further back than the window reaches from `now`.
    pub fn leave(&mut self, now: f64) {
        while self.clips.front().is_some_and(|clip| clip.t <= now - self.seconds) {
            self.remove_oldest();
        }
    }

    fn remove_oldest(&mut self) {
        if let Some(clip) = self.clips.pop_front() {
            self.raw.remove_oldest();
            self.calibrated.remove_oldest();
            self.sets.remove(clip.sets);
        }
    }

    fn clear(&mut self) {
        while !self.clips.is_empty() {
            self.remove_oldest();
        }
    }

    pub fn window(&self) -> Window {
        let level = self.raw.summary().zip(self.calibrated.summary());
        Window {
            seconds: self.seconds,
            from: self.clips.front().map(|clip| clip.t),
            to: self.clips.back().map(|clip| clip.t),
            clip: level.map(|(raw, calibrated)| Level {
                samples: raw.samples as u64,
                effective: self.clips.iter().map(|clip| clip.evidence).sum(),
                raw: figures(raw),
                calibrated: figures(calibrated),
                coverage: self.sets.coverage(),
                set_size: self.sets.size(),
            }),
        }
    }
}

fn figures(summary: SlidingSummary) -> Figures {
    Figures {
        accuracy: summary.accuracy,
        top_k: summary.top_k,
        macro_f1: summary.macro_f1,
        ece: summary.ece,
        ece_equal_mass: summary.ece_equal_mass,
        brier: summary.brier,
        nll: summary.nll,
    }
}
