//! One stream's thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::Sender;

use super::blueprint::{Blueprint, Labels};
use super::keeper::Keeps;
use super::signals::Asked;
use crate::clip::{Feed, Pictures, Preprocessed};
use crate::clock::SystemClock;
use crate::control::Folders;
use crate::error::{Error, Result};
use crate::model::Placing;
use crate::session::{Keeping, ModelFacts, Progress, Session, Summary};
use crate::sink::Sinks;
use crate::stop::Stop;
use crate::video::{self, Pace, Supervised, Want};

/// What the daemon is told.
pub(super) enum Message {
    /// The session of this number runs, or has failed to start.
    Started(u64),
    /// It ended.
    Ended(u64, Box<Summary>),
    /// A signal came.
    Asked(Asked),
}

/// What all streams of a daemon share.
#[derive(Clone)]
pub(super) struct Common {
    pub sinks: Arc<Sinks>,
    pub keeps: Keeps,
    pub pace: Pace,
    /// Asks all of them to end.
    pub stop: Stop,
    pub messages: Sender<Message>,
}

/// What one stream's thread owns.
pub(super) struct Job {
    /// Unlike that of any other session of this process.
    pub id: u64,
    pub blueprint: Blueprint,
    pub labels: Labels,
    pub common: Common,
    /// The stream's own.
    pub stop: Stop,
    pub progress: Arc<Progress>,
    /// Whether the stream ran before.
    pub again: bool,
}

impl Job {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has none to give.
    pub fn spawn(self) -> Result<()> {
        let doing = format!("starting stream \"{}\"", self.blueprint.name());
        thread::Builder::new()
            .name(self.blueprint.name().to_owned())
            .spawn(move || self.run())
            .map(|_| ())
            .map_err(|error| Error::unavailable(doing, error))
    }

    fn run(mut self) {
        let (id, messages) = (self.id, self.common.messages.clone());
        let health = self.progress.health.clone();
        let name = self.blueprint.name().to_owned();
        let watches = self.labels.watch.take().into_iter().collect();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            // Kept until the session has ended.
            let _folders = Folders::start(watches)?;
            let session = self.start()?;
            let _ = messages.send(Message::Started(id));
            Ok(session.run())
        }));
        let summary = match outcome {
            Ok(Ok(summary)) => summary,
            failed => {
                let _ = messages.send(Message::Started(id));
                let error = match failed {
                    Ok(Err(error)) => error,
                    _ => Error::internal(format!("starting stream \"{name}\""), "it panicked"),
                };
                Summary::new(&name).failed(error)
            }
        };
        match &summary.error {
            Some(error) => health.failed(&error.to_string()),
            None => health.ended(),
        }
        // Nobody listens only when the daemon is already going down.
        let _ = messages.send(Message::Ended(id, Box::new(summary)));
    }

    fn start(self) -> Result<Session> {
        let Job { blueprint, labels, common, stop, progress, again, .. } = self;
        let log = match blueprint.open_log() {
            // One that hangs may still hold its file.
            Err(error) if again => {
                log::warn!("stream \"{}\" goes on without: {error}", blueprint.name());
                None
            }
            log => log?,
        };
        let Blueprint { config, model, accuracy, state, every, .. } = blueprint;
        let facts = ModelFacts::of(model.bundle(), model.mode());
        log::info!(
            "stream \"{}\": {}, model \"{}\" in mode {}",
            config.name,
            config.sources().map(|source| source.describe()).collect::<Vec<_>>().join(", else "),
            model.bundle().name(),
            model.mode().name()
        );
        let keeping = state.zip(model.bundle().sha256(model.mode())).map(|(folder, sha256)| {
            Keeping { keeper: common.keeps.of(&folder, &config.name, sha256), every }
        });
        let specs: Vec<_> = config.sources().cloned().collect();
        let classifier = model.classifier_with(
            &config.model,
            &Placing {
                stream: &config.name,
                hop: config.predict.hop,
                isolated: specs.iter().any(|spec| spec.isolate.is_some()),
            },
        )?;
        let pictures = classifier.takes_pictures();
        let want = Want {
            rate: facts.input.rate,
            colour: facts.input.colour,
            max_gap: config.max_gap.0,
            pictures,
        };
        let supervised = Supervised {
            name: config.name.clone(),
            reconnect: config.reconnect,
            clock: Arc::new(SystemClock),
            stop: stop.clone(),
            health: progress.health.clone(),
        };
        let source = video::supervise(&specs, &want, common.pace, &supervised)?;
        let source: Box<dyn Feed> = match pictures {
            true => Box::new(Pictures::new(source)),
            false => Box::new(Preprocessed::new(source, &facts.input)?),
        };
        Ok(Session {
            name: config.name,
            source,
            classifier,
            model: facts,
            predict: config.predict,
            truths: labels.truths,
            calibrate: config.calibrate,
            accuracy: Some(accuracy),
            log,
            keeping,
            sinks: common.sinks,
            observer: None,
            clock: Arc::new(SystemClock),
            stop,
            progress,
        })
    }
}
