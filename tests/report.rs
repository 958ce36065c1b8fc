//! What a user sees of `kinewatch report`: generated runs in, files out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use kinewatch::model::{Output as Gives, Task};
use kinewatch::predict::PredictOptions;
use kinewatch::report::{
    Clip, Run, RunLabels, RunModel, Shard, Store, Truth, TruthSpan, VideoHeader,
};
use serde_json::Value;

#[path = "support/program.rs"]
mod program;

/// Chance's only source here (SplitMix64).
struct Chance(u64);

impl Chance {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, n: usize) -> usize {
        (self.unit() * n as f64) as usize
    }
}

fn run(name: &str, task: Task, classes: usize) -> Run {
    Run {
        v: kinewatch::report::store::FORMAT,
        kinewatch: "0.1.0".into(),
        created: "2026-11-22T09:00:00.000Z".into(),
        model: RunModel {
            name: name.into(),
            sha256: "ab".repeat(32),
            task,
            output: Gives::Logits,
            mode: "window".into(),
            labels: (0..classes).map(|i| format!("class {i:03} <&>")).collect(),
        },
        labels: Some(RunLabels {
            name: "labels.csv".into(),
            format: "kinewatch".into(),
            sha256: "cd".repeat(32),
        }),
        predict: PredictOptions::default(),
        options: [("clips".to_owned(), Value::from("window"))].into(),
        shard: None,
        planned: None,
    }
}

/// Logits in which `truth` leads in most cases, by `skill`.
fn logits(chance: &mut Chance, classes: usize, truth: &[usize], skill: f64) -> Vec<f32> {
    let mut logits: Vec<f64> = (0..classes).map(|_| 3.0 * (chance.unit() - 0.6)).collect();
    for &class in truth {
        if chance.unit() < skill {
            logits[class] += 4.0;
        } else {
            // Confused with a neighbour.
            logits[(class + 1) % classes] += 4.0;
        }
    }
    logits.into_iter().map(|z| z as f32).collect()
}

fn header(truth: Truth, seconds: f64) -> VideoHeader {
    VideoHeader {
        v: 1,
        video: String::new(),
        path: "/gone/recording.mp4".into(),
        seconds,
        frames: (seconds * 8.0) as u64,
        truth,
        views: "window".into(),
        clips: 0,
        error: None,
    }
}

/// Whole-recording labels: `videos` videos of `clips` clips each.
fn fill(store: &Store, videos: std::ops::Range<usize>, clips: usize, skill: f64) {
    let labels = store.run().model.labels.clone();
    let multi = store.run().model.task == Task::MultiLabel;
    for video in videos {
        let mut chance = Chance(video as u64);
        let mut truth = vec![video * 7 % labels.len()];
        if multi && video % 3 == 0 {
            truth.push((video * 7 + 2) % labels.len());
        }
        let mut writer = store.write(&format!("folder/video {video:05}.mp4")).unwrap();
        for k in 0..clips {
            let start = k as f64;
            let logits = logits(&mut chance, labels.len(), &truth, skill);
            writer.clip(&Clip { start, t: start + 1.5, view: [k as u32, 0], logits }).unwrap();
        }
        let names = truth.iter().map(|&class| labels[class].clone()).collect();
        writer.finish(header(Truth::Video(names), clips as f64 + 1.0)).unwrap();
    }
}

/// Labels that change over time, with gaps; predictions five times a second.
fn fill_untrimmed(store: &Store, videos: usize) {
    let labels = store.run().model.labels.clone();
    for video in 0..videos {
        let mut chance = Chance(1000 + video as u64);
        let mut spans = Vec::new();
        let mut at = 0.5;
        while at < 40.0 {
            let length = 2.0 + 6.0 * chance.unit();
            let label = labels[chance.below(labels.len())].clone();
            spans.push(TruthSpan { start: at, end: at + length, label });
            at += length + if chance.unit() < 0.3 { 2.0 } else { 0.0 };
        }
        let mut writer = store.write(&format!("untrimmed {video}.mkv")).unwrap();
        for k in 0..200 {
            let t = 1.6 + 0.2 * f64::from(k);
            let here = spans.iter().find(|s| s.start <= t - 0.4 && t - 0.4 < s.end);
            let class = here.and_then(|s| labels.iter().position(|l| *l == s.label));
            let truth: Vec<usize> = class.into_iter().collect();
            let logits = logits(&mut chance, labels.len(), &truth, 0.9);
            let clip = Clip { start: t - 1.6, t, view: [k as u32, 0], logits };
            writer.clip(&clip).unwrap();
        }
        writer.finish(header(Truth::Spans(spans), 41.6)).unwrap();
    }
}

