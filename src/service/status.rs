//! How the daemon is doing: as JSON for whoever asks, and as one line for systemd.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::fleet::Fleet;
use super::slot::{Phase, Slot};
use super::watchdog::{self, Verdict};
use crate::session::{Progress, rfc3339};
use crate::sink::Sinks;
use crate::video::State;

/// Version of the JSON.
const FORMAT: u32 = 1;
/// The longest line for systemd, and the longest reason in it, in characters.
const LONGEST_LINE: usize = 240;
const LONGEST_WHY: usize = 100;

/// What the main thread last wrote down. Counters are read when somebody asks, so
/// that they are new even where that thread hangs.
#[derive(Clone)]
pub(super) struct Board(Arc<Inner>);

struct Inner {
    begun: Instant,
    config: Option<String>,
    sinks: Arc<Sinks>,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    streams: Vec<Stream>,
    abandoned: usize,
    abandoned_in_all: u64,
    fed: bool,
    line: String,
    reload: Reload,
    written: Option<Instant>,
}

/// What came of reloads.
#[derive(Clone, Debug, Default)]
pub(super) struct Reload {
    pub count: u64,
    /// When the last one was, RFC 3339.
    pub at: String,
    /// Why that one failed, if it did.
    pub error: Option<String>,
    /// Tables that changed and wait for a restart.
    pub waiting: Vec<&'static str>,
}

/// One stream, as the main thread sees it.
struct Stream {
    name: String,
    model: String,
    mode: &'static str,
    phase: Phase,
    since: Instant,
    restarts: u64,
    fault: String,
    verdict: Verdict,
    progress: Arc<Progress>,
}

/// What a stream is doing, in the words of [`State`].
struct Doing {
    state: State,
    why: String,
    since_s: f64,
    retry_in_s: Option<f64>,
}

impl Board {
    pub fn new(config: Option<String>, sinks: Arc<Sinks>) -> Board {
        let notes = Mutex::default();
        Board(Arc::new(Inner { begun: Instant::now(), config, sinks, notes }))
    }

    /// Notes how things stand, and returns the line for systemd.
    pub fn write(&self, fleet: &Fleet, reload: &Reload, now: Instant) -> String {
        let streams: Vec<Stream> =
            fleet.slots().iter().map(|slot| Stream::of(slot, fleet.verdict(slot, now))).collect();
        let line = line(&streams, reload);
        let (abandoned, abandoned_in_all) = fleet.abandoned();
        let fed = watchdog::is_fed(streams.iter().map(|stream| stream.verdict));
        let (reload, written) = (reload.clone(), Some(now));
        let notes = Notes {
            streams,
            abandoned,
            abandoned_in_all,
            fed,
            line: line.clone(),
            reload,
            written,
        };
        *self.0.notes.lock().unwrap_or_else(PoisonError::into_inner) = notes;
        line
    }

    /// Everything there is to say.
    pub fn json(&self) -> Value {
        let inner = &*self.0;
        let notes = inner.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let streams: Vec<Value> = notes.streams.iter().map(Stream::json).collect();
        let healthy = notes.streams.iter().all(Stream::is_healthy);
        json!({
            "v": FORMAT,
            "kind": "status",
            "version": env!("CARGO_PKG_VERSION"),
            "at": rfc3339(SystemTime::now()),
            "pid": std::process::id(),
            "config": inner.config,
            "uptime_s": rounded(inner.begun.elapsed()),
            "healthy": healthy,
            "status": notes.line,
            "watchdog_fed": notes.fed,
            "main_loop_age_s": notes.written.map(|at| rounded(at.elapsed())),
            "sessions_abandoned": notes.abandoned,
            "sessions_abandoned_in_all": notes.abandoned_in_all,
            "lines_lost": inner.sinks.lost(),
            "sinks": inner.sinks.standing(),
            "reload": {
                "count": notes.reload.count,
                "at": (notes.reload.count > 0).then_some(&notes.reload.at),
                "error": notes.reload.error,
                "restart_needed": notes.reload.waiting,
            },
            "streams": streams,
        })
    }
}

impl Stream {
    fn of(slot: &Slot, verdict: Verdict) -> Stream {
        Stream {
            name: slot.name().to_owned(),
            model: slot.blueprint.model.bundle().name().to_owned(),
            mode: slot.blueprint.model.mode().name(),
            phase: slot.phase,
            since: slot.since,
            restarts: slot.restarts,
            fault: slot.fault.clone(),
            verdict,
            progress: slot.progress.clone(),
        }
    }

    fn doing(&self) -> Doing {
        let since_s = rounded(self.since.elapsed());
        let doing = |state, why: &str| Doing { state, why: why.into(), since_s, retry_in_s: None };
        match self.phase {
            Phase::Starting => doing(State::Connecting, ""),
            Phase::Waiting { until } => {
                let left = until.saturating_duration_since(Instant::now());
                Doing { retry_in_s: Some(rounded(left)), ..doing(State::BackingOff, &self.fault) }
            }
            Phase::Over if self.fault.is_empty() => doing(State::Ended, ""),
            Phase::Over => doing(State::Failed, &self.fault),
            Phase::Stopping => doing(State::Ended, "it is ending"),
            Phase::Running => {
                if let Verdict::Hangs(hang) = self.verdict
                    && hang != watchdog::Hang::Before
                {
                    return doing(State::Failed, hang.text());
                }
                let status = self.progress.health.status();
                let (since_s, retry_in_s) = (seconds(status.for_s), status.retry_in_s.map(seconds));
                Doing { state: status.state, why: status.why, since_s, retry_in_s }
            }
        }
    }

