//! How much a value repeats the ones before it.

/// Values in a batch, at each of the scales.
const SIZES: [u32; SCALES] = [16, 64, 256];
const SCALES: usize = 3;

/// What a difference weighs when the next one comes: a memory of 128.
const KEPT: f64 = 1.0 - 1.0 / 128.0;

/// What is assumed before anything is known: that eight values in sequence tell as
/// much as one. And how many differences that is worth; from one scale to the next
/// what the smaller one found is worth as many.
const ASSUMED: f64 = 8.0;
const ASSUMED_WEIGHT: f64 = 4.0;

/// A squared difference counts for at most so many times what was expected: it must
/// not be the change itself, once, that makes the detectors patient.
const MOST: f64 = 9.0;

/// Below this a variance is none.
const STILL: f64 = 1e-9;

/// Where the batches of several quantities stand that come together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Batches {
    /// Values since the last batch of the greatest scale.
    filled: u32,
    /// Batches of the smallest scale remembered, the older ones at less.
    base: f64,
    /// Differences between batches remembered.
    counts: [f64; SCALES],
    begun: [bool; SCALES],
    /// How many scales have a batch that is full now.
    full: usize,
}

impl Batches {
    /// Moves on by one value; true where that fills a batch, and then
    /// [`Correlation::complete`] is due for every quantity and [`Self::complete`]
    /// after them.
    pub(super) fn step(&mut self) -> bool {
        self.filled += 1;
        self.full = SIZES.iter().take_while(|&&size| self.filled.is_multiple_of(size)).count();
        self.full > 0
    }

    pub(super) fn complete(&mut self) {
        self.base = self.base * KEPT + 1.0;
        for (count, begun) in self.counts.iter_mut().zip(&mut self.begun).take(self.full) {
            if *begun {
                *count = *count * KEPT + 1.0;
            }
            *begun = true;
        }
        if self.full == SCALES {
            self.filled = 0;
        }
    }

    pub(super) fn save(&self, state: &mut Vec<f64>) {
        state.extend([f64::from(self.filled), self.base]);
        state.extend(self.counts);
        state.extend(self.begun.map(|begun| f64::from(u8::from(begun))));
    }

    pub(super) fn load(state: &mut dyn Iterator<Item = f64>) -> Option<Self> {
        let mut next = || state.next().filter(|value| (0.0..256.0).contains(value));
        let mut batches = Batches { filled: next()? as u32, base: next()?, ..Batches::default() };
        for count in &mut batches.counts {
            *count = next()?;
        }
        for begun in &mut batches.begun {
            *begun = next()? > 0.0;
        }
        Some(batches)
    }
}

/// The integrated autocorrelation time of one quantity, 1 + 2 Σ ρ_k: how many
/// values in sequence tell as much as one independent value would.
///
/// By batch means (Flegal & Jones 2010, arXiv 0811.1729): the variance of the means
/// of B values, times B, is the variance that independent values would have to have.
/// It is taken from the differences between neighbouring batches (von Neumann 1941;
/// Allan's variance of clocks), so that one jump counts once and is bounded, while
/// around the mean of all it would count for ever. Three sizes of batch, since a
/// batch must be longer than what it is to show; the greatest answer counts.
///
/// A label that lasts makes predictions repeat each other long after their clips
/// have ceased to overlap; a detector that takes them for independent cries wolf.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Correlation {
    /// Of the batches being filled.
    sums: [f64; SCALES],
    squares: f64,
    /// Means of the last full batches.
    last: [f64; SCALES],
    /// Sums of squared differences remembered.
    differences: [f64; SCALES],
    /// Sums of means and mean squares of the batches remembered.
    mean: f64,
    square: f64,
}

impl Correlation {
    pub(super) fn add(&mut self, value: f64) {
        self.sums[0] += value;
        self.squares += value * value;
    }

