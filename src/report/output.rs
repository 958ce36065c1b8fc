//! All that a report consists of, written.

use std::fmt;
use std::fs;
use std::path::Path;

use super::aggregate::Aggregate;
use super::evaluation::{Evaluation, Measure};
use super::figures::Figures;
use super::frames;
use super::json;
use super::merged::Merged;
use super::metrics::Metrics;
use super::page::{self, Strip};
use super::store::{Store, write_atomically};
use crate::error::{Error, Result};
use crate::metric::{Bootstrap, Conventions, Figure};

/// What a report holds, and by which rules it is made.
#[derive(Clone, Debug)]
pub struct ReportOptions {
    /// From clips to the video.
    pub aggregate: Aggregate,
    /// Whose conventions for ties, empty classes and divisions by zero.
    pub conventions: Conventions,
    /// Resamples of the videos for an interval; 0 gives none.
    pub bootstrap: usize,
    /// Whether the charts are written as files, too.
    pub figures: bool,
    /// Whether the worst mistakes show frames of their recordings.
    pub frames: bool,
}

impl Default for ReportOptions {
    fn default() -> Self {
        ReportOptions {
            aggregate: Aggregate::default(),
            conventions: Conventions::default(),
            bootstrap: Bootstrap::default().replicates,
            figures: true,
            frames: true,
        }
    }
}

impl ReportOptions {
    pub(super) fn measure(&self) -> Measure {
        Measure {
            aggregate: self.aggregate,
            conventions: self.conventions,
            bootstrap: self.bootstrap,
        }
    }
}

/// What a report came to: its `Display` is what to tell at the end of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Every figure.
    pub metrics: Metrics,
}

/// Frames in a strip.
const STRIP: usize = 5;

/// Measures a run, from its folder or those of its shards, and writes
/// `metrics.json`, `clips.csv`, `videos.csv`, `report.html` and `figures/` into
/// the folder `out`.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config): the folders are not of one run.
/// [`Kind::Data`](crate::error::Kind::Data): a file in them is damaged.
/// [`Kind::Unavailable`](crate::error::Kind::Unavailable): `out` cannot be written.
pub fn write(stores: &[Store], out: &Path, options: &ReportOptions) -> Result<Outcome> {
    make_folder(out)?;
    let merged = Merged::new(stores)?;
    let evaluation = Evaluation::of(&merged, &options.measure(), Some(out))?;
    let doing = || format!("writing \"{}\"", out.join("metrics.json").display());
    let text = json::text(&evaluation.metrics).map_err(|error| Error::internal(doing(), error))?;
    write_atomically(&out.join("metrics.json"), &text)?;
    let figures = Figures::of(&evaluation);
    let strips = if options.frames { strips(&evaluation) } else { Vec::new() };
    let page = page::page(&evaluation, &figures, &strips);
    write_atomically(&out.join("report.html"), page.as_bytes())?;
    if options.figures {
        figures.write(out)?;
    }
    Ok(Outcome { metrics: evaluation.metrics })
}

pub(super) fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| {
        Error::unavailable(format!("making the folder \"{}\"", folder.display()), error)
    })
}

/// Frames of each of the worst mistakes, from its clip's start to its end.
fn strips(evaluation: &Evaluation) -> Vec<Strip> {
    let strip = |mistake: &super::mistake::Mistake| {
        let step = (mistake.t - mistake.start).max(0.0) / (STRIP - 1) as f64;
        let times: Vec<f64> = (0..STRIP).map(|k| mistake.start + k as f64 * step).collect();
        frames::strip(&mistake.path, &times)
    };
    evaluation.mistakes.iter().map(strip).collect()
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metrics = &self.metrics;
        let videos = &metrics.videos;
        write!(
            f,
            "{} videos, {} clips; {} videos scored",
            videos.total, videos.clips, videos.scored
        )?;
        for (count, what) in [
            (videos.failed.len(), "failed"),
            (videos.unlabelled.len(), "without a label"),
            (videos.without_clips.len(), "too short for a clip"),
            (videos.missing as usize, "still to be done"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        writeln!(f)?;
        let levels =
            [("clips", &metrics.clip), ("every", &metrics.every), ("videos", &metrics.video)];
        let levels: Vec<_> =
            levels.iter().filter_map(|(name, level)| Some((*name, level.as_ref()?))).collect();
        if levels.is_empty() {
            return Ok(());
        }
        write!(f, "{:24}", "")?;
        for (name, level) in &levels {
            write!(f, " {:>24}", format!("{name} ({})", level.summary.samples))?;
        }
        writeln!(f)?;
        for (name, figure, of) in page::headlines(metrics.model.task) {
            if levels.iter().all(|(_, level)| of(level).is_none()) {
                continue;
            }
            write!(f, "{name:24}")?;
            for (_, level) in &levels {
                write!(f, " {:>24}", told(figure, of(level), level.interval(figure)))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// A figure with its interval, as text.
pub(super) fn told(
    figure: Figure,
    value: Option<f64>,
    interval: Option<&crate::metric::FigureInterval>,
) -> String {
    let Some(value) = value else { return "-".into() };
    let mut text = page::shown(figure, value);
    if let Some((low, high)) = interval.and_then(|i| Some((i.interval.low?, i.interval.high?))) {
        text.push_str(&match page::is_share(figure) {
            true => format!(" [{:.1}, {:.1}]", 100.0 * low, 100.0 * high),
            false => format!(" [{low:.3}, {high:.3}]"),
        });
    }
    text
}
