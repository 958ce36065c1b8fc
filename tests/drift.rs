//! Prediction sets keep their promise, and drift is noticed, on simulated streams
//! and against what others compute (tests/golden/drift.py).

mod drift_support;

use drift_support::{Runs, Stream};
use kinewatch::calibrate::{
    Alarm, Conformal, ConformalOptions, ConformalState, Detector, Drift, DriftOptions, DriftState,
    SetMethod, Watched,
};
use kinewatch::metric::Task;
use serde_json::Value;

fn sets(method: SetMethod, coverage: f64) -> ConformalOptions {
    ConformalOptions { method, coverage, ..ConformalOptions::default() }
}

/// Two classes, and the first is the truth.
fn binary(p: f64) -> [f32; 2] {
    [p as f32, 1.0 - p as f32]
}

/// The levels of ACI and DtACI are those of the papers' formulas.
#[test]
fn levels_follow_the_papers() {
    for line in include_str!("golden/drift/conformal.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let options = ConformalOptions {
            coverage: case["coverage"].as_f64().unwrap(),
            method: serde_json::from_value(case["method"].clone()).unwrap(),
            window: case["window"].as_u64().unwrap() as usize,
            ..ConformalOptions::default()
        };
        let mut conformal = Conformal::new(&options, 2, Task::SingleLabel);
        let mut random = drift_support::Random(case["seed"].as_u64().unwrap());
        let mut levels = case["levels"].as_array().unwrap().iter().peekable();
        let (mut index, mut missed, mut set) = (0u64, 0u64, Vec::new());
        for segment in case["segments"].as_array().unwrap() {
            let [length, low, high] = [0, 1, 2].map(|at| segment[at].as_u64().unwrap());
            for _ in 0..length {
                let p = binary((low + random.bits() % (high - low + 1)) as f64 / 1024.0);
                if let Some(level) = levels.next_if(|level| level[0].as_u64() == Some(index)) {
                    let (own, theirs) = (conformal.parameters().level, level[1].as_f64().unwrap());
                    assert!((own - theirs).abs() < 1e-9, "{index}: {own}, not {theirs} ({line})");
                }
                conformal.set(&p, &mut set);
                missed += u64::from(!set.contains(&0));
                conformal.learn(&p, &[0], 1.0);
                index += 1;
            }
        }
        assert!(levels.next().is_none());
        assert_eq!(missed, case["missed"].as_u64().unwrap(), "{line}");
    }
}

/// Misses in sequence, and how large the sets were.
struct Covered {
    hits: Vec<bool>,
    size: f64,
}

impl Covered {
    fn of(
        options: &ConformalOptions,
        classes: usize,
        mut next: impl FnMut(usize, &Conformal) -> (Vec<f32>, usize),
    ) -> Covered {
        let mut conformal = Conformal::new(options, classes, Task::SingleLabel);
        let (mut hits, mut size, mut set) = (Vec::new(), 0, Vec::new());
        while hits.len() < 5000 {
            let (p, truth) = next(hits.len(), &conformal);
            conformal.set(&p, &mut set);
            if conformal.ready() {
                hits.push(Conformal::covers(Task::SingleLabel, &set, &[truth]).unwrap());
                size += set.len();
            }
            conformal.learn(&p, &[truth], 1.0);
        }
        Covered { hits, size: size as f64 / 5000.0 }
    }

    fn coverage(&self) -> f64 {
        self.hits.iter().filter(|hit| **hit).count() as f64 / self.hits.len() as f64
    }

    /// The coverage of windows of 500 that is furthest from `target`.
    fn local(&self, target: f64) -> f64 {
        let windows = self.hits.windows(500);
        let of = |hits: &[bool]| hits.iter().filter(|hit| **hit).count() as f64 / 500.0;
        windows.map(|hits| (of(hits) - target).abs()).fold(0.0, f64::max)
    }
}

type Next = Box<dyn FnMut(usize, &Conformal) -> (Vec<f32>, usize)>;

fn streaming(mut stream: Stream, mut change: impl FnMut(usize, &mut Stream) + 'static) -> Next {
    Box::new(move |t, _| {
        change(t, &mut stream);
        stream.step();
        (stream.probabilities.clone(), stream.truth)
    })
}

/// An opponent who sees the threshold, and puts the truth just out or just in.
fn opponent(out: impl Fn(usize) -> bool + 'static) -> Next {
    Box::new(move |t, conformal| {
        let threshold = conformal.parameters().threshold.unwrap_or(0.5) as f32;
        let p = if out(t) { threshold - 1e-4 } else { threshold + 1e-4 }.clamp(0.0, 1.0);
        let mut all = vec![(1.0 - p) / 9.0; 10];
        all[0] = p;
        (all, 0)
    })
}

