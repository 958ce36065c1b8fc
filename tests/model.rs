//! Model bundles, good and bad, and whether they give what ONNX Runtime gives.
//! The networks and the expected logits are made by tests/golden/models.py.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kinewatch::error::{Error, Kind, Result};
use kinewatch::model::{
    Bundle, Costs, Inspected, Mode, Model, ModelOptions, Output, Task, inspect,
};

#[path = "support/bundle.rs"]
mod bundle;
#[path = "support/npy.rs"]
mod npy;
use bundle::{Folder, LABELS, sha256};
use npy::Npy;

fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models").join(file)
}

impl Folder {
    /// Around one of the networks in tests/golden/models.
    fn of(network: &str, run: &str) -> Folder {
        Folder::around(&fs::read(golden(network)).unwrap(), run)
    }

    fn clip() -> Folder {
        Folder::of("clip.onnx", "")
    }

    fn stateful() -> Folder {
        Folder::of("stream.onnx", "\n[run]\nmodes = [\"stateful\"]\nwarm_up = 3\n")
    }

    fn load(&self) -> Result<Arc<Model>> {
        self.load_as(None)
    }

    fn load_as(&self, mode: Option<Mode>) -> Result<Arc<Model>> {
        Model::load(Bundle::load(self.path())?, mode, 1)
    }

    /// Loading it must fail with a text that holds all of `words`.
    #[track_caller]
    fn refused(&self, words: &[&str]) -> Error {
        let error = self.load().expect_err("it was loaded");
        let text = error.to_string();
        for word in words {
            assert!(text.contains(word), "no {word:?} in: {text}");
        }
        assert_eq!(error.kind(), Kind::Config, "{text}");
        assert!(text.chars().count() < 1000, "too long for a person: {text}");
        error
    }
}

fn frames() -> Vec<Vec<f32>> {
    Npy::f32(&golden("frames.npy")).chunks(3 * 24 * 32).map(<[f32]>::to_vec).collect()
}

/// The largest difference, as a fraction of the largest expected value.
fn difference(got: &[Vec<f32>], expected: &Path) -> f32 {
    let (got, expected) = (got.concat(), Npy::f32(expected));
    assert_eq!(got.len(), expected.len());
    let peak = expected.iter().fold(0.0f32, |peak, value| peak.max(value.abs()));
    assert!(peak > 0.05, "logits this small compare nothing");
    got.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / peak
}

fn run(model: &Arc<Model>) -> Vec<Vec<f32>> {
    let mut classifier = model.classifier().unwrap();
    let step = |frame: &Vec<f32>| classifier.push(frame, true).unwrap().map(<[f32]>::to_vec);
    frames().iter().filter_map(step).collect()
}

// What works.

#[test]
fn window_gives_what_onnx_runtime_gives() {
    for network in ["clip.onnx", "open-batch.onnx"] {
        let logits = run(&Folder::of(network, "").load().unwrap());
        assert_eq!(logits.len(), 4, "9 frames hold 4 clips of 6");
        let difference = difference(&logits, &golden("clip-logits.npy"));
        println!("{network}: {difference:.2e}");
        assert!(difference < 1e-4, "{network}: {difference}");
    }
}

#[test]
fn a_clip_is_laid_out_as_the_network_takes_it() {
    // Means of the colours over a clip, in which the sixth picture weighs six times as
    // much as the first, times 0, 0.1, 0.2 and so on.
    let frames = frames();
    let logits = |clip: &[Vec<f32>]| -> Vec<f32> {
        let mean = |colour: usize| -> f64 {
            let of = |frame: &Vec<f32>| -> f64 {
                frame[colour * 24 * 32..][..24 * 32].iter().map(|&v| f64::from(v)).sum()
            };
            let weighed = clip.iter().zip(1..).map(|(frame, weight)| f64::from(weight) * of(frame));
            weighed.sum::<f64>() / f64::from(6 * 24 * 32)
        };
        let of = |class: usize| (0..3).map(|c| mean(c) * 0.1 * (5 * c + class) as f64).sum::<f64>();
        (0..5).map(|class| of(class) as f32).collect()
    };
    let expected: Vec<Vec<f32>> = frames.windows(6).map(logits).collect();
    for (network, layout) in [("framewise.onnx", "NTCHW"), ("channels-last.onnx", "NTHWC")] {
        let folder = Folder::of(network, "").edit("NCTHW", layout);
        let got = run(&folder.load().unwrap());
        assert_eq!(got.len(), 4);
        for (got, expected) in got.concat().iter().zip(expected.concat()) {
            assert!((got - expected).abs() <= 1e-5, "{layout}: {got} {expected}");
        }
    }
}

