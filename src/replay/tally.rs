//! The running score.

use crate::session::Score;

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
    /// Of a video, as its session scored it.
    pub(super) fn of(score: &Score) -> Tally {
        let rows = score.clip.confusion.iter().enumerate();
        Tally {
            right: rows.filter_map(|(class, row)| row.get(class)).sum(),
            scored: score.clip.predictions,
        }
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
