//! The mode `two-stage`: an encoder and a head give what the model in one piece gives,
//! and each frame is encoded once. The networks and the expected logits are made by
//! tests/golden/two_stage.py.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kinewatch::error::{Kind, Result};
use kinewatch::model::{Bundle, Mode, Model};
use serde_json::Value;

#[path = "support/bundle.rs"]
mod bundle;
#[path = "support/npy.rs"]
mod npy;
#[path = "support/program.rs"]
mod program;
use bundle::{Folder, LABELS, sha256};
use npy::Npy;
use program::kinewatch;

/// Frames in a clip, and values in a frame.
const T: usize = 4;
const FRAME: usize = 3 * 24 * 32;

fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file)
}

impl Folder {
    /// Around an encoder and a head in tests/golden/two_stage, and the model in one
    /// piece (which is that of head-ntd); `keys` go under `[run.two-stage]`.
    fn new(encoder: &str, head: &str, keys: &str) -> Folder {
        let folder = Folder::empty();
        let put = |from: &str, to: &str| {
            let bytes = fs::read(golden("two_stage").join(from)).unwrap();
            folder.write(to, &bytes);
            sha256(&bytes)
        };
        let sums =
            [put("whole.onnx", "model.onnx"), put(encoder, "encoder.onnx"), put(head, "head.onnx")];
        let [whole, encoder, head] = sums;
        folder.write("labels.txt", LABELS.as_bytes());
        let manifest = format!(
            r#"name = "two"
task = "single-label"
sha256 = "{whole}"
[input]
layout = "NCTHW"
frames = {T}
rate = 5.0
size = [24, 32]
resize = "stretch"
colour = "RGB"
mean = [0.45, 0.45, 0.45]
std = [0.225, 0.225, 0.225]
[run]
modes = ["two-stage", "window"]
[run.two-stage]
encoder = {{ file = "encoder.onnx", sha256 = "{encoder}" }}
head = {{ file = "head.onnx", sha256 = "{head}" }}
{keys}"#
        );
        folder.write("model.toml", manifest.as_bytes());
        folder
    }

    fn plain() -> Folder {
        Folder::new("encoder.onnx", "head-ntd.onnx", "")
    }

    fn load(&self, mode: Mode) -> Result<Arc<Model>> {
        Model::load(Bundle::load(self.path())?, Some(mode), 1)
    }

    #[track_caller]
    fn refused(&self, words: &[&str]) {
        let error = self.load(Mode::TwoStage).expect_err("it was loaded");
        let text = error.to_string();
        for word in words {
            assert!(text.contains(word), "no {word:?} in: {text}");
        }
        assert_eq!(error.kind(), Kind::Config, "{text}");
    }
}

fn frames() -> Vec<Vec<f32>> {
    Npy::f32(&golden("models/frames.npy")).chunks(FRAME).map(<[f32]>::to_vec).collect()
}

/// The logits after each frame that had some; every frame is due.
fn run(model: &Arc<Model>, frames: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let mut classifier = model.classifier().unwrap();
    let step = |frame: &Vec<f32>| classifier.push(frame, true).unwrap().map(<[f32]>::to_vec);
    frames.iter().filter_map(step).collect()
}

/// The largest difference, as a fraction of the largest expected value.
fn difference(got: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(got.len(), expected.len());
    let peak = expected.iter().fold(0.0f32, |peak, value| peak.max(value.abs()));
    assert!(peak > 0.05, "logits this small compare nothing");
    got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / peak
}

#[test]
fn each_layout_gives_what_the_model_in_one_piece_gives_in_onnx_runtime() {
    for (layout, encoder, keys) in [
        ("ntd", "encoder.onnx", ""),
        ("ntd", "encoder-nhwc.onnx", "layout = \"NTD\"\n"),
        ("tnd", "encoder.onnx", "layout = \"TND\"\nembedding = \"embedding\"\n"),
        ("ndt", "encoder.onnx", "layout = \"NDT\"\n"),
        ("td", "encoder.onnx", "layout = \"TD\"\n"),
        ("ncthw", "encoder.onnx", "layout = \"NCTHW\"\nembedding = \"maps\"\n"),
    ] {
        let mut folder = Folder::new(encoder, &format!("head-{layout}.onnx"), keys);
        if encoder == "encoder-nhwc.onnx" {
            folder = folder.edit("\"NCTHW\"", "\"NTHWC\"");
        }
        let logits = run(&folder.load(Mode::TwoStage).unwrap(), &frames());
        let expected = Npy::f32(&golden(&format!("two_stage/logits-{layout}.npy")));
        let difference = difference(&logits.concat(), &expected);
        println!("{layout} after {encoder}: {difference:.2e}");
        assert!(difference < 1e-5, "{layout} after {encoder}: {difference}");
    }
}

