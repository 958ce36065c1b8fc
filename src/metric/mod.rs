//! How right: pure functions and accumulators.
