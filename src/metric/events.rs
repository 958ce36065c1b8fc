//! Untrimmed streams: did events happen when and where they really did?

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::average::ratio;
use super::bootstrap::{Bootstrap, quantile};
use super::resample::{Figure, FigureInterval};
use crate::error::{Error, Result};

/// What was really there: one class from `start` to `end`, seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// Class index.
    pub class: usize,
    /// First moment, seconds.
    pub start: f64,
    /// First moment after, seconds.
    pub end: f64,
}

/// An event that a model found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// Class index.
    pub class: usize,
    /// From when it is said to have lasted, seconds.
    pub start: f64,
    /// Until when, seconds.
    pub end: f64,
    /// When it was known, in the stream's own time, seconds: later than `start`
    /// by what it takes to be sure.
    pub raised: f64,
}

/// Temporal intersections over union from which an event counts as found.
pub const OVERLAPS: [f64; 3] = [0.1, 0.25, 0.5];

/// Events against the truth, video by video.
///
/// Event F1 is the segmental F1@{10, 25, 50} of Lea et al. (Temporal
/// Convolutional Networks for Action Segmentation and Detection, CVPR 2017,
/// arXiv 1611.05267) as MS-TCN (arXiv 1903.01945) evaluates it: a video's events
/// are taken in the order of time; each looks at the true segment of its class
/// that it overlaps most (of equals the first), and is a hit if their
/// intersection over union reaches the threshold and no earlier event has hit
/// that segment, else a false positive. Segments never hit are missed. Counts
/// are added up over videos. So one segment is hit at most once, and an action
/// found in pieces costs precision.
///
/// Detection latency: an event is correct for an action if it is of the same
/// class and their times overlap. The latency is from the action's start to the
/// moment when the first correct event was known; an event known before the
/// action began counts as 0 and as early. An action without a correct event is
/// missed: it has no latency and is counted apart, so read both figures.
#[derive(Clone, Debug)]
pub struct Events {
    classes: usize,
    videos: BTreeMap<String, Vec<ClassCounts>>,
}

/// What one video says about one class.
#[derive(Clone, Debug, Default, PartialEq)]
struct ClassCounts {
    class: usize,
    actions: u64,
    detections: u64,
    /// For each of [`OVERLAPS`].
    hits: [u64; 3],
    /// Of the actions found, seconds.
    latencies: Vec<f64>,
    early: u64,
}

/// Every figure of the events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventSummary {
    /// At each of [`OVERLAPS`], all classes pooled.
    pub f1: Vec<EventF1>,
    /// Over all actions.
    pub latency: Latency,
    /// Of the classes that occur as truth or event, in index order.
    pub per_class: Vec<ClassEvents>,
}

/// Events of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassEvents {
    /// Its index.
    pub class: usize,
    /// At each of [`OVERLAPS`].
    pub f1: Vec<EventF1>,
    /// Over its actions.
    pub latency: Latency,
}

/// Events found at one overlap.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventF1 {
    /// Least temporal intersection over union.
    pub iou: f64,
    /// Actions found.
    pub true_positives: u64,
    /// Events that found no action of their own.
    pub false_positives: u64,
    /// Actions not found.
    pub missed: u64,
    /// TP / (TP + FP); 0 without events.
    pub precision: f64,
    /// TP / (TP + missed); 0 without actions.
    pub recall: f64,
    /// 2TP / (2TP + FP + missed); 0 without either.
    pub f1: f64,
    /// The mean of the classes' own F1, over those that occur; `None` for one
    /// class alone.
    pub macro_f1: Option<f64>,
}

/// How late actions were noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Actions there were.
    pub actions: u64,
    /// Those with a correct event.
    pub detected: u64,
    /// Those without.
    pub missed: u64,
    /// Those whose event was known before they began.
    pub early: u64,
    /// Mean latency of those detected, seconds.
    pub mean: Option<f64>,
    /// Median, seconds.
    pub median: Option<f64>,
    /// 90th percentile, seconds.
    pub p90: Option<f64>,
    /// Greatest, seconds.
    pub max: Option<f64>,
}