/// That clip after clip the recurrence in it begins anew, too.
#[test]
fn the_window_over_the_model_in_one_piece_gives_the_same() {
    let folder = Folder::plain();
    let window = run(&folder.load(Mode::Window).unwrap(), &frames());
    let two_stage = run(&folder.load(Mode::TwoStage).unwrap(), &frames());
    assert_eq!(window.len(), 6, "9 frames hold 6 clips of 4");
    let expected = Npy::f32(&golden("two_stage/logits-ntd.npy"));
    assert!(difference(&window.concat(), &expected) < 1e-5);
    assert!(difference(&two_stage.concat(), &window.concat()) < 1e-5);
}

#[test]
fn frames_that_are_not_due_are_encoded_all_the_same() {
    let model = Folder::plain().load(Mode::TwoStage).unwrap();
    let whole = run(&model, &frames());
    let mut classifier = model.classifier().unwrap();
    assert!(classifier.needs_every_frame());
    assert_eq!(classifier.warm_up(), T);
    for (at, frame) in frames().iter().enumerate() {
        let due = at == 8;
        let logits = classifier.push(frame, due).unwrap();
        assert_eq!(logits, due.then_some(whole[5].as_slice()), "frame {at}");
    }
}

#[test]
fn after_a_reset_nothing_of_the_past_is_left() {
    for mode in [Mode::TwoStage, Mode::Window] {
        let model = Folder::plain().load(mode).unwrap();
        let first = run(&model, &frames());
        let mut classifier = model.classifier().unwrap();
        for frame in frames().iter().rev().take(6) {
            classifier.push(frame, true).unwrap();
        }
        classifier.reset();
        let mut second = Vec::new();
        for frame in frames() {
            second.extend(classifier.push(&frame, true).unwrap().map(<[f32]>::to_vec));
        }
        assert_eq!(first, second, "{mode}");
    }
}

#[test]
fn streams_that_share_a_model_share_no_embeddings() {
    let model = Folder::plain().load(Mode::TwoStage).unwrap();
    let alone = run(&model, &frames());
    let (mut a, mut b) = (model.classifier().unwrap(), model.classifier().unwrap());
    let mut beside = Vec::new();
    for (frame, other) in frames().iter().zip(frames().iter().rev()) {
        b.push(other, true).unwrap();
        beside.extend(a.push(frame, true).unwrap().map(<[f32]>::to_vec));
    }
    assert_eq!(alone, beside);
}

/// Once the frame that the encoder could not take is over, the clip begins anew: what
/// lies on both sides of it is no clip.
#[test]
fn an_embedding_that_is_not_finite_fails_and_leaves_nothing() {
    let model = Folder::plain().load(Mode::TwoStage).unwrap();
    let mut classifier = model.classifier().unwrap();
    for frame in &frames()[..5] {
        classifier.push(frame, true).unwrap();
    }
    let error = classifier.push(&[f32::NAN; FRAME], true).unwrap_err();
    assert_eq!(error.kind(), Kind::Data);
    let text = error.to_string();
    assert!(text.contains("encoder of model \"two\"") && text.contains("NaN"), "{text}");
    let mut after = Vec::new();
    for frame in frames() {
        after.extend(classifier.push(&frame, true).unwrap().map(<[f32]>::to_vec));
    }
    assert_eq!(after, run(&model, &frames()));
}

#[test]
fn the_sum_that_names_the_network_is_of_both_files() {
    let folder = Folder::plain();
    let bundle = Bundle::load(folder.path()).unwrap();
    let sum = |file: &str| sha256(&fs::read(folder.path().join(file)).unwrap());
    let both = sha256((sum("encoder.onnx") + &sum("head.onnx")).as_bytes());
    assert_eq!(bundle.sha256(Mode::TwoStage), Some(both.as_str()));
    assert_eq!(bundle.sha256(Mode::Window), Some(sum("model.onnx").as_str()));

    let mut files = Vec::new();
    let mut each = |name: &str, _: &[u8]| {
        files.push(name.to_owned());
        Ok(())
    };
    bundle.each_file(&mut each).unwrap();
    files.sort();
    assert_eq!(files, ["encoder.onnx", "head.onnx", "labels.txt", "model.onnx"]);
}

#[test]
fn facts_are_of_both_networks_together() {
    let folder = Folder::plain();
    let model = folder.load(Mode::TwoStage).unwrap();
    let facts = model.facts();
    assert_eq!(facts.inputs[0].name, "frame");
    assert_eq!(facts.outputs[0].name, "logits");
    let bytes = |file: &str| fs::metadata(folder.path().join(file)).unwrap().len() as usize;
    assert_eq!(facts.file_bytes, bytes("encoder.onnx") + bytes("head.onnx"));
    // Encoder 3·6·9 + 6 and 6·16·9 + 16; LSTM 4·8·(16 + 8 + 2); 8·5 + 5.
    assert_eq!(facts.parameters, 168 + 880 + 832 + 45);
}

