//! Top-k accuracy.

use serde::{Deserialize, Serialize};

use super::conventions::{Conventions, Task};

/// The share of samples whose truth is among the k highest scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopK {
    /// How many of the highest scores count.
    pub k: usize,
    /// Hits over samples; `None` where no sample has a true class.
    pub accuracy: Option<f64>,
}

/// For which k a sample is a hit: all that are greater than this number; `None`
/// for a sample without a true class. Of several true classes any will do
/// (Hit@k of Abu-El-Haija et al., YouTube-8M, arXiv 1609.08675).
///
/// Equal scores: scikit-learn's `top_k_accuracy_score` takes the highest index
/// first, and with two classes in all predicts class 1 where its score is above
/// 0.5. torchmetrics takes the lowest first for k = 1 (`argmax`); for k > 1 it
/// uses `torch.topk`, which promises no order, so the lowest is taken here too.
pub(super) fn rank(
    scores: &[f64],
    truth: &[u32],
    task: Task,
    conventions: Conventions,
) -> Option<usize> {
    if conventions == Conventions::ScikitLearn && task == Task::SingleLabel && scores.len() == 2 {
        let predicted = u32::from(scores[1] > 0.5);
        return truth.first().map(|&class| usize::from(class != predicted));
    }
    let highest_first = conventions == Conventions::ScikitLearn;
    let before = |class: usize| {
        let score = scores[class];
        let higher = scores.iter().filter(|&&other| other > score).count();
        let rivals = if highest_first { &scores[class + 1..] } else { &scores[..class] };
        higher + rivals.iter().filter(|&&other| other == score).count()
    };
    truth.iter().map(|&class| before(class as usize)).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranks(scores: &[f64], truth: &[u32], task: Task) -> [Option<usize>; 2] {
        [Conventions::ScikitLearn, Conventions::TorchMetrics]
            .map(|conventions| rank(scores, truth, task, conventions))
    }

    #[test]
    fn a_tie_goes_to_the_highest_index_or_to_the_lowest() {
        let scores = [0.25, 0.5, 0.25, 0.0];
        let of = |class| ranks(&scores, &[class], Task::SingleLabel);
        assert_eq!(of(0), [Some(2), Some(1)]);
        assert_eq!(of(1), [Some(0), Some(0)]);
        assert_eq!(of(2), [Some(1), Some(2)]);
        assert_eq!(of(3), [Some(3), Some(3)]);
    }

    #[test]
    fn two_classes_tied_are_class_0() {
        assert_eq!(ranks(&[0.5, 0.5], &[0], Task::SingleLabel), [Some(0), Some(0)]);
        assert_eq!(ranks(&[0.5, 0.5], &[1], Task::SingleLabel), [Some(1), Some(1)]);
    }

    #[test]
    fn any_of_several_true_classes_will_do_and_none_is_not_counted() {
        let scores = [0.1, 0.9, 0.4];
        assert_eq!(ranks(&scores, &[0, 2], Task::MultiLabel), [Some(1); 2]);
        assert_eq!(ranks(&scores, &[], Task::MultiLabel), [None; 2]);
    }
}
