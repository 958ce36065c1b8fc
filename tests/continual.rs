//! The mode `continual` beside independent implementations, and `window` on the same
//! networks: what they give, with which frame, and how late.
//!
//! tests/golden/continual/make.py wrote what is expected. Over a stream that is
//! PyTorch, run over the whole stream at once with padding in time replaced by what is
//! not a number; for X3D-S and R(2+1)D-18 the continual-inference library as well.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kinewatch::error::{Kind, Result};
use kinewatch::model::{Bundle, Classifier, Mode, Model};
use serde::Deserialize;
use skeleton::Folder;

#[path = "support/formula.rs"]
mod formula;
#[path = "support/skeleton.rs"]
mod skeleton;

/// Of the largest logit. Neighbouring logits of one stream differ by thirty times as
/// much at least (make.py sees to it), so that one taken for the other is noticed.
const TOLERANCE: f32 = 1e-4;

type Logits = BTreeMap<usize, Vec<f32>>;

#[derive(Deserialize)]
struct Golden {
    frames: usize,
    size: [usize; 2],
    layout: String,
    classes: usize,
    /// Of the clip that ends with a frame.
    window: Logits,
    /// Once the receptive field is full.
    full: Option<Stream>,
    /// From a clip's length on.
    clip: Option<Stream>,
    /// As `full`, with averages over other numbers of frames.
    #[serde(default)]
    average: BTreeMap<usize, Stream>,
    /// What the continual-inference library gives.
    #[serde(default)]
    library: Logits,
}

#[derive(Deserialize)]
struct Stream {
    warm_up: usize,
    stride: usize,
    /// Frames.
    delay: u32,
    logits: Logits,
}

/// A network and what is expected of it.
struct Case {
    name: &'static str,
    golden: Golden,
    /// As the file calls them.
    nodes: Vec<String>,
    folder: Folder,
}

impl Case {
    fn new(name: &'static str) -> Case {
        let file = |kind: &str| -> PathBuf {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/continual");
            folder.join(format!("{name}.{kind}"))
        };
        let golden: Golden = serde_json::from_slice(&std::fs::read(file("json")).unwrap()).unwrap();
        let network = skeleton::filled(&file("onnx"));
        let nodes = network.graph.as_ref().unwrap().node.iter().map(|node| node.name.clone());
        let nodes = nodes.filter(|name| !name.is_empty()).collect();
        let folder = Folder::new(&network, golden.classes);
        Case { name, golden, nodes, folder }
    }

    /// `continual` is what the bundle says of that mode.
    fn load(&self, mode: Mode, continual: &str) -> Result<Arc<Model>> {
        let Golden { frames, size, layout, .. } = &self.golden;
        self.folder.describe(&format!(
            "[input]\nlayout = \"{layout}\"\nframes = {frames}\nrate = 5.0\nsize = {size:?}\n\
             resize = \"stretch\"\ncolour = \"RGB\"\nmean = [0.0, 0.0, 0.0]\nstd = [1.0, 1.0, 1.0]\n\
             [run]\nmodes = [\"window\", \"continual\"]\n[run.continual]\n{continual}\n"
        ));
        Model::load(Bundle::load(self.folder.path())?, Some(mode), 1)
    }

    fn frame(&self, t: usize) -> Vec<f32> {
        formula::frame(t, self.golden.size)
    }

    /// The first frames' logits, by the frame with which they came.
    fn run(&self, classifier: &mut dyn Classifier, frames: usize) -> Logits {
        let mut found = Logits::new();
        for t in 0..frames {
            let logits = classifier.push(&self.frame(t), true).unwrap();
            found.extend(logits.map(|logits| (t, logits.to_vec())));
        }
        found
    }

    #[track_caller]
    fn agrees(&self, what: &str, found: &Logits, expected: &Logits) {
        let peak = expected.values().flatten().fold(0.0f32, |peak, value| peak.max(value.abs()));
        assert!(peak > 1.0, "{}, {what}: logits this small compare nothing", self.name);
        let mut worst = 0.0f32;
        for (step, expected) in expected {
            let found = found.get(step).unwrap_or_else(|| {
                let steps: Vec<_> = found.keys().collect();
                panic!("{}, {what}: nothing came with frame {step}, but with {steps:?}", self.name)
            });
            assert_eq!(found.len(), expected.len());
            for (a, b) in found.iter().zip(expected) {
                worst = worst.max((a - b).abs() / peak);
            }
        }
        println!("{}, {what}: {worst:.1e} of the largest logit", self.name);
        assert!(worst < TOLERANCE, "{}, {what}: {worst:.1e} of the largest logit", self.name);
    }

    /// `window` gives what ONNX Runtime gives.
    fn windows(&self) {
        let model = self.load(Mode::Window, "").unwrap();
        let mut classifier = model.classifier().unwrap();
        let newest = *self.golden.window.keys().last().unwrap();
        let found = self.run(&mut *classifier, newest + 1);
        self.agrees("window", &found, &self.golden.window);
    }

