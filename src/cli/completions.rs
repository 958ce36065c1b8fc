//! `kinewatch completions`: for the shell.

use clap::CommandFactory;
use clap_complete::Shell;

use super::output::print;
use crate::error::Result;

/// Print completions for a shell
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Which shell
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "kinewatch", &mut text);
    print(&text)
}