#[test]
fn stateful_gives_what_onnx_runtime_gives_once_it_is_warm() {
    let model = Folder::stateful().edit("warm_up = 3", "warm_up = 1").load().unwrap();
    let difference = difference(&run(&model), &golden("stream-logits.npy"));
    println!("stream.onnx: {difference:.2e}");
    assert!(difference < 1e-4, "{difference}");

    let model = Folder::stateful().load().unwrap();
    assert_eq!(model.classifier().unwrap().warm_up(), 3);
    assert_eq!(run(&model).len(), 7, "9 frames, the first two of which only warm up");
}

#[test]
fn warm_up_is_a_whole_clip_where_the_bundle_does_not_say() {
    let model = Folder::stateful().edit("warm_up = 3\n", "").load().unwrap();
    assert_eq!(model.classifier().unwrap().warm_up(), 6);
}

#[test]
fn threads_change_nothing_but_the_time() {
    for (folder, mode) in [(Folder::clip(), Mode::Window), (Folder::stateful(), Mode::Stateful)] {
        let one = folder.load_as(Some(mode)).unwrap();
        let three = Model::load(Bundle::load(folder.path()).unwrap(), Some(mode), 3).unwrap();
        for (a, b) in run(&one).concat().iter().zip(run(&three).concat()) {
            assert!((a - b).abs() <= 1e-5 * a.abs().max(1.0), "{a} {b}");
        }
    }
}

#[test]
fn a_window_runs_only_when_it_is_due() {
    let model = Folder::clip().load().unwrap();
    let mut classifier = model.classifier().unwrap();
    let whole = run(&model);
    for (at, frame) in frames().iter().enumerate() {
        let due = at == 8;
        let logits = classifier.push(frame, due).unwrap();
        assert_eq!(logits.is_some(), due);
        if let Some(logits) = logits {
            assert_eq!(logits, whole[3]);
        }
    }
}

#[test]
fn a_stateful_model_takes_in_frames_that_are_not_due() {
    let model = Folder::stateful().load().unwrap();
    let mut classifier = model.classifier().unwrap();
    assert!(classifier.needs_every_frame());
    let whole = run(&model);
    for (at, frame) in frames().iter().enumerate() {
        if let Some(logits) = classifier.push(frame, at == 8).unwrap() {
            assert_eq!(logits, whole[6]);
        }
    }
}

#[test]
fn after_a_reset_nothing_of_the_past_is_left() {
    for folder in [Folder::clip(), Folder::stateful()] {
        let model = folder.load().unwrap();
        let first = run(&model);
        let mut classifier = model.classifier().unwrap();
        for frame in frames().iter().rev().take(7) {
            classifier.push(frame, true).unwrap();
        }
        classifier.reset();
        let mut second = Vec::new();
        for frame in frames() {
            second.extend(classifier.push(&frame, true).unwrap().map(<[f32]>::to_vec));
        }
        assert_eq!(first, second);
    }
}

#[test]
fn streams_that_share_a_model_share_no_state() {
    let model = Folder::stateful().load().unwrap();
    let alone = run(&model);
    let (mut a, mut b) = (model.classifier().unwrap(), model.classifier().unwrap());
    let mut beside = Vec::new();
    for (frame, other) in frames().iter().zip(frames().iter().rev()) {
        b.push(other, true).unwrap();
        beside.extend(a.push(frame, true).unwrap().map(<[f32]>::to_vec));
    }
    assert_eq!(alone, beside);
}

