//! A labelled stream over real RTSP, watched by the program itself: it learns how
//! sure it may be, logs how right it is, and survives a kill.

#[path = "support/program.rs"]
mod program;
#[allow(dead_code)]
#[path = "video_support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use prost::Message;
use serde_json::Value;
use support::RtspServer;
use tempfile::TempDir;
use tract_onnx::pb::{ModelProto, NodeProto, TensorProto};

/// The logits of the over-confident model are this many times the default
/// model's: a temperature of 6 makes it as sure as before.
const BOAST: f32 = 6.0;
const SEED: &str = "21";

fn command(arguments: &[&str]) -> Command {
    let mut command = program::kinewatch();
    command.args(arguments);
    command
}

fn kinewatch(arguments: &[&str]) -> Output {
    let output = command(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    output
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The default model with its logits multiplied, as a bundle in `folder`.
fn boastful_bundle(folder: &Path, faster: u32) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/camera-events");
    let to = folder.join("boastful");
    fs::create_dir(&to).unwrap();
    let mut manifest = fs::read_to_string(from.join("model.toml")).unwrap();
    assert!(manifest.contains("rate      = 8.0"), "{manifest}");
    manifest = manifest.replace("rate      = 8.0", &format!("rate = {}.0", 8 * faster));
    fs::copy(from.join("labels.txt"), to.join("labels.txt")).unwrap();
    for file in ["model.onnx", "stream.onnx"] {
        let bytes = fs::read(from.join(file)).unwrap();
        let boasting = boast(&bytes);
        manifest = manifest.replace(&sha256(&bytes), &sha256(&boasting));
        fs::write(to.join(file), boasting).unwrap();
    }
    fs::write(to.join("model.toml"), manifest).unwrap();
    to
}

/// Puts a multiplication behind the network's first output.
fn boast(bytes: &[u8]) -> Vec<u8> {
    let mut model = ModelProto::decode(bytes).unwrap();
    let graph = model.graph.as_mut().unwrap();
    let name = graph.output[0].name.clone();
    let inner = format!("{name}_inner");
    for node in &mut graph.node {
        for value in node.output.iter_mut().chain(&mut node.input) {
            if *value == name {
                value.clone_from(&inner);
            }
        }
    }
    graph.initializer.push(TensorProto {
        name: "boast".into(),
        data_type: 1,
        float_data: vec![BOAST],
        ..TensorProto::default()
    });
    graph.node.push(NodeProto {
        op_type: "Mul".into(),
        name: "boast".into(),
        input: vec![inner, "boast".into()],
        output: vec![name],
        ..NodeProto::default()
    });
    model.encode_to_vec()
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A labelled recording of so many seconds. Its frames are those that the model
/// takes, so that no jitter of a network makes it take another one. It is played so
/// much faster than it was drawn: a minute of a live stream can hold four of what
/// happens. In its world, which the model does not know well, every third event
/// goes by another name: there being sure costs.
fn recording(folder: &TempDir, seconds: u32, faster: u32) -> PathBuf {
    let (drawn, path) = (folder.path().join("drawn.mkv"), folder.path().join("gate.mkv"));
    let rate = 8 * faster;
    let seconds = (seconds * faster).to_string();
    let options = ["--seed", SEED, "--seconds", &seconds, "--size", "160x120", "--fps", "8"];
    kinewatch(&[&["synth"], &options[..], &["-o", text(&drawn)]].concat());
    support::make(
        &format!(
            "filesrc location={} ! matroskademux ! avdec_h264 ! videorate rate={faster}.0 \
             ! video/x-raw,framerate={rate}/1 ! x264enc tune=zerolatency speed-preset=ultrafast \
             quantizer=18 key-int-max={rate} ! h264parse ! matroskamux",
            drawn.display()
        ),
        &path,
    );
    let mut renamed = String::from("video,start,end,label\n");
    let labels = fs::read_to_string(drawn.with_extension("csv")).unwrap();
    for (row, line) in labels.lines().skip(1).enumerate() {
        let cells: Vec<&str> = line.split(',').collect();
        let [_, start, end, label] = cells[..] else { panic!("{line}") };
        let label = match (row % 3, label) {
            (2, "covered") => "idle",
            (2, _) => "covered",
            _ => label,
        };
        let time = |cell: &str| cell.parse::<f64>().unwrap() / f64::from(faster);
        renamed += &format!("gate.mkv,{},{},{label}\n", time(start), time(end));
    }
    fs::write(path.with_extension("csv"), renamed).unwrap();
    path
}

fn camera(recording: &Path) -> RtspServer {
    let launch = format!(
        "( filesrc location={} ! matroskademux ! h264parse ! rtph264pay name=pay0 )",
        recording.display()
    );
    RtspServer::start(&launch, None)
}

struct Rig {
    folder: TempDir,
    config: PathBuf,
}

impl Rig {
    /// A configuration that watches `source` with the over-confident model, at so
    /// many times its rate.
    fn new(folder: TempDir, source: &str, faster: u32) -> Rig {
        let bundle = boastful_bundle(folder.path(), faster);
        let config = folder.path().join("gate.toml");
        let text = format!(
            "[[stream]]\nname = \"gate\"\nsource = {source}\nlabels = \"gate.csv\"\n\
             [model]\npath = {bundle:?}\n[predict]\nabstain = 0.0\n\
             [accuracy]\npath = \"log\"\ninterval = \"1 s\"\n\
             [state]\npath = \"state\"\nevery = \"1 s\"\n\
             [calibrate]\nmethod = \"temperature\"\nmin_evidence = 6.0\n\
             [[sink]]\nkind = \"file\"\npath = \"predictions.jsonl\"\n"
        );
        fs::write(&config, text).unwrap();
        Rig { folder, config }
    }

    /// The lines of the accuracy log so far.
    fn log(&self) -> Vec<Value> {
        let path = self.folder.path().join("log/gate.accuracy.jsonl");
        let log = fs::read_to_string(path).unwrap_or_default();
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// When it predicted what.
    fn predictions(&self) -> Vec<(Value, Value)> {
        let lines = fs::read_to_string(self.folder.path().join("predictions.jsonl")).unwrap();
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let predictions = lines.filter(|line| line["kind"] == "prediction");
        predictions.map(|line| (line["t"].clone(), line["top"].clone())).collect()
    }

    fn state(&self) -> Option<Vec<u8>> {
        let mut files = fs::read_dir(self.folder.path().join("state")).ok()?.flatten();
        fs::read(files.find(|file| file.path().extension().is_some_and(|e| e == "json"))?.path())
            .ok()
    }
}

fn number(line: &Value, path: &str) -> f64 {
    line.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {path} in {line}"))
}

/// Polls until `done` holds of the running daemon, or ends it and fails.
fn wait_until(daemon: &mut Child, what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(150);
    while !done() {
        let over = daemon.try_wait().unwrap();
        if over.is_some() || Instant::now() > deadline {
            let _ = daemon.kill();
            panic!("{what}: did not come; the daemon said {over:?}");
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

#[test]
fn an_over_confident_model_learns_over_rtsp_and_goes_on_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let recording = recording(&folder, 66, 4);
    let server = camera(&recording);
    let source = format!("{{ uri = \"{}\" }}", server.uri(""));
    let rig = Rig::new(folder, &source, 4);
    let run = || {
        let mut command = command(&["run", text(&rig.config)]);
        command.stderr(
            fs::File::options()
                .create(true)
                .append(true)
                .open(rig.folder.path().join("said.txt"))
                .unwrap(),
        );
        command.spawn().unwrap()
    };
    let mut daemon = run();
    wait_until(&mut daemon, "a minute of the stream", || {
        rig.log().last().is_some_and(|line| number(line, "/t") >= 55.0)
    });
    let log = rig.log();
    let last = log.last().unwrap();
    let ece = |of: &str| number(last, &format!("/cumulative/clip/{of}/ece"));
    let (raw, calibrated) = (ece("raw"), ece("calibrated"));
    println!("after {} s: ECE {raw:.3} raw, {calibrated:.3} calibrated", number(last, "/t"));
    assert!(raw > 0.1, "the model does not boast: {raw}");
    assert!(calibrated < 0.5 * raw, "{raw} to {calibrated}");
    let temperature = number(last, "/parameters/temperature");
    assert!(temperature > 2.0, "{temperature}");
    // Until there is evidence, nothing is corrected.
    let early = log.iter().find(|line| number(line, "/cumulative/clip/samples") > 0.0).unwrap();
    assert!(early.pointer("/parameters/temperature").is_none(), "{early}");

    let state = rig.state().expect("a state on the disk within its recovery point");
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert!(!state.is_empty());
    drop(server);

    // A new server: the first one's only client is gone, and its stream with it.
    let server = camera(&recording);
    let text = fs::read_to_string(&rig.config).unwrap();
    let uri = text.split('"').find(|part| part.starts_with("rtsp://")).unwrap().to_owned();
    fs::write(&rig.config, text.replace(&uri, &server.uri(""))).unwrap();
    let before = rig.log().len();
    let mut daemon = run();
    wait_until(&mut daemon, "the log to go on", || rig.log().len() > before);
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let resumed = number(&rig.log()[before], "/parameters/temperature");
    assert!((resumed / temperature - 1.0).abs() < 0.25, "{temperature} then {resumed}");
    let said = fs::read_to_string(rig.folder.path().join("said.txt")).unwrap();
    assert!(said.contains("goes on with what it had learned"), "{said}");
}

/// What the daemon says of a live stream is what `replay` says of its recording,
/// where both saw the same frames: on a machine that is busy enough a network
/// delivers one so late that another is nearer to its tick, and that is tried again.
#[test]
fn the_accuracy_log_of_a_live_run_equals_a_replay() {
    let same = (0..5).find_map(|_| {
        let folder = tempfile::tempdir().unwrap();
        let recording = recording(&folder, 22, 1);
        let server = camera(&recording);
        let live = Rig::new(folder, &format!("{{ uri = \"{}\" }}", server.uri("")), 1);
        kinewatch(&["run", "--for", "16 s", text(&live.config)]);
        let folder = tempfile::tempdir().unwrap();
        let labels = folder.path().join("gate.csv");
        fs::copy(recording.with_extension("csv"), labels).unwrap();
        let fast = Rig::new(folder, &format!("{{ path = {recording:?} }}"), 1);
        kinewatch(&["run", "--fast", text(&fast.config)]);
        let (said, all) = (live.predictions(), fast.predictions());
        (!said.is_empty() && all.starts_with(&said)).then_some((live, recording))
    });
    let (rig, recording) = same.expect("one of five live runs with every frame in its place");
    let live = rig.log().pop().unwrap();
    let t = number(&live, "/t");
    assert!(t > 8.0 && number(&live, "/cumulative/clip/samples") > 20.0, "{live}");

    // The labels end where the live run did, so that the same clips are scored.
    let labels = fs::read_to_string(recording.with_extension("csv")).unwrap();
    let mut cut = String::new();
    for row in labels.lines() {
        let cells: Vec<&str> = row.split(',').collect();
        let [video, start, end, label] = cells[..] else { panic!("{row}") };
        match (start.parse::<f64>(), end.parse::<f64>()) {
            (Ok(start), Ok(end)) if start <= t => {
                cut += &format!("{video},{start},{},{label}\n", end.min(t + 0.01));
            }
            (Ok(_), Ok(_)) => {}
            _ => cut += &format!("{row}\n"),
        }
    }
    let labels = rig.folder.path().join("cut.csv");
    fs::write(&labels, cut).unwrap();
    let out = rig.folder.path().join("out");
    let bundle = rig.folder.path().join("boastful");
    let arguments =
        ["--model", text(&bundle), "--labels", text(&labels), "-o", text(&out), text(&recording)];
    kinewatch(&[&["replay"], &arguments[..]].concat());
    let metrics: Value =
        serde_json::from_slice(&fs::read(out.join("metrics.json")).unwrap()).unwrap();
    compare_with_replay(&live, &metrics);
}

/// The figures that both have, to nine decimals.
fn compare_with_replay(live: &Value, metrics: &Value) {
    for choice in ["clip", "every"] {
        let (ours, theirs) = (&live["cumulative"][choice], &metrics[choice]);
        assert_eq!(ours["samples"], theirs["samples"], "{choice}");
        for (path, other) in [
            ("/raw/accuracy", "/accuracy"),
            ("/raw/top_k/1/accuracy", "/top_k/1/accuracy"),
            ("/raw/macro_f1", "/f1/macro"),
            ("/raw/ece", "/calibration/ece"),
            ("/raw/brier", "/calibration/brier"),
            ("/raw/nll", "/calibration/nll"),
        ] {
            let (ours, theirs) = (number(ours, path), number(theirs, other));
            assert!((ours - theirs).abs() < 1e-9, "{choice}{path}: {ours} live, {theirs} replayed");
        }
    }
}

/// Kills the daemon at a random moment, again and again, while it keeps its state
/// as often as it can: what is on the disk can always be read. `make kills` does it
/// a thousand times.
#[test]
fn a_kill_at_any_moment_leaves_a_state_that_can_be_read() {
    let kills: u64 =
        std::env::var("KINEWATCH_KILLS").map_or(5, |kills| kills.parse().expect("a number"));
    let folder = tempfile::tempdir().unwrap();
    let recording = recording(&folder, 24, 4);
    let source = format!("{{ path = {recording:?} }}");
    let rig = Rig::new(folder, &source, 4);
    let text_of = fs::read_to_string(&rig.config).unwrap();
    fs::write(&rig.config, text_of.replace("every = \"1 s\"", "every = \"1 ms\"")).unwrap();
    let (mut kept, mut seed) = (0, 0x2545_F491_4F6C_DD1D_u64);
    for kill in 0..kills {
        let said = rig.folder.path().join("said.txt");
        let had_state = rig.state().is_some();
        let mut daemon = command(&["run", "--fast", text(&rig.config)])
            .stderr(fs::File::create(&said).unwrap())
            .spawn()
            .unwrap();
        // Marsaglia's xorshift: the same moments each time, as far as a clock goes.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let moment = Duration::from_micros(100_000 + seed % 700_000);
        // Counted from its first line: how long a program takes to start says nothing here.
        wait_until(&mut daemon, "its first line", || {
            fs::metadata(&said).is_ok_and(|said| said.len() > 0)
        });
        let begun = Instant::now();
        while begun.elapsed() < moment && daemon.try_wait().unwrap().is_none() {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        let _ = daemon.kill();
        daemon.wait().unwrap();
        let said = fs::read_to_string(&said).unwrap();
        assert!(!said.contains("aside"), "kill {kill}: {said}");
        // Killed too early, it may not have come to its state.
        if had_state && said.contains("begins anew") {
            panic!("kill {kill}: {said}");
        }
        kept += u64::from(had_state && said.contains("goes on with what it had learned"));
    }
    println!("{kept} of {kills} starts went on from a state");
    assert!(kept * 3 >= kills, "{kept} of {kills}: the kills came before anything was kept");
}
