//! `kinewatch status`: how are the daemons on this machine doing?

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::output::print;
use super::table::Table;
use crate::control::ask;
use crate::error::{Error, Result};
use crate::service::status_sockets;

/// Ask running daemons how they are doing
///
/// Exit code 0: every stream of every daemon is live, or a recording that ended
/// well. 1: one is not, or a daemon does not answer, or none is found.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// A daemon's socket; may be given several times. Without it: those of all
    /// kinewatch@… units and of this user's own daemons
    #[arg(long, value_name = "PATH")]
    socket: Vec<PathBuf>,
    /// JSON, a line for each daemon
    #[arg(long)]
    json: bool,
}

/// Whether all is well. `more` also shows how each stream came to where it is.
pub(super) fn run(args: &Args, more: bool) -> Result<bool> {
    let sockets = if args.socket.is_empty() { status_sockets() } else { args.socket.clone() };
    if sockets.is_empty() {
        return Err(Error::unavailable("looking for running daemons", "there is none")
            .remedy("start one, or name its socket with --socket"));
    }
    let (mut healthy, mut text) = (true, String::new());
    for socket in &sockets {
        let answer = ask(socket).and_then(|status| match status["v"].as_u64() {
            Some(1) => Ok(status),
            version => Err(Error::data(
                format!("asking the daemon at \"{}\"", socket.display()),
                format!("its answer has the version {version:?}, and this program knows 1"),
            )),
        });
        healthy &= matches!(&answer, Ok(status) if status["healthy"] == true);
        match (answer, args.json) {
            (Ok(status), true) => _ = writeln!(text, "{status}"),
            (Ok(status), false) => show(&status, more, &mut text),
            (Err(error), true) => {
                let socket = socket.display().to_string();
                let _ =
                    writeln!(text, "{}", json!({ "socket": socket, "error": error.to_string() }));
            }
            (Err(error), false) => log::error!("{error}"),
        }
    }
    print(text.as_bytes())?;
    Ok(healthy)
}

/// One daemon.
fn show(status: &Value, more: bool, text: &mut String) {
    let streams = status["streams"].as_array().map(Vec::as_slice).unwrap_or_default();
    let _ = writeln!(
        text,
        "{} (kinewatch {}, process {}, up {})",
        status["config"].as_str().unwrap_or("without a configuration file"),
        status["version"].as_str().unwrap_or("?"),
        status["pid"],
        length(&status["uptime_s"])
    );
    let mut table = Table::new(
        2,
        &[
            "stream",
            "state",
            "for",
            "frame",
            "frames",
            "predictions",
            "skipped",
            "dropped",
            "resets",
            "reconnects",
            "restarts",
            "latency",
        ],
    );
    for stream in streams {
        let field = |key: &str| stream[key].as_str().unwrap_or("?").to_owned();
        let count = |key: &str| stream[key].to_string();
        table.row([
            field("name"),
            field("state"),
            length(&stream["for_s"]),
            length(&stream["frame_age_s"]),
            count("frames"),
            count("predictions"),
            count("skipped"),
            count("dropped"),
            count("resets"),
            count("reconnects"),
            count("restarts"),
            length(&stream["latency_s"]),
        ]);
    }
    text.push_str(&table.to_string());
    for stream in streams {
        let name = stream["name"].as_str().unwrap_or("?");
        let why = stream["why"].as_str().filter(|why| !why.is_empty());
        match (why, stream["retry_in_s"].as_f64()) {
            (Some(why), Some(_)) => {
                let wait = length(&stream["retry_in_s"]);
                let _ = writeln!(text, "{name}: {why}; trying again in {wait}");
            }
            (Some(why), None) => _ = writeln!(text, "{name}: {why}"),
            (None, _) => {}
        }
        if !more {
            continue;
        }
        if let Some(accuracy) = stream["accuracy"].as_str() {
            let _ = writeln!(text, "{name}: {accuracy}");
        }
        for change in stream["source"]["history"].as_array().into_iter().flatten() {
            let of = |key: &str| change[key].as_str().unwrap_or_default();
            let why = if of("why").is_empty() { "" } else { ": " };
            let _ = writeln!(text, "{name}: {} {}{why}{}", of("at"), of("state"), of("why"));
        }
    }
    let reload = &status["reload"];
    if let (Some(error), Some(at)) = (reload["error"].as_str(), reload["at"].as_str()) {
        let _ = writeln!(text, "the configuration was refused at {at}: {error}");
    }
    for table in reload["restart_needed"].as_array().into_iter().flatten() {
        let table = table.as_str().unwrap_or_default();
        let _ = writeln!(text, "{table} was changed: that waits for a restart");
    }
    for sink in status["sinks"].as_array().into_iter().flatten() {
        let name = sink["name"].as_str().unwrap_or("?");
        if sink["lost"].as_u64() > Some(0) {
            let _ = writeln!(text, "{name}: {} lines were lost", sink["lost"]);
        }
        if let Some(fault) = sink["fault"].as_str() {
            let _ = writeln!(text, "{name}: takes no lines now, {} wait: {fault}", sink["waiting"]);
        }
    }
    if status["sessions_abandoned"].as_u64() > Some(0) {
        let hang = &status["sessions_abandoned"];
        let _ = writeln!(text, "{hang} sessions hang and were left behind");
    }
}

/// A length of time in seconds, as a person says it; – where there is none.
fn length(seconds: &Value) -> String {
    let Some(seconds) = seconds.as_f64() else { return "–".into() };
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h", s / 3_600.0),
        s => format!("{:.0} d", s / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_the_unit_that_fits() {
        let said = [0.0123, 12.4, 119.0, 600.0, 8_000.0, 200_000.0].map(|s| length(&json!(s)));
        assert_eq!(said, ["12 ms", "12 s", "119 s", "10 min", "2 h", "2 d"]);
        assert_eq!(length(&Value::Null), "–");
    }
}
