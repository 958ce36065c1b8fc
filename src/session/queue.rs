//! The bounded queue of normalised frames between feeder and runner. Its
//! buffers are made when they are first needed and go round, so that in steady
//! state no frame allocates, and room for an overload costs nothing before one.

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};

use crate::clip::Normalised;

/// One normalised frame and its place in the stream.
pub(super) struct Slot {
    pub frame: Normalised,
    /// Numbered from 0 over the whole stream; a hole means that frames were dropped.
    pub index: u64,
}

/// What happens when the runner is behind and every buffer is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overflow {
    /// The feeder waits: a recording loses nothing.
    Wait,
    /// The oldest frame goes: the newest clip wins.
    DropOldest,
    /// Every waiting frame goes.
    DropAll,
}

/// A queue of `capacity` (at least 3) frames of `len` values.
pub(super) fn queue(capacity: usize, len: usize, overflow: Overflow) -> (Producer, Consumer) {
    let capacity = capacity.max(3);
    let (full_in, full_out) = bounded(capacity);
    let (free_in, free_out) = bounded(capacity);
    let steal = (overflow != Overflow::Wait).then(|| Steal {
        oldest: full_out.clone(),
        spare: free_in.clone(),
        all: overflow == Overflow::DropAll,
    });
    let live = steal.is_some();
    (
        Producer { free: free_out, full: full_in, steal, len, unmade: capacity, next: 0 },
        Consumer { full: full_out, free: free_in, live },
    )
}

/// The feeder's end.
pub(super) struct Producer {
    free: Receiver<Slot>,
    full: Sender<Slot>,
    /// For a live stream only: with this, the queue never looks disconnected
    /// to the feeder, which must heed its [`Stop`](crate::stop::Stop).
    steal: Option<Steal>,
    /// Values of a frame.
    len: usize,
    /// Buffers that there may yet be.
    unmade: usize,
    next: u64,
}

/// How a live feeder takes back what the runner has not come to.
struct Steal {
    oldest: Receiver<Slot>,
    spare: Sender<Slot>,
    all: bool,
}

impl Steal {
    fn run(&self) -> Option<Slot> {
        let slot = self.oldest.try_recv().ok()?;
        while let Some(mut other) = self.all.then(|| self.oldest.try_recv().ok()).flatten() {
            // It is a decoder's memory, of which that may have too little to go on.
            other.frame.picture = None;
            // There is room for every slot.
            let _ = self.spare.try_send(other);
        }
        Some(slot)
    }
}

impl Producer {
    /// A buffer to fill, with its index. `None` when the runner is gone.
    pub fn slot(&mut self) -> Option<Slot> {
        let mut slot = match (self.free.try_recv(), &self.steal) {
            (Ok(slot), _) => slot,
            (Err(TryRecvError::Disconnected), _) => return None,
            (Err(TryRecvError::Empty), _) if self.unmade > 0 => {
                self.unmade -= 1;
                Slot { frame: Normalised::new(self.len), index: 0 }
            }
            (_, None) => self.free.recv().ok()?,
            (_, Some(steal)) => loop {
                if let Some(slot) = steal.run() {
                    break slot;
                }
                // Between the two looks the runner took one and will give it back.
                match self.free.recv_timeout(Duration::from_millis(1)) {
                    Ok(slot) => break slot,
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return None,
                }
            },
        };
        slot.index = self.next;
        self.next += 1;
        Some(slot)
    }

    /// Gives a filled buffer to the runner. Never waits: there is room for every slot.
    pub fn send(&self, slot: Slot) {
        let _ = self.full.try_send(slot);
    }
}

/// The runner's end.
pub(super) struct Consumer {
    full: Receiver<Slot>,
    free: Sender<Slot>,
    /// Whether frames may be dropped.
    pub live: bool,
}

impl Consumer {
    /// Waits for the next frame. `None` when the feeder is gone and all is taken.
    pub fn next(&self) -> Option<Slot> {
        self.full.recv().ok()
    }

    /// Frames that wait.
    pub fn waiting(&self) -> usize {
        self.full.len()
    }

    /// Returns a buffer to be filled again.
    pub fn give_back(&self, slot: Slot) {
        let _ = self.free.try_send(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(producer: &mut Producer, frames: u32) {
        for _ in 0..frames {
            let slot = producer.slot().unwrap();
            producer.send(slot);
        }
    }

    fn drain(consumer: &Consumer) -> Vec<u64> {
        let mut indices = Vec::new();
        while consumer.waiting() > 0 {
            let slot = consumer.next().unwrap();
            indices.push(slot.index);
            consumer.give_back(slot);
        }
        indices
    }

    #[test]
    fn a_recording_waits_and_ends_when_the_runner_is_gone() {
        let (mut producer, consumer) = queue(3, 1, Overflow::Wait);
        feed(&mut producer, 3);
        assert_eq!(drain(&consumer), [0, 1, 2]);
        drop(consumer);
        while let Some(slot) = producer.slot() {
            producer.send(slot);
        }
    }

    #[test]
    fn the_newest_frames_of_a_live_stream_win() {
        let (mut producer, consumer) = queue(4, 1, Overflow::DropOldest);
        feed(&mut producer, 10);
        assert_eq!(drain(&consumer), [6, 7, 8, 9]);
        feed(&mut producer, 1);
        assert_eq!(drain(&consumer), [10]);
    }

    #[test]
    fn a_model_with_state_loses_a_whole_queue_at_once() {
        let (mut producer, consumer) = queue(4, 1, Overflow::DropAll);
        feed(&mut producer, 5);
        assert_eq!(drain(&consumer), [4]);
        feed(&mut producer, 4);
        assert_eq!(drain(&consumer), [5, 6, 7, 8]);
    }

    /// A picture is a decoder's own memory, of which it may have no more.
    #[test]
    fn what_is_dropped_holds_no_picture() {
        gstreamer::init().unwrap();
        let (mut producer, consumer) = queue(4, 0, Overflow::DropAll);
        let buffer = gstreamer::Buffer::with_size(1).unwrap();
        for _ in 0..5 {
            let mut slot = producer.slot().unwrap();
            slot.frame.picture = Some(gstreamer::Sample::builder().buffer(&buffer).build());
            producer.send(slot);
        }
        drop(consumer.next().unwrap());
        assert!(buffer.is_writable(), "somebody else holds it");
    }

    #[test]
    fn buffers_go_round() {
        let (mut producer, consumer) = queue(30, 2, Overflow::DropOldest);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..50 {
            let slot = producer.slot().unwrap();
            seen.insert(slot.frame.tensor.as_ptr() as usize);
            producer.send(slot);
            consumer.give_back(consumer.next().unwrap());
        }
        assert_eq!(seen.len(), 1, "as many as were needed at once");
    }

    #[test]
    fn the_runner_takes_what_is_left_when_the_feeder_ends() {
        let (mut producer, consumer) = queue(3, 1, Overflow::DropOldest);
        feed(&mut producer, 2);
        drop(producer);
        assert_eq!((consumer.next().unwrap().index, consumer.next().unwrap().index), (0, 1));
        // The feeder's own hold on the queue went with it.
        assert!(consumer.next().is_none());
    }
}
