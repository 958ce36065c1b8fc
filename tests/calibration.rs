//! Calibrators against other people's fits (tests/golden/calibration.py), and
//! how good the online ones are on simulated streams whose truth is known.

use std::path::Path;

use kinewatch::calibrate::{
    Batch, CalibrateOptions, Calibrator, Method, Parameters, Update, fit, fit_multi_label,
    fit_platt, fit_temperature, fit_threshold, fit_vector, probabilities,
};
use kinewatch::metric::Task;
use serde_json::Value;

/// SplitMix64 (Steele, Lea & Flood 2014), as in tests/golden/calibration.py.
struct Generator(u64);

impl Generator {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        ((self.bits() >> 33) % n as u64) as usize
    }

    fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

fn golden(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/calibration").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn single(case: &Value) -> Batch {
    let [seed, samples, classes] =
        ["seed", "samples", "classes"].map(|key| case[key].as_u64().unwrap());
    let (classes, sharpness) = (classes as usize, number(&case["sharpness"]));
    let mut g = Generator(seed);
    let mut batch = Batch::new(Task::SingleLabel, classes);
    for _ in 0..samples {
        let label = g.below(classes);
        let draw = |_| (g.below(256) as f64 - 128.0) * sharpness / 64.0;
        let mut row: Vec<f64> = (0..classes).map(draw).collect();
        row[label] += if g.below(4) > 0 { 3.0 * sharpness } else { 0.0 };
        let truth = if g.below(6) == 0 { g.below(classes) } else { label };
        let weight = (1 + g.below(4)) as f64 / 4.0;
        let row: Vec<f32> = row.into_iter().map(|z| z as f32).collect();
        assert!(batch.push(&row, &[truth], weight));
    }
    batch
}

fn multi(case: &Value) -> Batch {
    let [seed, samples, classes] =
        ["seed", "samples", "classes"].map(|key| case[key].as_u64().unwrap());
    let (classes, sharpness) = (classes as usize, number(&case["sharpness"]));
    let mut g = Generator(seed);
    let mut batch = Batch::new(Task::MultiLabel, classes);
    for _ in 0..samples {
        let (mut row, mut truth) = (Vec::new(), Vec::new());
        for class in 0..classes {
            let there = g.below(class + 2) == 0;
            let z = (g.below(256) as f64 - 128.0) / 64.0 + if there { 1.5 } else { -1.5 };
            row.push((z * sharpness) as f32);
            if (g.below(8) > 0) == there {
                truth.push(class);
            }
        }
        let weight = (1 + g.below(4)) as f64 / 4.0;
        assert!(batch.push(&row, &truth, weight));
    }
    batch
}

#[track_caller]
fn close(ours: f64, theirs: f64, tolerance: f64) {
    assert!((ours - theirs).abs() <= tolerance * (1.0 + theirs.abs()), "{ours} is not {theirs}");
}

#[test]
fn a_temperature_is_the_one_that_scipy_finds() {
    for case in golden("single.json") {
        close(fit_temperature(&single(&case)), number(&case["temperature"]), 1e-6);
    }
}

#[test]
fn vector_scaling_is_what_newton_with_torch_finds() {
    for case in golden("single.json") {
        let (temperature, bias) = fit_vector(&single(&case));
        close(temperature, number(&case["vector"]["temperature"]), 1e-4);
        for (ours, theirs) in bias.iter().zip(numbers(&case["vector"]["bias"])) {
            close(*ours, theirs, 1e-3);
        }
    }
}

#[test]
fn platt_scaling_is_scikit_learns_logistic_regression() {
    for case in golden("single.json") {
        let (a, b) = fit_platt(&single(&case));
        let theirs = numbers(&case["platt"]);
        close(a, theirs[0], 1e-3);
        close(b, theirs[1], 1e-3);
    }
}

