//! From a video to predictions, through the program: synthetic streams,
//! recordings at both speeds, a live RTSP server, and what people feed it by
//! mistake.

#[path = "support/program.rs"]
mod program;
#[allow(dead_code)]
#[path = "video_support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use support::{Clip, RtspServer, closed_port, make};
use tempfile::TempDir;

fn kinewatch(arguments: &[&str]) -> Output {
    program::kinewatch().args(arguments).env("WRONG_PASSWORD", "wr0ng").output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What the program said on standard error; it must have ended with this code.
fn ends_with(code: i32, output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

fn lines(output: &Output) -> Vec<Value> {
    let out = String::from_utf8(output.stdout.clone()).unwrap();
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn predictions(output: &Output) -> Vec<Value> {
    lines(output).into_iter().filter(|line| line["kind"] == "prediction").collect()
}

/// Without what the wall clock wrote.
fn timeless(output: &Output) -> Vec<Value> {
    let mut all = lines(output);
    for line in &mut all {
        let line = line.as_object_mut().unwrap();
        line.remove("at").unwrap();
        line.remove("latency_ms");
    }
    all
}

/// A labelled stream of some seconds, small and quick to make.
fn synth(folder: &TempDir, name: &str, seed: u32, seconds: u32) -> PathBuf {
    let path = folder.path().join(name);
    let (seed, seconds) = (seed.to_string(), seconds.to_string());
    let output = kinewatch(&[
        "synth",
        "--seed",
        &seed,
        "--seconds",
        &seconds,
        "--size",
        "160x120",
        "--fps",
        "10",
        "-o",
        text(&path),
    ]);
    ends_with(0, &output);
    path
}

#[test]
fn synth_writes_a_video_and_its_labels_in_both_containers() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.mkv", "b.mp4"] {
        let video = synth(&folder, name, 3, 6);
        let labels = fs::read_to_string(video.with_extension("csv")).unwrap();
        let mut rows = labels.lines();
        assert_eq!(rows.next(), Some("video,start,end,label"));
        let last = rows.last().unwrap().split(',').collect::<Vec<_>>();
        assert_eq!((last[0], last[2]), (name, "6.00"));
        let output = kinewatch(&["run", "--fast", "--source", text(&video)]);
        ends_with(0, &output);
        // 6 s at 8 sampled frames a second, less the 15 that fill the first clip.
        assert_eq!(predictions(&output).len(), 6 * 8 - 15, "{name}");
    }
}

#[test]
fn one_seed_is_one_stream() {
    let folder = tempfile::tempdir().unwrap();
    let told = |name: &str, seed: u32| {
        let video = synth(&folder, name, seed, 5);
        let labels = fs::read_to_string(video.with_extension("csv")).unwrap().replace(name, "");
        let mut all = timeless(&kinewatch(&["run", "--fast", "--source", text(&video)]));
        all.iter_mut().for_each(|line| line["stream"] = Value::Null);
        (labels, all)
    };
    let once = told("a.mkv", 11);
    assert_eq!(once, told("b.mkv", 11));
    assert_ne!(once, told("c.mkv", 12));
}

#[test]
fn many_streams_share_one_label_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("many");
    let arguments =
        ["synth", "--count", "2", "--seed", "5", "--seconds", "3", "--size", "64x48", "--fps", "8"];
    ends_with(0, &kinewatch(&[&arguments[..], &["-o", text(&out)]].concat()));
    let labels = fs::read_to_string(out.join("labels.csv")).unwrap();
    for name in ["synth-000005.mkv", "synth-000006.mkv"] {
        assert!(labels.contains(&format!("\n{name},0.00,")), "{labels}");
        assert!(out.join(name).is_file());
    }
}

#[test]
fn a_training_set_has_the_shape_that_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("set");
    let arguments = ["synth", "--dataset", "--count", "2", "--seconds", "2", "-o", text(&out)];
    ends_with(0, &kinewatch(&arguments));
    let frames = fs::read(out.join("frames.npy")).unwrap();
    let header = String::from_utf8_lossy(&frames[..128]).into_owned();
    assert!(header.contains("(2, 16, 96, 128)"), "{header}");
    assert_eq!(frames.len(), 128 + 2 * 16 * 96 * 128);
    assert!(frames[128..].iter().any(|byte| *byte > 0), "every frame is black");
}

#[test]
fn a_stream_cannot_be_written_under_another_ending_or_into_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let said = ends_with(2, &kinewatch(&["synth", "-o", text(&folder.path().join("a.avi"))]));
    assert!(said.contains(".mkv"), "{said}");
    let nowhere = folder.path().join("no/such/a.mkv");
    let said = ends_with(1, &kinewatch(&["synth", "--seconds", "1", "-o", text(&nowhere)]));
    assert!(said.contains("a.mkv"), "{said}");
    assert!(!nowhere.exists());
}

#[test]
fn a_recording_says_the_same_three_times_fast_and_once_in_real_time() {
    let folder = tempfile::tempdir().unwrap();
    let video = synth(&folder, "a.mkv", 4, 4);
    let fast = ["run", "--fast", "--source", text(&video)];
    let runs: Vec<Output> = (0..3).map(|_| kinewatch(&fast)).collect();
    let first = timeless(&runs[0]);
    // Events there may be besides.
    assert_eq!(predictions(&runs[0]).len(), 4 * 8 - 15);
    assert_eq!(first, timeless(&runs[1]));
    assert_eq!(first, timeless(&runs[2]));
    let slow = kinewatch(&["run", "--source", text(&video)]);
    assert!(timeless(&slow).iter().all(|line| line["skipped"].as_u64().unwrap_or(0) == 0));
    assert_eq!(first, timeless(&slow));
}

