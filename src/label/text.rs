//! A file as text: bounded, UTF-8, with lines and columns.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::fault::Broken;

/// Larger files are refused: a hundred times the largest that we know of would
/// be a mistake, and one read whole must fit a board's memory.
pub(super) const LARGEST: u64 = 256 << 20;

/// The bytes of a file of at most [`LARGEST`].
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let kind = file.metadata().map_err(|error| error.to_string())?;
    if kind.is_dir() {
        return Err("it is a folder; expected a file".into());
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("it is larger than {} MiB", LARGEST >> 20));
    }
    Ok(bytes)
}

/// Bytes as text, without a byte order mark.
pub(super) fn decode(bytes: &[u8]) -> Result<&str, Broken> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let fault = if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            "it is UTF-16 text; expected UTF-8"
        } else {
            "these bytes are not UTF-8 text"
        };
        Broken::at(error.valid_up_to(), fault).remedy("save it as UTF-8")
    })
}

/// Where the lines of a text begin.
pub(super) struct Lines<'t> {
    bytes: &'t [u8],
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    /// Of any bytes, text or not.
    pub fn new(bytes: &'t [u8]) -> Self {
        let breaks = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n');
        let starts = std::iter::once(0).chain(breaks.map(|(i, _)| i + 1)).collect();
        Lines { bytes, starts }
    }

    /// Line and column of a byte offset, both from 1; columns in characters.
    pub fn place(&self, at: usize) -> (usize, usize) {
        let at = at.min(self.bytes.len());
        let line = self.starts.partition_point(|start| *start <= at).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let before = self.bytes.get(start..at).unwrap_or_default();
        (line, String::from_utf8_lossy(before).chars().count() + 1)
    }

    /// The byte offset of a line and a column in bytes, both from 1.
    pub fn offset(&self, line: usize, column: usize) -> usize {
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        (start + column.saturating_sub(1)).min(self.bytes.len())
    }
}

/// The lines of a text with the offset at which each begins, without their
/// line breaks.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split_inclusive('\n').map(move |line| {
        let start = at;
        at += line.len();
        (start, line.trim_end_matches(['\n', '\r']))
    })
}

/// `part`, trimmed, and the offset of what is left, where `part` begins at `at`.
pub(super) fn trimmed(at: usize, part: &str) -> (usize, &str) {
    (at + part.len() - part.trim_start().len(), part.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters() {
        let lines = Lines::new("ab\nélan x\n".as_bytes());
        assert_eq!(lines.place(0), (1, 1));
        assert_eq!(lines.place(2), (1, 3));
        assert_eq!(lines.place(3), (2, 1));
        assert_eq!(lines.place(5), (2, 2));
        assert_eq!(lines.place(999), (3, 1));
        assert_eq!(lines.offset(2, 3), 5);
    }

    #[test]
    fn text_loses_its_mark_and_must_be_utf8() {
        assert_eq!(decode(b"\xef\xbb\xbfab").unwrap(), "ab");
        assert_eq!(decode(b"a\xffb").unwrap_err().at, Some(1));
        assert!(decode(b"\xff\xfea\0").unwrap_err().fault.contains("UTF-16"));
    }

    #[test]
    fn lines_keep_their_offsets() {
        assert_eq!(
            lines("a\r\nbc\n\nd").collect::<Vec<_>>(),
            [(0, "a"), (3, "bc"), (6, ""), (7, "d")]
        );
    }
}
