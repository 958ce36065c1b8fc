//! The configuration: a TOML file as types. Everything that can be refused
//! without opening a source is refused here, with file, line, column, key,
//! what was expected and the nearest valid key. `docs/config.md` lists the keys.

mod document;
mod expand;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::accuracy::AccuracyOptions;
use crate::calibrate::CalibrateOptions;
use crate::control::{ControlOptions, StatusOptions};
use crate::duration::HumanDuration;
use crate::error::{Error, Result};
use crate::label::LabelSource;
use crate::model::ModelOptions;
use crate::predict::PredictOptions;
use crate::sink::{FileOptions, SinkOptions};
use crate::video::isolate::{Isolate, Isolation};
use crate::video::{ReconnectOptions, SourceSpec, Sources};
use document::Document;

/// A gap in presentation times that empties the clip, where nothing else is said.
pub const MAX_GAP: HumanDuration = HumanDuration::seconds(1);

/// A whole configuration, checked as far as it can be without the models.
pub struct Config {
    /// The streams, at least one.
    pub streams: Vec<StreamConfig>,
    /// The sinks; standard output if none was named.
    pub sinks: Vec<SinkConfig>,
    /// The accuracy log.
    pub accuracy: AccuracyOptions,
    /// Where what was learned is kept.
    pub state: StateOptions,
    /// Labels that come over a socket.
    pub control: ControlOptions,
    /// Where it tells how it is doing.
    pub status: StatusOptions,
    /// When something counts as hung.
    pub watchdog: WatchdogOptions,
    document: Document,
}

/// The `[state]` table: what a stream learned, for the next time it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StateOptions {
    /// The folder; without it `$STATE_DIRECTORY`, which systemd sets, or none.
    pub path: Option<PathBuf>,
    /// The recovery point: a crash loses at most what was learned since.
    pub every: HumanDuration,
}

impl Default for StateOptions {
    fn default() -> Self {
        StateOptions { path: None, every: HumanDuration::seconds(60) }
    }
}

/// The `[watchdog]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WatchdogOptions {
    /// How long one step of a model, or one line to a sink, may take before it
    /// counts as hung.
    pub patience: HumanDuration,
}

impl Default for WatchdogOptions {
    fn default() -> Self {
        WatchdogOptions { patience: HumanDuration::seconds(30) }
    }
}

/// One `[[stream]]`, with the `[model]`, `[predict]` and `[calibrate]` that hold
/// for it.
#[derive(Clone, PartialEq)]
pub struct StreamConfig {
    /// Its name, unlike any other's.
    pub name: String,
    /// What to open.
    pub source: SourceSpec,
    /// What to open in turn when that cannot be had.
    pub fallbacks: Vec<SourceSpec>,
    /// When a lost source is tried again.
    pub reconnect: ReconnectOptions,
    /// Labels to score against.
    pub labels: Option<LabelSource>,
    /// A gap in presentation times that empties the clip.
    pub max_gap: HumanDuration,
    /// Which model.
    pub model: ModelOptions,
    /// How predictions are made.
    pub predict: PredictOptions,
    /// What is learned from labels as the stream runs; nothing without it.
    pub calibrate: Option<CalibrateOptions>,
}

/// What of a configuration decides how a recording is evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Which model.
    pub model: ModelOptions,
    /// How predictions are made.
    pub predict: PredictOptions,
    /// A gap in presentation times that empties the clip.
    pub max_gap: HumanDuration,
    /// Recordings are decoded in processes of their own, held so.
    pub isolate: Option<Isolation>,
}

impl Default for Evaluation {
    fn default() -> Self {
        Evaluation {
            model: ModelOptions::default(),
            predict: PredictOptions::default(),
            max_gap: MAX_GAP,
            isolate: None,
        }
    }
}

/// One `[[sink]]`, validated.
#[derive(Clone, Debug, PartialEq)]
pub enum SinkConfig {
    /// Standard output, with so much memory for what waits for it, in bytes.
    Stdout(usize),
    /// A file of JSON lines.
    File(FileOptions),
}

/// The file as it stands, before values are checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    stream: Vec<RawStream>,
    #[serde(default, rename = "model")]
    _model: ModelOptions,
    #[serde(default)]
    predict: PredictOptions,
    #[serde(default)]
    sink: Vec<SinkOptions>,
    calibrate: Option<CalibrateOptions>,
    #[serde(default)]
    accuracy: AccuracyOptions,
    #[serde(default)]
    state: StateOptions,
    #[serde(default)]
    control: ControlOptions,
    #[serde(default)]
    status: StatusOptions,
    #[serde(default)]
    watchdog: WatchdogOptions,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStream {
    name: String,
    source: Sources,
    #[serde(default)]
    reconnect: ReconnectOptions,
    labels: Option<LabelSource>,
    #[serde(default = "max_gap")]
    max_gap: HumanDuration,
    #[serde(default)]
    isolate: Isolate,
    #[serde(default)]
    model: ModelOptions,
    #[serde(default)]
    predict: PredictOptions,
    calibrate: Option<CalibrateOptions>,
}

