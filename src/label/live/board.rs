//! What has been said of one stream, and the rules by which it is taken.

use super::claim::{Claim, Receipt, Refusal, Why};
use crate::label::aliases::Aliases;
use crate::label::options::LabelClock;
use crate::label::seconds;
use crate::label::track::{Span, Track};
use crate::label::wall;

/// Spans that may wait for the stream to take them.
const MOST_FRESH: usize = 16_384;
/// Spans of each clock that are remembered, to know overlaps and repetitions.
const MOST_KEPT: usize = 16_384;
/// A longer label is a slip.
const LONGEST_LABEL: usize = 1000;

/// By what the claims about a stream are judged.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The stream's name.
    pub stream: String,
    /// The model's classes, in index order.
    pub classes: Vec<String>,
    /// From labels to these classes.
    pub aliases: Aliases,
    /// Whether several labels may hold at once.
    pub multi_label: bool,
    /// The clock of a claim that names none.
    pub clock: LabelClock,
}

/// A label that began and has not ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Open {
    pub label: String,
    pub start: f64,
    pub clock: LabelClock,
}

/// What to do with a label that the model does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// Refuse it: whoever sent it is there to hear of it.
    Refuse,
    /// Keep it as it is: time under it is not scored.
    Keep,
}

pub(super) struct Board {
    rules: Rules,
    /// From files that were read at the start, by clock.
    fixed: Tracks,
    /// What was said since, by clock.
    said: Tracks,
    open: Option<Open>,
    /// What the stream has not taken yet.
    fresh: Vec<(LabelClock, Span)>,
    taken: u64,
}

/// A track for each clock.
#[derive(Clone, Debug, Default)]
pub(super) struct Tracks {
    stream: Track,
    wall: Track,
}

impl Tracks {
    pub fn on(&self, clock: LabelClock) -> &Track {
        match clock {
            LabelClock::Stream => &self.stream,
            LabelClock::Wall => &self.wall,
        }
    }

    pub fn on_mut(&mut self, clock: LabelClock) -> &mut Track {
        match clock {
            LabelClock::Stream => &mut self.stream,
            LabelClock::Wall => &mut self.wall,
        }
    }
}

/// What a claim comes to.
enum Outcome {
    Taken,
    Known,
    Ignored,
}

