//! Confidence against accuracy, bin by bin: reliability diagrams and the
//! calibration errors that are read from them.

use serde::{Deserialize, Serialize};

use super::conventions::Conventions;

/// One bar of a reliability diagram.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Lower edge of the confidences in it.
    pub low: f64,
    /// Upper edge.
    pub high: f64,
    /// Predictions in it.
    pub count: u64,
    /// Their mean confidence; `None` of an empty bin.
    pub confidence: Option<f64>,
    /// The share of them that was right; `None` of an empty bin.
    pub accuracy: Option<f64>,
}

/// What fell into one bin.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Fill {
    pub count: u64,
    /// Sum of the confidences.
    pub confidence: f64,
    pub right: u64,
}

impl Fill {
    /// `weight` predictions of the same `confidence`.
    pub fn add(&mut self, confidence: f64, right: bool, weight: u64) {
        self.count += weight;
        self.confidence += confidence * weight as f64;
        self.right += if right { weight } else { 0 };
    }

    /// `weight` times what `other` holds.
    pub fn merge(&mut self, other: &Fill, weight: u64) {
        self.count += weight * other.count;
        self.confidence += weight as f64 * other.confidence;
        self.right += weight * other.right;
    }

    /// |accuracy − confidence|; 0 of an empty bin.
    fn gap(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        (self.right as f64 / self.count as f64 - self.confidence / self.count as f64).abs()
    }
}

/// The edges of `bins` bins of equal width over [0, 1], and which of them holds
/// a confidence.
///
/// scikit-learn's `calibration_curve`: bins (a, b], the first with 0.
/// torchmetrics: bins [a, b), and one more for exactly 1. The edges are those of
/// `numpy.linspace` and `torch.linspace`, which differ in the last bit.
#[derive(Clone, Debug)]
pub(super) struct EqualWidth {
    bins: usize,
    edges: Vec<f64>,
    conventions: Conventions,
}

impl EqualWidth {
    pub fn new(bins: usize, conventions: Conventions) -> Self {
        let step = 1.0 / bins as f64;
        let edge = |i: usize| match conventions {
            Conventions::ScikitLearn if i == bins => 1.0,
            // From both ends towards the middle, each with one rounding.
            Conventions::TorchMetrics if i >= bins.div_ceil(2) => {
                (-step).mul_add((bins - i) as f64, 1.0)
            }
            _ => step * i as f64,
        };
        EqualWidth { bins, edges: (0..=bins).map(edge).collect(), conventions }
    }

    /// How many bins [`index`](Self::index) can name.
    pub fn len(&self) -> usize {
        self.bins + usize::from(self.conventions == Conventions::TorchMetrics)
    }

    /// The bin of `confidence`, which lies in [0, 1].
    pub fn index(&self, confidence: f64) -> usize {
        // The right bin or a neighbour, then put right against the edges.
        let mut bin = ((confidence * self.bins as f64) as usize).min(self.bins - 1);
        match self.conventions {
            Conventions::ScikitLearn => {
                while bin > 0 && confidence <= self.edges[bin] {
                    bin -= 1;
                }
                while bin + 1 < self.bins && confidence > self.edges[bin + 1] {
                    bin += 1;
                }
            }
            Conventions::TorchMetrics => {
                while bin > 0 && confidence < self.edges[bin] {
                    bin -= 1;
                }
                while bin < self.bins && confidence >= self.edges[bin + 1] {
                    bin += 1;
                }
            }
        }
        bin
    }

    /// The bars of a diagram of these `fills`. torchmetrics' last, for exactly
    /// 1, is there only if anything is in it.
    pub fn diagram(&self, fills: &[Fill]) -> Vec<Bin> {
        let bars = fills.iter().enumerate().filter(|(i, fill)| *i < self.bins || fill.count > 0);
        bars.map(|(i, fill)| {
            bar(self.edges[i], self.edges.get(i + 1).copied().unwrap_or(1.0), fill)
        })
        .collect()
    }
}

fn bar(low: f64, high: f64, fill: &Fill) -> Bin {
    let mean = |sum: f64| (fill.count > 0).then(|| sum / fill.count as f64);
    Bin {
        low,
        high,
        count: fill.count,
        confidence: mean(fill.confidence),
        accuracy: mean(fill.right as f64),
    }
}

/// Expected calibration error: Σ n_b/N · |accuracy_b − confidence_b| (Naeini et
/// al., AAAI 2015; Guo et al., ICML 2017, arXiv 1706.04599). 0 of nothing.
pub(super) fn expected_error(fills: &[Fill]) -> f64 {
    let total: u64 = fills.iter().map(|fill| fill.count).sum();
    let error: f64 = fills.iter().map(|fill| fill.gap() * fill.count as f64).sum();
    if total == 0 { 0.0 } else { error / total as f64 }
}

/// Maximum calibration error: the greatest gap of a bin that is not empty (the
/// same papers).
pub(super) fn greatest_error(fills: &[Fill]) -> f64 {
    fills.iter().map(Fill::gap).fold(0.0, f64::max)
}

/// Bins that hold equally many predictions: edges at the quantiles of the
/// confidences, as scikit-learn's `calibration_curve(strategy="quantile")` has
/// them (`numpy.percentile`, linear between two values; bins (a, b]). After
/// Nguyen & O'Connor 2015; torchmetrics has no such thing, so both conventions
/// agree.
pub(super) struct EqualMass {
    edges: Vec<f64>,
    pub fills: Vec<Fill>,
}

