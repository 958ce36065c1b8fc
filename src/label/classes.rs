//! Files that name classes by their index or code.

use std::collections::BTreeMap;

use super::fault::Broken;
use super::json::{self, Node};
use super::table::{self, Table};
use super::text;

/// Class names by the index or code that annotations use.
#[derive(Debug, Default)]
pub(super) struct Classes {
    names: BTreeMap<String, String>,
}

impl Classes {
    /// The name of the class with this index or code. Leading zeros of a number
    /// do not matter.
    pub fn name(&self, key: &str) -> Option<&str> {
        self.names.get(&key_of(key)).map(String::as_str)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Reads any of the forms in use:
    ///
    /// - one name a line, counted from 0 (`labels.txt`, MMAction2's label maps);
    /// - `1 ApplyEyeMakeup` (UCF101's `classInd.txt`), `c000 Holding some clothes`
    ///   (`Charades_v1_classes.txt`);
    /// - CSV with a header: `id,key,…` (EPIC-KITCHENS), `label_id,label_name,…`
    ///   (AVA), `id,name` or `name,id`;
    /// - protocol buffer text with `name: "…"` and `id: 1` or `label_id: 1`
    ///   (AVA's `.pbtxt`);
    /// - JSON: a list of names, or `{"name": index}` (PySlowFast), or
    ///   `{"index": "name"}`.
    ///
    /// # Errors
    /// Where it breaks off, or if it names no class.
    pub fn parse(text: &str) -> Result<Classes, Broken> {
        let start = text.trim_start();
        let classes = if start.starts_with(['{', '[']) {
            from_json(text)?
        } else if text.contains("name:") && text.contains("id:") {
            from_pbtxt(text)?
        } else if let Some(classes) = from_table(text)? {
            classes
        } else {
            from_lines(text)
        };
        if classes.names.is_empty() {
            return Err(Broken::whole("it names no class"));
        }
        Ok(classes)
    }

    fn add(&mut self, key: &str, name: &str) {
        self.names.insert(key_of(key), name.trim().to_owned());
    }
}

fn key_of(key: &str) -> String {
    let key = key.trim();
    key.parse::<u64>().map_or_else(|_| key.to_owned(), |number| number.to_string())
}

fn from_lines(text: &str) -> Classes {
    let mut classes = Classes::default();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    // A code stands before every name, or before none.
    let coded = |line: &&str| {
        line.split_once(char::is_whitespace).is_some_and(|(code, _)| {
            let digits = code.strip_prefix('c').unwrap_or(code);
            !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
        })
    };
    let all_coded = lines.iter().all(coded);
    for (i, line) in lines.iter().enumerate() {
        match line.split_once(char::is_whitespace) {
            Some((code, name)) if all_coded => classes.add(code, name),
            _ => classes.add(&i.to_string(), line.trim_matches('"')),
        }
    }
    classes
}

fn from_table(text: &str) -> Result<Option<Classes>, Broken> {
    let delimiter = table::delimiter(text);
    let mut table = Table::new(text, delimiter)?;
    let Some(row) = table.next_row()? else { return Ok(None) };
    let header: Vec<String> = row.fields().map(str::to_owned).collect();
    let id = table::column(&header, &["id", "labelid", "classid", "index", "class"]);
    let name = table::column(&header, &["key", "name", "labelname", "classname", "label"]);
    let (Some(id), Some(name)) = (id, name) else { return Ok(None) };
    let mut classes = Classes::default();
    while let Some(row) = table.next_row()? {
        if row.get(name).is_empty() {
            return Err(row.broken(name, "the name of the class is missing"));
        }
        classes.add(row.get(id), row.get(name));
    }
    Ok(Some(classes))
}

fn from_pbtxt(text: &str) -> Result<Classes, Broken> {
    let mut classes = Classes::default();
    let mut name: Option<String> = None;
    for (at, line) in text::lines(text) {
        for (key, value) in line.split(['{', '}']).filter_map(|part| part.split_once(':')) {
            match (key.trim(), value.trim()) {
                ("name", quoted) => name = Some(quoted.trim_matches('"').to_owned()),
                ("id" | "label_id", id) => {
                    let Some(name) = name.take() else {
                        return Err(Broken::at(at, format!("class {id} has no name before it")));
                    };
                    classes.add(id, &name);
                }
                _ => {}
            }
        }
    }
    Ok(classes)
}

fn from_json(text: &str) -> Result<Classes, Broken> {
    let value = json::parse(text)?;
    let root = Node::root(text, &value);
    let mut classes = Classes::default();
    for (i, item) in root.items().enumerate() {
        let name = item.str().ok_or_else(|| item.broken("expected the name of a class"))?;
        classes.add(&i.to_string(), name);
    }
    for (key, item) in root.members() {
        match (item.value.as_u64(), item.str()) {
            // PySlowFast's file keeps the quotes of the CSV it was made from.
            (Some(index), _) => classes.add(&index.to_string(), key.trim_matches('"')),
            (None, Some(name)) => classes.add(key, name),
            _ => return Err(item.broken("expected the index or the name of a class")),
        }
    }
    Ok(classes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        for (text, key, name) in [
            ("idle\nwave hand\n", "1", "wave hand"),
            ("1 Archery\n2 BalanceBeam\n", "02", "BalanceBeam"),
            ("c000 Holding some clothes\nc001 Putting clothes\n", "c001", "Putting clothes"),
            ("id,key,instances\n0,take,['take']\n1,put,['put']\n", "1", "put"),
            ("label_id,label_name,label_type\n1,bend/bow,PERSON_MOVEMENT\n", "1", "bend/bow"),
            ("item {\n  name: \"stand\"\n  id: 12\n}\n", "12", "stand"),
            ("label {\n  name: \"sit\"\n  label_id: 11\n  label_type: X\n}\n", "11", "sit"),
            ("[\"a\", \"b\"]", "1", "b"),
            (r#"{"\"riding a bike\"": 3}"#, "3", "riding a bike"),
            (r#"{"3": "riding"}"#, "3", "riding"),
        ] {
            assert_eq!(Classes::parse(text).unwrap().name(key), Some(name), "{text:?}");
        }
    }

    #[test]
    fn what_names_no_class_is_refused() {
        assert!(Classes::parse("\n \n").unwrap_err().at.is_none());
        assert_eq!(Classes::parse("[\"a\", 1]").unwrap_err().at, Some(6));
        assert_eq!(Classes::parse("item {\n id: 12\n name: \"x\" }").unwrap_err().at, Some(7));
        assert_eq!(Classes::parse("id,name\n1,\n").unwrap_err().at, Some(10));
    }
}
