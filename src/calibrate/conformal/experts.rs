//! The level (α) that follows what happens: ACI with one step size, DtACI with
//! several and trust in those that did well.

/// Experts, each of which moves its own level by its own step size.
///
/// One expert is adaptive conformal inference (ACI: Gibbs & Candès 2021,
/// arXiv 2106.00170, equation 2). Several are DtACI (Gibbs & Candès 2022,
/// arXiv 2208.08401, algorithm 1) in the form that takes the weighted mean of their
/// levels instead of drawing one: no randomness, so a run can be repeated.
#[derive(Clone, Debug)]
pub(super) struct Experts {
    target: f64,
    gammas: &'static [f64],
    only: [f64; 1],
    eta: f64,
    levels: Vec<f64>,
    weights: Vec<f64>,
}

/// DtACI's step sizes: the paper's own (section 4).
const GAMMAS: [f64; 8] = [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128];

/// |I|: over how many clips the experts are to do as well as the best of them.
const INTERVAL: f64 = 500.0;

/// σ = 1 / (2|I|): the share of trust that is spread anew at each step.
const SIGMA: f64 = 1.0 / (2.0 * INTERVAL);

impl Experts {
    /// `target` is the miscoverage wanted, in (0, 1).
    pub(super) fn aci(target: f64, gamma: f64) -> Self {
        Experts {
            target,
            gammas: &[],
            only: [gamma],
            eta: 0.0,
            levels: vec![target],
            weights: vec![1.0],
        }
    }

    pub(super) fn dtaci(target: f64) -> Self {
        let count = GAMMAS.len();
        // Section 3.2: the η that is best when β is uniform, where the expected
        // square of the loss is α²(1 − α)²/3.
        let square = (target * (1.0 - target)).powi(2) / 3.0;
        let eta = (((2.0 * count as f64 * INTERVAL).ln() + 1.0) / (INTERVAL * square)).sqrt();
        Experts {
            target,
            gammas: &GAMMAS,
            only: [0.0],
            eta,
            levels: vec![target; count],
            weights: vec![1.0 / count as f64; count],
        }
    }

    fn gammas(&self) -> &[f64] {
        if self.gammas.is_empty() { &self.only } else { self.gammas }
    }

    /// The level that they hold together. It may lie a little outside [0, 1].
    pub(super) fn level(&self) -> f64 {
        self.levels.iter().zip(&self.weights).map(|(level, weight)| level * weight).sum()
    }

    /// The mean of their step sizes, by trust.
    pub(super) fn gamma(&self) -> f64 {
        self.gammas().iter().zip(&self.weights).map(|(gamma, weight)| gamma * weight).sum()
    }

    /// Takes β of the next clip: each expert is judged by the pinball loss of its
    /// level, then moves it.
    pub(super) fn learn(&mut self, beta: f64) {
        let (target, eta) = (self.target, self.eta);
        let gammas = if self.gammas.is_empty() { &self.only[..] } else { self.gammas };
        for ((level, weight), gamma) in self.levels.iter_mut().zip(&mut self.weights).zip(gammas) {
            let ahead = beta - *level;
            let loss = target * ahead - ahead.min(0.0);
            *weight *= (-eta * loss).exp();
            let missed = if *level >= beta { 1.0 } else { 0.0 };
            *level += gamma * (target - missed);
        }
        let total: f64 = self.weights.iter().sum();
        let share = SIGMA / self.weights.len() as f64;
        for weight in &mut self.weights {
            *weight = (1.0 - SIGMA) * *weight / total + share;
        }
    }

    /// Levels, then weights.
    pub(super) fn state(&self) -> Vec<f64> {
        self.levels.iter().chain(&self.weights).copied().collect()
    }

    /// What [`state`](Self::state) gave; nothing changes where it does not fit.
    pub(super) fn restore(&mut self, state: &[f64]) -> Result<(), String> {
        let count = self.levels.len();
        let (levels, weights) = state.split_at_checked(count).unwrap_or_default();
        let steps = self.gammas().iter().copied().fold(0.0, f64::max);
        let sound = weights.len() == count
            && levels.iter().all(|level| (-steps..=1.0 + steps).contains(level))
            && weights.iter().all(|weight| (0.0..=1.0 + 1e-9).contains(weight))
            && (weights.iter().sum::<f64>() - 1.0).abs() < 1e-6;
        if !sound {
            return Err("levels or weights of a prediction set are impossible".to_owned());
        }
        self.levels.copy_from_slice(levels);
        self.weights.copy_from_slice(weights);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_miss_lowers_the_level_and_a_hit_raises_it() {
        let mut experts = Experts::aci(0.1, 0.02);
        experts.learn(0.05);
        assert!((experts.level() - (0.1 - 0.02 * 0.9)).abs() < 1e-15);
        experts.learn(1.0);
        assert!((experts.level() - (0.1 - 0.02 * 0.9 + 0.02 * 0.1)).abs() < 1e-15);
    }

    #[test]
    fn eta_is_the_papers() {
        assert!((Experts::dtaci(0.1).eta - 2.72).abs() < 0.005);
    }

    #[test]
    fn fast_experts_win_when_the_world_moves_and_slow_ones_when_it_rests() {
        let mut rest = Experts::dtaci(0.1);
        let mut moving = Experts::dtaci(0.1);
        for i in 0..5000u32 {
            let uniform = f64::from(i * 617 % 1000) / 1000.0;
            rest.learn(uniform);
            // β swings between very good and very bad times.
            moving.learn(if i / 150 % 2 == 0 { uniform * 0.1 } else { 0.5 + uniform / 2.0 });
        }
        assert!(moving.gamma() > 2.0 * rest.gamma(), "{} {}", moving.gamma(), rest.gamma());
        assert!((rest.level() - 0.1).abs() < 0.02, "{}", rest.level());
    }
}