    /// Whether it does what it is there for, or has done it.
    fn is_healthy(&self) -> bool {
        matches!(self.doing().state, State::Live | State::Ended)
            && !matches!(self.verdict, Verdict::Hangs(_))
    }

    fn json(&self) -> Value {
        let Progress { frames, predictions, skipped, resets, standing, health, pulse } =
            &*self.progress;
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        let Doing { state, why, since_s, retry_in_s } = self.doing();
        let source = health.status();
        json!({
            "name": self.name,
            "model": self.model,
            "mode": self.mode,
            "state": state,
            "why": why,
            "healthy": self.is_healthy(),
            "for_s": since_s,
            "retry_in_s": retry_in_s,
            "frame_age_s": pulse.frame_age().map(rounded),
            "prediction_age_s": pulse.prediction_age().map(rounded),
            "latency_s": pulse.latency().map(rounded),
            "frames": count(frames),
            "predictions": count(predictions),
            "skipped": count(skipped),
            "resets": count(resets),
            "dropped": source.dropped,
            "reconnects": source.opened.saturating_sub(1),
            "restarts": self.restarts,
            "last_fault": (!self.fault.is_empty()).then_some(&self.fault),
            "accuracy": standing.text(),
            "source": source,
        })
    }
}

/// One line that a person understands.
fn line(streams: &[Stream], reload: &Reload) -> String {
    let doings: Vec<(&Stream, Doing)> = streams.iter().map(|s| (s, s.doing())).collect();
    let live = doings.iter().filter(|(_, doing)| doing.state == State::Live).count();
    let mut line = match (live, streams.len()) {
        (live, all) if live == all => format!("{all} {} live", plural(all)),
        (live, all) => format!("{live} of {all} {} live", plural(all)),
    };
    for (stream, doing) in &doings {
        let text = match doing.state {
            State::Live | State::Ended => continue,
            State::Connecting => "connecting".to_owned(),
            State::Stalled => {
                let age = stream.progress.health.frame_age().unwrap_or_default();
                format!("no picture for {} s", age.as_secs())
            }
            State::BackingOff | State::Failed => {
                // What to do about it is in the log.
                let why = doing.why.split(". Remedy").next().unwrap_or_default();
                let why = if why.is_empty() { doing.state.name() } else { why };
                cut(why, LONGEST_WHY)
            }
        };
        let _ = write!(line, "; {}: {text}", stream.name);
        if let Some(wait) = doing.retry_in_s {
            let _ = write!(line, ", trying again in {wait:.0} s");
        }
    }
    if live == streams.len() {
        let sum = |of: fn(&Progress) -> &AtomicU64| -> u64 {
            streams.iter().map(|stream| of(&stream.progress).load(Ordering::Relaxed)).sum()
        };
        let (predictions, skipped) = (sum(|p| &p.predictions), sum(|p| &p.skipped));
        let _ = write!(line, ", {predictions} predictions, {skipped} skipped");
    }
    if reload.error.is_some() {
        line = format!("the configuration was refused, see the log; {line}");
    } else if !reload.waiting.is_empty() {
        line = format!("{} changed: restart; {line}", reload.waiting.join(" and "));
    }
    cut(&line, LONGEST_LINE)
}

fn plural(streams: usize) -> &'static str {
    if streams == 1 { "stream" } else { "streams" }
}

/// The beginning of a text that is too long, on one line.
fn cut(text: &str, most: usize) -> String {
    let text = text.replace(['\n', '\r'], " ");
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Seconds with milliseconds: more is noise.
fn rounded(time: Duration) -> f64 {
    seconds(time.as_secs_f64())
}

fn seconds(time: f64) -> f64 {
    (time * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(name: &str, tell: impl Fn(&crate::video::Health)) -> Stream {
        let progress = Arc::new(Progress::default());
        tell(&progress.health);
        Stream {
            name: name.into(),
            model: "m".into(),
            mode: "window",
            phase: Phase::Running,
            since: Instant::now(),
            restarts: 0,
            fault: String::new(),
            verdict: Verdict::Well,
            progress,
        }
    }

    #[test]
    fn the_line_says_which_stream_lacks_what() {
        let live = |name: &str| stream(name, |health| health.live());
        let away = stream("gate", |health| {
            health.backing_off("no route. Remedy: plug it in", Duration::from_millis(8_400));
        });
        let none = Reload::default();
        assert_eq!(
            line(&[live("a"), away, live("b")], &none),
            "2 of 3 streams live; gate: no route, trying again in 8 s"
        );
        assert_eq!(line(&[live("a")], &none), "1 stream live, 0 predictions, 0 skipped");
        let hung = Stream { verdict: Verdict::Hangs(watchdog::Hang::Model), ..live("yard") };
        assert!(!hung.is_healthy());
        assert_eq!(line(&[hung], &none), "0 of 1 stream live; yard: its model hangs");
        let refused = Reload { error: Some("no".into()), ..none };
        assert!(line(&[live("a")], &refused).starts_with("the configuration was refused"));
        let long = Stream { fault: "long\n".repeat(900), ..live("x") };
        let long = Stream { phase: Phase::Over, ..long };
        let said = line(&[long], &Reload::default());
        assert!(said.chars().count() <= LONGEST_LINE + 1 && !said.contains('\n'), "{said}");
    }

    #[test]
    fn a_recording_that_ended_is_healthy_and_one_that_failed_is_not() {
        let over = || Stream { phase: Phase::Over, ..stream("a", |_| {}) };
        assert!(over().is_healthy());
        assert!(!Stream { fault: "broken".into(), ..over() }.is_healthy());
        assert!(!stream("a", |health| health.stalled("nothing comes")).is_healthy());
    }
}
