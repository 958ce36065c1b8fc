//! What a replay leaves behind, whatever happens to it on the way.

#[allow(dead_code)]
#[path = "service_support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use kinewatch::report::store::{Clip, Store, VideoHeader};
use kinewatch::synth;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::Value;
use support::program::kinewatch;
use support::{Rig, floats, node};
use tempfile::TempDir;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, GraphProto};

/// No test waits longer than this for the program.
const DEADLINE: Duration = Duration::from_secs(120);

/// Six recordings of a few seconds and their labels, made once for all tests.
struct Videos {
    folder: TempDir,
}

const COUNT: u64 = 6;

static VIDEOS: LazyLock<Videos> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for seed in 0..COUNT {
        let options = synth::Options {
            seed,
            seconds: 4.0 + seed as f64 / 2.0,
            fps: 12.0,
            width: 160,
            height: 120,
        };
        let stream = synth::Stream::new(&options).unwrap();
        let name = format!("{}/{seed}.mkv", if seed % 2 == 0 { "even" } else { "odd" });
        all.push((name.clone(), stream.spans().to_vec()));
        let path = folder.path().join(&name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        synth::encode(stream, &path).unwrap();
    }
    let spans: Vec<_> = all.iter().map(|(name, spans)| (name.clone(), spans.as_slice())).collect();
    fs::write(folder.path().join("labels.csv"), synth::label_csv(&spans)).unwrap();
    Videos { folder }
});

fn videos() -> &'static Path {
    VIDEOS.folder.path()
}

/// What is in `folder`, in the order of its names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// `kinewatch replay` over those recordings, with `more` arguments.
fn replay(out: &Path, more: &[&str]) -> Command {
    let mut command = kinewatch();
    command
        .arg("replay")
        .arg("-o")
        .arg(out)
        .arg("--labels")
        .arg(videos().join("labels.csv"))
        .args(more);
    command
}

/// Runs to the end.
fn finish(out: &Path, more: &[&str]) -> Output {
    replay(out, more).arg(videos()).output().unwrap()
}

/// Runs to the end and must do well; predictions only.
fn predict(out: &Path, more: &[&str]) {
    well(out, &[more, &["--no-report"]].concat());
}

fn well(out: &Path, more: &[&str]) {
    let output = finish(out, more);
    assert!(output.status.success(), "{more:?}: {}", text(&output.stderr));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Every file below `folder` but the dotted ones; of `run.json`, without what
/// differs between two runs of the same thing.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if !name.starts_with('.') {
                let mut bytes = fs::read(&path).unwrap();
                if name == "run.json" {
                    let mut run: Value = serde_json::from_slice(&bytes).unwrap();
                    let run = run.as_object_mut().unwrap();
                    run.remove("created").unwrap();
                    run.remove("shard");
                    bytes = serde_json::to_vec(run).unwrap();
                }
                files.insert(path.strip_prefix(folder).unwrap().to_path_buf(), bytes);
            }
        }
    }
    files
}

/// Whether two folders hold the same, byte for byte.
fn assert_same(one: &Path, other: &Path, what: &str) {
    let (one, other) = (contents(one), contents(other));
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&one), names(&other), "{what}");
    for (name, bytes) in &one {
        assert!(bytes == &other[name], "{what}: {} differs", name.display());
    }
}

fn stored(out: &Path, video: &str) -> (VideoHeader, Vec<Clip>) {
    let store = Store::open(out).unwrap();
    let reader = store.read(video).unwrap();
    (reader.header().clone(), reader.map(Result::unwrap).collect())
}

fn best(logits: &[f32]) -> usize {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]).then(b.cmp(&a))).unwrap()
}

/// A program that is killed and reaped when a test fails halfway.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    fn signal(&self, name: &str) {
        // It may have ended meanwhile.
        let _ = Command::new("kill").args([&format!("-{name}"), &self.0.id().to_string()]).status();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "waited {DEADLINE:?} for {what}");
        // Between looks, not instead of looking: the program needs the processor more.
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn finished(out: &Path) -> usize {
    Store::open(out).and_then(|store| store.videos()).map_or(0, |videos| videos.len())
}

