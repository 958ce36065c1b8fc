//! One connection to a source, as the supervisor holds it: the seam behind which
//! there is GStreamer in this process, or in another one, or a simulation.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::stop::Stop;
use crate::video::errand::{Errand, MOST};
use crate::video::isolate::Isolated;
use crate::video::source::PROGRAM;
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
    /// Decoded pictures whose time moved on, sampled or not.
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
    /// GStreamer in this process, or in one of its own where the source is to be
    /// isolated. A plugin that hangs takes a thread with it, and not the stream.
    /// `pace` is for recordings.
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
            let work = move || connect(&name, &spec, &want, pace, &stop, &noting);
            let opening = Some(Errand::start("video-open", &health, work)?);
            Ok(Box::new(Opening { text, recording, opening, connection: None }))
        };
        Candidate { text, timeout, recording, open: Box::new(open) }
    }
}

/// What [`Candidate::pipeline`] opens, in a thread of its own.
fn connect(
    name: &str,
    spec: &SourceSpec,
    want: &Want,
    pace: Pace,
    stop: &Stop,
    health: &Health,
) -> Result<Box<dyn Connection>> {
    Ok(match &spec.isolate {
        None => Box::new(Source::open_noting(name, spec, want, pace, stop, health)?.watched()),
        Some(_) if want.pictures => {
            return Err(Error::config(
                format!("opening {}", spec.describe()),
                "the pictures of an isolated source cannot be handed on as they were decoded",
            )
            .remedy("leave the source's isolate out"));
        }
        Some(isolation) => {
            let program = Path::new(PROGRAM);
            Box::new(Isolated::open(program, name, spec, isolation, want, pace, true, stop)?)
        }
    })
}

/// A source that is being opened in a thread of its own, or is open.
struct Opening {
    text: String,
    recording: bool,
    opening: Option<Errand<Result<Box<dyn Connection>>>>,
    connection: Option<Box<dyn Connection>>,
}

impl Connection for Opening {
    fn opened(&mut self, wait: Duration) -> Result<bool> {
        if let Some(opening) = &mut self.opening
            && let Some(outcome) = opening.wait(wait)?
        {
            self.opening = None;
            self.connection = Some(outcome?);
        }
        Ok(self.connection.is_some())
    }

    fn poll(&mut self, frame: &mut Frame, wait: Duration) -> Result<Polled> {
        match &mut self.connection {
            Some(connection) => connection.poll(frame, wait),
            None => self.opened(wait).map(|_| Polled::Nothing),
        }
    }

    fn live(&self) -> bool {
        self.connection.as_ref().map_or(!self.recording, |connection| connection.live())
    }

    fn pulse(&self) -> Pulse {
        self.connection.as_ref().map(|connection| connection.pulse()).unwrap_or_default()
    }

    fn overdue(&self, time: Duration) -> Error {
        match &self.connection {
            Some(connection) => connection.overdue(time),
            None => {
                let fault = format!("it hangs while it is opened, for {} s", time.as_secs_f64());
                Error::unavailable(format!("opening {}", self.text), fault)
                    .remedy("see to the camera, its driver and its GStreamer plugin")
            }
        }
    }
}

impl Connection for Source {
    fn opened(&mut self, _wait: Duration) -> Result<bool> {
        Ok(true)
    }

    fn poll(&mut self, frame: &mut Frame, wait: Duration) -> Result<Polled> {
        Source::poll(self, frame, wait)
    }

    fn live(&self) -> bool {
        FrameSource::live(self)
    }

    fn pulse(&self) -> Pulse {
        Source::pulse(self)
    }

    fn overdue(&self, time: Duration) -> Error {
        Source::overdue(self, time)
    }
}
