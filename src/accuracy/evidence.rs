//! How much a clip adds to what is known.

/// Clips that overlap are anything but independent: one counts for the share of
/// its length that is new, so that the sum is about the number of clips that do
/// not overlap, the effective sample size.
#[derive(Clone, Copy, Debug, Default)]
pub struct Evidence {
    last: Option<f64>,
}

impl Evidence {
    /// What the next clip, from `start` to `t` seconds, counts for: more than 0
    /// and at most 1. One that does not come after the last (the clock was set
    /// back, the source was opened again) counts whole.
    pub fn of(&mut self, start: f64, t: f64) -> f64 {
        let length = t - start;
        let gap = self.last.map_or(f64::INFINITY, |last| t - last);
        self.last = Some(t);
        if gap > 0.0 && gap < length { gap / length } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_counts_for_what_is_new_in_it() {
        let mut evidence = Evidence::default();
        let of: Vec<f64> = [(0.0, 2.0), (0.5, 2.5), (2.5, 4.5), (9.0, 11.0), (0.0, 2.0)]
            .map(|(start, t)| evidence.of(start, t))
            .to_vec();
        assert_eq!(of, [1.0, 0.25, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn a_single_frame_counts_whole_and_nothing_odd_spreads() {
        let mut evidence = Evidence::default();
        for (start, t) in [(1.0, 1.0), (1.5, 1.5), (f64::NAN, 2.0), (2.0, f64::NAN), (3.0, 2.0)] {
            assert_eq!(evidence.of(start, t), 1.0);
        }
    }
}
