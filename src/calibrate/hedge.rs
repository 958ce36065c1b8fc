//! Several ways to calibrate side by side, each trusted by what it foresaw.

use super::state::Numbers;

/// A loss counts for at most this much more than the least, nats.
const MOST_REGRET: f64 = 8.0;
/// So much of all trust is given out anew with each effective sample: what was
/// wrong for long can yet be trusted soon after a change.
const SHARE: f64 = 0.0002;
/// A long look that falls this far behind a short one (nats) looks back across a
/// change.
const OUTDATED: f64 = 5.0;

/// Exponential weights over experts with a fixed share (Herbster & Warmuth,
/// "Tracking the Best Expert", Machine Learning 32, 1998; Cesa-Bianchi & Lugosi,
/// "Prediction, Learning, and Games", 2006, section 5.2): each is trusted by how
/// well it foresaw the samples since the last change, wherever that was. With the
/// negative log-likelihood for a loss this is Bayes' rule, were a change to come
/// once in 1 / SHARE samples. One of the experts being the model as it is,
/// calibrating cannot stay worse than not calibrating.
#[derive(Clone, Debug)]
pub(super) struct Hedge {
    /// Sums to one, as the weights do.
    prior: Vec<f64>,
    /// How the trust that is given out anew is shared; sums to one.
    fresh: Vec<f64>,
    weights: Vec<f64>,
}

impl Hedge {
    /// With the trust that each has before anything is known, in any unit.
    pub fn new(prior: &[f64]) -> Self {
        Hedge::sharing(prior, prior)
    }

    /// The same, with the trust that is given out anew shared like `fresh`.
    pub fn sharing(prior: &[f64], fresh: &[f64]) -> Self {
        let (prior, fresh) = (shares(prior), shares(fresh));
        Hedge { weights: prior.clone(), prior, fresh }
    }

    /// How far each is trusted; sums to one.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Takes each one's loss (nats) for a sample that it had not seen, with the
    /// sample's evidence, 0 to 1. Losses that are no numbers change nothing.
    pub fn learn(&mut self, losses: &[f64], evidence: f64) {
        if !losses.iter().all(|loss| loss.is_finite()) {
            return;
        }
        let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
        for (weight, loss) in self.weights.iter_mut().zip(losses) {
            *weight *= (-evidence * (loss - least).min(MOST_REGRET)).exp();
        }
        self.level();
        let share = SHARE * evidence;
        for (weight, fresh) in self.weights.iter_mut().zip(&self.fresh) {
            *weight += share * (fresh - *weight);
        }
    }

    /// Whether the expert `long` has fallen so far behind `short` that what it
    /// remembers besides is of another time.
    pub fn outdated(&self, long: usize, short: usize) -> bool {
        // What each has gained on what it was trusted with at first.
        let gained = |at: usize| Some((self.weights.get(at)? / self.prior.get(at)?).ln());
        match (gained(long), gained(short)) {
            (Some(long), Some(short)) => short - long > OUTDATED,
            _ => false,
        }
    }

    /// The expert `long` has become what `short` is, and is trusted like it.
    pub fn renew(&mut self, long: usize, short: usize) {
        if let (Some(weight), Some(from), Some(to)) =
            (self.weights.get(short), self.prior.get(short), self.prior.get(long))
        {
            let like = weight / from * to;
            if let Some(long) = self.weights.get_mut(long) {
                *long = like;
            }
            self.level();
        }
    }

    /// Makes the weights sum to one again.
    fn level(&mut self) {
        let sum: f64 = self.weights.iter().sum();
        if sum > 0.0 && sum.is_finite() {
            self.weights.iter_mut().for_each(|weight| *weight /= sum);
        } else {
            self.reset();
        }
    }

    /// Forgets what was foreseen.
    pub fn reset(&mut self) {
        self.weights.clone_from(&self.prior);
    }

    pub fn write(&self, out: &mut Vec<f64>) {
        out.extend(&self.weights);
    }

    pub fn read(&mut self, numbers: &mut Numbers<'_>) -> Option<()> {
        numbers.fill(&mut self.weights, 0.0, 1.0)?;
        // Every expert has at least its share of what is given out.
        self.weights.iter().all(|weight| *weight > 0.0).then_some(())
    }
}

fn shares(trust: &[f64]) -> Vec<f64> {
    let sum: f64 = trust.iter().sum();
    trust.iter().map(|trust| trust / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_moves_to_the_best_and_back_soon_after_it_changes() {
        let mut hedge = Hedge::new(&[1.0, 3.0]);
        assert_eq!(hedge.weights(), [0.25, 0.75]);
        for _ in 0..10_000 {
            hedge.learn(&[0.5, 1.0], 1.0);
        }
        assert!(hedge.weights()[0] > 0.99, "{:?}", hedge.weights());
        let mut samples = 0;
        while hedge.weights()[1] < 0.5 {
            hedge.learn(&[1.0, 0.5], 1.0);
            samples += 1;
        }
        assert!((10..30).contains(&samples), "{samples}");
    }

    #[test]
    fn a_long_look_is_outdated_when_a_short_one_foresees_clearly_more() {
        let mut hedge = Hedge::new(&[1.0, 1.0]);
        (0..9).for_each(|_| hedge.learn(&[1.0, 0.5], 1.0));
        assert!(!hedge.outdated(0, 1));
        (0..4).for_each(|_| hedge.learn(&[1.0, 0.5], 1.0));
        assert!(hedge.outdated(0, 1) && !hedge.outdated(1, 0));
        hedge.renew(0, 1);
        assert_eq!(hedge.weights(), [0.5, 0.5]);
    }

    #[test]
    fn a_loss_that_is_no_number_changes_nothing() {
        let mut hedge = Hedge::new(&[1.0, 1.0]);
        hedge.learn(&[f64::NAN, 1.0], 1.0);
        hedge.learn(&[f64::INFINITY, 1.0], 1.0);
        assert_eq!(hedge.weights(), [0.5, 0.5]);
    }
}
