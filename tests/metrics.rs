//! Every metric against scikit-learn and torchmetrics: tests/golden/metrics.py
//! wrote what they give, for inputs that both sides make from the same integers.

use std::collections::BTreeMap;

use kinewatch::metric::{
    Averages, Bootstrap, Conventions, Curve, Detection, Events, McNemar, Options, Running, Segment,
    Set, Summary, Task, Truth, intervals, pr_curve, pr_curve_micro, roc_curve, roc_curve_micro,
    summary,
};
use serde_json::Value;

const SINGLE: &str = include_str!("golden/metrics/single-label.jsonl");
const MULTI: &str = include_str!("golden/metrics/multi-label.jsonl");
const EVENTS: &str = include_str!("golden/metrics/events.jsonl");
const MCNEMAR: &str = include_str!("golden/metrics/mcnemar.jsonl");

/// SplitMix64, as in metrics.py.
struct Generator(u64);

impl Generator {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

/// One line of a golden file.
struct Case {
    task: Task,
    line: Value,
}

impl Case {
    fn all() -> impl Iterator<Item = Case> {
        let of = |task, text: &'static str| {
            text.lines().map(move |line| Case { task, line: serde_json::from_str(line).unwrap() })
        };
        of(Task::SingleLabel, SINGLE).chain(of(Task::MultiLabel, MULTI))
    }

    fn number(&self, key: &str) -> u64 {
        self.line[key].as_u64().unwrap()
    }

    fn kind(&self) -> &str {
        self.line["kind"].as_str().unwrap()
    }

    fn options(&self, conventions: Conventions) -> Options {
        let bins = self.number("bins") as usize;
        Options { conventions, bins, top_k: vec![1, 2, 3, 5], ..Options::default() }
    }

    /// What a library gives; torchmetrics' line holds only what differs.
    fn expected(&self, conventions: Conventions, figure: &str) -> &Value {
        let own = &self.line[conventions.to_string()][figure];
        if own.is_null() && !self.lists(conventions, figure) {
            return &self.line["scikit-learn"][figure];
        }
        own
    }

    fn lists(&self, conventions: Conventions, figure: &str) -> bool {
        self.line[conventions.to_string()].get(figure).is_some()
    }

    fn samples(&self) -> Vec<(Vec<usize>, Vec<f64>)> {
        let mut generator = Generator(self.number("seed"));
        let (classes, levels) = (self.number("classes"), self.number("levels"));
        let only = if self.task == Task::SingleLabel { generator.below(classes) } else { 0 };
        (0..self.number("samples"))
            .map(|_| match self.task {
                Task::SingleLabel => self.single(&mut generator, only, classes, levels),
                Task::MultiLabel => self.multi(&mut generator, classes, levels),
            })
            .collect()
    }

    fn single(
        &self,
        generator: &mut Generator,
        only: u64,
        classes: u64,
        levels: u64,
    ) -> (Vec<usize>, Vec<f64>) {
        let truth = match self.kind() {
            "one-class" => only,
            "first-class" => 0,
            "absent" => generator.below(classes.div_ceil(2)) * 2,
            _ => generator.below(classes),
        } as usize;
        let mut weights: Vec<u64> = (0..classes).map(|_| generator.below(levels + 1)).collect();
        let perfect = self.kind() == "perfect";
        if perfect || generator.below(2) == 0 {
            weights[truth] += levels;
        }
        weights[truth] += u64::from(perfect);
        let mut total: u64 = weights.iter().sum();
        if total == 0 {
            (weights[0], total) = (1, 1);
        }
        (vec![truth], weights.iter().map(|&w| w as f64 / total as f64).collect())
    }

