//! The headline figures of a set under many resamples of its videos at once.

use std::fmt;

use serde::Serialize;

use super::average::ratio;
use super::bins::{EqualMass, EqualWidth, Fill, expected_error};
use super::bootstrap::{Bootstrap, Interval};
use super::conventions::{Conventions, Options, Task};
use super::counts::{self, Counts};
use super::set::Set;
use super::spread::spread;
use super::summary::{by_class, confidences, only_first_class};
use super::{tally, topk};
use crate::error::{Error, Result};

/// A figure that intervals are computed of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    /// [`Summary::accuracy`](super::Summary::accuracy).
    Accuracy,
    /// Top-k accuracy for this k.
    TopK(usize),
    /// Balanced accuracy.
    BalancedAccuracy,
    /// F1, macro average.
    MacroF1,
    /// F1, weighted average.
    WeightedF1,
    /// F1, micro average.
    MicroF1,
    /// AP, macro average: mAP as the chosen library has it.
    MeanAveragePrecision,
    /// AP, mean over the classes that occur as truth.
    MeanAveragePrecisionPresent,
    /// AUROC, macro average.
    MacroAuroc,
    /// AUROC, mean over the classes that occur as truth.
    MacroAurocPresent,
    /// Expected calibration error, bins of equal width.
    Ece,
    /// Expected calibration error, bins of equal mass.
    EceEqualMass,
    /// Brier score.
    Brier,
    /// Negative log-likelihood.
    Nll,
    /// Event F1 at this temporal intersection over union, in percent.
    EventF1(u32),
    /// Mean detection latency, seconds.
    MeanLatency,
    /// The share of actions that were detected.
    Detected,
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Figure::Accuracy => "accuracy",
            Figure::TopK(k) => return write!(f, "top_{k}"),
            Figure::BalancedAccuracy => "balanced_accuracy",
            Figure::MacroF1 => "macro_f1",
            Figure::WeightedF1 => "weighted_f1",
            Figure::MicroF1 => "micro_f1",
            Figure::MeanAveragePrecision => "map",
            Figure::MeanAveragePrecisionPresent => "map_present",
            Figure::MacroAuroc => "macro_auroc",
            Figure::MacroAurocPresent => "macro_auroc_present",
            Figure::Ece => "ece",
            Figure::EceEqualMass => "ece_equal_mass",
            Figure::Brier => "brier",
            Figure::Nll => "nll",
            Figure::EventF1(percent) => return write!(f, "event_f1_at_{percent}"),
            Figure::MeanLatency => "mean_latency_s",
            Figure::Detected => "actions_detected",
        })
    }
}

impl Serialize for Figure {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One figure with its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FigureInterval {
    /// Which.
    pub figure: Figure,
    /// Its estimate and interval.
    #[serde(flatten)]
    pub interval: Interval,
}

/// One figure of two models and the interval of its difference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FigureDifference {
    /// Which.
    pub figure: Figure,
    /// Of the first.
    pub a: Option<f64>,
    /// Of the second.
    pub b: Option<f64>,
    /// Of the second less the first, over the same resamples of both.
    pub difference: Interval,
}

/// Intervals of the headline figures, resampling videos.
///
/// A class that a resample lost is left out of that resample's mean AP and mean
/// AUROC; one that the set itself lacks counts as the conventions have it.
///
/// # Errors
/// An empty set, or options that mean nothing.
pub fn intervals(
    set: &Set,
    options: &Options,
    bootstrap: &Bootstrap,
) -> Result<Vec<FigureInterval>> {
    let videos = set.videos().len();
    bootstrap.check(videos)?;
    let draws = Draws::new(bootstrap, videos, (0..videos).collect());
    let resampled = resample(set, options, &draws)?;
    Ok(resampled
        .iter()
        .map(|(figure, values)| FigureInterval {
            figure: *figure,
            interval: bootstrap.interval(values[0], &values[1..], videos),
        })
        .collect())
}

