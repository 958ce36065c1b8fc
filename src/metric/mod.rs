//! Measures of how well predictions agree with what was really there: pure
//! functions and accumulators that know nothing of streams or models.
//!
//! A [`Set`] holds samples; [`summary()`] gives every figure of it, exactly.
//! [`Running`] takes a stream in bounded memory, [`Sliding`] its last samples, and [`Events`] what only
//! untrimmed streams have. [`intervals`] and [`paired`] say how sure a figure and
//! a difference are, [`McNemar`] whether two models err alike.
//!
//! Where scikit-learn and torchmetrics differ, [`Conventions`] says which is
//! followed; `docs/metrics.md` lists the differences. Golden files made by both
//! (`tests/golden/metrics.py`) hold all of it in place. Per-frame mAP of an
//! untrimmed stream is the AP of a multi-label [`Set`] with one sample for each
//! prediction.

mod activation;
mod answer;
mod average;
mod bins;
mod bootstrap;
mod confusion;
mod conventions;
mod counts;
mod curve;
mod events;
mod histogram;
mod mcnemar;
mod rank;
mod resample;
mod running;
mod set;
mod sliding;
mod spread;
mod summary;
mod tally;
mod topk;

pub use activation::activate;
pub use answer::answer;
pub use average::Averages;
pub use bins::Bin;
pub use bootstrap::{Bootstrap, Interval};
pub use confusion::Confusion;
pub use conventions::{Conventions, Options, Task};
pub use curve::{Curve, Point, pr_curve, pr_curve_micro, roc_curve, roc_curve_micro};
pub use events::{
    ClassEvents, Detection, EventF1, EventSummary, Events, Latency, OVERLAPS, Segment,
};
pub use histogram::Bounded;
pub use mcnemar::McNemar;
pub use resample::{Figure, FigureDifference, FigureInterval, intervals, paired};
pub use running::{BoundedAverages, Running, RunningSummary};
pub use set::{Set, Truth};
pub use sliding::{Sliding, SlidingSummary};
pub use summary::{
    Calibration, ClassFigures, ConfidenceBin, Summary, confidence_histogram, confusion, summary,
};
pub use topk::TopK;
