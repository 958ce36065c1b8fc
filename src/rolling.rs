//! A file of lines that outlives crashes and does not outgrow the disk.
//!
//! Each line is appended by one write, so that a killed process leaves whole
//! lines. What a crash of the machine tore is cut off when the file is next
//! opened. A write that a full disk cut short is taken back.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::clock::Clock;
use crate::duration::HumanDuration;
use crate::error::{Error, Result};

/// Where lines are written, and when a new file is begun.
#[derive(Clone, Debug, PartialEq)]
pub struct FileOptions {
    /// Where it is written; older files get `.1`, `.2` … after this name.
    pub path: PathBuf,
    /// A new file is begun before this one grows beyond this many bytes.
    pub rotate_bytes: Option<u64>,
    /// A new file is begun when this one is this old.
    pub rotate_age: Option<HumanDuration>,
    /// How many files are kept besides the current one.
    pub keep: usize,
}

impl FileOptions {
    /// Files kept besides the current one, where nothing else is said.
    pub const KEEP: usize = 5;
}

/// A file of JSON lines that each begin with `{"v":`, and the older ones beside it.
pub struct Rolling {
    options: FileOptions,
    clock: Arc<dyn Clock>,
    current: Option<Current>,
}

/// The file that is being written.
struct Current {
    file: File,
    /// Its length, in bytes.
    len: u64,
    born: SystemTime,
    /// Device and inode: what `path` must still name.
    identity: (u64, u64),
}

impl Rolling {
    /// Opens the file for appending, creating it and its folder as needed;
    /// `what` is what an error calls it, such as `file sink`.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](crate::error::Kind::Unavailable): it cannot be
    /// created or written, another process writes it, or it ends in something
    /// that is no beginning of such a line.
    pub fn open(what: &str, options: FileOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        let doing = format!("opening the {what} \"{}\"", options.path.display());
        if let Some(folder) = options.path.parent() {
            fs::create_dir_all(folder).map_err(|error| {
                Error::unavailable(&doing, format!("its folder cannot be created: {error}"))
            })?;
        }
        let current = Current::open(&options.path, clock.wall()).map_err(|error| {
            Error::unavailable(&doing, error).remedy(
                "name a file that only this daemon writes, in a folder that its user may write",
            )
        })?;
        Ok(Rolling { options, clock, current: Some(current) })
    }

    /// Where it is written.
    pub fn path(&self) -> &Path {
        &self.options.path
    }

    /// Appends `line`, which ends with its newline, whole or not at all.
    ///
    /// # Errors
    /// The line is lost; a later one may get through.
    pub fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let current = self.make_ready(line.len() as u64)?;
        append_whole(&mut current.file, current.len, line)?;
        current.len += line.len() as u64;
        Ok(())
    }

    /// Makes sure that `current` is the file at `path`, and has room for `extra` bytes.
    fn make_ready(&mut self, extra: u64) -> io::Result<&mut Current> {
        let now = self.clock.wall();
        // Someone (logrotate, a person) may have moved or removed the file.
        if let Some(current) = &self.current
            && identity_of(&self.options.path) != Some(current.identity)
        {
            self.current = None;
        }
        if let Some(current) = &self.current
            && current.is_due(&self.options, extra, now)
        {
            // A failed rotation must not cost lines: go on with this file.
            match rotate(&self.options) {
                Ok(()) => self.current = None,
                Err(error) => log::warn!("rotating \"{}\": {error}", self.options.path.display()),
            }
        }
        match &mut self.current {
            Some(current) => Ok(current),
            slot @ None => Ok(slot.insert(Current::open(&self.options.path, now)?)),
        }
    }
}

impl Current {
    fn open(path: &Path, now: SystemTime) -> io::Result<Current> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::other("another process writes it"));
            }
            // Some network file systems know no locks.
            Err(TryLockError::Error(error)) => {
                log::debug!("locking \"{}\": {error}", path.display())
            }
        }
        let torn = torn_tail(&mut file)?;
        let before = file.metadata()?;
        if torn > 0 {
            file.set_len(before.len() - torn)?;
            log::warn!("\"{}\" ended in a torn line of {torn} bytes, now cut off", path.display());
        }
        let metadata = file.metadata()?;
        Ok(Current {
            len: metadata.len(),
            born: if metadata.len() == 0 { now } else { metadata.created().unwrap_or(now) },
            identity: (metadata.dev(), metadata.ino()),
            file,
        })
    }

    fn is_due(&self, options: &FileOptions, extra: u64, now: SystemTime) -> bool {
        let full = options.rotate_bytes.is_some_and(|most| self.len + extra > most);
        let old = options
            .rotate_age
            .is_some_and(|most| now.duration_since(self.born).is_ok_and(|age| age >= most.0));
        self.len > 0 && (full || old)
    }
}

