//! A network made ready for TensorRT: its files in the state folder, and an engine
//! that nvinfer has built of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use gst::prelude::*;
use gstreamer as gst;
use sha2::{Digest, Sha256};

use super::super::options::{EnginePrecision, NvinferOptions};
use super::super::{Classifier, Mode, Model, Placing};
use super::classifier::{Accelerated, fault_on};
use super::deepstream::DeepStream;
use super::files::{self, Network, ONNX};
use crate::atomic::write_atomically;
use crate::clip::{InputSpec, Layout, Resize};
use crate::error::{Error, Result};
use crate::hex::hex;
use crate::video::Colour;

/// In the state folder.
const FOLDER: &str = "nvinfer";
const NVINFER: &str = "nvinfer.txt";

/// A network that nvinfer can run.
#[derive(Clone, Debug)]
pub struct Engine {
    deepstream: DeepStream,
    model: String,
    input: InputSpec,
    classes: usize,
    takes: String,
    gives: String,
    options: NvinferOptions,
    folder: PathBuf,
}

impl Engine {
    /// Writes the files of `model` into `state` and has nvinfer build its engine, or
    /// find the one that it built before.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config): the model is none that DeepStream's
    /// elements can be fed with, INT8 without a table, no folder.
    /// [`Kind::Unavailable`](crate::error::Kind::Unavailable): DeepStream is missing or
    /// of a version that is not known; the engine cannot be built.
    pub fn build(model: &Model, options: &NvinferOptions, state: Option<&Path>) -> Result<Self> {
        let doing = format!("preparing model \"{}\" for nvinfer", model.bundle().name());
        let (takes, gives) = fits(model, &doing)?;
        let ranges = ranges(options, &doing)?;
        let deepstream = DeepStream::find()?;
        if !options.sequence_library.is_file() {
            let library = options.sequence_library.display();
            let fault = format!("there is no \"{library}\", which makes clips of pictures");
            return Err(Error::unavailable(doing, fault).remedy(
                "build it in DeepStream's \
                 sources/apps/sample_apps/deepstream-3d-action-recognition (`make && make \
                 install`), or say where it is in model.nvinfer.sequence_library",
            ));
        }
        let Some(state) = state else {
            let fault = "there is no folder for TensorRT's engine, which takes minutes to build";
            return Err(Error::config(doing, fault)
                .remedy("set state.path, or run kinewatch as its systemd unit does"));
        };
        let bytes = model.onnx()?;
        // All that nvinfer makes its engine of: another of these is another engine.
        let precision = files::engine_name(options.precision);
        let sum = sum(&[&bytes, precision.as_bytes(), gives.as_bytes(), &ranges]);
        let (major, minor) = deepstream.version;
        let name = format!("{sum}-ds{major}.{minor}");
        let folder = std::path::absolute(state.join(FOLDER).join(name))
            .map_err(|error| Error::unavailable(&doing, error))?;
        fs::create_dir_all(&folder).map_err(|error| {
            let fault = format!("\"{}\" cannot be made: {error}", folder.display());
            Error::unavailable(&doing, fault).remedy("let the daemon's user write there")
        })?;
        let engine = Engine {
            deepstream,
            model: model.bundle().name().to_owned(),
            input: model.bundle().input().clone(),
            classes: model.bundle().labels().len(),
            takes,
            gives,
            options: options.clone(),
            folder,
        };
        write_changed(&engine.folder.join(ONNX), &bytes)?;
        let text = files::nvinfer(&engine.network())?;
        write_changed(&engine.folder.join(NVINFER), text.as_bytes())?;
        engine.try_out(&doing)?;
        Ok(engine)
    }

    /// Begins to run it over another stream.
    ///
    /// # Errors
    /// DeepStream's elements do not start, or the stream is isolated.
    pub fn classifier(&self, placing: &Placing<'_>) -> Result<Box<dyn Classifier>> {
        let doing = format!("running model \"{}\" on nvinfer", self.model);
        if placing.isolated {
            let fault = "an isolated stream's pictures stay in its own process";
            return Err(Error::config(doing, fault)
                .remedy("leave the source's isolate out, or set model.backend = \"tract\""));
        }
        let hop = placing.hop.max(1);
        // Bundles may share a network and differ in what they feed it.
        let text = files::nvdspreprocess(&self.network(), hop)?;
        let name = format!("nvdspreprocess-hop-{hop}-{}.txt", sum(&[text.as_bytes()]));
        let preprocess = self.folder.join(name);
        write_changed(&preprocess, text.as_bytes())?;
        let (input, deepstream) = (&self.input, self.deepstream);
        let nvinfer = self.folder.join(NVINFER);
        let logits = (self.gives.clone(), self.classes);
        Ok(Box::new(Accelerated::new(
            deepstream,
            input,
            hop,
            logits,
            &preprocess,
            &nvinfer,
            doing,
        )?))
    }