/// The same file, where streams are not what it is read for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEvaluation {
    #[serde(default)]
    stream: Vec<RawStream>,
    #[serde(default)]
    model: ModelOptions,
    #[serde(default)]
    predict: PredictOptions,
    #[serde(default)]
    sink: Vec<SinkOptions>,
    // What only a running daemon does.
    #[serde(rename = "calibrate")]
    _calibrate: Option<CalibrateOptions>,
    #[serde(default, rename = "accuracy")]
    _accuracy: AccuracyOptions,
    #[serde(default, rename = "state")]
    _state: StateOptions,
    #[serde(default, rename = "control")]
    _control: ControlOptions,
    #[serde(default, rename = "status")]
    _status: StatusOptions,
    #[serde(default, rename = "watchdog")]
    _watchdog: WatchdogOptions,
}

const NO_GAP: &str = "no gap at all would empty the clip at every frame; expected a longer time";

fn max_gap() -> HumanDuration {
    MAX_GAP
}

impl Config {
    /// Reads and checks the file at `path`. Paths in it are relative to its folder.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config): the file cannot be read,
    /// or anything in it is unknown, of the wrong type or impossible.
    pub fn load(path: &Path) -> Result<Config> {
        let document = Document::read(path)?;
        Config::from_document(document)
    }

    /// A configuration of one stream, as `kinewatch run --source …` makes it.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn quick(source: &str, model: Option<&Path>, labels: Option<&Path>) -> Result<Config> {
        Config::from_document(Document::quick(source, model, labels)?)
    }

    /// What the file at `path` says about how its streams are evaluated: its
    /// global tables, or where it has a single stream, what holds for that. A
    /// file with neither streams nor sinks will do.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn evaluation(path: &Path) -> Result<Evaluation> {
        let document = Document::read(path)?;
        let raw: RawEvaluation = document.deserialize()?;
        let _ = sinks(&raw.sink, &document)?;
        let (at, evaluation) = match <[RawStream; 1]>::try_from(raw.stream) {
            Ok([stream]) => {
                let RawStream { model, predict, max_gap, isolate, .. } = stream;
                ("stream[0].", Evaluation { model, predict, max_gap, isolate: isolate.0 })
            }
            Err(_) => {
                let RawEvaluation { model, predict, .. } = raw;
                ("", Evaluation { model, predict, ..Evaluation::default() })
            }
        };
        let error = |key: &str, fault: &str| Err(document.error_at(&format!("{at}{key}"), fault));
        if evaluation.max_gap.0.is_zero() {
            return error("max_gap", NO_GAP);
        }
        if let Some(Err((key, fault))) = evaluation.isolate.as_ref().map(Isolation::check) {
            return error(&format!("isolate.{key}"), &fault);
        }
        if evaluation.model.threads == 0 {
            return error("model.threads", "0 threads; expected 1 or more");
        }
        match evaluation.predict.check() {
            Err((key, fault)) => error(&format!("predict.{key}"), &fault),
            Ok(()) => Ok(evaluation),
        }
    }

    fn from_document(document: Document) -> Result<Config> {
        let raw: Raw = document.deserialize()?;
        let config = Config {
            streams: raw.stream.into_iter().map(StreamConfig::from).collect(),
            sinks: sinks(&raw.sink, &document)?,
            accuracy: raw.accuracy,
            state: raw.state,
            control: raw.control,
            status: raw.status,
            watchdog: raw.watchdog,
            document,
        };
        if config.streams.is_empty() {
            return Err(
                config.error_at("stream", "there is none; expected at least one [[stream]]")
            );
        }
        let calibrated = raw.calibrate.as_ref().map_or(Ok(()), CalibrateOptions::check);
        for (table, outcome) in [
            ("predict", raw.predict.check()),
            ("calibrate", calibrated),
            ("accuracy", config.accuracy.check()),
            ("control", config.control.check()),
            ("status", config.status.check()),
        ] {
            outcome.map_err(|(key, fault)| config.error_at(&format!("{table}.{key}"), fault))?;
        }
        if config.state.every.0.is_zero() {
            let fault = "a recovery point of zero; expected a longer time, such as \"60 s\"";
            return Err(config.error_at("state.every", fault));
        }
        config.streams.iter().for_each(|stream| stream.source.keep_secrets());
        if config.watchdog.patience.0.is_zero() {
            let fault = "no patience at all; expected a longer time, such as \"30 s\"";
            return Err(config.error_at("watchdog.patience", fault));
        }
        for (i, stream) in config.streams.iter().enumerate() {
            config.check_stream(i, stream)?;
        }
        Ok(config)
    }

    fn check_stream(&self, i: usize, stream: &StreamConfig) -> Result<()> {
        let at =
            |key: &str, fault: String| Err(self.error_at(&format!("stream[{i}].{key}"), fault));
        if stream.name.trim().is_empty() || stream.name.chars().any(char::is_control) {
            return at(
                "name",
                "a name must be readable text; expected something like \"gate\"".into(),
            );
        }
        if let Some(first) = self.streams[..i].iter().position(|s| s.name == stream.name) {
            return at(
                "name",
                format!(
                    "stream {} is called \"{}\" as well; expected a name of its own",
                    first + 1,
                    stream.name
                ),
            );
        }
        if stream.max_gap.0.is_zero() {
            return at("max_gap", NO_GAP.into());
        }
        if let Some(Err((key, fault))) = stream.source.isolate.as_ref().map(Isolation::check) {
            return at(&format!("isolate.{key}"), fault);
        }
        if stream.model.threads == 0 {
            return at("model.threads", "0 threads; expected 1 or more".into());
        }
        if let Err((key, fault)) = stream.predict.check() {
            return at(&format!("predict.{key}"), fault);
        }
        if let Some(Err((key, fault))) = stream.calibrate.as_ref().map(CalibrateOptions::check) {
            return at(&format!("calibrate.{key}"), fault);
        }
        if let Some(labels) = &stream.labels {
            if let Err((key, fault)) = labels.check() {
                return at(&format!("labels.{key}"), fault);
            }
            if labels.live && !self.control.is_on() {
                let fault = "nothing brings them; expected a [control] table with listen = \"127.0.0.1:8710\" or a socket";
                return at("labels.live", fault.into());
            }
        }
        if let Err((key, fault)) = stream.reconnect.check() {
            return at(&format!("reconnect.{key}"), fault);
        }
        let key = |j: usize| match stream.fallbacks.is_empty() {
            true => format!("stream[{i}].source"),
            false => format!("stream[{i}].source[{j}]"),
        };
        for (j, source) in stream.sources().enumerate() {
            source.check().map_err(|error| self.wrap_at(&key(j), &error))?;
            if source.is_recording() && !stream.fallbacks.is_empty() {
                let fault = "a recording cannot be one of several sources: it ends, and that is no loss; expected live sources";
                return Err(self.error_at(&key(j), fault));
            }
        }
        Ok(())
    }

    /// An error about the key at `path`, such as `stream[0].predict.events.on`:
    /// with file, line and column of that key, or of the nearest table above it
    /// that was written.
    pub fn error_at(&self, path: &str, fault: impl std::fmt::Display) -> Error {
        self.document.error_at(path, &fault.to_string())
    }

    /// `error`, which a deeper room found, with the place in this file that led to it.
    pub fn wrap_at(&self, path: &str, error: &Error) -> Error {
        self.document.error_at(path, &error.to_string())
    }
}

