//! Annotations that are a folder.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::annotations::{Annotations, Reading, doing};
use super::format::Format;
use super::naming::has_video_extension;
use super::options::{ReadOptions, Split};
use super::read::{epic_kitchens, hmdb51, ucf101};
use super::text;
use crate::error::{Error, Result};

/// Folders deeper than this below the one given are not looked into.
const DEEPEST: usize = 8;

/// A file below the folder: its path there with `/`, and its path.
type File = (String, PathBuf);

pub(super) fn read(root: &Path, options: &ReadOptions) -> Result<Annotations> {
    let mut files = Vec::new();
    let mut seen = BTreeSet::new();
    list(root, "", 0, &mut seen, &mut files).map_err(|error| Error::config(doing(root), error))?;
    files.sort();
    let (format, labels, odd) = match options.format {
        Some(Format::Folders) => (Format::Folders, Vec::new(), Vec::new()),
        Some(format) => {
            let labels: Vec<File> =
                files.iter().filter(|(name, _)| may_be(format, name)).cloned().collect();
            if labels.is_empty() {
                let extensions = format.extensions().join(", .");
                let fault = format!("it holds no file for the format {format} (.{extensions})");
                return Err(Error::config(doing(root), fault));
            }
            (format, labels, Vec::new())
        }
        None => detect(root, &files)?,
    };
    let mut reading = Reading::new(options)?;
    if format == Format::Folders {
        classes(root, &files, &mut reading)?;
        return reading.finish(format, root);
    }
    for (name, path) in wanted(format, root, labels, options)? {
        let bytes = text::bytes(&path).map_err(|fault| Error::config(doing(&path), fault))?;
        reading.file(format, &path, &name, &bytes)?;
    }
    for (_, path) in odd {
        reading.left_out(&path, "its format is not known; it was left out")?;
    }
    reading.finish(format, root)
}

/// Every file below a folder, hidden ones aside.
fn list(
    folder: &Path,
    name: &str,
    depth: usize,
    seen: &mut BTreeSet<PathBuf>,
    files: &mut Vec<File>,
) -> std::io::Result<()> {
    // A link may lead back to a folder that contains it.
    if depth > DEEPEST || !seen.insert(fs::canonicalize(folder)?) {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let own = entry.file_name().to_string_lossy().into_owned();
        if own.starts_with('.') {
            continue;
        }
        let path = entry.path();
        let name = if name.is_empty() { own } else { format!("{name}/{own}") };
        // A link that leads nowhere is no file.
        match fs::metadata(&path) {
            Ok(kind) if kind.is_dir() => list(&path, &name, depth + 1, seen, files)?,
            Ok(kind) if kind.is_file() => files.push((name, path)),
            _ => {}
        }
    }
    Ok(())
}

fn lower(name: &str) -> String {
    name.rsplit('/').next().unwrap_or(name).to_lowercase()
}

fn extension(name: &str) -> String {
    let name = lower(name);
    name.rsplit_once('.').map(|(_, extension)| extension.to_owned()).unwrap_or_default()
}

/// Whether a file names classes or describes videos, rather than labelling them.
fn is_auxiliary(name: &str) -> bool {
    let name = lower(name);
    ["classind", "labels.txt", "classes.txt", "readme", "license"]
        .iter()
        .any(|n| name.starts_with(n))
        || ["_classes.", "_classes_", "action_list", "label_map", "_mapping."]
            .iter()
            .any(|part| name.contains(part))
}

/// Whether a file may be one of the format.
fn may_be(format: Format, name: &str) -> bool {
    let by_name = match format {
        Format::Ucf101 => ucf101::is_list(&lower(name)),
        Format::Hmdb51 => hmdb51::class_and_split(name).is_some(),
        _ => true,
    };
    by_name && format.extensions().contains(&extension(name).as_str()) && !is_auxiliary(name)
}

type Detected = (Format, Vec<File>, Vec<File>);

