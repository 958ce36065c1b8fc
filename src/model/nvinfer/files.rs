//! The configuration files of nvdspreprocess and nvinfer, written from a bundle.
//!
//! Their keys are those that DeepStream's manual lists (Gst-nvdspreprocess and
//! Gst-nvinfer, "File Configuration Specifications") and its sample
//! deepstream-3d-action-recognition uses. The sampler has thinned the pictures to the
//! model's rate before, so every one of them is used: `subsample` is 0, and `stride`
//! is the hop.

use std::fmt::Write as _;
use std::path::Path;

use super::super::options::EnginePrecision;
use crate::clip::InputSpec;
use crate::error::{Error, Result};
use crate::video::Colour;

/// The ONNX file in a network's folder.
pub const ONNX: &str = "model.onnx";
/// The number by which nvinfer and what is meant for it find each other.
pub const UNIQUE_ID: u32 = 1;

/// What the files say of a network.
pub struct Network<'a> {
    /// Where its files are, absolute.
    pub folder: &'a Path,
    pub input: &'a InputSpec,
    /// The name of its input.
    pub takes: &'a str,
    /// The name of the output that gives the logits.
    pub gives: &'a str,
    pub precision: EnginePrecision,
    /// TensorRT's table of INT8 ranges.
    pub calibration: Option<&'a Path>,
    /// DeepStream's library that makes clips.
    pub library: &'a Path,
}

/// The name that nvinfer gives the engine that it makes of [`ONNX`], beside it.
pub fn engine_name(precision: EnginePrecision) -> String {
    let precision = match precision {
        EnginePrecision::Fp32 => "fp32",
        EnginePrecision::Fp16 => "fp16",
        EnginePrecision::Int8 => "int8",
    };
    format!("{ONNX}_b1_gpu0_{precision}.engine")
}

/// The file for nvinfer's `config-file-path`.
///
/// # Errors
/// A path or a name that such a file cannot hold.
pub fn nvinfer(network: &Network<'_>) -> Result<String> {
    let mut text = Text::begin();
    text.group("property")
        .put("gpu-id", 0)
        .put("gie-unique-id", UNIQUE_ID)
        .put("process-mode", 1)
        .path("onnx-file", &network.folder.join(ONNX))?
        .path("model-engine-file", &network.folder.join(engine_name(network.precision)))?
        .put("batch-size", 1)
        .put(
            "network-mode",
            match network.precision {
                EnginePrecision::Fp32 => 0,
                EnginePrecision::Int8 => 1,
                EnginePrecision::Fp16 => 2,
            },
        );
    if let Some(table) = network.calibration.filter(|_| network.precision == EnginePrecision::Int8)
    {
        text.path("int8-calib-file", table)?;
    }
    // 100: neither a detector nor anything else whose output nvinfer would read itself.
    text.put("network-type", 100)
        .put("input-tensor-from-meta", 1)
        .put("output-tensor-meta", 1)
        .name("output-blob-names", network.gives)?;
    Ok(text.0)
}

/// The file for nvdspreprocess's `config-file`, for a prediction every `hop` pictures.
///
/// # Errors
/// As [`nvinfer`].
pub fn nvdspreprocess(network: &Network<'_>, hop: usize) -> Result<String> {
    let InputSpec { frames, size: [height, width], colour, mean, std, .. } = network.input;
    let channels = colour.channels();
    let mut text = Text::begin();
    text.group("property")
        .put("enable", 1)
        .put("target-unique-ids", UNIQUE_ID)
        .put("gpu-id", 0)
        .put("process-on-frame", 1)
        .put("network-input-order", 2)
        .put("network-input-shape", format_args!("1;{channels};{frames};{height};{width}"))
        .put("network-color-format", if *colour == Colour::Bgr { 1 } else { 0 })
        .put("tensor-data-type", 0)
        .name("tensor-name", network.takes)?
        .put("processing-width", width)
        .put("processing-height", height)
        .put("maintain-aspect-ratio", 0)
        .put("scaling-filter", 1)
        .put("scaling-pool-memory-type", 0)
        .put("scaling-pool-compute-hw", 0)
        .put("tensor-buf-pool-size", 8)
        .path("custom-lib-path", network.library)?
        .put("custom-tensor-preparation-function", "CustomSequenceTensorPreparation");
    // The library computes (pixel - offset) * factor, of pixels of 0 to 255.
    let factors = std.iter().map(|std| (1.0 / (255.0 * f64::from(*std))) as f32);
    let offsets = mean.iter().map(|mean| (255.0 * f64::from(*mean)) as f32);
    text.group("user-configs")
        .put("channel-scale-factors", list(factors))
        .put("channel-mean-offsets", list(offsets))
        .put("stride", hop.max(1))
        .put("subsample", 0);
    text.group("group-0")
        .put("src-ids", 0)
        .put("process-on-roi", 1)
        .put("roi-params-src-0", format_args!("0;0;{width};{height}"));
    Ok(text.0)
}

fn list(values: impl Iterator<Item = f32>) -> String {
    values.map(|value| value.to_string()).collect::<Vec<_>>().join(";")
}

/// A GLib key file being written.
struct Text(String);

impl Text {
    fn begin() -> Self {
        Text("# Written by kinewatch at each start; changes are lost.\n".into())
    }

    fn group(&mut self, name: &str) -> &mut Self {
        let _ = write!(self.0, "\n[{name}]\n");
        self
    }

    fn put(&mut self, key: &str, value: impl std::fmt::Display) -> &mut Self {
        let _ = writeln!(self.0, "{key}={value}");
        self
    }

    fn path(&mut self, key: &str, path: &Path) -> Result<&mut Self> {
        let text = path.to_str().filter(|_| path.is_absolute());
        let text = text.ok_or_else(|| unfit(key, &path.to_string_lossy()))?;
        self.name(key, text)
    }

    /// A text from outside.
    fn name(&mut self, key: &str, text: &str) -> Result<&mut Self> {
        // A list ends an item at a semicolon, and a key file trims spaces.
        let plain = !text.is_empty() && text.trim() == text;
        if !plain || text.chars().any(|c| c.is_control() || c == ';') {
            return Err(unfit(key, text));
        }
        Ok(self.put(key, text.replace('\\', "\\\\")))
    }
}

fn unfit(key: &str, text: &str) -> Error {
    Error::config(
        "writing DeepStream's configuration files",
        format!("{key}: {text:?} cannot be written there"),
    )
    .remedy("use absolute paths and names without semicolons, control characters or spaces at their ends")
}
