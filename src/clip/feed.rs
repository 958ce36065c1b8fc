//! From sampled frames to normalised ones: what a session is fed.

use std::time::{Duration, Instant};

use gstreamer as gst;

use super::{InputSpec, Preprocess};
use crate::error::{Error, Result};
use crate::video::{Colour, Frame, FrameSource, Next, Orientation, Reset};

/// One normalised frame. The same value is filled again and again, so that in
/// steady state nothing is allocated.
#[derive(Clone, Debug)]
pub struct Normalised {
    /// channels × height × width, row-major.
    pub tensor: Vec<f32>,
    /// The time it stands for on the stream's own clock.
    pub t: Duration,
    /// When its picture arrived (for latency only).
    pub arrived: Instant,
    /// Set where the frames before it do not belong to the same clip.
    pub reset: Option<Reset>,
    /// In place of the tensor, the decoded picture, for a model that brings it to its
    /// size itself.
    pub picture: Option<gst::Sample>,
}

impl Normalised {
    /// Room for a frame of `len` values.
    pub fn new(len: usize) -> Self {
        Normalised {
            tensor: vec![0.0; len],
            t: Duration::ZERO,
            arrived: Instant::now(),
            reset: None,
            picture: None,
        }
    }
}

/// Where normalised frames come from: a source behind [`Preprocessed`], the
/// clips of a replay, or its cache.
pub trait Feed: Send {
    /// Waits for the next frame and fills `into` with it.
    ///
    /// # Errors
    /// The source was lost or could not be opened; text says what and why.
    fn next(&mut self, into: &mut Normalised) -> Result<Next>;

    /// Whether this is a live source: frames that are not taken in time are lost.
    fn live(&self) -> bool;
}

/// Every sampled frame of a source, normalised.
pub struct Preprocessed {
    source: Box<dyn FrameSource>,
    preprocess: Preprocess,
    frame: Frame,
}

impl Preprocessed {
    /// Feeds a model that takes `input` with what `source` gives.
    ///
    /// # Errors
    /// As [`Preprocess::new`].
    pub fn new(source: Box<dyn FrameSource>, input: &InputSpec) -> Result<Self> {
        Ok(Preprocessed {
            source,
            preprocess: Preprocess::new(input)?,
            frame: Frame::new(input.colour),
        })
    }
}

impl Feed for Preprocessed {
    fn next(&mut self, into: &mut Normalised) -> Result<Next> {
        if self.source.next(&mut self.frame)? == Next::End {
            return Ok(Next::End);
        }
        self.preprocess.run(&self.frame, &mut into.tensor)?;
        into.t = self.frame.tick_time;
        into.arrived = self.frame.arrived;
        into.reset = self.frame.reset;
        Ok(Next::Frame)
    }

    fn live(&self) -> bool {
        self.source.live()
    }
}

/// Every sampled frame of a source as the picture that was decoded.
pub struct Pictures {
    source: Box<dyn FrameSource>,
    frame: Frame,
}

impl Pictures {
    /// Hands on what `source` gives, which was asked for pictures.
    pub fn new(source: Box<dyn FrameSource>) -> Self {
        Pictures { source, frame: Frame::new(Colour::Rgb) }
    }
}

impl Feed for Pictures {
    fn next(&mut self, into: &mut Normalised) -> Result<Next> {
        // Nobody may hold a camera's memory for longer than it is needed.
        into.picture = None;
        if self.source.next(&mut self.frame)? == Next::End {
            return Ok(Next::End);
        }
        if self.frame.orientation != Orientation::default() {
            let fault = "they are to be turned upright, which this backend does not do";
            return Err(Error::config("handing decoded pictures to the model", fault)
                .remedy("set model.backend = \"tract\" for this stream"));
        }
        into.picture = self.frame.picture.take();
        into.t = self.frame.tick_time;
        into.arrived = self.frame.arrived;
        into.reset = self.frame.reset;
        Ok(Next::Frame)
    }

    fn live(&self) -> bool {
        self.source.live()
    }
}