#[test]
fn what_a_replay_measures_is_what_the_daemon_says() {
    let out = tempfile::tempdir().unwrap();
    predict(out.path(), &["--jobs", "2"]);
    let labels = kinewatch::model::Bundle::embedded().unwrap().labels().to_vec();
    let mut compared = 0;
    for video in ["even/0.mkv", "odd/3.mkv"] {
        let output = kinewatch()
            .args(["run", "--fast", "--format", "json", "--source"])
            .arg(videos().join(video))
            .output()
            .unwrap();
        let lines: Vec<Value> =
            text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let said: Vec<_> = lines.iter().filter(|line| line["kind"] == "prediction").collect();
        let (header, clips) = stored(out.path(), video);
        assert_eq!((clips.len(), header.clips), (said.len(), said.len() as u64), "{video}");
        assert!(header.error.is_none() && header.frames > 0, "{header:?}");
        for (n, (clip, said)) in clips.iter().zip(said).enumerate() {
            assert_eq!(
                (said["t"].as_f64(), said["start"].as_f64()),
                (Some(clip.t), Some(clip.start))
            );
            assert_eq!(said["top"][0]["label"], labels[best(&clip.logits)].as_str());
            assert_eq!(clip.view, [u32::try_from(n).unwrap(), 0]);
            compared += 1;
        }
    }
    assert!(compared > 20, "{compared} predictions compared");
    let (header, _) = stored(out.path(), "odd/5.mkv");
    assert!((header.seconds - 6.5).abs() < 0.1, "{} s", header.seconds);
}

