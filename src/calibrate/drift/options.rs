//! How careful the detectors are. The defaults are what was measured.

/// How careful the detectors are. All lengths are in effective samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DriftOptions {
    /// ADWIN's δ for one quantity; the classes of the mix share one.
    pub delta: f64,
    /// ADWIN looks for a cut at every so many samples.
    pub clock: u32,
    /// Page–Hinkley's allowance, in standard deviations.
    pub allowance: f64,
    /// Page–Hinkley's threshold, in standard deviations.
    pub threshold: f64,
    /// Samples before the first alarm, and again after each.
    pub reference: u64,
    /// A confidence that changed by less than this factor's logarithm (nats), or a
    /// loss by less than this, is no alarm however sure it is.
    pub least: f64,
    /// A class's share of predictions that changed by less is no alarm.
    pub least_share: f64,
}

impl Default for DriftOptions {
    fn default() -> Self {
        DriftOptions {
            delta: 0.002,
            clock: 8,
            allowance: 0.5,
            threshold: 12.0,
            reference: 100,
            least: 0.05,
            least_share: 0.05,
        }
    }
}