impl Events {
    /// For a model of `classes` classes.
    pub fn new(classes: usize) -> Self {
        Events { classes, videos: BTreeMap::new() }
    }

    /// Adds what `video` held and what was found in it, each in any order. A
    /// class that means "nothing happens" should be in neither.
    ///
    /// # Errors
    /// A time that is not finite, an end before its start, a class index out of
    /// range, or a video that was added before.
    pub fn add(&mut self, video: &str, truth: &[Segment], detections: &[Detection]) -> Result<()> {
        let doing = || format!("scoring the events of video {video:?}");
        let spans = truth.iter().map(|s| (s.class, s.start, s.end, s.start));
        let found = detections.iter().map(|d| (d.class, d.start, d.end, d.raised));
        for (class, start, end, raised) in spans.chain(found) {
            if class >= self.classes {
                return Err(Error::data(
                    doing(),
                    format!("class {class} of only {}", self.classes),
                )
                .remedy("count classes from 0, in the order of the model's labels file"));
            }
            if !(start.is_finite() && end.is_finite() && raised.is_finite() && start <= end) {
                return Err(Error::data(doing(), format!("a span from {start} s to {end} s")));
            }
        }
        if self.videos.contains_key(video) {
            return Err(Error::data(doing(), "it was scored before")
                .remedy("give each video a name of its own"));
        }
        let mut classes: Vec<usize> = truth.iter().map(|s| s.class).collect();
        classes.extend(detections.iter().map(|d| d.class));
        classes.sort_unstable();
        classes.dedup();
        let counts = classes.into_iter().map(|class| {
            let mut truth: Vec<Segment> =
                truth.iter().filter(|s| s.class == class).copied().collect();
            let mut found: Vec<Detection> =
                detections.iter().filter(|d| d.class == class).copied().collect();
            truth.sort_by(|a, b| a.start.total_cmp(&b.start).then(a.end.total_cmp(&b.end)));
            found.sort_by(|a, b| a.start.total_cmp(&b.start).then(a.end.total_cmp(&b.end)));
            ClassCounts::of(class, &truth, &found)
        });
        self.videos.insert(video.to_owned(), counts.collect());
        Ok(())
    }

    /// The figures over all videos added.
    pub fn summary(&self) -> EventSummary {
        let mut classes: BTreeMap<usize, ClassCounts> = BTreeMap::new();
        let mut pooled = ClassCounts::default();
        for counts in self.videos.values().flatten() {
            pooled.add(counts);
            classes.entry(counts.class).or_default().add(counts);
        }
        let per_class: Vec<ClassEvents> = classes
            .iter()
            .map(|(&class, counts)| ClassEvents {
                class,
                f1: counts.f1(),
                latency: counts.latency(),
            })
            .collect();
        let mut f1 = pooled.f1();
        for (k, at) in f1.iter_mut().enumerate() {
            at.macro_f1 = super::average::mean(per_class.iter().map(|class| class.f1[k].f1));
        }
        EventSummary { f1, latency: pooled.latency(), per_class }
    }

    /// Intervals over videos of event F1 at each overlap, of the mean latency
    /// and of the share of actions detected.
    ///
    /// # Errors
    /// No video, or options that mean nothing.
    pub fn intervals(&self, bootstrap: &Bootstrap) -> Result<Vec<FigureInterval>> {
        let videos: Vec<Sums> = self.videos.values().map(|counts| Sums::of(counts)).collect();
        let figures = [
            Figure::EventF1(10),
            Figure::EventF1(25),
            Figure::EventF1(50),
            Figure::MeanLatency,
            Figure::Detected,
        ];
        let of = |weights: &[u32], values: &mut [Option<f64>]| {
            let mut sums = Sums::default();
            for (video, &weight) in videos.iter().zip(weights) {
                sums.add(video, f64::from(weight));
            }
            let share = |part: f64, of: f64| (of > 0.0).then(|| part / of);
            let f1 = sums.hits.map(|hits| share(2.0 * hits, sums.actions + sums.detections));
            values[..3].copy_from_slice(&f1);
            values[3] = share(sums.latency, sums.detected);
            values[4] = share(sums.detected, sums.actions);
        };
        let intervals = bootstrap.run(videos.len(), figures.len(), of)?;
        let named = figures.iter().zip(intervals);
        Ok(named.map(|(&figure, interval)| FigureInterval { figure, interval }).collect())
    }
}

