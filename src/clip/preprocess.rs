//! A frame to a normalised tensor: turn, resize, crop, normalise.

/// Brings frames to the model's size and normalises them, reusing its buffers.
pub struct Preprocess;
