//! The GStreamer source of sampled frames.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;
use gst::prelude::*;
use gstreamer as gst;

use crate::error::{Error, Result};
use crate::stop::Stop;
use crate::video::connection::{Polled, Pulse};
use crate::video::convert::Converter;
use crate::video::download::Downloads;
use crate::video::fault::Faults;
use crate::video::isolate::Isolated;
use crate::video::pacer::Pacer;
use crate::video::pipeline::{Arrival, Liveness, Picture, Running};
use crate::video::sampler::Tick;
use crate::video::spec::SourceSpec;
use crate::video::{Colour, Frame, FrameSource, Health, Next, Pace, Recording, Sampler};

/// This very program, even where its file was replaced meanwhile.
pub(crate) const PROGRAM: &str = "/proc/self/exe";
/// How often a waiting source looks at the stop flag and the pipeline's messages.
const LOOK: Duration = Duration::from_millis(50);
/// So many pictures without a presentation time, and none with one, are an error.
const TIMELESS: u32 = 100;
/// So many messages are read at one look at most.
const MESSAGES: usize = 256;
/// How long a recording's pipeline may have no running thread before it is
/// taken for dead.
const DEAD: Duration = Duration::from_secs(1);
/// A recording that ends this much before its header says is worth a warning.
const SHORT: Duration = Duration::from_secs(2);

/// What the session wants of a source.
#[derive(Clone, Debug, PartialEq)]
pub struct Want {
    /// Sampled frames a second.
    pub rate: f64,
    /// Channels of a sampled frame.
    pub colour: Colour,
    /// The longest forward step of PTS within one clip.
    pub max_gap: Duration,
    /// Whether sampled pictures are wanted as they were decoded, wherever their
    /// memory is, and not their pixels.
    pub pictures: bool,
}

/// Opens a source. `name` is the stream's name, for errors; the source ends
/// when `stop` is asked.
///
/// It returns as soon as the pipeline is started; what can only be known later
/// (an unreachable camera, a damaged file) comes from [`FrameSource::next`].
///
/// # Errors
/// See [`Source::open`].
pub fn open(
    name: &str,
    spec: &SourceSpec,
    want: &Want,
    pace: Pace,
    stop: &Stop,
) -> Result<Box<dyn FrameSource>> {
    let source: Box<dyn FrameSource> = open_recording(name, spec, want, pace, stop)?;
    Ok(source)
}

/// As [`open`], for a replay. Where the source is to be isolated, a process of its
/// own decodes it; see [`isolate`](crate::video::isolate).
///
/// # Errors
/// See [`Source::open`].
pub fn open_recording(
    name: &str,
    spec: &SourceSpec,
    want: &Want,
    pace: Pace,
    stop: &Stop,
) -> Result<Box<dyn Recording>> {
    Ok(match &spec.isolate {
        None => Box::new(Source::open(name, spec, want, pace, stop)?),
        Some(isolation) => {
            let program = Path::new(PROGRAM);
            Box::new(Isolated::open(program, name, spec, isolation, want, pace, false, stop)?)
        }
    })
}

/// A GStreamer pipeline with a sampler behind it. Pictures that the sampler
/// does not keep are never converted.
pub struct Source {
    running: Running,
    faults: Faults,
    sampler: Sampler<Picture>,
    converter: Converter,
    /// Pictures are handed on as they were decoded.
    pictures: bool,
    downloads: Downloads,
    /// `None` for pictures as fast as they come.
    pacer: Option<Pacer>,
    /// What came first, where it was waited for before anything was sampled.
    first: Option<Arrival>,
    /// A picture that is not due yet, its PTS and duration, and when it is due.
    waiting: Option<(Picture, Option<u64>, Option<u64>, Instant)>,
    stop: Stop,
    timeout: Duration,
    /// Whether somebody else looks that a live source is not silent for too long.
    watched: bool,
    last_arrival: Instant,
    pulse: Pulse,
    /// PTS of the newest picture, in nanoseconds.
    newest: Option<u64>,
    /// What is taken off every PTS: the first one, of a live source and where a
    /// recording's clock begins anywhere.
    origin: Option<u64>,
    timeless: u32,
    /// Since when no thread of the pipeline runs.
    idle_since: Option<Instant>,
    /// An error that the pipeline reported; pictures before it are used first.
    failure: Option<Error>,
    /// How it ended, once it did and the last ticks are to be given.
    over: Option<Result<Next>>,
    /// Counted up as long as this source is not stuck.
    steps: Arc<AtomicU64>,
}

