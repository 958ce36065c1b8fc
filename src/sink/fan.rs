//! One record to every sink.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::record::{Kept, Lost};
use super::{Record, Sink, SinkError};
use crate::clock::{Clock, SystemClock};
use crate::outbox::{Cause, Outbox, Outlet, Phase, Standing};
use crate::stamp::rfc3339;
use crate::stop::Stop;

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

/// What a stream does about a sink that is behind.
#[derive(Clone, Copy, Debug)]
pub enum Patience<'a> {
    /// Nothing: a live stream goes on, and the oldest records that wait are lost.
    None,
    /// Waits until every sink has taken the record, as nothing of a recording may
    /// be lost; not for long once this is asked.
    Until(&'a Stop),
}

/// The sinks that all streams of a daemon write to. No sink can harm another,
/// nor the streams: one that is slow, blocked or refuses records has its own queue
/// and thread, one that panics is left out.
pub struct Sinks(Vec<Outbox<Arc<Kept>>>);

impl Sinks {
    /// Writes to each of `sinks`; without any, records go nowhere.
    pub fn new(sinks: Vec<Box<dyn Sink>>) -> Self {
        let start = |s: Box<dyn Sink>| Outbox::start(s.name(), s.queue_bytes(), Place(s));
        Sinks(sinks.into_iter().map(start).collect())
    }

    /// Gives `record` to every sink.
    pub fn write(&self, record: Record<'_>, patience: Patience<'_>) -> Flow {
        if self.0.is_empty() {
            return Flow::Go;
        }
        let kept = Arc::new(Kept::of(record));
        let weight = kept.weight();
        match patience {
            Patience::None => self.0.iter().for_each(|outbox| {
                outbox.send(kept.clone(), weight, false);
            }),
            Patience::Until(stop) => {
                let sent: Vec<u64> =
                    self.0.iter().map(|outbox| outbox.send(kept.clone(), weight, true)).collect();
                self.0.iter().zip(sent).for_each(|(outbox, number)| outbox.wait(number, stop));
            }
        }
        self.flow()
    }

    fn flow(&self) -> Flow {
        let mut failed = false;
        for outbox in &self.0 {
            match outbox.phase() {
                Phase::Open => return Flow::Go,
                Phase::Closed => {}
                Phase::Failed => failed = true,
            }
        }
        if failed { Flow::Failed } else { Flow::Closed }
    }

    /// Records that were lost on their way, over all sinks.
    pub fn lost(&self) -> u64 {
        self.0.iter().map(|outbox| outbox.standing().lost).sum()
    }

    /// How things stand with each sink, in the order of the configuration.
    pub fn standing(&self) -> Vec<Standing> {
        self.0.iter().map(Outbox::standing).collect()
    }

    /// Waits until every sink has taken all that was written so far, or is gone.
    pub fn settle(&self) {
        self.0.iter().for_each(Outbox::settle);
    }

    /// Ends the sinks: what waits is written, and what is held back let out. Of one
    /// that hangs for longer than `patience`, what it was still given is lost, and
    /// counted. Nothing may be written after this.
    pub fn finish(&self, patience: Duration) {
        self.0.iter().for_each(Outbox::end);
        let until = Instant::now() + patience;
        self.0.iter().for_each(|outbox| outbox.ended(until));
    }
}

/// A sink at the end of its queue.
struct Place(Box<dyn Sink>);

impl Outlet<Arc<Kept>> for Place {
    fn put(&mut self, item: &Arc<Kept>) -> Result<(), SinkError> {
        self.0.write(item.record())
    }

    fn gap(&mut self, lost: u64, cause: Cause) -> Result<(), SinkError> {
        let at = rfc3339(SystemClock.wall());
        self.0.write(Record::Lost(&Lost::new(lost, cause, at)))
    }

    fn flush(&mut self, all: bool) -> Result<Option<Duration>, SinkError> {
        self.0.flush(all)
    }

