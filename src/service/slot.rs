//! One stream's place in the daemon: what runs there, what went wrong there, and
//! when it is tried again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::blueprint::Blueprint;
use super::watchdog::{Hang, Seen, Verdict, judge};
use crate::label::Post;
use crate::session::{Progress, Pulse, Standing, Summary};
use crate::stop::Stop;
use crate::video::{Health, State};

/// From a failure to the next start, at first; each time twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// A stream that ran for so long before it failed begins with the first wait again.
const HEALED: Duration = Duration::from_secs(300);

/// What a stream is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its thread builds what it needs.
    Starting,
    Running,
    /// It was asked to end.
    Stopping,
    /// It failed and is started again.
    Waiting {
        until: Instant,
    },
    /// It ended or failed for good.
    Over,
}

/// A stream of the daemon.
pub(super) struct Slot {
    pub blueprint: Blueprint,
    /// The number of its session.
    pub id: u64,
    pub phase: Phase,
    pub since: Instant,
    pub progress: Arc<Progress>,
    pub stop: Stop,
    /// Takes its labels, while they come over the control socket.
    pub post: Option<Post>,
    /// How often it was started again after a failure.
    pub restarts: u64,
    /// Why it failed last; empty while it has not.
    pub fault: String,
    /// It hung, and has not predicted since.
    pub blamed: bool,
    /// Takes its place once it has ended.
    pub next: Option<Box<Blueprint>>,
    /// It ends for good: a reload took it away.
    pub leaving: bool,
    /// What its sessions so far came to.
    pub summary: Summary,
    wait: Duration,
}

impl Slot {
    pub fn new(blueprint: Blueprint, now: Instant) -> Slot {
        Slot {
            id: 0,
            phase: Phase::Over,
            since: now,
            progress: Arc::default(),
            stop: Stop::default(),
            post: None,
            restarts: 0,
            fault: String::new(),
            blamed: false,
            next: None,
            leaving: false,
            summary: Summary::new(blueprint.name()),
            wait: FIRST_WAIT,
            blueprint,
        }
    }

    pub fn name(&self) -> &str {
        self.blueprint.name()
    }

    /// What it is, or will be as soon as what runs there now has ended.
    pub fn bound_for(&self) -> &Blueprint {
        self.next.as_deref().unwrap_or(&self.blueprint)
    }

    /// Goes over to `phase`.
    pub fn turn(&mut self, phase: Phase, now: Instant) {
        self.phase = phase;
        self.since = now;
    }

    /// Whether a thread of it may run.
    pub fn has_thread(&self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::Running | Phase::Stopping)
    }

    pub fn has_failed(&self) -> bool {
        self.phase == Phase::Over && self.summary.error.is_some()
    }

    /// Asks it to end.
    pub fn ask(&mut self, now: Instant) {
        self.stop.ask();
        match self.phase {
            Phase::Starting | Phase::Running => self.turn(Phase::Stopping, now),
            Phase::Waiting { .. } => self.turn(Phase::Over, now),
            Phase::Stopping | Phase::Over => {}
        }
    }

    /// It failed: it is started again, later and later.
    pub fn wait(&mut self, now: Instant) {
        let ran = now.saturating_duration_since(self.since);
        if self.phase == Phase::Running && ran >= HEALED {
            self.wait = FIRST_WAIT;
        }
        log::warn!("stream \"{}\" is started again in {} s", self.name(), self.wait.as_secs());
        self.turn(Phase::Waiting { until: now + self.wait }, now);
        self.wait = (2 * self.wait).min(LONGEST_WAIT);
    }

    /// Counters for its next session, which go on from those of the last one. What
    /// hangs may still write to its own.
    pub fn renew_progress(&mut self) {
        let count = |of: &AtomicU64| AtomicU64::new(of.load(Ordering::Relaxed));
        let last = &*self.progress;
        let health = match last.pulse.is_abandoned() {
            true => Health::default(),
            false => last.health.clone(),
        };
        self.progress = Arc::new(Progress {
            frames: count(&last.frames),
            predictions: count(&last.predictions),
            skipped: count(&last.skipped),
            resets: count(&last.resets),
            standing: Arc::new(Standing::default()),
            health,
            pulse: Pulse::default(),
        });
    }

    /// How it is, as far as the watchdog is concerned.
    pub fn verdict(&self, now: Instant, patience: Duration) -> Verdict {
        if self.phase == Phase::Over {
            // A recording that hung is not begun once more.
            return if self.blamed { Verdict::Hangs(Hang::Before) } else { Verdict::Excused };
        }
        let (health, pulse) = (&self.progress.health, &self.progress.pulse);
        let waits = matches!(self.phase, Phase::Waiting { .. });
        let state = if waits { State::BackingOff } else { health.state() };
        let age = now.saturating_duration_since(self.since);
        judge(
            &Seen {
                state,
                fresh: health.is_fresh(),
                starting: (self.phase == Phase::Starting).then_some(age),
                busy: pulse.busy().filter(|_| !waits),
                frame: pulse.frame_age(),
                prediction: pulse.prediction_age(),
                clip: pulse.clip_age().or(Some(age)),
                due: self.blueprint.due(),
                blamed: self.blamed,
            },
            patience,
        )
    }
}
