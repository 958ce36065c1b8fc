//! Calibrators that learn while the stream runs: how far from the right
//! probabilities, and from those of the model itself, at every moment.

use std::error::Error;

use kinewatch::calibrate::{CalibrateOptions, Calibrator, Method, Parameters, Update};
use kinewatch::metric::{self, Options, Set, Task, Truth};
use kinewatch::report::chart::{self, Panel};

use crate::Report;
use crate::logits::{Sample, Stream, World};
use crate::plot;
use crate::score::{Exam, Score, offline_temperature};

const SEEDS: u64 = 16;
/// Clips that a moment is judged by; fewer of many classes, which are slow.
fn exam(world: &World) -> usize {
    if world.classes() > 50 { 1000 } else { 4000 }
}

/// The seed of what is judged by; streams have others.
const EXAM_SEED: u64 = 1000;
/// Effective samples between two looks.
const EVERY: f64 = 10.0;

/// What is compared.
struct Candidate {
    name: &'static str,
    method: Method,
    update: Update,
    hue: usize,
    dash: usize,
}

const CANDIDATES: [Candidate; 5] = [
    Candidate {
        name: "temperature (window)",
        method: Method::Temperature,
        update: Update::Window,
        hue: 0,
        dash: 0,
    },
    Candidate {
        name: "temperature (recursive)",
        method: Method::Temperature,
        update: Update::Recursive,
        hue: 5,
        dash: 2,
    },
    Candidate { name: "vector", method: Method::Vector, update: Update::Window, hue: 2, dash: 0 },
    Candidate { name: "platt", method: Method::Platt, update: Update::Window, hue: 3, dash: 1 },
    Candidate {
        name: "histogram",
        method: Method::Histogram,
        update: Update::Window,
        hue: 4,
        dash: 3,
    },
];

impl Candidate {
    fn options(&self) -> CalibrateOptions {
        CalibrateOptions { method: self.method, update: self.update, ..CalibrateOptions::default() }
    }
}

/// A stream whose world changes.
struct Scenario {
    name: &'static str,
    /// Each world with the effective samples for which it lasts.
    acts: Vec<(World, f64)>,
    evidence: f64,
}

/// What was found at one moment of one seed.
struct Look {
    /// Effective samples so far.
    at: f64,
    raw: Score,
    oracle: Score,
    /// Of each candidate.
    scores: Vec<Score>,
}

fn scenarios() -> Vec<Scenario> {
    let ten = |t| World::new(10, t);
    let steady =
        |world: World, evidence, name| Scenario { name, acts: vec![(world, 1000.0)], evidence };
    vec![
        steady(ten(1.8), 0.25, "steady, T = 1.8, 10 classes"),
        steady(ten(0.6), 1.0, "steady, T = 0.6, 10 classes, no overlap"),
        steady(World::new(400, 1.8), 0.5, "steady, T = 1.8, 400 classes"),
        steady(ten(1.0), 0.25, "steady, T = 1: nothing to correct"),
        Scenario {
            name: "temperature from 1 to 2.5",
            acts: vec![(ten(1.0), 1000.0), (ten(2.5), 1000.0)],
            evidence: 0.25,
        },
        Scenario {
            name: "label mix from even to 30 : 1, T = 1.5",
            acts: vec![(ten(1.5), 1000.0), (ten(1.5).mixed(30.0), 1000.0)],
            evidence: 0.25,
        },
    ]
}

impl Scenario {
    fn looks(&self, seed: u64, exams: &[Exam]) -> Vec<Look> {
        let classes = self.acts[0].0.classes();
        let mut stream = Stream::new(self.acts[0].0.clone(), self.evidence, seed);
        let mut calibrators: Vec<Calibrator> = CANDIDATES
            .iter()
            .map(|c| Calibrator::new(&c.options(), classes, Task::SingleLabel, None))
            .collect();
        let mut predicted = vec![0.0f32; classes];
        let mut looks = Vec::new();
        let (mut effective, mut next) = (0.0, EVERY);
        // Many classes are slow to judge: fewer looks.
        let every = if classes > 50 { 5.0 * EVERY } else { EVERY };
        for ((world, length), exam) in self.acts.iter().zip(exams) {
            stream.world = world.clone();
            let end = effective + length;
            let raw = exam.judge(|z, p| Parameters::Identity.apply(z, Task::SingleLabel, p));
            let oracle = exam.judge(|z, p| {
                let right = world.oracle(z);
                p.iter_mut().zip(right).for_each(|(p, r)| *p = r as f32);
            });
            while effective < end - 1e-9 {
                let sample = stream.next();
                for calibrator in &mut calibrators {
                    calibrator.predict(&sample.logits, &mut predicted);
                    calibrator.learn(&sample.logits, &predicted, &sample.truth, sample.evidence);
                }
                effective += sample.evidence;
                if effective + 1e-9 >= next {
                    next += every;
                    looks.push(Look {
                        at: effective,
                        raw,
                        oracle,
                        scores: calibrators
                            .iter()
                            .map(|calibrator| {
                                let parameters = calibrator.parameters();
                                exam.judge(|z, p| parameters.apply(z, Task::SingleLabel, p))
                            })
                            .collect(),
                    });
                }
            }
        }
        looks
    }
}