#[test]
fn streams_on_several_threads_share_one_model() {
    let model = Folder::stateful().load().unwrap();
    let alone = run(&model);
    std::thread::scope(|scope| {
        let streams: Vec<_> = (0..4).map(|_| scope.spawn(|| run(&model))).collect();
        for stream in streams {
            assert_eq!(stream.join().unwrap(), alone);
        }
    });
}

#[test]
fn the_embedded_model_loads_in_each_of_its_modes() {
    let bundle = Bundle::embedded().unwrap();
    assert_eq!(bundle.name(), "camera-events");
    assert_eq!((bundle.task(), bundle.output()), (Task::SingleLabel, Output::Logits));
    assert_eq!(bundle.labels().len(), 10);
    assert!(bundle.labels().contains(&"left-to-right".to_owned()));
    assert_eq!(bundle.modes(), [Mode::Stateful, Mode::Window]);
    for &mode in bundle.modes() {
        let model = Model::load(bundle.clone(), Some(mode), 1).unwrap();
        assert_eq!(model.mode(), mode);
        let mut classifier = model.classifier().unwrap();
        let frame = vec![0.25; bundle.input().frame_len()];
        for at in 1..=classifier.warm_up() {
            let logits = classifier.push(&frame, true).unwrap();
            assert_eq!(logits.is_some(), at == classifier.warm_up(), "{mode} {at}");
        }
    }
}

#[test]
fn the_embedded_models_modes_agree() {
    let bundle = Bundle::embedded().unwrap();
    let mut all = Vec::new();
    for mode in [Mode::Window, Mode::Stateful] {
        let model = Model::load(bundle.clone(), Some(mode), 1).unwrap();
        let mut classifier = model.classifier().unwrap();
        let mut logits = Vec::new();
        for t in 0..24 {
            // Waves that move to the right.
            let frame: Vec<f32> = (0..bundle.input().frame_len())
                .map(|i| {
                    ((i % 128) as f32 * 0.2 - t as f32 * 0.7).sin() + (i / 128 % 7) as f32 * 0.1
                })
                .collect();
            logits.extend(classifier.push(&frame, true).unwrap().map(<[f32]>::to_vec));
        }
        all.push(logits);
    }
    let (window, stateful) = (all[0].concat(), all[1].concat());
    assert!(!window.is_empty());
    assert_eq!(window.len(), stateful.len());
    let peak = window.iter().fold(0.0f32, |peak, value| peak.max(value.abs()));
    for (a, b) in window.iter().zip(&stateful) {
        assert!((a - b).abs() <= 1e-3 * peak, "{a} {b}");
    }
}

#[test]
fn inspect_says_what_each_mode_costs_or_why_it_cannot_be_had() {
    let folder = Folder::clip();
    let modes = inspect(&Bundle::load(folder.path()).unwrap());
    assert_eq!(modes.len(), 4);
    for Inspected { mode, listed, costs } in modes {
        assert_eq!(listed, mode == Mode::Window);
        match (mode, costs) {
            (Mode::Window, costs) => {
                let Costs { facts, warm_up, delay } = costs.unwrap();
                assert_eq!((warm_up, delay), (6, Duration::ZERO));
                assert_eq!(facts.inputs[0].name, "clip");
                assert_eq!(facts.inputs[0].shape, [1, 3, 6, 24, 32]);
                assert_eq!(
                    (facts.outputs[0].shape.as_slice(), &*facts.outputs[0].datum),
                    (&[1, 5][..], "f32")
                );
                assert!(facts.nodes > 10);
                assert_eq!(
                    facts.file_bytes as u64,
                    fs::metadata(golden("clip.onnx")).unwrap().len()
                );
                assert!(
                    facts.parameters > 4_000 && facts.parameters < 8_000,
                    "{}",
                    facts.parameters
                );
                // Batch normalisation is worked into the weights, which are f32; channels
                // are filled up to whole vectors, of 16 at most.
                let bytes = facts.weight_bytes as f64 / (4 * facts.parameters) as f64;
                assert!((0.8..1.5).contains(&bytes), "{facts:?}");
                assert!(facts.multiply_accumulates.unwrap() > 500_000, "{facts:?}");
            }
            (Mode::Stateful, costs) => {
                assert!(costs.unwrap_err().to_string().contains("no state"));
            }
            (Mode::TwoStage, costs) => {
                assert!(costs.unwrap_err().to_string().contains("[run.two-stage]"));
            }
            (Mode::Continual, costs) => {
                let costs = costs.unwrap();
                assert!(costs.warm_up > 6 && costs.delay > Duration::ZERO, "{costs:?}");
            }
        }
    }
}