impl Source {
    /// Opens a source; see [`open`].
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) for what
    /// [`SourceSpec::check`] refuses and for an impossible rate;
    /// [`Kind::Unavailable`](crate::error::Kind::Unavailable) for a plugin or a
    /// camera that is missing.
    pub fn open(
        name: &str,
        spec: &SourceSpec,
        want: &Want,
        pace: Pace,
        stop: &Stop,
    ) -> Result<Self> {
        Source::open_noting(name, spec, want, pace, stop, &Health::default())
    }

    /// As [`open`](Source::open); threads that hang are counted in `health`.
    pub(crate) fn open_noting(
        name: &str,
        spec: &SourceSpec,
        want: &Want,
        pace: Pace,
        stop: &Stop,
        health: &Health,
    ) -> Result<Self> {
        spec.check()?;
        gst::init().map_err(|error| {
            Error::unavailable("starting GStreamer", error.message()).remedy(
                "install the Debian packages libgstreamer1.0-0 and gstreamer1.0-plugins-base",
            )
        })?;
        let sampler = Sampler::new(want.rate, want.max_gap)?;
        let mut faults = Faults::new(name, spec);
        let file = spec.file().and_then(|path| std::fs::metadata(path).ok());
        if file.is_some_and(|file| file.is_file() && file.len() == 0) {
            return Err(faults.empty_file());
        }
        let running = Running::start(spec, &mut faults, health)?;
        Ok(Source {
            pacer: (pace == Pace::RealTime).then(|| Pacer::new(want.max_gap)),
            running,
            faults,
            sampler,
            converter: Converter::new(want.colour),
            pictures: want.pictures,
            downloads: Downloads::new(&spec.converter),
            first: None,
            waiting: None,
            stop: stop.clone(),
            timeout: spec.timeout(),
            watched: false,
            last_arrival: Instant::now(),
            pulse: Pulse::default(),
            newest: None,
            origin: None,
            timeless: 0,
            idle_since: None,
            failure: None,
            over: None,
            steps: Arc::default(),
        })
    }

    /// Pictures that were converted since the start: those that the sampler kept.
    pub fn conversions(&self) -> u64 {
        self.converter.conversions()
    }

    /// Pictures that were decoded since the start and reached the sampler's queue.
    pub fn decoded(&self) -> u64 {
        self.running.decoded()
    }

    /// A number that changes several times a second while this source works or
    /// waits, and stays when it is stuck.
    pub(crate) fn steps(&self) -> Arc<AtomicU64> {
        self.steps.clone()
    }

    /// Leaves it to the caller to look at [`pulse`](Self::pulse) and to give up a
    /// live source that is silent.
    pub(crate) fn watched(mut self) -> Self {
        self.watched = true;
        self
    }

    /// What came so far.
    pub(crate) fn pulse(&self) -> Pulse {
        Pulse { dropped: self.dropped(), ..self.pulse }
    }

    /// The error for a source that is silent for so long.
    pub(crate) fn overdue(&self, after: Duration) -> Error {
        match self.faults.missing() {
            Some(missing) if self.newest.is_none() => missing,
            _ => self.faults.timeout(after.as_secs_f64(), self.newest.is_none()),
        }
    }

    /// Waits `wait` at most, but for a moment, for the next sampled frame.
    pub(crate) fn poll(&mut self, frame: &mut Frame, wait: Duration) -> Result<Polled> {
        let until = Instant::now() + wait;
        let mut left = wait;
        loop {
            if self.stop.asked() {
                return Ok(Polled::End);
            }
            if let Some(tick) = self.sampler.poll() {
                if self.pictures {
                    frame.picture = Some(tick.item.sample.clone());
                } else {
                    let (converter, downloads) = (&mut self.converter, &mut self.downloads);
                    convert(converter, downloads, &self.running.pipeline, tick.item, frame)?;
                }
                place(&tick, frame);
                return Ok(Polled::Frame);
            }
            if let Some(outcome) = &self.over {
                return outcome.clone().map(|_| Polled::End);
            }
            if self.sampler.is_exhausted() {
                return Ok(Polled::End);
            }
            self.step(left.min(LOOK));
            let now = Instant::now();
            if now >= until && self.sampler.is_settled() {
                return Ok(Polled::Nothing);
            }
            left = until.saturating_duration_since(now);
        }
    }

    /// One step: a picture, the end, or a look around.
    fn step(&mut self, wait: Duration) {
        self.read_messages();
        if let Some((_, _, _, due)) = &self.waiting {
            let left = due.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                std::thread::sleep(left.min(wait));
                return;
            }
            if let Some((mut picture, pts, duration, due)) = self.waiting.take() {
                picture.arrived = due.max(picture.arrived);
                self.keep(picture, pts, duration);
            }
            return;
        }
        let wait = if self.failure.is_some() { Duration::ZERO } else { wait };
        let arrival = match self.first.take() {
            Some(first) => Ok(first),
            None => self.running.pictures.recv_timeout(wait),
        };
        match arrival {
            Ok(Arrival::Picture(picture)) => self.take(picture),
            Ok(Arrival::End) => {
                self.read_messages();
                let outcome = self.outcome_of_end();
                self.finish(outcome);
            }
            Err(RecvTimeoutError::Timeout) => self.look_around(),
            Err(RecvTimeoutError::Disconnected) => self.gone(),
        }
    }

    fn gone(&mut self) {
        let lost = Error::internal(self.faults.doing(), "the pipeline is gone");
        self.finish(Err(lost));
    }

    fn take(&mut self, picture: Picture) {
        self.last_arrival = Instant::now();
        self.idle_since = None;
        if self.pulse.pictures == 0 {
            self.pulse.announced = announced(&picture.sample);
        }
        if self.running.liveness == Liveness::Unknown {
            let recording = self
                .running
                .pipeline
                .query_duration::<gst::ClockTime>()
                .is_some_and(|d| !d.is_zero());
            self.running.liveness = if recording { Liveness::Recording } else { Liveness::Live };
            self.running.shared.drops.store(!recording, Ordering::Release);
        }
        let Some(buffer) = picture.sample.buffer() else {
            return;
        };
        let duration = buffer.duration().map(gst::ClockTime::nseconds);
        let pts = match buffer.pts().map(|pts| self.stream_time(&picture.sample, pts)) {
            // Outside its segment: decoded for those after it, not to be shown.
            Some(None) => return,
            Some(Some(time)) => {
                // A live stream begins with its first picture, however long the
                // pipeline took: so labels of what a rig plays fit what is seen.
                let anywhere = self.running.liveness != Liveness::Recording
                    || self.running.shared.clock_begins_anywhere.load(Ordering::Acquire);
                let origin = *self.origin.get_or_insert(if anywhere { time } else { 0 });
                Some(time.saturating_sub(origin))
            }
            None => None,
        };
        match (&mut self.pacer, pts) {
            (Some(pacer), Some(time)) if self.running.liveness == Liveness::Recording => {
                let due = pacer.due(time, Instant::now());
                self.waiting = Some((picture, pts, duration, due));
            }
            _ => self.keep(picture, pts, duration),
        }
    }

    /// Position in a recording, running time of a live source, in nanoseconds.
    fn stream_time(&self, sample: &gst::Sample, pts: gst::ClockTime) -> Option<u64> {
        let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
        let time = match self.running.liveness {
            Liveness::Recording => {
                segment.to_stream_time(pts).or_else(|| segment.to_running_time(pts))
            }
            Liveness::Live | Liveness::Unknown => segment.to_running_time(pts),
        };
        time.map(gst::ClockTime::nseconds)
    }

    fn keep(&mut self, picture: Picture, pts: Option<u64>, duration: Option<u64>) {
        let arrived = picture.arrived;
        let taken = self.sampler.push(pts, duration, picture);
        if taken {
            // Only what can be sampled is a sign of life: after a burst of late packets
            // GStreamer's jitter buffer may give picture after picture the same time.
            self.pulse.pictures += 1;
            self.pulse.newest = Some(arrived);
        }
        if pts.is_some() {
            self.newest = pts;
        } else if !taken && self.newest.is_none() {
            self.timeless += 1;
            if self.timeless >= TIMELESS {
                let error = self.faults.no_times();
                self.finish(Err(error));
            }
        }
    }

    fn outcome_of_end(&mut self) -> Result<Next> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        let shared = &self.running.shared;
        match self.newest {
            None => Err(match self.faults.missing() {
                Some(missing) => missing,
                None if self.timeless > 0 => self.faults.no_times(),
                None if !shared.video.load(Ordering::Acquire) => {
                    self.no_video().unwrap_or_else(|| self.faults.no_video(false))
                }
                None => self.faults.empty(),
            }),
            Some(_) if self.live() => Err(self.faults.ended()),
            Some(newest) => {
                let announced = self.running.pipeline.query_duration::<gst::ClockTime>();
                if let Some(announced) = announced.map(Duration::from)
                    && announced > Duration::from_nanos(newest) + SHORT
                {
                    log::warn!(
                        "{}: it ends at {:.1} s of the {:.1} s that its header says: cut off or damaged",
                        self.faults.doing(),
                        newest as f64 / 1e9,
                        announced.as_secs_f64()
                    );
                }
                Ok(Next::End)
            }
        }
    }

    /// The error for a source in which only other things than video were seen.
    fn no_video(&self) -> Option<Error> {
        let shared = &self.running.shared;
        let (sound, text) =
            (shared.sound.load(Ordering::Acquire), shared.text.load(Ordering::Acquire));
        (sound || text).then(|| if sound { self.faults.no_video(true) } else { self.faults.text() })
    }

    fn look_around(&mut self) {
        if let Some(error) = self.failure.take() {
            return self.finish(Err(error));
        }
        let shared = &self.running.shared;
        if shared.all_tracks.load(Ordering::Acquire) && !shared.video.load(Ordering::Acquire) {
            let error = self.faults.missing().or_else(|| self.no_video());
            let error = error.unwrap_or_else(|| self.faults.no_video(false));
            return self.finish(Err(error));
        }
        // GStreamer 1.22's decodebin can lose the error of a demuxer that fails
        // at once; all its threads then rest, and nothing more is said.
        if self.running.liveness == Liveness::Recording && self.running.is_idle() {
            if self.idle_since.get_or_insert_with(Instant::now).elapsed() > DEAD {
                let at = self.newest.map(|newest| newest as f64 / 1e9);
                let known = self.faults.missing().or_else(|| self.no_video());
                let error = known.filter(|_| at.is_none()).unwrap_or_else(|| self.faults.dead(at));
                return self.finish(Err(error));
            }
        } else {
            self.idle_since = None;
        }
        let watched = self.watched && self.live();
        if !watched && self.last_arrival.elapsed() > self.timeout {
            let error = self.overdue(self.timeout);
            self.finish(Err(error));
        }
    }

    /// Takes the pipeline's messages, so that they do not pile up either.
    fn read_messages(&mut self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
        // An element that posts faster than anybody reads must not hold up the stream.
        for message in (0..MESSAGES).map_while(|_| self.running.bus.pop()) {
            match message.view() {
                gst::MessageView::Error(error) if self.failure.is_none() => {
                    let at = self.newest.map(|newest| newest as f64 / 1e9);
                    let no_track = at.is_none()
                        && error.error().matches(gst::StreamError::Failed)
                        && !self.running.shared.video.load(Ordering::Acquire);
                    let no_video = if no_track { self.no_video() } else { None };
                    self.failure = Some(no_video.unwrap_or_else(|| {
                        self.faults.error(&error.error(), error.debug().as_deref(), at)
                    }));
                }
                // rtspsrc warns so when its connection is gone: over TCP it then ends, but
                // over UDP it warns again and again, as fast as it can.
                gst::MessageView::Warning(warning)
                    if self.watched
                        && self.live()
                        && warning.error().matches(gst::ResourceError::Read) =>
                {
                    let at = self.newest.map(|newest| newest as f64 / 1e9);
                    let (error, debug) = (warning.error(), warning.debug());
                    let lost = self.faults.error(&error, debug.as_deref(), at);
                    self.failure.get_or_insert(lost);
                }
                gst::MessageView::Warning(warning) => {
                    log::warn!(
                        "{}: {}",
                        self.faults.doing(),
                        crate::video::address::shown(warning.error().message())
                    );
                }
                gst::MessageView::Element(_) => self.faults.note_missing(&message),
                gst::MessageView::Latency(_) => {
                    let _ = self.running.pipeline.recalculate_latency();
                }
                _ => {}
            }
        }
    }

    fn finish(&mut self, outcome: Result<Next>) {
        self.sampler.finish();
        self.over.get_or_insert(outcome);
    }
}

