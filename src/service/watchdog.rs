//! When systemd's watchdog is fed, and when it must not be.
//!
//! The rule, in order:
//!
//! 1. A stream whose source is live must predict. It is **well** while its pictures
//!    and its predictions are fresh.
//! 2. A stream that does not get pictures (its camera is away, stands still or is
//!    being looked for), that has failed with a message, or that has ended is
//!    **excused**: starting the daemon again would not bring a camera back.
//! 3. A stream in which a part of ours hangs (its model, a sink, or the thread that
//!    watches its source) **hangs**. It goes on to count as hanging when its threads
//!    were given up and it was started again, until it predicts.
//! 4. The watchdog is fed while any stream is well. Where none is, it is fed unless
//!    one hangs.
//!
//! So a daemon whose every camera is unplugged lives, one hanging stream among
//! others that are well does not take them down, and a daemon in which nothing is
//! well because something hangs is killed and started again.

use std::time::{Duration, Instant};

use crate::session::Part;
use crate::video::State;

/// How long a stream may take to start before it counts as hung: its model's
/// state is built, its state file is read, its source is set up.
const START: Duration = Duration::from_secs(120);

/// What is seen of one stream. Lengths of time are ages.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Of its source.
    pub state: State,
    /// Whether pictures come as they should.
    pub fresh: bool,
    /// For how long it has been starting, while it is.
    pub starting: Option<Duration>,
    /// Who has had hold of its thread for how long.
    pub busy: Option<(Part, Duration)>,
    /// Of the newest sampled frame.
    pub frame: Option<Duration>,
    /// Of the newest prediction.
    pub prediction: Option<Duration>,
    /// Since the clip was begun anew, or before that, since the session began.
    pub clip: Option<Duration>,
    /// How long after the clip was begun anew, or after a prediction, the next one
    /// is due at the latest.
    pub due: Duration,
    /// It was started again after it hung, and has not predicted since.
    pub blamed: bool,
}

/// How a stream is, as far as the watchdog is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Well,
    Excused,
    Hangs(Hang),
}

/// What hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hang {
    Start,
    Model,
    Sink,
    Source,
    /// Frames come in, and no prediction comes out.
    Silent,
    /// It hung before.
    Before,
}

impl Hang {
    /// In words, after the stream's name.
    pub fn text(self) -> &'static str {
        match self {
            Hang::Start => "does not come to its start",
            Hang::Model => "its model hangs",
            Hang::Sink => "a sink takes no more lines",
            Hang::Source => "the thread of its source hangs",
            Hang::Silent => "frames come in but no prediction comes out",
            Hang::Before => "it hung, and has not predicted since it was started again",
        }
    }

    /// Whether giving the stream's threads up and starting it again may help.
    pub fn is_its_own(self) -> bool {
        matches!(self, Hang::Start | Hang::Model | Hang::Source)
    }
}

/// Judges one stream. A step of a model or a line to a sink may take `patience`.
pub(super) fn judge(seen: &Seen, patience: Duration) -> Verdict {
    match seen.busy {
        Some((Part::Model, age)) if age > patience => return Verdict::Hangs(Hang::Model),
        Some((Part::Sink, age)) if age > patience => return Verdict::Hangs(Hang::Sink),
        _ => {}
    }
    if seen.starting.is_some_and(|age| age > START) {
        return Verdict::Hangs(Hang::Start);
    }
    if seen.state == State::Live && !seen.fresh {
        return Verdict::Hangs(Hang::Source);
    }
    if seen.blamed {
        return Verdict::Hangs(Hang::Before);
    }
    if seen.starting.is_some() || seen.state != State::Live {
        return Verdict::Excused;
    }
    let limit = seen.due + patience;
    let young = |age: Option<Duration>| age.is_some_and(|age| age <= limit);
    if young(seen.prediction) {
        Verdict::Well
    } else if !young(seen.frame) || young(seen.clip) {
        // Pictures from which no frame can be sampled (their times stand still), or a
        // clip that is not full yet.
        Verdict::Excused
    } else {
        Verdict::Hangs(Hang::Silent)
    }
}

/// Whether the watchdog is to be fed.
pub(super) fn is_fed(verdicts: impl IntoIterator<Item = Verdict>) -> bool {
    let mut hangs = false;
    for verdict in verdicts {
        match verdict {
            Verdict::Well => return true,
            Verdict::Excused => {}
            Verdict::Hangs(_) => hangs = true,
        }
    }
    !hangs
}

/// Feeds it, at least twice in its interval.
pub(super) struct Watchdog {
    every: Duration,
    next: Instant,
    /// Whether it was fed the last time, to tell once of each change.
    fed: bool,
}

impl Watchdog {
    /// For systemd's `interval`; fed at once.
    pub fn new(interval: Duration, now: Instant) -> Self {
        Watchdog { every: interval / 3, next: now, fed: true }
    }

    /// How often it has to be looked at.
    pub fn every(&self) -> Duration {
        self.every
    }

