//! One stream's way from logits to predictions.

use std::time::Duration;

use super::events::Events;
use super::options::PredictOptions;
use super::prediction::{EndedBy, Event, EventKind, FORMAT, Prediction, Scored};
use super::probability::probabilities;
use super::smoother::Smoother;
use crate::error::{Error, Result};
use crate::model::{Output, Task};
use crate::video::Reset;

/// When and under what circumstances the model spoke.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    /// The time that the logits speak of, on the stream's own clock.
    pub t: Duration,
    /// Where their clip begins, on the stream's own clock.
    pub start: Duration,
    /// How far `t` lies behind the newest frame.
    pub delay: Duration,
    /// Wall clock, RFC 3339.
    pub at: String,
    /// From the newest frame's arrival to now.
    pub latency: Duration,
    /// Predictions left out just before.
    pub skipped: u64,
    /// Why the clip was begun anew, if this is the first prediction since.
    pub reset: Option<Reset>,
}

/// Turns one stream's logits into predictions and events. Holds the stream's
/// smoothing, its events and its sequence number.
pub struct Predictor {
    stream: String,
    labels: Vec<String>,
    task: Task,
    output: Output,
    top_k: usize,
    abstain: f32,
    smoother: Option<Smoother>,
    events: Option<Events>,
    seq: u64,
    /// As the model has them.
    own: Vec<f32>,
    /// Calibrated and smoothed.
    probabilities: Vec<f32>,
    order: Vec<usize>,
}

impl Predictor {
    /// For the stream `stream` and a model with these `labels`, in index order.
    pub fn new(
        stream: &str,
        options: &PredictOptions,
        labels: &[String],
        task: Task,
        output: Output,
    ) -> Self {
        Predictor {
            stream: stream.to_owned(),
            labels: labels.to_vec(),
            task,
            output,
            top_k: options.top_k.min(labels.len()),
            abstain: options.abstain as f32,
            smoother: options.smooth.as_ref().map(|s| Smoother::new(s.half_life.0)),
            events: options.events.as_ref().map(|e| Events::new(e, labels, task)),
            seq: 0,
            own: vec![0.0; labels.len()],
            probabilities: vec![0.0; labels.len()],
            order: (0..labels.len()).collect(),
        }
    }

    /// The prediction for `values`, what the model gave (one a label), with the
    /// model's own probabilities.
    ///
    /// # Errors
    /// As [`check`](Predictor::check); no sequence number is taken.
    pub fn next(&mut self, values: &[f32], moment: Moment) -> Result<Prediction> {
        self.check(values)?;
        let mut own = std::mem::take(&mut self.own);
        probabilities(values, self.task, self.output, &mut own);
        let prediction = self.take(&own, moment);
        self.own = own;
        Ok(prediction)
    }

    /// Refuses what no prediction can be made of.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data): a value is not finite, or
    /// there is not one for each label.
    pub fn check(&self, values: &[f32]) -> Result<()> {
        let doing = || format!("reading what the model says about stream \"{}\"", self.stream);
        if values.len() != self.labels.len() {
            let fault = format!("{} values for {} labels", values.len(), self.labels.len());
            return Err(Error::data(doing(), fault));
        }
        if let Some(bad) = values.iter().position(|z| !z.is_finite()) {
            let fault = format!("the value for \"{}\" is {}", self.labels[bad], values[bad]);
            return Err(Error::data(doing(), fault)
                .remedy("export the model again; its weights or its input range are broken"));
        }
        Ok(())
    }

    /// The prediction for `probabilities` (one a label), calibrated or not. Each
    /// call takes the next sequence number.
    pub fn take(&mut self, probabilities: &[f32], moment: Moment) -> Prediction {
        self.probabilities.copy_from_slice(probabilities);
        if let Some(smoother) = &mut self.smoother {
            smoother.smooth(moment.t, &mut self.probabilities);
        }
        let event = self.events.as_mut().and_then(|e| e.next(moment.t, &self.probabilities));

        let p = &self.probabilities;
        self.order.sort_unstable_by(|&a, &b| p[b].total_cmp(&p[a]).then(a.cmp(&b)));
        let top: Vec<Scored> = self.order[..self.top_k]
            .iter()
            .map(|&class| Scored { label: self.labels[class].clone(), p: p[class] })
            .collect();

        let seq = self.seq;
        self.seq += 1;
        Prediction {
            stream: self.stream.clone(),
            seq,
            t: seconds(moment.t),
            start: seconds(moment.start),
            at: moment.at,
            label: top.first().filter(|best| best.p >= self.abstain).map(|best| best.label.clone()),
            top,
            set: None,
            event: event.map(|class| self.labels[class].clone()),
            truth: None,
            delay_s: seconds(moment.delay),
            latency_ms: (moment.latency.as_secs_f64() * 1e4).round() / 10.0,
            skipped: moment.skipped,
            reset: moment.reset,
            clip_top1: None,
        }
    }

    /// The class index of the last prediction's most probable class.
    pub fn best(&self) -> usize {
        self.order.first().copied().unwrap_or_default()
    }

