//! What a calibrator has found, as it stands in a log or a model bundle.

use serde::{Deserialize, Serialize};

use super::probability::{logistic, probabilities};
use super::scaling::{MOST_BIAS, MOST_TEMPERATURE, scale};
use super::top::{place, replace_top};
use crate::metric::Task;

/// Bounds of Platt's slope and of an edge or offset on the logit scale.
pub(super) const MOST_SLOPE: f64 = MOST_TEMPERATURE;

/// A way from logits to probabilities, with its numbers.
///
/// It is written as one flat table, whose `method` says which it is; without
/// that key the other keys say it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Table", into = "Table")]
pub enum Parameters {
    /// The model's own softmax or sigmoid.
    #[default]
    Identity,
    /// softmax(z / T) (Guo et al., ICML 2017, section 4.2).
    Temperature {
        /// T, above 1 for a model that is too sure of itself.
        temperature: f64,
    },
    /// softmax(z / T + b).
    Vector {
        /// T.
        temperature: f64,
        /// b, one a class.
        bias: Vec<f64>,
    },
    /// The top label's probability p becomes σ(a logit p + b), and then what was
    /// observed where that was said.
    Platt {
        /// What comes first.
        first: First,
        /// a.
        a: f64,
        /// b.
        b: f64,
        /// What was observed for a probability σ(a logit p + b).
        bins: Vec<Bin>,
    },
    /// The top label's probability becomes what was observed where it was said.
    Histogram {
        /// What comes first.
        first: First,
        /// For labels that `classes` does not list.
        bins: Vec<Bin>,
        /// For a top label, by class index, ascending.
        classes: Vec<ClassBins>,
    },
    /// σ(z / T + b) of each class; it holds where that reaches its threshold.
    MultiLabel {
        /// T, one a class.
        temperature: Vec<f64>,
        /// b, one a class.
        bias: Vec<f64>,
        /// Thresholds on the probability, one a class.
        threshold: Vec<f64>,
    },
}

/// Scaling before the top label's probability is corrected.
#[derive(Clone, Debug, PartialEq)]
pub struct First {
    /// Temperature; 1 for none.
    pub temperature: f64,
    /// Bias, one a class, or none.
    pub bias: Vec<f64>,
}

impl Default for First {
    fn default() -> Self {
        First { temperature: 1.0, bias: Vec::new() }
    }
}

/// A range of probabilities and what was observed in it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bin {
    /// Where the bin ends; it begins where the one before ends. The last is 1.
    pub to: f64,
    /// How often the label was right, 0 to 1.
    pub p: f64,
    /// How far that takes the place of what was said, 0 to 1.
    pub weight: f64,
}

/// The bins of one top label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassBins {
    /// The class's index.
    pub class: usize,
    /// Its bins.
    pub bins: Vec<Bin>,
}

impl Parameters {
    /// Writes the probabilities of `logits` (one a class, finite) into
    /// `probabilities` (same length). Allocates nothing. Numbers that there are
    /// not enough of count as those of the identity.
    pub fn apply(&self, logits: &[f32], task: Task, out: &mut [f32]) {
        match (self, task) {
            (Parameters::Temperature { temperature }, Task::SingleLabel) => {
                scale(logits, *temperature, &[], out);
            }
            (Parameters::Vector { temperature, bias }, Task::SingleLabel) => {
                scale(logits, *temperature, bias, out);
            }
            (Parameters::Platt { first, a, b, bins }, Task::SingleLabel) => {
                scale(logits, first.temperature, &first.bias, out);
                replace_top(out, |_, p| observed(bins, platt(p, *a, *b)));
            }
            (Parameters::Histogram { first, bins, classes }, Task::SingleLabel) => {
                scale(logits, first.temperature, &first.bias, out);
                replace_top(out, |class, p| {
                    let own = classes.iter().find(|own| own.class == class);
                    observed(own.map_or(bins, |own| &own.bins), p)
                });
            }
            (Parameters::Temperature { temperature }, Task::MultiLabel) => {
                for (p, z) in out.iter_mut().zip(logits) {
                    *p = logistic((f64::from(*z) / temperature) as f32);
                }
            }
            (Parameters::MultiLabel { temperature, bias, .. }, Task::MultiLabel) => {
                for (class, (p, z)) in out.iter_mut().zip(logits).enumerate() {
                    let t = temperature.get(class).copied().unwrap_or(1.0);
                    let b = bias.get(class).copied().unwrap_or_default();
                    *p = logistic((f64::from(*z) / t + b) as f32);
                }
            }
            _ => probabilities(logits, task, out),
        }
    }