fn weak(seed: u64) -> Stream {
    let mut stream = Stream::new(seed, 10);
    stream.margin.fill(2.5);
    stream
}

/// Every kind of stream that coverage is promised for.
fn streams(seed: u64) -> Vec<(&'static str, Next)> {
    let mut runs = Stream::new(seed, 10).uneven();
    runs.runs = Runs::Geometric(100.0);
    let mut ordered: Vec<(Vec<f32>, usize)> = Vec::new();
    let mut stream = weak(seed);
    for _ in 0..5050 {
        stream.step();
        ordered.push((stream.probabilities.clone(), stream.truth));
    }
    ordered.sort_by(|a, b| a.0[a.1].total_cmp(&b.0[b.1]));
    let (rising, falling, blocks) = (ordered.clone(), ordered.clone(), ordered);
    let (mut up, mut down, mut at) = (0, 5050, 0);
    vec![
        ("stationary, weak", streaming(weak(seed), |_, _| {})),
        ("stationary, strong", streaming(Stream::new(seed, 10), |_, _| {})),
        (
            "temperature swings 0.4 to 2.5",
            streaming(weak(seed), |t, stream| {
                stream.temperature = 2.5_f64.powf((t as f64 / 400.0).sin());
            }),
        ),
        (
            "margin falls from 4 to 1",
            streaming(weak(seed), |t, stream| stream.margin.fill(4.0 - 3.0 * t as f64 / 5000.0)),
        ),
        (
            "margin 4 or 1.5 by turns of 1000",
            streaming(weak(seed), |t, stream| {
                stream.margin.fill(if t / 1000 % 2 == 0 { 4.0 } else { 1.5 });
            }),
        ),
        ("one label for 100 clips on average", streaming(runs, |_, _| {})),
        (
            "ordered, worst first",
            Box::new(move |_, _| {
                up += 1;
                rising[up - 1].clone()
            }),
        ),
        (
            "ordered, best first",
            Box::new(move |_, _| {
                down -= 1;
                falling[down].clone()
            }),
        ),
        (
            "worse half, better half by turns of 250",
            Box::new(move |_, _| {
                at += 1;
                blocks[at * 7919 % 2525 + at / 250 % 2 * 2525].clone()
            }),
        ),
        ("opponent, always out", opponent(|_| true)),
        ("opponent, always in", opponent(|_| false)),
        ("opponent, out or in by turns of 250", opponent(|t| t / 250 % 2 == 0)),
    ]
}

#[test]
fn coverage_holds_whatever_comes_in_whatever_order() {
    for method in [SetMethod::Dtaci, SetMethod::Aci] {
        for target in [0.8, 0.9, 0.99] {
            for (name, next) in streams(1) {
                let covered = Covered::of(&sets(method, target), 10, next);
                let (coverage, local) = (covered.coverage(), covered.local(target));
                let what = format!("{method:?} {target} {name}: {coverage}, {local}");
                assert!((coverage - target).abs() <= 12.0 / 5000.0, "{what}");
                assert!(local <= 23.0 / 500.0, "{what}");
            }
        }
    }
}

/// The promise must not be bought with sets that say nothing.
#[test]
fn sets_of_a_resting_stream_are_hardly_larger_than_they_must_be() {
    let adaptive = Covered::of(&sets(SetMethod::Dtaci, 0.9), 10, streaming(weak(7), |_, _| {}));
    // A threshold that knows all of 50,000 clips.
    let mut stream = weak(8);
    let mut all = Vec::new();
    for _ in 0..50_000 {
        stream.step();
        all.push((stream.probabilities.clone(), stream.truth));
    }
    let mut truths: Vec<f32> = all.iter().map(|(p, truth)| p[*truth]).collect();
    truths.sort_by(f32::total_cmp);
    let threshold = truths[5000];
    let size =
        all.iter().map(|(p, _)| p.iter().filter(|p| **p >= threshold).count()).sum::<usize>();
    let best = size as f64 / 5e4;
    assert!(adaptive.size < best * 1.1, "{} where {best} would do", adaptive.size);
}

#[test]
fn labels_that_come_late_do_not_make_the_sets_swing() {
    let mut stream = weak(3);
    let mut conformal = Conformal::new(&sets(SetMethod::Dtaci, 0.9), 10, Task::SingleLabel);
    let (mut waiting, mut set) = (std::collections::VecDeque::new(), Vec::new());
    let mut covered = Covered { hits: Vec::new(), size: 0.0 };
    while covered.hits.len() < 5000 {
        stream.step();
        conformal.set(&stream.probabilities, &mut set);
        if conformal.ready() {
            covered.hits.push(set.contains(&stream.truth));
        }
        waiting.push_back((stream.probabilities.clone(), stream.truth));
        if waiting.len() > 600 {
            let (then, truth) = waiting.pop_front().unwrap();
            conformal.learn(&then, &[truth], 1.0);
        }
    }
    assert!((covered.coverage() - 0.9).abs() < 0.01, "{}", covered.coverage());
    assert!(covered.local(0.9) < 0.05, "{}", covered.local(0.9));
}

