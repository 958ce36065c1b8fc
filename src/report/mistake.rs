//! The clips in which the model was surest of what was not so.

use std::path::PathBuf;

use crate::model::Task;

/// Mistakes shown.
pub(super) const SHOWN: usize = 12;

/// A wrong clip.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mistake {
    pub video: String,
    pub path: PathBuf,
    /// Seconds.
    pub start: f64,
    /// Seconds.
    pub t: f64,
    /// The classes that held.
    pub truth: Vec<usize>,
    /// The class that the mistake is about.
    pub class: usize,
    /// Whether that class was predicted and not there; else it was there and
    /// not predicted.
    pub invented: bool,
    /// Its probability.
    pub p: f64,
    /// The most probable classes.
    pub top: Vec<(usize, f64)>,
    /// How wrong, 0 to 1.
    pub size: f64,
}

/// What is wrong about a clip, if anything is: the class, whether it was
/// predicted without being there, and how wrong that is. Of a single-label clip
/// the probability of the class that was predicted, of a multi-label one the
/// greatest distance of a class on the wrong side of 0.5 from where it belongs.
pub(super) fn fault(
    task: Task,
    truth: &[usize],
    p: &[f64],
    best: usize,
) -> Option<(usize, bool, f64)> {
    match task {
        Task::SingleLabel => (!truth.contains(&best)).then(|| (best, true, p[best])),
        Task::MultiLabel => p
            .iter()
            .enumerate()
            .filter_map(|(class, &p)| match (truth.contains(&class), p > 0.5) {
                (false, true) => Some((class, true, p)),
                (true, false) => Some((class, false, 1.0 - p)),
                _ => None,
            })
            .reduce(|worst, one| if one.2 > worst.2 { one } else { worst }),
    }
}

/// The worst of many, one a video.
#[derive(Default)]
pub(super) struct Worst(Vec<Mistake>);

impl Worst {
    /// Takes the worst mistake of a video.
    pub fn add(&mut self, mistake: Mistake) {
        self.0.push(mistake);
        // Videos come in the order of their ids, and the sort is stable.
        self.0.sort_by(|a, b| b.size.total_cmp(&a.size));
        self.0.truncate(SHOWN);
    }

    /// The worst first.
    pub fn into_vec(self) -> Vec<Mistake> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_clip_has_no_fault() {
        assert_eq!(fault(Task::SingleLabel, &[1], &[0.1, 0.9], 1), None);
        assert_eq!(fault(Task::MultiLabel, &[1], &[0.1, 0.9], 1), None);
        assert_eq!(fault(Task::MultiLabel, &[], &[0.1, 0.2], 1), None);
    }

    #[test]
    fn the_fault_is_the_surest_wrong_class() {
        assert_eq!(fault(Task::SingleLabel, &[0], &[0.1, 0.9], 1), Some((1, true, 0.9)));
        assert_eq!(fault(Task::MultiLabel, &[0], &[0.05, 0.9], 1), Some((0, false, 0.95)));
        assert_eq!(fault(Task::MultiLabel, &[0], &[0.2, 0.9], 1), Some((1, true, 0.9)));
    }
}
