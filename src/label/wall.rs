//! Times of day as labels write them.

use jiff::Timestamp;

/// The end of the year 9999, in seconds since 1970. A larger number counts
/// something else, such as milliseconds.
const LATEST: f64 = 253_402_300_800.0;
/// March 1973. A smaller number is taken for a time on the stream's own clock;
/// RFC 3339 may name an earlier time, as a board without a battery does.
const EARLIEST: f64 = 1e8;

const EXPECTED: &str =
    "expected RFC 3339 with its offset, such as 2026-11-22T09:30:02.5Z, or seconds since 1970";

/// Whether a number of seconds since 1970 can be a time of day.
pub(super) fn sound(seconds: f64) -> bool {
    (0.0..LATEST).contains(&seconds)
}

/// A time of day in seconds since 1970, from RFC 3339 or from a number that is
/// multiplied with `scale` to be such seconds.
pub(super) fn from_text(text: &str, scale: f64) -> Result<f64, String> {
    let text = text.trim();
    match text.parse::<f64>() {
        Ok(number) => from_number(number * scale),
        Err(_) => {
            from_rfc3339(text).ok_or_else(|| format!("\"{text}\" is no time of day; {EXPECTED}"))
        }
    }
}

/// A number of seconds since 1970, if it can be one.
pub(super) fn from_number(seconds: f64) -> Result<f64, String> {
    if (EARLIEST..LATEST).contains(&seconds) {
        return Ok(seconds);
    }
    let hint = if (EARLIEST..LATEST).contains(&(seconds / 1e3)) {
        ", not milliseconds"
    } else if (0.0..EARLIEST).contains(&seconds) {
        "; a time on the stream's own clock has clock \"stream\""
    } else {
        ""
    };
    Err(format!("{seconds} is no time of day; {EXPECTED}{hint}"))
}

/// Seconds since 1970; none if the text is not RFC 3339 or before 1970.
///
/// The whole of the format (RFC 3339, 5.6), read here: a library's parser for it
/// reads a dozen more and is fifty times this size.
pub(super) fn from_rfc3339(text: &str) -> Option<f64> {
    let mut rest = text.trim().as_bytes();
    let year = digits(&mut rest, 4)?;
    let month = after(&mut rest, b"-").and_then(|()| digits(&mut rest, 2))?;
    let day = after(&mut rest, b"-").and_then(|()| digits(&mut rest, 2))?;
    after(&mut rest, b"Tt ")?;
    let hour = digits(&mut rest, 2)?;
    let minute = after(&mut rest, b":").and_then(|()| digits(&mut rest, 2))?;
    // Sixty is a leap second: the first of the next minute.
    let second = after(&mut rest, b":").and_then(|()| digits(&mut rest, 2))?;
    let mut fraction = 0.0;
    if after(&mut rest, b".").is_some() {
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (written, behind) = rest.split_at_checked(length)?;
        fraction = format!("0.{}", std::str::from_utf8(written).ok()?).parse().ok()?;
        rest = behind;
        if length == 0 {
            return None;
        }
    }
    let offset = match rest {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), behind @ ..] => {
            rest = behind;
            let hours = digits(&mut rest, 2).filter(|hours| *hours < 24)?;
            let minutes = after(&mut rest, b":").and_then(|()| digits(&mut rest, 2))?;
            let ends = rest.is_empty() && minutes < 60;
            let seconds = ends.then_some(hours * 3600 + minutes * 60)?;
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days(year, month, day)? * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some(seconds as f64 + fraction).filter(|seconds| sound(*seconds))
}

/// Takes a number of so many digits.
fn digits(rest: &mut &[u8], count: usize) -> Option<i64> {
    let (number, behind) = rest.split_at_checked(count)?;
    *rest = behind;
    number.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'))
    })
}

/// Takes one of these bytes, if one is next.
fn after(rest: &mut &[u8], one_of: &[u8]) -> Option<()> {
    let (first, behind) = rest.split_first()?;
    if !one_of.contains(first) {
        return None;
    }
    *rest = behind;
    Some(())
}

