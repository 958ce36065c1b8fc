//! `kinewatch calibrate`: from a labelled run to a model that knows how sure it
//! may be.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::mode::mode;
use super::output::print;
use crate::calibrate::{Method, Parameters};
use crate::error::{Error, Result};
use crate::model::{Bundle, Mode};
use crate::report::store::write_atomically;
use crate::report::{Fit, FitFigures, FitOptions, Store, fit};

/// Fit a model's probabilities to a labelled run, and write the model so calibrated
///
/// Prints how good the probabilities are before and after, each video being judged
/// by a fit on the others; ± is the standard deviation over these folds.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder of a `kinewatch replay` over labelled recordings; the shards of one
    /// run are put together
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Where to write a copy of the model's bundle with the calibration in its
    /// model.toml [default: nowhere, the figures only]
    #[arg(short, long, value_name = "BUNDLE")]
    output: Option<PathBuf>,
    /// The bundle of the model that was run (default: the built-in camera-events)
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// What to fit: temperature, vector, platt or histogram
    #[arg(long, default_value = "temperature", value_parser = method, value_name = "METHOD")]
    method: Method,
    /// Parts that the videos are split into to judge by
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(2..=1000), value_name = "N")]
    folds: u16,
    /// Decides which video is in which part
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Write over a bundle that is there
    #[arg(long)]
    force: bool,
}

fn method(text: &str) -> Result<Method, String> {
    match text {
        "temperature" => Ok(Method::Temperature),
        "vector" => Ok(Method::Vector),
        "platt" => Ok(Method::Platt),
        "histogram" => Ok(Method::Histogram),
        _ => Err("expected temperature, vector, platt or histogram".into()),
    }
}

pub(super) fn run(args: &Args) -> Result<()> {
    let stores: Vec<Store> =
        args.runs.iter().map(|folder| Store::open(folder)).collect::<Result<_>>()?;
    // All that can be refused is refused before the work.
    let target = match (&args.output, stores.first()) {
        (Some(output), Some(store)) => Some(Target::new(args, output, store)?),
        _ => None,
    };
    let options =
        FitOptions { method: args.method, folds: usize::from(args.folds), seed: args.seed };
    let fit = fit(&stores, &options)?;
    fit.warnings.iter().for_each(|warning| log::warn!("{warning}"));
    if let Some(target) = &target {
        target.write(&fit)?;
    }
    let text = match args.json {
        true => serde_json::to_string_pretty(&fit)
            .map(|text| text + "\n")
            .map_err(|error| Error::internal("describing the calibration", error))?,
        false => describe(&fit),
    };
    print(text.as_bytes())?;
    if let Some(target) = &target {
        log::info!("the calibrated model is in \"{}\"", target.folder.display());
    }
    Ok(())
}

/// The bundle to write, and that to take it from.
struct Target<'a> {
    bundle: Bundle,
    mode: Mode,
    folder: &'a Path,
}

impl<'a> Target<'a> {
    fn new(args: &Args, folder: &'a Path, store: &Store) -> Result<Self> {
        let run = &store.run().model;
        let bundle = match &args.model {
            Some(path) => Bundle::load(path)?,
            None => Bundle::embedded()?,
        };
        let doing = format!("calibrating the model of run \"{}\"", store.folder().display());
        let mode = mode(&run.mode).map_err(|fault| Error::data(&doing, fault))?;
        if bundle.sha256(mode).is_none_or(|sha256| !sha256.trim().eq_ignore_ascii_case(&run.sha256))
            || bundle.labels() != run.labels
        {
            let fault = format!(
                "it was run with \"{}\" (network {}), which is not the network of \"{}\" in mode \
                 {mode}",
                run.name,
                run.sha256,
                bundle.name()
            );
            return Err(Error::config(doing, fault)
                .remedy("name the bundle that was run with --model, or replay with this one"));
        }
        let doing = format!("writing the bundle \"{}\"", folder.display());
        let empty = match fs::read_dir(folder) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
            Err(error) => return Err(Error::config(doing, error)),
        };
        if !(empty || args.force) {
            return Err(Error::config(doing, "the folder is there and not empty")
                .remedy("name another folder, or write over it with --force"));
        }
        // --force writes over a bundle, not over whatever a slip of the pen names.
        if !(empty || folder.join("model.toml").is_file()) {
            return Err(Error::config(doing, "the folder holds something that is no model bundle")
                .remedy("name another folder"));
        }
        Ok(Target { bundle, mode, folder })
    }

    /// `model.toml` comes last: a folder without it is no bundle, and one with the old
    /// one and other networks is refused by their sums.
    fn write(&self, fit: &Fit) -> Result<()> {
        let notes = [
            format!(
                "Fitted by kinewatch {} on {} clips of {} videos, worth {:.0} independent ones.",
                env!("CARGO_PKG_VERSION"),
                fit.clips,
                fit.videos,
                fit.effective
            ),
            format!(
                "On videos held out: ECE {:.4} before, {:.4} after; NLL {:.4} before, {:.4} after.",
                fit.before.ece, fit.after.ece, fit.before.nll, fit.after.nll
            ),
        ];
        let manifest = self.bundle.calibrated(self.mode, &fit.parameters, &notes)?;
        if !self.bundle.is_in(self.folder) {
            self.bundle.each_file(&mut |name, bytes| {
                let path = self.folder.join(name);
                make_folder(path.parent().unwrap_or(self.folder))?;
                write_atomically(&path, bytes)
            })?;
        }
        write_atomically(&self.folder.join("model.toml"), manifest.as_bytes())?;
        // What was written is what will be run.
        Bundle::load(self.folder).map(drop)
    }
}

fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| {
        Error::unavailable(format!("making the folder \"{}\"", folder.display()), error)
    })
}

type Row = (&'static str, fn(&FitFigures) -> Option<f64>);

const ROWS: [Row; 6] = [
    ("ECE", |f| Some(f.ece)),
    ("ECE, equal mass", |f| Some(f.ece_equal_mass)),
    ("NLL", |f| Some(f.nll)),
    ("Brier", |f| Some(f.brier)),
    ("top-1", |f| f.top_1),
    ("macro-F1", |f| f.macro_f1),
];

fn describe(fit: &Fit) -> String {
    let mut text = format!(
        "{} ({}): {} labelled clips of {} videos, worth {:.1} independent ones\n\
         {} folds by video, each judged by a fit on the others\n\n{:<16}{:>19}{:>19}\n",
        fit.model,
        fit.mode,
        fit.clips,
        fit.videos,
        fit.effective,
        fit.folds.len(),
        "",
        "before",
        "after"
    );
    for (name, figure) in ROWS {
        let cell = |all: &FitFigures, folds: Vec<Option<f64>>| match figure(all) {
            Some(value) => format!("{value:.4} ± {:.4}", deviation(&folds)),
            None => "–".to_owned(),
        };
        let before = cell(&fit.before, fit.folds.iter().map(|f| figure(&f.before)).collect());
        let after = cell(&fit.after, fit.folds.iter().map(|f| figure(&f.after)).collect());
        if before != "–" {
            let _ = writeln!(text, "{name:<16}{before:>19}{after:>19}");
        }
    }
    let _ = writeln!(text, "\n{}", outline(&fit.parameters));
    text
}

/// Standard deviation of a sample.
fn deviation(values: &[Option<f64>]) -> f64 {
    let values: Vec<f64> = values.iter().flatten().copied().collect();
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count.max(1.0);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (count - 1.0).max(1.0)).sqrt()
}

/// The parameters in a line.
fn outline(parameters: &Parameters) -> String {
    let range = |values: &[f64]| {
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        format!("{least:.3} to {most:.3}")
    };
    match parameters {
        Parameters::Identity => "nothing to correct".into(),
        Parameters::Temperature { temperature } => format!("temperature {temperature:.4}"),
        Parameters::Vector { temperature, bias } => {
            format!("temperature {temperature:.4}, bias {}", range(bias))
        }
        Parameters::Platt { a, b, bins, .. } => {
            format!("top label: σ({a:.4}·logit p + {b:.4}), {} bins", bins.len())
        }
        Parameters::Histogram { bins, classes, .. } => {
            format!(
                "top label: {} bins for all, {} classes with their own",
                bins.len(),
                classes.len()
            )
        }
        Parameters::MultiLabel { temperature, threshold, .. } => {
            format!("temperature {}, threshold {}", range(temperature), range(threshold))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_that_of_a_sample() {
        assert_eq!(deviation(&[Some(1.0), Some(3.0), None]), 2f64.sqrt());
        assert_eq!(deviation(&[Some(1.0)]), 0.0);
        assert_eq!(deviation(&[]), 0.0);
    }
}
