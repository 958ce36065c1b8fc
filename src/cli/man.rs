//! `kinewatch man`: for packagers.

use std::fs;
use std::path::PathBuf;

use clap::CommandFactory;
use clap_mangen::Man;

use super::output::print;
use crate::error::{Error, Result};

/// Print the man page, or write one for each verb into a folder
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Write kinewatch.1, kinewatch-run.1 … here
    dir: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let command = super::Cli::command();
    match &args.dir {
        Some(dir) => {
            let doing = format!("writing man pages to \"{}\"", dir.display());
            fs::create_dir_all(dir)
                .and_then(|()| clap_mangen::generate_to(command, dir))
                .map_err(|error| Error::unavailable(doing, error))
        }
        None => {
            let mut page = Vec::new();
            Man::new(command)
                .render(&mut page)
                .map_err(|error| Error::internal("writing the man page", error))?;
            print(&page)
        }
    }
}
