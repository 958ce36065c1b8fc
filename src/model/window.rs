//! The mode `window`: the whole clip at each hop.

use std::sync::Arc;

use tract_onnx::prelude::*;

use super::classifier::Classifier;
use super::input::Input;
use super::loaded::{Allowed, check_input, only_input};
use super::network::{Network, Session};
use super::onnx::OnnxFile;
use super::profile::Profile;
use crate::clip::{InputSpec, Layout, Ring};
use crate::error::Result;

/// The shape to run `file` with: the manifest's, which the file must allow.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config): several inputs, or another
/// shape or kind of number than the manifest's.
pub(super) fn shapes(file: &OnnxFile, spec: &InputSpec, doing: &str) -> Result<Vec<Vec<usize>>> {
    let why = "several inputs, as of two-pathway models, are not supported yet in mode \"window\"";
    let shapes = [spec.clip_shape().to_vec()];
    let input = only_input(file, why, doing)?;
    check_input(input, Allowed::by_manifest(&shapes, spec), doing)?;
    Ok(shapes.into())
}

/// A model running over the clips of one stream.
pub(super) struct Window {
    session: Session,
    ring: Ring,
    layout: Layout,
    clip: Input,
    /// The output that gives the logits.
    output: usize,
    logits: Vec<f32>,
    warm_up: usize,
}

impl Window {
    pub fn new(
        network: &Arc<Network>,
        output: usize,
        spec: &InputSpec,
        classes: usize,
        doing: String,
    ) -> Result<Self> {
        Ok(Window {
            session: Session::new(network, doing),
            ring: Ring::new(spec)?,
            layout: spec.layout,
            clip: Input::new(&spec.clip_shape())?,
            output,
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
        let clip = self.clip.write(|values| self.ring.write_clip(self.layout, values))?;
        let outputs = self.session.run(tvec![clip])?;
        self.session.read(&outputs[self.output], &mut self.logits)?;
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

    fn start_profile(&mut self) {
        self.session.start_profile();
    }

    fn take_profile(&mut self) -> Option<Profile> {
        self.session.take_profile()
    }
}
