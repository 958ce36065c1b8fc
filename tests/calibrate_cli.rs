//! What a user sees of `kinewatch calibrate`: labelled runs in, figures and a
//! calibrated bundle out.

#[path = "support/logits.rs"]
mod logits;
#[path = "support/program.rs"]
mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use kinewatch::calibrate::Parameters;
use kinewatch::metric;
use kinewatch::model::{Bundle, Mode, Output as Gives, Task};
use kinewatch::predict::PredictOptions;
use kinewatch::report::{Clip, Run, RunLabels, RunModel, Shard, Store, Truth, VideoHeader};
use logits::{Stream, World};
use program::kinewatch;
use serde_json::Value;

/// A run of the built-in model, as `kinewatch replay` would describe it.
fn run() -> Run {
    let bundle = Bundle::embedded().unwrap();
    Run {
        v: kinewatch::report::store::FORMAT,
        kinewatch: "0.1.0".into(),
        created: "2026-11-22T09:00:00.000Z".into(),
        model: RunModel {
            name: bundle.name().into(),
            sha256: bundle.sha256(Mode::Stateful).unwrap().into(),
            task: Task::SingleLabel,
            output: Gives::Logits,
            mode: "stateful".into(),
            labels: bundle.labels().to_vec(),
        },
        labels: Some(RunLabels {
            name: "labels.csv".into(),
            format: "kinewatch".into(),
            sha256: "cd".repeat(32),
        }),
        predict: PredictOptions::default(),
        options: [("clips".to_owned(), Value::from("window"))].into(),
        shard: None,
        planned: None,
    }
}

/// Adds a video with `count` overlapping clips, all of one truth.
fn video(store: &Store, name: &str, world: &World, truth: &[usize], count: usize, seed: u64) {
    let labels = &store.run().model.labels;
    let mut world = world.clone();
    for (class, prior) in world.priors.iter_mut().enumerate() {
        *prior = if truth.contains(&class) { 1.0 } else { 0.0 };
    }
    let mut writer = store.write(name).unwrap();
    let clips = Stream::new(world, 0.25, seed).take(count);
    let seconds = clips.last().map_or(0.0, |clip| clip.t);
    for (clip, k) in clips.into_iter().zip(0..) {
        let clip = Clip { start: clip.start, t: clip.t, view: [k, 0], logits: clip.logits };
        writer.clip(&clip).unwrap();
    }
    let truth = match store.run().labels {
        Some(_) => Truth::Video(truth.iter().map(|&class| labels[class].clone()).collect()),
        None => Truth::None,
    };
    let header = VideoHeader {
        v: 1,
        video: String::new(),
        path: "/gone/recording.mp4".into(),
        seconds,
        frames: 0,
        truth,
        views: "window".into(),
        clips: 0,
        error: None,
    };
    writer.finish(header).unwrap();
}

