//! The same fault again and again: told once, and then ever more seldom.

/// Counts how often the same text came one after the other.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    text: String,
    times: u64,
}

/// Nothing is told less often than every so many times.
const SELDOM: u64 = 1_024;

impl Repeats {
    /// Takes a text; gives how often it came by now if it is worth telling: the
    /// first time, and when the number has doubled. Numbers in it do not count:
    /// `after 3.2 s` and `after 4.1 s` are one fault.
    pub fn take(&mut self, text: &str) -> Option<u64> {
        let bare: String = text.chars().filter(|c| !c.is_ascii_digit()).collect();
        if bare == self.text {
            self.times += 1;
        } else {
            (self.text, self.times) = (bare, 1);
        }
        let tell = self.times.is_power_of_two() && !matches!(self.times, 2 | 4)
            || self.times.is_multiple_of(SELDOM);
        tell.then_some(self.times)
    }

    /// All is well: the next fault is news.
    pub fn forget(&mut self) {
        *self = Repeats::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_and_then_ever_fewer() {
        let mut repeats = Repeats::default();
        let told: Vec<u64> =
            (0..5_000).filter_map(|i| repeats.take(&format!("lost after {i} s"))).collect();
        assert_eq!(told, [1, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 3_072, 4_096]);
        assert_eq!(repeats.take("another"), Some(1));
        repeats.forget();
        assert_eq!(repeats.take("another"), Some(1));
    }
}
