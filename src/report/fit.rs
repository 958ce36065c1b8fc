//! The offline twin of calibration while a stream runs: the same calibrators,
//! fitted on what a run predicted, and judged on videos that they have not seen.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};
use serde::Serialize;

use super::merged::Merged;
use super::scores::logits;
use super::store::{Clip, Store};
use super::truth::{Classes, VideoTruth};
use crate::calibrate::{self, Batch, Method, Parameters};
use crate::error::{Error, Result};
use crate::metric::{self, Options, Set, Truth};
use crate::model::Task;

/// What to fit, and how to judge it.
#[derive(Clone, Debug)]
pub struct FitOptions {
    /// The calibrator.
    pub method: Method,
    /// Parts that the videos are split into; each is judged by a fit on the others.
    pub folds: usize,
    /// Decides which video is in which part.
    pub seed: u64,
}

/// Independent clips below which nothing is fitted: what a running stream wants, too.
const LEAST: f64 = 50.0;
/// Independent clips for each parameter below which a fit deserves little trust.
const FEW_PER_PARAMETER: f64 = 10.0;
/// Independent clips below which the figures themselves are guesses.
const FEW: f64 = 200.0;

/// A fit and what it is worth.
#[derive(Clone, Debug, Serialize)]
pub struct Fit {
    /// The model's name.
    pub model: String,
    /// SHA-256 of the network that the run used.
    pub sha256: String,
    /// How it was run.
    pub mode: String,
    /// Single- or multi-label.
    pub task: Task,
    /// What was fitted.
    pub method: Method,
    /// Videos with a clip that counts.
    pub videos: usize,
    /// Clips whose whole span lies within one truth.
    pub clips: usize,
    /// How many independent clips they are worth: overlapping ones are alike.
    pub effective: f64,
    /// Which videos are in which fold comes from this.
    pub seed: u64,
    /// The model's own probabilities, all clips.
    pub before: Figures,
    /// Each clip with the parameters fitted on the other folds.
    pub after: Figures,
    /// The same, fold by fold.
    pub folds: Vec<Fold>,
    /// Fitted on all videos: the ones to use.
    pub parameters: Parameters,
    /// What deserves a second thought.
    pub warnings: Vec<String>,
}

/// One part of the videos, judged by a fit on the others.
#[derive(Clone, Debug, Serialize)]
pub struct Fold {
    /// Videos in it.
    pub videos: usize,
    /// Clips in it.
    pub clips: usize,
    /// The model's own probabilities.
    pub before: Figures,
    /// After calibration.
    pub after: Figures,
}

/// How good probabilities are.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Figures {
    /// Expected calibration error, 15 bins of equal width.
    pub ece: f64,
    /// The same with bins that hold equally many.
    pub ece_equal_mass: f64,
    /// Negative log-likelihood, nats.
    pub nll: f64,
    /// Brier score.
    pub brier: f64,
    /// Share of clips whose most probable class is right; of a multi-label model of
    /// those in which a class holds.
    pub top_1: Option<f64>,
    /// Multi-label: mean F1 over classes at their thresholds.
    pub macro_f1: Option<f64>,
}

