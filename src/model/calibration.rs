//! `[calibration]` of a bundle: what `kinewatch calibrate` found out about its
//! network, read, and written into `model.toml` with every other line kept.

use std::fmt::Write as _;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::calibrate::Parameters;

/// The table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Calibration {
    /// SHA-256 of the network that it was fitted on; it holds for no other one.
    /// Without it, for whatever network the bundle has.
    pub sha256: Option<String>,
    /// How to correct the network's probabilities.
    pub parameters: Parameters,
}

impl<'de> Deserialize<'de> for Calibration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let mut table = toml::Table::deserialize(deserializer)?;
        let sha256 = match table.remove("sha256") {
            None => None,
            Some(toml::Value::String(sha256)) => Some(sha256),
            Some(_) => return Err(D::Error::custom("calibration.sha256: expected a text")),
        };
        let parameters = table.try_into().map_err(D::Error::custom)?;
        Ok(Calibration { sha256, parameters })
    }
}

impl Calibration {
    /// Whether it holds for a network with this sum.
    pub fn is_for(&self, sha256: Option<&str>) -> bool {
        let Some(own) = &self.sha256 else { return true };
        sha256.is_some_and(|sha256| sha256.trim().eq_ignore_ascii_case(own.trim()))
    }
}

/// Significant digits of a parameter, far more than any data can tell apart; edges
/// of bins, which may lie close together, keep all theirs.
const DIGITS: i32 = 7;
/// The widest line of numbers.
const WIDEST: usize = 92;

/// `text`, a `model.toml`, with a `[calibration]` of `parameters` in place of the
/// one it has; all other lines stay as they are. `notes` become comments.
///
/// # Errors
/// What stands in the way: the table is written in a way in which it cannot be
/// found line by line.
pub(super) fn write_into(
    text: &str,
    parameters: &Parameters,
    sha256: Option<&str>,
    notes: &[String],
) -> Result<String, String> {
    let before: toml::Table = toml::from_str(text).map_err(|error| error.to_string())?;
    let table = table(parameters, sha256, notes)?;
    // Files keep the line ends they have.
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let table = table.replace('\n', end);
    let (kept, place) = without_table(text);
    let mut out = String::with_capacity(text.len() + table.len());
    let (head, tail) = (kept.get(..place).unwrap_or(&kept), kept.get(place..).unwrap_or(""));
    out.push_str(head);
    if !(head.is_empty() || head.ends_with('\n')) {
        out.push_str(end);
    }
    if !(head.trim().is_empty() || head.ends_with("\n\n") || head.ends_with("\n\r\n")) {
        out.push_str(end);
    }
    out.push_str(&table);
    if !(tail.is_empty() || tail.starts_with(['\n', '\r'])) {
        out.push_str(end);
    }
    out.push_str(tail);
    // Lines were moved by their looks; what the parser makes of them decides.
    let after: toml::Table = toml::from_str(&out)
        .map_err(|_| "its [calibration] is not a table of its own lines".to_owned())?;
    let others = |table: &toml::Table| {
        let mut table = table.clone();
        table.remove("calibration");
        table
    };
    match others(&before) == others(&after) && after.contains_key("calibration") {
        true => Ok(out),
        false => Err("its [calibration] cannot be told from other lines".into()),
    }
}

/// The text without the lines of `[calibration]` and its sub-tables, and where a
/// new one belongs: where the old one was, else at the end.
fn without_table(text: &str) -> (String, usize) {
    let mut kept = String::with_capacity(text.len());
    let mut place = None;
    let mut inside = false;
    // Empty lines and comments of the table, which may belong to what follows.
    let mut pending = String::new();
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        if trimmed.starts_with('[') {
            let name = trimmed.trim_start_matches('[').trim_start();
            let name = name.strip_prefix(['"', '\'']).unwrap_or(name);
            let rest = name.strip_prefix("calibration");
            let ours =
                rest.is_some_and(|rest| rest.trim_start().starts_with([']', '.', '"', '\'']));
            if ours {
                place.get_or_insert(kept.len());
                pending.clear();
            } else if inside {
                kept.push_str(&pending);
                pending.clear();
            }
            inside = ours;
        }
        if !inside {
            kept.push_str(line);
        } else if trimmed.trim_end().is_empty() || trimmed.starts_with('#') {
            pending.push_str(line);
        } else {
            // What stood between two of its lines goes with them.
            pending.clear();
        }
    }
    // A file that ends with the table ends without its trailing lines.
    let place = place.unwrap_or(kept.len());
    (kept, place)
}

/// The table's lines.
fn table(
    parameters: &Parameters,
    sha256: Option<&str>,
    notes: &[String],
) -> Result<String, String> {
    let Value::Object(keys) =
        serde_json::to_value(parameters).map_err(|error| error.to_string())?
    else {
        return Err("the parameters are no table".into());
    };
    let mut text = String::from("[calibration]\n");
    for note in notes {
        let _ = writeln!(text, "# {}", note.replace(|c: char| c.is_control(), " "));
    }
    if let Some(sha256) = sha256 {
        let _ = writeln!(text, "sha256 = {}", quoted(sha256));
    }
    for (key, value) in &keys {
        // TOML has no null: an option that is not there is left out.
        if !value.is_null() {
            let _ = writeln!(text, "{key} = {}", inline(value, key.len() + 3));
        }
    }
    Ok(text)
}

