//! Simulated twins of everything that a session meets: source, model, sink and
//! clock. No twin sleeps; those that wait do so on each other, with a deadline.

#![allow(dead_code)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kinewatch::clip::{InputSpec, Layout, Preprocessed, Resize};
use kinewatch::clock::Clock;
use kinewatch::error::{Error, Result};
use kinewatch::label::{LabelClock, Span, Track, Truths};
use kinewatch::model::{Classifier, Output, Task};
use kinewatch::predict::PredictOptions;
use kinewatch::session::{ModelFacts, Progress, Session};
use kinewatch::sink::{Record, Sink, SinkError, Sinks};
use kinewatch::stop::Stop;
use kinewatch::video::{Colour, Frame, FrameSource, Next, Reset};

/// No test waits longer than this for another thread.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Polls until `done`, or fails at the deadline.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "waited {DEADLINE:?} for {what}");
        std::thread::yield_now();
    }
}

/// What a simulated source does next.
pub enum Step {
    /// A frame at this time in seconds, as the first after a reset or not.
    Frame(f64, Option<Reset>),
    /// Waits until this holds.
    Until(Box<dyn FnMut() -> bool + Send>),
    /// Does this.
    Do(Box<dyn FnOnce() + Send>),
    /// The source is lost.
    Fail(&'static str),
    /// The source panics.
    Panic,
}

/// `count` frames, `rate` a second, from `start` seconds.
pub fn frames(start: f64, count: u32, rate: f64) -> Vec<Step> {
    (0..count).map(|k| Step::Frame(start + f64::from(k) / rate, None)).collect()
}

/// As [`frames`], the first one after a reset.
pub fn frames_after(reset: Reset, start: f64, count: u32, rate: f64) -> Vec<Step> {
    let mut steps = frames(start, count, rate);
    steps[0] = Step::Frame(start, Some(reset));
    steps
}

/// A source that follows a script and then ends.
pub struct Source {
    steps: Box<dyn Iterator<Item = Step> + Send>,
    live: bool,
    stop: Stop,
}

impl Source {
    pub fn recording(steps: Vec<Step>) -> Self {
        Source { steps: Box::new(steps.into_iter()), live: false, stop: Stop::default() }
    }

    pub fn live(steps: Vec<Step>) -> Self {
        Source { live: true, ..Source::recording(steps) }
    }

    /// Live, for as long as there are steps.
    pub fn endless(steps: impl Iterator<Item = Step> + Send + 'static) -> Self {
        Source { steps: Box::new(steps), ..Source::live(Vec::new()) }
    }
}

impl FrameSource for Source {
    fn next(&mut self, frame: &mut Frame) -> Result<Next> {
        for step in self.steps.by_ref() {
            match step {
                Step::Frame(t, reset) => {
                    frame.width = 4;
                    frame.height = 4;
                    frame.data.resize(16, 128);
                    frame.tick_time = Duration::from_secs_f64(t);
                    frame.pts = frame.tick_time;
                    frame.arrived = Instant::now();
                    frame.reset = reset;
                    return Ok(Next::Frame);
                }
                Step::Until(done) => {
                    let stop = self.stop.clone();
                    let mut done = done;
                    wait_until("the script's next step", || stop.asked() || done());
                }
                Step::Do(act) => act(),
                Step::Fail(why) => {
                    return Err(Error::unavailable("reading the simulated source", why));
                }
                Step::Panic => panic!("the simulated source panicked"),
            }
        }
        Ok(Next::End)
    }

    fn live(&self) -> bool {
        self.live
    }
}

/// What a simulated model does at its `n`th push (from 0) when a prediction is due.
pub type Script = Box<dyn FnMut(u64) -> Result<[f32; 3]> + Send>;

/// A model of three classes that counts what it is given.
pub struct Model {
    pub warm_up: usize,
    pub stateful: bool,
    /// Frames from one output to the next.
    pub stride: usize,
    pub delay: Duration,
    /// Every push so far, by all streams that share this counter.
    pub pushes: Arc<AtomicU64>,
    /// Lengths of the clips of all predictions, in frames since the last reset.
    pub clips: Arc<Mutex<Vec<u64>>>,
    pub script: Script,
    since_reset: u64,
    logits: [f32; 3],
}

impl Model {
    pub fn new(warm_up: usize) -> Self {
        Model {
            warm_up,
            stateful: false,
            stride: 1,
            delay: Duration::ZERO,
            pushes: Arc::default(),
            clips: Arc::default(),
            script: Box::new(|_| Ok([0.0, 5.0, 0.0])),
            since_reset: 0,
            logits: [0.0; 3],
        }
    }

