//! What a session is at, for whoever watches over it: a thread that hangs can
//! tell nobody itself.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Who has hold of a session's thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Nobody: it waits for a frame.
    Rest,
    /// The model.
    Model,
    /// A sink.
    Sink,
}

/// The moments at which a session was last seen to move, on a monotonic clock.
#[derive(Debug)]
pub struct Pulse {
    begun: Instant,
    part: AtomicU8,
    /// Since when, as [`Pulse::now`].
    since: AtomicU64,
    frame: AtomicU64,
    prediction: AtomicU64,
    anew: AtomicU64,
    latency: AtomicU64,
    abandoned: AtomicBool,
}

impl Default for Pulse {
    fn default() -> Self {
        Pulse {
            begun: Instant::now(),
            part: AtomicU8::new(Part::Rest as u8),
            since: AtomicU64::new(0),
            frame: AtomicU64::new(0),
            prediction: AtomicU64::new(0),
            anew: AtomicU64::new(0),
            latency: AtomicU64::new(0),
            abandoned: AtomicBool::new(false),
        }
    }
}

impl Pulse {
    /// Nanoseconds since this began, and 1: 0 stands for never.
    fn now(&self) -> u64 {
        nanos(self.begun.elapsed()).saturating_add(1)
    }

    fn age(&self, of: &AtomicU64) -> Option<Duration> {
        let then = of.load(Ordering::Acquire);
        (then > 0).then(|| Duration::from_nanos(self.now().saturating_sub(then)))
    }

    /// A sampled frame came.
    pub(super) fn framed(&self) {
        self.frame.store(self.now(), Ordering::Release);
    }

    /// A prediction was made, so long after its frame.
    pub(super) fn predicted(&self, latency: Duration) {
        self.latency.store(nanos(latency), Ordering::Relaxed);
        self.prediction.store(self.now(), Ordering::Release);
    }

    /// The clip was begun anew.
    pub(super) fn began(&self) {
        self.anew.store(self.now(), Ordering::Release);
    }

    /// The thread goes over to `part`.
    pub(super) fn turn(&self, part: Part) {
        self.since.store(self.now(), Ordering::Release);
        self.part.store(part as u8, Ordering::Release);
    }

    /// Who has had hold of the session's thread for how long; `None` while it
    /// waits for a frame.
    pub fn busy(&self) -> Option<(Part, Duration)> {
        let part = match self.part.load(Ordering::Acquire) {
            part if part == Part::Model as u8 => Part::Model,
            part if part == Part::Sink as u8 => Part::Sink,
            _ => return None,
        };
        self.age(&self.since).map(|age| (part, age))
    }

    /// Age of the newest sampled frame; `None` before the first.
    pub fn frame_age(&self) -> Option<Duration> {
        self.age(&self.frame)
    }

    /// Age of the newest prediction; `None` before the first.
    pub fn prediction_age(&self) -> Option<Duration> {
        self.age(&self.prediction)
    }

    /// How long ago the clip was begun anew, at the start or later; `None` before.
    pub fn clip_age(&self) -> Option<Duration> {
        self.age(&self.anew)
    }

    /// From a frame's arrival to its prediction, of the newest; `None` before the
    /// first.
    pub fn latency(&self) -> Option<Duration> {
        self.prediction_age()?;
        Some(Duration::from_nanos(self.latency.load(Ordering::Relaxed)))
    }

    /// Gives the session up: should it ever go on, it ends without another word.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
    }

    /// Whether the session was given up.
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_who_has_hold_of_the_thread() {
        let pulse = Pulse::default();
        assert_eq!(pulse.busy(), None);
        pulse.turn(Part::Model);
        assert!(matches!(pulse.busy(), Some((Part::Model, _))));
        pulse.turn(Part::Sink);
        assert!(matches!(pulse.busy(), Some((Part::Sink, _))));
        pulse.turn(Part::Rest);
        assert_eq!(pulse.busy(), None);
    }

    #[test]
    fn ages_are_of_what_has_happened() {
        let pulse = Pulse::default();
        assert_eq!(
            (pulse.frame_age(), pulse.prediction_age(), pulse.latency()),
            (None, None, None)
        );
        pulse.framed();
        pulse.began();
        pulse.predicted(Duration::from_millis(7));
        assert_eq!(pulse.latency(), Some(Duration::from_millis(7)));
        assert!(pulse.frame_age() <= pulse.clip_age().map(|age| age + Duration::from_secs(60)));
    }
}
