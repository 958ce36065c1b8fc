//! Times as annotation files write them.

/// No recording is longer than this many seconds (some 31 years): a larger
/// number is a slip, or another unit.
const LONGEST: f64 = 1e9;

/// A count of seconds such as `12.5`: finite, not negative, not absurd.
pub(super) fn seconds(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|s| sound(*s))
}

/// Whether a number can be a time in seconds.
pub(super) fn sound(seconds: f64) -> bool {
    (0.0..=LONGEST).contains(&seconds)
}

/// A clock time in seconds: `1:02:03.5`, `02:03,5`; hours may be left out, and
/// the fraction may follow a point or a comma.
pub(super) fn clock(text: &str) -> Option<f64> {
    let text = text.trim().replace(',', ".");
    let mut parts = text.split(':').rev();
    let plain = |part: &str| {
        let digits = part.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if digits { part.parse::<f64>().ok() } else { None }
    };
    let seconds = plain(parts.next()?).filter(|s| *s < 60.0)?;
    let minutes = plain(parts.next()?).filter(|m| *m < 60.0 && m.fract() == 0.0)?;
    let hours = parts.next().map_or(Some(0.0), plain).filter(|h| h.fract() == 0.0)?;
    if parts.next().is_some() {
        return None;
    }
    Some(hours * 3600.0 + minutes * 60.0 + seconds).filter(|s| sound(*s))
}

/// Either of the two.
pub(super) fn seconds_or_clock(text: &str) -> Option<f64> {
    seconds(text).or_else(|| clock(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_finite_and_sane() {
        assert_eq!(seconds(" 12.5 "), Some(12.5));
        for bad in ["", "x", "-1", "nan", "inf", "1e999", "1e12", "1,5", "-0.1"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn clock_times_have_their_minutes_and_seconds_below_sixty() {
        assert_eq!(clock("00:01:02.25"), Some(62.25));
        assert_eq!(clock("01:02,5"), Some(62.5));
        assert_eq!(clock("100:00:00"), Some(360_000.0));
        for bad in
            ["5", "1:60", "1:61:00", "-1:00", "1:-2", "1:2:3:4", "a:b", "1e3:00", ":", "1.5:00"]
        {
            assert_eq!(clock(bad), None, "{bad}");
        }
    }
}
