//! `${NAME}`, `${NAME:-default}` and `${credential:NAME}` in strings of the
//! configuration.

use std::env;
use std::fs;
use std::path::Path;

/// A string with everything in it replaced.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expanded {
    pub text: String,
    /// What was put in from outside: it may be a secret, so it must not appear
    /// in an error text.
    pub secrets: Vec<String>,
}

/// Replaces every `${…}` in `text`; `$${` stands for a literal `${`. `None` if
/// there is nothing to replace.
///
/// # Errors
/// What is missing, by name.
pub(super) fn expand(text: &str) -> Result<Option<Expanded>, String> {
    expand_with(
        text,
        &|name| env::var(name).ok(),
        env::var_os("CREDENTIALS_DIRECTORY").as_deref().map(Path::new),
    )
}

fn expand_with(
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
    credentials: Option<&Path>,
) -> Result<Option<Expanded>, String> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut out = Expanded { text: String::new(), secrets: Vec::new() };
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            out.text.push_str(&rest[..at - 1]);
            out.text.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        out.text.push_str(&rest[..at]);
        let Some(length) = rest[at..].find('}') else {
            return Err(
                "\"${\" without its \"}\"; expected ${NAME}, or $${ for a literal ${".into()
            );
        };
        let value = value_of(&rest[at + 2..at + length], variable, credentials)?;
        out.text.push_str(&value);
        if !value.is_empty() {
            out.secrets.push(value);
        }
        rest = &rest[at + length + 1..];
    }
    out.text.push_str(rest);
    Ok(Some(out))
}

fn value_of(
    inner: &str,
    variable: &dyn Fn(&str) -> Option<String>,
    credentials: Option<&Path>,
) -> Result<String, String> {
    if let Some(name) = inner.strip_prefix("credential:") {
        return credential(name, credentials);
    }
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(plain) {
        return Err(format!(
            "\"{name}\" is no name of an environment variable; expected letters, digits and _"
        ));
    }
    // As in a shell, `:-` also stands in for a variable that is set but empty.
    match (variable(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(format!(
            "the environment variable {name} is not set; expected a value, or ${{{name}:-default}}"
        )),
    }
}

fn credential(name: &str, folder: Option<&Path>) -> Result<String, String> {
    let Some(folder) = folder else {
        return Err(format!(
            "the credential {name} cannot be read: $CREDENTIALS_DIRECTORY is not set; expected LoadCredential={name}:/path in the systemd unit"
        ));
    };
    if name.is_empty() || name.contains('/') || name == ".." {
        return Err(format!("\"{name}\" is no name of a credential; expected a plain file name"));
    }
    match fs::read_to_string(folder.join(name)) {
        Ok(text) => Ok(text.trim_end_matches(['\n', '\r']).to_owned()),
        Err(error) => Err(format!(
            "the credential {name} cannot be read: {error}; expected LoadCredential={name}:/path in the systemd unit"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<Option<Expanded>, String> {
        let variable = |name: &str| match name {
            "HOST" => Some("camera.local".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        expand_with(text, &variable, None)
    }

    fn text(of: &str) -> String {
        run(of).unwrap().unwrap().text
    }

    #[test]
    fn variables_and_defaults_are_put_in() {
        assert_eq!(text("rtsp://${HOST}/stream1"), "rtsp://camera.local/stream1");
        assert_eq!(text("${HOST}${HOST}"), "camera.localcamera.local");
        assert_eq!(text("${PORT:-554}"), "554");
        assert_eq!(text("${EMPTY:-x}"), "x");
        assert_eq!(text("a${EMPTY}b"), "ab");
        assert_eq!(text("$${HOST} costs $5"), "${HOST} costs $5");
        assert_eq!(run("nothing $HERE").unwrap(), None);
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(run("${PASSWORD}").unwrap_err().contains("PASSWORD is not set"));
        assert!(run("${HOST").unwrap_err().contains("without its"));
        assert!(run("${a b}").unwrap_err().contains("\"a b\" is no name"));
        assert!(run("${}").unwrap_err().contains("no name"));
        assert!(run("${credential:camera}").unwrap_err().contains("LoadCredential=camera"));
    }

    #[test]
    fn credentials_are_read_without_their_last_newline() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("camera"), "s3cret\n").unwrap();
        let read = |text| expand_with(text, &|_| None, Some(folder.path()));
        let expanded = read("user:${credential:camera}@").unwrap().unwrap();
        assert_eq!(
            (expanded.text.as_str(), expanded.secrets),
            ("user:s3cret@", vec!["s3cret".to_owned()])
        );
        assert!(read("${credential:other}").unwrap_err().contains("credential other"));
        assert!(read("${credential:../etc}").unwrap_err().contains("plain file name"));
    }
}
