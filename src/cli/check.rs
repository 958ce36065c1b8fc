//! `kinewatch check`: is this configuration good?

use std::fmt::Write as _;
use std::path::PathBuf;

use super::output::print;
use crate::config::{Config, SinkConfig};
use crate::error::Result;
use crate::model::Mode;
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
        for source in config.sources() {
            let _ = writeln!(text, "  source  {}", source.describe());
            for name in source.not_installed()? {
                let _ = writeln!(text, "  note    {name} is not here and is not used");
            }
        }
        let _ = writeln!(
            text,
            "  model   \"{}\", mode {}, {} {}, {} labels",
            model.bundle.name(),
            model.mode.name(),
            model.options.threads,
            if model.options.threads == 1 { "thread" } else { "threads" },
            model.bundle.labels().len()
        );
        if config.predict.most_hop() > config.predict.hop && model.mode != Mode::Window {
            let name = model.mode.name();
            let _ = writeln!(
                text,
                "  note    predict.max_hop does nothing in mode {name}: it must see every frame"
            );
        }
        let path = config.labels.as_ref().and_then(|labels| labels.path.as_ref());
        if let (Some(path), Some(track)) = (path, &stream.track) {
            let spans = track.spans().len();
            let _ = writeln!(text, "  labels  \"{}\", {spans} spans", path.display());
        }
        if let Some(labels) = config.labels.as_ref().filter(|labels| labels.still_come()) {
            let wait = labels.wait;
            if labels.live {
                let _ = writeln!(text, "  labels  as they are sent, {wait} late at most");
            }
            if let Some(folder) = &labels.watch {
                let folder = folder.display();
                let _ = writeln!(text, "  labels  from \"{folder}\", {wait} late at most");
            }
        }
        if let Some(calibrate) = &config.calibrate {
            let _ = writeln!(text, "  learns  {}", calibrate.method.name());
        }
    }
    for sink in &plan.config.sinks {
        let _ = match sink {
            SinkConfig::Stdout(_) => writeln!(text, "sink standard output"),
            SinkConfig::File(file) => writeln!(text, "sink file \"{}\"", file.path.display()),
        };
    }
    text.push_str("ok\n");
    print(text.as_bytes())
}
