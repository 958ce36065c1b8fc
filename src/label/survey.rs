//! What does not fit together: labels, videos and classes that have no partner.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::aliases::Aliases;
use super::annotations::Annotations;
use super::fault::Fault;
use super::matching::Match;

/// A label that is none of the model's classes. Time under it is not scored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownLabel {
    /// The label.
    pub label: String,
    /// How often it is given to the videos of the run.
    pub count: usize,
    /// The class that is most like it.
    pub nearest: Option<String>,
}

/// A span that ends after its video does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PastEnd {
    /// The video.
    pub video: String,
    /// The label.
    pub label: String,
    /// Where the span begins, seconds.
    pub start: f64,
    /// Where it ends, seconds.
    pub end: f64,
    /// How long the video is, seconds.
    pub duration: f64,
}

/// Everything about some videos and their annotations that does not fit, each
/// list in order of names. As text it is a table for each list that holds
/// something, cut short at twenty rows (`{:#}` gives all of them).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Survey {
    /// Labels of the videos that the model does not know.
    pub unknown_labels: Vec<UnknownLabel>,
    /// Labels that the map leaves out on purpose, and how often they are given.
    pub ignored_labels: Vec<(String, usize)>,
    /// Videos that no entry speaks of, or whose entry holds no label.
    pub videos_without_labels: Vec<String>,
    /// Videos that may be several entries', and which.
    pub ambiguous_videos: Vec<(String, Vec<String>)>,
    /// Entries whose video is not among those of the run.
    pub labels_without_videos: Vec<String>,
    /// Spans that end after their video.
    pub spans_past_end: Vec<PastEnd>,
    /// What was left out as the files were read.
    pub faults: Vec<Fault>,
}

impl Survey {
    /// Of `videos`, each with its length in seconds where that is known: until
    /// then nothing is said about spans past the end.
    pub fn new(
        annotations: &Annotations,
        videos: &[(String, Option<f64>)],
        aliases: &Aliases,
    ) -> Survey {
        let names: Vec<&str> = videos.iter().map(|(name, _)| name.as_str()).collect();
        let mut survey = Survey { faults: annotations.faults().to_vec(), ..Survey::default() };
        let mut used: BTreeSet<&str> = BTreeSet::new();
        let mut unknown: BTreeMap<&str, usize> = BTreeMap::new();
        let mut ignored: BTreeMap<&str, usize> = BTreeMap::new();
        for ((name, duration), found) in videos.iter().zip(annotations.match_videos(&names)) {
            let entry = match found {
                Match::Found(entry) => entry,
                Match::None => {
                    survey.videos_without_labels.push(name.clone());
                    continue;
                }
                Match::Ambiguous(ambiguous) => {
                    survey.ambiguous_videos.push((name.clone(), ambiguous.entries));
                    continue;
                }
            };
            used.insert(&entry.video);
            if entry.truth.is_empty() {
                survey.videos_without_labels.push(name.clone());
            }
            for label in entry.truth.labels() {
                if aliases.ignored(label) {
                    *ignored.entry(label).or_default() += 1;
                } else if aliases.index(label).is_none() {
                    *unknown.entry(label).or_default() += 1;
                }
            }
            let Some(duration) = *duration else { continue };
            survey.spans_past_end.extend(entry.truth.past(duration).map(|span| PastEnd {
                video: name.clone(),
                label: span.label.clone(),
                start: span.start,
                end: span.end,
                duration,
            }));
        }
        let owned = |(label, count): (&str, usize)| (label.to_owned(), count);
        survey.ignored_labels = ignored.into_iter().map(owned).collect();
        survey.unknown_labels = unknown
            .into_iter()
            .map(|(label, count)| UnknownLabel {
                label: label.to_owned(),
                count,
                nearest: aliases.nearest(label).map(str::to_owned),
            })
            .collect();
        let ambiguous: BTreeSet<&String> =
            survey.ambiguous_videos.iter().flat_map(|(_, entries)| entries).collect();
        let entries = annotations.entries().iter().map(|entry| &entry.video);
        let alone = entries.filter(|v| !used.contains(v.as_str()) && !ambiguous.contains(v));
        survey.labels_without_videos = alone.cloned().collect();
        survey.videos_without_labels.sort();
        survey.ambiguous_videos.sort();
        survey
    }

    /// Whether everything fits.
    pub fn is_empty(&self) -> bool {
        *self == Survey::default()
    }
}

/// Rows of a table that are shown unless all are asked for.
const SHOWN: usize = 20;

impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unknown = self.unknown_labels.iter().map(|u| {
            let nearest = u.nearest.as_deref().unwrap_or("–");
            vec![u.label.clone(), u.count.to_string(), nearest.to_owned()]
        });
        table(
            f,
            "labels that the model does not know",
            &["label", "count", "nearest class"],
            unknown,
        )?;
        let ignored = self.ignored_labels.iter().map(|(l, n)| vec![l.clone(), n.to_string()]);
        table(f, "labels that the map leaves out", &["label", "count"], ignored)?;
        let videos = self.videos_without_labels.iter().map(|v| vec![v.clone()]);
        table(f, "videos without labels", &["video"], videos)?;
        let ambiguous =
            self.ambiguous_videos.iter().map(|(v, entries)| vec![v.clone(), entries.join(", ")]);
        table(f, "videos whose labels are ambiguous", &["video", "may be"], ambiguous)?;
        let labels = self.labels_without_videos.iter().map(|v| vec![v.clone()]);
        table(f, "labels without a video", &["labels of"], labels)?;
        let past = self.spans_past_end.iter().map(|p| {
            let seconds = |s: f64| format!("{s:.2}");
            vec![
                p.video.clone(),
                p.label.clone(),
                seconds(p.start),
                seconds(p.end),
                seconds(p.duration),
            ]
        });
        table(
            f,
            "spans past the end of their video (s)",
            &["video", "label", "start", "end", "video ends"],
            past,
        )?;
        let faults = self.faults.iter().map(|fault| {
            let place = format!("{}:{}:{}", fault.file, fault.line, fault.column);
            vec![place, fault.fault.clone()]
        });
        table(f, "left out of the label files", &["where", "why"], faults)
    }
}

fn table(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    header: &[&str],
    rows: impl ExactSizeIterator<Item = Vec<String>>,
) -> fmt::Result {
    let count = rows.len();
    if count == 0 {
        return Ok(());
    }
    let shown = if f.alternate() { count } else { count.min(SHOWN) };
    let rows: Vec<Vec<String>> = std::iter::once(header.iter().map(|h| (*h).to_owned()).collect())
        .chain(rows.take(shown))
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..header.len()).map(|c| width(c).unwrap_or(0)).collect();
    writeln!(f, "{title}: {count}")?;
    for row in &rows {
        let mut line = String::from(" ");
        for (cell, width) in row.iter().zip(&widths) {
            line += &format!(" {cell:width$} ");
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    if shown < count {
        writeln!(f, "  … and {} more", count - shown)?;
    }
    Ok(())
}
