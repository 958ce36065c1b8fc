//! A daemon under a systemd that only listens.

use std::fs::{self, File};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prost::Message;
use serde_json::Value;
use sha2::Digest;
use tempfile::TempDir;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};

#[path = "../support/program.rs"]
pub mod program;

/// No test waits longer for anything. Other work may stop this process for a while.
const DEADLINE: Duration = Duration::from_secs(120);

/// A stream that is there at once and goes on for longer than any test.
pub const SYNTH: &str = "{ synth = \"seed=3,seconds=3600,size=64x48,fps=16\" }";

/// A live stream without labels, also there at once.
pub const LIVE: &str =
    "{ pipeline = \"videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=16/1\" }";

/// A `[[stream]]` with the rest of its table.
pub fn stream(name: &str, source: &str, more: &str) -> String {
    format!("[[stream]]\nname = \"{name}\"\nsource = {source}\n{more}\n")
}

/// A folder with a configuration.
pub struct Rig {
    folder: TempDir,
    head: String,
}

impl Rig {
    /// Predictions go to a file, unless `streams` names a sink.
    pub fn new(streams: &str) -> Rig {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("runtime")).unwrap();
        let sink = "[[sink]]\nkind = \"file\"\npath = \"predictions.jsonl\"\n";
        let rig = Rig { folder, head: sink.into() };
        rig.write(streams);
        rig
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration.
    pub fn write(&self, streams: &str) {
        fs::write(self.path("test.toml"), format!("{streams}{}", self.head)).unwrap();
    }

