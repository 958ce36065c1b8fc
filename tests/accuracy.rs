//! What a user relies on in the accuracy log: its figures are those of a report,
//! its lines are whole whatever happens, and `kinewatch report` draws them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kinewatch::accuracy::{
    Accuracy, AccuracyLog, AccuracyOptions, Counts, Evidence, Line, Raw, Scored,
};
use kinewatch::clock::SystemClock;
use kinewatch::duration::HumanDuration;
use kinewatch::label::{Span, Track};
use kinewatch::metric::Task;
use kinewatch::model;
use kinewatch::predict::PredictOptions;
use kinewatch::report::{
    Clip, ReportOptions, Run, RunLabels, RunModel, Store, Truth, TruthSpan, VideoHeader,
};
use kinewatch::service::StateFile;
use serde_json::{Value, json};

#[path = "support/program.rs"]
mod program;
use program::kinewatch;

/// No test waits longer than this for another process.
const DEADLINE: Duration = Duration::from_secs(60);
const AT: &str = "2026-11-22T09:30:02.412Z";

/// Chance's only source here (SplitMix64).
struct Chance(u64);

impl Chance {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, n: usize) -> usize {
        (self.unit() * n as f64) as usize
    }
}

const CLASSES: usize = 6;

fn labels() -> Vec<String> {
    (0..CLASSES).map(|i| format!("class {i}")).collect()
}

fn logits(chance: &mut Chance, leads: usize) -> Vec<f32> {
    let mut z: Vec<f32> = (0..CLASSES).map(|_| (4.0 * chance.unit()) as f32).collect();
    z[leads] += 2.0;
    z
}

fn softmax(z: &[f32], temperature: f32) -> Vec<f32> {
    let most = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let e: Vec<f32> = z.iter().map(|z| ((z - most) / temperature).exp()).collect();
    let sum: f32 = e.iter().sum();
    e.iter().map(|e| e / sum).collect()
}

fn sigmoid(z: &[f32]) -> Vec<f32> {
    z.iter().map(|z| 1.0 / (1.0 + (-z).exp())).collect()
}

fn accuracy(options: &AccuracyOptions, task: Task) -> Accuracy {
    Accuracy::new(options, "gate", CLASSES, task, Some(0.9)).unwrap()
}

/// A clip as a stream of one prediction a second has it.
fn scored<'a>(t: f64, z: &'a [f32], p: &'a [f32], truth: &'a [usize]) -> Scored<'a> {
    Scored {
        start: t - 2.0,
        t,
        raw: Raw::Logits(z),
        calibrated: p,
        thresholds: None,
        set: None,
        whole: Some(truth),
        here: Some(truth),
    }
}

fn run(task: model::Task, output: model::Output) -> Run {
    Run {
        v: kinewatch::report::store::FORMAT,
        kinewatch: "0.1.0".into(),
        created: AT.into(),
        model: RunModel {
            name: "m".into(),
            sha256: "ab".repeat(32),
            task,
            output,
            mode: "window".into(),
            labels: labels(),
        },
        labels: Some(RunLabels {
            name: "labels.csv".into(),
            format: "kinewatch".into(),
            sha256: "cd".repeat(32),
        }),
        predict: PredictOptions::default(),
        options: Default::default(),
        shard: None,
        planned: None,
    }
}

/// `metrics.json` of one recording with these clips and this truth.
fn metrics(run: &Run, truth: Truth, clips: &[(f64, f64, Vec<f32>)]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path(), run).unwrap();
    let mut writer = store.write("a.mp4").unwrap();
    for (k, (start, t, logits)) in clips.iter().enumerate() {
        let (start, t, logits) = (*start, *t, logits.clone());
        writer.clip(&Clip { start, t, view: [k as u32, 0], logits }).unwrap();
    }
    let header = VideoHeader {
        v: 1,
        video: String::new(),
        path: "/gone/a.mp4".into(),
        seconds: clips.last().unwrap().1,
        frames: 100,
        truth,
        views: "window".into(),
        clips: 0,
        error: None,
    };
    writer.finish(header).unwrap();
    let options =
        ReportOptions { bootstrap: 0, figures: false, frames: false, ..ReportOptions::default() };
    kinewatch::report::write(&[store], folder.path(), &options).unwrap();
    serde_json::from_slice(&fs::read(folder.path().join("metrics.json")).unwrap()).unwrap()
}

