//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A file that appears under its name when it is whole: a temporary file in the
/// same folder, flushed to disk, renamed, and the folder flushed after it. A
/// reader, or a machine that lost its power, finds the old content or the new.
/// Dropped before [`commit`](Self::commit), it leaves nothing behind.
pub(crate) struct AtomicFile {
    target: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
}

impl AtomicFile {
    /// Begins the file.
    pub fn create(target: &Path) -> io::Result<Self> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let temporary = target.with_file_name(format!(".{name}.{}.part", std::process::id()));
        let file = BufWriter::new(File::create(&temporary)?);
        Ok(AtomicFile { target: target.to_owned(), temporary, file })
    }

    /// Puts it in its place.
    pub fn commit(mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        rename_durably(&self.temporary, &self.target)
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        // After a commit it is no longer there.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Writes a whole [`AtomicFile`].
///
/// # Errors
/// [`Kind::Unavailable`](crate::error::Kind::Unavailable): the file could not
/// be written; what was there before is still there.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> io::Result<()> {
        let mut file = AtomicFile::create(path)?;
        file.write_all(bytes)?;
        file.commit()
    };
    write().map_err(|error| {
        Error::unavailable(format!("writing \"{}\"", path.display()), error)
            .remedy("see to the folder's permissions and free space")
    })
}

/// Renames within one folder, and returns when that is on disk.
pub(crate) fn rename_durably(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder_of(to)
}

/// Returns when the name of the file at `path` is on disk.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        let mut dropped = AtomicFile::create(&path).unwrap();
        dropped.write_all(b"three").unwrap();
        drop(dropped);
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = write_atomically(&folder.path().join("gone/a.json"), b"").unwrap_err();
        assert!(error.to_string().contains("gone/a.json\""), "{error}");
        assert_eq!(error.exit_code(), 1);
    }
}
