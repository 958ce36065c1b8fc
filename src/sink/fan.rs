//! One record to every sink.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use super::{Record, Sink, SinkError};

/// Whether it is worth going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// At least one sink still takes records.
    Go,
    /// Every sink is gone, the last because its reader has seen enough.
    Closed,
    /// Every sink is gone, and at least one of them failed.
    Failed,
}

struct Entry {
    sink: Box<dyn Sink>,
    /// Records lost since one last got through.
    losing: u64,
}

struct State {
    entries: Vec<Entry>,
    lost: u64,
    failed: bool,
}

/// The sinks that all streams of a daemon write to. No sink can harm another,
/// nor the streams: one that loses records is reported and kept, one that
/// panics is reported and left out.
pub struct Sinks(Mutex<State>);

impl Sinks {
    /// Writes to each of `sinks`.
    pub fn new(sinks: Vec<Box<dyn Sink>>) -> Self {
        let entries = sinks.into_iter().map(|sink| Entry { sink, losing: 0 }).collect();
        Sinks(Mutex::new(State { entries, lost: 0, failed: false }))
    }

    /// Gives `record` to every sink.
    pub fn write(&self, record: Record<'_>) -> Flow {
        // A sink that panics is caught below, so a poisoned lock holds a sound state.
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        state.entries.retain_mut(|entry| {
            match catch_unwind(AssertUnwindSafe(|| entry.sink.write(record))) {
                Ok(Ok(())) => {
                    if entry.losing > 0 {
                        log::warn!(
                            "{} takes lines again; {} were lost",
                            entry.sink.name(),
                            entry.losing
                        );
                        entry.losing = 0;
                    }
                    true
                }
                Ok(Err(SinkError::Lost(why))) => {
                    // Said once for each outage: at 8 lines a second a full
                    // disk would otherwise fill the log as well.
                    if entry.losing == 0 {
                        log::error!("{} loses lines: {why}", entry.sink.name());
                    }
                    entry.losing += 1;
                    state.lost += 1;
                    true
                }
                Ok(Err(SinkError::Closed)) => {
                    log::info!("{} was closed by its reader", entry.sink.name());
                    false
                }
                Err(_) => {
                    log::error!("{} panicked and is left out from now on", entry.sink.name());
                    state.lost += 1;
                    state.failed = true;
                    false
                }
            }
        });
        match (state.entries.is_empty(), state.failed) {
            (false, _) => Flow::Go,
            (true, false) => Flow::Closed,
            (true, true) => Flow::Failed,
        }
    }

    /// Records that a sink lost, over all sinks.
    pub fn lost(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).lost
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::predict::{EndedBy, Event, EventKind};

    struct Scripted(Arc<AtomicU64>, Vec<Result<(), SinkError>>);

    impl Sink for Scripted {
        fn name(&self) -> String {
            "scripted".into()
        }

        fn write(&mut self, _: Record<'_>) -> Result<(), SinkError> {
            if self.1.is_empty() {
                panic!("the script is over");
            }
            let outcome = self.1.remove(0);
            self.0.fetch_add(u64::from(outcome.is_ok()), Ordering::Relaxed);
            outcome
        }
    }

    fn scripted(outcomes: &[Result<(), SinkError>]) -> (Box<dyn Sink>, Arc<AtomicU64>) {
        let written = Arc::new(AtomicU64::new(0));
        (Box::new(Scripted(written.clone(), outcomes.to_vec())), written)
    }

    fn event() -> Event {
        Event {
            v: 1,
            kind: EventKind,
            stream: "gate".into(),
            label: "wave".into(),
            start: 0.0,
            end: 1.0,
            peak: 0.9,
            ended_by: EndedBy::Off,
            at: String::new(),
        }
    }

    #[test]
    fn a_sink_that_loses_lines_is_kept_and_counted() {
        let lost = || Err(SinkError::Lost("disk full".into()));
        let (a, a_written) = scripted(&[lost(), lost(), Ok(())]);
        let (b, b_written) = scripted(&[Ok(()), Ok(()), Ok(())]);
        let sinks = Sinks::new(vec![a, b]);
        for _ in 0..3 {
            assert_eq!(sinks.write(Record::Event(&event())), Flow::Go);
        }
        assert_eq!(sinks.lost(), 2);
        assert_eq!((a_written.load(Ordering::Relaxed), b_written.load(Ordering::Relaxed)), (1, 3));
    }

    #[test]
    fn a_closed_sink_ends_only_itself_and_the_last_one_ends_all() {
        let (a, _) = scripted(&[Err(SinkError::Closed)]);
        let (b, _) = scripted(&[Ok(()), Err(SinkError::Closed)]);
        let sinks = Sinks::new(vec![a, b]);
        assert_eq!(sinks.write(Record::Event(&event())), Flow::Go);
        assert_eq!(sinks.write(Record::Event(&event())), Flow::Closed);
    }

    #[test]
    fn a_panicking_sink_is_left_out() {
        let (a, _) = scripted(&[]);
        let (b, written) = scripted(&[Ok(()), Ok(())]);
        let sinks = Sinks::new(vec![a, b]);
        assert_eq!(sinks.write(Record::Event(&event())), Flow::Go);
        assert_eq!(sinks.write(Record::Event(&event())), Flow::Go);
        assert_eq!((written.load(Ordering::Relaxed), sinks.lost()), (2, 1));
        assert_eq!(sinks.write(Record::Event(&event())), Flow::Failed);
    }
}
