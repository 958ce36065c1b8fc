//! Histogram binning of the top label's probability, for each top label.

use super::batch::Batch;
use super::hedge::Hedge;
use super::parameters::{Bin, ClassBins, First, Parameters};
use super::platt::{cross_entropy, sigmoid, top, top_labels};
use super::scaling::scale;
use super::state::Numbers;
use super::top::replace_top;

/// Bins are one apart on the logit scale, from -2 to 6 (probabilities of 0.12 to
/// 0.998): a video model's top label is mostly near 1, where equal widths would
/// see one bin.
const BINS: usize = 10;
const FIRST_EDGE: f64 = -2.0;
/// The faster fit looks back this far, effective samples.
const FAST: f64 = 150.0;
/// What the model says weighs as much as this many samples of a bin.
const SHRINK: f64 = 5.0;
/// What all labels' bin says weighs as much as this many of one label's own.
const SHRINK_OWN: f64 = 20.0;
/// Where these stand among what is weighed.
const SLOW: usize = 1;
const FAST_ONE: usize = 2;
/// Bound of what a state may hold for a sum or the clock.
const MOST: f64 = 1e12;

/// Samples and right ones in each bin, the past forgotten.
#[derive(Clone, Debug, Default, PartialEq)]
struct Cells {
    all: [f64; BINS],
    right: [f64; BINS],
}

impl Cells {
    fn fade(&mut self, keep: f64) {
        self.all.iter_mut().chain(&mut self.right).for_each(|sum| *sum *= keep);
    }

    fn add(&mut self, bin: usize, right: f64, weight: f64) {
        if let (Some(all), Some(hits)) = (self.all.get_mut(bin), self.right.get_mut(bin)) {
            *all += weight;
            *hits += weight * right;
        }
    }

    /// How far what was observed takes the place of what was said, where that
    /// weighs `shrink`; and what was observed, times that.
    fn line(&self, bin: usize, shrink: f64) -> Line {
        let (Some(all), Some(right)) = (self.all.get(bin), self.right.get(bin)) else {
            return Line::IDENTITY;
        };
        Line { keep: shrink / (shrink + all), add: right / (shrink + all) }
    }

    fn write(&self, out: &mut Vec<f64>) {
        out.extend(self.all.iter().chain(&self.right));
    }

    fn read(&mut self, numbers: &mut Numbers<'_>) -> Option<()> {
        numbers.fill(&mut self.all, 0.0, MOST)?;
        numbers.fill(&mut self.right, 0.0, MOST)
    }
}

/// p becomes keep p + add.
#[derive(Clone, Copy)]
struct Line {
    keep: f64,
    add: f64,
}

impl Line {
    const IDENTITY: Line = Line { keep: 1.0, add: 0.0 };

    fn at(self, p: f64) -> f64 {
        self.keep * p + self.add
    }

    /// This after `first`.
    fn after(self, first: Line) -> Line {
        Line { keep: self.keep * first.keep, add: self.keep * first.add + self.add }
    }

    fn bin(self, to: f64) -> Bin {
        let weight = (1.0 - self.keep).clamp(0.0, 1.0);
        let p = if weight > 0.0 { (self.add / weight).clamp(0.0, 1.0) } else { 0.0 };
        Bin { to, p, weight }
    }
}

/// Histogram binning (Zadrozny & Elkan, ICML 2001) within each top label (Gupta
/// & Ramdas, "Top-label calibration", ICLR 2022). A bin with little evidence
/// keeps to what was said: its prior is a Beta distribution around that, and a
/// label's own bins have all labels' bins for a prior.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    first: First,
    horizon: f64,
    classes: usize,
    /// Over all labels, looking back far and not so far.
    slow: Cells,
    fast: Cells,
    /// Of each label that came out on top, by class index, ascending.
    own: Vec<Own>,
    /// Effective samples since the beginning.
    clock: f64,
    /// Among what the model says, `slow`, `fast` and `own`.
    hedge: Hedge,
}

/// One label's bins, as they were when it last came out on top.
#[derive(Clone, Debug)]
struct Own {
    class: usize,
    clock: f64,
    cells: Cells,
}

impl Histogram {
    /// Looking back `length` effective samples, over probabilities scaled by
    /// `first`.
    pub fn new(length: f64, first: First, classes: usize) -> Self {
        Histogram {
            first,
            horizon: length,
            classes,
            slow: Cells::default(),
            fast: Cells::default(),
            own: Vec::new(),
            clock: 0.0,
            hedge: Hedge::new(&[8.0, 0.6, 0.1, 0.3]),
        }
    }

    /// Writes the model's probabilities with the top label's corrected.
    pub fn predict(&self, logits: &[f32], out: &mut [f32]) {
        scale(logits, self.first.temperature, &self.first.bias, out);
        replace_top(out, |class, p| self.line(self.find(class), bin(p)).at(p));
    }