    /// The clip was begun anew: forgets the past, and ends the events that are on.
    pub fn reset(&mut self) {
        if let Some(smoother) = &mut self.smoother {
            smoother.reset();
        }
        self.end_events(EndedBy::Reset);
    }

    /// The stream ended: ends the events that are on.
    pub fn finish(&mut self) {
        self.end_events(EndedBy::End);
    }

    fn end_events(&mut self, by: EndedBy) {
        if let Some(events) = &mut self.events {
            events.finish(by);
        }
    }

    /// The events that ended since the last call; `at` is the wall clock now.
    pub fn take_events(&mut self, at: &str) -> Vec<Event> {
        let ended = self.events.as_mut().map(Events::take_ended).unwrap_or_default();
        ended
            .into_iter()
            .map(|e| Event {
                v: FORMAT,
                kind: EventKind,
                stream: self.stream.clone(),
                label: self.labels[e.class].clone(),
                start: seconds(e.start),
                end: seconds(e.end),
                peak: e.peak,
                ended_by: e.by,
                at: at.to_owned(),
            })
            .collect()
    }
}

/// Seconds, to the microsecond: enough for any frame, and short to read.
fn seconds(t: Duration) -> f64 {
    (t.as_secs_f64() * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predictor(options: &PredictOptions, task: Task) -> Predictor {
        Predictor::new("gate", options, &["a", "b", "c"].map(String::from), task, Output::Logits)
    }

    fn plain() -> PredictOptions {
        PredictOptions { smooth: None, events: None, abstain: 0.0, ..PredictOptions::default() }
    }

    fn at(seconds: f64) -> Moment {
        Moment { t: Duration::from_secs_f64(seconds), ..Moment::default() }
    }

    #[test]
    fn the_top_k_come_first_and_ties_go_to_the_lower_index() {
        let mut predictor = predictor(&PredictOptions { top_k: 2, ..plain() }, Task::SingleLabel);
        let prediction = predictor.next(&[1.0, 2.0, 2.0], at(0.0)).unwrap();
        let labels: Vec<_> = prediction.top.iter().map(|s| s.label.as_str()).collect();
        assert_eq!(labels, ["b", "c"]);
        assert_eq!((prediction.label.as_deref(), predictor.best()), (Some("b"), 1));
    }

    #[test]
    fn more_than_all_classes_gives_all() {
        let mut predictor = predictor(&PredictOptions { top_k: 50, ..plain() }, Task::SingleLabel);
        assert_eq!(predictor.next(&[1.0, 2.0, 3.0], at(0.0)).unwrap().top.len(), 3);
    }

    #[test]
    fn below_abstain_there_is_no_label_but_still_a_top() {
        let mut predictor =
            predictor(&PredictOptions { abstain: 0.5, ..plain() }, Task::SingleLabel);
        let prediction = predictor.next(&[0.0, 0.1, 0.0], at(0.0)).unwrap();
        assert_eq!((prediction.label, prediction.top[0].label.as_str()), (None, "b"));
        assert!(predictor.next(&[0.0, 9.0, 0.0], at(1.0)).unwrap().label.is_some());
    }

    #[test]
    fn each_prediction_takes_the_next_number_and_a_fault_takes_none() {
        let mut predictor = predictor(&plain(), Task::SingleLabel);
        assert_eq!(predictor.next(&[0.0; 3], at(0.0)).unwrap().seq, 0);
        let error = predictor.next(&[0.0, f32::NAN, 0.0], at(1.0)).unwrap_err();
        assert!(error.to_string().contains("the value for \"b\" is NaN"), "{error}");
        assert!(predictor.next(&[0.0; 2], at(1.0)).is_err());
        assert_eq!(predictor.next(&[0.0; 3], at(2.0)).unwrap().seq, 1);
    }

    #[test]
    fn a_reset_forgets_smoothing_and_ends_events() {
        let mut predictor = predictor(&PredictOptions::default(), Task::SingleLabel);
        for k in 0..4 {
            predictor.next(&[9.0, 0.0, 0.0], at(f64::from(k))).unwrap();
        }
        assert_eq!(predictor.take_events("").len(), 0);
        predictor.reset();
        let events = predictor.take_events("now");
        assert_eq!((events[0].label.as_str(), events[0].start, events[0].end), ("a", 0.0, 3.0));
        assert_eq!(events[0].ended_by, EndedBy::Reset);
        let prediction = predictor.next(&[0.0, 9.0, 0.0], at(4.0)).unwrap();
        assert!(prediction.top[0].label == "b" && prediction.top[0].p > 0.99);
    }

    #[test]
    fn times_are_written_short() {
        let moment = Moment {
            t: Duration::from_nanos(333_333_333),
            latency: Duration::from_micros(11_840),
            ..Moment::default()
        };
        let prediction = predictor(&plain(), Task::SingleLabel).next(&[0.0; 3], moment).unwrap();
        assert_eq!((prediction.t, prediction.latency_ms), (0.333_333, 11.8));
    }
}
