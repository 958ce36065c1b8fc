//! The daemon: all streams of a configuration, from start to end. Its main thread
//! waits for nothing but messages, so that it can always tell how things stand.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, RecvTimeoutError, never, select_biased, unbounded};
use serde::Serialize;

use super::blueprint::Blueprint;
use super::ending::Ending;
use super::fleet::Fleet;
use super::job::{Common, Message};
use super::keeper::Keep;
use super::plan::Plan;
use super::prepare::{Loaded, Prepared, prepare, prepare_again};
use super::reload::Fixed;
use super::signals::Asked;
use super::status::{Board, Reload};
use super::watchdog::{Watchdog, is_fed};
use super::{notify, place, signals};
use crate::atomic::write_atomically;
use crate::clock::SystemClock;
use crate::config::SinkConfig;
use crate::control::Control;
use crate::error::{Error, Result};
use crate::model::Backend;
use crate::session::{Summary, rfc3339};
use crate::sink::{FileSink, Sink, Sinks, Standing, StdoutSink, View};
use crate::stop::Stop;
use crate::video::Pace;

/// How often it looks around where nothing happens.
const LOOK: Duration = Duration::from_millis(500);
/// How often systemd is told how things stand, where nothing changes.
const STATUS_EVERY: Duration = Duration::from_secs(10);
/// While models load, systemd is asked for this much more time, this often, and at
/// most for so long; longer where TensorRT may have to build engines.
const EXTENSION: Duration = Duration::from_secs(30);
const EXTEND_EVERY: Duration = Duration::from_secs(10);
const LONGEST_LOAD: Duration = Duration::from_secs(15 * 60);
const LONGEST_BUILD: Duration = Duration::from_secs(3 * 60 * 60);
/// In which states must be on the disk where nobody asked for the end.
const UNHURRIED: Duration = Duration::from_secs(60);

/// What standard output shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A live view on a terminal, JSON lines otherwise.
    #[default]
    Auto,
    /// JSON lines.
    Json,
    /// Readable lines.
    Text,
}

/// How to run a plan.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file that is read again when a signal asks for it, if there is one.
    pub config: Option<PathBuf>,
    /// How fast recordings are played.
    pub pace: Pace,
    /// What standard output shows.
    pub format: Format,
    /// Where the summary goes, as JSON.
    pub summary: Option<PathBuf>,
    /// Ends everything, well, after this long; `None`: when all streams have ended.
    pub run_for: Option<Duration>,
}

/// Runs every stream until all have ended, and returns what they came to, in
/// the order of the configuration. One stream's failure ends no other.
///
/// # Errors
/// Nothing was started: a model, a sink or a socket cannot be had.
pub fn run(plan: Plan, options: &Options) -> Result<Vec<Summary>> {
    let (sender, messages) = unbounded();
    let (stop, heard) = (Stop::default(), sender.clone());
    let asked = stop.clone();
    signals::listen(move |what| {
        if what == Asked::End {
            // At once, whatever the main thread is at.
            Ending::begin();
            asked.ask();
            notify::stopping();
        }
        let _ = heard.send(Message::Asked(what));
    })?;
    let sinks = Arc::new(Sinks::new(open_sinks(&plan.config.sinks, options.format)?));
    let builds = plan.models.iter().any(|model| model.options.backend == Backend::Nvinfer);
    let longest = if builds { LONGEST_BUILD } else { LONGEST_LOAD };
    let Some(prepared) = wait_for(&prepare(plan)?, longest, &stop)? else {
        return Ok(Vec::new());
    };

    let keep = Keep::start()?;
    let common = Common { sinks, keeps: keep.keeps(), pace: options.pace, stop, messages: sender };
    let config = options.config.as_ref().map(|path| path.display().to_string());
    let board = Board::new(config, common.sinks.clone());
    let place = place::of_status(&prepared.config.status, options.config.as_deref());
    let door = place.map_or(Ok(None), |place| place.open(board.clone()))?;
    let control = &prepared.config.control;
    let control = control.is_on().then(|| Control::start(control, Vec::new())).transpose()?;
    let mut daemon = Daemon {
        fixed: Fixed::of(&prepared.config),
        models: prepared.models.clone(),
        board,
        control,
        watchdog: notify::watchdog().map(|interval| Watchdog::new(interval, Instant::now())),
        reload: Reload::default(),
        reloading: None,
        ready: false,
        line: String::new(),
        told: Instant::now(),
        ending: None,
        fleet: {
            let patience = prepared.config.watchdog.patience.0;
            Fleet::start(common.clone(), Blueprint::all(prepared), patience)
        },
    };
    daemon.share_posts();
    daemon.run(&messages, options);

    let Daemon { mut fleet, control, board, ending, .. } = daemon;
    for name in fleet.abandon_all(Instant::now()) {
        log::error!("stream \"{name}\" did not end in time: it hangs and is left behind");
    }
    notify::stopping();
    let tell = standings(&fleet);
    let patience = ending.map_or(UNHURRIED, |ending| ending.left_for_states());
    // What was learned is on the disk before anybody is told that all is over.
    if !keep.finish(patience) {
        log::error!("the disk did not take all that was learned in time");
    }
    drop((control, door, board));
    let summaries = fleet.summaries();
    // What waits is written, and the live view ends its last line, before the log
    // goes on.
    let sinks = common.sinks;
    sinks.finish(ending.map_or(UNHURRIED, |ending| ending.left_for_sinks()));
    summaries.iter().for_each(|summary| log::info!("{summary}"));
    tell.iter().for_each(|text| log::info!("{text}"));
    for sink in sinks.standing().iter().filter(|sink| sink.lost > 0) {
        log::warn!("{} lines were lost on their way to {}", sink.lost, sink.name);
    }
    if let Some(path) = &options.summary {
        write_summary(path, &summaries, &sinks)?;
    }
    Ok(summaries)
}

