//! What only time shows: a daemon's memory after many frames, and what becomes of it
//! when it was stopped, when the clock was set, and when memory is short.

#[allow(dead_code)]
#[path = "service_support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use serde_json::Value;
use support::{LIVE, Rig, SYNTH, stream};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: i64 = 3_600;

/// How often, unless the environment says otherwise.
fn count(variable: &str, usually: u64) -> u64 {
    std::env::var(variable).ok().map_or(usually, |count| count.parse().unwrap())
}

/// A recording of so many small pictures, 30 a second, and what is true in it.
fn record(folder: &Path, name: &str, pictures: u64) -> PathBuf {
    gst::init().unwrap();
    let path = folder.join(name);
    let launch = format!(
        "videotestsrc num-buffers={pictures} pattern=ball ! video/x-raw,format=I420,width=64,height=48,framerate=30/1 \
         ! x264enc speed-preset=ultrafast tune=zerolatency key-int-max=60 ! h264parse ! matroskamux ! filesink location={}",
        path.display()
    );
    let pipeline = gst::parse::launch(&launch).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let message = bus.timed_pop_filtered(
        gst::ClockTime::from_seconds(3_600),
        &[gst::MessageType::Eos, gst::MessageType::Error],
    );
    assert!(message.is_some_and(|message| message.type_() == gst::MessageType::Eos), "{launch}");
    pipeline.set_state(gst::State::Null).unwrap();
    let labels = ["idle", "approaching", "left-to-right", "covered"];
    let mut truth = "video,start,end,label\n".to_owned();
    for part in 0..pictures / 300 + 1 {
        let label = labels[part as usize % labels.len()];
        truth += &format!("{name},{},{},{label}\n", part * 10, part * 10 + 10);
    }
    fs::write(path.with_extension("csv"), truth).unwrap();
    path
}

/// What a process and its children hold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Holds {
    resident_kb: u64,
    threads: usize,
    files: usize,
    processes: usize,
}

impl Holds {
    fn of(daemon: u32) -> Holds {
        let mut holds = Holds::default();
        let mut left = vec![daemon];
        while let Some(pid) = left.pop() {
            let at = PathBuf::from(format!("/proc/{pid}"));
            let Ok(status) = fs::read_to_string(at.join("status")) else { continue };
            let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let resident = resident.unwrap_or("0 kB").trim().trim_end_matches(" kB");
            holds.resident_kb += resident.parse::<u64>().unwrap();
            holds.processes += 1;
            holds.files += fs::read_dir(at.join("fd")).map_or(0, |entries| entries.count());
            for task in fs::read_dir(at.join("task")).into_iter().flatten().flatten() {
                holds.threads += 1;
                let children = fs::read_to_string(task.path().join("children"));
                let children = children.unwrap_or_default();
                left.extend(children.split_whitespace().map(|pid| pid.parse::<u32>().unwrap()));
            }
        }
        holds
    }
}

/// Four streams at full speed, each in its own way. From a twentieth of the way on
/// the daemon holds what it held then: `make torture-soak` looks for two million
/// frames.
#[test]
fn what_it_holds_does_not_grow() {
    let frames = count("KINEWATCH_SOAK", 12_000);
    let rig = Rig::new("");
    // Not every stream is as fast as the others, and none may come to its end.
    let recording = record(&rig.path(""), "long.mkv", frames * 2 / 3);
    let source = format!("{{ path = \"{}\" }}", recording.display());
    rig.write(&[
        "[accuracy]\npath = \"accuracy\"\nwindow = \"1 min\"\n[calibrate]\ncoverage = 0.9\n\
         [state]\npath = \"state\"\nevery = \"1 s\"\n"
            .into(),
        stream("plain", &source, ""),
        stream("apart", &source, "isolate = true"),
        stream("window", &source, "model = { mode = \"window\" }\npredict = { hop = 16 }"),
        stream("scored", &source, "labels = \"long.csv\""),
        "[[sink]]\nkind = \"file\"\npath = \"rotated.jsonl\"\nrotate_bytes = 1000000\nkeep = 2\n".into(),
    ]
    .concat());
    let mut daemon = rig.start_fast();
    let pid = daemon.process.id();
    let frames_so_far = || {
        let (_, status) = rig.status();
        let streams = status["streams"].as_array().cloned().unwrap_or_default();
        assert!(streams.iter().all(|s| s["state"] != "ended"), "{status}");
        streams.iter().filter_map(|stream| stream["source"]["frames"].as_u64()).sum::<u64>()
    };
    daemon.told("READY=1");
    let mut seen: Vec<(u64, Holds)> = Vec::new();
    let begun = Instant::now();
    let pause = SECOND.min(Duration::from_millis(frames / 400));
    loop {
        assert_eq!(daemon.process.try_wait().unwrap(), None, "it ended: {}", daemon.log());
        let now = frames_so_far();
        seen.push((now, Holds::of(pid)));
        if now >= frames {
            break;
        }
        assert!(begun.elapsed() < 3_600 * SECOND, "{:?}", seen.last());
        std::thread::park_timeout(pause);
    }
    let settled = seen.iter().position(|(at, _)| *at >= frames / 20).unwrap();
    let (at, early) = seen[settled];
    let (last, late) = *seen.last().unwrap();
    let most = seen[settled..].iter().map(|(_, holds)| holds.resident_kb).max().unwrap();
    println!(
        "after {at} frames {early:?}; after {last} {late:?}; at most {most} kB; {} looks in {:?}",
        seen.len() - settled,
        begun.elapsed()
    );
    // A file being written and somebody who asks for the status come and go.
    let tenth = (seen.len() - settled).div_ceil(10);
    let least = |looks: &[(u64, Holds)]| {
        let of = |count: fn(&Holds) -> usize| looks.iter().map(|(_, h)| count(h)).min().unwrap();
        (of(|h| h.threads), of(|h| h.files), of(|h| h.processes))
    };
    let (first, last) = (&seen[settled..settled + tenth], &seen[seen.len() - tenth..]);
    assert_eq!(least(first), least(last), "threads, files, processes");
    let busiest = seen[settled..].iter().map(|(_, h)| h.threads + h.files).max().unwrap();
    let (threads, files, _) = least(first);
    assert!(busiest <= threads + files + 8, "{busiest} threads and files");
    // A short run is still at its first clips after a twentieth of it.
    let (percent, spare) = if frames >= 1_000_000 { (102, 0) } else { (110, 10_000) };
    assert!(most <= early.resident_kb * percent / 100 + spare, "{seen:?}");
    daemon.signal("TERM");
    daemon.ends_within(60 * SECOND);
}

