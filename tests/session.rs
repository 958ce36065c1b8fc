//! What a stream does from its first frame to its end, on simulated sources,
//! models and sinks.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kinewatch::duration::HumanDuration;
use kinewatch::error::{Error, Result};
use kinewatch::label::Span;
use kinewatch::predict::{EventOptions, PredictOptions, SmoothOptions};
use kinewatch::session::{Observer, Scored};
use kinewatch::sink::{Record, Sink, SinkError, Sinks};
use kinewatch::video::Reset;
use serde_json::{Value, json};
use support::*;

fn field<T: serde::de::DeserializeOwned>(lines: &[Value], name: &str) -> Vec<T> {
    lines.iter().map(|line| serde_json::from_value(line[name].clone()).unwrap()).collect()
}

#[test]
fn predictions_begin_with_the_first_full_clip_and_then_come_at_every_hop() {
    let (memory, sinks) = memory();
    let mut session =
        session("gate", Source::recording(frames(0.0, 12, 4.0)), Model::new(4), &sinks);
    session.predict = PredictOptions { hop: 3, ..plain() };
    let summary = session.run();

    assert!(summary.error.is_none(), "{:?}", summary.error);
    let predictions = memory.predictions();
    assert_eq!(field::<f64>(&predictions, "t"), [0.75, 1.5, 2.25]);
    assert_eq!(field::<f64>(&predictions, "start"), [0.0, 0.75, 1.5]);
    assert_eq!(field::<u64>(&predictions, "seq"), [0, 1, 2]);
    assert_eq!(field::<Value>(&predictions, "reset"), [json!("start"), json!(null), json!(null)]);
    assert_eq!(predictions[0]["at"], "2023-11-14T22:13:20.123Z");
    assert_eq!(predictions[0]["label"], "wave");
    assert_eq!((summary.frames, summary.predictions, summary.skipped), (12, 3, 0));
}

/// A network with a stride of 4 in time has nothing to say in between.
#[test]
fn a_hop_is_rounded_up_to_the_strides_of_the_model() {
    for (hop, every) in [(1, 4), (4, 4), (6, 8)] {
        let (memory, sinks) = memory();
        let mut model = Model::new(5);
        model.stride = 4;
        let mut session = session("gate", Source::recording(frames(0.0, 22, 4.0)), model, &sinks);
        session.predict = PredictOptions { hop, ..plain() };
        let summary = session.run();

        let expected: Vec<f64> = (4..22).step_by(every).map(|at| f64::from(at) / 4.0).collect();
        assert_eq!(field::<f64>(&memory.predictions(), "t"), expected, "hop {hop}");
        assert_eq!(summary.skipped, 0);
    }
}

#[test]
fn a_recording_waits_for_a_slow_model_and_loses_nothing() {
    let (memory, sinks) = memory();
    let model = Model::new(4).script(|_| {
        std::thread::yield_now();
        Ok([1.0, 0.0, 0.0])
    });
    let summary = session("gate", Source::recording(frames(0.0, 500, 4.0)), model, &sinks).run();
    assert_eq!((summary.frames, summary.skipped, summary.resets), (500, 0, 0));
    let seq: Vec<u64> = field(&memory.predictions(), "seq");
    assert_eq!(seq, (0..497).collect::<Vec<_>>());
}

#[test]
fn after_a_gap_the_clip_fills_anew_and_the_next_prediction_says_so() {
    for (reset, word, at) in [
        (Reset::Gap, "gap", 10.0),
        (Reset::Backwards, "backwards", 0.25),
        (Reset::Reconnect, "reconnect", 30.0),
    ] {
        let (memory, sinks) = memory();
        let mut steps = frames(0.0, 6, 4.0);
        steps.extend(frames_after(reset, at, 5, 4.0));
        let model = Model::new(4);
        let clips = model.clips.clone();
        let summary = session("gate", Source::recording(steps), model, &sinks).run();

        let predictions = memory.predictions();
        assert_eq!(field::<f64>(&predictions, "t"), [0.75, 1.0, 1.25, at + 0.75, at + 1.0]);
        assert_eq!(field::<Value>(&predictions, "reset")[2..4], [json!(null), json!(word)]);
        assert_eq!(
            *clips.lock().unwrap(),
            [4, 5, 6, 4, 5],
            "no prediction on a partly filled clip"
        );
        assert_eq!(summary.resets, 1);
    }
}

