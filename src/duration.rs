//! Durations as people write them: `"250 ms"`, `"2 s"`, `"1.5 min"`, `"1 h"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _};

/// A duration read from a string with its unit; a bare number is refused,
/// because nobody can tell seconds from milliseconds in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanDuration(pub Duration);

/// Units with their length in seconds, the longest name of a suffix first.
const UNITS: [(&str, f64); 4] = [("ms", 1e-3), ("min", 60.0), ("s", 1.0), ("h", 3600.0)];

/// Longer than any sensible setting, and far from overflow.
const LONGEST: f64 = 366.0 * 86_400.0;

impl FromStr for HumanDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let help = || {
            format!(
                "{text:?} is not a duration: write a number and a unit, ms, s, min or h (\"250 ms\")"
            )
        };
        let trimmed = text.trim();
        let unit_at = trimmed.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(help)?;
        let (number, unit) = trimmed.split_at(unit_at);
        let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(help)?;
        let number: f64 = number.trim().parse().map_err(|_| help())?;
        let seconds = number * seconds;
        if !(0.0..=LONGEST).contains(&seconds) {
            return Err(format!(
                "{text:?} is out of range: a duration lies between 0 s and a year"
            ));
        }
        Ok(HumanDuration(Duration::from_nanos((seconds * 1e9).round() as u64)))
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        match seconds {
            s if s >= 3600.0 && (s % 3600.0) == 0.0 => write!(f, "{} h", s / 3600.0),
            s if s >= 60.0 && (s % 60.0) == 0.0 => write!(f, "{} min", s / 60.0),
            s if s >= 1.0 || s == 0.0 => write!(f, "{s} s"),
            _ => write!(f, "{} ms", self.0.as_nanos() as f64 / 1e6),
        }
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_each_unit() {
        for (text, millis) in [
            ("250 ms", 250),
            ("2 s", 2_000),
            ("1.5 min", 90_000),
            ("1 h", 3_600_000),
            ("10s", 10_000),
        ] {
            let read: HumanDuration = text.parse().unwrap();
            assert_eq!(read.0, Duration::from_millis(millis), "{text}");
            assert_eq!(read.to_string().parse::<HumanDuration>().unwrap(), read, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_clear() {
        for text in ["", "2", "-1 s", "s", "2 weeks", "1 s 5 ms", "nan s", "inf h", "9000000 h"] {
            let error = text.parse::<HumanDuration>().unwrap_err();
            assert!(error.contains("ms") || error.contains("year"), "{text}: {error}");
        }
    }
}
