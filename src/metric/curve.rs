//! Precision-recall and ROC curves, for plotting.

use serde::{Deserialize, Serialize};

use super::average::ratio;
use super::set::Set;
use crate::error::{Error, Result};

/// One point of a curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Recall, or the false-positive rate.
    pub x: f64,
    /// Precision, or the true-positive rate.
    pub y: f64,
    /// Scores from here up count as predicted; `None` where nothing does.
    pub threshold: Option<f64>,
}

/// A curve from left to right: from the highest threshold to the lowest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// One for each distinct score, after the one where nothing is predicted.
    pub points: Vec<Point>,
}

impl Curve {
    /// The curve with at most `most` of its points (at least its two ends),
    /// spread evenly along its length.
    pub fn thinned(&self, most: usize) -> Curve {
        let points = &self.points;
        if points.len() <= most.max(2) {
            return self.clone();
        }
        let step = |a: &Point, b: &Point| (a.x - b.x).abs() + (a.y - b.y).abs();
        let length: f64 = points.windows(2).map(|pair| step(&pair[0], &pair[1])).sum();
        let stride = length / (most.max(2) - 1) as f64;
        let mut walked = 0.0;
        let mut kept = vec![points[0]];
        for pair in points.windows(2) {
            walked += step(&pair[0], &pair[1]);
            // The last place is the end's.
            if walked >= stride * kept.len() as f64 && kept.len() + 1 < most {
                kept.push(pair[1]);
            }
        }
        let end = points[points.len() - 1];
        if kept.last() != Some(&end) {
            kept.push(end);
        }
        Curve { points: kept }
    }
}

/// The precision-recall curve of one class against the rest: scikit-learn's
/// `precision_recall_curve`, from left to right. It begins at precision 1 and
/// recall 0. A class without positives has recall 1 throughout, as there.
///
/// # Errors
/// An empty set, or no such class.
pub fn pr_curve(set: &Set, class: usize) -> Result<Curve> {
    Ok(precision_recall(one_against_rest(set, class)?))
}

/// The precision-recall curve of all classes pooled into one binary problem.
///
/// # Errors
/// An empty set.
pub fn pr_curve_micro(set: &Set) -> Result<Curve> {
    Ok(precision_recall(pooled(set)?))
}

/// The ROC curve of one class against the rest: scikit-learn's
/// `roc_curve(drop_intermediate=False)`. A rate without a denominator is 0, as
/// in torchmetrics.
///
/// # Errors
/// An empty set, or no such class.
pub fn roc_curve(set: &Set, class: usize) -> Result<Curve> {
    Ok(receiver_operating(one_against_rest(set, class)?))
}

/// The ROC curve of all classes pooled into one binary problem.
///
/// # Errors
/// An empty set.
pub fn roc_curve_micro(set: &Set) -> Result<Curve> {
    Ok(receiver_operating(pooled(set)?))
}

/// Scores with whether each is of a positive, packed so that they sort fast:
/// the bits of a score from 0 to 1 rank as the score does and leave the top
/// bits free, so one more fits in below.
fn key(score: f64, positive: bool) -> u64 {
    score.to_bits() << 1 | u64::from(positive)
}

fn one_against_rest(set: &Set, class: usize) -> Result<Vec<u64>> {
    let doing = "drawing a curve";
    if set.is_empty() {
        return Err(Error::data(doing, "there is no sample"));
    }
    if class >= set.classes() {
        return Err(Error::data(doing, format!("class {class} of only {}", set.classes()))
            .remedy("count classes from 0"));
    }
    let positive = |truth: &[u32]| truth.binary_search(&(class as u32)).is_ok();
    Ok(set.rows().map(|(scores, truth)| key(scores[class], positive(truth))).collect())
}

fn pooled(set: &Set) -> Result<Vec<u64>> {
    if set.is_empty() {
        return Err(Error::data("drawing a curve", "there is no sample"));
    }
    let mut keys = Vec::with_capacity(set.all_scores().len());
    for (scores, truth) in set.rows() {
        let row = keys.len();
        keys.extend(scores.iter().map(|&score| key(score, false)));
        truth.iter().for_each(|&class| keys[row + class as usize] |= 1);
    }
    Ok(keys)
}

