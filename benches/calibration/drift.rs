//! Drift detectors: how often they cry wolf, and how soon they see one.

use std::error::Error;

use kinewatch::calibrate::{Drift, DriftOptions, Parameters, Watched};
use kinewatch::metric::Task;

use crate::logits::{Sample, Stream, World};
use crate::{Report, first};

/// Effective samples of each stream that does not change.
const QUIET: f64 = 500_000.0;
/// Effective samples before a change.
const BEFORE: f64 = 2000.0;
/// And after it, at most.
const AFTER: f64 = 3000.0;
const SEEDS: u64 = 20;

/// Gives a clip to the detectors as a session does; whether one alarmed.
fn see(drift: &mut Drift, sample: &Sample, p: &mut [f32], labelled: bool) -> Option<Watched> {
    Parameters::Identity.apply(&sample.logits, Task::SingleLabel, p);
    let seen = drift.observe(sample.t, p, sample.evidence);
    let learned = labelled.then(|| {
        let loss = -f64::from(p[sample.truth[0]]).max(1e-12).ln();
        drift.learned(sample.t, loss, sample.evidence)
    });
    seen.or(learned.flatten()).map(|alarm| alarm.what)
}

pub fn run(report: &mut Report) -> Result<(), Box<dyn Error>> {
    report.part("drift, nothing changes: alarms for each 10,000 effective samples");
    let mut total = [0.0, 0.0];
    for (classes, evidence, seeds) in [(10, 1.0, 1..=2u64), (10, 0.25, 3..=3), (50, 1.0, 4..=4)] {
        let (mut samples, mut alarms) = (0.0, 0u32);
        for seed in seeds.clone() {
            let mut stream = Stream::new(World::new(classes, 1.5), evidence, seed);
            let mut drift = Drift::new(&DriftOptions::default(), classes);
            let mut p = vec![0.0f32; classes];
            let mut seen = 0.0;
            while seen < QUIET {
                let sample = stream.next();
                seen += sample.evidence;
                alarms += u32::from(see(&mut drift, &sample, &mut p, true).is_some());
            }
            samples += seen;
        }
        total[0] += f64::from(alarms);
        total[1] += samples;
        report.told(
            &format!(
                "{classes} classes, evidence {evidence}, {samples:.0} samples, seeds {seeds:?}"
            ),
            &format!("{:.3}", f64::from(alarms) / samples * 1e4),
        );
    }
    report.most(
        &format!("all {:.0} samples together, labels known", total[1]),
        total[0] / total[1] * 1e4,
        1.0,
    );
    let ten = World::new(10, 1.0);
    let [low, high] = ten.distance;
    let harder = World { distance: [low * 0.6, high * 0.6], ..ten.clone() };
    // A higher temperature makes a model that is sure anyway a little surer: without
    // labels that is near the limit of what can be seen, and only told.
    for (name, after, labelled, bound) in [
        ("temperature 1 to 2.5, without labels", ten.at(2.5), false, false),
        ("temperature 1 to 2.5, with labels", ten.at(2.5), true, false),
        ("label mix even to 30 : 1, without labels", ten.mixed(30.0), false, true),
        ("classes 0.6 as far apart, without labels", harder.clone(), false, true),
        ("classes 0.6 as far apart, with labels", harder, true, true),
    ] {
        let seeds = crate::named(SEEDS);
        report.part(&format!("drift after {BEFORE} effective samples: {name}; {seeds}"));
        let mut delays = Vec::new();
        let (mut missed, mut early) = (0, 0);
        for seed in first()..first() + SEEDS {
            let mut stream = Stream::new(ten.clone(), 0.25, seed);
            let mut drift = Drift::new(&DriftOptions::default(), 10);
            let mut p = vec![0.0f32; 10];
            let mut seen = 0.0;
            while seen < BEFORE {
                let sample = stream.next();
                seen += sample.evidence;
                early += u32::from(see(&mut drift, &sample, &mut p, labelled).is_some());
            }
            stream.world = after.clone();
            let mut found = None;
            while found.is_none() && seen < BEFORE + AFTER {
                let sample = stream.next();
                seen += sample.evidence;
                found = see(&mut drift, &sample, &mut p, labelled).map(|_| seen - BEFORE);
            }
            match found {
                Some(delay) => delays.push(delay),
                None => missed += 1,
            }
        }
        delays.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let last = delays.len().saturating_sub(1);
            delays.get((part * last as f64).round() as usize).copied().unwrap_or(f64::NAN)
        };
        report.told("effective samples to the alarm, median", &format!("{:.0}", at(0.5)));
        report.told("the same, worst seed", &format!("{:.0}", at(1.0)));
        report.told("alarms before the change, all seeds", &early.to_string());
        let text = format!("changes not seen within {AFTER}");
        match bound {
            true => report.most(&text, f64::from(missed), 0.0),
            false => report.told(&text, &missed.to_string()),
        }
    }
    Ok(())
}