    fn held(&self) -> u64 {
        self.0.held()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use super::*;
    use crate::predict::{EndedBy, Event, EventKind};
    use crate::rolling::FileOptions;

    const WAITING: usize = FileOptions::QUEUE_BYTES;

    /// What a sink does with its next records, and what it was given.
    #[derive(Default)]
    struct Script {
        outcomes: Vec<Result<(), SinkError>>,
        /// It hangs while this is so.
        hangs: bool,
        given: Vec<String>,
    }

    #[derive(Clone, Default)]
    struct Scripted(Arc<(Mutex<Script>, Condvar)>);

    impl Scripted {
        fn new(outcomes: &[Result<(), SinkError>]) -> Self {
            let scripted = Scripted::default();
            scripted.0.0.lock().unwrap().outcomes = outcomes.to_vec();
            scripted
        }

        fn hang(&self, hangs: bool) {
            self.0.0.lock().unwrap().hangs = hangs;
            self.0.1.notify_all();
        }

        fn given(&self) -> Vec<String> {
            self.0.0.lock().unwrap().given.clone()
        }
    }

    impl Sink for Scripted {
        fn name(&self) -> String {
            "scripted".into()
        }

        fn write(&mut self, record: Record<'_>) -> Result<(), SinkError> {
            let mut script = self.0.0.lock().unwrap();
            while script.hangs {
                script = self.0.1.wait(script).unwrap();
            }
            let said = match record {
                Record::Event(event) => event.label.clone(),
                Record::Lost(lost) => format!("{} lost: {:?}", lost.lines, lost.why),
                other => panic!("{other:?}"),
            };
            let outcome =
                if script.outcomes.is_empty() { Ok(()) } else { script.outcomes.remove(0) };
            if outcome.is_ok() {
                script.given.push(said);
            }
            drop(script);
            assert!(outcome != Err(SinkError::Lost("panic".into())));
            outcome
        }
    }

    fn event(label: &str) -> Event {
        Event {
            v: 1,
            kind: EventKind,
            stream: "gate".into(),
            label: label.into(),
            start: 0.0,
            end: 1.0,
            peak: 0.9,
            ended_by: EndedBy::Off,
            at: String::new(),
        }
    }

    fn write(sinks: &Sinks, label: &str) -> Flow {
        sinks.write(Record::Event(&event(label)), Patience::Until(&Stop::default()))
    }

    fn sinks(of: &[&Scripted]) -> Sinks {
        Sinks::new(of.iter().map(|&s| Box::new(s.clone()) as Box<dyn Sink>).collect())
    }

    #[test]
    fn a_sink_that_loses_records_is_kept_counts_them_and_tells_its_readers() {
        let lost = || Err(SinkError::Lost("no".into()));
        let (a, b) = (Scripted::new(&[lost(), Ok(()), lost()]), Scripted::default());
        let sinks = sinks(&[&a, &b]);
        for label in ["0", "1", "2"] {
            assert_eq!(write(&sinks, label), Flow::Go);
        }
        assert_eq!(sinks.lost(), 2);
        let standing = sinks.standing();
        assert_eq!((standing[0].lost, standing[0].written), (2, 1));
        assert_eq!((standing[1].lost, standing[1].written), (0, 3));
        assert_eq!(a.given(), ["1 lost: Failed", "1 lost: Failed", "2"]);
        assert_eq!(b.given(), ["0", "1", "2"]);
    }

    #[test]
    fn what_a_sink_refuses_for_now_is_offered_again_and_nothing_is_lost() {
        let later = || Err(SinkError::Later("full".into()));
        let a = Scripted::new(&[Ok(()), later(), later()]);
        let sinks = sinks(&[&a]);
        for label in ["0", "1", "2"] {
            assert_eq!(write(&sinks, label), Flow::Go);
        }
        assert_eq!((a.given(), sinks.lost()), (vec!["0".into(), "1".into(), "2".into()], 0));
        assert_eq!(sinks.standing()[0].fault, None);
    }

    #[test]
    fn a_closed_sink_ends_only_itself_and_the_last_one_ends_all() {
        let closed = || Err(SinkError::Closed);
        let (a, b) = (Scripted::new(&[closed()]), Scripted::new(&[Ok(()), closed()]));
        let sinks = sinks(&[&a, &b]);
        assert_eq!(write(&sinks, "0"), Flow::Go);
        assert_eq!(write(&sinks, "1"), Flow::Closed);
    }

    #[test]
    fn a_panicking_sink_is_left_out() {
        let panics = || Err(SinkError::Lost("panic".into()));
        let (a, b) = (Scripted::new(&[panics()]), Scripted::new(&[Ok(()), Ok(()), panics()]));
        let sinks = sinks(&[&a, &b]);
        assert_eq!(write(&sinks, "0"), Flow::Go);
        assert_eq!(write(&sinks, "1"), Flow::Go);
        assert_eq!((b.given().len(), sinks.lost()), (2, 1));
        assert_eq!(write(&sinks, "2"), Flow::Failed);
    }

    #[test]
    fn a_sink_that_hangs_holds_up_neither_a_live_stream_nor_another_sink() {
        let (a, b) = (Scripted::default(), Scripted::default());
        let sinks = sinks(&[&a, &b]);
        a.hang(true);
        let records = WAITING / 512 * 3;
        for k in 0..records {
            assert_eq!(
                sinks.write(Record::Event(&event(&k.to_string())), Patience::None),
                Flow::Go
            );
            if k % 1000 == 0 {
                sinks.0[1].settle();
            }
        }
        sinks.0[1].settle();
        assert_eq!(b.given().len(), records, "the other one has them all");
        let standing = &sinks.standing()[0];
        assert!(standing.lost > 0 && standing.waiting <= (WAITING / 512) as u64, "{standing:?}");
        a.hang(false);
        sinks.settle();
        // The one in hand, a single hole with its size, and then the newest, in order.
        let given = a.given();
        let lost = sinks.lost();
        assert_eq!(given[..2], ["0".to_owned(), format!("{lost} lost: Slow")]);
        let rest: Vec<String> = (lost as usize + 1..records).map(|k| k.to_string()).collect();
        assert_eq!(given[2..], rest);
        assert_eq!(sinks.standing()[0].written + lost, records as u64);
    }

    #[test]
    fn a_recording_waits_for_a_sink_that_hangs_until_it_is_asked_to_end() {
        let a = Scripted::default();
        let sinks = sinks(&[&a]);
        a.hang(true);
        let stop = Stop::default();
        let (heard, done) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                sinks.write(Record::Event(&event("0")), Patience::Until(&stop));
                heard.send(()).unwrap();
            });
            assert!(done.recv_timeout(Duration::from_millis(300)).is_err(), "it did not wait");
            stop.ask();
            done.recv_timeout(Duration::from_secs(60)).expect("it ends");
        });
        // Neither does the end wait for ever, and what is lost is counted.
        sinks.finish(Duration::from_millis(300));
        assert_eq!(sinks.lost(), 1);
        a.hang(false);
    }

    #[test]
    fn what_waits_at_the_end_is_written_and_said() {
        let a = Scripted::default();
        let sinks = sinks(&[&a]);
        for k in 0..100 {
            sinks.write(Record::Event(&event(&k.to_string())), Patience::None);
        }
        sinks.finish(Duration::from_secs(60));
        assert_eq!((a.given().len(), sinks.lost()), (100, 0));
        assert_eq!(sinks.flow(), Flow::Closed);
    }
}
