//! One reader for each format. Its documentation says where the format is
//! specified; none of them holds code or data from there.

pub(super) mod activitynet;
pub(super) mod ava;
pub(super) mod charades;
pub(super) mod csv;
pub(super) mod cues;
pub(super) mod elan;
pub(super) mod epic_kitchens;
pub(super) mod gmdcsa24;
pub(super) mod hmdb51;
pub(super) mod kinetics;
pub(super) mod label_studio;
pub(super) mod list;
pub(super) mod span_map;
pub(super) mod thumos14;
pub(super) mod ucf101;

use super::classes::Classes;
use super::collect::Collector;
use super::fault::Broken;
use super::format::Format;
use super::options::ReadOptions;

/// A file to read.
pub(super) struct Source<'a> {
    /// Its path below the folder that was given, or its name; with `/`.
    pub name: &'a str,
    /// What it holds.
    pub text: &'a str,
    pub options: &'a ReadOptions,
    /// The class list that goes with it.
    pub classes: Option<&'a Classes>,
}

impl Source<'_> {
    /// The name without its extension: what a video beside it is called.
    pub fn stem(&self) -> &str {
        let slash = self.name.rfind('/').map_or(0, |i| i + 1);
        match self.name[slash..].rfind('.') {
            Some(dot) if dot > 0 => &self.name[..slash + dot],
            _ => self.name,
        }
    }

    /// The class with this index or code; the code itself where there is no
    /// class list.
    pub fn class<'b>(&'b self, code: &'b str, at: impl Fn() -> usize) -> Result<&'b str, Broken> {
        match self.classes {
            None => Ok(code),
            Some(classes) => classes.name(code).ok_or_else(|| {
                let fault =
                    format!("class \"{code}\" is none of the {} in the class list", classes.len());
                Broken::at(at(), fault)
            }),
        }
    }
}

/// Reads a file of a known format.
pub(super) fn file(format: Format, source: &Source<'_>, out: &mut Collector) -> Result<(), Broken> {
    match format {
        Format::Csv => csv::read(source, out),
        Format::Kinetics => kinetics::read(source, out),
        Format::List => list::read(source, out),
        Format::Ucf101 => ucf101::read(source, out),
        Format::Hmdb51 => hmdb51::read(source, out),
        Format::Folders => {
            Err(Broken::whole("it is a file; the format \"folders\" is a folder for each class"))
        }
        Format::ActivityNet => activitynet::read(source, out),
        Format::Thumos14 => thumos14::read(source, out),
        Format::Charades => charades::read(source, out),
        Format::EpicKitchens => epic_kitchens::read(source, out),
        Format::Ava => ava::read(source, out),
        Format::Elan => elan::read(source, out),
        Format::LabelStudio => label_studio::read(source, out),
        Format::WebVtt => cues::read_webvtt(source, out),
        Format::Srt => cues::read_srt(source, out),
        Format::Gmdcsa24 => gmdcsa24::read(source, out),
        Format::SpanMap => span_map::read(source, out),
    }
}

/// Which of the JSON formats a text is in, by the keys that only they use.
pub(super) fn detect_json(text: &str) -> Format {
    let has = |key: &str| text.contains(key);
    if has("\"timelinelabels\"") || has("\"annotations\"") && has("\"result\"") {
        Format::LabelStudio
    } else if has("\"database\"") || has("\"annotations\"") {
        Format::ActivityNet
    } else {
        Format::SpanMap
    }
}
