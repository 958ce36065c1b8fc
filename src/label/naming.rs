//! How videos are named.

/// Extensions of video files, in lower case.
const VIDEO_EXTENSIONS: [&str; 22] = [
    "mp4", "mkv", "avi", "mov", "webm", "m4v", "mpg", "mpeg", "ts", "mts", "m2ts", "3gp", "flv",
    "wmv", "ogv", "ogg", "mjpeg", "mjpg", "y4m", "mxf", "vob", "gif",
];

/// Whether a path ends as a video file's does.
pub(super) fn has_video_extension(path: &str) -> bool {
    stem(path).len() < path.len()
}

/// A path without its extension, if that is a video's: `P01_01.v2` has none.
pub(super) fn stem(path: &str) -> &str {
    match path.rsplit_once('.') {
        Some((before, extension))
            if !before.is_empty()
                && !before.ends_with('/')
                && VIDEO_EXTENSIONS.iter().any(|e| e.eq_ignore_ascii_case(extension)) =>
        {
            before
        }
        _ => path,
    }
}

/// A video's path as it is compared: `/` between folders, no `./` before it.
pub(super) fn path(video: &str) -> String {
    let video = video.trim().replace('\\', "/");
    let mut rest = video.as_str();
    while let Some(after) = rest.strip_prefix("./") {
        rest = after.trim_start_matches('/');
    }
    rest.to_owned()
}

/// A path in lower case, with one space for each run of `/`, `_`, `-` and spaces.
pub(super) fn folded(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for c in path.chars() {
        if matches!(c, '/' | '_' | '-') || c.is_whitespace() {
            if !out.ends_with(' ') && !out.is_empty() {
                out.push(' ');
            }
        } else {
            out.extend(c.to_lowercase());
        }
    }
    out.truncate(out.trim_end().len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_videos_extension_is_taken_off() {
        assert_eq!(stem("a/b.MP4"), "a/b");
        assert_eq!(stem("a/b.v2"), "a/b.v2");
        assert_eq!(stem(".mp4"), ".mp4");
        assert!(has_video_extension("x.avi") && !has_video_extension("x.txt"));
    }

    #[test]
    fn paths_are_folded() {
        assert_eq!(path(" .//run\\a.mp4"), "run/a.mp4");
        assert_eq!(folded("Subject 1/ADL_-01"), "subject 1 adl 01");
        assert_eq!(folded("_a_"), "a");
    }
}
