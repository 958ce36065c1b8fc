//! Decoding in a process of its own, through the program: the same predictions,
//! and whatever becomes of that process, the daemon goes on.

#[path = "support/program.rs"]
mod program;
#[allow(dead_code)]
#[path = "video_support/mod.rs"]
mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{RtspServer, make};
use tempfile::TempDir;

/// Nothing here may take longer.
const DEADLINE: Duration = Duration::from_secs(120);

fn command(arguments: &[&str]) -> Command {
    let mut command = program::kinewatch();
    command.args(arguments);
    command
}

fn kinewatch(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn synth(folder: &TempDir, name: &str, seed: u32, seconds: u32) -> PathBuf {
    let path = folder.path().join(name);
    let (seed, seconds) = (seed.to_string(), seconds.to_string());
    let options = ["--seed", &seed, "--seconds", &seconds, "--size", "160x120", "--fps", "10"];
    let output = kinewatch(&[&["synth"], &options[..], &["-o", text(&path)]].concat());
    assert!(output.status.success(), "{}", said(&output));
    path
}

/// A configuration in `folder`; each stream is a name, a source and more keys.
fn config(folder: &TempDir, streams: &[(&str, &str, &str)]) -> PathBuf {
    let path = folder.path().join("config.toml");
    let stream = |(name, source, keys): &(&str, &str, &str)| {
        format!("[[stream]]\nname = \"{name}\"\nsource = {{ {source} }}\n{keys}\n")
    };
    fs::write(&path, streams.iter().map(stream).collect::<String>()).unwrap();
    path
}

/// Without what the wall clock wrote.
fn timeless(out: &[u8]) -> Vec<Value> {
    let out = std::str::from_utf8(out).unwrap();
    let mut all: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &mut all {
        let line = line.as_object_mut().unwrap();
        line.remove("at");
        line.remove("latency_ms");
    }
    all
}

/// The decoder processes of a daemon.
fn decoders(daemon: u32) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_str().unwrap_or_default().parse::<i32>() else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let name = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let rest = stat.rsplit(") ").next().unwrap_or_default();
        let parent = rest.split(' ').nth(1).and_then(|parent| parent.parse().ok());
        if parent == Some(daemon) && name.starts_with(b"kinewatch-decoder\0") {
            found.push(pid);
        }
    }
    found
}

