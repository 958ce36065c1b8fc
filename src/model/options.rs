//! The `[model]` table of a configuration.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Mode, Precision};

/// Which model to run, how, and with how many threads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelOptions {
    /// The bundle's folder; none for the camera-events model that is part of
    /// the program.
    pub path: Option<PathBuf>,
    /// How to run it over a stream; none for the first that the bundle lists.
    pub mode: Option<Mode>,
    /// How its weights are held.
    pub precision: Precision,
    /// CPU threads that one step of the model may use, 1 or more.
    pub threads: usize,
    /// What computes it in a daemon.
    pub backend: Backend,
    /// What computes it where `backend` cannot be had; none: the stream fails.
    pub fallback: Option<Fallback>,
    /// What only `backend = "nvinfer"` heeds.
    pub nvinfer: NvinferOptions,
}

impl Default for ModelOptions {
    fn default() -> Self {
        ModelOptions {
            path: None,
            mode: None,
            precision: Precision::F32,
            threads: 1,
            backend: Backend::default(),
            fallback: None,
            nvinfer: NvinferOptions::default(),
        }
    }
}

/// What computes a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// The CPU: tract, or kernels of our own.
    #[default]
    Tract,
    /// TensorRT on a Jetson, through DeepStream's elements.
    Nvinfer,
}

/// What computes a model in another backend's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fallback {
    /// As [`Backend::Tract`].
    Tract,
}

/// The `[model.nvinfer]` table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NvinferOptions {
    /// In what TensorRT computes.
    pub precision: EnginePrecision,
    /// TensorRT's table of INT8 ranges, which that precision needs.
    pub calibration: Option<PathBuf>,
    /// DeepStream's library that makes clips of pictures.
    pub sequence_library: PathBuf,
}

impl Default for NvinferOptions {
    fn default() -> Self {
        NvinferOptions {
            precision: EnginePrecision::default(),
            calibration: None,
            sequence_library:
                "/opt/nvidia/deepstream/deepstream/lib/libnvds_custom_sequence_preprocess.so".into(),
        }
    }
}

/// In what TensorRT computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnginePrecision {
    /// Single precision.
    Fp32,
    /// Half precision.
    #[default]
    Fp16,
    /// Eight bits, with ranges from a table.
    Int8,
}
