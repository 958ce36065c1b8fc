//! What every way of running a model over a stream has in common.

use std::time::Duration;

use gstreamer as gst;

use super::profile::Profile;
use crate::error::{Error, Result};

/// A model running over one stream, with that stream's own state. Weights are
/// shared with other streams; state never is.
pub trait Classifier: Send {
    /// Takes one sampled, normalised frame (C×H×W f32, row-major) in stream
    /// order. With `due`, returns the logits for the clip that ends with it, or
    /// `None` while the clip (or the model's receptive field) is not yet full.
    ///
    /// # Errors
    /// The model failed or gave values that are not finite.
    fn push(&mut self, frame: &[f32], due: bool) -> Result<Option<&[f32]>>;

    /// Whether it takes decoded pictures, by [`push_picture`](Self::push_picture), in
    /// place of tensors.
    fn takes_pictures(&self) -> bool {
        false
    }

    /// As [`push`](Self::push), of the decoded picture of one sampled frame.
    ///
    /// # Errors
    /// As [`push`](Self::push), and [`Kind::Internal`](crate::error::Kind::Internal)
    /// unless [`takes_pictures`](Self::takes_pictures).
    fn push_picture(&mut self, _picture: &gst::Sample, _due: bool) -> Result<Option<&[f32]>> {
        Err(Error::internal("handing a picture to the model", "it takes tensors"))
    }

    /// Forgets every frame and state: the next frame begins a new clip.
    fn reset(&mut self);

    /// Sampled frames from a reset to the first logits.
    fn warm_up(&self) -> usize;

    /// Sampled frames from one set of logits to the next: a network with strides in time
    /// gives none in between.
    fn stride(&self) -> usize {
        1
    }

    /// How far the time that the logits speak of lies behind the newest frame.
    fn delay(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether every frame must be pushed and computed in order (`stateful`),
    /// so that leaving frames out breaks the state; `window` can skip hops.
    fn needs_every_frame(&self) -> bool;

    /// Times every operator from now on, which makes each slower by a reading of the
    /// clock.
    fn start_profile(&mut self) {}

    /// Ends timing, and gives what was timed since it began; none where it did not, or
    /// where there are no operators to be seen.
    fn take_profile(&mut self) -> Option<Profile> {
        None
    }
}
