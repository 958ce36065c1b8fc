//! One pass over a run's predictions: every figure of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::aggregate::{Aggregate, Views};
use super::merged::Merged;
use super::metrics::{
    AggregateFigures, BootstrapRules, EventFigures, FORMAT, Failed, Level, Metrics, Model, PastEnd,
    PerFrame, Rules, Survey, UnknownLabel, Videos,
};
use super::mistake::{Mistake, Worst, fault};
use super::scores::{argmax, logits, probabilities, top};
use super::store::{Run, Truth, VideoReader};
use super::table::{LISTED, Table, seconds};
use super::temperature::Temperature;
use super::timeline::{Bar, Recorder, Timeline};
use super::truth::{Classes, VideoTruth};
use crate::error::Result;
use crate::metric::{
    self, Bootstrap, ConfidenceBin, Conventions, Curve, Events, FigureInterval, Options, Set,
};
use crate::model::Task;

/// By which rules a run is measured.
#[derive(Clone, Debug)]
pub struct Measure {
    /// From clips to the video.
    pub aggregate: Aggregate,
    /// Whose conventions for ties, empty classes and divisions by zero.
    pub conventions: Conventions,
    /// Resamples of the videos for an interval; 0 gives none.
    pub bootstrap: usize,
}

impl Default for Measure {
    fn default() -> Self {
        Measure {
            aggregate: Aggregate::default(),
            conventions: Conventions::default(),
            bootstrap: Bootstrap::default().replicates,
        }
    }
}

impl Measure {
    /// The metrics' own options.
    pub(super) fn options(&self) -> Options {
        Options { conventions: self.conventions, ..Options::default() }
    }

    /// How intervals are made.
    pub(super) fn bootstrap(&self) -> Bootstrap {
        Bootstrap { replicates: self.bootstrap, ..Bootstrap::default() }
    }
}

/// What charts need beside [`Metrics`].
#[derive(Clone, Debug, Default)]
pub(super) struct Pictures {
    /// Precision over recall, all classes as one.
    pub micro: Curve,
    /// The same of each class that occurs, with its index.
    pub classes: Vec<(usize, Curve)>,
    /// Right and wrong samples by confidence.
    pub histogram: Vec<ConfidenceBin>,
}

/// A run, measured.
pub(super) struct Evaluation {
    pub metrics: Metrics,
    pub clip: Option<Pictures>,
    pub video: Option<Pictures>,
    pub mistakes: Vec<Mistake>,
    /// The videos' scores, for a comparison.
    pub video_set: Set,
    /// The clips', likewise.
    pub clip_set: Set,
}

/// Points of a curve that a chart draws.
const CURVE_POINTS: usize = 120;
/// Bins of the confidence histogram.
const HISTOGRAM_BINS: usize = 20;
/// A span may end this long after its video, seconds: annotators round.
const PAST_END: f64 = 0.1;

impl Evaluation {
    /// Reads the run and measures it. Where `tables` names a folder, `clips.csv`
    /// and `videos.csv` are written there on the way.
    pub fn of(run: &Merged<'_>, measure: &Measure, tables: Option<&Path>) -> Result<Self> {
        let survey = Audit::of(run)?;
        let mut pass = Pass::new(run.run(), measure, survey.timed)?;
        let mut tables = tables.map(Tables::create).transpose()?;
        for reader in run.readers() {
            pass.video(reader?, tables.as_mut())?;
        }
        if let Some(tables) = tables {
            tables.clips.finish()?;
            tables.videos.finish()?;
        }
        pass.finish(survey)
    }
}

/// What the headers alone tell.
struct Audit {
    videos: Videos,
    survey: Survey,
    /// Whether some video's labels change over its time.
    timed: bool,
}

