//! HMDB51's splits: for each class and split a file
//! `<class>_test_split<N>.txt` with one `clip.avi <id>` a line, where the id is 1
//! for training, 2 for testing and 0 for neither.
//!
//! Source: `test_train_splits.rar` and its README at
//! serre.lab.brown.edu/hmdb51.html; read so by MMAction2's
//! `tools/data/parse_file_list.py` and torchvision's `HMDB51`.

use super::Source;
use crate::label::collect::Collector;
use crate::label::fault::Broken;
use crate::label::text;

/// The class and the split's number of a file of this name.
pub(in super::super) fn class_and_split(name: &str) -> Option<(&str, u32)> {
    let name = name.rsplit('/').next().unwrap_or(name);
    let (class, split) = name.strip_suffix(".txt")?.rsplit_once("_test_split")?;
    Some((class, split.parse().ok()?)).filter(|(class, _)| !class.is_empty())
}

pub(super) fn read(source: &Source<'_>, out: &mut Collector) -> Result<(), Broken> {
    let Some((class, _)) = class_and_split(source.name) else {
        return Err(Broken::whole(
            "its name says neither class nor split; expected <class>_test_split1.txt",
        ));
    };
    let wanted = match source.options.split() {
        Some(split) if split.part == "train" => "1",
        _ => "2",
    };
    for (at, raw) in text::lines(source.text) {
        let (at, line) = text::trimmed(at, raw);
        if line.is_empty() {
            continue;
        }
        let Some((clip, id)) = line.rsplit_once(char::is_whitespace) else {
            return Err(Broken::at(at + line.len(), "expected a clip and 0, 1 or 2"));
        };
        if !matches!(id, "0" | "1" | "2") {
            let id_at = at + line.len() - id.len();
            return Err(Broken::at(
                id_at,
                format!("\"{id}\" says no part; expected 0, 1 (train) or 2 (test)"),
            ));
        }
        if id == wanted {
            out.whole(&format!("{class}/{}", clip.trim_end()), class, || at)?;
        }
    }
    Ok(())
}
