//! Runs a model bundle over frames from a file and prints its logits, so that
//! other runtimes can be compared with it: see `models/export/parity.py`.
//!
//! ```text
//! cargo run --release --example logits -- BUNDLE FRAMES [MODE [THREADS]]
//! ```
//!
//! FRAMES holds normalised frames as little-endian f32, one after the other,
//! each channels × height × width. One line of JSON for every frame that gave
//! logits: `{"frame":12,"logits":[…]}`; timing goes to standard error.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use kinewatch::error::{Error, Result};
use kinewatch::model::{Bundle, Mode, Model};

fn main() {
    if let Err(error) = run() {
        eprintln!("{error}");
        std::process::exit(error.exit_code().into());
    }
}

fn run() -> Result<()> {
    let doing = "comparing logits";
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bundle, frames, rest @ ..] = arguments.as_slice() else {
        return Err(Error::config(doing, "expected BUNDLE FRAMES [MODE [THREADS]]"));
    };
    let mode = match rest.first() {
        None => None,
        Some(name) => Some(
            Mode::ALL
                .into_iter()
                .find(|mode| mode.name() == name)
                .ok_or_else(|| Error::config(doing, format!("there is no mode \"{name}\"")))?,
        ),
    };
    let threads = match rest.get(1) {
        None => 1,
        Some(count) => count.parse().map_err(|error| Error::config(doing, error))?,
    };
    let began = Instant::now();
    let bundle = match bundle.as_str() {
        "embedded" => Bundle::embedded()?,
        folder => Bundle::load(Path::new(folder))?,
    };
    let model = Model::load(bundle, mode, threads)?;
    eprintln!("loaded in {:.3} s: {:#?}", began.elapsed().as_secs_f64(), model.facts());

    let bytes = std::fs::read(frames).map_err(|error| Error::unavailable(doing, error))?;
    let values: Vec<f32> =
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let mut classifier = model.classifier()?;
    let mut out = std::io::stdout().lock();
    let mut steps: Vec<Duration> = Vec::new();
    for (at, frame) in values.chunks_exact(model.bundle().input().frame_len()).enumerate() {
        let began = Instant::now();
        let logits = classifier.push(frame, true)?;
        let took = began.elapsed();
        if let Some(logits) = logits {
            steps.push(took);
            let line = serde_json::json!({ "frame": at, "logits": logits });
            writeln!(out, "{line}").map_err(|error| Error::unavailable(doing, error))?;
        }
    }
    steps.sort();
    if let Some(median) = steps.get(steps.len() / 2) {
        eprintln!("{} steps, median {:.3} ms", steps.len(), median.as_secs_f64() * 1e3);
    }
    Ok(())
}
