//! A folder in which label files appear.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::claim::{Receipt, Why};
use super::post::Post;
use crate::error::{Error, Result};
use crate::label::annotations::{Annotations, doing};
use crate::label::format::Format;
use crate::label::options::ReadOptions;
use crate::label::track::Span;

/// A larger file is not what somebody drops there while a stream runs.
const LARGEST: u64 = 16 << 20;
/// Files of one folder that are looked at, the first by name.
const MOST_FILES: usize = 4096;

/// Reads the label files that appear in a folder into a stream's labels.
///
/// A file is read when it is the same in two looks that follow each other, so
/// that one which is still being written is left alone. When it changes, it is
/// read again and what is new in it is taken. Files whose names begin with a dot
/// or whose extension is none of a format's are passed over, and so are folders.
pub struct FolderWatch {
    folder: PathBuf,
    read: ReadOptions,
    names: Vec<String>,
    post: Post,
    files: BTreeMap<PathBuf, Seen>,
    /// The fault of the folder itself that was told.
    fault: Option<String>,
    /// Whether it was told that there are too many files.
    crowded: bool,
}

/// A file that was seen before.
struct Seen {
    stamp: Stamp,
    /// Whether it was read as it is.
    done: bool,
    /// The spans that were taken from it or refused for good.
    spans: HashSet<u64>,
}

/// By what a change is noticed.
#[derive(Clone, Copy, PartialEq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
    inode: u64,
}

/// What a look at the folder brought.
#[derive(Debug)]
pub enum Looked {
    /// A file was read.
    Read {
        /// Which.
        path: PathBuf,
        /// What became of the spans that are new in it.
        receipt: Receipt,
        /// Labels that the model does not know; time under them is not scored.
        unknown: Vec<String>,
        /// What is wrong in it and was left out.
        faults: Vec<String>,
    },
    /// A file, or the folder, cannot be read. Told once, until it changes.
    Broken(Error),
}

