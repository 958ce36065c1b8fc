//! Which entry of an annotation file speaks of which video.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::naming::{folded, path, stem};
use super::truth::Entry;

/// A video that cannot be told from another by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ambiguous {
    /// The video.
    pub video: String,
    /// The entries that its name fits equally well.
    pub entries: Vec<String>,
    /// Other videos that fit the same entry equally well.
    pub rivals: Vec<String>,
}

impl fmt::Display for Ambiguous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |names: &[String]| {
            let some: Vec<_> = names.iter().take(5).map(|n| format!("\"{n}\"")).collect();
            let more = if names.len() > some.len() { ", …" } else { "" };
            format!("{}{more}", some.join(", "))
        };
        write!(f, "\"{}\" fits the labels of {}", self.video, quoted(&self.entries))?;
        if !self.rivals.is_empty() {
            write!(f, ", as {} does", quoted(&self.rivals))?;
        }
        Ok(())
    }
}

/// What was found for a video.
#[derive(Clone, Debug, PartialEq)]
pub enum Match<'a> {
    /// Its labels.
    Found(&'a Entry),
    /// Nothing speaks of it.
    None,
    /// More than one entry may be meant.
    Ambiguous(Ambiguous),
}

/// How well a name fits; the first is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// The same path.
    Same,
    /// One path ends in the other.
    Suffix,
    /// The same but for the extension.
    SuffixStem,
    /// The same but for case and what stands between the words.
    SuffixFolded,
    /// The same file name in another folder.
    Name,
    /// The same but for the extension.
    NameStem,
    /// The same but for case and what stands between the words.
    NameFolded,
    /// Another name that the format gives to files, such as `v_<id>`.
    Alternate,
}

/// Longer paths are compared by their last parts.
const DEEPEST: usize = 6;

/// Entries by the ends of their names: hashes, in order, each with its entry.
/// Half a million entries have two million names, which as text would take
/// hundreds of megabytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// Of each end of an entry's path, folded and without extension.
    ends: Vec<(u64, usize)>,
    /// Of the other names of an entry's file, folded and without extension.
    alternates: Vec<(u64, usize)>,
}

/// The same for the same text, in this process.
fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// The entries of one hash.
fn look_up<'a>(hashes: &'a [(u64, usize)], text: &str) -> impl Iterator<Item = usize> + 'a {
    let wanted = hash(text);
    let from = hashes.partition_point(|(hash, _)| *hash < wanted);
    hashes[from..].iter().take_while(move |(hash, _)| *hash == wanted).map(|(_, entry)| *entry)
}

impl Index {
    pub fn new(entries: &[Entry], alternates: &[Vec<String>]) -> Self {
        let all = entries.iter().enumerate();
        let mut ends: Vec<(u64, usize)> = all
            .flat_map(|(i, entry)| ends(&entry.video).into_iter().map(move |end| (hash(&end), i)))
            .collect();
        let others = alternates.iter().enumerate();
        let mut alternates: Vec<(u64, usize)> = others
            .flat_map(|(i, names)| names.iter().map(move |name| (hash(&folded(stem(name))), i)))
            .collect();
        for hashes in [&mut ends, &mut alternates] {
            hashes.sort_unstable();
            hashes.dedup();
        }
        Index { ends, alternates }
    }

    /// The entry that fits best, and how well.
    fn best(&self, entries: &[Entry], video: &str) -> Result<Option<(usize, Fit)>, Ambiguous> {
        let video = path(video);
        let mut last = None;
        for end in ends(&video) {
            let alike = look_up(&self.ends, &end);
            let fits = alike
                .filter(|&i| ends(&entries[i].video).contains(&end))
                .map(|i| (fit(&video, &entries[i].video), i));
            let found = pick(&video, entries, fits)?;
            // A longer end that fits beats a shorter one.
            if found.is_some_and(|(_, fit)| fit <= Fit::SuffixFolded) {
                return Ok(found);
            }
            last = found;
        }
        if last.is_some() {
            return Ok(last);
        }
        let name = folded(stem(file_name(&video)));
        let fits = look_up(&self.alternates, &name);
        pick(&video, entries, fits.map(|i| ((Fit::Alternate, 0), i)))
    }