/// Kills the replay at random moments, as many times as `KINEWATCH_KILLS` says
/// (`make soak`: 20), and then lets it finish.
#[test]
fn killed_at_random_and_run_again_it_ends_as_if_undisturbed() {
    let kills = std::env::var("KINEWATCH_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(4);
    let (calm, shaken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let begun = Instant::now();
    well(calm.path(), &[]);
    let whole = begun.elapsed();
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let mut done = 0;
    for kill in 0..kills {
        let mut running = Running::start(replay(shaken.path(), &["--jobs", "2"]).arg(videos()));
        // Anywhere in its life, more often early than late: or it would be
        // finished before half of the kills.
        let part = f64::from(random.next_u32()) / f64::from(u32::MAX);
        let moment = Instant::now() + whole.mul_f64(part * part * 0.7);
        wait_until("the moment to kill it", || Instant::now() >= moment || running.ended());
        drop(running);
        let now = finished(shaken.path());
        assert!(now >= done, "kill {kill}: {done} videos were finished and {now} are");
        done = now;
    }
    well(shaken.path(), &[]);
    assert_same(calm.path(), shaken.path(), "after kills");
}

#[test]
fn a_finished_video_is_not_run_again() {
    let out = tempfile::tempdir().unwrap();
    predict(out.path(), &[]);
    let store = Store::open(out.path()).unwrap();
    let file = |video: &str| {
        let name = format!("{}.jsonl.zst", kinewatch::report::store::safe_name(video));
        out.path().join("predictions").join(name)
    };
    let modified = |video: &str| fs::metadata(file(video)).unwrap().modified().unwrap();
    let ids = store.videos().unwrap();
    assert_eq!(ids.len() as u64, COUNT);
    let before: Vec<_> = ids.iter().map(|id| modified(id)).collect();
    // One that is gone and one that is damaged are done again, and only these.
    let whole = contents(out.path());
    fs::remove_file(file(&ids[1])).unwrap();
    let damaged = fs::read(file(&ids[2])).unwrap();
    fs::write(file(&ids[2]), &damaged[..damaged.len() / 3]).unwrap();
    predict(out.path(), &[]);
    for (at, (id, before)) in ids.iter().zip(before).enumerate() {
        assert_eq!(modified(id) == before, at != 1 && at != 2, "{id}");
    }
    assert!(contents(out.path()) == whole);
}

#[test]
fn shards_put_together_equal_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let part = |name: &str| folder.path().join(name);
    well(&part("whole"), &[]);
    for shard in ["1/3", "2/3", "3/3"] {
        well(&part(&shard[..1]), &["--shard", shard]);
        assert_eq!(finished(&part(&shard[..1])), 2);
    }
    report(&part("sum"), &["1", "2", "3"].map(part));
    report(&part("once"), &[part("whole")]);
    assert_same(&part("sum"), &part("once"), "the sum of the shards");
    for name in ["metrics.json", "clips.csv", "videos.csv", "report.html"] {
        let [sum, whole] = ["sum", "whole"].map(|out| fs::read(part(out).join(name)).unwrap());
        assert!(sum == whole, "{name} differs from the run's own");
    }
}

#[test]
fn the_cache_changes_nothing_but_the_time() {
    let folder = tempfile::tempdir().unwrap();
    let part = |name: &str| folder.path().join(name);
    let cache = part("cache");
    let cached = ["--cache", cache.to_str().unwrap(), "--clips", "3"];
    predict(&part("plain"), &["--clips", "3"]);
    predict(&part("cold"), &cached);
    assert_same(&part("plain"), &part("cold"), "while the cache fills");
    let entries = || files(&cache);
    assert_eq!(entries().len() as u64, COUNT);
    // Damaged, cut off, empty: each is noticed and made anew.
    let damage: [fn(&mut Vec<u8>); 3] = [
        |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        },
        |bytes| bytes.truncate(bytes.len() - 5),
        Vec::clear,
    ];
    for (entry, damage) in entries().iter().zip(damage) {
        let mut bytes = fs::read(entry).unwrap();
        damage(&mut bytes);
        fs::write(entry, bytes).unwrap();
    }
    let output = finish(&part("warm"), &[&cached[..], &["--no-report"]].concat());
    let log = text(&output.stderr);
    assert_eq!(log.matches("is damaged: made anew").count(), 3, "{log}");
    assert_same(&part("plain"), &part("warm"), "from the cache");
    // The stream's own windows are other frames than three clips.
    let cached = ["--cache", cache.to_str().unwrap()];
    predict(&part("windows"), &cached);
    assert_eq!(entries().len() as u64, 2 * COUNT);
    let small = ["--cache", cache.to_str().unwrap(), "--cache-size", "1 B"];
    predict(&part("small"), &small);
    assert_eq!(entries().len(), 0, "a cache that may hold nothing holds nothing");
    assert_same(&part("windows"), &part("small"), "without room");
}

/// Logits plus next to nothing of what the network is given. The built-in one takes what
/// is no number for a zero; over such pictures this one fails.
fn wary(graph: &mut GraphProto, inner: &str, outer: &str) {
    let input = graph.input[0].name.clone();
    let scalar = AttributeProto {
        name: "keepdims".into(),
        r#type: AttributeType::Int as i32,
        i: 0,
        ..AttributeProto::default()
    };
    graph.initializer.push(floats("next_to_none", &[1e-30], &[1]));
    let mut mean = node("ReduceMean", &[&input], "brightness");
    mean.attribute.push(scalar);
    graph.node.push(mean);
    graph.node.push(node("Mul", &["brightness", "next_to_none"], "nothing"));
    graph.node.push(node("Add", &[inner, "nothing"], outer));
}

