//! Runs side by side.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::evaluation::Evaluation;
use super::json;
use super::merged::Merged;
use super::metrics::{Level, Metrics};
use super::output::{ReportOptions, make_folder, told};
use super::page;
use super::store::{Store, write_atomically};
use crate::error::{Error, Result};
use crate::metric::{self, Figure, FigureDifference, McNemar, Set, Truth};
use crate::model::Task;

/// Version of `compare.json`.
const FORMAT: u32 = 1;

/// Runs side by side, and each against the first. `Display` is a table.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Version of the file's format.
    pub v: u32,
    /// The runs, in the order in which they were named.
    pub runs: Vec<Compared>,
    /// Each further run against the first.
    pub pairs: Vec<Pair>,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// The model's name, with the folder's where two models share one.
    pub name: String,
    /// Its figures, without its timelines.
    pub metrics: Metrics,
}

/// A run against the first.
#[derive(Clone, Debug, Serialize)]
pub struct Pair {
    /// The first run's name.
    pub first: String,
    /// The other's.
    pub second: String,
    /// Over clips, where both have some of the same videos.
    pub clip: Option<PairLevel>,
    /// Over videos.
    pub video: Option<PairLevel>,
    /// McNemar's test: is one right on videos on which the other is wrong more
    /// often than the reverse? Null in a multi-label task.
    pub mcnemar: Option<McNemar>,
}

/// Paired differences over the videos that both runs scored.
#[derive(Clone, Debug, Serialize)]
pub struct PairLevel {
    /// Videos in both.
    pub videos: usize,
    /// Videos that only one of them scored: left out.
    pub only_in_one: usize,
    /// The other's figure less the first's, with its interval over videos.
    pub differences: Vec<FigureDifference>,
}

/// Sets two or more runs side by side and writes `compare.json` and
/// `compare.html` into `out`. Shards of one run count as that run.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config): fewer than two runs, or models
/// with other classes or another task. As [`write`](super::write).
pub fn compare(stores: &[Store], out: &Path, options: &ReportOptions) -> Result<Comparison> {
    let doing = "comparing runs";
    let groups = grouped(stores);
    if groups.len() < 2 {
        return Err(Error::config(doing, "there is only one run")
            .remedy("name two folders or more that `kinewatch replay` wrote"));
    }
    make_folder(out)?;
    let mut evaluations = Vec::new();
    for group in &groups {
        evaluations.push(Evaluation::of(&Merged::new(group)?, &options.measure(), None)?);
    }
    let (first, others) =
        evaluations.split_first().ok_or_else(|| Error::internal(doing, "no run"))?;
    let names = names(&groups);
    let mut pairs = Vec::new();
    for (second, name) in others.iter().zip(&names[1..]) {
        pairs.push(pair(first, second, (&names[0], name), options)?);
    }
    let runs = names
        .into_iter()
        .zip(evaluations)
        .map(|(name, evaluation)| {
            let metrics = Metrics { timelines: Vec::new(), ..evaluation.metrics };
            Compared { name, metrics }
        })
        .collect();
    let comparison = Comparison { v: FORMAT, runs, pairs };
    let text = json::text(&comparison).map_err(|error| Error::internal(doing, error))?;
    write_atomically(&out.join("compare.json"), &text)?;
    write_atomically(&out.join("compare.html"), page::comparison(&comparison).as_bytes())?;
    Ok(comparison)
}

/// Folders of one run together: those that say they are its shards.
fn grouped(stores: &[Store]) -> Vec<Vec<Store>> {
    let mut groups: Vec<Vec<Store>> = Vec::new();
    for store in stores {
        let own = |group: &&mut Vec<Store>| {
            let run = group[0].run();
            let other = store.run();
            run.shard.is_some() && other.shard.is_some() && run.difference(other).is_none()
        };
        match groups.iter_mut().find(own) {
            Some(group) => group.push(store.clone()),
            None => groups.push(vec![store.clone()]),
        }
    }
    groups
}

