//! Models on nvinfer, through the binary, with a stand-in for DeepStream's elements
//! (tests/deepstream_standin): frames to predictions by the configuration files that
//! kinewatch writes, and all that can be missing. No Jetson has seen any of it.

#![cfg(all(feature = "nvinfer", target_pointer_width = "64"))]

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

#[path = "support/bundle.rs"]
mod bundle;
#[path = "deepstream_standin/keys.rs"]
mod keys;
#[path = "support/program.rs"]
mod program;
use bundle::Folder;

/// No test waits longer for anything. Other work may stop this process for a while.
const DEADLINE: Duration = Duration::from_secs(120);

/// Ten seconds in the model's own size and colours: no backend has to convert it.
const EXACT: &str = "videotestsrc num-buffers=300 pattern=smpte horizontal-speed=1 ! \
                     video/x-raw,format=RGBA,width=32,height=24,framerate=30/1";
/// As [`EXACT`], for ever.
const LIVE: &str = "videotestsrc is-live=true pattern=ball ! \
                    video/x-raw,format=RGBA,width=32,height=24,framerate=30/1";
/// How near both backends are where nothing is scaled, and where two scalers differ.
const NEAR: f64 = 2e-3;
const SCALED: f64 = 0.02;

/// A folder with a model, a configuration, and a DeepStream of our own.
struct Rig {
    folder: TempDir,
    /// The configuration knows it as `model`.
    model: Folder,
    /// Names and values of further environment variables; an empty value takes one away.
    environment: Vec<(&'static str, String)>,
    /// Whether there is a folder for what is to be kept.
    state: bool,
    /// Whether recordings come as fast as they can be had. If not, what fails is tried again.
    fast: bool,
}

impl Rig {
    fn new() -> Rig {
        Rig::of("clip.onnx")
    }

    /// With one of the networks in tests/golden/models.
    fn of(network: &str) -> Rig {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models");
        let rig = Rig {
            folder: tempfile::tempdir().unwrap(),
            model: Folder::around(&fs::read(golden.join(network)).unwrap(), ""),
            environment: Vec::new(),
            state: true,
            fast: true,
        };
        for folder in ["plugins", "lib", "state"] {
            fs::create_dir(rig.path(folder)).unwrap();
        }
        symlink(rig.model.path(), rig.path("model")).unwrap();
        let built = Path::new(env!("CARGO_BIN_EXE_kinewatch"))
            .with_file_name("examples")
            .join("libdeepstream_standin.so");
        assert!(
            built.is_file(),
            "{} is missing: `cargo test` builds it with all tests, `cargo build --release \
             --example deepstream_standin` alone",
            built.display()
        );
        symlink(&built, rig.path("plugins/libdeepstream_standin.so")).unwrap();
        symlink(&built, rig.path("lib/libnvdsgst_meta.so")).unwrap();
        fs::write(rig.path("lib/libsequence.so"), "").unwrap();
        rig
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a daemon with these streams, each with its own model table.
    fn start(&self, streams: &str) -> Daemon<'_> {
        let _ = fs::remove_file(self.path("predictions.jsonl"));
        let _ = fs::remove_file(self.path("log"));
        let config = format!(
            "{streams}[[sink]]\nkind = \"file\"\npath = \"predictions.jsonl\"\n\
             [status]\nsocket = \"off\"\n{}",
            if self.state { "[state]\npath = \"state\"\n" } else { "" }
        );
        fs::write(self.path("test.toml"), config).unwrap();
        let mut command = program::kinewatch();
        command.arg("run").args(self.fast.then_some("--fast")).arg(self.path("test.toml"));
        command.stdout(Stdio::null());
        command.stderr(fs::File::create(self.path("log")).unwrap());
        command
            .env("KINEWATCH_LOG", "info")
            .env("GST_PLUGIN_PATH", self.path("plugins"))
            .env("GST_REGISTRY", self.path("registry.bin"))
            .env("LD_LIBRARY_PATH", self.path("lib"));
        for (name, value) in &self.environment {
            match value.as_str() {
                "" => command.env_remove(name),
                value => command.env(name, value),
            };
        }
        Daemon { rig: self, process: command.spawn().unwrap() }
    }

