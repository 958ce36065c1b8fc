//! `kinewatch run`: the daemon.

use std::path::PathBuf;

use crate::config::Config;
use crate::duration::HumanDuration;
use crate::error::Result;
use crate::service::{self, Format, Options, Plan};
use crate::video::Pace;

/// Watch streams and write predictions until they end
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration, a TOML file
    #[arg(required_unless_present = "source", conflicts_with_all = ["source", "model", "labels"])]
    config: Option<PathBuf>,
    /// Watch this one source without a configuration: a recording, an rtsp:// or
    /// http:// address, /dev/videoN, or synth:OPTIONS
    #[arg(long, value_name = "FILE|URI")]
    source: Option<String>,
    /// With --source: the model bundle (default: the built-in camera-events)
    #[arg(long, value_name = "DIR", requires = "source")]
    model: Option<PathBuf>,
    /// With --source: a label file to score against
    #[arg(long, value_name = "CSV", requires = "source")]
    labels: Option<PathBuf>,
    /// Play recordings as fast as they decode, dropping nothing
    #[arg(long)]
    fast: bool,
    /// End well after this long ("62 s", "10 min"), whatever the streams do
    #[arg(long = "for", value_name = "DURATION")]
    run_for: Option<HumanDuration>,
    /// Write the figures of every stream to this file at the end, as JSON
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// What standard output shows: a live view on a terminal and JSON lines
    /// otherwise (auto), or one of them always
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Whether every stream ended well.
pub(super) fn run(args: &Args) -> Result<bool> {
    service::share_arenas();
    let config = match (&args.config, &args.source) {
        (_, Some(source)) => Config::quick(source, args.model.as_deref(), args.labels.as_deref())?,
        (config, None) => Config::load(config.as_deref().unwrap_or_else(|| "".as_ref()))?,
    };
    let options = Options {
        config: args.config.clone(),
        pace: if args.fast { Pace::Fast } else { Pace::RealTime },
        format: args.format,
        summary: args.summary.clone(),
        run_for: args.run_for.map(|duration| duration.0),
    };
    let summaries = service::run(Plan::new(config)?, &options)?;
    Ok(summaries.iter().all(|summary| summary.error.is_none()))
}
