//! What a calibrator has learned, to go on from after a restart.

use serde::{Deserialize, Serialize};

use super::exact;
use super::options::{Method, Update};
use crate::metric::Task;

/// Raised when the numbers change their meaning; another version is not read.
pub(super) const VERSION: u32 = 1;

/// Everything that a [`Calibrator`](super::Calibrator) needs to go on exactly as
/// if it had never stopped. A few kilobytes for the temperature; with a bias per
/// class some 100 bytes a class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    pub(super) version: u32,
    pub(super) method: Method,
    pub(super) update: Update,
    pub(super) task: Task,
    pub(super) classes: usize,
    #[serde(with = "exact")]
    pub(super) numbers: Vec<f64>,
}

/// Takes the numbers of a [`State`] in the order in which they were written.
pub(super) struct Numbers<'a>(&'a [f64]);

impl<'a> Numbers<'a> {
    /// The numbers, from the first.
    pub fn new(numbers: &'a [f64]) -> Self {
        Numbers(numbers)
    }

    /// The next number; `None` when there is none, or it is not finite.
    pub fn next(&mut self) -> Option<f64> {
        let (&number, rest) = self.0.split_first()?;
        self.0 = rest;
        number.is_finite().then_some(number)
    }

    /// The next number, which must lie in `low..=high`.
    pub fn within(&mut self, low: f64, high: f64) -> Option<f64> {
        self.next().filter(|number| (low..=high).contains(number))
    }

    /// The next number as a count of at most `most`.
    pub fn count(&mut self, most: usize) -> Option<usize> {
        let number = self.within(0.0, most as f64)?;
        (number.fract() == 0.0).then_some(number as usize)
    }

    /// Overwrites `out` with as many numbers in `low..=high`.
    pub fn fill(&mut self, out: &mut [f64], low: f64, high: f64) -> Option<()> {
        for place in out {
            *place = self.within(low, high)?;
        }
        Some(())
    }

    /// Whether all were taken.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_bounds_or_missing_are_refused() {
        let mut numbers = Numbers::new(&[2.0, 2.5, 7.0, f64::NAN]);
        assert_eq!(numbers.count(3), Some(2));
        assert_eq!(numbers.count(3), None);
        assert_eq!(numbers.within(0.0, 1.0), None);
        assert_eq!(numbers.next(), None);
        assert!(numbers.is_empty());
        assert_eq!(numbers.next(), None);
    }
}
