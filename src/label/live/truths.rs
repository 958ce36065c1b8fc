//! What is known of one stream so far.

use std::time::Duration;

use super::board::Tracks;
use super::inbox::Inbox;
use crate::label::options::LabelClock;
use crate::label::track::{Span, Track};

/// Labels that came while a stream ran and are still of use; more come only
/// where somebody labels the same minutes over and over.
const MOST_LIVE: usize = 65_536;
/// Labels that are kept longer than any prediction waits for them, seconds.
const MARGIN: f64 = 60.0;
/// Late labels that come closer together than this are one burst, seconds.
const BURST: f64 = 60.0;

/// When a clip was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipTime {
    /// Its first frame, seconds on the stream's own clock.
    pub start: f64,
    /// The time its prediction speaks of, seconds on the stream's own clock.
    pub t: f64,
    /// The same instant as a time of day, seconds since 1970.
    pub wall: f64,
}

impl ClipTime {
    /// From when to when, on a clock.
    fn on(&self, clock: LabelClock) -> (f64, f64) {
        match clock {
            LabelClock::Stream => (self.start, self.t),
            LabelClock::Wall => (self.wall - (self.t - self.start), self.wall),
        }
    }
}

/// What is known about a clip.
#[derive(Clone, Debug, PartialEq)]
pub enum Known<'a> {
    /// These labels.
    Labels(Labels<'a>),
    /// None so far, but one may yet come.
    NotYet,
    /// None, and none will come.
    Never,
}

/// The labels of a clip. At least one holds at its time, but of a multi-label
/// stream with a label file, where no label means that none of the classes holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Labels<'a> {
    /// Whether what holds is the same over the whole of it, so that it can be
    /// scored as one clip.
    pub whole: bool,
    /// Those that hold over the whole of it.
    pub clip: Vec<&'a str>,
    /// Those that hold at the time its prediction speaks of, in the order in
    /// which they began.
    pub at: Vec<&'a str>,
}

/// All labels of one stream: from files, which are finished, and from an
/// [`Inbox`], from which more may come.
pub struct Truths {
    stream: String,
    files: Tracks,
    live: Tracks,
    inbox: Option<Inbox>,
    wait: f64,
    multi_label: bool,
    /// Whether a file says what holds when.
    filed: bool,
    /// The last clip that was given up, and the last that was scored.
    given_up: Option<ClipTime>,
    used: Option<ClipTime>,
    taken: u64,
    late: u64,
    /// When late labels were last seen, and last told of, seconds since 1970.
    burst: Option<f64>,
}

impl Truths {
    /// Nothing is known of `stream`.
    pub fn new(stream: &str) -> Self {
        Truths {
            stream: stream.to_owned(),
            files: Tracks::default(),
            live: Tracks::default(),
            inbox: None,
            wait: 0.0,
            multi_label: false,
            filed: false,
            given_up: None,
            used: None,
            taken: 0,
            late: 0,
            burst: None,
        }
    }

    /// The same with the labels of a file.
    #[must_use]
    pub fn with_track(mut self, track: Track, clock: LabelClock) -> Self {
        *self.files.on_mut(clock) = track;
        self.filed = true;
        self
    }

    /// The same of a stream in which any number of classes hold at a time: where
    /// its label file names none, none holds; and a clip in which one comes or
    /// goes has no single answer.
    #[must_use]
    pub fn multi_label(mut self) -> Self {
        self.multi_label = true;
        self
    }

    /// The same with labels that come while the stream runs. A prediction waits
    /// for them at most `wait`.
    #[must_use]
    pub fn with_inbox(mut self, inbox: Inbox, wait: Duration) -> Self {
        self.inbox = Some(inbox);
        self.wait = wait.as_secs_f64();
        self
    }

    /// Whether labels may still come, so that predictions are worth keeping.
    pub fn waits(&self) -> bool {
        self.inbox.as_ref().is_some_and(Inbox::may_bring)
    }

    /// How long a prediction waits for its label.
    pub fn wait(&self) -> Duration {
        Duration::from_secs_f64(self.wait)
    }

