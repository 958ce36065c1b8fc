//! What is being judged, and whose rules hold where libraries differ.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What a row of probabilities means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Exactly one class is right; a row is a softmax.
    #[default]
    SingleLabel,
    /// Any number of classes, none too; each score stands for itself (sigmoid).
    MultiLabel,
}

/// Which library's answers are wanted where two of them differ: classes that
/// never occur, the edges of calibration bins, ties. `docs/metrics.md` lists
/// every difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Conventions {
    /// As scikit-learn 1.9 gives it.
    #[default]
    #[serde(rename = "scikit-learn")]
    ScikitLearn,
    /// As torchmetrics 1.9 gives it.
    #[serde(rename = "torchmetrics")]
    TorchMetrics,
}

impl fmt::Display for Conventions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Conventions::ScikitLearn => "scikit-learn",
            Conventions::TorchMetrics => "torchmetrics",
        })
    }
}

impl FromStr for Conventions {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "scikit-learn" => Ok(Conventions::ScikitLearn),
            "torchmetrics" => Ok(Conventions::TorchMetrics),
            _ => Err(Error::config(
                "choosing the metrics' conventions",
                format!("{name:?} is unknown"),
            )
            .remedy("name \"scikit-learn\" or \"torchmetrics\"")),
        }
    }
}

/// How the figures are computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Whose rules hold.
    pub conventions: Conventions,
    /// The k of every top-k accuracy; those beyond the number of classes are
    /// left out.
    pub top_k: Vec<usize>,
    /// Bins of every calibration error and of the reliability diagram.
    pub bins: usize,
    /// Multi-label: a label is predicted where its probability is above this.
    pub threshold: f64,
}

impl Default for Options {
    fn default() -> Self {
        Options { conventions: Conventions::default(), top_k: vec![1, 5], bins: 15, threshold: 0.5 }
    }
}

impl Options {
    /// # Errors
    /// No bins, a top-0, or a threshold outside [0, 1].
    pub(super) fn check(&self) -> Result<()> {
        let doing = "reading the metrics' options";
        if self.bins == 0 {
            return Err(Error::config(doing, "bins = 0").remedy("give at least one bin"));
        }
        if self.top_k.contains(&0) {
            return Err(Error::config(doing, "top_k holds 0").remedy("count from 1"));
        }
        if !(0.0..=1.0).contains(&self.threshold) {
            return Err(Error::config(doing, format!("threshold = {}", self.threshold))
                .remedy("give a probability, from 0 to 1"));
        }
        Ok(())
    }

    /// Multi-label: whether `class` is predicted with the probability `p`. Its
    /// own threshold, where it has one, is reached; the common one is passed.
    pub(super) fn predicts(&self, class: usize, p: f64, thresholds: Option<&[f64]>) -> bool {
        let own = thresholds.and_then(|thresholds| thresholds.get(class));
        own.map_or(p > self.threshold, |&own| p >= own)
    }

    /// The k that mean something among `classes` classes, in order, each once.
    pub(super) fn ks(&self, classes: usize) -> Vec<usize> {
        let mut ks: Vec<usize> = self.top_k.iter().copied().filter(|&k| k <= classes).collect();
        ks.sort_unstable();
        ks.dedup();
        ks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_as_what_it_was_written_from() {
        for conventions in [Conventions::ScikitLearn, Conventions::TorchMetrics] {
            assert_eq!(conventions.to_string().parse::<Conventions>().unwrap(), conventions);
            let json = serde_json::to_string(&conventions).unwrap();
            assert_eq!(json, format!("\"{conventions}\""));
        }
        let error = "sklearn".parse::<Conventions>().unwrap_err().to_string();
        assert!(error.contains("\"sklearn\"") && error.contains("scikit-learn"), "{error}");
    }

    #[test]
    fn options_that_mean_nothing_are_refused() {
        assert!(Options::default().check().is_ok());
        assert!(Options { bins: 0, ..Options::default() }.check().is_err());
        assert!(Options { top_k: vec![0], ..Options::default() }.check().is_err());
        assert!(Options { threshold: f64::NAN, ..Options::default() }.check().is_err());
        assert_eq!(Options { top_k: vec![9, 2, 1, 2], ..Options::default() }.ks(3), [1, 2]);
    }
}