/// Which figure of `metrics.json` equals which of the log: as docs/accuracy.md
/// has it.
const EQUAL: [(&str, &str); 7] = [
    ("/samples", "/samples"),
    ("/raw/accuracy", "/accuracy"),
    ("/raw/top_k", "/top_k"),
    ("/raw/macro_f1", "/f1/macro"),
    ("/raw/ece", "/calibration/ece"),
    ("/raw/brier", "/calibration/brier"),
    ("/raw/nll", "/calibration/nll"),
];

/// As a reader of the log has it.
fn as_read(line: &Line) -> Value {
    serde_json::from_str(&serde_json::to_string(line).unwrap()).unwrap()
}

fn assert_equal(log: &Value, report: &Value, what: &str) {
    for (ours, theirs) in EQUAL {
        let (ours, theirs) = (log.pointer(ours).unwrap(), report.pointer(theirs).unwrap());
        assert!(!ours.is_null(), "{what}: {log}");
        assert_eq!(ours, theirs, "{what}");
    }
}

#[test]
fn figures_since_the_start_are_those_of_a_report_over_the_same_recording() {
    let names = labels();
    let spans: Vec<Span> = (0..40)
        .flat_map(|k| {
            let (start, class) = (f64::from(k) * 5.0, (k * 5 % 7) as usize);
            let span = |start, end, class: usize| Span {
                start,
                end,
                // A label that the model does not know is among them.
                label: names.get(class).cloned().unwrap_or("unknown".into()),
            };
            // Every third label overlaps another, and there are gaps.
            let more = (k % 3 == 0).then(|| span(start + 1.0, start + 4.5, (class + 1) % 6));
            [Some(span(start, start + 4.6, class)), more].into_iter().flatten()
        })
        .collect();
    for gives in [model::Output::Logits, model::Output::Probabilities] {
        let mut chance = Chance(7);
        let clips: Vec<(f64, f64, Vec<f32>)> = (0..1000)
            .map(|k| {
                let t = 1.0 + f64::from(k) / 5.0;
                let z = logits(&mut chance, k as usize / 25 * 5 % 7 % CLASSES);
                let given = match gives {
                    model::Output::Logits => z,
                    model::Output::Probabilities => softmax(&z, 1.0),
                };
                (t - 0.8, t, given)
            })
            .collect();
        let truth = Truth::Spans(
            spans
                .iter()
                .map(|s| TruthSpan { start: s.start, end: s.end, label: s.label.clone() })
                .collect(),
        );
        let metrics = metrics(&run(model::Task::SingleLabel, gives), truth, &clips);

        let track = Track::new(spans.clone());
        let index = |label: &str| names.iter().position(|l| l == label);
        let mut log = accuracy(&AccuracyOptions::default(), Task::SingleLabel);
        for (start, t, given) in &clips {
            let whole: Vec<usize> = track.labels_over(*start, *t).filter_map(index).collect();
            let here: Vec<usize> =
                track.spans_at(*t).filter_map(|span| index(&span.label)).collect();
            let raw = match gives {
                model::Output::Logits => Raw::Logits(given),
                model::Output::Probabilities => Raw::Probabilities(given),
            };
            log.add(&Scored {
                start: *start,
                t: *t,
                raw,
                calibrated: &softmax(given, 1.5),
                thresholds: None,
                set: None,
                whole: Some(&whole),
                here: Some(&here),
            });
        }
        let line = as_read(&log.line(200.0, AT, &Value::Null));
        assert_equal(&line["cumulative"]["clip"], &metrics["clip"], "clip");
        assert_equal(&line["cumulative"]["every"], &metrics["every"], "every");
        // Both levels are there and differ: clips across a change are in one only.
        assert!(metrics["clip"]["samples"].as_u64() < metrics["every"]["samples"].as_u64());
        // Nothing has left the window yet, so it holds the same.
        let window = &line["window"]["clip"]["raw"];
        assert_eq!(window["accuracy"], metrics["clip"]["accuracy"]);
        assert_eq!(window["macro_f1"], metrics["clip"]["f1"]["macro"]);
        assert_eq!(window["ece_equal_mass"], metrics["clip"]["calibration"]["ece_equal_mass"]);
        let calibrated = &line["cumulative"]["clip"]["calibrated"];
        assert_ne!(calibrated["nll"], line["cumulative"]["clip"]["raw"]["nll"]);
    }
}

