//! The other end: for those who know what happens.

use std::sync::Arc;

use super::board::Unknown;
use super::claim::{Claim, Receipt};
use super::claims::Claims;
use super::inbox::Shared;
use crate::label::options::LabelClock;
use crate::label::track::{Span, Track};

/// Takes labels for one stream. All of a stream's posts are one.
#[derive(Clone)]
pub struct Post {
    shared: Arc<Shared>,
    name: Arc<str>,
}

/// What is known of a stream's labels, for people to look at.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The stream's name.
    pub stream: String,
    /// The model's classes.
    pub classes: Vec<String>,
    /// Whether several labels may hold at once.
    pub multi_label: bool,
    /// The clock of a claim that names none.
    pub clock: LabelClock,
    /// The newest prediction's time, seconds on the stream's clock and since 1970.
    pub newest: Option<(f64, f64)>,
    /// Spans taken, ever.
    pub taken: u64,
    /// Of these, how many came after their predictions were given up.
    pub late: u64,
    /// How many the stream has not looked at yet.
    pub waiting: usize,
    /// The label that began and has not ended: name, start, clock.
    pub open: Option<(String, f64, LabelClock)>,
    /// The last spans of each clock.
    pub spans: Vec<(LabelClock, Span)>,
}

impl Post {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let name = shared.board().rules().stream.as_str().into();
        Post { shared, name }
    }

    /// The stream's name.
    pub fn stream(&self) -> &str {
        &self.name
    }

    /// The clock of a claim that names none.
    pub fn clock(&self) -> LabelClock {
        self.shared.board().rules().clock
    }

    /// Tells of labels that the stream has from a file, so that those that
    /// contradict them are refused.
    pub fn also(&self, track: &Track, clock: LabelClock) {
        self.shared.board().fix(track, clock);
    }

    /// Takes the claims that stand to reason, all before the stream sees any.
    /// A label that the model does not know is refused.
    pub fn send(&self, claims: Claims) -> Receipt {
        let mut receipt = Receipt::default();
        for (place, refusal) in claims.unreadable {
            receipt.refuse(place, refusal);
        }
        self.offer(&claims.claims, Unknown::Refuse, &mut receipt);
        receipt.refused.sort_by_key(|refused| refused.place);
        receipt
    }

    /// Takes spans out of a file. A label that the model does not know is kept.
    pub(super) fn send_spans(&self, spans: &[Span], clock: LabelClock) -> Receipt {
        let claim = |span: &Span| Claim {
            label: Some(span.label.clone()),
            start: Some(span.start),
            end: Some(span.end),
            clock,
        };
        let claims: Vec<_> = spans.iter().enumerate().map(|(i, s)| (i + 1, claim(s))).collect();
        let mut receipt = Receipt::default();
        self.offer(&claims, Unknown::Keep, &mut receipt);
        receipt
    }

    fn offer(&self, claims: &[(usize, Claim)], unknown: Unknown, receipt: &mut Receipt) {
        let mut board = self.shared.board();
        board.offer(claims, unknown, receipt);
        if board.waiting() > 0 {
            self.shared.tell();
        }
    }

    /// The labels that the model does not know, each once, in alphabetical order.
    pub(super) fn unknown(&self, track: &Track) -> Vec<String> {
        track.unknown_to(&self.shared.board().rules().aliases)
    }

    /// What is known, with the last `most` spans of each clock.
    pub fn listing(&self, most: usize) -> Listing {
        let board = self.shared.board();
        let rules = board.rules();
        let last = |clock: LabelClock| {
            let spans = board.said(clock);
            let spans = spans.get(spans.len().saturating_sub(most)..).unwrap_or_default();
            spans.iter().map(move |span| (clock, span.clone()))
        };
        Listing {
            stream: rules.stream.clone(),
            classes: rules.classes.clone(),
            multi_label: rules.multi_label,
            clock: rules.clock,
            newest: self.shared.newest(),
            taken: board.taken(),
            late: self.shared.late(),
            waiting: board.waiting(),
            open: board.open().map(|open| (open.label.clone(), open.start, open.clock)),
            spans: last(LabelClock::Stream).chain(last(LabelClock::Wall)).collect(),
        }
    }
}
