//! From the clips of a video to one answer for the video.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

use super::scores::{activate, argmax};
use crate::model::Task;

/// How the scores of a video's clips (views) become the video's scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregate {
    /// The mean of the logits, then softmax or sigmoid.
    MeanLogits,
    /// The mean of the probabilities.
    #[default]
    MeanProbabilities,
    /// The greatest probability of each class; of a single-label task, divided
    /// by their sum.
    Max,
    /// The share of the clips that vote for the class; clips' ties and the
    /// video's are settled as docs/report.md says.
    Vote,
}

impl Aggregate {
    /// Every way, in the order in which they are listed.
    pub const ALL: [Aggregate; 4] =
        [Aggregate::MeanLogits, Aggregate::MeanProbabilities, Aggregate::Max, Aggregate::Vote];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Aggregate::MeanLogits => "mean-logits",
            Aggregate::MeanProbabilities => "mean-probabilities",
            Aggregate::Max => "max",
            Aggregate::Vote => "vote",
        }
    }
}

impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How much the mean probability weighs beside the votes: it settles ties and
/// moves no share by more than this.
const TIE: f64 = 1e-6;
/// From here on a clip votes for a class, in a multi-label task.
const THRESHOLD: f64 = 0.5;

/// The clips of one video, added up: memory does not grow with their number.
pub(super) struct Views {
    task: Task,
    count: u64,
    logits: Vec<f64>,
    probabilities: Vec<f64>,
    greatest: Vec<f64>,
    votes: Vec<u64>,
}

impl Views {
    /// None yet, of `classes` classes.
    pub fn new(task: Task, classes: usize) -> Self {
        Views {
            task,
            count: 0,
            logits: vec![0.0; classes],
            probabilities: vec![0.0; classes],
            greatest: vec![0.0; classes],
            votes: vec![0; classes],
        }
    }

    /// Adds a clip: its logits and its probabilities, one a class.
    pub fn add(&mut self, logits: &[f64], probabilities: &[f64]) {
        self.count += 1;
        for (sum, z) in self.logits.iter_mut().zip(logits) {
            *sum += z;
        }
        for ((sum, greatest), &p) in
            self.probabilities.iter_mut().zip(&mut self.greatest).zip(probabilities)
        {
            *sum += p;
            *greatest = greatest.max(p);
        }
        match self.task {
            // A clip with two equal greatest scores votes for the lower index.
            Task::SingleLabel if !probabilities.is_empty() => {
                self.votes[argmax(probabilities)] += 1
            }
            Task::SingleLabel => {}
            Task::MultiLabel => {
                for (votes, &p) in self.votes.iter_mut().zip(probabilities) {
                    *votes += u64::from(p > THRESHOLD);
                }
            }
        }
    }

    /// The video's scores, each from 0 to 1; `None` without a clip.
    pub fn scores(&self, how: Aggregate) -> Option<Vec<f64>> {
        let count = (self.count > 0).then_some(self.count as f64)?;
        let mean = |sums: &[f64]| sums.iter().map(|sum| sum / count).collect::<Vec<f64>>();
        let scores = match how {
            Aggregate::MeanLogits => activate(&mean(&self.logits), self.task),
            Aggregate::MeanProbabilities => mean(&self.probabilities),
            Aggregate::Max => {
                let sum: f64 = self.greatest.iter().sum();
                match self.task {
                    Task::SingleLabel if sum > 0.0 => {
                        self.greatest.iter().map(|p| p / sum).collect()
                    }
                    _ => self.greatest.clone(),
                }
            }
            Aggregate::Vote => self
                .votes
                .iter()
                .zip(mean(&self.probabilities))
                .map(|(&votes, p)| (1.0 - TIE) * votes as f64 / count + TIE * p)
                .collect(),
        };
        // Sums of rounded parts may pass 1 by a rounding.
        Some(scores.into_iter().map(|p| p.clamp(0.0, 1.0)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn views(task: Task, clips: &[&[f64]]) -> Views {
        let mut views = Views::new(task, clips[0].len());
        for logits in clips {
            views.add(logits, &activate(logits, task));
        }
        views
    }

    fn close(a: &[f64], b: &[f64]) {
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5), "{a:?} is not {b:?}");
    }

    #[test]
    fn no_clip_gives_no_answer() {
        let views = Views::new(Task::SingleLabel, 3);
        assert!(Aggregate::ALL.iter().all(|&how| views.scores(how).is_none()));
    }

    #[test]
    fn one_clip_is_the_video() {
        let views = views(Task::SingleLabel, &[&[1.0, 2.0, 0.0]]);
        let p = activate(&[1.0, 2.0, 0.0], Task::SingleLabel);
        for how in [Aggregate::MeanLogits, Aggregate::MeanProbabilities, Aggregate::Max] {
            close(&views.scores(how).unwrap(), &p);
        }
        close(&views.scores(Aggregate::Vote).unwrap(), &[0.0, 1.0, 0.0]);
    }

    /// One clip is very sure of the first class, two lean to the second: the ways
    /// of putting them together disagree, as they should.
    #[test]
    fn the_ways_differ_where_they_should() {
        let clips: [&[f64]; 3] = [&[8.0, 0.0], &[0.0, 0.4], &[0.0, 0.4]];
        let views = views(Task::SingleLabel, &clips);
        // Mean of (8, 0.4, 0.4) differences: (8 - 0.8) / 3 = 2.4.
        close(
            &views.scores(Aggregate::MeanLogits).unwrap(),
            &[1.0 / (1.0 + (-2.4f64).exp()), 1.0 / (1.0 + 2.4f64.exp())],
        );
        let p = 1.0 / (1.0 + 0.4f64.exp());
        let sure = 1.0 / (1.0 + (-8.0f64).exp());
        close(
            &views.scores(Aggregate::MeanProbabilities).unwrap(),
            &[(sure + 2.0 * p) / 3.0, 1.0 - (sure + 2.0 * p) / 3.0],
        );
        let max = views.scores(Aggregate::Max).unwrap();
        close(&max, &[sure / (sure + 1.0 - p), (1.0 - p) / (sure + 1.0 - p)]);
        let vote = views.scores(Aggregate::Vote).unwrap();
        close(&vote, &[1.0 / 3.0, 2.0 / 3.0]);
        assert_eq!((argmax(&max), argmax(&vote)), (0, 1));
    }

    #[test]
    fn a_tied_vote_goes_to_the_greater_mean_probability() {
        let vote = views(Task::SingleLabel, &[&[0.5, 0.0, 0.0], &[0.0, 0.0, 3.0]])
            .scores(Aggregate::Vote)
            .unwrap();
        assert_eq!(argmax(&vote), 2);
        close(&vote, &[0.5, 0.0, 0.5]);
    }

    #[test]
    fn labels_of_a_multi_label_video_are_apart() {
        let views = views(Task::MultiLabel, &[&[9.0, 9.0, -9.0], &[9.0, -9.0, -9.0]]);
        close(&views.scores(Aggregate::Vote).unwrap(), &[1.0, 0.5, 0.0]);
        let max = views.scores(Aggregate::Max).unwrap();
        assert!(max[0] > 0.99 && max[1] > 0.99 && max[2] < 0.01, "{max:?}");
    }
}