    /// Judges by a sample, then learns from it. `p` is scratch of one value a
    /// class.
    pub fn learn(&mut self, logits: &[f32], truth: usize, evidence: f64, p: &mut [f32]) {
        scale(logits, self.first.temperature, &self.first.bias, p);
        let Some((class, said)) = top(p) else { return };
        let right = if class == truth { 1.0 } else { 0.0 };
        let bin = bin(said);
        let losses =
            self.lines(self.find(class), bin).map(|line| cross_entropy(line.at(said), right));
        self.hedge.learn(&losses, evidence);

        if self.hedge.outdated(SLOW, FAST_ONE) {
            self.slow.clone_from(&self.fast);
            self.own.clear();
            self.hedge.renew(SLOW, FAST_ONE);
        }

        self.clock += evidence;
        self.slow.fade(1.0 - evidence / self.horizon);
        self.fast.fade(1.0 - evidence / FAST);
        self.slow.add(bin, right, evidence);
        self.fast.add(bin, right, evidence);
        let at = self.own.partition_point(|own| own.class < class);
        if self.own.get(at).is_none_or(|own| own.class != class) {
            self.own.insert(at, Own { class, clock: self.clock, cells: Cells::default() });
        }
        let (clock, horizon) = (self.clock, self.horizon);
        if let Some(own) = self.own.get_mut(at) {
            own.cells.fade(((own.clock - clock) / horizon).exp());
            own.cells.add(bin, right, evidence);
            own.clock = clock;
        }
    }

    fn find(&self, class: usize) -> Option<&Own> {
        let at = self.own.binary_search_by_key(&class, |own| own.class).ok()?;
        self.own.get(at)
    }

    /// What each of the four makes of a probability in a bin.
    fn lines(&self, own: Option<&Own>, bin: usize) -> [Line; 4] {
        let slow = self.slow.line(bin, SHRINK);
        let own = own.map_or(slow, |own| {
            // What is older than the label's last time weighs less by now.
            let keep = ((own.clock - self.clock) / self.horizon).exp();
            own.cells.line(bin, SHRINK_OWN / keep).after(slow)
        });
        [Line::IDENTITY, slow, self.fast.line(bin, SHRINK), own]
    }

    /// Their weighted mean.
    fn line(&self, own: Option<&Own>, bin: usize) -> Line {
        let mut mean = Line { keep: 0.0, add: 0.0 };
        for (line, weight) in self.lines(own, bin).into_iter().zip(self.hedge.weights()) {
            mean.keep += weight * line.keep;
            mean.add += weight * line.add;
        }
        mean
    }

    /// What is now used.
    pub fn parameters(&self) -> Parameters {
        let bins = |own| (0..BINS).map(|k| self.line(own, k).bin(edge(k))).collect();
        let classes = self.own.iter();
        let classes = classes.map(|own| ClassBins { class: own.class, bins: bins(Some(own)) });
        Parameters::Histogram {
            first: self.first.clone(),
            bins: bins(None),
            classes: classes.collect(),
        }
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        *self = Histogram::new(self.horizon, self.first.clone(), self.classes);
    }

    pub fn write(&self, out: &mut Vec<f64>) {
        self.hedge.write(out);
        out.push(self.clock);
        self.slow.write(out);
        self.fast.write(out);
        out.push(self.own.len() as f64);
        for own in &self.own {
            out.extend([own.class as f64, own.clock]);
            own.cells.write(out);
        }
    }

    pub fn read(&mut self, numbers: &mut Numbers<'_>) -> Option<()> {
        self.hedge.read(numbers)?;
        self.clock = numbers.within(0.0, MOST)?;
        self.slow.read(numbers)?;
        self.fast.read(numbers)?;
        self.own.clear();
        for _ in 0..numbers.count(self.classes)? {
            let class = numbers.count(self.classes.saturating_sub(1))?;
            let clock = numbers.within(0.0, self.clock)?;
            let mut own = Own { class, clock, cells: Cells::default() };
            own.cells.read(numbers)?;
            if self.own.last().is_some_and(|before| before.class >= class) {
                return None;
            }
            self.own.push(own);
        }
        Some(())
    }
}

/// Histogram binning over all samples at once: the bins of all labels together
/// and of each label, drawn to what was said as the online fit draws them.
pub fn fit_histogram(batch: &Batch) -> Parameters {
    let mut pooled = Cells::default();
    let mut own: Vec<Option<Cells>> = vec![None; batch.classes()];
    for top in top_labels(batch, &First::default()) {
        let bin = bin(top.p);
        pooled.add(bin, top.right, top.weight);
        if let Some(own) = own.get_mut(top.class) {
            own.get_or_insert_default().add(bin, top.right, top.weight);
        }
    }
    let bins = |own: Option<&Cells>| {
        (0..BINS)
            .map(|k| {
                let line = pooled.line(k, SHRINK);
                own.map_or(line, |own| own.line(k, SHRINK_OWN).after(line)).bin(edge(k))
            })
            .collect()
    };
    let classes = own.iter().enumerate().filter_map(|(class, own)| Some((class, own.as_ref()?)));
    Parameters::Histogram {
        first: First::default(),
        bins: bins(None),
        classes: classes.map(|(class, own)| ClassBins { class, bins: bins(Some(own)) }).collect(),
    }
}

/// Where bin `k` ends.
fn edge(k: usize) -> f64 {
    if k + 1 < BINS { sigmoid(FIRST_EDGE + k as f64) } else { 1.0 }
}

/// Which bin a probability falls into; an edge belongs to the bin below it.
fn bin(p: f64) -> usize {
    (0..BINS).find(|&k| p <= edge(k)).unwrap_or(BINS - 1)
}