fn store(folder: &Path, run: &Run) -> Store {
    Store::create(folder, run).unwrap()
}

fn kinewatch(args: &[&str]) -> Output {
    program::kinewatch().args(args).output().unwrap()
}

/// Runs `kinewatch report` and gives back what it said.
fn report(args: &[&str]) -> String {
    let output = kinewatch(&[&["report"], args].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(args: &[&str], code: i32) -> String {
    let output = kinewatch(&[&["report"], args].concat());
    assert_eq!(output.status.code(), Some(code));
    String::from_utf8(output.stderr).unwrap()
}

fn json(path: PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Every file below a folder but the store itself, with its content.
fn written(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
            match path.is_dir() {
                true if name != "predictions" => folders.push(path),
                false if name != "run.json" => files.push((name, fs::read(path).unwrap())),
                _ => {}
            }
        }
    }
    files.sort();
    files
}

#[test]
fn a_run_becomes_metrics_tables_a_page_and_charts() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    fill(&store(out, &run("ten", Task::SingleLabel, 10)), 0..40, 3, 0.8);
    let said = report(&[text(out), "--bootstrap", "200"]);
    assert!(said.contains("40 videos, 120 clips") && said.contains("Top-1 accuracy"), "{said}");

    let metrics = json(out.join("metrics.json"));
    let top1 = metrics["clip"]["accuracy"].as_f64().unwrap();
    assert!((0.6..1.0).contains(&top1), "{top1}");
    assert!(metrics["video"]["accuracy"].as_f64().unwrap() >= top1 - 0.1);
    assert_eq!(metrics["every"], Value::Null);
    assert_eq!(metrics["aggregates"].as_array().unwrap().len(), 4);
    let counted: u64 = metrics["clip"]["confusion"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| row.as_array().unwrap())
        .map(|count| count.as_u64().unwrap())
        .sum();
    assert_eq!(counted, 120);

    // Top-1 again, by hand from the table of clips.
    let clips = fs::read_to_string(out.join("clips.csv")).unwrap();
    let mut lines = csv::Reader::from_reader(clips.as_bytes());
    assert_eq!(
        lines.headers().unwrap().iter().take(12).collect::<Vec<_>>().join(","),
        "id,ground_truth,pred_1,pred_2,pred_3,pred_4,pred_5,score_1,score_2,score_3,score_4,score_5"
    );
    let lines: Vec<csv::StringRecord> = lines.records().map(Result::unwrap).collect();
    let hits = lines.iter().filter(|line| line[1] == line[2]).count();
    assert_eq!((lines.len(), hits as f64 / 120.0), (120, top1));
    let videos = fs::read_to_string(out.join("videos.csv")).unwrap();
    assert_eq!(videos.lines().count(), 41);

    let page = fs::read_to_string(out.join("report.html")).unwrap();
    for id in ["headline", "classes", "confusion", "curves", "calibration", "mistakes", "rules"] {
        assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
    }
    assert!(!page.contains("class 001 <&>") && page.contains("class 001 &lt;&amp;&gt;"));
    assert!(page.contains("the recording is no longer there"));
    assert!(!page.contains("src=\"http") && !page.contains("https://"));
    for name in
        ["confusion-clips", "precision-recall-videos", "reliability-clips", "confidence-videos"]
    {
        let svg = fs::read_to_string(out.join(format!("figures/{name}.svg"))).unwrap();
        roxmltree::Document::parse(&svg).unwrap();
    }
}

