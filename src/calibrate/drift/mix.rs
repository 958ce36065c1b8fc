//! How probable each class is on average, watched for all classes at once.

use super::adwin::{AdwinOptions, Change, MOST_TICKS, bound};
use super::alarm::Detector;
use super::correlation::{Batches, Correlation};
use super::options::DriftOptions;
use super::page_hinkley::PageHinkley;
use super::series::SHORTEST;

/// ADWIN over the vector of class probabilities: one exponential histogram whose
/// buckets hold a sum for each class, and a bound for each class that all of them
/// share δ in. So whichever class changed can be named, in memory that depends on
/// the number of classes only (78 buckets; 125 KB for 400 classes).
///
/// Probabilities are counted in units of 1/4096: sums are exact, a class that
/// hardly ever shows is a zero, and states stay small. The variance of a class whose
/// mean is μ is taken for μ(1 − μ), the greatest that values in [0, 1] can have,
/// which a confident model comes close to.
///
/// Beside it a Page–Hinkley test for each class.
#[derive(Clone, Debug)]
pub(super) struct Mix {
    classes: usize,
    /// Row r holds buckets of 2^r samples, oldest first; each is one sum a class.
    /// `capacity` buckets a row.
    sums: Vec<u32>,
    held: [usize; ROWS],
    totals: Vec<u64>,
    length: u64,
    ticks: u32,
    tests: Vec<PageHinkley>,
    batches: Batches,
    correlations: Vec<Correlation>,
    /// While looking for a cut: the sums of the older part, and each class's time.
    older: Vec<u64>,
    times: Vec<f64>,
}

const UNIT: f64 = 4096.0;

/// Buckets a row holds, and one more until two are merged.
const BUCKETS: usize = 5;
const CAPACITY: usize = BUCKETS + 1;

/// The oldest samples are forgotten when these rows are full: after 41,000 samples,
/// a day and a half of clips of 3 s.
const ROWS: usize = 13;

/// Page–Hinkley's allowance, as a share of predictions.
const ALLOWANCE: f64 = 0.1;

/// A class that has changed.
pub(super) struct MixChange {
    pub class: usize,
    pub detector: Detector,
    pub change: Change,
}

impl Mix {
    pub(super) fn new(classes: usize) -> Self {
        Mix {
            classes,
            sums: vec![0; ROWS * CAPACITY * classes],
            held: [0; ROWS],
            totals: vec![0; classes],
            length: 0,
            ticks: 0,
            tests: vec![PageHinkley::default(); classes],
            batches: Batches::default(),
            correlations: vec![Correlation::default(); classes],
            older: vec![0; classes],
            times: vec![Correlation::default().time(&Batches::default()); classes],
        }
    }

    /// Takes one sample: a probability for each class. After a change all begins
    /// anew, but for what was learned of the correlations.
    pub(super) fn add(&mut self, sample: &[f64], options: &DriftOptions) -> Option<MixChange> {
        self.correlate(sample);
        self.insert(sample);
        let by_sum = self.test(sample, options);
        self.ticks += 1;
        let due = self.ticks >= options.clock && self.length > options.reference;
        let by_window = if due {
            self.ticks = 0;
            self.cut(options)
        } else {
            None
        };
        let found = by_window.or(by_sum);
        if found.is_some() {
            self.begin_anew();
        }
        found
    }

    fn begin_anew(&mut self) {
        self.held = [0; ROWS];
        self.totals.fill(0);
        self.length = 0;
        self.ticks = 0;
        self.tests.fill(PageHinkley::default());
    }

    fn correlate(&mut self, sample: &[f64]) {
        for (correlation, &p) in self.correlations.iter_mut().zip(sample) {
            correlation.add(p);
        }
        if self.batches.step() {
            for correlation in &mut self.correlations {
                correlation.complete(&self.batches);
            }
            self.batches.complete();
            self.time();
        }
    }

