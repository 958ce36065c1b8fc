//! What a stream learns from its labels as it runs, on simulated sources and
//! models: nothing before it has predicted, nothing twice, and nothing is
//! forgotten by a restart.

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kinewatch::accuracy::AccuracyOptions;
use kinewatch::calibrate::CalibrateOptions;
use kinewatch::clock::Clock;
use kinewatch::label::{self, Aliases, Claims, LabelClock, Rules, Span, Truths};
use kinewatch::model::Task;
use kinewatch::session::{Keeper, Keeping, Learned, Session};
use serde_json::Value;
use support::*;

/// Clips until the calibrator may speak: 20 effective samples of three clips each.
const LEARNED: usize = 60;

fn options() -> CalibrateOptions {
    CalibrateOptions { min_evidence: 20.0, ..CalibrateOptions::default() }
}

/// Always as good as certain, and right seven times in ten where "wave" is.
fn boastful(n: u64) -> [f32; 3] {
    // A fixed shuffle of the numbers, so that no run of errors has a rhythm.
    let shuffled = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
    match shuffled % 10 {
        0..7 => [0.0, 8.0, 0.0],
        7..9 => [8.0, 0.0, 0.0],
        _ => [0.0, 0.0, 8.0],
    }
}

fn learning(count: u32, memory: &Arc<kinewatch::sink::Sinks>, spans: Vec<Span>) -> Session {
    let model = Model::new(4).script(|n| Ok(boastful(n)));
    let mut session = session("gate", Source::recording(frames(0.0, count, 4.0)), model, memory);
    session.truths = truths(spans);
    session.calibrate = Some(options());
    session.accuracy = Some(AccuracyOptions::default());
    session
}

fn span(start: f64, end: f64, label: &str) -> Span {
    Span { start, end, label: label.into() }
}

fn confidence(line: &Value) -> f64 {
    line["top"][0]["p"].as_f64().unwrap()
}

#[test]
fn confidence_comes_to_what_is_right() {
    let (memory, sinks) = memory();
    let session = learning(1200, &sinks, vec![span(0.0, 400.0, "wave")]);
    let standing = session.progress.standing.clone();
    session.run();
    let predictions = memory.predictions();
    assert!(confidence(&predictions[LEARNED / 2]) > 0.99, "too early to know better");
    let last: f64 = predictions[1000..].iter().map(confidence).sum::<f64>() / 197.0;
    assert!((last - 0.7).abs() < 0.06, "{last}");
    let told = standing.text().unwrap();
    assert!(told.contains("gate"), "{told}");
}

/// Whatever the label of a clip is, its own prediction was made before, and so
/// was every one before it.
#[test]
fn no_prediction_has_seen_its_own_label_or_a_later_one() {
    let run = |late: &str| {
        let (memory, sinks) = memory();
        let spans = vec![span(0.0, 75.0, "wave"), span(75.0, 150.0, late)];
        learning(600, &sinks, spans).run();
        let mut lines = memory.predictions();
        lines.iter_mut().for_each(|line| line["truth"] = Value::Null);
        lines
    };
    let (one, other) = (run("wave"), run("idle"));
    // The first clip that lies wholly after 75 s is where the labels part.
    let parted = one.iter().position(|line| line["start"].as_f64().unwrap() >= 75.0).unwrap();
    assert!(parted > LEARNED);
    // "wave" to "wave" and "wave" to "idle": nothing scores the clips across it.
    assert_eq!(one[..=parted], other[..=parted]);
    assert_ne!(one[parted + 1..], other[parted + 1..]);
}

#[test]
fn a_set_is_given_once_it_means_something() {
    let (memory, sinks) = memory();
    learning(1200, &sinks, vec![span(0.0, 400.0, "wave")]).run();
    let predictions = memory.predictions();
    assert_eq!(predictions[0]["set"], Value::Null);
    let sets = &predictions[600..];
    let held = sets
        .iter()
        .filter(|line| line["set"].as_array().unwrap().iter().any(|label| label == "wave"));
    let coverage = held.count() as f64 / sets.len() as f64;
    assert!((coverage - 0.9).abs() < 0.05, "{coverage}");
}

/// One second later each time that it is asked.
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000 + self.0.fetch_add(1, Ordering::SeqCst))
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }
}

#[test]
fn labels_that_come_late_are_scored_as_it_was_predicted_then() {
    let (memory, sinks) = memory();
    let (post, inbox) = label::live(Rules {
        stream: "gate".into(),
        classes: facts().labels,
        aliases: Aliases::new(&facts().labels),
        multi_label: false,
        clock: LabelClock::Stream,
    });
    let watched = memory.clone();
    let mut post = Some(post);
    let mut steps = frames(0.0, 400, 4.0);
    // A hundred predictions wait for their labels before any come.
    steps.insert(
        103,
        Step::Until(Box::new(move || {
            let enough = watched.predictions().len() >= 100;
            if enough && let Some(post) = post.take() {
                let said = br#"{"label": "wave", "start": 0.0, "end": 90.0}"#;
                let receipt = post.send(Claims::from_json(said, LabelClock::Stream).unwrap());
                assert_eq!(receipt.taken, 1, "{receipt:?}");
            }
            enough
        })),
    );
    let model = Model::new(4).script(|n| Ok(boastful(n)));
    let mut session = session("gate", Source::recording(steps), model, &sinks);
    session.truths = Some(Truths::new("gate").with_inbox(inbox, Duration::from_secs(3600)));
    session.calibrate = Some(options());
    session.accuracy = Some(AccuracyOptions::default());
    let summary = session.run();
    let predictions = memory.predictions();
    assert_eq!(predictions[50]["truth"], serde_json::json!([]), "nobody knew yet");
    assert!(confidence(&predictions[99]) > 0.99);
    assert!(confidence(&predictions[101]) < 0.95, "the labels taught it at once");
    let score = summary.score.unwrap();
    // All clips that end before 90 s: 4 a second but for the first three frames.
    assert_eq!(score.clip.predictions, 360 - 3);
}

