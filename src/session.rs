//! One stream end to end: the only place that joins the rooms.
//!
//! Two threads: the *feeder* takes normalised frames from the source, in
//! recycled buffers; the *runner* pushes those into the model and turns what it
//! says into predictions. Between them lies a bounded queue. A recording waits
//! for the model, so that nothing is dropped; of a live stream the newest clip
//! wins.

mod calibration;
mod learned;
mod learner;
mod pacing;
mod pulse;
mod queue;
mod scorer;
mod standing;
mod summary;
mod waiting;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::accuracy::{Accuracy, AccuracyLog, AccuracyOptions, Counts, Evidence};
use crate::calibrate::{Alarm, CalibrateOptions, Parameters};
use crate::clip::{Feed, InputSpec, Normalised};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::label::{ClipTime, Truths};
use crate::model::{Bundle, Classifier, Mode, Output, Task};
use crate::predict::{Drift, Moment, PredictOptions, Predictor};
use crate::sink::{Flow, Patience, Record, Sinks};
pub use crate::stamp::rfc3339;
use crate::stop::Stop;
use crate::video::{Health, Next, Reset};
use calibration::Calibration;
pub use learned::{Keeper, Learned};
pub use learner::Keeping;
use learner::Learner;
use pacing::{Pacing, Turn};
pub use pulse::{Part, Pulse};
use queue::{Consumer, Overflow, Producer, Slot, queue};
use scorer::Scorer;
pub use standing::Standing;
pub use summary::{Score, Scores, Summary};
use waiting::Waiting;

/// What a session must know of its model.
#[derive(Clone, Debug)]
pub struct ModelFacts {
    /// The classes, in index order.
    pub labels: Vec<String>,
    /// Whether one class is true at a time.
    pub task: Task,
    /// What the network's output holds.
    pub output: Output,
    /// What it is fed.
    pub input: InputSpec,
    /// What its bundle says of its probabilities.
    pub calibration: Option<Parameters>,
}

impl ModelFacts {
    /// Of the network in `bundle` that serves `mode`.
    pub fn of(bundle: &Bundle, mode: Mode) -> Self {
        ModelFacts {
            labels: bundle.labels().to_vec(),
            task: bundle.task(),
            output: bundle.output(),
            input: bundle.input().clone(),
            calibration: bundle.calibration(mode).cloned(),
        }
    }
}

/// Counters that others may read while a session runs.
#[derive(Debug, Default)]
pub struct Progress {
    /// Sampled frames taken from the source.
    pub frames: AtomicU64,
    /// Predictions made.
    pub predictions: AtomicU64,
    /// Predictions left out because the model could not keep up.
    pub skipped: AtomicU64,
    /// How often the clip was begun anew after the start.
    pub resets: AtomicU64,
    /// How right it has been.
    pub standing: Arc<Standing>,
    /// How the source is doing; its supervisor writes it.
    pub health: Health,
    /// What the session is at.
    pub pulse: Pulse,
}

/// All that the model said about one clip.
#[derive(Clone, Copy, Debug)]
pub struct Scored<'a> {
    /// Where the clip begins, on the stream's own clock.
    pub start: Duration,
    /// The time that the logits speak of: its end.
    pub t: Duration,
    /// What the network gave, one value a class.
    pub logits: &'a [f32],
    /// The most probable class's index.
    pub best: usize,
}

