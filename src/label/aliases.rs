//! Label names to a model's classes.

use std::collections::BTreeMap;
use std::path::Path;

use super::fault::Broken;
use super::table::Table;
use super::text::{self, Lines};
use crate::error::{Error, Result};
use crate::nearest::nearest;

/// How like a label a class must be to be worth proposing (Jaro-Winkler, to 1).
const LIKE: f64 = 0.8;

/// Translates the labels of annotations to the classes of a model.
///
/// A label is, in this order: what an explicit map says of it; a class of the
/// same name; the class of the same name but for case, spaces, `_` and `-`
/// (`ApplyEyeMakeup` is `apply eye makeup`), where that is only one; and if it is
/// a plain number, the class with that index, from 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Aliases {
    classes: Vec<String>,
    exact: BTreeMap<String, usize>,
    /// None where two classes fold to the same.
    folded: BTreeMap<String, Option<usize>>,
    /// What the map says, by the name as it is written; none where a label is
    /// left out on purpose.
    map: BTreeMap<String, Option<usize>>,
}

impl Aliases {
    /// For a model with these classes, in index order.
    pub fn new(classes: &[String]) -> Self {
        let mut aliases = Aliases { classes: classes.to_vec(), ..Aliases::default() };
        for (i, class) in classes.iter().enumerate() {
            aliases.exact.entry(class.clone()).or_insert(i);
            aliases.folded.entry(fold(class)).and_modify(|same| *same = None).or_insert(Some(i));
        }
        aliases
    }

    /// The same with a map: a CSV file with the header `from,to`, from a label's
    /// name to a class's. An empty `to` leaves the label out on purpose.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config), with file, line and column:
    /// the file cannot be read, its header differs, `to` is no class, or a label
    /// is mapped twice.
    pub fn with_map(classes: &[String], map: &Path) -> Result<Self> {
        let doing = format!("reading the label map \"{}\"", map.display());
        let bytes = text::bytes(map).map_err(|fault| {
            Error::config(&doing, fault).remedy("name a CSV file with the header from,to")
        })?;
        let mut aliases = Aliases::new(classes);
        text::decode(&bytes).and_then(|text| aliases.read_map(text)).map_err(|broken| {
            let (line, column) = Lines::new(&bytes).place(broken.at.unwrap_or(0));
            Error::config(format!("{doing}, line {line}, column {column}"), broken.fault)
        })?;
        Ok(aliases)
    }

    fn read_map(&mut self, text: &str) -> Result<(), Broken> {
        let mut table = Table::new(text, b',')?;
        let header = table.next_row()?;
        let sound = header.as_ref().is_some_and(|row| row.fields().eq(["from", "to"]));
        if !sound {
            return Err(Broken::at(0, "expected the header from,to"));
        }
        while let Some(row) = table.next_row()? {
            if row.len() != 2 {
                return Err(row.broken(2, format!("expected 2 fields, found {}", row.len())));
            }
            let (from, to) = (row.get(0), row.get(1));
            let target = if to.is_empty() {
                None
            } else {
                Some(self.by_name(to).ok_or_else(|| {
                    let hint = self.nearest(to).map(|n| format!("; write \"{n}\"?"));
                    row.broken(
                        1,
                        format!(
                            "\"{to}\" is none of the model's classes{}",
                            hint.unwrap_or_default()
                        ),
                    )
                })?)
            };
            if self.map.insert(from.to_owned(), target).is_some_and(|before| before != target) {
                return Err(row.broken(0, format!("\"{from}\" is mapped twice")));
            }
        }
        Ok(())
    }

    fn by_name(&self, name: &str) -> Option<usize> {
        self.exact.get(name).copied().or_else(|| self.folded.get(&fold(name)).copied().flatten())
    }