#[test]
fn a_set_holds_all_classes_until_there_is_evidence() {
    let mut conformal = Conformal::new(&ConformalOptions::default(), 3, Task::SingleLabel);
    let mut set = Vec::new();
    for _ in 0..249 {
        conformal.learn(&[0.2, 0.7, 0.1], &[1], 0.2);
        conformal.set(&[0.2, 0.7, 0.1], &mut set);
        assert_eq!(set, [1, 0, 2], "the most probable first");
    }
    assert!(!conformal.ready());
    // The 250th clip of 0.2 makes 50 (and one more for rounding).
    (0..2).for_each(|_| conformal.learn(&[0.2, 0.7, 0.1], &[1], 0.2));
    assert!(conformal.ready());
    conformal.set(&[0.2, 0.7, 0.1], &mut set);
    assert_eq!(set, [1]);
    conformal.set(&[0.35, 0.35, 0.3], &mut set);
    assert_eq!(set, [0usize; 0], "less sure than ever before: an empty set");
}

#[test]
fn several_truths_are_each_right_or_all_needed() {
    use Task::{MultiLabel, SingleLabel};
    assert_eq!(Conformal::covers(SingleLabel, &[2, 0], &[0, 1]), Some(true));
    assert_eq!(Conformal::covers(MultiLabel, &[2, 0], &[0, 1]), Some(false));
    assert_eq!(Conformal::covers(MultiLabel, &[2, 0], &[2]), Some(true));
    assert_eq!(Conformal::covers(MultiLabel, &[], &[]), None);
    assert_eq!(Conformal::covers(SingleLabel, &[1], &[]), None);

    // Multi-label sets cover all classes of a clip as often as promised; every
    // fourth clip has none and is not counted.
    let mut stream = weak(4);
    let mut conformal = Conformal::new(&sets(SetMethod::Dtaci, 0.9), 10, MultiLabel);
    let (mut counted, mut covered, mut set) = (0, 0, Vec::new());
    for clip in 0..8000 {
        stream.step();
        let mut truth = vec![stream.truth, (stream.truth + clip % 3) % 10];
        truth.dedup();
        if clip % 4 == 0 {
            truth.clear();
        }
        conformal.set(&stream.probabilities, &mut set);
        if let Some(held) = Conformal::covers(MultiLabel, &set, &truth) {
            counted += i32::from(conformal.ready());
            covered += i32::from(conformal.ready() && held);
        }
        conformal.learn(&stream.probabilities, &truth, 1.0);
    }
    assert_eq!(conformal.parameters().samples, 6000);
    let coverage = f64::from(covered) / f64::from(counted);
    assert!((coverage - 0.9).abs() < 0.003, "{coverage}");
}

#[test]
fn a_drift_alarm_widens_sets_and_the_promise_holds() {
    let mut stream = weak(5);
    let mut conformal = Conformal::new(&sets(SetMethod::Dtaci, 0.9), 10, Task::SingleLabel);
    let mut set = Vec::new();
    let mut learn = |conformal: &mut Conformal| {
        stream.step();
        conformal.set(&stream.probabilities, &mut set);
        let held = set.contains(&stream.truth);
        conformal.learn(&stream.probabilities, &[stream.truth], 1.0);
        held
    };
    assert_eq!((0..1000).filter(|_| learn(&mut conformal)).count() / 20, 45);
    let before = conformal.parameters();
    conformal.widen();
    let after = conformal.parameters();
    assert!(after.level < before.level * 0.51, "{before:?} {after:?}");
    assert!(after.threshold < before.threshold, "{before:?} {after:?}");
    let hits = (0..2000)
        .filter(|clip| {
            if clip % 50 == 0 {
                conformal.widen();
            }
            learn(&mut conformal)
        })
        .count();
    assert!((hits as f64 / 2000.0 - 0.9).abs() <= 24.0 / 2000.0, "{hits}");
}

