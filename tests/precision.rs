//! Lower precisions: near f32, but not f32, and less memory; on kernels of our own, on
//! tract, and in what `kinewatch inspect --agreement` says of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use kinewatch::error::{Kind, Result};
use kinewatch::model::{Bundle, Mode, Model, ModelOptions, Precision};
use serde::Deserialize;
use serde_json::Value;
use skeleton::Folder;

#[path = "support/formula.rs"]
mod formula;
#[path = "support/program.rs"]
mod program;
#[path = "support/skeleton.rs"]
mod skeleton;

#[derive(Deserialize)]
struct Golden {
    #[serde(default)]
    frames: usize,
    size: [usize; 2],
    layout: Option<String>,
    classes: usize,
    #[serde(default)]
    states: std::collections::BTreeMap<String, String>,
}

/// A network of tests/golden as a bundle.
struct Network {
    golden: Golden,
    folder: Folder,
}

impl Network {
    fn new(name: &str) -> Network {
        let file = |kind: &str| -> PathBuf {
            let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
            golden.join(format!("{name}.{kind}"))
        };
        let golden: Golden = serde_json::from_slice(&fs::read(file("json")).unwrap()).unwrap();
        let folder = Folder::new(&skeleton::filled(&file("onnx")), golden.classes);
        Network { golden, folder }
    }

    /// One of those that run over clips.
    fn clip(name: &str) -> Network {
        let network = Network::new(&format!("continual/{name}"));
        let frames = network.golden.frames;
        let layout = network.golden.layout.clone().unwrap();
        network.describe(&layout, frames, "modes = [\"window\", \"continual\"]\n");
        network
    }

    fn stateful() -> Network {
        let network = Network::new("stateful/stream");
        let pair = |(input, output): (&String, &String)| {
            format!("[[run.state]]\ninput = \"{input}\"\noutput = \"{output}\"\n")
        };
        let pairs: String = network.golden.states.iter().map(pair).collect();
        let run = format!("modes = [\"stateful\"]\nwarm_up = 1\n{pairs}");
        network.describe("NTHWC", 8, &run);
        network
    }

    fn describe(&self, layout: &str, frames: usize, run: &str) {
        let size = self.golden.size;
        self.folder.describe(&format!(
            "[input]\nlayout = \"{layout}\"\nframes = {frames}\nrate = 5.0\nsize = {size:?}\n\
             resize = \"stretch\"\ncolour = \"RGB\"\nmean = [0.45, 0.45, 0.45]\n\
             std = [0.225, 0.225, 0.225]\n[run]\n{run}"
        ));
    }

    fn load(&self, mode: Mode, precision: Precision) -> Result<Arc<Model>> {
        let bundle = Bundle::load(self.folder.path())?;
        let mode = Some(mode);
        Model::load_with(bundle, &ModelOptions { mode, precision, ..ModelOptions::default() })
    }

    /// The logits of the first of a stream's frames that have some.
    fn run(&self, model: &Arc<Model>, count: usize) -> Vec<Vec<f32>> {
        let mut classifier = model.classifier().unwrap();
        let frames = (0..).map(|t| formula::frame(t, self.golden.size));
        let logits = frames
            .take(classifier.warm_up() + 10 * count)
            .filter_map(|frame| classifier.push(&frame, true).unwrap().map(<[f32]>::to_vec));
        let logits: Vec<_> = logits.take(count).collect();
        assert_eq!(logits.len(), count);
        logits
    }