    /// `continual` gives what `expected` says, when it says, and nothing in between.
    fn streams(&self, what: &str, continual: &str, expected: &Stream) {
        let model = self.load(Mode::Continual, continual).unwrap();
        let mut classifier = model.classifier().unwrap();
        assert!(classifier.needs_every_frame());
        assert_eq!(classifier.warm_up(), expected.warm_up, "{}, {what}: warm-up", self.name);
        assert_eq!(classifier.stride(), expected.stride, "{}, {what}: stride", self.name);
        let delay = Duration::from_secs(1) * expected.delay / 5;
        assert_eq!(classifier.delay(), delay, "{}, {what}: delay", self.name);
        let library = self.golden.library.keys().last().filter(|_| what == "full");
        let newest = *expected.logits.keys().last().max(library).unwrap();
        let found = self.run(&mut *classifier, newest + 1);
        let steps: Vec<usize> = found.keys().copied().collect();
        let wanted: Vec<usize> = (expected.warm_up - 1..=newest).step_by(expected.stride).collect();
        assert_eq!(steps, wanted, "{}, {what}: the frames with which logits came", self.name);
        self.agrees(what, &found, &expected.logits);
        if library.is_some() {
            self.agrees("library", &found, &self.golden.library);
        }
    }
}

/// Both modes, and what a bundle can say of the second.
fn holds(name: &'static str) {
    let case = Case::new(name);
    case.windows();
    case.streams("full", "", case.golden.full.as_ref().unwrap());
    case.streams("clip", "warm_up = \"clip\"", case.golden.clip.as_ref().unwrap());
    for (average, expected) in &case.golden.average {
        let what = format!("average = {average}");
        case.streams(&what, &what, expected);
    }
}

#[test]
fn residuals_strides_dilation_and_pools() {
    holds("residual");
}

#[test]
fn branches_that_meet_by_channel() {
    holds("inception");
}

#[test]
fn all_of_a_clip_fully_connected() {
    holds("c3d");
}

#[test]
fn padding_of_its_own_and_channels_last() {
    holds("i3d");
}

#[test]
fn fifty_layers_that_see_time_late() {
    holds("slow");
}

#[test]
fn every_second_frame() {
    holds("thinned");
}

#[test]
fn squeeze_and_excitation_over_the_last_frames() {
    holds("excite");
}

#[test]
fn x3d_s_is_the_librarys() {
    holds("x3d_s");
}

#[test]
fn r2plus1d_18_is_the_librarys() {
    holds("r2plus1d_18");
}

/// A frame for which no prediction is due is taken in all the same.
#[test]
fn frames_that_are_not_due_count() {
    let case = Case::new("residual");
    let model = case.load(Mode::Continual, "").unwrap();
    let whole = case.run(&mut *model.classifier().unwrap(), 48);
    let mut classifier = model.classifier().unwrap();
    let (&due, last) = whole.last_key_value().unwrap();
    for t in 0..=due {
        let logits = classifier.push(&case.frame(t), t == due).unwrap();
        assert_eq!(logits, (t == due).then_some(last.as_slice()), "frame {t}");
    }
}

#[test]
fn after_a_reset_nothing_of_the_past_is_left() {
    for (name, continual) in [("residual", ""), ("excite", ""), ("excite", "warm_up = \"clip\"")] {
        let case = Case::new(name);
        let model = case.load(Mode::Continual, continual).unwrap();
        let first = case.run(&mut *model.classifier().unwrap(), 40);
        assert!(first.len() > 1);
        let mut classifier = model.classifier().unwrap();
        for t in 0..37 {
            classifier.push(&case.frame(500 + t), true).unwrap();
        }
        classifier.reset();
        assert_eq!(case.run(&mut *classifier, 40), first, "{name} {continual}");
    }
}

#[test]
fn streams_that_share_a_model_share_no_frames() {
    let case = Case::new("excite");
    let model = case.load(Mode::Continual, "").unwrap();
    let alone = case.run(&mut *model.classifier().unwrap(), 30);
    let (mut one, mut other) = (model.classifier().unwrap(), model.classifier().unwrap());
    let mut beside = Logits::new();
    for t in 0..30 {
        other.push(&case.frame(700 + t), true).unwrap();
        let logits = one.push(&case.frame(t), true).unwrap();
        beside.extend(logits.map(|logits| (t, logits.to_vec())));
    }
    assert_eq!(alone, beside);
}

#[test]
fn threads_change_nothing_but_the_time() {
    for name in ["residual", "slow"] {
        let case = Case::new(name);
        for mode in [Mode::Window, Mode::Continual] {
            let one = case.load(mode, "").unwrap();
            let three =
                Model::load(Bundle::load(case.folder.path()).unwrap(), Some(mode), 3).unwrap();
            let expected = case.run(&mut *one.classifier().unwrap(), 36);
            let found = case.run(&mut *three.classifier().unwrap(), 36);
            case.agrees("three threads", &found, &expected);
        }
    }
}

/// What cannot be run frame by frame is refused with a node of the file and why, and
/// still runs clip by clip.
#[test]
fn what_cannot_be_streamed_is_refused_by_name() {
    for (name, why) in [
        ("attention", "matrix product"),
        ("cut", "only the frames"),
        ("shifted", "only the frames"),
    ] {
        let case = Case::new(name);
        let error = match case.load(Mode::Continual, "") {
            Err(error) => error,
            Ok(_) => panic!("{name} was loaded"),
        };
        let text = error.to_string();
        println!("{text}");
        assert_eq!(error.kind(), Kind::Config, "{text}");
        for word in [why, "\"continual\"", "\"window\""] {
            assert!(text.contains(word), "{name}: no {word:?} in: {text}");
        }
        assert!(
            case.nodes.iter().any(|node| text.contains(node.as_str())),
            "{name}: no node of the file in: {text}"
        );
        assert!(text.chars().count() < 1000, "too long for a person: {text}");
        case.windows();
    }
}
