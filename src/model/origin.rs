//! Where a bundle's files come from: a folder, or the program itself. Everything
//! above this file is the same for both.

use std::borrow::Cow;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::hex::hex;

/// The files of the default model, which are part of the program.
const CAMERA_EVENTS: &[(&str, Embedded)] = &[
    ("model.toml", Embedded::Plain(include_bytes!("../../models/camera-events/model.toml"))),
    ("labels.txt", Embedded::Plain(include_bytes!("../../models/camera-events/labels.txt"))),
    ("model.onnx", Embedded::Packed { from: 0, to: CLIP }),
    ("stream.onnx", Embedded::Packed { from: CLIP, to: CLIP + STREAM }),
];
const CLIP: usize = include_bytes!("../../models/camera-events/model.onnx").len();
const STREAM: usize = include_bytes!("../../models/camera-events/stream.onnx").len();
/// Both networks, as build.rs packs them.
const NETWORKS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/networks.zst"));

/// Where a file of the default model is.
#[derive(Clone, Copy)]
enum Embedded {
    Plain(&'static [u8]),
    /// These bytes of the networks.
    Packed {
        from: usize,
        to: usize,
    },
}

impl Embedded {
    fn len(self) -> usize {
        match self {
            Embedded::Plain(bytes) => bytes.len(),
            Embedded::Packed { from, to } => to - from,
        }
    }

    fn read(self, doing: &str) -> Result<Cow<'static, [u8]>> {
        match self {
            Embedded::Plain(bytes) => Ok(Cow::Borrowed(bytes)),
            Embedded::Packed { from, to } => {
                let unpacked = zstd::decode_all(NETWORKS);
                let mut bytes = unpacked.map_err(|error| Error::internal(doing, error))?;
                bytes.truncate(to);
                bytes.drain(..from);
                Ok(Cow::Owned(bytes))
            }
        }
    }
}

/// Where a bundle's files come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Folder(PathBuf),
    Embedded,
}

impl Origin {
    /// How errors name the file.
    pub fn describe(&self, file: &str) -> String {
        match self {
            Origin::Folder(folder) => format!("\"{}\"", folder.join(file).display()),
            Origin::Embedded => format!("{file} of the embedded model"),
        }
    }

    /// Whether `file` exists, is a file, and is no larger than `limit` bytes.
    pub fn check(&self, file: &str, limit: u64) -> Result<u64> {
        let doing = format!("reading {}", self.describe(file));
        let size = match self {
            Origin::Embedded => embedded(file, &doing)?.len() as u64,
            Origin::Folder(folder) => {
                let metadata = place(folder, file, &doing)?
                    .metadata()
                    .map_err(|error| unreadable(&doing, folder, error))?;
                if !metadata.is_file() {
                    return Err(Error::config(doing, "it is not a file"));
                }
                metadata.len()
            }
        };
        if size > limit { Err(too_large(&doing, limit)) } else { Ok(size) }
    }