/// Walks from the highest distinct score to the lowest: `point` is given the
/// true positives and all predicted, and makes x and y of them.
fn walk(mut keys: Vec<u64>, first: Point, point: impl Fn(u64, u64) -> (f64, f64)) -> Curve {
    keys.sort_unstable_by(|a, b| b.cmp(a));
    let (mut hits, mut predicted) = (0, 0);
    let mut points = vec![first];
    for (i, &key) in keys.iter().enumerate() {
        hits += key & 1;
        predicted += 1;
        if keys.get(i + 1).is_none_or(|next| next >> 1 != key >> 1) {
            let threshold = f64::from_bits(key >> 1);
            let (x, y) = point(hits, predicted);
            points.push(Point { x, y, threshold: Some(threshold) });
        }
    }
    Curve { points }
}

fn positives(keys: &[u64]) -> u64 {
    keys.iter().map(|key| key & 1).sum()
}

fn precision_recall(keys: Vec<u64>) -> Curve {
    let positives = positives(&keys);
    let recall = |hits: u64| if positives == 0 { 1.0 } else { hits as f64 / positives as f64 };
    walk(keys, Point { x: 0.0, y: 1.0, threshold: None }, |hits, predicted| {
        (recall(hits), hits as f64 / predicted as f64)
    })
}

fn receiver_operating(keys: Vec<u64>) -> Curve {
    let positives = positives(&keys);
    let negatives = keys.len() as u64 - positives;
    walk(keys, Point { x: 0.0, y: 0.0, threshold: None }, |hits, predicted| {
        (ratio((predicted - hits) as f64, negatives as f64), ratio(hits as f64, positives as f64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Task, Truth};

    /// One label: `truth` and `scores` of as many samples.
    fn binary(truth: &[u8], scores: &[f64]) -> Set {
        let mut set = Set::new(Task::MultiLabel, 1).unwrap();
        for (&truth, &score) in truth.iter().zip(scores) {
            let classes: &[usize] = if truth == 1 { &[0] } else { &[] };
            set.push("v", Truth::Classes(classes), &[score]).unwrap();
        }
        set
    }

    fn xy(curve: &Curve) -> Vec<(f64, f64)> {
        curve.points.iter().map(|p| (p.x, p.y)).collect()
    }

    /// The examples in scikit-learn's documentation of both curves.
    #[test]
    fn agree_with_the_reference_examples() {
        let set = binary(&[0, 0, 1, 1], &[0.1, 0.4, 0.35, 0.8]);
        let pr = pr_curve(&set, 0).unwrap();
        let two_thirds = 2.0 / 3.0;
        assert_eq!(xy(&pr), [(0.0, 1.0), (0.5, 1.0), (0.5, 0.5), (1.0, two_thirds), (1.0, 0.5)]);
        assert_eq!(pr.points[3].threshold, Some(0.35));
        let roc = roc_curve(&set, 0).unwrap();
        assert_eq!(xy(&roc), [(0.0, 0.0), (0.0, 0.5), (0.5, 0.5), (0.5, 1.0), (1.0, 1.0)]);
        assert_eq!(pr_curve_micro(&set).unwrap(), pr);
        assert_eq!(roc_curve_micro(&set).unwrap(), roc);
    }

    #[test]
    fn a_thinned_curve_keeps_its_ends_and_few_points() {
        let scores: Vec<f64> = (0..5000).map(|i| f64::from(i * 613 % 5000) / 5000.0).collect();
        let truth: Vec<u8> = (0..5000).map(|i| u8::from(i % 3 == 0)).collect();
        let curve = pr_curve(&binary(&truth, &scores), 0).unwrap();
        for most in [0, 2, 3, 100, 4999, 9999] {
            let thin = curve.thinned(most);
            assert!(thin.points.len() <= most.max(2), "{} of {most}", thin.points.len());
            assert_eq!(thin.points.first(), curve.points.first());
            assert_eq!(thin.points.last(), curve.points.last());
        }
        assert!(curve.thinned(100).points.len() > 50);
    }

    #[test]
    fn what_has_no_curve_is_refused() {
        assert!(pr_curve(&Set::new(Task::MultiLabel, 1).unwrap(), 0).is_err());
        assert!(roc_curve(&binary(&[1], &[0.5]), 1).is_err());
    }
}
