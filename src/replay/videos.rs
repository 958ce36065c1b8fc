//! Which recordings: files and folders as they were named, to a sorted list
//! with one id each.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A recording to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Video {
    /// What outputs call it: its path below the folder that was named, with `/`
    /// between the parts, or its file name where it was named itself.
    pub id: String,
    /// Where it is.
    pub path: PathBuf,
}

/// File names that end so, in any case, are taken for recordings when a folder
/// is searched. A file that is named itself is taken whatever its name.
const ENDINGS: [&str; 23] = [
    "3gp", "asf", "avi", "divx", "flv", "h264", "h265", "hevc", "m2ts", "m4v", "mjpeg", "mkv",
    "mov", "mp4", "mpeg", "mpg", "mts", "mxf", "ogv", "ts", "vob", "webm", "wmv",
];

/// Folders within folders are searched this deep: deeper is a loop of links.
const DEEPEST: usize = 32;

/// Lists the recordings that `paths` name, sorted by id. Hidden files and
/// folders inside a named folder are left out.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config): a path does not exist or
/// cannot be read, none of them holds a recording, or two recordings would have
/// the same id.
pub fn list(paths: &[PathBuf]) -> Result<Vec<Video>> {
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    for path in paths {
        let mut below = Vec::new();
        let doing = || format!("looking for videos in \"{}\"", path.display());
        let metadata = fs::metadata(path).map_err(|error| Error::config(doing(), error))?;
        if metadata.is_dir() {
            search(path, "", 0, &mut below).map_err(|error| Error::config(doing(), error))?;
        } else {
            let name = path.file_name().unwrap_or(path.as_os_str());
            below.push((name.to_string_lossy().into_owned(), path.clone()));
        }
        for (id, path) in below {
            match found.get(&id) {
                Some(other) if *other != path => {
                    return Err(Error::config(
                        doing(),
                        format!(
                            "\"{}\" and \"{}\" would both be called \"{id}\"",
                            other.display(),
                            path.display()
                        ),
                    )
                    .remedy("name the one folder that holds both"));
                }
                _ => found.insert(id, path),
            };
        }
    }
    if found.is_empty() {
        let named: Vec<_> = paths.iter().map(|p| format!("\"{}\"", p.display())).collect();
        return Err(Error::config(
            "looking for videos",
            format!("there is none in {}", named.join(", ")),
        )
        .remedy(format!(
            "name video files, or a folder of files that end in {}",
            ENDINGS.join(", ")
        )));
    }
    Ok(found.into_iter().map(|(id, path)| Video { id, path }).collect())
}

fn search(
    folder: &Path,
    prefix: &str,
    depth: usize,
    found: &mut Vec<(String, PathBuf)>,
) -> Result<(), String> {
    let fault = |error: std::io::Error| format!("\"{}\": {error}", folder.display());
    if depth > DEEPEST {
        return Err(format!(
            "\"{}\": more than {DEEPEST} folders deep; is there a loop of links?",
            folder.display()
        ));
    }
    for entry in fs::read_dir(folder).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else {
            continue;
        };
        if name.starts_with('.') {
            continue;
        }
        let id = format!("{prefix}{name}");
        // Follows links: data sets are often folders of them.
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {
                search(&path, &format!("{id}/"), depth + 1, found)?;
            }
            // A link that leads nowhere is listed: it fails with its reason.
            Ok(_) | Err(_) if is_video(&path) => found.push((id, path)),
            _ => {}
        }
    }
    Ok(())
}

fn is_video(path: &Path) -> bool {
    path.extension()
        .and_then(|ending| ending.to_str())
        .is_some_and(|ending| ENDINGS.iter().any(|known| known.eq_ignore_ascii_case(ending)))
}

/// Shard `index` (from 1) of `of`: every `of`th video, so that shards are of
/// like size whatever the order.
pub fn shard<V: Clone>(videos: &[V], index: u32, of: u32) -> Vec<V> {
    let first = index.saturating_sub(1) as usize;
    videos.iter().skip(first).step_by(of.max(1) as usize).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    fn ids(videos: &[Video]) -> Vec<&str> {
        videos.iter().map(|video| video.id.as_str()).collect()
    }

    #[test]
    fn folders_are_searched_and_files_are_taken_as_named() {
        let folder = tree(&["b/2.MP4", "a.mkv", "b/1.avi", "labels.csv", ".hidden/x.mp4", "odd"]);
        let videos = list(&[folder.path().to_owned(), folder.path().join("odd")]).unwrap();
        assert_eq!(ids(&videos), ["a.mkv", "b/1.avi", "b/2.MP4", "odd"]);
    }

    #[test]
    fn two_videos_of_one_name_are_refused() {
        let folder = tree(&["a/x.mp4", "b/x.mp4"]);
        let paths = [folder.path().join("a"), folder.path().join("b")];
        let error = list(&paths).unwrap_err().to_string();
        assert!(error.contains("both be called \"x.mp4\""), "{error}");
        assert_eq!(list(&[paths[0].clone(), paths[0].clone()]).unwrap().len(), 1);
    }

    #[test]
    fn nothing_at_all_is_refused() {
        let folder = tree(&["readme.txt"]);
        let error = list(&[folder.path().to_owned()]).unwrap_err();
        assert!(error.to_string().contains("mkv") && error.exit_code() == 2, "{error}");
        assert!(list(&[folder.path().join("gone.mp4")]).is_err());
    }

    #[test]
    fn shards_share_everything_out_once() {
        let folder = tree(&["0.mp4", "1.mp4", "2.mp4", "3.mp4", "4.mp4", "5.mp4", "6.mp4"]);
        let all = list(&[folder.path().to_owned()]).unwrap();
        let shards: Vec<_> = (1..=3).map(|i| shard(&all, i, 3)).collect();
        assert_eq!(shards.iter().map(Vec::len).collect::<Vec<_>>(), [3, 2, 2]);
        let mut again: Vec<_> = shards.concat();
        again.sort_by(|a, b| a.id.cmp(&b.id));
        assert_eq!(again, all);
    }
}
