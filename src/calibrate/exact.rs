//! Numbers of a state, bit for bit: `#[serde(with = "crate::calibrate::exact")]`.
//!
//! JSON's decimal numbers may come back one unit in the last place away, and
//! what goes on from a state must be what would have gone on without it. Each
//! number is 16 hexadecimal digits; a list of them is one string.

use std::borrow::Cow;
use std::fmt::Write;

use serde::{Deserialize, Deserializer, Serializer, de};

const DIGITS: usize = 16;

/// Writes `numbers` as one string.
///
/// # Errors
/// The serialiser's own.
pub fn serialize<S: Serializer>(numbers: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
    let mut text = String::with_capacity(numbers.len() * DIGITS);
    for number in numbers {
        // Writing to a string cannot fail.
        let _ = write!(text, "{:016x}", number.to_bits());
    }
    serializer.serialize_str(&text)
}

/// Reads what [`serialize`] wrote.
///
/// # Errors
/// The text is no list of whole numbers, or one of them is not finite.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| de::Error::custom("expected finite numbers of 16 hex digits each"))
}

fn parse(text: &str) -> Option<Vec<f64>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(DIGITS) {
        return None;
    }
    digits
        .chunks_exact(DIGITS)
        .map(|chunk| {
            let text = std::str::from_utf8(chunk).ok()?;
            let number = f64::from_bits(u64::from_str_radix(text, 16).ok()?);
            number.is_finite().then_some(number)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Holder(#[serde(with = "super")] Vec<f64>);

    #[test]
    fn numbers_come_back_bit_for_bit() {
        let numbers = vec![0.1 + 0.2, -0.0, 5e-324, f64::MAX, 1.0 / 3.0];
        let text = serde_json::to_string(&Holder(numbers.clone())).unwrap();
        let back: Holder = serde_json::from_str(&text).unwrap();
        let bits = |v: &[f64]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back.0), bits(&numbers));
        assert_eq!(serde_json::from_str::<Holder>("\"\"").unwrap(), Holder(vec![]));
    }

    #[test]
    fn torn_foreign_and_infinite_numbers_are_refused() {
        for text in ["\"3ff\"", "\"3ff000000000000g\"", "\"7ff0000000000000\"", "\"éééééééé\"", "7"]
        {
            assert!(serde_json::from_str::<Holder>(text).is_err(), "{text}");
        }
    }
}
