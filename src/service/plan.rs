//! From a configuration to everything that can be known before a source is
//! opened: which models, which labels, and whether they fit together.

use crate::config::{Config, StreamConfig};
use crate::error::{Error, Result};
use crate::label::{Aliases, Annotations, LabelClock, Track};
use crate::model::{Bundle, Mode, ModelOptions};
#[cfg(feature = "synth")]
use crate::synth;

/// A configuration with its bundles and label files read.
pub struct Plan {
    /// The configuration.
    pub config: Config,
    /// For each stream, in the configuration's order.
    pub streams: Vec<StreamPlan>,
    /// The different models that the streams name.
    pub models: Vec<ModelPlan>,
}

/// What one stream needs besides its configuration.
pub struct StreamPlan {
    /// Index into [`Plan::models`].
    pub model: usize,
    /// What was really there, as far as a file says.
    pub track: Option<Track>,
    /// The clock of that file's times.
    pub clock: LabelClock,
    /// From the names that labels use to the model's classes.
    pub aliases: Aliases,
}

/// A model that one or more streams name.
pub struct ModelPlan {
    /// As configured.
    pub options: ModelOptions,
    /// Its bundle.
    pub bundle: Bundle,
    /// How it will run.
    pub mode: Mode,
}

impl Plan {
    /// Reads the bundles and the labels. Streams that name the same model share it.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config), with the place in the
    /// configuration: a bundle or a label file is missing or broken, the bundle
    /// has no such mode, an ignored label is none of the model's, or labels of a
    /// single-label model overlap.
    pub fn new(config: Config) -> Result<Plan> {
        let mut models: Vec<ModelPlan> = Vec::new();
        let mut streams = Vec::new();
        for (i, stream) in config.streams.iter().enumerate() {
            let at = |key: &str| format!("stream[{i}].{key}");
            let model = match models.iter().position(|m| m.options == stream.model) {
                Some(known) => known,
                None => {
                    let bundle = match &stream.model.path {
                        Some(path) => Bundle::load(path),
                        None => Bundle::embedded(),
                    };
                    let bundle =
                        bundle.map_err(|error| config.wrap_at(&at("model.path"), &error))?;
                    let mode = bundle
                        .choose(stream.model.mode)
                        .map_err(|error| config.wrap_at(&at("model.mode"), &error))?;
                    models.push(ModelPlan { options: stream.model.clone(), bundle, mode });
                    models.len() - 1
                }
            };
            let bundle = &models[model].bundle;
            if let Err((key, fault)) = stream.predict.check_labels(bundle.labels()) {
                return Err(config.error_at(&at(&format!("predict.{key}")), fault));
            }
            let task = bundle.task();
            if let Some(Err((key, fault))) =
                stream.calibrate.as_ref().map(|options| options.check_task(task))
            {
                return Err(config.error_at(&at(&format!("calibrate.{key}")), fault));
            }
            let labels = stream.labels.as_ref();
            let aliases = match labels.and_then(|labels| labels.map.as_ref()) {
                Some(map) => Aliases::with_map(bundle.labels(), map),
                None => Ok(Aliases::new(bundle.labels())),
            };
            let aliases = aliases.map_err(|error| config.wrap_at(&at("labels"), &error))?;
            let track = read_track(stream, bundle, &aliases)
                .map_err(|error| config.wrap_at(&at("labels"), &error))?;
            let clock = labels.map(|labels| labels.clock).unwrap_or_default();
            streams.push(StreamPlan { model, track, clock, aliases });
        }
        Ok(Plan { config, streams, models })
    }
}

fn read_track(stream: &StreamConfig, bundle: &Bundle, aliases: &Aliases) -> Result<Option<Track>> {
    let Some(labels) = &stream.labels else {
        // A synthetic stream knows what it shows.
        return stream.source.synth.as_deref().map(synth_track).transpose();
    };
    let Some(path) = &labels.path else { return Ok(None) };
    let annotations = Annotations::read(path, &labels.read)?;
    for fault in annotations.faults() {
        log::warn!("stream \"{}\": left out: {fault}", stream.name);
    }
    let names = stream.video_names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let track = annotations
        .track(&names)
        .map_err(|fault| Error::config(format!("reading labels \"{}\"", path.display()), fault))?;
    let unknown = track.unknown_to(aliases);
    if !unknown.is_empty() {
        log::warn!(
            "stream \"{}\": model \"{}\" does not know {} of the labels in \"{}\" ({}); time under them is not scored",
            stream.name,
            bundle.name(),
            unknown.len(),
            path.display(),
            unknown.join(", ")
        );
    }
    Ok(Some(track.in_classes(aliases)))
}

#[cfg(not(feature = "synth"))]
fn synth_track(_: &str) -> Result<Track> {
    Ok(Track::default())
}

#[cfg(feature = "synth")]
fn synth_track(options: &str) -> Result<Track> {
    let stream = synth::Stream::new(&options.parse()?)?;
    let spans = stream.spans().iter();
    Ok(Track::new(
        spans
            .map(|s| crate::label::Span { start: s.start, end: s.end, label: s.label.to_owned() })
            .collect(),
    ))
}