impl Board {
    pub fn new(rules: Rules) -> Self {
        Board {
            rules,
            fixed: Tracks::default(),
            said: Tracks::default(),
            open: None,
            fresh: Vec::new(),
            taken: 0,
        }
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    pub fn open(&self) -> Option<&Open> {
        self.open.as_ref()
    }

    /// Spans that were taken, ever.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// The spans that are remembered, on one clock.
    pub fn said(&self, clock: LabelClock) -> &[Span] {
        self.said.on(clock).spans()
    }

    /// Labels from a file that overlaps are held against too.
    pub fn fix(&mut self, track: &Track, clock: LabelClock) {
        *self.fixed.on_mut(clock) = track.clone();
    }

    /// What the stream has not taken yet.
    pub fn take(&mut self) -> Vec<(LabelClock, Span)> {
        std::mem::take(&mut self.fresh)
    }

    /// How many spans the stream has not taken yet.
    pub fn waiting(&self) -> usize {
        self.fresh.len()
    }

    /// Takes what stands to reason of the claims, each by itself. `places` says
    /// where each stood in what was sent.
    pub fn offer(&mut self, claims: &[(usize, Claim)], unknown: Unknown, receipt: &mut Receipt) {
        for (place, claim) in claims {
            match self.one(claim, unknown) {
                Ok(Outcome::Taken) => receipt.taken += 1,
                Ok(Outcome::Known) => receipt.known += 1,
                Ok(Outcome::Ignored) => receipt.ignored += 1,
                Err(refusal) => receipt.refuse(*place, refusal),
            }
        }
    }

    fn one(&mut self, claim: &Claim, unknown: Unknown) -> Result<Outcome, Refusal> {
        for (what, time) in [("start", claim.start), ("end", claim.end)] {
            // A span of a whole recording has no end.
            if let Some(time) = time.filter(|t| unknown == Unknown::Refuse || *t != f64::INFINITY) {
                check_time(what, time, claim.clock)?;
            }
        }
        let Some(label) = &claim.label else {
            return match (claim.start, claim.end) {
                (None, Some(end)) => self.close(end, claim.clock),
                _ => Err(Refusal::invalid("there is no label", EXPECTED)),
            };
        };
        let Some(start) = claim.start else {
            return Err(Refusal::invalid("there is no start", EXPECTED));
        };
        if self.rules.aliases.ignored(label) {
            return Ok(Outcome::Ignored);
        }
        let label = self.class(label, unknown)?;
        match claim.end {
            None => self.begin(Open { label, start, clock: claim.clock }),
            Some(end) if end <= start => Err(Refusal::invalid(
                format!(
                    "the end at {} is not after the start at {}",
                    time(end, claim.clock),
                    time(start, claim.clock)
                ),
                "the end is the first instant at which the label holds no more",
            )),
            Some(end) => self.span(Span { start, end, label }, claim.clock),
        }
    }

    fn class(&self, label: &str, unknown: Unknown) -> Result<String, Refusal> {
        if label.trim().is_empty() || label.len() > LONGEST_LABEL {
            let fault = format!("a label of {} bytes", label.trim().len());
            return Err(Refusal::invalid(fault, "name one of the model's classes"));
        }
        let aliases = &self.rules.aliases;
        match (aliases.class(label), unknown) {
            (Some(class), _) => Ok(class.to_owned()),
            (None, Unknown::Keep) => Ok(label.to_owned()),
            (None, Unknown::Refuse) => {
                let shown: String = label.chars().take(60).collect();
                let remedy = match aliases.nearest(label) {
                    Some(near) => format!("write \"{near}\"?"),
                    None => {
                        let some: Vec<_> =
                            self.rules.classes.iter().take(12).map(String::as_str).collect();
                        let more = self.rules.classes.len() > some.len();
                        let more = if more { ", …" } else { "" };
                        format!("name one of the model's classes: {}{more}", some.join(", "))
                    }
                };
                let fault = format!("\"{shown}\" is none of the model's classes");
                Err(Refusal::invalid(fault, remedy))
            }
        }
    }

    /// A label that holds until something else is said.
    fn begin(&mut self, next: Open) -> Result<Outcome, Refusal> {
        if self.rules.multi_label {
            return Err(Refusal::invalid(
                "there is no end; where several labels may hold at once, each needs its own",
                EXPECTED,
            ));
        }
        if self.open.as_ref() == Some(&next) || self.begins(&next) {
            return Ok(Outcome::Known);
        }
        if let Some(span) = self.overlapping(next.start, f64::INFINITY, next.clock) {
            return Err(overlap(span, next.clock));
        }
        self.close_for(next.start, next.clock)?;
        self.open = Some(next);
        Ok(Outcome::Taken)
    }

    /// Whether this was said before, and has ended since.
    fn begins(&self, open: &Open) -> bool {
        let same = |s: &Span| s.start == open.start && s.label == open.label;
        self.said.on(open.clock).spans().iter().rev().any(same)
    }

    /// What holds, ends.
    fn close(&mut self, end: f64, clock: LabelClock) -> Result<Outcome, Refusal> {
        if self.open.is_none() {
            if self.said.on(clock).spans().iter().rev().any(|span| span.end == end) {
                return Ok(Outcome::Known);
            }
            let fault = "no label is open that could end";
            return Err(Refusal::new(Why::Conflict, fault, "send a label with its start first"));
        }
        self.close_for(end, clock)?;
        Ok(Outcome::Taken)
    }

    /// Ends what is open, if anything is, because something begins or ends at `at`.
    fn close_for(&mut self, at: f64, clock: LabelClock) -> Result<(), Refusal> {
        let Some(open) = &self.open else { return Ok(()) };
        if open.clock != clock {
            let fault = format!(
                "\"{}\" is open on the {} clock, and this is on the other",
                open.label,
                open.clock.name()
            );
            return Err(Refusal::new(Why::Conflict, fault, "use one clock for both"));
        }
        if at <= open.start {
            let fault = format!(
                "\"{}\" is open since {}, which is not before {}",
                open.label,
                time(open.start, clock),
                time(at, clock)
            );
            return Err(Refusal::new(Why::Conflict, fault, "send them in the order of time"));
        }
        self.room()?;
        if let Some(open) = self.open.take() {
            self.put(Span { start: open.start, end: at, label: open.label }, clock);
        }
        Ok(())
    }

    fn span(&mut self, span: Span, clock: LabelClock) -> Result<Outcome, Refusal> {
        let same =
            |tracks: &Tracks| tracks.on(clock).spans_over(span.start, span.end).any(|s| *s == span);
        if same(&self.said) || same(&self.fixed) {
            return Ok(Outcome::Known);
        }
        if !self.rules.multi_label {
            if let Some(other) = self.overlapping(span.start, span.end, clock) {
                return Err(overlap(other, clock));
            }
            // What is open ends where the next one begins.
            if self.open.as_ref().is_some_and(|open| open.clock == clock && span.end > open.start) {
                self.close_for(span.start, clock)?;
            }
        }
        self.room()?;
        self.put(span, clock);
        Ok(Outcome::Taken)
    }

    fn overlapping(&self, start: f64, end: f64, clock: LabelClock) -> Option<&Span> {
        let mut over = self.said.on(clock).spans_over(start, end);
        over.next().or_else(|| self.fixed.on(clock).spans_over(start, end).next())
    }

    fn room(&self) -> Result<(), Refusal> {
        if self.fresh.len() < MOST_FRESH {
            return Ok(());
        }
        let fault = format!(
            "{MOST_FRESH} labels wait for stream \"{}\", which takes none at the moment",
            self.rules.stream
        );
        Err(Refusal::new(Why::Full, fault, "send it again when the stream runs"))
    }

    fn put(&mut self, span: Span, clock: LabelClock) {
        self.taken += 1;
        let said = self.said.on_mut(clock);
        said.insert(span.clone());
        said.keep_last(MOST_KEPT);
        self.fresh.push((clock, span));
    }
}

const EXPECTED: &str = "send {\"label\": …, \"start\": …, \"end\": …}";

fn check_time(what: &str, time: f64, clock: LabelClock) -> Result<(), Refusal> {
    match clock {
        LabelClock::Wall if wall::sound(time) => Ok(()),
        LabelClock::Stream if seconds::sound(time) => Ok(()),
        LabelClock::Wall => Err(Refusal::invalid(
            format!("the {what} {time} is no time of day"),
            "expected RFC 3339 or seconds since 1970",
        )),
        LabelClock::Stream if time < 0.0 => Err(Refusal::invalid(
            format!("the {what} {time} s lies before the stream begins"),
            "the stream's own clock begins at 0 s",
        )),
        LabelClock::Stream => Err(Refusal::invalid(
            format!("the {what} {time} s is no time on a stream's own clock"),
            "times of day have \"clock\": \"wall\"",
        )),
    }
}

fn overlap(span: &Span, clock: LabelClock) -> Refusal {
    let fault = format!(
        "it overlaps \"{}\" from {} to {}, and only one label can hold at a time",
        span.label,
        time(span.start, clock),
        time(span.end, clock)
    );
    Refusal::new(Why::Conflict, fault, "end the one where the other begins")
}

fn time(seconds: f64, clock: LabelClock) -> String {
    match clock {
        LabelClock::Stream => format!("{seconds} s"),
        LabelClock::Wall => wall::text(seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: LabelClock = LabelClock::Stream;

    fn board(multi_label: bool) -> Board {
        let classes = ["idle", "wave", "Nod off"].map(String::from).to_vec();
        let aliases = Aliases::new(&classes);
        Board::new(Rules { stream: "gate".into(), classes, aliases, multi_label, clock: STREAM })
    }

    fn claim(label: &str, start: f64, end: f64) -> Claim {
        Claim { label: Some(label.into()), start: Some(start), end: Some(end), clock: STREAM }
    }

    fn begin(label: &str, start: f64) -> Claim {
        Claim { label: Some(label.into()), start: Some(start), end: None, clock: STREAM }
    }

    fn end(end: f64) -> Claim {
        Claim { label: None, start: None, end: Some(end), clock: STREAM }
    }

    fn offer(board: &mut Board, claim: Claim) -> Receipt {
        let mut receipt = Receipt::default();
        board.offer(&[(1, claim)], Unknown::Refuse, &mut receipt);
        receipt
    }

    /// Which is refused, and why.
    fn refusal(board: &mut Board, claim: Claim) -> Refusal {
        let receipt = offer(board, claim);
        assert_eq!((receipt.taken, receipt.known, receipt.refusals), (0, 0, 1), "{receipt:?}");
        receipt.refused[0].refusal.clone()
    }

    fn spans(board: &mut Board) -> Vec<(f64, f64, String)> {
        board.take().into_iter().map(|(_, s)| (s.start, s.end, s.label)).collect()
    }

    #[test]
    fn a_span_is_taken_once_and_in_the_class_it_means() {
        let mut board = board(false);
        assert_eq!(offer(&mut board, claim("nod_off", 1.0, 2.0)).taken, 1);
        assert_eq!(offer(&mut board, claim("Nod off", 1.0, 2.0)).known, 1);
        assert_eq!(offer(&mut board, claim("1", 2.0, 3.0)).taken, 1);
        assert_eq!(spans(&mut board), [(1.0, 2.0, "Nod off".into()), (2.0, 3.0, "wave".into())]);
        assert_eq!((board.waiting(), board.taken()), (0, 2));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_remedy() {
        let wall = |claim: Claim| Claim { clock: LabelClock::Wall, ..claim };
        for (claim, fault, remedy) in [
            (claim("wave", 2.0, 2.0), "not after the start", "first instant"),
            (claim("wave", -1.0, 2.0), "before the stream begins", "0 s"),
            (claim("wave", 1.0, f64::NAN), "no time", "wall"),
            (claim("wave", 1.0, f64::INFINITY), "no time", "wall"),
            (claim("wave", 1.7e9, 1.8e9), "no time", "\"clock\": \"wall\""),
            (wall(claim("wave", 1.0, 1e13)), "no time of day", "RFC 3339"),
            (claim("wavee", 1.0, 2.0), "none of the model's classes", "\"wave\""),
            (claim("xyzzy", 1.0, 2.0), "none of the model's classes", "idle, wave, Nod off"),
            (claim(" ", 1.0, 2.0), "label of 0 bytes", "classes"),
            (claim(&"x".repeat(2000), 1.0, 2.0), "label of 2000 bytes", "classes"),
            (Claim { start: None, ..claim("wave", 0.0, 2.0) }, "no start", "start"),
            (Claim { label: None, ..claim("wave", 0.0, 2.0) }, "no label", "label"),
        ] {
            let refused = refusal(&mut board(false), claim.clone());
            assert_eq!(refused.why, Why::Invalid, "{claim:?}");
            assert!(refused.fault.contains(fault), "{claim:?}: {refused:?}");
            assert!(refused.remedy.contains(remedy), "{claim:?}: {refused:?}");
        }
    }

    #[test]
    fn only_one_label_holds_at_a_time_unless_the_model_has_several() {
        let mut single = board(false);
        offer(&mut single, claim("idle", 1.0, 4.0));
        let refused = refusal(&mut single, claim("wave", 3.0, 5.0));
        assert_eq!(refused.why, Why::Conflict);
        assert!(refused.fault.contains("\"idle\" from 1 s to 4 s"), "{refused:?}");
        assert_eq!(offer(&mut single, claim("wave", 4.0, 5.0)).taken, 1);
        // The clocks are not compared.
        let day = Claim { clock: LabelClock::Wall, ..claim("wave", 1e9, 2e9) };
        assert_eq!(offer(&mut single, day.clone()).taken, 1);
        let other = Claim { label: Some("idle".into()), start: Some(1.5e9), ..day };
        assert!(refusal(&mut single, other).fault.contains("2001-09-09T01:46:40.000Z"));
        let mut multi = board(true);
        offer(&mut multi, claim("idle", 1.0, 4.0));
        assert_eq!(offer(&mut multi, claim("wave", 3.0, 5.0)).taken, 1);
        assert!(refusal(&mut multi, begin("wave", 7.0)).fault.contains("no end"));
    }

    #[test]
    fn labels_of_a_file_are_overlapped_and_repeated_too() {
        let mut board = board(false);
        let file = Track::new(vec![Span { start: 0.0, end: 9.0, label: "idle".into() }]);
        board.fix(&file, STREAM);
        assert_eq!(refusal(&mut board, claim("wave", 8.0, 10.0)).why, Why::Conflict);
        assert_eq!(offer(&mut board, claim("idle", 0.0, 9.0)).known, 1);
        assert_eq!(offer(&mut board, claim("wave", 9.0, 10.0)).taken, 1);
    }

    #[test]
    fn an_open_label_ends_where_the_next_begins_or_an_end_is_told() {
        let mut board = board(false);
        assert_eq!(offer(&mut board, begin("wave", 1.0)).taken, 1);
        assert_eq!(offer(&mut board, begin("wave", 1.0)).known, 1);
        // Nobody knows yet how long it holds.
        assert_eq!(spans(&mut board), []);
        offer(&mut board, begin("idle", 3.0));
        offer(&mut board, claim("Nod off", 4.0, 5.0));
        offer(&mut board, begin("wave", 6.0));
        assert_eq!(offer(&mut board, end(7.0)).taken, 1);
        assert_eq!(offer(&mut board, end(7.0)).known, 1);
        assert_eq!(offer(&mut board, begin("wave", 6.0)).known, 1);
        assert_eq!(
            spans(&mut board),
            [
                (1.0, 3.0, "wave".into()),
                (3.0, 4.0, "idle".into()),
                (4.0, 5.0, "Nod off".into()),
                (6.0, 7.0, "wave".into())
            ]
        );
        assert_eq!(board.open(), None);
    }

    #[test]
    fn what_contradicts_an_open_label_is_refused() {
        let mut board = board(false);
        assert!(refusal(&mut board, end(1.0)).fault.contains("no label is open"));
        offer(&mut board, begin("wave", 5.0));
        assert_eq!(refusal(&mut board, end(5.0)).why, Why::Conflict);
        assert_eq!(refusal(&mut board, begin("idle", 4.0)).why, Why::Conflict);
        assert_eq!(refusal(&mut board, claim("idle", 4.0, 6.0)).why, Why::Conflict);
        let day = Claim { clock: LabelClock::Wall, ..end(1e9) };
        assert!(refusal(&mut board, day).remedy.contains("one clock"));
        assert_eq!(offer(&mut board, claim("idle", 2.0, 5.0)).taken, 1);
        assert_eq!(refusal(&mut board, begin("idle", 3.0)).why, Why::Conflict);
        assert_eq!(offer(&mut board, end(6.0)).taken, 1);
    }

    #[test]
    fn a_board_that_nobody_reads_fills_up_and_no_further() {
        let mut board = board(false);
        let mut receipt = Receipt::default();
        let claims: Vec<_> = (0..MOST_FRESH + 500)
            .map(|i| (i + 1, claim("wave", i as f64, i as f64 + 1.0)))
            .collect();
        board.offer(&claims, Unknown::Refuse, &mut receipt);
        assert_eq!((receipt.taken, receipt.refusals), (MOST_FRESH, 500));
        assert_eq!(
            (receipt.refused.len(), receipt.refused[0].place),
            (Receipt::MOST, MOST_FRESH + 1)
        );
        assert_eq!(receipt.refused[0].refusal.why, Why::Full);
        assert_eq!(spans(&mut board).len(), MOST_FRESH);
        // The same again, now that there is room; nothing is taken twice.
        let mut again = Receipt::default();
        board.offer(&claims, Unknown::Refuse, &mut again);
        assert_eq!((again.taken, again.known), (500, MOST_FRESH));
        assert!(board.said(STREAM).len() <= MOST_KEPT);
    }

    #[test]
    fn labels_from_a_folder_may_be_unknown_and_without_an_end() {
        let mut board = board(false);
        let mut receipt = Receipt::default();
        let claims = [(1, claim("dance", 0.0, 1.0)), (2, claim("wave", 1.0, f64::INFINITY))];
        board.offer(&claims, Unknown::Keep, &mut receipt);
        assert_eq!(receipt.taken, 2);
        assert_eq!(spans(&mut board)[0].2, "dance");
    }
}