pub fn run(report: &mut Report) -> Result<(), Box<dyn Error>> {
    let mut panels = Vec::new();
    for scenario in scenarios() {
        report.part(&format!(
            "{}; evidence {} a clip; {}",
            scenario.name,
            scenario.evidence,
            crate::named(SEEDS)
        ));
        let exams: Vec<Exam> = scenario
            .acts
            .iter()
            .map(|(world, _)| Exam::new(world, exam(world), EXAM_SEED))
            .collect();
        let all: Vec<Vec<Look>> = crate::seeds(SEEDS, |seed| scenario.looks(seed, &exams));
        let shift = (scenario.acts.len() > 1).then(|| scenario.acts[0].1);
        match shift {
            None => stationary(report, &scenario, &all, &exams[0]),
            Some(shift) => shifted(report, &all, shift),
        }
        never_worse(report, &all);
        panels.push(panel(&scenario, &all, shift));
    }
    let svg = chart::lines(
        &panels,
        2,
        "Calibration error while a stream runs",
        "Expected calibration error over effective samples, mean of 16 seeds, for each scenario: \
         the model itself, each online method, and the right probabilities",
    );
    plot::write("calibration-ece", &svg)?;
    reliability()
}

/// Against an offline fit on the same clips, from 200 effective samples on. The mean
/// of the seeds is bound: now and then a steady stream looks for a while as if it had
/// changed, and a fit that cannot be taken in by that cannot follow a change either.
fn stationary(report: &mut Report, scenario: &Scenario, all: &[Vec<Look>], exam: &Exam) {
    const MARKS: [f64; 4] = [200.0, 300.0, 500.0, 1000.0];
    // Of each mark and candidate: how far above the offline fit's.
    let of_seed = |seed: u64| -> Vec<Vec<(f64, f64)>> {
        let looks = &all[(seed - crate::first()) as usize];
        let world = &scenario.acts[0].0;
        let clips = (scenario.acts[0].1 / scenario.evidence).ceil() as usize;
        let samples: Vec<Sample> = Stream::new(world.clone(), scenario.evidence, seed).take(clips);
        let above = |mark: f64| {
            let look = looks.iter().find(|look| look.at >= mark - 1e-6)?;
            let seen = samples.iter().scan(0.0, |sum, sample| {
                *sum += sample.evidence;
                Some(*sum)
            });
            let count = seen.take_while(|sum| *sum <= look.at + 1e-6).count();
            let t = offline_temperature(&samples[..count]) as f32;
            let offline = exam.judge(|z, p| scaled(z, t, p));
            let above = |score: &Score| (score.ece - offline.ece, score.nll / offline.nll - 1.0);
            Some(look.scores.iter().map(above).collect())
        };
        MARKS.into_iter().filter_map(above).collect()
    };
    let seeds = crate::seeds(SEEDS, of_seed);
    for (at, candidate) in CANDIDATES.iter().enumerate() {
        for (figure, of) in
            [("ECE", (|x| x.0) as fn((f64, f64)) -> f64), ("NLL, as a share,", |x| x.1)]
        {
            let worst = seeds.iter().flatten().map(|mark| of(mark[at])).fold(f64::MIN, f64::max);
            let mean = (0..seeds[0].len()).map(|mark| {
                seeds.iter().map(|seed| of(seed[mark][at])).sum::<f64>() / seeds.len() as f64
            });
            let mean = mean.fold(f64::MIN, f64::max);
            let name = candidate.name;
            let text =
                |which: &str| format!("{name}: {figure} above the offline fit's, 200 on, {which}");
            let above = seeds.iter().filter(|s| s.iter().any(|mark| of(mark[at]) > 0.01)).count();
            match candidate.method {
                Method::Temperature => {
                    report.most(&text("mean"), mean, 0.01);
                    let told = format!("{worst:.4}; {above} of {SEEDS} seeds above 0.01");
                    report.told(&text("worst"), &told);
                }
                _ => report.told(&text("mean, worst seed"), &format!("{mean:.4} {worst:.4}")),
            }
        }
    }
}

fn scaled(logits: &[f32], t: f32, out: &mut [f32]) {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0f64;
    for (p, z) in out.iter_mut().zip(logits) {
        *p = ((z - most) / t).exp();
        sum += f64::from(*p);
    }
    out.iter_mut().for_each(|p| *p = (f64::from(*p) / sum) as f32);
}

