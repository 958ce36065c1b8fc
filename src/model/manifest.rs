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

    /// Whether this program can run it.
    pub fn is_implemented(self) -> bool {
        matches!(self, Mode::Window | Mode::Stateful)
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
    /// Sampled frames until a stateful model's logits mean something.
    pub warm_up: Option<usize>,
    pub stateful: Option<StatefulFile>,
    pub state: Vec<StatePair>,
}

/// `[run.stateful]`: the network to run frame by frame, where it is another
/// file than the one that takes whole clips.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatefulFile {
    pub file: String,
    pub sha256: Option<String>,
}

/// One `[[run.state]]`: an input and the output that becomes it at the next
/// frame.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatePair {
    pub input: String,
    pub output: String,
}

impl Default for Run {
    fn default() -> Self {
        Run { modes: vec![Mode::Window], warm_up: None, stateful: None, state: Vec::new() }
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

    fn check(&self, doing: &str) -> Result<()> {
        let fault = |fault: String| Err(Error::config(doing, fault));
        if self.name.trim().is_empty() {
            return fault("name: empty; expected what people call this model".into());
        }
        self.input.check(doing)?;
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
        let stateful = self.run.modes.contains(&Mode::Stateful);
        if !stateful && (self.run.stateful.is_some() || !self.run.state.is_empty()) {
            return fault(
                "run.stateful and run.state serve the mode \"stateful\", which run.modes does not \
                 list"
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
        }
        Ok(())
    }
}