/// Told of every prediction with all that the model said: how a replay gets
/// what a sink does not.
pub trait Observer: Send {
    /// Takes one clip's logits, in the order of the stream.
    ///
    /// # Errors
    /// They could not be kept; the stream ends with this error.
    fn scored(&mut self, clip: Scored<'_>) -> Result<()>;
}

/// One stream, ready to run.
pub struct Session {
    /// The stream's name.
    pub name: String,
    /// Where its normalised frames come from.
    pub source: Box<dyn Feed>,
    /// The model, with this stream's own state.
    pub classifier: Box<dyn Classifier>,
    /// What that model is.
    pub model: ModelFacts,
    /// How predictions are made.
    pub predict: PredictOptions,
    /// What was really there, if anyone knows, now or later.
    pub truths: Option<Truths>,
    /// What is learned from that; nothing where there are no options.
    pub calibrate: Option<CalibrateOptions>,
    /// How the accuracy of a labelled stream is figured as it runs, if it is: only
    /// what was scored is learned from.
    pub accuracy: Option<AccuracyOptions>,
    /// Where the accuracy goes as the stream runs.
    pub log: Option<AccuracyLog>,
    /// Who keeps what was learned.
    pub keeping: Option<Keeping>,
    /// Where predictions go.
    pub sinks: Arc<Sinks>,
    /// Is told of every prediction before the sinks are.
    pub observer: Option<Box<dyn Observer>>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Asks this stream alone to end. The source must heed it too.
    pub stop: Stop,
    /// Counted up as the session runs.
    pub progress: Arc<Progress>,
}

impl Session {
    /// Runs the stream to its end: the end of a recording, an ask to stop, or a
    /// failure, which the summary then holds. Never panics, whatever the source
    /// or the model do.
    pub fn run(mut self) -> Summary {
        let mut summary = Summary::new(&self.name);
        let warm_up = self.classifier.warm_up().max(1) as u64;
        let labelled = self.truths.is_some();
        let live = self.source.live();
        if let (Some(log), false) = (&mut self.log, live) {
            log.wait_until(self.stop.clone());
        }
        let mut learner = self.learner();
        learner.begin(&self.name);
        let (producer, consumer) = self.queue();
        let frame = Normalised::new(self.frame_len());
        let feeder = Feeder {
            source: self.source,
            frame,
            producer,
            stop: self.stop.clone(),
            progress: self.progress.clone(),
        };
        let runner = Runner {
            predictor: Predictor::new(
                &self.name,
                &self.predict,
                &self.model.labels,
                self.model.task,
                self.model.output,
            ),
            learner,
            labelled,
            labels: self.model.labels,
            clip: Duration::from_secs_f64(
                (self.model.input.frames.max(1) - 1) as f64 / self.model.input.rate,
            ),
            pacing: Pacing::new(
                warm_up,
                // Between two of a strided model's outputs there is nothing to predict.
                self.predict.hop.next_multiple_of(self.classifier.stride().max(1)),
                self.predict.most_hop(),
                consumer.live && !self.classifier.needs_every_frame(),
            ),
            raised: false,
            name: self.name,
            classifier: self.classifier,
            consumer,
            sinks: self.sinks,
            observer: self.observer,
            clock: self.clock,
            stop: self.stop.clone(),
            progress: self.progress,
            since_reset: 0,
            predicted: false,
            next_index: 0,
            pending_reset: None,
            pending_skipped: 0,
        };
        let stop = &self.stop;
        let name = runner.name.clone();
        let (fed, ran) = thread::scope(|scope| {
            let summary = &mut summary;
            let runner = thread::Builder::new().name(format!("model {name}")).spawn_scoped(
                scope,
                move || {
                    // Whatever ends the runner, even a panic, the source must not
                    // wait on; and with the runner its end of the queue must go.
                    let mut runner = runner;
                    let _guard = AskOnDrop(stop);
                    let outcome = runner.run(summary);
                    (outcome, runner.labelled.then(|| runner.learner.scorer.score()))
                },
            );
            let feeder = thread::Builder::new()
                .name(format!("video {name}"))
                .spawn_scoped(scope, move || feeder.run());
            (joined(feeder, &name, "video"), joined(runner, &name, "model"))
        });
        let ran = ran.map(|(outcome, score)| {
            summary.score = score;
            outcome
        });
        // The runner's own failure ends the source; so it comes first.
        match ran.and_then(|outcome| outcome).and(fed.and_then(|outcome| outcome)) {
            Ok(()) => {
                if summary.predictions == 0 && summary.frames < warm_up {
                    log::warn!(
                        "stream \"{name}\": {} sampled frames are shorter than one clip of {warm_up}, so there is no prediction",
                        summary.frames
                    );
                }
                summary
            }
            Err(error) => summary.failed(error),
        }
    }