/// Fits a calibrator to a run, in as many `stores` as it has shards.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config): the folders are of different runs,
/// the method does not suit the model, or the run has too few labelled clips or
/// videos to fit and judge anything. As [`Store::read`].
pub fn fit(stores: &[Store], options: &FitOptions) -> Result<Fit> {
    let merged = Merged::new(stores)?;
    let run = merged.run();
    let doing = format!("calibrating model \"{}\"", run.model.name);
    let task = run.model.task;
    let of_task = calibrate::CalibrateOptions {
        method: options.method,
        ..calibrate::CalibrateOptions::default()
    };
    of_task
        .check_task(task)
        .map_err(|(key, fault)| Error::config(&doing, format!("{key}: {fault}")))?;
    let clips = Clips::read(&merged)?;
    check(&clips, run.labels.is_some(), &doing)?;
    let folds = Folds::new(&clips, options);
    let classes = run.model.labels.len();
    let judge = Judge { task, classes, clips: &clips };
    let mut all = Judged::new(&judge)?;
    let mut parts = Vec::with_capacity(folds.count);
    for fold in 0..folds.count {
        let held = |video: usize| folds.of[video] == fold;
        let parameters = calibrate::fit(options.method, &judge.batch(|video| !held(video)));
        let mut part = Judged::new(&judge)?;
        for at in (0..clips.len()).filter(|&at| held(clips.video[at])) {
            part.add(&judge, at, &parameters)?;
            all.add(&judge, at, &parameters)?;
        }
        let (before, after) = part.figures()?;
        let videos = folds.of.iter().filter(|&&f| f == fold).count();
        parts.push(Fold { videos, clips: part.before.set.len(), before, after });
    }
    let (before, after) = all.figures()?;
    let parameters = calibrate::fit(options.method, &judge.batch(|_| true));
    let mut fit = Fit {
        model: run.model.name.clone(),
        sha256: run.model.sha256.clone(),
        mode: run.model.mode.clone(),
        task,
        method: options.method,
        videos: clips.videos.len(),
        clips: clips.len(),
        effective: clips.weights.iter().sum(),
        seed: options.seed,
        before,
        after,
        folds: parts,
        parameters,
        warnings: Vec::new(),
    };
    fit.warnings = warnings(&fit, &clips, &run.model.labels, options.folds);
    Ok(fit)
}

/// Whether there is enough to fit and judge anything at all.
fn check(clips: &Clips, labelled: bool, doing: &str) -> Result<()> {
    let refused = |fault: String, remedy: &str| Err(Error::config(doing, fault).remedy(remedy));
    if clips.len() == 0 {
        let fault = match labelled {
            true => "no clip of the run lies within a label that the model knows",
            false => "the run has no labels",
        };
        let remedy = "run `kinewatch replay` over labelled recordings, with --labels";
        return refused(fault.into(), remedy);
    }
    if clips.videos.len() < 2 {
        let fault = "all labelled clips are of one video, so that none is left to judge by";
        return refused(fault.into(), "replay more labelled recordings: five or more");
    }
    let effective: f64 = clips.weights.iter().sum();
    if effective < LEAST {
        let fault = format!(
            "{} labelled clips are worth {effective:.1} independent ones; at least {LEAST} are needed",
            clips.len()
        );
        return refused(fault, "replay more labelled recordings");
    }
    Ok(())
}

/// What deserves a second thought.
fn warnings(fit: &Fit, clips: &Clips, labels: &[String], folds: usize) -> Vec<String> {
    let mut warnings = Vec::new();
    if fit.effective < FEW {
        warnings.push(format!(
            "the clips are worth {:.0} independent ones only: below {FEW} the figures are guesses",
            fit.effective
        ));
    }
    if fit.folds.len() < folds {
        warnings.push(format!("{} videos make {} folds, not {folds}", fit.videos, fit.folds.len()));
    }
    let parameters = match &fit.parameters {
        Parameters::Vector { bias, .. } => bias.len() as f64 + 1.0,
        Parameters::MultiLabel { temperature, .. } => 2.0 * temperature.len() as f64,
        _ => 2.0,
    };
    if fit.effective < FEW_PER_PARAMETER * parameters {
        warnings.push(format!(
            "{:.0} independent clips are few for {parameters} parameters: \"temperature\" needs the \
             fewest",
            fit.effective
        ));
    }
    let mut seen = vec![false; labels.len()];
    clips.truths.iter().flatten().for_each(|&class| seen[class] = true);
    let absent = seen.iter().filter(|seen| !**seen).count();
    if absent > 0 {
        warnings.push(format!("{absent} of {} classes are in no labelled clip", labels.len()));
    }
    if fit.after.nll > fit.before.nll {
        warnings.push(
            "on videos that it has not seen, the calibrated model is no better than the model \
             itself (NLL): leave it as it is, or try another method"
                .into(),
        );
    }
    warnings
}

/// The clips that count, in the order of videos and time.
struct Clips {
    classes: usize,
    logits: Vec<f32>,
    truths: Vec<Vec<usize>>,
    /// What each is worth, in independent clips.
    weights: Vec<f64>,
    /// Index into `videos`.
    video: Vec<usize>,
    videos: Vec<String>,
}