    pub fn find<'a>(
        &self,
        entries: &'a [Entry],
        video: &str,
    ) -> Result<Option<&'a Entry>, Ambiguous> {
        Ok(self.best(entries, video)?.and_then(|(i, _)| entries.get(i)))
    }

    pub fn match_all<'a, S: AsRef<str>>(
        &self,
        entries: &'a [Entry],
        videos: &[S],
    ) -> Vec<Match<'a>> {
        let found: Vec<_> = videos.iter().map(|video| self.best(entries, video.as_ref())).collect();
        // Who wants which entry, and how well they fit.
        let mut claims: BTreeMap<usize, Vec<(Fit, usize)>> = BTreeMap::new();
        for (video, found) in found.iter().enumerate() {
            if let Ok(Some((entry, fit))) = found {
                claims.entry(*entry).or_default().push((*fit, video));
            }
        }
        let settle = |(video, found): (usize, Result<Option<(usize, Fit)>, Ambiguous>)| {
            let (entry, fit) = match found {
                Ok(Some(found)) => found,
                Ok(None) => return Match::None,
                Err(ambiguous) => return Match::Ambiguous(ambiguous),
            };
            let claims = claims.get(&entry).map(Vec::as_slice).unwrap_or_default();
            let best = claims.iter().map(|(fit, _)| *fit).min();
            if best.is_some_and(|best| best < fit) {
                return Match::None;
            }
            let rivals = claims.iter().filter(|(other, v)| *other == fit && *v != video);
            let rivals: Vec<String> = rivals.map(|(_, v)| videos[*v].as_ref().to_owned()).collect();
            if rivals.is_empty() {
                return Match::Found(&entries[entry]);
            }
            Match::Ambiguous(Ambiguous {
                video: videos[video].as_ref().to_owned(),
                entries: vec![entries[entry].video.clone()],
                rivals,
            })
        };
        found.into_iter().enumerate().map(settle).collect()
    }
}