/// Days from 1970 to a day of the Gregorian calendar; none if there is no such day.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let february = if leap { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let month = usize::try_from(month - 1).ok()?;
    if day < 1 || day > *months.get(month)? {
        return None;
    }
    let past = year - 1;
    let leap_days = past / 4 - past / 100 + past / 400;
    // 719,162 days lie before 1970.
    Some(past * 365 + leap_days - 719_162 + months.iter().take(month).sum::<i64>() + day - 1)
}

/// RFC 3339 with milliseconds, in UTC; the number itself where it is no time.
pub(super) fn text(seconds: f64) -> String {
    match Timestamp::from_millisecond((seconds * 1e3).round() as i64) {
        Ok(stamp) if sound(seconds) => format!("{stamp:.3}"),
        _ => seconds.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_are_read_with_their_offset_or_as_seconds() {
        assert_eq!(from_text("2026-11-22T09:30:02.5Z", 1.0), Ok(1_795_339_802.5));
        assert_eq!(from_text(" 2026-11-22T10:30:02.5+01:00 ", 1.0), Ok(1_795_339_802.5));
        assert_eq!(from_text("1795339802.5", 1.0), Ok(1_795_339_802.5));
        assert_eq!(from_text("1795339802500", 1e-3), Ok(1_795_339_802.5));
        assert_eq!(from_text("1970-01-01T00:00:03Z", 1.0), Ok(3.0));
        assert_eq!(text(1_795_339_802.5), "2026-11-22T09:30:02.500Z");
        assert_eq!(text(f64::INFINITY), "inf");
    }

    #[test]
    fn every_day_is_where_the_calendar_library_has_it() {
        // A step that comes by every day of the year, hour and second.
        for second in (0..LATEST as i64).step_by(86_400 * 13 + 3_607) {
            let stamp = Timestamp::from_second(second).unwrap();
            assert_eq!(from_rfc3339(&stamp.to_string()), Some(second as f64), "{stamp}");
        }
        for day in
            ["2026-02-29", "1900-02-29", "2026-04-31", "2026-13-01", "2026-00-10", "2026-01-00"]
        {
            assert_eq!(from_rfc3339(&format!("{day}T00:00:00Z")), None, "{day}");
        }
        assert!(from_rfc3339("2000-02-29t00:00:00z").is_some());
    }

    #[test]
    fn all_of_the_format_and_nothing_else_is_read() {
        let noon = from_rfc3339("2026-11-22T12:00:00Z");
        for text in [
            "2026-11-22 12:00:00z",
            "2026-11-22T12:00:00.000000000000Z",
            "2026-11-22T12:00:00-00:00",
            "2026-11-22T17:45:00+05:45",
            "2026-11-21T12:01:00-23:59",
            "2026-11-22T11:59:60Z",
        ] {
            assert_eq!(from_rfc3339(text), noon, "{text}");
        }
        for text in [
            "2026-11-22",
            "2026-11-22T12:00Z",
            "2026-11-22T12:00:00",
            "2026-11-22T12:00:00.Z",
            "2026-11-22T12:00:00,5Z",
            "2026-11-22T12:00:00Zulu",
            "2026-11-22T12:00:00+0100",
            "2026-11-22T12:00:00+01:00 ago",
            "2026-11-22T12:00:00+24:00",
            "2026-11-22T12:00:00+01:60",
            "2026-11-22T24:00:00Z",
            "2026-11-22T12:60:00Z",
            "2026-11-22T12:00:61Z",
            "+026-11-22T12:00:00Z",
            "2026-1-22T12:00:00Z",
            "２０２６-11-22T12:00:00Z",
        ] {
            assert_eq!(from_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_of_day_is_refused_with_what_was_probably_meant() {
        for (text, why) in [
            ("2026-11-22T09:30:02", "with its offset"),
            ("yesterday", "RFC 3339"),
            ("", "RFC 3339"),
            ("12.5", "clock \"stream\""),
            ("1795339802500", "not milliseconds"),
            ("-5", "no time of day"),
            ("nan", "no time of day"),
            ("inf", "no time of day"),
            ("1969-12-31T23:59:59Z", "no time of day"),
        ] {
            let fault = from_text(text, 1.0).unwrap_err();
            assert!(fault.contains(why), "{text}: {fault}");
        }
    }
}