/// The difference of two models' figures over the same videos, resampled
/// together: what both find hard cancels out.
///
/// # Errors
/// The sets are of other videos, tasks or classes, or empty.
pub fn paired(
    a: &Set,
    b: &Set,
    options: &Options,
    bootstrap: &Bootstrap,
) -> Result<Vec<FigureDifference>> {
    let doing = "comparing two models";
    if a.task() != b.task() || a.classes() != b.classes() {
        return Err(Error::data(doing, "they are of different tasks or numbers of classes")
            .remedy("compare models with the same labels"));
    }
    let videos = a.videos().len();
    bootstrap.check(videos)?;
    let place: std::collections::HashMap<&str, usize> =
        a.videos().iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
    let in_a: Option<Vec<usize>> =
        b.videos().iter().map(|name| place.get(name.as_str()).copied()).collect();
    let alike = in_a.filter(|in_a| in_a.len() == videos);
    let Some(in_a) = alike else {
        let lacks = |these: &Set, those: &Set| {
            these.videos().iter().find(|name| !those.videos().contains(name)).cloned()
        };
        let fault = match (lacks(b, a), lacks(a, b)) {
            (Some(video), _) => format!("the first lacks video {video:?}"),
            (None, Some(video)) => format!("the second lacks video {video:?}"),
            (None, None) => "they are of different videos".to_owned(),
        };
        return Err(Error::data(doing, fault).remedy("run both over the same videos"));
    };
    let of_a = resample(a, options, &Draws::new(bootstrap, videos, (0..videos).collect()))?;
    let of_b = resample(b, options, &Draws::new(bootstrap, videos, in_a))?;
    Ok(of_a
        .iter()
        .zip(&of_b)
        .map(|((figure, a), (_, b))| {
            let less = |(a, b): (&Option<f64>, &Option<f64>)| Some((*b)? - (*a)?);
            let differences: Vec<Option<f64>> = a.iter().zip(b).map(less).collect();
            FigureDifference {
                figure: *figure,
                a: a[0],
                b: b[0],
                difference: bootstrap.interval(differences[0], &differences[1..], videos),
            }
        })
        .collect())
}

/// How often each video is drawn in each replicate. Replicate 0 is the set
/// itself: every video once.
struct Draws {
    replicates: usize,
    /// Video by video, all replicates of each.
    weights: Vec<u16>,
}

impl Draws {
    /// `drawn_as[video]` says which of the draws' clusters a video is, so that
    /// two sets with their videos in another order are drawn alike.
    fn new(bootstrap: &Bootstrap, videos: usize, drawn_as: Vec<usize>) -> Self {
        let replicates = bootstrap.replicates + 1;
        let mut weights = vec![0u16; videos * replicates];
        for replicate in 0..replicates {
            let drawn = match replicate.checked_sub(1) {
                Some(replicate) => bootstrap.draw(videos, replicate),
                None => vec![1; videos],
            };
            for (video, &cluster) in drawn_as.iter().enumerate() {
                weights[video * replicates + replicate] =
                    u16::try_from(drawn[cluster]).unwrap_or(u16::MAX);
            }
        }
        Draws { replicates, weights }
    }

    fn of(&self, video: usize) -> &[u16] {
        &self.weights[video * self.replicates..][..self.replicates]
    }
}

/// A sum for each replicate.
#[derive(Clone)]
struct Sums(Vec<f64>);

impl Sums {
    fn new(draws: &Draws) -> Self {
        Sums(vec![0.0; draws.replicates])
    }

    fn add(&mut self, value: f64, weights: &[u16]) {
        if value != 0.0 {
            self.0.iter_mut().zip(weights).for_each(|(sum, &w)| *sum += value * f64::from(w));
        }
    }
}

/// A figure's value in each replicate.
type Values = (Figure, Vec<Option<f64>>);

fn resample(set: &Set, options: &Options, draws: &Draws) -> Result<Vec<Values>> {
    options.check()?;
    let mut figures = counted(set, options, draws);
    figures.extend(ranked(set, options, draws));
    figures.extend(calibrated(set, options, draws));
    figures.sort_by_key(|(figure, _)| *figure);
    Ok(figures)
}

