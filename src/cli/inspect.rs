//! `kinewatch inspect`: what a model bundle takes, gives and can run as.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use super::agreement::{self, Agreeing};
use super::output::print;
use crate::clip::InputSpec;
use crate::error::{Error, Result};
use crate::model::{Bundle, Inspected, Mode, Output, Task, inspect};

/// The most labels that are listed to people.
const MOST_LABELS: usize = 20;

/// Show what a model bundle takes, gives, and which modes it can run in
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The bundle's folder (default: the built-in camera-events)
    dir: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Compare the precisions f16 and int8 with f32 over this many clips, in each mode:
    /// three times the work of as many predictions
    #[arg(
        long, value_name = "CLIPS", num_args = 0..=1, require_equals = true,
        default_missing_value = "10", value_parser = clap::value_parser!(u16).range(1..=1000)
    )]
    agreement: Option<u16>,
    /// Take the clips of --agreement from this recording, from its beginning on, instead of
    /// drawing scenes
    #[arg(long, value_name = "FILE", requires = "agreement")]
    video: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report<'a> {
    name: &'a str,
    licence: Option<&'a str>,
    source: Option<&'a str>,
    task: Task,
    output: Output,
    /// Those that the bundle lists; the first is the default.
    modes: &'a [Mode],
    /// Of every mode, listed or not.
    costs: Vec<Cost>,
    input: &'a InputSpec,
    labels: &'a [String],
    /// Of every mode that is possible, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    agreement: Option<Vec<Agreeing>>,
}

/// What one step of a mode costs: a whole clip in `window`, one frame in the others.
#[derive(Serialize)]
struct Cost {
    mode: Mode,
    /// Whether the bundle lists it, so that it can be chosen.
    listed: bool,
    /// Whether the bundle's files can be run so.
    possible: bool,
    parameters: Option<u64>,
    multiply_accumulates: Option<u64>,
    file_bytes: Option<usize>,
    weight_bytes: Option<u64>,
    /// Sampled frames from a reset to the first prediction.
    warm_up_frames: Option<usize>,
    /// How far the time that a prediction speaks of lies behind the newest frame.
    delay_s: Option<f64>,
    /// Why this mode cannot be had.
    error: Option<String>,
}

impl Cost {
    fn new(inspected: Inspected) -> Self {
        let Inspected { mode, listed, costs } = inspected;
        let error = costs.as_ref().err().map(ToString::to_string);
        let costs = costs.ok();
        let facts = costs.as_ref().map(|costs| &costs.facts);
        Cost {
            mode,
            listed,
            possible: costs.is_some(),
            parameters: facts.map(|f| f.parameters),
            multiply_accumulates: facts.and_then(|f| f.multiply_accumulates),
            file_bytes: facts.map(|f| f.file_bytes),
            weight_bytes: facts.map(|f| f.weight_bytes),
            warm_up_frames: costs.as_ref().map(|costs| costs.warm_up),
            delay_s: costs.as_ref().map(|costs| costs.delay.as_secs_f64()),
            error,
        }
    }

    /// As people read it, after the mode's name.
    fn describe(&self, rate: f64) -> String {
        let standing = match (self.listed, self.possible) {
            (true, true) => "",
            (false, true) => "possible, not listed: ",
            (true, false) => "listed, but it cannot be had: ",
            (false, false) => "not possible: ",
        };
        if let Some(error) = &self.error {
            return format!("{standing}{error}");
        }
        let step = if self.mode == Mode::Window { "clip" } else { "frame" };
        let million = |count: u64| format!("{:.1} million", count as f64 / 1e6);
        let warm_up = self.warm_up_frames.unwrap_or_default();
        let delay = self.delay_s.unwrap_or_default();
        let parts = [
            format!("{} parameters", self.parameters.unwrap_or_default()),
            format!(
                "{} multiply-accumulates a {step}",
                self.multiply_accumulates.map_or("?".to_owned(), million)
            ),
            format!("file {} kB", self.file_bytes.unwrap_or_default() / 1000),
            format!("weights {} kB in memory", self.weight_bytes.unwrap_or_default() / 1000),
            format!("first prediction after {warm_up} frames ({:.1} s)", warm_up as f64 / rate),
            if delay == 0.0 { "no delay".to_owned() } else { format!("delay {delay:.2} s") },
        ];
        format!("{standing}{}", parts.join(", "))
    }
}

pub(super) fn run(args: &Args) -> Result<()> {
    let bundle = match &args.dir {
        Some(dir) => Bundle::load(dir)?,
        None => Bundle::embedded()?,
    };
    let costs: Vec<Cost> = inspect(&bundle).into_iter().map(Cost::new).collect();
    let agreement = match args.agreement {
        None => None,
        Some(clips) => {
            let possible = costs.iter().filter(|cost| cost.possible);
            let of = |cost: &Cost| {
                log::info!("comparing precisions in mode \"{}\" over {clips} clips", cost.mode);
                agreement::agreement(&bundle, cost.mode, clips, args.video.as_deref())
            };
            Some(possible.map(of).collect::<Result<_>>()?)
        }
    };
    let report = Report {
        name: bundle.name(),
        licence: bundle.licence(),
        source: bundle.source(),
        task: bundle.task(),
        output: bundle.output(),
        modes: bundle.modes(),
        costs,
        input: bundle.input(),
        labels: bundle.labels(),
        agreement,
    };
    let text = match args.json {
        true => serde_json::to_string_pretty(&report)
            .map(|text| text + "\n")
            .map_err(|error| Error::internal("describing the model", error))?,
        false => describe(&report),
    };
    print(text.as_bytes())
}

fn describe(report: &Report<'_>) -> String {
    let input = report.input;
    let mut text = String::new();
    let _ = writeln!(text, "{}", report.name);
    let _ = writeln!(text, "  licence  {}", report.licence.unwrap_or("not stated"));
    let _ = writeln!(text, "  source   {}", report.source.unwrap_or("not stated"));
    let _ = writeln!(
        text,
        "  takes    {} frames of {}×{} {:?}, {} a second ({:.2} s), {:?}",
        input.frames,
        input.size[1],
        input.size[0],
        input.colour,
        input.rate,
        (input.frames.max(1) - 1) as f64 / input.rate,
        input.resize
    );
    let task = match report.task {
        Task::SingleLabel => "one label at a time",
        Task::MultiLabel => "any number of labels at a time",
    };
    let output = match report.output {
        Output::Logits => "logits",
        Output::Probabilities => "probabilities",
    };
    let _ = writeln!(text, "  gives    {output} of {} labels, {task}", report.labels.len());
    let modes: Vec<&str> = report.modes.iter().map(|mode| mode.name()).collect();
    let _ = writeln!(text, "  modes    {} (the first is the default)", modes.join(", "));
    for cost in &report.costs {
        let _ = writeln!(text, "  {:<10} {}", cost.mode.name(), cost.describe(input.rate));
    }
    let shown = &report.labels[..report.labels.len().min(MOST_LABELS)];
    let left = match report.labels.len() - shown.len() {
        0 => String::new(),
        left => format!(" and {left} more (--json names all)"),
    };
    let _ = writeln!(text, "  labels   {}{left}", shown.join(", "));
    match &report.agreement {
        Some(agreement) => text += &agreement::describe(agreement),
        None => text += "  how near f16 and int8 come to f32: --agreement\n",
    }
    text
}
