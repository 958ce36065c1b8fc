//! Which backend runs a model over a stream, and what goes on where it cannot.

use std::path::Path;
use std::sync::Arc;

#[cfg(nvinfer)]
pub(super) use super::nvinfer::Engine;
use super::options::{Backend, Fallback};
use super::{Classifier, Model, ModelOptions};
use crate::error::{Error, Result};

/// There is none in this build.
#[cfg(not(nvinfer))]
#[derive(Clone, Debug)]
pub(super) enum Engine {}

/// What a backend must know of the stream that it serves.
#[derive(Clone, Copy, Debug)]
pub struct Placing<'a> {
    /// The stream's name.
    pub stream: &'a str,
    /// Sampled frames from one prediction to the next.
    pub hop: usize,
    /// Whether its pictures are decoded in a process of their own.
    pub isolated: bool,
}

impl Model {
    /// Makes ready what `options` name besides tract, with files in the folder `state`:
    /// an engine of TensorRT, which takes minutes the first time. What stands in the
    /// way is told when the model is to run.
    pub fn prepare(&self, options: &ModelOptions, state: Option<&Path>) {
        if options.backend == Backend::Nvinfer {
            self.engine.get_or_init(|| build(self, options, state));
        }
    }

    /// Begins to run it over another stream with the backend that `options` name.
    /// [`prepare`](Self::prepare) was called before, with the same options.
    ///
    /// # Errors
    /// As [`classifier`](Self::classifier); the backend cannot be had, and there is no
    /// fallback. With one, that is a warning in the log.
    pub fn classifier_with(
        self: &Arc<Self>,
        options: &ModelOptions,
        placing: &Placing<'_>,
    ) -> Result<Box<dyn Classifier>> {
        if options.backend == Backend::Tract {
            return self.classifier();
        }
        let begun = match self.engine.get() {
            Some(Ok(engine)) => begin(engine, placing),
            Some(Err(error)) => Err(error.clone()),
            None => Err(Error::internal("starting backend \"nvinfer\"", "it was not made ready")),
        };
        match (begun, options.fallback) {
            (Err(error), Some(Fallback::Tract)) => {
                log::warn!("stream \"{}\" goes on with tract: {error}", placing.stream);
                self.classifier()
            }
            (begun, _) => begun,
        }
    }
}

#[cfg(nvinfer)]
fn build(model: &Model, options: &ModelOptions, state: Option<&Path>) -> Result<Engine> {
    Engine::build(model, &options.nvinfer, state)
}

#[cfg(nvinfer)]
fn begin(engine: &Engine, placing: &Placing<'_>) -> Result<Box<dyn Classifier>> {
    engine.classifier(placing)
}

#[cfg(not(nvinfer))]
fn build(_: &Model, _: &ModelOptions, _: Option<&Path>) -> Result<Engine> {
    Err(Error::config("starting backend \"nvinfer\"", "this program was built without it")
        .remedy("build it for a 64-bit CPU with the cargo feature \"nvinfer\""))
}

#[cfg(not(nvinfer))]
fn begin(engine: &Engine, _: &Placing<'_>) -> Result<Box<dyn Classifier>> {
    match *engine {}
}
