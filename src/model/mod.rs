//! The model bundle, the [`Classifier`] trait, and the ways to run a model
//! over a stream.
//!
//! A [`Bundle`] is what the folder says; a [`Model`] is its network, loaded and
//! shared by every stream that names it; a [`Classifier`] is that model running
//! over one stream, with the stream's own clip or state.

mod agreement;
mod backend;
mod bundle;
mod calibration;
mod classifier;
mod convolutional;
mod extent;
mod graph;
mod input;
pub mod kernels;
mod labels;
mod loaded;
mod manifest;
mod network;
#[cfg(nvinfer)]
mod nvinfer;
mod onnx;
mod options;
mod origin;
mod profile;
mod skim;
mod stateful;
mod two_stage;
mod typed;
mod window;

pub use agreement::{Agreement, Comparison, Nearness};
pub use backend::Placing;
pub use bundle::Bundle;
pub use classifier::Classifier;
pub use loaded::{Costs, Inspected, Model, inspect};
pub use manifest::{Mode, Output};

pub use crate::metric::Task;
pub use kernels::Precision;
pub use network::{Facts, Tensor};
pub use options::{Backend, EnginePrecision, Fallback, ModelOptions, NvinferOptions};
pub use profile::{Profile, Row};