impl Audit {
    fn of(run: &Merged<'_>) -> Result<Self> {
        let labels = &run.run().model.labels;
        let classes = Classes::new(labels);
        let mut audit =
            Audit { videos: Videos::default(), survey: Survey::default(), timed: false };
        let mut unknown: BTreeMap<String, u64> = BTreeMap::new();
        let mut present = vec![false; labels.len()];
        for header in run.headers() {
            let header = header?;
            let videos = &mut audit.videos;
            videos.total += 1;
            if let Some(error) = &header.error {
                videos.failed.push(Failed { video: header.video.clone(), error: error.clone() });
            } else {
                videos.clips += header.clips;
                videos.seconds += header.seconds;
                if header.clips == 0 {
                    videos.without_clips.push(header.video.clone());
                }
            }
            let named: BTreeSet<&str> = match &header.truth {
                Truth::None => {
                    // Of a video that failed that alone is told.
                    if header.error.is_none() {
                        videos.unlabelled.push(header.video.clone());
                    }
                    BTreeSet::new()
                }
                Truth::Video(labels) => labels.iter().map(String::as_str).collect(),
                Truth::Spans(spans) => {
                    audit.timed |= header.error.is_none();
                    let end = header.seconds + PAST_END;
                    let past = spans.iter().filter(|s| header.seconds > 0.0 && s.end > end);
                    audit.survey.past_end.extend(past.map(|span| PastEnd {
                        video: header.video.clone(),
                        label: span.label.clone(),
                        start: span.start,
                        end: span.end,
                        seconds: header.seconds,
                    }));
                    spans.iter().map(|span| span.label.as_str()).collect()
                }
            };
            let mut known = false;
            for label in named {
                match classes.index(label) {
                    Some(class) => {
                        present[class] = true;
                        known = true;
                    }
                    None => *unknown.entry(label.to_owned()).or_default() += 1,
                }
            }
            let scored = known && header.error.is_none() && header.clips > 0;
            audit.videos.scored += u64::from(scored);
        }
        audit.videos.missing = run.planned().unwrap_or(0).saturating_sub(audit.videos.total);
        let survey = &mut audit.survey;
        survey.unknown_labels =
            unknown.into_iter().map(|(label, videos)| UnknownLabel { label, videos }).collect();
        let absent = labels.iter().zip(&present).filter(|(_, present)| !**present);
        survey.absent_classes = absent.map(|(label, _)| label.clone()).collect();
        Ok(audit)
    }
}

struct Tables {
    clips: Table,
    videos: Table,
}

impl Tables {
    fn create(folder: &Path) -> Result<Self> {
        Ok(Tables {
            clips: Table::create(
                &folder.join("clips.csv"),
                &["start", "t", "view", "crop", "scored"],
            )?,
            videos: Table::create(&folder.join("videos.csv"), &["seconds", "clips", "error"])?,
        })
    }
}

/// The accumulators of the one pass.
struct Pass<'a> {
    run: &'a Run,
    measure: &'a Measure,
    classes: Classes<'a>,
    clip: Set,
    every: Option<Set>,
    videos: Vec<(Aggregate, Set)>,
    frames: Option<Set>,
    events: Option<Events>,
    timelines: Vec<Timeline>,
    worst: Worst,
}

/// Which figures a clip counts for.
#[derive(Clone, Copy, PartialEq)]
enum Scored {
    Clip,
    Every,
    Not,
}

impl Scored {
    fn name(self) -> &'static str {
        match self {
            Scored::Clip => "clip",
            Scored::Every => "every",
            Scored::Not => "",
        }
    }
}

impl<'a> Pass<'a> {
    fn new(run: &'a Run, measure: &'a Measure, timed: bool) -> Result<Self> {
        let count = run.model.labels.len();
        let task = run.model.task;
        let set = || Set::new(task, count);
        let videos = Aggregate::ALL.map(|how| set().map(|set| (how, set)));
        Ok(Pass {
            run,
            measure,
            classes: Classes::new(&run.model.labels),
            clip: set()?,
            every: timed.then(set).transpose()?,
            videos: videos.into_iter().collect::<Result<_>>()?,
            frames: timed.then(|| Set::new(metric::Task::MultiLabel, count)).transpose()?,
            events: timed.then(|| Events::new(count)),
            timelines: Vec::new(),
            worst: Worst::default(),
        })
    }

