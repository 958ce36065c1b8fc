//! Reads what takes long, models above all, on a thread of its own: so that
//! meanwhile somebody listens to signals and tells systemd that all is well.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, bounded};

use super::plan::{ModelPlan, Plan, StreamPlan};
use super::state::StateFile;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::model::{Mode, Model, ModelOptions};

/// A model in memory, and by what it is known.
#[derive(Clone)]
pub(super) struct Loaded {
    options: ModelOptions,
    mode: Mode,
    /// See [`Bundle::fingerprint`](crate::model::Bundle::fingerprint).
    fingerprint: String,
    pub model: Arc<Model>,
}

/// A plan whose models are loaded.
pub(super) struct Prepared {
    pub config: Config,
    pub streams: Vec<StreamPlan>,
    pub models: Vec<Loaded>,
}

/// Loads the models of `plan`.
///
/// # Errors
/// The thread cannot be started; what it finds comes through the channel.
pub(super) fn prepare(plan: Plan) -> Result<Receiver<Result<Prepared>>> {
    spawn(move || load(plan, &[]))
}

/// Reads the configuration at `path` again. Models that are in memory and have not
/// changed are used as they are.
///
/// # Errors
/// As [`prepare`].
pub(super) fn prepare_again(path: &Path, known: Vec<Loaded>) -> Result<Receiver<Result<Prepared>>> {
    let path = path.to_owned();
    spawn(move || load(Plan::new(Config::load(&path)?)?, &known))
}

fn spawn(
    work: impl FnOnce() -> Result<Prepared> + Send + 'static,
) -> Result<Receiver<Result<Prepared>>> {
    let (sender, receiver) = bounded(1);
    let work = move || {
        // Nobody listens only when the daemon is already going down; and if this
        // panics, whoever listens finds the channel closed.
        let _ = sender.send(work());
    };
    thread::Builder::new()
        .name("load".into())
        .spawn(work)
        .map_err(|error| Error::unavailable("starting the thread that loads models", error))?;
    Ok(receiver)
}

pub(super) fn load(plan: Plan, known: &[Loaded]) -> Result<Prepared> {
    let Plan { config, streams, models } = plan;
    let folder = StateFile::folder(config.state.path.as_deref());
    let load = |model| load_one(model, known, folder.as_deref());
    let models = models.into_iter().map(load).collect::<Result<_>>()?;
    Ok(Prepared { config, streams, models })
}

fn load_one(plan: ModelPlan, known: &[Loaded], state: Option<&Path>) -> Result<Loaded> {
    let ModelPlan { options, bundle, mode } = plan;
    let fingerprint = bundle.fingerprint()?;
    let same = |loaded: &&Loaded| {
        (&loaded.options, loaded.mode, &loaded.fingerprint) == (&options, mode, &fingerprint)
    };
    if let Some(loaded) = known.iter().find(same).filter(|loaded| !loaded.model.is_unprepared()) {
        return Ok(loaded.clone());
    }
    let model = Model::load_with(bundle, &ModelOptions { mode: Some(mode), ..options.clone() })?;
    model.prepare(&options, state);
    Ok(Loaded { options, mode, fingerprint, model })
}
