//! What a network is fed: memory for an input that is written anew for each run.

use std::sync::Arc;

use tract_onnx::prelude::*;

use crate::clip::{InputSpec, Layout, Ring};
use crate::error::{Error, Result};

/// An input of f32 values. Its memory is kept from run to run.
pub(super) struct Input {
    tensor: Arc<Tensor>,
    shape: Vec<usize>,
}

impl Input {
    pub fn new(shape: &[usize]) -> Result<Self> {
        let tensor = Arc::new(Tensor::zero::<f32>(shape).map_err(no_memory)?);
        Ok(Input { tensor, shape: shape.to_vec() })
    }

    /// What `write` makes of it, as a value for the network.
    pub fn write(&mut self, write: impl FnOnce(&mut [f32]) -> Result<()>) -> Result<TValue> {
        if Arc::get_mut(&mut self.tensor).is_none() {
            // The engine kept the last one, as it may after a fault.
            self.tensor = Arc::new(Tensor::zero::<f32>(&self.shape).map_err(no_memory)?);
        }
        if let Some(tensor) = Arc::get_mut(&mut self.tensor) {
            let mut view = tensor.try_as_plain_ram_mut().map_err(no_memory)?;
            write(view.as_slice_mut().map_err(no_memory)?)?;
        }
        Ok(self.tensor.clone().into_tvalue())
    }
}

/// An input of one frame.
pub(super) struct FrameInput {
    /// Of one frame: it brings the frame into the layout.
    ring: Ring,
    layout: Layout,
    input: Input,
}

impl FrameInput {
    /// The shapes that such an input can have: a clip's with T = 1, and without T.
    pub fn shapes(spec: &InputSpec) -> [Vec<usize>; 2] {
        let with_time = InputSpec { frames: 1, ..spec.clone() }.clip_shape().to_vec();
        let mut without = with_time.clone();
        without.remove(match spec.layout {
            Layout::NCTHW => 2,
            Layout::NTCHW | Layout::NTHWC => 1,
        });
        [with_time, without]
    }

    pub fn new(spec: &InputSpec, shape: &[usize]) -> Result<Self> {
        Ok(FrameInput {
            ring: Ring::new(&InputSpec { frames: 1, ..spec.clone() })?,
            layout: spec.layout,
            input: Input::new(shape)?,
        })
    }

    /// A frame (channels × height × width) as a value for the network.
    pub fn take(&mut self, frame: &[f32]) -> Result<TValue> {
        self.ring.push(frame)?;
        self.input.write(|values| self.ring.write_clip(self.layout, values))
    }
}

pub(super) fn no_memory(error: TractError) -> Error {
    Error::internal("making room for the model's input", format!("{error:#}"))
}
