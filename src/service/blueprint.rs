//! All that makes a stream what it is: two that are equal are the same stream, and
//! a reload leaves it alone.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::prepare::Prepared;
use super::state::StateFile;
use crate::accuracy::{AccuracyLog, AccuracyOptions};
use crate::clock::SystemClock;
use crate::config::StreamConfig;
use crate::error::Result;
use crate::label::{self, Aliases, FolderWatch, LabelClock, Post, Rules, Track, Truths};
use crate::model::{Model, Task};
use crate::video::SourceSpec;

/// One stream, as configured, with its model and its labels read.
#[derive(Clone)]
pub(super) struct Blueprint {
    pub config: StreamConfig,
    pub model: Arc<Model>,
    pub accuracy: AccuracyOptions,
    /// Where what it learns is kept, if it learns and there is a place.
    pub state: Option<PathBuf>,
    /// The recovery point.
    pub every: Duration,
    track: Option<Track>,
    clock: LabelClock,
    aliases: Aliases,
}

impl PartialEq for Blueprint {
    fn eq(&self, other: &Blueprint) -> bool {
        // A model that did not change was not loaded again.
        Arc::ptr_eq(&self.model, &other.model)
            && self.config == other.config
            && self.accuracy == other.accuracy
            && (&self.state, self.every) == (&other.state, other.every)
            && (&self.track, self.clock) == (&other.track, other.clock)
            && self.aliases == other.aliases
    }
}

/// A stream's labels, and the ways by which more of them come.
#[derive(Default)]
pub(super) struct Labels {
    pub truths: Option<Truths>,
    pub post: Option<Post>,
    pub watch: Option<FolderWatch>,
}

impl Blueprint {
    /// Of every stream of a configuration, in its order.
    pub fn all(prepared: Prepared) -> Vec<Blueprint> {
        let Prepared { config, streams, models } = prepared;
        let folder = StateFile::folder(config.state.path.as_deref());
        let both = config.streams.iter().zip(streams);
        let blueprint = |(stream, plan): (&StreamConfig, super::plan::StreamPlan)| {
            let model = models.get(plan.model)?.model.clone();
            Some(Blueprint {
                config: stream.clone(),
                model,
                accuracy: config.accuracy.clone(),
                state: folder.clone().filter(|_| stream.calibrate.is_some()),
                every: config.state.every.0,
                track: plan.track,
                clock: plan.clock,
                aliases: plan.aliases,
            })
        };
        both.filter_map(blueprint).collect()
    }

    /// The stream's name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Whether it plays a recording: to start that again would play it again.
    pub fn is_recording(&self) -> bool {
        self.config.sources().all(SourceSpec::is_recording)
    }

    /// How long after a start, or after a prediction, the next one is due.
    pub fn due(&self) -> Duration {
        let input = self.model.bundle().input();
        let frames = (input.frames.max(1) + self.config.predict.hop) as f64;
        Duration::try_from_secs_f64(2.0 * frames / input.rate).unwrap_or(Duration::MAX / 4)
    }

    /// The accuracy log of a stream that has labels, where there is a folder for it.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open_log(&self) -> Result<Option<AccuracyLog>> {
        match self.accuracy.folder() {
            Some(folder) if self.track.is_some() || self.config.labels.is_some() => {
                let (name, clock) = (&self.config.name, Arc::new(SystemClock));
                AccuracyLog::open(&folder, name, &self.accuracy, clock).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// All that is and may come to be known of the stream; nothing without labels.
    pub fn labels(&self) -> Labels {
        let Blueprint { config, track, clock, .. } = self;
        let mut truths = Truths::new(&config.name);
        if let Some(track) = track {
            truths = truths.with_track(track.clone(), *clock);
        }
        let Some(labels) = &config.labels else {
            return Labels { truths: track.as_ref().map(|_| truths), ..Labels::default() };
        };
        let mut found = Labels::default();
        if labels.still_come() {
            let bundle = self.model.bundle();
            let (post, inbox) = label::live(Rules {
                stream: config.name.clone(),
                classes: bundle.labels().to_vec(),
                aliases: self.aliases.clone(),
                multi_label: bundle.task() == Task::MultiLabel,
                clock: *clock,
            });
            if let Some(track) = track {
                post.also(track, *clock);
            }
            if let Some(folder) = &labels.watch {
                let names = config.video_names();
                found.watch = Some(FolderWatch::new(folder, &labels.read, names, post.clone()));
            }
            found.post = labels.live.then_some(post);
            truths = truths.with_inbox(inbox, labels.wait.0);
        }
        found.truths = Some(truths);
        found
    }
}