/// Whether a stream's predictions follow each other as if nothing had happened.
fn check_unbroken(said: &[Value]) {
    for (i, line) in said.iter().enumerate() {
        assert_eq!(line["seq"], i as u64, "{line}");
        assert!(i == 0 || line.get("reset").is_none_or(Value::is_null), "{line}");
        assert!(line["latency_ms"].as_f64().unwrap() < 30_000.0, "{line}");
    }
    for pair in said.windows(2) {
        let step = pair[1]["t"].as_f64().unwrap() - pair[0]["t"].as_f64().unwrap();
        assert!(step > 0.0, "{pair:?}");
    }
}

/// Somebody sets the clock of the machine, by an hour each way.
#[test]
fn a_clock_that_is_set_disturbs_nothing() {
    let library = fs::read_dir("/usr/lib").unwrap().flatten().find_map(|entry| {
        let path = entry.path().join("faketime/libfaketime.so.1");
        path.exists().then_some(path)
    });
    let library = library.expect("libfaketime; make setup installs it");
    let sink = "[[sink]]\nkind = \"file\"\npath = \"old.jsonl\"\nrotate_age = \"30 min\"\n";
    let state = "[state]\npath = \"state\"\nevery = \"100 ms\"\n[calibrate]\nmin_evidence = 2.0\n";
    let rig = Rig::new(
        &[
            state.to_owned(),
            stream("labelled", SYNTH, ""),
            stream("live", LIVE, ""),
            sink.to_owned(),
        ]
        .concat(),
    );
    let set = |seconds: i64| {
        let new = rig.path("offset.new");
        fs::write(&new, format!("{seconds:+}\n")).unwrap();
        fs::rename(new, rig.path("offset")).unwrap();
    };
    set(0);
    let offset = rig.path("offset");
    let mut daemon = rig.start_with(&[
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME_TIMESTAMP_FILE", offset.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("WATCHDOG_USEC", "3000000"),
    ]);
    let wall =
        |line: &Value| line["at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
    let kept = || fs::read(rig.path("state/labelled.state.json")).unwrap_or_default();
    for hours in [0, 1, 0, -1, 0] {
        set(hours * HOUR);
        let before = kept();
        for name in ["labelled", "live"] {
            let so_far = rig.predictions(name).len();
            rig.wait_for_predictions(name, so_far + 10);
            let newest = rig.predictions(name).pop().unwrap();
            let apart = wall(&newest) - jiff::Timestamp::now().as_second() - hours * HOUR;
            assert!(apart.abs() < 60, "{hours} h: {apart} s; {newest}");
        }
        rig.wait_until("what was learned to be kept", || kept() != before);
        daemon.heard();
        daemon.told("WATCHDOG=1");
        assert_eq!(rig.status().0, 0);
    }
    daemon.signal("TERM");
    assert_eq!(daemon.ends_within(30 * SECOND), Some(0));
    for name in ["labelled", "live"] {
        check_unbroken(&rig.predictions(name));
    }
    // A file is an hour old once, when the clock goes forward.
    let whole = |name: &str| fs::read_to_string(rig.path(name)).unwrap_or_default().lines().count();
    assert!(rig.path("old.jsonl.1").exists());
    let all =
        whole("old.jsonl") + whole("old.jsonl.1") + whole("old.jsonl.2") + whole("old.jsonl.3");
    let said = fs::read_to_string(rig.path("predictions.jsonl")).unwrap().lines().count();
    assert_eq!(all, said);
}
