//! What a person types: one verb per file. This definition feeds the help, the
//! man pages and the completions.

#[cfg(feature = "bench")]
mod agreement;
#[cfg(feature = "bench")]
mod bench;
#[cfg(feature = "replay")]
mod bytes;
#[cfg(feature = "replay")]
mod calibrate;
mod check;
#[cfg(feature = "shell")]
mod completions;
#[cfg(feature = "bench")]
mod inspect;
#[cfg(feature = "shell")]
mod man;
#[cfg(any(feature = "bench", feature = "replay"))]
mod mode;
mod output;
#[cfg(feature = "replay")]
mod replay;
#[cfg(feature = "replay")]
mod report;
mod run;
mod status;
#[cfg(feature = "synth")]
mod synth;
mod table;

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
    #[cfg(feature = "replay")]
    Replay(Box<replay::Args>),
    #[cfg(feature = "replay")]
    Report(report::Args),
    #[cfg(feature = "replay")]
    Calibrate(calibrate::Args),
    Check(check::Args),
    #[cfg(feature = "bench")]
    Inspect(inspect::Args),
    #[cfg(feature = "bench")]
    Bench(bench::Args),
    #[cfg(feature = "synth")]
    Synth(synth::Args),
    #[cfg(feature = "shell")]
    Completions(completions::Args),
    #[cfg(feature = "shell")]
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
        #[cfg(feature = "replay")]
        Verb::Replay(args) => replay::run(args),
        #[cfg(feature = "replay")]
        Verb::Report(args) => report::run(args).map(|()| true),
        #[cfg(feature = "replay")]
        Verb::Calibrate(args) => calibrate::run(args).map(|()| true),
        Verb::Check(args) => check::run(args).map(|()| true),
        #[cfg(feature = "bench")]
        Verb::Inspect(args) => inspect::run(args).map(|()| true),
        #[cfg(feature = "bench")]
        Verb::Bench(args) => bench::run(args).map(|()| true),
        #[cfg(feature = "synth")]
        Verb::Synth(args) => args.run().map(|()| true),
        #[cfg(feature = "shell")]
        Verb::Completions(args) => completions::run(args).map(|()| true),
        #[cfg(feature = "shell")]
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
