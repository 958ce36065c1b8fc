//! A model bundle: the folder that says what a model takes, gives and needs.

use std::borrow::Cow;
use std::path::Path;

use super::manifest::{Manifest, Run};
use super::origin::Origin;
use super::{Mode, Output, Task, labels};
use crate::clip::InputSpec;
use crate::error::{Error, Result};

/// The most bytes of `model.toml` and of the labels.
const TEXT_LIMIT: u64 = 1 << 20;
/// The most bytes of an ONNX file. Protocol buffers end at two.
const ONNX_LIMIT: u64 = 1 << 30;

/// A bundle whose texts were read and found good and whose files exist. The
/// networks themselves are read by [`Model::load`](super::Model::load).
#[derive(Clone, Debug)]
pub struct Bundle {
    origin: Origin,
    manifest: Manifest,
    labels: Vec<String>,
}

impl Bundle {
    /// Reads the bundle in `folder`.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config): a file is missing or too
    /// large, or `model.toml` or the labels are not what they must be.
    pub fn load(folder: &Path) -> Result<Self> {
        Self::read(Origin::Folder(folder.to_owned()))
    }

    /// The camera-events model that is part of the program.
    ///
    /// # Errors
    /// As [`Bundle::load`]; a test sees to it that there is none.
    pub fn embedded() -> Result<Self> {
        Self::read(Origin::Embedded)
    }

    fn read(origin: Origin) -> Result<Self> {
        let text = origin.read_text("model.toml", TEXT_LIMIT)?;
        let doing = format!("reading {}", origin.describe("model.toml"));
        let manifest = Manifest::parse(&text, &doing)?;
        let text = origin.read_text(&manifest.labels, TEXT_LIMIT)?;
        let labels =
            labels::parse(&text, &format!("reading {}", origin.describe(&manifest.labels)))?;
        let bundle = Bundle { origin, manifest, labels };
        for mode in bundle.modes() {
            bundle.origin.check(bundle.file(*mode).0, ONNX_LIMIT)?;
        }
        Ok(bundle)
    }

    /// What people call this model.
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// Whether exactly one class is true at a time.
    pub fn task(&self) -> Task {
        self.manifest.task
    }

    /// What the network's output holds.
    pub fn output(&self) -> Output {
        self.manifest.output
    }

    /// The classes, in index order.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// What the model wants to be fed.
    pub fn input(&self) -> &InputSpec {
        &self.manifest.input
    }

    /// The ways to run it over a stream that the bundle lists; the first is the
    /// default.
    pub fn modes(&self) -> &[Mode] {
        &self.manifest.run.modes
    }

    /// The weights' licence, where the bundle gives it.
    pub fn licence(&self) -> Option<&str> {
        self.manifest.licence.as_deref()
    }

    /// Where the weights come from, where the bundle says so.
    pub fn source(&self) -> Option<&str> {
        self.manifest.source.as_deref()
    }

    /// Whether this is the model that is part of the program.
    pub fn is_embedded(&self) -> bool {
        self.origin == Origin::Embedded
    }

    /// The mode to run in, given the one that was asked for.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config): the bundle does not list
    /// it, or this program cannot run it.
    pub fn choose(&self, asked: Option<Mode>) -> Result<Mode> {
        let doing = format!("choosing how to run model \"{}\"", self.name());
        let available: Vec<String> = self
            .modes()
            .iter()
            .filter(|mode| mode.is_implemented())
            .map(|mode| format!("\"{mode}\""))
            .collect();
        let available = if available.is_empty() { "none".to_owned() } else { available.join(", ") };
        let mode = asked.unwrap_or(self.modes()[0]);
        if !mode.is_implemented() {
            return Err(Error::config(
                doing,
                format!("mode \"{mode}\" is not implemented yet; available: {available}"),
            ));
        }
        if !self.modes().contains(&mode) {
            return Err(Error::config(
                doing,
                format!("its model.toml does not list mode \"{mode}\"; available: {available}"),
            ));
        }
        Ok(mode)
    }

    /// The SHA-256 of the ONNX file that serves `mode`, as the bundle gives it.
    /// Once the model is loaded it was verified.
    pub fn sha256(&self, mode: Mode) -> Option<&str> {
        self.file(mode).1
    }

    /// The ONNX file that serves `mode`, with its SHA-256 as the bundle gives it.
    fn file(&self, mode: Mode) -> (&str, Option<&str>) {
        match &self.manifest.run.stateful {
            Some(own) if mode == Mode::Stateful => (&own.file, own.sha256.as_deref()),
            _ => (&self.manifest.file, self.manifest.sha256.as_deref()),
        }
    }

    /// How errors name the ONNX file that serves `mode`.
    pub(super) fn describe(&self, mode: Mode) -> String {
        format!("model \"{}\" from {}", self.name(), self.origin.describe(self.file(mode).0))
    }

    /// The bytes of the ONNX file that serves `mode`, verified.
    pub(super) fn onnx(&self, mode: Mode) -> Result<Cow<'static, [u8]>> {
        let (file, sha256) = self.file(mode);
        self.origin.read_verified(file, ONNX_LIMIT, sha256)
    }

    /// `[run]`.
    pub(super) fn run(&self) -> &Run {
        &self.manifest.run
    }
}