    /// The thresholds at which a multi-label model's classes hold, one a class;
    /// `None` where it is 0.5 for all.
    pub fn thresholds(&self) -> Option<&[f64]> {
        match self {
            Parameters::MultiLabel { threshold, .. } => Some(threshold),
            _ => None,
        }
    }

    /// Refuses what a model with this many classes and this task cannot use.
    ///
    /// # Errors
    /// The key, below the table, and the fault.
    pub fn check(&self, classes: usize, task: Task) -> Result<(), (&'static str, String)> {
        let fits = match self {
            Parameters::Identity | Parameters::Temperature { .. } => true,
            Parameters::MultiLabel { .. } => task == Task::MultiLabel,
            _ => task == Task::SingleLabel,
        };
        if !fits {
            let fault = match task {
                Task::SingleLabel => "is for a multi-label model, and this one is single-label",
                Task::MultiLabel => "is for a single-label model, and this one is multi-label",
            };
            return Err(("method", fault.into()));
        }
        match self {
            Parameters::Identity => Ok(()),
            Parameters::Temperature { temperature } => check_temperature(*temperature),
            Parameters::Vector { temperature, bias } => {
                check_temperature(*temperature)?;
                check_bias(bias, classes)
            }
            Parameters::Platt { first, a, b, bins } => {
                first.check(classes)?;
                between("a", *a, 0.0, MOST_SLOPE)?;
                between("b", *b, -MOST_BIAS, MOST_BIAS)?;
                check_bins("bins", bins)
            }
            Parameters::Histogram { first, bins, classes: own } => {
                first.check(classes)?;
                check_bins("bins", bins)?;
                for own in own {
                    if own.class >= classes {
                        let fault = format!("class {} of a model with {classes}", own.class);
                        return Err(("classes", fault));
                    }
                    check_bins("classes", &own.bins)?;
                }
                Ok(())
            }
            Parameters::MultiLabel { temperature, bias, threshold } => {
                count("temperature", temperature.len(), classes)?;
                temperature.iter().try_for_each(|t| check_temperature(*t))?;
                check_bias(bias, classes)?;
                count("threshold", threshold.len(), classes)?;
                threshold.iter().try_for_each(|t| between("threshold", *t, 0.0, 1.0))
            }
        }
    }
}

impl First {
    fn check(&self, classes: usize) -> Result<(), (&'static str, String)> {
        check_temperature(self.temperature)?;
        if self.bias.is_empty() { Ok(()) } else { check_bias(&self.bias, classes) }
    }
}

/// σ(a logit p + b).
pub(super) fn platt(p: f64, a: f64, b: f64) -> f64 {
    1.0 / (1.0 + (-(a * logit(p) + b)).exp())
}

/// ln p / (1 - p), finite at 0 and 1.
pub(super) fn logit(p: f64) -> f64 {
    const LEAST: f64 = 1e-7;
    let p = if p.is_finite() { p.clamp(LEAST, 1.0 - LEAST) } else { 0.5 };
    (p / (1.0 - p)).ln()
}

/// What `bins` make of the probability `p`.
pub(super) fn observed(bins: &[Bin], p: f64) -> f64 {
    bins.get(place(bins, p)).map_or(p, |bin| (1.0 - bin.weight) * p + bin.weight * bin.p)
}

fn between(
    key: &'static str,
    value: f64,
    low: f64,
    high: f64,
) -> Result<(), (&'static str, String)> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err((key, format!("{value} is out of bounds; expected a number from {low} to {high}")))
}

