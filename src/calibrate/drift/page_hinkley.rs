//! The two-sided Page–Hinkley test over one quantity.

use super::adwin::Change;

/// The test of Page (1954, *Continuous inspection schemes*) with Hinkley's running
/// mean: how far the sum of the deviations from the mean, each less an allowance,
/// has risen above its lowest point; and the same downwards. Kept as the height
/// above the lowest point, which is all that the sum is needed for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PageHinkley {
    count: f64,
    mean: f64,
    up: Side,
    down: Side,
}

#[derive(Clone, Copy, Debug, Default)]
struct Side {
    height: f64,
    /// Values since the lowest point.
    since: f64,
}

impl Side {
    fn add(&mut self, step: f64) {
        self.height += step;
        self.since += 1.0;
        if self.height <= 0.0 {
            *self = Side::default();
        }
    }
}

/// Numbers that one test takes in a state.
pub(super) const FIGURES: usize = 6;

impl PageHinkley {
    /// Takes a value, finite. A deviation counts beyond `allowance`, and a sum of
    /// them is a change beyond `threshold`.
    pub(super) fn add(&mut self, value: f64, allowance: f64, threshold: f64) -> Option<Change> {
        self.count += 1.0;
        self.mean += (value - self.mean) / self.count;
        let deviation = value - self.mean;
        self.up.add(deviation - allowance);
        self.down.add(-deviation - allowance);
        let (up, down) = (self.up, self.down);
        if up.height > threshold {
            Some(self.change(self.mean + allowance + up.height / up.since, up.since))
        } else if down.height > threshold {
            Some(self.change(self.mean - allowance - down.height / down.since, down.since))
        } else {
            None
        }
    }

    /// `to` is the mean of the newest `since` values, as the mean of all gives it.
    fn change(&self, to: f64, since: f64) -> Change {
        Change { from: self.before(to, since), to, since: since as u64 }
    }

    /// The mean of the values before the newest `since`, whose mean is `to`.
    fn before(&self, to: f64, since: f64) -> f64 {
        let older = self.count - since;
        if older < 1.0 { self.mean } else { (self.mean * self.count - to * since) / older }
    }

    pub(super) fn count(&self) -> f64 {
        self.count
    }

    pub(super) fn mean(&self) -> f64 {
        self.mean
    }

    pub(super) fn save(&self, state: &mut Vec<f64>) {
        let (up, down) = (self.up, self.down);
        let figures: [f64; FIGURES] =
            [self.count, self.mean, up.height, up.since, down.height, down.since];
        state.extend(figures);
    }

    pub(super) fn load(state: &mut dyn Iterator<Item = f64>) -> Option<Self> {
        let mut next = || state.next().filter(|value| value.is_finite());
        let (count, mean) = (next()?, next()?);
        let up = Side { height: next()?, since: next()? };
        let down = Side { height: next()?, since: next()? };
        (count >= 0.0 && up.since >= 0.0 && down.since >= 0.0).then_some(PageHinkley {
            count,
            mean,
            up,
            down,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::golden::Case;
    use super::*;

    #[test]
    fn sees_changes_where_river_sees_them() {
        let cases = Case::all(include_str!("../../../tests/golden/drift/page-hinkley.jsonl"));
        for case in &cases {
            let (allowance, threshold) = (case.float("allowance"), case.float("threshold"));
            let mut test = PageHinkley::default();
            let mut alarms = Vec::new();
            for (index, value) in case.values().into_iter().enumerate() {
                let change = test.add(value, allowance, threshold);
                if change.is_some() && test.count() >= case.float("least") {
                    alarms.push(index);
                    test = PageHinkley::default();
                }
            }
            assert_eq!(alarms, case.alarms(), "{}", case.line);
        }
        assert!(cases.iter().map(|case| case.alarms().len()).sum::<usize>() > 50);
    }

    #[test]
    fn says_from_what_to_what_and_since_when() {
        for (before, after) in [(0.3, 0.6), (0.6, 0.3)] {
            let mut test = PageHinkley::default();
            let change = (0..1100u32).find_map(|i| {
                let wobble = f64::from(i % 2) / 50.0 - 0.01;
                test.add(wobble + if i < 1000 { before } else { after }, 0.05, 10.0)
            });
            let change = change.unwrap();
            assert!((change.from - before).abs() < 0.01, "{change:?}");
            assert!((change.to - after).abs() < 0.01, "{change:?}");
            assert!((38..=46).contains(&change.since), "{change:?}");
        }
    }
}
