//! Smoothing of the probabilities over time.

use std::time::Duration;

/// An exponential moving average in stream time: over `dt` seconds, the weight
/// of the past falls to 2^(-dt / half-life), whatever the hop.
pub(super) struct Smoother {
    half_life: Duration,
    values: Vec<f32>,
    last: Option<Duration>,
}

impl Smoother {
    pub fn new(half_life: Duration) -> Self {
        Smoother { half_life, values: Vec::new(), last: None }
    }

    /// Replaces `probabilities` at stream time `t` by their average so far.
    pub fn smooth(&mut self, t: Duration, probabilities: &mut [f32]) {
        match self.last {
            None => {
                self.values.clear();
                self.values.extend_from_slice(probabilities);
            }
            Some(last) => {
                let halvings = t.saturating_sub(last).as_secs_f64() / self.half_life.as_secs_f64();
                let past = (-halvings).exp2();
                for (mean, p) in self.values.iter_mut().zip(probabilities.iter()) {
                    *mean = (past * f64::from(*mean) + (1.0 - past) * f64::from(*p)) as f32;
                }
                probabilities.copy_from_slice(&self.values);
            }
        }
        self.last = Some(t);
    }

    /// Forgets the past.
    pub fn reset(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(smoother: &mut Smoother, seconds: f64, p: f32) -> f32 {
        let mut values = [p];
        smoother.smooth(Duration::from_secs_f64(seconds), &mut values);
        values[0]
    }

    #[test]
    fn the_past_weighs_half_after_a_half_life() {
        let mut smoother = Smoother::new(Duration::from_secs(2));
        assert_eq!(at(&mut smoother, 10.0, 1.0), 1.0);
        assert_eq!(at(&mut smoother, 12.0, 0.0), 0.5);
        assert_eq!(at(&mut smoother, 16.0, 0.0), 0.125);
    }

    #[test]
    fn many_small_steps_weigh_as_one_great_one() {
        let (mut fine, mut coarse) =
            (Smoother::new(Duration::from_secs(1)), Smoother::new(Duration::from_secs(1)));
        at(&mut fine, 0.0, 1.0);
        at(&mut coarse, 0.0, 1.0);
        let fine = (1..=8).map(|k| at(&mut fine, f64::from(k) / 8.0, 0.0)).last().unwrap();
        assert!((fine - at(&mut coarse, 1.0, 0.0)).abs() < 1e-6);
    }

    #[test]
    fn a_reset_forgets_the_past() {
        let mut smoother = Smoother::new(Duration::from_secs(2));
        at(&mut smoother, 0.0, 1.0);
        smoother.reset();
        assert_eq!(at(&mut smoother, 0.1, 0.25), 0.25);
    }
}
