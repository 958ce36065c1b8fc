//! The running score.

/// How many clips were right, of those that lie within one label's span and
/// whose label the model knows. For a person to watch; the report counts for
/// itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Clips whose most probable class is their label.
    pub right: u64,
    /// All clips that were scored.
    pub scored: u64,
}

impl Tally {
    /// Counts one clip.
    pub(super) fn add(&mut self, right: bool) {
        self.right += u64::from(right);
        self.scored += 1;
    }

    /// Both.
    #[must_use]
    pub(super) fn and(self, other: Tally) -> Tally {
        Tally { right: self.right + other.right, scored: self.scored + other.scored }
    }

    /// Top-1 accuracy.
    pub fn top1(&self) -> Option<f64> {
        (self.scored > 0).then(|| self.right as f64 / self.scored as f64)
    }
}