impl FrameSource for Source {
    fn next(&mut self, frame: &mut Frame) -> Result<Next> {
        loop {
            match self.poll(frame, LOOK)? {
                Polled::Frame => return Ok(Next::Frame),
                Polled::End => return Ok(Next::End),
                Polled::Nothing => {}
            }
        }
    }

    fn live(&self) -> bool {
        self.running.liveness != Liveness::Recording
    }

    fn dropped(&self) -> u64 {
        self.running.shared.dropped.load(Ordering::Relaxed)
    }
}

impl Recording for Source {
    fn length(&mut self) -> Result<Option<Duration>> {
        while self.first.is_none() && self.over.is_none() && !self.stop.asked() {
            self.read_messages();
            let wait = if self.failure.is_some() { Duration::ZERO } else { LOOK };
            match self.running.pictures.recv_timeout(wait) {
                Ok(arrival) => self.first = Some(arrival),
                Err(RecvTimeoutError::Timeout) => self.look_around(),
                Err(RecvTimeoutError::Disconnected) => self.gone(),
            }
        }
        if let Some(Err(error)) = &self.over {
            return Err(error.clone());
        }
        let announced = self.running.pipeline.query_duration::<gst::ClockTime>();
        Ok(announced.map(Duration::from).filter(|length| !length.is_zero()))
    }