/// Against the right probabilities, from 300 effective samples after the change on.
/// A fit to so few clips scatters, so the bound is on the mean of the seeds.
fn shifted(report: &mut Report, all: &[Vec<Look>], shift: f64) {
    for (at, candidate) in CANDIDATES.iter().enumerate() {
        let over = |look: &Look| look.scores[at].ece - look.oracle.ece;
        let mean = means(all, &over);
        let late = |&&(x, _): &&(f64, f64)| x >= shift + 300.0 - 1e-6;
        let worst = mean.iter().filter(late).map(|(_, y)| *y).fold(0.0, f64::max);
        let text = format!("{}: ECE above the right one, mean, from 300 after", candidate.name);
        match candidate.method {
            Method::Temperature => report.most(&text, worst, 0.02),
            _ => report.told(&text, &format!("{worst:.4}")),
        }
        let single = all.iter().flatten().filter(|look| look.at >= shift + 300.0 - 1e-6);
        let single = single.map(over).fold(0.0, f64::max);
        let text = format!("{}: the same, worst seed and moment", candidate.name);
        report.told(&text, &format!("{single:.4}"));
        let back = mean.iter().rev().find(|(x, y)| *x > shift && *y > 0.02);
        let back = back.map_or(0.0, |(x, _)| x + EVERY - shift);
        let text = format!("{}: effective samples until within 0.02, mean", candidate.name);
        report.told(&text, &format!("{back:.0}"));
    }
    let raw = all.iter().flatten().last().map_or(0.0, |look| look.raw.ece);
    report.told("the model itself, after the change: ECE", &format!("{raw:.4}"));
}

/// Against the model itself, at every look.
fn never_worse(report: &mut Report, all: &[Vec<Look>]) {
    for (at, candidate) in CANDIDATES.iter().enumerate() {
        let worse = |look: &Look| look.scores[at].ece - look.raw.ece;
        let worst = all.iter().flatten().map(worse).fold(f64::NEG_INFINITY, f64::max);
        let text = format!("{}: ECE above the model's own, worst seed, moment", candidate.name);
        report.most(&text, worst, 0.02);
    }
}

/// A figure over effective samples, the mean of the seeds.
fn means(all: &[Vec<Look>], of: &dyn Fn(&Look) -> f64) -> Vec<(f64, f64)> {
    let curves: Vec<Vec<(f64, f64)>> =
        all.iter().map(|looks| looks.iter().map(|look| (look.at, of(look))).collect()).collect();
    plot::mean(&curves)
}

fn panel(scenario: &Scenario, all: &[Vec<Look>], shift: Option<f64>) -> Panel {
    let curve = |of: &dyn Fn(&Look) -> f64| means(all, of);
    let mut lines = vec![
        plot::line("the model itself", 1, 0, curve(&|l| l.raw.ece)),
        plot::line("right probabilities", 6, 1, curve(&|l| l.oracle.ece)),
    ];
    for (at, c) in CANDIDATES.iter().enumerate() {
        lines.push(plot::line(c.name, c.hue, c.dash, curve(&|l| l.scores[at].ece)));
    }
    let most = lines.iter().flat_map(|l| &l.points).map(|p| p.1).fold(0.0, f64::max);
    let end: f64 = scenario.acts.iter().map(|(_, length)| length).sum();
    Panel {
        title: scenario.name.to_owned(),
        axes: ["effective samples".into(), "ECE".into()],
        x: [0.0, end],
        y: [0.0, (most * 1.1).max(0.06)],
        lines,
        levels: vec![],
        moments: shift.map(|at| (at, "the change".to_owned())).into_iter().collect(),
    }
}

/// What was really predicted, before and after, as a reliability diagram.
fn reliability() -> Result<(), Box<dyn Error>> {
    let world = World::new(10, 2.5);
    let options = CalibrateOptions::default();
    let mut calibrator = Calibrator::new(&options, 10, Task::SingleLabel, None);
    let mut sets = [Set::new(Task::SingleLabel, 10)?, Set::new(Task::SingleLabel, 10)?];
    let mut p = vec![0.0f32; 10];
    for (n, sample) in Stream::new(world, 0.25, 1).take(20_000).into_iter().enumerate() {
        calibrator.predict(&sample.logits, &mut p);
        // From the clip on from which the calibrator corrects.
        if n >= 1000 {
            sets[1].push("v", Truth::Class(sample.truth[0]), &p)?;
            let mut raw = vec![0.0f32; 10];
            Parameters::Identity.apply(&sample.logits, Task::SingleLabel, &mut raw);
            sets[0].push("v", Truth::Class(sample.truth[0]), &raw)?;
        }
        calibrator.learn(&sample.logits, &p, &sample.truth, sample.evidence);
    }
    let [before, after] = [&sets[0], &sets[1]].map(|set| metric::summary(set, &Options::default()));
    let (before, after) = (before?.calibration, after?.calibration);
    let title = "Reliability before and after online temperature scaling";
    let after = Some((&after, "calibrated as it ran"));
    plot::write("calibration-reliability", &chart::reliability(&before, after, title))
}
