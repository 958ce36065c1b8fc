//! One mode of one model, measured within this process.

use std::path::Path;
use std::time::{Duration, Instant};

use super::energy::Meter;
use super::figures::{Energy, Figures, Latency, Operator};
use super::process;
use crate::error::{Error, Result};
use crate::model::kernels::Precision;
use crate::model::{Bundle, Classifier, Mode, Model, ModelOptions};

/// Predictions that are timed at least, however long they take, up to [`PATIENCE`].
const FEWEST: usize = 10;
/// After this many times the time that was asked for, fewer will do.
const PATIENCE: u32 = 10;
/// Frames until a model has to have given a prediction: no network's strides in time
/// are longer than its clip.
const SILENT: usize = 4 * crate::clip::Ring::CAPACITY;
/// Different frames that are pushed in turn.
const PICTURES: usize = 4;
/// Between two readings of the energy. Reading a monitor takes about a millisecond.
const SAMPLE: Duration = Duration::from_millis(100);

/// How to measure.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How weights are held.
    pub precision: Precision,
    /// Threads that a step may use.
    pub threads: usize,
    /// How long predictions are made.
    pub time: Duration,
    /// Whether to measure operators too, for as long again.
    pub profile: bool,
}

/// Measures `bundle` in `mode`. What it gives of memory and processor time is that of
/// the whole process, so each mode wants one of its own. `root` is `/`.
///
/// # Errors
/// The model cannot be loaded or run, or gives no predictions.
pub fn measure(bundle: Bundle, mode: Mode, options: &Options, root: &Path) -> Result<Figures> {
    let began = Instant::now();
    let (precision, threads) = (options.precision, options.threads);
    let model = Model::load_with(
        bundle,
        &ModelOptions { mode: Some(mode), precision, threads, ..ModelOptions::default() },
    )?;
    let load = began.elapsed();
    let input = model.bundle().input();
    let mut classifier = model.classifier()?;
    let frames = frames(input.frame_len());
    let mut frames = frames.iter().map(Vec::as_slice).cycle();
    for frame in frames.by_ref().take(classifier.warm_up()) {
        classifier.push(frame, false)?;
    }
    // Memory is first used here, and not measured.
    run(classifier.as_mut(), &mut frames, Duration::ZERO, 1, &mut |_| ())?;

    let mut meter = Meter::find(root);
    let mut sample = |at: Instant, last: bool| {
        let Ok(found) = &mut meter else { return };
        let due = found.sampled().is_none_or(|before| at.duration_since(before) >= SAMPLE);
        if (due || last)
            && let Err(fault) = found.sample(at)
        {
            meter = Err(fault);
        }
    };
    let cpu_before = process::cpu_time();
    sample(Instant::now(), false);
    let timed = run(classifier.as_mut(), &mut frames, options.time, FEWEST, &mut |at| {
        sample(at, false);
    })?;
    sample(Instant::now(), true);
    let cpu = process::cpu_time().saturating_sub(cpu_before);
    let peak_memory_bytes = process::peak_memory(root);

    let profile = if options.profile {
        Some(profile(classifier.as_mut(), &mut frames, options.time)?)
    } else {
        None
    };
    let predictions = timed.latencies.len();
    let (energy, no_energy) = match meter {
        Ok(meter) => (energy(&meter, predictions), None),
        Err(fault) => (None, Some(fault)),
    };
    let latency_ms = Latency::of(timed.latencies).ok_or_else(|| {
        Error::internal(format!("measuring model \"{}\"", model.bundle().name()), "no predictions")
    })?;
    Ok(Figures {
        mode,
        engine: model.engine().to_owned(),
        frames: timed.frames,
        predictions,
        latency_ms,
        frames_per_second: timed.frames as f64 / timed.busy.as_secs_f64().max(f64::MIN_POSITIVE),
        cpu_s_per_video_s: cpu.as_secs_f64() / timed.frames as f64 * input.rate,
        peak_memory_bytes,
        load_ms: load.as_secs_f64() * 1e3,
        energy,
        no_energy,
        profile,
    })
}

/// Normalised pictures of noise: what they show costs a network nothing.
fn frames(len: usize) -> [Vec<f32>; PICTURES] {
    let mut state = 1u32;
    std::array::from_fn(|_| {
        (0..len)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect()
    })
}

#[derive(Default)]
struct Timed {
    frames: usize,
    /// Of all frames together.
    busy: Duration,
    /// Of the frames that gave a prediction.
    latencies: Vec<Duration>,
}

/// Pushes frames until `time` is over and there are `fewest` predictions; `between`
/// is called after each frame.
fn run<'a>(
    classifier: &mut dyn Classifier,
    frames: &mut impl Iterator<Item = &'a [f32]>,
    time: Duration,
    fewest: usize,
    between: &mut dyn FnMut(Instant),
) -> Result<Timed> {
    let mut timed = Timed::default();
    let began = Instant::now();
    for frame in frames {
        let before = Instant::now();
        let gave = classifier.push(frame, true)?.is_some();
        let after = Instant::now();
        let took = after - before;
        timed.frames += 1;
        timed.busy += took;
        if gave {
            timed.latencies.push(took);
        }
        between(after);
        let (spent, predictions) = (after - began, timed.latencies.len());
        let enough = spent >= time && predictions >= fewest;
        let too_long = predictions > 0 && !time.is_zero() && spent >= PATIENCE * time;
        if enough || too_long || predictions == 0 && timed.frames >= SILENT {
            break;
        }
    }
    Ok(timed)
}

/// Where the time goes. What no operator took (gathering the clip, say) is a row of its
/// own, so that all rows add up to the time of a frame.
fn profile<'a>(
    classifier: &mut dyn Classifier,
    frames: &mut impl Iterator<Item = &'a [f32]>,
    time: Duration,
) -> Result<Vec<Operator>> {
    classifier.start_profile();
    let timed = run(classifier, frames, time, FEWEST, &mut |_| ())?;
    let rows = classifier.take_profile().map(|profile| profile.rows()).unwrap_or_default();
    let a_frame = |time: Duration| time.as_secs_f64() * 1e3 / timed.frames as f64;
    let inside: Duration = rows.iter().map(|row| row.time).sum();
    let mut operators: Vec<Operator> = rows
        .into_iter()
        .map(|row| Operator {
            name: row.name,
            kind: row.kind,
            calls: row.calls as f64 / timed.frames as f64,
            ms: a_frame(row.time),
        })
        .collect();
    operators.push(Operator {
        name: "outside of the network".into(),
        kind: "other".into(),
        calls: 1.0,
        ms: a_frame(timed.busy.saturating_sub(inside)),
    });
    Ok(operators)
}

fn energy(meter: &Meter, predictions: usize) -> Option<Energy> {
    let (joules, seconds) = meter.total()?;
    Some(Energy {
        counter: meter.counter().to_owned(),
        watts: joules / seconds,
        joules_per_prediction: joules / predictions as f64,
    })
}