#[test]
fn a_bundle_of_these_two_files_alone_is_good() {
    let folder = Folder::plain().edit(", \"window\"]", "]");
    fs::remove_file(folder.path().join("model.onnx")).unwrap();
    assert_eq!(run(&folder.load(Mode::TwoStage).unwrap(), &frames()).len(), 6);
}

// What does not fit together.

#[test]
fn a_head_for_another_layout_or_length_is_refused_and_both_are_said() {
    Folder::new("encoder.onnx", "head-ndt.onnx", "").refused(&[
        "head.onnx",
        "\"embeddings\" is 1×16×4",
        "4 embeddings of [1, 16, 1, 1] make 1×4×16 (NTD)",
        "run.two-stage",
    ]);
    Folder::plain().edit("frames = 4", "frames = 6").refused(&["1×4×16", "make 1×6×16"]);
    Folder::new("encoder.onnx", "head-ntd.onnx", "embedding = \"maps\"\n")
        .refused(&["[1, 16, 3, 4] make 1×4×192"]);
    Folder::new("encoder-nhwc.onnx", "head-ncthw.onnx", "layout = \"NCTHW\"\n")
        .edit("layout = \"NCTHW\"\nframes", "layout = \"NTHWC\"\nframes")
        .refused(&["[1, 16]", "channels, rows and columns"]);
}

#[test]
fn an_encoder_that_takes_something_else_is_refused() {
    Folder::new("encoder-nhwc.onnx", "head-ntd.onnx", "").refused(&[
        "encoder.onnx",
        "\"frame\" is 1×24×32×3",
        "model.toml says 1×3×1×24×32 (NCTHW)",
    ]);
    Folder::new("whole.onnx", "head-ntd.onnx", "").refused(&["\"clip\" is 1×3×4×24×32"]);
    Folder::new("encoder.onnx", "head-ntd.onnx", "embedding = \"pooled\"\n")
        .refused(&["\"pooled\"", "\"embedding\", \"maps\""]);
}

#[test]
fn a_manifest_that_names_half_of_it_is_refused() {
    Folder::plain().edit("\"two-stage\", ", "").refused(&["run.two-stage", "run.modes"]);
    Folder::plain().edit("head = ", "hat = ").refused(&["unknown field `hat`"]);
    let folder = Folder::plain();
    let text = fs::read_to_string(folder.path().join("model.toml")).unwrap();
    let half = text.split("head = ").next().unwrap();
    folder.write("model.toml", half.as_bytes());
    folder.refused(&["missing field `head`"]);
    let without = text.split("[run.two-stage]").next().unwrap();
    folder.write("model.toml", without.as_bytes());
    folder.refused(&["run.two-stage", "encoder and the head"]);
    let folder = Folder::plain().edit("layout = \"NCTHW\"", "layout = \"NTCHW\"");
    folder.edit("head = ", "layout = \"DTN\"\nhead = ").refused(&["DTN", "NTD"]);
}

#[test]
fn each_file_is_verified_and_stays_in_the_folder() {
    for file in ["encoder.onnx", "head.onnx"] {
        let folder = Folder::plain();
        let mut bytes = fs::read(folder.path().join(file)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        folder.write(file, &bytes);
        folder.refused(&[file, "SHA-256"]);
        fs::remove_file(folder.path().join(file)).unwrap();
        folder.refused(&[file, "no such file"]);
        Folder::plain().edit(file, "../other.onnx").refused(&["leads out"]);
    }
    let folder = Folder::plain();
    let sum = sha256(&fs::read(folder.path().join("head.onnx")).unwrap());
    folder.edit(&format!(", sha256 = \"{sum}\""), "").refused(&["no sha256", &sum]);
}

/// Through the program, over a synthetic stream: both modes say the same of it.
#[test]
fn the_daemon_says_the_same_in_both_modes() {
    let folder = Folder::plain();
    let said = |mode: &str| -> Vec<Value> {
        let config = folder.path().join(format!("{mode}.toml"));
        let text = format!(
            "[[stream]]\nname = \"s\"\nsource = {{ synth = \"seed=7,seconds=20,fps=10,size=64x48\" }}\n\
             [model]\npath = {:?}\nmode = \"{mode}\"\n[predict]\nhop = 2\n",
            folder.path()
        );
        fs::write(&config, text).unwrap();
        let output = kinewatch().args(["run", "--fast"]).arg(&config).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let out = String::from_utf8(output.stdout).unwrap();
        let lines = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["kind"] == "prediction").collect()
    };
    let (window, two_stage) = (said("window"), said("two-stage"));
    assert!(window.len() > 30, "{}", window.len());
    assert_eq!(window.len(), two_stage.len());
    for (a, b) in window.iter().zip(&two_stage) {
        for key in ["seq", "t", "start", "label", "delay_s", "reset"] {
            assert_eq!(a[key], b[key], "{key} of {a} and {b}");
        }
        let p = |line: &Value| line["top"][0]["p"].as_f64().unwrap();
        assert!((p(a) - p(b)).abs() < 1e-4, "{a} and {b}");
    }
}
