//! Playing a recording at the speed at which it was made.

use std::time::{Duration, Instant};

/// How fast a recording is played. Both give the same sampled frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As it was recorded.
    RealTime,
    /// As fast as it decodes.
    Fast,
}

/// Says when each picture is due. A jump of PTS is not waited for: the clock
/// is set anew there.
pub(crate) struct Pacer {
    max_gap: u64,
    /// A PTS (ns) and the moment at which it was due.
    anchor: Option<(u64, Instant)>,
    last: u64,
}

impl Pacer {
    pub fn new(max_gap: Duration) -> Self {
        Pacer {
            max_gap: u64::try_from(max_gap.as_nanos()).unwrap_or(u64::MAX),
            anchor: None,
            last: 0,
        }
    }

    /// When the picture with this PTS (ns) is due.
    pub fn due(&mut self, pts: u64, now: Instant) -> Instant {
        let jumped = pts < self.last || pts - self.last > self.max_gap;
        self.last = pts;
        match self.anchor {
            Some((origin, since)) if !jumped => {
                since + Duration::from_nanos(pts.saturating_sub(origin))
            }
            _ => {
                self.anchor = Some((pts, now));
                now
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_due_as_far_apart_as_their_pts() {
        let start = Instant::now();
        let mut pacer = Pacer::new(Duration::from_secs(1));
        assert_eq!(pacer.due(5_000, start), start);
        let late = start + Duration::from_secs(9);
        assert_eq!(
            pacer.due(1_005_000, late),
            start + Duration::from_millis(1),
            "no drift when late"
        );
        assert_eq!(pacer.due(9_000_000_000, late), late, "a jump is not waited for");
        assert_eq!(pacer.due(9_500_000_000, late), late + Duration::from_millis(500));
        assert_eq!(pacer.due(1, late), late);
    }
}