/// What follows from sums over videos: each video's sums are taken once, and a
/// replicate adds them up as often as the video was drawn.
fn counted(set: &Set, options: &Options, draws: &Draws) -> Vec<Values> {
    let (task, classes) = (set.task(), set.classes());
    let ks = options.ks(classes);
    let mut videos: Vec<VideoSums> =
        (0..set.videos().len()).map(|_| VideoSums::new(ks.len())).collect();
    for i in 0..set.len() {
        videos[set.video(i)].add(set, i, options, &ks);
    }
    videos.iter_mut().for_each(VideoSums::pack);

    let mut samples = Sums::new(draws);
    let (mut right, mut with_truth) = (samples.clone(), samples.clone());
    let (mut brier, mut nll) = (samples.clone(), samples.clone());
    let mut k_hits = vec![samples.clone(); ks.len()];
    for (video, sums) in videos.iter().enumerate() {
        let weights = draws.of(video);
        samples.add(sums.samples as f64, weights);
        right.add(sums.right as f64, weights);
        with_truth.add(sums.with_truth as f64, weights);
        brier.add(sums.brier, weights);
        nll.add(sums.nll, weights);
        for (all, &hits) in k_hits.iter_mut().zip(&sums.k_hits) {
            all.add(hits as f64, weights);
        }
    }
    let share = |part: &Sums, scale: f64| -> Vec<Option<f64>> {
        let pairs = part.0.iter().zip(&samples.0);
        pairs.map(|(part, all)| Some(ratio(part * scale, *all))).collect()
    };
    let mut figures = vec![
        (Figure::Accuracy, share(&right, 1.0)),
        (Figure::Brier, share(&brier, tally::brier_scale(task, classes))),
        (Figure::Nll, share(&nll, tally::nll_scale(task, classes))),
    ];
    for (&k, hits) in ks.iter().zip(&k_hits) {
        let pairs = hits.0.iter().zip(&with_truth.0);
        let shares = pairs.map(|(hits, all)| (*all > 0.0).then(|| hits / all));
        figures.push((Figure::TopK(k), shares.collect()));
    }

    let mut of_counts =
        [Figure::BalancedAccuracy, Figure::MacroF1, Figure::WeightedF1, Figure::MicroF1]
            .map(|figure| (figure, Vec::with_capacity(draws.replicates)));
    let mut totals = vec![Counts::default(); classes];
    for replicate in 0..draws.replicates {
        totals.fill(Counts::default());
        for (video, sums) in videos.iter().enumerate() {
            let weight = u64::from(draws.of(video)[replicate]);
            if weight > 0 {
                for (class, counts) in &sums.counts {
                    let total = &mut totals[*class as usize];
                    total.hits += weight * counts.hits;
                    total.predicted += weight * counts.predicted;
                    total.support += weight * counts.support;
                }
            }
        }
        let f1 = counts::averages(&totals, task, Counts::f1);
        let balanced = counts::balanced_accuracy(
            &totals,
            samples.0[replicate] as u64,
            task,
            options.conventions,
        );
        let values = [balanced, f1.macro_average, f1.weighted, f1.micro];
        of_counts.iter_mut().zip(values).for_each(|((_, all), value)| all.push(value));
    }
    figures.extend(of_counts);
    figures
}

/// The sums of one video.
struct VideoSums {
    samples: u64,
    right: u64,
    with_truth: u64,
    k_hits: Vec<u64>,
    brier: f64,
    nll: f64,
    /// Of the classes that occur as truth or prediction.
    counts: Vec<(u32, Counts)>,
}

impl VideoSums {
    fn new(ks: usize) -> Self {
        VideoSums {
            samples: 0,
            right: 0,
            with_truth: 0,
            k_hits: vec![0; ks],
            brier: 0.0,
            nll: 0.0,
            counts: Vec::new(),
        }
    }

    fn add(&mut self, set: &Set, i: usize, options: &Options, ks: &[usize]) {
        let (task, scores, truth) = (set.task(), set.scores(i), set.truth(i));
        self.samples += 1;
        if let Some(rank) = topk::rank(scores, truth, task, options.conventions) {
            self.with_truth += 1;
            self.k_hits.iter_mut().zip(ks).for_each(|(hits, &k)| *hits += u64::from(rank < k));
        }
        let (brier, nll) = tally::brier_and_nll(scores, truth, task);
        self.brier += brier;
        self.nll += nll;
        let predicted: Vec<u32> = match task {
            Task::SingleLabel => vec![set.predicted(i) as u32],
            Task::MultiLabel => {
                let above = scores.iter().enumerate().filter(|(_, p)| **p > options.threshold);
                above.map(|(class, _)| class as u32).collect()
            }
        };
        self.right += u64::from(predicted == truth);
        for &class in truth {
            let hits = u64::from(predicted.binary_search(&class).is_ok());
            self.counts.push((class, Counts { hits, predicted: 0, support: 1 }));
        }
        let of_prediction = Counts { hits: 0, predicted: 1, support: 0 };
        self.counts.extend(predicted.iter().map(|&class| (class, of_prediction)));
    }

