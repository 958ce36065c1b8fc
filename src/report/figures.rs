//! The charts of a run: for its page, and as files.

use std::fs;
use std::path::Path;

use super::chart::{self, Cells, ClassCurve, Hues, Svg};
use super::evaluation::{Evaluation, Pictures};
use super::metrics::Level;
use super::raster;
use super::store::{FIGURES, safe_name, write_atomically};
use super::timeline::Timeline;
use crate::error::{Error, Result};

/// A confusion matrix and where its cells are.
pub(super) struct Heat {
    pub svg: Svg,
    pub cells: Cells,
}

/// Each chart that the run has something for.
pub(super) struct Figures {
    pub confusion_clip: Option<Heat>,
    pub confusion_video: Option<Heat>,
    pub curves_clip: Option<Svg>,
    pub curves_video: Option<Svg>,
    pub reliability_clip: Option<Svg>,
    pub reliability_video: Option<Svg>,
    pub confidence_clip: Option<Svg>,
    pub confidence_video: Option<Svg>,
    /// By video; of very many videos, those of the longest.
    pub timelines: Vec<(String, Svg)>,
}

/// Timelines that a page has room for.
pub(super) const TIMELINES: usize = 50;

/// How much larger than on the page a PNG is: for print.
const PNG_SCALE: f64 = 2.0;

impl Figures {
    /// Draws them.
    pub fn of(run: &Evaluation) -> Self {
        let labels = &run.metrics.model.classes;
        let confusion = |level: &Option<Level>, name: &str| {
            let counts = level.as_ref()?.confusion.as_ref()?;
            let title = format!("Confusion of {name}");
            let (svg, cells) = chart::confusion(counts, labels, &title);
            Some(Heat { svg, cells })
        };
        let curves = |level: &Option<Level>, pictures: &Option<Pictures>, name: &str| {
            let (level, pictures) = (level.as_ref()?, pictures.as_ref()?);
            let classes: Vec<ClassCurve<'_>> = pictures
                .classes
                .iter()
                .map(|(class, curve)| ClassCurve {
                    class: *class,
                    label: &labels[*class],
                    average_precision: level
                        .summary
                        .per_class
                        .get(*class)
                        .and_then(|figures| figures.average_precision),
                    curve,
                })
                .collect();
            Some(chart::curves(
                &pictures.micro,
                &classes,
                &format!("Precision over recall of {name}"),
            ))
        };
        let reliability = |level: &Option<Level>, name: &str| {
            let level = level.as_ref()?;
            let after = level.tempered.as_ref().map(|tempered| {
                (&tempered.calibration, format!("after, T = {:.2}", tempered.temperature))
            });
            let after = after.as_ref().map(|(calibration, name)| (*calibration, name.as_str()));
            let title = format!("Reliability of {name}");
            Some(chart::reliability(&level.summary.calibration, after, &title))
        };
        let confidence = |pictures: &Option<Pictures>, name: &str| {
            let pictures = pictures.as_ref()?;
            Some(chart::confidence(&pictures.histogram, &format!("Confidence in {name}")))
        };
        let (clip, video) = (&run.metrics.clip, &run.metrics.video);
        let hues = Hues::of(&run.metrics.timelines);
        Figures {
            confusion_clip: confusion(clip, "clips"),
            confusion_video: confusion(video, "videos"),
            curves_clip: curves(clip, &run.clip, "clips"),
            curves_video: curves(video, &run.video, "videos"),
            reliability_clip: reliability(clip, "clips"),
            reliability_video: reliability(video, "videos"),
            confidence_clip: confidence(&run.clip, "clips"),
            confidence_video: confidence(&run.video, "videos"),
            timelines: longest(&run.metrics.timelines)
                .map(|timeline| (timeline.video.clone(), chart::timeline(timeline, &hues)))
                .collect(),
        }
    }

    /// Every chart with the name of its file.
    fn named(&self) -> Vec<(String, &Svg)> {
        let heats = [
            ("confusion-clips", &self.confusion_clip),
            ("confusion-videos", &self.confusion_video),
        ];
        let plain = [
            ("precision-recall-clips", &self.curves_clip),
            ("precision-recall-videos", &self.curves_video),
            ("reliability-clips", &self.reliability_clip),
            ("reliability-videos", &self.reliability_video),
            ("confidence-clips", &self.confidence_clip),
            ("confidence-videos", &self.confidence_video),
        ];
        let heats = heats.iter().filter_map(|(name, heat)| Some((*name, &heat.as_ref()?.svg)));
        let plain = plain.iter().filter_map(|(name, svg)| Some((*name, svg.as_ref()?)));
        let timelines = self
            .timelines
            .iter()
            .map(|(video, svg)| (format!("timeline-{}", safe_name(video)), svg));
        heats.chain(plain).map(|(name, svg)| (name.to_owned(), svg)).chain(timelines).collect()
    }

    /// Writes `figures/*.svg` below `folder`, and the same as PNG where GStreamer
    /// can draw SVG. Charts of an earlier report that this one has not are removed.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let folder = folder.join(FIGURES);
        let cannot = |error: std::io::Error| {
            Error::unavailable(format!("writing the folder \"{}\"", folder.display()), error)
        };
        let named = self.named();
        if named.is_empty() && !folder.exists() {
            return Ok(());
        }
        fs::create_dir_all(&folder).map_err(cannot)?;
        for entry in fs::read_dir(&folder).map_err(cannot)? {
            let path = entry.map_err(cannot)?.path();
            if path.extension().is_some_and(|e| e == "svg" || e == "png") {
                fs::remove_file(path).map_err(cannot)?;
            }
        }
        let png = raster::available();
        if let Err(missing) = &png {
            log::warn!("the charts are written as SVG only: {missing}");
        }
        for (name, svg) in named {
            write_atomically(&folder.join(format!("{name}.svg")), svg.file(1.0).as_bytes())?;
            if png.is_ok() {
                match raster::png(&svg.file(PNG_SCALE)) {
                    Ok(bytes) => write_atomically(&folder.join(format!("{name}.png")), &bytes)?,
                    Err(fault) => log::warn!("{name}.png could not be drawn: {fault}"),
                }
            }
        }
        Ok(())
    }
}

/// The timelines of the longest videos, in the order of the ids.
fn longest(timelines: &[Timeline]) -> impl Iterator<Item = &Timeline> {
    let mut order: Vec<usize> = (0..timelines.len()).collect();
    order.sort_by(|&a, &b| timelines[b].seconds.total_cmp(&timelines[a].seconds).then(a.cmp(&b)));
    order.truncate(TIMELINES);
    order.sort_unstable();
    order.into_iter().map(|i| &timelines[i])
}
