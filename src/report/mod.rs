//! Metrics, tables and pictures of a finished run, from what its folder holds
//! and from that alone: so shards that are put together, or a run that is looked
//! at again by other rules, give what one run would have given.
//!
//! ```text
//! store ──► evaluation ──► metrics.json, clips.csv, videos.csv
//!           (one pass)  └► charts ──► report.html, figures/
//! ```
//!
//! The accuracy log of a running daemon is read here too, into a page of its own.

mod accuracy;
mod aggregate;
pub mod chart;
mod compare;
mod evaluation;
mod figures;
mod fit;
mod frames;
mod json;
mod merged;
mod metrics;
mod mistake;
mod output;
mod page;
mod raster;
mod scores;
pub mod store;
mod table;
mod temperature;
mod timeline;
mod truth;

pub use accuracy::{AccuracyOutcome, holds_logs, write_accuracy};
pub use aggregate::Aggregate;
pub use compare::{Compared, Comparison, Pair, PairLevel, compare};
pub use evaluation::Measure;
pub use fit::{Figures as FitFigures, Fit, FitOptions, Fold, fit};
pub use metrics::Metrics;
pub use output::{Outcome, ReportOptions, write};
pub use store::{
    Clip, Run, RunLabels, RunModel, Shard, Store, Truth, TruthSpan, VideoHeader, VideoReader,
    VideoWriter, safe_name,
};
