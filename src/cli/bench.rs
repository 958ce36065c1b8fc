//! `kinewatch bench`: what each mode of a model costs on this board.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::mode::mode;
use super::output::print;
use super::table::Table;
use crate::bench::{Figures, Machine, Operator, Options, Skipped, measure};
use crate::error::{Error, Result};
use crate::model::kernels::Precision;
use crate::model::{Bundle, Mode};

/// As in a configuration.
const PRECISIONS: [(&str, Precision); 3] =
    [("f32", Precision::F32), ("f16", Precision::F16), ("int8", Precision::Int8)];

/// Operators that are listed one by one.
const LISTED: usize = 15;

/// Measure what a model costs on this board, in every mode that it can run in
///
/// With noise for frames, so without decoding, and with a prediction for each frame.
/// Each mode runs in a process of its own, so that their memory is not mixed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The bundle's folder (default: the built-in camera-events)
    dir: Option<PathBuf>,
    /// This mode only
    #[arg(long, value_parser = mode)]
    mode: Option<Mode>,
    /// How weights are held: f32, f16 or int8
    #[arg(long, default_value = "f32", value_parser = PRECISIONS.map(|(name, _)| name))]
    precision: String,
    /// Threads that one step of the model may use
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
    /// How long to measure each mode; longer where a model makes few predictions in it
    #[arg(long, value_name = "S", default_value = "3", value_parser = seconds)]
    seconds: f64,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Where the time goes, operator by operator
    #[arg(long)]
    profile: bool,
    /// Measure --mode in this process, for the process that gathers all
    #[arg(long, hide = true, requires = "mode", requires = "json")]
    alone: bool,
}

fn seconds(text: &str) -> std::result::Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=600.0).contains(seconds));
    seconds.ok_or_else(|| "expected seconds from 0.1 to 600".into())
}

/// What a process that measures hands to the one that gathers: one of the two.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Measured(Box<Figures>),
    Skipped(Skipped),
}

#[derive(Serialize)]
struct Report<'a> {
    model: &'a str,
    machine: Machine,
    precision: &'a str,
    threads: u8,
    /// Sampled frames a second, as the model was trained.
    rate: f64,
    modes: Vec<Figures>,
    skipped: Vec<Skipped>,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let bundle = match &args.dir {
        Some(dir) => Bundle::load(dir)?,
        None => Bundle::embedded()?,
    };
    let asked = args.mode.map(|mode| vec![mode]);
    let root = Path::new("/");
    if let (true, Some(mode)) = (args.alone, args.mode) {
        let precision = PRECISIONS.iter().find(|(name, _)| *name == args.precision);
        let options = Options {
            precision: precision.map_or(Precision::F32, |(_, precision)| *precision),
            threads: args.threads.into(),
            time: Duration::from_secs_f64(args.seconds),
            profile: args.profile,
        };
        let outcome = match measure(bundle, mode, &options, root) {
            Ok(figures) => Outcome::Measured(Box::new(figures)),
            Err(error) => Outcome::Skipped(Skipped { mode, error: error.to_string() }),
        };
        return print_json(&outcome);
    }
    let mut report = Report {
        model: bundle.name(),
        machine: Machine::read(root),
        precision: &args.precision,
        threads: args.threads,
        rate: bundle.input().rate,
        modes: Vec::new(),
        skipped: Vec::new(),
    };
    for mode in asked.unwrap_or_else(|| bundle.modes().to_vec()) {
        match apart(args, mode)? {
            Outcome::Measured(figures) => report.modes.push(*figures),
            Outcome::Skipped(skipped) => report.skipped.push(skipped),
        }
    }
    if let ([], [first, ..]) = (report.modes.as_slice(), report.skipped.as_slice()) {
        return Err(Error::config(
            format!("measuring model \"{}\"", report.model),
            format!("no mode can be run; \"{}\": {}", first.mode, first.error),
        ));
    }
    if args.json { print_json(&report) } else { print(describe(&bundle, &report).as_bytes()) }
}