    /// Runs recordings to their end.
    fn play(&self, streams: &str) {
        let mut daemon = self.start(streams);
        self.wait_until("the end", || daemon.process.try_wait().unwrap().is_some());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn predictions(&self, stream: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path("predictions.jsonl")).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["kind"] == "prediction" && line["stream"] == stream).collect()
    }

    /// How many sessions of a stream have predicted.
    fn starts(&self, stream: &str) -> usize {
        self.predictions(stream).iter().filter(|p| p["reset"] == "start").count()
    }

    fn wait_until(&self, what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !done() {
            assert!(Instant::now() < deadline, "waited for {what}; the log says:\n{}", self.log());
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// The folders in which an engine and its files are kept.
    fn engine_folders(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.path("state/nvinfer")).unwrap();
        folders.map(|folder| folder.unwrap().path()).collect()
    }

    /// The only one.
    fn engine_folder(&self) -> PathBuf {
        let [folder] = &self.engine_folders()[..] else { panic!("{:?}", self.engine_folders()) };
        folder.clone()
    }
}

struct Daemon<'a> {
    rig: &'a Rig,
    process: Child,
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("the log says:\n{}", self.rig.log());
        }
    }
}

/// A stream of `pipeline` whose model has `more` in its table.
fn stream(name: &str, pipeline: &str, more: &str, hop: usize) -> String {
    let library = "[stream.model.nvinfer]\nsequence_library = \"lib/libsequence.so\"\n";
    let library = if more.contains("[stream.model.nvinfer]") { "" } else { library };
    format!(
        "[[stream]]\nname = \"{name}\"\nsource = {{ pipeline = \"{pipeline}\" }}\n\
         predict = {{ hop = {hop}, top_k = 5 }}\n[stream.model]\npath = \"model\"\n{more}{library}"
    )
}

const NVINFER: &str = "backend = \"nvinfer\"\n";

/// Time, and the probability of each label, of every prediction.
fn told(predictions: &[Value]) -> Vec<(f64, Vec<(String, f64)>)> {
    let of = |prediction: &Value| {
        let top = prediction["top"].as_array().unwrap_or_else(|| panic!("{prediction}"));
        let mut top: Vec<(String, f64)> = top
            .iter()
            .map(|one| (one["label"].as_str().unwrap().to_owned(), one["p"].as_f64().unwrap()))
            .collect();
        top.sort_by(|a, b| a.0.cmp(&b.0));
        (prediction["t"].as_f64().unwrap(), top)
    };
    predictions.iter().map(of).collect()
}

/// The most by which the probabilities of a label differ, between predictions of the
/// same times.
fn apart(a: &[(f64, Vec<(String, f64)>)], b: &[(f64, Vec<(String, f64)>)]) -> f64 {
    assert_eq!(a.len(), b.len());
    let mut most = 0.0_f64;
    for (a, b) in a.iter().zip(b) {
        assert_eq!(a.0, b.0);
        for (a, b) in a.1.iter().zip(&b.1) {
            assert_eq!(a.0, b.0);
            most = most.max((a.1 - b.1).abs());
        }
    }
    most
}

/// Both backends over the same pictures: as many predictions, of the same times, whose
/// probabilities are no further apart than `most`.
fn compare(rig: &Rig, pipeline: &str, hop: usize, most: f64) -> usize {
    rig.play(&(stream("gpu", pipeline, NVINFER, hop) + &stream("cpu", pipeline, "", hop)));
    assert!(!rig.log().contains("goes on with tract"), "{}", rig.log());
    let (gpu, cpu) = (told(&rig.predictions("gpu")), told(&rig.predictions("cpu")));
    assert!(!cpu.is_empty() && gpu.len() == cpu.len(), "{gpu:?}\n{cpu:?}\n{}", rig.log());
    let apart = apart(&gpu, &cpu);
    assert!(apart <= most, "{apart}:\n{gpu:?}\n{cpu:?}");
    gpu.len()
}