#[test]
fn histogram_bins_are_numpys_counts() {
    for case in golden("single.json") {
        let Parameters::Histogram { bins, classes, .. } = fit(Method::Histogram, &single(&case))
        else {
            panic!("no histogram")
        };
        let theirs = |value: &Value| [numbers(&value[0]), numbers(&value[1])];
        let check = |ours: &[kinewatch::calibrate::Bin], theirs: [Vec<f64>; 2]| {
            assert_eq!(ours.len(), theirs[0].len());
            for (k, bin) in ours.iter().enumerate() {
                close(1.0 - bin.weight, theirs[0][k], 1e-9);
                close(bin.weight * bin.p, theirs[1][k], 1e-9);
            }
        };
        check(&bins, theirs(&case["histogram"]["bins"]));
        let own = case["histogram"]["classes"].as_object().unwrap();
        assert_eq!(classes.len(), own.len());
        for class in classes {
            check(&class.bins, theirs(&own[&class.class.to_string()]));
        }
    }
}

#[test]
fn multi_label_fits_and_thresholds_are_scikit_learns() {
    for case in golden("multi.json") {
        let batch = multi(&case);
        let fitted = fit_multi_label(&batch, true);
        let Parameters::MultiLabel { temperature, bias, threshold } = &fitted else {
            panic!("no multi-label parameters")
        };
        let mut p = vec![0.0; batch.classes()];
        for (class, theirs) in case["fits"].as_array().unwrap().iter().enumerate() {
            close(temperature[class], number(&theirs["temperature"]), 1e-4);
            close(bias[class], number(&theirs["bias"]), 1e-3);
            // Many thresholds may say the same: their F1 counts.
            let (mut right, mut either) = (0.0, 0.0);
            for (logits, truth, weight) in batch.iter() {
                fitted.apply(logits, Task::MultiLabel, &mut p);
                let said = f64::from(p[class]) >= threshold[class];
                let holds = truth.contains(&class);
                right += weight * f64::from(u8::from(said && holds));
                either += weight * f64::from(u8::from(said) + u8::from(holds));
            }
            close(2.0 * right / either, number(&theirs["f1"]), 1e-6);
        }
    }
}

#[test]
fn the_threshold_of_what_separates_is_a_half() {
    assert_eq!(fit_threshold(vec![(0.9, 1.0, 1.0), (0.8, 1.0, 1.0), (0.1, 0.0, 1.0)]), 0.5);
    let low = fit_threshold(vec![(0.3, 1.0, 1.0), (0.2, 1.0, 1.0), (0.1, 0.0, 1.0)]);
    assert!((low - 0.15).abs() < 1e-12, "{low}");
}

/// Gaussian classes of equal spread: logits μ z are the true log-odds where all
/// classes are equally frequent, so that `temperature` times them is a model
/// that is too sure of itself by just that.
struct Stream {
    g: Generator,
    classes: usize,
    temperature: f64,
    /// How often each class comes up.
    mix: Vec<f64>,
}

/// Distance between classes, in standard deviations.
const APART: f64 = 1.8;

impl Stream {
    fn new(seed: u64, classes: usize, temperature: f64) -> Self {
        let mix = vec![1.0 / classes as f64; classes];
        Stream { g: Generator(seed), classes, temperature, mix }
    }

    /// From now on the first classes come up more often, each 0.7 of the last.
    fn skew(&mut self) {
        let sum: f64 = (0..self.classes).map(|c| 0.7f64.powi(c as i32)).sum();
        self.mix = (0..self.classes).map(|c| 0.7f64.powi(c as i32) / sum).collect();
    }

    fn draw(&mut self) -> (Vec<f32>, usize) {
        let mut u = self.g.unit();
        let truth = self.mix.iter().position(|share| {
            u -= share;
            u < 0.0
        });
        let truth = truth.unwrap_or(self.classes - 1);
        let logit = |class| {
            let mean = if class == truth { APART } else { 0.0 };
            (self.temperature * APART * (mean + self.g.normal())) as f32
        };
        ((0..self.classes).map(logit).collect(), truth)
    }

