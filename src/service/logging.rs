//! The log: standard error, with systemd's priorities under journald.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};

use env_logger::fmt::Formatter;
use env_logger::{Target, WriteStyle};
use log::{Level, LevelFilter, Record};

use crate::secret;

/// Overrides the levels, in `env_logger`'s syntax (`kinewatch=debug`).
const VARIABLE: &str = "KINEWATCH_LOG";

/// Clears what is drawn on the terminal, calls, and draws it again.
pub type Aside = Arc<dyn Fn(&mut dyn FnMut()) + Send + Sync>;

/// Progress bars that the log must not write into.
static BARS: Mutex<Option<Aside>> = Mutex::new(None);

/// From now on `bars` make way for every line of the log, or it goes straight to
/// standard error again.
pub fn above(bars: Option<Aside>) {
    *BARS.lock().unwrap_or_else(PoisonError::into_inner) = bars;
}

/// A terminal on which bars may be drawn.
struct Terminal;

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bars = BARS.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut written = Ok(());
        let mut write = || written = io::stderr().write_all(bytes);
        match bars {
            Some(aside) => aside(&mut write),
            None => write(),
        }
        written.map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Begins logging. `verbosity` 0 is information and worse; each step up shows
/// one level more, each step down one less. Other people's crates are heard
/// one level later. Does nothing the second time.
pub fn init(verbosity: i16) {
    let ours = match verbosity {
        ..=-2 => LevelFilter::Error,
        -1 => LevelFilter::Warn,
        0 => LevelFilter::Info,
        1 => LevelFilter::Debug,
        2.. => LevelFilter::Trace,
    };
    let others = if verbosity >= 2 { LevelFilter::Debug } else { ours.min(LevelFilter::Warn) };
    let mut builder = env_logger::Builder::new();
    builder.filter_level(others).filter_module("kinewatch", ours);
    if let Ok(levels) = std::env::var(VARIABLE) {
        builder.parse_filters(&levels);
    }
    if journald() {
        builder.format(for_journald);
    } else {
        // The live view leaves its last line open: take its place, it comes again.
        let clear = io::stderr().is_terminal() && io::stdout().is_terminal();
        builder.format(move |f, record| for_people(f, record, clear));
        if io::stderr().is_terminal() {
            // https://no-color.org
            let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            builder.write_style(if plain { WriteStyle::Never } else { WriteStyle::Always });
            builder.target(Target::Pipe(Box::new(Terminal)));
        }
    }
    // The first log of a process stays.
    let _ = builder.try_init();
}

/// Whether standard error goes to journald: `$JOURNAL_STREAM` holds device and
/// inode of that connection (systemd.exec(5)).
fn journald() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(fd) = io::stderr().as_fd().try_clone_to_owned() else { return false };
    File::from(fd).metadata().is_ok_and(|m| stream == format!("{}:{}", m.dev(), m.ino()))
}

/// `<N>text`, where N is syslog's priority (sd-daemon(3)). journald stamps the
/// time itself; each line of a text is a message of its own to it.
fn for_journald(f: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let priority = match record.level() {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    };
    for line in secret::hidden(record.args().to_string()).lines() {
        writeln!(f, "<{priority}>{line}")?;
    }
    Ok(())
}

fn for_people(f: &mut Formatter, record: &Record<'_>, clear: bool) -> io::Result<()> {
    let level = record.level();
    let style = f.default_level_style(level);
    let text = secret::hidden(record.args().to_string());
    let clear = if clear { "\r\x1b[2K" } else { "" };
    writeln!(f, "{clear}{} {style}{level:<5}{style:#} {text}", f.timestamp_seconds())
}
