//! What a stream learned from its labels, as it outlives the process.

use serde::{Deserialize, Serialize};

use crate::calibrate::{ConformalState, DriftState, State};

/// The state of one stream's calibrator, prediction sets and drift detectors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Learned {
    /// The calibrator's.
    pub calibrator: State,
    /// The prediction sets', where there are any.
    pub conformal: Option<ConformalState>,
    /// The drift detectors', where there are any.
    pub drift: Option<DriftState>,
}

/// Keeps what a stream learned, for the next time it runs.
pub trait Keeper: Send {
    /// What was kept last; `None` where there is nothing that can be used.
    fn load(&mut self) -> Option<Learned>;

    /// Keeps `learned`, without waiting for the disk.
    fn keep(&mut self, learned: Learned);
}
