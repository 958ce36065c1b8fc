//! `kinewatch replay`: recordings and their labels in, figures and a report out.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use indicatif::MultiProgress;

use super::bytes::Bytes;
use super::mode::mode;
use super::output::print;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Evaluation};
use crate::error::{Error, Result};
use crate::label::{Aliases, Annotations, Format, ReadOptions};
use crate::model::{Backend, Bundle, Mode, Model, ModelOptions};
use crate::replay::{self, Clips, Labels, Outcome, Progress, Video, Views};
use crate::report::store::{FORMAT, Run, RunModel, Shard, Store, Truth};
use crate::report::{self, Aggregate, ReportOptions};
use crate::service::{self, Asked};
use crate::session::rfc3339;
use crate::stop::Stop;
use crate::video::isolate::Isolation;

/// Run recordings through a model as the daemon would, and report how right it is
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 done, 1 a video failed or the run was stopped (what was finished \
                  is kept; run it again to go on), 2 bad command line or configuration."
)]
pub(super) struct Args {
    /// Recordings, or folders of them
    #[arg(required = true, value_name = "VIDEO|DIR")]
    videos: Vec<PathBuf>,
    /// The folder for predictions, figures and the report; the same again goes
    /// on where an earlier run stopped
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// The model bundle (default: the built-in camera-events)
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// A configuration whose tables model and predict hold, such as a daemon's own
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to run the model over a stream (default: the bundle's first mode;
    /// whole clips for the views of published protocols)
    #[arg(long, value_parser = mode)]
    mode: Option<Mode>,
    /// Videos that are run at once (default: one for each core)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// Run only the i-th of n equal parts; `kinewatch report` puts them together
    #[arg(long, value_name = "i/n", value_parser = shard)]
    shard: Option<Shard>,
    /// Decode each video in a process of its own that can do no harm: for videos
    /// from strangers
    #[arg(long)]
    isolate: bool,
    /// Begin anew where OUT holds another run
    #[arg(long)]
    force: bool,
    /// Write predictions only, and leave figures to `kinewatch report`: for shards
    #[arg(long)]
    no_report: bool,
    #[command(flatten, next_help_heading = "Labels")]
    labels: LabelArgs,
    #[command(flatten, next_help_heading = "Views")]
    views: ViewArgs,
    #[command(flatten, next_help_heading = "Cache")]
    cache: CacheArgs,
}

#[derive(Debug, clap::Args)]
struct LabelArgs {
    /// What is really there: a label file in any known format, or a folder
    #[arg(long, value_name = "FILE|DIR")]
    labels: Option<PathBuf>,
    /// The labels' format, where it cannot be told from the file
    #[arg(long, value_name = "FORMAT", requires = "labels")]
    format: Option<Format>,
    /// A CSV file from,to between label names and the model's classes; an empty
    /// `to` leaves that label out
    #[arg(long, value_name = "FILE", requires = "labels")]
    map: Option<PathBuf>,
    /// A file that names the labels' classes by number or code
    #[arg(long, value_name = "FILE", requires = "labels")]
    classes: Option<PathBuf>,
    /// Which split to read: train, test, val, test1 …
    #[arg(long, requires = "labels")]
    split: Option<String>,
    /// Which column holds the label
    #[arg(long, requires = "labels")]
    column: Option<String>,
    /// Which tier of an ELAN file; "*" for all
    #[arg(long, requires = "labels")]
    tier: Option<String>,
    /// Frames a second, for labels that count frames
    #[arg(long, requires = "labels")]
    fps: Option<f64>,
    /// Seconds added to every time in the labels
    #[arg(long, requires = "labels", default_value_t = 0.0, allow_negative_numbers = true)]
    offset: f64,
    /// A label that cannot be used is an error
    #[arg(long, requires = "labels")]
    strict: bool,
    /// Leave out videos that have no labels
    #[arg(long, requires = "labels")]
    only_labelled: bool,
}

#[derive(Debug, clap::Args)]
struct ViewArgs {
    /// The stream's own sliding windows (window), a window at every sampled frame
    /// (dense), or N clips spread evenly over the video
    #[arg(long, value_name = "window|dense|N", default_value_t)]
    clips: Clips,
    /// Spatial crops of each clip: the centre, or left, centre and right
    #[arg(long, value_name = "1|3", default_value_t = 1)]
    crops: usize,
    /// Sample the whole video to T frames, instead of at the model's rate
    #[arg(long, value_name = "T")]
    resample: Option<usize>,
    /// How the clips of a video become its one prediction
    #[arg(long, value_enum, default_value_t)]
    aggregate: Aggregate,
}

#[derive(Debug, clap::Args)]
struct CacheArgs {
    /// Keep sampled frames here, for runs of other models that are fed alike
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// The most that the cache may hold; the oldest goes first
    #[arg(long, value_name = "SIZE", requires = "cache", default_value_t = Bytes(20_000_000_000))]
    cache_size: Bytes,
}

fn shard(text: &str) -> Result<Shard, String> {
    let part = |text: &str| u32::from_str(text).ok().filter(|n| *n > 0);
    let shard = text.split_once('/').and_then(|(i, n)| Some((part(i)?, part(n)?)));
    match shard {
        Some((index, of)) if index <= of => Ok(Shard { index, of }),
        _ => Err("expected i/n with i from 1 to n, such as 2/8".into()),
    }
}

/// Whether every video was run well.
pub(super) fn run(args: &Args) -> Result<bool> {
    service::share_arenas();
    let mut evaluation = match &args.config {
        Some(path) => Config::evaluation(path)?,
        None => Evaluation::default(),
    };
    if args.model.is_some() {
        evaluation.model.path.clone_from(&args.model);
        // The mode in a configuration belongs to the model in it.
        evaluation.model.mode = None;
    }
    let bundle = match &evaluation.model.path {
        Some(path) => Bundle::load(path)?,
        None => Bundle::embedded()?,
    };
    let views =
        Views { clips: args.views.clips, crops: args.views.crops, resample: args.views.resample };
    views.check(bundle.input())?;
    let mode = views.mode(&bundle, args.mode.or(evaluation.model.mode))?;
    if let Err((key, fault)) = evaluation.predict.check_labels(bundle.labels()) {
        return Err(Error::config("reading the configuration", format!("predict.{key}: {fault}")));
    }
    let videos = replay::list(&args.videos)?;
    let labels = args.labels.read(&bundle)?;
    let videos = with_truth(videos, labels.as_ref(), &bundle, args.labels.only_labelled)?;
    let planned = videos.len() as u64;
    let videos = match &args.shard {
        Some(shard) => replay::shard(&videos, shard.index, shard.of),
        None => videos,
    };
    let jobs = args.jobs.map_or_else(cores, usize::from);
    let options = replay::Options {
        predict: evaluation.predict.clone(),
        views,
        max_gap: evaluation.max_gap.0,
        isolate: evaluation.isolate.clone().or_else(|| args.isolate.then(Isolation::default)),
        jobs,
        cache: args.cache.cache.clone().map(|folder| (folder, args.cache.cache_size.0)),
    };
    let model_options = ModelOptions { mode: Some(mode), ..evaluation.model.clone() };
    let run = describe(&bundle, &model_options, &options, labels.as_ref(), args.shard, planned)?;
    if model_options.backend != Backend::Tract {
        log::warn!("model.backend is for running streams: a replay runs on the CPU");
    }
    let model = Model::load_with(bundle, &model_options)?;
    let _lock = replay::Lock::take(&args.output)?;
    let store = match args.force {
        true => Store::begin_anew(&args.output, &run)?,
        false => Store::create(&args.output, &run)?,
    };

    let stop = Stop::default();
    let asked = stop.clone();
    service::listen(move |what| match what {
        Asked::End => asked.ask(),
        Asked::Reload => log::info!("SIGHUP: a replay reads its configuration once"),
        Asked::Tell => log::info!("a replay's figures come at its end"),
    })?;
    let bars = io::stderr().is_terminal().then(MultiProgress::new);
    service::log_above(bars.clone().map(|bars| -> service::Aside {
        Arc::new(move |write: &mut dyn FnMut()| bars.suspend(write))
    }));
    let outcome = replay::run(&videos, &model, &options, &store, &stop, &Progress::new(bars));
    service::log_above(None);
    let outcome = outcome?;
    if outcome.left == 0 && !args.no_report {
        let options = ReportOptions { aggregate: args.views.aggregate, ..ReportOptions::default() };
        let report = report::write(&[store], &args.output, &options)?;
        print(report.to_string().as_bytes())?;
    }
    tell(&outcome);
    Ok(outcome.failed.is_empty() && outcome.left == 0)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl LabelArgs {
    fn read(&self, bundle: &Bundle) -> Result<Option<Labels>> {
        let Some(path) = &self.labels else { return Ok(None) };
        let options = ReadOptions {
            format: self.format,
            fps: self.fps,
            column: self.column.clone(),
            tier: self.tier.clone(),
            split: self.split.clone(),
            classes: self.classes.clone(),
            offset: self.offset,
            strict: self.strict,
            ..ReadOptions::default()
        };
        let aliases = match &self.map {
            Some(map) => Aliases::with_map(bundle.labels(), map)?,
            None => Aliases::new(bundle.labels()),
        };
        let annotations = Annotations::read(path, &options)?;
        let deciding = [self.map.as_deref(), self.classes.as_deref()];
        Labels::new(annotations, aliases, path, &deciding).map(Some)
    }
}

/// Each video with what the labels say about it.
fn with_truth(
    videos: Vec<Video>,
    labels: Option<&Labels>,
    bundle: &Bundle,
    only_labelled: bool,
) -> Result<Vec<(Video, Truth)>> {
    let Some(labels) = labels else {
        log::info!("no --labels: there will be predictions, but no figures");
        return Ok(videos.into_iter().map(|video| (video, Truth::None)).collect());
    };
    let survey = labels.survey(&videos).to_string();
    if !survey.is_empty() {
        log::warn!("what does not fit together:\n{}", survey.trim_end());
    }
    let truths = labels.of(&videos, bundle.labels());
    let mut videos: Vec<_> = videos.into_iter().zip(truths).collect();
    if only_labelled {
        videos.retain(|(_, truth)| *truth != Truth::None);
    }
    if videos.iter().all(|(_, truth)| *truth == Truth::None) {
        return Err(Error::config(
            format!("reading labels \"{}\"", labels.identity.name),
            "they speak of none of these videos",
        )
        .remedy("name the folder that the paths in the label file begin at"));
    }
    Ok(videos)
}

/// What decides the predictions, for `run.json`.
fn describe(
    bundle: &Bundle,
    model: &ModelOptions,
    options: &replay::Options,
    labels: Option<&Labels>,
    shard: Option<Shard>,
    planned: u64,
) -> Result<Run> {
    let doing = "describing the run";
    let input = serde_json::to_value(bundle.input());
    let input = input.map_err(|error| Error::internal(doing, error))?;
    let (clips, count) = match options.views.clips {
        Clips::Uniform(count) => ("uniform".to_owned(), Some(count)),
        clips => (clips.to_string(), None),
    };
    let mode = bundle.choose(model.mode)?;
    let precision = serde_json::to_value(model.precision);
    let precision = precision.map_err(|error| Error::internal(doing, error))?;
    let decides = [
        ("clips", clips.into()),
        ("count", count.into()),
        ("crops", options.views.crops.into()),
        ("resample", options.views.resample.into()),
        ("max_gap", options.max_gap.as_secs_f64().into()),
        ("input", input),
        ("precision", precision),
    ];
    Ok(Run {
        v: FORMAT,
        kinewatch: env!("CARGO_PKG_VERSION").to_owned(),
        created: rfc3339(SystemClock.wall()),
        model: RunModel {
            name: bundle.name().to_owned(),
            sha256: bundle.sha256(mode).unwrap_or_default().to_ascii_lowercase(),
            task: bundle.task(),
            output: bundle.output(),
            mode: mode.name().to_owned(),
            labels: bundle.labels().to_vec(),
        },
        labels: labels.map(|labels| labels.identity.clone()),
        predict: options.predict(),
        options: decides
            .map(|(key, value)| (key.to_owned(), value))
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
        shard,
        planned: Some(planned),
    })
}

/// What the one who reads the log must know.
fn tell(outcome: &Outcome) {
    if !outcome.empty.is_empty() {
        log::warn!(
            "{} videos are shorter than one clip and have no prediction: {}",
            outcome.empty.len(),
            outcome.empty.join(", ")
        );
    }
    if !outcome.failed.is_empty() {
        log::error!("{} videos failed; run it again to try them again:", outcome.failed.len());
        let widest = outcome.failed.iter().map(|(id, _)| id.chars().count()).max().unwrap_or(0);
        for (id, why) in &outcome.failed {
            log::error!("  {id:<widest$}  {why}");
        }
    }
    if outcome.left > 0 {
        log::warn!(
            "stopped: {} videos are left; run it again to go on, or look at what there is with kinewatch report",
            outcome.left
        );
    }
}