#[test]
fn an_entry_over_which_the_model_fails_before_its_checksum_is_seen_is_made_anew() {
    let rig = Rig::new("");
    let model = rig.bundle("wary", wary);
    let (cache, video) = (rig.path("cache"), videos().join("odd/5.mkv"));
    let run = |out: &Path, more: &[&str]| {
        let mut run = replay(out, &["--no-report", "--model", model.to_str().unwrap()]);
        let output = run.args(["--clips", "8"]).args(more).arg(&video).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    let cached = ["--cache", cache.to_str().unwrap()];
    run(&rig.path("plain"), &[]);
    run(&rig.path("cold"), &cached);
    let entry = &files(&cache)[0];
    let mut plain = zstd::decode_all(&fs::read(entry).unwrap()[..]).unwrap();
    let head = plain.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let facts: Value = serde_json::from_slice(&plain[..head]).unwrap();
    let len = 4 * facts["frame_len"].as_u64().unwrap() as usize;
    // In every frame, after its tag, time and reset: one fault is forgiven.
    for frame in plain[head..].chunks_exact_mut(10 + len) {
        frame[10..].as_chunks_mut().0.fill(f32::NAN.to_le_bytes());
    }
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(&plain).unwrap();
    let mut bytes = encoder.finish().unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(entry, bytes).unwrap();
    let log = run(&rig.path("warm"), &cached);
    assert_eq!(log.matches("is damaged: made anew").count(), 1, "{log}");
    assert_same(&rig.path("plain"), &rig.path("warm"), "from the cache");
}

#[test]
fn bad_videos_are_told_of_and_tried_again_while_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (out, bad) = (folder.path().join("out"), folder.path().join("bad"));
    fs::create_dir(&bad).unwrap();
    fs::write(bad.join("a.mp4"), "this is no video").unwrap();
    fs::write(bad.join("b.mkv"), "").unwrap();
    fs::copy(videos().join("odd/1.mkv"), bad.join("c.mkv")).unwrap();
    let labels = bad.join("labels.csv");
    let lines = ["a.mp4", "b.mkv", "c.mkv"].map(|name| format!("{name},0,9,idle\n"));
    fs::write(&labels, format!("video,start,end,label\n{}", lines.concat())).unwrap();
    let run = || {
        kinewatch()
            .args(["replay", "--labels"])
            .args([&labels, &bad])
            .arg("-o")
            .arg(&out)
            .output()
            .unwrap()
    };
    let output = run();
    let log = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("2 videos failed"), "{log}");
    assert!(log.lines().last().unwrap().contains("b.mkv"), "{log}");
    let store = Store::open(&out).unwrap();
    assert_eq!(store.videos().unwrap(), ["a.mp4", "b.mkv", "c.mkv"]);
    assert!(store.header("a.mp4").unwrap().unwrap().error.is_some());
    assert!(store.header("c.mkv").unwrap().unwrap().error.is_none());
    assert!(out.join("metrics.json").exists(), "there is a report all the same");
    // Mended, they are done; what was done stays.
    for name in ["a.mp4", "b.mkv"] {
        fs::copy(videos().join("odd/1.mkv"), bad.join(name)).unwrap();
    }
    let output = run();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("1 of 3 videos are done already"));
    assert!(store.header("b.mkv").unwrap().unwrap().error.is_none());
}

#[test]
fn an_interrupted_replay_keeps_what_it_has_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (calm, stopped) = (folder.path().join("calm"), folder.path().join("stopped"));
    well(&calm, &[]);
    let mut running = Running::start(replay(&stopped, &["--jobs", "1"]).arg(videos()));
    wait_until("the first video", || finished(&stopped) > 0 || running.ended());
    running.signal("INT");
    wait_until("it to stop", || running.ended());
    let code = running.0.wait().unwrap().code();
    let done = finished(&stopped);
    if (done as u64) < COUNT {
        assert_eq!(code, Some(1), "stopped before its end");
        assert!(!stopped.join("report.html").exists());
    }
    well(&stopped, &[]);
    assert_same(&calm, &stopped, "after an interrupt");
}

