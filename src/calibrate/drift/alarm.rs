//! What a drift alarm says.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What was seen to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Watched {
    /// The probability of the most probable class.
    Confidence,
    /// How probable a class is on average.
    ClassMix,
    /// How wrong the probabilities are, where labels say so.
    Loss,
}

/// Which detector saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Detector {
    /// Adaptive windowing (Bifet & Gavaldà 2007).
    Adwin,
    /// The two-sided Page–Hinkley test (Page 1954).
    PageHinkley,
}

/// The world has changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Alarm {
    /// When it was noticed, in seconds of the stream.
    pub t: f64,
    /// What changed.
    pub what: Watched,
    /// Who noticed.
    pub detector: Detector,
    /// What it was before: the geometric mean of the confidence, the mean
    /// probability of `class`, or the mean loss in nats.
    pub from: f64,
    /// What it has been since.
    pub to: f64,
    /// The class that changed most; class mix only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<usize>,
    /// How long ago the change began, in effective samples, as far as the detector
    /// can tell.
    pub samples: u64,
}

impl Alarm {
    /// One line for a person; `class` is the name of [`Alarm::class`].
    pub fn text(&self, class: Option<&str>) -> String {
        let (from, to) = (self.from, self.to);
        let verb = if to < from { "fell" } else { "rose" };
        match self.what {
            Watched::Confidence => format!("confidence {verb} from {from:.2} to {to:.2}"),
            Watched::Loss => format!("loss {verb} from {from:.2} to {to:.2}"),
            Watched::ClassMix => {
                let name = match (class, self.class) {
                    (Some(name), _) => format!("\"{name}\""),
                    (None, Some(index)) => format!("class {index}"),
                    (None, None) => "a class".to_owned(),
                };
                let (from, to) = (percent(from), percent(to));
                format!("{name} went from {from} to {to} of predictions")
            }
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(None))
    }
}

/// To six decimals: enough for a person, and few enough digits that every JSON
/// reader gives the same number back.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}