#[test]
fn what_makes_no_sense_changes_nothing() {
    let mut conformal = Conformal::new(&ConformalOptions::default(), 2, Task::SingleLabel);
    (0..60).for_each(|i| conformal.learn(&binary(f64::from(i) / 64.0), &[0], 1.0));
    let before = conformal.state();
    conformal.learn(&[f32::NAN, 0.5], &[0], 1.0);
    conformal.learn(&[0.5, f32::INFINITY], &[1], 1.0);
    conformal.learn(&[0.5], &[0], 1.0);
    conformal.learn(&[0.5, 0.5], &[2], 1.0);
    conformal.learn(&[0.5, 0.5], &[], 1.0);
    for evidence in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        conformal.learn(&[0.5, 0.5], &[0], evidence);
    }
    assert_eq!(conformal.state(), before);
    let mut set = Vec::new();
    conformal.set(&[f32::NAN, 0.99], &mut set);
    assert_eq!(set, [1]);

    let mut drift = Drift::new(&DriftOptions::default(), 2);
    let before = drift.state();
    assert_eq!(drift.observe(0.0, &[f32::NAN, 0.5], 1.0), None);
    assert_eq!(drift.observe(0.0, &[0.5], 1.0), None);
    assert_eq!(drift.observe(0.0, &[0.5, 0.5], f64::NAN), None);
    assert_eq!(drift.observe(0.0, &[0.5, 0.5], 0.0), None);
    assert_eq!(drift.learned(0.0, f64::NAN, 1.0), None);
    assert_eq!(drift.state(), before);
    // Certain, impossible and infinite things happen.
    for t in 0..2000 {
        drift.observe(f64::from(t), &[1.0, 0.0], 3.0);
        drift.observe(f64::from(t), &[0.0, 0.0], 1e-300);
        drift.learned(f64::from(t), f64::INFINITY, 1.0);
        drift.learned(f64::from(t), -5.0, 1.0);
    }
    assert_eq!(drift.summary().alarms, 0);
    let mut again = Drift::new(&DriftOptions::default(), 2);
    again.restore(drift.state()).unwrap();
}

#[test]
fn options_that_mean_nothing_are_refused() {
    let key = |options: ConformalOptions| options.check().unwrap_err().0;
    let fine = ConformalOptions::default;
    assert!(fine().check().is_ok());
    assert_eq!(key(ConformalOptions { coverage: 1.0, ..fine() }), "coverage");
    assert_eq!(key(ConformalOptions { coverage: f64::NAN, ..fine() }), "coverage");
    assert_eq!(key(ConformalOptions { gamma: 0.0, ..fine() }), "gamma");
    assert_eq!(key(ConformalOptions { window: 10, ..fine() }), "window");
    assert_eq!(key(ConformalOptions { min_evidence: -1.0, ..fine() }), "min_evidence");
}

/// Through JSON and back, at any moment: the same to the last bit.
#[test]
fn sets_go_on_from_a_state_as_if_never_stopped() {
    for method in [SetMethod::Dtaci, SetMethod::Aci] {
        let options = ConformalOptions { window: 300, ..sets(method, 0.93) };
        let mut stream = weak(6);
        let mut straight = Conformal::new(&options, 10, Task::SingleLabel);
        let mut broken = straight.clone();
        for clip in 0..1500 {
            stream.step();
            straight.learn(&stream.probabilities, &[stream.truth], 0.7);
            broken.learn(&stream.probabilities, &[stream.truth], 0.7);
            if clip == 700 {
                straight.widen();
                broken.widen();
            }
            if clip % 37 == 0 {
                let state = serde_json::to_string(&broken.state()).unwrap();
                broken = Conformal::new(&options, 10, Task::SingleLabel);
                broken.restore(serde_json::from_str(&state).unwrap()).unwrap();
            }
            assert_eq!(straight.state(), broken.state(), "{clip}");
        }
    }
}

#[test]
fn a_state_of_other_sets_is_refused_and_nothing_changes() {
    let options = ConformalOptions::default();
    let mut conformal = Conformal::new(&options, 2, Task::SingleLabel);
    (0..80).for_each(|i| conformal.learn(&binary(f64::from(i) / 80.0), &[0], 1.0));
    let before = conformal.state();
    let others = [
        (ConformalOptions { method: SetMethod::Aci, ..options.clone() }, 2),
        (ConformalOptions { coverage: 0.8, ..options.clone() }, 2),
        (options.clone(), 3),
    ];
    for (other, classes) in others {
        let state = Conformal::new(&other, classes, Task::SingleLabel).state();
        assert!(conformal.restore(state).is_err());
    }
    let good = serde_json::to_value(&before).unwrap();
    let spoiled = |key: &str, value: Value| -> Option<ConformalState> {
        let mut state = good.clone();
        state[key] = value;
        serde_json::from_value(state).ok()
    };
    let nan = format!("{:016x}", f64::NAN.to_bits());
    for state in [
        spoiled("figures", nan.repeat(3).into()),
        spoiled("figures", nan.clone().into()),
        spoiled("experts", nan.repeat(16).into()),
        spoiled("experts", "".into()),
        spoiled("window", vec![f32::NAN.to_bits()].into()),
        spoiled("widened", 5000.into()),
    ] {
        // Either it cannot even be read, or it is refused.
        assert!(state.is_none_or(|state| conformal.restore(state).is_err()));
    }
    assert!(spoiled("figures", "12".into()).is_none());
    assert_eq!(conformal.state(), before);
}

