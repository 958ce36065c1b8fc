//! What makes the coverage a promise rather than a hope: a bound on how far the
//! misses may run from those that were asked for.

/// Where the excess of misses is stopped, in clips.
///
/// A run of n clips, wherever it starts, has then n(1 − coverage) misses but for at
/// most `2 · BOUND + 1`: 0.046 in 500 clips, whatever comes in whatever order; and
/// since the beginning but for `BOUND + 1`: 0.0024 in 5,000.
const BOUND: f64 = 11.0;

/// How strongly the level leans against an excess, as a share of the target.
const STRENGTH: f64 = 0.15;

/// The integrator of conformal PID control (Angelopoulos, Candès & Tibshirani 2023,
/// arXiv 2307.16895, section 2.2): the level is corrected by a function of the sum
/// of all errors so far that is next to nothing near zero (a tangent, as theirs)
/// and reaches infinity at [`BOUND`]. There the set is full, or empty, until the
/// sum has come back, which is what bounds it (their proposition 2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Guard {
    target: f64,
    /// Misses so far less those asked for.
    excess: f64,
}

impl Guard {
    pub(super) fn new(target: f64) -> Self {
        Guard { target, excess: 0.0 }
    }

    /// The level to use where the experts hold `level`.
    pub(super) fn level(&self, level: f64) -> f64 {
        if self.excess >= BOUND {
            return 0.0;
        }
        if self.excess <= -BOUND {
            return 1.0;
        }
        let lean = (std::f64::consts::FRAC_PI_2 * self.excess / BOUND).tan();
        level - STRENGTH * self.target * lean
    }

    pub(super) fn learn(&mut self, missed: bool) {
        self.excess += if missed { 1.0 - self.target } else { -self.target };
    }

    pub(super) fn excess(&self) -> f64 {
        self.excess
    }

    pub(super) fn restore(&mut self, excess: f64) -> Result<(), String> {
        if !(-BOUND - 1.0..=BOUND + 1.0).contains(&excess) {
            return Err(format!("{excess} misses too many in prediction sets are impossible"));
        }
        self.excess = excess;
        Ok(())
    }
}