    /// A class's own time, or the classes' together where that is longer: one that
    /// was hardly seen yet will last as the others do.
    fn time(&mut self) {
        let (mut whole, mut weight) = (0.0, 0.0);
        for (correlation, time) in self.correlations.iter().zip(&mut self.times) {
            *time = correlation.time(&self.batches);
            let variance = correlation.variance(&self.batches);
            whole += variance * *time;
            weight += variance;
        }
        if weight > 0.0 {
            self.times.iter_mut().for_each(|time| *time = time.max(whole / weight));
        }
    }

    fn place(&self, row: usize, slot: usize) -> std::ops::Range<usize> {
        let from = (row * CAPACITY + slot) * self.classes;
        from..from + self.classes
    }

    fn insert(&mut self, sample: &[f64]) {
        self.length += 1;
        let place = self.place(0, self.held[0]);
        let slot = self.sums.get_mut(place).unwrap_or_default();
        for ((sum, total), &p) in slot.iter_mut().zip(&mut self.totals).zip(sample) {
            *sum = (p.clamp(0.0, 1.0) * UNIT).round() as u32;
            *total += u64::from(*sum);
        }
        self.held[0] += 1;
        for row in 0..ROWS {
            if self.held[row] < CAPACITY {
                return;
            }
            self.merge(row);
        }
    }

    /// The two oldest buckets of a full row become one of the next; in the last row
    /// the oldest is forgotten.
    fn merge(&mut self, row: usize) {
        let start = self.place(row, 0).start;
        let last = row + 1 == ROWS;
        if last {
            self.length -= 1 << row;
            let oldest = self.sums.get(start..start + self.classes).unwrap_or_default();
            for (total, &sum) in self.totals.iter_mut().zip(oldest) {
                *total = total.saturating_sub(u64::from(sum));
            }
        } else {
            let into = self.place(row + 1, self.held[row + 1]).start;
            for class in 0..self.classes {
                self.sums[into + class] =
                    self.sums[start + class] + self.sums[start + self.classes + class];
            }
            self.held[row + 1] += 1;
        }
        let gone = if last { 1 } else { 2 };
        let end = start + CAPACITY * self.classes;
        self.sums.copy_within(start + gone * self.classes..end, start);
        self.held[row] -= gone;
    }

    /// Page–Hinkley for each class; of those beyond their threshold the class that
    /// changed most. A sum of deviations, each less an allowance a, from values of
    /// variance σ² passes h by chance about exp(−2ah/σ²) as often as it starts; half
    /// the exponent more is for values that are not normal: a rare class is there
    /// or it is not.
    fn test(&mut self, sample: &[f64], options: &DriftOptions) -> Option<MixChange> {
        let exponent = 2.0 * options.allowance * options.threshold;
        let enough = self.length > options.reference;
        let mut most: Option<MixChange> = None;
        let classes = self.tests.iter_mut().zip(sample).zip(&self.times).enumerate();
        for (class, ((test, &p), &time)) in classes {
            let mean = test.mean().clamp(0.0, 1.0);
            let height = mean * (1.0 - mean) / (2.0 * ALLOWANCE) + 0.5;
            let change = test.add(p, ALLOWANCE, exponent * height * time);
            let found = change.filter(|_| enough).map(|change| MixChange {
                class,
                detector: Detector::PageHinkley,
                change,
            });
            most = greater(most, found, options.least_share);
        }
        most
    }

