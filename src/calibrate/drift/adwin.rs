//! ADWIN over one quantity.

/// Where a window falls into two that differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Change {
    /// The mean before.
    pub from: f64,
    /// The mean since.
    pub to: f64,
    /// How many values the newer part has.
    pub since: u64,
}

/// What ADWIN is run with.
#[derive(Clone, Copy, Debug)]
pub(super) struct AdwinOptions {
    /// δ: smaller is more careful.
    pub delta: f64,
    /// Cuts are looked for at every so many values.
    pub clock: u32,
    /// Neither part may be shorter than this.
    pub shortest: u64,
    /// No cut before the window is longer than this.
    pub grace: u64,
}

/// Adaptive windowing (ADWIN2: Bifet & Gavaldà 2007, *Learning from time-changing
/// data with adaptive windowing*, sections 3.2 and 4): a window of values in [0, 1]
/// kept as an exponential histogram, row r in buckets of 2^r values, at most
/// [`BUCKETS`] a row. It grows while no cut into an older and a newer part shows
/// means that differ by more than their theorem 3.2 lets chance explain.
///
/// Memory: 6 buckets for each doubling of its length. The caller empties it after a
/// change, so no bucket is ever dropped.
#[derive(Clone, Debug, Default)]
pub(super) struct Adwin {
    /// Sums of buckets, the oldest of a row first.
    rows: Vec<Vec<f64>>,
    sum: f64,
    /// Sum of squared distances from the mean.
    spread: f64,
    length: u64,
    ticks: u32,
}

/// M: how many buckets a row may hold.
const BUCKETS: usize = 5;

/// More values than any clock waits for.
pub(super) const MOST_TICKS: u32 = 1_000_000;

/// There are never more rows than this: 2^40 values are longer than any camera lives.
const ROWS: usize = 40;

impl Adwin {
    /// The variance of the window.
    pub(super) fn variance(&self) -> f64 {
        if self.length == 0 { 0.0 } else { (self.spread / self.length as f64).max(0.0) }
    }

    /// Takes a value, finite. `correlation` is how many values tell as much as one
    /// independent one would (at least 1): the variance of a mean is that much
    /// greater than independent values would make it.
    pub(super) fn add(
        &mut self,
        value: f64,
        correlation: f64,
        options: &AdwinOptions,
    ) -> Option<Change> {
        if self.length > 0 {
            let ahead = value - self.sum / self.length as f64;
            self.spread += ahead * ahead * self.length as f64 / (self.length + 1) as f64;
        }
        self.length += 1;
        self.sum += value;
        self.insert(value);
        self.ticks += 1;
        if self.ticks < options.clock {
            return None;
        }
        self.ticks = 0;
        if self.length > options.grace { self.cut(correlation, options) } else { None }
    }

    fn insert(&mut self, value: f64) {
        let mut carried = value;
        for row in 0..ROWS {
            if row == self.rows.len() {
                self.rows.push(Vec::with_capacity(BUCKETS + 1));
            }
            let Some(buckets) = self.rows.get_mut(row) else { return };
            buckets.push(carried);
            if buckets.len() <= BUCKETS {
                return;
            }
            // The two oldest become one of the next row.
            carried = buckets.drain(..2).sum();
        }
    }

    /// The cut whose means differ most, of those that differ too much.
    fn cut(&self, correlation: f64, options: &AdwinOptions) -> Option<Change> {
        let length = self.length as f64;
        let confidence = (2.0 * length.ln() / options.delta).ln();
        let variance = self.variance();
        let (mut older, mut before) = (0u64, 0.0);
        let mut worst: Option<(f64, Change)> = None;
        for (row, buckets) in self.rows.iter().enumerate().rev() {
            for bucket in buckets {
                older += 1 << row;
                before += bucket;
                let newer = self.length.saturating_sub(older);
                if older < options.shortest || newer < options.shortest {
                    continue;
                }
                let (from, to) = (before / older as f64, (self.sum - before) / newer as f64);
                let bound = bound(older, newer, variance, confidence, correlation, options);
                let excess = (from - to).abs() / bound;
                if excess > worst.map_or(1.0, |(most, _)| most) {
                    worst = Some((excess, Change { from, to, since: newer }));
                }
            }
        }
        worst.map(|(_, change)| change)
    }