#[test]
fn multi_label_figures_are_those_of_a_report_too() {
    let mut chance = Chance(11);
    let clips: Vec<(f64, f64, Vec<f32>)> = (0..300)
        .map(|k| {
            let z = logits(&mut chance, 1).iter().map(|z| z - 3.0).collect();
            (f64::from(k), f64::from(k) + 0.5, z)
        })
        .collect();
    let truth = Truth::Video(vec!["class 1".into(), "class 4".into()]);
    let metrics = metrics(&run(model::Task::MultiLabel, model::Output::Logits), truth, &clips);
    let mut log = accuracy(&AccuracyOptions::default(), Task::MultiLabel);
    for (start, t, z) in &clips {
        let p = sigmoid(z);
        let set = [1, 4, 5];
        log.add(&Scored {
            start: *start,
            set: Some(&set),
            // A class more or less here, another threshold there.
            thresholds: Some(&[0.5, 0.0, 1.1, 1.1, 0.0, 1.1]),
            ..scored(*t, z, &p, &[1, 4])
        });
    }
    let line = as_read(&log.line(300.0, AT, &Value::Null));
    let clip = &line["cumulative"]["clip"];
    assert_equal(clip, &metrics["clip"], "clip");
    assert_eq!((&clip["coverage"], &clip["set_size"]), (&json!(1.0), &json!(3.0)));
    // By the thresholds of the calibrator, which are perfect but for class 0.
    assert!(clip["calibrated"]["accuracy"].as_f64() > clip["raw"]["accuracy"].as_f64());
    assert_eq!(line["window"]["clip"]["raw"]["accuracy"], metrics["clip"]["accuracy"]);
    assert_eq!(line["window"]["clip"]["raw"]["ece_equal_mass"], Value::Null);
}

#[test]
fn the_window_forgets_and_the_rest_does_not() {
    let options =
        AccuracyOptions { window: HumanDuration::seconds(10), ..AccuracyOptions::default() };
    let mut log = accuracy(&options, Task::SingleLabel);
    let sure = |class: usize| (0..CLASSES).map(|c| if c == class { 9.0 } else { 0.0 }).collect();
    for t in 0..40 {
        // Wrong up to 20 s, right from there on; in the set all the time.
        let z: Vec<f32> = sure(if t < 20 { 3 } else { 2 });
        let p = softmax(&z, 1.0);
        let scored = Scored { set: Some(&[2, 3]), ..scored(f64::from(t), &z, &p, &[2]) };
        let evidence = log.add(&scored).unwrap();
        assert_eq!(evidence, if t == 0 { 1.0 } else { 0.5 });
    }
    let line = log.line(39.0, AT, &Value::Null);
    let (all, last) = (line.cumulative.clip.unwrap(), line.window.clip.unwrap());
    assert_eq!((all.samples, all.raw.accuracy, all.effective), (40, 0.5, 20.5));
    assert_eq!((last.samples, last.raw.accuracy, last.effective), (10, 1.0, 5.0));
    assert_eq!((line.window.from, line.window.to), (Some(30.0), Some(39.0)));
    assert_eq!((last.coverage, last.set_size), (Some(1.0), Some(2.0)));
    // Labels have ceased: the window empties rather than go stale.
    let line = log.line(49.0, AT, &Value::Null);
    assert_eq!((line.window.clip, line.window.from), (None, None));
    assert_eq!(line.cumulative.clip.unwrap().samples, 40);
    // The stream's clock was set back: what was before cannot be compared.
    let z: Vec<f32> = sure(2);
    let p = softmax(&z, 1.0);
    log.add(&scored(60.0, &z, &p, &[2]));
    log.add(&scored(1.0, &z, &p, &[2]));
    assert_eq!(log.line(1.0, AT, &Value::Null).window.clip.unwrap().samples, 1);
}

#[test]
fn memory_is_bounded_whatever_the_window() {
    let options =
        AccuracyOptions { window: HumanDuration::seconds(1 << 30), ..AccuracyOptions::default() };
    let mut log = accuracy(&options, Task::SingleLabel);
    let z = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let p = softmax(&z, 1.0);
    for t in 0..140_000 {
        log.add(&scored(f64::from(t), &z, &p, &[0]));
    }
    let line = log.line(140_000.0, AT, &Value::Null);
    assert_eq!(line.cumulative.clip.unwrap().samples, 140_000);
    assert_eq!(line.window.clip.unwrap().samples, 1 << 17);
    assert_eq!(line.window.from, Some(f64::from(140_000 - (1 << 17))));
}

