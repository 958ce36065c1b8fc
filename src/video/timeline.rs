//! The stream's own time, over all connections of a live source: it never goes
//! back, and a gap in it is as long as the outage was.

use std::time::{Duration, Instant};

use crate::video::{Frame, Reset};

/// Two connections lie at least so far apart.
const STEP: Duration = Duration::from_millis(1);

/// Places the frames of one connection after those of the one before it.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    /// A time on the connection's clock, and the stream's time then.
    base: (Duration, Duration),
    /// The newest frame's time, and when it arrived.
    last: Option<(Duration, Instant)>,
    broken: bool,
}

impl Timeline {
    /// The next frame comes over another connection.
    pub fn reconnect(&mut self) {
        self.broken = true;
    }

    /// Gives the frame its place; see [`Frame::tick_time`] and [`Frame::reset`].
    pub fn place(&mut self, frame: &mut Frame) {
        let begins_anew = self.broken || frame.reset == Some(Reset::Backwards);
        if let (true, Some((time, arrived))) = (begins_anew, self.last) {
            let passed = frame.arrived.saturating_duration_since(arrived).max(STEP);
            self.base = (frame.tick_time, time.saturating_add(passed));
            if self.broken {
                frame.reset = Some(Reset::Reconnect);
            }
        }
        self.broken = false;
        let (from, to) = self.base;
        let moved = |time: Duration| time.saturating_add(to).saturating_sub(from);
        (frame.tick_time, frame.pts) = (moved(frame.tick_time), moved(frame.pts));
        self.last = Some((frame.tick_time, frame.arrived));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::Colour;

    fn frame(begun: Instant, tick: u64, arrived: u64, reset: Option<Reset>) -> Frame {
        Frame {
            tick_time: Duration::from_millis(tick),
            pts: Duration::from_millis(tick + 3),
            arrived: begun + Duration::from_millis(arrived),
            reset,
            ..Frame::new(Colour::Gray)
        }
    }

    #[test]
    fn time_goes_on_over_an_outage_and_a_step_back() {
        let begun = Instant::now();
        let mut timeline = Timeline::default();
        let mut seen = Vec::new();
        for (tick, arrived, reset, reconnect) in [
            (0, 100, Some(Reset::Start), true),
            (125, 225, None, false),
            // Away for a minute; the new connection's clock begins anywhere.
            (7, 60_225, Some(Reset::Start), true),
            (132, 60_350, None, false),
            // The camera's clock was set back.
            (20, 60_500, Some(Reset::Backwards), false),
            (145, 60_625, None, false),
            // Two connections in the same instant.
            (0, 60_625, Some(Reset::Start), true),
        ] {
            if reconnect {
                timeline.reconnect();
            }
            let mut frame = frame(begun, tick, arrived, reset);
            timeline.place(&mut frame);
            assert_eq!(frame.pts, frame.tick_time + Duration::from_millis(3));
            seen.push((frame.tick_time.as_millis(), frame.reset));
        }
        let (reconnect, backwards) = (Some(Reset::Reconnect), Some(Reset::Backwards));
        assert_eq!(
            seen,
            [
                (0, Some(Reset::Start)),
                (125, None),
                (60_125, reconnect),
                (60_250, None),
                (60_400, backwards),
                (60_525, None),
                (60_526, reconnect),
            ]
        );
    }
}
