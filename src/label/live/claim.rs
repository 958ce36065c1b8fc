//! What somebody says of a stream, and what became of it.

use crate::label::options::LabelClock;

/// One statement about a stream.
///
/// With label, start and end: the label holds from `start` to before `end`. With
/// label and start: it holds from there until the next one begins or an end is
/// told. With an end alone: what holds, ends there.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// The label, as its source writes it.
    pub label: Option<String>,
    /// First instant, seconds.
    pub start: Option<f64>,
    /// End, seconds, not included.
    pub end: Option<f64>,
    /// The clock that both are on; for [`LabelClock::Wall`] seconds since 1970.
    pub clock: LabelClock,
}

/// What kind of fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The claim makes no sense by itself.
    Invalid,
    /// It contradicts an earlier one.
    Conflict,
    /// There is no room for it now.
    Full,
}

/// Why a claim was not taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// What kind of fault it is.
    pub why: Why,
    /// What is wrong.
    pub fault: String,
    /// What to do about it.
    pub remedy: String,
}

impl Refusal {
    pub(super) fn new(why: Why, fault: impl Into<String>, remedy: impl Into<String>) -> Self {
        Refusal { why, fault: fault.into(), remedy: remedy.into() }
    }

    pub(super) fn invalid(fault: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Why::Invalid, fault, remedy)
    }
}

/// A claim that was not taken, by its place in what was sent, from 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// Its place.
    pub place: usize,
    /// Why.
    pub refusal: Refusal,
}

/// What became of claims that came together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Receipt {
    /// New ones, now on their way to the stream.
    pub taken: usize,
    /// Those that were taken before.
    pub known: usize,
    /// Those whose label the map leaves out on purpose.
    pub ignored: usize,
    /// The others, in order; not more than [`Receipt::MOST`] of them.
    pub refused: Vec<Refused>,
    /// How many others there are.
    pub refusals: usize,
}

impl Receipt {
    /// Refused claims that are listed.
    pub const MOST: usize = 100;

    pub(super) fn refuse(&mut self, place: usize, refusal: Refusal) {
        self.refusals += 1;
        if self.refused.len() < Self::MOST {
            self.refused.push(Refused { place, refusal });
        }
    }
}