impl Clips {
    fn read(run: &Merged<'_>) -> Result<Self> {
        let model = &run.run().model;
        let classes = Classes::new(&model.labels);
        let mut clips = Clips {
            classes: model.labels.len(),
            logits: Vec::new(),
            truths: Vec::new(),
            weights: Vec::new(),
            video: Vec::new(),
            videos: Vec::new(),
        };
        for reader in run.readers() {
            let reader = reader?;
            let header = reader.header();
            if header.error.is_some() {
                continue;
            }
            let truth = VideoTruth::new(&header.truth, model.task, &classes);
            let name = header.video.clone();
            let mut spans: Vec<(f64, f64)> = Vec::new();
            for clip in reader {
                let clip = clip?;
                let Some(truths) = truth.over(clip.start, clip.t) else { continue };
                let values = logits(&clip.logits, model.task, model.output);
                clips.logits.extend(values.iter().map(|&z| z as f32));
                clips.truths.push(truths);
                clips.video.push(clips.videos.len());
                spans.push(span(&clip));
            }
            if !spans.is_empty() {
                clips.weights.extend(evidence(&spans));
                clips.videos.push(name);
            }
        }
        Ok(clips)
    }

    fn len(&self) -> usize {
        self.truths.len()
    }

    fn logits(&self, at: usize) -> &[f32] {
        &self.logits[at * self.classes..][..self.classes]
    }
}

fn span(clip: &Clip) -> (f64, f64) {
    (clip.start, clip.t)
}

/// How many independent clips each is worth, by (start, end) in seconds: the part
/// of it that the one before it does not hold. Crops of one clip share its worth.
fn evidence(spans: &[(f64, f64)]) -> Vec<f64> {
    let mut before = f64::NEG_INFINITY;
    let mut worth = Vec::with_capacity(spans.len());
    for alike in spans.chunk_by(|a, b| a.1 == b.1) {
        let (start, t) = alike[0];
        let new = if t > start { ((t - before).abs() / (t - start)).min(1.0) } else { 1.0 };
        worth.extend(alike.iter().map(|_| new / alike.len() as f64));
        before = t;
    }
    worth
}

/// Which fold each video is in.
struct Folds {
    of: Vec<usize>,
    count: usize,
}

impl Folds {
    fn new(clips: &Clips, options: &FitOptions) -> Self {
        let videos = clips.videos.len();
        let count = options.folds.clamp(2, videos.max(2));
        let mut order: Vec<usize> = (0..videos).collect();
        // Fisher and Yates; a draw modulo so few places is even enough.
        let mut chance = ChaCha8Rng::seed_from_u64(options.seed);
        for last in (1..videos).rev() {
            let other = chance.next_u64() % (last as u64 + 1);
            order.swap(last, usize::try_from(other).unwrap_or(last));
        }
        let mut of = vec![0; videos];
        order.iter().enumerate().for_each(|(place, &video)| of[video] = place % count);
        Folds { of, count }
    }
}

/// What is judged.
struct Judge<'a> {
    task: metric::Task,
    classes: usize,
    clips: &'a Clips,
}

impl Judge<'_> {
    /// The clips of some videos, to fit on.
    fn batch(&self, takes: impl Fn(usize) -> bool) -> Batch {
        let mut batch = Batch::new(self.task, self.classes);
        for at in (0..self.clips.len()).filter(|&at| takes(self.clips.video[at])) {
            batch.push(self.clips.logits(at), &self.clips.truths[at], self.clips.weights[at]);
        }
        batch
    }
}

/// Probabilities with their truth, before calibration and after it.
struct Judged {
    before: Scored,
    after: Scored,
    p: Vec<f32>,
}

impl Judged {
    fn new(judge: &Judge<'_>) -> Result<Self> {
        let scored = || Scored::new(judge.task, judge.classes);
        Ok(Judged { before: scored()?, after: scored()?, p: vec![0.0; judge.classes] })
    }

    fn add(&mut self, judge: &Judge<'_>, at: usize, parameters: &Parameters) -> Result<()> {
        let clips = judge.clips;
        let (logits, truths) = (clips.logits(at), clips.truths[at].as_slice());
        let video = &clips.videos[clips.video[at]];
        Parameters::Identity.apply(logits, judge.task, &mut self.p);
        self.before.add(video, truths, &self.p, None)?;
        parameters.apply(logits, judge.task, &mut self.p);
        self.after.add(video, truths, &self.p, parameters.thresholds())
    }

