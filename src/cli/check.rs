//! `kinewatch check`: is this configuration good?

use std::fmt::Write as _;
use std::path::PathBuf;

use super::output::print;
use crate::config::{Config, SinkConfig};
use crate::error::Result;
use crate::service::Plan;

/// Check a configuration, its models and its label files, opening no source
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration, a TOML file
    config: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let plan = Plan::new(Config::load(&args.config)?)?;
    let mut text = String::new();
    for (config, stream) in plan.config.streams.iter().zip(&plan.streams) {
        let model = &plan.models[stream.model];
        let _ = writeln!(text, "stream \"{}\"", config.name);
        let _ = writeln!(text, "  source  {}", config.source.describe());
        let _ = writeln!(
            text,
            "  model   \"{}\", mode {}, {} {}, {} labels",
            model.bundle.name(),
            model.mode.name(),
            model.options.threads,
            if model.options.threads == 1 { "thread" } else { "threads" },
            model.bundle.labels().len()
        );
        if let (Some(labels), Some(track)) = (&config.labels, &stream.track) {
            let _ = writeln!(
                text,
                "  labels  \"{}\", {} spans",
                labels.path.display(),
                track.spans().len()
            );
        }
    }
    for sink in &plan.config.sinks {
        let _ = match sink {
            SinkConfig::Stdout => writeln!(text, "sink standard output"),
            SinkConfig::File(file) => writeln!(text, "sink file \"{}\"", file.path.display()),
        };
    }
    text.push_str("ok\n");
    print(text.as_bytes())
}
