//! UCF101's splits: `testlist0N.txt` holds one `Class/clip.avi` a line,
//! `trainlist0N.txt` adds the class's index from 1, which `classInd.txt` names
//! (`1 ApplyEyeMakeup`).
//!
//! Source: `UCF101TrainTestSplits-RecognitionTask.zip` and its description at
//! crcv.ucf.edu/data/UCF101.php; read so by MMAction2's `tools/data/parse_file_list.py`
//! and torchvision's `UCF101`.

use super::Source;
use super::csv::is_number;
use crate::label::collect::Collector;
use crate::label::fault::Broken;
use crate::label::options::Split;
use crate::label::text;

/// The split that a file of this name (in lower case) lists.
pub(in super::super) fn split_of(name: &str) -> Option<Split> {
    let (part, rest) = match (name.strip_prefix("trainlist"), name.strip_prefix("testlist")) {
        (Some(rest), _) => ("train", rest),
        (_, Some(rest)) => ("test", rest),
        _ => return None,
    };
    let number = rest.strip_suffix(".txt")?;
    (number.is_empty() || is_number(number))
        .then(|| Split { part: part.to_owned(), number: number.parse().ok() })
}

/// Whether a file of this name (in lower case) is one of the lists.
pub(in super::super) fn is_list(name: &str) -> bool {
    split_of(name).is_some()
}

pub(super) fn read(source: &Source<'_>, out: &mut Collector) -> Result<(), Broken> {
    for (at, raw) in text::lines(source.text) {
        let (at, line) = text::trimmed(at, raw);
        if line.is_empty() {
            continue;
        }
        let (path, index) = match line.rsplit_once(char::is_whitespace) {
            Some((path, index)) if is_number(index) => (path.trim_end(), Some(index)),
            Some(_) => {
                return Err(Broken::at(
                    at,
                    format!("\"{line}\" is not Class/clip.avi with or without the class's index"),
                ));
            }
            None => (line, None),
        };
        let folder = path.rsplit_once(['/', '\\']).map(|(folder, _)| folder);
        let class = folder.map(|folder| folder.rsplit(['/', '\\']).next().unwrap_or(folder));
        let class = match (class, index) {
            (Some(class), _) => class,
            (None, Some(index)) if source.classes.is_some() => source.class(index, || at)?,
            (None, Some(_)) => {
                return Err(Broken::at(at, format!("\"{path}\" stands in no class's folder"))
                    .remedy("give classInd.txt (--classes)"));
            }
            (None, None) => {
                return Err(Broken::at(
                    at,
                    format!("\"{path}\" has no class; expected Class/clip.avi"),
                ));
            }
        };
        out.whole(path, class, || at)?;
    }
    Ok(())
}
