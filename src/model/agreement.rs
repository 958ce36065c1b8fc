//! How near a model whose weights are held in fewer bits comes to itself in f32.

use std::sync::Arc;

use super::classifier::Classifier;
use super::{Bundle, Mode, Model, Precision};
use crate::error::{Error, Result};

/// A model in one mode that takes the same frames in f32 and in every other precision
/// that it can be had in.
pub struct Comparison {
    /// Frames from one clip that is compared to the next.
    hop: usize,
    /// Frames since the last one; none after a reset.
    since: Option<usize>,
    full: Running,
    others: Vec<(Precision, Result<Other>)>,
    clips: usize,
}

struct Running {
    model: Arc<Model>,
    classifier: Box<dyn Classifier>,
}

struct Other {
    running: Running,
    near: Nearness,
}

/// What a [`Comparison`] found.
#[derive(Clone, Debug)]
pub struct Agreement {
    /// Clips that were compared.
    pub clips: usize,
    /// Bytes of the weights in f32.
    pub weight_bytes: u64,
    /// Of every precision but f32, or why the model cannot be had in it.
    pub others: Vec<(Precision, Result<Nearness>)>,
}

/// How near one precision comes to f32.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Nearness {
    pub weight_bytes: u64,
    /// Clips with the same best class.
    pub same_best: usize,
    /// The largest absolute difference of a logit.
    pub largest_difference: f32,
    /// The largest difference as a share of the range of its own clip's logits in f32; of
    /// a single class, of its logit.
    pub largest_share: f32,
}

impl Running {
    fn new(bundle: &Bundle, mode: Mode, precision: Precision) -> Result<Self> {
        let model = Model::build(bundle.clone(), mode, precision, 1)?;
        Ok(Running { classifier: model.classifier()?, model })
    }

    fn weight_bytes(&self) -> u64 {
        self.model.facts().weight_bytes
    }
}

impl Comparison {
    /// Loads `bundle` for `mode`, whether or not it lists that, in every precision.
    ///
    /// # Errors
    /// As [`Model::load`], where it cannot be had in f32.
    pub fn new(bundle: &Bundle, mode: Mode) -> Result<Self> {
        let lower = Precision::ALL.into_iter().filter(|precision| *precision != Precision::F32);
        let other = |precision| {
            let running = Running::new(bundle, mode, precision)?;
            let near = Nearness { weight_bytes: running.weight_bytes(), ..Nearness::default() };
            Ok(Other { running, near })
        };
        Ok(Comparison {
            hop: bundle.input().frames,
            since: None,
            full: Running::new(bundle, mode, Precision::F32)?,
            others: lower.map(|precision| (precision, other(precision))).collect(),
            clips: 0,
        })
    }

    /// Sampled frames from a reset to the end of the first clip.
    pub fn warm_up(&self) -> usize {
        self.full.classifier.warm_up()
    }

    /// Clips that were compared so far.
    pub fn clips(&self) -> usize {
        self.clips
    }

    /// The next frame begins a new clip.
    pub fn reset(&mut self) {
        self.since = None;
        self.full.classifier.reset();
        for other in self.others.iter_mut().filter_map(|(_, other)| other.as_mut().ok()) {
            other.running.classifier.reset();
        }
    }

    /// Takes the next sampled, normalised frame. Of a stream, the first clip is
    /// compared, and then those that share no frame with the one before. A precision in
    /// which the model fails is left out from then on.
    ///
    /// # Errors
    /// The model fails in f32.
    pub fn push(&mut self, frame: &[f32]) -> Result<()> {
        let since = self.since.map(|since| since + 1);
        let due = since.is_none_or(|since| since >= self.hop);
        let full = self.full.classifier.push(frame, due)?;
        self.since = if full.is_some() { Some(0) } else { since };
        self.clips += usize::from(full.is_some());
        for (_, other) in &mut self.others {
            let outcome = match other {
                Ok(other) => other.push(frame, due, full),
                Err(_) => continue,
            };
            if let Err(error) = outcome {
                *other = Err(error);
            }
        }
        Ok(())
    }

    /// What it came to.
    pub fn finish(self) -> Agreement {
        let others = self.others.into_iter();
        Agreement {
            clips: self.clips,
            weight_bytes: self.full.weight_bytes(),
            others: others
                .map(|(precision, other)| (precision, other.map(|other| other.near)))
                .collect(),
        }
    }
}

impl Other {
    /// Takes a frame for which f32 gave the logits `full`.
    fn push(&mut self, frame: &[f32], due: bool, full: Option<&[f32]>) -> Result<()> {
        let own = self.running.classifier.push(frame, due)?;
        let (own, full) = match (own, full) {
            (Some(own), Some(full)) => (own, full),
            (None, None) => return Ok(()),
            _ => {
                let doing = "comparing a model's precisions";
                return Err(Error::internal(doing, "their logits do not come with the same frame"));
            }
        };
        self.near.add(own, full);
        Ok(())
    }
}

impl Nearness {
    /// Counts a clip for which f32 gave the logits `full`.
    fn add(&mut self, own: &[f32], full: &[f32]) {
        self.same_best += usize::from(best(own) == best(full));
        let difference = own.iter().zip(full).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let (low, high) =
            full.iter().fold((f32::MAX, f32::MIN), |(l, h), &logit| (l.min(logit), h.max(logit)));
        let range = if let [logit] = full { logit.abs() } else { high - low };
        self.largest_difference = self.largest_difference.max(difference);
        if difference > 0.0 {
            self.largest_share = self.largest_share.max(difference / range);
        }
    }
}

/// The class with the largest logit; of equal ones the first.
fn best(logits: &[f32]) -> Option<usize> {
    let classes = logits.iter().enumerate();
    classes.rev().max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(class, _)| class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_logits_the_first_class_is_the_best() {
        assert_eq!(best(&[1.0, 3.0, -2.0, 3.0]), Some(1));
        assert_eq!(best(&[]), None);
    }

    #[test]
    fn a_difference_is_seen_beside_its_own_clips_logits() {
        let mut near = Nearness::default();
        near.add(&[1000.0, 1010.0, 1100.0], &[1000.0, 1008.0, 1100.0]);
        near.add(&[0.5, -0.5], &[-0.5, -0.25]);
        near.add(&[7.0, 7.0], &[7.0, 7.0]);
        assert_eq!((near.same_best, near.largest_difference, near.largest_share), (2, 2.0, 4.0));
        let mut one = Nearness::default();
        one.add(&[-2.5], &[-2.0]);
        assert_eq!((one.same_best, one.largest_share), (1, 0.25));
    }
}
