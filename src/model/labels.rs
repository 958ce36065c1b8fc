//! `labels.txt`: one class a line, in index order.

use std::collections::HashMap;

use crate::error::{Error, Result};

/// Reads the labels; `doing` opens every error's text. Line ends of any system,
/// a byte-order mark, space around a label and empty lines at the end are
/// forgiven: they carry no meaning, and editors add them.
pub(super) fn parse(text: &str, doing: &str) -> Result<Vec<String>> {
    let text = text.trim_start_matches('\u{feff}').trim_end();
    if text.is_empty() {
        return Err(Error::config(doing, "it is empty; expected one class a line, in index order"));
    }
    let mut lines: HashMap<&str, usize> = HashMap::new();
    let mut labels = Vec::new();
    for (line, label) in (1..).zip(text.lines().map(str::trim)) {
        if label.is_empty() {
            return Err(Error::config(doing, format!("line {line} is empty"))
                .remedy("give every class a name: the line decides its index"));
        }
        if let Some(earlier) = lines.insert(label, line) {
            return Err(Error::config(
                doing,
                format!("lines {earlier} and {line} are both \"{label}\""),
            )
            .remedy("give every class its own name"));
        }
        labels.push(label.to_owned());
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn editors_habits_are_forgiven() {
        assert_eq!(
            parse("\u{feff}idle\r\nleft to right \r\n\r\n", "").unwrap(),
            ["idle", "left to right"]
        );
    }

    #[test]
    fn an_empty_or_repeated_label_is_named_by_its_line() {
        let text = parse("a\n\nb\n", "reading labels").unwrap_err().to_string();
        assert!(text.contains("line 2 is empty"), "{text}");
        let text = parse("a\nb\na\n", "reading labels").unwrap_err().to_string();
        assert!(text.contains("lines 1 and 3") && text.contains("\"a\""), "{text}");
        let text = parse(" \n", "reading labels").unwrap_err().to_string();
        assert!(text.contains("empty"), "{text}");
    }
}
