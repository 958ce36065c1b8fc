//! `kinewatch inspect`: what a model bundle takes, gives and can run as.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use super::output::print;
use crate::clip::InputSpec;
use crate::error::{Error, Result};
use crate::model::{Bundle, Facts, Mode, Output, Task, inspect};

/// Show what a model bundle takes, gives, and which modes it can run in
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The bundle's folder (default: the built-in camera-events)
    dir: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    name: &'a str,
    licence: Option<&'a str>,
    source: Option<&'a str>,
    task: Task,
    output: Output,
    modes: &'a [Mode],
    costs: Vec<Cost>,
    input: &'a InputSpec,
    labels: &'a [String],
}

/// What one step of a mode costs: a whole clip in `window`, one frame in `stateful`.
#[derive(Serialize)]
struct Cost {
    mode: Mode,
    parameters: Option<u64>,
    multiply_accumulates: Option<u64>,
    file_bytes: Option<usize>,
    /// Why this mode cannot be had.
    error: Option<String>,
}

impl Cost {
    fn new(mode: Mode, facts: Result<Facts>) -> Self {
        let error = facts.as_ref().err().map(ToString::to_string);
        let facts = facts.ok();
        Cost {
            mode,
            parameters: facts.as_ref().map(|f| f.parameters),
            multiply_accumulates: facts.as_ref().and_then(|f| f.multiply_accumulates),
            file_bytes: facts.as_ref().map(|f| f.file_bytes),
            error,
        }
    }
}

pub(super) fn run(args: &Args) -> Result<()> {
    let bundle = match &args.dir {
        Some(dir) => Bundle::load(dir)?,
        None => Bundle::embedded()?,
    };
    let report = Report {
        name: bundle.name(),
        licence: bundle.licence(),
        source: bundle.source(),
        task: bundle.task(),
        output: bundle.output(),
        modes: bundle.modes(),
        costs: inspect(&bundle)
            .into_iter()
            .filter(|(mode, _)| bundle.modes().contains(mode))
            .map(|(mode, facts)| Cost::new(mode, facts))
            .collect(),
        input: bundle.input(),
        labels: bundle.labels(),
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
    let _ = writeln!(text, "  modes    {}", modes.join(", "));
    for cost in &report.costs {
        let step = if cost.mode == Mode::Window { "clip" } else { "frame" };
        let _ = match (&cost.error, cost.multiply_accumulates) {
            (Some(error), _) => writeln!(text, "  {:<10} cannot be had: {error}", cost.mode.name()),
            (None, macs) => writeln!(
                text,
                "  {:<10} {} parameters, {} million multiply-accumulates a {step}, {} kB",
                cost.mode.name(),
                cost.parameters.unwrap_or_default(),
                macs.map_or("?".to_owned(), |m| format!("{:.1}", m as f64 / 1e6)),
                cost.file_bytes.unwrap_or_default() / 1000
            ),
        };
    }
    let _ = writeln!(text, "  labels   {}", report.labels.join(", "));
    text
}