/// What a bundle could do is worth knowing before its `model.toml` is edited.
#[test]
fn inspect_finds_modes_that_the_bundle_does_not_list() {
    let folder = Folder::of("stream.onnx", "");
    let modes = inspect(&Bundle::load(folder.path()).unwrap());
    let of = |mode| modes.iter().find(|found| found.mode == mode).unwrap();
    assert!(of(Mode::Window).listed && of(Mode::Window).costs.is_err());
    let stateful = of(Mode::Stateful);
    assert!(!stateful.listed);
    assert_eq!(stateful.costs.as_ref().unwrap().warm_up, 6);
    assert!(folder.load_as(Some(Mode::Stateful)).is_err(), "it must be listed to be chosen");
}

#[test]
fn model_options_name_their_keys() {
    let options: ModelOptions =
        toml::from_str("path = \"m\"\nmode = \"two-stage\"\nthreads = 2").unwrap();
    assert_eq!((options.mode, options.threads), (Some(Mode::TwoStage), 2));
    assert_eq!(toml::from_str::<ModelOptions>("").unwrap(), ModelOptions::default());
    assert_eq!(ModelOptions::default().threads, 1);
    let text = toml::from_str::<ModelOptions>("thread = 2").unwrap_err().to_string();
    assert!(text.contains("thread"), "{text}");
}

/// Somebody copies these.
#[test]
fn the_manifests_in_the_documentation_are_good() {
    let document = include_str!("../docs/models.md");
    let blocks = document.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let manifests: Vec<&str> = blocks.filter(|block| block.contains("[input]")).collect();
    assert_eq!(manifests.len(), 3, "window, stateful, two-stage");
    for manifest in manifests {
        let folder = Folder::empty();
        // Sums are left out on the page.
        let manifest = manifest.replace("\"…\"", &format!("\"{}\"", "0".repeat(64)));
        folder.write("model.toml", manifest.as_bytes());
        folder.write("labels.txt", LABELS.as_bytes());
        for network in ["model.onnx", "encoder.onnx", "head.onnx"] {
            folder.write(network, b"");
        }
        Bundle::load(folder.path()).unwrap_or_else(|error| panic!("{error}\n{manifest}"));
    }
}

// Files that are missing or not what they are said to be.

#[test]
fn a_missing_folder_or_file_is_named() {
    let folder = Folder::clip();
    let nowhere = folder.path().join("nowhere");
    let text = Bundle::load(&nowhere).unwrap_err().to_string();
    assert!(text.contains("nowhere") && text.contains("no such folder"), "{text}");
    let text = Bundle::load(&folder.path().join("labels.txt")).unwrap_err().to_string();
    assert!(text.contains("not a folder"), "{text}");
    for file in ["model.onnx", "labels.txt", "model.toml"] {
        fs::remove_file(folder.path().join(file)).unwrap();
        folder.refused(&[file, "no such file"]);
    }
}

#[test]
fn a_folder_in_a_files_place_is_refused() {
    let folder = Folder::clip();
    fs::remove_file(folder.path().join("labels.txt")).unwrap();
    fs::create_dir(folder.path().join("labels.txt")).unwrap();
    folder.refused(&["labels.txt", "not a file"]);
}

#[test]
fn another_sha256_is_refused_and_both_are_said() {
    let folder = Folder::clip();
    folder.write("model.onnx", &fs::read(golden("open-batch.onnx")).unwrap());
    let text = fs::read_to_string(folder.path().join("model.toml")).unwrap();
    let expected = text.split("sha256 = \"").nth(1).unwrap().split('"').next().unwrap();
    folder.refused(&["model.onnx", "SHA-256", expected, "model.toml says"]);
}

