//! Sizes as people write them: `20 GB`, `512MiB`.

use std::fmt;
use std::str::FromStr;

/// A number of bytes, read with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bytes(pub u64);

const UNITS: [(&str, u64); 9] = [
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("\"{text}\"; expected a size such as \"20 GB\" or \"512 MiB\"");
        let text = text.trim();
        let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let unit = unit.trim_start();
        let number: f64 = number.parse().map_err(|_| expected())?;
        let known = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
        let bytes = known.map(|(_, size)| number * *size as f64).ok_or_else(expected)?;
        if !(1.0..1e18).contains(&bytes) {
            return Err(expected());
        }
        Ok(Bytes(bytes as u64))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS[..4].iter().find(|(_, size)| self.0.is_multiple_of(*size) && self.0 > 0);
        let (name, size) = unit.copied().unwrap_or(("B", 1));
        write!(f, "{} {name}", self.0 / size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_need_a_unit_and_may_be_broken() {
        let bytes = |text: &str| text.parse::<Bytes>().map(|bytes| bytes.0);
        assert_eq!(bytes("20 GB"), Ok(20_000_000_000));
        assert_eq!(bytes("1.5MiB"), Ok(1_572_864));
        assert_eq!(bytes("7 b"), Ok(7));
        for text in ["", "20", "GB", "-1 GB", "0 B", "1e9 GB", "3 bananas"] {
            assert!(bytes(text).unwrap_err().contains("expected a size"), "{text}");
        }
        assert_eq!(Bytes(20_000_000_000).to_string(), "20 GB");
    }
}
