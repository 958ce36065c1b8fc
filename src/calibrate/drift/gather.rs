//! One value for each effective sample.

/// Averages what arrives until its evidence sums to 1: overlapping clips say the
/// same thing several times, and detectors count.
#[derive(Clone, Debug)]
pub(super) struct Gather {
    sums: Vec<f64>,
    evidence: f64,
}

impl Gather {
    /// Of `width` quantities that come together.
    pub(super) fn new(width: usize) -> Self {
        Gather { sums: vec![0.0; width], evidence: 0.0 }
    }

    /// Takes finite values with their evidence in (0, 1]; true where that completes
    /// a sample, which [`take`](Self::take) then gives.
    pub(super) fn add(&mut self, values: impl Iterator<Item = f64>, evidence: f64) -> bool {
        for (sum, value) in self.sums.iter_mut().zip(values) {
            *sum += value * evidence;
        }
        self.evidence += evidence;
        // Ten times a tenth is a whole.
        self.evidence >= 1.0 - 1e-9
    }

    /// The means, into `sample`; gathering begins anew.
    pub(super) fn take(&mut self, sample: &mut Vec<f64>) {
        sample.clear();
        sample.extend(self.sums.iter().map(|sum| sum / self.evidence));
        self.sums.fill(0.0);
        self.evidence = 0.0;
    }

    pub(super) fn save(&self, state: &mut Vec<f64>) {
        state.push(self.evidence);
        state.extend(&self.sums);
    }

    pub(super) fn load(&mut self, state: &mut dyn Iterator<Item = f64>) -> Option<()> {
        self.evidence = state.next().filter(|evidence| (0.0..1.0).contains(evidence))?;
        for sum in &mut self.sums {
            *sum = state.next().filter(|sum| sum.is_finite())?;
        }
        Some(())
    }
}

/// Evidence that counts: none where it is not a positive number, at most 1.
pub(super) fn evidence(given: f64) -> Option<f64> {
    (given.is_finite() && given > 0.0).then_some(given.min(1.0))
}
