//! What the program writes, through everything that a disk, a pipe or a reader can
//! do to it: full, read-only, gone, forbidden, hung, killed. Each test says what it
//! tried, as not everything can be done without the rights of root.

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

#[path = "support/program.rs"]
mod program;

/// No test waits longer than this for anything: the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(200);
/// Predictions in a second of the live stream.
const RATE: u32 = 40;
/// The number of write(2) on x86 and on ARM, as /proc/PID/task/TID/syscall gives it.
const WRITE: [&str; 2] = ["1 0x", "64 0x"];
/// `nobody`, to whom permissions mean something.
const NOBODY: u32 = 65534;

fn kinewatch(home: &Path) -> Command {
    let mut command = program::kinewatch();
    command.current_dir(home).env("KINEWATCH_LOG", "info");
    command
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "waited {DEADLINE:?} for {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

fn tool(name: &str, arguments: &[&str]) -> bool {
    let run = Command::new(name).args(arguments).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A small file system of its own, for a test that root runs.
struct Mount(PathBuf);

impl Mount {
    fn new(at: &Path, options: &str) -> Option<Mount> {
        fs::create_dir_all(at).unwrap();
        tool("mount", &["-t", "tmpfs", "-o", options, "tmpfs", text(at)])
            .then(|| Mount(at.to_owned()))
    }

    fn again(&self, options: &str) {
        assert!(tool("mount", &["-o", &format!("remount,{options}"), text(&self.0)]), "{options}");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        tool("umount", &["-l", text(&self.0)]);
    }
}

/// A folder with the built-in model at a faster rate and a configuration.
struct Rig {
    /// Above the folder, so that it is dropped, and unmounted, before it.
    folder: TempDir,
}

impl Rig {
    fn new() -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/camera-events");
        let to = folder.path().join("fast");
        fs::create_dir(&to).unwrap();
        for file in ["model.onnx", "stream.onnx", "labels.txt"] {
            fs::copy(from.join(file), to.join(file)).unwrap();
        }
        let manifest = fs::read_to_string(from.join("model.toml")).unwrap();
        assert!(manifest.contains("rate      = 8.0"), "{manifest}");
        let manifest = manifest.replace("rate      = 8.0", &format!("rate = {RATE}.0"));
        fs::write(to.join("model.toml"), manifest).unwrap();
        Rig { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a configuration with a live stream and `sinks`; no events, so that
    /// every line is a prediction.
    fn live(&self, sinks: &str) -> PathBuf {
        let source = format!(
            "videotestsrc is-live=true ! video/x-raw,format=I420,width=128,height=96,framerate={RATE}/1"
        );
        let stream =
            format!("[[stream]]\nname = \"gate\"\nsource = {{ pipeline = \"{source}\" }}\n");
        let rest = "[model]\npath = \"fast\"\n[predict]\nevents = \"none\"\n";
        fs::write(self.path("c.toml"), format!("{stream}{rest}{sinks}")).unwrap();
        self.path("c.toml")
    }

    fn start(&self, arguments: &[&str], change: impl FnOnce(&mut Command)) -> Daemon {
        let said = File::create(self.path("said.txt")).unwrap();
        let mut command = kinewatch(self.folder.path());
        command.arg("run").args(arguments).stderr(said).stdout(Stdio::piped());
        change(&mut command);
        Daemon { child: command.spawn().unwrap(), said: self.path("said.txt") }
    }
}

struct Daemon {
    child: Child,
    said: PathBuf,
}

impl Daemon {
    fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }

    /// Waits until the log says this so many times.
    fn says(&self, what: &str, times: usize) {
        let said = || self.said().matches(what).count();
        let deadline = Instant::now() + DEADLINE;
        while said() < times {
            assert!(Instant::now() < deadline, "no {times} × \"{what}\" in {}", self.said());
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    fn signal(&self, name: &str) {
        assert!(tool("kill", &[&format!("-{name}"), &self.child.id().to_string()]));
    }

    /// Asks it to end, which it must within five seconds and a busy machine's share.
    fn end(&mut self) {
        self.signal("TERM");
        let asked = Instant::now();
        let mut status = None;
        wait_until("the end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        println!("ended {:.1} s after SIGTERM", asked.elapsed().as_secs_f64());
        assert_eq!(status.unwrap().code(), Some(0), "{}", self.said());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines that came out of a pipe until now, read by a thread of its own.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<Value>>>);

impl Heard {
    fn from(pipe: ChildStdout) -> Heard {
        let heard = Heard::default();
        let told = heard.0.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines() {
                told.lock().unwrap().push(serde_json::from_str(&line.unwrap()).unwrap());
            }
        });
        heard
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Waits for so many more than there are.
    fn more(&self, lines: usize) {
        let before = self.count();
        wait_until("predictions", || self.count() >= before + lines);
    }
}

/// The lines of a file; each must be whole.
fn lines(path: &Path) -> Vec<Value> {
    whole(&fs::read_to_string(path).unwrap())
}

fn whole(text: &str) -> Vec<Value> {
    assert!(text.is_empty() || text.ends_with('\n'), "half a line: {:?}", text.lines().last());
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// Whether there is nothing after the last newline, now.
fn ends_whole(path: &Path) -> bool {
    fs::read(path).is_ok_and(|bytes| bytes.last().is_none_or(|&byte| byte == b'\n'))
}

/// Walks over one run's lines: `seq` has no hole but where a `lost` line says how
/// many are missing. Returns how many were lost, and the number of the newest.
fn account(lines: &[Value], mut next: u64) -> (u64, u64) {
    let (mut total, mut told) = (0, 0);
    for line in lines {
        match line["kind"].as_str() {
            Some("lost") => told += line["lines"].as_u64().unwrap(),
            Some("prediction") => {
                let seq = line["seq"].as_u64().unwrap();
                assert_eq!(seq, next + told, "after {told} were lost");
                total += told;
                (next, told) = (seq + 1, 0);
            }
            other => panic!("{other:?}"),
        }
    }
    (total + told, next)
}

fn file_sink(path: &Path) -> String {
    format!(
        "[[sink]]\nkind = \"stdout\"\n[[sink]]\nkind = \"file\"\npath = {path:?}\nflush = \"50 ms\"\nsync = \"1 s\"\nqueue_bytes = 16384\n"
    )
}

/// The sinks of a summary: how many lines each has lost.
fn lost(summary: &Path) -> Vec<u64> {
    let summary: Value = serde_json::from_slice(&fs::read(summary).unwrap()).unwrap();
    let sinks = summary["sinks"].as_array().unwrap();
    sinks.iter().map(|sink| sink["lost"].as_u64().unwrap()).collect()
}

/// Breaks a file sink's disk and mends it again, under a live stream: predictions
/// and the other sink never notice, the outage is said at its beginning and end,
/// and the file then says exactly how many lines it has not.
fn outage(
    rig: &Rig,
    path: &Path,
    change: impl FnOnce(&mut Command),
    hurt: impl FnOnce(),
    mend: impl FnOnce(),
) {
    let (config, summary) = (rig.live(&file_sink(path)), rig.path("summary.json"));
    let mut daemon = rig.start(&[text(&config), "--summary", text(&summary)], change);
    let heard = Heard::from(daemon.child.stdout.take().unwrap());
    heard.more(20);
    hurt();
    daemon.says("takes no lines", 1);
    // The queue of the sink holds some twenty lines.
    heard.more(100);
    mend();
    daemon.says("takes lines again", 1);
    let size = || fs::metadata(path).map_or(0, |metadata| metadata.len());
    let before = size();
    wait_until("lines after the outage", || size() > before + 5000);
    daemon.end();
    let (all, newest) = account(&heard.0.lock().unwrap(), 0);
    assert_eq!(all, 0, "the other sink has lost nothing");
    let lines = lines(path);
    let first = lines.iter().find_map(|line| line["seq"].as_u64()).unwrap();
    let (missing, last) = account(&lines, first);
    println!("{missing} of {newest} lines lost");
    assert!(missing > 30 && last == newest, "{missing} lost, up to {last} of {newest}");
    assert_eq!(lost(&summary), [0, missing]);
    assert_eq!(daemon.said().matches("takes no lines").count(), 1, "{}", daemon.said());
    assert!(daemon.said().contains(&format!("again; {missing} were lost")), "{}", daemon.said());
}

#[test]
fn a_full_disk_stops_no_prediction_and_what_was_lost_is_told() {
    let rig = Rig::new();
    let disk = rig.path("disk");
    let path = disk.join("p.jsonl");
    match Mount::new(&disk, "size=4m") {
        Some(_mount) => {
            println!("a tmpfs of 4 MiB, filled");
            let ballast = disk.join("ballast");
            outage(
                &rig,
                &path,
                |_| {},
                || {
                    // Until not a byte more fits.
                    let mut file = File::create(&ballast).unwrap();
                    let zeros = vec![0; 8 << 20];
                    assert!(std::io::Write::write_all(&mut file, &zeros).is_err());
                    wait_until("a file that is whole", || ends_whole(&path));
                },
                || fs::remove_file(&ballast).unwrap(),
            );
        }
        None => {
            println!("no rights to mount: /dev/full in the file's place");
            fs::create_dir_all(&disk).unwrap();
            let aside = disk.join("aside");
            outage(
                &rig,
                &path,
                |_| {},
                || {
                    fs::rename(&path, &aside).unwrap();
                    symlink("/dev/full", &path).unwrap();
                },
                || fs::rename(&aside, &path).unwrap(),
            );
        }
    }
}

#[test]
fn a_disk_that_cannot_be_written_is_tried_until_it_can() {
    let rig = Rig::new();
    let disk = rig.path("disk");
    fs::create_dir_all(&disk).unwrap();
    let path = disk.join("p.jsonl");
    let mount = Mutex::new(None);
    // Another file system over the folder, read-only: what a card does that fails, or
    // a mount that comes and goes.
    let over = |options: &str| {
        let mounted = Mount::new(&disk, options);
        let done = mounted.is_some();
        *mount.lock().unwrap() = mounted;
        done
    };
    if over("size=64k") {
        *mount.lock().unwrap() = None;
        println!("a read-only file system over the folder");
        outage(
            &rig,
            &path,
            |_| {},
            || assert!(over("size=64k,ro")),
            || *mount.lock().unwrap() = None,
        );
    } else {
        println!("no rights to mount: a folder in the file's place");
        let aside = rig.path("aside");
        outage(
            &rig,
            &path,
            |_| {},
            || {
                fs::rename(&path, &aside).unwrap();
                fs::create_dir(&path).unwrap();
            },
            || {
                fs::remove_dir(&path).unwrap();
                fs::rename(&aside, &path).unwrap();
            },
        );
    }
}

#[test]
fn a_daemon_that_finds_its_disk_read_only_starts_all_the_same() {
    let rig = Rig::new();
    let disk = rig.path("disk");
    let Some(mount) = Mount::new(&disk, "size=1m,ro") else {
        println!("no rights to mount: nothing of this was tried");
        return;
    };
    let path = disk.join("p.jsonl");
    let rest = "[state]\npath = \"disk/state\"\nevery = \"100 ms\"\n[calibrate]\n";
    let config = rig.live(&format!("{}{rest}", file_sink(&path)));
    let mut daemon = rig.start(&[text(&config)], |_| {});
    let heard = Heard::from(daemon.child.stdout.take().unwrap());
    heard.more(50);
    daemon.says("cannot be opened", 1);
    daemon.says("what was learned is not kept", 1);
    mount.again("rw");
    daemon.says("takes lines again", 1);
    daemon.says("what is learned is kept again", 1);
    wait_until("a state", || disk.join("state/gate.state.json").exists());
    daemon.end();
    assert_eq!(account(&heard.0.lock().unwrap(), 0).0, 0);
    account(&lines(&path), 0);
}

#[test]
fn a_folder_that_vanishes_is_made_again() {
    let rig = Rig::new();
    let path = rig.path("of/lines/p.jsonl");
    let config = rig.live(&file_sink(&path));
    let mut daemon = rig.start(&[text(&config)], |_| {});
    let heard = Heard::from(daemon.child.stdout.take().unwrap());
    heard.more(20);
    wait_until("a first file", || fs::metadata(&path).is_ok_and(|m| m.len() > 0));
    fs::remove_dir_all(rig.path("of")).unwrap();
    wait_until("a new file", || fs::metadata(&path).is_ok_and(|m| m.len() > 5000));
    daemon.end();
    let (_, newest) = account(&heard.0.lock().unwrap(), 0);
    let lines = lines(&path);
    let first = lines[0]["seq"].as_u64().unwrap();
    assert_eq!(account(&lines, first), (0, newest), "one piece up to the end");
}

#[test]
fn a_folder_that_is_forbidden_is_tried_until_it_is_allowed() {
    let rig = Rig::new();
    let disk = rig.path("disk");
    fs::create_dir(&disk).unwrap();
    let path = disk.join("p.jsonl");
    // Permissions mean nothing to root: the daemon is somebody else, then.
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let program = Path::new(env!("CARGO_BIN_EXE_kinewatch"));
    let mut of_nobody = vec![rig.path("kinewatch")];
    if root {
        fs::copy(program, &of_nobody[0]).unwrap();
        of_nobody.extend([rig.folder.path().to_owned(), disk.clone()]);
        for path in &of_nobody {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        fs::set_permissions(rig.folder.path(), Permissions::from_mode(0o755)).unwrap();
    }
    println!("{}", if root { "as nobody" } else { "as whoever runs the test" });
    let become_nobody = |command: &mut Command| {
        if root {
            let mut other = Command::new(&of_nobody[0]);
            other.args(command.get_args()).current_dir(rig.folder.path());
            other.stdin(Stdio::null()).stdout(Stdio::piped());
            other.stderr(File::options().append(true).open(rig.path("said.txt")).unwrap());
            other.env("HOME", rig.folder.path()).env("KINEWATCH_LOG", "info");
            other.uid(NOBODY).gid(NOBODY);
            *command = other;
        }
    };
    let mode = |mode| fs::set_permissions(&disk, Permissions::from_mode(mode)).unwrap();
    outage(&rig, &path, become_nobody, || mode(0o000), || mode(0o755));
}

#[test]
fn a_pipe_that_nobody_reads_holds_up_neither_a_stream_nor_another_sink_nor_the_end() {
    let rig = Rig::new();
    let path = rig.path("pipe");
    assert!(tool("mkfifo", &[text(&path)]));
    let (config, summary) = (rig.live(&file_sink(&path)), rig.path("summary.json"));
    let mut daemon = rig.start(&[text(&config), "--summary", text(&summary)], |_| {});
    let heard = Heard::from(daemon.child.stdout.take().unwrap());
    // 64 KiB in the pipe, 16 in the queue.
    daemon.says("does not keep up", 1);
    heard.more(100);
    daemon.end();
    let heard = heard.0.lock().unwrap();
    let (all, newest) = account(&heard, 0);
    let lost = lost(&summary);
    println!("{lost:?} of {newest} lines lost");
    assert!(all == 0 && lost[0] == 0 && lost[1] > 30, "{lost:?}");
}

#[test]
fn a_reader_that_was_stopped_gets_the_newest_lines_and_the_number_of_the_others() {
    let rig = Rig::new();
    let file = rig.path("p.jsonl");
    let sinks = format!(
        "[[sink]]\nkind = \"stdout\"\nqueue_bytes = 16384\n[[sink]]\nkind = \"file\"\npath = {file:?}\nflush = \"50 ms\"\n"
    );
    let (config, summary) = (rig.live(&sinks), rig.path("summary.json"));
    let mut daemon = rig.start(&[text(&config), "--summary", text(&summary)], |_| {});
    let mut reader = Command::new("cat")
        .stdin(daemon.child.stdout.take().unwrap())
        .stdout(File::create(rig.path("read.jsonl")).unwrap())
        .spawn()
        .unwrap();
    let id = reader.id().to_string();
    let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    wait_until("a first line", || size(&rig.path("read.jsonl")) > 0);
    assert!(tool("kill", &["-STOP", &id]));
    daemon.says("does not keep up", 1);
    let before = size(&file);
    wait_until("lines in the file", || size(&file) > before + 20_000);
    assert!(tool("kill", &["-CONT", &id]));
    daemon.says("takes lines again", 1);
    daemon.end();
    assert!(reader.wait().unwrap().success());
    let read = lines(&rig.path("read.jsonl"));
    let ((missing, last), (none, newest)) = (account(&read, 0), account(&lines(&file), 0));
    println!("{missing} of {newest} lines lost");
    assert!(missing > 30 && none == 0 && last == newest, "{missing}, {none}, {last} of {newest}");
    assert_eq!(lost(&summary), [missing, 0]);
    let why: Vec<&Value> = read.iter().filter(|line| line["kind"] == "lost").collect();
    assert!(why.iter().all(|line| line["why"] == "slow"), "{why:?}");
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/prediction.schema.json");
    let schema: Value = serde_json::from_slice(&fs::read(schema).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(why.iter().all(|line| validator.is_valid(line)), "{why:?}");
}

#[test]
fn a_recording_waits_for_its_reader_and_loses_nothing() {
    let rig = Rig::new();
    let play = |late: bool| {
        let source = "synth:seed=7,seconds=60,fps=25,size=160x120";
        let mut daemon = rig.start(&["--fast", "--source", source], |_| {});
        let mut out = daemon.child.stdout.take().unwrap();
        if late {
            // A thread that sits in write(2), look after look, waits for the pipe.
            let tasks = format!("/proc/{}/task", daemon.child.id());
            let mut looks = 0;
            wait_until("a sink that waits for its reader", || {
                let tasks = fs::read_dir(&tasks).unwrap().flatten();
                let mut at =
                    tasks.filter_map(|t| fs::read_to_string(t.path().join("syscall")).ok());
                let writes = at.any(|call| WRITE.iter().any(|write| call.starts_with(write)));
                looks = if writes { looks + 1 } else { 0 };
                looks == 20
            });
        }
        let mut said = String::new();
        out.read_to_string(&mut said).unwrap();
        assert!(daemon.child.wait().unwrap().success(), "{}", daemon.said());
        assert!(!daemon.said().contains("were lost"), "{}", daemon.said());
        let mut lines = whole(&said);
        for line in &mut lines {
            let line = line.as_object_mut().unwrap();
            line.remove("at");
            line.remove("latency_ms");
        }
        lines
    };
    let prompt = play(false);
    assert!(prompt.len() > 400, "{}", prompt.len());
    assert_eq!(play(true), prompt);
}

/// `KINEWATCH_KILLS` says how often; `make torture` does it more often.
#[test]
fn killed_at_random_every_file_holds_whole_lines_and_the_next_run_goes_on() {
    let kills: u64 =
        std::env::var("KINEWATCH_KILLS").map_or(20, |kills| kills.parse().expect("a number"));
    let rig = Rig::new();
    let sink = "[[sink]]\nkind = \"file\"\npath = \"p.jsonl\"\nflush = \"20 ms\"\nsync = \"50 ms\"\nrotate_bytes = 30000\nkeep = 3\n";
    let state = "[state]\npath = \"state\"\nevery = \"1 ms\"\n[calibrate]\n[accuracy]\npath = \"log\"\ninterval = \"1 s\"\n";
    let stream = "[[stream]]\nname = \"gate\"\nsource = { synth = \"seed=7,seconds=3600,fps=8,size=160x120\" }\nlabels = \"gate.csv\"\n";
    fs::write(rig.path("gate.csv"), "start,end,label\n0,3600,idle\n").unwrap();
    fs::write(rig.path("c.toml"), format!("{stream}[predict]\nevents = \"none\"\n{sink}{state}"))
        .unwrap();
    let (mut seed, mut torn, mut wrote, mut states) = (0x2545_F491_4F6C_DD1D_u64, 0, 0, 0);
    for kill in 0..kills {
        let had_state = rig.path("state/gate.state.json").exists();
        let mut daemon = rig.start(&["--fast", "c.toml"], |command| {
            command.stdout(Stdio::null());
        });
        // Marsaglia's xorshift, from the moment that it writes.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        if kill % 4 != 0 {
            daemon.says("stream \"gate\": ", 1);
        }
        std::thread::park_timeout(Duration::from_micros(seed % 600_000));
        daemon.child.kill().unwrap();
        daemon.child.wait().unwrap();
        let said = daemon.said();
        assert!(!said.contains("aside"), "kill {kill}: {said}");
        states += u64::from(had_state && said.contains("goes on with what it had learned"));

        // The older files are whole, and only the last line of the newest may not be.
        let mut all = String::new();
        for n in (1..=9).rev() {
            let older = fs::read_to_string(rig.path(&format!("p.jsonl.{n}"))).unwrap_or_default();
            assert!(older.len() <= 30_000 && (n <= 3 || older.is_empty()), "p.jsonl.{n}");
            assert!(older.is_empty() || older.ends_with('\n'), "p.jsonl.{n}");
            all += &older;
        }
        all += &fs::read_to_string(rig.path("p.jsonl")).unwrap_or_default();
        torn += u64::from(!all.is_empty() && !all.ends_with('\n'));
        let all = whole(&all[..all.rfind('\n').map_or(0, |at| at + 1)]);
        // Within a run numbers follow on each other; a run begins with 0.
        let seq: Vec<u64> = all.iter().map(|line| line["seq"].as_u64().unwrap()).collect();
        assert!(seq.windows(2).all(|two| two[1] == two[0] + 1 || two[1] == 0), "{seq:?}");
        wrote += u64::from(seq.len() > 1);
    }
    println!("{kills} kills: {torn} torn last lines, {states} runs went on from a state");
    assert!(wrote > 0 || kills < 5, "no run was long enough to write");
    assert!(states > 0 || kills < 5, "no run was long enough to learn");
}
