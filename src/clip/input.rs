//! What a model wants to be fed: the `[input]` table of a bundle.

use serde::{Deserialize, Serialize};

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
    /// f32 values in one normalised frame: channels × height × width.
    pub fn frame_len(&self) -> usize {
        self.colour.channels() * self.size[0] * self.size[1]
    }
}