    fn multi(
        &self,
        generator: &mut Generator,
        classes: u64,
        levels: u64,
    ) -> (Vec<usize>, Vec<f64>) {
        let perfect = self.kind() == "perfect";
        let (mut truth, mut scores) = (Vec::new(), Vec::new());
        for label in 0..classes as usize {
            let drawn = generator.below(3) == 0;
            let is_true = match self.kind() {
                "never" => false,
                "always" => true,
                "absent" => drawn && label % 2 == 0,
                _ => drawn,
            };
            let mut k = generator.below(levels + 1);
            if is_true && (perfect || generator.below(2) == 0) {
                k = levels - generator.below(levels / 2 + 1);
            } else if perfect {
                k = generator.below(levels / 2 + 1) / 2;
            }
            if is_true {
                truth.push(label);
            }
            scores.push(k as f64 / levels as f64);
        }
        (truth, scores)
    }

    fn set(&self) -> Set {
        let mut set = Set::new(self.task, self.number("classes") as usize).unwrap();
        for (truth, scores) in self.samples() {
            set.push("v", Truth::Classes(&truth), &scores).unwrap();
        }
        set
    }
}

/// Compares to 1e-9 and keeps the score: how many of each figure were compared
/// and what did not agree.
#[derive(Default)]
struct Check {
    compared: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

impl Check {
    fn one(&mut self, case: &Case, name: &str, found: Option<f64>, expected: &Value) {
        let expected = expected.as_f64();
        let same = match (found, expected) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * b.abs().max(1.0),
            (a, b) => a.is_none() && b.is_none(),
        };
        *self.compared.entry(name.to_owned()).or_default() += 1;
        if !same {
            let (task, seed) = (case.task, case.number("seed"));
            self.wrong.push(format!("{task:?} {seed} {name}: {found:?} for {expected:?}"));
        }
    }

    fn many(&mut self, case: &Case, name: &str, found: &[Option<f64>], expected: &Value) {
        let expected = expected.as_array().unwrap();
        assert_eq!(found.len(), expected.len(), "{name}");
        let pairs = found.iter().zip(expected).enumerate();
        pairs.for_each(|(i, (found, e))| self.one(case, &format!("{name}[{i}]"), *found, e));
    }

    /// That nothing differs, and that no figure was compared in fewer than 200
    /// cases (of classes beyond the first two there are fewer).
    fn finish(self, least: usize, scarce: impl Fn(&str) -> bool) {
        let shown: Vec<_> = self.wrong.iter().take(30).collect();
        assert!(self.wrong.is_empty(), "{} differ: {shown:#?}", self.wrong.len());
        for (name, count) in &self.compared {
            assert!(*count >= least || scarce(name), "{name}: only {count} cases");
        }
    }
}

/// macro, weighted, micro, over all classes, over those present.
fn five(averages: &Averages) -> [Option<f64>; 5] {
    [
        averages.macro_average,
        averages.weighted,
        averages.micro,
        averages.macro_all,
        averages.macro_present,
    ]
}