/// Measures `mode` in a process of its own.
fn apart(args: &Args, mode: Mode) -> Result<Outcome> {
    let doing = format!("measuring mode \"{mode}\" in a process of its own");
    let program = std::env::current_exe().map_err(|error| Error::unavailable(&doing, error))?;
    let mut command = Command::new(program);
    command.args(["bench", "--alone", "--json", "--mode", mode.name()]);
    command.args(["--threads", &args.threads.to_string(), "--seconds", &args.seconds.to_string()]);
    command.args(["--precision", &args.precision]);
    command.args(args.profile.then_some("--profile"));
    if let Some(dir) = &args.dir {
        command.arg("--").arg(dir);
    }
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| Error::unavailable(&doing, error))?;
    if !output.status.success() {
        // Killed for its memory, say.
        let error = format!("the process that measured it ended with {}", output.status);
        return Ok(Outcome::Skipped(Skipped { mode, error }));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| Error::internal(&doing, error))
}

fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::internal("describing what was measured", error))?;
    print((text + "\n").as_bytes())
}

fn describe(bundle: &Bundle, report: &Report<'_>) -> String {
    let input = bundle.input();
    let mut text = format!(
        "{}: {} frames of {}×{}, {} a second; {}, {} thread{} a step\n{}\n\n",
        report.model,
        input.frames,
        input.size[1],
        input.size[0],
        input.rate,
        report.precision,
        report.threads,
        if report.threads == 1 { "" } else { "s" },
        report.machine.describe(),
    );
    let mut table = Table::new(
        2,
        &[
            "mode",
            "engine",
            "median ms",
            "p95 ms",
            "min ms",
            "frames/s",
            "CPU s/video s",
            "peak MB",
            "load ms",
            "mJ/prediction",
            "W",
        ],
    );
    for figures in &report.modes {
        let (energy, latency) = (figures.energy.as_ref(), figures.latency_ms);
        table.row([
            figures.mode.to_string(),
            figures.engine.clone(),
            format!("{:.2}", latency.median),
            format!("{:.2}", latency.p95),
            format!("{:.2}", latency.min),
            format!("{:.1}", figures.frames_per_second),
            format!("{:.4}", figures.cpu_s_per_video_s),
            figures.peak_memory_bytes.map_or("?".into(), |n| format!("{:.1}", n as f64 / 1e6)),
            format!("{:.0}", figures.load_ms),
            energy.map_or("–".into(), |e| format!("{:.1}", 1e3 * e.joules_per_prediction)),
            energy.map_or("–".into(), |e| format!("{:.1}", e.watts)),
        ]);
    }
    let _ = write!(text, "{table}");
    for skipped in &report.skipped {
        let _ = writeln!(text, "{} cannot be had: {}", skipped.mode, skipped.error);
    }
    if let Some(figures) = report.modes.first() {
        let source = figures.energy.as_ref().map(|energy| energy.counter.as_str());
        let source = source.or(figures.no_energy.as_deref()).unwrap_or("no counter");
        let _ = writeln!(text, "\nenergy: {source}");
    }
    for figures in &report.modes {
        if let Some(operators) = &figures.profile {
            profile(&mut text, figures.mode, operators);
        }
    }
    text
}

/// The kinds of operators, and the slowest operators, with the most time first.
fn profile(text: &mut String, mode: Mode, operators: &[Operator]) {
    let total: f64 = operators.iter().map(|operator| operator.ms).sum();
    let share = |ms: f64| format!("{:.1}", 100.0 * ms / total);
    let mut kinds: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for operator in operators {
        let (calls, ms) = kinds.entry(&operator.kind).or_default();
        *calls += operator.calls;
        *ms += operator.ms;
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by(|(_, (_, a)), (_, (_, b))| b.total_cmp(a));
    let mut table = Table::new(1, &["kind", "calls a frame", "ms a frame", "%"]);
    for (kind, (calls, ms)) in kinds {
        table.row([kind.into(), format!("{calls:.1}"), format!("{ms:.3}"), share(ms)]);
    }
    let _ = write!(text, "\n{mode}, {total:.2} ms a frame\n\n{table}");

    let mut slowest: Vec<&Operator> = operators.iter().collect();
    slowest.sort_by(|a, b| b.ms.total_cmp(&a.ms));
    let mut table = Table::new(2, &["operator", "kind", "calls a frame", "ms a frame", "%"]);
    for operator in slowest.iter().take(LISTED) {
        table.row([
            operator.name.clone(),
            operator.kind.clone(),
            format!("{:.1}", operator.calls),
            format!("{:.3}", operator.ms),
            share(operator.ms),
        ]);
    }
    let left = slowest.len().saturating_sub(LISTED);
    let _ = write!(text, "\n{table}");
    if left > 0 {
        let _ = writeln!(text, "and {left} more: --json has all");
    }
}
