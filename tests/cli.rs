//! The program as a person or systemd meets it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

#[path = "support/program.rs"]
mod program;
use program::kinewatch;

/// No test waits longer than this for the program.
const DEADLINE: Duration = Duration::from_secs(60);

fn run(arguments: &[&str]) -> Output {
    kinewatch().args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "waited {DEADLINE:?} for {what}");
        // Between looks, not instead of looking: the program needs the processor more.
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Kills and reaps the program when a test fails halfway.
struct Running(Child);

impl Running {
    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.0.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    fn code(&mut self) -> Option<i32> {
        let mut status = None;
        wait_until("the program to end", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, contents: &str) -> String {
        fs::write(self.path(name), contents).unwrap();
        self.path(name)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }
}

/// A configuration of one synthetic stream of `seconds`, with `rest` after it.
fn synth(seconds: u32, rest: &str) -> String {
    format!(
        "[[stream]]\nname = \"gate\"\nsource = {{ synth = \"seed=7,seconds={seconds},fps=25,size=320x240\" }}\n{rest}"
    )
}

fn lines(path: impl AsRef<Path>) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is whole");
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

#[test]
fn a_bad_command_line_exits_with_2_and_says_why_on_standard_error() {
    for (arguments, expected) in [
        (&["rnu"][..], "unrecognized subcommand"),
        (&["run"][..], "required"),
        (&["run", "--fsat", "x.toml"][..], "--fast"),
        (&["run", "c.toml", "--source", "a.mp4"][..], "cannot be used with"),
        (&["completions", "csh"][..], "invalid value"),
        (&[][..], "Usage"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "standard output carries data only");
        assert!(text(&output.stderr).contains(expected), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn help_and_version_are_printed() {
    let output = run(&["--version"]);
    assert_eq!(text(&output.stdout), format!("kinewatch {}\n", env!("CARGO_PKG_VERSION")));
    let help = text(&run(&["--help"]).stdout);
    for verb in ["run", "check", "inspect", "bench", "synth", "completions", "man", "Exit codes"] {
        assert!(help.contains(verb), "{verb} in {help}");
    }
    let help = text(&run(&["run", "--help"]).stdout);
    for flag in ["--fast", "--source", "--model", "--summary", "--format"] {
        assert!(help.contains(flag), "{flag} in {help}");
    }
}

#[test]
fn a_bad_configuration_exits_with_2_and_names_the_place() {
    let folder = Folder::new();
    for (rest, expected) in [
        ("[predict]\ntopk = 3\n", &["line 5, column 1", "topk", "write \"top_k\""][..]),
        ("[predict]\nhop = \"x\"\n", &["line 5, column 7", "a whole number"]),
        ("[model]\npath = \"no/such/model\"\n", &["line 5, column 8", "no/such/model"]),
        ("labels = \"none.csv\"\n", &["line 4, column 10", "none.csv"]),
        ("[predict]\nevents = { ignore = [\"idel\"] }\n", &["line 5", "did you mean \"idle\"?"]),
        ("[calibrat]\n", &["line 4", "calibrate"]),
    ] {
        let config = folder.file("c.toml", &synth(10, rest));
        for verb in ["check", "run"] {
            let output = run(&[verb, &config]);
            let error = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{verb} {rest}: {error}");
            assert!(output.stdout.is_empty());
            for part in expected {
                assert!(error.contains(part), "{part} in {error}");
            }
        }
    }
    let output = run(&["run", &folder.path("none.toml")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("none.toml"));
}

#[test]
fn a_label_file_is_checked_with_line_and_column() {
    let folder = Folder::new();
    folder.file("l.csv", "video,start,end,label\ngate,0,x,idle\n");
    let config = folder.file("c.toml", &synth(10, "labels = \"l.csv\"\n"));
    let output = run(&["check", &config]);
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(
        error.contains("l.csv\", line 2, column 8") && error.contains("expected seconds"),
        "{error}"
    );
}

#[test]
fn labels_may_be_in_any_format_and_mapped_to_classes() {
    let folder = Folder::new();
    folder.file("l.srt", "1\n00:00:01,000 --> 00:00:02,500\nnothing\n");
    folder.file("m.csv", "from,to\nnothing,idle\n");
    let config =
        folder.file("c.toml", &synth(10, "labels = { path = \"l.srt\", map = \"m.csv\" }\n"));
    let output = run(&["check", &config]);
    let (said, log) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(said.contains("l.srt\", 1 spans") && !log.contains("does not know"), "{said}{log}");
    folder.file("m.csv", "from,to\nnothing,idel\n");
    let output = run(&["check", &config]);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("m.csv\", line 2, column 9") && error.contains("\"idle\""), "{error}");
}

#[test]
fn a_greatest_hop_that_does_nothing_is_noted() {
    let folder = Folder::new();
    let note = "note    predict.max_hop does nothing in mode stateful";
    for (mode, noted) in [("stateful", true), ("window", false)] {
        let keys = format!("predict = {{ max_hop = 8 }}\nmodel = {{ mode = \"{mode}\" }}\n");
        let config = folder.file("c.toml", &synth(10, &keys));
        let output = run(&["check", &config]);
        let (said, log) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{log}");
        assert_eq!(said.contains(note), noted, "{said}");
    }
}

#[test]
fn a_good_configuration_is_said_to_be_ok() {
    let folder = Folder::new();
    folder.file("l.csv", "video,start,end,label\ngate,0,1,idle\n");
    let config = folder.file(
        "c.toml",
        &synth(10, "labels = \"l.csv\"\n[[sink]]\nkind = \"file\"\npath = \"p.jsonl\"\n"),
    );
    let output = run(&["check", &config]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for part in ["stream \"gate\"", "1 spans", "p.jsonl", "ok\n"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(!Path::new(&folder.path("p.jsonl")).exists(), "check opens nothing");
}

#[test]
fn passwords_appear_in_no_error() {
    let folder = Folder::new();
    let config = "[[stream]]\nname = \"a\"\nsource = { uri = \"rtsp://me:${SECRET}@host/1\", pasword = 1 }\n";
    let config = folder.file("c.toml", config);
    let output = kinewatch().args(["check", &config]).env("SECRET", "hunter2").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(!text(&output.stderr).contains("hunter2"), "{}", text(&output.stderr));
}

#[test]
fn completions_and_man_pages_are_written() {
    for (shell, expected) in
        [("bash", "_kinewatch()"), ("zsh", "#compdef kinewatch"), ("fish", "complete -c kinewatch")]
    {
        let output = run(&["completions", shell]);
        assert!(output.status.success() && text(&output.stdout).contains(expected), "{shell}");
    }
    let page = text(&run(&["man"]).stdout);
    assert!(page.contains(".TH kinewatch 1"), "{page}");
    let folder = Folder::new();
    assert!(run(&["man", &folder.path("man")]).status.success());
    for page in ["kinewatch.1", "kinewatch-run.1", "kinewatch-check.1"] {
        assert!(Path::new(&folder.path("man")).join(page).exists(), "{page}");
    }
}

#[test]
fn a_bundle_is_described_for_people_and_for_programs() {
    let said = text(&run(&["inspect"]).stdout);
    for part in ["takes", "16 frames of 128×96", "stateful", "idle"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let report: Value = serde_json::from_slice(&run(&["inspect", "--json"]).stdout).unwrap();
    assert_eq!((&report["input"]["frames"], &report["modes"][0]), (&16.into(), &"stateful".into()));
    // Every mode, those that are not listed too.
    assert!(said.contains("two-stage  not possible: "), "{said}");
    assert!(said.contains("first prediction after 16 frames (2.0 s)"), "{said}");
    let costs = report["costs"].as_array().unwrap();
    assert_eq!(costs.len(), 4);
    for (mode, listed) in [("stateful", true), ("window", true), ("two-stage", false)] {
        let cost = costs.iter().find(|cost| cost["mode"] == mode).unwrap();
        assert_eq!(
            (&cost["listed"], &cost["possible"]),
            (&listed.into(), &listed.into()),
            "{cost}"
        );
        assert_eq!(cost["error"].is_null(), listed, "{cost}");
        if listed {
            assert!(cost["weight_bytes"].as_u64().unwrap() > 100_000, "{cost}");
            assert_eq!((&cost["warm_up_frames"], &cost["delay_s"]), (&16.into(), &0.0.into()));
        }
    }
    let output = run(&["inspect", "/nonexistent/model"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("/nonexistent/model"));
}

#[test]
fn systemd_hears_that_it_is_ready_and_that_it_stops() {
    let folder = Folder::new();
    let socket = UnixDatagram::bind(folder.path("notify")).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let config = folder.file("c.toml", &synth(2, ""));
    let mut running = Running(
        kinewatch()
            .args(["run", "--fast", &config])
            .env("NOTIFY_SOCKET", folder.path("notify"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let mut heard = Vec::new();
    while !heard.iter().any(|said: &String| said.contains("STOPPING=1")) {
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).unwrap();
        heard.push(text(&buffer[..length]));
    }
    assert!(
        heard[0].contains("READY=1") || heard.iter().any(|said| said.contains("READY=1")),
        "{heard:?}"
    );
    assert!(heard.iter().any(|said| said.contains("STATUS=")), "{heard:?}");
    running.code();
}

#[test]
fn under_journald_each_line_carries_its_priority() {
    use std::os::unix::fs::MetadataExt;
    let folder = Folder::new();
    let log = fs::File::create(folder.path("log")).unwrap();
    let metadata = log.metadata().unwrap();
    let status = kinewatch()
        .args(["run", "/nonexistent.toml"])
        .env("JOURNAL_STREAM", format!("{}:{}", metadata.dev(), metadata.ino()))
        .stderr(log)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(2));
    let said = fs::read_to_string(folder.path("log")).unwrap();
    assert!(said.starts_with("<3>reading config \"/nonexistent.toml\""), "{said}");
}

// From here on a stream really runs, on the synthetic source and the built-in model.

#[test]
fn real_output_agrees_with_the_schema_and_is_the_same_every_time() {
    let schema =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/prediction.schema.json"))
            .unwrap();
    let validator = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let folder = Folder::new();
    let summary = folder.path("summary.json");
    let play = || {
        let source = "synth:seed=7,seconds=12,fps=25,size=320x240";
        let output = run(&["run", "--fast", "--source", source, "--summary", &summary]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let mut lines: Vec<Value> = text(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect();
        for line in &mut lines {
            let errors: Vec<String> = validator.iter_errors(line).map(|e| e.to_string()).collect();
            assert!(errors.is_empty(), "{line}: {errors:?}");
            let line = line.as_object_mut().unwrap();
            line.remove("at");
            line.remove("latency_ms");
        }
        serde_json::to_string(&lines).unwrap()
    };
    let first = play();
    assert!(first.contains("\"seq\":50"), "12 s at 8 frames a second");
    for _ in 0..2 {
        assert_eq!(first, play());
    }
    let report: Value = serde_json::from_str(&fs::read_to_string(summary).unwrap()).unwrap();
    assert_eq!(report["streams"][0]["skipped"], 0);
    assert!(report["streams"][0]["predictions"].as_u64().unwrap() > 50);
}

#[test]
fn killed_at_any_moment_it_leaves_whole_lines_and_goes_on_after_them() {
    let folder = Folder::new();
    let config =
        folder.file("c.toml", &synth(3600, "[[sink]]\nkind = \"file\"\npath = \"p.jsonl\"\n"));
    let size = || fs::metadata(folder.path("p.jsonl")).map_or(0, |m| m.len());
    let mut before = 0;
    for _ in 0..3 {
        let mut running = Running(
            kinewatch().args(["run", "--fast", &config]).stderr(Stdio::null()).spawn().unwrap(),
        );
        wait_until("new lines", || size() > before + 5000);
        running.signal("KILL");
        running.code();
        before = size();
        assert!(!lines(folder.path("p.jsonl")).is_empty());
    }
    let starts =
        lines(folder.path("p.jsonl")).iter().filter(|line| line["reset"] == "start").count();
    assert_eq!(starts, 3, "nothing that was there before is lost");
}

#[test]
fn files_are_rotated_and_no_line_is_lost_between_them() {
    let folder = Folder::new();
    let sink = "[[sink]]\nkind = \"file\"\npath = \"p.jsonl\"\nrotate_bytes = 20000\nkeep = 9\n";
    let config = folder.file("c.toml", &synth(12, sink));
    let output = run(&["run", "--fast", &config]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut seq: Vec<u64> = Vec::new();
    for n in (1..=9).rev() {
        let older = folder.path(&format!("p.jsonl.{n}"));
        if Path::new(&older).exists() {
            assert!(fs::metadata(&older).unwrap().len() <= 20_000);
            seq.extend(lines(&older).iter().filter_map(|line| line["seq"].as_u64()));
        }
    }
    assert!(!seq.is_empty(), "something was rotated");
    seq.extend(lines(folder.path("p.jsonl")).iter().filter_map(|line| line["seq"].as_u64()));
    assert_eq!(seq, (0..seq.len() as u64).collect::<Vec<_>>());
}

#[test]
fn asked_to_end_it_ends_well() {
    for signal in ["TERM", "INT"] {
        let folder = Folder::new();
        let config = folder.file("c.toml", &synth(3600, ""));
        let child = kinewatch()
            .args(["run", &config])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut running = Running(child);
        let mut out = BufReader::new(running.0.stdout.take().unwrap());
        let mut line = String::new();
        assert!(out.read_line(&mut line).unwrap() > 0, "a first prediction");
        running.signal("HUP");
        running.signal(signal);
        std::thread::spawn(move || out.read_to_end(&mut Vec::new()));
        assert_eq!(running.code(), Some(0));
        let mut log = String::new();
        running.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        assert!(log.contains("predictions"), "{log}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let folder = Folder::new();
    let config = folder.file("c.toml", &synth(3600, ""));
    let child = kinewatch()
        .args(["run", "--fast", &config])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut running = Running(child);
    let mut out = BufReader::new(running.0.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    drop(out);
    assert_eq!(running.code(), Some(0));
}

#[test]
fn one_stream_that_fails_ends_no_other_and_the_exit_code_tells() {
    let folder = Folder::new();
    folder.file("broken.mp4", "this is no video");
    let config = folder.file(
        "c.toml",
        &synth(5, "[[stream]]\nname = \"broken\"\nsource = { path = \"broken.mp4\" }\n[[sink]]\nkind = \"file\"\npath = \"p.jsonl\"\n"),
    );
    let output = run(&["run", "--fast", &config]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("stream \"broken\" failed"), "{}", text(&output.stderr));
    assert!(lines(folder.path("p.jsonl")).len() > 10);
}

#[test]
fn readable_lines_can_be_asked_for() {
    let output = run(&[
        "run",
        "--fast",
        "--format",
        "text",
        "--source",
        "synth:seed=7,seconds=5,fps=25,size=320x240",
    ]);
    let said = text(&output.stdout);
    assert!(output.status.success() && said.contains(" %"), "{said}");
    assert!(!said.contains('\x1b') && !said.contains('{'));
}