impl EqualMass {
    /// Bins the predictions `sorted` by confidence: (confidence, right?, video).
    /// One stands for as many of the same as its video weighs.
    pub fn new(sorted: &[(f64, bool, u32)], weight: impl Fn(u32) -> u64, bins: usize) -> Self {
        let total: u64 = sorted.iter().map(|&(.., video)| weight(video)).sum();
        let mut fills = vec![Fill::default(); bins];
        if total == 0 {
            return EqualMass { edges: vec![0.0; bins + 1], fills };
        }
        let edges = quantiles(sorted, &weight, total, bins);
        let mut bin = 0;
        for &(confidence, right, video) in sorted {
            while bin + 1 < bins && confidence > edges[bin + 1] {
                bin += 1;
            }
            fills[bin].add(confidence, right, weight(video));
        }
        EqualMass { edges, fills }
    }

    /// The bars of a diagram.
    pub fn diagram(&self) -> Vec<Bin> {
        let edges = self.edges.iter().zip(&self.edges[1..]);
        edges.zip(&self.fills).map(|((&low, &high), fill)| bar(low, high, fill)).collect()
    }
}

/// `numpy.percentile(values, numpy.linspace(0, 1, bins + 1) * 100)`, to the last
/// bit: a value that equals an edge must fall where numpy puts it.
fn quantiles(
    sorted: &[(f64, bool, u32)],
    weight: impl Fn(u32) -> u64,
    total: u64,
    bins: usize,
) -> Vec<f64> {
    let step = 1.0 / bins as f64;
    let mut edges = Vec::with_capacity(bins + 1);
    // The first value whose ranks, with those before it, pass a rank. Ranks
    // ascend from edge to edge, so one walk finds them all.
    let (mut at, mut passed) = (0, weight(sorted[0].2));
    for i in 0..=bins {
        let fraction = if i == bins { 1.0 } else { i as f64 * step };
        let place = (total - 1) as f64 * (fraction * 100.0 / 100.0);
        let rank = (place.floor() as u64).min(total - 1);
        while passed <= rank {
            at += 1;
            passed += weight(sorted[at].2);
        }
        let low = sorted[at].0;
        let next = (rank + 1).min(total - 1);
        let (mut after, mut reached) = (at, passed);
        while reached <= next {
            after += 1;
            reached += weight(sorted[after].2);
        }
        let high = sorted[after].0;
        let part = place - place.floor();
        edges.push(if part >= 0.5 {
            high - (high - low) * (1.0 - part)
        } else {
            low + (high - low) * part
        });
    }
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_belongs_to_the_bin_below_or_above() {
        let sklearn = EqualWidth::new(4, Conventions::ScikitLearn);
        let torch = EqualWidth::new(4, Conventions::TorchMetrics);
        let of = |bins: &EqualWidth| [0.0, 0.25, 0.3, 0.5, 1.0].map(|p| bins.index(p));
        assert_eq!(of(&sklearn), [0, 0, 1, 1, 3]);
        assert_eq!(of(&torch), [0, 1, 1, 2, 4]);
        assert_eq!((sklearn.len(), torch.len()), (4, 5));
    }

    #[test]
    fn every_confidence_lies_between_the_edges_of_its_bin() {
        for conventions in [Conventions::ScikitLearn, Conventions::TorchMetrics] {
            for bins in 1..40 {
                let width = EqualWidth::new(bins, conventions);
                assert_eq!((width.edges[0], width.edges[bins]), (0.0, 1.0));
                for i in 0..=1000 {
                    let p = f64::from(i) / 1000.0;
                    let bin = width.index(p);
                    let (low, high) = (width.edges[bin], width.edges.get(bin + 1).copied());
                    let within = match conventions {
                        Conventions::ScikitLearn => (p > low || bin == 0) && p <= high.unwrap(),
                        Conventions::TorchMetrics => p >= low && high.is_none_or(|high| p < high),
                    };
                    assert!(within, "{p} in bin {bin} of {bins}, {conventions}");
                }
            }
        }
    }

    #[test]
    fn equal_mass_bins_hold_equally_many() {
        let sorted: Vec<_> = (0..100).map(|i| (f64::from(i) / 100.0, i % 2 == 0, 0)).collect();
        let mass = EqualMass::new(&sorted, |_| 1, 10);
        assert!(mass.fills.iter().all(|fill| fill.count == 10), "{:?}", mass.fills);
        assert_eq!(mass.diagram().len(), 10);
    }

    #[test]
    fn a_weight_stands_for_so_many_of_the_same() {
        let weights = [3, 0, 2, 4];
        let sorted = [(0.1, true, 0), (0.2, false, 1), (0.4, true, 2), (0.9, false, 3)];
        let each = |&(p, right, video): &(f64, bool, u32)| {
            std::iter::repeat_n((p, right, video), weights[video as usize])
        };
        let plain: Vec<_> = sorted.iter().flat_map(each).collect();
        for bins in 1..8 {
            let a = EqualMass::new(&sorted, |video| weights[video as usize] as u64, bins);
            let b = EqualMass::new(&plain, |_| 1, bins);
            assert_eq!(a.edges, b.edges);
            assert!((expected_error(&a.fills) - expected_error(&b.fills)).abs() < 1e-15);
        }
    }

    #[test]
    fn errors_of_known_bins() {
        let mut fills = vec![Fill::default(); 3];
        fills[0].add(0.2, false, 1);
        fills[2].add(0.9, true, 3);
        // 1/4 · 0.2 + 3/4 · 0.1
        assert!((expected_error(&fills) - 0.125).abs() < 1e-15);
        assert!((greatest_error(&fills) - 0.2).abs() < 1e-15);
        assert_eq!(expected_error(&[Fill::default()]), 0.0);
    }
}