/// Runs a stream, changed at `at`, to the first alarm after it; one before it is a
/// failure.
fn first(mut stream: Stream, at: usize, change: impl Fn(&mut Stream)) -> (usize, Alarm) {
    let mut drift = Drift::new(&DriftOptions::default(), stream.mix.len());
    for t in 0..at + 6000 {
        if t == at {
            change(&mut stream);
        }
        stream.step();
        let seen = drift.observe(t as f64, &stream.probabilities, 1.0);
        let learned = drift.learned(t as f64, stream.loss(), 1.0);
        if let Some(alarm) = seen.or(learned) {
            assert!(t >= at, "{alarm} at {t}");
            return (t - at, alarm);
        }
    }
    panic!("no alarm");
}

#[test]
fn a_fall_of_confidence_is_noticed_and_said() {
    let (delay, alarm) = first(Stream::new(11, 10), 1000, |stream| stream.temperature = 2.5);
    assert!(delay < 80, "{delay}");
    assert_eq!(alarm.what, Watched::Confidence);
    assert!(alarm.from > 0.7 && alarm.to < 0.5, "{alarm}");
    assert!(alarm.samples.abs_diff(delay as u64) < 10, "{alarm:?} after {delay}");
    let text = format!("confidence fell from {:.2} to {:.2}", alarm.from, alarm.to);
    assert_eq!(alarm.to_string(), text);
}

#[test]
fn the_class_that_took_over_is_named() {
    for classes in [3, 10, 400] {
        let mut stream = Stream::new(12, classes);
        stream.margin.fill(8.0);
        let (delay, alarm) = first(stream, 1000, |stream| {
            let rest = 0.1 / (stream.mix.len() - 1) as f64;
            stream.mix.fill(rest);
            stream.mix[2] = 0.9;
        });
        assert!(delay < 300, "{delay}");
        assert_eq!((alarm.what, alarm.class), (Watched::ClassMix, Some(2)), "{alarm}");
        assert!(alarm.from < 0.4 && alarm.to > 0.5, "{alarm}");
        let text = alarm.text(Some("idle"));
        assert!(text.starts_with("\"idle\" went from ") && text.ends_with(" % of predictions"));
    }
}

#[test]
fn a_loss_that_rises_while_the_model_stays_as_sure_is_noticed() {
    let mut stream = Stream::new(13, 10);
    let mut drift = Drift::new(&DriftOptions::default(), 10);
    let found = (0..3000).find_map(|t| {
        stream.step();
        // From 1500 on every third label is another.
        let wrong = t >= 1500 && t % 3 == 0;
        let loss = if wrong { 5.0 } else { stream.loss() };
        assert_eq!(drift.observe(t.into(), &stream.probabilities, 1.0), None);
        drift.learned(t.into(), loss, 1.0).map(|alarm| (t, alarm))
    });
    let (t, alarm) = found.unwrap();
    assert!((1500..1600).contains(&t), "{t}");
    assert_eq!((alarm.what, alarm.class), (Watched::Loss, None));
    assert!(alarm.to_string().starts_with("loss rose from 0."), "{alarm}");
}

#[test]
fn of_two_things_that_change_at_once_both_are_told() {
    let mut drift = Drift::new(&DriftOptions::default(), 4);
    let mut told = Vec::new();
    for t in 0..2000 {
        let p = if t < 1000 {
            if t % 2 == 0 { [0.91, 0.05, 0.03, 0.01] } else { [0.05, 0.91, 0.03, 0.01] }
        } else {
            [0.1, 0.1, 0.2, 0.6]
        };
        told.extend(drift.observe(f64::from(t), &p, 1.0));
    }
    let what: Vec<Watched> = told.iter().map(|alarm| alarm.what).collect();
    assert!(what.contains(&Watched::Confidence) && what.contains(&Watched::ClassMix), "{told:?}");
    assert!(told.iter().all(|alarm| (1000.0..1200.0).contains(&alarm.t)), "{told:?}");
    assert_eq!(told.len(), 2, "and then it is the new normal: {told:?}");
    let summary = drift.summary();
    assert_eq!((summary.alarms, summary.last.as_ref()), (2, told.last()));
}

/// 100 detector-days in a second: the full measurement is `figures`.
#[test]
fn nothing_is_said_while_nothing_changes() {
    for (name, mut stream) in quiet(21) {
        let mut drift = Drift::new(&DriftOptions::default(), stream.mix.len());
        for t in 0..10_000 {
            stream.step();
            let t = f64::from(t);
            drift.observe(t, &stream.probabilities, stream.evidence);
            drift.learned(t, stream.loss(), stream.evidence);
        }
        assert_eq!(drift.summary().alarms, 0, "{name}: {:?}", drift.summary());
    }
}