    /// Whether it is to be fed now: it is due, and the rule says so.
    pub fn feeds(&mut self, now: Instant, fed: bool) -> bool {
        if fed != self.fed {
            match fed {
                true => log::info!("the watchdog is fed again"),
                false => {
                    log::error!("no stream is well and one hangs: the watchdog is not fed any more")
                }
            }
            self.fed = fed;
        }
        let due = now >= self.next;
        if due && fed {
            self.next = now + self.every;
        }
        due && fed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A stream that is well: a clip of 4 s and a prediction each second.
    fn well() -> Seen {
        Seen {
            state: State::Live,
            fresh: true,
            starting: None,
            busy: None,
            frame: Some(s(0)),
            prediction: Some(s(1)),
            clip: Some(s(3600)),
            due: s(5),
            blamed: false,
        }
    }

    fn hangs(hang: Hang) -> Verdict {
        Verdict::Hangs(hang)
    }

    #[test]
    fn each_stream_is_judged_by_its_own_part() {
        let before_a_prediction = Seen { prediction: None, ..well() };
        let time_lapse = Seen { frame: Some(s(60)), due: s(600), ..well() };
        let cases = [
            ("all is well", well(), Verdict::Well),
            (
                "a step takes its time",
                Seen { busy: Some((Part::Model, s(30))), ..well() },
                Verdict::Well,
            ),
            (
                "a model hangs",
                Seen { busy: Some((Part::Model, s(31))), ..well() },
                hangs(Hang::Model),
            ),
            (
                "a model hangs while the camera is away",
                Seen { busy: Some((Part::Model, s(31))), state: State::BackingOff, ..well() },
                hangs(Hang::Model),
            ),
            (
                "a sink blocks",
                Seen { busy: Some((Part::Sink, s(31))), ..well() },
                hangs(Hang::Sink),
            ),
            ("its supervisor hangs", Seen { fresh: false, ..well() }, hangs(Hang::Source)),
            (
                "no prediction, and no reason",
                Seen { prediction: Some(s(36)), ..well() },
                hangs(Hang::Silent),
            ),
            ("none ever", before_a_prediction.clone(), hangs(Hang::Silent)),
            (
                "the clip fills",
                Seen { clip: Some(s(35)), ..before_a_prediction.clone() },
                Verdict::Excused,
            ),
            (
                "pictures whose times stand still",
                Seen { frame: Some(s(36)), prediction: Some(s(36)), ..well() },
                Verdict::Excused,
            ),
            (
                "no frame yet",
                Seen { frame: None, clip: None, ..before_a_prediction },
                Verdict::Excused,
            ),
            (
                "a picture a minute",
                Seen { prediction: Some(s(599)), ..time_lapse.clone() },
                Verdict::Well,
            ),
            (
                "a picture a minute, hung",
                Seen { prediction: Some(s(631)), ..time_lapse },
                hangs(Hang::Silent),
            ),
            ("it starts", Seen { starting: Some(s(120)), ..well() }, Verdict::Excused),
            ("it starts and starts", Seen { starting: Some(s(121)), ..well() }, hangs(Hang::Start)),
            (
                "started again after it hung",
                Seen { starting: Some(s(1)), blamed: true, ..well() },
                hangs(Hang::Before),
            ),
            (
                "waiting to be started again after it hung",
                Seen { state: State::BackingOff, blamed: true, ..well() },
                hangs(Hang::Before),
            ),
        ];
        for (what, seen, verdict) in cases {
            assert_eq!(judge(&seen, PATIENCE), verdict, "{what}");
        }
        for state in
            [State::Connecting, State::Stalled, State::BackingOff, State::Failed, State::Ended]
        {
            let away = Seen { state, fresh: false, prediction: Some(s(90_000)), ..well() };
            assert_eq!(judge(&away, PATIENCE), Verdict::Excused, "{state:?}");
        }
    }

    #[test]
    fn it_is_fed_unless_something_hangs_and_nothing_is_well() {
        use Verdict::{Excused, Well};
        let hung = hangs(Hang::Model);
        for (verdicts, fed) in [
            (&[][..], true),
            (&[Excused, Excused], true),
            (&[Well, hung], true),
            (&[hung, Well], true),
            (&[hung], false),
            (&[Excused, hung], false),
            (&[hung, hung, Excused], false),
        ] {
            assert_eq!(is_fed(verdicts.iter().copied()), fed, "{verdicts:?}");
        }
    }

    /// A day on a simulated clock: a camera away for eight hours, then a model that
    /// hangs.
    #[test]
    fn a_camera_that_is_away_for_hours_kills_nobody_and_a_hung_model_does() {
        let begun = Instant::now();
        let mut watchdog = Watchdog::new(s(60), begun);
        let (mut last, mut killed) = (begun, None);
        let hung_from = 20 * 3600;
        for second in 0..24 * 3600 {
            let seen = match second {
                0..3_600 => well(),
                3_600..32_400 => Seen {
                    state: State::BackingOff,
                    fresh: false,
                    prediction: Some(s(second - 3_600)),
                    ..well()
                },
                _ if second >= hung_from => Seen {
                    busy: Some((Part::Model, s(second - hung_from))),
                    prediction: Some(s(second - hung_from)),
                    ..well()
                },
                _ => well(),
            };
            let now = begun + s(second);
            if watchdog.feeds(now, is_fed([judge(&seen, PATIENCE)])) {
                last = now;
            }
            if now - last > s(60) {
                killed = Some(second);
                break;
            }
        }
        let killed = killed.expect("a kill");
        assert!((hung_from + 60..=hung_from + 30 + 61).contains(&killed), "{killed}");
    }

    #[test]
    fn it_is_fed_more_than_twice_in_its_interval() {
        let begun = Instant::now();
        let mut watchdog = Watchdog::new(s(30), begun);
        let fed = (0..300).filter(|t| watchdog.feeds(begun + s(*t), true)).count();
        assert_eq!(fed, 30);
        assert!(watchdog.every() <= s(15));
    }
}
