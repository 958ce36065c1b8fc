//! `${NAME}`, `${NAME:-default}`, `${credential:NAME}` and `${file:PATH}` in strings of
//! the configuration.

use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::secret;

/// The most bytes of a secret.
const LARGEST: u64 = 64 << 10;
/// Permissions of all but a file's owner.
const NOT_OWNER: u32 = 0o077;
/// What a variable's name has in it where its value is a secret.
const SECRET_NAMES: [&str; 7] = ["PASS", "PW", "SECRET", "TOKEN", "KEY", "CREDENTIAL", "AUTH"];

/// A string with everything in it replaced.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expanded {
    pub text: String,
    /// What was put in from outside: it may be a secret, so it must not appear
    /// in an error text.
    pub secrets: Vec<String>,
}

/// Replaces every `${…}` in `text`; `$${` stands for a literal `${`. `None` if
/// there is nothing to replace. Files are relative to `folder`.
///
/// # Errors
/// What is missing, by name.
pub(super) fn expand(text: &str, folder: &Path) -> Result<Option<Expanded>, String> {
    expand_with(
        text,
        &|name| env::var(name).ok(),
        env::var_os("CREDENTIALS_DIRECTORY").as_deref().map(Path::new),
        folder,
    )
}

fn expand_with(
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
    credentials: Option<&Path>,
    folder: &Path,
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
        let value = value_of(&rest[at + 2..at + length], variable, credentials, folder)?;
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
    folder: &Path,
) -> Result<String, String> {
    if let Some(name) = inner.strip_prefix("credential:") {
        return credential(name, credentials);
    }
    if let Some(name) = inner.strip_prefix("file:") {
        return secret_file(name, folder);
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
    let told = |value: String| {
        let upper = name.to_uppercase();
        if SECRET_NAMES.iter().any(|part| upper.contains(part)) {
            secret::keep(&value);
        }
        Ok(value)
    };
    match (variable(name), default) {
        (Some(value), None) => told(value),
        (Some(value), Some(_)) if !value.is_empty() => told(value),
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
    match File::open(folder.join(name)).and_then(secret_in) {
        Ok(text) => Ok(text),
        Err(error) => Err(format!(
            "the credential {name} cannot be read: {error}; expected LoadCredential={name}:/path in the systemd unit"
        )),
    }
}

/// A file that nobody but its owner may read, so that no other user of the machine
/// finds the secret.
fn secret_file(name: &str, folder: &Path) -> Result<String, String> {
    let path = folder.join(name);
    let shown = path.display();
    let unread = |error: io::Error| format!("the secret file \"{shown}\" cannot be read: {error}");
    let file = File::open(&path).map_err(unread)?;
    let metadata = file.metadata().map_err(unread)?;
    if !metadata.is_file() {
        return Err(format!("the secret file \"{shown}\" is not a file"));
    }
    if metadata.mode() & NOT_OWNER != 0 {
        return Err(format!(
            "others than its owner may use the secret file \"{shown}\" (mode {:04o}); expected 0600: chmod 600 it",
            metadata.mode() & 0o7777
        ));
    }
    secret_in(file).map_err(unread)
}

/// What is in a file, without its last line ends, and hidden from now on.
fn secret_in(file: File) -> io::Result<String> {
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        let fault = format!("it is larger than {} KiB, the limit for a secret", LARGEST >> 10);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, fault));
    }
    let value = text.trim_end_matches(['\n', '\r']);
    secret::keep(value);
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn run(text: &str) -> Result<Option<Expanded>, String> {
        let variable = |name: &str| match name {
            "HOST" => Some("camera.local".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        expand_with(text, &variable, None, Path::new(""))
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
        let read = |text| expand_with(text, &|_| None, Some(folder.path()), Path::new(""));
        let expanded = read("user:${credential:camera}@").unwrap().unwrap();
        assert_eq!(
            (expanded.text.as_str(), expanded.secrets),
            ("user:s3cret@", vec!["s3cret".to_owned()])
        );
        assert!(read("${credential:other}").unwrap_err().contains("credential other"));
        assert!(read("${credential:../etc}").unwrap_err().contains("plain file name"));
    }

    #[test]
    fn a_secret_file_is_read_only_where_its_owner_alone_may_use_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("camera");
        fs::write(&path, "s3cret-in-a-file\n").unwrap();
        let read = |text| expand_with(text, &|_| None, None, folder.path());
        for mode in [0o600, 0o400] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read("${file:camera}").unwrap().unwrap().text, "s3cret-in-a-file");
        }
        for mode in [0o640, 0o604, 0o644, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let fault = read("${file:camera}").unwrap_err();
            assert!(fault.contains(&format!("{mode:04o}")) && fault.contains("0600"), "{fault}");
        }
        assert!(read("${file:none}").unwrap_err().contains("cannot be read"));
        assert!(read("${file:.}").unwrap_err().contains("not a file"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, vec![b'a'; 65 << 10]).unwrap();
        assert!(read("${file:camera}").unwrap_err().contains("64 KiB"));
    }
}