    /// Appends everything to `state`.
    pub(super) fn save(&self, state: &mut Vec<f64>) {
        let scalars = [self.sum, self.spread, self.length as f64, f64::from(self.ticks)];
        state.extend(scalars);
        state.push(self.rows.len() as f64);
        for row in &self.rows {
            state.push(row.len() as f64);
            state.extend(row);
        }
    }

    /// What [`save`](Self::save) wrote; none where no window can have been so.
    pub(super) fn load(state: &mut dyn Iterator<Item = f64>) -> Option<Self> {
        let mut next = || state.next().filter(|value| value.is_finite());
        let (sum, spread) = (next()?, next()?);
        let (length, ticks) = (next()? as u64, next()? as u32);
        let rows = next()? as usize;
        if rows > ROWS || ticks > MOST_TICKS {
            return None;
        }
        let mut adwin = Adwin { rows: Vec::new(), sum, spread, length, ticks };
        let mut held = 0u64;
        for row in 0..rows {
            let count = next()? as usize;
            if count > BUCKETS {
                return None;
            }
            let mut buckets = Vec::with_capacity(BUCKETS + 1);
            for _ in 0..count {
                buckets.push(next()?);
                held += 1 << row;
            }
            adwin.rows.push(buckets);
        }
        (held == length).then_some(adwin)
    }
}

/// ε_cut of theorem 3.2 with the variance (ADWIN2), for parts that are shorter by
/// the shortest allowed, as MOA and river have it, and the fewer the more each value
/// repeats the last.
pub(super) fn bound(
    older: u64,
    newer: u64,
    variance: f64,
    confidence: f64,
    correlation: f64,
    options: &AdwinOptions,
) -> f64 {
    let part = |count: u64| 1.0 / (count.saturating_sub(options.shortest) + 1) as f64;
    let mean = (part(older) + part(newer)) * correlation;
    (2.0 * mean * variance * confidence).sqrt() + 2.0 / 3.0 * confidence * mean
}

#[cfg(test)]
mod tests {
    use super::super::golden::Case;
    use super::*;

    #[test]
    fn sees_changes_where_river_sees_them() {
        let cases = Case::all(include_str!("../../../tests/golden/drift/adwin.jsonl"));
        for case in &cases {
            let options = AdwinOptions {
                delta: case.float("delta"),
                clock: case.number("clock") as u32,
                shortest: case.number("shortest"),
                grace: case.number("grace"),
            };
            let mut adwin = Adwin::default();
            let mut alarms = Vec::new();
            for (index, value) in case.values().into_iter().enumerate() {
                if adwin.add(value, 1.0, &options).is_some() {
                    alarms.push(index);
                    adwin = Adwin::default();
                }
            }
            assert_eq!(alarms, case.alarms(), "{}", case.line);
        }
        assert!(cases.iter().map(|case| case.alarms().len()).sum::<usize>() > 20);
    }

    #[test]
    fn the_histogram_keeps_sum_and_variance_of_all_it_was_given() {
        let options = AdwinOptions { delta: 1e-9, clock: 1, shortest: 5, grace: 10 };
        let mut adwin = Adwin::default();
        let values: Vec<f64> = (0..10_000u32).map(|i| f64::from(i * 37 % 101) / 101.0).collect();
        for &value in &values {
            assert_eq!(adwin.add(value, 1.0, &options), None);
        }
        let mean = values.iter().sum::<f64>() / 1e4;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 1e4;
        assert!((adwin.variance() - variance).abs() < 1e-12);
        assert_eq!(adwin.length, 10_000);
        let held: f64 = adwin.rows.iter().flatten().sum();
        assert!((held - mean * 1e4).abs() < 1e-8);
        assert!(adwin.rows.iter().map(Vec::len).sum::<usize>() <= BUCKETS * 12);
    }

    #[test]
    fn what_repeats_itself_must_differ_more() {
        let options = AdwinOptions { delta: 0.002, clock: 1, shortest: 5, grace: 10 };
        let found = |correlation| {
            let mut adwin = Adwin::default();
            (0..800u32).position(|i| {
                let value = f64::from(i * 7 % 10) / 20.0 + if i < 200 { 0.0 } else { 0.4 };
                adwin.add(value, correlation, &options).is_some()
            })
        };
        let (independent, repeating) = (found(1.0).unwrap(), found(3.0).unwrap());
        assert!(independent < 240 && repeating > independent + 40, "{independent} {repeating}");
    }
}