    /// The largest difference from f32, as a share of the largest logit.
    fn difference(&self, mode: Mode, precision: Precision) -> f32 {
        let [full, other] = [Precision::F32, precision]
            .map(|precision| self.run(&self.load(mode, precision).unwrap(), 4).concat());
        let peak = full.iter().fold(0.0f32, |peak, value| peak.max(value.abs()));
        assert!(peak > 0.5, "logits this small compare nothing");
        full.iter().zip(&other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / peak
    }

    /// Bytes of the weights in f32, f16 and int8.
    fn weights(&self, mode: Mode) -> [f64; 3] {
        Precision::ALL
            .map(|precision| self.load(mode, precision).unwrap().facts().weight_bytes as f64)
    }
}

/// Half precision has eleven bits, int8 seven and a sign: what is lost by rounding each
/// weight adds up to no more than a few of these steps, and is not nothing.
#[test]
fn weights_on_our_kernels_are_rounded_and_no_more() {
    for name in ["residual", "excite", "r2plus1d_18", "x3d_s"] {
        let network = Network::clip(name);
        for mode in [Mode::Window, Mode::Continual] {
            assert_eq!(network.load(mode, Precision::Int8).unwrap().engine(), "kinewatch");
            let half = network.difference(mode, Precision::F16);
            let eight = network.difference(mode, Precision::Int8);
            println!("{name}, {mode}: f16 {half:.1e}, int8 {eight:.1e} of the largest logit");
            assert!((1e-6..1e-2).contains(&half), "{name}, {mode}: f16 {half:.1e}");
            assert!((1e-4..1e-1).contains(&eight), "{name}, {mode}: int8 {eight:.1e}");
            assert!(4.0 * half < eight, "{name}, {mode}: {half:.1e} and {eight:.1e}");
        }
    }
}

#[test]
fn weights_on_our_kernels_take_less_memory() {
    // All but the biases is dense.
    let [full, half, eight] = Network::clip("r2plus1d_18").weights(Mode::Continual);
    assert!((0.5..0.51).contains(&(half / full)), "{half} of {full}");
    assert!((0.25..0.27).contains(&(eight / full)), "{eight} of {full}");
    // A tenth and more is depthwise, which stays f32.
    let [full, half, eight] = Network::clip("x3d_s").weights(Mode::Window);
    assert!((0.5..0.7).contains(&(half / full)), "{half} of {full}");
    assert!(0.25 < eight / full && eight < 0.7 * half, "{eight} of {full}");
}

/// States and embeddings pass through half precision as well.
#[test]
fn tract_computes_in_half_precision() {
    let network = Network::stateful();
    let model = network.load(Mode::Stateful, Precision::F16).unwrap();
    assert_eq!(model.engine(), "tract");
    let half = network.difference(Mode::Stateful, Precision::F16);
    println!("stateful: f16 {half:.1e} of the largest logit");
    assert!((1e-5..1e-2).contains(&half), "stateful: f16 {half:.1e}");
    let counters = model.facts().inputs.iter().filter(|input| input.datum == "i32").count();
    assert_eq!(counters, 4, "whole numbers stay what they are");

    let attention = Network::clip("attention");
    assert_eq!(attention.load(Mode::Window, Precision::F16).unwrap().engine(), "tract");
    let half = attention.difference(Mode::Window, Precision::F16);
    println!("attention: f16 {half:.1e} of the largest logit");
    assert!((1e-5..1e-2).contains(&half), "attention: f16 {half:.1e}");

    for (network, mode) in [(network, Mode::Stateful), (attention, Mode::Window)] {
        let weights = |precision| network.load(mode, precision).unwrap().facts().weight_bytes;
        let share = weights(Precision::F16) as f64 / weights(Precision::F32) as f64;
        assert!((0.49..0.6).contains(&share), "{mode}: {share}");
    }
}

#[test]
fn what_half_precision_cannot_hold_is_refused_with_what_to_do() {
    let network = Network::stateful();
    let model = network.load(Mode::Stateful, Precision::F16).unwrap();
    let huge: Vec<f32> = formula::frame(0, network.golden.size).iter().map(|v| v * 1e6).collect();
    let error = model.classifier().unwrap().push(&huge, true).expect_err("it gave logits");
    let text = error.to_string();
    assert!(text.contains("65504") && text.contains("use \"f32\""), "{text}");
}

#[test]
fn int8_on_tract_is_refused_with_what_to_do() {
    for (network, mode) in
        [(Network::stateful(), Mode::Stateful), (Network::clip("attention"), Mode::Window)]
    {
        let error = network.load(mode, Precision::Int8).expect_err("it was loaded");
        assert_eq!(error.kind(), Kind::Config);
        let text = error.to_string();
        for word in ["int8", "tract", "Remedy: use precision \"f32\" or \"f16\""] {
            assert!(text.contains(word), "no {word:?} in: {text}");
        }
    }
}

// Through the program.

fn kinewatch(arguments: &[&str]) -> Output {
    program::kinewatch().args(arguments).output().unwrap()
}

/// What `inspect --json` says of agreement.
fn agreement(arguments: &[&str]) -> Vec<Value> {
    let output = kinewatch(&[&["inspect", "--json"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["agreement"].as_array().cloned().unwrap_or_default()
}

/// f16 must be near and not the same, with the best class the same in so many clips.
#[track_caller]
fn is_near(mode: &Value, clips: u64) {
    assert_eq!(mode["clips"], clips);
    let [full, half] = [&mode["precisions"][0], &mode["precisions"][1]];
    assert_eq!((&full["precision"], &half["precision"]), (&"f32".into(), &"f16".into()));
    let share = half["largest_share_of_range"].as_f64().unwrap();
    assert!((1e-7..2e-2).contains(&share), "{mode}");
    assert_eq!(half["top1_agreement"], 1.0, "{mode}");
    let bytes = |of: &Value| of["weight_bytes"].as_u64().unwrap();
    assert!(bytes(half) < bytes(full), "{mode}");
}

#[test]
fn inspect_compares_the_built_in_model() {
    assert!(agreement(&[]).is_empty(), "only where it is asked for");
    let found = agreement(&["--agreement=1"]);
    let modes: Vec<_> = found.iter().map(|mode| mode["mode"].as_str().unwrap()).collect();
    assert_eq!(modes, ["window", "stateful"]);
    for mode in &found {
        is_near(mode, 1);
        assert!(mode["precisions"][2]["error"].as_str().unwrap().contains("tract"), "{mode}");
    }
}

#[test]
fn inspect_compares_every_precision_over_the_same_clips_each_time() {
    let network = Network::clip("x3d_s");
    let folder = network.folder.path().to_str().unwrap();
    let found = agreement(&[folder, "--agreement=3"]);
    assert_eq!(found.len(), 2);
    for (mode, name) in found.iter().zip(["window", "continual"]) {
        assert_eq!(mode["mode"], name);
        is_near(mode, 3);
        for (key, most) in [("largest_difference", f64::MAX), ("largest_share_of_range", 0.2)] {
            let of = |at: usize| mode["precisions"][at][key].as_f64().unwrap();
            assert!(2.0 * of(1) < of(2) && of(2) < most, "{key} in {mode}");
        }
        assert!(mode["precisions"][2]["error"].is_null(), "{mode}");
    }
    assert_eq!(agreement(&[folder, "--agreement=3"]), found);

    let output = kinewatch(&["inspect", folder, "--agreement=1"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let head = text.lines().position(|line| line.starts_with("mode ")).expect(&text);
    let rows: Vec<_> = text.lines().skip(head + 1).collect();
    for (row, start) in rows.iter().zip(["window     f32", "window     f16", "window     int8"]) {
        assert!(row.starts_with(start), "{text}");
    }
}

#[test]
fn inspect_compares_over_a_recording() {
    let network = Network::clip("x3d_s");
    let bundle = network.folder.path().to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let recording = |seconds: &str| {
        let path = folder.path().join(format!("{seconds}.mkv")).to_str().unwrap().to_owned();
        let arguments = ["synth", "-o", &path, "--seconds", seconds, "--size", "96x64"];
        let output = kinewatch(&arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        path
    };
    // 80 frames: six clips of 13, and once 69 are seen, one.
    let found = agreement(&[bundle, "--agreement", "--video", &recording("16")]);
    assert_eq!(found[0]["clips"], 6);
    assert_eq!(found[1]["clips"], 1);
    is_near(&found[0], 6);

    let output = kinewatch(&["inspect", bundle, "--agreement", "--video", &recording("2")]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("2.mkv") && said.contains("13 sampled frames"), "{said}");
}

#[test]
fn a_number_of_clips_that_is_none_is_refused() {
    for arguments in [&["--agreement=0"][..], &["--agreement=x"], &["--video", "a.mp4"]] {
        let output = kinewatch(&[&["inspect"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}
