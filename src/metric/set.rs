//! What was predicted and what was there, sample by sample.

use std::collections::HashMap;

use super::conventions::Task;
use crate::error::{Error, Result};

/// What was really there in one sample, as class indices.
#[derive(Clone, Copy, Debug)]
pub enum Truth<'a> {
    /// One class.
    Class(usize),
    /// Any number of classes: multi-label tasks only.
    Classes(&'a [usize]),
}

/// Samples (clips, videos or frames), each with its probabilities, its truth
/// and the video that it was cut from.
#[derive(Clone, Debug)]
pub struct Set {
    task: Task,
    classes: usize,
    /// Samples × classes, row by row.
    scores: Vec<f64>,
    /// Each sample's classes, ascending, one sample after another …
    truths: Vec<u32>,
    /// … ending here.
    ends: Vec<usize>,
    video_of: Vec<u32>,
    videos: Vec<String>,
    known: HashMap<String, u32>,
}

impl Set {
    /// An empty set over `classes` classes.
    ///
    /// # Errors
    /// Fewer than two classes in a single-label task, or none at all.
    pub fn new(task: Task, classes: usize) -> Result<Self> {
        check_classes(task, classes)?;
        Ok(Set {
            task,
            classes,
            scores: Vec::new(),
            truths: Vec::new(),
            ends: Vec::new(),
            video_of: Vec::new(),
            videos: Vec::new(),
            known: HashMap::new(),
        })
    }

    /// Adds one sample of `video` with its `scores`: one probability for each
    /// class. (Not a logit; a row of a single-label task should sum to 1, which
    /// is not checked.)
    ///
    /// # Errors
    /// A score that is NaN, infinite or outside [0, 1]; another number of scores
    /// than classes; a class index out of range; not exactly one class in a
    /// single-label task. The set is then as it was.
    pub fn push<S>(&mut self, video: &str, truth: Truth<'_>, scores: &[S]) -> Result<()>
    where
        S: Copy + Into<f64>,
    {
        let doing = || format!("scoring a sample of video {video:?}");
        let row = self.scores.len();
        let start = self.truths.len();
        let checked = append_scores(&mut self.scores, scores, self.classes)
            .and_then(|()| append_truth(&mut self.truths, truth, self.task, self.classes));
        if let Err(fault) = checked {
            self.scores.truncate(row);
            self.truths.truncate(start);
            return Err(fault.error(doing()));
        }
        self.ends.push(self.truths.len());
        let index = match self.known.get(video) {
            Some(&index) => index,
            None => {
                let index = self.videos.len() as u32;
                self.known.insert(video.to_owned(), index);
                self.videos.push(video.to_owned());
                index
            }
        };
        self.video_of.push(index);
        Ok(())
    }

    /// Samples.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Single- or multi-label.
    pub fn task(&self) -> Task {
        self.task
    }

    /// Classes that each sample has a score for.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The probabilities of sample `i`, one for each class.
    pub fn scores(&self, i: usize) -> &[f64] {
        &self.scores[i * self.classes..][..self.classes]
    }

    /// The classes of sample `i`, ascending: one in a single-label task.
    pub fn truth(&self, i: usize) -> &[u32] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.truths[start..self.ends[i]]
    }

    /// The most probable class of sample `i`; on a tie the lowest index, as
    /// numpy's and torch's `argmax` have it.
    pub fn predicted(&self, i: usize) -> usize {
        argmax(self.scores(i))
    }

    /// The video of sample `i`, as an index into [`videos`](Self::videos).
    pub fn video(&self, i: usize) -> usize {
        self.video_of[i] as usize
    }

    /// The videos, in the order in which their first samples came.
    pub fn videos(&self) -> &[String] {
        &self.videos
    }

    /// The samples in order: probabilities and classes.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&[f64], &[u32])> {
        (0..self.len()).map(|i| (self.scores(i), self.truth(i)))
    }

    /// Every score, sample by sample.
    pub(super) fn all_scores(&self) -> &[f64] {
        &self.scores
    }

    /// For each class the samples that hold it, ascending.
    pub(super) fn positives(&self) -> Vec<Vec<u32>> {
        let mut positives = vec![Vec::new(); self.classes];
        for i in 0..self.len() {
            for &class in self.truth(i) {
                positives[class as usize].push(i as u32);
            }
        }
        positives
    }
}

/// The index of the greatest score, the first of equals; 0 of none.
pub(super) fn argmax(scores: &[f64]) -> usize {
    let mut best = 0;
    for (class, &score) in scores.iter().enumerate() {
        if score > scores[best] {
            best = class;
        }
    }
    best
}

/// What is wrong with a sample.
pub(super) struct Fault {
    fault: String,
    remedy: &'static str,
}

impl Fault {
    pub fn error(self, doing: String) -> Error {
        Error::data(doing, self.fault).remedy(self.remedy)
    }
}

/// # Errors
/// Fewer classes than the task can be about.
pub(super) fn check_classes(task: Task, classes: usize) -> Result<()> {
    let least = if task == Task::SingleLabel { 2 } else { 1 };
    if classes < least || u32::try_from(classes).is_err() {
        return Err(Error::data("beginning a set of predictions", format!("{classes} classes"))
            .remedy("a single-label task needs at least two classes, a multi-label task one"));
    }
    Ok(())
}

