//! Multi-label models: a temperature and a threshold for each class.

use std::error::Error;

use kinewatch::calibrate::{CalibrateOptions, Calibrator, Parameters};
use kinewatch::metric::Task;
use kinewatch::report::chart::{self, Panel};

use crate::Report;
use crate::logits::{Stream, World};
use crate::plot;
use crate::score::{Exam, Score};

const SEEDS: u64 = 8;
const CLASSES: usize = 10;
const LENGTH: f64 = 2000.0;
const EVIDENCE: f64 = 0.25;
const EVERY: f64 = 25.0;

struct Look {
    at: f64,
    score: Score,
    f1: f64,
}

pub fn run(report: &mut Report) -> Result<(), Box<dyn Error>> {
    let world = World::multi_label(CLASSES, 2.0);
    let seeds = crate::named(SEEDS);
    report.part(&format!(
        "multi-label, {CLASSES} classes there in 50 to 10 % of clips, each T from 1.4 to 2.8; \
         evidence {EVIDENCE}; {seeds}"
    ));
    let task = Task::MultiLabel;
    let exam = Exam::new(&world, 4000, 1000);
    let raw = exam.judge_labels(|z, p| Parameters::Identity.apply(z, task, p));
    let half = exam.macro_f1(|z, there| {
        there.iter_mut().zip(z).for_each(|(there, z)| *there = *z > 0.0);
    });
    let best = best_f1(&world, &exam);
    let all: Vec<Vec<Look>> = crate::seeds(SEEDS, |seed| looks(&world, &exam, seed));
    let late = || all.iter().flatten().filter(|look| look.at >= 300.0 - 1e-6);
    let end = || all.iter().filter_map(|looks| looks.last());
    let worst = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::NEG_INFINITY, f64::max);
    report.told("the model itself: ECE of all labels pooled", &format!("{:.4}", raw.ece));
    report.most(
        "calibrated: ECE, worst from 300 on",
        worst(&mut late().map(|l| l.score.ece)),
        0.02,
    );
    let above = worst(&mut all.iter().flatten().map(|l| l.score.ece - raw.ece));
    report.most("calibrated: ECE above the model's own, worst moment", above, 0.02);
    report.told("the model itself: macro-F1 with thresholds of a half", &format!("{half:.4}"));
    report.told("with the best thresholds there are: macro-F1", &format!("{best:.4}"));
    let lost = worst(&mut end().map(|l| best - l.f1));
    report.most(&format!("tuned online: macro-F1 below that after {LENGTH}, worst"), lost, 0.02);
    let below = worst(&mut late().map(|l| half - l.f1));
    report.most("tuned online: macro-F1 below the model's own, worst from 300 on", below, 0.01);
    let curve = |of: &dyn Fn(&Look) -> f64| {
        let curves: Vec<Vec<(f64, f64)>> =
            all.iter().map(|looks| looks.iter().map(|l| (l.at, of(l))).collect()).collect();
        plot::mean(&curves)
    };
    let flat = |y: f64| vec![(0.0, y), (LENGTH, y)];
    let panel = |title: &str, axis: &str, y: [f64; 2], lines| Panel {
        title: title.into(),
        axes: ["effective samples".into(), axis.into()],
        x: [0.0, LENGTH],
        y,
        lines,
        levels: vec![],
        moments: vec![],
    };
    let panels = [
        panel(
            "Calibration error, all labels pooled",
            "ECE",
            [0.0, raw.ece * 1.15],
            vec![
                plot::line("the model itself", 1, 0, flat(raw.ece)),
                plot::line("calibrated online", 0, 0, curve(&|l| l.score.ece)),
            ],
        ),
        panel(
            "Thresholds",
            "macro-F1",
            [half - 0.04, best + 0.01],
            vec![
                plot::line("the model itself", 1, 0, flat(half)),
                plot::line("calibrated online", 0, 0, curve(&|l| l.f1)),
                plot::line("best thresholds", 6, 1, flat(best)),
            ],
        ),
    ];
    let title = "A multi-label model, calibrated while its stream runs";
    let text = "Calibration error and macro-F1 over effective samples, mean of 8 seeds";
    plot::write("calibration-multi-label", &chart::lines(&panels, 2, title, text))
}

fn looks(world: &World, exam: &Exam, seed: u64) -> Vec<Look> {
    let task = Task::MultiLabel;
    let mut calibrator = Calibrator::new(&CalibrateOptions::default(), CLASSES, task, None);
    let mut stream = Stream::new(world.clone(), EVIDENCE, seed);
    let mut p = vec![0.0f32; CLASSES];
    let (mut seen, mut next) = (0.0, EVERY);
    let mut looks = Vec::new();
    while seen < LENGTH {
        let sample = stream.next();
        calibrator.predict(&sample.logits, &mut p);
        calibrator.learn(&sample.logits, &p, &sample.truth, sample.evidence);
        seen += sample.evidence;
        if seen + 1e-9 >= next {
            next += EVERY;
            let parameters = calibrator.parameters();
            let mut p = vec![0.0f32; CLASSES];
            let f1 = exam.macro_f1(|z, there| {
                parameters.apply(z, task, &mut p);
                let at = |k: usize| parameters.thresholds().map_or(0.5, |t| t[k]);
                for (k, there) in there.iter_mut().enumerate() {
                    *there = f64::from(p[k]) >= at(k);
                }
            });
            looks.push(Look {
                at: seen,
                score: exam.judge_labels(|z, p| parameters.apply(z, task, p)),
                f1,
            });
        }
    }
    looks
}

/// The macro-F1 with the best threshold on each class's right probability, of a
/// hundredth each.
fn best_f1(world: &World, exam: &Exam) -> f64 {
    let grid: Vec<f64> = (5..=60).map(|k| f64::from(k) / 100.0).collect();
    let mut best = vec![(0.0, 0.5); world.classes()];
    for class in 0..world.classes() {
        for &threshold in &grid {
            let f1 = exam.macro_f1(|z, there| {
                there.fill(false);
                there[class] = world.oracle(z)[class] >= threshold;
            });
            if f1 > best[class].0 {
                best[class] = (f1, threshold);
            }
        }
    }
    exam.macro_f1(|z, there| {
        let right = world.oracle(z);
        there.iter_mut().enumerate().for_each(|(k, there)| *there = right[k] >= best[k].1);
    })
}