fn check_temperature(value: f64) -> Result<(), (&'static str, String)> {
    between("temperature", value, 1.0 / MOST_TEMPERATURE, MOST_TEMPERATURE)
}

fn check_bias(bias: &[f64], classes: usize) -> Result<(), (&'static str, String)> {
    count("bias", bias.len(), classes)?;
    bias.iter().try_for_each(|b| between("bias", *b, -MOST_BIAS, MOST_BIAS))
}

fn count(key: &'static str, given: usize, classes: usize) -> Result<(), (&'static str, String)> {
    if given == classes {
        return Ok(());
    }
    Err((key, format!("{given} numbers for {classes} classes; expected one for each")))
}

fn check_bins(key: &'static str, bins: &[Bin]) -> Result<(), (&'static str, String)> {
    let mut from = 0.0;
    for bin in bins {
        // Also refuses what is no number.
        if !(bin.to > from && bin.to <= 1.0) {
            let fault =
                format!("a bin from {from} to {}; expected ascending edges up to 1", bin.to);
            return Err((key, fault));
        }
        between(key, bin.p, 0.0, 1.0)?;
        between(key, bin.weight, 0.0, 1.0)?;
        from = bin.to;
    }
    Ok(())
}

/// [`Parameters`] as they are written.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Table {
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<Family>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<Temperature>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bias: Vec<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    threshold: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    a: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    b: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bins: Vec<Bin>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classes: Vec<ClassBins>,
}

#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Family {
    #[serde(rename = "none")]
    Identity,
    Temperature,
    Vector,
    Platt,
    Histogram,
    MultiLabel,
}

/// One number, or one a class.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "a number, or a list with one number for each class")]
enum Temperature {
    One(f64),
    Each(Vec<f64>),
}

impl From<Parameters> for Table {
    fn from(parameters: Parameters) -> Self {
        let table = |method| Table { method: Some(method), ..Table::default() };
        let first = |method, first: First| {
            let scaled = first.temperature != 1.0;
            let temperature = scaled.then_some(Temperature::One(first.temperature));
            Table { temperature, bias: first.bias, ..table(method) }
        };
        match parameters {
            Parameters::Identity => table(Family::Identity),
            Parameters::Temperature { temperature } => Table {
                temperature: Some(Temperature::One(temperature)),
                ..table(Family::Temperature)
            },
            Parameters::Vector { temperature, bias } => {
                let temperature = Some(Temperature::One(temperature));
                Table { temperature, bias, ..table(Family::Vector) }
            }
            Parameters::Platt { first: scaling, a, b, bins } => {
                Table { a: Some(a), b: Some(b), bins, ..first(Family::Platt, scaling) }
            }
            Parameters::Histogram { first: scaling, bins, classes } => {
                Table { bins, classes, ..first(Family::Histogram, scaling) }
            }
            Parameters::MultiLabel { temperature, bias, threshold } => {
                let temperature = Some(Temperature::Each(temperature));
                Table { temperature, bias, threshold, ..table(Family::MultiLabel) }
            }
        }
    }
}

impl TryFrom<Table> for Parameters {
    type Error = String;