#[test]
fn smoothing_does_not_reach_over_a_reset_and_events_end_there() {
    let (memory, sinks) = memory();
    let mut steps = frames(0.0, 12, 4.0);
    steps.extend(frames_after(Reset::Gap, 60.0, 4, 4.0));
    let model =
        Model::new(4).script(|n| Ok(if n < 12 { [0.0, 9.0, 0.0] } else { [0.0, 0.0, 9.0] }));
    let mut session = session("gate", Source::recording(steps), model, &sinks);
    session.predict = PredictOptions {
        smooth: Some(SmoothOptions::default()),
        events: Some(EventOptions {
            min_duration: HumanDuration::seconds(1),
            ..EventOptions::default()
        }),
        ..PredictOptions::default()
    };
    let summary = session.run();

    let predictions = memory.predictions();
    assert_eq!(predictions.last().unwrap()["label"], "run", "at once, not after a half-life");
    let events = memory.lines("event");
    assert_eq!(events.len(), 1);
    assert_eq!((&events[0]["label"], &events[0]["ended_by"]), (&json!("wave"), &json!("reset")));
    assert_eq!((&events[0]["start"], &events[0]["end"]), (&json!(0.75), &json!(2.75)));
    assert_eq!(summary.events, 1);
    assert_eq!(
        predictions.iter().filter(|p| p["event"] == "wave").count(),
        5,
        "from 1.75 s to 2.75 s"
    );
}

#[test]
fn an_event_that_is_on_at_the_end_is_told() {
    let (memory, sinks) = memory();
    let mut session =
        session("gate", Source::recording(frames(0.0, 12, 4.0)), Model::new(4), &sinks);
    session.predict = PredictOptions::default();
    session.run();
    assert_eq!(memory.lines("event")[0]["ended_by"], "end");
    assert_eq!(memory.all().last().unwrap()["kind"], "event");
}