    fn sample_at(&mut self, times: Vec<Duration>) {
        self.sampler = Sampler::at(times);
    }

    fn reach(&self) -> Duration {
        Duration::from_nanos(self.sampler.reach().or(self.newest).unwrap_or(0))
    }
}

/// The time between two pictures that the source claims, if it claims one.
fn announced(sample: &gst::Sample) -> Option<Duration> {
    let rate = sample.caps()?.structure(0)?.get::<gst::Fraction>("framerate").ok()?;
    let seconds = f64::from(rate.denom()) / f64::from(rate.numer());
    Duration::try_from_secs_f64(seconds).ok().filter(|interval| !interval.is_zero())
}

/// Converts a kept picture into `frame`.
fn convert(
    converter: &mut Converter,
    downloads: &mut Downloads,
    pipeline: &gst::Pipeline,
    picture: &Picture,
    frame: &mut Frame,
) -> Result<()> {
    let sample = downloads.run(picture.serial, &picture.sample, pipeline.upcast_ref())?;
    converter.run(picture.serial, &sample, frame)
}

/// Tells `frame` of its tick and of how its picture stands.
fn place(tick: &Tick<'_, Picture>, frame: &mut Frame) {
    let picture = tick.item;
    frame.orientation = picture.orientation;
    frame.tick_time = Duration::from_nanos(tick.time);
    frame.pts = Duration::from_nanos(tick.pts);
    frame.arrived = picture.arrived;
    frame.reset = tick.reset;
}