    fn learner(&mut self) -> Learner {
        let ModelFacts { task, output, ref labels, .. } = self.model;
        let prior = self.model.calibration.as_ref();
        let calibration =
            Calibration::new(self.calibrate.as_ref(), labels.len(), task, output, prior);
        let standing = self.progress.standing.clone();
        let truths = self.truths.take();
        if let (Some(options), true) = (&self.accuracy, truths.is_some()) {
            let target = calibration.target();
            // A model of one class, say: its stream runs, unscored.
            let made = Accuracy::new(options, &self.name, labels.len(), task, target);
            standing.begin(
                made.inspect_err(|error| {
                    log::warn!("stream \"{}\": no accuracy is kept: {error}", self.name)
                })
                .ok(),
            );
        }
        let truths = truths.unwrap_or_else(|| Truths::new(&self.name));
        let truths = if task == Task::MultiLabel { truths.multi_label() } else { truths };
        Learner {
            calibration,
            scorer: Scorer::new(labels),
            output,
            truths,
            waiting: Waiting::new(labels.len()),
            evidence: Evidence::default(),
            standing,
            log: self.log.take(),
            keeping: self.keeping.take(),
            kept: self.clock.instant(),
            counts: Counts::default(),
            newest: None,
        }
    }

    /// Values of a normalised frame; none where pictures are handed on.
    fn frame_len(&self) -> usize {
        if self.classifier.takes_pictures() { 0 } else { self.model.input.frame_len() }
    }

    fn queue(&self) -> (Producer, Consumer) {
        let live = self.source.live();
        let warm_up = self.classifier.warm_up().max(1);
        let (capacity, overflow) = match (live, self.classifier.needs_every_frame()) {
            (false, _) => (4, Overflow::Wait),
            // The ring can begin anew from a full queue.
            (true, false) => (warm_up.max(self.predict.most_hop() + 2) + 2, Overflow::DropOldest),
            // Dropping one frame costs the whole state, so many go at once: then
            // a model at half the stream's speed still predicts half the time.
            // Pictures are a decoder's own memory, of which it has little.
            (true, true) if self.classifier.takes_pictures() => (4, Overflow::DropAll),
            (true, true) => ((2 * warm_up).max(8), Overflow::DropAll),
        };
        queue(capacity, self.frame_len(), overflow)
    }
}

struct AskOnDrop<'a>(&'a Stop);

impl Drop for AskOnDrop<'_> {
    fn drop(&mut self) {
        self.0.ask();
    }
}