    fn video(&mut self, reader: VideoReader, mut tables: Option<&mut Tables>) -> Result<()> {
        let (run, task) = (self.run, self.run.model.task);
        let header = reader.header().clone();
        let truth = VideoTruth::new(&header.truth, task, &self.classes);
        let labels = &run.model.labels;
        let mut views = Views::new(task, labels.len());
        let failed = header.error.is_some();
        let mut recorder = (truth.is_timed() && !failed).then(|| Recorder::new(run));
        let mut worst: Option<Mistake> = None;
        let mut last_frame = f64::NEG_INFINITY;
        for clip in reader {
            let clip = clip?;
            if failed {
                // What was read before the fault is kept in the store only.
                continue;
            }
            let p = probabilities(&clip.logits, task, run.model.output);
            let best = argmax(&p);
            views.add(&logits(&clip.logits, task, run.model.output), &p);
            let (here, whole) = (truth.at(clip.t), truth.over(clip.start, clip.t));
            let mut scored = Scored::Not;
            if let Some(truths) = &here {
                if let Some(every) = &mut self.every {
                    push(every, &header.video, task, truths, best, &p)?;
                }
                scored = Scored::Every;
            }
            if let Some(truths) = &whole {
                push(&mut self.clip, &header.video, task, truths, best, &p)?;
                scored = Scored::Clip;
                if let Some((class, invented, size)) = fault(task, truths, &p, best)
                    && worst.as_ref().is_none_or(|worst| size > worst.size)
                {
                    worst = Some(Mistake {
                        video: header.video.clone(),
                        path: PathBuf::from(&header.path),
                        start: clip.start,
                        t: clip.t,
                        truth: truths.clone(),
                        class,
                        invented,
                        p: p[class],
                        top: top(&p, 3).into_iter().map(|class| (class, p[class])).collect(),
                        size,
                    });
                }
            }
            if let Some(recorder) = &mut recorder {
                recorder.add(&clip, &p, best)?;
                if clip.t > last_frame
                    && let Some(frames) = &mut self.frames
                {
                    let none = Vec::new();
                    let truths = here.as_ref().unwrap_or(&none);
                    frames.push(&header.video, metric::Truth::Classes(&sorted(truths)), &p)?;
                    last_frame = clip.t;
                }
            }
            if let Some(tables) = tables.as_deref_mut() {
                let more = [
                    seconds(clip.start),
                    seconds(clip.t),
                    clip.view[0].to_string(),
                    clip.view[1].to_string(),
                    scored.name().to_owned(),
                ];
                let text = truth_at(&header.truth, clip.t);
                tables.clips.add(&header.video, &text, &named(&p, labels), more)?;
            }
        }
        let whole = truth.of_video();
        for (how, set) in &mut self.videos {
            if let (Some(truths), Some(p)) = (&whole, views.scores(*how)) {
                push(set, &header.video, task, truths, argmax(&p), &p)?;
            }
        }
        if let Some(tables) = tables {
            let scores = views.scores(self.measure.aggregate).unwrap_or_default();
            let more = [
                seconds(header.seconds),
                header.clips.to_string(),
                header.error.clone().unwrap_or_default(),
            ];
            let text = truth_of(&header.truth);
            tables.videos.add(&header.video, &text, &named(&scores, labels), more)?;
        }
        worst.into_iter().for_each(|mistake| self.worst.add(mistake));
        if let Some(recorder) = recorder {
            let (timeline, found) =
                recorder.finish(&header.video, header.seconds, bars(&header.truth), &truth);
            self.timelines.push(timeline);
            if let (Some(events), Some((segments, detections))) = (&mut self.events, found) {
                events.add(&header.video, &segments, &detections)?;
            }
        }
        Ok(())
    }

