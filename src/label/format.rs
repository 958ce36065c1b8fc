//! The formats, their names, and how one is told from another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::read;
use super::table::{self, Table};
use crate::nearest::nearest;

/// A format of annotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Our own CSV (`video,start,end,label`), and any with columns for the video
    /// and the label.
    Csv,
    /// Kinetics CSV: `label,youtube_id,time_start,time_end,split`.
    Kinetics,
    /// One `path label` a line, as PySlowFast and MMAction2 read them.
    List,
    /// UCF101's `trainlist0N.txt` and `testlist0N.txt`.
    Ucf101,
    /// HMDB51's `<class>_test_splitN.txt`.
    Hmdb51,
    /// A folder of videos for each class.
    Folders,
    /// ActivityNet's JSON, and that of the many data sets in its form.
    #[serde(rename = "activitynet")]
    ActivityNet,
    /// THUMOS14's text file for each class: `video start end`.
    Thumos14,
    /// Charades CSV.
    Charades,
    /// EPIC-KITCHENS-100 CSV.
    EpicKitchens,
    /// AVA CSV.
    Ava,
    /// ELAN's `.eaf`.
    Elan,
    /// Label Studio's JSON, in frames.
    LabelStudio,
    /// WebVTT cues.
    #[serde(rename = "webvtt")]
    WebVtt,
    /// SubRip cues.
    Srt,
    /// CSV with a cell such as `Sitting[0 to 1]; Sleeping[2 to 8]`, as GMDCSA24.
    Gmdcsa24,
    /// JSON: `{"video": [["label", start, end], …]}`.
    SpanMap,
}

impl Format {
    /// All of them.
    pub const ALL: [Format; 17] = [
        Format::Csv,
        Format::Kinetics,
        Format::List,
        Format::Ucf101,
        Format::Hmdb51,
        Format::Folders,
        Format::ActivityNet,
        Format::Thumos14,
        Format::Charades,
        Format::EpicKitchens,
        Format::Ava,
        Format::Elan,
        Format::LabelStudio,
        Format::WebVtt,
        Format::Srt,
        Format::Gmdcsa24,
        Format::SpanMap,
    ];

    /// Its name on the command line and in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Kinetics => "kinetics",
            Format::List => "list",
            Format::Ucf101 => "ucf101",
            Format::Hmdb51 => "hmdb51",
            Format::Folders => "folders",
            Format::ActivityNet => "activitynet",
            Format::Thumos14 => "thumos14",
            Format::Charades => "charades",
            Format::EpicKitchens => "epic-kitchens",
            Format::Ava => "ava",
            Format::Elan => "elan",
            Format::LabelStudio => "label-studio",
            Format::WebVtt => "webvtt",
            Format::Srt => "srt",
            Format::Gmdcsa24 => "gmdcsa24",
            Format::SpanMap => "span-map",
        }
    }

    /// The extensions, in lower case, that its files may have.
    pub(super) fn extensions(self) -> &'static [&'static str] {
        match self {
            Format::Csv | Format::Gmdcsa24 => &["csv", "tsv"],
            Format::Kinetics | Format::Charades | Format::EpicKitchens | Format::Ava => &["csv"],
            Format::List => &["txt", "csv", "tsv", "list", "lst"],
            Format::Ucf101 | Format::Hmdb51 | Format::Thumos14 => &["txt"],
            Format::Folders => &[],
            Format::ActivityNet | Format::LabelStudio | Format::SpanMap => &["json"],
            Format::Elan => &["eaf"],
            Format::WebVtt => &["vtt"],
            Format::Srt => &["srt"],
        }
    }

    /// Whether several labels may hold at once by the format's nature.
    pub(super) fn is_multi_label(self) -> bool {
        matches!(self, Format::Charades | Format::Ava)
    }

    /// Whether its times may be times of day.
    pub(super) fn has_times_of_day(self) -> bool {
        matches!(self, Format::Csv | Format::SpanMap)
    }

    /// The format of a text in a file called `name`; none if it looks like none
    /// of them.
    pub(super) fn detect(name: &str, text: &str) -> Option<Format> {
        let name = name.rsplit('/').next().unwrap_or(name).to_lowercase();
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        let start = text.trim_start();
        match extension {
            "eaf" => return Some(Format::Elan),
            "vtt" => return Some(Format::WebVtt),
            "srt" => return Some(Format::Srt),
            _ => {}
        }
        if start.starts_with("WEBVTT") {
            return Some(Format::WebVtt);
        }
        if start.starts_with('<') {
            return text.contains("<ANNOTATION_DOCUMENT").then_some(Format::Elan);
        }
        if extension == "json" || start.starts_with(['{', '[']) {
            return Some(read::detect_json(text));
        }
        if read::ucf101::is_list(&name) {
            return Some(Format::Ucf101);
        }
        if read::hmdb51::class_and_split(&name).is_some() {
            return Some(Format::Hmdb51);
        }
        if text.lines().take(8).any(|line| line.contains("-->")) {
            return Some(Format::Srt);
        }
        detect_table(text).or_else(|| {
            let first = text.lines().find(|line| !line.trim().is_empty())?;
            if read::thumos14::row(first).is_some() {
                Some(Format::Thumos14)
            } else {
                read::list::looks_like(text).then_some(Format::List)
            }
        })
    }
}

fn detect_table(text: &str) -> Option<Format> {
    // The first line only: what is wrong further down is for the reader to say.
    let head = text.lines().find(|line| !line.trim().is_empty())?;
    let mut table = Table::new(head, table::delimiter(head)).ok()?;
    let row = table.next_row().ok()??;
    if row.len() < 2 {
        return None;
    }
    let fields: Vec<String> = row.fields().map(str::to_owned).collect();
    let has = |name: &str| fields.iter().any(|field| table::folded(field) == name);
    let all = |names: &[&str]| names.iter().all(|name| has(name));
    if all(&["youtubeid", "timestart", "timeend"]) {
        Some(Format::Kinetics)
    } else if all(&["id", "actions"]) && (has("script") || has("length")) {
        Some(Format::Charades)
    } else if all(&["videoid", "starttimestamp", "stoptimestamp"]) {
        Some(Format::EpicKitchens)
    } else if read::gmdcsa24::is_header(&fields, text) {
        Some(Format::Gmdcsa24)
    } else if read::csv::is_header(&fields) {
        Some(Format::Csv)
    } else if read::ava::is_row(&fields) {
        Some(Format::Ava)
    } else {
        None
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = table::folded(text);
        Format::ALL.into_iter().find(|format| table::folded(format.name()) == plain).ok_or_else(
            || {
                let names = Format::ALL.map(Format::name);
                let near =
                    nearest(text, names).map(|n| format!("write \"{n}\", or ")).unwrap_or_default();
                format!("no format is called \"{text}\"; {near}one of {}", names.join(", "))
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for format in Format::ALL {
            assert_eq!(format.name().parse(), Ok(format));
            let quoted = serde_json::to_string(&format).unwrap();
            assert_eq!(quoted, format!("\"{}\"", format.name()));
        }
        assert_eq!("Label_Studio".parse(), Ok(Format::LabelStudio));
        let error = "kinetic".parse::<Format>().unwrap_err();
        assert!(error.contains("write \"kinetics\"") && error.contains("span-map"), "{error}");
    }
}
