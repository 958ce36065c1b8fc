//! The mode `stateful` on a network in the manner of MoViNet's streaming ones, beside
//! ONNX Runtime, frame by frame (tests/golden/stateful/make.py): buffers of causal
//! convolutions, sums over all frames so far, i32 counters, frames with channels last,
//! and inputs and outputs in no order at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kinewatch::model::{Bundle, Classifier, Mode, Model};
use serde::Deserialize;
use skeleton::Folder;
use tract_onnx::pb::ModelProto;

#[path = "support/formula.rs"]
mod formula;
#[path = "support/skeleton.rs"]
mod skeleton;

/// Of the largest logit.
const TOLERANCE: f32 = 1e-4;

#[derive(Deserialize)]
struct Golden {
    size: [usize; 2],
    classes: usize,
    /// Of each state: its input, and the output that becomes it.
    states: BTreeMap<String, String>,
    /// With each frame.
    logits: BTreeMap<usize, Vec<f32>>,
}

fn golden() -> Golden {
    serde_json::from_slice(&std::fs::read(file("stream.json")).unwrap()).unwrap()
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/stateful").join(name)
}

/// Each state paired in model.toml.
fn paired() -> Arc<Model> {
    let pair = |(input, output): (&String, &String)| {
        format!("[[run.state]]\ninput = \"{input}\"\noutput = \"{output}\"\n")
    };
    let pairs: String = golden().states.iter().map(pair).collect();
    load(&skeleton::filled(&file("stream.onnx")), &pairs)
}

/// The same network with outputs that are called as the inputs that they become.
fn named() -> Arc<Model> {
    let states = golden().states;
    let mut network = skeleton::filled(&file("stream.onnx"));
    let graph = network.graph.as_mut().unwrap();
    let declared = graph.output.iter_mut().map(|output| &mut output.name);
    let used = graph.node.iter_mut().flat_map(|node| node.output.iter_mut().chain(&mut node.input));
    let mut renamed = 0;
    for name in declared.chain(used) {
        if let Some((input, _)) = states.iter().find(|(_, output)| *output == name) {
            *name = format!("{input}_out");
            renamed += 1;
        }
    }
    assert!(renamed >= 2 * states.len(), "each is declared and made");
    load(&network, "")
}

fn load(network: &ModelProto, pairs: &str) -> Arc<Model> {
    let Golden { size, classes, .. } = golden();
    let folder = Folder::new(network, classes);
    folder.describe(&format!(
        "[input]\nlayout = \"NTHWC\"\nframes = 8\nrate = 5.0\nsize = {size:?}\n\
         resize = \"stretch\"\ncolour = \"RGB\"\nmean = [0.0, 0.0, 0.0]\nstd = [1.0, 1.0, 1.0]\n\
         [run]\nmodes = [\"stateful\"]\nwarm_up = 1\n{pairs}"
    ));
    Model::load(Bundle::load(folder.path()).unwrap(), Some(Mode::Stateful), 1).unwrap()
}

fn run(classifier: &mut dyn Classifier, from: usize, frames: usize) -> Vec<Vec<f32>> {
    let size = golden().size;
    let frames = (from..from + frames).map(|t| formula::frame(t, size));
    frames.map(|frame| classifier.push(&frame, true).unwrap().unwrap().to_vec()).collect()
}

#[track_caller]
fn agrees(found: &[Vec<f32>]) {
    let expected = golden().logits;
    let peak = expected.values().flatten().fold(0.0f32, |peak, value| peak.max(value.abs()));
    let pairs = found.iter().flatten().zip(expected.values().flatten());
    let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / peak;
    assert_eq!(found.len(), expected.len());
    println!("{worst:.1e} of the largest logit");
    assert!(peak > 1.0, "logits this small compare nothing");
    assert!(worst < TOLERANCE, "{worst:.1e} of the largest logit");
}

#[test]
fn states_paired_by_the_bundle_are_carried_on() {
    agrees(&run(&mut *paired().classifier().unwrap(), 0, 10));
}

#[test]
fn states_paired_by_name_are_carried_on() {
    agrees(&run(&mut *named().classifier().unwrap(), 0, 10));
}

#[test]
fn counters_are_whole_numbers() {
    let model = paired();
    let counters = model.facts().inputs.iter().filter(|input| input.datum == "i32");
    assert_eq!(counters.count(), 4);
}

/// After a gap the daemon resets the stream: counters, sums and buffers are zero again.
#[test]
fn after_a_gap_it_begins_anew() {
    let model = paired();
    let mut classifier = model.classifier().unwrap();
    run(&mut *classifier, 300, 7);
    classifier.reset();
    agrees(&run(&mut *classifier, 0, 10));
}

/// What was seen counts: the same frames after others give other logits.
#[test]
fn without_a_reset_the_past_stays() {
    let model = paired();
    let mut classifier = model.classifier().unwrap();
    run(&mut *classifier, 300, 7);
    let after = run(&mut *classifier, 0, 10);
    let fresh = run(&mut *model.classifier().unwrap(), 0, 10);
    assert_ne!(after, fresh);
}