/// The only file in `folder` whose name begins so.
fn named(folder: &Path, begin: &str) -> PathBuf {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let of = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(begin);
    let files: Vec<PathBuf> = files.filter(of).collect();
    let [file] = &files[..] else { panic!("{begin}: {files:?}") };
    file.clone()
}

#[test]
fn frames_become_the_predictions_that_tract_makes() {
    let rig = Rig::new();
    // 50 sampled frames: the first clip is full with the sixth.
    assert_eq!(compare(&rig, EXACT, 2, NEAR), 23);
    let text = rig.log();
    assert!(text.contains("TensorRT builds its engine"), "{text}");

    // Written as documented, and not a key that is none.
    let folder = rig.engine_folder();
    let library = rig.path("lib/libsequence.so");
    let preprocess = named(&folder, "nvdspreprocess-hop-2-");
    let keys: [(&str, &Path, &[&str]); 2] = [
        ("nvinfer.txt", &folder.join("nvinfer.txt"), &keys::INFER),
        ("nvdspreprocess-hop-2.txt", &preprocess, &keys::PREPROCESS),
    ];
    for (name, path, known) in keys {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/nvinfer").join(name);
        let written = fs::read_to_string(path).unwrap();
        let shown = written
            .replace(folder.to_str().unwrap(), "FOLDER")
            .replace(library.to_str().unwrap(), "LIBRARY");
        assert_eq!(shown, fs::read_to_string(golden).unwrap(), "{name}");
        for line in written.lines().filter(|line| !line.starts_with(['#', '['])) {
            let Some((key, _)) = line.split_once('=') else { continue };
            let known = known.iter().chain(&keys::SEQUENCE).chain(&keys::GROUP);
            assert!(known.into_iter().any(|known| *known == key), "{name}: {key}");
        }
    }
    for key in keys::PREPROCESS_NEEDS {
        let text = fs::read_to_string(&preprocess).unwrap();
        assert!(text.contains(&format!("\n{key}=")), "{key}");
    }

    // The engine is kept: a second start finds it, and writes nothing anew.
    let times = || -> Vec<_> {
        let mut times: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name(), entry.metadata().unwrap().modified().unwrap()))
            .collect();
        times.sort();
        times
    };
    let before = times();
    assert!(before.iter().any(|(name, _)| name == "model.onnx_b1_gpu0_fp16.engine"), "{before:?}");
    assert_eq!(compare(&rig, EXACT, 2, NEAR), 23);
    assert!(!rig.log().contains("TensorRT builds its engine"), "{}", rig.log());
    assert_eq!(times(), before);
}

#[test]
fn colours_come_in_the_order_that_the_model_wants() {
    let rig = Rig::new();
    compare(&rig, EXACT, 1, NEAR);
    let rgb = told(&rig.predictions("cpu"));
    rig.model.replace("colour = \"RGB\"", "colour = \"BGR\"");
    compare(&rig, EXACT, 1, NEAR);
    // Else the comparison would show nothing.
    let other = apart(&rgb, &told(&rig.predictions("cpu")));
    assert!(other > 5.0 * NEAR, "{other}");
}

