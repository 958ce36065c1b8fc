//! Which backend runs a model over a stream, and what goes on where it cannot.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

#[cfg(nvinfer)]
pub(super) use super::nvinfer::Engine;
use super::options::{Backend, Fallback};
use super::{Classifier, Model, ModelOptions};
use crate::error::{Error, Kind, Result};

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

/// What came of the last attempt to bring a model to another backend than tract.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    last: Mutex<Option<Attempt>>,
    /// Whether there is one more at this moment.
    trying: AtomicBool,
}

#[derive(Clone, Debug)]
struct Attempt {
    state: Option<PathBuf>,
    outcome: Result<Engine>,
}

impl Readiness {
    fn last(&self) -> MutexGuard<'_, Option<Attempt>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Model {
    /// Makes ready what `options` name besides tract, with files in the folder `state`:
    /// an engine of TensorRT, which takes minutes the first time. What stands in the
    /// way is told when the model is to run.
    pub fn prepare(&self, options: &ModelOptions, state: Option<&Path>) {
        if options.backend == Backend::Nvinfer {
            let attempt =
                Attempt { state: state.map(Path::to_owned), outcome: build(self, options, state) };
            *self.readiness.last() = Some(attempt);
        }
    }

    /// Whether [`prepare`](Self::prepare) met with a fault.
    pub fn is_unprepared(&self) -> bool {
        self.readiness.last().as_ref().is_some_and(|attempt| attempt.outcome.is_err())
    }

    /// Begins to run it over another stream with the backend that `options` name.
    /// [`prepare`](Self::prepare) was called before, with the same options. If it failed,
    /// and not because of the configuration, it is tried again in the background for
    /// those who come later.
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
        let last = self.readiness.last().clone();
        let begun = match last {
            Some(Attempt { outcome: Ok(engine), .. }) => begin(&engine, placing),
            Some(Attempt { outcome: Err(error), state }) => {
                if error.kind() != Kind::Config {
                    self.prepare_again(options, state);
                }
                Err(error)
            }
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

    /// As [`prepare`](Self::prepare), on a thread of its own: no stream may wait for
    /// minutes. One at a time.
    fn prepare_again(self: &Arc<Self>, options: &ModelOptions, state: Option<PathBuf>) {
        if self.readiness.trying.swap(true, Ordering::AcqRel) {
            return;
        }
        let (model, options) = (self.clone(), options.clone());
        let work = move || {
            model.prepare(&options, state.as_deref());
            model.readiness.trying.store(false, Ordering::Release);
        };
        if let Err(error) = thread::Builder::new().name("prepare".into()).spawn(work) {
            log::warn!("starting the thread that prepares a model: {error}");
            self.readiness.trying.store(false, Ordering::Release);
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
