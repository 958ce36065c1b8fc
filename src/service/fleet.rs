//! All streams of the daemon. Each fails alone: what hangs is left behind, what
//! fails is started again.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::blueprint::Blueprint;
use super::job::{Common, Job};
use super::reload::Changes;
use super::slot::{Phase, Slot};
use super::watchdog::{Hang, Verdict};
use crate::error::{Error, Kind};
use crate::label::Post;
use crate::session::Summary;
use crate::video::Pace;

/// A stream that was asked to end and has not after so long is left behind.
const STOP: Duration = Duration::from_secs(5);
/// Sessions that may hang at a time. Each holds a model's memory: while there are so
/// many, a stream that hung is not started again.
const MOST_ABANDONED: usize = 8;
/// A look at the streams that comes so late says nothing about them: the process was
/// stopped, or the machine too busy, and they stood still with it.
const LAPSE: Duration = Duration::from_secs(2);

/// The streams, in the order of the configuration.
pub(super) struct Fleet {
    common: Common,
    slots: Vec<Slot>,
    /// Number and stream of sessions that were left behind and still hang.
    abandoned: Vec<(u64, String)>,
    /// How many ever were.
    abandoned_in_all: u64,
    sessions: u64,
    patience: Duration,
    ending: bool,
    /// When they were looked at last.
    looked: Instant,
    /// Until then nobody is said to hang, as nobody looked for a while.
    excused: Option<Instant>,
}

impl Fleet {
    /// Starts these streams. A step of a model or a line to a sink may take
    /// `patience`.
    pub fn start(common: Common, blueprints: Vec<Blueprint>, patience: Duration) -> Fleet {
        let (now, slots, abandoned) = (Instant::now(), Vec::new(), Vec::new());
        let mut fleet = Fleet {
            common,
            slots,
            abandoned,
            abandoned_in_all: 0,
            sessions: 0,
            patience,
            ending: false,
            looked: now,
            excused: None,
        };
        fleet.slots = blueprints.into_iter().map(|b| Slot::new(b, now)).collect();
        for i in 0..fleet.slots.len() {
            fleet.launch(i, false, now);
        }
        fleet
    }

    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Sessions that hang now, and how many ever did.
    pub fn abandoned(&self) -> (usize, u64) {
        (self.abandoned.len(), self.abandoned_in_all)
    }

    /// Those that take labels over the control socket.
    pub fn posts(&self) -> Vec<Post> {
        self.slots.iter().filter_map(|slot| slot.post.clone()).collect()
    }

    /// Whether every stream was started, has failed to, or has been at it for
    /// longer than anybody should wait for.
    pub fn is_up(&self, now: Instant) -> bool {
        const LONG: Duration = Duration::from_secs(20);
        let starts = |slot: &Slot| slot.phase == Phase::Starting && now - slot.since < LONG;
        !self.slots.iter().any(starts)
    }

    /// Whether there is nothing left to wait for.
    pub fn is_over(&self) -> bool {
        let ended = |slot: &Slot| slot.phase == Phase::Over && slot.next.is_none();
        self.slots.iter().all(|slot| ended(slot) || self.is_held(slot))
    }

    /// Whether it waits for more than its time: as many sessions hang as may, or would if
    /// those that were started again after they hung did so once more.
    fn is_held(&self, slot: &Slot) -> bool {
        let on_trial = self.slots.iter().filter(|slot| slot.blamed && slot.has_thread()).count();
        let waits = matches!(slot.phase, Phase::Waiting { .. });
        waits && slot.blamed && self.abandoned.len() + on_trial >= MOST_ABANDONED
    }

    /// How each is, as far as the watchdog is concerned.
    pub fn verdicts(&self, now: Instant) -> impl Iterator<Item = Verdict> {
        self.slots.iter().map(move |slot| self.verdict(slot, now))
    }

    /// How a stream is, as far as the watchdog is concerned.
    pub fn verdict(&self, slot: &Slot, now: Instant) -> Verdict {
        match slot.verdict(now, self.patience) {
            Verdict::Hangs(_) if self.excused.is_some() => Verdict::Excused,
            verdict => verdict,
        }
    }

    /// Asks every stream to end.
    pub fn ask_all(&mut self, now: Instant) {
        if !self.ending {
            self.ending = true;
            self.common.stop.ask();
            for slot in &mut self.slots {
                slot.next = None;
                slot.ask(now);
            }
        }
    }