#[test]
fn overlapping_clips_count_as_what_they_are_worth() {
    let mut whole = Drift::new(&DriftOptions::default(), 2);
    let mut parts = whole.clone();
    for t in 0..2000 {
        // Averages and their logarithms agree where all parts are the same.
        let p = binary(if t < 1000 { 0.875 } else { 0.625 });
        let mut seen = whole.observe(f64::from(t), &p, 1.0);
        for _ in 0..4 {
            let part = parts.observe(f64::from(t), &p, 0.25);
            assert!(part.is_none() || part == seen.take(), "{t}: {part:?}");
        }
        assert_eq!(seen.as_ref().map(|alarm| alarm.t), None);
    }
    assert!(whole.summary().alarms > 0);
    assert_eq!(whole.summary(), parts.summary());
}

#[test]
fn detectors_go_on_from_a_state_as_if_never_stopped() {
    let mut stream = Stream::new(31, 5);
    stream.runs = Runs::Geometric(4.0);
    let mut straight = Drift::new(&DriftOptions::default(), 5);
    let mut broken = straight.clone();
    let mut alarms = 0;
    for t in 0..6000 {
        if t % 2000 == 1999 {
            stream.temperature = 4.0 - stream.temperature;
            stream.mix.rotate_left(1);
        }
        stream.step();
        let (clock, p) = (f64::from(t) / 7.0, &stream.probabilities);
        let seen = straight.observe(clock, p, 0.8);
        assert_eq!(seen, broken.observe(clock, p, 0.8));
        let learned = straight.learned(clock, stream.loss(), 0.8);
        assert_eq!(learned, broken.learned(clock, stream.loss(), 0.8));
        alarms += usize::from(seen.is_some()) + usize::from(learned.is_some());
        if t % 97 == 0 || seen.is_some() {
            let state = serde_json::to_string(&broken.state()).unwrap();
            broken = Drift::new(&DriftOptions::default(), 5);
            broken.restore(serde_json::from_str(&state).unwrap()).unwrap();
            assert_eq!(straight.state(), broken.state(), "{t}");
        }
    }
    assert!(alarms > 0);
}

#[test]
fn a_state_of_other_detectors_is_refused_and_nothing_changes() {
    let mut drift = Drift::new(&DriftOptions::default(), 3);
    for t in 0..500 {
        assert_eq!(drift.observe(f64::from(t), &[0.5, 0.25, 0.25], 0.6), None);
    }
    let before = drift.state();
    assert!(drift.restore(Drift::new(&DriftOptions::default(), 4).state()).is_err());
    let good = serde_json::to_value(&before).unwrap();
    let figures = good["figures"].as_str().unwrap().to_owned();
    let spoiled = |key: &str, value: Value| -> Option<DriftState> {
        let mut state = good.clone();
        state[key] = value;
        serde_json::from_value(state).ok()
    };
    // Either it cannot even be read, or it is refused.
    let mut refused = |key: &str, value: Value| {
        spoiled(key, value).is_none_or(|state| drift.restore(state).is_err())
    };
    let nan = format!("{:016x}", f64::NAN.to_bits());
    let places = figures.len() / 16;
    for place in 0..places {
        let mut holed = figures.clone();
        holed.replace_range(place * 16..place * 16 + 16, &nan);
        assert!(refused("figures", holed.into()), "NaN at {place}");
    }
    for end in [0, 16, figures.len() - 16] {
        assert!(refused("figures", figures[..end].into()), "{end}");
    }
    assert!(refused("figures", (figures.clone() + &figures).into()));
    assert!(refused("mix", Value::Array(Vec::new())));
    assert!(refused("mix", vec![u32::MAX; 40].into()));
    assert_eq!(drift.state(), before);
}

#[test]
fn an_alarm_reads_as_the_log_has_it() {
    let alarm = Alarm {
        t: 12.5,
        what: Watched::ClassMix,
        detector: Detector::PageHinkley,
        from: 0.12,
        to: 0.71,
        class: Some(3),
        samples: 40,
    };
    let json = r#"{"t":12.5,"what":"class-mix","detector":"page-hinkley","from":0.12,"to":0.71,"class":3,"samples":40}"#;
    assert_eq!(serde_json::to_string(&alarm).unwrap(), json);
    assert_eq!(serde_json::from_str::<Alarm>(json).unwrap(), alarm);
    assert_eq!(alarm.to_string(), "class 3 went from 12 % to 71 % of predictions");
    assert_eq!(alarm.text(Some("idle")), "\"idle\" went from 12 % to 71 % of predictions");
    let alarm = Alarm { what: Watched::Confidence, class: None, from: 0.91, to: 0.62, ..alarm };
    assert_eq!(alarm.to_string(), "confidence fell from 0.91 to 0.62");
}