fn compare(check: &mut Check, case: &Case, conventions: Conventions, found: &Summary) {
    let of = |figure: &str| case.expected(conventions, figure);
    let some = |value| Some(value);
    check.one(case, "accuracy", some(found.accuracy), of("accuracy"));
    check.one(case, "hamming", found.hamming_accuracy, of("hamming"));
    check.one(case, "balanced", found.balanced_accuracy, of("balanced"));
    for (name, averages) in
        [("precision", &found.precision), ("recall", &found.recall), ("f1", &found.f1)]
    {
        check.many(case, name, &five(averages), of(name));
    }
    for (name, averages) in [("ap", &found.average_precision), ("auroc", &found.auroc)] {
        let [macro_average, weighted, micro, _, present] = five(averages);
        check.many(case, name, &[macro_average, weighted, micro, present], of(name));
    }
    let auprc = [found.auprc.macro_present, found.auprc.micro];
    check.many(case, "auprc", &auprc, of("auprc"));
    let calibration = &found.calibration;
    check.one(case, "ece", some(calibration.ece), of("ece"));
    check.one(case, "ece_mass", some(calibration.ece_equal_mass), of("ece_mass"));
    check.one(case, "mce", some(calibration.mce), of("mce"));
    check.one(case, "brier", some(calibration.brier), of("brier"));
    check.one(case, "nll", some(calibration.nll), of("nll"));
    let classes = &found.per_class;
    let mean = |values: &Value| {
        let values: Vec<f64> = values.as_array().unwrap().iter().flat_map(Value::as_f64).collect();
        Value::from(values.iter().sum::<f64>() / values.len() as f64)
    };
    check.one(case, "classwise_ece", some(calibration.classwise_ece), &mean(of("ece_of")));
    type Of = fn(&kinewatch::metric::ClassFigures) -> Option<f64>;
    let per_class: [(&str, Of); 7] = [
        ("precision_of", |class| Some(class.precision)),
        ("recall_of", |class| Some(class.recall)),
        ("f1_of", |class| Some(class.f1)),
        ("ap_of", |class| class.average_precision),
        ("auroc_of", |class| class.auroc),
        ("auprc_of", |class| class.auprc),
        ("ece_of", |class| Some(class.ece)),
    ];
    for (name, figure) in per_class {
        check.many(case, name, &classes.iter().map(figure).collect::<Vec<_>>(), of(name));
    }
    for (top, expected) in found.top_k.iter().zip(of("top_k").as_array().unwrap()) {
        // torch.topk promises no order among equals: such cases hold no value.
        let unordered = conventions == Conventions::TorchMetrics && case.task == Task::SingleLabel;
        if !(unordered && expected.is_null()) {
            check.one(case, &format!("top_{}", top.k), top.accuracy, expected);
        }
    }
    assert_eq!(found.top_k.len(), of("top_k").as_array().unwrap().len());
}

fn golden(conventions: Conventions) {
    let mut check = Check::default();
    for case in Case::all() {
        let found = summary(&case.set(), &case.options(conventions)).unwrap();
        compare(&mut check, &case, conventions, &found);
    }
    check.finish(200, |name| name.contains("_of[") || name.starts_with("top_"));
}

#[test]
fn every_figure_equals_scikit_learns() {
    golden(Conventions::ScikitLearn);
}

#[test]
fn every_figure_equals_torchmetrics_under_its_conventions() {
    golden(Conventions::TorchMetrics);
}

/// The libraries do differ in these cases, so the tests above can tell the
/// conventions apart.
#[test]
fn the_golden_cases_hold_every_known_difference() {
    let differs = |task: Task, figure: &str| {
        Case::all()
            .filter(|case| case.task == task && case.lists(Conventions::TorchMetrics, figure))
            .count()
    };
    for (task, figure) in [
        (Task::SingleLabel, "balanced"),
        (Task::SingleLabel, "ap"),
        (Task::SingleLabel, "ap_of"),
        (Task::SingleLabel, "auroc"),
        (Task::SingleLabel, "ece"),
        (Task::SingleLabel, "mce"),
        (Task::SingleLabel, "ece_of"),
        (Task::SingleLabel, "top_k"),
        (Task::MultiLabel, "balanced"),
        (Task::MultiLabel, "auroc"),
        (Task::MultiLabel, "ece"),
        (Task::MultiLabel, "top_k"),
    ] {
        assert!(differs(task, figure) >= 5, "{task:?} {figure}: {}", differs(task, figure));
    }
    // And they agree on these, in all cases: docs/metrics.md says so.
    for task in [Task::SingleLabel, Task::MultiLabel] {
        for figure in ["accuracy", "hamming", "precision", "recall", "f1", "auprc_of"] {
            assert_eq!(differs(task, figure), 0, "{task:?} {figure}");
        }
    }
    assert_eq!(differs(Task::MultiLabel, "ap"), 0);
}

fn digest(columns: [Vec<f64>; 2], thresholds: &[f64]) -> Vec<Option<f64>> {
    let sum = |column: &[f64]| {
        let places = column.iter().enumerate();
        Some(places.map(|(i, value)| (i + 1) as f64 * value).sum())
    };
    vec![Some(columns[0].len() as f64), sum(&columns[0]), sum(&columns[1]), sum(thresholds)]
}

