//! `model.toml`: what a bundle says about itself.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::calibration::Calibration;
use crate::clip::InputSpec;
use crate::error::{Error, Result};
use crate::metric::Task;

/// What the network's output holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    /// Scores before softmax or sigmoid.
    Logits,
    /// Scores after it: the network ends with its own softmax or sigmoid.
    Probabilities,
}

/// More sampled frames than a mean over time can be over.
const MOST_AVERAGED: usize = 1025;

/// A way to run a model over a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The whole clip at each hop.
    Window,
    /// The graph rewritten so that a new frame costs one frame of work.
    Continual,
    /// The model takes and returns its own state.
    Stateful,
    /// A per-frame encoder and a temporal head.
    TwoStage,
}

impl Mode {
    /// Every mode, in the order in which they are listed to people.
    pub const ALL: [Mode; 4] = [Mode::Window, Mode::Stateful, Mode::Continual, Mode::TwoStage];

    /// Its name in `model.toml` and in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Window => "window",
            Mode::Continual => "continual",
            Mode::Stateful => "stateful",
            Mode::TwoStage => "two-stage",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The whole of `model.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub name: String,
    pub task: Task,
    #[serde(default = "model_onnx")]
    pub file: String,
    #[serde(default = "labels_txt")]
    pub labels: String,
    #[serde(default = "logits")]
    pub output: Output,
    pub licence: Option<String>,
    pub source: Option<String>,
    pub sha256: Option<String>,
    /// Of the file of labels.
    pub labels_sha256: Option<String>,
    pub input: InputSpec,
    #[serde(default)]
    pub run: Run,
    pub calibration: Option<Calibration>,
}

/// `[run]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Run {
    pub modes: Vec<Mode>,
    /// The output that holds the logits; none for the first that can.
    pub logits: Option<String>,
    /// Sampled frames until a stateful model's logits mean something.
    pub warm_up: Option<usize>,
    /// The network to run frame by frame, where it is another file than the one
    /// that takes whole clips.
    pub stateful: Option<NetworkFile>,
    pub state: Vec<StatePair>,
    pub continual: Continual,
    #[serde(rename = "two-stage")]
    pub two_stage: Option<TwoStageFiles>,
}

/// An ONNX file of the bundle: `[run.stateful]`, for one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NetworkFile {
    pub file: String,
    pub sha256: Option<String>,
}

/// `[run.continual]`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Continual {
    /// Means over time are over so many sampled frames; none for as many as a clip has.
    pub average: Option<usize>,
    pub warm_up: WarmUp,
}

/// When the mode `continual` gives its first logits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum WarmUp {
    /// Once the receptive field is full.
    #[default]
    Full,
    /// Once there are as many frames as a clip has; what lies before them counts as
    /// zeros, as before a clip.
    Clip,
}

/// `[run.two-stage]`: a network that sees one frame, and one that sees the last T
/// embeddings which that one gave.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TwoStageFiles {
    pub encoder: NetworkFile,
    pub head: NetworkFile,
    #[serde(default)]
    pub layout: HeadLayout,
    /// The encoder's output that is the embedding; none for its first.
    pub embedding: Option<String>,
}

/// The order of the axes of a temporal head's input: batch N, time T, and the
/// embedding, whose D values may be C channels of H rows and W columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
// Written as clip::Layout writes its own.
#[allow(clippy::upper_case_acronyms)]
pub(super) enum HeadLayout {
    /// Transformers, LSTMs with the batch first, OpenVINO's action-recognition
    /// decoders. D may stand for several axes (ConvLSTM).
    #[default]
    NTD,
    /// Temporal convolutions.
    NDT,
    /// LSTMs and GRUs as PyTorch makes them by default. D may stand for several axes.
    TND,
    /// Frames in place of the batch (TSN). D may stand for several axes.
    TD,
    /// 3-D convolutions over feature maps (ECO).
    NCTHW,
}

/// One `[[run.state]]`: an input and the output that becomes it at the next
/// frame.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatePair {
    pub input: String,
    pub output: String,
    /// Its shape; needed only where the file leaves an axis open.
    pub shape: Option<Vec<usize>>,
}