fn alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn signal(pid: i32, name: &str) {
    let done = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(done.unwrap().success());
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < DEADLINE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A running daemon; killed when dropped.
struct Daemon {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Daemon {
    fn start(config: &Path, more: &[&str]) -> Daemon {
        let mut child = command(&[&["run", text(config)], more].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Daemon { child, lines }
    }

    /// The next prediction of this stream.
    fn prediction(&mut self, stream: &str) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "the daemon ended");
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["kind"] == "prediction" && line["stream"] == stream {
                return line;
            }
        }
    }

    fn decoder(&self) -> i32 {
        let mut found = Vec::new();
        wait_until("a decoder process", || {
            found = decoders(self.child.id());
            found.len() == 1
        });
        found[0]
    }

    /// Reads on to the end.
    fn end(mut self) -> (Output, Vec<Value>) {
        let mut rest = Vec::new();
        std::io::Read::read_to_end(&mut self.lines, &mut rest).unwrap();
        let mut stderr = Vec::new();
        std::io::Read::read_to_end(&mut self.child.stderr.take().unwrap(), &mut stderr).unwrap();
        let status = self.child.wait().unwrap();
        (Output { status, stdout: Vec::new(), stderr }, timeless(&rest))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const LONG: &str = "synth = \"seed=3,seconds=3600,size=160x120,fps=10\"";

#[test]
fn predictions_are_the_same_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let mkv = synth(&folder, "a.mkv", 5, 20);
    let turned = folder.path().join("turned.mp4");
    // Half chroma, another container.
    make(
        &format!(
            "filesrc location={} ! matroskademux ! avdec_h264 ! videoconvert \
             ! video/x-raw,format=I420 ! x264enc ! mp4mux",
            mkv.display()
        ),
        &turned,
    );
    let pipeline =
        format!("pipeline = \"filesrc location={} ! matroskademux ! avdec_h264\"", mkv.display());
    for (source, keys) in [
        (format!("path = \"{}\"", mkv.display()), "isolate = true".to_owned()),
        (format!("path = \"{}\"", turned.display()), "isolate = { strict = true }".to_owned()),
        (format!("uri = \"file://{}\"", mkv.display()), "isolate = true".to_owned()),
        (
            "synth = \"seed=9,seconds=15,size=160x120,fps=10\"".to_owned(),
            "isolate = true".to_owned(),
        ),
        (pipeline, format!("isolate = {{ read = [\"{}\"] }}", mkv.display())),
    ] {
        let [plain, isolated] = ["isolate = false", &keys].map(|keys| {
            let config = config(&folder, &[("gate", &source, keys)]);
            let output = kinewatch(&["run", text(&config), "--fast"]);
            assert!(output.status.success(), "{source} {keys}: {}", said(&output));
            timeless(&output.stdout)
        });
        assert!(plain.len() > 50, "{source}: {} lines", plain.len());
        assert!(plain == isolated, "{source}");
    }
}

#[test]
fn a_replay_is_the_same_whatever_its_views() {
    let folder = tempfile::tempdir().unwrap();
    let videos = folder.path().join("videos");
    fs::create_dir(&videos).unwrap();
    for seed in 1..=2 {
        let path = synth(&folder, &format!("{seed}.mkv"), seed, 8);
        fs::rename(&path, videos.join(format!("{seed}.mkv"))).unwrap();
    }
    fs::write(videos.join("broken.mkv"), b"\x1a\x45\xdf\xa3 this is no video").unwrap();
    for views in [&[][..], &["--clips", "3"], &["--resample", "16"]] {
        let [plain, isolated] = [None, Some("--isolate")].map(|isolate| {
            let out = folder.path().join("out");
            let _ = fs::remove_dir_all(&out);
            let mut arguments = vec!["replay", text(&videos), "-o", text(&out)];
            arguments.extend(isolate);
            arguments.extend(views);
            let output = kinewatch(&arguments);
            assert_eq!(output.status.code(), Some(1), "one is broken: {}", said(&output));
            let mut stored: Vec<(String, Vec<u8>)> = fs::read_dir(out.join("predictions"))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .map(|path| (text(&path).to_owned(), fs::read(&path).unwrap()))
                .collect();
            stored.sort();
            stored
        });
        assert_eq!(plain.len(), 3, "{views:?}");
        assert!(plain == isolated, "{views:?}");
    }
}

#[test]
fn a_killed_decoder_ends_its_recording_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder, &[("gate", LONG, "isolate = true"), ("yard", LONG, "")]);
    let mut daemon = Daemon::start(&config, &["--for", "600 s"]);
    daemon.prediction("gate");
    // (Rust answers a first SIGSEGV itself, and dies of the fault that comes again.)
    signal(daemon.decoder(), "ABRT");
    let pid = daemon.child.id();
    wait_until("a burial", || decoders(pid).is_empty());
    // The other one goes on, for as long as we look.
    for _ in 0..30 {
        daemon.prediction("yard");
    }
    signal(daemon.child.id() as i32, "TERM");
    let (output, _) = daemon.end();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("\"gate\" failed") && said.contains("signal 6 (SIGABRT)"), "{said}");
    assert!(!said.contains("\"yard\" failed"), "{said}");
}

#[test]
fn a_frozen_decoder_is_killed_once_patience_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let source = format!("{LONG}, timeout = \"1 s\"");
    let config = config(&folder, &[("gate", &source, "isolate = true")]);
    let mut daemon = Daemon::start(&config, &[]);
    daemon.prediction("gate");
    let decoder = daemon.decoder();
    signal(decoder, "STOP");
    let (output, _) = daemon.end();
    let said = said(&output);
    assert!(said.contains("has not answered for"), "{said}");
    assert!(!alive(decoder));
}