    /// Leaves behind what has not ended yet; its names.
    pub fn abandon_all(&mut self, now: Instant) -> Vec<String> {
        let mut names = Vec::new();
        for slot in self.slots.iter_mut().filter(|slot| slot.has_thread()) {
            slot.progress.pulse.abandon();
            slot.turn(Phase::Over, now);
            let error = Error::internal(
                format!("ending stream \"{}\"", slot.name()),
                "it hangs and was left behind",
            );
            slot.summary = slot.summary.clone().failed(error);
            names.push(slot.name().to_owned());
        }
        names
    }

    /// What each stream came to.
    pub fn summaries(self) -> Vec<Summary> {
        self.slots.into_iter().map(|slot| slot.summary).collect()
    }

    /// A session runs, or failed to start and ends.
    pub fn started(&mut self, id: u64, now: Instant) {
        let mut slots = self.slots.iter_mut();
        if let Some(slot) = slots.find(|slot| slot.id == id && slot.phase == Phase::Starting) {
            slot.turn(Phase::Running, now);
        }
    }

    /// A session ended. Whether all are to end with it.
    pub fn ended(&mut self, id: u64, summary: Summary, now: Instant) -> bool {
        if let Some(at) = self.abandoned.iter().position(|(abandoned, _)| *abandoned == id) {
            let (_, name) = self.abandoned.swap_remove(at);
            log::info!("stream \"{name}\": the session that hung came back and has ended");
            return false;
        }
        let Some(at) = self.slots.iter().position(|slot| slot.id == id && slot.has_thread()) else {
            return false;
        };
        let all = summary.closed;
        let (pace, ending) = (self.common.pace, self.ending);
        let Some(slot) = self.slots.get_mut(at) else { return false };
        match &summary.error {
            Some(error) => log::error!("stream \"{}\" failed: {error}", slot.name()),
            None => log::debug!("stream \"{}\" ended", slot.name()),
        }
        // Only a session that has come back can be started again, and only one that
        // was not asked to end, from a source that still goes on.
        let error = summary.error.as_ref();
        let again = error.is_some_and(|error| error.kind() != Kind::Config)
            && !(all || ending || pace == Pace::Fast)
            && slot.phase != Phase::Stopping
            && !slot.blueprint.is_recording();
        slot.fault = error.map(ToString::to_string).unwrap_or_default();
        slot.summary = slot.summary.clone().followed_by(summary);
        if again {
            slot.wait(now);
        } else {
            slot.turn(Phase::Over, now);
            self.succeed(at, now);
        }
        all
    }

    /// What time brings: hanging sessions are left behind, failed ones started again.
    pub fn tick(&mut self, now: Instant) {
        let unseen = now.saturating_duration_since(self.looked);
        self.looked = now;
        if unseen > LAPSE {
            log::warn!(
                "nobody looked after the streams for {:.1} s: the process was stopped, or the machine is too busy",
                unseen.as_secs_f64()
            );
            self.excused = Some(now + self.patience);
        }
        self.excused = self.excused.filter(|until| now < *until);
        for i in 0..self.slots.len() {
            let Some(slot) = self.slots.get(i) else { return };
            let (verdict, held) = (self.verdict(slot, now), self.is_held(slot));
            let Some(slot) = self.slots.get_mut(i) else { return };
            match slot.phase {
                Phase::Starting | Phase::Running => {
                    if slot.blamed && slot.progress.pulse.prediction_age().is_some() {
                        slot.blamed = false;
                    }
                    if let Verdict::Hangs(hang) = verdict
                        && hang.is_its_own()
                        && !self.ending
                    {
                        self.leave_behind(i, hang, now);
                    }
                }
                // The end of all has its own deadline.
                Phase::Stopping
                    if !self.ending && self.excused.is_none() && now - slot.since > STOP =>
                {
                    log::error!(
                        "stream \"{}\" does not end within {} s and is left behind",
                        slot.name(),
                        STOP.as_secs()
                    );
                    slot.progress.pulse.abandon();
                    self.abandoned.push((slot.id, slot.name().to_owned()));
                    self.abandoned_in_all += 1;
                    slot.turn(Phase::Over, now);
                    self.succeed(i, now);
                }
                Phase::Waiting { until } if now >= until && !held => {
                    slot.restarts += 1;
                    self.launch(i, true, now);
                }
                _ => {}
            }
        }
        self.slots.retain(|slot| !(slot.leaving && slot.phase == Phase::Over));
    }