    fn samples(&mut self, n: usize) -> Vec<(Vec<f32>, usize)> {
        (0..n).map(|_| self.draw()).collect()
    }
}

/// ECE over 15 equal-mass bins, and NLL.
fn judge(samples: &[(Vec<f32>, usize)], mut predict: impl FnMut(&[f32], &mut [f32])) -> [f64; 2] {
    let mut p = vec![0.0; samples[0].0.len()];
    let (mut points, mut nll) = (Vec::new(), 0.0);
    for (logits, truth) in samples {
        predict(logits, &mut p);
        nll -= f64::from(p[*truth]).max(1e-12).ln();
        let top = (0..p.len()).max_by(|&a, &b| p[a].total_cmp(&p[b])).unwrap();
        points.push((f64::from(p[top]), f64::from(u8::from(top == *truth))));
    }
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let n = points.len();
    let bins = (0..15).map(|k| &points[k * n / 15..(k + 1) * n / 15]);
    let gaps = bins.map(|bin| bin.iter().map(|(p, right)| p - right).sum::<f64>().abs());
    [gaps.sum::<f64>() / n as f64, nll / n as f64]
}

fn calibrator(method: Method, update: Update, classes: usize) -> Calibrator {
    let options = CalibrateOptions { method, update, ..CalibrateOptions::default() };
    Calibrator::new(&options, classes, Task::SingleLabel, None)
}

/// Predicts, then learns, as a session does.
fn feed(calibrator: &mut Calibrator, samples: &[(Vec<f32>, usize)], evidence: f64) {
    let mut p = vec![0.0; samples[0].0.len()];
    for (logits, truth) in samples {
        calibrator.predict(logits, &mut p);
        calibrator.learn(logits, &p, &[*truth], evidence);
    }
}