    fn finish(self, audit: Audit) -> Result<Evaluation> {
        let Audit { videos, survey, .. } = audit;
        let task = self.run.model.task;
        let (options, bootstrap) = (self.measure.options(), self.measure.bootstrap());
        let level = |set: &Set| level(set, task, &options, &bootstrap);
        let clip = level(&self.clip)?;
        let every = self.every.as_ref().map(level).transpose()?.flatten();
        let mut video = None;
        let mut aggregates = Vec::new();
        let mut video_set = None;
        for (how, set) in self.videos {
            let figures = match how == self.measure.aggregate {
                true => {
                    video = level(&set)?;
                    video.as_ref().map(|(level, _)| level.summary.clone())
                }
                false if set.is_empty() => None,
                false => Some(metric::summary(&set, &options)?),
            };
            aggregates.extend(figures.map(|figures| AggregateFigures {
                aggregate: how,
                accuracy: figures.accuracy,
                top_5: top_5(&figures),
                mean_average_precision: figures.average_precision.macro_present,
                ece: figures.calibration.ece,
            }));
            if how == self.measure.aggregate {
                video_set = Some(set);
            }
        }
        let per_frame = match &self.frames {
            Some(frames) if !frames.is_empty() => Some(per_frame(frames, &options, &bootstrap)?),
            _ => None,
        };
        let is_stream = self.timelines.iter().any(|timeline| timeline.events.is_some());
        let events = match self.events.filter(|_| is_stream) {
            Some(events) => Some(EventFigures {
                summary: events.summary(),
                intervals: match self.measure.bootstrap {
                    0 => Vec::new(),
                    _ => events.intervals(&bootstrap)?,
                },
            }),
            None => None,
        };
        let metrics = Metrics {
            v: FORMAT,
            model: Model::from(self.run),
            labels: self.run.labels.clone(),
            options: self.run.options.clone(),
            predict: self.run.predict.clone(),
            rules: Rules {
                conventions: self.measure.conventions,
                aggregate: self.measure.aggregate,
                bootstrap: BootstrapRules {
                    replicates: bootstrap.replicates,
                    level: bootstrap.level,
                    seed: bootstrap.seed,
                    unit: "videos",
                },
                notes: notes(task),
            },
            videos,
            survey,
            clip: clip.as_ref().map(|(level, _)| level.clone()),
            every: every.map(|(level, _)| level),
            video: video.as_ref().map(|(level, _)| level.clone()),
            aggregates,
            per_frame,
            events,
            timelines: self.timelines,
        };
        Ok(Evaluation {
            metrics,
            clip: clip.map(|(_, pictures)| pictures),
            video: video.map(|(_, pictures)| pictures),
            mistakes: self.worst.into_vec(),
            video_set: video_set.map_or_else(|| Set::new(task, self.clip.classes()), Ok)?,
            clip_set: self.clip,
        })
    }
}

fn top_5(summary: &metric::Summary) -> Option<f64> {
    summary.top_k.iter().find(|top| top.k == 5).and_then(|top| top.accuracy)
}

/// Adds a sample; of several classes at once in a single-label task the one that
/// it is scored against.
fn push(
    set: &mut Set,
    video: &str,
    task: Task,
    truths: &[usize],
    best: usize,
    p: &[f64],
) -> Result<()> {
    match task {
        Task::SingleLabel => match metric::answer(truths, best) {
            Some(class) => set.push(video, metric::Truth::Class(class), p),
            None => Ok(()),
        },
        Task::MultiLabel => set.push(video, metric::Truth::Classes(&sorted(truths)), p),
    }
}

fn sorted(classes: &[usize]) -> Vec<usize> {
    let mut classes = classes.to_vec();
    classes.sort_unstable();
    classes
}

