//! Lengths of time as people write them: `"250 ms"`, `"2 s"`, `"1.5 min"`, `"1 h"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time that is read and written with its unit. A bare number is
/// refused, because nobody can tell whether it means seconds or milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanDuration(pub Duration);

/// Units with their length in seconds; the first name is the one that is written.
const UNITS: [(&str, f64); 5] =
    [("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("h", 3600.0), ("d", 86_400.0)];

const EXPECTED: &str = "a number and its unit, such as \"250 ms\", \"2 s\", \"1.5 min\" or \"1 h\"";

impl HumanDuration {
    /// Whole seconds.
    pub const fn seconds(seconds: u64) -> Self {
        HumanDuration(Duration::from_secs(seconds))
    }
}

impl FromStr for HumanDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        let split =
            trimmed.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(split);
        let unit = unit.trim_start();
        let refuse = |why: &str| format!("{why} in the duration \"{text}\"; expected {EXPECTED}");
        let value: f64 = number.parse().map_err(|_| refuse("no number"))?;
        if unit.is_empty() {
            return Err(refuse("no unit"));
        }
        let seconds = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, seconds)| value * seconds)
            .ok_or_else(|| refuse(&format!("unknown unit \"{unit}\"")))?;
        // Rounded to the nanosecond, so that "0.1 s" and "100 ms" are equal.
        Duration::try_from_secs_f64(seconds)
            .map(HumanDuration)
            .map_err(|_| refuse("a number too large"))
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        let (name, length) = if seconds > 0.0 && seconds < 1.0 {
            ("ms", 1e-3)
        } else if seconds < 60.0 || seconds % 60.0 != 0.0 {
            ("s", 1.0)
        } else if seconds % 3600.0 != 0.0 {
            ("min", 60.0)
        } else {
            ("h", 3600.0)
        };
        // Nine places hold a nanosecond of the largest unit that has a fraction.
        let number = format!("{:.9}", seconds / length);
        write!(f, "{} {name}", number.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = HumanDuration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<HumanDuration, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Duration, String> {
        text.parse::<HumanDuration>().map(|d| d.0)
    }

    #[test]
    fn numbers_with_units_are_read() {
        assert_eq!(parse("250 ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("2 s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse("0.1 s"), Ok(Duration::from_millis(100)));
        assert_eq!(parse("1.5 min"), Ok(Duration::from_secs(90)));
        assert_eq!(parse(" 1 h "), Ok(Duration::from_secs(3600)));
        assert_eq!(parse("0 s"), Ok(Duration::ZERO));
    }

    #[test]
    fn a_bare_number_is_refused_with_what_was_expected() {
        let error = parse("2").unwrap_err();
        assert!(error.contains("no unit") && error.contains("\"250 ms\""), "{error}");
        let error = toml::from_str::<std::collections::HashMap<String, HumanDuration>>("a = 2")
            .unwrap_err();
        assert!(error.message().contains("a number and its unit"), "{error}");
    }

    #[test]
    fn nonsense_is_refused() {
        for (text, why) in [
            ("", "no number"),
            ("s", "no number"),
            ("-1 s", "no number"),
            ("1.2.3 s", "no number"),
            ("2 parsecs", "unknown unit"),
            ("99999999999999999999999 h", "too large"),
        ] {
            assert!(parse(text).unwrap_err().contains(why), "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        for text in
            ["250 ms", "2 s", "2.5 s", "90 s", "1 min", "1 h", "0 s", "1 ms", "61 s", "24 h"]
        {
            let value: HumanDuration = text.parse().unwrap();
            assert_eq!(value.to_string(), text);
            assert_eq!(value.to_string().parse::<HumanDuration>(), Ok(value));
        }
    }
}
