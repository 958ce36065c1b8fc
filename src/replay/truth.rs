//! What the label file says about each video, in the model's own class names.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::Video;
use crate::error::{Error, Result};
use crate::hex::hex;
use crate::label::{self, Aliases, Annotations, Match, Span, Survey, Track};
use crate::report::store::{RunLabels, Truth, TruthSpan};

/// The labels of a run.
pub struct Labels {
    /// As read.
    pub annotations: Annotations,
    /// Between their names and the model's classes.
    pub aliases: Aliases,
    /// What identifies them in a run.
    pub identity: RunLabels,
}

impl Labels {
    /// Puts `annotations`, which were read from `path`, beside a model's
    /// classes. `beside` are the other files that decide them, where there are
    /// any: explicit aliases, names of classes.
    ///
    /// # Errors
    /// A file that was just read can no longer be.
    pub fn new(
        annotations: Annotations,
        aliases: Aliases,
        path: &Path,
        beside: &[Option<&Path>],
    ) -> Result<Labels> {
        let mut sum = Sha256::new();
        digest(path, &mut sum)?;
        for file in beside.iter().flatten() {
            digest(file, &mut sum)?;
        }
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let identity = RunLabels {
            name,
            format: annotations.format().to_string(),
            sha256: hex(sum.finalize()),
        };
        Ok(Labels { annotations, aliases, identity })
    }

    /// What does not fit together, as far as is known before anything is run.
    pub fn survey(&self, videos: &[Video]) -> Survey {
        let videos: Vec<_> = videos.iter().map(|video| (video.id.clone(), None)).collect();
        Survey::new(&self.annotations, &videos, &self.aliases)
    }

    /// The truth of each of `videos`, in their order.
    pub fn of(&self, videos: &[Video], classes: &[String]) -> Vec<Truth> {
        let ids: Vec<&str> = videos.iter().map(|video| video.id.as_str()).collect();
        let matches = self.annotations.match_videos(&ids);
        matches
            .iter()
            .map(|found| match found {
                Match::Found(entry) => self.renamed(&entry.truth, classes),
                Match::None | Match::Ambiguous(_) => Truth::None,
            })
            .collect()
    }

    fn renamed(&self, truth: &label::Truth, classes: &[String]) -> Truth {
        // Named as the model names it; left out where the map says so; kept as
        // it is where the model does not know it.
        let name = |label: &str| {
            let known = self.aliases.index(label).and_then(|class| classes.get(class));
            match known {
                Some(class) => Some(class.clone()),
                None if self.aliases.ignored(label) => None,
                None => Some(label.to_owned()),
            }
        };
        match truth {
            label::Truth::Whole(labels) => {
                let labels: Vec<String> = labels.iter().filter_map(|label| name(label)).collect();
                if labels.is_empty() { Truth::None } else { Truth::Video(labels) }
            }
            label::Truth::Spans(spans) => Truth::Spans(
                spans
                    .iter()
                    .filter_map(|span| {
                        let label = name(&span.label)?;
                        Some(TruthSpan { start: span.start, end: span.end, label })
                    })
                    .collect(),
            ),
        }
    }
}

/// Adds the bytes of a file, or of every file of a folder in the order of their
/// names, to `sum`. Of the videos of a folder-per-class data set only the names
/// count: that is what the labels are made of.
fn digest(path: &Path, sum: &mut Sha256) -> Result<()> {
    let fault = |error: std::io::Error| {
        Error::config(format!("reading labels \"{}\"", path.display()), error)
    };
    if !fs::metadata(path).map_err(fault)?.is_dir() {
        sum.update(fs::read(path).map_err(fault)?);
        return Ok(());
    }
    let entries = fs::read_dir(path).map_err(fault)?.collect::<Result<Vec<_>, _>>();
    let mut entries: Vec<_> = entries.map_err(fault)?.iter().map(fs::DirEntry::path).collect();
    entries.sort();
    for entry in entries {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        sum.update(name.as_bytes());
        sum.update([0]);
        if entry.is_dir() || is_text(&entry) {
            digest(&entry, sum)?;
        }
    }
    Ok(())
}

/// Whether a file in a folder of labels may hold labels, by its name.
fn is_text(path: &Path) -> bool {
    const ENDINGS: [&str; 9] = ["csv", "eaf", "json", "list", "srt", "tsv", "txt", "vtt", "xml"];
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    ENDINGS.iter().any(|known| known.eq_ignore_ascii_case(ending))
}

/// A truth over time, for a running score.
pub(super) fn track(truth: &Truth) -> Option<Track> {
    let spans = match truth {
        Truth::None => return None,
        Truth::Video(labels) => labels
            .iter()
            .map(|label| Span { start: 0.0, end: f64::INFINITY, label: label.clone() })
            .collect(),
        Truth::Spans(spans) => spans
            .iter()
            .map(|s| Span { start: s.start, end: s.end, label: s.label.clone() })
            .collect(),
    };
    Some(Track::new(spans))
}