    /// The file's bytes, of which there may be no more than `limit`.
    pub fn read(&self, file: &str, limit: u64) -> Result<Cow<'static, [u8]>> {
        self.check(file, limit)?;
        let doing = format!("reading {}", self.describe(file));
        match self {
            Origin::Embedded => embedded(file, &doing)?.read(&doing),
            Origin::Folder(folder) => {
                let path = place(folder, file, &doing)?;
                let mut bytes = Vec::new();
                // Reads no more than the limit even where the file grew since
                // it was checked.
                File::open(path)
                    .and_then(|opened| opened.take(limit + 1).read_to_end(&mut bytes))
                    .map_err(|error| unreadable(&doing, folder, error))?;
                if bytes.len() as u64 > limit {
                    return Err(too_large(&doing, limit));
                }
                Ok(Cow::Owned(bytes))
            }
        }
    }

    /// The files that lie side by side in it, sorted; not hidden ones, nor what
    /// lies in folders.
    pub fn names(&self) -> Result<Vec<String>> {
        let Origin::Folder(folder) = self else {
            return Ok(CAMERA_EVENTS.iter().map(|(name, _)| (*name).to_owned()).collect());
        };
        let list = || -> std::io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                if let Ok(name) = entry.file_name().into_string()
                    && !name.starts_with('.')
                    && entry.path().is_file()
                {
                    names.push(name);
                }
            }
            names.sort();
            Ok(names)
        };
        let doing = format!("reading the folder \"{}\"", folder.display());
        list().map_err(|error| unreadable(&doing, folder, error))
    }

    /// Whether it is this folder, by whatever way it is named.
    pub fn is(&self, other: &Path) -> bool {
        match self {
            Origin::Embedded => false,
            Origin::Folder(folder) => match (folder.canonicalize(), other.canonicalize()) {
                (Ok(folder), Ok(other)) => folder == other,
                _ => false,
            },
        }
    }

    /// The file's text.
    pub fn read_text(&self, file: &str, limit: u64) -> Result<String> {
        let bytes = self.read(file, limit)?.into_owned();
        String::from_utf8(bytes).map_err(|error| {
            Error::config(
                format!("reading {}", self.describe(file)),
                format!("it is not UTF-8 text ({})", error.utf8_error()),
            )
        })
    }

    /// The file's bytes, whose SHA-256 must be `sha256`.
    pub fn read_verified(
        &self,
        file: &str,
        limit: u64,
        sha256: Option<&str>,
    ) -> Result<Cow<'static, [u8]>> {
        let bytes = self.read(file, limit)?;
        let doing = format!("verifying {}", self.describe(file));
        let found = hex(Sha256::digest(&bytes));
        match sha256 {
            Some(expected) if expected.trim().eq_ignore_ascii_case(&found) => Ok(bytes),
            Some(expected) => Err(Error::config(
                doing,
                format!("its SHA-256 is {found}, but model.toml says {expected}"),
            )
            .remedy("copy the whole bundle again, or correct model.toml if the file is the one you mean")),
            None => Err(Error::config(doing, "model.toml gives no sha256 for it").remedy(format!(
                "add sha256 = \"{found}\" if this is the file you mean"
            ))),
        }
    }
}

fn embedded(file: &str, doing: &str) -> Result<Embedded> {
    CAMERA_EVENTS
        .iter()
        .find_map(|&(name, held)| (name == file).then_some(held))
        .ok_or_else(|| Error::config(doing, "the embedded model has no such file"))
}

/// A bundle's files lie in its folder: a name that leads out of it is refused,
/// because bundles are downloaded and a name in one is not to be trusted.
fn inside<'a>(file: &'a str, doing: &str) -> Result<&'a Path> {
    let path = Path::new(file);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    if file.is_empty() || !plain {
        return Err(Error::config(doing, "the name leads out of the bundle's folder")
            .remedy("name a file in the bundle's folder, without \"..\" or a leading \"/\""));
    }
    Ok(path)
}

/// Where a file of the bundle in `folder` really is. A link to a file outside is
/// refused as a name that leads there is.
fn place(folder: &Path, file: &str, doing: &str) -> Result<PathBuf> {
    let path = folder.join(inside(file, doing)?);
    let real = |path: &Path| path.canonicalize().map_err(|error| unreadable(doing, folder, error));
    let real = (real(&path)?, real(folder)?);
    if !real.0.starts_with(&real.1) {
        return Err(Error::config(doing, "it is a link that leads out of the bundle's folder")
            .remedy("copy the file itself into the bundle (cp -L)"));
    }
    Ok(real.0)
}

fn unreadable(doing: &str, folder: &Path, error: std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            let (fault, remedy) = if folder.is_dir() {
                (
                    "no such file",
                    "a model bundle is a folder with model.toml, labels.txt and an ONNX file",
                )
            } else if folder.exists() {
                ("the bundle is not a folder", "name the folder that holds model.toml")
            } else {
                ("no such folder", "name the folder that holds model.toml")
            };
            Error::config(doing, fault).remedy(remedy)
        }
        ErrorKind::PermissionDenied => Error::config(doing, "permission denied")
            .remedy("let the user that kinewatch runs as read it"),
        _ => Error::unavailable(doing, error),
    }
}

fn too_large(doing: &str, limit: u64) -> Error {
    Error::config(doing, format!("it is larger than {} MiB, the limit for it", limit >> 20))
        .remedy("check that it is the file you mean")
}
