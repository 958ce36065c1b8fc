//! The model bundle, the [`Classifier`] trait, and the ways to run a model
//! over a stream.

mod classifier;

pub use classifier::Classifier;
