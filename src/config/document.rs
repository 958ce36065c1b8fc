//! The TOML text with the place of every key, so that each error can say where.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use super::expand::expand;
use crate::control::StatusOptions;
use crate::error::{Error, Result};
use crate::nearest::nearest;
use crate::video::SourceSpec;

/// A parsed configuration whose strings are expanded, whose paths are resolved,
/// and whose streams carry the global tables that hold for them.
pub(super) struct Document {
    /// What errors call it: a file, or the command line.
    name: String,
    text: &'static str,
    /// Present once the strings are expanded.
    root: Option<Spanned<Table>>,
    /// Values that came from outside and must not appear in an error.
    secrets: Vec<String>,
    /// What relative paths are relative to.
    folder: PathBuf,
    /// The first key that holds a secret itself, instead of saying where it is.
    holds_secret: Option<String>,
}

type Table = DeTable<'static>;
type Value = DeValue<'static>;

const COMMAND_LINE: &str = "the command line";
/// The most bytes of a configuration: a thousand streams have a tenth of it.
const LARGEST: u64 = 1 << 20;
/// Permissions of those who are neither the file's owner nor of its group.
const OTHERS: u32 = 0o007;

impl Document {
    pub fn read(path: &Path) -> Result<Document> {
        let name = format!("config \"{}\"", path.display());
        let (text, mode) = read(path).map_err(|error| {
            Error::config(format!("reading {name}"), error)
                .remedy("name a TOML file, such as one of those in configs/")
        })?;
        let (mut document, mut root) = Document::parse(name, text)?;
        document.folder = path.parent().unwrap_or(Path::new("")).to_owned();
        document.expand_table(root.get_mut(), "")?;
        if let Some(key) = document.holds_secret.as_ref().filter(|_| mode & OTHERS != 0) {
            log::warn!(
                "{}: {key} holds a secret and every user of this machine can read the file (mode {:04o}): chmod o-rwx it, or say ${{NAME}}, ${{credential:NAME}} or ${{file:PATH}}",
                document.name,
                mode & 0o7777
            );
        }
        resolve_paths(root.get_mut(), path.parent().unwrap_or(Path::new("")));
        inherit(root.get_mut());
        document.root = Some(root);
        Ok(document)
    }

    /// The configuration that `run --source …` stands for. Paths stay relative to the
    /// working directory, and nothing but a URI is expanded: the shell has done both.
    /// (In single quotes `${NAME}` reaches a URI, so that its password need not stand
    /// where every user can read it.)
    pub fn quick(source: &str, model: Option<&Path>, labels: Option<&Path>) -> Result<Document> {
        let utf8 = |path: &Path| {
            path.to_str().map(str::to_owned).ok_or_else(|| {
                Error::config(
                    "reading the command line",
                    format!("\"{}\" is not UTF-8", path.display()),
                )
            })
        };
        let (kind, name) = match source.split_once(':') {
            Some(("synth", _)) => ("synth", "synth".to_owned()),
            Some((_, rest)) if rest.starts_with("//") => ("uri", "stream".to_owned()),
            _ if source.starts_with("/dev/video") => {
                ("device", source.trim_start_matches("/dev/").to_owned())
            }
            _ => {
                let name = Path::new(source).file_stem().map(|s| s.to_string_lossy().into_owned());
                ("path", name.unwrap_or_else(|| "stream".to_owned()))
            }
        };
        let target = source.strip_prefix("synth:").unwrap_or(source);
        let quote = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let mut text = format!(
            "[[stream]]\nname = {}\nsource = {{ {kind} = {} }}\n",
            quote(&name),
            quote(target)
        );
        if let Some(labels) = labels {
            text += &format!("labels = {}\n", quote(&utf8(labels)?));
        }
        if let Some(model) = model {
            text += &format!("[model]\npath = {}\n", quote(&utf8(model)?));
        }
        let (mut document, mut root) = Document::parse(COMMAND_LINE.into(), text)?;
        if kind == "uri" {
            document.expand_table(root.get_mut(), "")?;
            if document.holds_secret.is_some() {
                let fault = "--source holds a password, and every user of this machine can read it in the list of processes";
                return Err(Error::config("reading the command line", fault).remedy(
                    "put it into the environment and write 'rtsp://user:${CAMERA_PASSWORD}@…' in single quotes, or use a configuration",
                ));
            }
        }
        inherit(root.get_mut());
        document.root = Some(root);
        Ok(document)
    }