fn plain(logits: &[f32], p: &mut [f32]) {
    probabilities(logits, Task::SingleLabel, p);
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

const SCALINGS: [(Method, Update); 3] = [
    (Method::Temperature, Update::Window),
    (Method::Temperature, Update::Recursive),
    (Method::Vector, Update::Window),
];

const EVERY: [(Method, Update); 5] = [
    SCALINGS[0],
    SCALINGS[1],
    SCALINGS[2],
    (Method::Platt, Update::Window),
    (Method::Histogram, Update::Window),
];

#[test]
fn after_200_samples_a_steady_stream_is_calibrated_as_by_an_offline_fit() {
    for (method, update) in SCALINGS {
        for temperature in [0.5, 1.0, 1.5, 2.5] {
            let (mut ece, mut nll) = (Vec::new(), Vec::new());
            for seed in 0..6 {
                let mut stream = Stream::new(seed, 10, temperature);
                let (fresh, seen) = (stream.samples(4000), stream.samples(200));
                let mut online = calibrator(method, update, 10);
                feed(&mut online, &seen, 1.0);
                let mut batch = Batch::new(Task::SingleLabel, 10);
                seen.iter().for_each(|(z, truth)| assert!(batch.push(z, &[*truth], 1.0)));
                let offline = fit(Method::Temperature, &batch);
                let theirs = judge(&fresh, |z, p| offline.apply(z, Task::SingleLabel, p));
                let ours = judge(&fresh, |z, p| online.predict(z, p));
                ece.push(ours[0] - theirs[0]);
                nll.push(ours[1] / theirs[1] - 1.0);
            }
            let about = format!("{method:?} {update:?} T = {temperature}: {ece:?} {nll:?}");
            assert!(mean(&ece) < 0.01, "{about}");
            assert!(mean(&nll) < 0.01, "{about}");
        }
    }
}

#[test]
fn a_sudden_shift_is_recovered_from_within_300_samples() {
    for (method, update) in SCALINGS {
        for (temperature, skewed) in [(2.5, false), (1.0, true), (2.5, true)] {
            let (mut gap, mut before) = (Vec::new(), Vec::new());
            for seed in 0..8 {
                let mut stream = Stream::new(100 + seed, 10, 1.0);
                let mut online = calibrator(method, update, 10);
                feed(&mut online, &stream.samples(1000), 1.0);
                stream.temperature = temperature;
                if skewed {
                    stream.skew();
                }
                let fresh = stream.samples(4000);
                let mut batch = Batch::new(Task::SingleLabel, 10);
                fresh.iter().for_each(|(z, truth)| assert!(batch.push(z, &[*truth], 1.0)));
                let oracle = fit(method, &batch);
                let best = judge(&fresh, |z, p| oracle.apply(z, Task::SingleLabel, p))[0];
                before.push(judge(&fresh, |z, p| online.predict(z, p))[0] - best);
                feed(&mut online, &stream.samples(300), 1.0);
                gap.push(judge(&fresh, |z, p| online.predict(z, p))[0] - best);
            }
            let about = format!("{method:?} {update:?} T = {temperature}: {before:?} {gap:?}");
            // Its oracle has biases, too, which take more samples to find again.
            let most = if method == Method::Vector { 0.03 } else { 0.02 };
            assert!(mean(&gap) < most, "{about}");
            // There was something to recover from.
            assert!(temperature == 1.0 || mean(&before) > 0.1, "{about}");
        }
    }
}

#[test]
fn calibrating_is_never_much_worse_than_not() {
    for (method, update) in SCALINGS {
        for (first, then, skewed) in [(1.0, 1.0, false), (1.0, 2.5, false), (1.5, 1.5, true)] {
            // At each moment, over all seeds.
            let mut worse = vec![Vec::new(); 40];
            for seed in 0..6 {
                let mut stream = Stream::new(200 + seed, 10, first);
                let mut online = calibrator(method, update, 10);
                for (moment, worse) in worse.iter_mut().enumerate() {
                    if moment == 20 {
                        stream.temperature = then;
                        if skewed {
                            stream.skew();
                        }
                    }
                    let fresh = stream.samples(1500);
                    worse.push(
                        judge(&fresh, |z, p| online.predict(z, p))[0] - judge(&fresh, plain)[0],
                    );
                    feed(&mut online, &stream.samples(25), 1.0);
                }
            }
            for (moment, worse) in worse.iter().enumerate() {
                let about = format!("{method:?} {update:?} {first} {then} at {moment}: {worse:?}");
                assert!(mean(worse) < 0.02, "{about}");
            }
        }
    }
}

#[test]
fn methods_for_the_top_label_at_least_halve_the_error_of_an_overconfident_model() {
    for (method, update) in &EVERY[3..] {
        let mut stream = Stream::new(7, 10, 2.5);
        let mut online = calibrator(*method, *update, 10);
        feed(&mut online, &stream.samples(500), 1.0);
        let fresh = stream.samples(4000);
        let (raw, ours) = (judge(&fresh, plain), judge(&fresh, |z, p| online.predict(z, p)));
        assert!(ours[0] < 0.5 * raw[0] && ours[1] < raw[1], "{method:?}: {ours:?} of {raw:?}");
    }
}

#[test]
fn until_there_is_evidence_probabilities_are_the_models_own_bit_for_bit() {
    for (method, update) in EVERY {
        let mut stream = Stream::new(3, 10, 2.5);
        let mut online = calibrator(method, update, 10);
        // Overlapping clips: 990 of them are worth 99 samples.
        feed(&mut online, &stream.samples(990), 0.1);
        assert!((online.evidence() - 99.0).abs() < 1e-6);
        assert_eq!(online.parameters(), Parameters::Identity);
        let (logits, _) = stream.draw();
        let (mut own, mut ours) = ([0.0; 10], [0.0; 10]);
        plain(&logits, &mut own);
        online.predict(&logits, &mut ours);
        assert_eq!(own.map(f32::to_bits), ours.map(f32::to_bits));
        feed(&mut online, &stream.samples(20), 0.1);
        online.predict(&logits, &mut ours);
        assert_ne!(own, ours, "{method:?}");
    }
}

#[test]
fn no_sample_scores_a_calibrator_that_has_seen_it() {
    for (method, update) in EVERY {
        let samples = Stream::new(5, 6, 2.5).samples(300);
        let predictions = |samples: &[(Vec<f32>, usize)]| {
            let mut online = calibrator(method, update, 6);
            let mut all = Vec::new();
            for (logits, truth) in samples {
                let mut p = [0.0; 6];
                online.predict(logits, &mut p);
                online.learn(logits, &p, &[*truth], 1.0);
                all.push(p.map(f32::to_bits));
            }
            all
        };
        let original = predictions(&samples);
        for from in [0, 60, 150, 299] {
            // Another truth from here on.
            let mut altered = samples.clone();
            altered[from..].iter_mut().for_each(|(_, truth)| *truth = (*truth + 1) % 6);
            let altered = predictions(&altered);
            assert_eq!(original[..=from], altered[..=from], "{method:?} from {from}");
            let seen = original[from + 1..] != altered[from + 1..];
            assert!(seen || from == 299, "{method:?}: what is learned has no effect");
        }
    }
}

#[test]
fn what_goes_on_from_a_state_is_what_never_stopped() {
    for (method, update) in EVERY {
        let mut stream = Stream::new(9, 7, 2.0);
        let mut online = calibrator(method, update, 7);
        feed(&mut online, &stream.samples(333), 0.7);
        let text = serde_json::to_string(&online.state()).unwrap();
        let mut resumed = calibrator(method, update, 7);
        resumed.restore(serde_json::from_str(&text).unwrap()).unwrap();
        for (logits, truth) in stream.samples(200) {
            let (mut a, mut b) = ([0.0; 7], [0.0; 7]);
            online.predict(&logits, &mut a);
            resumed.predict(&logits, &mut b);
            assert_eq!(a.map(f32::to_bits), b.map(f32::to_bits), "{method:?} {update:?}");
            online.learn(&logits, &a, &[truth], 0.7);
            resumed.learn(&logits, &b, &[truth], 0.7);
        }
        assert_eq!(online.state(), resumed.state());
    }
}

#[test]
fn a_state_of_another_calibrator_or_a_torn_one_is_refused_and_changes_nothing() {
    let mut stream = Stream::new(9, 7, 2.0);
    let mut online = calibrator(Method::Temperature, Update::Window, 7);
    feed(&mut online, &stream.samples(100), 1.0);
    let state = online.state();
    for (method, update) in &EVERY[1..] {
        assert!(calibrator(*method, *update, 7).restore(state.clone()).is_err());
    }
    assert!(calibrator(Method::Temperature, Update::Window, 8).restore(state.clone()).is_err());
    let text = serde_json::to_string(&state).unwrap();
    let mut torn: Value = serde_json::from_str(&text).unwrap();
    let digits = torn["numbers"].as_str().unwrap().to_owned();
    for digits in [&digits[16..], &digits[..digits.len() - 16], &"4".repeat(digits.len())] {
        torn["numbers"] = digits.into();
        let torn = serde_json::from_value(torn.clone()).unwrap();
        assert!(online.restore(torn).is_err());
        assert_eq!(online.state(), state);
    }
    torn["version"] = 99.into();
    assert!(online.restore(serde_json::from_value(torn).unwrap()).is_err());
    assert_eq!(online.state(), state);
}

#[test]
fn what_is_not_finite_or_does_not_fit_is_never_learned() {
    for (method, update) in EVERY {
        let mut stream = Stream::new(2, 3, 2.5);
        let mut online = calibrator(method, update, 3);
        feed(&mut online, &stream.samples(100), 1.0);
        let state = online.state();
        let p = [0.5, 0.25, 0.25];
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            online.learn(&[bad, 0.0, 1.0], &p, &[0], 1.0);
            let (mut own, mut ours) = ([0.0; 3], [0.0; 3]);
            plain(&[bad, 0.0, 1.0], &mut own);
            online.predict(&[bad, 0.0, 1.0], &mut ours);
            assert_eq!(own.map(f32::to_bits), ours.map(f32::to_bits));
        }
        online.learn(&[1.0, 0.0, 1.0], &p, &[3], 1.0);
        online.learn(&[1.0, 0.0, 1.0], &p, &[], 1.0);
        online.learn(&[1.0, 0.0], &p, &[0], 1.0);
        for evidence in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            online.learn(&[1.0, 0.0, 1.0], &p, &[0], evidence);
        }
        assert_eq!(online.state(), state, "{method:?}");
    }
}