impl FolderWatch {
    /// Over a folder, for the stream of this post; `names` are those under which
    /// a file may speak of it.
    pub fn new(folder: &Path, read: &ReadOptions, names: Vec<String>, post: Post) -> Self {
        FolderWatch {
            folder: folder.to_owned(),
            read: read.clone(),
            names,
            post,
            files: BTreeMap::new(),
            fault: None,
            crowded: false,
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The stream that the labels are for.
    pub fn stream(&self) -> &str {
        self.post.stream()
    }

    /// Looks once, and says what is new. Never waits, other than for the disk.
    pub fn look(&mut self) -> Vec<Looked> {
        let (files, crowded) = match self.list() {
            Ok(listed) => listed,
            Err(fault) => {
                if self.fault.as_ref() == Some(&fault) {
                    return Vec::new();
                }
                self.fault = Some(fault.clone());
                let error = Error::unavailable(self.doing(), fault);
                return vec![Looked::Broken(error.remedy("make the folder readable"))];
            }
        };
        self.fault = None;
        self.files.retain(|path, _| files.contains_key(path));
        let mut news = Vec::new();
        if crowded && !self.crowded {
            let fault = format!(
                "it holds more than {MOST_FILES} files; those that are last by name are passed over"
            );
            let error = Error::unavailable(self.doing(), fault);
            news.push(Looked::Broken(error.remedy("move away those that were read")));
        }
        self.crowded = crowded;
        for (path, stamp) in files {
            match self.files.get_mut(&path) {
                Some(seen) if seen.stamp == stamp => {
                    if !seen.done {
                        seen.done = true;
                        news.push(self.file(path));
                    }
                }
                Some(seen) => (seen.stamp, seen.done) = (stamp, false),
                None => {
                    let seen = Seen { stamp, done: false, spans: HashSet::new() };
                    self.files.insert(path, seen);
                }
            }
        }
        news
    }

    fn doing(&self) -> String {
        format!("watching labels \"{}\"", self.folder.display())
    }

    /// The files, and whether there are more than are looked at.
    fn list(&self) -> std::result::Result<(BTreeMap<PathBuf, Stamp>, bool), String> {
        let mut crowded = false;
        let entries = fs::read_dir(&self.folder).map_err(|error| error.to_string())?;
        let mut files = BTreeMap::new();
        for entry in entries {
            let path = entry.map_err(|error| error.to_string())?.path();
            if !may_be_labels(&path) {
                continue;
            }
            // What vanishes between two calls is as good as not there.
            let Ok(kind) = fs::metadata(&path) else { continue };
            if kind.is_file() {
                use std::os::unix::fs::MetadataExt;
                let modified = kind.modified().ok();
                files.insert(path, Stamp { bytes: kind.len(), modified, inode: kind.ino() });
                if files.len() > MOST_FILES {
                    files.pop_last();
                    crowded = true;
                }
            }
        }
        Ok((files, crowded))
    }

    fn file(&mut self, path: PathBuf) -> Looked {
        let (spans, mut unknown, faults) = match self.spans(&path) {
            Ok(spans) => spans,
            Err(error) => return Looked::Broken(error),
        };
        let Some(seen) = self.files.get_mut(&path) else {
            return Looked::Broken(Error::internal(doing(&path), "it was not seen before"));
        };
        let fresh: Vec<Span> =
            spans.into_iter().filter(|span| !seen.spans.contains(&hash(span))).collect();
        unknown.retain(|label| fresh.iter().any(|span| span.label == *label));
        let receipt = self.post.send_spans(&fresh, self.read.clock);
        // For what there was no room for, the file is looked at again.
        let full = receipt.refused.iter().any(|refused| refused.refusal.why == Why::Full);
        if full {
            seen.done = false;
        } else {
            seen.spans.extend(fresh.iter().map(hash));
        }
        Looked::Read { path, receipt, unknown, faults }
    }

    fn spans(&self, path: &Path) -> Result<(Vec<Span>, Vec<String>, Vec<String>)> {
        let size =
            fs::metadata(path).map_err(|error| Error::unavailable(doing(path), error))?.len();
        if size > LARGEST {
            let fault = format!("it is larger than {} MiB", LARGEST >> 20);
            return Err(Error::config(doing(path), fault).remedy(
                "a watched folder is for labels of a running stream; give it smaller files",
            ));
        }
        let annotations = Annotations::read(path, &self.read)?;
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let track = annotations.track(&names).map_err(|fault| Error::config(doing(path), fault))?;
        let faults = annotations.faults().iter().map(ToString::to_string).collect();
        Ok((track.spans().to_vec(), self.post.unknown(&track), faults))
    }
}

fn may_be_labels(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    let known = |e: &str| Format::ALL.iter().any(|format| format.extensions().contains(&e));
    !hidden && extension.is_some_and(|e| known(&e))
}

fn hash(span: &Span) -> u64 {
    let mut hasher = DefaultHasher::new();
    (span.start.to_bits(), span.end.to_bits(), &span.label).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::super::{Rules, live};
    use super::*;
    use crate::label::aliases::Aliases;
    use crate::label::options::LabelClock;

    fn watch(folder: &Path) -> FolderWatch {
        let classes = ["idle", "wave"].map(String::from).to_vec();
        let aliases = Aliases::new(&classes);
        let clock = LabelClock::Stream;
        let (post, _) =
            live(Rules { stream: "gate".into(), classes, aliases, multi_label: false, clock });
        let names = vec!["gate.mkv".into(), "gate".into()];
        FolderWatch::new(folder, &ReadOptions::default(), names, post)
    }

    /// Taken, known and refused of each file that was read; the fault of each
    /// that was not.
    fn look(watch: &mut FolderWatch) -> Vec<String> {
        let told = |looked: Looked| match looked {
            Looked::Read { path, receipt, unknown, faults } => format!(
                "{} {} {} {} {} {}",
                path.file_name().unwrap().display(),
                receipt.taken,
                receipt.known,
                receipt.refusals,
                unknown.join("+"),
                faults.len()
            ),
            Looked::Broken(error) => error.to_string(),
        };
        watch.look().into_iter().map(told).collect()
    }

    fn none() -> Vec<String> {
        Vec::new()
    }

    #[test]
    fn a_file_is_read_once_when_it_no_longer_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let mut watch = watch(folder.path());
        assert_eq!(look(&mut watch), none());
        fs::write(&path, "start,end,label\n0,1,idle\n").unwrap();
        assert_eq!(look(&mut watch), none());
        // Still being written.
        fs::write(&path, "start,end,label\n0,1,idle\n1,2,wave\n").unwrap();
        assert_eq!(look(&mut watch), none());
        assert_eq!(look(&mut watch), ["a.csv 2 0 0  0"]);
        assert_eq!(look(&mut watch), none());
        assert_eq!(watch.post.listing(9).spans.len(), 2);
    }

    #[test]
    fn of_a_file_that_grew_only_what_is_new_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let mut watch = watch(folder.path());
        fs::write(&path, "start,end,label\n0,1,idle\n0.5,2,wave\n").unwrap();
        assert_eq!((look(&mut watch), look(&mut watch)), (none(), vec!["a.csv 1 0 1  0".into()]));
        fs::write(&path, "start,end,label\n0,1,idle\n0.5,2,wave\n2,3,dance\n3,4,wave\n").unwrap();
        // What was refused is not told again.
        assert_eq!(
            (look(&mut watch), look(&mut watch)),
            (none(), vec!["a.csv 2 0 0 dance 0".into()])
        );
        // Another file says the same again.
        let other = folder.path().join("b.csv");
        fs::write(&other, "start,end,label\n3,4,wave\n").unwrap();
        assert_eq!((look(&mut watch), look(&mut watch)), (none(), vec!["b.csv 0 1 0  0".into()]));
        assert_eq!(watch.post.listing(9).taken, 3);
    }

