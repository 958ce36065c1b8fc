//! One clip of which it is known what was there.

use crate::metric::{self, Task};

/// What the network gave, one value a class.
#[derive(Clone, Copy, Debug)]
pub enum Raw<'a> {
    /// Before softmax or sigmoid.
    Logits(&'a [f32]),
    /// Probabilities already.
    Probabilities(&'a [f32]),
}

/// A clip, what was said of it at the time, and what was there.
#[derive(Clone, Copy, Debug)]
pub struct Scored<'a> {
    /// Where the clip begins, seconds on the stream's own clock.
    pub start: f64,
    /// The time that the prediction speaks of: its end.
    pub t: f64,
    /// What the network gave.
    pub raw: Raw<'a>,
    /// The calibrated probabilities as they were predicted then.
    pub calibrated: &'a [f32],
    /// Multi-label: from which probability on each class was said to hold then;
    /// `None`: above 0.5.
    pub thresholds: Option<&'a [f64]>,
    /// The prediction set that was given then, as class indices.
    pub set: Option<&'a [usize]>,
    /// The classes that hold over the whole clip; `None` where there is no single
    /// answer or nobody knows. Multi-label: empty where none holds.
    pub whole: Option<&'a [usize]>,
    /// The classes that hold at `t`, likewise.
    pub here: Option<&'a [usize]>,
}

impl Raw<'_> {
    /// The probabilities in double precision, as a report has them.
    pub(super) fn probabilities(&self, task: Task, out: &mut Vec<f64>) {
        out.clear();
        match self {
            Raw::Logits(logits) => {
                out.extend(logits.iter().map(|&z| f64::from(z)));
                metric::activate(out, task);
            }
            Raw::Probabilities(values) => {
                out.extend(values.iter().map(|&p| f64::from(p).clamp(0.0, 1.0)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_of_a_network_that_rounds_above_one_are_cut() {
        let mut out = vec![9.0];
        Raw::Probabilities(&[1.000_000_1, 0.0]).probabilities(Task::SingleLabel, &mut out);
        assert_eq!(out, [1.0, 0.0]);
        Raw::Logits(&[0.0, 0.0]).probabilities(Task::SingleLabel, &mut out);
        assert_eq!(out, [0.5, 0.5]);
    }
}