fn of_curve(curve: &Curve) -> Vec<Option<f64>> {
    let column = |of: fn(&kinewatch::metric::Point) -> f64| curve.points.iter().map(of).collect();
    let thresholds: Vec<f64> = curve.points.iter().filter_map(|p| p.threshold).collect();
    digest([column(|p| p.x), column(|p| p.y)], &thresholds)
}

#[test]
fn curves_go_through_scikit_learns_points() {
    let mut check = Check::default();
    for case in Case::all() {
        let set = case.set();
        for (name, pr, roc) in [
            ("curves", pr_curve(&set, 0).unwrap(), roc_curve(&set, 0).unwrap()),
            ("curves_micro", pr_curve_micro(&set).unwrap(), roc_curve_micro(&set).unwrap()),
        ] {
            let found = [of_curve(&pr), of_curve(&roc)].concat();
            check.many(&case, name, &found, case.expected(Conventions::ScikitLearn, name));
        }
    }
    check.finish(500, |_| false);
}

/// Streaming: what it counts is exact, what it ranks lies within its bounds.
#[test]
fn a_stream_agrees_with_the_whole_set() {
    for case in Case::all() {
        for conventions in [Conventions::ScikitLearn, Conventions::TorchMetrics] {
            let options = case.options(conventions);
            let exact = summary(&case.set(), &options).unwrap();
            let mut running = Running::new(case.task, exact.classes, &options).unwrap();
            for (truth, scores) in case.samples() {
                running.add(Truth::Classes(&truth), &scores).unwrap();
            }
            let found = running.summary();
            assert_eq!((found.accuracy, found.top_k), (exact.accuracy, exact.top_k));
            assert_eq!((found.f1, found.precision), (exact.f1, exact.precision));
            assert_eq!(found.balanced_accuracy, exact.balanced_accuracy);
            assert_eq!((found.ece, found.mce), (exact.calibration.ece, exact.calibration.mce));
            assert_eq!(found.classwise_ece, exact.calibration.classwise_ece);
            assert_eq!((found.brier, found.nll), (exact.calibration.brier, exact.calibration.nll));
            for (bounded, exact) in [
                (found.average_precision.macro_average, exact.average_precision.macro_average),
                (found.average_precision.micro, exact.average_precision.micro),
                (found.auroc.macro_average, exact.auroc.macro_average),
                (found.auroc.micro, exact.auroc.micro),
            ] {
                match (bounded, exact) {
                    (Some(b), Some(x)) => {
                        assert!(b.low <= x + 1e-9 && x <= b.high + 1e-9, "{b:?} {x}");
                    }
                    (b, x) => assert!(b.is_none() && x.is_none(), "{b:?} {x:?}"),
                }
            }
        }
    }
}

#[test]
fn scores_that_are_no_probabilities_are_refused_wherever_they_stand() {
    let mut generator = Generator(11);
    for case in Case::all() {
        let mut set = Set::new(case.task, case.number("classes") as usize).unwrap();
        let mut running =
            Running::new(case.task, set.classes(), &case.options(Conventions::ScikitLearn))
                .unwrap();
        let (truth, mut scores) = case.samples().swap_remove(0);
        let place = generator.below(scores.len() as u64) as usize;
        let bad = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.25, 1.25];
        scores[place] = bad[generator.below(5) as usize];
        let error = set.push("gate.mp4", Truth::Classes(&truth), &scores).unwrap_err().to_string();
        assert!(error.contains(&format!("class {place} is")), "{error}");
        assert!(running.add(Truth::Classes(&truth), &scores).is_err());
        scores[place] = 0.5;
        let beyond = [truth, vec![scores.len()]].concat();
        let beyond = &beyond[beyond.len() - 1..];
        assert!(set.push("gate.mp4", Truth::Classes(beyond), &scores).is_err());
        assert!(running.add(Truth::Classes(beyond), &scores).is_err());
        assert!(set.is_empty() && running.summary().samples == 0);
    }
}

