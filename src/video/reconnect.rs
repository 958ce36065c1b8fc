//! When a lost source is tried again: the `reconnect` table of a stream.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::duration::HumanDuration;

/// The `reconnect` table. See `docs/config.md`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReconnectOptions {
    /// The wait before the first try after a loss; each further one is twice as long.
    pub first: HumanDuration,
    /// No wait is longer.
    pub longest: HumanDuration,
    /// A source that lived for so long begins with the first wait again.
    pub healthy: HumanDuration,
    /// By what part of itself a wait is shortened at most, at random, so that
    /// not every stream comes back at the same moment: 0 to 1.
    pub jitter: f64,
    /// How long a fallback is used before the sources before it are tried again,
    /// beside it.
    pub prefer_after: HumanDuration,
}

impl Default for ReconnectOptions {
    fn default() -> Self {
        ReconnectOptions {
            first: HumanDuration::seconds(1),
            longest: HumanDuration::seconds(60),
            healthy: HumanDuration::seconds(30),
            jitter: 0.2,
            prefer_after: HumanDuration::seconds(60),
        }
    }
}

impl ReconnectOptions {
    /// # Errors
    /// The key that is wrong, and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let shortest = Duration::from_millis(10);
        let no = |key, fault: &str| Err((key, fault.to_owned()));
        if self.first.0 < shortest {
            return no("first", "shorter than 10 ms; expected something like \"1 s\"");
        }
        if self.longest < self.first {
            return no("longest", "shorter than first; expected at least as long a time");
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return no("jitter", "out of range; expected a number from 0 to 1");
        }
        if self.prefer_after.0 < shortest {
            return no("prefer_after", "shorter than 10 ms; expected something like \"60 s\"");
        }
        Ok(())
    }
}

/// Waits that double.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    jitter: f64,
    next: Duration,
    random: RandomState,
    drawn: u64,
}

impl Backoff {
    pub fn new(first: Duration, longest: Duration, jitter: f64) -> Self {
        let random = RandomState::new();
        Backoff { first, longest: longest.max(first), jitter, next: first, random, drawn: 0 }
    }

    /// The next wait: never more than its turn, and less by the jitter at most.
    pub fn wait(&mut self) -> Duration {
        let turn = self.next;
        self.next = turn.saturating_mul(2).min(self.longest);
        self.drawn += 1;
        let mut hasher = self.random.build_hasher();
        hasher.write_u64(self.drawn);
        let part = (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64;
        turn.mul_f64(1.0 - self.jitter * part)
    }

    /// The longest wait, from now on, until [`reset`](Self::reset).
    pub fn slow_down(&mut self) {
        self.next = self.longest;
    }

    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_the_longest_and_begin_again() {
        let second = Duration::from_secs(1);
        let mut exact = Backoff::new(second, 60 * second, 0.0);
        let waits: Vec<u64> = (0..8).map(|_| exact.wait().as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        exact.reset();
        assert_eq!(exact.wait(), second);
    }

    #[test]
    fn jitter_shortens_and_two_streams_differ() {
        let second = Duration::from_secs(1);
        let mut one = Backoff::new(second, second, 0.2);
        let mut other = Backoff::new(second, second, 0.2);
        let draw = |b: &mut Backoff| (0..100).map(|_| b.wait()).collect::<Vec<_>>();
        let (one, other) = (draw(&mut one), draw(&mut other));
        assert!(one.iter().all(|w| (800..=1_000).contains(&w.as_millis())), "{one:?}");
        let spread = *one.iter().max().unwrap() - *one.iter().min().unwrap();
        assert!(spread > Duration::from_millis(100), "{spread:?}");
        assert_ne!(one, other);
    }
}