#[test]
fn the_same_run_gives_the_same_bytes_and_so_do_its_shards() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let mut plan = run("ten", Task::SingleLabel, 10);
    plan.planned = Some(30);
    fill(&store(&whole, &plan), 0..30, 2, 0.7);
    report(&[text(&whole), "--bootstrap", "100"]);
    let first = written(&whole);
    report(&[text(&whole), "--bootstrap", "100"]);
    assert!(first == written(&whole), "a second report differs");

    let mut shards = Vec::new();
    for (index, videos) in [(1, 0..11), (2, 11..20), (3, 20..30)] {
        plan.shard = Some(Shard { index, of: 3 });
        plan.created = format!("at another time {index}");
        let shard = folder.path().join(format!("shard {index}"));
        fill(&store(&shard, &plan), videos, 2, 0.7);
        shards.push(shard);
    }
    let merged = folder.path().join("merged");
    let args = [text(&shards[2]), text(&shards[0]), text(&shards[1])];
    report(&[&args[..], &["-o", text(&merged), "--bootstrap", "100"]].concat());
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|f| f.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&first), names(&written(&merged)));
    for (a, b) in first.iter().zip(written(&merged)) {
        assert!(*a == b, "{} differs", a.0);
    }
    report(&[text(&shards[0]), "--bootstrap", "0"]);
    let metrics = json(shards[0].join("metrics.json"));
    assert_eq!(metrics["videos"]["missing"], 19);
}

#[test]
fn folders_that_do_not_belong_together_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    fill(&store(&a, &run("ten", Task::SingleLabel, 10)), 0..2, 1, 0.7);
    fill(&store(&b, &run("other", Task::SingleLabel, 10)), 2..4, 1, 0.7);
    let out = folder.path().join("out");
    let error = refused(&[text(&a), text(&b), "-o", text(&out)], 2);
    assert!(error.contains("different runs") && error.contains("model.name"), "{error}");
    let error = refused(&[text(&a), text(&a), "-o", text(&out)], 2);
    assert!(error.contains("folder/video 00000.mp4"), "{error}");
    assert!(refused(&[text(&a), text(&b)], 2).contains("-o"));
    assert!(refused(&[text(&out)], 2).contains("run.json"));
    assert!(refused(&["--compare", text(&a), "-o", text(&out)], 2).contains("only one run"));
}

#[test]
fn a_damaged_file_is_named_and_nothing_is_half_written() {
    let folder = tempfile::tempdir().unwrap();
    fill(&store(folder.path(), &run("ten", Task::SingleLabel, 10)), 0..3, 2, 0.7);
    let path = folder.path().join("predictions/folder%2Fvideo%2000001.mp4.jsonl.zst");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
    let error = refused(&[text(folder.path())], 1);
    assert!(error.contains("video%2000001") && error.contains("Remedy"), "{error}");
    assert!(written(folder.path()).is_empty(), "{:?}", written(folder.path()).len());
}

#[test]
fn nothing_to_measure_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    store(&empty, &run("ten", Task::SingleLabel, 10));
    assert!(report(&[text(&empty)]).contains("0 videos"));
    let page = fs::read_to_string(empty.join("report.html")).unwrap();
    assert!(page.contains("no video yet"));
    assert_eq!(json(empty.join("metrics.json"))["clip"], Value::Null);

    // One without labels, one with a label unknown to the model, one that
    // failed, one too short for a clip.
    let odd = folder.path().join("odd");
    let odd_store = store(&odd, &run("ten", Task::SingleLabel, 10));
    let one = || Clip { start: 0.0, t: 1.0, view: [0, 0], logits: vec![0.5; 10] };
    let mut writer = odd_store.write("unlabelled").unwrap();
    writer.clip(&one()).unwrap();
    writer.finish(header(Truth::None, 2.0)).unwrap();
    let mut writer = odd_store.write("unknown").unwrap();
    writer.clip(&one()).unwrap();
    writer.finish(header(Truth::Video(vec!["yodelling".into()]), 2.0)).unwrap();
    let failed = VideoHeader {
        error: Some("it is <not> a video".into()),
        ..header(Truth::Video(vec!["class 001 <&>".into()]), 0.0)
    };
    odd_store.write("failed").unwrap().finish(failed).unwrap();
    let truth =
        Truth::Spans(vec![TruthSpan { start: 0.0, end: 9.0, label: "class 001 <&>".into() }]);
    odd_store.write("short").unwrap().finish(header(truth, 0.4)).unwrap();
    let said = report(&[text(&odd)]);
    assert!(said.contains("1 failed") && said.contains("1 without a label"), "{said}");
    let metrics = json(odd.join("metrics.json"));
    assert_eq!(metrics["survey"]["unknown_labels"][0]["label"], "yodelling");
    assert_eq!(metrics["survey"]["past_end"][0]["video"], "short");
    assert_eq!(metrics["videos"]["failed"][0]["video"], "failed");
    assert_eq!(metrics["videos"]["without_clips"][0], "short");
    let page = fs::read_to_string(odd.join("report.html")).unwrap();
    assert!(page.contains("it is &lt;not&gt; a video") && page.contains("yodelling"));
}