#[test]
fn pictures_are_cropped_and_scaled_and_may_lie_in_the_decoder_s_memory() {
    let rig = Rig::new();
    let wide = "videotestsrc num-buffers=120 pattern=smpte ! \
                video/x-raw,format=I420,width=160,height=96,framerate=30/1";
    compare(&rig, wide, 1, SCALED);
    let cropped = (told(&rig.predictions("gpu")), told(&rig.predictions("cpu")));
    let nvmm = format!("{wide} ! nvvideoconvert ! video/x-raw(memory:NVMM),format=NV12");
    rig.play(&stream("gpu", &nvmm, NVINFER, 1));
    let there = apart(&told(&rig.predictions("gpu")), &cropped.0);
    assert!(there <= SCALED, "{there}");

    // All of the picture, which is another one.
    rig.model.replace("resize = \"short-side\"", "resize = \"stretch\"");
    compare(&rig, wide, 1, SCALED);
    let other = apart(&told(&rig.predictions("gpu")), &cropped.1);
    assert!(other > SCALED, "{other}");
}

#[test]
fn after_a_gap_the_first_clip_that_the_library_gives_is_predicted() {
    let rig = Rig::new();
    let part = |buffers: u32, offset: u64| {
        format!(
            "videotestsrc num-buffers={buffers} pattern=ball timestamp-offset={offset} ! \
             video/x-raw,format=RGBA,width=32,height=24,framerate=30/1 ! c."
        )
    };
    // 22 sampled frames, a gap of a minute, and 20 more. The library has given a clip
    // with the 6th, 10th, 14th, 18th and 22nd, and gives the next with the 26th and 30th;
    // the first six after the gap are there with the 28th.
    let pipeline = format!("{} {} concat name=c", part(131, 0), part(120, 60_000_000_000));
    rig.play(&(stream("gpu", &pipeline, NVINFER, 4) + &stream("cpu", &pipeline, "", 1)));
    let gpu = rig.predictions("gpu");
    let (told, cpu) = (told(&gpu), told(&rig.predictions("cpu")));
    let frames = [6, 10, 14, 18, 22, 30, 34, 38, 42];
    // On the CPU each is predicted but the five before a clip is full, twice.
    let twin = |frame: usize| cpu[if frame <= 22 { frame - 6 } else { frame - 11 }].clone();
    assert_eq!(cpu.len(), 32);
    let apart = apart(&told, &frames.map(twin));
    assert!(apart <= NEAR, "{apart}: {told:?}");
    let resets: Vec<&Value> = gpu.iter().map(|p| &p["reset"]).filter(|r| !r.is_null()).collect();
    assert_eq!(resets, ["start", "gap"], "{}", rig.log());
}

#[test]
fn each_setting_of_a_model_has_files_of_its_own() {
    let rig = Rig::new();
    let nvinfer = |precision: &str| {
        format!(
            "{NVINFER}[stream.model.nvinfer]\nsequence_library = \"lib/libsequence.so\"\n\
             precision = \"{precision}\"\n"
        )
    };
    let both = |more: &str| {
        let more = format!("{}{more}", nvinfer("int8"));
        stream("half", EXACT, &nvinfer("fp16"), 2) + &stream("eight", EXACT, &more, 2)
    };
    fs::write(rig.path("ranges.txt"), "TRT-8502-EntropyCalibration2\n").unwrap();
    rig.play(&both("calibration = \"ranges.txt\"\n"));
    assert_eq!(rig.predictions("half").len(), 23, "{}", rig.log());
    assert_eq!(rig.predictions("eight").len(), 23, "{}", rig.log());
    let modes = || -> Vec<String> {
        let text = |folder: PathBuf| fs::read_to_string(folder.join("nvinfer.txt")).unwrap();
        let mode = |text: String| text.split_once("network-mode=").unwrap().1[..1].to_owned();
        let mut modes: Vec<String> = rig.engine_folders().into_iter().map(text).map(mode).collect();
        modes.sort();
        modes
    };
    assert_eq!(modes(), ["1", "2"]);

    // Other ranges are another engine.
    fs::write(rig.path("ranges.txt"), "TRT-8502-EntropyCalibration2\ninput: 3c010a14\n").unwrap();
    rig.play(&both("calibration = \"ranges.txt\"\n"));
    assert_eq!(modes(), ["1", "1", "2"]);

    // What feeds the network is no part of the engine.
    rig.model.replace("mean   = [0.45, 0.45, 0.45]", "mean   = [0.4, 0.4, 0.4]");
    rig.play(&stream("half", EXACT, &nvinfer("fp16"), 2));
    assert_eq!(modes(), ["1", "1", "2"]);
    assert!(!rig.log().contains("TensorRT builds its engine"), "{}", rig.log());
}