/// Appends `scores` to `row`, checked.
pub(super) fn append_scores<S>(
    row: &mut Vec<f64>,
    scores: &[S],
    classes: usize,
) -> Result<(), Fault>
where
    S: Copy + Into<f64>,
{
    if scores.len() != classes {
        return Err(Fault {
            fault: format!("{} scores for {classes} classes", scores.len()),
            remedy: "give one probability for each class of the model",
        });
    }
    for (class, &score) in scores.iter().enumerate() {
        let score: f64 = score.into();
        if !(0.0..=1.0).contains(&score) {
            return Err(Fault {
                fault: format!("the score of class {class} is {score}, not a probability"),
                remedy: "give probabilities, after softmax or sigmoid; \
                         a score that is not finite means that the model or its input is broken",
            });
        }
        // -0 becomes 0: the two rank alike.
        row.push(score + 0.0);
    }
    Ok(())
}

/// Appends the classes of `truth` to `truths`, checked, ascending, each once.
pub(super) fn append_truth(
    truths: &mut Vec<u32>,
    truth: Truth<'_>,
    task: Task,
    classes: usize,
) -> Result<(), Fault> {
    let one;
    let given = match truth {
        Truth::Class(class) => {
            one = [class];
            &one[..]
        }
        Truth::Classes(given) => given,
    };
    if task == Task::SingleLabel && given.len() != 1 {
        return Err(Fault {
            fault: format!("{} true classes in a single-label task", given.len()),
            remedy: "give exactly one class, or score the set as multi-label",
        });
    }
    let start = truths.len();
    for &class in given {
        if class >= classes {
            return Err(Fault {
                fault: format!("true class {class} of only {classes} classes"),
                remedy: "count classes from 0, in the order of the model's labels file",
            });
        }
        truths.push(class as u32);
    }
    truths[start..].sort_unstable();
    let mut kept = start;
    for i in start..truths.len() {
        if i == start || truths[i] != truths[kept - 1] {
            truths[kept] = truths[i];
            kept += 1;
        }
    }
    truths.truncate(kept);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_given_back_as_it_was_added() {
        let mut set = Set::new(Task::MultiLabel, 3).unwrap();
        set.push("b", Truth::Classes(&[2, 0, 2]), &[0.5f32, 0.25, -0.0]).unwrap();
        set.push("a", Truth::Classes(&[]), &[0.1f64, 0.7, 0.7]).unwrap();
        set.push("b", Truth::Class(1), &[0.0f64, 0.0, 0.0]).unwrap();
        assert_eq!((set.len(), set.videos()), (3, &["b".to_owned(), "a".to_owned()][..]));
        assert_eq!((set.truth(0), set.truth(1), set.truth(2)), (&[0, 2][..], &[][..], &[1][..]));
        assert_eq!(set.scores(0)[2].to_bits(), 0);
        assert_eq!((set.predicted(0), set.predicted(1), set.predicted(2)), (0, 1, 0));
        assert_eq!((set.video(0), set.video(1), set.video(2)), (0, 1, 0));
        assert_eq!(set.positives(), [vec![0], vec![2], vec![0]]);
    }

    #[test]
    fn what_cannot_be_scored_is_refused_and_changes_nothing() {
        let mut set = Set::new(Task::SingleLabel, 2).unwrap();
        let cases: [(Truth<'_>, &[f64], &str); 9] = [
            (Truth::Class(0), &[f64::NAN, 0.5], "class 0 is NaN"),
            (Truth::Class(0), &[0.5, f64::INFINITY], "class 1 is inf"),
            (Truth::Class(0), &[f64::NEG_INFINITY, 0.5], "class 0 is -inf"),
            (Truth::Class(0), &[1.5, 0.5], "class 0 is 1.5"),
            (Truth::Class(0), &[0.5, -1e-9], "class 1 is -0.000000001"),
            (Truth::Class(0), &[0.5], "1 scores for 2 classes"),
            (Truth::Class(2), &[0.5, 0.5], "true class 2 of only 2"),
            (Truth::Classes(&[]), &[0.5, 0.5], "0 true classes"),
            (Truth::Classes(&[0, 1]), &[0.5, 0.5], "2 true classes"),
        ];
        for (truth, scores, expected) in cases {
            let error = set.push("clip.mp4", truth, scores).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("clip.mp4"), "{error}");
            assert!(error.contains("Remedy"), "{error}");
        }
        assert!(set.is_empty() && set.videos().is_empty() && set.all_scores().is_empty());
        set.push("clip.mp4", Truth::Classes(&[1]), &[0.5, 0.5]).unwrap();
        assert_eq!(set.truth(0), [1]);
    }

    #[test]
    fn a_task_needs_classes() {
        assert!(Set::new(Task::SingleLabel, 1).is_err());
        assert!(Set::new(Task::MultiLabel, 0).is_err());
        assert!(Set::new(Task::MultiLabel, 1).is_ok());
    }
}