    /// The class and the cut whose means differ most, of those that differ too much.
    fn cut(&mut self, options: &DriftOptions) -> Option<MixChange> {
        let cuts = AdwinOptions {
            delta: options.delta / self.classes.max(1) as f64,
            clock: options.clock,
            shortest: SHORTEST,
            grace: options.reference,
        };
        let length = self.length as f64;
        let confidence = (2.0 * length.ln() / cuts.delta).ln();
        self.older.fill(0);
        let mut most: Option<MixChange> = None;
        let mut older = 0u64;
        for row in (0..ROWS).rev() {
            for slot in 0..self.held[row] {
                older += 1 << row;
                let place = self.place(row, slot);
                let sums = self.sums.get(place).unwrap_or_default();
                self.older
                    .iter_mut()
                    .zip(sums)
                    .for_each(|(before, &sum)| *before += u64::from(sum));
                let newer = self.length.saturating_sub(older);
                if older < SHORTEST || newer < SHORTEST {
                    continue;
                }
                let (before, after) = (1.0 / (older as f64 * UNIT), 1.0 / (newer as f64 * UNIT));
                let sums = self.older.iter().zip(&self.totals).zip(&self.times).enumerate();
                for (class, ((&sum, &total), &time)) in sums {
                    let from = sum as f64 * before;
                    let to = total.saturating_sub(sum) as f64 * after;
                    if (from - to).abs() < options.least_share {
                        continue;
                    }
                    let mean = total as f64 / (length * UNIT);
                    let variance = mean * (1.0 - mean).max(0.0);
                    let bound = bound(older, newer, variance, confidence, time, &cuts);
                    if (from - to).abs() > bound {
                        let change = Change { from, to, since: newer };
                        let found = MixChange { class, detector: Detector::Adwin, change };
                        most = greater(most, Some(found), options.least_share);
                    }
                }
            }
        }
        most
    }

    /// Appends everything but the buckets to `state`; the buckets go to `sums`.
    pub(super) fn save(&self, state: &mut Vec<f64>, sums: &mut Vec<u32>) {
        state.extend([self.length as f64, f64::from(self.ticks)]);
        self.batches.save(state);
        self.tests.iter().for_each(|test| test.save(state));
        self.correlations.iter().for_each(|correlation| correlation.save(state));
        for (row, &held) in self.held.iter().enumerate() {
            sums.push(held as u32);
            let held = self.place(row, 0).start..self.place(row, held).start;
            sums.extend(self.sums.get(held).unwrap_or_default());
        }
    }

    /// What [`save`](Self::save) wrote; none where no window can have been so.
    pub(super) fn load(
        classes: usize,
        state: &mut dyn Iterator<Item = f64>,
        sums: &[u32],
    ) -> Option<Self> {
        let mut mix = Mix::new(classes);
        mix.length = state.next()? as u64;
        mix.ticks = Some(state.next()? as u32).filter(|&ticks| ticks <= MOST_TICKS)?;
        mix.batches = Batches::load(state)?;
        for test in &mut mix.tests {
            *test = PageHinkley::load(state)?;
        }
        for correlation in &mut mix.correlations {
            *correlation = Correlation::load(state)?;
        }
        let mut rest = sums;
        let mut length = 0;
        for row in 0..ROWS {
            let (&held, after) = rest.split_first()?;
            let held = held as usize;
            if held > BUCKETS {
                return None;
            }
            let (buckets, after) = after.split_at_checked(held * classes)?;
            rest = after;
            let greatest = (1u64 << row) * UNIT as u64;
            if buckets.iter().any(|&sum| u64::from(sum) > greatest) {
                return None;
            }
            let place = mix.place(row, 0).start;
            mix.sums.get_mut(place..place + buckets.len())?.copy_from_slice(buckets);
            for bucket in buckets.chunks(classes.max(1)) {
                mix.totals
                    .iter_mut()
                    .zip(bucket)
                    .for_each(|(total, &sum)| *total += u64::from(sum));
            }
            mix.held[row] = held;
            length += (held as u64) << row;
        }
        mix.time();
        (rest.is_empty() && length == mix.length).then_some(mix)
    }
}

/// The one of two that changed more; a change of less than `least` is none.
fn greater(most: Option<MixChange>, found: Option<MixChange>, least: f64) -> Option<MixChange> {
    let size = |change: &MixChange| (change.change.to - change.change.from).abs();
    let Some(found) = found.filter(|found| size(found) >= least) else { return most };
    if most.as_ref().is_none_or(|most| size(&found) > size(most)) { Some(found) } else { most }
}