#[test]
fn absurd_logits_leave_finite_bounded_parameters() {
    for (method, update) in EVERY {
        let mut online = calibrator(method, update, 3);
        let mut p = [0.0; 3];
        for i in 0..2000 {
            let logits = match i % 4 {
                0 => [f32::MAX, f32::MIN, 0.0],
                1 => [0.0; 3],
                2 => [1e30, 1e30, -1e30],
                _ => [-1e-40, 1e-40, 50.0],
            };
            online.predict(&logits, &mut p);
            assert!(p.iter().all(|p| (0.0..=1.0).contains(p)), "{method:?}: {p:?}");
            online.learn(&logits, &p, &[i % 3], 1.0);
        }
        assert_eq!(online.parameters().check(3, Task::SingleLabel), Ok(()), "{method:?}");
        // And what they bent is soon straight again.
        let mut stream = Stream::new(4, 3, 1.5);
        feed(&mut online, &stream.samples(2000), 1.0);
        let fresh = stream.samples(2000);
        let [ece, _] = judge(&fresh, |z, p| online.predict(z, p));
        assert!(ece < 0.1, "{method:?}: {ece}");
    }
}

#[test]
fn a_calibration_that_came_with_the_model_holds_until_there_is_a_better() {
    for (method, update) in EVERY {
        let prior = Parameters::Temperature { temperature: 2.5 };
        let options = CalibrateOptions { method, update, ..CalibrateOptions::default() };
        let mut online = Calibrator::new(&options, 10, Task::SingleLabel, Some(&prior));
        assert_eq!(online.parameters(), prior);
        let mut stream = Stream::new(1, 10, 2.5);
        feed(&mut online, &stream.samples(300), 1.0);
        let fresh = stream.samples(4000);
        let best = judge(&fresh, |z, p| prior.apply(z, Task::SingleLabel, p))[0];
        let gap = judge(&fresh, |z, p| online.predict(z, p))[0] - best;
        assert!(gap < 0.02, "{method:?}: {gap}");
        online.reset();
        assert_eq!((online.parameters(), online.evidence()), (prior, 0.0));
    }
}

