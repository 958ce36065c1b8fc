//! What a stream has learned, on disk: a file that a crash at any moment leaves
//! whole, old or new, and that is believed only if every byte of it is as it was
//! written.
//!
//! ```text
//! {"v":1,"kind":"state","model":"<sha256>","length":1234,"sha256":"<of the body>"}
//! { … the body, JSON … }
//! ```

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::atomic::write_atomically;
use crate::error::{Error, Result};
use crate::file_name::safe_name;
use crate::hex::hex;

/// Version of the file's format; a newer one is not read.
const FORMAT: u32 = 1;
const KIND: &str = "state";
const EXTENSION: &str = ".state.json";
/// Appended to the name of a file that cannot be used, which is kept to be looked at.
const ASIDE: &str = ".aside";
/// No state is as large: more is something else.
const LARGEST: u64 = 256 << 20;

/// Where one stream's state is kept. It belongs to a model: what was learned with
/// another is not used.
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
    model: String,
}

/// The first line.
#[derive(Serialize, Deserialize)]
struct Header {
    v: u32,
    kind: String,
    model: String,
    length: u64,
    sha256: String,
}

/// Why there is no state to go on from.
#[derive(Debug, PartialEq)]
enum Unusable {
    /// Nothing was saved yet.
    Missing,
    /// It is of another model.
    OtherModel,
    /// It cannot be read now, or never will be by this program.
    Unreadable(String),
    /// It is not what was written, or not ours at all.
    Broken(String),
}

impl StateFile {
    /// Of the stream `stream` with the model whose network has this SHA-256, in
    /// `folder`, which is made when something is saved.
    pub fn new(folder: &Path, stream: &str, model_sha256: &str) -> StateFile {
        let path = folder.join(format!("{}{EXTENSION}", safe_name(stream)));
        StateFile { path, model: model_sha256.to_owned() }
    }

