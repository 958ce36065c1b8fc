//! The operators of a video network and how they are joined.

use crate::model::kernels::{Activation, PoolKind};

/// The most frames that a convolution or a pool may span: as many as a clip may have.
pub(super) const MOST_TAPS: usize = 64;

/// A node's place in [`Graph::nodes`].
pub type NodeId = usize;

/// A network: its nodes in an order in which each stands after its inputs.
#[derive(Clone, Debug)]
pub struct Graph {
    pub nodes: Vec<Node>,
    /// Whose one frame of 1×1 pixels is the logits.
    pub output: NodeId,
}

/// One operator.
#[derive(Clone, Debug)]
pub struct Node {
    /// As the ONNX file calls it (or the tensor that it gives).
    pub name: String,
    pub op: Op,
    /// What it reads. `Conv`: the picture, then, where it has one, the channel scale,
    /// then the residual.
    pub inputs: Vec<NodeId>,
    /// What it gives for a whole clip.
    pub shape: Shape,
}

/// Frames of one node over a whole clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub frames: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

/// What a node does. Where time is concerned, the output frame `j` of a node with
/// stride `s`, `k` taps and padding `p` in time has the input frames `s·j - p` to
/// `s·j - p + k - 1`.
#[derive(Clone, Debug)]
pub enum Op {
    /// The frames of the clip or stream.
    Input,
    /// A convolution, dense or depthwise.
    Conv(Box<Conv>),
    /// The largest or the mean of a neighbourhood.
    Pool { kind: PoolKind, kernel: [usize; 3], stride: [usize; 3], pad: Pad },
    /// The mean over a frame's pixels: each frame becomes one of 1×1 pixels.
    SpaceMean,
    /// The mean over all frames of the clip: one frame. In a stream: over the last ones.
    TimeMean,
    /// A function of each value.
    Activation(Activation),
    /// `activation(x · scale + offset)` with constants for each channel.
    Affine { scale: Vec<f32>, offset: Vec<f32>, activation: Activation },
    /// `activation(a + b)`. Where one has one frame or 1×1 pixels and the other more, it
    /// counts for all of them; that one stands second.
    Add(Activation),
    /// `activation(a · b)`, as `Add`.
    Multiply(Activation),
    /// The channels of all inputs, one after the other.
    Concat,
    /// Over the channels of each pixel.
    Softmax,
}

/// Before and after, in time, down, across.
pub type Pad = [[usize; 2]; 3];

/// A convolution.
#[derive(Clone, Debug)]
pub struct Conv {
    /// Taps in time, down, across.
    pub kernel: [usize; 3],
    /// In time, down, across.
    pub stride: [usize; 3],
    /// Between taps in time; 1 where they follow each other. In space it is always 1.
    pub dilation: usize,
    pub pad: Pad,
    /// Whether each channel is convolved by itself; else every output sees every input.
    pub depthwise: bool,
    /// Outputs × inputs (1 if depthwise) × time × down × across.
    pub weights: Vec<f32>,
    /// A value for each output.
    pub bias: Vec<f32>,
    /// The picture is multiplied by the node's second input, a value for each channel,
    /// and this is done to it, before it is convolved. Only 1×1×1 of stride 1.
    pub before: Option<Activation>,
    /// The node's last input is added to the sum, before `after`.
    pub residual: bool,
    pub after: Activation,
}