#[test]
fn another_run_in_the_same_folder_is_refused_unless_it_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    predict(&out, &[]);
    let output = finish(&out, &["--clips", "2"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--force"), "{}", text(&output.stderr));
    predict(&out, &["--clips", "2", "--force"]);
    assert_eq!(stored(&out, "even/0.mkv").1.len(), 2);
}

/// The embedded model, but told to keep the aspect ratio and cut.
fn short_side(folder: &Path) -> PathBuf {
    let bundle = folder.join("short-side");
    fs::create_dir_all(&bundle).unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/camera-events");
    for file in ["labels.txt", "model.onnx", "stream.onnx"] {
        fs::copy(from.join(file), bundle.join(file)).unwrap();
    }
    let manifest = fs::read_to_string(from.join("model.toml")).unwrap();
    let manifest = manifest.replace("\"stretch\"", "\"short-side\"");
    fs::write(bundle.join("model.toml"), manifest).unwrap();
    bundle
}

#[test]
fn ten_clips_of_three_crops_are_thirty_views() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = short_side(folder.path());
    let (three, one) = (folder.path().join("three"), folder.path().join("one"));
    let model = ["--model", bundle.to_str().unwrap(), "--clips", "10"];
    predict(&one, &model);
    predict(&three, &[&model[..], &["--crops", "3"]].concat());
    let (header, clips) = stored(&three, "odd/5.mkv");
    assert_eq!((clips.len(), header.views.as_str()), (30, "10x3"));
    // 6.5 s, clips of 2 s: k × 4.5 s / 10.
    for (at, clip) in clips.iter().enumerate() {
        let (k, crop) = (at / 3, at % 3);
        assert_eq!(clip.view, [k, crop].map(|n| u32::try_from(n).unwrap()));
        assert!((clip.start - 0.45 * k as f64).abs() < 0.02, "clip {k} begins at {}", clip.start);
        assert!((clip.t - clip.start - 15.0 / 8.0).abs() < 1e-5);
    }
    // 160×120 is of the model's own shape: the three crops are one and the same.
    assert!(clips.chunks(3).all(|crops| crops[0].logits == crops[1].logits));
    // The centre crop is the one crop of a run without --crops.
    let (_, centre) = stored(&one, "odd/5.mkv");
    let of_three: Vec<_> = clips.iter().skip(1).step_by(3).map(|clip| &clip.logits).collect();
    assert_eq!(of_three, centre.iter().map(|clip| &clip.logits).collect::<Vec<_>>());
}

#[test]
fn crops_of_a_model_that_sees_the_whole_picture_are_refused() {
    let out = tempfile::tempdir().unwrap();
    let output = finish(out.path(), &["--crops", "3"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("short-side"), "{}", text(&output.stderr));
}

#[test]
fn dense_views_are_the_windows_at_every_frame() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("hop.toml");
    fs::write(&config, "[model]\nmode = \"window\"\n[predict]\nhop = 5\n").unwrap();
    let config = ["--config", config.to_str().unwrap()];
    let (hops, dense) = (folder.path().join("hops"), folder.path().join("dense"));
    predict(&hops, &config);
    predict(&dense, &[&config[..], &["--clips", "dense"]].concat());
    let (few, all) = (stored(&hops, "even/4.mkv").1, stored(&dense, "even/4.mkv").1);
    assert_eq!(few.len(), all.len().div_ceil(5));
    for (few, all) in few.iter().zip(all.iter().step_by(5)) {
        assert_eq!((few.t, &few.logits), (all.t, &all.logits));
    }
}

#[test]
fn a_whole_video_is_resampled_to_as_many_frames_as_asked_for() {
    let out = tempfile::tempdir().unwrap();
    predict(out.path(), &["--resample", "16", "--mode", "window"]);
    for (video, seconds) in [("even/0.mkv", 4.0), ("odd/5.mkv", 6.5)] {
        let (header, clips) = stored(out.path(), video);
        assert_eq!((header.frames, clips.len()), (16, 1), "{video}");
        let last = seconds * 15.0 / 16.0;
        assert!((clips[0].t - last).abs() < 0.05 && clips[0].start < 0.05, "{:?}", clips[0]);
    }
}