    fn parse(name: String, text: String) -> Result<(Document, Spanned<Table>)> {
        // Leaked, because the parser's table borrows it and both are needed for
        // as long as there are errors to place: a few kilobytes, once a process.
        let text: &'static str = Box::leak(text.into_boxed_str());
        let document = Document {
            name,
            text,
            root: None,
            secrets: Vec::new(),
            folder: PathBuf::new(),
            holds_secret: None,
        };
        match DeTable::parse(text) {
            Ok(root) => Ok((document, root)),
            Err(error) => {
                let fault = error.message().trim().replace('\n', ", ");
                Err(document.error(error.span(), None, &format!("not valid TOML: {fault}"), None))
            }
        }
    }

    /// Reads the document as `T`.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T> {
        let Some(root) = &self.root else {
            return Err(Error::internal(format!("reading {}", self.name), "it is not parsed yet"));
        };
        T::deserialize(Deserializer::from(root.clone())).map_err(|error| {
            let span = error.span();
            let key = span.as_ref().and_then(|span| key_at(root.get_ref(), span));
            let (fault, remedy) = explain(error.message(), key.as_deref());
            self.error(span, key.as_deref(), &fault, remedy)
        })
    }

    /// An error about the key at `path` (`stream[0].source`), at the place of
    /// the deepest part of it that was written.
    pub fn error_at(&self, path: &str, fault: &str) -> Error {
        let span = self.root.as_ref().and_then(|root| span_of(root.get_ref(), path));
        self.error(span, Some(path), fault, None)
    }

    fn error(
        &self,
        span: Option<Range<usize>>,
        key: Option<&str>,
        fault: &str,
        remedy: Option<String>,
    ) -> Error {
        let mut doing = format!("reading {}", self.name);
        if let Some(span) = span.filter(|_| self.name != COMMAND_LINE) {
            let (line, column) = position(self.text, span.start);
            doing += &format!(", line {line}, column {column}");
        }
        let fault = match key {
            Some(key) if !key.is_empty() => format!("{key}: {fault}"),
            _ => fault.to_owned(),
        };
        let error = Error::config(doing, self.redact(&fault));
        match remedy {
            Some(remedy) => error.remedy(self.redact(&remedy)),
            None => error,
        }
    }

    /// Takes out what came from the environment and the passwords in URIs.
    fn redact(&self, text: &str) -> String {
        let text = self
            .secrets
            .iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"));
        without_passwords(&text)
    }

    fn expand_table(&mut self, table: &mut Table, path: &str) -> Result<()> {
        for (key, value) in table.iter_mut() {
            self.expand_value(value, &join(path, key.get_ref()))?;
        }
        Ok(())
    }

    fn expand_value(&mut self, value: &mut Spanned<Value>, path: &str) -> Result<()> {
        let span = value.span();
        match value.get_mut() {
            DeValue::String(text) => match expand(text, &self.folder) {
                Ok(None) => {
                    let secret = path.ends_with(".password") && !text.is_empty()
                        || path.ends_with(".uri") && SourceSpec::uri(text.as_ref()).names_secret()
                        || path.ends_with(".pipeline")
                            && SourceSpec::pipeline(text.as_ref()).names_secret();
                    if secret && self.holds_secret.is_none() {
                        self.holds_secret = Some(path.to_owned());
                    }
                }
                Ok(Some(expanded)) => {
                    self.secrets.extend(expanded.secrets);
                    *text = Cow::Owned(expanded.text);
                }
                Err(fault) => return Err(self.error(Some(span), Some(path), &fault, None)),
            },
            DeValue::Array(values) => {
                for (i, value) in values.iter_mut().enumerate() {
                    self.expand_value(value, &format!("{path}[{i}]"))?;
                }
            }
            DeValue::Table(table) => self.expand_table(table, path)?,
            _ => {}
        }
        Ok(())
    }
}

/// The file's text, and who may do what with it.
fn read(path: &Path) -> io::Result<(String, u32)> {
    let file = File::open(path)?;
    let mode = file.metadata()?.mode();
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        let fault = format!("it is larger than {} MiB, the limit", LARGEST >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, fault));
    }
    Ok((text, mode))
}

