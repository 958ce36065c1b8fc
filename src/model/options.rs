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
}

impl Default for ModelOptions {
    fn default() -> Self {
        ModelOptions { path: None, mode: None, precision: Precision::F32, threads: 1 }
    }
}