#[test]
fn no_decoder_outlives_its_daemon_and_an_asked_end_is_prompt() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder, &[("gate", LONG, "isolate = true")]);
    let mut daemon = Daemon::start(&config, &[]);
    daemon.prediction("gate");
    let decoder = daemon.decoder();
    daemon.child.kill().unwrap();
    wait_until("the end of an orphan", || !alive(decoder));

    let mut daemon = Daemon::start(&config, &[]);
    daemon.prediction("gate");
    let decoder = daemon.decoder();
    // As systemd does it, and a terminal: everybody gets the signal.
    signal(decoder, "TERM");
    signal(decoder, "INT");
    daemon.prediction("gate");
    let since = Instant::now();
    signal(daemon.child.id() as i32, "TERM");
    let (output, _) = daemon.end();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(since.elapsed() < Duration::from_secs(30), "{:?}", since.elapsed());
    assert!(!alive(decoder));
}

#[test]
fn a_decoder_without_memory_ends_alone_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.mkv");
    make(
        "videotestsrc num-buffers=20 ! video/x-raw,format=I420,width=3840,height=2160,framerate=10/1 ! x264enc speed-preset=ultrafast ! matroskamux",
        &path,
    );
    let source = format!("path = \"{}\"", path.display());
    let small = config(&folder, &[("gate", &source, "isolate = { memory = 134217728 }")]);
    let output = kinewatch(&["run", text(&small), "--fast"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(output.status.signal().is_none());
    assert!(said(&output).contains("isolate.memory"), "{}", said(&output));
    let enough = config(&folder, &[("gate", &source, "isolate = true")]);
    let output = kinewatch(&["run", text(&enough), "--fast"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

#[test]
fn a_camera_over_rtsp_is_watched_and_its_password_stays_hidden() {
    let folder = tempfile::tempdir().unwrap();
    let camera = RtspServer::start(
        "( videotestsrc is-live=true ! video/x-raw,width=160,height=120,framerate=15/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! rtph264pay name=pay0 )",
        Some(("viewer", "s3cret-word")),
    );
    let source =
        format!("uri = \"{}\", user = \"viewer\", password = \"s3cret-word\"", camera.uri(""));
    let config = config(&folder, &[("gate", &source, "isolate = { strict = true }")]);
    let mut daemon = Daemon::start(&config, &[]);
    daemon.prediction("gate");
    let decoder = daemon.decoder();
    for file in ["cmdline", "environ"] {
        let bytes = fs::read(format!("/proc/{decoder}/{file}")).unwrap();
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!shown.contains("s3cret"), "{file}: {shown}");
    }
    let status = fs::read_to_string(format!("/proc/{decoder}/status")).unwrap();
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(line), "{status}");
    }
    signal(daemon.child.id() as i32, "TERM");
    let (output, _) = daemon.end();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(!said(&output).contains("s3cret"), "{}", said(&output));
}

#[test]
fn a_live_source_whose_decoder_dies_is_opened_again_in_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let camera = RtspServer::start(
        "( videotestsrc is-live=true ! video/x-raw,width=160,height=120,framerate=15/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! rtph264pay name=pay0 )",
        None,
    );
    let source = format!("uri = \"{}\"", camera.uri(""));
    let keys = "isolate = true\nreconnect = { first = \"50 ms\" }";
    let config = config(&folder, &[("gate", &source, keys)]);
    let mut daemon = Daemon::start(&config, &[]);
    let mut newest = daemon.prediction("gate");
    let mut buried = Vec::new();
    for name in ["ABRT", "KILL", "ABRT"] {
        let decoder = daemon.decoder();
        assert!(!buried.contains(&decoder));
        signal(decoder, name);
        buried.push(decoder);
        let seq = newest["seq"].as_u64();
        newest = daemon.prediction("gate");
        while newest["reset"] != "reconnect" {
            newest = daemon.prediction("gate");
        }
        assert!(newest["seq"].as_u64() > seq, "{newest}");
    }
    signal(daemon.child.id() as i32, "TERM");
    let (output, _) = daemon.end();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("SIGKILL"), "{}", said(&output));
    assert!(buried.iter().all(|&decoder| !alive(decoder)));
}

