//! An untrimmed video's time: what was there, what was said, what would have
//! been raised as an event.

use std::time::Duration;

use serde::Serialize;

use super::store::{Clip, Run};
use super::truth::VideoTruth;
use crate::error::Result;
use crate::metric::{Detection, Segment};
use crate::model::Task;
use crate::predict::{Moment, PredictOptions, Predictor};

/// A stretch of time, `start <= t < end` in seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bar {
    /// First instant, seconds.
    pub start: f64,
    /// End, seconds, not included.
    pub end: f64,
    /// The class's name.
    pub label: String,
}

/// One video's bars.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timeline {
    /// The video's id.
    pub video: String,
    /// Its length, seconds.
    pub seconds: f64,
    /// The annotation, labels that the model does not know among it.
    pub truth: Vec<Bar>,
    /// What was predicted: the top class, or of a multi-label task those above
    /// 0.5; each from one prediction to the next.
    pub predicted: Vec<Bar>,
    /// The events that the daemon would have raised; `None` where clips do not
    /// follow one another as in a stream.
    pub events: Option<Vec<Bar>>,
}

/// What was there and what was raised.
pub(super) type Found = (Vec<Segment>, Vec<Detection>);

/// Builds a video's [`Timeline`] clip by clip.
pub(super) struct Recorder<'a> {
    run: &'a Run,
    /// `None` where clips do not follow one another as in a stream.
    predictor: Option<Predictor>,
    predicted: Vec<Bar>,
    /// For each class, the bar in `predicted` that is still growing.
    open: Vec<Option<usize>>,
    times: Vec<f64>,
}

/// Classes predicted in a multi-label task lie above this.
const THRESHOLD: f64 = 0.5;
/// A step this many times the usual one is a hole, in which nothing was said.
const HOLE: f64 = 3.0;

impl<'a> Recorder<'a> {
    pub fn new(run: &'a Run) -> Self {
        let model = &run.model;
        let predictor = is_stream(run).then(|| {
            let options = PredictOptions {
                events: Some(run.predict.events.clone().unwrap_or_default()),
                ..run.predict.clone()
            };
            Predictor::new("", &options, &model.labels, model.task, model.output)
        });
        Recorder {
            run,
            predictor,
            predicted: Vec::new(),
            open: vec![None; model.labels.len()],
            times: Vec::new(),
        }
    }

    /// Takes a clip and its probabilities, in order of time. Where several crops
    /// of one clip come, only the first is drawn.
    pub fn add(&mut self, clip: &Clip, probabilities: &[f64], best: usize) -> Result<()> {
        if self.times.last().is_some_and(|&last| clip.t <= last) {
            return Ok(());
        }
        let step = self.step();
        let hole = match (self.times.last(), step) {
            (Some(&last), Some(step)) => clip.t - last > HOLE * step,
            _ => false,
        };
        for (class, &p) in probabilities.iter().enumerate() {
            let says = match self.run.model.task {
                Task::SingleLabel => class == best,
                Task::MultiLabel => p > THRESHOLD,
            };
            if let Some(bar) = self.open[class] {
                let end = match (hole, self.times.last(), step) {
                    (true, Some(&last), Some(step)) => last + step,
                    _ => clip.t,
                };
                self.predicted[bar].end = end;
                if !says || hole {
                    self.open[class] = None;
                }
            }
            if says && self.open[class].is_none() {
                self.open[class] = Some(self.predicted.len());
                let label = self.run.model.labels[class].clone();
                self.predicted.push(Bar { start: clip.t, end: clip.t, label });
            }
        }
        if let Some(predictor) = &mut self.predictor {
            if hole {
                predictor.reset();
            }
            let moment =
                Moment { t: duration(clip.t), start: duration(clip.start), ..Moment::default() };
            predictor.next(&clip.logits, moment)?;
        }
        self.times.push(clip.t);
        Ok(())
    }

    /// The timeline, and for the event metrics what was there and what was
    /// raised (`None` where clips do not follow one another as in a stream).
    pub fn finish(
        mut self,
        video: &str,
        seconds: f64,
        annotated: Vec<Bar>,
        truth: &VideoTruth,
    ) -> (Timeline, Option<Found>) {
        // The last prediction holds as long as one usually does.
        let step = self.step().unwrap_or(0.0);
        let end = self.times.last().map_or(0.0, |last| last + step);
        let end = if seconds > 0.0 { end.min(seconds.max(end - step)) } else { end };
        for bar in self.open.iter().flatten() {
            self.predicted[*bar].end = end;
        }
        self.predicted.retain(|bar| bar.end > bar.start);
        let labels = &self.run.model.labels;
        let found = self.predictor.as_mut().map(|predictor| {
            predictor.finish();
            let after = self.run.predict.events.clone().unwrap_or_default().min_duration.0;
            let mut detections: Vec<Detection> = predictor
                .take_events("")
                .into_iter()
                .filter_map(|event| {
                    let class = labels.iter().position(|l| *l == event.label)?;
                    // An event is raised by the first prediction that finds it
                    // held for `min_duration`.
                    let held = |&&t: &&f64| t - event.start >= after.as_secs_f64() - 1e-6;
                    let raised = self.times.iter().find(held).copied().unwrap_or(event.end);
                    Some(Detection { class, start: event.start, end: event.end, raised })
                })
                .collect();
            detections.sort_by(|a, b| {
                a.start
                    .total_cmp(&b.start)
                    .then(a.end.total_cmp(&b.end))
                    .then(a.class.cmp(&b.class))
            });
            let ignored = self.run.predict.events.clone().unwrap_or_default().ignore;
            let segments = truth
                .spans()
                .filter(|(span, _)| !ignored.contains(&span.label))
                .map(|(span, class)| Segment { class, start: span.start, end: span.end })
                .collect();
            (segments, detections)
        });
        let events = found.as_ref().map(|(_, detections): &Found| {
            let bar =
                |d: &Detection| Bar { start: d.start, end: d.end, label: labels[d.class].clone() };
            detections.iter().map(bar).collect()
        });
        let timeline = Timeline {
            video: video.to_owned(),
            seconds: seconds.max(end),
            truth: annotated,
            predicted: self.predicted,
            events,
        };
        (timeline, found)
    }

    /// The usual time from one prediction to the next: the median of those so far.
    fn step(&self) -> Option<f64> {
        const LOOK: usize = 65;
        let from = self.times.len().saturating_sub(LOOK);
        let mut steps: Vec<f64> =
            self.times[from..].windows(2).map(|pair| pair[1] - pair[0]).collect();
        steps.sort_by(f64::total_cmp);
        steps.get(steps.len() / 2).copied()
    }
}

/// Whether a run's clips follow one another as the daemon's do.
fn is_stream(run: &Run) -> bool {
    let option = |key: &str| run.options.get(key);
    let uniform = option("clips").and_then(|v| v.as_str()) == Some("uniform");
    let resampled = option("resample").is_some_and(|v| !v.is_null());
    !uniform && !resampled
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
