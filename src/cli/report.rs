//! `kinewatch report`: metrics and pictures from stored predictions, or from
//! accuracy logs.

use std::path::PathBuf;

use super::output::print;
use crate::error::{Error, Result};
use crate::metric::Conventions;
use crate::report::{self, Aggregate, ReportOptions, Store};

/// Measure stored predictions again (merges shards, changes the rules, compares
/// runs), or draw the accuracy logs of a daemon
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folders that `kinewatch replay` wrote: the shards of one run, or with
    /// --compare one run each. Or accuracy logs that `kinewatch run` wrote: files
    /// (older parts beside them belong to them) or their folders, of one stream
    /// or several; they heed -o only
    #[arg(required = true, value_name = "OUT|LOG")]
    folders: Vec<PathBuf>,
    /// Set runs over the same videos side by side; the first is what the others
    /// are compared with
    #[arg(long)]
    compare: bool,
    /// Where to write [default: the folder itself, if there is one]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// From the clips of a video to the video
    #[arg(long, value_enum, default_value_t)]
    aggregate: Aggregate,
    /// Whose conventions for ties, empty classes and divisions by zero:
    /// scikit-learn or torchmetrics
    #[arg(long, default_value_t, value_name = "LIBRARY")]
    conventions: Conventions,
    /// Resamples of the videos for each interval; 0 gives none
    #[arg(long, default_value_t = ReportOptions::default().bootstrap, value_name = "N")]
    bootstrap: usize,
    /// Write no figures/
    #[arg(long)]
    no_figures: bool,
    /// Show no frames of recordings
    #[arg(long)]
    no_frames: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let (logs, runs): (Vec<_>, Vec<_>) =
        args.folders.iter().partition(|path| report::holds_logs(path));
    match (logs.first(), runs.first()) {
        (None, _) => {}
        (Some(_), None) => return accuracy(args),
        (Some(log), Some(run)) => {
            let fault = format!(
                "\"{}\" holds accuracy logs and \"{}\" does not: they are measured apart",
                log.display(),
                run.display()
            );
            return Err(Error::config("making a report", fault)
                .remedy("name accuracy logs only, or runs of `kinewatch replay` only"));
        }
    }
    let options = ReportOptions {
        aggregate: args.aggregate,
        conventions: args.conventions,
        bootstrap: args.bootstrap,
        figures: !args.no_figures,
        frames: !args.no_frames,
    };
    let stores: Vec<Store> =
        args.folders.iter().map(|folder| Store::open(folder)).collect::<Result<_>>()?;
    if args.compare {
        let out = args.output.as_deref().ok_or_else(|| {
            Error::config("comparing runs", "nowhere to write").remedy("name a folder with -o")
        })?;
        let comparison = report::compare(&stores, out, &options)?;
        return print(comparison.to_string().as_bytes());
    }
    let out = match (&args.output, args.folders.as_slice()) {
        (Some(out), _) => out,
        (None, [only]) => only,
        (None, _) => {
            return Err(
                Error::config("merging shards", "nowhere to write").remedy("name a folder with -o")
            );
        }
    };
    let outcome = report::write(&stores, out, &options)?;
    print(outcome.to_string().as_bytes())?;
    log::info!("the report is in \"{}\"", out.join("report.html").display());
    Ok(())
}

/// Accuracy logs have a page of their own.
fn accuracy(args: &Args) -> Result<()> {
    let doing = "drawing accuracy logs";
    if args.compare {
        return Err(Error::config(doing, "--compare is for runs of `kinewatch replay`")
            .remedy("leave it out: several streams are drawn on one page"));
    }
    let out = args
        .output
        .as_deref()
        .ok_or_else(|| Error::config(doing, "nowhere to write").remedy("name a folder with -o"))?;
    let outcome = report::write_accuracy(&args.folders, out)?;
    print(outcome.to_string().as_bytes())?;
    log::info!("the page is \"{}\"", out.join("accuracy.html").display());
    Ok(())
}
