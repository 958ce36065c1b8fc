//! What sinks are given.

use serde::Serialize;

use crate::outbox::Cause;
use crate::predict::{Drift, Event, FORMAT, Prediction};

/// What a sink is given.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    /// A prediction.
    Prediction(&'a Prediction),
    /// An event that ended.
    Event(&'a Event),
    /// A change in the world.
    Drift(&'a Drift),
    /// Records that the sink should have been given here.
    Lost(&'a Lost),
}

/// Lines that are missing where this one stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lost {
    /// Version of the format: 1.
    pub v: u32,
    /// Always `lost`.
    pub kind: &'static str,
    /// How many.
    pub lines: u64,
    /// Why.
    pub why: Cause,
    /// When this line was made, wall clock, RFC 3339 with milliseconds, UTC.
    pub at: String,
}

impl Lost {
    /// So many lines.
    pub fn new(lines: u64, why: Cause, at: String) -> Self {
        Lost { v: FORMAT, kind: "lost", lines, why, at }
    }
}

/// A record while it waits for the sinks.
pub(super) enum Kept {
    Prediction(Prediction),
    Event(Event),
    Drift(Drift),
    Lost(Lost),
}

impl Kept {
    pub fn of(record: Record<'_>) -> Self {
        match record {
            Record::Prediction(prediction) => Kept::Prediction(prediction.clone()),
            Record::Event(event) => Kept::Event(event.clone()),
            Record::Drift(drift) => Kept::Drift(drift.clone()),
            Record::Lost(lost) => Kept::Lost(lost.clone()),
        }
    }

    pub fn record(&self) -> Record<'_> {
        match self {
            Kept::Prediction(prediction) => Record::Prediction(prediction),
            Kept::Event(event) => Record::Event(event),
            Kept::Drift(drift) => Record::Drift(drift),
            Kept::Lost(lost) => Record::Lost(lost),
        }
    }

    /// About how much memory it takes, in bytes.
    pub fn weight(&self) -> usize {
        // The record itself, its strings of fixed length and the queue's entry.
        const BASE: usize = 512;
        let labels = |labels: &Option<Vec<String>>| -> usize {
            labels.iter().flatten().map(|label| 40 + label.len()).sum()
        };
        let Kept::Prediction(p) = self else { return BASE };
        let top: usize = p.top.iter().map(|scored| 48 + scored.label.len()).sum();
        BASE + p.stream.len() + top + labels(&p.set) + labels(&p.truth)
    }
}
