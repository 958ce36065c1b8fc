//! Keeps a stream's source alive: opens it, watches it, and when it is lost
//! backs off and opens it again, for ever.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::error::{Error, Kind, Result};
use crate::stop::Stop;
use crate::video::connection::{Candidate, Polled};
use crate::video::line::Line;
use crate::video::patience::Patience;
use crate::video::reconnect::{Backoff, ReconnectOptions};
use crate::video::repeats::Repeats;
use crate::video::timeline::Timeline;
use crate::video::{Colour, Frame, FrameSource, Health, Next, Pace, SourceSpec, Want};

/// How often whoever waits looks around.
const LOOK: Duration = Duration::from_millis(50);
/// The start of a stream waits no longer for a live source to open.
const START: Duration = Duration::from_secs(2);
/// A preferred source that gives pictures for so long takes over.
const TRIAL: Duration = Duration::from_secs(3);

/// What a supervisor is told of its stream.
#[derive(Clone)]
pub struct Supervised {
    /// The stream's name.
    pub name: String,
    /// When a lost source is tried again.
    pub reconnect: ReconnectOptions,
    /// What time it is, and how to wait.
    pub clock: Arc<dyn Clock>,
    /// Ends the stream.
    pub stop: Stop,
    /// Where it is noted how the source fares.
    pub health: Health,
}

/// Opens the first of `specs` that can be had, and keeps it open; `pace` is for
/// recordings, whose end and whose failure are final. A live source that is not
/// there is waited for.
///
/// # Errors
/// What no waiting can mend: [`Kind::Config`], or a recording that fails at once.
pub fn supervise(
    specs: &[SourceSpec],
    want: &Want,
    pace: Pace,
    told: &Supervised,
) -> Result<Box<dyn FrameSource>> {
    specs.iter().try_for_each(SourceSpec::check)?;
    let open = |spec| Candidate::pipeline(&told.name, spec, want, pace, &told.stop, &told.health);
    Ok(Box::new(Supervisor::start(specs.iter().map(open).collect(), told.clone())?))
}

/// A source that is opened again and again.
pub struct Supervisor {
    told: Supervised,
    sources: Vec<(Candidate, Patience)>,
    /// The connection in use.
    line: Option<Line>,
    /// A connection to a source before the one in use, on trial.
    trial: Option<Line>,
    /// What a trial shows; thrown away.
    spare: Frame,
    /// Whether the source is live, as far as is known.
    live: bool,
    /// Which source is tried next, and when.
    next: usize,
    retry: Instant,
    backoff: Backoff,
    /// Which source is on trial next, and when.
    next_trial: usize,
    trial_at: Instant,
    trial_backoff: Backoff,
    timeline: Timeline,
    repeats: Repeats,
    tries: u64,
}

impl FrameSource for Supervisor {
    /// A lost source is no error and no end: this waits until it is back.
    fn next(&mut self, frame: &mut Frame) -> Result<Next> {
        while !self.told.stop.asked() {
            match self.step(frame)? {
                Polled::Frame => return Ok(Next::Frame),
                Polled::Nothing => {}
                Polled::End => break,
            }
        }
        (self.line, self.trial) = (None, None);
        self.told.health.ended();
        Ok(Next::End)
    }

    fn live(&self) -> bool {
        self.live
    }
}

impl Supervisor {
    /// Begins with the first of `sources`, of which there must be one.
    ///
    /// # Errors
    /// As [`supervise`].
    pub fn start(sources: Vec<Candidate>, told: Supervised) -> Result<Self> {
        let now = told.clock.instant();
        let ReconnectOptions { first, longest, jitter, prefer_after, .. } = told.reconnect;
        let known = sources.first().map(|source| (source.recording, source.timeout));
        let Some((recording, timeout)) = known else {
            let doing = format!("starting stream {:?}", told.name);
            return Err(Error::config(doing, "it has no source"));
        };
        let mut supervisor = Supervisor {
            told,
            sources: sources
                .into_iter()
                .map(|source| {
                    let patience = Patience::new(source.timeout);
                    (source, patience)
                })
                .collect(),
            line: None,
            trial: None,
            spare: Frame::new(Colour::Rgb),
            live: !recording,
            next: 0,
            retry: now,
            backoff: Backoff::new(first.0, longest.0, jitter),
            next_trial: 0,
            trial_at: now,
            trial_backoff: Backoff::new(prefer_after.0, prefer_after.0.saturating_mul(10), jitter),
            timeline: Timeline::default(),
            repeats: Repeats::default(),
            tries: 0,
        };
        let until = now + if recording { timeout } else { timeout.min(START) };
        let outcome = supervisor.open(0).and_then(|mut line| {
            let told = &supervisor.told;
            while !line.connection.opened(LOOK)?
                && told.clock.instant() < until
                && !told.stop.asked()
            {}
            Ok(line)
        });
        match outcome {
            Ok(line) => {
                supervisor.live = line.connection.live();
                supervisor.line = Some(line);
            }
            Err(error) if recording || error.kind() == Kind::Config => {
                supervisor.told.health.failed(&error.to_string());
                return Err(error);
            }
            Err(error) => supervisor.retreat(0, false, &error),
        }
        Ok(supervisor)
    }

    /// One look at the source, of a moment: opens it, backs off, or takes what came.
    ///
    /// # Errors
    /// A recording failed.
    pub fn step(&mut self, frame: &mut Frame) -> Result<Polled> {
        let Some(line) = &mut self.line else {
            self.open_when_due();
            return Ok(Polled::Nothing);
        };
        let polled = line.connection.poll(frame, LOOK);
        self.live = line.connection.live();
        let in_time = self.watch();
        match polled {
            Ok(Polled::Frame) if self.live => self.timeline.place(frame),
            Ok(Polled::Frame) => {}
            Ok(Polled::Nothing) => in_time.or_else(|error| self.lose(error))?,
            Ok(Polled::End) if self.told.stop.asked() || !self.live => return Ok(Polled::End),
            Ok(Polled::End) => self.lose(self.gone())?,
            Err(ref error) => self.lose(error.clone())?,
        }
        self.try_preferred();
        Ok(if matches!(polled, Ok(Polled::Frame)) { Polled::Frame } else { Polled::Nothing })
    }