    /// The folder for state: the one that is `configured`, or else the one that systemd
    /// gives, the first of `$STATE_DIRECTORY` (systemd.exec(5)); `None` without either.
    pub fn folder(configured: Option<&Path>) -> Option<PathBuf> {
        let given = || {
            let given = env::var_os("STATE_DIRECTORY")?;
            env::split_paths(&given).find(|path| !path.as_os_str().is_empty())
        };
        configured.map(Path::to_owned).or_else(given)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts `state` in the place of what was saved before: a temporary file,
    /// flushed to disk, renamed, and the folder flushed after it.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](crate::error::Kind::Unavailable): it could not be
    /// written; what was saved before is still there.
    pub fn save(&self, state: &impl Serialize) -> Result<()> {
        let doing = || format!("saving the state \"{}\"", self.path.display());
        let body = serde_json::to_vec(state).map_err(|error| Error::internal(doing(), error))?;
        let header = Header {
            v: FORMAT,
            kind: KIND.to_owned(),
            model: self.model.clone(),
            length: body.len() as u64,
            sha256: sha256(&body),
        };
        let mut bytes =
            serde_json::to_vec(&header).map_err(|error| Error::internal(doing(), error))?;
        bytes.push(b'\n');
        bytes.extend(body);
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).map_err(|error| {
                Error::unavailable(doing(), format!("its folder cannot be created: {error}"))
                    .remedy("let the daemon's user write there")
            })?;
        }
        write_atomically(&self.path, &bytes)
    }

    /// What was saved last. `None`, with a warning that says why, where that is of
    /// another model or cannot be used; a broken file is set aside, beside its
    /// place, and never ends a stream. Nothing is said where nothing was saved.
    pub fn load<T: DeserializeOwned>(&self) -> Option<T> {
        self.sweep();
        let path = self.path.display();
        match self.read() {
            Ok(state) => Some(state),
            Err(Unusable::Missing) => None,
            Err(Unusable::OtherModel) => {
                log::warn!(
                    "the state \"{path}\" was learned with another model and is not used; it is replaced when this one has learned"
                );
                None
            }
            Err(Unusable::Unreadable(fault)) => {
                log::warn!("the state \"{path}\" cannot be read: {fault}; beginning anew");
                None
            }
            Err(Unusable::Broken(fault)) => {
                let mut aside = OsString::from(&self.path);
                aside.push(ASIDE);
                let became = match fs::rename(&self.path, &aside) {
                    Ok(()) => format!("it is now \"{}\"", Path::new(&aside).display()),
                    Err(error) => format!("and cannot be set aside: {error}"),
                };
                log::warn!("the state \"{path}\" is not used: {fault}; {became}; beginning anew");
                None
            }
        }
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T, Unusable> {
        let unreadable = |error: io::Error| Unusable::Unreadable(error.to_string());
        let broken = |fault: &str| Unusable::Broken(fault.to_owned());
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unusable::Missing),
            opened => opened.map_err(unreadable)?,
        };
        let mut bytes = Vec::new();
        file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > LARGEST {
            return Err(broken("it is far too large"));
        }
        let newline = bytes.iter().position(|&b| b == b'\n');
        let (header, body) = bytes.split_at(newline.ok_or_else(|| broken("it has no header"))?);
        let body = body.get(1..).unwrap_or_default();
        let header: Header =
            serde_json::from_slice(header).map_err(|_| broken("it does not begin as a state"))?;
        if header.kind != KIND {
            return Err(broken("it is no state"));
        }
        if header.v > FORMAT {
            return Err(broken(&format!("its format {} is newer than {FORMAT}", header.v)));
        }
        if header.length != body.len() as u64 || header.sha256 != sha256(body) {
            return Err(broken("it is not as it was written"));
        }
        if header.model != self.model {
            return Err(Unusable::OtherModel);
        }
        serde_json::from_slice(body).map_err(|error| broken(&format!("it does not fit: {error}")))
    }

    /// Removes what a process that was killed while it saved left behind. What one
    /// that still runs has in hand stays.
    fn sweep(&self) {
        let (Some(folder), Some(name)) = (self.path.parent(), self.path.file_name()) else {
            return;
        };
        let begins = format!(".{}.", name.to_string_lossy());
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let process = name.strip_prefix(&begins).and_then(|rest| rest.strip_suffix(".part"));
            if process.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
                // What stays does no harm.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct State {
        temperature: f64,
        counts: Vec<u64>,
    }

    fn state() -> State {
        State { temperature: 1.5, counts: vec![1, 2, 3] }
    }

    fn file(folder: &Path) -> StateFile {
        StateFile::new(folder, "gate", &"ab".repeat(32))
    }

    fn aside(file: &StateFile) -> PathBuf {
        file.path().with_file_name("gate.state.json.aside")
    }

    #[test]
    fn what_was_saved_last_comes_back_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder.path().join("new/folder"));
        assert_eq!(file.load::<State>(), None);
        file.save(&State { temperature: 9.0, ..state() }).unwrap();
        file.save(&state()).unwrap();
        assert_eq!(file.load(), Some(state()));
        assert_eq!(fs::read_dir(file.path().parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_torn_at_any_byte_is_set_aside_and_never_believed() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        file.save(&state()).unwrap();
        let whole = fs::read(file.path()).unwrap();
        for len in 0..whole.len() {
            fs::write(file.path(), &whole[..len]).unwrap();
            assert_eq!(file.load::<State>(), None, "{len} bytes");
            assert!(!file.path().exists());
            assert_eq!(fs::read(aside(&file)).unwrap(), &whole[..len]);
        }
        // A crash of the machine may also leave zeros at the end.
        let mut zeros = whole.clone();
        zeros.resize(whole.len() + 10, 0);
        fs::write(file.path(), zeros).unwrap();
        assert_eq!(file.load::<State>(), None);
        fs::write(file.path(), &whole).unwrap();
        assert_eq!(file.load(), Some(state()));
    }

    #[test]
    fn a_changed_byte_never_gives_another_state() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        file.save(&state()).unwrap();
        let whole = fs::read(file.path()).unwrap();
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[at] ^= 1 << bit;
                fs::write(file.path(), changed).unwrap();
                let loaded = file.load::<State>();
                assert!(loaded.is_none() || loaded == Some(state()), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn another_models_state_is_left_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        file(folder.path()).save(&state()).unwrap();
        let other = StateFile::new(folder.path(), "gate", &"cd".repeat(32));
        assert_eq!(other.load::<State>(), None);
        assert_eq!(other.read::<State>(), Err(Unusable::OtherModel));
        assert_eq!(file(folder.path()).load(), Some(state()));
    }

    #[test]
    fn a_newer_or_a_foreign_file_and_one_of_other_fields_are_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        file.save(&state()).unwrap();
        let whole = fs::read_to_string(file.path()).unwrap();
        let newer = whole.replacen("\"v\":1", "\"v\":2", 1);
        for (text, why) in [(newer.as_str(), "newer"), ("my notes\n", "begin"), ("", "header")] {
            fs::write(file.path(), text).unwrap();
            match file.read::<State>() {
                Err(Unusable::Broken(fault)) => assert!(fault.contains(why), "{fault}"),
                other => panic!("{other:?}"),
            }
            assert_eq!(file.load::<State>(), None);
            assert_eq!(fs::read_to_string(aside(&file)).unwrap(), text);
        }
        file.save(&["other", "fields"]).unwrap();
        assert_eq!(file.load::<State>(), None);
        file.save(&state()).unwrap();
        assert_eq!(file.load(), Some(state()));
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error_that_names_it_and_ends_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let file = file(&folder.path().join("file/folder"));
        assert_eq!(file.load::<State>(), None);
        let error = file.save(&state()).unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(error.to_string().contains("gate.state.json"), "{error}");
    }

    #[test]
    fn what_a_killed_process_left_is_swept_up() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        file.save(&state()).unwrap();
        // No process has this number; one has ours.
        let left = folder.path().join(".gate.state.json.4194305.part");
        let others = folder.path().join(".other.state.json.4194305.part");
        let in_hand = folder.path().join(format!(".gate.state.json.{}.part", std::process::id()));
        for path in [&left, &others, &in_hand] {
            fs::write(path, "{").unwrap();
        }
        assert_eq!(file.load(), Some(state()));
        assert!(!left.exists() && others.exists() && in_hand.exists());
    }
}