/// Actions or events: (class, start, end, raised), seconds.
fn spans(generator: &mut Generator, most: u64, late: u64) -> Vec<(usize, f64, f64, f64)> {
    (0..generator.below(most + 1))
        .map(|_| {
            let class = generator.below(3) as usize;
            let (start, length) = (generator.below(120), generator.below(40));
            let raised = start + generator.below(late + 1);
            let seconds = |quarters: u64| quarters as f64 / 4.0;
            (class, seconds(start), seconds(start + length), seconds(raised))
        })
        .collect()
}

#[test]
fn events_agree_with_the_reference() {
    for line in EVENTS.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let mut generator = Generator(line["seed"].as_u64().unwrap());
        let actions: Vec<_> = spans(&mut generator, 7, 0)
            .into_iter()
            .map(|(class, start, end, _)| Segment { class, start, end })
            .collect();
        let found: Vec<_> = spans(&mut generator, 9, 8)
            .into_iter()
            .map(|(class, start, end, raised)| Detection { class, start, end, raised })
            .collect();
        let mut events = Events::new(3);
        events.add("v", &actions, &found).unwrap();
        let summary = events.summary();
        let close = |found: Option<f64>, expected: &Value| match (found, expected.as_f64()) {
            (Some(a), Some(b)) => assert!((a - b).abs() < 1e-9, "{a} for {b}: {line}"),
            (a, b) => assert!(a.is_none() && b.is_none(), "{a:?} for {b:?}: {line}"),
        };
        for (k, at) in summary.f1.iter().enumerate() {
            assert_eq!(Some(at.true_positives), line["hits"][k].as_u64(), "{line}");
            close(Some(at.f1), &line["f1"][k]);
        }
        let latency = summary.latency;
        assert_eq!(Some(latency.detected), line["detected"].as_u64(), "{line}");
        assert_eq!(Some(latency.early), line["early"].as_u64(), "{line}");
        close(latency.mean, &line["mean"]);
        close(latency.p90, &line["p90"]);
    }
    assert!(EVENTS.lines().count() >= 200);
}

#[test]
fn mcnemars_test_agrees_with_scipy() {
    for line in MCNEMAR.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let only = |k: usize| line["only"][k].as_u64().unwrap() as usize;
        let (a, b) = (only(0), only(1));
        let pairs = std::iter::repeat_n((true, false), a);
        let test = McNemar::of(pairs.chain(std::iter::repeat_n((false, true), b)));
        for (found, expected) in
            [test.exact_p, test.statistic, test.corrected_p].into_iter().zip([0, 1, 2])
        {
            let expected = line["p"][expected].as_f64().unwrap();
            // Tail probabilities of all sizes: to 9 digits of themselves.
            let close = (found - expected).abs() <= 1e-9 * expected.max(1e-300);
            assert!(close, "{a} {b}: {found} for {expected}");
        }
    }
    assert!(MCNEMAR.lines().count() >= 200);
}

/// The same seed, the same bytes, however many cores: it is what lets a report
/// be made again.
#[test]
fn intervals_are_the_same_every_time() {
    let case = Case::all().find(|case| case.number("samples") == 300).unwrap();
    let mut set = Set::new(case.task, case.number("classes") as usize).unwrap();
    for (i, (truth, scores)) in case.samples().into_iter().enumerate() {
        set.push(&format!("video {}", i / 10), Truth::Classes(&truth), &scores).unwrap();
    }
    let options = case.options(Conventions::ScikitLearn);
    let bootstrap = Bootstrap { replicates: 200, ..Bootstrap::default() };
    let once = || serde_json::to_string(&intervals(&set, &options, &bootstrap).unwrap()).unwrap();
    assert_eq!(once(), once());
    assert!(once().contains("\"figure\":\"map\""));
}