/// Waits for what is prepared, and meanwhile, no longer than `longest`, asks systemd for
/// more time. `None` where the end was asked for.
fn wait_for(
    prepared: &Receiver<Result<Prepared>>,
    longest: Duration,
    stop: &Stop,
) -> Result<Option<Prepared>> {
    let begun = Instant::now();
    let mut extended = None;
    loop {
        match prepared.recv_timeout(LOOK) {
            Ok(prepared) => return prepared.map(Some),
            Err(RecvTimeoutError::Disconnected) => return Err(preparing_panicked()),
            Err(RecvTimeoutError::Timeout) if stop.asked() => return Ok(None),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let due = extended.is_none_or(|at: Instant| at.elapsed() >= EXTEND_EVERY);
        if due && begun.elapsed() < longest {
            notify::extend(EXTENSION);
            notify::status(&format!("loading models for {} s", begun.elapsed().as_secs()));
            extended = Some(Instant::now());
        }
    }
}

fn preparing_panicked() -> Error {
    Error::internal("reading the configuration and its models", "it panicked")
}

/// What the main thread knows.
struct Daemon {
    fleet: Fleet,
    fixed: Fixed,
    models: Vec<Loaded>,
    board: Board,
    control: Option<Control>,
    watchdog: Option<Watchdog>,
    reload: Reload,
    /// Brings the configuration that is being read again.
    reloading: Option<Receiver<Result<Prepared>>>,
    ready: bool,
    /// What systemd was told last, and when.
    line: String,
    told: Instant,
    ending: Option<Ending>,
}

impl Daemon {
    /// Until all streams are over, or until it is time to leave what is left.
    fn run(&mut self, messages: &Receiver<Message>, options: &Options) {
        let begun = Instant::now();
        let look = self.watchdog.as_ref().map_or(LOOK, |watchdog| watchdog.every().min(LOOK));
        let nothing = never();
        while !self.fleet.is_over() {
            let mut wait = look;
            if let Some(ending) = &self.ending {
                wait = wait.min(ending.left_for_streams());
                if wait.is_zero() {
                    return;
                }
            } else if let Some(run_for) = options.run_for {
                let left = run_for.saturating_sub(begun.elapsed());
                wait = wait.min(left);
                if left.is_zero() {
                    self.end();
                    continue;
                }
            }
            let reloaded = self.reloading.clone().unwrap_or_else(|| nothing.clone());
            select_biased! {
                recv(messages) -> message => match message {
                    Ok(message) => self.take(message, options.config.as_deref()),
                    // It holds a sender itself.
                    Err(_) => return,
                },
                recv(reloaded) -> prepared => {
                    self.reloading = None;
                    self.reloaded(prepared.unwrap_or_else(|_| Err(preparing_panicked())));
                }
                default(wait) => {}
            }
            self.look_around();
        }
    }

    fn take(&mut self, message: Message, config: Option<&Path>) {
        let now = Instant::now();
        match message {
            Message::Started(id) => self.fleet.started(id, now),
            Message::Ended(id, summary) => {
                if self.fleet.ended(id, *summary, now) {
                    self.fleet.ask_all(now);
                }
            }
            Message::Asked(Asked::End) => self.end(),
            Message::Asked(Asked::Tell) => match standings(&self.fleet).as_slice() {
                [] => log::info!("no stream has labels: how right they are is not known"),
                texts => texts.iter().for_each(|text| log::info!("{text}")),
            },
            Message::Asked(Asked::Reload) => self.begin_reload(config),
        }
    }

    fn end(&mut self) {
        if self.ending.is_none() {
            self.ending = Some(Ending::begin());
            self.fleet.ask_all(Instant::now());
        }
    }

    fn look_around(&mut self) {
        let now = Instant::now();
        self.fleet.tick(now);
        let line = self.board.write(&self.fleet, &self.reload, now);
        if !self.ready && self.fleet.is_up(now) {
            self.ready = true;
            notify::ready();
        }
        if line != self.line && now - self.told >= Duration::from_secs(1)
            || now - self.told >= STATUS_EVERY
            || self.line.is_empty()
        {
            notify::status(&line);
            (self.line, self.told) = (line, now);
        }
        if let Some(watchdog) = &mut self.watchdog
            && watchdog.feeds(now, is_fed(self.fleet.verdicts(now)))
        {
            notify::feed();
        }
    }

    fn begin_reload(&mut self, config: Option<&Path>) {
        if self.ending.is_some() {
            return;
        }
        notify::reloading();
        let Some(config) = config else {
            log::info!("SIGHUP: there is no configuration file to read again");
            return notify::ready();
        };
        if self.reloading.is_some() {
            log::info!("SIGHUP: the configuration is being read already, and will be once more");
        }
        log::info!("reading \"{}\" again", config.display());
        match prepare_again(config, self.models.clone()) {
            Ok(prepared) => self.reloading = Some(prepared),
            Err(error) => self.reloaded(Err(error)),
        }
    }

    fn reloaded(&mut self, prepared: Result<Prepared>) {
        if self.ending.is_some() {
            return;
        }
        self.reload.count += 1;
        self.reload.at = rfc3339(SystemTime::now());
        match prepared {
            Err(error) => {
                log::error!("the configuration stays as it was: {error}");
                self.reload.error = Some(error.to_string());
            }
            Ok(prepared) => {
                self.reload.error = None;
                let fixed = Fixed::of(&prepared.config);
                self.reload.waiting = self.fixed.changed(&fixed);
                for table in &self.reload.waiting {
                    log::warn!("what changed in {table} waits for a restart");
                }
                self.models = prepared.models.clone();
                let patience = prepared.config.watchdog.patience.0;
                let changes = self.fleet.change(Blueprint::all(prepared), patience);
                log::info!("the configuration was read again; {}", changes.text());
                self.share_posts();
            }
        }
        notify::ready();
    }

    /// Tells the control socket which streams take labels.
    fn share_posts(&self) {
        if let Some(control) = &self.control {
            control.set_posts(self.fleet.posts());
        }
    }
}

/// How right each labelled stream has been.
fn standings(fleet: &Fleet) -> Vec<String> {
    fleet.slots().iter().filter_map(|slot| slot.progress.standing.text()).collect()
}

fn open_sinks(configs: &[SinkConfig], format: Format) -> Result<Vec<Box<dyn Sink>>> {
    let terminal = io::stdout().is_terminal();
    let text = format == Format::Text || (format == Format::Auto && terminal);
    // https://no-color.org
    let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    configs
        .iter()
        .map(|config| -> Result<Box<dyn Sink>> {
            Ok(match config {
                SinkConfig::Stdout(_) if text => Box::new(View::open(terminal, colour)?),
                SinkConfig::Stdout(queue_bytes) => Box::new(StdoutSink::open(*queue_bytes)?),
                SinkConfig::File(file) => {
                    Box::new(FileSink::open(file.clone(), Arc::new(SystemClock))?)
                }
            })
        })
        .collect()
}

/// The file that `--summary` writes.
#[derive(Serialize)]
struct Report<'a> {
    v: u32,
    kind: &'static str,
    streams: &'a [Summary],
    sinks: Vec<Standing>,
    lines_lost: u64,
}

fn write_summary(path: &Path, streams: &[Summary], sinks: &Sinks) -> Result<()> {
    let doing = format!("writing the summary \"{}\"", path.display());
    let (lines_lost, sinks) = (sinks.lost(), sinks.standing());
    let report = Report { v: 1, kind: "summary", streams, sinks, lines_lost };
    let mut text =
        serde_json::to_string_pretty(&report).map_err(|error| Error::internal(&doing, error))?;
    text.push('\n');
    // A pipe or a device cannot be replaced.
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return fs::write(path, text).map_err(|error| Error::unavailable(doing, error));
    }
    write_atomically(path, text.as_bytes())
}
