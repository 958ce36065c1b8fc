//! All videos of a run: which are left to do, several at once, until all are
//! in the store.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::job::{Done, Shared};
use super::progress::Progress;
use super::watch::Watch;
use super::{Cache, Clips, Video, Views};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::predict::PredictOptions;
use crate::report::store::{Store, Truth};
use crate::session::ModelFacts;
use crate::sink::Sinks;
use crate::stop::Stop;
use crate::video::isolate::Isolation;

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// How predictions are made.
    pub predict: PredictOptions,
    /// Which clips are run.
    pub views: Views,
    /// The longest forward step of presentation times within one clip.
    pub max_gap: Duration,
    /// Decode each recording in a process of its own, held so.
    pub isolate: Option<Isolation>,
    /// Videos at once, at least 1.
    pub jobs: usize,
    /// Where sampled frames are kept for later runs, and how many bytes of them.
    pub cache: Option<(PathBuf, u64)>,
}

impl Options {
    /// How predictions are made once the views are taken into account.
    pub fn predict(&self) -> PredictOptions {
        let hop = if self.views.clips == Clips::Dense { 1 } else { self.predict.hop };
        PredictOptions { hop, ..self.predict.clone() }
    }
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Videos that were run now, those that failed among them.
    pub run: usize,
    /// Videos that an earlier run had finished.
    pub kept: usize,
    /// Videos whose turn did not come because an end was asked for.
    pub left: usize,
    /// The videos that failed, by id, with why.
    pub failed: Vec<(String, String)>,
    /// The videos in which not one clip was full, by id.
    pub empty: Vec<String>,
}

/// Runs `videos`, each with its truth, and stores what comes of them. Those that
/// the store already holds are left alone, but for the ones that failed.
///
/// # Errors
/// The store or the cache cannot be written. What was finished until then is
/// kept.
pub fn run(
    videos: &[(Video, Truth)],
    model: &Arc<Model>,
    options: &Options,
    store: &Store,
    stop: &Stop,
    progress: &Progress,
) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut left = Vec::new();
    for video in videos {
        match finished(store, &video.0.id) {
            Some(clips) => {
                outcome.kept += 1;
                if clips == 0 {
                    outcome.empty.push(video.0.id.clone());
                }
            }
            None => left.push(video),
        }
    }
    let facts = ModelFacts::of(model.bundle(), model.mode());
    let shared = Shared {
        model,
        warm_up: model.classifier()?.warm_up().max(1),
        facts,
        predict: options.predict(),
        views: options.views,
        max_gap: options.max_gap,
        isolate: options.isolate.clone(),
        cache: match &options.cache {
            Some((folder, limit)) => Some(Arc::new(Cache::open(folder, *limit)?)),
            None => None,
        },
        store,
        // Predictions go to the store, with all their logits.
        sinks: Arc::new(Sinks::new(Vec::new())),
        stop,
    };
    progress.begin(videos.len(), outcome.kept);
    let crew = Crew {
        shared: &shared,
        left: &left,
        next: AtomicUsize::new(0),
        progress,
        result: Mutex::new(Ok(outcome)),
    };
    std::thread::scope(|scope| -> Result<()> {
        for number in 0..options.jobs.clamp(1, left.len().max(1)) {
            std::thread::Builder::new()
                .name(format!("replay {number}"))
                .spawn_scoped(scope, || crew.work())
                .map_err(|error| {
                    stop.ask();
                    Error::unavailable("starting a replay's threads", error)
                })?;
        }
        Ok(())
    })?;
    progress.end();
    let mut outcome = crew.result.into_inner().unwrap_or_else(PoisonError::into_inner)?;
    outcome.left = left.len() - outcome.run;
    outcome.failed.sort();
    outcome.empty.sort();
    Ok(outcome)
}

/// How many clips the store holds of a video that was run well and whose file
/// is whole. A damaged file is as good as none: the video is run again.
fn finished(store: &Store, video: &str) -> Option<u64> {
    let header = store.header(video).ok().flatten().filter(|header| header.error.is_none())?;
    let clips = store
        .read(video)
        .and_then(|reader| reader.into_iter().try_fold(0, |clips, clip| clip.map(|_| clips + 1)));
    match clips {
        Ok(clips) if clips == header.clips => Some(clips),
        outcome => {
            let why = outcome.err().map_or_else(|| "clips are missing".into(), |e| e.to_string());
            log::warn!("what is stored of \"{video}\" is damaged ({why}): it is run again");
            None
        }
    }
}

/// The threads that share the videos out among themselves.
struct Crew<'a> {
    shared: &'a Shared<'a>,
    left: &'a [&'a (Video, Truth)],
    next: AtomicUsize,
    progress: &'a Progress,
    result: Mutex<Result<Outcome>>,
}

impl Crew<'_> {
    fn work(&self) {
        while !self.shared.stop.asked() {
            let next = self.next.fetch_add(1, Ordering::Relaxed);
            let Some((video, truth)) = self.left.get(next) else { break };
            let watch = Watch::default();
            let line = self.progress.video(&video.id, &watch);
            let done = catch_unwind(AssertUnwindSafe(|| self.shared.run(video, truth, &watch)))
                .unwrap_or_else(|panic| Err(panicked(video, panic.as_ref())));
            self.progress.done(line, &video.id, &done);
            self.note(video, done);
        }
    }

    fn note(&self, video: &Video, done: Result<Done>) {
        let mut result = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut *result, done) {
            (Ok(outcome), Ok(done)) => {
                outcome.run += usize::from(!matches!(done, Done::Stopped));
                match done {
                    Done::Well { clips: 0, .. } => outcome.empty.push(video.id.clone()),
                    Done::Failed(error) => {
                        outcome.failed.push((video.id.clone(), error.to_string()));
                    }
                    Done::Well { .. } | Done::Stopped => {}
                }
            }
            (result @ Ok(_), Err(error)) => {
                self.shared.stop.ask();
                *result = Err(error);
            }
            // The first fault is the one to tell of.
            (Err(_), _) => {}
        }
    }
}

fn panicked(video: &Video, panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    Error::internal(
        format!("replaying \"{}\"", video.id),
        format!("it panicked: {}", text.unwrap_or_else(|| "no message".into())),
    )
}