/// Videos of each class in turn, of a model that is too sure of itself.
fn fill(store: &Store, videos: std::ops::Range<usize>, count: usize, temperature: f64) {
    let classes = store.run().model.labels.len();
    let world = World::new(classes, temperature);
    for at in videos {
        video(store, &format!("{at:03}.mkv"), &world, &[at % classes], count, 100 + at as u64);
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn store(&self, name: &str, run: &Run) -> (PathBuf, Store) {
        let path = self.path(name);
        let store = Store::create(&path, run).unwrap();
        (path, store)
    }
}

fn calibrate(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Output {
    kinewatch().arg("calibrate").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn well(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> String {
    let output = calibrate(arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Refused as a bad command line; what was said.
fn refused(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> String {
    let output = calibrate(arguments);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    text(&output.stderr)
}

fn json(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Value {
    serde_json::from_str(&well(&[arguments, &[&"--json"]].concat())).unwrap()
}

fn manifest(folder: &Path) -> String {
    fs::read_to_string(folder.join("model.toml")).unwrap()
}

#[test]
fn the_temperature_is_found_and_written_into_a_bundle_that_is_else_the_same() {
    let folder = Folder::new();
    let (out, store) = folder.store("out", &run());
    fill(&store, 0..48, 60, 2.0);
    let bundle = folder.path("calibrated");
    let said = well(&[&out, &"-o", &bundle]);
    assert!(said.contains("ECE") && said.contains("top-1") && said.contains(" ± "), "{said}");
    let own = include_str!("../models/camera-events/model.toml");
    assert!(manifest(&bundle).starts_with(own), "{}", manifest(&bundle));
    let (before, after) = (Bundle::embedded().unwrap(), Bundle::load(&bundle).unwrap());
    assert_eq!(before.labels(), after.labels());
    let Some(Parameters::Temperature { temperature }) = after.calibration(Mode::Stateful) else {
        panic!("{:?}", after.calibration(Mode::Stateful));
    };
    assert!((temperature - 2.0).abs() < 0.25, "{temperature}");
    // It was fitted on the network that runs frame by frame, not on the other one.
    assert!(
        after.calibration(Mode::Window).is_none() && before.calibration(Mode::Stateful).is_none()
    );
    for mode in [Mode::Stateful, Mode::Window] {
        kinewatch::model::Model::load(after.clone(), Some(mode), 1).unwrap();
    }

    let found = json(&[&out]);
    let figure = |when: &str, name: &str| found[when][name].as_f64().unwrap();
    assert!(figure("before", "ece") > 0.05 && figure("after", "ece") < 0.03, "{found}");
    assert!(figure("after", "nll") < figure("before", "nll"));
    assert_eq!(figure("after", "top_1"), figure("before", "top_1"));
    assert_eq!((found["folds"].as_array().unwrap().len(), found["videos"].as_u64()), (5, Some(48)));
    // 60 clips, each a quarter new, and the first whole.
    assert!((found["effective"].as_f64().unwrap() - 48.0 * (1.0 + 59.0 * 0.25)).abs() < 1e-6);
    let clips: u64 =
        found["folds"].as_array().unwrap().iter().map(|f| f["clips"].as_u64().unwrap()).sum();
    assert_eq!(clips, 48 * 60);

    // The same again, byte for byte; the shards of a run are one run.
    let again = folder.path("again");
    well(&[&out, &"-o", &again]);
    assert_eq!(manifest(&again), manifest(&bundle));
    let mut halves = Vec::new();
    for (index, videos) in [(1, 0..24), (2, 24..48)] {
        let shard = Run { shard: Some(Shard { index, of: 2 }), ..run() };
        let (path, store) = folder.store(&format!("shard-{index}"), &shard);
        fill(&store, videos, 60, 2.0);
        halves.push(path);
    }
    assert_eq!(json(&[&halves[1], &halves[0]]), found);
}

#[test]
fn every_method_writes_a_bundle_that_can_be_read_and_calibrates() {
    let folder = Folder::new();
    let (out, store) = folder.store("out", &run());
    fill(&store, 0..64, 80, 2.5);
    for method in ["temperature", "vector", "platt", "histogram"] {
        let bundle = folder.path(method);
        let found = json(&[&out, &"--method", &method, &"-o", &bundle]);
        assert_eq!(found["method"], method);
        let (before, after) = (&found["before"]["ece"], &found["after"]["ece"]);
        assert!(after.as_f64().unwrap() < 0.6 * before.as_f64().unwrap(), "{method}: {found}");
        let read = Bundle::load(&bundle).unwrap();
        let parameters = read.calibration(Mode::Stateful).unwrap();
        // What is read back predicts what was fitted.
        let fitted: Parameters = serde_json::from_value(found["parameters"].clone()).unwrap();
        let logits: Vec<f32> = (0..read.labels().len()).map(|k| (k * 7 % 5) as f32).collect();
        let mut p = [vec![0.0; logits.len()], vec![0.0; logits.len()]];
        parameters.apply(&logits, metric::Task::SingleLabel, &mut p[0]);
        fitted.apply(&logits, metric::Task::SingleLabel, &mut p[1]);
        for (a, b) in p[0].iter().zip(&p[1]) {
            assert!((a - b).abs() < 1e-5, "{method}: {p:?}");
        }
    }
}

#[test]
fn a_video_is_never_judged_by_a_fit_that_has_seen_it() {
    let folder = Folder::new();
    let (out, store) = folder.store("out", &run());
    // Two videos that need opposite temperatures: a fit that had seen half of each
    // would do no harm to either; the fit on one does harm to the other.
    let classes = store.run().model.labels.len();
    for (name, temperature, seed) in [("a.mkv", 0.3, 1), ("b.mkv", 4.0, 2)] {
        video(&store, name, &World::new(classes, temperature), &[1], 400, seed);
    }
    let found = json(&[&out]);
    assert!(found["after"]["nll"].as_f64() > found["before"]["nll"].as_f64(), "{found}");
    let warnings = found["warnings"].to_string();
    assert!(
        warnings.contains("no better than the model") && warnings.contains("2 folds"),
        "{found}"
    );
}

#[test]
fn what_cannot_be_judged_is_refused() {
    let folder = Folder::new();
    let (bare, store) = folder.store("bare", &Run { labels: None, ..run() });
    fill(&store, 0..10, 60, 2.0);
    assert!(refused(&[&bare]).contains("the run has no labels"));
    let (unknown, store) = folder.store("unknown", &run());
    let world = World::new(store.run().model.labels.len(), 2.0);
    video(&store, "a.mkv", &world, &[], 300, 1);
    assert!(refused(&[&unknown]).contains("no clip of the run lies within a label"));
    let (one, store) = folder.store("one", &run());
    fill(&store, 0..1, 400, 2.0);
    assert!(refused(&[&one]).contains("one video"));
    let (few, store) = folder.store("few", &run());
    fill(&store, 0..5, 20, 2.0);
    assert!(refused(&[&few]).contains("at least 50 are needed"));
    let (some, store) = folder.store("some", &run());
    fill(&store, 0..10, 30, 2.0);
    let output = calibrate(&[&some]);
    assert!(output.status.success() && text(&output.stderr).contains("guesses"), "{output:?}");
    for wrong in [&["--method", "isotonic"][..], &["--folds", "1"], &["--seed", "-1"]] {
        let arguments: Vec<&dyn AsRef<std::ffi::OsStr>> =
            wrong.iter().map(|a| a as &dyn AsRef<std::ffi::OsStr>).collect();
        refused(&[&[&some as &dyn AsRef<std::ffi::OsStr>], &arguments[..]].concat());
    }
    assert!(refused(&[&folder.path("gone")]).contains("kinewatch replay"));
}

#[test]
fn a_bundle_is_written_over_only_when_asked_and_nothing_else_ever() {
    let folder = Folder::new();
    let (out, store) = folder.store("out", &run());
    fill(&store, 0..24, 60, 2.0);
    let bundle = folder.path("bundle");
    well(&[&out, &"-o", &bundle]);
    fs::write(bundle.join("LICENCE"), "of the weights").unwrap();
    assert!(refused(&[&out, &"-o", &bundle]).contains("--force"));
    // In place: its own lines stay, the table is replaced.
    let edited = manifest(&bundle).replace("[input]", "# my own remark\n[input]");
    fs::write(bundle.join("model.toml"), &edited).unwrap();
    well(&[&out, &"--model", &bundle, &"-o", &bundle, &"--force", &"--method", &"vector"]);
    let now = manifest(&bundle);
    assert!(now.contains("# my own remark") && now.matches("[calibration]").count() == 1, "{now}");
    assert!(now.contains("bias = ") && now.contains("ECE"), "{now}");
    // What lies beside goes with a copy.
    let copy = folder.path("copy");
    well(&[&out, &"--model", &bundle, &"-o", &copy]);
    assert_eq!(fs::read_to_string(copy.join("LICENCE")).unwrap(), "of the weights");
    // Another network is not the one that was run.
    let other = Run { model: RunModel { sha256: "ff".repeat(32), ..run().model }, ..run() };
    let (another, store) = folder.store("another", &other);
    fill(&store, 0..24, 60, 2.0);
    assert!(refused(&[&another, &"-o", &folder.path("new")]).contains("--model"));
    assert!(!folder.path("new").exists());
    let home = folder.path("home");
    fs::create_dir(&home).unwrap();
    fs::write(home.join("letter"), "dear").unwrap();
    assert!(refused(&[&out, &"-o", &home, &"--force"]).contains("no model bundle"));
    assert_eq!(fs::read_dir(&home).unwrap().count(), 1);
}

#[test]
fn a_multi_label_model_has_a_temperature_and_a_threshold_for_each_class() {
    let folder = Folder::new();
    let mut many = run();
    many.model.task = Task::MultiLabel;
    let (out, store) = folder.store("out", &many);
    let classes = many.model.labels.len();
    let world = World::multi_label(classes, 2.0);
    let mut chance = logits::Chance::new(5, 0);
    for at in 0..60 {
        let truth: Vec<usize> =
            (0..classes).filter(|&class| chance.unit() < world.priors[class]).collect();
        // A video without any label is one about which nobody knows.
        let truth = if truth.is_empty() { vec![0] } else { truth };
        video(&store, &format!("{at:03}.mkv"), &world, &truth, 40, at);
    }
    let found = json(&[&out]);
    let figure = |when: &str, name: &str| found[when][name].as_f64().unwrap();
    assert!(figure("after", "ece") < figure("before", "ece"), "{found}");
    assert!(figure("after", "nll") < figure("before", "nll"), "{found}");
    assert!(figure("before", "macro_f1") > 0.5);
    assert_eq!(found["parameters"]["threshold"].as_array().unwrap().len(), classes);
    assert!(well(&[&out]).contains("macro-F1"));
    assert!(refused(&[&out, &"--method", &"platt"]).contains("multi-label"));
}

/// The other tests, and the benchmark, rest on this.
#[test]
fn simulated_logits_are_right_at_their_temperature() {
    let worlds = [World::new(10, 1.8), World::new(10, 0.6).mixed(20.0), World::multi_label(6, 2.0)];
    for (world, seed) in worlds.into_iter().zip(1..) {
        let samples = Stream::new(world.clone(), 1.0, seed).take(40_000);
        // Said and come true, in ten ranges of what was said.
        let mut bins = [[0.0f64; 3]; 10];
        for sample in &samples {
            let p = world.oracle(&sample.logits);
            for (class, p) in p.into_iter().enumerate() {
                let bin = &mut bins[((p * 10.0) as usize).min(9)];
                let there = f64::from(u8::from(sample.truth.contains(&class)));
                *bin = [bin[0] + 1.0, bin[1] + p, bin[2] + there];
            }
        }
        for [count, said, there] in bins {
            // Four standard deviations of a sum of independent trials.
            let spread = 4.0 * (said * (1.0 - said / count)).sqrt() + 1.0;
            assert!((said - there).abs() < spread, "{said} said, {there} came: {bins:?}");
        }
        // Classes come as often as they should.
        for (class, prior) in world.priors.iter().enumerate() {
            let share =
                samples.iter().filter(|s| s.truth.contains(&class)).count() as f64 / 40_000.0;
            assert!((share - prior).abs() < 0.012, "class {class}: {share} for {prior}");
        }
    }
}

/// The mean of n overlapping clips scatters as that of n times their evidence.
#[test]
fn overlapping_simulated_clips_are_worth_their_evidence() {
    let scatter = |evidence: f64| {
        let means: Vec<f64> = (0..400)
            .map(|seed| {
                let clips = Stream::new(World::new(4, 1.0), evidence, seed).take(400);
                let first: f64 = clips.iter().map(|c| f64::from(u8::from(c.truth == [0]))).sum();
                first / 400.0
            })
            .collect();
        let mean = means.iter().sum::<f64>() / 400.0;
        means.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / 399.0
    };
    let ratio = scatter(0.25) / scatter(1.0);
    assert!(
        (3.0..5.2).contains(&ratio),
        "{ratio} times the variance for a quarter of the evidence"
    );
}