/// Streams in which nothing changes.
fn quiet(seed: u64) -> Vec<(&'static str, Stream)> {
    let make = |classes, change: fn(&mut Stream)| {
        let mut stream = Stream::new(seed, classes);
        change(&mut stream);
        stream
    };
    let zipf = |classes, runs, evidence| {
        let mut stream = Stream::new(seed, classes).zipf().uneven();
        (stream.runs, stream.evidence) = (runs, evidence);
        stream
    };
    use Runs::{Fixed, Geometric, LogNormal};
    vec![
        ("independent, 10 classes", make(10, |_| {})),
        ("independent, 2 classes", make(2, |_| {})),
        ("independent, classes rare and uneven", zipf(10, Runs::None, 1.0)),
        ("a weak model", make(10, |stream| stream.margin.fill(1.5))),
        ("a model that is nearly always sure", make(10, |stream| stream.temperature = 0.3)),
        ("labels for 10 samples, geometric", zipf(10, Geometric(10.0), 1.0)),
        ("labels for 50 samples, geometric", zipf(10, Geometric(50.0), 1.0)),
        ("labels for 16 samples, log-normal", zipf(10, LogNormal(10.0), 1.0)),
        ("labels for 20 samples, always", zipf(10, Fixed(20.0), 1.0)),
        ("confidence of Beta(2, 1)", make(10, |stream| stream.beta = Some(2.0))),
        ("confidence of Beta(20, 1)", make(10, |stream| stream.beta = Some(20.0))),
        ("light that wanders (AR(1) 0.9)", make(10, |stream| stream.wander = (0.9, 1.0))),
        ("light that wanders (AR(1) 0.98)", make(10, |stream| stream.wander = (0.98, 0.7))),
        ("clips that overlap by 4/5, labels for 50", zipf(10, Geometric(50.0), 0.2)),
        ("40 classes, labels for 10 samples", zipf(40, Geometric(10.0), 1.0)),
    ]
}

/// The tables of docs/calibration.md. Minutes long:
/// `cargo test --release --test drift -- --ignored --nocapture figures`
#[test]
#[ignore = "a measurement of some minutes"]
fn figures() {
    println!(
        "| coverage of 5,000 clips, seeds 1 to 20 | target | worst | worst of 500 | mean size |"
    );
    println!("|---|---|---|---|---|");
    for (method, target) in [
        (SetMethod::Dtaci, 0.8),
        (SetMethod::Dtaci, 0.9),
        (SetMethod::Dtaci, 0.95),
        (SetMethod::Aci, 0.9),
    ] {
        for at in 0..streams(1).len() {
            let (mut furthest, mut local, mut size, mut named) = (target, 0.0_f64, 0.0, "");
            for seed in 1..=20 {
                let (name, next) = streams(seed).swap_remove(at);
                let covered = Covered::of(&sets(method, target), 10, next);
                let coverage = covered.coverage();
                if (coverage - target).abs() > (furthest - target).abs() {
                    furthest = coverage;
                }
                local = local.max(covered.local(target));
                size += covered.size / 20.0;
                named = name;
            }
            let method = format!("{method:?}").to_lowercase();
            println!("| {method}, {named} | {target} | {furthest:.4} | ±{local:.3} | {size:.2} |");
        }
    }
    println!("\n| nothing changes | effective samples | alarms | in 10,000 |\n|---|---|---|---|");
    let (mut samples, mut alarms) = (0.0, 0);
    for (name, mut stream) in quiet(1) {
        let mut drift = Drift::new(&DriftOptions::default(), stream.mix.len());
        let mut by = std::collections::BTreeMap::new();
        for t in 0..(1e6 / stream.evidence) as u32 {
            stream.step();
            let t = f64::from(t);
            let seen = drift.observe(t, &stream.probabilities, stream.evidence);
            let learned = drift.learned(t, stream.loss(), stream.evidence);
            for alarm in seen.into_iter().chain(learned) {
                *by.entry(format!("{:?} by {:?}", alarm.what, alarm.detector)).or_insert(0) += 1;
            }
        }
        let found = drift.summary().alarms;
        samples += 1e6;
        alarms += found;
        let by: Vec<String> = by.iter().map(|(what, count)| format!("{count} {what}")).collect();
        let (by, rate) = (by.join(", "), found as f64 / 100.0);
        println!("| {name} | 1,000,000 | {found} ({by}) | {rate:.2} |");
    }
    println!("| all | {samples} | {alarms} | {:.3} |", alarms as f64 / samples * 1e4);
    delays();
}