impl Default for Run {
    fn default() -> Self {
        Run {
            modes: vec![Mode::Window],
            warm_up: None,
            stateful: None,
            state: Vec::new(),
            continual: Continual::default(),
            logits: None,
            two_stage: None,
        }
    }
}

fn model_onnx() -> String {
    "model.onnx".into()
}

fn labels_txt() -> String {
    "labels.txt".into()
}

fn logits() -> Output {
    Output::Logits
}

impl Manifest {
    /// Reads `model.toml`'s text; `doing` opens every error's text.
    pub fn parse(text: &str, doing: &str) -> Result<Self> {
        let manifest: Manifest = toml::from_str(text)
            .map_err(|error| Error::config(doing, error.to_string().trim_end()))?;
        manifest.check(doing)?;
        Ok(manifest)
    }

    /// Whether every sum is one at all.
    fn check_sums(&self, doing: &str) -> Result<()> {
        let (own, stages) = (&self.run.stateful, &self.run.two_stage);
        let sums = [
            ("sha256", &self.sha256),
            ("labels_sha256", &self.labels_sha256),
            ("run.stateful.sha256", own.as_ref().map_or(&None, |file| &file.sha256)),
            ("run.two-stage.encoder.sha256", stages.as_ref().map_or(&None, |s| &s.encoder.sha256)),
            ("run.two-stage.head.sha256", stages.as_ref().map_or(&None, |s| &s.head.sha256)),
        ];
        for (key, sum) in sums {
            let Some(sum) = sum.as_ref().map(|sum| sum.trim()) else { continue };
            if sum.len() != 64 || !sum.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                let shown: String = sum.chars().take(70).collect();
                return Err(Error::config(
                    doing,
                    format!("{key}: \"{shown}\"; expected a SHA-256 sum, 64 hexadecimal digits"),
                )
                .remedy("take the sum that `sha256sum FILE` prints"));
            }
        }
        Ok(())
    }

    fn check(&self, doing: &str) -> Result<()> {
        let fault = |fault: String| Err(Error::config(doing, fault));
        if self.name.trim().is_empty() {
            return fault("name: empty; expected what people call this model".into());
        }
        self.input.check(doing)?;
        self.check_sums(doing)?;
        if self.run.modes.is_empty() {
            return fault("run.modes: empty; expected at least one, such as \"window\"".into());
        }
        for (at, mode) in self.run.modes.iter().enumerate() {
            if self.run.modes[..at].contains(mode) {
                return fault(format!("run.modes: \"{mode}\" stands there twice"));
            }
        }
        if self.run.warm_up == Some(0) {
            return fault("run.warm_up: 0; expected sampled frames, 1 or more".into());
        }
        if let Some(average @ (0 | MOST_AVERAGED..)) = self.run.continual.average {
            return fault(format!(
                "run.continual.average: {average}; expected sampled frames, 1 to {}",
                MOST_AVERAGED - 1
            ));
        }
        let stateful = self.run.modes.contains(&Mode::Stateful);
        if !stateful && (self.run.stateful.is_some() || !self.run.state.is_empty()) {
            return fault(
                "run.stateful and run.state serve the mode \"stateful\", which run.modes does not \
                 list"
                    .into(),
            );
        }
        if self.run.modes.contains(&Mode::TwoStage) != self.run.two_stage.is_some() {
            return fault(
                "run.two-stage names the encoder and the head of the mode \"two-stage\": give both, \
                 the table and the mode in run.modes, or neither"
                    .into(),
            );
        }
        for (at, pair) in self.run.state.iter().enumerate() {
            let earlier = &self.run.state[..at];
            if earlier.iter().any(|e| e.input == pair.input || e.output == pair.output) {
                return fault(format!(
                    "run.state: \"{}\" or \"{}\" is paired twice",
                    pair.input, pair.output
                ));
            }
            if let Some(shape) = pair.shape.as_ref().filter(|shape| shape.contains(&0)) {
                return fault(format!(
                    "run.state: \"{}\" has the shape {shape:?}; expected lengths of 1 or more",
                    pair.input
                ));
            }
        }
        Ok(())
    }
}