/// Every figure of a set, and what its charts need; `None` of an empty one.
fn level(
    set: &Set,
    task: Task,
    options: &Options,
    bootstrap: &Bootstrap,
) -> Result<Option<(Level, Pictures)>> {
    if set.is_empty() {
        return Ok(None);
    }
    let summary = metric::summary(set, options)?;
    let confusion = match task {
        Task::SingleLabel => {
            Some(metric::confusion(set)?.rows().map(<[u64]>::to_vec).collect::<Vec<_>>())
        }
        Task::MultiLabel => None,
    };
    let occurring = summary.per_class.iter().filter(|class| class.support > 0);
    let classes = occurring
        .map(|class| Ok((class.class, metric::pr_curve(set, class.class)?.thinned(CURVE_POINTS))))
        .collect::<Result<_>>()?;
    let pictures = Pictures {
        micro: metric::pr_curve_micro(set)?.thinned(4 * CURVE_POINTS),
        classes,
        histogram: metric::confidence_histogram(set, HISTOGRAM_BINS),
    };
    let level = Level {
        intervals: intervals(set, options, bootstrap)?,
        tempered: Temperature::of(set, task, options)?,
        summary,
        confusion,
    };
    Ok(Some((level, pictures)))
}

fn intervals(set: &Set, options: &Options, bootstrap: &Bootstrap) -> Result<Vec<FigureInterval>> {
    match bootstrap.replicates {
        0 => Ok(Vec::new()),
        _ => metric::intervals(set, options, bootstrap),
    }
}

fn per_frame(frames: &Set, options: &Options, bootstrap: &Bootstrap) -> Result<PerFrame> {
    let summary = metric::summary(frames, options)?;
    let mean = metric::Figure::MeanAveragePrecisionPresent;
    let intervals = intervals(frames, options, bootstrap)?;
    Ok(PerFrame {
        samples: summary.samples,
        videos: summary.videos,
        per_class: summary.per_class.iter().map(|class| class.average_precision).collect(),
        interval: intervals.into_iter().find(|interval| interval.figure == mean),
        average_precision: summary.average_precision,
    })
}

/// The best classes by name, with their scores.
fn named<'a>(p: &[f64], labels: &'a [String]) -> Vec<(&'a str, f64)> {
    top(p, LISTED).into_iter().map(|class| (labels[class].as_str(), p[class])).collect()
}

/// The annotated labels at a time, as they stand in the annotation.
fn truth_at(truth: &Truth, t: f64) -> String {
    match truth {
        Truth::Spans(spans) => {
            let here = spans.iter().filter(|s| s.start <= t && t < s.end);
            let labels: BTreeSet<&str> = here.map(|s| s.label.as_str()).collect();
            labels.into_iter().collect::<Vec<_>>().join("|")
        }
        _ => truth_of(truth),
    }
}

/// The annotated labels of a video.
fn truth_of(truth: &Truth) -> String {
    let labels: BTreeSet<&str> = match truth {
        Truth::None => BTreeSet::new(),
        Truth::Video(labels) => labels.iter().map(String::as_str).collect(),
        Truth::Spans(spans) => spans.iter().map(|s| s.label.as_str()).collect(),
    };
    labels.into_iter().collect::<Vec<_>>().join("|")
}

fn bars(truth: &Truth) -> Vec<Bar> {
    let Truth::Spans(spans) = truth else { return Vec::new() };
    let mut bars: Vec<Bar> =
        spans.iter().map(|s| Bar { start: s.start, end: s.end, label: s.label.clone() }).collect();
    bars.sort_by(|a, b| {
        a.start.total_cmp(&b.start).then(a.end.total_cmp(&b.end)).then(a.label.cmp(&b.label))
    });
    bars
}

/// The rules in words.
fn notes(task: Task) -> Vec<&'static str> {
    let mut notes = vec![
        "A clip counts under `clip` when it lies whole within one label, and under `every` when a label holds at its time.",
        "Videos that failed, and labels that the model has no class for, are listed and count in no figure.",
        "Scores are probabilities in double precision, from the stored logits; equal ones rank by class index.",
        "Intervals are percentile bootstrap intervals over videos: clips of one video are not independent.",
    ];
    notes.extend(match task {
        Task::SingleLabel => [
            "Where several labels hold at once, naming any of them is right; else the one that began last is the truth.",
            "A video has a truth of its own when its labels are of the whole recording, or all its spans carry one label.",
        ],
        Task::MultiLabel => [
            "Annotated time without a label is time in which no class holds; a class is predicted when its probability is above 0.5.",
            "The labels of a video are all that occur in it.",
        ],
    });
    notes
}
