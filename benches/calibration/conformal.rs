//! Prediction sets: how often they hold the truth, over all and in every stretch.

use std::error::Error;

use kinewatch::calibrate::{
    CalibrateOptions, Calibrator, Conformal, ConformalOptions, Parameters, SetMethod,
};
use kinewatch::metric::Task;
use kinewatch::report::chart::{self, Panel};

use crate::logits::{Order, Sample, Stream, World};
use crate::plot;
use crate::{Report, first};

const SEEDS: u64 = 8;
const SAMPLES: usize = 5000;
const LOCAL: usize = 500;
const COVERAGE: f64 = 0.9;

/// What sets did, one clip after another, from when there was evidence enough.
struct Course {
    held: Vec<bool>,
    sizes: Vec<usize>,
}

impl Course {
    /// The daemon's own order: predict, calibrate, make a set; then learn.
    fn of(samples: &[Sample], classes: usize, method: Option<SetMethod>) -> Self {
        let task = Task::SingleLabel;
        let mut calibrator = Calibrator::new(&CalibrateOptions::default(), classes, task, None);
        let options = ConformalOptions {
            coverage: COVERAGE,
            method: method.unwrap_or_default(),
            ..ConformalOptions::default()
        };
        let mut conformal = Conformal::new(&options, classes, task);
        let mut p = vec![0.0f32; classes];
        let mut set = Vec::new();
        let mut course = Course { held: Vec::new(), sizes: Vec::new() };
        for sample in samples {
            match method {
                Some(_) => {
                    calibrator.predict(&sample.logits, &mut p);
                    conformal.set(&p, &mut set);
                }
                // What one would do without: the most probable classes of the model's
                // own probabilities until they reach the coverage.
                None => {
                    Parameters::Identity.apply(&sample.logits, task, &mut p);
                    naive(&p, &mut set);
                }
            }
            if (method.is_none() || conformal.ready())
                && let Some(held) = Conformal::covers(task, &set, &sample.truth)
            {
                course.held.push(held);
                course.sizes.push(set.len());
            }
            if method.is_some() {
                calibrator.learn(&sample.logits, &p, &sample.truth, sample.evidence);
                conformal.learn(&p, &sample.truth, sample.evidence);
            }
        }
        course
    }

    fn coverage(&self) -> f64 {
        self.held.iter().filter(|held| **held).count() as f64 / self.held.len() as f64
    }

    fn size(&self) -> f64 {
        self.sizes.iter().sum::<usize>() as f64 / self.sizes.len() as f64
    }

    /// Coverage in every stretch of [`LOCAL`] clips, at its last clip.
    fn local(&self) -> Vec<(f64, f64)> {
        let mut inside = 0usize;
        let mut local = Vec::new();
        for (at, held) in self.held.iter().enumerate() {
            inside += usize::from(*held);
            if at >= LOCAL {
                inside -= usize::from(self.held[at - LOCAL]);
            }
            if at + 1 >= LOCAL {
                local.push(((at + 1) as f64, inside as f64 / LOCAL as f64));
            }
        }
        local
    }

    fn worst_local(&self) -> f64 {
        self.local().iter().map(|(_, c)| (c - COVERAGE).abs()).fold(0.0, f64::max)
    }
}

fn naive(p: &[f32], set: &mut Vec<usize>) {
    set.clear();
    set.extend(0..p.len());
    set.sort_by(|&a, &b| p[b].total_cmp(&p[a]).then(a.cmp(&b)));
    let mut sum = 0.0;
    let enough = set.iter().position(|&class| {
        sum += f64::from(p[class]);
        sum >= COVERAGE
    });
    set.truncate(enough.map_or(p.len(), |last| last + 1));
}