    fn open(&mut self, source: usize) -> Result<Line> {
        let now = self.told.clock.instant();
        let Some((candidate, _)) = self.sources.get_mut(source) else {
            return Err(Error::internal("opening a source", "there is no such source"));
        };
        self.tries += 1;
        self.told.health.trying(source, &candidate.text);
        Ok(Line::new(source, (candidate.open)()?, now))
    }

    /// The next try, or a moment of waiting for it.
    fn open_when_due(&mut self) {
        let left = self.retry.saturating_duration_since(self.told.clock.instant());
        if !left.is_zero() {
            return self.told.clock.sleep(left.min(LOOK));
        }
        let source = self.next;
        match self.open(source) {
            Ok(line) => self.line = Some(line),
            Err(error) => self.retreat(source, false, &error),
        }
        self.timeline.reconnect();
        self.trial_at = self.told.clock.instant() + self.trial_backoff.wait();
    }

    /// Looks whether the connection in use is alive.
    fn watch(&mut self) -> Result<()> {
        let Some(line) = &mut self.line else { return Ok(()) };
        let Some((_, patience)) = self.sources.get_mut(line.source) else { return Ok(()) };
        let gave = line.gave();
        line.look(self.told.clock.instant(), patience, Some(&self.told.health))?;
        if line.gave() && !gave {
            if self.tries > 1 {
                log::info!(
                    "stream {:?}: {} is live, after {} tries",
                    self.told.name,
                    self.told.health.status().source_text,
                    self.tries
                );
            }
            self.tries = 0;
        }
        Ok(())
    }

    /// The connection in use is gone. Of a recording that is the end.
    fn lose(&mut self, error: Error) -> Result<()> {
        let Some(line) = self.line.take() else { return Ok(()) };
        let source = line.source;
        if !self.live {
            self.told.health.failed(&error.to_string());
            return Err(error);
        }
        let healthy =
            line.gave() && line.lived(self.told.clock.instant()) >= self.told.reconnect.healthy.0;
        if healthy {
            self.backoff.reset();
            self.repeats.forget();
            if source == 0 {
                self.trial_backoff.reset();
            }
        }
        // Taken down before anything is opened anew: a camera may serve one alone.
        drop((line, self.trial.take()));
        self.retreat(source, healthy, &error);
        Ok(())
    }

    /// What is tried next, and when: after a source that was not there, or not for
    /// long, the one after it, at once; after the last one, or one that had been
    /// healthy, the first one, later.
    fn retreat(&mut self, source: usize, healthy: bool, error: &Error) {
        let others = !healthy && source + 1 < self.sources.len();
        if error.kind() == Kind::Config {
            self.backoff.slow_down();
        }
        let wait = if others { Duration::ZERO } else { self.backoff.wait() };
        self.next = if others { source + 1 } else { 0 };
        self.retry = self.told.clock.instant() + wait;
        self.told.health.backing_off(&error.to_string(), wait);
        let name = &self.told.name;
        match self.repeats.take(&error.to_string()) {
            Some(1) if others => {
                log::warn!("stream {name:?}: {error}; the next source is tried at once");
            }
            Some(1) => log::warn!(
                "stream {name:?}: {error}; it is tried again in {:.1} s, and from then on for ever",
                wait.as_secs_f64()
            ),
            Some(times) => log::warn!("stream {name:?}: the same for the {times}th time: {error}"),
            None => log::debug!("stream {name:?}: {error}"),
        }
    }

    /// While a fallback is in use, tries those before it beside it, and changes
    /// over to one that gives pictures.
    fn try_preferred(&mut self) {
        let now = self.told.clock.instant();
        let in_use = self.line.as_ref().filter(|line| line.gave()).map_or(0, |line| line.source);
        if in_use == 0 || now < self.trial_at {
            return;
        }
        let mut trial = match self.trial.take() {
            Some(trial) => trial,
            None => {
                let source = self.next_trial % in_use;
                self.next_trial = source + 1;
                let Some((candidate, _)) = self.sources.get_mut(source) else { return };
                match (candidate.open)() {
                    Ok(connection) => Line::new(source, connection, now),
                    Err(_) => return self.trial_at = now + self.trial_backoff.wait(),
                }
            }
        };
        let polled = trial.connection.poll(&mut self.spare, Duration::ZERO);
        let Some((candidate, patience)) = self.sources.get_mut(trial.source) else { return };
        let in_time = trial.look(now, patience, None);
        if matches!(polled, Err(_) | Ok(Polled::End)) || in_time.is_err() {
            drop(trial);
            self.trial_at = now + self.trial_backoff.wait();
        } else if trial.lived(now) >= TRIAL && trial.pictures() > 1 {
            log::info!("stream {:?}: back to {}", self.told.name, candidate.text);
            self.told.health.trying(trial.source, &candidate.text);
            self.timeline.reconnect();
            self.line = Some(trial);
        } else {
            self.trial = Some(trial);
        }
    }

    fn gone(&self) -> Error {
        let source = self.line.as_ref().and_then(|line| self.sources.get(line.source));
        let text = source.map(|(candidate, _)| candidate.text.as_str()).unwrap_or_default();
        Error::unavailable(format!("playing {text} (stream {:?})", self.told.name), "it ended")
            .remedy("see the camera's or server's own log")
    }
}
