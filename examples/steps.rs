//! Runs a model bundle a few steps at a time, on demand, so that other runtimes can be
//! measured in turns with it: see `benches/peers`.
//!
//! ```text
//! cargo run --release --example steps -- BUNDLE MODE THREADS FRAMES
//! ```
//!
//! FRAMES holds normalised frames as little-endian f32, one after the other, each
//! channels × height × width, and at least a clip of them. Once loaded and warm it
//! writes a line of JSON that says so; then, for each line on standard input, one back:
//!
//! - `run N`: pushes N frames, each with a prediction due; `{"ms":[…]}`, for each.
//! - `logits`: starts anew with the first clip of FRAMES; `{"logits":[…]}`.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use kinewatch::error::{Error, Result};
use kinewatch::model::{Bundle, Classifier, Mode, Model};

fn main() {
    if let Err(error) = run() {
        eprintln!("{error}");
        std::process::exit(error.exit_code().into());
    }
}

fn run() -> Result<()> {
    let doing = "measuring steps";
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bundle, mode, threads, frames] = arguments.as_slice() else {
        return Err(Error::config(doing, "expected BUNDLE MODE THREADS FRAMES"));
    };
    let mode = Mode::ALL
        .into_iter()
        .find(|known| known.name() == mode)
        .ok_or_else(|| Error::config(doing, format!("there is no mode \"{mode}\"")))?;
    let threads = threads.parse().map_err(|error| Error::config(doing, error))?;
    let began = Instant::now();
    let bundle = match bundle.as_str() {
        "embedded" => Bundle::embedded()?,
        folder => Bundle::load(Path::new(folder))?,
    };
    let model = Model::load(bundle, Some(mode), threads)?;
    let load_ms = began.elapsed().as_secs_f64() * 1e3;

    let bytes = std::fs::read(frames).map_err(|error| Error::unavailable(doing, error))?;
    let values: Vec<f32> =
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let input = model.bundle().input();
    let frames: Vec<&[f32]> = values.chunks_exact(input.frame_len()).collect();
    if frames.len() < input.frames {
        return Err(Error::config(
            doing,
            format!("{} frames are no clip of {}", frames.len(), input.frames),
        ));
    }
    let mut stream = frames.iter().cycle();
    let mut classifier = model.classifier()?;
    for frame in stream.by_ref().take(classifier.warm_up()) {
        classifier.push(frame, true)?;
    }
    say(serde_json::json!({
        "engine": model.engine(),
        "load_ms": load_ms,
        "warm_up": classifier.warm_up(),
        "multiply_accumulates": model.facts().multiply_accumulates,
    }))?;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| Error::unavailable(doing, error))?;
        match line.split_once(' ') {
            Some(("run", count)) => {
                let count: usize = count.parse().map_err(|error| Error::config(doing, error))?;
                let mut ms = Vec::with_capacity(count);
                for frame in stream.by_ref().take(count) {
                    let began = Instant::now();
                    classifier.push(frame, true)?;
                    ms.push(began.elapsed().as_secs_f64() * 1e3);
                }
                say(serde_json::json!({ "ms": ms }))?;
            }
            None if line == "logits" => {
                let logits = first_logits(classifier.as_mut(), &frames[..input.frames])?;
                say(serde_json::json!({ "logits": logits }))?;
            }
            _ => return Err(Error::config(doing, format!("\"{line}\" is no command"))),
        }
    }
    Ok(())
}

/// The logits of `clip` from a clean start; none where a clip is too little.
fn first_logits(classifier: &mut dyn Classifier, clip: &[&[f32]]) -> Result<Option<Vec<f32>>> {
    classifier.reset();
    let mut last = None;
    for frame in clip {
        last = classifier.push(frame, true)?.map(<[f32]>::to_vec);
    }
    Ok(last)
}

fn say(line: serde_json::Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(|error| Error::unavailable("writing to standard output", error))
}