/// What comes, by name.
fn courses(seed: u64) -> Vec<(&'static str, Vec<Sample>)> {
    let world = World::new(10, 1.5);
    let plain = || Stream::new(world.clone(), 1.0, seed);
    let mut named = vec![
        ("steady", plain().take(SAMPLES)),
        ("steady, overlapping clips (evidence 0.25)", {
            Stream::new(world.clone(), 0.25, seed).take(SAMPLES)
        }),
        ("drifting: T swings from 0.7 to 2.9, labels from even to 10 : 1", {
            let mut stream = plain();
            (0..SAMPLES)
                .map(|n| {
                    let phase = n as f64 / SAMPLES as f64 * 2.0 * std::f64::consts::TAU;
                    let t = 1.8 - 1.1 * phase.cos();
                    stream.world = world.at(t).mixed(10f64.powf(0.5 - 0.5 * phase.cos()));
                    stream.next()
                })
                .collect()
        }),
        ("a sudden change: T from 1.5 to 3, classes half as far apart", {
            let mut stream = plain();
            let mut samples = stream.take(SAMPLES / 2);
            let [low, high] = world.distance;
            stream.world = World { distance: [low / 2.0, high / 2.0], ..world.at(3.0) };
            samples.extend(stream.take(SAMPLES / 2));
            samples
        }),
    ];
    for order in Order::ALL {
        named.push((order.name(), order.apply(&world, plain().take(SAMPLES))));
    }
    named
}

pub fn run(report: &mut Report) -> Result<(), Box<dyn Error>> {
    let seeds = crate::named(SEEDS);
    report.part(&format!(
        "prediction sets for a coverage of {COVERAGE}: {SAMPLES} clips, 10 classes, T = 1.5; \
         {seeds}"
    ));
    let names: Vec<&str> = courses(1).iter().map(|(name, _)| *name).collect();
    let all: Vec<Vec<(&str, Vec<Sample>)>> = (first()..first() + SEEDS).map(courses).collect();
    let mut panels = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let of = |method| -> Vec<Course> {
            all.iter().map(|seeds| Course::of(&seeds[at].1, 10, method)).collect()
        };
        let (dtaci, aci, none) = (of(Some(SetMethod::Dtaci)), of(Some(SetMethod::Aci)), of(None));
        let off = |courses: &[Course]| {
            courses.iter().map(|c| (c.coverage() - COVERAGE).abs()).fold(0.0, f64::max)
        };
        let local =
            |courses: &[Course]| courses.iter().map(Course::worst_local).fold(0.0, f64::max);
        let size = |courses: &[Course]| {
            courses.iter().map(Course::size).sum::<f64>() / courses.len() as f64
        };
        report.most(&format!("{name}: coverage off target, worst seed"), off(&dtaci), 0.01);
        report.most(&format!("{name}: off in any {LOCAL} clips, worst"), local(&dtaci), 0.05);
        report.told(&format!("{name}: mean set size"), &format!("{:.2}", size(&dtaci)));
        report.told(
            &format!("{name}: aci instead: off target, in any {LOCAL}, size"),
            &format!("{:.4} {:.4} {:.2}", off(&aci), local(&aci), size(&aci)),
        );
        report.told(
            &format!("{name}: the model's own probabilities added up: off target"),
            &format!("{:.4}", off(&none)),
        );
        panels.push(Panel {
            title: name
                .split([':', '('])
                .next()
                .unwrap_or(name)
                .trim_end_matches([',', ' '])
                .into(),
            axes: ["clips".into(), format!("coverage, last {LOCAL}")],
            x: [0.0, SAMPLES as f64],
            y: [0.5, 1.0],
            lines: vec![
                plot::line("probabilities added up", 1, 2, thinned(none[0].local())),
                plot::line("aci", 5, 1, thinned(aci[0].local())),
                plot::line("dtaci", 0, 0, thinned(dtaci[0].local())),
            ],
            levels: vec![(COVERAGE, "target".into())],
            moments: vec![],
        });
    }
    let svg = chart::lines(
        &panels,
        3,
        "Coverage of prediction sets over time",
        "The share of the last 500 sets that held the truth, in nine orders of clips, seed 1",
    );
    plot::write("calibration-coverage", &svg)
}

/// Every tenth point.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    points.into_iter().step_by(10).collect()
}
