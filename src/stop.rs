//! The one flag by which everything is asked to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shared by the signal handler, the streams and the sources. Once asked,
/// always asked.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks everything that holds this flag to end.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether an end was asked for.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