#[test]
fn what_is_no_number_is_refused_whole_and_never_spread() {
    let mut log = accuracy(&AccuracyOptions::default(), Task::SingleLabel);
    let good = vec![1.0f32; CLASSES];
    let p = softmax(&good, 1.0);
    let mut bad = good.clone();
    bad[3] = f32::NAN;
    let refused = [
        scored(1.0, &bad, &p, &[0]),
        scored(1.0, &good, &bad, &[0]),
        scored(1.0, &good, &p[1..], &[0]),
        scored(1.0, &good[1..], &p, &[0]),
        scored(1.0, &good, &p, &[CLASSES]),
        scored(f64::NAN, &good, &p, &[0]),
    ];
    for one in &refused {
        assert_eq!(log.add(one), None);
    }
    // Nobody knows: not scored, not refused.
    assert_eq!(log.add(&scored(1.0, &good, &p, &[])), None);
    assert_eq!(log.add(&scored(2.0, &good, &p, &[0])), Some(1.0));
    let line = log.line(2.0, AT, &Value::Null);
    assert_eq!((line.counts.refused, line.counts.scored), (refused.len() as u64, 1));
    let clip = line.cumulative.clip.unwrap();
    assert_eq!((clip.samples, clip.raw.accuracy), (1, 1.0));
    assert!(clip.raw.nll.is_finite() && clip.calibrated.ece.is_finite());
}

#[test]
fn lines_are_due_on_a_grid_and_a_clock_set_back_begins_anew() {
    let options =
        AccuracyOptions { interval: HumanDuration::seconds(10), ..AccuracyOptions::default() };
    let mut log = accuracy(&options, Task::SingleLabel);
    let mut told = Vec::new();
    let times = [3.0, 12.9, 13.0, 14.0, 22.9, 55.0, 62.9, 63.0, 5.0, 14.9, 15.0, f64::NAN];
    for t in times {
        if log.due(t) {
            told.push(t);
            log.line(t, AT, &Value::Null);
        }
    }
    assert_eq!(told, [13.0, 55.0, 63.0, 15.0]);
}

