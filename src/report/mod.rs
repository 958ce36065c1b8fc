//! Metrics, tables and pictures of a finished run, from what its folder holds
//! and from that alone: so shards that are put together, or a run that is looked
//! at again by other rules, give what one run would have given.
//!
//! ```text
//! store ──► evaluation ──► metrics.json, clips.csv, videos.csv
//!           (one pass)  └► charts ──► report.html, figures/
//! ```

mod aggregate;
mod chart;
mod compare;
mod evaluation;
mod figures;
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

pub use aggregate::Aggregate;
pub use compare::{Compared, Comparison, Pair, PairLevel, compare};
pub use evaluation::Measure;
pub use metrics::Metrics;
pub use output::{Outcome, ReportOptions, write};
pub use store::{
    Clip, Run, RunLabels, RunModel, Shard, Store, Truth, TruthSpan, VideoHeader, VideoReader,
    VideoWriter, safe_name,
};
