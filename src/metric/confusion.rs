//! The confusion matrix, and what follows from it: top-1 accuracy and macro-F1.

/// Counts of (true class, predicted class), streaming: memory does not grow
/// with the number of observations.
#[derive(Clone, Debug)]
pub struct Confusion {
    classes: usize,
    /// `classes × classes`, rows are the truth.
    counts: Vec<u64>,
}

impl Confusion {
    /// An empty matrix over `classes` classes.
    pub fn new(classes: usize) -> Self {
        Confusion { classes, counts: vec![0; classes * classes] }
    }

    /// Counts one observation. Class indices beyond the matrix are ignored.
    pub fn add(&mut self, truth: usize, predicted: usize) {
        if truth < self.classes && predicted < self.classes {
            self.counts[truth * self.classes + predicted] += 1;
        }
    }

    /// How often class `predicted` was given where `truth` was there.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        self.counts[truth * self.classes + predicted]
    }

    /// The rows of the matrix: one for each true class.
    pub fn rows(&self) -> impl Iterator<Item = &[u64]> {
        self.counts.chunks_exact(self.classes.max(1))
    }

    /// Observations counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Observations whose prediction was the truth.
    pub fn hits(&self) -> u64 {
        (0..self.classes).map(|c| self.count(c, c)).sum()
    }

    /// Top-1 accuracy: hits over observations. `None` before the first one.
    pub fn top1(&self) -> Option<f64> {
        let total = self.total();
        (total > 0).then(|| self.hits() as f64 / total as f64)
    }

    /// The mean of F1 = 2TP / (2TP + FP + FN) over the classes that occur as
    /// truth or as prediction: what scikit-learn's
    /// `f1_score(average="macro", zero_division=0)` gives. `None` before the
    /// first observation.
    pub fn macro_f1(&self) -> Option<f64> {
        let mut sum = 0.0;
        let mut seen = 0u32;
        for class in 0..self.classes {
            let hits = self.count(class, class);
            let truths: u64 = (0..self.classes).map(|p| self.count(class, p)).sum();
            let guesses: u64 = (0..self.classes).map(|t| self.count(t, class)).sum();
            // TP+FN + TP+FP = 2TP + FP + FN
            if truths + guesses > 0 {
                sum += 2.0 * hits as f64 / (truths + guesses) as f64;
                seen += 1;
            }
        }
        (seen > 0).then(|| sum / f64::from(seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(pairs: &[(usize, usize)], classes: usize) -> Confusion {
        let mut confusion = Confusion::new(classes);
        pairs.iter().for_each(|&(truth, predicted)| confusion.add(truth, predicted));
        confusion
    }

    #[test]
    fn nothing_seen_gives_no_figure() {
        let confusion = Confusion::new(3);
        assert_eq!((confusion.top1(), confusion.macro_f1()), (None, None));
    }

    #[test]
    fn top1_is_hits_over_observations() {
        let confusion = filled(&[(0, 0), (1, 1), (2, 1), (2, 2)], 3);
        assert_eq!(confusion.top1(), Some(0.75));
        assert_eq!((confusion.count(2, 1), confusion.hits(), confusion.total()), (1, 3, 4));
    }

    /// The example in scikit-learn's documentation of `f1_score`:
    /// `y_true = [0, 1, 2, 0, 1, 2]`, `y_pred = [0, 2, 1, 0, 0, 1]` gives a
    /// macro average of 0.26….
    #[test]
    fn macro_f1_agrees_with_the_reference_example() {
        let confusion = filled(&[(0, 0), (1, 2), (2, 1), (0, 0), (1, 0), (2, 1)], 3);
        let expected = (2.0 * 2.0 / 5.0 + 0.0 + 0.0) / 3.0;
        assert!((confusion.macro_f1().unwrap() - expected).abs() < 1e-12);
        assert!((expected - 0.266_666_666).abs() < 1e-6);
    }

    #[test]
    fn classes_that_never_occur_are_left_out_and_those_only_predicted_count_zero() {
        // Class 0: TP 2, FN 1 → 4/5. Class 1: FP 1 → 0. Class 2 and 3 never occur.
        let confusion = filled(&[(0, 0), (0, 0), (0, 1)], 4);
        assert!((confusion.macro_f1().unwrap() - 0.4).abs() < 1e-12);
    }

    #[test]
    fn a_class_outside_the_matrix_is_ignored() {
        assert_eq!(filled(&[(5, 0), (0, 5)], 2).total(), 0);
    }
}