    /// The index of the class that a label means.
    pub fn index(&self, label: &str) -> Option<usize> {
        if let Some(target) = self.map.get(label) {
            return *target;
        }
        self.by_name(label).or_else(|| {
            let number = !label.is_empty() && label.bytes().all(|b| b.is_ascii_digit());
            let index = if number { label.parse().ok() } else { None };
            index.filter(|i| *i < self.classes.len())
        })
    }

    /// The name of the class that a label means.
    pub fn class(&self, label: &str) -> Option<&str> {
        self.classes.get(self.index(label)?).map(String::as_str)
    }

    /// Whether the map leaves a label out on purpose.
    pub fn ignored(&self, label: &str) -> bool {
        self.map.get(label).is_some_and(Option::is_none)
    }

    /// The class whose name is most like an unknown label's.
    pub fn nearest(&self, label: &str) -> Option<&str> {
        let label = spaced(label);
        let names: Vec<String> = self.classes.iter().map(|class| spaced(class)).collect();
        let found = nearest(&label, names.iter().map(String::as_str))?;
        // Among hundreds of classes one is always somewhat like any label.
        let like = strsim::jaro_winkler(&label, found) > LIKE;
        let index = names.iter().position(|class| class == found).filter(|_| like)?;
        self.classes.get(index).map(String::as_str)
    }
}

/// A name without case, spaces, `_` and `-`.
fn fold(name: &str) -> String {
    let kept = name.chars().filter(|c| !c.is_whitespace() && !matches!(c, '_' | '-'));
    kept.flat_map(char::to_lowercase).collect()
}

/// A name in lower case with spaces between its words, to compare by likeness.
fn spaced(name: &str) -> String {
    name.to_lowercase().replace(['_', '-'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes() -> Vec<String> {
        ["idle", "Apply Eye Makeup", "left-to-right", "a_b", "a b", "7"].map(String::from).to_vec()
    }

    #[test]
    fn names_are_compared_exactly_then_folded_then_as_an_index() {
        let aliases = Aliases::new(&classes());
        for (label, index) in [
            ("idle", Some(0)),
            ("ApplyEyeMakeup", Some(1)),
            ("apply_eye_makeup", Some(1)),
            ("Left to right", Some(2)),
            ("a_b", Some(3)),
            ("A-B", None),
            ("7", Some(5)),
            ("2", Some(2)),
            ("6", None),
            ("-1", None),
            ("99999999999999999999999", None),
            ("", None),
        ] {
            assert_eq!(aliases.index(label), index, "{label}");
        }
        assert_eq!(aliases.class("IDLE"), Some("idle"));
        assert_eq!(aliases.nearest("aply eye makeup"), Some("Apply Eye Makeup"));
        assert_eq!(aliases.nearest("xyz"), None);
    }

    #[test]
    fn a_map_wins_and_can_leave_labels_out() {
        let mut aliases = Aliases::new(&classes());
        aliases.read_map("from,to\nstanding,IDLE\nidle,a_b\nAmbiguous,\n").unwrap();
        assert_eq!(aliases.index("standing"), Some(0));
        assert_eq!(aliases.index("idle"), Some(3));
        assert_eq!(aliases.index("Ambiguous"), None);
        assert!(aliases.ignored("Ambiguous") && !aliases.ignored("other"));
    }

    #[test]
    fn a_broken_map_is_refused_where_it_breaks() {
        for (text, at, why) in [
            ("a,b\n", 0, "from,to"),
            ("from,to\nx\n", 9, "found 1"),
            ("from,to\nx,idel\n", 10, "write \"idle\"?"),
            ("from,to\nx,idle\nx,a_b\n", 15, "twice"),
        ] {
            let broken = Aliases::new(&classes()).read_map(text).unwrap_err();
            assert_eq!(broken.at, Some(at), "{text}");
            assert!(broken.fault.contains(why), "{}", broken.fault);
        }
        let error = Aliases::with_map(&classes(), Path::new("/nonexistent.csv")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent.csv"), "{error}");
    }
}