#[test]
fn a_missing_sha256_is_told() {
    let folder = Folder::clip().edit("sha256 = ", "licence = ");
    let text = folder.refused(&["no sha256", "add sha256 = "]).to_string();
    let sum = sha256(&fs::read(golden("clip.onnx")).unwrap());
    assert!(text.contains(&sum), "{text}");
}

#[test]
fn a_name_that_leads_out_of_the_folder_is_refused() {
    for name in ["../model.onnx", "/etc/passwd", "sub/../../model.onnx", ""] {
        let folder = Folder::clip().edit("task =", &format!("file = \"{name}\"\ntask ="));
        folder.refused(&["leads out of the bundle's folder"]);
        let folder = Folder::clip().edit("task =", &format!("labels = \"{name}\"\ntask ="));
        folder.refused(&["leads out of the bundle's folder"]);
    }
    let stateful = format!(
        "\n[run]\nmodes = [\"stateful\"]\n[run.stateful]\nfile = \"../stream.onnx\"\nsha256 = \"{}\"\n",
        "0".repeat(64)
    );
    Folder::of("clip.onnx", &stateful).refused(&["../stream.onnx", "leads out"]);
}

#[test]
fn texts_and_networks_that_are_far_too_large_are_not_read() {
    let folder = Folder::clip();
    folder.write("labels.txt", &vec![b'a'; (1 << 20) + 1]);
    folder.refused(&["labels.txt", "larger than 1 MiB"]);
    let folder = Folder::clip();
    folder.write("model.toml", &vec![b'#'; (1 << 20) + 1]);
    folder.refused(&["model.toml", "larger than 1 MiB"]);
    let folder = Folder::clip();
    // A sparse file: it takes no room.
    let file = fs::File::create(folder.path().join("model.onnx")).unwrap();
    file.set_len((1 << 30) + 1).unwrap();
    folder.refused(&["model.onnx", "larger than 1024 MiB"]);
}

#[test]
fn a_network_that_is_corrupt_or_cut_short_is_refused() {
    let whole = fs::read(golden("clip.onnx")).unwrap();
    Folder::around(b"this is no network", "").refused(&["model.onnx", "not an ONNX file"]);
    Folder::around(b"", "").refused(&["model.onnx", "not an ONNX file"]);
    for length in [whole.len() / 4, whole.len() / 2, whole.len() - 1] {
        Folder::around(&whole[..length], "").refused(&["model.onnx", "damaged"]);
    }
}

/// Damage anywhere must give an error or a model, never a panic or an abort.
#[test]
fn a_network_with_flipped_bits_never_takes_the_process_down() {
    let whole = fs::read(golden("stream.onnx")).unwrap();
    let mut refused = 0;
    for at in (0..whole.len()).step_by(whole.len() / 97) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x15;
        let folder = Folder::around(&bytes, "\n[run]\nmodes = [\"stateful\"]\n");
        match folder.load() {
            Ok(model) => drop(model.classifier().unwrap().push(&frames()[0], true)),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 0);
}

// Networks that are not what the manifest says, or cannot be run.

#[test]
fn an_unsupported_operator_is_named_with_its_node() {
    Folder::of("unsupported.onnx", "").refused(&[
        "unsupported operator",
        "OpticalWarp",
        "org.example",
        "stage1/warp",
    ]);
}

#[test]
fn another_number_of_labels_is_refused_and_both_are_said() {
    let folder = Folder::clip();
    folder.write("labels.txt", b"one\ntwo\nthree\nfour\n");
    folder.refused(&["\"logits\" is 5 wide", "4 labels"]);
}

#[test]
fn another_input_shape_is_refused_and_both_are_said() {
    let folder = Folder::clip().edit("frames = 6", "frames = 8");
    folder.refused(&["\"clip\" is 1×3×6×24×32", "model.toml says 1×3×8×24×32", "NCTHW"]);
    let folder = Folder::clip().edit("\"NCTHW\"", "\"NTHWC\"");
    folder.refused(&["1×3×6×24×32", "1×6×24×32×3", "NTHWC"]);
    let folder = Folder::stateful().edit("[24, 32]", "[32, 24]");
    folder.refused(&["\"frame\" is 1×3×1×24×32", "1×3×1×32×24"]);
}