    pub fn start(&self) -> Daemon<'_> {
        self.start_with(&[])
    }

    pub fn start_with(&self, variables: &[(&str, &str)]) -> Daemon<'_> {
        self.spawn(variables, &[], Stdio::null())
    }

    /// As fast as it can.
    #[allow(dead_code)]
    pub fn start_fast(&self) -> Daemon<'_> {
        self.spawn(&[], &["--fast"], Stdio::null())
    }

    /// With a standard output that nobody reads.
    pub fn start_unread(&self) -> Daemon<'_> {
        self.spawn(&[], &[], Stdio::piped())
    }

    fn spawn(&self, variables: &[(&str, &str)], more: &[&str], out: Stdio) -> Daemon<'_> {
        let at = self.path("notify");
        let _ = fs::remove_file(&at);
        let notify = UnixDatagram::bind(&at).unwrap();
        let messages = Arc::new(Mutex::new(Vec::new()));
        let heard = messages.clone();
        std::thread::spawn(move || listen(&notify, &heard));
        let said = File::options().create(true).append(true).open(self.path("log")).unwrap();
        let mut command = self.command(&["run", self.path("test.toml").to_str().unwrap()]);
        command.args(more);
        command.env("NOTIFY_SOCKET", &at).env("RUNTIME_DIRECTORY", self.path("runtime"));
        command.envs(variables.iter().copied()).stdout(out).stderr(said);
        let process = command.spawn().unwrap();
        Daemon { rig: self, process, messages, at: 0, log_at: 0 }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program::kinewatch();
        command.args(arguments);
        command
    }

    pub fn kinewatch(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// `kinewatch status`: its exit code and what it says.
    pub fn status(&self) -> (i32, Value) {
        let socket = self.path("runtime/status.sock");
        let output = self.kinewatch(&["status", "--json", "--socket", socket.to_str().unwrap()]);
        let said = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{error}: {output:?}");
        });
        (output.status.code().unwrap(), said)
    }

    /// The predictions of a stream so far.
    pub fn predictions(&self, stream: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path("predictions.jsonl")).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["kind"] == "prediction" && line["stream"] == stream).collect()
    }

    pub fn wait_for_predictions(&self, stream: &str, count: usize) {
        self.wait_until(&format!("{count} predictions of {stream}"), || {
            self.predictions(stream).len() >= count
        });
    }

    pub fn wait_until(&self, what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !done() {
            if Instant::now() > deadline {
                let log = fs::read_to_string(self.path("log")).unwrap_or_default();
                panic!("waited for {what}; the log says:\n{log}");
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// A pipe with a name.
    pub fn fifo(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }

    /// The default model with something behind its first output, as a bundle. `change`
    /// is given the graph and the names of that output before and after.
    pub fn bundle(&self, name: &str, change: impl Fn(&mut GraphProto, &str, &str)) -> PathBuf {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/camera-events");
        let to = self.path(name);
        fs::create_dir(&to).unwrap();
        let mut manifest = fs::read_to_string(from.join("model.toml")).unwrap();
        fs::copy(from.join("labels.txt"), to.join("labels.txt")).unwrap();
        for file in ["model.onnx", "stream.onnx"] {
            let bytes = fs::read(from.join(file)).unwrap();
            let mut model = ModelProto::decode(&*bytes).unwrap();
            let graph = model.graph.as_mut().unwrap();
            let outer = graph.output[0].name.clone();
            let inner = format!("{outer}_inner");
            for node in &mut graph.node {
                for value in node.output.iter_mut().chain(&mut node.input) {
                    if *value == outer {
                        value.clone_from(&inner);
                    }
                }
            }
            change(graph, &inner, &outer);
            let changed = model.encode_to_vec();
            manifest = manifest.replace(&sha256(&bytes), &sha256(&changed));
            fs::write(to.join(file), changed).unwrap();
        }
        fs::write(to.join("model.toml"), manifest).unwrap();
        to
    }
}

fn sha256(bytes: &[u8]) -> String {
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An operator of ONNX.
pub fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: op.into(),
        name: output.into(),
        input: inputs.iter().map(|&name| name.into()).collect(),
        output: vec![output.into()],
        ..NodeProto::default()
    }
}

/// A constant of a graph.
pub fn floats(name: &str, values: &[f32], dims: &[i64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        data_type: 1,
        dims: dims.to_vec(),
        float_data: values.to_vec(),
        ..TensorProto::default()
    }
}

/// Logits times what is no number.
pub fn not_a_number(graph: &mut GraphProto, inner: &str, outer: &str) {
    graph.initializer.push(floats("nan", &[f32::NAN], &[1]));
    graph.node.push(node("Mul", &[inner, "nan"], outer));
}

/// Logits plus the outcome of so many products of great matrices that nobody waits
/// for them: a model that hangs, with no hook in the program.
pub fn hang(graph: &mut GraphProto, inner: &str, outer: &str) {
    const SIDE: usize = 2_048;
    const PRODUCTS: usize = 2_000;
    let classes = classes(graph, outer);
    let weights: Vec<f32> = (0..SIDE).map(|i| 1e-3 * (i % 7) as f32).collect();
    graph.initializer.push(floats("narrow", &vec![1e-3; classes], &[classes as i64, 1]));
    graph.initializer.push(floats("column", &weights, &[SIDE as i64, 1]));
    graph.initializer.push(floats("row", &weights, &[1, SIDE as i64]));
    graph.initializer.push(floats("next_to_none", &[1e-30], &[1, 1]));
    graph.node.push(node("MatMul", &[inner, "narrow"], "sum"));
    graph.node.push(node("MatMul", &["column", "sum"], "tall"));
    graph.node.push(node("MatMul", &["tall", "row"], "m0"));
    for i in 0..PRODUCTS {
        let (from, to) = (format!("m{i}"), format!("m{}", i + 1));
        graph.node.push(node("MatMul", &[&from, "m0"], &to));
    }
    let last = format!("m{PRODUCTS}");
    graph.initializer.push(floats("left", &vec![1.0; SIDE], &[1, SIDE as i64]));
    graph.initializer.push(floats("right", &vec![1.0; SIDE], &[SIDE as i64, 1]));
    graph.node.push(node("MatMul", &["left", &last], "wide"));
    graph.node.push(node("MatMul", &["wide", "right"], "one"));
    graph.node.push(node("Mul", &["one", "next_to_none"], "nothing"));
    graph.node.push(node("Add", &[inner, "nothing"], outer));
}

/// The last axis of an output.
fn classes(graph: &GraphProto, output: &str) -> usize {
    let output = graph.output.iter().find(|value| value.name == output).unwrap();
    let value = output.r#type.as_ref().unwrap().value.as_ref().unwrap();
    let tract_onnx::pb::type_proto::Value::TensorType(tensor) = value;
    match tensor.shape.as_ref().unwrap().dim.last().unwrap() {
        Dimension { value: Some(dimension::Value::DimValue(classes)), .. } => *classes as usize,
        other => panic!("{other:?}"),
    }
}

/// Reads, as systemd does, for as long as the test runs.
fn listen(notify: &UnixDatagram, heard: &Mutex<Vec<String>>) {
    let mut buffer = [0; 65_536];
    while let Ok(n) = notify.recv(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
        heard.lock().unwrap().push(text);
    }
}

/// A daemon that runs, and what it told.
pub struct Daemon<'a> {
    rig: &'a Rig,
    pub process: Child,
    messages: Arc<Mutex<Vec<String>>>,
    /// What was waited for so far.
    at: usize,
    log_at: usize,
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Daemon<'_> {
    pub fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        let kill = Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap();
        assert!(kill.success());
    }

    /// Waits until it tells systemd something that has `text` in it, after what was
    /// waited for before.
    pub fn told(&mut self, text: &str) -> String {
        let (mut at, mut found) = (self.at, None);
        self.rig.wait_until(&format!("systemd to be told {text}"), || {
            let messages = self.messages.lock().unwrap();
            let new = messages.get(at..).unwrap_or_default();
            match new.iter().position(|message| message.contains(text)) {
                Some(i) => {
                    found = new.get(i).cloned();
                    at += i + 1;
                }
                None => at = messages.len(),
            }
            found.is_some()
        });
        self.at = at;
        found.unwrap()
    }

    /// All that it told since.
    pub fn heard(&mut self) -> String {
        let messages = self.messages.lock().unwrap();
        let text = messages.get(self.at..).unwrap_or_default().concat();
        self.at = messages.len();
        text
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.rig.path("log")).unwrap_or_default()
    }

    /// Waits for a line of the log, after those that were waited for before.
    pub fn said(&mut self, text: &str) {
        let from = self.log_at;
        let mut to = from;
        self.rig.wait_until(&format!("the log to say {text:?}"), || {
            let log = self.log();
            let found = log.get(from..).and_then(|log| log.find(text));
            to = from + found.unwrap_or(0) + text.len();
            found.is_some()
        });
        self.log_at = to;
    }

    /// Its exit code, if it ended in time.
    pub fn ends_within(&mut self, time: Duration) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code();
            }
            assert!(begun.elapsed() < time, "it has not ended:\n{}", self.log());
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}