#[test]
fn a_video_shorter_than_a_clip_has_no_window_but_a_view() {
    let folder = tempfile::tempdir().unwrap();
    let video = folder.path().join("short.mkv");
    let options = synth::Options { seconds: 1.0, fps: 12.0, width: 160, height: 120, seed: 1 };
    synth::encode(synth::Stream::new(&options).unwrap(), &video).unwrap();
    let run = |out: &str, more: &[&str]| {
        let out = folder.path().join(out);
        let output =
            kinewatch().args(["replay", "-o"]).args([&out, &video]).args(more).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        (stored(&out, "short.mkv").1.len(), text(&output.stderr))
    };
    let (clips, log) = run("windows", &[]);
    assert!(clips == 0 && log.contains("shorter than one clip"), "{log}");
    assert_eq!(run("views", &["--clips", "1"]).0, 1);
}

/// The folder of the program under test, before everything else in the search path.
fn search_path() -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_kinewatch"));
    let rest = std::env::var("PATH").unwrap_or_default();
    format!("{}:{rest}", program.parent().unwrap().display())
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/replay").join(name)
}

/// Runs to the end and must do well.
fn succeed(command: &mut Command) {
    let output = command.env("PATH", search_path()).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
}

fn report(out: &Path, parts: &[PathBuf]) {
    succeed(Command::new("kinewatch").arg("report").args(parts).arg("-o").arg(out));
}

fn one_run(folder: &Path) -> PathBuf {
    let (run, whole) = (folder.join("run"), folder.join("one"));
    well(&run, &[]);
    report(&whole, &[run]);
    whole
}

#[test]
fn the_example_for_gnu_parallel_gives_what_one_run_gives() {
    if !Command::new("parallel").arg("--version").output().is_ok_and(|out| out.status.success()) {
        eprintln!("GNU parallel is not installed: not tried");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let script = Command::new(example("parallel.sh"))
        .arg("3")
        .args([&out, videos()])
        .arg("--labels")
        .arg(videos().join("labels.csv"))
        .env("PATH", search_path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(script.status.success(), "{}", text(&script.stderr));
    assert_same(&one_run(folder.path()), &out.join("whole"), "GNU parallel");
}

#[test]
fn the_example_for_slurm_gives_what_one_run_gives() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    for task in 0..3 {
        succeed(
            Command::new(example("slurm.sh"))
                .args([&out, videos()])
                .arg("--labels")
                .arg(videos().join("labels.csv"))
                .env("SLURM_ARRAY_TASK_ID", task.to_string())
                .env("SLURM_ARRAY_TASK_MIN", "0")
                .env("SLURM_ARRAY_TASK_COUNT", "3")
                .env("SLURM_CPUS_PER_TASK", "2"),
        );
    }
    let parts: Vec<_> = (1..=3).map(|task| out.join(format!("shard-{task}"))).collect();
    report(&out.join("whole"), &parts);
    assert_same(&one_run(folder.path()), &out.join("whole"), "Slurm");
}

#[test]
fn the_example_for_kubernetes_gives_what_one_run_gives() {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("results");
    fs::create_dir(&results).unwrap();
    // The container's command line, with this machine's folders for its mounts.
    let manifest = fs::read_to_string(example("kubernetes.yaml")).unwrap();
    let (_, line) = manifest.split_once("- >-\n").unwrap();
    let (line, _) = line.split_once("resources:").unwrap();
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = line
        .replace("/videos", videos().to_str().unwrap())
        .replace("/results", results.to_str().unwrap());
    for index in 0..3 {
        succeed(
            Command::new("/bin/sh")
                .args(["-c", &line])
                .env("JOB_COMPLETION_INDEX", index.to_string())
                .env("SHARDS", "3"),
        );
    }
    let parts: Vec<_> = (0..3).map(|index| results.join(format!("shard-{index}"))).collect();
    report(&folder.path().join("whole"), &parts);
    assert_same(&one_run(folder.path()), &folder.path().join("whole"), "Kubernetes");
}