    fn figures(&self) -> Result<(Figures, Figures)> {
        Ok((self.before.figures()?, self.after.figures()?))
    }
}

/// Probabilities with their truth.
struct Scored {
    set: Set,
    /// Multi-label, of each class: hits, predicted, there.
    counts: Vec<[u64; 3]>,
}

impl Scored {
    fn new(task: metric::Task, classes: usize) -> Result<Self> {
        Ok(Scored { set: Set::new(task, classes)?, counts: vec![[0; 3]; classes] })
    }

    fn add(
        &mut self,
        video: &str,
        truths: &[usize],
        p: &[f32],
        thresholds: Option<&[f64]>,
    ) -> Result<()> {
        if self.set.task() == metric::Task::SingleLabel {
            let best = (1..p.len()).fold(0, |best, k| if p[k] > p[best] { k } else { best });
            // A clip that counts has a class.
            let class = metric::answer(truths, best).unwrap_or(best);
            return self.set.push(video, Truth::Class(class), p);
        }
        for (class, (counts, &p)) in self.counts.iter_mut().zip(p).enumerate() {
            // The model's own: above a half. A threshold of one's own belongs to the class.
            let predicted = match thresholds.and_then(|thresholds| thresholds.get(class)) {
                Some(threshold) => f64::from(p) >= *threshold,
                None => p > 0.5,
            };
            let there = truths.contains(&class);
            counts[0] += u64::from(predicted && there);
            counts[1] += u64::from(predicted);
            counts[2] += u64::from(there);
        }
        self.set.push(video, Truth::Classes(truths), p)
    }

    fn figures(&self) -> Result<Figures> {
        let summary = metric::summary(&self.set, &Options::default())?;
        let calibration = &summary.calibration;
        // As scikit-learn has it: a class that is neither there nor predicted counts 0.
        let f1 = self.counts.iter().map(|&[hits, predicted, there]| {
            2.0 * hits as f64 / ((predicted + there) as f64).max(1.0)
        });
        let multi_label = self.set.task() == Task::MultiLabel;
        Ok(Figures {
            ece: calibration.ece,
            ece_equal_mass: calibration.ece_equal_mass,
            nll: calibration.nll,
            brier: calibration.brier,
            top_1: summary.top_k.iter().find(|top| top.k == 1).and_then(|top| top.accuracy),
            macro_f1: multi_label.then(|| f1.sum::<f64>() / self.counts.len() as f64),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_clips_share_what_they_are_worth() {
        let sliding: Vec<(f64, f64)> =
            (0..9).map(|k| (f64::from(k) * 0.5, 2.0 + f64::from(k) * 0.5)).collect();
        assert_eq!(evidence(&sliding).iter().sum::<f64>(), 1.0 + 8.0 * 0.25);
        let apart = [(0.0, 2.0), (5.0, 7.0), (9.0, 11.0)];
        assert_eq!(evidence(&apart), [1.0, 1.0, 1.0]);
        let crops = [(0.0, 2.0), (0.0, 2.0), (1.0, 3.0), (1.0, 3.0)];
        assert_eq!(evidence(&crops), [0.5, 0.5, 0.25, 0.25]);
    }

    #[test]
    fn every_fold_has_its_share_of_the_videos_and_the_seed_decides_which() {
        let clips = Clips {
            classes: 1,
            logits: Vec::new(),
            truths: Vec::new(),
            weights: Vec::new(),
            video: Vec::new(),
            videos: (0..11).map(|k| k.to_string()).collect(),
        };
        let folds = |folds, seed| {
            Folds::new(&clips, &FitOptions { method: Method::Temperature, folds, seed })
        };
        for count in [2, 5, 11] {
            let of = folds(count, 1).of;
            for fold in 0..count {
                let videos = of.iter().filter(|&&f| f == fold).count();
                assert!((11 / count..=11usize.div_ceil(count)).contains(&videos));
            }
        }
        assert_eq!(folds(30, 1).count, 11);
        assert_eq!(folds(5, 1).of, folds(5, 1).of);
        assert_ne!(folds(5, 1).of, folds(5, 2).of);
    }
}
