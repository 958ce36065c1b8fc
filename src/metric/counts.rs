//! What follows from counting right and wrong class by class: precision,
//! recall, F1, balanced accuracy.

use super::average::{Averages, mean, ratio, weighted};
use super::conventions::{Conventions, Task};

/// The counts of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Samples where it was predicted and true.
    pub hits: u64,
    /// Samples where it was predicted.
    pub predicted: u64,
    /// Samples where it was true.
    pub support: u64,
}

impl Counts {
    pub fn precision(&self) -> f64 {
        ratio(self.hits as f64, self.predicted as f64)
    }

    pub fn recall(&self) -> f64 {
        ratio(self.hits as f64, self.support as f64)
    }

    /// 2TP / (2TP + FP + FN).
    pub fn f1(&self) -> f64 {
        ratio(2.0 * self.hits as f64, (self.predicted + self.support) as f64)
    }

    fn occurs(&self) -> bool {
        self.predicted + self.support > 0
    }

    pub fn add(&mut self, other: &Counts) {
        self.hits += other.hits;
        self.predicted += other.predicted;
        self.support += other.support;
    }
}

/// The averages of one of the figures above.
///
/// Macro: scikit-learn averages a single-label task over the labels that occur
/// as truth or as prediction, a multi-label task over all of them; torchmetrics
/// leaves out a single-label class without TP, FP and FN, which is the same.
pub(super) fn averages(counts: &[Counts], task: Task, figure: fn(&Counts) -> f64) -> Averages {
    let mut pooled = Counts::default();
    counts.iter().for_each(|class| pooled.add(class));
    let counted = |class: &&Counts| task == Task::MultiLabel || class.occurs();
    Averages {
        macro_average: mean(counts.iter().filter(counted).map(figure)),
        weighted: weighted(counts.iter().map(|class| (Some(figure(class)), class.support))),
        micro: Some(figure(&pooled)),
        macro_all: mean(counts.iter().map(figure)),
        macro_present: mean(counts.iter().filter(|class| class.support > 0).map(figure)),
    }
}

/// Single-label: the mean recall. scikit-learn's `balanced_accuracy_score` takes
/// it over the classes that occur as truth; torchmetrics'
/// `multiclass_accuracy(average="macro")` counts a class that was predicted but
/// never true as 0.
///
/// Multi-label: the mean over labels of each label's own balanced accuracy, as a
/// problem of two classes, present and absent.
pub(super) fn balanced_accuracy(
    counts: &[Counts],
    samples: u64,
    task: Task,
    conventions: Conventions,
) -> Option<f64> {
    let recalls = |counts: &[Counts]| {
        let counted = |class: &&Counts| {
            class.support > 0 || conventions == Conventions::TorchMetrics && class.occurs()
        };
        mean(counts.iter().filter(counted).map(Counts::recall))
    };
    match task {
        Task::SingleLabel => recalls(counts),
        Task::MultiLabel => mean(counts.iter().filter_map(|class| {
            let missed = class.support - class.hits;
            let absent = Counts {
                hits: samples - class.predicted - missed,
                predicted: samples - class.predicted,
                support: samples - class.support,
            };
            recalls(&[absent, *class])
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: [Counts; 4] = [
        Counts { hits: 2, predicted: 2, support: 4 },
        Counts { hits: 0, predicted: 2, support: 0 },
        Counts { hits: 0, predicted: 0, support: 0 },
        Counts { hits: 1, predicted: 2, support: 2 },
    ];

    #[test]
    fn averages_differ_in_which_classes_they_count() {
        let recall = averages(&COUNTS, Task::SingleLabel, Counts::recall);
        assert_eq!(recall.macro_average, Some(1.0 / 3.0));
        assert_eq!(recall.macro_all, Some(0.25));
        assert_eq!(recall.macro_present, Some(0.5));
        assert_eq!((recall.weighted, recall.micro), (Some(0.5), Some(0.5)));
        let multi = averages(&COUNTS, Task::MultiLabel, Counts::recall);
        assert_eq!(multi.macro_average, recall.macro_all);
    }

    #[test]
    fn a_class_predicted_but_never_true_lowers_balanced_accuracy_in_torchmetrics_only() {
        let of = |conventions| balanced_accuracy(&COUNTS, 6, Task::SingleLabel, conventions);
        assert_eq!(of(Conventions::ScikitLearn), Some(0.5));
        assert_eq!(of(Conventions::TorchMetrics), Some(1.0 / 3.0));
    }

    #[test]
    fn nothing_counted_gives_zeros_and_no_means() {
        let none = averages(&[Counts::default(); 2], Task::SingleLabel, Counts::f1);
        assert_eq!((none.macro_average, none.macro_present), (None, None));
        assert_eq!((none.micro, none.weighted, none.macro_all), (Some(0.0), Some(0.0), Some(0.0)));
    }
}