    fn try_from(table: Table) -> Result<Self, String> {
        let method = table.method.unwrap_or_else(|| table.family());
        let keys: [(&str, bool, &[Family]); 7] = [
            (
                "temperature",
                table.temperature.is_some(),
                &[
                    Family::Temperature,
                    Family::Vector,
                    Family::Platt,
                    Family::Histogram,
                    Family::MultiLabel,
                ],
            ),
            (
                "bias",
                !table.bias.is_empty(),
                &[Family::Vector, Family::Platt, Family::Histogram, Family::MultiLabel],
            ),
            ("threshold", !table.threshold.is_empty(), &[Family::MultiLabel]),
            ("a", table.a.is_some(), &[Family::Platt]),
            ("b", table.b.is_some(), &[Family::Platt]),
            ("bins", !table.bins.is_empty(), &[Family::Platt, Family::Histogram]),
            ("classes", !table.classes.is_empty(), &[Family::Histogram]),
        ];
        if let Some((key, ..)) = keys.iter().find(|(_, given, of)| *given && !of.contains(&method))
        {
            return Err(format!("\"{key}\" does not belong to this method"));
        }
        let missing = |key: &str| format!("\"{key}\" is missing");
        let each = matches!(table.temperature, Some(Temperature::Each(_)));
        if each != (method == Family::MultiLabel) && table.temperature.is_some() {
            return Err("\"temperature\" is one number, and one for each class only where \
                        method = \"multi-label\""
                .into());
        }
        let (one, many) = match table.temperature {
            Some(Temperature::One(t)) => (Some(t), Vec::new()),
            Some(Temperature::Each(many)) => (None, many),
            None => (None, Vec::new()),
        };
        let first = |bias| First { temperature: one.unwrap_or(1.0), bias };
        Ok(match method {
            Family::Identity => Parameters::Identity,
            Family::Temperature => {
                Parameters::Temperature { temperature: one.ok_or_else(|| missing("temperature"))? }
            }
            Family::Vector => Parameters::Vector {
                temperature: one.ok_or_else(|| missing("temperature"))?,
                bias: table.bias,
            },
            Family::Platt => Parameters::Platt {
                first: first(table.bias),
                a: table.a.ok_or_else(|| missing("a"))?,
                b: table.b.ok_or_else(|| missing("b"))?,
                bins: table.bins,
            },
            Family::Histogram => Parameters::Histogram {
                first: first(table.bias),
                bins: table.bins,
                classes: table.classes,
            },
            Family::MultiLabel => Parameters::MultiLabel {
                bias: if table.bias.is_empty() { vec![0.0; many.len()] } else { table.bias },
                threshold: if table.threshold.is_empty() {
                    vec![0.5; many.len()]
                } else {
                    table.threshold
                },
                temperature: many,
            },
        })
    }
}