/// A value on its line, long arrays over several.
fn inline(value: &Value, indent: usize) -> String {
    match value {
        Value::Null => "\"\"".into(),
        Value::Bool(is) => is.to_string(),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(x) => rounded(x),
            None => number.to_string(),
        },
        Value::String(text) => quoted(text),
        Value::Object(keys) => {
            let value = |value: &Value| match value {
                Value::Number(number) => number.to_string(),
                other => inline(other, 0),
            };
            let keys = keys.iter().map(|(key, own)| format!("{key} = {}", value(own)));
            format!("{{ {} }}", keys.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| inline(item, 0)).collect();
            let width: usize = items.iter().map(|item| item.chars().count() + 2).sum();
            if indent == 0 || indent + width <= WIDEST {
                return format!("[{}]", items.join(", "));
            }
            let mut text = String::from("[");
            let mut at = usize::MAX;
            for item in items {
                let own = item.chars().count() + 2;
                if at.saturating_add(own) > WIDEST {
                    text.push_str("\n   ");
                    at = 3;
                }
                let _ = write!(text, " {item},");
                at += own;
            }
            text + "\n]"
        }
    }
}

/// A number with [`DIGITS`] significant digits, as TOML writes it.
fn rounded(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return format!("{:?}", if x.is_finite() { 0.0 } else { x });
    }
    let places = DIGITS - 1 - x.abs().log10().floor() as i32;
    let scale = 10f64.powi(places.clamp(-300, 300));
    let short = (x * scale).round() / scale;
    format!("{:?}", if short.is_finite() { short } else { x })
}

/// A text as TOML's basic strings have it; JSON escapes alike.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "ab94";
    const TEXT: &str = "# mine\nname = \"m\" # the name\n\n[input]\nsize = [\n  1,\n  2,\n]\n";

    fn temperature(temperature: f64) -> Parameters {
        Parameters::Temperature { temperature }
    }

    fn written(text: &str, t: f64) -> String {
        write_into(text, &temperature(t), Some(SHA), &["a note".into()]).unwrap()
    }

    fn read(text: &str) -> Calibration {
        let mut table: toml::Table = toml::from_str(text).unwrap();
        table.remove("calibration").unwrap().try_into().unwrap()
    }

    #[test]
    fn every_other_line_stays_as_it_was() {
        let once = written(TEXT, 1.734_567_891);
        assert!(once.starts_with(TEXT) && once.contains("\n\n[calibration]\n# a note\n"), "{once}");
        assert_eq!(
            read(&once),
            Calibration { sha256: Some(SHA.into()), parameters: temperature(1.734_568) }
        );
        // Written again it takes the first one's place, wherever that is.
        let middle = format!("{once}\n# of the run\n[run]\nmodes = [\"window\"]\n");
        let twice = written(&middle, 0.5);
        assert_eq!(twice.replace("0.5", "1.734568"), middle);
        assert_eq!(written(&twice, 0.5), twice);
    }

    #[test]
    fn line_ends_and_a_missing_last_one_are_kept() {
        let text = TEXT.trim_end().replace('\n', "\r\n");
        let out = written(&text, 2.0);
        assert!(out.starts_with(&text) && !out.replace("\r\n", "").contains('\n'), "{out:?}");
        assert_eq!(read(&out).parameters, temperature(2.0));
    }

    #[test]
    fn sub_tables_of_an_old_calibration_go_with_it() {
        let old = format!(
            "{TEXT}\n[calibration]\nmethod = \"histogram\"\n\n[[calibration.bins]]\nto = 1.0\np = \
             0.5\nweight = 1.0\n# last\n\n[calibrationish]\nx = 1\n"
        );
        let out = written(&old, 1.5);
        assert!(
            !out.contains("bins") && out.contains("# last\n\n[calibrationish]\nx = 1\n"),
            "{out}"
        );
    }

    #[test]
    fn a_table_that_cannot_be_found_is_left_alone() {
        for old in ["calibration = { temperature = 2.0 }\n", "calibration.temperature = 2.0\n"] {
            assert!(write_into(&format!("{old}{TEXT}"), &temperature(1.5), None, &[]).is_err());
        }
        // A text that looks like a table is none.
        let text = format!("{TEXT}[about]\nnote = '''\n[calibration]\nx = 1\n'''\n");
        assert!(write_into(&text, &temperature(1.5), None, &[]).is_err());
    }

    #[test]
    fn parameters_of_many_classes_read_back() {
        let bias: Vec<f64> = (0..400).map(|k| f64::from(k) / 64.0 - 3.0).collect();
        let parameters = Parameters::Vector { temperature: 1.5, bias };
        let out = write_into(TEXT, &parameters, None, &[]).unwrap();
        assert!(out.lines().all(|line| line.len() <= 100), "{out}");
        assert_eq!(read(&out), Calibration { sha256: None, parameters });
    }

    #[test]
    fn it_holds_for_the_network_it_was_fitted_on() {
        let calibration = read(&written(TEXT, 2.0));
        assert!(calibration.is_for(Some("AB94")) && !calibration.is_for(Some("ff")));
        assert!(!calibration.is_for(None));
        assert!(Calibration { sha256: None, ..calibration }.is_for(None));
    }
}