    /// Labels that came while the stream ran.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Of these, those that came too late for some of their predictions.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// What is known about a clip.
    pub fn over(&self, clip: &ClipTime) -> Known<'_> {
        let mut labels = Labels::default();
        let mut changes = false;
        for clock in [LabelClock::Stream, LabelClock::Wall] {
            let (start, t) = clip.on(clock);
            for track in [self.files.on(clock), self.live.on(clock)] {
                for span in track.spans_at(t) {
                    labels.at.push(span.label.as_str());
                    if span.start <= start {
                        labels.clip.push(span.label.as_str());
                    } else {
                        changes = true;
                    }
                }
                if self.multi_label {
                    changes |= track.spans_over(start, t).any(|s| s.start > start || s.end <= t);
                }
            }
        }
        labels.whole = if self.multi_label { !changes } else { !labels.clip.is_empty() };
        if !labels.at.is_empty() || (self.multi_label && self.filed && !self.waits()) {
            Known::Labels(labels)
        } else if self.waits() {
            Known::NotYet
        } else {
            Known::Never
        }
    }

    /// Takes what came since the last time, and returns how many labels that
    /// were. `newest` is the newest prediction. To be called once a prediction:
    /// where nothing came it costs next to nothing. Where something did, every
    /// clip that waits is to be looked at again before the next call.
    pub fn take(&mut self, newest: &ClipTime) -> usize {
        let Some(inbox) = &self.inbox else { return 0 };
        let fresh = inbox.take(newest);
        if fresh.is_empty() {
            return 0;
        }
        let late = fresh.iter().filter(|(clock, span)| self.is_late(*clock, span));
        let late: Vec<f64> = late.map(|(clock, span)| newest.on(*clock).1 - span.end).collect();
        let count = fresh.len();
        self.taken += count as u64;
        let (stream, wall): (Vec<_>, Vec<_>) =
            fresh.into_iter().partition(|(clock, _)| *clock == LabelClock::Stream);
        let keep = 2.0 * self.wait + (newest.t - newest.start) + MARGIN;
        for (clock, fresh) in [(LabelClock::Stream, stream), (LabelClock::Wall, wall)] {
            let track = self.live.on_mut(clock);
            // Only what was here before: what is fresh may be about clips that have
            // waited much longer on this clock, of a recording played fast.
            track.forget_before(newest.on(clock).1 - keep);
            track.extend(fresh.into_iter().map(|(_, span)| span));
            track.keep_last(MOST_LIVE);
        }
        if !late.is_empty() {
            self.tell(&late, newest.wall);
        }
        count
    }

    /// A clip of which nothing was known ([`Known::NotYet`]) waits no longer.
    pub fn given_up(&mut self, clip: &ClipTime) {
        self.given_up = Some(*clip);
    }

    /// A clip was scored by what was known of it.
    pub fn used(&mut self, clip: &ClipTime) {
        self.used = Some(*clip);
    }

    /// Whether a label would have been one of a clip's that is done with: of one
    /// that was given up, or of one that was scored by another label alone.
    fn is_late(&self, clock: LabelClock, span: &Span) -> bool {
        let until = |clip: &ClipTime| clip.on(clock).1;
        if self.given_up.as_ref().is_some_and(|clip| span.start <= until(clip)) {
            return true;
        }
        let Some(used) = self.used.as_ref().map(until).filter(|used| span.start <= *used) else {
            return false;
        };
        let end = span.end.min(used);
        let mut others = self
            .files
            .on(clock)
            .spans_over(span.start, end)
            .chain(self.live.on(clock).spans_over(span.start, end));
        others.next().is_some()
    }

    /// Counts late labels, by how long before the newest prediction each ended,
    /// and logs the first of a burst.
    fn tell(&mut self, late: &[f64], now: f64) {
        self.late += late.len() as u64;
        if let Some(inbox) = &self.inbox {
            inbox.late(self.late);
        }
        let quiet = self.burst.is_none_or(|last| (now - last).abs() >= BURST);
        self.burst = Some(now);
        if quiet {
            log::warn!(
                "stream \"{}\": {} came after predictions under {} were given up, the oldest {:.0} s after its end; {} so far. Remedy: send labels sooner, or set a longer labels.wait",
                self.stream,
                if late.len() == 1 {
                    "a label".to_owned()
                } else {
                    format!("{} labels", late.len())
                },
                if late.len() == 1 { "it" } else { "them" },
                late.iter().copied().fold(0.0, f64::max),
                self.late
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Claims, Post, Rules, live};
    use super::*;
    use crate::label::aliases::Aliases;

    const NOON: f64 = 1_795_348_800.0;

    /// A clip of one second whose stream began at noon.
    fn clip(t: f64) -> ClipTime {
        ClipTime { start: t - 1.0, t, wall: NOON + t }
    }

    fn truths(multi_label: bool, wait: u64) -> (Post, Truths) {
        let classes = ["idle", "wave"].map(String::from).to_vec();
        let aliases = Aliases::new(&classes);
        let clock = LabelClock::Stream;
        let (post, inbox) =
            live(Rules { stream: "gate".into(), classes, aliases, multi_label, clock });
        (post, Truths::new("gate").with_inbox(inbox, Duration::from_secs(wait)))
    }

    fn track(spans: &[(f64, f64, &str)]) -> Track {
        let span =
            |&(start, end, label): &(f64, f64, &str)| Span { start, end, label: label.into() };
        Track::new(spans.iter().map(span).collect())
    }

    fn send(post: &Post, csv: &str) {
        let text = format!("label,start,end\n{csv}\n");
        let receipt = post.send(Claims::from_csv(text.as_bytes(), LabelClock::Stream).unwrap());
        assert_eq!(receipt.refusals, 0, "{receipt:?}");
    }

    fn labels<'a>(clip: &[&'a str], at: &[&'a str]) -> Known<'a> {
        Known::Labels(Labels { whole: !clip.is_empty(), clip: clip.to_vec(), at: at.to_vec() })
    }

    #[test]
    fn labels_of_a_file_are_known_at_once_and_elsewhere_never() {
        let file = track(&[(0.0, 5.0, "idle"), (5.0, 9.0, "wave")]);
        let truths = Truths::new("gate").with_track(file, LabelClock::Stream);
        assert!(!truths.waits());
        assert_eq!(truths.over(&clip(4.0)), labels(&["idle"], &["idle"]));
        assert_eq!(truths.over(&clip(5.5)), labels(&[], &["wave"]));
        assert_eq!(truths.over(&clip(9.0)), Known::Never);
        assert_eq!(Truths::new("gate").over(&clip(1.0)), Known::Never);
    }

    #[test]
    fn labels_by_the_time_of_day_meet_the_same_clips() {
        let file = track(&[(NOON, NOON + 5.0, "idle"), (NOON + 5.0, NOON + 9.0, "wave")]);
        let truths = Truths::new("gate").with_track(file, LabelClock::Wall);
        assert_eq!(truths.over(&clip(1.0)), labels(&["idle"], &["idle"]));
        assert_eq!(truths.over(&clip(5.5)), labels(&[], &["wave"]));
        assert_eq!(truths.over(&clip(6.0)), labels(&["wave"], &["wave"]));
        assert_eq!(truths.over(&clip(9.5)), Known::Never);
        let broken = ClipTime { wall: f64::NAN, ..clip(6.0) };
        assert_eq!(truths.over(&broken), Known::Never);
    }

    #[test]
    fn a_clip_waits_for_a_label_until_it_comes() {
        let (post, mut truths) = truths(false, 600);
        assert_eq!(truths.over(&clip(2.0)), Known::NotYet);
        assert_eq!(truths.take(&clip(2.0)), 0);
        send(&post, "wave,0,3\nidle,3,4");
        // Nothing changes until the stream takes it.
        assert_eq!(truths.over(&clip(2.0)), Known::NotYet);
        assert_eq!(truths.take(&clip(4.0)), 2);
        assert_eq!(truths.over(&clip(2.0)), labels(&["wave"], &["wave"]));
        assert_eq!(truths.over(&clip(3.5)), labels(&[], &["idle"]));
        assert_eq!(truths.over(&clip(4.0)), Known::NotYet);
        assert_eq!((truths.taken(), truths.late()), (2, 0));
        assert_eq!(post.listing(9).newest, Some((4.0, NOON + 4.0)));
    }

    #[test]
    fn once_nobody_can_send_any_more_nothing_is_waited_for() {
        let (post, mut truths) = truths(false, 600);
        send(&post, "wave,0,3");
        drop(post);
        // What was sent still counts.
        assert!(truths.waits());
        assert_eq!(truths.take(&clip(2.0)), 1);
        assert!(!truths.waits());
        assert_eq!(truths.over(&clip(2.0)), labels(&["wave"], &["wave"]));
        assert_eq!(truths.over(&clip(7.0)), Known::Never);
    }

    #[test]
    fn a_label_that_comes_after_its_clips_were_given_up_is_counted() {
        let (post, mut truths) = truths(false, 10);
        truths.given_up(&clip(5.0));
        send(&post, "wave,0,3\nidle,4,8\nwave,8,9");
        assert_eq!(truths.take(&clip(20.0)), 3);
        // The second still labels what lies after 5 s; the third is in time.
        assert_eq!(truths.late(), 2);
        assert_eq!(truths.over(&clip(7.0)), labels(&["idle"], &["idle"]));
        assert_eq!(post.listing(9).late, 2);
        send(&post, "idle,9,12");
        truths.take(&clip(21.0));
        assert_eq!(truths.late(), 2);
    }

    #[test]
    fn a_second_label_for_a_clip_that_was_scored_is_late() {
        let (post, mut truths) = truths(true, 600);
        send(&post, "wave,0,3");
        truths.take(&clip(2.0));
        truths.used(&clip(2.0));
        send(&post, "idle,1,3\nidle,2.5,4\nidle,5,6");
        truths.take(&clip(6.0));
        assert_eq!(truths.late(), 1);
        assert_eq!(truths.over(&clip(2.9)), labels(&["wave", "idle"], &["wave", "idle", "idle"]));
    }

    #[test]
    fn a_label_finds_clips_that_have_waited_long_on_the_stream_s_clock() {
        let (post, mut truths) = truths(false, 10);
        send(&post, "wave,0,3");
        assert_eq!(truths.take(&clip(1e6)), 1);
        assert_eq!(truths.over(&clip(2.0)), labels(&["wave"], &["wave"]));
        send(&post, "idle,3,4");
        truths.take(&clip(1e6));
        assert_eq!(truths.over(&clip(2.0)), Known::NotYet);
    }

    #[test]
    fn what_no_clip_can_need_any_more_is_forgotten() {
        let (post, mut truths) = truths(false, 10);
        for i in 0..2000 {
            send(&post, &format!("wave,{i},{}", i + 1));
            truths.take(&clip(f64::from(i)));
        }
        let kept = truths.live.on(LabelClock::Stream).spans().len();
        assert!((20..120).contains(&kept), "{kept}");
        assert_eq!((truths.taken(), truths.late()), (2000, 0));
    }
}