    #[test]
    fn a_broken_file_is_told_once_until_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let mut watch = watch(folder.path());
        fs::write(&path, "start,end,label\n0,1,idle\n1,two,wave\n").unwrap();
        assert_eq!(look(&mut watch), none());
        let fault = look(&mut watch);
        assert!(fault.len() == 1 && fault[0].contains("line 3, column 3"), "{fault:?}");
        assert_eq!(look(&mut watch), none());
        assert!(path.is_file());
        fs::write(&path, "start,end,label\n0,1,idle\n1,2.5,wave\n").unwrap();
        assert_eq!((look(&mut watch), look(&mut watch)), (none(), vec!["a.csv 2 0 0  0".into()]));
    }

    #[test]
    fn what_is_no_label_file_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".hidden.csv", "notes.md", "a.csv.part", "data"] {
            fs::write(folder.path().join(name), "nonsense").unwrap();
        }
        fs::create_dir(folder.path().join("older.csv")).unwrap();
        let mut watch = watch(folder.path());
        assert_eq!((look(&mut watch), look(&mut watch)), (none(), none()));
        File::create(folder.path().join("big.csv")).unwrap().set_len(LARGEST + 1).unwrap();
        assert_eq!(look(&mut watch), none());
        assert!(look(&mut watch)[0].contains("larger than 16 MiB"));
    }

    #[test]
    fn a_folder_that_is_not_there_is_told_once_and_found_when_it_comes() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("in");
        let mut watch = watch(&folder);
        assert!(look(&mut watch)[0].contains("watching labels"));
        assert_eq!(look(&mut watch), none());
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("a.json"), r#"{"gate": [["wave", 1, 2]], "yard": []}"#).unwrap();
        assert_eq!((look(&mut watch), look(&mut watch)), (none(), vec!["a.json 1 0 0  0".into()]));
        fs::write(folder.join("b.json"), r#"{"a": [["wave", 5, 6]], "b": []}"#).unwrap();
        assert_eq!(look(&mut watch), none());
        assert!(look(&mut watch)[0].contains("none of its 2 videos is this stream's"));
    }

    #[test]
    fn too_many_files_are_told_once() {
        let folder = tempfile::tempdir().unwrap();
        for i in 0..=MOST_FILES {
            File::create(folder.path().join(format!("{i:05}.csv"))).unwrap();
        }
        let mut watch = watch(folder.path());
        let told = look(&mut watch);
        assert!(told.len() == 1 && told[0].contains("more than 4096 files"), "{told:?}");
        assert_eq!(watch.files.len(), MOST_FILES);
        // Empty files, each of which is told of; the crowd is not again.
        assert_eq!(look(&mut watch).len(), MOST_FILES);
        fs::remove_file(folder.path().join("00000.csv")).unwrap();
        assert_eq!(look(&mut watch), none());
        assert_eq!(look(&mut watch).len(), 1);
    }

    #[test]
    fn labels_that_find_no_room_are_offered_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = watch(folder.path());
        let rows: String = (0..17_000).map(|i| format!("{i},{},wave\n", i + 1)).collect();
        fs::write(folder.path().join("a.csv"), format!("start,end,label\n{rows}")).unwrap();
        assert_eq!(look(&mut watch), none());
        assert_eq!(look(&mut watch), ["a.csv 16384 0 616  0"]);
        assert_eq!(look(&mut watch), ["a.csv 0 16384 616  0"]);
    }
}