/// Models' names, told apart by their folders' where they are equal, and by
/// number where even those are.
fn names(groups: &[Vec<Store>]) -> Vec<String> {
    let plain: Vec<&str> = groups.iter().map(|group| group[0].run().model.name.as_str()).collect();
    let folder = |group: &[Store]| {
        let folder = group[0].folder();
        let name = folder.file_name().unwrap_or(folder.as_os_str());
        name.to_string_lossy().into_owned()
    };
    let mut names: Vec<String> = groups
        .iter()
        .zip(&plain)
        .map(|(group, name)| match plain.iter().filter(|other| *other == name).count() {
            1 => (*name).to_owned(),
            _ => format!("{name} ({})", folder(group)),
        })
        .collect();
    for i in 1..names.len() {
        if names[..i].contains(&names[i]) {
            names[i] = format!("{} #{}", names[i], i + 1);
        }
    }
    names
}

fn pair(
    first: &Evaluation,
    second: &Evaluation,
    names: (&str, &str),
    options: &ReportOptions,
) -> Result<Pair> {
    let doing = || format!("comparing \"{}\" with \"{}\"", names.0, names.1);
    let (a, b) = (&first.metrics.model, &second.metrics.model);
    if a.task != b.task {
        return Err(Error::config(doing(), "one is single-label, the other multi-label"));
    }
    // The second's classes in the first's order.
    let place = |label: &String| b.classes.iter().position(|other| other == label);
    let order: Option<Vec<usize>> = a.classes.iter().map(place).collect();
    let order = order.filter(|_| a.classes.len() == b.classes.len()).ok_or_else(|| {
        let (a, b): (BTreeSet<&String>, BTreeSet<&String>) =
            (a.classes.iter().collect(), b.classes.iter().collect());
        let odd = a.symmetric_difference(&b).next().map_or("", |label| label.as_str());
        Error::config(doing(), format!("they know different classes, such as \"{odd}\""))
            .remedy("compare models with the same classes")
    })?;
    let level = |a: &Set, b: &Set| level(a, b, &order, options);
    let (video, sets) = level(&first.video_set, &second.video_set)?.unzip();
    let mcnemar = match (a.task, sets) {
        (Task::SingleLabel, Some((a, b))) => Some(McNemar::sets(&a, &b)?),
        _ => None,
    };
    Ok(Pair {
        first: names.0.to_owned(),
        second: names.1.to_owned(),
        clip: level(&first.clip_set, &second.clip_set)?.map(|(level, _)| level),
        video,
        mcnemar,
    })
}

type Both = (PairLevel, (Set, Set));

/// The differences over the videos that both sets hold; `None` where they share
/// none.
fn level(a: &Set, b: &Set, order: &[usize], options: &ReportOptions) -> Result<Option<Both>> {
    let of = |set: &Set| set.videos().iter().cloned().collect::<BTreeSet<String>>();
    let (in_a, in_b) = (of(a), of(b));
    let both: BTreeSet<&String> = in_a.intersection(&in_b).collect();
    if both.is_empty() {
        return Ok(None);
    }
    let same: Vec<usize> = (0..order.len()).collect();
    let (a, b) = (restricted(a, &both, &same)?, restricted(b, &both, order)?);
    let measure = options.measure();
    let differences = match options.bootstrap {
        0 => Vec::new(),
        _ => metric::paired(&a, &b, &measure.options(), &measure.bootstrap())?,
    };
    let only_in_one = in_a.symmetric_difference(&in_b).count();
    let level = PairLevel { videos: both.len(), only_in_one, differences };
    Ok(Some((level, (a, b))))
}

/// The samples of `videos`, their class `i` being the set's class `order[i]`.
fn restricted(set: &Set, videos: &BTreeSet<&String>, order: &[usize]) -> Result<Set> {
    let mut back = vec![0; order.len()];
    for (new, &old) in order.iter().enumerate() {
        back[old] = new;
    }
    let mut out = Set::new(set.task(), set.classes())?;
    for i in 0..set.len() {
        let video = &set.videos()[set.video(i)];
        if !videos.contains(video) {
            continue;
        }
        let scores: Vec<f64> = order.iter().map(|&old| set.scores(i)[old]).collect();
        let mut classes: Vec<usize> = set.truth(i).iter().map(|&c| back[c as usize]).collect();
        classes.sort_unstable();
        match (set.task() == Task::SingleLabel, classes.as_slice()) {
            (true, &[class]) => out.push(video, Truth::Class(class), &scores)?,
            _ => out.push(video, Truth::Classes(&classes), &scores)?,
        }
    }
    Ok(out)
}

