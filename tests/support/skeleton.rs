//! Networks that are kept without their weights (tests/golden/continual/skeleton.py):
//! each weight's name, shape and range stay, its values come from a formula.

use std::fs;
use std::path::Path;

use prost::Message;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tract_onnx::pb::ModelProto;

use super::formula;

/// The network in `file` with its weights.
pub fn filled(file: &Path) -> ModelProto {
    let bytes = fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let mut model = ModelProto::decode(&*bytes).unwrap();
    for stored in &mut model.graph.as_mut().unwrap().initializer {
        if let Some((scale, offset)) = stored.doc_string.split_once(' ') {
            let count = stored.dims.iter().product::<i64>() as usize;
            let (scale, offset) = (scale.parse().unwrap(), offset.parse().unwrap());
            let values = formula::weights(&stored.name, count, scale, offset);
            stored.raw_data = values.flat_map(f32::to_le_bytes).collect();
        }
    }
    model
}

/// A bundle's folder, which lives as long as this.
pub struct Folder {
    folder: TempDir,
    head: String,
}

impl Folder {
    /// Around `network`, with `classes` labels and no model.toml yet.
    pub fn new(network: &ModelProto, classes: usize) -> Folder {
        let folder = tempfile::tempdir().unwrap();
        let bytes = network.encode_to_vec();
        let sum: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        let labels: String = (0..classes).map(|class| format!("class {class}\n")).collect();
        fs::write(folder.path().join("model.onnx"), bytes).unwrap();
        fs::write(folder.path().join("labels.txt"), labels).unwrap();
        let head = format!("name = \"golden\"\ntask = \"single-label\"\nsha256 = \"{sum}\"\n");
        Folder { folder, head }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes model.toml; `rest` is what it says of input and run.
    pub fn describe(&self, rest: &str) {
        fs::write(self.path().join("model.toml"), format!("{}{rest}", self.head)).unwrap();
    }
}
