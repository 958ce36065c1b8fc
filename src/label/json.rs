//! JSON whose values know where they stand in the text.

use serde_json::Value;

use super::fault::Broken;
use super::text::Lines;

/// A parsed document takes many times its text's size: larger ones are refused.
const LARGEST: usize = 64 << 20;

/// Parses a text. The parser refuses nesting deeper than 128.
pub(super) fn parse(text: &str) -> Result<Value, Broken> {
    if text.len() > LARGEST {
        return Err(Broken::whole(format!("it is larger than {} MiB", LARGEST >> 20)));
    }
    serde_json::from_str(text).map_err(|error| {
        let at = Lines::new(text.as_bytes()).offset(error.line(), error.column());
        // The place is ours to say, in our own words.
        let fault = error.to_string();
        let fault = fault.rsplit_once(" at line ").map_or(fault.as_str(), |(what, _)| what);
        Broken::at(at, fault)
    })
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// A value and the way to it from the root.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    pub value: &'a Value,
    text: &'a str,
    up: Option<(&'a Node<'a>, Step<'a>)>,
}

impl<'a> Node<'a> {
    /// The root of a document parsed from `text`.
    pub fn root(text: &'a str, value: &'a Value) -> Self {
        Node { value, text, up: None }
    }

    /// A member of an object.
    pub fn get<'b>(&'b self, key: &'b str) -> Option<Node<'b>> {
        let value = self.value.get(key)?;
        Some(Node { value, text: self.text, up: Some((self, Step::Key(key))) })
    }

    /// The elements of an array; none if it is not one.
    pub fn items(&self) -> impl Iterator<Item = Node<'_>> {
        let items = self.value.as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().enumerate().map(move |(i, value)| Node {
            value,
            text: self.text,
            up: Some((self, Step::Index(i))),
        })
    }

    /// The members of an object, in order of their names; none if it is not one.
    pub fn members(&self) -> impl Iterator<Item = (&str, Node<'_>)> {
        self.value.as_object().into_iter().flatten().map(move |(key, value)| {
            (key.as_str(), Node { value, text: self.text, up: Some((self, Step::Key(key))) })
        })
    }

    /// Text.
    pub fn str(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    /// A number, or a number written as text.
    pub fn number(&self) -> Option<f64> {
        self.value.as_f64().or_else(|| self.str()?.trim().parse().ok())
    }

    /// Where it stands: the byte offset in the text. This walks the text from
    /// its beginning, and is for faults only.
    pub fn at(&self) -> usize {
        let mut steps = Vec::new();
        let mut node = self;
        while let Some((up, step)) = node.up {
            steps.push(step);
            node = up;
        }
        let mut scan = Scan { bytes: self.text.as_bytes(), at: 0 };
        scan.space();
        for step in steps.iter().rev() {
            scan.enter(*step);
        }
        scan.at.min(self.text.len())
    }

    /// Something wrong with it.
    pub fn broken(&self, fault: impl Into<String>) -> Broken {
        Broken::at(self.at(), fault)
    }
}

/// A walk through text that is known to be JSON.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// Past a string; gives its raw text between the quotes.
    fn string(&mut self) -> &[u8] {
        self.at += 1;
        let start = self.at.min(self.bytes.len());
        while let Some(byte) = self.byte() {
            match byte {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        let end = self.at.clamp(start, self.bytes.len());
        self.at += 1;
        &self.bytes[start..end]
    }

    /// Past a whole value.
    fn skip(&mut self) {
        let mut depth = 0usize;
        while let Some(byte) = self.byte() {
            match byte {
                b'"' => {
                    self.string();
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' if depth == 0 => return,
                b'}' | b']' => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' if depth == 0 => return,
                _ => {
                    self.at += 1;
                    continue;
                }
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// From the start of an object or array to the start of one of its values.
    /// Of members with the same key the last is meant, as the parser keeps it.
    fn enter(&mut self, step: Step<'_>) {
        self.at += 1;
        let mut index = 0;
        let mut found = None;
        loop {
            self.space();
            match self.byte() {
                None | Some(b'}' | b']') => break,
                Some(b',') => {
                    self.at += 1;
                    continue;
                }
                Some(_) => {}
            }
            match step {
                Step::Key(key) => {
                    let quoted = self.at;
                    self.string();
                    let raw = &self.bytes[quoted..self.at.min(self.bytes.len())];
                    let same = serde_json::from_slice::<String>(raw).is_ok_and(|k| k == key);
                    self.space();
                    self.at += 1;
                    self.space();
                    if same {
                        found = Some(self.at);
                    }
                }
                Step::Index(wanted) => {
                    if index == wanted {
                        return;
                    }
                    index += 1;
                }
            }
            self.skip();
        }
        if let Some(found) = found {
            self.at = found;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_where_they_stand() {
        let text = r#" { "a": [1, {"b\"]": [ true, "x}" , 7 ]}], "c": {} , "a2":-1.5}"#;
        let value = parse(text).unwrap();
        let root = Node::root(text, &value);
        let a = root.get("a").unwrap();
        let one = a.items().nth(1).unwrap();
        let inner = one.get("b\"]").unwrap();
        let x = inner.items().nth(1).unwrap();
        assert_eq!(&text[x.at()..x.at() + 4], "\"x}\"");
        let seven = inner.items().nth(2).unwrap();
        assert_eq!(&text[seven.at()..seven.at() + 1], "7");
        let last = root.get("a2").unwrap();
        assert_eq!(&text[last.at()..last.at() + 4], "-1.5");
        assert_eq!(last.number(), Some(-1.5));
    }

    #[test]
    fn faults_of_syntax_have_their_place_and_depth_has_a_limit() {
        let broken = parse("{\"a\": 1,\n \"b\": }").unwrap_err();
        assert_eq!(broken.at, Some(15));
        assert!(!broken.fault.contains("line"), "{}", broken.fault);
        let deep = "[".repeat(100_000);
        assert!(parse(&deep).unwrap_err().fault.contains("recursion"));
    }
}