impl From<RawStream> for StreamConfig {
    fn from(raw: RawStream) -> Self {
        let isolate = raw.isolate.0;
        let mut sources = raw
            .source
            .0
            .into_iter()
            .map(|source| SourceSpec { isolate: isolate.clone(), ..source });
        StreamConfig {
            name: raw.name,
            // An empty list names nothing to open, as an empty table does.
            source: sources.next().unwrap_or_default(),
            fallbacks: sources.collect(),
            reconnect: raw.reconnect,
            labels: raw.labels,
            max_gap: raw.max_gap,
            model: raw.model,
            predict: raw.predict,
            calibrate: raw.calibrate,
        }
    }
}

impl StreamConfig {
    /// What to open, the most wanted first.
    pub fn sources(&self) -> impl Iterator<Item = &SourceSpec> {
        [&self.source].into_iter().chain(&self.fallbacks)
    }

    /// The names under which a label file may speak of this stream: that of its
    /// recording, and its own.
    pub fn video_names(&self) -> Vec<String> {
        let of_path =
            |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let recording = match (&self.source.path, &self.source.uri) {
            (Some(path), _) => of_path(path),
            (None, Some(uri)) => {
                of_path(Path::new(uri.split(['?', '#']).next().unwrap_or_default()))
            }
            (None, None) => None,
        };
        recording.into_iter().chain([self.name.clone()]).collect()
    }
}

fn sinks(options: &[SinkOptions], document: &Document) -> Result<Vec<SinkConfig>> {
    let mut sinks: Vec<SinkConfig> = Vec::new();
    for (i, sink) in options.iter().enumerate() {
        let at = |key: &str, fault: &str| document.error_at(&format!("sink[{i}].{key}"), fault);
        let sink = match sink.file().map_err(|(key, fault)| at(key, &fault))? {
            Some(file) => SinkConfig::File(file),
            None => SinkConfig::Stdout(sink.queue_bytes().map_err(|(key, fault)| at(key, &fault))?),
        };
        for before in &sinks {
            match (before, &sink) {
                (SinkConfig::Stdout(_), SinkConfig::Stdout(_)) => {
                    return Err(at("kind", "standard output is a sink already; expected it once"));
                }
                (SinkConfig::File(a), SinkConfig::File(b)) if a.path == b.path => {
                    return Err(at(
                        "path",
                        "another sink writes this file; expected a file of its own",
                    ));
                }
                _ => {}
            }
        }
        sinks.push(sink);
    }
    if sinks.is_empty() {
        sinks.push(SinkConfig::Stdout(FileOptions::QUEUE_BYTES));
    }
    Ok(sinks)
}

#[cfg(test)]
mod tests;