/// A live source that delivers a first clip, then `flood` frames while the
/// model stands still at its first prediction, and then lets it go on. Returns
/// the steps and the script of that model.
fn flood(
    flood: u32,
) -> (Vec<Step>, impl FnMut(u64) -> kinewatch::error::Result<[f32; 3]> + Send + 'static) {
    let (entered, delivered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let mut steps = frames(0.0, 4, 4.0);
    let flag = entered.clone();
    steps.push(Step::Until(Box::new(move || flag.load(Ordering::SeqCst))));
    steps.extend(frames(1.0, flood, 4.0));
    let flag = delivered.clone();
    steps.push(Step::Do(Box::new(move || flag.store(true, Ordering::SeqCst))));
    let script = move |_| {
        entered.store(true, Ordering::SeqCst);
        wait_until("the source", || delivered.load(Ordering::SeqCst));
        Ok([0.0, 1.0, 0.0])
    };
    (steps, script)
}

#[test]
fn when_a_live_stream_outruns_the_model_the_newest_clip_wins_and_skips_are_counted() {
    let (memory, sinks) = memory();
    let (steps, script) = flood(196);
    let model = Model::new(4).script(script);
    let clips = model.clips.clone();
    let summary = session("gate", Source::live(steps), model, &sinks).run();

    assert!(summary.error.is_none(), "{:?}", summary.error);
    let predictions = memory.predictions();
    assert_eq!(predictions.last().unwrap()["t"], 49.75, "the newest frame has its prediction");
    assert!(predictions.iter().any(|p| p["reset"] == "overload"), "{predictions:?}");
    assert!(summary.skipped > 150, "{summary}");
    let told: u64 = field::<u64>(&predictions, "skipped").iter().sum();
    assert_eq!(told, summary.skipped, "every skip is told by the next prediction");
    let seq: Vec<u64> = field(&predictions, "seq");
    assert_eq!(seq, (0..predictions.len() as u64).collect::<Vec<_>>());
    assert!(clips.lock().unwrap().iter().all(|&frames| frames >= 4));
}

#[test]
fn streams_that_flood_starve_no_slow_one() {
    let (memory, sinks) = memory();
    let done = Arc::new(AtomicBool::new(false));
    let fast: Vec<_> = (0..3)
        .map(|at| {
            // Frames as fast as they are taken, and a model that computes all the time.
            let over = done.clone();
            let mut t = 0.0;
            let steps = std::iter::repeat_with(move || {
                t += 0.001;
                Step::Frame(t, None)
            });
            let steps = steps.take_while(move |_| !over.load(Ordering::SeqCst));
            let model = Model::new(4).script(|_| {
                let until = Instant::now() + Duration::from_millis(5);
                while Instant::now() < until {
                    std::hint::spin_loop();
                }
                Ok([0.0, 5.0, 0.0])
            });
            let session = session(&format!("fast {at}"), Source::endless(steps), model, &sinks);
            std::thread::spawn(move || session.run())
        })
        .collect();
    // All three, or the slow one might be over before the last of them begins.
    wait_until("each of them to flood", || {
        let lines = memory.predictions();
        (0..3).all(|at| lines.iter().any(|line| line["stream"] == format!("fast {at}")))
    });
    let model = Model::new(4);
    let mut steps = Vec::new();
    for (at, step) in frames(0.0, 24, 4.0).into_iter().enumerate() {
        let seen = model.pushes.clone();
        steps.push(step);
        steps.push(Step::Until(Box::new(move || seen.load(Ordering::SeqCst) > at as u64)));
    }
    let slow = session("slow", Source::live(steps), model, &sinks).run();
    done.store(true, Ordering::SeqCst);
    assert!(fast.into_iter().map(|thread| thread.join().unwrap()).all(|s| s.predictions > 0));

    assert_eq!((slow.predictions, slow.skipped, slow.resets), (21, 0, 0), "{slow}");
    let mut latency: Vec<f64> = memory
        .predictions()
        .iter()
        .filter(|line| line["stream"] == "slow")
        .map(|line| line["latency_ms"].as_f64().unwrap())
        .collect();
    latency.sort_by(f64::total_cmp);
    assert!(latency[latency.len() / 2] < 250.0, "more than a hop: {latency:?}");
}

#[test]
fn a_hop_that_may_grow_does_so_before_predictions_are_skipped() {
    let (memory, sinks) = memory();
    let (steps, script) = flood(40);
    let mut session = session("gate", Source::live(steps), Model::new(4).script(script), &sinks);
    session.predict.max_hop = Some(64);
    let summary = session.run();
    assert!(summary.error.is_none(), "{:?}", summary.error);
    assert_eq!((summary.skipped, summary.resets), (0, 0), "{summary}");
    // 40 frames waited: the hop grew to 32 of them.
    let times: Vec<f64> = field(&memory.predictions(), "t");
    assert_eq!((times[0], times.len()), (0.75, 2), "{times:?}");
}

#[test]
fn a_model_with_state_begins_anew_after_an_overload_and_then_goes_on() {
    let (memory, sinks) = memory();
    let (mut steps, script) = flood(50);
    let mut model = Model::new(4).script(script);
    model.stateful = true;
    let (pushes, clips) = (model.pushes.clone(), model.clips.clone());
    // Then the source keeps step with the model: one push at least for each frame.
    for step in frames(13.5, 20, 4.0) {
        let before = Arc::new(AtomicU64::new(0));
        let (note, seen) = (before.clone(), pushes.clone());
        steps.push(Step::Do(Box::new(move || {
            note.store(seen.load(Ordering::SeqCst), Ordering::SeqCst)
        })));
        steps.push(step);
        let now = pushes.clone();
        steps.push(Step::Until(Box::new(move || {
            now.load(Ordering::SeqCst) > before.load(Ordering::SeqCst)
        })));
    }
    let summary = session("gate", Source::live(steps), model, &sinks).run();

    assert!(summary.error.is_none(), "{:?}", summary.error);
    let predictions = memory.predictions();
    assert!(predictions.iter().any(|p| p["reset"] == "overload"), "{predictions:?}");
    assert!(summary.skipped > 0 && summary.resets > 0, "{summary}");
    assert_eq!(predictions.last().unwrap()["t"], 18.25, "it goes on to the newest frame");
    assert!(predictions.len() > 10, "{}", predictions.len());
    assert!(
        clips.lock().unwrap().iter().all(|&frames| frames >= 4),
        "no prediction on a partly filled clip"
    );
}

#[test]
fn a_model_that_gives_no_number_ends_only_its_own_stream() {
    let (memory, sinks) = memory();
    let bad = Model::new(4).script(|n| Ok(if n < 6 { [0.0; 3] } else { [0.0, f32::NAN, 0.0] }));
    let bad = session("bad", Source::recording(frames(0.0, 50, 4.0)), bad, &sinks);
    let good = session("good", Source::recording(frames(0.0, 50, 4.0)), Model::new(4), &sinks);
    let (bad, good) = std::thread::scope(|scope| {
        let bad = scope.spawn(|| bad.run());
        let good = scope.spawn(|| good.run());
        (bad.join().unwrap(), good.join().unwrap())
    });
    let error = bad.error.unwrap().to_string();
    assert!(error.contains("\"bad\"") && error.contains("NaN"), "{error}");
    assert_eq!(bad.predictions, 3);
    assert!(good.error.is_none());
    assert_eq!(memory.predictions().iter().filter(|p| p["stream"] == "good").count(), 47);
}

/// As a state that overflowed after months: it must not be the end of the stream.
#[test]
fn a_model_that_fails_once_begins_anew_and_says_so() {
    for fault in [(|| Ok([0.0, f32::NAN, 0.0])) as fn() -> Result<[f32; 3]>, || {
        Err(Error::data("running", "it broke"))
    }] {
        let (memory, sinks) = memory();
        let model = Model::new(4).script(move |n| if n == 9 { fault() } else { Ok([0.0; 3]) });
        let summary = session("gate", Source::recording(frames(0.0, 20, 4.0)), model, &sinks).run();
        assert!(summary.error.is_none(), "{:?}", summary.error);
        assert_eq!((summary.predictions, summary.resets), (13, 1));
        let predictions = memory.predictions();
        let fault: Vec<usize> =
            (0..predictions.len()).filter(|&at| predictions[at]["reset"] == "fault").collect();
        assert_eq!(fault, [6], "six before the fault at frame 9; the next clip is full at 13");
        assert_eq!(predictions[5]["t"], 2.0);
        assert_eq!(predictions[6]["t"], 3.25);
    }
}

#[test]
fn failures_and_panics_of_source_and_model_end_the_stream_with_an_error() {
    fn cut_short(by: Step) -> Vec<Step> {
        let mut steps = frames(0.0, 5, 4.0);
        steps.push(by);
        steps
    }
    for live in [false, true] {
        let cases: [(Vec<Step>, Model, &str); 4] = [
            (cut_short(Step::Fail("the cable is cut")), Model::new(4), "the cable is cut"),
            (cut_short(Step::Panic), Model::new(4), "the simulated source panicked"),
            (
                frames(0.0, 500, 4.0),
                Model::new(4).script(|_| Err(Error::data("running", "it broke"))),
                "it broke",
            ),
            (frames(0.0, 500, 4.0), Model::new(4).script(|_| panic!("a bug")), "a bug"),
        ];
        for (steps, model, expected) in cases {
            let (_, sinks) = memory();
            let source = if live { Source::live(steps) } else { Source::recording(steps) };
            let summary = session("gate", source, model, &sinks).run();
            let error = summary.error.expect(expected).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}

/// Its write panics, or says that its reader is gone, at the third record.
struct ThirdTime(u32, Option<SinkError>);

impl Sink for ThirdTime {
    fn name(&self) -> String {
        "third time".into()
    }

    fn write(&mut self, _: Record<'_>) -> Result<(), SinkError> {
        self.0 += 1;
        match (self.0, &self.1) {
            (3, None) => panic!("a bug in the sink"),
            (3, Some(error)) => Err(error.clone()),
            _ => Ok(()),
        }
    }
}

#[test]
fn a_panicking_sink_harms_neither_the_stream_nor_the_other_sinks() {
    let memory = Memory::default();
    let sinks = Arc::new(Sinks::new(vec![Box::new(ThirdTime(0, None)), Box::new(memory.clone())]));
    let summary =
        session("gate", Source::recording(frames(0.0, 20, 4.0)), Model::new(4), &sinks).run();
    assert!(summary.error.is_none(), "{:?}", summary.error);
    assert_eq!((memory.predictions().len(), sinks.lost()), (17, 1));
}

#[test]
fn when_the_last_sink_is_gone_the_stream_ends() {
    let sinks = Arc::new(Sinks::new(vec![Box::new(ThirdTime(0, None))]));
    let summary =
        session("gate", Source::recording(frames(0.0, 500, 4.0)), Model::new(4), &sinks).run();
    assert!(summary.error.unwrap().to_string().contains("no sink is left"));

    let sinks = Arc::new(Sinks::new(vec![Box::new(ThirdTime(0, Some(SinkError::Closed)))]));
    let summary =
        session("gate", Source::recording(frames(0.0, 500, 4.0)), Model::new(4), &sinks).run();
    assert!(
        summary.error.is_none() && summary.closed,
        "a reader that has seen enough is no failure"
    );
    assert!(summary.predictions < 10, "{summary}");
}

#[test]
fn a_full_disk_stops_no_prediction() {
    let sinks =
        Arc::new(Sinks::new(vec![Box::new(ThirdTime(0, Some(SinkError::Lost("full".into()))))]));
    let summary =
        session("gate", Source::recording(frames(0.0, 20, 4.0)), Model::new(4), &sinks).run();
    assert_eq!((summary.predictions, sinks.lost()), (17, 1));
}

#[test]
fn a_stream_that_is_asked_to_stop_ends_without_an_error() {
    let (memory, sinks) = memory();
    let watched = memory.clone();
    let mut steps = frames(0.0, 8, 4.0);
    steps.push(Step::Until(Box::new(move || !watched.predictions().is_empty())));
    let source = Source::live(steps);
    let mut session = session("gate", source, Model::new(4), &sinks);
    session.truths = None;
    let stop = session.stop.clone();
    let running = std::thread::spawn(move || session.run());
    wait_until("a prediction", || !memory.predictions().is_empty());
    stop.ask();
    let summary = running.join().unwrap();
    assert!(summary.error.is_none());
}

#[test]
fn a_labelled_stream_scores_itself_as_it_runs() {
    let (memory, sinks) = memory();
    let span = |start, end, label: &str| Span { start, end, label: label.into() };
    let mut session =
        session("gate", Source::recording(frames(0.0, 16, 4.0)), Model::new(4), &sinks);
    session.truths = truths(vec![span(0.0, 2.0, "wave"), span(2.0, 3.0, "idle")]);
    let summary = session.run();

    let predictions = memory.predictions();
    assert_eq!(predictions[0]["truth"], json!(["wave"]));
    assert_eq!(predictions.last().unwrap()["truth"], json!([]), "nobody knows after 3 s");
    let score = summary.score.unwrap();
    // "wave" throughout: right at 0.75 … 1.75, wrong at 2.0 … 2.75. Of the wrong
    // ones only the clip from 2.0 to 2.75 lies within "idle".
    assert_eq!((score.every.predictions, score.every.top1), (9, Some(5.0 / 9.0)));
    assert_eq!((score.clip.predictions, score.clip.top1), (6, Some(5.0 / 6.0)));
    assert_eq!(score.clip.confusion, [[0, 1, 0], [0, 5, 0], [0, 0, 0]]);
}

#[test]
fn the_time_of_a_delayed_model_lies_behind_its_newest_frame() {
    let (memory, sinks) = memory();
    let mut model = Model::new(6);
    model.delay = Duration::from_millis(500);
    session("gate", Source::recording(frames(10.0, 6, 4.0)), model, &sinks).run();
    let prediction = &memory.predictions()[0];
    assert_eq!((&prediction["t"], &prediction["start"]), (&json!(10.75), &json!(10.0)));
    assert_eq!(prediction["delay_s"], 0.5);
}

#[test]
fn the_same_frames_give_the_same_lines() {
    let run = || {
        let (memory, sinks) = memory();
        let model = Model::new(4).script(|n| Ok([(n as f32).sin(), (n as f32 * 0.7).cos(), 0.1]));
        let mut session = session("gate", Source::recording(frames(0.0, 100, 4.0)), model, &sinks);
        session.predict = PredictOptions::default();
        session.run();
        serde_json::to_string(&memory.all()).unwrap()
    };
    let first = run();
    assert!(first.len() > 10_000);
    assert_eq!(first, run());
}

#[test]
fn real_lines_agree_with_the_schema_and_the_documentation_names_every_field() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");
    let schema: Value = serde_json::from_str(
        &std::fs::read_to_string(format!("{folder}/prediction.schema.json")).unwrap(),
    )
    .unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();

    let (memory, sinks) = memory();
    let mut steps = frames(0.0, 20, 4.0);
    steps.extend(frames_after(Reset::Gap, 60.0, 20, 4.0));
    let mut session = session("gate", Source::recording(steps), Model::new(4), &sinks);
    session.predict = PredictOptions::default();
    session.truths = truths(vec![Span { start: 0.0, end: 2.0, label: "wave".into() }]);
    session.run();
    let lines = memory.all();
    assert!(memory.lines("event").len() == 2 && lines.len() > 30);
    for line in &lines {
        let errors: Vec<String> = validator.iter_errors(line).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{line}: {errors:?}");
    }
    let mut broken = lines[0].clone();
    broken["surprise"] = json!(1);
    assert!(!validator.is_valid(&broken), "the schema is closed");

    let text = std::fs::read_to_string(format!("{folder}/output.md")).unwrap();
    for kind in ["prediction", "event"] {
        let section = text
            .split("\n## ")
            .find(|s| s.starts_with(&format!("`\"kind\": \"{kind}\"`")))
            .unwrap();
        let documented: std::collections::BTreeSet<&str> = section
            .lines()
            .filter_map(|l| l.strip_prefix("| `"))
            .filter_map(|l| l.split('`').next())
            .collect();
        let line = &memory.lines(kind)[0];
        let written: std::collections::BTreeSet<&str> =
            line.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(documented, written);
    }
}

/// Start, time, logits and best class of a clip.
type Told = (f64, f64, Vec<f32>, usize);

/// Keeps what it is told.
#[derive(Clone, Default)]
struct Watching(Arc<std::sync::Mutex<Vec<Told>>>, Option<Error>);

impl Observer for Watching {
    fn scored(&mut self, clip: Scored<'_>) -> kinewatch::error::Result<()> {
        let (start, t) = (clip.start.as_secs_f64(), clip.t.as_secs_f64());
        self.0.lock().unwrap().push((start, t, clip.logits.to_vec(), clip.best));
        self.1.clone().map_or(Ok(()), Err)
    }
}

#[test]
fn an_observer_is_told_every_logit_at_the_times_of_the_predictions() {
    let (memory, sinks) = memory();
    let model = Model::new(4).script(|n| Ok([n as f32, 1.0, 4.5]));
    let mut session = session("gate", Source::recording(frames(0.0, 8, 4.0)), model, &sinks);
    let watching = Watching::default();
    session.observer = Some(Box::new(watching.clone()));
    session.run();
    let told = watching.0.lock().unwrap().clone();
    let times: Vec<(f64, f64)> = told.iter().map(|clip| (clip.0, clip.1)).collect();
    let predictions = memory.predictions();
    let said: Vec<f64> = field(&predictions, "t");
    assert_eq!(times, said.iter().map(|t| (t - 0.75, *t)).collect::<Vec<_>>());
    let logits: Vec<_> = told.iter().map(|clip| (clip.2.clone(), clip.3)).collect();
    assert_eq!(logits[0], (vec![3.0, 1.0, 4.5], 2));
    assert_eq!(logits[4], (vec![7.0, 1.0, 4.5], 0));
}

#[test]
fn an_observer_that_fails_ends_the_stream() {
    let (memory, sinks) = memory();
    let source = Source::recording(frames(0.0, 100, 4.0));
    let mut session = session("gate", source, Model::new(4), &sinks);
    let fault = Error::unavailable("keeping logits", "the disk is full");
    session.observer = Some(Box::new(Watching(Arc::default(), Some(fault))));
    let summary = session.run();
    assert!(summary.error.unwrap().to_string().contains("the disk is full"));
    assert_eq!(memory.predictions().len(), 0);
}