#[test]
fn several_inputs_are_refused_for_now() {
    Folder::of("two-inputs.onnx", "").refused(&["\"slow\"", "\"fast\"", "not supported yet"]);
}

#[test]
fn an_input_of_bytes_is_refused() {
    Folder::of("bytes.onnx", "").refused(&["\"clip\"", "U8", "only f32"]);
}

#[test]
fn a_network_without_state_cannot_run_statefully() {
    Folder::of("clip.onnx", "\n[run]\nmodes = [\"stateful\"]\n")
        .refused(&["no state", "\"clip\"", "window"]);
}

#[test]
fn a_state_that_changes_its_size_is_refused() {
    Folder::of("growing-state.onnx", "\n[run]\nmodes = [\"stateful\"]\n").refused(&[
        "\"past\"",
        "[1, 2, 3]",
        "\"past_out\"",
        "[1, 3, 3]",
    ]);
}

/// States named otherwise than by the rule, of a size that the input leaves open.
const NAMED: &str = r#"
[run]
modes = ["stateful"]
warm_up = 2
[[run.state]]
input = "call:count"
output = "return:2"
[[run.state]]
input = "call:past"
output = "return:1"
"#;

/// `named-states.onnx` gives no finite value for the first frame, which only warms up.
fn after_the_first(got: &[Vec<f32>]) {
    let difference = difference(got, &golden("named-states-logits.npy"));
    println!("named-states: {difference:.2e}");
    assert!(difference < 1e-5, "{difference}");
}

/// Pairs from a table, an i32 counter, features beside the logits, an open size that
/// follows from the output, and a first frame that is divided by a count of zero.
#[test]
fn states_named_in_their_own_way_give_what_onnx_runtime_gives() {
    after_the_first(&run(&Folder::of("named-states.onnx", NAMED).load().unwrap()));
}

#[test]
fn a_size_that_the_file_leaves_open_can_be_given() {
    let folder = Folder::of("open-states.onnx", NAMED);
    folder.refused(&["\"call:past\"", "axis 1", "batch×window×3", "[[run.state]]"]);
    let with = |shape: &str| {
        let output = "output = \"return:1\"\n";
        Folder::of("open-states.onnx", NAMED).edit(output, &format!("{output}shape = {shape}\n"))
    };
    after_the_first(&run(&with("[1, 4, 3]").load().unwrap()));
    with("[1, 4]").refused(&["\"call:past\" is [1, 4]", "batch×window×3"]);
    with("[1, 4, 5]").refused(&["\"call:past\" is [1, 4, 5]", "batch×window×3"]);
}

#[test]
fn the_output_that_holds_the_logits_can_be_named() {
    let named = |name: &str| {
        let run = NAMED.replace("warm_up", &format!("logits = \"{name}\"\nwarm_up"));
        Folder::of("named-states.onnx", &run)
    };
    after_the_first(&run(&named("scores").load().unwrap()));
    named("features").refused(&["\"features\" is 3 wide", "5 labels"]);
    named("score").refused(&["\"score\"", "\"features\"", "\"scores\""]);
}

/// Where no names match the order decides; files of other frameworks have any.
#[test]
fn states_that_no_name_tells_apart_are_paired_in_order_or_must_be_paired() {
    let unpaired = "\n[run]\nmodes = [\"stateful\"]\nwarm_up = 1\n";
    let mut bytes = fs::read(golden("stream.onnx")).unwrap();
    while let Some(at) = bytes.windows(4).position(|name| name == b"_out") {
        bytes[at..at + 4].copy_from_slice(b"_new");
    }
    let logits = run(&Folder::around(&bytes, unpaired).load().unwrap());
    assert!(difference(&logits, &golden("stream-logits.npy")) < 1e-4);
    Folder::around(&bytes, unpaired).edit("[24, 32]", "[32, 24]").refused(&[
        "\"frame\" is 1×3×1×24×32",
        "taken for the frame",
        "[[run.state]]",
    ]);
    Folder::of("named-states.onnx", unpaired).refused(&[
        "no state",
        "\"call:past\"",
        "\"return:1\"",
        "[[run.state]]",
    ]);
}

