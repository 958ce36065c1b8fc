//! What prediction sets are asked to be, and what they have become.

use serde::{Deserialize, Serialize};

/// How the level of the sets follows what happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SetMethod {
    /// Adaptive conformal inference with one step size (arXiv 2106.00170).
    Aci,
    /// The same with eight step sizes, trusted by how well they did
    /// (arXiv 2208.08401).
    #[default]
    Dtaci,
}

/// What is asked of prediction sets.
#[derive(Clone, Debug, PartialEq)]
pub struct ConformalOptions {
    /// The share of sets that are to hold the truth, in (0, 1).
    pub coverage: f64,
    /// How the level follows.
    pub method: SetMethod,
    /// The step size of [`SetMethod::Aci`], in (0, 1).
    pub gamma: f64,
    /// Scored clips whose scores are remembered, 50 to 100,000.
    pub window: usize,
    /// Effective samples before which a set holds all classes.
    pub min_evidence: f64,
}

impl Default for ConformalOptions {
    fn default() -> Self {
        ConformalOptions {
            coverage: 0.9,
            method: SetMethod::default(),
            gamma: 0.02,
            window: 1000,
            min_evidence: 50.0,
        }
    }
}

impl ConformalOptions {
    /// # Errors
    /// The key that is out of range and the range, as a sentence's end.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let inside = |value: f64| value > 0.0 && value < 1.0;
        if !inside(self.coverage) {
            return Err(("coverage", "must lie between 0 and 1, such as 0.9".to_owned()));
        }
        if !inside(self.gamma) {
            return Err(("gamma", "must lie between 0 and 1, such as 0.02".to_owned()));
        }
        if !(50..=100_000).contains(&self.window) {
            return Err(("window", "must be 50 to 100000 clips".to_owned()));
        }
        if !(self.min_evidence.is_finite() && self.min_evidence >= 0.0) {
            return Err(("min_evidence", "must be 0 or more effective samples".to_owned()));
        }
        Ok(())
    }
}

/// How prediction sets are made now, for the accuracy log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SetParameters {
    /// How the level follows.
    pub method: SetMethod,
    /// The share of sets asked to hold the truth.
    pub coverage: f64,
    /// Whether there is evidence enough; a set holds all classes until then.
    pub ready: bool,
    /// The miscoverage (α) that sets are made for now, in [0, 1].
    pub level: f64,
    /// The least probability that gets into a set; none where all classes get in
    /// (`level` 0) or no class does (`level` 1).
    pub threshold: Option<f64>,
    /// The step size, or the mean of the experts' by trust.
    pub gamma: f64,
    /// Misses so far less those asked for, counted from when there was evidence
    /// enough: what the guarantee bounds.
    pub excess: f64,
    /// Clips learned from.
    pub samples: u64,
}