impl Table {
    /// What its keys say it is.
    fn family(&self) -> Family {
        if self.a.is_some() || self.b.is_some() {
            Family::Platt
        } else if !self.bins.is_empty() || !self.classes.is_empty() {
            Family::Histogram
        } else if matches!(self.temperature, Some(Temperature::Each(_))) {
            Family::MultiLabel
        } else if !self.bias.is_empty() {
            Family::Vector
        } else if self.temperature.is_some() {
            Family::Temperature
        } else {
            Family::Identity
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Parameters, toml::de::Error> {
        toml::from_str(text)
    }

    fn every() -> Vec<Parameters> {
        let bins =
            vec![Bin { to: 0.5, p: 0.25, weight: 0.5 }, Bin { to: 1.0, p: 0.75, weight: 1.0 }];
        let first = First { temperature: 2.0, bias: vec![0.5, -0.5, 0.0] };
        vec![
            Parameters::Identity,
            Parameters::Temperature { temperature: 1.75 },
            Parameters::Vector { temperature: 0.5, bias: vec![0.5, -1.0, 0.0] },
            Parameters::Platt { first: First::default(), a: 0.5, b: -0.25, bins: vec![] },
            Parameters::Platt { first: first.clone(), a: 0.5, b: -0.25, bins: bins.clone() },
            Parameters::Histogram {
                first,
                bins: bins.clone(),
                classes: vec![ClassBins { class: 2, bins }],
            },
            Parameters::MultiLabel {
                temperature: vec![1.5, 2.0, 1.0],
                bias: vec![0.0, 0.5, -0.5],
                threshold: vec![0.5, 0.25, 0.75],
            },
        ]
    }

    #[test]
    fn what_is_written_reads_back_from_toml_and_json() {
        for parameters in every() {
            let text = toml::to_string(&parameters).unwrap();
            assert_eq!(read(&text).unwrap(), parameters, "{text}");
            let text = serde_json::to_string(&parameters).unwrap();
            assert_eq!(serde_json::from_str::<Parameters>(&text).unwrap(), parameters, "{text}");
        }
    }

    #[test]
    fn the_keys_say_the_method_where_it_is_left_out() {
        assert_eq!(
            read("temperature = 1.5").unwrap(),
            Parameters::Temperature { temperature: 1.5 }
        );
        assert!(matches!(
            read("temperature = 1.5\nbias = [0.5]").unwrap(),
            Parameters::Vector { .. }
        ));
        let many = read("temperature = [1.5, 2.0]").unwrap();
        assert_eq!(many.thresholds(), Some(&[0.5, 0.5][..]));
        assert_eq!(read("").unwrap(), Parameters::Identity);
    }

    #[test]
    fn what_does_not_belong_or_is_missing_is_refused() {
        for (text, word) in [
            ("temprature = 1.5", "temprature"),
            ("method = \"temperature\"", "temperature"),
            ("method = \"temperature\"\ntemperature = 1.5\nbias = [0.5]", "bias"),
            ("method = \"platt\"\na = 1.0", "b"),
            ("method = \"temperature\"\ntemperature = [1.5]", "temperature"),
            ("temperature = \"hot\"", "number"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.message().contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn numbers_that_a_model_cannot_use_name_their_key() {
        for parameters in every() {
            let task = match parameters {
                Parameters::MultiLabel { .. } => Task::MultiLabel,
                _ => Task::SingleLabel,
            };
            assert_eq!(parameters.check(3, task), Ok(()), "{parameters:?}");
        }
        for (text, key) in [
            ("temperature = 0.0", "temperature"),
            ("temperature = nan", "temperature"),
            ("temperature = 99.0", "temperature"),
            ("temperature = 1.0\nbias = [0.5]", "bias"),
            ("temperature = 1.0\nbias = [0.5, inf, 0.0]", "bias"),
            ("a = -1.0\nb = 0.0", "a"),
            ("bins = [{ to = 0.5, p = 0.5, weight = 2.0 }]", "bins"),
            (
                "bins = [{ to = 0.5, p = 0.5, weight = 1.0 }, { to = 0.4, p = 0.5, weight = 1.0 }]",
                "bins",
            ),
            ("classes = [{ class = 3, bins = [] }]", "classes"),
            ("temperature = [1.0, 1.0, 1.0]", "method"),
        ] {
            let parameters = read(text).unwrap();
            assert_eq!(parameters.check(3, Task::SingleLabel).unwrap_err().0, key, "{text}");
        }
        let one = Parameters::Vector { temperature: 1.0, bias: vec![0.0; 3] };
        assert_eq!(one.check(3, Task::MultiLabel).unwrap_err().0, "method");
    }

    #[test]
    fn every_method_keeps_the_order_of_the_classes_and_sums_to_one() {
        let logits = [0.2, 3.0, 2.5];
        for parameters in every() {
            if matches!(parameters, Parameters::MultiLabel { .. }) {
                continue;
            }
            let mut p = [0.0; 3];
            parameters.apply(&logits, Task::SingleLabel, &mut p);
            assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{parameters:?} {p:?}");
            let biased = matches!(&parameters, Parameters::Vector { .. })
                || matches!(&parameters, Parameters::Platt { first, .. } | Parameters::Histogram { first, .. } if !first.bias.is_empty());
            assert!(biased || (p[1] > p[2] && p[2] > p[0]), "{parameters:?} {p:?}");
        }
    }

    #[test]
    fn a_multi_label_class_has_its_own_numbers() {
        let parameters = Parameters::MultiLabel {
            temperature: vec![2.0, 1.0],
            bias: vec![0.0, 1.0],
            threshold: vec![0.5; 2],
        };
        let mut p = [0.0; 2];
        parameters.apply(&[2.0, -1.0], Task::MultiLabel, &mut p);
        assert!((p[0] - 0.731_058_6).abs() < 1e-6 && p[1] == 0.5, "{p:?}");
        Parameters::Temperature { temperature: 2.0 }.apply(&[2.0, 0.0], Task::MultiLabel, &mut p);
        assert!((p[0] - 0.731_058_6).abs() < 1e-6 && p[1] == 0.5, "{p:?}");
    }
}