/// Takes a level out of a run's metrics.
pub(super) type LevelOf = fn(&Metrics) -> Option<&Level>;

impl Comparison {
    /// The levels that any run has, by name.
    pub(super) fn levels(&self) -> Vec<(&'static str, LevelOf)> {
        let levels: [(&'static str, LevelOf); 2] =
            [("videos", |m| m.video.as_ref()), ("clips", |m| m.clip.as_ref())];
        let held = |of: &LevelOf| self.runs.iter().any(|run| of(&run.metrics).is_some());
        levels.into_iter().filter(|(_, of)| held(of)).collect()
    }

    /// The task of all of them.
    pub(super) fn task(&self) -> Task {
        self.runs.first().map_or(Task::SingleLabel, |run| run.metrics.model.task)
    }
}

impl Pair {
    /// The differences of a level by its name.
    pub(super) fn level(&self, name: &str) -> Option<&PairLevel> {
        if name == "videos" { self.video.as_ref() } else { self.clip.as_ref() }
    }
}

impl PairLevel {
    /// A figure's difference.
    pub(super) fn of(&self, figure: Figure) -> Option<&FigureDifference> {
        self.differences.iter().find(|difference| difference.figure == figure)
    }
}

/// A difference with its interval, in points where the figure is a share.
pub(super) fn difference(figure: Figure, found: Option<&FigureDifference>) -> String {
    let Some((found, estimate)) = found.and_then(|f| Some((f, f.difference.estimate?))) else {
        return "–".into();
    };
    let (scale, places) = if page::is_share(figure) { (100.0, 1) } else { (1.0, 3) };
    let mut text = format!("{:+.places$}", scale * estimate);
    if let (Some(low), Some(high)) = (found.difference.low, found.difference.high) {
        text.push_str(&format!(" [{:+.places$}, {:+.places$}]", scale * low, scale * high));
    }
    text
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.runs.iter().map(|run| run.name.chars().count()).max().unwrap_or(0).max(22);
        for (level, of) in self.levels() {
            write!(f, "{:24}", format!("Over {level}"))?;
            for run in &self.runs {
                write!(f, "  {:>width$}", run.name)?;
            }
            for pair in &self.pairs {
                write!(f, "  {:>width$}", format!("{} − first", pair.second))?;
            }
            writeln!(f)?;
            for (name, figure, value) in page::headlines(self.task()) {
                if self.runs.iter().all(|run| of(&run.metrics).and_then(value).is_none()) {
                    continue;
                }
                write!(f, "{name:24}")?;
                for run in &self.runs {
                    let level = of(&run.metrics);
                    let interval = level.and_then(|level| level.interval(figure));
                    write!(f, "  {:>width$}", told(figure, level.and_then(value), interval))?;
                }
                for pair in &self.pairs {
                    let found = pair.level(level).and_then(|level| level.of(figure));
                    write!(f, "  {:>width$}", difference(figure, found))?;
                }
                writeln!(f)?;
            }
            writeln!(f)?;
        }
        for pair in &self.pairs {
            for (name, level) in [("videos", &pair.video), ("clips", &pair.clip)] {
                if let Some(level) = level.as_ref().filter(|level| level.only_in_one > 0) {
                    writeln!(
                        f,
                        "{} videos that only one of \"{}\" and \"{}\" scored are left out of their difference over {name}",
                        level.only_in_one, pair.first, pair.second
                    )?;
                }
            }
            if let Some(test) = &pair.mcnemar {
                writeln!(f, "{}", mcnemar(pair, test))?;
            }
        }
        Ok(())
    }
}

/// McNemar's test in a sentence.
pub(super) fn mcnemar(pair: &Pair, test: &McNemar) -> String {
    format!(
        "McNemar's test over videos: {} right only by \"{}\", {} only by \"{}\", {} by both, {} by neither; p = {} (exact)",
        test.only_a,
        pair.first,
        test.only_b,
        pair.second,
        test.both,
        test.neither,
        page::significance(test.exact_p)
    )
}
