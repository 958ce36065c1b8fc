//! One quantity, watched by both detectors.

use super::adwin::{Adwin, AdwinOptions, Change};
use super::alarm::Detector;
use super::correlation::{Batches, Correlation};
use super::options::DriftOptions;
use super::page_hinkley::PageHinkley;

/// A quantity scaled to [0, 1], one value for each effective sample.
#[derive(Clone, Debug, Default)]
pub(super) struct Series {
    adwin: Adwin,
    page_hinkley: PageHinkley,
    /// The greatest deviation from the mean so far.
    extreme: f64,
    batches: Batches,
    correlation: Correlation,
}

/// The standard deviation is never taken for less: a model that is always sure to
/// the last digit would make any change a great one.
const STEADY: f64 = 0.01;

/// Independent samples that either part of a window must be worth.
pub(super) const SHORTEST: u64 = 5;

impl Series {
    /// Takes one value. Changes of less than `least` are none. After a change the
    /// detectors begin anew; what was learned of the correlation stays.
    pub(super) fn add(
        &mut self,
        value: f64,
        least: f64,
        options: &DriftOptions,
    ) -> Option<(Detector, Change)> {
        self.correlation.add(value);
        if self.batches.step() {
            self.correlation.complete(&self.batches);
            self.batches.complete();
        }
        let correlation = self.correlation.time(&self.batches);
        let adwin = AdwinOptions {
            delta: options.delta,
            clock: options.clock,
            shortest: SHORTEST,
            grace: options.reference,
        };
        let deviation = self.adwin.variance().sqrt().max(STEADY);
        let by_window = self.adwin.add(value, correlation, &adwin);
        let (allowance, height) = (options.allowance, options.threshold);
        if self.page_hinkley.count() > 0.0 {
            self.extreme = self.extreme.max((value - self.page_hinkley.mean()).abs());
        }
        // What normal values need, and Bernstein's term for the few that lie far out:
        // the tail of a loss is long.
        let height = height * (deviation + self.extreme * allowance * 2.0 / 3.0);
        let by_sum = self.page_hinkley.add(value, allowance * deviation, height * correlation);
        let by_sum = by_sum.filter(|_| self.page_hinkley.count() > options.reference as f64);
        let matters = |change: &Change| (change.to - change.from).abs() >= least;
        let found = by_window
            .filter(matters)
            .map(|change| (Detector::Adwin, change))
            .or(by_sum.filter(matters).map(|change| (Detector::PageHinkley, change)));
        if found.is_some() {
            self.adwin = Adwin::default();
            self.page_hinkley = PageHinkley::default();
            self.extreme = 0.0;
        }
        found
    }

    pub(super) fn save(&self, state: &mut Vec<f64>) {
        self.adwin.save(state);
        self.page_hinkley.save(state);
        state.push(self.extreme);
        self.batches.save(state);
        self.correlation.save(state);
    }

    pub(super) fn load(state: &mut dyn Iterator<Item = f64>) -> Option<Self> {
        Some(Series {
            adwin: Adwin::load(state)?,
            page_hinkley: PageHinkley::load(state)?,
            extreme: state.next().filter(|extreme| (0.0..=1.0).contains(extreme))?,
            batches: Batches::load(state)?,
            correlation: Correlation::load(state)?,
        })
    }
}
