//! How right a stream has been so far, for whoever asks while it runs.

use std::sync::{Mutex, PoisonError};

use crate::accuracy::Accuracy;

/// The accuracy of one running stream, if it keeps one.
#[derive(Default)]
pub struct Standing(Mutex<Option<Accuracy>>);

impl Standing {
    /// Begins with `accuracy`.
    pub(super) fn begin(&self, accuracy: Option<Accuracy>) {
        *self.lock() = accuracy;
    }

    /// Does something with it; `None` where there is none.
    pub(super) fn with<T>(&self, what: impl FnOnce(&mut Accuracy) -> T) -> Option<T> {
        self.lock().as_mut().map(what)
    }

    /// A few lines of text for a person; `None` where nothing was scored.
    pub fn text(&self) -> Option<String> {
        self.with(|accuracy| (accuracy.scored() > 0).then(|| accuracy.summary())).flatten()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Accuracy>> {
        // Whoever panicked while counting left counts that are at worst one short.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Standing").field(&self.text()).finish()
    }
}
