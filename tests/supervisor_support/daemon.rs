//! The program itself, with its lines as they come.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::program;

/// One prediction.
#[derive(Clone, Debug)]
pub struct Said {
    pub t: f64,
    pub start: f64,
    pub reset: Option<String>,
    pub skipped: u64,
    /// When its line was read.
    pub at: Instant,
}

impl Said {
    /// When the first frame of its clip came.
    pub fn since(&self) -> Instant {
        self.at.checked_sub(Duration::from_secs_f64(self.t - self.start)).unwrap()
    }
}

/// A running `kinewatch run`.
pub struct Daemon {
    child: Child,
    said: Arc<Mutex<BTreeMap<String, Vec<Said>>>>,
    log: Arc<Mutex<String>>,
    _folder: tempfile::TempDir,
}

impl Daemon {
    pub fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("torture.toml");
        fs::write(&path, config).unwrap();
        let mut command = program::kinewatch();
        command.arg("run").arg("--format").arg("json").arg(&path);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said: Arc<Mutex<BTreeMap<String, Vec<Said>>>> = Arc::default();
        let (lines, to) = (BufReader::new(child.stdout.take().unwrap()).lines(), said.clone());
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let at = Instant::now();
                let line: Value = serde_json::from_str(&line).unwrap();
                let (Some(t), Some(start), Some(stream)) =
                    (line["t"].as_f64(), line["start"].as_f64(), line["stream"].as_str())
                else {
                    continue;
                };
                if !line["top"].is_array() {
                    continue;
                }
                let reset = line["reset"].as_str().map(str::to_owned);
                let skipped = line["skipped"].as_u64().unwrap_or(0);
                let said = Said { t, start, reset, skipped, at };
                to.lock().unwrap().entry(stream.to_owned()).or_default().push(said);
            }
        });
        let log: Arc<Mutex<String>> = Arc::default();
        let (lines, to) = (BufReader::new(child.stderr.take().unwrap()).lines(), log.clone());
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut log = to.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Daemon { child, said, log, _folder: folder }
    }

    /// What a stream predicted so far.
    pub fn said(&self, stream: &str) -> Vec<Said> {
        self.said.lock().unwrap().get(stream).cloned().unwrap_or_default()
    }

    pub fn newest(&self, stream: &str) -> Option<Said> {
        self.said.lock().unwrap().get(stream)?.last().cloned()
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until `done`, and panics with the log when it takes too long.
    pub fn wait_for(&mut self, what: &str, most: Duration, done: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !done(self) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "the daemon ended ({ended:?}): {}", self.log());
            assert!(begun.elapsed() < most, "{what} took longer than {most:?}: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Threads, open files, and resident memory in kB.
    pub fn holds(&self) -> (usize, usize, u64) {
        let of = |name: &str| fs::read_dir(format!("/proc/{}/{name}", self.child.id()));
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let rss = rss.trim().trim_end_matches(" kB").parse().unwrap();
        (of("task").unwrap().count(), of("fd").unwrap().count(), rss)
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Asks it to end: how long that took, and its exit code.
    pub fn end(mut self) -> (Duration, Option<i32>) {
        let asked = Instant::now();
        self.signal("-TERM");
        let status = self.child.wait().unwrap();
        (asked.elapsed(), status.code())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