#[test]
fn a_name_that_was_probably_meant_is_proposed() {
    Folder::of("named-states.onnx", &NAMED.replace("call:count", "call:cuont"))
        .refused(&["\"call:cuont\"", "did you mean \"call:count\"?"]);
}

/// A state with a NaN in it would give NaN for ever.
#[test]
fn after_a_fault_a_state_begins_anew() {
    let model = Folder::of("named-states.onnx", NAMED).load().unwrap();
    let mut classifier = model.classifier().unwrap();
    for frame in &frames()[..5] {
        classifier.push(frame, true).unwrap();
    }
    // Whether or not a prediction is due.
    let error = classifier.push(&[f32::NAN; 3 * 24 * 32], false).unwrap_err();
    assert_eq!(error.kind(), Kind::Data);
    let mut after = Vec::new();
    for frame in frames() {
        after.extend(classifier.push(&frame, true).unwrap().map(<[f32]>::to_vec));
    }
    after_the_first(&after);

    // Where it came in while the model warmed up it shows as soon as that is over.
    classifier.reset();
    assert!(classifier.push(&[f32::NAN; 3 * 24 * 32], true).unwrap().is_none());
    assert!(classifier.push(&frames()[0], true).is_err());
    assert!(classifier.push(&frames()[0], true).unwrap().is_none());
    assert!(classifier.push(&frames()[1], true).unwrap().is_some());
}

#[test]
fn a_state_that_is_not_there_is_named() {
    let pair = "\n[[run.state]]\ninput = \"past\"\noutput = \"nowhere\"\n";
    let run = format!("\n[run]\nmodes = [\"stateful\"]\n{pair}");
    Folder::of("stream.onnx", &run).refused(&["output \"nowhere\"", "\"past_out\""]);
}

#[test]
fn states_that_cross_kinds_of_numbers_are_refused() {
    let pairs = "\n[[run.state]]\ninput = \"past\"\noutput = \"past_out\"\n\
                 [[run.state]]\ninput = \"total\"\noutput = \"count_out\"\n\
                 [[run.state]]\ninput = \"count\"\noutput = \"total_out\"\n";
    let run = format!("\n[run]\nmodes = [\"stateful\"]\n{pairs}");
    Folder::of("stream.onnx", &run).refused(&["\"total\" is f32", "\"count_out\"", "i64"]);
}

#[test]
fn logits_that_are_not_finite_fail_the_stream_and_name_the_model() {
    let model = Folder::of("not-finite.onnx", "").load().unwrap();
    let mut classifier = model.classifier().unwrap();
    for frame in &frames()[..5] {
        assert!(classifier.push(frame, true).unwrap().is_none());
    }
    let error = classifier.push(&frames()[5], true).unwrap_err();
    assert_eq!(error.kind(), Kind::Data);
    let text = error.to_string();
    assert!(
        text.contains("\"small\"") && text.contains("NaN") && text.contains("class 0"),
        "{text}"
    );
}

#[test]
fn a_frame_of_another_size_is_refused() {
    for folder in [Folder::clip(), Folder::stateful()] {
        let model = folder.load().unwrap();
        let text = model.classifier().unwrap().push(&[0.0; 7], true).unwrap_err().to_string();
        assert!(text.contains("7 values") && text.contains("2304"), "{text}");
    }
}

// Manifests with impossible values.

