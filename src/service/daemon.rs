//! All streams of a configuration, from start to end.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, unbounded};
use serde::Serialize;

use super::keeper::Keep;
use super::plan::{ModelPlan, Plan, StreamPlan};
use super::state::StateFile;
use super::{notify, signals};
use crate::accuracy::{AccuracyLog, AccuracyOptions};
use crate::atomic::write_atomically;
use crate::clip::Preprocessed;
use crate::clock::SystemClock;
use crate::config::{SinkConfig, StreamConfig};
use crate::control::{Control, Folders};
use crate::error::{Error, Result};
use crate::label::{self, FolderWatch, Post, Rules, Truths};
use crate::model::{Model, ModelOptions, Task};
use crate::session::{Keeping, ModelFacts, Progress, Session, Summary};
use crate::sink::{FileSink, Sink, Sinks, Standing, StdoutSink, View};
use crate::stop::Stop;
use crate::video::{self, Pace, Want};

/// How often systemd is told how things stand.
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// What standard output shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A live view on a terminal, JSON lines otherwise.
    #[default]
    Auto,
    /// JSON lines.
    Json,
    /// Readable lines.
    Text,
}

/// How to run a plan.
#[derive(Clone, Debug)]
pub struct Options {
    /// How fast recordings are played.
    pub pace: Pace,
    /// What standard output shows.
    pub format: Format,
    /// Where the summary goes, as JSON.
    pub summary: Option<PathBuf>,
    /// Ends everything, well, after this long; `None`: when all streams have ended.
    pub run_for: Option<Duration>,
}

enum Message {
    /// A stream's source was started, or failed to.
    Started,
    Ended(Box<Summary>),
}

/// Runs every stream until all have ended, and returns what they came to, in
/// the order of the configuration. One stream's failure ends no other.
///
/// # Errors
/// Nothing was started: a model or a sink cannot be had.
pub fn run(plan: Plan, options: &Options) -> Result<Vec<Summary>> {
    let sinks = Arc::new(Sinks::new(open_sinks(&plan.config.sinks, options.format)?));
    let models = plan.models.into_iter().map(load).collect::<Result<Vec<_>>>()?;
    let names: Vec<String> = plan.config.streams.iter().map(|s| s.name.clone()).collect();
    // Asks everything to end: streams and then sinks.
    let over = Stop::default();
    let stops: Vec<Stop> = names.iter().map(|_| over.child()).collect();
    let progress: Vec<Arc<Progress>> = names.iter().map(|_| Arc::default()).collect();
    let told = progress.clone();
    signals::listen(vec![over.clone()], move || tell(&told))?;
    let state = plan.config.state.path.clone().or_else(StateFile::folder);
    let learns = plan.config.streams.iter().any(|stream| stream.calibrate.is_some());
    let keep = (state.is_some() && learns).then(|| Keep::start(names.len())).transpose()?;
    let (mut posts, mut watches) = (Vec::new(), Vec::new());

    let (sender, messages) = unbounded();
    let mut jobs = Vec::new();
    for (i, (config, stream)) in plan.config.streams.into_iter().zip(plan.streams).enumerate() {
        let model = models[stream.model].clone();
        let log = open_log(&plan.config.accuracy, &config, &stream)?;
        let keeping = match (&keep, &state) {
            (Some(keep), Some(folder)) if config.calibrate.is_some() => {
                let sha256 = model.bundle().sha256(model.mode());
                let keeper = sha256.and_then(|sha256| keep.of(folder, &names[i], sha256));
                keeper.map(|keeper| Keeping { keeper, every: plan.config.state.every.0 })
            }
            _ => None,
        };
        jobs.push(Job {
            truths: truths(&config, stream, &model, &mut posts, &mut watches),
            config,
            accuracy: plan.config.accuracy.clone(),
            log,
            keeping,
            model,
            pace: options.pace,
            sinks: sinks.clone(),
            stop: stops[i].clone(),
            progress: progress[i].clone(),
            messages: sender.clone(),
        });
    }
    // Kept until the streams have ended.
    let control = &plan.config.control;
    let _control = control.is_on().then(|| Control::start(control, posts)).transpose()?;
    let _folders = Folders::start(watches)?;
    for (i, job) in jobs.into_iter().enumerate() {
        let spawned = thread::Builder::new().name(names[i].clone()).spawn(move || job.run());
        if let Err(error) = spawned {
            over.ask();
            return Err(Error::unavailable(format!("starting stream \"{}\"", names[i]), error));
        }
    }
    drop(sender);

    let begun = Instant::now();
    let mut started = 0;
    let mut summaries: Vec<Summary> = Vec::new();
    while summaries.len() < names.len() {
        let left = options.run_for.map(|run_for| run_for.saturating_sub(begun.elapsed()));
        // Once asked to, the streams take a moment to end.
        let wait = match left {
            Some(Duration::ZERO) => {
                over.ask();
                STATUS_EVERY
            }
            Some(left) => left.min(STATUS_EVERY),
            None => STATUS_EVERY,
        };
        match messages.recv_timeout(wait) {
            Ok(Message::Started) => {
                started += 1;
                if started == names.len() {
                    notify::ready();
                }
            }
            Ok(Message::Ended(summary)) => {
                if summary.closed {
                    over.ask();
                }
                match &summary.error {
                    Some(error) => log::error!("stream \"{}\" failed: {error}", summary.stream),
                    None => log::debug!("stream \"{}\" ended", summary.stream),
                }
                summaries.push(*summary);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::internal(
                    "running the streams",
                    "a stream's thread ended without a word",
                ));
            }
        }
        notify::status(&status(names.len() - summaries.len(), &progress));
    }
    notify::stopping();
    // What waits is written, and the live view ends its last line, before the log
    // goes on.
    sinks.finish(&over);
    summaries.sort_by_key(|s| names.iter().position(|name| *name == s.stream));
    // What was learned is on the disk before anybody is told that all is over.
    drop(keep);
    summaries.iter().for_each(|summary| log::info!("{summary}"));
    tell(&progress);
    for sink in sinks.standing().iter().filter(|sink| sink.lost > 0) {
        log::warn!("{} lines were lost on their way to {}", sink.lost, sink.name);
    }
    if let Some(path) = &options.summary {
        write_summary(path, &summaries, &sinks)?;
    }
    Ok(summaries)
}