/// Of 100 streams each: effective samples from a change to its alarm.
fn delays() {
    type Change = fn(&mut Stream);
    let changes: [(&str, Change); 7] = [
        ("over-confident by T = 2.5 (logits × 2.5)", |stream| stream.temperature = 0.4),
        ("less sure by T = 2.5", |stream| stream.temperature = 2.5),
        ("margin 4 to 3 (nats)", |stream| stream.margin.fill(3.0)),
        ("margin 4 to 2", |stream| stream.margin.fill(2.0)),
        ("a class from 10 % to 30 %", |stream| take_over(stream, 0.3)),
        ("a class from 10 % to 50 %", |stream| take_over(stream, 0.5)),
        ("a class from 10 % to 70 %", |stream| take_over(stream, 0.7)),
    ];
    println!(
        "\n| change after 2,000 samples | labels last | median | 90 % | never in 6,000 | noticed in |"
    );
    println!("|---|---|---|---|---|---|");
    for (name, change) in changes {
        for (runs, lasting) in [(Runs::None, "1"), (Runs::Geometric(10.0), "10")] {
            let mut found = Vec::new();
            let mut by = std::collections::BTreeMap::new();
            let mut early = 0;
            for seed in 1..=100 {
                let mut stream = Stream::new(seed, 10);
                stream.runs = runs;
                let mut drift = Drift::new(&DriftOptions::default(), 10);
                for t in 0..8000 {
                    if t == 2000 {
                        change(&mut stream);
                    }
                    stream.step();
                    let seen = drift.observe(t.into(), &stream.probabilities, 1.0);
                    let learned = drift.learned(t.into(), stream.loss(), 1.0);
                    let Some(alarm) = seen.or(learned) else { continue };
                    if t < 2000 {
                        early += 1;
                        continue;
                    }
                    found.push(t - 2000);
                    *by.entry(format!("{:?}", alarm.what)).or_insert(0) += 1;
                    break;
                }
            }
            found.resize(100, i32::MAX);
            found.sort_unstable();
            let shown = |at: usize| match found[at] {
                i32::MAX => "–".to_owned(),
                delay => delay.to_string(),
            };
            let never = found.iter().filter(|delay| **delay == i32::MAX).count();
            let by: Vec<String> =
                by.iter().map(|(what, count)| format!("{what} {count}")).collect();
            let (median, ninety, by) = (shown(49), shown(89), by.join(", "));
            println!("| {name} | {lasting} | {median} | {ninety} | {never} | {by} |");
            assert!(early <= 1, "{early} false alarms");
        }
    }
}

fn take_over(stream: &mut Stream, share: f64) {
    let rest = (1.0 - share) / (stream.mix.len() - 1) as f64;
    stream.mix.fill(rest);
    stream.mix[0] = share;
}

/// Microseconds a prediction for 400 classes, the worst case: every prediction
/// labelled and a whole effective sample.
#[test]
#[ignore = "a measurement of time"]
fn cost() {
    let mut stream = Stream::new(1, 400);
    let mut samples = Vec::new();
    for _ in 0..2000 {
        stream.step();
        samples.push((stream.probabilities.clone(), stream.truth, stream.loss()));
    }
    let mut conformal = Conformal::new(&ConformalOptions::default(), 400, Task::SingleLabel);
    let mut drift = Drift::new(&DriftOptions::default(), 400);
    let mut set = Vec::with_capacity(400);
    let mut parts = [(); 4].map(|()| Vec::new());
    for round in 0..5 {
        for (t, (p, truth, loss)) in samples.iter().enumerate() {
            let begun = std::time::Instant::now();
            conformal.set(p, &mut set);
            let set_made = begun.elapsed();
            conformal.learn(p, &[*truth], 1.0);
            let learned = begun.elapsed();
            drift.observe(t as f64, p, 1.0);
            let seen = begun.elapsed();
            drift.learned(t as f64, *loss, 1.0);
            if round > 0 {
                let whole = begun.elapsed();
                let times = [set_made, learned - set_made, seen - learned, whole - seen];
                parts.iter_mut().zip(times).for_each(|(part, time)| part.push(time));
            }
        }
    }
    println!("| 400 classes | median µs | mean | 99 % |\n|---|---|---|---|");
    let mut whole = 0.0;
    for (name, mut times) in ["set", "learn", "observe", "learned"].into_iter().zip(parts) {
        let mean =
            times.iter().sum::<std::time::Duration>().as_secs_f64() * 1e6 / times.len() as f64;
        times.sort_unstable();
        let most = times[times.len() * 99 / 100].as_secs_f64() * 1e6;
        let median = times[times.len() / 2].as_secs_f64() * 1e6;
        println!("| {name} | {median:.2} | {mean:.2} | {most:.2} |");
        whole += median;
    }
    let state = serde_json::to_string(&drift.state()).unwrap().len();
    println!("state of drift in JSON: {state} bytes");
    assert!(whole < 50.0, "{whole}");
}