fn identity_of(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|m| (m.dev(), m.ino()))
}

/// `path` becomes `path.1`, `path.1` becomes `path.2`, and so on; the oldest goes.
fn rotate(options: &FileOptions) -> io::Result<()> {
    let older = |n: usize| -> PathBuf {
        let mut name = OsString::from(&options.path);
        name.push(format!(".{n}"));
        name.into()
    };
    if options.keep == 0 {
        return fs::remove_file(&options.path);
    }
    for n in (1..options.keep).rev() {
        match fs::rename(older(n), older(n + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(&options.path, older(1))
}

/// Bytes after the last newline.
///
/// # Errors
/// The file cannot be read, or those bytes are not the beginning of one of our
/// lines: then it is somebody else's file, and cutting it would destroy data.
fn torn_tail(file: &mut File) -> io::Result<u64> {
    const STEP: u64 = 4096;
    const BEGINNING: &[u8] = b"{\"v\":";
    let len = file.metadata()?.len();
    let mut tail: Vec<u8> = Vec::new();
    let mut position = len;
    while position > 0 {
        let step = STEP.min(position);
        position -= step;
        file.seek(SeekFrom::Start(position))?;
        let mut block = vec![0; step as usize];
        file.read_exact(&mut block)?;
        if let Some(newline) = block.iter().rposition(|&b| b == b'\n') {
            block.drain(..=newline);
            position = 0;
        }
        block.extend_from_slice(&tail);
        tail = block;
    }
    let shared = tail.len().min(BEGINNING.len());
    // A crash of the machine may also leave zeros where a line should be.
    if tail[..shared] == BEGINNING[..shared] || tail.iter().all(|&b| b == 0) {
        Ok(tail.len() as u64)
    } else {
        Err(io::Error::other("it does not end in a line of ours; it seems to be some other file"))
    }
}

/// What [`append_whole`] writes to: a file, or a disk that is full in a test.
trait Appendable {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize>;
    fn cut(&mut self, len: u64) -> io::Result<()>;
}

impl Appendable for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
}

/// Appends all of `bytes` in one write, or nothing: what a full disk cut short
/// is taken back to `len`, the length before.
fn append_whole(file: &mut impl Appendable, len: u64, bytes: &[u8]) -> io::Result<()> {
    let written = loop {
        match file.append(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => break outcome?,
        }
    };
    if written == bytes.len() {
        return Ok(());
    }
    file.cut(len)?;
    Err(io::Error::new(io::ErrorKind::StorageFull, "the disk is full"))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::{Duration, Instant};

    use super::*;

    struct Hand(Mutex<SystemTime>);

    impl Clock for Hand {
        fn wall(&self) -> SystemTime {
            *self.0.lock().unwrap()
        }

        fn instant(&self) -> Instant {
            Instant::now()
        }
    }

    fn clock() -> Arc<Hand> {
        Arc::new(Hand(Mutex::new(SystemTime::now())))
    }

    fn options(path: &Path) -> FileOptions {
        FileOptions { path: path.to_owned(), rotate_bytes: None, rotate_age: None, keep: 2 }
    }

    fn open(options: FileOptions, clock: Arc<dyn Clock>) -> Result<Rolling> {
        Rolling::open("test file", options, clock)
    }

    /// A line of some 125 bytes, as an event has.
    fn write(file: &mut Rolling, label: &str) -> io::Result<()> {
        let line = format!("{{\"v\":1,\"label\":\"{label}\",\"more\":\"{}\"}}\n", "-".repeat(80));
        file.append(line.as_bytes())
    }

    fn labels(path: &Path) -> Vec<String> {
        fs::read_to_string(path)
            .unwrap()
            .lines()
            .map(|l| {
                serde_json::from_str::<serde_json::Value>(l).unwrap()["label"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect()
    }

    #[test]
    fn lines_are_appended_to_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/folder/p.jsonl");
        for label in ["a", "b"] {
            let mut file = open(options(&path), clock()).unwrap();
            write(&mut file, label).unwrap();
        }
        assert_eq!(labels(&path), ["a", "b"]);
    }

    #[test]
    fn a_torn_last_line_is_cut_off_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.jsonl");
        let whole = "{\"v\":1,\"label\":\"whole\"}\n";
        for torn in [
            "{\"v\":1,\"kind\":\"predi",
            "{",
            "\0\0\0",
            &format!("{{\"v\":1,\"x\":\"{}", "y".repeat(10_000)),
        ] {
            fs::write(&path, format!("{whole}{torn}")).unwrap();
            let mut file = open(options(&path), clock()).unwrap();
            write(&mut file, "next").unwrap();
            assert_eq!(labels(&path), ["whole", "next"], "{torn:.20}");
        }
        fs::write(&path, "{\"v\":1,\"torn").unwrap();
        drop(open(options(&path), clock()).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn a_file_that_is_not_ours_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        fs::write(&path, "line\nmy notes").unwrap();
        let error = open(options(&path), clock()).err().unwrap();
        assert!(error.to_string().contains("some other file"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "line\nmy notes");
    }

    #[test]
    fn two_daemons_do_not_share_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.jsonl");
        let _first = open(options(&path), clock()).unwrap();
        let error = open(options(&path), clock()).err().unwrap();
        assert!(error.to_string().contains("another process writes it"), "{error}");
    }

    #[test]
    fn a_full_file_is_rotated_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.jsonl");
        let mut file =
            open(FileOptions { rotate_bytes: Some(250), ..options(&path) }, clock()).unwrap();
        for k in 0..8 {
            write(&mut file, &k.to_string()).unwrap();
        }
        let older = |n: u32| folder.path().join(format!("p.jsonl.{n}"));
        let line = fs::metadata(&path).unwrap().len();
        assert!(line <= 250, "{line}");
        assert_eq!(labels(&path), ["6", "7"]);
        assert_eq!(labels(&older(1)), ["4", "5"]);
        assert_eq!(labels(&older(2)), ["2", "3"]);
        assert!(!older(3).exists());
    }

    #[test]
    fn an_old_file_is_rotated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.jsonl");
        let hand = clock();
        let age = Some(HumanDuration::seconds(60));
        let mut file =
            open(FileOptions { rotate_age: age, ..options(&path) }, hand.clone()).unwrap();
        write(&mut file, "a").unwrap();
        *hand.0.lock().unwrap() += Duration::from_secs(59);
        write(&mut file, "b").unwrap();
        *hand.0.lock().unwrap() += Duration::from_secs(1);
        write(&mut file, "c").unwrap();
        assert_eq!(labels(&path), ["c"]);
        assert_eq!(labels(&folder.path().join("p.jsonl.1")), ["a", "b"]);
    }

    #[test]
    fn a_file_moved_away_is_created_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.jsonl");
        let mut file = open(options(&path), clock()).unwrap();
        write(&mut file, "a").unwrap();
        fs::rename(&path, folder.path().join("moved")).unwrap();
        write(&mut file, "b").unwrap();
        assert_eq!(labels(&path), ["b"]);
        assert_eq!(labels(&folder.path().join("moved")), ["a"]);
    }

    #[test]
    fn a_disk_that_is_full_loses_the_line_whole() {
        struct Disk(Vec<u8>, usize);
        impl Appendable for Disk {
            fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let room = bytes.len().min(self.1 - self.0.len());
                if room == 0 {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                self.0.extend_from_slice(&bytes[..room]);
                Ok(room)
            }

            fn cut(&mut self, len: u64) -> io::Result<()> {
                self.0.truncate(len as usize);
                Ok(())
            }
        }
        let mut disk = Disk(Vec::new(), 10);
        append_whole(&mut disk, 0, b"12345\n").unwrap();
        let error = append_whole(&mut disk, 6, b"67890\n").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.0, b"12345\n");
        append_whole(&mut disk, 6, b"678\n").unwrap();
        assert_eq!(disk.0, b"12345\n678\n");
    }

    #[test]
    fn a_device_without_space_loses_lines_and_goes_on() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.jsonl");
        std::os::unix::fs::symlink(full, &path).unwrap();
        // /dev/full reads as endless zeros of length 0: nothing is torn.
        let mut file = open(options(&path), clock()).unwrap();
        assert!(write(&mut file, "a").is_err());
        fs::remove_file(&path).unwrap();
        write(&mut file, "b").unwrap();
        assert_eq!(labels(&path), ["b"]);
    }
}
