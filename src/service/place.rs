//! Where a daemon's status socket is, and where those who ask find it.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::status::Board;
use crate::control::{StatusDoor, StatusOptions};
use crate::error::Result;
use crate::file_name::safe_name;

/// Where systemd makes a folder for each of our units.
const SYSTEM: &str = "/run/kinewatch";
/// Our folder in `$XDG_RUNTIME_DIR`.
const FOLDER: &str = "kinewatch";
const SOCKET: &str = "status.sock";
const EXTENSION: &str = "sock";

/// A place for a status socket.
pub(super) struct Place {
    path: PathBuf,
    /// Whether somebody asked for this very place.
    asked: bool,
}

/// Where a daemon of this configuration listens, if anywhere.
pub(super) fn of_status(options: &StatusOptions, config: Option<&Path>) -> Option<Place> {
    if options.is_off() {
        return None;
    }
    if let Some(path) = options.socket.clone() {
        return Some(Place { path, asked: true });
    }
    let path = match folder_of("RUNTIME_DIRECTORY") {
        Some(folder) => folder.join(SOCKET),
        None => {
            let stem = config.and_then(Path::file_stem).unwrap_or(OsStr::new("run"));
            let name = format!("{}.{EXTENSION}", safe_name(&stem.to_string_lossy()));
            folder_of("XDG_RUNTIME_DIR")?.join(FOLDER).join(name)
        }
    };
    Some(Place { path, asked: false })
}

impl Place {
    /// Begins to tell there what the board says.
    ///
    /// # Errors
    /// It cannot, and somebody asked for this very place.
    pub fn open(self, board: Board) -> Result<Option<StatusDoor>> {
        if !self.asked
            && let Some(folder) = self.path.parent()
        {
            // That it is there already is fine; any other fault shows below.
            let _ = DirBuilder::new().mode(0o700).create(folder);
        }
        match StatusDoor::open(&self.path, move || board.json()) {
            Ok(door) => Ok(Some(door)),
            Err(error) if self.asked => Err(error),
            Err(error) => {
                log::warn!("nobody can ask for the status: {error}");
                Ok(None)
            }
        }
    }
}

/// The sockets that are found without being named: those of the system's units,
/// then those of this user's daemons.
pub fn status_sockets() -> Vec<PathBuf> {
    let units = entries(Path::new(SYSTEM)).into_iter().map(|folder| folder.join(SOCKET));
    let own = folder_of("XDG_RUNTIME_DIR").map(|folder| entries(&folder.join(FOLDER)));
    let is_socket = |path: &PathBuf| path.extension() == Some(OsStr::new(EXTENSION));
    let found = units.chain(own.into_iter().flatten()).filter(is_socket);
    found.filter(|path| fs::symlink_metadata(path).is_ok()).collect()
}

/// The paths in a folder, in order.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// The first folder that a variable names.
fn folder_of(variable: &str) -> Option<PathBuf> {
    let given = env::var_os(variable)?;
    env::split_paths(&given).find(|path| !path.as_os_str().is_empty())
}