/// Labels apart, each with its own temperature and bias in the model.
fn multi_label_stream(seed: u64, n: usize) -> Vec<(Vec<f32>, Vec<usize>)> {
    let mut g = Generator(seed);
    let bent = [(2.5, 0.0), (1.0, 1.5), (0.6, -1.0), (2.0, 1.0)];
    (0..n)
        .map(|_| {
            let (mut logits, mut truth) = (Vec::new(), Vec::new());
            for (class, (t, shift)) in bent.iter().enumerate() {
                let z = 1.5 * g.normal() - 0.5;
                if g.unit() < 1.0 / (1.0 + (-z).exp()) {
                    truth.push(class);
                }
                logits.push((t * z + shift) as f32);
            }
            (logits, truth)
        })
        .collect()
}

#[test]
fn multi_label_classes_are_calibrated_apart_and_their_thresholds_raise_f1() {
    let options = CalibrateOptions { method: Method::Vector, ..CalibrateOptions::default() };
    let mut online = Calibrator::new(&options, 4, Task::MultiLabel, None);
    let mut p = [0.0; 4];
    for (logits, truth) in multi_label_stream(1, 1000) {
        online.predict(&logits, &mut p);
        online.learn(&logits, &p, &truth, 1.0);
    }
    let parameters = online.parameters();
    assert_eq!(parameters.check(4, Task::MultiLabel), Ok(()));
    let fresh = multi_label_stream(2, 4000);
    let mut batch = Batch::new(Task::MultiLabel, 4);
    fresh.iter().for_each(|(logits, truth)| assert!(batch.push(logits, truth, 1.0)));
    let oracle = fit_multi_label(&batch, true);
    let loss = |parameters: &Parameters| {
        let mut p = [0.0; 4];
        let mut sum = 0.0;
        for (logits, truth) in &fresh {
            parameters.apply(logits, Task::MultiLabel, &mut p);
            for (class, p) in p.iter().enumerate() {
                let p = if truth.contains(&class) { *p } else { 1.0 - *p };
                sum -= f64::from(p).max(1e-9).ln();
            }
        }
        sum / fresh.len() as f64
    };
    let (raw, ours, best) = (loss(&Parameters::Identity), loss(&parameters), loss(&oracle));
    assert!(ours < 1.01 * best && best < 0.95 * raw, "{raw} {ours} {best}");

    let f1 = |parameters: &Parameters, threshold: &[f64]| -> f64 {
        let mut p = [0.0; 4];
        let (mut right, mut either) = ([0.0; 4], [0.0; 4]);
        for (logits, truth) in &fresh {
            parameters.apply(logits, Task::MultiLabel, &mut p);
            for class in 0..4 {
                let said = f64::from(p[class]) >= threshold[class];
                let holds = truth.contains(&class);
                right[class] += f64::from(u8::from(said && holds));
                either[class] += f64::from(u8::from(said) + u8::from(holds));
            }
        }
        right.iter().zip(either).map(|(right, either)| 2.0 * right / either).sum::<f64>() / 4.0
    };
    let best = f1(&oracle, oracle.thresholds().unwrap());
    let ours = f1(&parameters, parameters.thresholds().unwrap());
    let halves = f1(&parameters, &[0.5; 4]);
    assert!(ours > halves + 0.01 && ours > best - 0.01, "{ours} {halves} {best}");
}

