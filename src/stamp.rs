//! Wall-clock stamps.

use std::time::SystemTime;

use jiff::Timestamp;

/// RFC 3339 with milliseconds, UTC: `2026-11-22T09:30:02.412Z`.
pub fn rfc3339(time: SystemTime) -> String {
    // A clock beyond the year 9999 is broken; its stamp must not stop a stream.
    let stamp = Timestamp::try_from(time).unwrap_or(Timestamp::MAX);
    format!("{stamp:.3}")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn stamps_carry_milliseconds() {
        assert_eq!(
            rfc3339(UNIX_EPOCH + Duration::from_micros(1_500_000)),
            "1970-01-01T00:00:01.500Z"
        );
        assert_eq!(rfc3339(UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
    }
}
