//! Samples with their truth, to fit on all at once.

use crate::metric::Task;

/// Logits, truths and weights of many samples.
#[derive(Clone, Debug)]
pub struct Batch {
    task: Task,
    classes: usize,
    logits: Vec<f32>,
    truths: Vec<usize>,
    ends: Vec<usize>,
    weights: Vec<f64>,
}

impl Batch {
    /// An empty batch for a model with this many classes.
    pub fn new(task: Task, classes: usize) -> Self {
        let (logits, truths) = (Vec::new(), Vec::new());
        Batch { task, classes, logits, truths, ends: Vec::new(), weights: Vec::new() }
    }

    /// Adds a sample: one logit a class, the classes that hold (one for a
    /// single-label task; of several the one with the greatest logit is taken)
    /// and its weight (its evidence, 0 to 1). One that says nothing (not finite,
    /// of another length, without a class that exists, of no weight) is left
    /// out; returns whether it was taken.
    pub fn push(&mut self, logits: &[f32], truth: &[usize], weight: f64) -> bool {
        let known = truth.iter().all(|&class| class < self.classes);
        if !(usable(logits, self.classes) && known && weight > 0.0 && weight.is_finite()) {
            return false;
        }
        match self.task {
            Task::SingleLabel => match likeliest(logits, truth) {
                Some(class) => self.truths.push(class),
                None => return false,
            },
            Task::MultiLabel => self.truths.extend_from_slice(truth),
        }
        self.ends.push(self.truths.len());
        self.logits.extend_from_slice(logits);
        self.weights.push(weight);
        true
    }

    /// What the scores mean.
    pub fn task(&self) -> Task {
        self.task
    }

    /// Logits a sample.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Samples.
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// Each sample: its logits, its truth and its weight.
    pub fn iter(&self) -> impl Iterator<Item = (&[f32], &[usize], f64)> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let truths = starts.zip(&self.ends).map(|(start, &end)| &self.truths[start..end]);
        let rows = self.logits.chunks_exact(self.classes.max(1));
        rows.zip(truths)
            .zip(&self.weights)
            .map(|((logits, truth), &weight)| (logits, truth, weight))
    }
}

/// Whether these are the finite logits of a model with this many classes.
pub(super) fn usable(logits: &[f32], classes: usize) -> bool {
    classes > 0 && logits.len() == classes && logits.iter().all(|z| z.is_finite())
}

/// Of the classes that hold the one with the greatest score, the first of
/// equals; `None` where none holds or one does not exist.
pub(super) fn likeliest(scores: &[f32], truth: &[usize]) -> Option<usize> {
    let mut best: Option<(usize, f32)> = None;
    for &class in truth {
        let score = *scores.get(class)?;
        if best.is_none_or(|(_, most)| score > most) {
            best = Some((class, score));
        }
    }
    best.map(|(class, _)| class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_that_says_nothing_is_left_out() {
        let mut batch = Batch::new(Task::SingleLabel, 2);
        for (logits, truth, weight) in [
            (&[1.0, f32::NAN][..], &[0][..], 1.0),
            (&[1.0], &[0], 1.0),
            (&[1.0, 2.0], &[2], 1.0),
            (&[1.0, 2.0], &[], 1.0),
            (&[1.0, 2.0], &[0], 0.0),
            (&[1.0, 2.0], &[0], f64::INFINITY),
        ] {
            assert!(!batch.push(logits, truth, weight));
        }
        assert!(batch.is_empty());
        assert!(batch.push(&[1.0, 2.0], &[0, 1], 0.5));
        assert_eq!(batch.iter().collect::<Vec<_>>(), [(&[1.0, 2.0][..], &[1][..], 0.5)]);
    }

    #[test]
    fn a_multi_label_sample_may_hold_any_number_of_classes() {
        let mut batch = Batch::new(Task::MultiLabel, 2);
        assert!(batch.push(&[1.0, 2.0], &[], 1.0));
        assert!(batch.push(&[3.0, 4.0], &[1, 0], 1.0));
        let truths: Vec<_> = batch.iter().map(|(_, truth, _)| truth.to_vec()).collect();
        assert_eq!(truths, [vec![], vec![1, 0]]);
    }
}