#[test]
fn what_was_missing_at_the_start_is_found_once_it_is_there() {
    let mut rig = Rig::new();
    rig.fast = false;
    let library = rig.path("lib/libsequence.so");
    fs::remove_file(&library).unwrap();
    let daemon = rig.start(&stream("gpu", LIVE, NVINFER, 1));
    rig.wait_until("the fault", || rig.log().contains("libsequence.so\", which makes clips"));
    fs::write(&library, "").unwrap();
    rig.wait_until("predictions", || rig.predictions("gpu").len() > 2);
    drop(daemon);
}

#[test]
fn an_engine_that_is_not_kept_is_a_fault() {
    let mut rig = Rig::new();
    rig.environment = vec![("STANDIN_FAULT", "kept".into())];
    refused(&rig, "did not keep it", "");
}

#[test]
fn a_picture_that_fails_on_its_way_ends_the_stream_which_is_started_anew() {
    let mut rig = Rig::new();
    rig.fast = false;
    rig.environment = vec![("STANDIN_FAULT", "picture".into())];
    let daemon = rig.start(&stream("gpu", LIVE, NVINFER, 1));
    let failed = |line: &str| line.contains("\"gpu\" failed") && line.contains("a bad picture");
    rig.wait_until("the fault", || rig.log().lines().any(failed));
    rig.wait_until("another start", || rig.starts("gpu") > 1);
    // Nothing came of elements whose pictures may be one behind.
    assert!(rig.predictions("gpu").iter().all(|p| p["reset"] != "fault"), "{}", rig.log());
    drop(daemon);
}

#[test]
fn a_picture_that_does_not_come_out_ends_the_stream_alone_which_is_started_anew() {
    let mut rig = Rig::new();
    rig.fast = false;
    let stuck = rig.path("stuck");
    rig.environment = vec![("STANDIN_STUCK", stuck.to_str().unwrap().into())];
    let daemon = rig.start(&(stream("gpu", LIVE, NVINFER, 1) + &stream("cpu", LIVE, "", 1)));
    rig.wait_until("predictions", || rig.predictions("gpu").len() > 2);
    fs::write(&stuck, "").unwrap();
    let before = rig.predictions("cpu").len();
    let failed = |line: &str| {
        line.contains("\"gpu\" failed") && line.contains("no picture came through within 10 s")
    };
    rig.wait_until("the fault", || rig.log().lines().any(failed));
    // Five a second; a machine that is busy gives fewer.
    assert!(rig.predictions("cpu").len() > before + 10, "{}", rig.log());
    fs::remove_file(&stuck).unwrap();
    rig.wait_until("another start", || rig.starts("gpu") > 1);
    drop(daemon);
}