    /// A batch is full.
    pub(super) fn complete(&mut self, batches: &Batches) {
        let size = f64::from(SIZES[0]);
        self.mean = self.mean * KEPT + self.sums[0] / size;
        self.square = self.square * KEPT + self.squares / size;
        self.squares = 0.0;
        let base = batches.base * KEPT + 1.0;
        let expected = self.long_run(batches, base);
        for scale in 0..SCALES {
            let sum = self.sums[scale];
            if scale + 1 < SCALES && scale < batches.full {
                self.sums[scale + 1] += sum;
            }
            if scale >= batches.full {
                break;
            }
            let size = f64::from(SIZES[scale]);
            let mean = sum / size;
            if batches.begun[scale] {
                let difference = (mean - self.last[scale]).powi(2);
                let most = MOST * 2.0 * expected[scale] / size;
                self.differences[scale] = self.differences[scale] * KEPT + difference.min(most);
            }
            self.last[scale] = mean;
            self.sums[scale] = 0.0;
        }
    }

    /// Of the values remembered.
    pub(super) fn variance(&self, batches: &Batches) -> f64 {
        self.variance_of(batches.base)
    }

    fn variance_of(&self, base: f64) -> f64 {
        if base <= 0.0 {
            return 0.0;
        }
        let mean = self.mean / base;
        (self.square / base - mean * mean).max(0.0)
    }

    /// The variance that independent values would have to have for means to vary
    /// as they do, by each scale.
    fn long_run(&self, batches: &Batches, base: f64) -> [f64; SCALES] {
        let mut smaller = ASSUMED * self.variance_of(base);
        let mut found = [0.0; SCALES];
        let scales = self.differences.iter().zip(batches.counts).zip(SIZES).zip(&mut found);
        for (((differences, count), size), found) in scales {
            let seen = 0.5 * f64::from(size) * differences;
            smaller = (seen + ASSUMED_WEIGHT * smaller) / (count + ASSUMED_WEIGHT);
            *found = smaller;
        }
        found
    }

    /// At least 1.
    pub(super) fn time(&self, batches: &Batches) -> f64 {
        let variance = self.variance(batches);
        if batches.base <= 0.0 {
            return ASSUMED;
        }
        // A quantity that does not move repeats nothing.
        if variance < STILL {
            return 1.0;
        }
        let longest = self.long_run(batches, batches.base).into_iter().fold(0.0, f64::max);
        (longest / variance).max(1.0)
    }

    pub(super) fn save(&self, state: &mut Vec<f64>) {
        state.extend(self.sums);
        state.extend(self.last);
        state.extend(self.differences);
        state.extend([self.squares, self.mean, self.square]);
    }

    pub(super) fn load(state: &mut dyn Iterator<Item = f64>) -> Option<Self> {
        let mut correlation = Correlation::default();
        let Correlation { sums, squares, last, differences, mean, square } = &mut correlation;
        let lists = sums.iter_mut().chain(last).chain(differences);
        for value in lists.chain([squares, mean, square]) {
            *value = state.next().filter(|value| value.is_finite())?;
        }
        Some(correlation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(values: impl Iterator<Item = f64>) -> f64 {
        let (mut batches, mut correlation) = (Batches::default(), Correlation::default());
        for value in values {
            correlation.add(value);
            if batches.step() {
                correlation.complete(&batches);
                batches.complete();
            }
        }
        correlation.time(&batches)
    }

    /// SplitMix64's mixing, to [0, 1).
    fn noise(i: u64) -> f64 {
        let mut z = i.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    #[test]
    fn independent_values_take_about_one() {
        let time = time((0..20_000).map(noise));
        assert!((1.0..1.6).contains(&time), "{time}");
    }

    #[test]
    fn runs_take_as_long_as_they_are() {
        let time = time((0..20_000u64).map(|i| noise(i / 20)));
        assert!((15.0..30.0).contains(&time), "{time}");
    }

    #[test]
    fn noise_does_not_hide_a_slow_wander() {
        // Half the variance in runs of 40: 0.5 * 40 + 0.5.
        let time = time((0..40_000u64).map(|i| noise(i / 40) + noise(i + 1_000_000)));
        assert!((14.0..32.0).contains(&time), "{time}");
    }

    #[test]
    fn one_jump_is_not_taken_for_repetition() {
        let jump = |i: u64| noise(i) * 0.5 + if i < 1000 { 0.0 } else { 0.5 };
        let time = time((0..1200).map(jump));
        assert!(time < 4.0, "{time}");
    }
}
