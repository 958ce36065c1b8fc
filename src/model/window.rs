//! The mode `window`: the whole clip at each hop.

use std::sync::Arc;

use tract_onnx::prelude::*;

use super::classifier::Classifier;
use super::network::{Network, Session};
use super::onnx::OnnxFile;
use crate::clip::{InputSpec, Layout, Ring};
use crate::error::{Error, Result};

/// The shape to run `file` with: the manifest's, which the file must allow.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config): several inputs, or another
/// shape or kind of number than the manifest's.
pub(super) fn shapes(file: &OnnxFile, spec: &InputSpec, doing: &str) -> Result<Vec<Vec<usize>>> {
    let [input] = file.inputs.as_slice() else {
        let names: Vec<_> = file.inputs.iter().map(|input| format!("\"{}\"", input.name)).collect();
        return Err(Error::config(
            doing,
            format!(
                "it has {} inputs ({}); several inputs, as of two-pathway models, are not supported \
                 yet in mode \"window\"",
                names.len(),
                names.join(", ")
            ),
        ));
    };
    let shape = spec.clip_shape();
    super::loaded::check_input(input, &[&shape], spec, doing)?;
    Ok(vec![shape.to_vec()])
}

/// A model running over the clips of one stream.
pub(super) struct Window {
    session: Session,
    ring: Ring,
    layout: Layout,
    /// The network's input, written anew for each run and not kept by it.
    clip: Arc<Tensor>,
    shape: Vec<usize>,
    logits: Vec<f32>,
    warm_up: usize,
}

impl Window {
    pub fn new(
        network: &Arc<Network>,
        spec: &InputSpec,
        classes: usize,
        doing: String,
    ) -> Result<Self> {
        let shape = spec.clip_shape().to_vec();
        Ok(Window {
            session: Session::new(network, doing),
            ring: Ring::new(spec)?,
            layout: spec.layout,
            clip: Arc::new(Tensor::zero::<f32>(&shape).map_err(no_memory)?),
            shape,
            logits: vec![0.0; classes],
            warm_up: spec.frames,
        })
    }
}

impl Classifier for Window {
    fn push(&mut self, frame: &[f32], due: bool) -> Result<Option<&[f32]>> {
        self.ring.push(frame)?;
        if !due || !self.ring.is_full() {
            return Ok(None);
        }
        if Arc::get_mut(&mut self.clip).is_none() {
            // The engine kept the last clip, as it may after a fault.
            self.clip = Arc::new(Tensor::zero::<f32>(&self.shape).map_err(no_memory)?);
        }
        if let Some(clip) = Arc::get_mut(&mut self.clip) {
            let mut view = clip.try_as_plain_ram_mut().map_err(no_memory)?;
            self.ring.write_clip(self.layout, view.as_slice_mut().map_err(no_memory)?)?;
        }
        let outputs = self.session.run(tvec![self.clip.clone().into_tvalue()])?;
        self.session.read(&outputs[0], &mut self.logits)?;
        Ok(Some(&self.logits))
    }

    fn reset(&mut self) {
        self.ring.clear();
    }

    fn warm_up(&self) -> usize {
        self.warm_up
    }

    fn needs_every_frame(&self) -> bool {
        false
    }
}

pub(super) fn no_memory(error: TractError) -> Error {
    Error::internal("making room for the model's input", format!("{error:#}"))
}
