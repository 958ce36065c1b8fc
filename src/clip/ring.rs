//! The clip ring: the last T normalised frames.

/// A fixed-capacity ring of normalised frames.
pub struct Ring;