    pub fn script(mut self, script: impl FnMut(u64) -> Result<[f32; 3]> + Send + 'static) -> Self {
        self.script = Box::new(script);
        self
    }
}

impl Classifier for Model {
    fn push(&mut self, frame: &[f32], due: bool) -> Result<Option<&[f32]>> {
        assert_eq!(frame.len(), facts().input.frame_len());
        self.since_reset += 1;
        let n = self.pushes.load(Ordering::SeqCst);
        let full = self.since_reset >= self.warm_up as u64
            && (self.since_reset - self.warm_up as u64).is_multiple_of(self.stride as u64);
        let outcome = if due && full {
            self.clips.lock().unwrap().push(self.since_reset);
            (self.script)(n).map(Some)
        } else {
            Ok(None)
        };
        self.pushes.fetch_add(1, Ordering::SeqCst);
        Ok(match outcome? {
            Some(logits) => {
                self.logits = logits;
                Some(&self.logits)
            }
            None => None,
        })
    }

    fn reset(&mut self) {
        self.since_reset = 0;
    }

    fn warm_up(&self) -> usize {
        self.warm_up
    }

    fn stride(&self) -> usize {
        self.stride
    }

    fn delay(&self) -> Duration {
        self.delay
    }

    fn needs_every_frame(&self) -> bool {
        self.stateful
    }
}

/// Keeps every line in memory.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<Vec<serde_json::Value>>>, Arc<OnceLock<Weak<Sinks>>>);

impl Memory {
    pub fn lines(&self, kind: &str) -> Vec<serde_json::Value> {
        self.all().into_iter().filter(|line| line["kind"] == kind).collect()
    }

    pub fn predictions(&self) -> Vec<serde_json::Value> {
        self.lines("prediction")
    }

    pub fn all(&self) -> Vec<serde_json::Value> {
        // A live stream does not wait for its sinks.
        if let Some(sinks) = self.1.get().and_then(Weak::upgrade) {
            sinks.settle();
        }
        self.0.lock().unwrap().clone()
    }
}

impl Sink for Memory {
    fn name(&self) -> String {
        "memory".into()
    }

    fn write(&mut self, record: Record<'_>) -> std::result::Result<(), SinkError> {
        let line = match record {
            Record::Prediction(prediction) => serde_json::to_value(prediction),
            Record::Event(event) => serde_json::to_value(event),
            Record::Drift(drift) => serde_json::to_value(drift),
            Record::Lost(lost) => serde_json::to_value(lost),
        };
        self.0.lock().unwrap().push(line.unwrap());
        Ok(())
    }
}

/// Time stands still.
pub struct FixedClock(pub Instant);

impl Clock for FixedClock {
    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(1_700_000_000_123)
    }

    fn instant(&self) -> Instant {
        self.0
    }
}

/// Four frames a second in clips of four; classes `idle`, `wave`, `run`.
pub fn facts() -> ModelFacts {
    ModelFacts {
        labels: ["idle", "wave", "run"].map(String::from).to_vec(),
        task: Task::SingleLabel,
        output: Output::Logits,
        input: InputSpec {
            layout: Layout::NCTHW,
            frames: 4,
            rate: 4.0,
            size: [4, 4],
            resize: Resize::Stretch,
            antialias: false,
            colour: Colour::Gray,
            mean: vec![0.5],
            std: vec![0.5],
        },
        calibration: None,
    }
}

/// What a finished label file says of the stream "gate".
pub fn truths(spans: Vec<Span>) -> Option<Truths> {
    Some(Truths::new("gate").with_track(Track::new(spans), LabelClock::Stream))
}

/// Neither smoothing nor events, and a label always.
pub fn plain() -> PredictOptions {
    PredictOptions { smooth: None, events: None, abstain: 0.0, ..PredictOptions::default() }
}

/// A session of these twins that writes to `sinks`.
pub fn session(name: &str, source: Source, model: Model, sinks: &Arc<Sinks>) -> Session {
    let stop = source.stop.clone();
    Session {
        name: name.into(),
        source: Box::new(Preprocessed::new(Box::new(source), &facts().input).unwrap()),
        classifier: Box::new(model),
        model: facts(),
        predict: plain(),
        truths: None,
        calibrate: None,
        accuracy: None,
        log: None,
        keeping: None,
        sinks: sinks.clone(),
        observer: None,
        clock: Arc::new(FixedClock(Instant::now())),
        stop,
        progress: Arc::new(Progress::default()),
    }
}

/// Sinks that keep everything in memory.
pub fn memory() -> (Memory, Arc<Sinks>) {
    let memory = Memory::default();
    let sinks = Arc::new(Sinks::new(vec![Box::new(memory.clone())]));
    let _ = memory.1.set(Arc::downgrade(&sinks));
    (memory, sinks)
}
