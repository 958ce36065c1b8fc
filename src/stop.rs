//! The one flag by which everything is asked to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shared by the signal handler, the streams and the sources. Once asked,
/// always asked.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Flag>);

#[derive(Debug, Default)]
struct Flag {
    asked: AtomicBool,
    /// Asked with this one.
    above: Option<Stop>,
}

impl Stop {
    /// A flag that is asked when this one is, and that can be asked alone.
    #[must_use]
    pub fn child(&self) -> Stop {
        Stop(Arc::new(Flag { asked: AtomicBool::new(false), above: Some(self.clone()) }))
    }

    /// Asks everything that holds this flag to end.
    pub fn ask(&self) {
        self.0.asked.store(true, Ordering::Release);
    }

    /// Whether an end was asked for.
    pub fn asked(&self) -> bool {
        self.0.asked.load(Ordering::Acquire) || self.0.above.as_ref().is_some_and(Stop::asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_ends_with_its_parent_but_not_the_other_way() {
        let all = Stop::default();
        let (one, other) = (all.child(), all.child());
        one.ask();
        assert_eq!((all.asked(), one.asked(), other.asked()), (false, true, false));
        all.ask();
        assert!(other.asked());
    }
}
