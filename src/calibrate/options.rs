//! The `[calibrate]` table.

use serde::{Deserialize, Serialize};

use super::conformal::{ConformalOptions, SetMethod};
use super::drift::DriftOptions;
use crate::metric::Task;

/// How probabilities are corrected while a stream carries labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CalibrateOptions {
    /// What is fitted.
    pub method: Method,
    /// How a temperature is refitted (see [`Update`]); other parameters are
    /// always updated recursively.
    pub update: Update,
    /// How far back the slowest fit looks, in effective samples, at least 100.
    /// Faster ones run beside it and take over when the stream has changed.
    pub window: f64,
    /// Effective samples before anything is corrected and any set is given, at
    /// least 1.
    pub min_evidence: f64,
    /// How often the truth is to be in the prediction set, between 0 and 1; no
    /// sets where it is `"none"`.
    #[serde(with = "number_or_none")]
    pub coverage: Option<f64>,
    /// How the sets follow the stream.
    pub conformal: SetMethod,
    /// Whether to look for changes in what the stream shows.
    pub drift: bool,
    /// What follows when one is found.
    pub on_drift: OnDrift,
}

impl Default for CalibrateOptions {
    fn default() -> Self {
        CalibrateOptions {
            method: Method::Temperature,
            update: Update::Window,
            window: 2000.0,
            min_evidence: 100.0,
            coverage: Some(0.9),
            conformal: SetMethod::default(),
            drift: true,
            on_drift: OnDrift::default(),
        }
    }
}

/// What follows an alarm besides its line on the sinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnDrift {
    /// Nothing more.
    #[default]
    Report,
    /// Greater sets, until the labels say that smaller ones will do.
    Widen,
    /// That, and the calibrator begins anew.
    Reset,
}

/// What a calibrator fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Nothing; a calibration that comes with the model stays as it is.
    None,
    /// One temperature (Guo et al., ICML 2017); of a multi-label model one for
    /// each class.
    #[default]
    Temperature,
    /// A temperature and a bias for each class.
    Vector,
    /// Platt scaling of the top label's probability, with calibeating (Gupta &
    /// Ramdas, ICML 2023).
    Platt,
    /// Histogram binning of the top label's probability, for each top label.
    Histogram,
}

impl Method {
    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Method::None => "none",
            Method::Temperature => "temperature",
            Method::Vector => "vector",
            Method::Platt => "platt",
            Method::Histogram => "histogram",
        }
    }
}

/// How a temperature follows the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Update {
    /// Refitted over a sliding window after each clip.
    #[default]
    Window,
    /// Moved by one Newton step with each clip, the past being forgotten
    /// exponentially: less work and less memory.
    Recursive,
}

/// Least `window`: no less than the fastest fit looks back.
const LEAST_WINDOW: f64 = 100.0;
/// Most `window` and `min_evidence`.
const MOST: f64 = 1e6;

impl CalibrateOptions {
    /// Refuses impossible values, before the model is known.
    ///
    /// # Errors
    /// The key, below `[calibrate]`, and the fault.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let between = |key, value: f64, least: f64| match value {
            v if (least..=MOST).contains(&v) => Ok(()),
            v => Err((key, format!("{v} effective samples; expected {least} to {MOST}"))),
        };
        between("window", self.window, LEAST_WINDOW)?;
        between("min_evidence", self.min_evidence, 1.0)?;
        match self.coverage {
            Some(coverage) if !(coverage > 0.0 && coverage < 1.0) => {
                let fault = format!("{coverage}; expected a number between 0 and 1, or \"none\"");
                Err(("coverage", fault))
            }
            _ => Ok(()),
        }
    }

    /// With these a stream learns nothing, gives no sets and looks for no drift.
    pub fn off() -> Self {
        CalibrateOptions {
            method: Method::None,
            coverage: None,
            drift: false,
            ..CalibrateOptions::default()
        }
    }

    /// Those of the prediction sets, where there are to be any.
    pub fn conformal_options(&self) -> Option<ConformalOptions> {
        self.coverage.map(|coverage| ConformalOptions {
            coverage,
            method: self.conformal,
            min_evidence: self.min_evidence,
            ..ConformalOptions::default()
        })
    }

    /// Those of the drift detectors, where there are to be any.
    pub fn drift_options(&self) -> Option<DriftOptions> {
        self.drift.then(DriftOptions::default)
    }

    /// Refuses what a model with this task cannot have.
    ///
    /// # Errors
    /// The key, below `[calibrate]`, and the fault.
    pub fn check_task(&self, task: Task) -> Result<(), (&'static str, String)> {
        let top_label = matches!(self.method, Method::Platt | Method::Histogram);
        if task == Task::MultiLabel && top_label {
            let fault = "corrects the one top label, which a multi-label model does not have; \
                         expected \"temperature\", \"vector\" or \"none\"";
            return Err(("method", fault.into()));
        }
        Ok(())
    }
}

/// A number, or the word `"none"`.
mod number_or_none {
    use std::fmt;

    use serde::{Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(value: &Option<f64>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.serialize_f64(*value),
            None => to.serialize_str("none"),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
        struct NumberOrNone;

        impl de::Visitor<'_> for NumberOrNone {
            type Value = Option<f64>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a number between 0 and 1, or \"none\"")
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Option<f64>, E> {
                Ok(Some(value))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Option<f64>, E> {
                // Out of range either way, which is said where all values are checked.
                Ok(Some(value as f64))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<f64>, E> {
                match text {
                    "none" => Ok(None),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }
        from.deserialize_any(NumberOrNone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<CalibrateOptions, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn an_empty_table_is_the_defaults_and_what_is_written_reads_back() {
        assert_eq!(read("").unwrap(), CalibrateOptions::default());
        let options = read("method = \"vector\"\nupdate = \"recursive\"\nwindow = 300").unwrap();
        assert_eq!((options.method, options.update), (Method::Vector, Update::Recursive));
        assert_eq!(read(&toml::to_string(&options).unwrap()).unwrap(), options);
    }

    #[test]
    fn unknown_keys_and_values_are_refused() {
        assert!(read("metod = \"vector\"").unwrap_err().message().contains("metod"));
        assert!(read("method = \"isotonic\"").unwrap_err().message().contains("temperature"));
    }

    #[test]
    fn impossible_values_name_their_key() {
        for (text, key) in [
            ("window = 10", "window"),
            ("window = nan", "window"),
            ("min_evidence = 0", "min_evidence"),
            ("min_evidence = inf", "min_evidence"),
        ] {
            assert_eq!(read(text).unwrap().check().unwrap_err().0, key, "{text}");
        }
        assert_eq!(CalibrateOptions::default().check(), Ok(()));
    }

    #[test]
    fn a_multi_label_model_has_no_top_label_to_correct() {
        let options = read("method = \"platt\"").unwrap();
        assert_eq!(options.check_task(Task::MultiLabel).unwrap_err().0, "method");
        assert_eq!(options.check_task(Task::SingleLabel), Ok(()));
    }
}