/// Says in the log how right each labelled stream has been.
fn tell(progress: &[Arc<Progress>]) {
    let texts: Vec<String> = progress.iter().filter_map(|p| p.standing.text()).collect();
    match texts.is_empty() {
        true => log::debug!("no stream was scored"),
        false => texts.iter().for_each(|text| log::info!("{text}")),
    }
}

/// The accuracy log of a stream that has labels, where there is a folder for it.
fn open_log(
    options: &AccuracyOptions,
    config: &StreamConfig,
    stream: &StreamPlan,
) -> Result<Option<AccuracyLog>> {
    match options.folder() {
        Some(folder) if stream.track.is_some() || config.labels.is_some() => {
            AccuracyLog::open(&folder, &config.name, options, Arc::new(SystemClock)).map(Some)
        }
        _ => Ok(None),
    }
}

/// All that is and may come to be known of a stream; `None` without labels.
fn truths(
    config: &StreamConfig,
    stream: StreamPlan,
    model: &Model,
    posts: &mut Vec<Post>,
    watches: &mut Vec<FolderWatch>,
) -> Option<Truths> {
    let mut truths = Truths::new(&config.name);
    let StreamPlan { track, clock, aliases, .. } = stream;
    if let Some(track) = &track {
        truths = truths.with_track(track.clone(), clock);
    }
    let Some(labels) = &config.labels else { return track.map(|_| truths) };
    if labels.still_come() {
        let bundle = model.bundle();
        let (post, inbox) = label::live(Rules {
            stream: config.name.clone(),
            classes: bundle.labels().to_vec(),
            aliases,
            multi_label: bundle.task() == Task::MultiLabel,
            clock,
        });
        if let Some(track) = &track {
            post.also(track, clock);
        }
        if let Some(folder) = &labels.watch {
            let names = config.video_names();
            watches.push(FolderWatch::new(folder, &labels.read, names, post.clone()));
        }
        if labels.live {
            posts.push(post);
        }
        truths = truths.with_inbox(inbox, labels.wait.0);
    }
    Some(truths)
}

