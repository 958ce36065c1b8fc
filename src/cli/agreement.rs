//! `kinewatch inspect --agreement`: what lower precisions cost in accuracy.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::table::Table;
use crate::clip::{Feed, InputSpec, Normalised, Preprocessed};
use crate::duration::HumanDuration;
use crate::error::{Error, Result};
use crate::model::{Agreement, Bundle, Comparison, Mode, Precision};
use crate::stop::Stop;
use crate::video::{self, Next, Pace, SourceSpec, Want};

/// Seconds at the beginning of a drawn scene, in which little has begun yet.
const LEAD: f64 = 1.5;
/// The longest step of presentation times within a clip, as a daemon's default.
const MAX_GAP: Duration = Duration::from_secs(1);
/// A recording that gives no picture for this long is given up.
const PATIENCE: HumanDuration = HumanDuration::seconds(60);

/// How near each precision comes to f32 in one mode.
#[derive(Serialize)]
pub(super) struct Agreeing {
    mode: Mode,
    clips: usize,
    precisions: Vec<InPrecision>,
}

#[derive(Serialize)]
struct InPrecision {
    precision: Precision,
    weight_bytes: Option<u64>,
    /// The share of clips whose best class is that of f32.
    top1_agreement: Option<f64>,
    /// The largest absolute difference of a logit from that of f32.
    largest_difference: Option<f32>,
    /// The largest such difference as a share of the range of its clip's logits in f32.
    largest_share_of_range: Option<f32>,
    /// Why the model cannot be had so.
    error: Option<String>,
}

/// Runs `bundle` in `mode` over so many clips, from a recording or else drawn from seeds,
/// in every precision.
pub(super) fn agreement(
    bundle: &Bundle,
    mode: Mode,
    clips: u16,
    recording: Option<&Path>,
) -> Result<Agreeing> {
    let clips = usize::from(clips);
    let mut comparison = Comparison::new(bundle, mode)?;
    let input = bundle.input();
    match recording {
        Some(path) => {
            let spec = SourceSpec { timeout: Some(PATIENCE), ..SourceSpec::path(path) };
            take(&mut comparison, &spec, input, 0, clips)?;
            if comparison.clips() == 0 {
                return Err(Error::config(
                    format!("comparing precisions on {}", spec.describe()),
                    format!("it ends before the first {} sampled frames", comparison.warm_up()),
                ));
            }
        }
        None => {
            let fps = input.rate.clamp(1.0, 120.0);
            let lead = (LEAD * input.rate).round() as usize;
            let frames = lead + comparison.warm_up();
            // Two frames more than are sampled.
            let seconds = frames as f64 / input.rate + 2.0 / fps;
            for seed in 0..clips {
                let scene = format!("seed={seed},seconds={seconds},fps={fps}");
                take(&mut comparison, &SourceSpec::synth(scene), input, lead, seed + 1)?;
            }
        }
    }
    Ok(Agreeing::new(mode, comparison.finish()))
}

/// Takes the frames of a source, but for the first ones, until so many clips are compared.
fn take(
    comparison: &mut Comparison,
    spec: &SourceSpec,
    input: &InputSpec,
    lead: usize,
    clips: usize,
) -> Result<()> {
    let want = Want { rate: input.rate, colour: input.colour, max_gap: MAX_GAP, pictures: false };
    let source = video::open("agreement", spec, &want, Pace::Fast, &Stop::default())?;
    let mut feed = Preprocessed::new(source, input)?;
    let mut frame = Normalised::new(input.frame_len());
    comparison.reset();
    let mut taken = 0;
    while comparison.clips() < clips && feed.next(&mut frame)? == Next::Frame {
        if frame.reset.is_some() {
            comparison.reset();
        }
        if taken >= lead {
            comparison.push(&frame.tensor)?;
        }
        taken += 1;
    }
    Ok(())
}

impl Agreeing {
    fn new(mode: Mode, found: Agreement) -> Self {
        let Agreement { clips, weight_bytes, others } = found;
        let full = InPrecision {
            precision: Precision::F32,
            weight_bytes: Some(weight_bytes),
            top1_agreement: None,
            largest_difference: None,
            largest_share_of_range: None,
            error: None,
        };
        let lower = others.into_iter().map(|(precision, nearness)| {
            let error = nearness.as_ref().err().map(ToString::to_string);
            let nearness = nearness.ok();
            InPrecision {
                precision,
                weight_bytes: nearness.map(|n| n.weight_bytes),
                top1_agreement: nearness.map(|n| n.same_best as f64 / clips.max(1) as f64),
                largest_difference: nearness.map(|n| n.largest_difference),
                largest_share_of_range: nearness.map(|n| n.largest_share),
                error,
            }
        });
        let precisions = std::iter::once(full).chain(lower).collect();
        Agreeing { mode, clips, precisions }
    }
}

/// As people read it.
pub(super) fn describe(all: &[Agreeing]) -> String {
    let mut table = Table::new(
        2,
        &[
            "mode",
            "precision",
            "weights kB",
            "same top class %",
            "largest logit difference",
            "largest % of a clip's range",
        ],
    );
    let mut refused = String::new();
    for agreeing in all {
        for one in &agreeing.precisions {
            let (mode, precision) = (agreeing.mode, one.precision.name());
            if let Some(error) = &one.error {
                let _ = writeln!(refused, "{mode} cannot be had in {precision}: {error}");
                continue;
            }
            let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".into());
            table.row([
                mode.to_string(),
                precision.to_owned(),
                (one.weight_bytes.unwrap_or_default() / 1000).to_string(),
                or_dash(one.top1_agreement.map(|share| format!("{:.1}", 100.0 * share))),
                or_dash(one.largest_difference.map(|difference| format!("{difference:.4}"))),
                or_dash(one.largest_share_of_range.map(|share| format!("{:.2}", 100.0 * share))),
            ]);
        }
    }
    let clips: Vec<String> = all.iter().map(|a| format!("{} in {}", a.clips, a.mode)).collect();
    format!("\nagreement with f32; clips: {}\n\n{table}{refused}", clips.join(", "))
}