#[test]
fn eight_sessions_that_hang_are_enough_until_one_comes_back() {
    let mut rig = Rig::new();
    rig.fast = false;
    let stuck = rig.path("stuck");
    rig.environment = vec![("STANDIN_STUCK", stuck.to_str().unwrap().into())];
    // A picture that is stuck comes back as an error after 10 s, later than anybody waits.
    let mut streams = "[watchdog]\npatience = \"2 s\"\n".to_owned() + &stream("cpu", LIVE, "", 1);
    let names: Vec<String> = (0..9).map(|i| format!("gpu-{i}")).collect();
    names.iter().for_each(|name| streams += &stream(name, LIVE, NVINFER, 1));
    let daemon = rig.start(&streams);
    let all = |enough: usize| names.iter().all(|name| rig.starts(name) >= enough);
    rig.wait_until("all to predict", || all(1));
    fs::write(&stuck, "").unwrap();
    rig.wait_until("one to come back", || rig.log().contains("came back and has ended"));
    let log = rig.log();
    let before = &log[..log.find("came back and has ended").unwrap()];
    let (_, full) = before.split_once("8 sessions hang").unwrap_or_else(|| panic!("{log}"));
    // The second that each waits is over long since. One or two may have been on their
    // way before there were eight.
    assert!(full.matches("\": pipeline \"").count() < 3, "{log}");
    fs::remove_file(&stuck).unwrap();
    rig.wait_until("all to be started again", || all(2));
    let before = rig.predictions("cpu").len();
    rig.wait_until("the other stream", || rig.predictions("cpu").len() > before + 3);
    assert_eq!(rig.starts("cpu"), 1, "{}", rig.log());
    drop(daemon);
}