fn status(running: usize, progress: &[Arc<Progress>]) -> String {
    let sum = |of: fn(&Progress) -> &std::sync::atomic::AtomicU64| -> u64 {
        progress.iter().map(|p| of(p).load(Ordering::Relaxed)).sum()
    };
    format!(
        "{running} of {} streams running, {} frames, {} predictions, {} skipped",
        progress.len(),
        sum(|p| &p.frames),
        sum(|p| &p.predictions),
        sum(|p| &p.skipped)
    )
}

fn load(plan: ModelPlan) -> Result<Arc<Model>> {
    let options = ModelOptions { mode: Some(plan.mode), ..plan.options };
    Model::load_with(plan.bundle, &options)
}

fn open_sinks(configs: &[SinkConfig], format: Format) -> Result<Vec<Box<dyn Sink>>> {
    let terminal = io::stdout().is_terminal();
    let text = format == Format::Text || (format == Format::Auto && terminal);
    // https://no-color.org
    let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    configs
        .iter()
        .map(|config| -> Result<Box<dyn Sink>> {
            Ok(match config {
                SinkConfig::Stdout(_) if text => Box::new(View::open(terminal, colour)?),
                SinkConfig::Stdout(queue_bytes) => Box::new(StdoutSink::open(*queue_bytes)?),
                SinkConfig::File(file) => {
                    Box::new(FileSink::open(file.clone(), Arc::new(SystemClock))?)
                }
            })
        })
        .collect()
}

/// The file that `--summary` writes.
#[derive(Serialize)]
struct Report<'a> {
    v: u32,
    kind: &'static str,
    streams: &'a [Summary],
    sinks: Vec<Standing>,
    lines_lost: u64,
}

fn write_summary(path: &Path, streams: &[Summary], sinks: &Sinks) -> Result<()> {
    let doing = format!("writing the summary \"{}\"", path.display());
    let (lines_lost, sinks) = (sinks.lost(), sinks.standing());
    let report = Report { v: 1, kind: "summary", streams, sinks, lines_lost };
    let mut text =
        serde_json::to_string_pretty(&report).map_err(|error| Error::internal(&doing, error))?;
    text.push('\n');
    // A pipe or a device cannot be replaced.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return fs::write(path, text).map_err(|error| Error::unavailable(doing, error));
    }
    write_atomically(path, text.as_bytes())
}

/// What one stream's thread owns.
struct Job {
    config: StreamConfig,
    truths: Option<Truths>,
    accuracy: AccuracyOptions,
    log: Option<AccuracyLog>,
    keeping: Option<Keeping>,
    model: Arc<Model>,
    pace: Pace,
    sinks: Arc<Sinks>,
    stop: Stop,
    progress: Arc<Progress>,
    messages: Sender<Message>,
}

impl Job {
    fn run(self) {
        let (name, messages) = (self.config.name.clone(), self.messages.clone());
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.start()));
        let summary = match outcome {
            Ok(Ok(session)) => {
                let _ = messages.send(Message::Started);
                session.run()
            }
            failed => {
                let _ = messages.send(Message::Started);
                let error = match failed {
                    Ok(Err(error)) => error,
                    _ => Error::internal(format!("starting stream \"{name}\""), "it panicked"),
                };
                Summary::new(&name).failed(error)
            }
        };
        // Nobody listens only when the daemon is already going down.
        let _ = messages.send(Message::Ended(Box::new(summary)));
    }

    fn start(self) -> Result<Session> {
        let facts = ModelFacts::of(self.model.bundle(), self.model.mode());
        log::info!(
            "stream \"{}\": {}, model \"{}\" in mode {}",
            self.config.name,
            self.config.source.describe(),
            self.model.bundle().name(),
            self.model.mode().name()
        );
        let want = Want {
            rate: facts.input.rate,
            colour: facts.input.colour,
            max_gap: self.config.max_gap.0,
        };
        let source =
            video::open(&self.config.name, &self.config.source, &want, self.pace, &self.stop)?;
        Ok(Session {
            name: self.config.name,
            source: Box::new(Preprocessed::new(source, &facts.input)?),
            classifier: self.model.classifier()?,
            model: facts,
            predict: self.config.predict,
            truths: self.truths,
            calibrate: self.config.calibrate,
            accuracy: Some(self.accuracy),
            log: self.log,
            keeping: self.keeping,
            sinks: self.sinks,
            observer: None,
            clock: Arc::new(SystemClock),
            stop: self.stop,
            progress: self.progress,
        })
    }
}
