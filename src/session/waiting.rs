//! Predictions whose labels have not come yet.

use std::collections::VecDeque;

use crate::label::ClipTime;

/// The most memory that the waiting predictions of one stream may take, bytes.
const MEMORY: usize = 32 << 20;

/// One prediction, as it was made.
pub(super) struct Predicted {
    pub clip: ClipTime,
    /// What the network gave.
    pub values: Box<[f32]>,
    /// The calibrated probabilities.
    pub probabilities: Box<[f32]>,
    /// Multi-label: from where on a class counts as predicted.
    pub thresholds: Option<Box<[f64]>>,
    /// The prediction set, where there was one.
    pub set: Option<Box<[usize]>>,
    /// The class that was named: the most probable after smoothing.
    pub best: usize,
}

/// Predictions in the order in which they were made, oldest first; bounded.
pub(super) struct Waiting {
    predictions: VecDeque<Predicted>,
    capacity: usize,
}

impl Waiting {
    /// For predictions over `classes` classes.
    pub fn new(classes: usize) -> Self {
        // Two floats and a threshold a class, at most a whole set, and the frame
        // around them.
        let each = classes * (2 * size_of::<f32>() + size_of::<f64>() + size_of::<usize>()) + 128;
        Waiting { predictions: VecDeque::new(), capacity: (MEMORY / each).max(1) }
    }

    /// Takes one, and gives back the oldest where there is no room for both.
    pub fn push(&mut self, predicted: Predicted) -> Option<Predicted> {
        let oldest = if self.predictions.len() >= self.capacity {
            self.predictions.pop_front()
        } else {
            None
        };
        self.predictions.push_back(predicted);
        oldest
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.predictions.len()
    }

    /// The oldest, where `which` says so.
    pub fn pop_oldest_if(&mut self, which: impl Fn(&Predicted) -> bool) -> Option<Predicted> {
        if which(self.predictions.front()?) { self.predictions.pop_front() } else { None }
    }

    /// Takes out all that `which` names, oldest first.
    pub fn take(&mut self, which: impl Fn(&Predicted) -> bool) -> Vec<Predicted> {
        let mut taken = Vec::new();
        for _ in 0..self.predictions.len() {
            let Some(predicted) = self.predictions.pop_front() else { break };
            if which(&predicted) {
                taken.push(predicted);
            } else {
                self.predictions.push_back(predicted);
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predicted(t: f64) -> Predicted {
        Predicted {
            clip: ClipTime { start: t - 1.0, t, wall: t },
            values: Box::new([0.0; 3]),
            probabilities: Box::new([0.0; 3]),
            thresholds: None,
            set: None,
            best: 0,
        }
    }

    fn times(taken: &[Predicted]) -> Vec<f64> {
        taken.iter().map(|p| p.clip.t).collect()
    }

    #[test]
    fn what_is_named_leaves_and_the_rest_keeps_its_order() {
        let mut waiting = Waiting::new(3);
        for t in 0..6 {
            assert!(waiting.push(predicted(f64::from(t))).is_none());
        }
        assert_eq!(times(&waiting.take(|p| p.clip.t % 2.0 == 0.0)), [0.0, 2.0, 4.0]);
        assert!(waiting.pop_oldest_if(|p| p.clip.t > 1.0).is_none());
        assert_eq!(waiting.pop_oldest_if(|p| p.clip.t < 2.0).map(|p| p.clip.t), Some(1.0));
        assert_eq!(times(&waiting.take(|_| true)), [3.0, 5.0]);
        assert_eq!(waiting.len(), 0);
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes() {
        let classes = 100_000;
        let mut waiting = Waiting::new(classes);
        let given_up: Vec<f64> = (0..40)
            .filter_map(|t| waiting.push(predicted(f64::from(t))))
            .map(|p| p.clip.t)
            .collect();
        assert_eq!(waiting.len() + given_up.len(), 40);
        assert!(waiting.len() * classes * 16 <= MEMORY);
        assert_eq!(given_up[..3], [0.0, 1.0, 2.0]);
    }
}
