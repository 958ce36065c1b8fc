//! How far a video is, for whoever looks on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::Result;
use crate::video::{Frame, FrameSource, Next, Recording};

/// A video's progress, shared between the one that runs it and the progress bars.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch(Arc<Nanos>);

#[derive(Debug, Default)]
struct Nanos {
    reach: AtomicU64,
    length: AtomicU64,
}

impl Watch {
    /// How far it was decoded.
    pub fn reach(&self) -> Duration {
        Duration::from_nanos(self.0.reach.load(Ordering::Relaxed))
    }

    /// How long it is, as far as is known.
    pub fn length(&self) -> Duration {
        Duration::from_nanos(self.0.length.load(Ordering::Relaxed))
    }

    pub fn set_reach(&self, reach: Duration) {
        self.0.reach.store(nanos(reach), Ordering::Relaxed);
    }

    pub fn set_length(&self, length: Duration) {
        self.0.length.store(nanos(length), Ordering::Relaxed);
    }
}

pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A source whose progress is watched.
pub(super) struct Watched {
    pub source: Box<dyn Recording>,
    pub watch: Watch,
}

impl FrameSource for Watched {
    fn next(&mut self, frame: &mut Frame) -> Result<Next> {
        let next = self.source.next(frame);
        self.watch.set_reach(self.source.reach());
        next
    }

    fn live(&self) -> bool {
        self.source.live()
    }

    fn dropped(&self) -> u64 {
        self.source.dropped()
    }
}
