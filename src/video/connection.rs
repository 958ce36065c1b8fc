//! One connection to a source, as the supervisor holds it: the seam behind which
//! there is GStreamer in this process, or in another one, or a simulation.

use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::stop::Stop;
use crate::video::errand::{Errand, MOST};
use crate::video::spec::SourceSpec;
use crate::video::{Frame, FrameSource, Health, Pace, Source, Want};

/// What a look at a connection brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// The frame was filled.
    Frame,
    /// No sampled frame yet.
    Nothing,
    /// The source says that nothing more will come.
    End,
}

/// What came over a connection so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pulse {
    /// Decoded pictures, sampled or not.
    pub pictures: u64,
    /// When the newest of them arrived.
    pub newest: Option<Instant>,
    /// Pictures that were lost because they were not taken in time.
    pub dropped: u64,
    /// The time between two pictures that the source claims, if it claims one.
    pub announced: Option<Duration>,
}

/// One connection to a source. Dropping it closes it, in bounded time.
pub trait Connection: Send {
    /// Waits `wait` at most for the source to be opened: true once it is. A
    /// source that is open need not have given a picture.
    ///
    /// # Errors
    /// It cannot be opened.
    fn opened(&mut self, wait: Duration) -> Result<bool>;

    /// Waits `wait` at most, or a moment longer, for the next sampled frame and
    /// fills `frame` with it. Its times count from anywhere.
    ///
    /// # Errors
    /// The source was lost or cannot be opened; text says what and why.
    fn poll(&mut self, frame: &mut Frame, wait: Duration) -> Result<Polled>;

    /// Whether this is a live source; what is not known yet counts as live.
    fn live(&self) -> bool;

    /// What came so far.
    fn pulse(&self) -> Pulse;

    /// The words for its having been silent for `time`.
    fn overdue(&self, time: Duration) -> Error;
}

/// Opens a connection.
///
/// An error of [`Kind::Config`](crate::error::Kind::Config) at the first try says
/// that no try can ever succeed.
pub type Open = Box<dyn FnMut() -> Result<Box<dyn Connection>> + Send>;

/// One of the sources of a stream.
pub struct Candidate {
    /// What it is, in words and without secrets.
    pub text: String,
    /// How long it may be silent at least.
    pub timeout: Duration,
    /// Whether it is known to be a recording before it is opened.
    pub recording: bool,
    /// Opens it; returns at once.
    pub open: Open,
}

impl Candidate {
    /// GStreamer in this process. A plugin that hangs takes a thread with it, and
    /// not the stream. `pace` is for recordings.
    pub fn pipeline(
        name: &str,
        spec: &SourceSpec,
        want: &Want,
        pace: Pace,
        stop: &Stop,
        health: &Health,
    ) -> Self {
        let (text, timeout, recording) = (spec.describe(), spec.timeout(), spec.is_recording());
        let (name, spec, want) = (name.to_owned(), spec.clone(), want.clone());
        let (stop, health) = (stop.clone(), health.clone());
        let open = move || -> Result<Box<dyn Connection>> {
            let text = spec.describe();
            if health.abandoned() >= MOST {
                let fault = format!("{MOST} threads of this stream hang in GStreamer or a driver");
                return Err(Error::unavailable(format!("opening {text}"), fault).remedy(
                    "see the log above for where; a restart of kinewatch is the only cure",
                ));
            }
            let (name, spec, want) = (name.clone(), spec.clone(), want.clone());
            let (stop, noting) = (stop.clone(), health.clone());
            let work = move || {
                Source::open_noting(&name, &spec, &want, pace, &stop, &noting).map(Source::watched)
            };
            let opening = Some(Errand::start("video-open", &health, work)?);
            Ok(Box::new(Pipeline { text, recording, opening, source: None }))
        };
        Candidate { text, timeout, recording, open: Box::new(open) }
    }
}

/// A pipeline that is being opened in a thread of its own, or is open.
struct Pipeline {
    text: String,
    recording: bool,
    opening: Option<Errand<Result<Source>>>,
    source: Option<Source>,
}

impl Connection for Pipeline {
    fn opened(&mut self, wait: Duration) -> Result<bool> {
        if let Some(opening) = &mut self.opening
            && let Some(outcome) = opening.wait(wait)?
        {
            self.opening = None;
            self.source = Some(outcome?);
        }
        Ok(self.source.is_some())
    }

    fn poll(&mut self, frame: &mut Frame, wait: Duration) -> Result<Polled> {
        match &mut self.source {
            Some(source) => source.poll(frame, wait),
            None => self.opened(wait).map(|_| Polled::Nothing),
        }
    }

    fn live(&self) -> bool {
        self.source.as_ref().map_or(!self.recording, FrameSource::live)
    }

    fn pulse(&self) -> Pulse {
        self.source.as_ref().map(Source::pulse).unwrap_or_default()
    }

    fn overdue(&self, time: Duration) -> Error {
        match &self.source {
            Some(source) => source.overdue(time),
            None => {
                let fault = format!("it hangs while it is opened, for {} s", time.as_secs_f64());
                Error::unavailable(format!("opening {}", self.text), fault)
                    .remedy("see to the camera, its driver and its GStreamer plugin")
            }
        }
    }
}