/// The one format that the label files of a folder have, its files, and those
/// that look like labels but are of no known format.
fn detect(root: &Path, files: &[File]) -> Result<Detected> {
    let extensions: BTreeSet<&str> =
        Format::ALL.iter().flat_map(|f| f.extensions()).copied().collect();
    let mut first: Option<(Format, &File)> = None;
    let (mut labels, mut odd) = (Vec::new(), Vec::new());
    for file in files {
        let (name, path) = file;
        if !extensions.contains(extension(name).as_str()) || is_auxiliary(name) {
            continue;
        }
        let bytes = text::bytes(path).map_err(|fault| Error::config(doing(path), fault))?;
        let format = text::decode(&bytes).ok().and_then(|text| Format::detect(name, text));
        let Some(format) = format else {
            // Text files are notes as often as lists.
            if extension(name) != "txt" {
                odd.push(file.clone());
            }
            continue;
        };
        match first {
            Some((other, (before, _))) if other != format => {
                let fault = format!(
                    "it holds labels in several formats: \"{before}\" is {other}, \"{name}\" is {format}"
                );
                return Err(Error::config(doing(root), fault)
                    .remedy("name one of the files, or the format to read (--format)"));
            }
            Some(_) => {}
            None => first = Some((format, file)),
        }
        labels.push(file.clone());
    }
    match first {
        Some((format, _)) => Ok((format, labels, odd)),
        None => Ok((Format::Folders, labels, odd)),
    }
}

/// The files of a format that belong to the split: of data sets with several
/// splits, the test part of the first unless another is asked for.
fn wanted(
    format: Format,
    root: &Path,
    files: Vec<File>,
    options: &ReadOptions,
) -> Result<Vec<File>> {
    let of = |name: &str| match format {
        Format::Ucf101 => ucf101::split_of(&lower(name)),
        Format::Hmdb51 => hmdb51::class_and_split(name)
            .map(|(_, number)| Split { part: String::new(), number: Some(number) }),
        _ => None,
    };
    if !matches!(format, Format::Ucf101 | Format::Hmdb51) {
        return Ok(files);
    }
    let asked = options.split().unwrap_or(Split { part: String::new(), number: None });
    let part = if asked.part.is_empty() { "test" } else { &asked.part };
    let number = asked.number.unwrap_or(1);
    let (mine, others): (Vec<File>, Vec<File>) = files.into_iter().partition(|(name, _)| {
        of(name).is_some_and(|split| {
            split.number.is_none_or(|n| n == number)
                && (split.part.is_empty() || split.part == part)
        })
    });
    if mine.is_empty() {
        let names: Vec<_> = others.iter().take(6).map(|(name, _)| format!("\"{name}\"")).collect();
        let fault =
            format!("it holds nothing of split \"{part}{number}\"; it has {}", names.join(", "));
        return Err(Error::config(doing(root), fault).remedy("say which split (--split test2)"));
    }
    Ok(mine)
}

/// A folder of videos for each class: the class is the name of the folder that a
/// video lies in.
fn classes(root: &Path, files: &[File], reading: &mut Reading<'_>) -> Result<()> {
    let mut any = false;
    for (name, path) in files.iter().filter(|(name, _)| has_video_extension(name)) {
        match name.rsplit('/').nth(1) {
            Some(class) => {
                reading.in_class(root, name, class)?;
                any = true;
            }
            None => reading.left_out(path, "the video lies in no class's folder")?,
        }
    }
    if any {
        return Ok(());
    }
    Err(Error::config(
        doing(root),
        "it holds neither label files of a known format nor a folder of videos for each class",
    )
    .remedy("name the file that holds the labels, and its format if need be (--format)"))
}

/// The class list that a data set brings along, if it lies beside the file.
pub(super) fn class_list_beside(
    format: Format,
    path: &Path,
    options: &ReadOptions,
) -> Option<PathBuf> {
    let names: &[&str] = match format {
        Format::Ucf101 => &["classInd.txt"],
        Format::Charades => &["Charades_v1_classes.txt"],
        Format::Ava => &[
            "ava_action_list_v2.2.pbtxt",
            "ava_action_list_v2.1.pbtxt",
            "ava_action_list_v2.2_for_activitynet_2019.pbtxt",
            "ava_action_list_v2.1_for_activitynet_2018.pbtxt",
        ],
        Format::EpicKitchens => match options.column.as_deref().unwrap_or(epic_kitchens::LABEL) {
            "verb_class" => &["EPIC_100_verb_classes.csv"],
            "noun_class" => &["EPIC_100_noun_classes_v2.csv", "EPIC_100_noun_classes.csv"],
            _ => &[],
        },
        _ => &[],
    };
    names.iter().map(|name| path.with_file_name(name)).find(|list| list.is_file())
}