#[test]
fn every_line_is_as_the_schema_says_and_reads_back() {
    let schema: Value = serde_json::from_str(include_str!("../docs/accuracy.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for task in [Task::SingleLabel, Task::MultiLabel] {
        let mut log = accuracy(&AccuracyOptions::default(), task);
        let mut chance = Chance(3);
        let mut lines = vec![log.line(0.0, AT, &Value::Null)];
        for t in 0..50 {
            let truth = [chance.below(CLASSES)];
            let z = logits(&mut chance, truth[0]);
            let p = if task == Task::SingleLabel { softmax(&z, 1.2) } else { sigmoid(&z) };
            let set = [truth[0], (truth[0] + 1) % CLASSES];
            let scored = scored(f64::from(t), &z, &p, &truth);
            log.add(&Scored { set: (t > 10).then_some(&set[..]), ..scored });
        }
        (0..20).for_each(|t| log.alarm(f64::from(t), "the loss rose", &json!({"what": "loss"})));
        log.set_counts(Counts { predictions: 60, waiting: 9, late: 1, ..Counts::default() });
        lines.push(log.line(60.0, AT, &json!({"temperature": 1.2})));
        lines.push(log.line(9000.0, AT, &json!({"temperature": 1.2})));
        assert_eq!((lines[1].drift.new.len(), lines[1].drift.alarms), (16, 20));
        assert_eq!((lines[2].drift.new.len(), lines[2].drift.alarms), (0, 20));
        assert_eq!((lines[1].counts.scored, lines[1].counts.predictions), (50, 60));
        for line in &lines {
            let json = serde_json::to_value(line).unwrap();
            if let Err(error) = validator.validate(&json) {
                panic!("{error}: {json}");
            }
            let text = serde_json::to_string(line).unwrap();
            assert!(
                text.starts_with("{\"v\":1,\"kind\":\"accuracy\",\"stream\":\"gate\""),
                "{text}"
            );
            serde_json::from_str::<Line>(&text).unwrap();
        }
    }
}

#[test]
fn the_documents_example_is_a_line() {
    let schema: Value = serde_json::from_str(include_str!("../docs/accuracy.schema.json")).unwrap();
    let document = include_str!("../docs/accuracy.md");
    let example = document.split("```json\n").nth(1).unwrap().lines().next().unwrap();
    let line: Value = serde_json::from_str(example).unwrap();
    jsonschema::validator_for(&schema).unwrap().validate(&line).unwrap();
    serde_json::from_str::<Line>(example).unwrap();
}

#[test]
fn the_same_clips_give_the_same_bytes() {
    let bytes = || {
        let mut log = accuracy(&AccuracyOptions::default(), Task::SingleLabel);
        let mut chance = Chance(5);
        for t in 0..300 {
            let truth = [chance.below(CLASSES)];
            let z = logits(&mut chance, truth[0]);
            let p = softmax(&z, 1.3);
            log.add(&scored(f64::from(t), &z, &p, &truth));
        }
        serde_json::to_string(&log.line(300.0, AT, &Value::Null)).unwrap()
    };
    assert_eq!(bytes(), bytes());
}

#[test]
fn the_summary_lines_up_and_says_what_a_person_asks() {
    let mut log = accuracy(&AccuracyOptions::default(), Task::SingleLabel);
    assert!(log.summary().contains("no clip lay within one label"), "{}", log.summary());
    let mut chance = Chance(5);
    for t in 0..300 {
        let truth = [chance.below(CLASSES)];
        let z = logits(&mut chance, truth[0]);
        let p = softmax(&z, 1.3);
        let scored = scored(f64::from(t), &z, &p, &truth);
        log.add(&Scored { set: Some(&truth), ..scored });
    }
    log.alarm(120.0, "confidence fell from 0.91 to 0.62", &Value::Null);
    log.set_counts(Counts { predictions: 310, unlabelled: 10, ..Counts::default() });
    let text = log.summary();
    for part in [
        "stream \"gate\": 300 of 310 predictions scored, 10 without a label",
        "the last 1 h",
        "top-5",
        "ECE",
        "in set (90 %)",
        "100.0 %",
        "drift: 1 alarm, the last at 120.0 s: confidence fell from 0.91 to 0.62",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    // The columns of figures end at the same places.
    let ends: Vec<usize> = text
        .lines()
        .filter(|line| line.starts_with("top-") || line.starts_with("ECE"))
        .map(|line| line.chars().count())
        .collect();
    assert!(ends.len() == 3 && ends.iter().all(|end| *end == ends[0]), "{text}");
    assert!(text.lines().all(|line| !line.ends_with(' ')), "{text}");
}

#[test]
fn evidence_is_what_a_clip_adds() {
    let mut evidence = Evidence::default();
    let sum: f64 =
        (0..100).map(|k| evidence.of(f64::from(k) * 0.1, f64::from(k) * 0.1 + 1.0)).sum();
    assert!((sum - 10.9).abs() < 1e-9, "{sum}");
}

// ---- kill -9 ----

/// How a child process finds its folder.
const FOLDER: &str = "KINEWATCH_TEST_FOLDER";

/// No test: what the test below runs, and kills, in a process of its own.
#[test]
#[ignore = "run by another test"]
fn writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = PathBuf::from(folder);
    let options = AccuracyOptions { rotate_bytes: 20_000, keep: 1, ..AccuracyOptions::default() };
    let mut file = AccuracyLog::open(&folder, "gate", &options, Arc::new(SystemClock)).unwrap();
    let state = StateFile::new(&folder, "gate", &"ab".repeat(32));
    let mut log = accuracy(&options, Task::SingleLabel);
    for t in state.load::<Vec<u64>>().map_or(0, |state| state[0]).. {
        file.write(&log.line(t as f64, AT, &Value::Null));
        state.save(&vec![t; 1 + t as usize % 3000]).unwrap();
    }
}

/// 10 times; `KINEWATCH_KILLS` asks for more.
#[test]
fn a_process_killed_at_any_moment_leaves_whole_lines_and_a_state_that_loads() {
    let kills: u64 =
        std::env::var("KINEWATCH_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(10);
    let folder = tempfile::tempdir().unwrap();
    let state = StateFile::new(folder.path(), "gate", &"ab".repeat(32));
    let mut chance = Chance(std::process::id().into());
    let mut before = 0;
    for kill in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writes_until_it_is_killed", "--ignored"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // It has saved something of its own; then any moment will do.
        let deadline = Instant::now() + DEADLINE;
        while state.load::<Vec<u64>>().is_none_or(|state| state[0] <= before) {
            assert!(Instant::now() < deadline, "kill {kill}: nothing was saved");
            std::thread::yield_now();
        }
        let moment = Instant::now() + Duration::from_micros(chance.below(5000) as u64);
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let saved = state.load::<Vec<u64>>().expect("a state that loads");
        assert!(saved[0] > before && saved.len() == 1 + saved[0] as usize % 3000);
        assert!(!state.path().with_extension("json.aside").exists());
        before = saved[0];
        // Killed between two files, it leaves the older one alone.
        let parts = ["gate.accuracy.jsonl", "gate.accuracy.jsonl.1"].map(|n| folder.path().join(n));
        let texts: Vec<String> = parts.iter().filter_map(|p| fs::read_to_string(p).ok()).collect();
        assert!(!texts.is_empty(), "kill {kill}");
        for text in texts {
            assert!(text.is_empty() || text.ends_with('\n'), "kill {kill}");
            text.lines().for_each(|line| drop(serde_json::from_str::<Line>(line).unwrap()));
        }
    }
    // The log, its older part, the state and at most one file half saved.
    assert!(fs::read_dir(folder.path()).unwrap().count() <= 4);
}

// ---- kinewatch report ----

fn report(arguments: &[&Path]) -> Output {
    kinewatch().arg("report").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A log of `stream` in `folder`, rotated some times.
fn write_log(folder: &Path, stream: &str, lines: u32) {
    let options = AccuracyOptions {
        rotate_bytes: 30_000,
        keep: 3,
        interval: HumanDuration::seconds(60),
        window: HumanDuration::seconds(600),
        ..AccuracyOptions::default()
    };
    let mut file = AccuracyLog::open(folder, stream, &options, Arc::new(SystemClock)).unwrap();
    let mut log = Accuracy::new(&options, stream, CLASSES, Task::SingleLabel, Some(0.9)).unwrap();
    let mut chance = Chance(1);
    for k in 1..=lines {
        for second in 0..60 {
            let t = f64::from(60 * (k - 1) + second);
            let truth = [chance.below(CLASSES)];
            let z = logits(&mut chance, truth[0]);
            let p = softmax(&z, 1.4);
            let set = [truth[0]];
            log.add(&Scored { set: Some(&set), ..scored(t, &z, &p, &truth) });
        }
        if k == 10 {
            log.alarm(590.0, "<confidence> fell", &json!({"what": "confidence"}));
        }
        let at = format!("2026-11-22T{:02}:{:02}:00.000Z", 9 + k / 60, k % 60);
        file.write(&log.line(f64::from(60 * k), &at, &json!({"temperature": 1.4})));
    }
}

#[test]
fn rotated_parts_of_several_streams_become_one_page_and_two_tables() {
    let folder = tempfile::tempdir().unwrap();
    let (logs, out) = (folder.path().join("logs"), folder.path().join("out"));
    write_log(&logs, "gate <b>", 40);
    write_log(&logs, "yard", 5);
    let parts = fs::read_dir(&logs).unwrap().count();
    assert!(parts > 3, "{parts} files");
    let told = report(&[&logs, Path::new("-o"), &out]);
    assert!(told.status.success(), "{}", text(&told.stderr));
    assert!(text(&told.stdout).contains("accuracy of stream \"yard\""), "{}", text(&told.stdout));

    let table = fs::read_to_string(out.join("accuracy.csv")).unwrap();
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let header = reader.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|h| h == name).unwrap();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let times = |stream: &str| -> Vec<f64> {
        let own = rows.iter().filter(|row| &row[column("stream")] == stream);
        own.map(|row| row[column("t")].parse().unwrap()).collect()
    };
    assert_eq!(times("gate <b>"), (1..=40).map(|k| f64::from(60 * k)).collect::<Vec<_>>());
    assert_eq!(times("yard").len(), 5);
    assert_eq!(&rows[39][column("samples")], "2400");
    assert_eq!(&rows[39][column("temperature")], "1.4");
    assert!(!rows[39][column("window_top_5")].is_empty());

    let json: Value =
        serde_json::from_slice(&fs::read(out.join("accuracy.json")).unwrap()).unwrap();
    let gate = &json["streams"][0];
    assert_eq!((&gate["stream"], &gate["lines"]), (&json!("gate <b>"), &json!(40)));
    assert_eq!(gate["alarms"].as_array().unwrap().len(), 1);
    assert_eq!(gate["series"]["window_ece"].as_array().unwrap().len(), 40);

    let page = fs::read_to_string(out.join("accuracy.html")).unwrap();
    assert!(page.contains("gate &lt;b&gt;") && !page.contains("gate <b>"));
    assert!(page.contains("&lt;confidence&gt; fell"));
    assert_eq!(page.matches("<svg").count(), 18);
    for way in ["http://", "https://", "@import", "url(", "NaN"] {
        assert!(!page.contains(way), "{way}");
    }
    // A single part's name brings the others, and the same bytes come out.
    let again = folder.path().join("again");
    let gate = logs.join("gate%20%3Cb%3E.accuracy.jsonl");
    assert!(report(&[&gate, &logs, Path::new("-o"), &again]).status.success());
    for name in ["accuracy.csv", "accuracy.json", "accuracy.html"] {
        assert_eq!(fs::read(out.join(name)).unwrap(), fs::read(again.join(name)).unwrap());
    }
    let one = folder.path().join("one");
    assert!(report(&[&gate, Path::new("-o"), &one]).status.success());
    let table = fs::read_to_string(one.join("accuracy.csv")).unwrap();
    assert_eq!(table.lines().count(), 41);
}

#[test]
fn a_line_that_is_being_written_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    write_log(folder.path(), "gate", 3);
    let path = folder.path().join("gate.accuracy.jsonl");
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{whole}{{\"v\":1,\"kind\":\"acc")).unwrap();
    let out = folder.path().join("out");
    let told = report(&[&path, Path::new("-o"), &out]);
    assert!(told.status.success() && text(&told.stderr).contains("torn line"));
    assert_eq!(fs::read_to_string(out.join("accuracy.csv")).unwrap().lines().count(), 4);
}