    /// One entry for each class.
    fn pack(&mut self) {
        self.counts.sort_unstable_by_key(|(class, _)| *class);
        self.counts.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1.add(&next.1);
            }
            same
        });
    }
}

/// With more predictions than this (of a multi-label set: samples × classes) the
/// calibration error by equal mass gets no interval: its bins move with every
/// resample, so each would walk over all of them.
const MOST_BY_MASS: usize = 500_000;

/// Calibration errors of the predictions that calibration is about.
fn calibrated(set: &Set, options: &Options, draws: &Draws) -> Vec<Values> {
    let width = EqualWidth::new(options.bins, options.conventions);
    let all = confidences(set);
    let mut videos = vec![vec![Fill::default(); width.len()]; set.videos().len()];
    for &(p, right, video) in &all {
        videos[video as usize][width.index(p)].add(p, right, 1);
    }
    let replicates = spread(draws.replicates, |replicate| {
        // Side by side, so that the walk over all predictions finds them close.
        let of_videos = (0..videos.len()).map(|video| draws.of(video)[replicate]);
        let of_videos: Vec<u16> = of_videos.collect();
        let weight = |video: u32| u64::from(of_videos[video as usize]);
        let mut fills = vec![Fill::default(); width.len()];
        for (video, of_video) in videos.iter().enumerate() {
            let weight = weight(video as u32);
            let pairs = fills.iter_mut().zip(of_video);
            pairs.for_each(|(all, fill)| all.merge(fill, weight));
        }
        let mass = (replicate == 0 || all.len() <= MOST_BY_MASS)
            .then(|| expected_error(&EqualMass::new(&all, weight, options.bins).fills));
        (expected_error(&fills), mass)
    });
    vec![
        (Figure::Ece, replicates.iter().map(|(ece, _)| Some(*ece)).collect()),
        (Figure::EceEqualMass, replicates.iter().map(|(_, ece)| *ece).collect()),
    ]
}

/// The ranking figures. Each class's samples are ranked once; a replicate then
/// adds up weights down that ranking. All replicates go down it together, so
/// that the inner loop runs over adjacent numbers.
fn ranked(set: &Set, options: &Options, draws: &Draws) -> Vec<Values> {
    let positives = set.positives();
    let only_first = only_first_class(set);
    let totals = {
        let mut totals = Sums::new(draws);
        for i in 0..set.len() {
            totals.add(1.0, draws.of(set.video(i)));
        }
        totals
    };
    let classes = by_class(set, |class, scores| {
        rank_replicates(set, &positives[class], scores, draws, &totals.0)
    });
    // What a class counts for that the set itself lacks.
    let nothing =
        super::rank::Rank { positives: 0, negatives: 0, ap: None, auroc: None, auprc: None };
    let absent_ap = super::rank::ap(&nothing, set.task(), options.conventions, only_first);
    let absent_auroc = super::rank::auroc(&nothing, options.conventions);
    let sklearn = options.conventions == Conventions::ScikitLearn;
    let mean = |of: fn(&ClassRanks) -> &Vec<Option<f64>>, absent: Option<f64>, present: bool| {
        (0..draws.replicates)
            .map(|replicate| {
                let (mut sum, mut count) = (0.0, 0u64);
                for (class, ranks) in classes.iter().enumerate() {
                    let values = of(ranks);
                    // Index 0 is the set itself.
                    let value = match (values[0], absent) {
                        (Some(_), _) => values[replicate],
                        (None, _) if present && positives[class].is_empty() => None,
                        (None, Some(absent)) => Some(absent),
                        (None, None) if sklearn && !present => return None,
                        (None, None) => None,
                    };
                    if let Some(value) = value {
                        sum += value;
                        count += 1;
                    }
                }
                (count > 0).then(|| sum / count as f64)
            })
            .collect::<Vec<_>>()
    };
    vec![
        (Figure::MeanAveragePrecision, mean(|ranks| &ranks.ap, absent_ap, false)),
        (Figure::MeanAveragePrecisionPresent, mean(|ranks| &ranks.ap, absent_ap, true)),
        (Figure::MacroAuroc, mean(|ranks| &ranks.auroc, absent_auroc, false)),
        (Figure::MacroAurocPresent, mean(|ranks| &ranks.auroc, absent_auroc, true)),
    ]
}