impl ClassCounts {
    /// `truth` and `found` are of one class, in the order of time.
    fn of(class: usize, truth: &[Segment], found: &[Detection]) -> Self {
        let mut hits = [0; OVERLAPS.len()];
        for (hits, least) in hits.iter_mut().zip(OVERLAPS) {
            let mut taken = vec![false; truth.len()];
            for event in found {
                let mut best: Option<(usize, f64)> = None;
                for (i, action) in truth.iter().enumerate() {
                    let overlap = iou((event.start, event.end), (action.start, action.end));
                    if best.is_none_or(|(_, most)| overlap > most) {
                        best = Some((i, overlap));
                    }
                }
                if let Some((i, overlap)) = best
                    && overlap >= least
                    && !taken[i]
                {
                    taken[i] = true;
                    *hits += 1;
                }
            }
        }
        let mut latencies = Vec::new();
        let mut early = 0;
        for action in truth {
            let correct = found.iter().filter(|e| e.start < action.end && e.end > action.start);
            if let Some(raised) = correct.map(|event| event.raised).min_by(f64::total_cmp) {
                early += u64::from(raised < action.start);
                latencies.push((raised - action.start).max(0.0));
            }
        }
        let (actions, detections) = (truth.len() as u64, found.len() as u64);
        ClassCounts { class, actions, detections, hits, latencies, early }
    }

    fn add(&mut self, other: &ClassCounts) {
        self.actions += other.actions;
        self.detections += other.detections;
        self.hits.iter_mut().zip(other.hits).for_each(|(a, b)| *a += b);
        self.latencies.extend(&other.latencies);
        self.early += other.early;
    }

    fn f1(&self) -> Vec<EventF1> {
        let at = |(iou, &hits): (f64, &u64)| EventF1 {
            iou,
            true_positives: hits,
            false_positives: self.detections - hits,
            missed: self.actions - hits,
            precision: ratio(hits as f64, self.detections as f64),
            recall: ratio(hits as f64, self.actions as f64),
            f1: ratio(2.0 * hits as f64, (self.detections + self.actions) as f64),
            macro_f1: None,
        };
        OVERLAPS.into_iter().zip(&self.hits).map(at).collect()
    }

    fn latency(&self) -> Latency {
        let mut latencies = self.latencies.clone();
        latencies.sort_unstable_by(f64::total_cmp);
        let detected = latencies.len() as u64;
        Latency {
            actions: self.actions,
            detected,
            missed: self.actions - detected,
            early: self.early,
            mean: super::average::mean(latencies.iter().copied()),
            median: quantile(&latencies, 0.5),
            p90: quantile(&latencies, 0.9),
            max: latencies.last().copied(),
        }
    }
}

/// What a video adds to the figures that get intervals.
#[derive(Clone, Copy, Default)]
struct Sums {
    actions: f64,
    detections: f64,
    hits: [f64; 3],
    detected: f64,
    latency: f64,
}

impl Sums {
    fn of(classes: &[ClassCounts]) -> Self {
        let mut sums = Sums::default();
        for counts in classes {
            sums.actions += counts.actions as f64;
            sums.detections += counts.detections as f64;
            sums.hits.iter_mut().zip(counts.hits).for_each(|(a, b)| *a += b as f64);
            sums.detected += counts.latencies.len() as f64;
            sums.latency += counts.latencies.iter().sum::<f64>();
        }
        sums
    }

    fn add(&mut self, other: &Sums, weight: f64) {
        self.actions += weight * other.actions;
        self.detections += weight * other.detections;
        self.hits.iter_mut().zip(other.hits).for_each(|(a, b)| *a += weight * b);
        self.detected += weight * other.detected;
        self.latency += weight * other.latency;
    }
}

