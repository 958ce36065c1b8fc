//! One run at a time in one folder.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use crate::error::{Error, Result};

/// Held for as long as a run writes to its folder; the system lets go of it
/// when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the folder, making it where it does not exist.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config): another process has it.
    /// [`Kind::Unavailable`](crate::error::Kind::Unavailable): it cannot be
    /// written.
    pub fn take(folder: &Path) -> Result<Lock> {
        let doing = format!("writing to the folder \"{}\"", folder.display());
        let open = fs::create_dir_all(folder).and_then(|()| File::create(folder.join(".lock")));
        let file = open.map_err(|error| Error::unavailable(&doing, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::config(doing, "another kinewatch is writing there")
                    .remedy("wait until it is done, or give each shard a folder of its own"));
            }
            // A file system without locks is no reason not to run.
            Err(TryLockError::Error(error)) => log::debug!("{doing}: no lock: {error}"),
        }
        Ok(Lock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_run_s_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let lock = Lock::take(&out).unwrap();
        let error = Lock::take(&out).unwrap_err();
        assert!(error.to_string().contains("another kinewatch") && error.exit_code() == 2);
        drop(lock);
        Lock::take(&out).unwrap();
    }
}
