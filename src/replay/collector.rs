//! What a session says about one video, on its way to the store.

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::report::store::{Clip, VideoWriter};
use crate::session::{Observer, Scored};

/// Writes every clip to the store.
#[derive(Clone)]
pub(super) struct Collector(Arc<Mutex<State>>);

struct State {
    writer: VideoWriter,
    crops: u32,
    given: u64,
    /// The store's own fault, which no other video would be spared either.
    fault: Option<Error>,
}

impl Collector {
    pub fn new(writer: VideoWriter, crops: u32) -> Self {
        Collector(Arc::new(Mutex::new(State { writer, crops, given: 0, fault: None })))
    }

    /// What was collected, once the session that it observed is over.
    pub fn into_parts(self) -> Result<(VideoWriter, Option<Error>)> {
        let state = Arc::try_unwrap(self.0).map_err(|_| {
            Error::internal("finishing a video", "its session is still being observed")
        })?;
        let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok((state.writer, state.fault))
    }
}

impl Observer for Collector {
    fn scored(&mut self, scored: Scored<'_>) -> Result<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        let (start, t) = (seconds(scored.start), seconds(scored.t));
        let crops = u64::from(state.crops);
        let index = u32::try_from(state.given / crops).unwrap_or(u32::MAX);
        // The remainder is less than a u32.
        let view = [index, (state.given % crops) as u32];
        state.given += 1;
        let clip = Clip { start, t, view, logits: scored.logits.to_vec() };
        state.writer.clip(&clip).inspect_err(|error| state.fault = Some(error.clone()))
    }
}

/// Seconds to the microsecond, as predictions carry them.
fn seconds(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e6
}