/// A class's AP and AUROC in each replicate.
struct ClassRanks {
    ap: Vec<Option<f64>>,
    auroc: Vec<Option<f64>>,
}

/// `positives` are the samples that hold the class, `scores` those of all
/// samples, `totals` the samples in each replicate.
fn rank_replicates(
    set: &Set,
    positives: &[u32],
    scores: &[f64],
    draws: &Draws,
    totals: &[f64],
) -> ClassRanks {
    let replicates = draws.replicates;
    let undefined = || vec![None; replicates];
    if positives.is_empty() {
        return ClassRanks { ap: undefined(), auroc: undefined() };
    }
    let ladder = super::rank::Ladder::new(positives.iter().map(|&i| scores[i as usize]).collect());
    // (place on the ladder, is a negative, video), highest place first. What
    // lies below the lowest positive matters only by its number.
    let mut is_positive = positives.iter().copied().peekable();
    let mut entries: Vec<(u32, bool, u32)> = Vec::new();
    for (i, &score) in scores.iter().enumerate() {
        let positive = is_positive.next_if_eq(&(i as u32)).is_some();
        let place = ladder.place(score);
        if place > 0 {
            entries.push((place as u32, !positive, set.video(i) as u32));
        }
    }
    entries.sort_unstable_by(|a, b| b.cmp(a));

    let mut all_positives = Sums::new(draws);
    for &i in positives {
        all_positives.add(1.0, draws.of(set.video(i as usize)));
    }
    // Negatives above the place, hits so far, and of the place itself both.
    let mut above = vec![0u32; replicates];
    let mut hits = vec![0.0f64; replicates];
    let (mut level, mut new) = (vec![0u32; replicates], vec![0u32; replicates]);
    let mut ap = vec![0.0f64; replicates];
    let mut ordered = vec![0.0f64; replicates];
    let mut rest = &entries[..];
    while let Some(&(place, ..)) = rest.first() {
        let end = rest.partition_point(|entry| entry.0 == place);
        let (here, after) = rest.split_at(end);
        rest = after;
        let mut any_positive = false;
        // Runs of the same video count together.
        for run in here.chunk_by(|a, b| a == b) {
            let (_, negative, video) = run[0];
            any_positive |= !negative;
            let sums = if negative { &mut level } else { &mut new };
            let count = run.len() as u32;
            for (sum, &weight) in sums.iter_mut().zip(draws.of(video as usize)) {
                // Samples are far fewer than 2³² / 2¹⁶ for each video.
                *sum = sum.wrapping_add(u32::from(weight).wrapping_mul(count));
            }
        }
        if any_positive {
            for k in 0..replicates {
                let (gained, tied) = (f64::from(new[k]), f64::from(level[k]));
                let before = f64::from(above[k]);
                hits[k] += gained;
                if gained > 0.0 {
                    ap[k] += gained * hits[k] / (hits[k] + before + tied);
                    let negatives = totals[k] - all_positives.0[k];
                    ordered[k] += gained * (negatives - before - tied / 2.0);
                }
            }
        }
        for ((above, level), new) in above.iter_mut().zip(&mut level).zip(&mut new) {
            *above = above.wrapping_add(*level);
            (*level, *new) = (0, 0);
        }
    }
    let with_positives = |k: usize| all_positives.0[k] > 0.0;
    let with_both = |k: usize| with_positives(k) && totals[k] > all_positives.0[k];
    let pairs = |k: usize| all_positives.0[k] * (totals[k] - all_positives.0[k]);
    ClassRanks {
        ap: (0..replicates)
            .map(|k| with_positives(k).then(|| ap[k] / all_positives.0[k]))
            .collect(),
        auroc: (0..replicates).map(|k| with_both(k).then(|| ordered[k] / pairs(k))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Truth, summary};

    /// A small generator for test data.
    struct Lcg(u64);

    impl Lcg {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (self.0 >> 33) % bound
        }
    }

    fn random(task: Task, classes: usize, videos: usize, ties: u64, seed: u64) -> Set {
        let mut lcg = Lcg(seed);
        let mut set = Set::new(task, classes).unwrap();
        for video in 0..videos {
            let truth = lcg.below(classes as u64) as usize;
            for _ in 0..1 + lcg.below(5) {
                let mut scores: Vec<f64> =
                    (0..classes).map(|_| lcg.below(ties) as f64 + 1.0).collect();
                scores[truth] += (ties / 3) as f64;
                let scale =
                    if task == Task::SingleLabel { scores.iter().sum() } else { 2.0 * ties as f64 };
                scores.iter_mut().for_each(|score| *score /= scale);
                let more = lcg.below(classes as u64) as usize;
                let both = [truth, more];
                let truth = if task == Task::SingleLabel {
                    Truth::Class(truth)
                } else {
                    Truth::Classes(if more == 0 { &[] } else { &both })
                };
                set.push(&format!("video {video}"), truth, &scores).unwrap();
            }
        }
        set
    }

    /// The set with each video's samples as often as it was drawn.
    fn replicated(set: &Set, drawn: &[u32]) -> Set {
        let mut copy = Set::new(set.task(), set.classes()).unwrap();
        for i in 0..set.len() {
            let truth: Vec<usize> = set.truth(i).iter().map(|&class| class as usize).collect();
            for _ in 0..drawn[set.video(i)] {
                copy.push("v", Truth::Classes(&truth), set.scores(i)).unwrap();
            }
        }
        copy
    }

    fn of_summary(set: &Set, options: &Options, figure: Figure) -> Option<f64> {
        let summary = summary(set, options).unwrap();
        match figure {
            Figure::Accuracy => Some(summary.accuracy),
            Figure::TopK(k) => summary.top_k.iter().find(|top| top.k == k).unwrap().accuracy,
            Figure::BalancedAccuracy => summary.balanced_accuracy,
            Figure::MacroF1 => summary.f1.macro_average,
            Figure::WeightedF1 => summary.f1.weighted,
            Figure::MicroF1 => summary.f1.micro,
            Figure::MeanAveragePrecision => summary.average_precision.macro_average,
            Figure::MeanAveragePrecisionPresent => summary.average_precision.macro_present,
            Figure::MacroAuroc => summary.auroc.macro_average,
            Figure::MacroAurocPresent => summary.auroc.macro_present,
            Figure::Ece => Some(summary.calibration.ece),
            Figure::EceEqualMass => Some(summary.calibration.ece_equal_mass),
            Figure::Brier => Some(summary.calibration.brier),
            Figure::Nll => Some(summary.calibration.nll),
            Figure::EventF1(_) | Figure::MeanLatency | Figure::Detected => None,
        }
    }

    fn every_kind(mut test: impl FnMut(Set, Options)) {
        for (task, classes) in [
            (Task::SingleLabel, 2),
            (Task::SingleLabel, 5),
            (Task::MultiLabel, 1),
            (Task::MultiLabel, 4),
        ] {
            for conventions in [Conventions::ScikitLearn, Conventions::TorchMetrics] {
                for (ties, seed) in [(3, 1), (1000, 2)] {
                    let set = random(task, classes, 25, ties, seed);
                    let options =
                        Options { conventions, top_k: vec![1, 2], bins: 7, ..Options::default() };
                    test(set, options);
                }
            }
        }
    }

    #[test]
    fn estimates_are_those_of_the_summary() {
        every_kind(|set, options| {
            let bootstrap = Bootstrap { replicates: 10, ..Bootstrap::default() };
            for found in intervals(&set, &options, &bootstrap).unwrap() {
                let expected = of_summary(&set, &options, found.figure);
                match (found.interval.estimate, expected) {
                    (Some(a), Some(b)) => {
                        assert!((a - b).abs() < 1e-12, "{} {a} {b}", found.figure)
                    }
                    (a, b) => assert_eq!(a, b, "{}", found.figure),
                }
            }
        });
    }

    /// A replicate computed from weights equals the summary of the samples
    /// drawn, wherever the draw lost no class.
    #[test]
    fn a_replicate_equals_the_summary_of_what_was_drawn() {
        let mut compared = 0;
        every_kind(|set, options| {
            let bootstrap = Bootstrap { replicates: 12, ..Bootstrap::default() };
            let videos = set.videos().len();
            let draws = Draws::new(&bootstrap, videos, (0..videos).collect());
            let resampled = resample(&set, &options, &draws).unwrap();
            for replicate in 0..12 {
                let drawn = replicated(&set, &bootstrap.draw(videos, replicate));
                if drawn.positives().iter().any(Vec::is_empty) {
                    continue;
                }
                for (figure, values) in &resampled {
                    let expected = of_summary(&drawn, &options, *figure);
                    let (a, b) = (values[replicate + 1].unwrap(), expected.unwrap());
                    assert!((a - b).abs() < 1e-12, "{figure}: {a} for {b}");
                    compared += 1;
                }
            }
        });
        assert!(compared > 1000, "{compared}");
    }

    #[test]
    fn a_class_lost_in_a_resample_is_left_out_of_its_mean() {
        // Class 2 is in one video of four only; every ranking is perfect.
        let mut set = Set::new(Task::SingleLabel, 3).unwrap();
        for (video, class) in [("a", 0), ("b", 1), ("c", 2), ("d", 0)] {
            let mut scores = [0.1; 3];
            scores[class] = 0.8;
            set.push(video, Truth::Class(class), &scores).unwrap();
        }
        let found = intervals(&set, &Options::default(), &Bootstrap::default()).unwrap();
        let map = found.iter().find(|f| f.figure == Figure::MeanAveragePrecision).unwrap();
        assert_eq!((map.interval.low, map.interval.high), (Some(1.0), Some(1.0)));
    }

    #[test]
    fn a_model_does_not_differ_from_itself_whatever_the_order_of_videos() {
        let set = random(Task::SingleLabel, 4, 20, 50, 9);
        let mut reversed = Set::new(Task::SingleLabel, 4).unwrap();
        for i in (0..set.len()).rev() {
            let truth = Truth::Class(set.truth(i)[0] as usize);
            reversed.push(&set.videos()[set.video(i)], truth, set.scores(i)).unwrap();
        }
        let bootstrap = Bootstrap { replicates: 100, ..Bootstrap::default() };
        for found in paired(&set, &reversed, &Options::default(), &bootstrap).unwrap() {
            let difference = found.difference;
            let ends = [difference.estimate, difference.low, difference.high];
            assert!(ends.iter().all(|end| end.unwrap().abs() < 1e-12), "{found:?}");
        }
    }

    #[test]
    fn a_better_model_is_seen_to_be_better() {
        let worse = random(Task::SingleLabel, 4, 60, 50, 9);
        let mut better = Set::new(Task::SingleLabel, 4).unwrap();
        for i in 0..worse.len() {
            let class = worse.truth(i)[0] as usize;
            let mut scores = worse.scores(i).to_vec();
            scores.iter_mut().for_each(|score| *score *= 0.7);
            scores[class] += 0.3;
            better.push(&worse.videos()[worse.video(i)], Truth::Class(class), &scores).unwrap();
        }
        let found = paired(&worse, &better, &Options::default(), &Bootstrap::default()).unwrap();
        let accuracy = found.iter().find(|f| f.figure == Figure::Accuracy).unwrap();
        assert!(accuracy.difference.low.unwrap() > 0.0, "{accuracy:?}");
        let json = serde_json::to_string(accuracy).unwrap();
        assert!(json.starts_with("{\"figure\":\"accuracy\",\"a\":"), "{json}");
    }

    #[test]
    fn models_of_other_videos_are_not_compared() {
        let set = |video: &str| {
            let mut set = Set::new(Task::SingleLabel, 2).unwrap();
            set.push(video, Truth::Class(0), &[0.9, 0.1]).unwrap();
            set
        };
        let error = paired(&set("a"), &set("b"), &Options::default(), &Bootstrap::default());
        assert!(error.unwrap_err().to_string().contains("the first lacks video \"b\""));
    }
}
