//! What a model wants to be fed: the `[input]` table of a bundle.

use serde::{Deserialize, Serialize};

use super::Ring;
use crate::error::{Error, Result};
use crate::video::Colour;

/// The order of a clip tensor's axes: batch, channels, time, height, width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layout {
    /// X3D, R(2+1)D, I3D, SlowFast and most others.
    NCTHW,
    /// TSM, TimeSformer, VideoMAE (Hugging Face).
    NTCHW,
    /// TensorFlow models.
    NTHWC,
}

/// How a frame is brought to the model's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resize {
    /// Scale the short side to `size`'s short side, keep the aspect ratio, cut
    /// out the centre.
    ShortSide,
    /// Scale to `size`, aspect ratio not kept: nothing at the edges is lost.
    Stretch,
    /// Scale the whole picture into `size`, aspect ratio kept, and fill the
    /// rest with the mean (zero after normalising).
    Letterbox,
}

/// Which part of the long side a short-side resize keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Crop {
    /// The left of a wide picture, the top of a tall one.
    First,
    /// The centre, as a daemon does.
    #[default]
    Centre,
    /// The right of a wide picture, the bottom of a tall one.
    Last,
}

impl Crop {
    /// The three spatial crops of a "×3 views" protocol, in PySlowFast's order
    /// (`uniform_crop` in slowfast/datasets/transform.py, `spatial_idx` 0 to 2).
    pub const THREE: [Crop; 3] = [Crop::First, Crop::Centre, Crop::Last];
}

/// The `[input]` table of `model.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Order of the tensor's axes.
    #[serde(default = "ncthw")]
    pub layout: Layout,
    /// T: sampled frames in a clip.
    pub frames: usize,
    /// Sampled frames a second.
    pub rate: f64,
    /// Height and width in pixels.
    pub size: [usize; 2],
    /// How frames are brought to `size`.
    pub resize: Resize,
    /// Low-pass filter before shrinking (Pillow's and torchvision's
    /// `antialias=True`). PyTorchVideo's zoo models were trained without.
    #[serde(default)]
    pub antialias: bool,
    /// Channels and their order.
    pub colour: Colour,
    /// Mean of each channel, of pixel values in 0..1.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, of pixel values in 0..1.
    pub std: Vec<f32>,
}

fn ncthw() -> Layout {
    Layout::NCTHW
}

impl InputSpec {
    /// The longest side that a model may ask for, in pixels: well above every
    /// published video model, and low enough that a slip of the pen does not
    /// ask for all of a board's memory.
    pub const LONGEST_SIDE: usize = 4096;

    /// The most bytes of a clip. X3D-L, of 16 frames of 312×312, takes 18 MiB.
    pub const LARGEST_CLIP: u64 = 1 << 30;

    /// f32 values in one normalised frame: channels × height × width.
    pub fn frame_len(&self) -> usize {
        self.colour.channels() * self.size[0] * self.size[1]
    }

    /// The shape of a clip's tensor, with a batch of one.
    pub fn clip_shape(&self) -> [usize; 5] {
        let (t, c, [h, w]) = (self.frames, self.colour.channels(), self.size);
        match self.layout {
            Layout::NCTHW => [1, c, t, h, w],
            Layout::NTCHW => [1, t, c, h, w],
            Layout::NTHWC => [1, t, h, w, c],
        }
    }

    /// Whether every value is possible; `doing` opens the error's text.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config), naming the key and what
    /// was expected.
    pub fn check(&self, doing: &str) -> Result<()> {
        let fault = |fault: String| Err(Error::config(doing, fault));
        if self.frames == 0 || self.frames > Ring::CAPACITY {
            return fault(format!(
                "input.frames: {} frames; expected 1 to {}",
                self.frames,
                Ring::CAPACITY
            ));
        }
        if !(self.rate.is_finite() && self.rate > 0.0) {
            return fault(format!(
                "input.rate: {}; expected sampled frames a second, more than 0",
                self.rate
            ));
        }
        if self.size.iter().any(|side| !(1..=Self::LONGEST_SIDE).contains(side)) {
            return fault(format!(
                "input.size: {:?}; expected height and width of 1 to {} pixels",
                self.size,
                Self::LONGEST_SIDE
            ));
        }
        let channels = self.colour.channels();
        let clip = [self.frames, channels, self.size[0], self.size[1]];
        let bytes = clip.iter().fold(4, |all: u64, n| all.saturating_mul(*n as u64));
        if bytes > Self::LARGEST_CLIP {
            return fault(format!(
                "input.frames and input.size: a clip of {} frames of {:?} takes {} MiB; the limit is {} MiB",
                self.frames,
                self.size,
                bytes >> 20,
                Self::LARGEST_CLIP >> 20
            ));
        }
        for (key, values) in [("mean", &self.mean), ("std", &self.std)] {
            if values.len() != channels {
                return fault(format!(
                    "input.{key}: {} values; expected {channels}, one for each channel of {:?}",
                    values.len(),
                    self.colour
                ));
            }
            if values.iter().any(|value| !value.is_finite()) {
                return fault(format!("input.{key}: {values:?}; expected finite numbers"));
            }
        }
        if self.std.iter().any(|&std| std <= 0.0) {
            return fault(format!("input.std: {:?}; expected numbers above 0", self.std));
        }
        Ok(())
    }
}