/// Temporal intersection over union of two spans; 0 where they do not meet.
fn iou(a: (f64, f64), b: (f64, f64)) -> f64 {
    let intersection = (a.1.min(b.1) - a.0.max(b.0)).max(0.0);
    // Of spans that meet, the union is from the first start to the last end.
    ratio(intersection, a.1.max(b.1) - a.0.min(b.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(class: usize, start: f64, end: f64) -> Segment {
        Segment { class, start, end }
    }

    fn event(class: usize, start: f64, end: f64) -> Detection {
        Detection { class, start, end, raised: start + 0.5 }
    }

    fn scored(truth: &[Segment], found: &[Detection]) -> EventSummary {
        let mut events = Events::new(4);
        events.add("v", truth, found).unwrap();
        events.summary()
    }

    fn hits(summary: &EventSummary) -> Vec<(u64, u64, u64)> {
        let at = |f1: &EventF1| (f1.true_positives, f1.false_positives, f1.missed);
        summary.f1.iter().map(at).collect()
    }

    #[test]
    fn events_that_match_exactly_are_all_found() {
        let truth = [action(0, 0.0, 4.0), action(1, 4.0, 9.0), action(0, 9.0, 12.0)];
        let found = truth.map(|s| event(s.class, s.start, s.end));
        let summary = scored(&truth, &found);
        assert_eq!(hits(&summary), [(3, 0, 0); 3]);
        assert!(summary.f1.iter().all(|at| at.f1 == 1.0 && at.macro_f1 == Some(1.0)));
        assert_eq!((summary.latency.mean, summary.latency.missed), (Some(0.5), 0));
    }

    #[test]
    fn an_overlap_counts_from_its_threshold_on() {
        // Intersection 2, union 8: 0.25.
        let summary = scored(&[action(0, 0.0, 4.0)], &[event(0, 2.0, 8.0)]);
        assert_eq!(hits(&summary), [(1, 0, 0), (1, 0, 0), (0, 1, 1)]);
    }

    #[test]
    fn an_action_found_in_pieces_is_found_once_and_costs_precision() {
        let found = [event(0, 0.0, 5.0), event(0, 5.0, 10.0)];
        let summary = scored(&[action(0, 0.0, 10.0)], &found);
        assert_eq!(hits(&summary), [(1, 1, 0); 3]);
        assert!((summary.f1[2].f1 - 2.0 / 3.0).abs() < 1e-15);
    }

    #[test]
    fn one_event_over_two_actions_finds_one() {
        let truth = [action(0, 0.0, 5.0), action(0, 6.0, 10.0)];
        assert_eq!(hits(&scored(&truth, &[event(0, 0.0, 10.0)])), [(1, 0, 1); 3]);
    }

    /// The second event overlaps both actions alike: it looks at the first, which
    /// is taken.
    #[test]
    fn of_equal_overlaps_the_first_counts() {
        let truth = [action(0, 0.0, 4.0), action(0, 4.0, 8.0)];
        let found = [event(0, 0.0, 3.0), event(0, 2.0, 6.0)];
        assert_eq!(hits(&scored(&truth, &found)), [(1, 1, 1); 3]);
    }

    #[test]
    fn the_right_time_with_the_wrong_class_finds_nothing() {
        let summary = scored(&[action(0, 0.0, 5.0)], &[event(1, 0.0, 5.0)]);
        assert_eq!(hits(&summary), [(0, 1, 1); 3]);
        assert_eq!((summary.latency.missed, summary.latency.mean), (1, None));
        assert_eq!(summary.per_class.len(), 2);
        assert_eq!(summary.f1[0].macro_f1, Some(0.0));
    }

    #[test]
    fn nothing_there_and_nothing_found_is_no_figure_but_zero() {
        let summary = scored(&[], &[]);
        assert_eq!((summary.f1[0].f1, summary.f1[0].macro_f1), (0.0, None));
        assert_eq!(summary.latency, Latency::default());
    }

    #[test]
    fn latency_is_to_when_the_first_correct_event_was_known() {
        let truth = [action(0, 10.0, 20.0), action(0, 30.0, 40.0), action(0, 50.0, 60.0)];
        let found = [
            // Over before the first action: not correct.
            Detection { class: 0, start: 5.0, end: 10.0, raised: 6.0 },
            Detection { class: 0, start: 14.0, end: 16.0, raised: 15.5 },
            Detection { class: 0, start: 12.0, end: 13.0, raised: 13.0 },
            // Known before the second action began.
            Detection { class: 0, start: 28.0, end: 33.0, raised: 29.0 },
        ];
        let latency = scored(&truth, &found).latency;
        assert_eq!((latency.actions, latency.detected, latency.missed), (3, 2, 1));
        assert_eq!((latency.early, latency.mean, latency.max), (1, Some(1.5), Some(3.0)));
        assert_eq!(latency.median, Some(1.5));
    }

    /// Whatever the spans: no more hits than actions or events, no more at a
    /// stricter threshold, and the same whichever way they are ordered or moved.
    #[test]
    fn figures_of_random_spans_hold_together() {
        let mut state = 7u64;
        let mut below = move |bound: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % bound
        };
        for _ in 0..500 {
            let mut span = || {
                let (class, start) = (below(3) as usize, below(40) as f64);
                (class, start, start + 1.0 + below(12) as f64)
            };
            let truth: Vec<_> = (0..6).map(|_| span()).map(|(c, s, e)| action(c, s, e)).collect();
            let found: Vec<_> = (0..7).map(|_| span()).map(|(c, s, e)| event(c, s, e)).collect();
            let summary = scored(&truth, &found);
            let found_at: Vec<u64> = summary.f1.iter().map(|at| at.true_positives).collect();
            assert!(found_at[0] <= 6 && found_at.is_sorted_by(|a, b| a >= b), "{found_at:?}");
            for at in &summary.f1 {
                assert_eq!(at.true_positives + at.missed, 6);
                assert_eq!(at.true_positives + at.false_positives, 7);
            }
            assert_eq!(summary.latency.detected + summary.latency.missed, 6);
            assert!(summary.latency.detected >= found_at[0]);
            let (mut back, mut later) = (truth.clone(), found.clone());
            back.reverse();
            later.reverse();
            assert_eq!(scored(&back, &later), summary);
            back.iter_mut().for_each(|s| (s.start, s.end) = (s.start + 8.0, s.end + 8.0));
            for e in &mut later {
                (e.start, e.end, e.raised) = (e.start + 8.0, e.end + 8.0, e.raised + 8.0);
            }
            assert_eq!(scored(&back, &later), summary);
        }
    }

    #[test]
    fn intervals_are_around_the_figures() {
        let mut events = Events::new(2);
        for video in 0..30 {
            let shift = f64::from(video % 4);
            let found = [event(0, shift, 5.0 + shift), event(1, 20.0, 21.0)];
            events.add(&format!("{video}"), &[action(0, 0.0, 5.0)], &found).unwrap();
        }
        let summary = events.summary();
        let intervals = events.intervals(&Bootstrap::default()).unwrap();
        assert_eq!(intervals[2].interval.estimate, Some(summary.f1[2].f1));
        assert_eq!(intervals[3].interval.estimate, summary.latency.mean);
        for found in &intervals {
            let Some(estimate) = found.interval.estimate else { panic!("{found:?}") };
            assert!(found.interval.low.unwrap() <= estimate, "{found:?}");
            assert!(found.interval.high.unwrap() >= estimate, "{found:?}");
        }
        assert_eq!(serde_json::to_value(intervals[1].figure).unwrap(), "event_f1_at_25");
    }

    #[test]
    fn what_cannot_be_scored_is_refused() {
        let mut events = Events::new(2);
        assert!(events.add("v", &[action(2, 0.0, 1.0)], &[]).is_err());
        assert!(events.add("v", &[action(0, 1.0, 0.0)], &[]).is_err());
        assert!(events.add("v", &[action(0, f64::NAN, 1.0)], &[]).is_err());
        assert!(events.add("v", &[], &[event(0, 0.0, f64::INFINITY)]).is_err());
        assert!(events.intervals(&Bootstrap::default()).is_err());
        events.add("v", &[], &[]).unwrap();
        assert!(events.add("v", &[], &[]).unwrap_err().to_string().contains("before"));
    }
}
