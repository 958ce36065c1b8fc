//! How long a source may be silent before it is taken for lost: by its own
//! frame rate, so that a camera of one picture a minute is not.

use std::time::Duration;

/// So many of a source's own intervals may pass without a picture.
const INTERVALS: u32 = 6;
/// However slow a source seems, it is not waited for longer.
const LONGEST: Duration = Duration::from_secs(3_600);
/// To this the patience grows with a source of which only single pictures came,
/// so that nobody knows its rate.
const LONGEST_GUESS: Duration = Duration::from_secs(600);
/// What an interval weighs against those before it.
const WEIGHT: f64 = 0.1;

/// What is known of one source's rate, over all its connections.
#[derive(Clone, Debug)]
pub(crate) struct Patience {
    floor: Duration,
    /// Between two pictures; falls slowly and rises at once.
    interval: Option<Duration>,
    /// What is waited after a single picture, where that is all that ever came.
    guess: Duration,
}

impl Patience {
    /// `floor` is the configured `timeout`.
    pub fn new(floor: Duration) -> Self {
        Patience { floor, interval: None, guess: floor }
    }

    /// The source says that it has such an interval.
    pub fn announced(&mut self, interval: Duration) {
        self.interval.get_or_insert(interval);
    }

    /// So many pictures came within `time`.
    pub fn saw(&mut self, pictures: u64, time: Duration) {
        let each = time.div_f64(pictures.max(1) as f64);
        self.interval = Some(match self.interval {
            Some(known) if each < known => known.mul_f64(1.0 - WEIGHT) + each.mul_f64(WEIGHT),
            _ => each,
        });
    }

    /// A connection was given up of which a single picture came: it may have been
    /// too early.
    pub fn only_one(&mut self) {
        if self.interval.is_none() {
            self.guess = self.guess.saturating_mul(2).min(LONGEST_GUESS.max(self.floor));
        }
    }

    /// How long to wait for the next picture; `any` says whether this connection
    /// gave one yet.
    pub fn limit(&self, any: bool) -> Duration {
        match self.interval {
            Some(interval) => {
                interval.saturating_mul(INTERVALS).min(LONGEST.max(self.floor)).max(self.floor)
            }
            None if any => self.guess,
            None => self.floor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_timeout_is_the_floor_and_the_rate_rules_above_it() {
        let mut patience = Patience::new(10 * SECOND);
        assert_eq!(patience.limit(false), 10 * SECOND);
        patience.saw(25, SECOND);
        assert_eq!(patience.limit(true), 10 * SECOND);
        patience.saw(1, 60 * SECOND);
        assert_eq!(patience.limit(true), 360 * SECOND);
        // Two hours between two pictures: somebody stopped the camera.
        patience.saw(1, 7_200 * SECOND);
        assert_eq!(patience.limit(true), LONGEST);
        // It becomes fast again within some pictures.
        (0..200).for_each(|_| patience.saw(1, SECOND / 25));
        assert_eq!(patience.limit(true), 10 * SECOND);
    }

    #[test]
    fn single_pictures_teach_patience() {
        let mut patience = Patience::new(10 * SECOND);
        (0..3).for_each(|_| patience.only_one());
        assert_eq!((patience.limit(true), patience.limit(false)), (80 * SECOND, 10 * SECOND));
        (0..30).for_each(|_| patience.only_one());
        assert_eq!(patience.limit(true), LONGEST_GUESS);
        patience.saw(1, 60 * SECOND);
        assert_eq!(patience.limit(true), 360 * SECOND);
    }
}