#[test]
fn impossible_values_are_named_with_what_was_expected() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("frames = 6", "frames = 65", &["input.frames", "65", "1 to 64"]),
        ("frames = 6", "frames = 0", &["input.frames", "1 to 64"]),
        ("rate   = 5.0", "rate   = 0.0", &["input.rate", "more than 0"]),
        ("rate   = 5.0", "rate   = -5.0", &["input.rate", "-5"]),
        ("rate   = 5.0", "rate   = nan", &["input.rate", "NaN"]),
        ("size   = [24, 32]", "size   = [0, 32]", &["input.size", "[0, 32]"]),
        ("size   = [24, 32]", "size   = [24, 99999]", &["input.size", "4096"]),
        (
            "mean   = [0.45, 0.45, 0.45]",
            "mean   = [0.45]",
            &["input.mean", "1 values", "expected 3"],
        ),
        (
            "std    = [0.225, 0.225, 0.225]",
            "std    = [1.0, 1.0]",
            &["input.std", "2 values", "expected 3"],
        ),
        ("std    = [0.225, 0.225, 0.225]", "std    = [1.0, 0.0, 1.0]", &["input.std", "above 0"]),
        ("mean   = [0.45, 0.45, 0.45]", "mean   = [inf, 0, 0]", &["input.mean", "finite"]),
        (
            "task = \"single-label\"",
            "task = \"detection\"",
            &["detection", "single-label", "multi-label"],
        ),
        ("rate   = 5.0", "rate   = 5.0\nfps = 5", &["unknown field `fps`", "line"]),
        ("name = \"small\"", "name = \" \"", &["name", "empty"]),
        ("name = \"small\"\n", "", &["missing field `name`"]),
        ("name = \"small\"", "name = ", &["model.toml", "line 1"]),
    ];
    for (from, to, words) in cases {
        Folder::clip().edit(from, to).refused(&[&["model.toml"], *words].concat());
    }
}

#[test]
fn impossible_modes_are_named() {
    for (run, words) in [
        ("\n[run]\nmodes = []\n", &["run.modes", "empty"][..]),
        ("\n[run]\nmodes = [\"window\", \"window\"]\n", &["\"window\" stands there twice"]),
        ("\n[run]\nmodes = [\"windows\"]\n", &["windows", "two-stage"]),
        (
            "\n[run]\nmodes = [\"continual\"]\n[run.continual]\naverage = 0\n",
            &["run.continual.average: 0", "1 to 1024"],
        ),
        (
            "\n[run]\nmodes = [\"continual\"]\n[run.continual]\nwarm_up = \"slow\"\n",
            &["slow", "full", "clip"],
        ),
        ("\n[run]\nmodes = [\"two-stage\"]\n", &["run.two-stage", "encoder and the head"]),
        (
            "\n[run]\nmodes = [\"stateful\"]\n[[run.state]]\ninput = \"a\"\noutput = \"b\"\nshape = [1, 0]\n",
            &["run.state", "\"a\"", "[1, 0]"],
        ),
        ("\n[run]\nwarm_up = 0\n", &["run.warm_up", "1 or more"]),
        ("\n[[run.state]]\ninput = \"a\"\noutput = \"b\"\n", &["run.state", "does not list"]),
        (
            "\n[run]\nmodes = [\"stateful\"]\n[[run.state]]\ninput = \"a\"\noutput = \"b\"\n\
             [[run.state]]\ninput = \"a\"\noutput = \"c\"\n",
            &["\"a\"", "paired twice"],
        ),
    ] {
        Folder::of("clip.onnx", run).refused(words);
    }
    let text = Folder::clip().load_as(Some(Mode::Stateful)).unwrap_err().to_string();
    assert!(text.contains("does not list mode \"stateful\"; available: \"window\""), "{text}");
}

#[test]
fn impossible_labels_are_named_by_their_line() {
    for (labels, words) in [
        (&b"one\n\nthree\nfour\nfive\n"[..], &["line 2 is empty"][..]),
        (b"one\ntwo\nthree\none\nfive\n", &["lines 1 and 4", "\"one\""]),
        (b"\n", &["empty"]),
        (b"one\n\xff\xfe\n", &["UTF-8"]),
    ] {
        let folder = Folder::clip();
        folder.write("labels.txt", labels);
        folder.refused(&[&["labels.txt"], words].concat());
    }
}

#[test]
fn an_impossible_number_of_threads_is_refused() {
    for threads in [0, 65] {
        let bundle = Bundle::load(Folder::clip().path()).unwrap();
        assert!(bundle.modes().contains(&Mode::Window));
        let folder = Folder::clip();
        let error = Model::load(Bundle::load(folder.path()).unwrap(), None, threads).unwrap_err();
        assert!(error.to_string().contains("1 to 64"), "{error}");
        assert_eq!(error.kind(), Kind::Config);
    }
}
