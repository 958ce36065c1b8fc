//! How many clients there are at once, and who has to leave when more come.

use std::net::Shutdown;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::listener::Stream;

/// Clients at once. Others wait in the system's queue.
const MOST: usize = 16;
/// A client that has been there for so long leaves when another waits.
const PATIENCE: Duration = Duration::from_secs(1);

/// The clients that are there.
#[derive(Clone)]
pub(super) struct Doors(Arc<Inner>);

struct Inner {
    guests: Mutex<Guests>,
    changed: Condvar,
}

#[derive(Default)]
struct Guests {
    here: Vec<Guest>,
    next: u64,
    closed: bool,
}

struct Guest {
    id: u64,
    since: Instant,
    stream: Stream,
    /// Was told to leave.
    told: bool,
}

/// A client's place. It is free again when this goes.
pub(super) struct Ticket {
    doors: Doors,
    id: u64,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.doors.guests().here.retain(|guest| guest.id != self.id);
        self.doors.0.changed.notify_all();
    }
}

impl Doors {
    pub fn new() -> Self {
        Doors(Arc::new(Inner { guests: Mutex::default(), changed: Condvar::new() }))
    }

    fn guests(&self) -> MutexGuard<'_, Guests> {
        self.0.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is a place and takes it for this client. Where all are
    /// taken, the client that has been there longest leaves once it has been
    /// there for [`PATIENCE`]. None when the doors are closed.
    pub fn enter(&self, stream: Stream) -> Option<Ticket> {
        let mut guests = self.guests();
        while !guests.closed && guests.here.len() >= MOST {
            let oldest = guests.here.iter_mut().find(|guest| !guest.told);
            let wait = match oldest {
                Some(guest) => {
                    let left = PATIENCE.saturating_sub(guest.since.elapsed());
                    if left.is_zero() {
                        guest.told = true;
                        guest.stream.shutdown(Shutdown::Both);
                        continue;
                    }
                    left
                }
                None => PATIENCE,
            };
            guests =
                self.0.changed.wait_timeout(guests, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
        if guests.closed {
            return None;
        }
        let id = guests.next;
        guests.next += 1;
        guests.here.push(Guest { id, since: Instant::now(), stream, told: false });
        Some(Ticket { doors: self.clone(), id })
    }

    pub fn are_closed(&self) -> bool {
        self.guests().closed
    }

    /// Nobody enters any more, and those who are there leave.
    pub fn close(&self) {
        let mut guests = self.guests();
        guests.closed = true;
        guests.here.iter().for_each(|guest| guest.stream.shutdown(Shutdown::Both));
        self.0.changed.notify_all();
    }

    /// Waits until all have left, at most `patience`.
    pub fn wait_until_empty(&self, patience: Duration) {
        let guests = self.guests();
        let left = self.0.changed.wait_timeout_while(guests, patience, |g| !g.here.is_empty());
        drop(left.unwrap_or_else(PoisonError::into_inner));
    }
}