/// The best of some fits. Entries that fit equally well and say the same are as
/// good as one.
fn pick(
    video: &str,
    entries: &[Entry],
    fits: impl Iterator<Item = ((Fit, usize), usize)>,
) -> Result<Option<(usize, Fit)>, Ambiguous> {
    let mut fits: Vec<_> = fits.map(|((fit, parts), i)| (fit, Reverse(parts), i)).collect();
    fits.sort_unstable();
    let Some(&(fit, parts, first)) = fits.first() else { return Ok(None) };
    let equal = fits.iter().take_while(|(f, p, _)| *f == fit && *p == parts);
    let equal: Vec<usize> = equal.map(|(_, _, i)| *i).collect();
    if equal.iter().all(|&i| entries[i].truth == entries[first].truth) {
        return Ok(Some((first, fit)));
    }
    Err(Ambiguous {
        video: video.to_owned(),
        entries: equal.iter().map(|&i| entries[i].video.clone()).collect(),
        rivals: Vec::new(),
    })
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The ends of a path, folded and without extension, the longest first.
fn ends(path: &str) -> Vec<String> {
    let path = stem(path);
    let starts = path.match_indices('/').map(|(i, _)| i + 1);
    let mut starts: Vec<usize> = std::iter::once(0).chain(starts).collect();
    if starts.len() > DEEPEST {
        starts.drain(..starts.len() - DEEPEST);
    }
    let mut ends: Vec<String> = starts.into_iter().map(|start| folded(&path[start..])).collect();
    ends.dedup();
    ends.retain(|end| !end.is_empty());
    // A name of nothing but what is folded away is compared as it is.
    if ends.is_empty() {
        ends.push(path.to_owned());
    }
    ends
}

/// How well two paths with a common end fit, and how many parts they share.
fn fit(a: &str, b: &str) -> (Fit, usize) {
    if a == b {
        return (Fit::Same, usize::MAX);
    }
    let suffix = |a: &str, b: &str| {
        let (long, short) = if a.len() >= b.len() { (a, b) } else { (b, a) };
        let head = long.strip_suffix(short)?;
        (head.is_empty() || head.ends_with('/')).then(|| short.split('/').count())
    };
    if let Some(parts) = suffix(a, b) {
        return (Fit::Suffix, parts);
    }
    let (a_stem, b_stem) = (stem(a), stem(b));
    if let Some(parts) = suffix(a_stem, b_stem) {
        return (Fit::SuffixStem, parts);
    }
    let (a_ends, b_ends) = (ends(a), ends(b));
    let whole = |one: &[String], other: &[String]| {
        one.first()
            .is_some_and(|whole| other.contains(whole))
            .then(|| one.first().map_or(0, |whole| whole.split(' ').count()))
    };
    if let Some(parts) = whole(&a_ends, &b_ends).or_else(|| whole(&b_ends, &a_ends)) {
        return (Fit::SuffixFolded, parts);
    }
    let (a_name, b_name) = (file_name(a), file_name(b));
    let fit = if a_name == b_name {
        Fit::Name
    } else if stem(a_name) == stem(b_name) {
        Fit::NameStem
    } else {
        Fit::NameFolded
    };
    let shared = a_stem.rsplit('/').zip(b_stem.rsplit('/')).take_while(|(x, y)| x == y).count();
    (fit, shared)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::Truth;

    struct Set(Vec<Entry>, Index);

    fn set(names: &[&str], alternates: &[(&str, &str)]) -> Set {
        let entry = |name: &&str| Entry {
            video: (*name).to_owned(),
            truth: Truth::Whole(vec![format!("label of {name}")]),
            duration: None,
        };
        let entries: Vec<Entry> = names.iter().map(entry).collect();
        let others = |name: &&str| {
            let of = alternates.iter().filter(|(n, _)| n == name);
            of.map(|(_, other)| (*other).to_owned()).collect()
        };
        let alternates: Vec<Vec<String>> = names.iter().map(others).collect();
        let index = Index::new(&entries, &alternates);
        Set(entries, index)
    }

    impl Set {
        fn find(&self, video: &str) -> Option<&str> {
            self.1.find(&self.0, video).unwrap().map(|e| e.video.as_str())
        }
    }

    #[test]
    fn the_nearest_name_is_found() {
        let set = set(&["run/a.mp4", "walk/a.mp4", "B.avi", "P01_01", "S 1/ADL/01.mp4"], &[]);
        for (video, entry) in [
            ("run/a.mp4", Some("run/a.mp4")),
            ("data/run/a.mp4", Some("run/a.mp4")),
            ("run/a.mkv", Some("run/a.mp4")),
            ("RUN/A.MP4", Some("run/a.mp4")),
            ("x/B.avi", Some("B.avi")),
            ("b.AVI", Some("B.avi")),
            ("P01/P01_01.MP4", Some("P01_01")),
            ("all/S_1_ADL_01.mp4", Some("S 1/ADL/01.mp4")),
            ("ADL_01.mp4", Some("S 1/ADL/01.mp4")),
            ("other/01.mp4", Some("S 1/ADL/01.mp4")),
            ("c.mp4", None),
            ("S_1_ADL_02.mp4", None),
        ] {
            assert_eq!(set.find(video), entry, "{video}");
        }
    }

    #[test]
    fn a_number_alone_does_not_match_the_end_of_a_name() {
        assert_eq!(set(&["10.mp4"], &[]).find("Subject_1_ADL_10.mp4"), None);
        assert_eq!(set(&["-", "_"], &[]).find("_"), Some("_"));
    }

    #[test]
    fn equal_names_are_ambiguous_unless_they_say_the_same() {
        let Set(mut entries, index) = set(&["run/a.mp4", "walk/a.mp4"], &[]);
        let error = index.find(&entries, "a.mp4").unwrap_err();
        assert_eq!(error.entries, ["run/a.mp4", "walk/a.mp4"]);
        assert!(error.to_string().contains("\"run/a.mp4\", \"walk/a.mp4\""), "{error}");
        entries[1].truth = entries[0].truth.clone();
        assert!(index.find(&entries, "a.mp4").unwrap().is_some());
    }

    #[test]
    fn alternates_come_last() {
        let set = set(
            &["abc_000010_000020", "v_x"],
            &[("abc_000010_000020", "abc"), ("abc_000010_000020", "v_x")],
        );
        assert_eq!(set.find("abc.mp4"), Some("abc_000010_000020"));
        assert_eq!(set.find("v_x.mp4"), Some("v_x"));
    }

    #[test]
    fn two_videos_do_not_share_labels_by_a_weak_match() {
        let Set(entries, index) = set(&["run/01.mp4", "02.mp4"], &[]);
        let videos = ["run/01.mp4", "walk/01.mp4", "a/02.mp4", "b/02.mp4"];
        let found = index.match_all(&entries, &videos);
        assert!(matches!(&found[0], Match::Found(entry) if entry.video == "run/01.mp4"));
        assert_eq!(found[1], Match::None);
        let Match::Ambiguous(ambiguous) = &found[2] else { panic!("{:?}", found[2]) };
        assert_eq!((&ambiguous.entries[0][..], &ambiguous.rivals[0][..]), ("02.mp4", "b/02.mp4"));
        assert!(ambiguous.to_string().contains("as \"b/02.mp4\" does"), "{ambiguous}");
    }
}
