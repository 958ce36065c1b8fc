//! The figures of a line as columns: of the tables, and for the curves.

use std::collections::BTreeSet;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::history::{History, Row};
use crate::accuracy::{Figures, Level, Line};

/// A column: its name, and its figure in a line.
type Column = (&'static str, fn(&Line) -> Option<f64>);

fn window(line: &Line) -> Option<&Level> {
    line.window.clip.as_ref()
}

fn all(line: &Line) -> Option<&Level> {
    line.cumulative.clip.as_ref()
}

/// A figure of the window, then since the start, raw and calibrated.
macro_rules! figure {
    ($level:ident, $side:ident, $of:expr) => {
        |line| {
            let of: fn(&Figures) -> Option<f64> = $of;
            $level(line).and_then(|level| of(&level.$side))
        }
    };
}

/// Every column but those of top-k, whose k the configuration chooses.
const COLUMNS: [Column; 39] = [
    ("window_samples", |l| window(l).map(|w| w.samples as f64)),
    ("window_effective", |l| window(l).map(|w| w.effective)),
    ("window_accuracy_raw", figure!(window, raw, |f| Some(f.accuracy))),
    ("window_accuracy", figure!(window, calibrated, |f| Some(f.accuracy))),
    ("window_macro_f1_raw", figure!(window, raw, |f| f.macro_f1)),
    ("window_macro_f1", figure!(window, calibrated, |f| f.macro_f1)),
    ("window_ece_raw", figure!(window, raw, |f| Some(f.ece))),
    ("window_ece", figure!(window, calibrated, |f| Some(f.ece))),
    ("window_ece_equal_mass_raw", figure!(window, raw, |f| f.ece_equal_mass)),
    ("window_ece_equal_mass", figure!(window, calibrated, |f| f.ece_equal_mass)),
    ("window_brier_raw", figure!(window, raw, |f| Some(f.brier))),
    ("window_brier", figure!(window, calibrated, |f| Some(f.brier))),
    ("window_nll_raw", figure!(window, raw, |f| Some(f.nll))),
    ("window_nll", figure!(window, calibrated, |f| Some(f.nll))),
    ("window_coverage", |l| window(l).and_then(|w| w.coverage)),
    ("window_set_size", |l| window(l).and_then(|w| w.set_size)),
    ("samples", |l| all(l).map(|a| a.samples as f64)),
    ("effective", |l| all(l).map(|a| a.effective)),
    ("accuracy_raw", figure!(all, raw, |f| Some(f.accuracy))),
    ("accuracy", figure!(all, calibrated, |f| Some(f.accuracy))),
    ("macro_f1_raw", figure!(all, raw, |f| f.macro_f1)),
    ("macro_f1", figure!(all, calibrated, |f| f.macro_f1)),
    ("ece_raw", figure!(all, raw, |f| Some(f.ece))),
    ("ece", figure!(all, calibrated, |f| Some(f.ece))),
    ("brier_raw", figure!(all, raw, |f| Some(f.brier))),
    ("brier", figure!(all, calibrated, |f| Some(f.brier))),
    ("nll_raw", figure!(all, raw, |f| Some(f.nll))),
    ("nll", figure!(all, calibrated, |f| Some(f.nll))),
    ("coverage", |l| all(l).and_then(|a| a.coverage)),
    ("set_size", |l| all(l).and_then(|a| a.set_size)),
    ("target", |l| l.target),
    ("temperature", |l| temperature(&l.parameters)),
    ("predictions", |l| Some(l.counts.predictions as f64)),
    ("scored", |l| Some(l.counts.scored as f64)),
    ("waiting", |l| Some(l.counts.waiting as f64)),
    ("unlabelled", |l| Some(l.counts.unlabelled as f64)),
    ("late", |l| Some(l.counts.late as f64)),
    ("refused", |l| Some(l.counts.refused as f64)),
    ("alarms", |l| Some(l.drift.alarms as f64)),
];

/// The figures of a line, in the order of the columns; NaN for none.
pub(super) fn values(line: &Line) -> Vec<f64> {
    COLUMNS.iter().map(|(_, of)| of(line).filter(|v| v.is_finite()).unwrap_or(f64::NAN)).collect()
}

/// The figure in the column `name` of a row; NaN for none.
pub(super) fn value(row: &Row, name: &str) -> f64 {
    let at = COLUMNS.iter().position(|(column, _)| *column == name);
    at.and_then(|at| row.values.get(at)).copied().unwrap_or(f64::NAN)
}

/// The calibrator's temperature; of one for each class the middle one.
fn temperature(parameters: &Value) -> Option<f64> {
    match parameters.get("temperature")? {
        Value::Array(each) => {
            let mut each: Vec<f64> = each.iter().filter_map(Value::as_f64).collect();
            each.sort_unstable_by(f64::total_cmp);
            each.get(each.len() / 2).copied()
        }
        one => one.as_f64(),
    }
}

/// All columns of some histories.
pub(super) struct Columns {
    /// The k above 1 that occur.
    ks: Vec<usize>,
}

/// Where a row's top-k figures stand, by what their names begin and end with.
const TOP_K: [(&str, &str); 4] = [("window_", "_raw"), ("window_", ""), ("", "_raw"), ("", "")];

impl Columns {
    pub fn of(histories: &[History]) -> Columns {
        let lists = histories.iter().flat_map(|h| &h.rows).flat_map(|row| &row.top_k);
        let ks: BTreeSet<usize> = lists.flatten().map(|top| top.k).filter(|&k| k > 1).collect();
        Columns { ks: ks.into_iter().collect() }
    }

    pub fn names(&self) -> impl Iterator<Item = String> {
        let fixed = COLUMNS.iter().map(|(name, _)| (*name).to_owned());
        let top = |(begin, end)| move |k: &usize| format!("{begin}top_{k}{end}");
        fixed.chain(TOP_K.into_iter().flat_map(move |names| self.ks.iter().map(top(names))))
    }

    pub fn values<'a>(&'a self, row: &'a Row) -> impl Iterator<Item = Option<f64>> + 'a {
        let fixed = row.values.iter().map(|value| value.is_finite().then_some(*value));
        let top = row.top_k.iter().flat_map(|list| {
            self.ks.iter().map(|k| list.iter().find(|top| top.k == *k).and_then(|top| top.accuracy))
        });
        fixed.chain(top)
    }

    /// Every column as a list.
    pub fn series<'a>(&'a self, rows: &'a [Row]) -> Series<'a> {
        Series { columns: self, rows }
    }
}

/// `at`, `t` and every column, each a list with a value a row.
pub(super) struct Series<'a> {
    columns: &'a Columns,
    rows: &'a [Row],
}

impl Serialize for Series<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut lists = vec![Vec::with_capacity(self.rows.len()); self.columns.names().count()];
        for row in self.rows {
            let values = lists.iter_mut().zip(self.columns.values(row));
            values.for_each(|(list, value)| list.push(value));
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("at", &self.rows.iter().map(|row| &row.at).collect::<Vec<_>>())?;
        map.serialize_entry("t", &self.rows.iter().map(|row| row.t).collect::<Vec<_>>())?;
        for (name, list) in self.columns.names().zip(&lists) {
            map.serialize_entry(&name, list)?;
        }
        map.end()
    }
}