    /// What its configuration files say of it.
    fn network(&self) -> Network<'_> {
        Network {
            folder: &self.folder,
            input: &self.input,
            takes: &self.takes,
            gives: &self.gives,
            precision: self.options.precision,
            calibration: self.options.calibration.as_deref(),
            library: &self.options.sequence_library,
        }
    }

    /// Has nvinfer build the engine, or load the one that it built before: what it does
    /// as it goes to paused.
    fn try_out(&self, doing: &str) -> Result<()> {
        let path = self.folder.join(files::engine_name(self.options.precision));
        if path.exists() {
            log::debug!("{doing}: its engine is \"{}\"", path.display());
        } else {
            log::info!("{doing}: TensorRT builds its engine, which may take many minutes");
        }
        let begun = Instant::now();
        let internal =
            |error: gst::glib::BoolError| Error::internal(doing, error.message.into_owned());
        let nvinfer = gst::ElementFactory::make("nvinfer").build().map_err(internal)?;
        nvinfer.set_property_from_str(
            "config-file-path",
            &self.folder.join(NVINFER).to_string_lossy(),
        );
        let pipeline = gst::Pipeline::new();
        pipeline.add(&nvinfer).map_err(internal)?;
        let outcome = pipeline.set_state(gst::State::Paused);
        let fault = fault_on(&pipeline);
        let _ = pipeline.set_state(gst::State::Null);
        if outcome.is_err() || fault.is_some() {
            let fault = fault.unwrap_or_else(|| "nvinfer does not start".into());
            let fault = format!("its TensorRT engine cannot be built: {fault}");
            return Err(Error::unavailable(doing, fault).remedy(format!(
                "look for TensorRT's own words above, try `trtexec --onnx={}`, or set \
                 model.fallback = \"tract\"",
                self.folder.join(ONNX).display()
            )));
        }
        log::info!("{doing}: ready after {:.1} s", begun.elapsed().as_secs_f64());
        if path.exists() {
            return Ok(());
        }
        // nvinfer says so in GStreamer's log alone, and goes on. Each stream would have
        // it built again as it starts.
        let folder = self.folder.display();
        let fault =
            format!("nvinfer built its TensorRT engine, and did not keep it in \"{folder}\"");
        Err(Error::unavailable(doing, fault).remedy(format!(
            "make room there; if nvinfer put it elsewhere, make \"{}\" a link to it",
            path.display()
        )))
    }
}

/// The digest of `parts`, short enough for a name.
fn sum(parts: &[&[u8]]) -> String {
    let mut all = Sha256::new();
    for part in parts {
        all.update(Sha256::digest(part));
    }
    hex(all.finalize()).chars().take(16).collect()
}

/// The names of its input and of its logits, if DeepStream's elements can feed it.
fn fits(model: &Model, doing: &str) -> Result<(String, String)> {
    let input = model.bundle().input();
    let refuse = |fault: String, remedy: &str| Err(Error::config(doing, fault).remedy(remedy));
    if model.mode() != Mode::Window {
        return refuse(
            format!("it runs in mode \"{}\", and nvinfer runs whole clips", model.mode()),
            "set model.mode = \"window\", if the bundle lists it",
        );
    }
    let other = "use another model, or model.backend = \"tract\"";
    if input.layout != Layout::NCTHW {
        let fault = format!("its layout is {:?}; DeepStream's library makes NCTHW", input.layout);
        return refuse(fault, other);
    }
    if input.colour == Colour::Gray {
        let fault = "it takes GRAY; DeepStream's library makes clips of RGB or BGR only";
        return refuse(fault.into(), other);
    }
    if input.resize == Resize::Letterbox {
        return refuse("its resize is letterbox, which is not done on this way".into(), other);
    }
    match (model.facts().inputs.as_slice(), model.logits()) {
        ([takes], Some(gives)) => Ok((takes.name.clone(), gives.name.clone())),
        _ => refuse("it has not one input".into(), other),
    }
}

/// TensorRT's table of ranges; empty where none is needed.
fn ranges(options: &NvinferOptions, doing: &str) -> Result<Vec<u8>> {
    if options.precision != EnginePrecision::Int8 {
        return Ok(Vec::new());
    }
    let refuse = |fault: String| {
        Err(Error::config(doing, fault).remedy(
            "have TensorRT measure the ranges on your own pictures and name its table, or use \
             model.nvinfer.precision = \"fp16\"",
        ))
    };
    let Some(table) = &options.calibration else {
        return refuse(
            "model.nvinfer.precision = \"int8\" needs model.nvinfer.calibration, TensorRT's \
             table of ranges"
                .into(),
        );
    };
    fs::read(table).or_else(|error| {
        refuse(format!(
            "model.nvinfer.calibration: \"{}\" cannot be read: {error}",
            table.display()
        ))
    })
}

/// Puts `bytes` at `path`, unless they are there already: a memory card wears. One
/// stream at a time, as several may want the same file.
fn write_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    static WRITING: Mutex<()> = Mutex::new(());
    let _held = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    write_atomically(path, bytes)
}
