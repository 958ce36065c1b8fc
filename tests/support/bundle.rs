//! A model bundle's folder, good until a test changes it.

#![allow(dead_code)]

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Of the networks in tests/golden/models.
pub const LABELS: &str = "one\ntwo\nthree\nfour\nfive\n";

/// Of clip.onnx there, and most of the others.
const INPUT: &str = r#"
[input]
layout = "NCTHW"
frames = 6
rate   = 5.0
size   = [24, 32]
resize = "short-side"
colour = "RGB"
mean   = [0.45, 0.45, 0.45]
std    = [0.225, 0.225, 0.225]
"#;

/// As `model.toml` has it.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub struct Folder(TempDir);

impl Folder {
    /// With nothing in it.
    pub fn empty() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    /// Around a network that takes `INPUT`; `run` ends `model.toml`.
    pub fn around(network: &[u8], run: &str) -> Folder {
        let folder = Folder::empty();
        folder.write("model.onnx", network);
        folder.write("labels.txt", LABELS.as_bytes());
        let sum = sha256(network);
        let head = format!("name = \"small\"\ntask = \"single-label\"\nsha256 = \"{sum}\"\n");
        folder.write("model.toml", format!("{head}{INPUT}{run}").as_bytes());
        folder
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, file: &str, bytes: &[u8]) {
        fs::write(self.path().join(file), bytes).unwrap();
    }

    /// Replaces text in `model.toml`, which must be there.
    pub fn edit(self, from: &str, to: &str) -> Folder {
        self.replace(from, to);
        self
    }

    /// As [`Folder::edit`], where the folder is kept.
    pub fn replace(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.path().join("model.toml")).unwrap();
        assert!(text.contains(from), "{from:?} is not in {text}");
        self.write("model.toml", text.replacen(from, to, 1).as_bytes());
    }
}