#[test]
fn one_video_and_one_clip_are_enough() {
    let folder = tempfile::tempdir().unwrap();
    fill(&store(folder.path(), &run("one", Task::SingleLabel, 2)), 0..1, 1, 1.0);
    report(&[text(folder.path())]);
    let metrics = json(folder.path().join("metrics.json"));
    assert_eq!(metrics["video"]["accuracy"], 1.0);
    assert_eq!(metrics["video"]["tempered"], Value::Null);
    assert_eq!(metrics["video"]["intervals"][0]["low"], Value::Null);
}

#[test]
fn several_labels_at_once_are_measured_apart() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    fill(&store(out, &run("many", Task::MultiLabel, 6)), 0..30, 2, 0.8);
    let said = report(&[text(out), "--bootstrap", "50", "--aggregate", "max"]);
    assert!(said.contains("Exact match") && !said.contains("Top-1"), "{said}");
    let metrics = json(out.join("metrics.json"));
    assert_eq!(metrics["clip"]["confusion"], Value::Null);
    assert_eq!(metrics["rules"]["aggregate"], "max");
    assert!(metrics["clip"]["average_precision"]["macro_present"].as_f64().unwrap() > 0.5);
    assert!(!fs::read_to_string(out.join("report.html")).unwrap().contains("id=\"confusion\""));
    let videos = fs::read_to_string(out.join("videos.csv")).unwrap();
    assert!(videos.contains("class 000 <&>|class 002 <&>"), "{videos}");
}

#[test]
fn untrimmed_videos_have_timelines_and_events() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    fill_untrimmed(&store(out, &run("stream", Task::SingleLabel, 4)), 5);
    report(&[text(out), "--bootstrap", "50"]);
    let metrics = json(out.join("metrics.json"));
    let (clip, every) = (&metrics["clip"]["samples"], &metrics["every"]["samples"]);
    assert!(clip.as_u64().unwrap() < every.as_u64().unwrap());
    assert_eq!(metrics["video"], Value::Null);
    assert_eq!(metrics["timelines"].as_array().unwrap().len(), 5);
    let f1 = &metrics["events"]["f1"];
    assert!(f1[0]["f1"].as_f64().unwrap() >= f1[2]["f1"].as_f64().unwrap());
    assert!(metrics["events"]["latency"]["mean"].as_f64().unwrap() > 0.0);
    assert!(metrics["per_frame"]["average_precision"]["macro_present"].as_f64().unwrap() > 0.3);
    assert!(out.join("figures/timeline-untrimmed%200.mkv.svg").exists());
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert_eq!(page.matches("<summary>untrimmed").count(), 5);
}

