//! The newest scores, in order of size.

use std::collections::VecDeque;

/// The probabilities that the truth was given, of the newest clips. A score of the
/// papers is 1 − p; p itself is kept, because 1 − p would round.
#[derive(Clone, Debug)]
pub(super) struct Window {
    capacity: usize,
    arrived: VecDeque<f32>,
    /// The same values, ascending.
    sorted: Vec<f32>,
}

impl Window {
    pub(super) fn new(capacity: usize) -> Self {
        Window {
            capacity,
            arrived: VecDeque::with_capacity(capacity),
            sorted: Vec::with_capacity(capacity),
        }
    }

    /// Takes one probability, finite; the oldest goes when the window is full.
    pub(super) fn push(&mut self, p: f32) {
        while self.arrived.len() >= self.capacity.max(1) {
            self.forget_oldest();
        }
        self.arrived.push_back(p);
        self.sorted.insert(self.below(p), p);
    }

    /// Only the newest `count` stay.
    pub(super) fn keep_newest(&mut self, count: usize) {
        while self.arrived.len() > count {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.arrived.pop_front() {
            let place = self.below(oldest);
            if place < self.sorted.len() {
                self.sorted.remove(place);
            }
        }
    }

    fn below(&self, p: f32) -> usize {
        self.sorted.partition_point(|&held| held < p)
    }

    /// β (Gibbs & Candès 2022, section 2): the greatest level whose set would
    /// still have held a truth of probability `p`. In (0, 1].
    pub(super) fn beta(&self, p: f32) -> f64 {
        let better = self.sorted.len() - self.sorted.partition_point(|&held| held <= p);
        1.0 - better as f64 / (self.sorted.len() + 1) as f64
    }

    /// The least probability that gets into a set at `level`: that of the score at
    /// rank ⌈(1 − level)(n + 1)⌉. −∞ (everything gets in) where that rank is
    /// beyond the window, +∞ (nothing) from level 1 on.
    pub(super) fn threshold(&self, level: f64) -> f32 {
        let count = self.sorted.len();
        // A product that rounded up must not become the next rank.
        let rank = ((1.0 - level) * (count + 1) as f64 - 1e-9).ceil();
        if rank < 1.0 {
            return f32::INFINITY;
        }
        count
            .checked_sub(rank as usize)
            .and_then(|place| self.sorted.get(place))
            .copied()
            .unwrap_or(f32::NEG_INFINITY)
    }

    /// Oldest first.
    pub(super) fn values(&self) -> impl Iterator<Item = f32> {
        self.arrived.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_is_the_quantile_of_split_conformal_prediction() {
        let mut window = Window::new(9);
        assert_eq!(window.threshold(0.1), f32::NEG_INFINITY, "nothing is known: all get in");
        for tenth in [5, 1, 9, 3, 7, 2, 8, 4, 6] {
            window.push(tenth as f32 / 10.0);
        }
        // Of 9 scores the ceil(0.9 * 10) = 9th smallest: the least probability.
        assert_eq!(window.threshold(0.1), 0.1);
        assert_eq!(window.threshold(0.2), 0.2);
        assert_eq!(window.threshold(0.05), f32::NEG_INFINITY);
        assert_eq!(window.threshold(-0.5), f32::NEG_INFINITY);
        assert_eq!(window.threshold(1.0), f32::INFINITY);
    }

    #[test]
    fn beta_is_the_greatest_level_whose_set_holds_it() {
        let mut window = Window::new(20);
        for i in 0..20u8 {
            window.push(f32::from(i * 7 % 20) / 20.0);
        }
        for p in [0.0, 0.12, 0.35, 0.5, 0.951] {
            let beta = window.beta(p);
            assert!(p >= window.threshold(beta - 1e-6), "{p} is in just below {beta}");
            assert!(p < window.threshold(beta + 1e-6), "{p} is out just above {beta}");
        }
    }

    #[test]
    fn the_oldest_leave() {
        let mut window = Window::new(3);
        for p in [0.9, 0.1, 0.5, 0.5, 0.7] {
            window.push(p);
        }
        assert_eq!(window.values().collect::<Vec<_>>(), [0.5, 0.5, 0.7]);
        assert_eq!(window.sorted, [0.5, 0.5, 0.7]);
        window.keep_newest(1);
        assert_eq!(window.sorted, [0.7]);
    }
}
