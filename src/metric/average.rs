//! One number out of one for each class.

use serde::{Deserialize, Serialize};

/// The averages of a figure over classes. `None` where it is undefined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Averages {
    /// The mean over classes as the chosen library gives it.
    #[serde(rename = "macro")]
    pub macro_average: Option<f64>,
    /// The mean weighted by support: how often each class was true.
    pub weighted: Option<f64>,
    /// All classes pooled into one binary problem.
    pub micro: Option<f64>,
    /// The mean over all classes, those for which it is undefined as 0.
    pub macro_all: Option<f64>,
    /// The mean over the classes that occur as truth.
    pub macro_present: Option<f64>,
}

/// The mean of `values`; `None` of none.
pub(super) fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0u64);
    for value in values {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / count as f64)
}

/// Σ weight × value / Σ weight. An undefined value counts only if its weight is
/// not 0, and then makes the whole undefined; all weights 0 give 0, as in
/// scikit-learn and torchmetrics.
pub(super) fn weighted(values: impl IntoIterator<Item = (Option<f64>, u64)>) -> Option<f64> {
    let (mut sum, mut total) = (0.0, 0u64);
    for (value, weight) in values {
        if weight > 0 {
            sum += value? * weight as f64;
            total += weight;
        }
    }
    Some(ratio(sum, total as f64))
}

/// `a / b`, and 0 for 0 / 0: scikit-learn's `zero_division=0`.
pub(super) fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { a / b }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_undefined_value_counts_only_with_a_weight() {
        assert_eq!(weighted([(Some(1.0), 1), (None, 0), (Some(0.5), 3)]), Some(0.625));
        assert_eq!(weighted([(Some(1.0), 1), (None, 1)]), None);
        assert_eq!(weighted([(Some(1.0), 0)]), Some(0.0));
        assert_eq!((mean([]), mean([1.0, 2.0])), (None, Some(1.5)));
    }
}
