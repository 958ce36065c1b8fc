//! The stream's end of the way that labels come.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use super::board::{Board, Rules};
use super::post::Post;
use super::truths::ClipTime;
use crate::label::options::LabelClock;
use crate::label::track::Span;

/// What both ends share.
pub(super) struct Shared {
    board: Mutex<Board>,
    /// Whether there is anything to take: looked at once a prediction.
    fresh: AtomicBool,
    /// The newest prediction's time on the stream's clock and in seconds since
    /// 1970, as bits. They are for people to look at and may be of two
    /// predictions that follow each other.
    t: AtomicU64,
    wall: AtomicU64,
    /// Labels that came too late.
    late: AtomicU64,
}

impl Shared {
    /// The board. A panic elsewhere leaves it whole: nothing is left half done.
    pub fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is something to take. To be told while the board is held.
    pub fn tell(&self) {
        self.fresh.store(true, Ordering::Release);
    }

    /// The newest prediction's times, once there is one.
    pub fn newest(&self) -> Option<(f64, f64)> {
        let bits = |of: &AtomicU64| f64::from_bits(of.load(Ordering::Relaxed));
        let (t, wall) = (bits(&self.t), bits(&self.wall));
        (t.is_finite() && wall.is_finite()).then_some((t, wall))
    }

    pub fn late(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }
}

/// The two ends of a stream's way for labels: the [`Post`] is for those who know
/// what happens, and can be cloned; the [`Inbox`] is for the stream.
pub fn live(rules: Rules) -> (Post, Inbox) {
    let shared = Arc::new(Shared {
        board: Mutex::new(Board::new(rules)),
        fresh: AtomicBool::new(false),
        t: AtomicU64::new(f64::NAN.to_bits()),
        wall: AtomicU64::new(f64::NAN.to_bits()),
        late: AtomicU64::new(0),
    });
    (Post::new(shared.clone()), Inbox { shared })
}

/// Where a stream finds the labels that were sent for it.
pub struct Inbox {
    shared: Arc<Shared>,
}

impl Inbox {
    /// What came since the last time. `newest` is the newest prediction.
    pub(super) fn take(&self, newest: &ClipTime) -> Vec<(LabelClock, Span)> {
        self.shared.t.store(newest.t.to_bits(), Ordering::Relaxed);
        self.shared.wall.store(newest.wall.to_bits(), Ordering::Relaxed);
        if !self.shared.fresh.load(Ordering::Acquire) {
            return Vec::new();
        }
        // A stream does not wait for somebody who sends very many; it comes again.
        let mut board = match self.shared.board.try_lock() {
            Ok(board) => board,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Vec::new(),
        };
        self.shared.fresh.store(false, Ordering::Release);
        board.take()
    }

    /// Tells how many labels came too late so far.
    pub(super) fn late(&self, late: u64) {
        self.shared.late.store(late, Ordering::Relaxed);
    }

    /// Whether anybody is left who could send one, or something is there to take.
    pub(super) fn may_bring(&self) -> bool {
        Arc::strong_count(&self.shared) > 1 || self.shared.fresh.load(Ordering::Acquire)
    }
}