#[test]
fn systemd_is_asked_for_time_while_an_engine_is_built() {
    let mut rig = Rig::new();
    rig.fast = false;
    let go = rig.path("go");
    rig.environment = vec![
        ("STANDIN_BUILD", go.to_str().unwrap().into()),
        ("NOTIFY_SOCKET", rig.path("notify").to_str().unwrap().into()),
    ];
    let notify = UnixDatagram::bind(rig.path("notify")).unwrap();
    notify.set_nonblocking(true).unwrap();
    let mut told = String::new();
    let mut hear = |words: &str| {
        let mut buffer = [0; 4096];
        while let Ok(n) = notify.recv(&mut buffer) {
            told.push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
        told.contains(words)
    };
    let daemon = rig.start(&stream("gpu", LIVE, NVINFER, 1));
    rig.wait_until("a request", || hear("EXTEND_TIMEOUT_USEC=30000000\n"));
    rig.wait_until("a status", || hear("STATUS=loading models for "));
    assert!(!hear("READY=1"));
    fs::write(go, "").unwrap();
    rig.wait_until("its readiness", || hear("READY=1"));
    rig.wait_until("predictions", || rig.predictions("gpu").len() > 2);
    drop(daemon);
}

/// Whatever is missing, a stream without a fallback fails and says why, and one with it
/// goes on and says so.
fn refused(rig: &Rig, words: &str, more: &str) {
    refused_of(rig, words, more, "");
}

/// As [`refused`], with more in the stream's own table.
fn refused_of(rig: &Rig, words: &str, more: &str, table: &str) {
    let of = |name: &str, fallback: &str| {
        stream(name, LIVE, &format!("{NVINFER}{fallback}{more}"), 1)
            .replace("\npredict", &format!("\n{table}predict"))
    };
    let streams = of("fails", "") + &of("goes", "fallback = \"tract\"\n");
    let daemon = rig.start(&streams);
    rig.wait_until("predictions of the stream with a fallback", || {
        rig.predictions("goes").len() > 2
    });
    let failed = |line: &str| line.contains("\"fails\"") && line.contains(words);
    rig.wait_until(&format!("{words:?} of the stream without"), || rig.log().lines().any(failed));
    let log = rig.log();
    let went = |line: &str| line.contains("\"goes\" goes on with tract") && line.contains(words);
    assert!(log.lines().any(|line| went(line) && line.contains("Remedy")), "{words}:\n{log}");
    assert!(rig.predictions("fails").is_empty());
    drop(daemon);
}

#[test]
fn without_deepstream_it_says_so() {
    let mut rig = Rig::new();
    rig.environment = vec![("GST_PLUGIN_PATH", String::new())];
    refused(&rig, "no element nvvideoconvert, nvstreammux, nvdspreprocess, nvinfer", "");
    let mut rig = Rig::new();
    rig.environment = vec![("STANDIN_WITHOUT", "nvdspreprocess".into())];
    refused(&rig, "no element nvdspreprocess", "");
    let mut rig = Rig::new();
    rig.environment = vec![("LD_LIBRARY_PATH", String::new())];
    refused(&rig, "loading libnvdsgst_meta.so", "");
    let rig = Rig::new();
    fs::remove_file(rig.path("lib/libsequence.so")).unwrap();
    refused(&rig, "libsequence.so\", which makes clips", "");
}

#[test]
fn the_engine_needs_a_folder() {
    let mut rig = Rig::new();
    rig.state = false;
    refused(&rig, "no folder for TensorRT's engine", "");
}

#[test]
fn a_version_that_is_not_known_is_refused() {
    for version in ["6.2.0", "8.0.0"] {
        let mut rig = Rig::new();
        rig.environment = vec![("STANDIN_VERSION", version.into())];
        refused(&rig, &format!("nvinfer is of version \"{version}\""), "");
    }
    let mut rig = Rig::new();
    rig.environment = vec![("STANDIN_VERSION", "6.3.0".into())];
    rig.play(&stream("gpu", EXACT, NVINFER, 2));
    assert_eq!(rig.predictions("gpu").len(), 23, "{}", rig.log());
}

#[test]
fn an_engine_that_cannot_be_built_is_told_in_nvinfer_s_words() {
    let mut rig = Rig::new();
    rig.environment = vec![("STANDIN_FAULT", "engine".into())];
    refused(&rig, "Failed to create NvDsInferContext instance", "");
}

#[test]
fn int8_needs_a_table_of_ranges() {
    let rig = Rig::new();
    let nvinfer = |calibration: &str| {
        format!(
            "[stream.model.nvinfer]\nsequence_library = \"lib/libsequence.so\"\n\
             precision = \"int8\"\n{calibration}"
        )
    };
    refused(&rig, "needs model.nvinfer.calibration", &nvinfer(""));
    let named = nvinfer("calibration = \"ranges.txt\"\n");
    refused(&rig, "ranges.txt", &named);
    fs::write(rig.path("ranges.txt"), "TRT-8502-EntropyCalibration2\n").unwrap();
    rig.play(&stream("gpu", EXACT, &format!("{NVINFER}{named}"), 2));
    assert_eq!(rig.predictions("gpu").len(), 23, "{}", rig.log());
    let text = fs::read_to_string(rig.engine_folder().join("nvinfer.txt")).unwrap();
    assert!(text.contains("network-mode=1\n") && text.contains("/ranges.txt\n"), "{text}");
}

#[test]
fn what_deepstream_s_library_cannot_make_is_refused() {
    let rig = Rig::new();
    rig.model.replace("resize = \"short-side\"", "resize = \"letterbox\"");
    refused(&rig, "letterbox", "");
    let rig = Rig::of("framewise.onnx");
    rig.model.replace("layout = \"NCTHW\"", "layout = \"NTCHW\"");
    refused(&rig, "its layout is NTCHW", "");
    let rig = Rig::new();
    refused_of(&rig, "isolated", "", "isolate = true\n");
    let rig = Rig::new();
    fs::remove_file(rig.path("model")).unwrap();
    symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/camera-events"), rig.path("model"))
        .unwrap();
    refused(&rig, "it runs in mode \"stateful\"", "");
    refused(&rig, "it takes GRAY", "mode = \"window\"\n");
}

#[test]
fn a_tensor_that_does_not_come_ends_the_stream_and_not_the_daemon() {
    let mut rig = Rig::new();
    rig.environment = vec![("STANDIN_FAULT", "tensor".into())];
    let daemon = rig.start(&(stream("gpu", LIVE, NVINFER, 1) + &stream("cpu", LIVE, "", 1)));
    rig.wait_until("the fault", || rig.log().contains("attached no tensor"));
    let before = rig.predictions("cpu").len();
    rig.wait_until("the other stream", || rig.predictions("cpu").len() > before + 3);
    assert!(rig.predictions("gpu").is_empty());
    drop(daemon);
}