#[test]
fn labels_that_never_come_cost_no_memory_and_are_counted() {
    let (memory, sinks) = memory();
    let (post, inbox) = label::live(Rules {
        stream: "gate".into(),
        classes: facts().labels,
        aliases: Aliases::new(&facts().labels),
        multi_label: false,
        clock: LabelClock::Stream,
    });
    let mut session = learning(400, &sinks, vec![]);
    session.truths = Some(Truths::new("gate").with_inbox(inbox, Duration::from_secs(30)));
    session.clock = Arc::new(Ticking(AtomicU64::new(0)));
    let standing = session.progress.standing.clone();
    session.run();
    drop(post);
    assert_eq!(memory.predictions().len(), 397);
    assert_eq!(standing.text(), None, "nothing was scored");
}

/// Keeps states in memory, as a disk would: through their serialised form.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Option<String>>>);

impl Keeper for Shelf {
    fn load(&mut self) -> Option<Learned> {
        self.0.lock().unwrap().as_deref().map(|text| serde_json::from_str(text).unwrap())
    }

    fn keep(&mut self, learned: Learned) {
        *self.0.lock().unwrap() = Some(serde_json::to_string(&learned).unwrap());
    }
}

#[test]
fn what_was_learned_outlives_the_process() {
    let shelf = Shelf::default();
    let run = || {
        let (memory, sinks) = memory();
        let mut session = learning(600, &sinks, vec![span(0.0, 400.0, "wave")]);
        let every = Duration::from_secs(3600);
        session.keeping = Some(Keeping { keeper: Box::new(shelf.clone()), every });
        session.run();
        memory.predictions()
    };
    let (first, second) = (run(), run());
    assert!(confidence(&first[0]) > 0.99);
    let (last, next) = (confidence(first.last().unwrap()), confidence(&second[0]));
    assert!(next < 0.9 && (next - last).abs() < 0.05, "{last} then {next}");
    assert!(second[0]["set"].is_array(), "sets go on, too");
}

#[test]
fn a_state_of_another_kind_is_left_and_the_stream_runs() {
    let shelf = Shelf::default();
    let run = |options: CalibrateOptions| {
        let (memory, sinks) = memory();
        let mut session = learning(600, &sinks, vec![span(0.0, 400.0, "wave")]);
        session.calibrate = Some(options);
        let every = Duration::from_secs(3600);
        session.keeping = Some(Keeping { keeper: Box::new(shelf.clone()), every });
        session.run();
        memory.predictions()
    };
    run(options());
    let other = CalibrateOptions { method: kinewatch::calibrate::Method::Histogram, ..options() };
    let predictions = run(other);
    assert_eq!(predictions.len(), 597);
    assert!(confidence(&predictions[0]) > 0.99, "a histogram begins anew");
}

#[test]
fn a_change_in_what_is_seen_is_told_to_the_sinks() {
    let (memory, sinks) = memory();
    // Without any label: from always sure of "wave" to always torn.
    let model = Model::new(4).script(|n| {
        let noise = (boastful(n)[1] - 4.0) / 20.0;
        Ok(if n < 1500 { [0.0, 6.0 + noise, 0.0] } else { [2.0 + noise, 2.2, 2.0] })
    });
    let mut session = session("gate", Source::recording(frames(0.0, 3000, 4.0)), model, &sinks);
    session.calibrate = Some(options());
    let summary = session.run();
    assert!(summary.error.is_none());
    let drift = memory.lines("drift");
    assert!(!drift.is_empty());
    for line in &drift {
        assert_eq!((&line["v"], &line["stream"]), (&1.into(), &"gate".into()));
        let t = line["t"].as_f64().unwrap();
        assert!((375.0..500.0).contains(&t), "{line}");
    }
    assert!(drift.iter().any(|line| line["what"] == "confidence"), "{drift:?}");
}

/// As a report has it: with many labels, annotated time without one says that
/// none of the classes holds, and a clip in which one comes or goes says nothing.
#[test]
fn of_a_multi_label_stream_no_label_is_an_answer_too() {
    let (_, sinks) = memory();
    let model = Model::new(4).script(|_| Ok([-4.0, 4.0, -4.0]));
    let mut session = session("gate", Source::recording(frames(0.0, 40, 4.0)), model, &sinks);
    session.model.task = Task::MultiLabel;
    session.truths = truths(vec![span(4.0, 8.0, "wave")]);
    session.calibrate = Some(options());
    session.accuracy = Some(AccuracyOptions::default());
    let standing = session.progress.standing.clone();
    session.run();
    let told = standing.text().unwrap();
    // Clips end at 0.75 ... 9.75: 13 before the label, 13 within, 5 after it.
    assert!(told.contains("31"), "{told}");
}