#[test]
fn a_multi_label_state_goes_on_exactly_and_begins_as_the_sigmoid() {
    let options = CalibrateOptions::default();
    let mut online = Calibrator::new(&options, 4, Task::MultiLabel, None);
    let samples = multi_label_stream(3, 400);
    let (mut a, mut b) = ([0.0; 4], [0.0; 4]);
    for (logits, truth) in &samples[..40] {
        online.predict(logits, &mut a);
        probabilities(logits, Task::MultiLabel, &mut b);
        assert_eq!(a.map(f32::to_bits), b.map(f32::to_bits));
        online.learn(logits, &a, truth, 1.0);
    }
    for (logits, truth) in &samples[40..200] {
        online.predict(logits, &mut a);
        online.learn(logits, &a, truth, 1.0);
    }
    let mut resumed = Calibrator::new(&options, 4, Task::MultiLabel, None);
    let text = serde_json::to_string(&online.state()).unwrap();
    resumed.restore(serde_json::from_str(&text).unwrap()).unwrap();
    for (logits, truth) in &samples[200..] {
        online.predict(logits, &mut a);
        resumed.predict(logits, &mut b);
        assert_eq!(a.map(f32::to_bits), b.map(f32::to_bits));
        online.learn(logits, &a, truth, 1.0);
        resumed.learn(logits, &b, truth, 1.0);
    }
    assert_eq!(online.state(), resumed.state());
    online.learn(&[f32::NAN; 4], &a, &[0], 1.0);
    online.learn(&[0.0; 4], &a, &[4], 1.0);
    assert_eq!(online.state(), resumed.state());
}
