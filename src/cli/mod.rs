//! What a person types: one verb per file. This definition feeds the help, the
//! man pages and the completions.

mod agreement;
mod bench;
mod bytes;
mod calibrate;
mod check;
mod completions;
mod inspect;
mod man;
mod output;
mod replay;
mod report;
mod run;
mod status;
mod synth;

use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand};

use crate::service;
use crate::video::isolate;

/// Streaming video classification for edge boards: watches cameras, RTSP
/// streams and recordings, and says what happens in them as it happens.
#[derive(Debug, Parser)]
#[command(
    name = "kinewatch",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed while running, 2 bad command line or configuration."
)]
pub struct Cli {
    /// Log more (-vv for everything)
    #[arg(short, long, action = ArgAction::Count, global = true)]
    verbose: u8,
    /// Log less (-qq for errors only)
    #[arg(short, long, action = ArgAction::Count, global = true)]
    quiet: u8,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Args),
    Status(status::Args),
    // By far the one with the most flags.
    Replay(Box<replay::Args>),
    Report(report::Args),
    Calibrate(calibrate::Args),
    Check(check::Args),
    Inspect(inspect::Args),
    Bench(bench::Args),
    Synth(synth::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// The whole program: reads the command line and does what it says.
pub fn main() -> ExitCode {
    if let Some(code) = isolate::run_if_asked() {
        return code;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help that nobody reads to its end is no failure.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    service::init_log(i16::from(cli.verbose) - i16::from(cli.quiet));
    let outcome = match &cli.verb {
        Verb::Run(args) => run::run(args),
        Verb::Status(args) => status::run(args, cli.verbose > 0),
        Verb::Replay(args) => replay::run(args),
        Verb::Report(args) => report::run(args).map(|()| true),
        Verb::Calibrate(args) => calibrate::run(args).map(|()| true),
        Verb::Check(args) => check::run(args).map(|()| true),
        Verb::Inspect(args) => inspect::run(args).map(|()| true),
        Verb::Bench(args) => bench::run(args).map(|()| true),
        Verb::Synth(args) => args.run().map(|()| true),
        Verb::Completions(args) => completions::run(args).map(|()| true),
        Verb::Man(args) => man::run(args).map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            log::error!("{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