/// What a thread returned; that it could not start or panicked is an error.
fn joined<T>(
    thread: std::io::Result<thread::ScopedJoinHandle<'_, T>>,
    name: &str,
    part: &str,
) -> Result<T> {
    let doing = || format!("running the {part} of stream \"{name}\"");
    thread
        .map_err(|error| {
            Error::unavailable(doing(), format!("no thread could be started: {error}"))
        })?
        .join()
        .map_err(|panic| {
            Error::internal(doing(), format!("it panicked: {}", text_of(panic.as_ref())))
        })
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

/// Source to queue.
struct Feeder {
    source: Box<dyn Feed>,
    frame: Normalised,
    producer: Producer,
    stop: Stop,
    progress: Arc<Progress>,
}

impl Feeder {
    fn run(mut self) -> Result<()> {
        while !self.stop.asked() {
            if self.source.next(&mut self.frame)? == Next::End {
                break;
            }
            self.progress.frames.fetch_add(1, Ordering::Relaxed);
            self.progress.pulse.framed();
            // Only now: waiting for a frame with a buffer in hand would drop a
            // live stream's oldest frame too early.
            let Some(mut slot) = self.producer.slot() else { break };
            std::mem::swap(&mut slot.frame, &mut self.frame);
            self.producer.send(slot);
        }
        Ok(())
    }
}

/// Normalised frames to predictions.
struct Runner {
    name: String,
    classifier: Box<dyn Classifier>,
    predictor: Predictor,
    learner: Learner,
    /// Whether anybody knows, or may come to know, what was really there.
    labelled: bool,
    labels: Vec<String>,
    consumer: Consumer,
    sinks: Arc<Sinks>,
    observer: Option<Box<dyn Observer>>,
    clock: Arc<dyn Clock>,
    stop: Stop,
    progress: Arc<Progress>,
    pacing: Pacing,
    /// Whether the hop was ever raised.
    raised: bool,
    /// From the first to the last frame of a clip.
    clip: Duration,
    /// Frames pushed since the model was emptied.
    since_reset: u64,
    /// Whether there was a prediction since then.
    predicted: bool,
    next_index: u64,
    /// Told with the next prediction.
    pending_reset: Option<Reset>,
    pending_skipped: u64,
}

impl Runner {
    fn run(&mut self, summary: &mut Summary) -> Result<()> {
        let outcome = self.take_all(summary);
        if self.progress.pulse.is_abandoned() {
            // Another has this stream's place: nothing of this one may be kept.
            return outcome;
        }
        self.progress.pulse.turn(Part::Sink);
        self.predictor.finish();
        self.write_events(summary);
        self.learner.finish(&rfc3339(self.clock.wall()));
        self.progress.pulse.turn(Part::Rest);
        outcome
    }

    fn take_all(&mut self, summary: &mut Summary) -> Result<()> {
        while let Some(mut slot) = self.next_slot() {
            if self.stop.asked() {
                break;
            }
            let lost = slot.index - self.next_index;
            let reset = match slot.frame.reset {
                None if slot.index == 0 => Some(Reset::Start),
                None if lost > 0 => Some(Reset::Overload),
                other => other,
            };
            if lost > 0 {
                self.skip(self.pacing.among(self.since_reset, lost), summary);
            }
            if let Some(reset) = reset {
                self.begin_anew(reset, slot.frame.t, summary);
            }
            self.next_index = slot.index + 1;
            self.since_reset += 1;
            summary.frames += 1;
            summary.seconds = slot.frame.t.as_secs_f64();

            let turn = self.take_turn();
            if turn == Turn::Skip {
                self.skip(1, summary);
            }
            let due = turn == Turn::Predict;
            let (newest, arrived) = (slot.frame.t, slot.frame.arrived);
            let delay = self.classifier.delay();
            let logits = match slot.frame.picture.take() {
                Some(picture) => self.classifier.push_picture(&picture, due),
                None => self.classifier.push(&slot.frame.tensor, due),
            };
            self.consumer.give_back(slot);
            if self.progress.pulse.is_abandoned() {
                break;
            }
            let logits = logits.map(|logits| logits.filter(|_| due)).and_then(|logits| {
                logits.map_or(Ok(()), |logits| self.predictor.check(logits))?;
                Ok(logits)
            });
            let logits = match logits {
                Ok(Some(logits)) => logits,
                Ok(None) => continue,
                // Months of frames meet a network's every corner: what it holds is
                // forgotten. Where that does not help it is broken.
                Err(error) if self.predicted => {
                    log::warn!("stream \"{}\": {error}", self.name);
                    self.begin_anew(Reset::Fault, newest, summary);
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.predicted = true;

            let t = newest.saturating_sub(delay);
            let moment = Moment {
                t,
                start: t.saturating_sub(self.clip),
                delay,
                at: rfc3339(self.clock.wall()),
                latency: self.clock.instant().saturating_duration_since(arrived),
                skipped: std::mem::take(&mut self.pending_skipped),
                reset: self.pending_reset.take(),
            };
            let (start, latency) = (moment.start, moment.latency);
            self.learner.calibration.predict(logits);
            let calibration = &self.learner.calibration;
            let mut prediction = self.predictor.take(calibration.probabilities(), moment);
            prediction.set = calibration.set().map(|set| names(&self.labels, set));
            let best = self.predictor.best();
            if let Some(observer) = &mut self.observer {
                observer.scored(Scored { start, t, logits, best })?;
            }
            let clip = ClipTime {
                start: start.as_secs_f64(),
                t: t.as_secs_f64(),
                wall: unix(self.clock.wall()) - delay.as_secs_f64(),
            };
            let alarms = self.learner.take(clip, logits, best);
            if self.labelled {
                prediction.truth = Some(self.learner.truth_at(&clip));
                prediction.clip_top1 = self.learner.scorer.clip_top1();
            }
            self.pacing.made(self.consumer.waiting());
            summary.predictions += 1;
            self.progress.predictions.fetch_add(1, Ordering::Relaxed);
            self.progress.pulse.predicted(latency);
            self.progress.pulse.turn(Part::Sink);
            let flow = self.tell(Record::Prediction(&prediction));
            self.write_events(summary);
            self.write_alarms(&alarms);
            let now = self.clock.instant();
            self.learner.note(clip.t, now, || rfc3339(self.clock.wall()));
            match flow {
                Flow::Go => {}
                Flow::Closed => {
                    summary.closed = true;
                    break;
                }
                Flow::Failed => {
                    summary.closed = true;
                    let doing = format!("writing the predictions of stream \"{}\"", self.name);
                    return Err(Error::internal(doing, "no sink is left")
                        .remedy("see the log above for what became of each"));
                }
            }
        }
        Ok(())
    }

    /// Waits for the next frame.
    fn next_slot(&self) -> Option<Slot> {
        let pulse = &self.progress.pulse;
        pulse.turn(Part::Rest);
        let slot = self.consumer.next()?;
        pulse.turn(Part::Model);
        Some(slot)
    }

    /// Empties the model, the smoothing and the events.
    fn begin_anew(&mut self, reset: Reset, t: Duration, summary: &mut Summary) {
        if !matches!(reset, Reset::Start | Reset::Clip) {
            log::warn!(
                "stream \"{}\": the clip begins anew at {:.3} s: {}",
                self.name,
                t.as_secs_f64(),
                match reset {
                    Reset::Start | Reset::Clip => "start",
                    Reset::Gap => "a gap in the presentation times",
                    Reset::Backwards => "the presentation times went backwards",
                    Reset::Reconnect => "the source was lost and opened again",
                    Reset::Overload => "the model cannot keep up",
                    Reset::Fault => "the model failed",
                }
            );
            summary.resets += 1;
            self.progress.resets.fetch_add(1, Ordering::Relaxed);
        }
        self.progress.pulse.began();
        self.classifier.reset();
        self.predictor.reset();
        self.write_events(summary);
        self.since_reset = 0;
        self.pacing.reset(self.classifier.warm_up() as u64);
        self.predicted = false;
        self.pending_reset = Some(reset);
    }

    /// What to do with the frame in hand.
    fn take_turn(&mut self) -> Turn {
        let before = self.pacing.hop();
        let turn = self.pacing.take(self.since_reset, self.consumer.waiting());
        let hop = self.pacing.hop();
        if hop > before {
            // Once is for people; load that comes and goes all day must not fill a log.
            let level = if self.raised { log::Level::Debug } else { log::Level::Warn };
            log::log!(
                level,
                "stream \"{}\": the model cannot keep up: a prediction every {hop} frames instead of {before}",
                self.name
            );
            self.raised = true;
        }
        turn
    }

    fn skip(&mut self, predictions: u64, summary: &mut Summary) {
        if predictions > 0 && summary.skipped == 0 {
            let remedy = if !self.classifier.needs_every_frame() {
                "a greater predict.hop or predict.max_hop, more model.threads, or a smaller model"
            } else if self.classifier.takes_pictures() {
                "a greater predict.hop, or a smaller model"
            } else {
                // A hop spares little where each frame is computed.
                "a smaller model, more model.threads, or model.mode = \"window\" with a greater predict.hop"
            };
            log::warn!(
                "stream \"{}\": the model cannot keep up; predictions are skipped. Remedy: {remedy}",
                self.name
            );
        }
        summary.skipped += predictions;
        self.pending_skipped += predictions;
        self.progress.skipped.fetch_add(predictions, Ordering::Relaxed);
    }

    /// A recording waits for sinks that are behind; of a live stream they lose lines.
    fn tell(&self, record: Record<'_>) -> Flow {
        let patience =
            if self.consumer.live { Patience::None } else { Patience::Until(&self.stop) };
        self.sinks.write(record, patience)
    }

    /// Tells that the world has changed, in the log and to every sink.
    fn write_alarms(&self, alarms: &[Alarm]) {
        for alarm in alarms {
            let label = alarm.class.and_then(|class| self.labels.get(class));
            log::warn!(
                "stream \"{}\": drift at {:.1} s: {}",
                self.name,
                alarm.t,
                alarm.text(label.map(String::as_str))
            );
            let at = rfc3339(self.clock.wall());
            let drift = Drift::new(&self.name, alarm, label.cloned(), at);
            self.tell(Record::Drift(&drift));
        }
    }

    fn write_events(&mut self, summary: &mut Summary) {
        for event in self.predictor.take_events(&rfc3339(self.clock.wall())) {
            summary.events += 1;
            // That every sink is gone is noticed at the next prediction.
            self.tell(Record::Event(&event));
        }
    }
}

fn names(labels: &[String], classes: &[usize]) -> Vec<String> {
    classes.iter().filter_map(|&class| labels.get(class).cloned()).collect()
}

/// Seconds since 1970; a clock before that is broken and says 0.
fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