#[test]
fn what_is_no_accuracy_log_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    write_log(folder.path(), "gate", 2);
    let log = folder.path().join("gate.accuracy.jsonl");
    let line = fs::read_to_string(&log).unwrap().lines().next().unwrap().to_owned();
    let run_folder = folder.path().join("run");
    Store::create(&run_folder, &run(model::Task::SingleLabel, model::Output::Logits)).unwrap();
    let out = folder.path().join("out");
    let newer = line.replacen("\"v\":1", "\"v\":9", 1);
    let cases: [(Vec<PathBuf>, i32, &str); 8] = [
        (vec![log.clone(), run_folder.clone()], 2, "accuracy logs only, or runs"),
        (vec![file("p.jsonl", "{\"v\":1,\"kind\":\"prediction\"}\n")], 1, "kind \"prediction\""),
        (vec![file("notes.txt", "my notes\n")], 1, "line 1: it is not a line"),
        (vec![file("newer.jsonl", &format!("{newer}\n"))], 1, "its format is 9"),
        (vec![file("mid.jsonl", &format!("{line}\noops\n{line}\n"))], 1, "line 2"),
        (vec![file("hurt.jsonl", "{\"v\":1,\"kind\":\"accuracy\"}\n")], 1, "it is damaged"),
        (vec![file("empty.jsonl", "")], 1, "no line in them"),
        (vec![folder.path().join("gone.jsonl")], 2, "gone.jsonl"),
    ];
    for (paths, code, fault) in cases {
        let mut arguments: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
        arguments.extend([Path::new("-o"), &out]);
        let told = report(&arguments);
        let error = text(&told.stderr);
        assert_eq!(told.status.code(), Some(code), "{paths:?}: {error}");
        assert!(error.contains(fault), "{fault} in {error}");
        assert!(!out.join("accuracy.html").exists());
    }
    for arguments in [vec![log.as_path()], vec![&log, Path::new("--compare")]] {
        let told = report(&arguments);
        assert_eq!(told.status.code(), Some(2), "{}", text(&told.stderr));
    }
}