/// A picture that does not change, as a camera would send it.
const CAMERA: &str = "videotestsrc is-live=true pattern=smpte ! video/x-raw,width=160,height=120,framerate=15/1 \
     ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! rtph264pay name=pay0";

#[test]
fn a_live_rtsp_stream_becomes_predictions_until_the_time_is_up() {
    let server = RtspServer::start(CAMERA, Some(("viewer", "s3cret")));
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gate.toml");
    let uri = server.uri("");
    fs::write(
        &config,
        format!(
            "[[stream]]\nname = \"gate\"\nsource = {{ uri = \"{uri}\", user = \"viewer\", password = \"s3cret\" }}\n"
        ),
    )
    .unwrap();
    let output = kinewatch(&["run", "--for", "6 s", text(&config)]);
    let said = ends_with(0, &output);
    let predictions = predictions(&output);
    assert!(predictions.len() >= 8, "{} predictions: {said}", predictions.len());
    for (i, prediction) in predictions.iter().enumerate() {
        assert_eq!(prediction["stream"], "gate");
        assert_eq!(prediction["seq"], i);
    }
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn a_wrong_password_is_said_without_the_password() {
    let server = RtspServer::start(CAMERA, Some(("viewer", "s3cret")));
    let source = server.uri("viewer:${WRONG_PASSWORD}@");
    let said = ends_with(0, &kinewatch(&["run", "--for", "3 s", "--source", &source]));
    assert!(said.contains("password") || said.contains("401"), "{said}");
    assert!(!said.contains("wr0ng"), "{said}");
}

#[test]
fn a_camera_that_is_not_there_is_said_to_be_unreachable_and_waited_for() {
    let uri = format!("rtsp://127.0.0.1:{}/camera", closed_port());
    let said = ends_with(0, &kinewatch(&["run", "--for", "3 s", "--source", &uri]));
    assert!(said.contains("127.0.0.1") && said.contains("Remedy"), "{said}");
    assert!(said.contains("it is tried again"), "{said}");
}

/// What people name as a video that is none, with a word of what they are told.
#[test]
fn what_is_no_video_is_refused_in_words() {
    let clip = Clip::new();
    let path = |name: &str| clip.path(name);
    fs::write(path("empty.mp4"), b"").unwrap();
    fs::write(path("text.mp4"), "Dear diary, today I bought a camera.\n".repeat(50)).unwrap();
    make("audiotestsrc num-buffers=50 ! vorbisenc ! matroskamux", &path("sound.mkv"));
    make(
        "videotestsrc num-buffers=60 ! video/x-raw,width=64,height=48 ! x264enc ! mp4mux",
        &path("whole.mp4"),
    );
    let whole = fs::read(path("whole.mp4")).unwrap();
    fs::write(path("cut.mp4"), &whole[..whole.len() / 2]).unwrap();
    for (name, code, word) in [
        ("missing.mp4", 2, "missing.mp4"),
        ("empty.mp4", 1, "empty"),
        ("text.mp4", 1, "text"),
        ("sound.mkv", 1, "no video"),
        ("cut.mp4", 1, "cut.mp4"),
    ] {
        let output = kinewatch(&["run", "--fast", "--source", text(&path(name))]);
        let said = ends_with(code, &output);
        assert!(said.contains(word) && said.contains("Remedy"), "{name}: {said}");
        assert!(output.stdout.is_empty(), "{name}");
    }
    let folder = path("whole.mp4").parent().unwrap().to_owned();
    let said = ends_with(2, &kinewatch(&["run", "--source", text(&folder)]));
    assert!(said.contains("directory") || said.contains("folder"), "{said}");
}

#[test]
fn one_pixel_is_a_video_too() {
    let clip = Clip::new();
    let path = clip.path("dot.mkv");
    let times: Vec<u64> = (0..30).map(|i| i * 100).collect();
    clip.raw_mkv(&path, (1, 1), &times);
    let output = kinewatch(&["run", "--fast", "--source", text(&path)]);
    ends_with(0, &output);
    assert!(!predictions(&output).is_empty());
}

#[test]
fn frames_at_uneven_times_are_sampled_evenly_and_a_jump_begins_a_new_clip() {
    let clip = Clip::new();
    let path = clip.path("uneven.mkv");
    // 4 s with steps of 20 to 95 ms, then a hole of 5 s, then 4 s more.
    let mut at = 0;
    let mut times = vec![];
    while at < 13_000 {
        times.push(at);
        at += 20 + (at * 7919) % 76;
        if (4_000..9_000).contains(&at) {
            at = 9_000;
        }
    }
    clip.raw_mkv(&path, (32, 24), &times);
    let output = kinewatch(&["run", "--fast", "--source", text(&path)]);
    let said = ends_with(0, &output);
    let predictions = predictions(&output);
    let times: Vec<f64> = predictions.iter().map(|p| p["t"].as_f64().unwrap()).collect();
    let resets: Vec<&str> = predictions.iter().filter_map(|p| p["reset"].as_str()).collect();
    assert_eq!(resets, ["start", "gap"], "{said}");
    let breaks = times.windows(2).filter(|pair| (pair[1] - pair[0] - 0.125).abs() > 1e-6).count();
    assert_eq!(breaks, 1, "{times:?}");
    assert!(times.iter().all(|t| *t < 4.1 || *t > 10.8), "{times:?}");
}

#[test]
fn a_recording_shorter_than_a_clip_is_no_error_but_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let video = synth(&folder, "a.mkv", 1, 1);
    let output = kinewatch(&["run", "--fast", "--source", text(&video)]);
    let said = ends_with(0, &output);
    assert!(predictions(&output).is_empty());
    assert!(said.contains("shorter than one clip"), "{said}");
}