/// Makes the paths of known keys relative to `folder`.
fn resolve_paths(root: &mut Table, folder: &Path) {
    let resolve = |table: &mut Table, keys: &[&str]| {
        for key in keys {
            if let Some(DeValue::String(text)) = get_mut(table, key)
                && !text.is_empty()
                && *text != StatusOptions::OFF
            {
                // Both sides are UTF-8 unless the folder's name is not; then the
                // path stays as written and the error that follows names it.
                if let Some(path) = folder.join(text.as_ref()).to_str() {
                    *text = Cow::Owned(path.to_owned());
                }
            }
        }
    };
    for (table, keys) in [
        ("model", &["path"][..]),
        ("accuracy", &["path"]),
        ("state", &["path"]),
        ("control", &["socket"]),
        ("status", &["socket"]),
    ] {
        if let Some(DeValue::Table(table)) = get_mut(root, table) {
            resolve(table, keys);
        }
    }
    if let Some(DeValue::Table(model)) = get_mut(root, "model") {
        resolve_nvinfer(model, resolve);
    }
    for sink in tables_mut(root, "sink") {
        resolve(sink, &["path"]);
    }
    for stream in tables_mut(root, "stream") {
        resolve(stream, &["labels"]);
        for source in tables_mut(stream, "source") {
            resolve(source, &["path"]);
        }
        for (table, keys) in [
            ("source", &["path"][..]),
            ("model", &["path"]),
            ("labels", &["path", "watch", "classes", "map"]),
        ] {
            if let Some(DeValue::Table(table)) = get_mut(stream, table) {
                resolve(table, keys);
            }
        }
        if let Some(DeValue::Table(model)) = get_mut(stream, "model") {
            resolve_nvinfer(model, resolve);
        }
    }
}

fn resolve_nvinfer(model: &mut Table, resolve: impl Fn(&mut Table, &[&str])) {
    if let Some(DeValue::Table(nvinfer)) = get_mut(model, "nvinfer") {
        resolve(nvinfer, &["calibration", "sequence_library"]);
    }
}

/// Gives each stream the keys of the global `[model]`, `[predict]` and
/// `[calibrate]` that it does not set itself. A stream that names another model does not take the
/// global `mode`, which belongs to the global model.
fn inherit(root: &mut Table) {
    for name in ["model", "predict", "calibrate"] {
        let Some(DeValue::Table(global)) = get_mut(root, name) else { continue };
        let global = global.clone();
        let span = root.iter().find(|(key, _)| key.get_ref() == name).map(|(key, _)| key.clone());
        let Some(key) = span else { continue };
        for stream in tables_mut(root, "stream") {
            match get_mut(stream, name) {
                Some(DeValue::Table(own)) => {
                    let other_model = name == "model" && get_mut(own, "path").is_some();
                    for (key, value) in &global {
                        let foreign = other_model && key.get_ref() == "mode";
                        if !foreign && get_mut(own, key.get_ref()).is_none() {
                            own.insert(key.clone(), value.clone());
                        }
                    }
                }
                Some(_) => {}
                None => {
                    let value = Spanned::new(key.span(), DeValue::Table(global.clone()));
                    stream.insert(key.clone(), value);
                }
            }
        }
    }
}

fn get_mut<'a>(table: &'a mut Table, name: &str) -> Option<&'a mut Value> {
    table.iter_mut().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value.get_mut())
}

fn tables_mut<'a>(root: &'a mut Table, name: &str) -> impl Iterator<Item = &'a mut Table> {
    let array = match get_mut(root, name) {
        Some(DeValue::Array(array)) => array.iter_mut(),
        _ => [].iter_mut(),
    };
    array.filter_map(|value| match value.get_mut() {
        DeValue::Table(table) => Some(table),
        _ => None,
    })
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The path of the deepest key whose own name or value holds `span`.
fn key_at(table: &Table, span: &Range<usize>) -> Option<String> {
    let holds = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    // First names, then values: the value of a table may reach over others.
    if let Some((key, _)) = table.iter().find(|(key, _)| holds(key.span())) {
        return Some(key.get_ref().to_string());
    }
    table.iter().find_map(|(key, value)| {
        let inner = key_in(value, span).or_else(|| holds(value.span()).then(String::new))?;
        Some(if inner.is_empty() || inner.starts_with('[') {
            format!("{}{inner}", key.get_ref())
        } else {
            join(key.get_ref(), &inner)
        })
    })
}

/// As [`key_at`], below a value.
fn key_in(value: &Spanned<Value>, span: &Range<usize>) -> Option<String> {
    match value.get_ref() {
        DeValue::Table(table) => key_at(table, span),
        DeValue::Array(values) => values.iter().enumerate().find_map(|(i, value)| {
            let outer = value.span();
            let inner = key_in(value, span).or_else(|| {
                (outer.start <= span.start && span.end <= outer.end).then(String::new)
            })?;
            Some(if inner.is_empty() || inner.starts_with('[') {
                format!("[{i}]{inner}")
            } else {
                format!("[{i}].{inner}")
            })
        }),
        _ => None,
    }
}

