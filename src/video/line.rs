//! A connection and how long it has been silent.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::video::patience::Patience;
use crate::video::{Connection, Health, Pulse};

/// A look that comes later than this counts for no more: while the process was
/// stopped, or the machine too busy, nobody can say that a source was silent.
const LAPSE: Duration = Duration::from_millis(250);
/// After a look that comes so late the next interval between two pictures tells
/// nothing of the source's rate: the process stood still.
const STOOD_STILL: Duration = Duration::from_secs(1);

/// A connection that is watched.
pub(crate) struct Line {
    /// Which of the stream's sources it leads to.
    pub source: usize,
    pub connection: Box<dyn Connection>,
    pulse: Pulse,
    looked: Instant,
    /// The process stood still since the last picture.
    stood_still: bool,
    /// For how long nobody saw a picture come.
    quiet: Duration,
    /// Since when pictures come.
    live_since: Option<Instant>,
}

impl Line {
    pub fn new(source: usize, connection: Box<dyn Connection>, now: Instant) -> Self {
        Line {
            source,
            connection,
            pulse: Pulse::default(),
            looked: now,
            stood_still: false,
            quiet: Duration::ZERO,
            live_since: None,
        }
    }

    /// Whether pictures came.
    pub fn gave(&self) -> bool {
        self.live_since.is_some()
    }

    /// For how long pictures have come.
    pub fn lived(&self, now: Instant) -> Duration {
        self.live_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// So many pictures came.
    pub fn pictures(&self) -> u64 {
        self.pulse.pictures
    }

    /// Looks what came, and notes it in `health` if this is the line in use.
    ///
    /// # Errors
    /// The source was silent for too long.
    pub fn look(
        &mut self,
        now: Instant,
        patience: &mut Patience,
        health: Option<&Health>,
    ) -> Result<(), Error> {
        let before = std::mem::replace(&mut self.pulse, self.connection.pulse());
        let new = self.pulse.pictures.saturating_sub(before.pictures);
        let unseen = now.saturating_duration_since(self.looked);
        self.quiet += unseen.min(LAPSE);
        self.stood_still |= unseen > STOOD_STILL;
        self.looked = now;
        if let (1.., Some(newest)) = (new, self.pulse.newest) {
            match before.newest {
                Some(_) if self.stood_still => {}
                Some(before) => patience.saw(new, newest.saturating_duration_since(before)),
                None => self.pulse.announced.into_iter().for_each(|time| patience.announced(time)),
            }
            self.quiet = Duration::ZERO;
            self.stood_still = false;
            self.live_since.get_or_insert(now);
            if let Some(health) = health {
                health.saw(new, newest);
                health.live();
            }
        }
        // A recording stands still while nobody takes its pictures.
        let live = self.connection.live();
        let limit = patience.limit(self.gave());
        if let Some(health) = health {
            health.dropped(self.pulse.dropped.saturating_sub(before.dropped));
            health.looked(live.then_some(limit));
            if self.gave() && self.quiet > limit / 2 && live {
                health.stalled(&format!("no picture for {:.0} s", self.quiet.as_secs_f64()));
            }
        }
        if self.quiet <= limit || !live {
            return Ok(());
        }
        if self.pulse.pictures == 1 {
            patience.only_one();
        }
        Err(self.connection.overdue(limit))
    }
}