/// The conventions differ where a class is predicted and never true.
#[test]
fn conventions_can_be_chosen_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    // 11 classes, of which 5 videos show few.
    fill(&store(out, &run("few", Task::SingleLabel, 11)), 0..5, 4, 0.5);
    let macro_f1 = |conventions: &str| {
        report(&[text(out), "--conventions", conventions, "--bootstrap", "0", "--no-figures"]);
        let metrics = json(out.join("metrics.json"));
        assert_eq!(metrics["rules"]["conventions"], conventions);
        (metrics["clip"]["balanced_accuracy"].clone(), metrics["clip"]["accuracy"].clone())
    };
    let (scikit, torch) = (macro_f1("scikit-learn"), macro_f1("torchmetrics"));
    assert_ne!(scikit.0, torch.0);
    assert_eq!(scikit.1, torch.1);
    assert!(refused(&[text(out), "--conventions", "caffe"], 2).contains("scikit-learn"));
}

#[test]
fn two_runs_are_set_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    fill(&store(&a, &run("weak", Task::SingleLabel, 10)), 0..60, 3, 0.5);
    // The same classes in another order, and two videos fewer.
    let mut strong = run("strong", Task::SingleLabel, 10);
    strong.model.labels.reverse();
    let strong_store = store(&b, &strong);
    fill(&strong_store, 0..60, 3, 0.95);
    let out = folder.path().join("out");
    // Video k shows class 7k mod 10 of each order: relabel the truth of the second.
    for video in strong_store.videos().unwrap() {
        let reader = strong_store.read(&video).unwrap();
        let mut header = reader.header().clone();
        let clips: Vec<Clip> = reader
            .map(|clip| {
                let mut clip = clip.unwrap();
                clip.logits.reverse();
                clip
            })
            .collect();
        let Truth::Video(labels) = &header.truth else { panic!("{:?}", header.truth) };
        let index = strong.model.labels.iter().position(|l| *l == labels[0]).unwrap();
        header.truth = Truth::Video(vec![strong.model.labels[9 - index].clone()]);
        let mut writer = strong_store.write(&video).unwrap();
        clips.iter().for_each(|clip| writer.clip(clip).unwrap());
        writer.finish(header).unwrap();
    }
    fs::remove_file(b.join("predictions/folder%2Fvideo%2000007.mp4.jsonl.zst")).unwrap();
    let said = report(&["--compare", text(&a), text(&b), "-o", text(&out), "--bootstrap", "300"]);
    assert!(said.contains("strong − first") && said.contains("McNemar"), "{said}");
    let comparison = json(out.join("compare.json"));
    let pair = &comparison["pairs"][0];
    assert_eq!((&pair["video"]["videos"], &pair["video"]["only_in_one"]), (&59.into(), &1.into()));
    let accuracy = &pair["clip"]["differences"][0];
    assert_eq!(accuracy["figure"], "accuracy");
    assert!(accuracy["difference"]["low"].as_f64().unwrap() > 0.0, "{accuracy}");
    assert!(pair["mcnemar"]["exact_p"].as_f64().unwrap() < 0.05, "{pair}");
    assert!(fs::read_to_string(out.join("compare.html")).unwrap().contains("strong"));

    let other = folder.path().join("other");
    fill(&store(&other, &run("other", Task::SingleLabel, 9)), 0..5, 1, 0.5);
    let error = refused(&["--compare", text(&a), text(&other), "-o", text(&out)], 2);
    assert!(error.contains("class 009"), "{error}");
}

/// Frames of a recording that is still there are in the page.
#[test]
fn the_worst_mistakes_show_frames() {
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("stream.mkv");
    let made = kinewatch(&["synth", "-o", text(&recording), "--seconds", "4", "--size", "320x180"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let out = folder.path().join("out");
    let store = store(&out, &run("wrong", Task::SingleLabel, 2));
    let mut writer = store.write("stream.mkv").unwrap();
    let clip = Clip { start: 0.5, t: 3.0, view: [0, 0], logits: vec![0.0, 5.0] };
    writer.clip(&clip).unwrap();
    let truth = Truth::Video(vec!["class 000 <&>".into()]);
    let path = text(&recording).to_owned();
    writer.finish(VideoHeader { path, ..header(truth, 4.0) }).unwrap();
    report(&[text(&out)]);
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert_eq!(page.matches("data:image/jpeg;base64,").count(), 5);
    report(&[text(&out), "--no-frames"]);
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(!page.contains("data:image/jpeg"));
}
