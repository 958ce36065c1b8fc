//! A model bundle: the folder that says what a model takes, gives and needs.

use std::borrow::Cow;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::manifest::{Manifest, NetworkFile, Run};
use super::origin::Origin;
use super::{Mode, Output, Task, calibration, labels};
use crate::calibrate::Parameters;
use crate::clip::InputSpec;
use crate::error::{Error, Result};
use crate::hex::hex;

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
    /// See [`Bundle::sha256`].
    two_stage_sha256: Option<String>,
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
        if manifest.labels_sha256.is_some() {
            let sum = manifest.labels_sha256.as_deref();
            origin.read_verified(&manifest.labels, TEXT_LIMIT, sum)?;
        }
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
        let two_stage_sha256 = manifest.run.two_stage.as_ref().and_then(|stages| {
            let sum = |network: &NetworkFile| Some(network.sha256.as_ref()?.trim().to_lowercase());
            let sums = sum(&stages.encoder)? + &sum(&stages.head)?;
            Some(hex(Sha256::digest(sums)))
        });
        let bundle = Bundle { origin, manifest, labels, two_stage_sha256 };
        for network in bundle.modes().iter().flat_map(|mode| bundle.networks(*mode)) {
            bundle.origin.check(&network.file, ONNX_LIMIT)?;
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
    /// it.
    pub fn choose(&self, asked: Option<Mode>) -> Result<Mode> {
        let doing = format!("choosing how to run model \"{}\"", self.name());
        let available: Vec<String> =
            self.modes().iter().map(|mode| format!("\"{mode}\"")).collect();
        let available = available.join(", ");
        let mode = asked.unwrap_or(self.modes()[0]);
        if !self.modes().contains(&mode) {
            return Err(Error::config(
                doing,
                format!("its model.toml does not list mode \"{mode}\"; available: {available}"),
            ));
        }
        Ok(mode)
    }

    /// The SHA-256 of the ONNX file that serves `mode`, as the bundle gives it; of
    /// two files, that of the text of both sums, one after the other in lower case.
    /// Once the model is loaded it was verified.
    pub fn sha256(&self, mode: Mode) -> Option<&str> {
        match (mode, &self.manifest.run.stateful) {
            (Mode::Stateful, Some(own)) => own.sha256.as_deref(),
            (Mode::TwoStage, _) => self.two_stage_sha256.as_deref(),
            _ => self.manifest.sha256.as_deref(),
        }
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
        let mut done = vec!["model.toml".to_owned(), labels.to_owned()];
        for network in self.modes().iter().flat_map(|mode| self.networks(*mode)) {
            if !done.contains(&network.file) {
                write(&network.file, &self.onnx(&network)?)?;
                done.push(network.file);
            }
        }
        for name in self.origin.names()? {
            if !done.contains(&name) {
                write(&name, &self.origin.read(&name, ONNX_LIMIT)?)?;
            }
        }
        Ok(())
    }

    /// A SHA-256 of all that its files hold: two bundles with the same one are the
    /// same model.
    ///
    /// # Errors
    /// As [`Bundle::each_file`].
    pub fn fingerprint(&self) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(self.origin.read_text("model.toml", TEXT_LIMIT)?);
        self.each_file(&mut |name, bytes| {
            for part in [name.as_bytes(), bytes] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
            Ok(())
        })?;
        Ok(hex(hash.finalize()))
    }

    /// Whether its files lie in `folder`.
    pub fn is_in(&self, folder: &Path) -> bool {
        self.origin.is(folder)
    }

    /// The ONNX files that serve `mode`, in the order in which a frame passes
    /// through them; none where the bundle names none.
    pub(super) fn networks(&self, mode: Mode) -> Vec<NetworkFile> {
        let Manifest { file, sha256, run, .. } = &self.manifest;
        match (mode, &run.stateful, &run.two_stage) {
            (Mode::Stateful, Some(own), _) => vec![own.clone()],
            (Mode::TwoStage, _, Some(stages)) => {
                vec![stages.encoder.clone(), stages.head.clone()]
            }
            (Mode::TwoStage, _, None) => Vec::new(),
            _ => vec![NetworkFile { file: file.clone(), sha256: sha256.clone() }],
        }
    }

    /// How errors name one of its ONNX files.
    pub(super) fn describe(&self, network: &NetworkFile) -> String {
        format!("model \"{}\" from {}", self.name(), self.origin.describe(&network.file))
    }

    /// The bytes of one of its ONNX files, verified.
    pub(super) fn onnx(&self, network: &NetworkFile) -> Result<Cow<'static, [u8]>> {
        self.origin.read_verified(&network.file, ONNX_LIMIT, network.sha256.as_deref())
    }

    /// `[run]`.
    pub(super) fn run(&self) -> &Run {
        &self.manifest.run
    }
}