/// What the daemon's starter left open is closed in the decoder.
#[test]
fn a_decoder_inherits_no_descriptor_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("secret"), "x").unwrap();
    let config = config(&folder, &[("gate", LONG, "isolate = true")]);
    let script = format!(
        "exec 9<'{}'; exec '{}' run '{}'",
        folder.path().join("secret").display(),
        env!("CARGO_BIN_EXE_kinewatch"),
        config.display()
    );
    let mut child = Command::new("sh")
        .args(["-c", &script])
        .env("CAMERA_PASSWORD", "hunter2")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    let mut daemon = Daemon { child, lines };
    daemon.prediction("gate");
    let decoder = daemon.decoder();
    let pid = daemon.child.id();
    assert!(fs::read_link(format!("/proc/{pid}/fd/9")).unwrap().ends_with("secret"));
    for entry in fs::read_dir(format!("/proc/{decoder}/fd")).unwrap().flatten() {
        let target = fs::read_link(entry.path()).unwrap_or_default();
        assert!(!target.ends_with("secret"), "{target:?}");
    }
    let environment = fs::read(format!("/proc/{decoder}/environ")).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains("hunter2"));
}

/// Bit-flipped and truncated recordings: each ends, well or with a reason, and all the
/// others are read. `make torture-hostile` takes 10,000.
#[test]
fn damaged_recordings_end_their_own_stream_only() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(synth(&folder, "a.mkv", 4, 6)).unwrap();
    let count: u32 =
        std::env::var("KINEWATCH_DAMAGED").ok().and_then(|n| n.parse().ok()).unwrap_or(6);
    let (videos, out) = (folder.path().join("videos"), folder.path().join("out"));
    let (mut good, mut bad, mut crashed) = (0, 0, 0);
    for first in (0..count).step_by(500) {
        fs::create_dir(&videos).unwrap();
        let batch = first..count.min(first + 500);
        for index in batch {
            fs::write(videos.join(format!("{index}.mkv")), damaged(&whole, index)).unwrap();
        }
        let output = kinewatch(&["replay", "--isolate", text(&videos), "-o", text(&out)]);
        let said = said(&output);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{first}: {said}");
        assert!(!said.contains("panicked"), "{first}: {said}");
        crashed += said.matches("(SIG").count();
        let mut table = csv::Reader::from_path(out.join("videos.csv")).unwrap();
        let columns = table.headers().unwrap().clone();
        let error = columns.iter().position(|column| column == "error").unwrap();
        for row in table.records() {
            match row.unwrap()[error].is_empty() {
                true => good += 1,
                false => bad += 1,
            }
        }
        fs::remove_dir_all(&videos).unwrap();
        fs::remove_dir_all(&out).unwrap();
    }
    println!(
        "{good} were read to an end, {bad} failed, {crashed} times a decoder died of a signal"
    );
    assert_eq!(good + bad, count);
}

/// The recording, damaged in a way of its own: the same every time.
fn damaged(whole: &[u8], index: u32) -> Vec<u8> {
    // A generator of Lehmer's.
    let mut state = u64::from(index) * 2_654_435_761 + 1;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % below.max(1)
    };
    let mut bytes = whole.to_vec();
    if index.is_multiple_of(3) {
        bytes.truncate(next(bytes.len()));
    }
    for _ in 0..(index % 300) * 4 {
        let at = next(bytes.len());
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << next(8);
        }
    }
    bytes
}
