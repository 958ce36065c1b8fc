//! `kinewatch bench`, as a person or a program meets it. What a time is depends on the
//! machine; that the figures hang together does not.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

#[path = "support/program.rs"]
mod program;
use program::kinewatch;

fn bench(arguments: &[&str]) -> Output {
    run(&[&["--seconds", "0.3"], arguments].concat())
}

fn run(arguments: &[&str]) -> Output {
    kinewatch().arg("bench").args(arguments).output().unwrap()
}

fn report(arguments: &[&str]) -> Value {
    let output = bench(&[&["--json"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn number(value: &Value, pointer: &str) -> f64 {
    value.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer} in {value}"))
}

/// The names that a list of modes holds.
fn names(report: &Value, list: &str) -> Vec<String> {
    let modes = report[list].as_array().unwrap();
    modes.iter().map(|mode| mode["mode"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_mode_of_the_built_in_model_is_measured() {
    let report = report(&[]);
    assert_eq!(report["model"], "camera-events");
    assert_eq!(names(&report, "modes"), ["stateful", "window"]);
    assert!(names(&report, "skipped").is_empty());
    assert_eq!(report["machine"]["kinewatch"], env!("CARGO_PKG_VERSION"));
    assert!(!report["machine"]["instructions"].as_str().unwrap().is_empty());
    for mode in report["modes"].as_array().unwrap() {
        let latency = |which: &str| number(mode, &format!("/latency_ms/{which}"));
        let (min, median, p95) = (latency("min"), latency("median"), latency("p95"));
        assert!(0.0 < min && min <= median && median <= p95, "{mode}");
        // Ten, or on a slow machine what ten times 0.3 s have room for.
        let predictions = number(mode, "/predictions");
        assert!(predictions >= 10.0 || predictions * p95 > 2000.0, "{mode}");
        assert_eq!(mode["frames"], mode["predictions"], "every frame gives a prediction");
        // The mean lies above the least.
        assert!(number(mode, "/frames_per_second") <= 1000.0 / min * 1.001, "{mode}");
        assert!(number(mode, "/load_ms") > 0.0, "{mode}");
        // One thread cannot use more processor time than there is; 8 frames are a second.
        if cfg!(target_os = "linux") {
            let most = 1.5 * 8.0 / number(mode, "/frames_per_second") + 0.5;
            let share = number(mode, "/cpu_s_per_video_s");
            assert!(0.0 < share && share < most, "{mode}");
            let peak = number(mode, "/peak_memory_bytes");
            assert!((5e6..1e9).contains(&peak), "{mode}");
        }
        assert!(mode["energy"].is_object() || mode["no_energy"].is_string(), "{mode}");
        assert!(mode.get("profile").is_none());
    }
    let median = |at: usize| number(&report["modes"][at], "/latency_ms/median");
    assert!(median(0) < median(1), "a frame costs less than a clip of sixteen");
}

#[test]
fn the_times_of_operators_add_up_to_that_of_a_frame() {
    let report = report(&["--mode", "window", "--profile"]);
    assert_eq!(names(&report, "modes"), ["window"]);
    let mode = &report["modes"][0];
    let operators = mode["profile"].as_array().unwrap();
    let ms = |operator: &Value| operator["ms"].as_f64().unwrap();
    let sum: f64 = operators.iter().map(ms).sum();
    let (min, p95) = (number(mode, "/latency_ms/min"), number(mode, "/latency_ms/p95"));
    assert!(0.8 * min < sum && sum < 4.0 * p95, "{sum} ms, not {min} to {p95}");
    let outside: f64 = operators.iter().filter(|o| o["kind"] == "other").map(ms).sum();
    assert!(outside < 0.5 * sum, "{outside} of {sum} ms are outside of all operators");
    assert!(
        operators.len() > 10 && operators.iter().all(|o| !o["name"].as_str().unwrap().is_empty())
    );
}

#[test]
fn people_get_a_table_with_units() {
    let output = bench(&["--mode", "stateful", "--profile"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("camera-events: 16 frames of 128×96, 8 a second"), "{text}");
    assert!(lines[0].ends_with("1 thread a step") && lines[1].contains("tract"), "{text}");
    let head = lines.iter().position(|line| line.starts_with("mode ")).expect(&text);
    for unit in ["median ms", "frames/s", "CPU s/video s", "peak MB", "mJ/prediction"] {
        assert!(lines[head].contains(unit), "{unit} in {text}");
    }
    assert!(lines[head + 1].starts_with("stateful "), "{text}");
    assert!(text.contains("\nenergy: ") && text.contains("ms a frame"), "{text}");
}

#[test]
fn a_mode_that_cannot_be_had_is_left_out_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/camera-events");
    for file in ["model.toml", "labels.txt", "model.onnx", "stream.onnx"] {
        fs::copy(built_in.join(file), folder.path().join(file)).unwrap();
    }
    let dir = folder.path().to_str().unwrap();
    fs::write(folder.path().join("stream.onnx"), "spoilt").unwrap();
    let report = report(&[dir]);
    assert_eq!(names(&report, "modes"), ["window"]);
    assert_eq!(names(&report, "skipped"), ["stateful"]);
    let why = report["skipped"][0]["error"].as_str().unwrap();
    assert!(why.contains("stream.onnx"), "{why}");

    let output = bench(&["--mode", "stateful", dir]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("no mode can be run") && said.contains("stream.onnx"), "{said}");
}

#[test]
fn what_is_no_bundle_and_what_is_no_mode_are_refused() {
    for (arguments, expected) in [
        (&["/nonexistent/model"][..], "/nonexistent/model"),
        (&["--mode", "two-stage"][..], "two-stage"),
        (&["--mode", "windwo"][..], "expected one of window"),
        (&["--precision", "f64"][..], "possible values: f32, f16, int8"),
        (&["--seconds", "0"][..], "0.1 to 600"),
        (&["--threads", "0"][..], "0 is not in 1..=64"),
    ] {
        let output = run(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}
