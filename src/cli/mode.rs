//! A mode as people write it.

use crate::model::Mode;

/// The mode of this name; else the names there are.
pub(super) fn mode(text: &str) -> Result<Mode, String> {
    Mode::ALL.into_iter().find(|mode| mode.name() == text).ok_or_else(|| {
        let names: Vec<_> = Mode::ALL.iter().map(|mode| mode.name()).collect();
        format!("expected one of {}", names.join(", "))
    })
}