/// Where the value at `path` stands, or else the deepest table above it that
/// was written.
fn span_of(root: &Table, path: &str) -> Option<Range<usize>> {
    let mut found = None;
    let mut table = root;
    for part in path.split('.') {
        let (name, index) = match part.split_once('[') {
            Some((name, index)) => (name, index.trim_end_matches(']').parse::<usize>().ok()),
            None => (part, None),
        };
        let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == name) else { break };
        let value = match (value.get_ref(), index) {
            (DeValue::Array(values), Some(i)) => match values.get(i) {
                Some(value) => value,
                None => break,
            },
            _ => value,
        };
        match value.get_ref() {
            DeValue::Table(inner) => {
                found = Some(if index.is_some() { value.span() } else { key.span() });
                table = inner;
            }
            _ => return Some(value.span()),
        }
    }
    found
}

/// Line and column, both from 1; columns count characters.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// Serde's message in our words, and what to write instead.
fn explain(message: &str, key: Option<&str>) -> (String, Option<String>) {
    let message = message.trim();
    let secret = key.is_some_and(|key| key.ends_with("password"));
    for (prefix, what) in [("unknown field ", "unknown key"), ("unknown variant ", "unknown value")]
    {
        if let Some(rest) = message.strip_prefix(prefix) {
            let mut quoted = rest.split('`').skip(1).step_by(2);
            let name = quoted.next().unwrap_or_default();
            let valid: Vec<&str> = quoted.filter(|v| !v.is_empty()).collect();
            let remedy =
                nearest(name, valid.iter().copied()).map(|near| format!("write \"{near}\""));
            let fault = match valid.as_slice() {
                [] => format!("{what} \"{name}\"; expected none here"),
                [one] => format!("{what} \"{name}\"; expected \"{one}\""),
                many => format!(
                    "{what} \"{name}\"; expected one of {}",
                    many.iter().map(|v| format!("\"{v}\"")).collect::<Vec<_>>().join(", ")
                ),
            };
            return (fault, remedy);
        }
    }
    if let Some(rest) = message.strip_prefix("missing field ") {
        let name = rest.trim_matches('`');
        return (format!("the key \"{name}\" is missing; expected {name} = …"), None);
    }
    for prefix in ["invalid type: ", "invalid value: "] {
        if let Some((found, expected)) =
            message.strip_prefix(prefix).and_then(|rest| rest.rsplit_once(", expected "))
        {
            let expected = in_words(expected);
            return match secret {
                true => (format!("expected {expected}"), None),
                false => (format!("expected {expected}, found {}", found.replace('`', "")), None),
            };
        }
    }
    (message.replace('\n', ", "), None)
}

/// Rust's names of types, in a reader's words.
fn in_words(expected: &str) -> &str {
    match expected {
        "usize" | "u64" | "u32" | "u16" | "u8" => "a whole number of 0 or more",
        "i64" | "i32" => "a whole number",
        "f64" | "f32" => "a number",
        "a sequence" => "a list in [ ]",
        "a boolean" => "true or false",
        "path string" => "a path in quotes",
        "a string" => "text in quotes",
        _ if expected.starts_with("struct ") => "a table",
        other => other,
    }
}

/// `scheme://user:password@host` with `***` for the password, wherever it
/// stands in `text`.
fn without_passwords(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let authority =
            after.find(|c: char| c == '/' || c.is_whitespace() || c == '"').unwrap_or(after.len());
        match after[..authority].rfind('@') {
            Some(end) => {
                let user = after[..end].split(':').next().unwrap_or_default();
                let password = if after[..end].contains(':') { ":***" } else { "" };
                out.push_str(user);
                out.push_str(password);
                rest = &after[end..];
            }
            None => rest = after,
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_uris_are_taken_out() {
        assert_eq!(
            without_passwords("opening \"rtsp://me:p@ss:w@cam/1\" and http://x/y@z"),
            "opening \"rtsp://me:***@cam/1\" and http://x/y@z"
        );
        assert_eq!(without_passwords("rtsp://me@cam"), "rtsp://me@cam");
    }

    #[test]
    fn positions_count_lines_and_characters() {
        assert_eq!(position("a\nbé = 1", 6), (2, 4));
        assert_eq!(position("", 5), (1, 1));
    }

    #[test]
    fn unknown_keys_are_explained_with_the_nearest() {
        let (fault, remedy) = explain("unknown field `topk`, expected one of `hop`, `top_k`", None);
        assert_eq!(fault, "unknown key \"topk\"; expected one of \"hop\", \"top_k\"");
        assert_eq!(remedy.as_deref(), Some("write \"top_k\""));
        let (fault, remedy) =
            explain("unknown variant `windw`, expected `window` or `stateful`", None);
        assert!(fault.starts_with("unknown value") && remedy.unwrap().contains("window"));
    }

    #[test]
    fn a_password_of_the_wrong_type_is_not_shown() {
        let (fault, _) = explain(
            "invalid type: integer `1234`, expected a string",
            Some("stream[0].source.password"),
        );
        assert_eq!(fault, "expected text in quotes");
    }
}