    /// From now on these are the streams. Those that are as they were go on.
    pub fn change(&mut self, blueprints: Vec<Blueprint>, patience: Duration) -> Changes {
        let now = Instant::now();
        self.patience = patience;
        let old: Vec<&Blueprint> = self.slots.iter().map(Slot::bound_for).collect();
        let has_failed =
            |name: &str| self.slots.iter().any(|slot| slot.name() == name && slot.has_failed());
        let changes = Changes::between(&old, &blueprints, has_failed);
        for slot in &mut self.slots {
            if changes.removed.iter().any(|name| name == slot.name()) {
                slot.next = None;
                slot.leaving = true;
                slot.ask(now);
            }
        }
        let names: Vec<String> = blueprints.iter().map(|b| b.name().to_owned()).collect();
        for blueprint in blueprints {
            let is_kept = changes.kept.iter().any(|name| name == blueprint.name());
            let place = self.slots.iter().position(|slot| slot.name() == blueprint.name());
            match place {
                Some(_) if is_kept => {}
                Some(at) => {
                    let Some(slot) = self.slots.get_mut(at) else { continue };
                    slot.next = Some(Box::new(blueprint));
                    slot.leaving = false;
                    slot.ask(now);
                    if slot.phase == Phase::Over {
                        self.succeed(at, now);
                    }
                }
                None => {
                    self.slots.push(Slot::new(blueprint, now));
                    self.launch(self.slots.len() - 1, false, now);
                }
            }
        }
        // As the configuration has them; those that leave come last.
        let place = |slot: &Slot| names.iter().position(|name| name == slot.name());
        self.slots.sort_by_key(|slot| place(slot).unwrap_or(usize::MAX));
        self.slots.retain(|slot| !(slot.leaving && slot.phase == Phase::Over));
        changes
    }

    /// The session in this place does not come back: another one takes it.
    fn leave_behind(&mut self, at: usize, hang: Hang, now: Instant) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        slot.fault = format!("{}; it was left behind", hang.text());
        log::error!("stream \"{}\": {}", slot.name(), slot.fault);
        slot.progress.pulse.abandon();
        slot.stop.ask();
        slot.blamed = true;
        self.abandoned.push((slot.id, slot.name().to_owned()));
        self.abandoned_in_all += 1;
        let error =
            Error::internal(format!("running stream \"{}\"", slot.name()), slot.fault.clone());
        let progress = &slot.progress;
        let so_far = Summary {
            frames: progress.frames.load(Ordering::Relaxed).saturating_sub(slot.summary.frames),
            predictions: progress
                .predictions
                .load(Ordering::Relaxed)
                .saturating_sub(slot.summary.predictions),
            ..Summary::new(slot.name())
        };
        slot.summary = slot.summary.clone().followed_by(so_far.failed(error));
        if slot.blueprint.is_recording() {
            slot.turn(Phase::Over, now);
        } else {
            slot.wait(now);
        }
        if self.abandoned.len() == MOST_ABANDONED {
            log::error!(
                "{MOST_ABANDONED} sessions hang: until one comes back, no stream that hung is started again. Remedy: restart the daemon"
            );
        }
    }

    /// The session in this place is gone: what a reload put after it starts.
    fn succeed(&mut self, at: usize, now: Instant) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        if let Some(next) = slot.next.take().filter(|_| !self.ending) {
            slot.blueprint = *next;
            slot.fault.clear();
            slot.summary.error = None;
            self.launch(at, true, now);
        }
    }

    fn launch(&mut self, at: usize, again: bool, now: Instant) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        self.sessions += 1;
        slot.id = self.sessions;
        slot.stop = self.common.stop.child();
        slot.renew_progress();
        let mut labels = slot.blueprint.labels();
        slot.post = labels.post.take();
        let job = Job {
            id: slot.id,
            blueprint: slot.blueprint.clone(),
            labels,
            common: self.common.clone(),
            stop: slot.stop.clone(),
            progress: slot.progress.clone(),
            again,
        };
        match job.spawn() {
            Ok(()) => slot.turn(Phase::Starting, now),
            Err(error) => {
                log::error!("{error}");
                slot.fault = error.to_string();
                slot.wait(now);
            }
        }
    }
}
