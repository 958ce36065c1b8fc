//! A sampled frame, and the trait by which a session gets them.

use std::time::{Duration, Instant};

use gstreamer as gst;

use crate::error::Result;

/// The colour channels that a model takes, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub enum Colour {
    /// Red, green, blue: three channels.
    #[serde(rename = "RGB")]
    Rgb,
    /// Blue, green, red: three channels (Caffe-era and OpenVINO models).
    #[serde(rename = "BGR")]
    Bgr,
    /// Luma alone, full range: one channel.
    #[serde(rename = "GRAY")]
    Gray,
}

impl Colour {
    /// How many channels this is.
    pub fn channels(self) -> usize {
        match self {
            Colour::Rgb | Colour::Bgr => 3,
            Colour::Gray => 1,
        }
    }
}

/// How a decoded picture must be turned to stand upright: the eight EXIF
/// orientations, as GStreamer's `image-orientation` tag carries them.
/// Rotations are clockwise; a flip mirrors left and right and comes after the
/// rotation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orientation {
    /// Quarter turns clockwise, 0 to 3.
    pub quarters: u8,
    /// Mirror left and right after turning.
    pub flip: bool,
}

/// Why the clip ring and every model state were emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reset {
    /// The first frame of a stream.
    Start,
    /// Presentation times jumped forward by more than `max_gap`.
    Gap,
    /// Presentation times went backwards.
    Backwards,
    /// The source was lost and opened again.
    Reconnect,
    /// Frames were dropped because the model could not keep up.
    Overload,
    /// The model failed, or gave a value that is no number.
    Fault,
    /// The next of several clips that a replay cuts out of a recording; never
    /// seen by a daemon.
    Clip,
}

/// One sampled frame. The same value is filled again and again, so that in
/// steady state nothing is allocated.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Interleaved pixels, rows top to bottom without padding:
    /// `height × width × colour.channels()` bytes, as decoded (not yet turned).
    pub data: Vec<u8>,
    /// Width in pixels, as decoded.
    pub width: usize,
    /// Height in pixels, as decoded.
    pub height: usize,
    /// What the bytes of a pixel are.
    pub colour: Colour,
    /// Pixel aspect ratio, width over height, as a fraction; (1, 1) is square.
    pub pixel_aspect: (u32, u32),
    /// How to turn the picture upright.
    pub orientation: Orientation,
    /// The time this frame stands for on the stream's own clock: that of its
    /// sampler tick, not of the picture that was nearest to it.
    pub tick_time: Duration,
    /// Presentation time of the picture itself.
    pub pts: Duration,
    /// When the picture arrived (for latency only).
    pub arrived: Instant,
    /// Set on the first frame after a start, a gap or a reconnect: the frames
    /// before it do not belong to the same clip.
    pub reset: Option<Reset>,
    /// The decoded picture itself, where that is wanted; the frame then holds no pixels.
    pub picture: Option<gst::Sample>,
}

impl Frame {
    /// An empty frame to be filled by a [`FrameSource`].
    pub fn new(colour: Colour) -> Self {
        Frame {
            data: Vec::new(),
            width: 0,
            height: 0,
            colour,
            pixel_aspect: (1, 1),
            orientation: Orientation::default(),
            tick_time: Duration::ZERO,
            pts: Duration::ZERO,
            arrived: Instant::now(),
            reset: None,
            picture: None,
        }
    }
}

/// What a call of [`FrameSource::next`] brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The frame was filled.
    Frame,
    /// A recording ended; nothing more will come.
    End,
}

/// Where sampled frames come from: GStreamer, or a simulated twin in tests.
pub trait FrameSource: Send {
    /// Waits for the next sampled frame and fills `frame` with it.
    ///
    /// # Errors
    /// The source was lost or could not be opened; text says what and why.
    fn next(&mut self, frame: &mut Frame) -> Result<Next>;

    /// Whether this is a live source: frames that are not taken in time are
    /// lost, and losing the source is not its end.
    fn live(&self) -> bool;

    /// Pictures that a live source lost since it was opened because they were
    /// not taken in time.
    fn dropped(&self) -> u64 {
        0
    }
}

/// A source that may be a recording: what a replay asks of it besides its frames.
pub trait Recording: FrameSource {
    /// The length that a recording's header announces, once its first picture
    /// came; `None` where it announces none. To be asked before the first
    /// [`next`](FrameSource::next).
    ///
    /// # Errors
    /// What [`next`](FrameSource::next) would have told: nothing can be decoded.
    fn length(&mut self) -> Result<Option<Duration>>;

    /// Samples at `times` after the first picture instead of at a rate, and ends
    /// with the last of them; see [`Sampler::at`](crate::video::Sampler::at). To
    /// be called before the first [`next`](FrameSource::next).
    fn sample_at(&mut self, times: Vec<Duration>);

    /// How far the recording was decoded: the end of its newest picture.
    fn reach(&self) -> Duration;
}
