//! A model bundle: the folder that says what a model takes, gives and needs.

use std::borrow::Cow;
use std::path::Path;

use super::manifest::{Manifest, Run};
use super::origin::Origin;
use super::{Mode, Output, Task, calibration, labels};
use crate::calibrate::Parameters;
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
        if let Some(calibration) = &manifest.calibration {
            let fault = calibration.parameters.check(labels.len(), manifest.task);
            fault.map_err(|(key, fault)| {
                let doing = format!("reading {}", origin.describe("model.toml"));
                Error::config(doing, format!("calibration.{key}: {fault}"))
                    .remedy("fit it again with `kinewatch calibrate`, or take the table out")
            })?;
        }
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

    /// How to correct the probabilities of the network that serves `mode`: the
    /// bundle's `[calibration]`, if it has one and that was fitted on this network.
    pub fn calibration(&self, mode: Mode) -> Option<&Parameters> {
        let calibration = self.manifest.calibration.as_ref()?;
        calibration.is_for(self.sha256(mode)).then_some(&calibration.parameters)
    }

    /// The bundle's `model.toml` with a `[calibration]` of `parameters` for the
    /// network that serves `mode`; `notes` stand in it as comments.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config): it cannot be read, or has a
    /// `[calibration]` that cannot be told from its other lines.
    pub fn calibrated(
        &self,
        mode: Mode,
        parameters: &Parameters,
        notes: &[String],
    ) -> Result<String> {
        let text = self.origin.read_text("model.toml", TEXT_LIMIT)?;
        calibration::write_into(&text, parameters, self.sha256(mode), notes).map_err(|fault| {
            Error::config(format!("editing {}", self.origin.describe("model.toml")), fault)
                .remedy("take its [calibration] out by hand, and calibrate again")
        })
    }

    /// Hands `write` every file of the bundle but `model.toml`, with its name: those
    /// that it speaks of, the networks verified, and what lies beside them (a licence,
    /// a README).
    ///
    /// # Errors
    /// What `write` gives; a file that cannot be read or is not what `model.toml`
    /// says.
    pub fn each_file(&self, write: &mut dyn FnMut(&str, &[u8]) -> Result<()>) -> Result<()> {
        let labels = self.manifest.labels.as_str();
        write(labels, &self.origin.read(labels, TEXT_LIMIT)?)?;
        let mut done = vec!["model.toml", labels];
        for mode in self.modes() {
            let file = self.file(*mode).0;
            if !done.contains(&file) {
                write(file, &self.onnx(*mode)?)?;
                done.push(file);
            }
        }
        for name in self.origin.names()? {
            if !done.contains(&name.as_str()) {
                write(&name, &self.origin.read(&name, ONNX_LIMIT)?)?;
            }
        }
        Ok(())
    }

    /// Whether its files lie in `folder`.
    pub fn is_in(&self, folder: &Path) -> bool {
        self.origin.is(folder)
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
