//! What calibration costs a prediction.

use std::error::Error;
use std::sync::LazyLock;
use std::time::Instant;

use kinewatch::calibrate::{
    CalibrateOptions, Calibrator, Conformal, ConformalOptions, Drift, DriftOptions, Method,
    Parameters, Update,
};
use kinewatch::metric::Task;

use crate::Report;
use crate::logits::{Stream, World};

const CLASSES: usize = 400;
/// Clips before the clock runs: windows are full then.
const WARM_UP: usize = 2500;
const CLIPS: usize = 500;
/// The best of these stands: other work on the machine makes it slower, never faster.
const ROUNDS: usize = 8;

/// Processor time of this thread, µs: what others do on the machine is not counted.
/// Where the system does not tell it, the wall clock's.
fn now() -> f64 {
    static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let own = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = own.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    nanoseconds
        .filter(|ns| *ns > 0.0)
        .map_or_else(|| BEGUN.elapsed().as_secs_f64() * 1e6, |ns| ns / 1e3)
}

pub fn run(report: &mut Report) -> Result<(), Box<dyn Error>> {
    report.part(&format!(
        "cost of a prediction, {CLASSES} classes, µs of processor time: predict, set, drift, then \
         learn; the mean of {CLIPS} clips, best of {ROUNDS}"
    ));
    let task = Task::SingleLabel;
    let samples = Stream::new(World::new(CLASSES, 1.8), 1.0, 1).take(WARM_UP + CLIPS * ROUNDS);
    for (name, method, update) in [
        ("temperature (window)", Method::Temperature, Update::Window),
        ("temperature (recursive)", Method::Temperature, Update::Recursive),
        ("vector", Method::Vector, Update::Window),
        ("platt", Method::Platt, Update::Window),
        ("histogram", Method::Histogram, Update::Window),
    ] {
        let options = CalibrateOptions { method, update, ..CalibrateOptions::default() };
        let mut calibrator = Calibrator::new(&options, CLASSES, task, None);
        let mut conformal = Conformal::new(&ConformalOptions::default(), CLASSES, task);
        let mut drift = Drift::new(&DriftOptions::default(), CLASSES);
        let (mut raw, mut p) = (vec![0.0f32; CLASSES], vec![0.0f32; CLASSES]);
        let mut set = Vec::with_capacity(CLASSES);
        let (mut best, mut best_predict) = (f64::INFINITY, f64::INFINITY);
        let mut rounds = vec![&samples[..WARM_UP]];
        rounds.extend(samples[WARM_UP..].chunks(CLIPS));
        for (round, clips) in rounds.into_iter().enumerate() {
            let mut step = |learning: bool| {
                let begun = now();
                for sample in clips {
                    Parameters::Identity.apply(&sample.logits, task, &mut raw);
                    calibrator.predict(&sample.logits, &mut p);
                    conformal.set(&p, &mut set);
                    drift.observe(sample.t, &raw, sample.evidence);
                    if learning {
                        calibrator.learn(&sample.logits, &p, &sample.truth, sample.evidence);
                        conformal.learn(&p, &sample.truth, sample.evidence);
                        let loss = -f64::from(raw[sample.truth[0]]).max(1e-12).ln();
                        drift.learned(sample.t, loss, sample.evidence);
                    }
                }
                (now() - begun) / clips.len() as f64
            };
            let (whole, predicting) = (step(true), step(false));
            if round > 0 {
                best = best.min(whole);
                best_predict = best_predict.min(predicting);
            }
        }
        report.most(&format!("{name}: all of it"), best, 50.0);
        report.told(&format!("{name}: without learning"), &format!("{best_predict:.1}"));
    }
    Ok(())
}
