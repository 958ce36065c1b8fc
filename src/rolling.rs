//! A file of lines that outlives crashes and does not outgrow the disk.
//!
//! Lines are appended whole, so that a killed process leaves whole lines. What a
//! crash of the machine tore is cut off when the file is next opened. What a full
//! disk cut short is taken back.

mod batched;

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use batched::Batched;

use crate::atomic::sync_folder_of;
use crate::clock::Clock;
use crate::duration::HumanDuration;
use crate::error::{Error, Result};

/// What each of our lines begins with.
const BEGINNING: &[u8] = b"{\"v\":";
/// Older files are looked for up to this number.
const MOST_FILES: usize = 999;

/// Where lines are written, how often, and when a new file is begun.
#[derive(Clone, Debug, PartialEq)]
pub struct FileOptions {
    /// Where it is written; older files get `.1`, `.2` … after this name.
    pub path: PathBuf,
    /// A new file is begun before this one grows beyond this many bytes.
    pub rotate_bytes: u64,
    /// A new file is begun when this one is this old.
    pub rotate_age: HumanDuration,
    /// How many files are kept besides the current one.
    pub keep: usize,
    /// How long a line may wait to be written together with others.
    pub flush: HumanDuration,
    /// How long a line may wait to be safe from a power cut.
    pub sync: HumanDuration,
    /// Memory for what waits for the file, about, in bytes.
    pub queue_bytes: usize,
}

impl FileOptions {
    /// Where nothing else is said: bytes of a file.
    pub const ROTATE_BYTES: u64 = 32 << 20;
    /// Age of a file.
    pub const ROTATE_AGE: HumanDuration = HumanDuration::seconds(24 * 3600);
    /// Files kept besides the current one.
    pub const KEEP: usize = 7;
    /// Time until a line is written.
    pub const FLUSH: HumanDuration = HumanDuration::seconds(1);
    /// Time until it is on the disk.
    pub const SYNC: HumanDuration = HumanDuration::seconds(30);
    /// Memory for what waits: ten minutes of a stream with eight predictions a
    /// second, about.
    pub const QUEUE_BYTES: usize = 4 << 20;

    /// The defaults for a file at `path`.
    pub fn new(path: &Path) -> Self {
        FileOptions {
            path: path.to_owned(),
            rotate_bytes: FileOptions::ROTATE_BYTES,
            rotate_age: FileOptions::ROTATE_AGE,
            keep: FileOptions::KEEP,
            flush: FileOptions::FLUSH,
            sync: FileOptions::SYNC,
            queue_bytes: FileOptions::QUEUE_BYTES,
        }
    }

    /// The `n`th older file.
    fn older(&self, n: usize) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{n}"));
        name.into()
    }
}

/// A file of JSON lines that each begin with `{"v":`, and the older ones beside it.
pub struct Rolling {
    options: FileOptions,
    clock: Arc<dyn Clock>,
    current: Option<Current>,
    /// It was said that the file cannot be rotated.
    said: bool,
}

/// The file that is being written.
struct Current {
    file: File,
    /// Its length, in bytes.
    len: u64,
    born: SystemTime,
    /// Device and inode: what `path` must still name.
    identity: (u64, u64),
    /// A pipe or a device is neither rotated nor cut.
    regular: bool,
    /// Something was written that is not known to be on the disk.
    dirty: bool,
    /// Its name is not known to be on the disk.
    named: bool,
}

impl Rolling {
    /// Opens the file for appending, creating it and its folder as needed, and
    /// removes older files that are too many or too old; `what` is what an error
    /// calls it, such as `file sink`. A disk that is full, read-only or broken is
    /// said in the log and tried again at each [`append`](Self::append).
    ///
    /// # Errors
    /// [`Kind::Unavailable`](crate::error::Kind::Unavailable): it may not be
    /// created or written, another process writes it, or it ends in something
    /// that is no beginning of such a line.
    pub fn open(what: &str, options: FileOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        let mut rolling = Rolling { options, clock, current: None, said: false };
        match rolling.reopen() {
            Ok(current) => rolling.current = Some(current),
            Err(error) if may_pass(&error) => log::error!(
                "the {what} \"{}\" cannot be opened: {error}; trying again",
                rolling.path().display()
            ),
            Err(error) => {
                let doing = format!("opening the {what} \"{}\"", rolling.path().display());
                return Err(Error::unavailable(doing, error).remedy(
                    "name a file that only this daemon writes, in a folder that its user may write",
                ));
            }
        }
        Ok(rolling)
    }

    /// Where it is written.
    pub fn path(&self) -> &Path {
        &self.options.path
    }

    /// Appends as many of `lines`, each with its newline, as this file has room
    /// for, but at least one, each whole. Returns the bytes that were taken.
    ///
    /// # Errors
    /// Nothing was taken; a later try may succeed.
    pub fn append(&mut self, lines: &[u8]) -> io::Result<usize> {
        let first = lines.iter().position(|&byte| byte == b'\n').map_or(lines.len(), |at| at + 1);
        let most = self.options.rotate_bytes;
        let current = self.make_ready(first as u64)?;
        let room = usize::try_from(most.saturating_sub(current.len)).unwrap_or(usize::MAX);
        let fitting = match lines.get(..room) {
            Some(part) if current.regular => {
                part.iter().rposition(|&byte| byte == b'\n').map_or(first, |at| at + 1).max(first)
            }
            _ => lines.len(),
        };
        let part = lines.get(..fitting).unwrap_or(lines);
        current.dirty = true;
        let appended = append_whole(&mut current.file, current.len, part);
        current.len += part.len() as u64;
        // Opening it again finds out what there is, and cuts off what is torn.
        appended.inspect_err(|_| self.current = None).map(|()| part.len())
    }

    /// Returns when all that was appended is on the disk.
    ///
    /// # Errors
    /// It may not be there after a power cut.
    pub fn sync(&mut self) -> io::Result<()> {
        match &mut self.current {
            Some(current) => current.sync(&self.options.path),
            None => Ok(()),
        }
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
        if let Some(current) = &mut self.current
            && current.is_due(&self.options, extra, now)
        {
            // What is promised of the current file must hold for this one too.
            if let (Err(error), false) = (current.sync(&self.options.path), self.said) {
                log::warn!("flushing \"{}\" to the disk: {error}", self.options.path.display());
            }
            match rotate(&self.options) {
                Ok(()) => {
                    self.current = None;
                    self.said = false;
                }
                // It need not cost lines yet: go on with this file, for a while.
                Err(error) if current.len < self.options.rotate_bytes.saturating_mul(2) => {
                    if !std::mem::replace(&mut self.said, true) {
                        log::warn!("rotating \"{}\": {error}", self.options.path.display());
                    }
                }
                Err(error) => {
                    return Err(io::Error::new(
                        error.kind(),
                        format!("it is full and cannot be rotated: {error}"),
                    ));
                }
            }
        }
        if self.current.is_none() {
            self.current = Some(self.reopen()?);
        }
        self.current.as_mut().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn reopen(&self) -> io::Result<Current> {
        let now = self.clock.wall();
        let opened = match Current::open(&self.options.path, now) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if let Some(folder) = self.options.path.parent() {
                    fs::create_dir_all(folder)?;
                }
                Current::open(&self.options.path, now)
            }
            opened => opened,
        }?;
        if opened.regular {
            remove_surplus(&self.options, now);
        }
        Ok(opened)
    }
}

/// Whether waiting may help: a disk that is full or broken, but not one that is
/// somebody else's.
fn may_pass(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::StaleNetworkFileHandle
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::TimedOut
    ) || error.raw_os_error() == Some(EIO)
}

/// An error of the device itself, which has no kind of its own; the same number on
/// every Linux.
const EIO: i32 = 5;

impl Current {
    fn open(path: &Path, now: SystemTime) -> io::Result<Current> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let before = file.metadata()?;
        let regular = before.is_file();
        match if regular { file.try_lock() } else { Ok(()) } {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::other("another process writes it"));
            }
            // Some network file systems know no locks.
            Err(TryLockError::Error(error)) => {
                log::debug!("locking \"{}\": {error}", path.display())
            }
        }
        let torn = if regular { torn_tail(&mut file)? } else { 0 };
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
            regular,
            dirty: true,
            named: false,
        })
    }

    fn is_due(&self, options: &FileOptions, extra: u64, now: SystemTime) -> bool {
        let full = self.len + extra > options.rotate_bytes;
        let old = now.duration_since(self.born).is_ok_and(|age| age >= options.rotate_age.0);
        self.regular && self.len > 0 && (full || old)
    }

    fn sync(&mut self, path: &Path) -> io::Result<()> {
        if !self.regular {
            return Ok(());
        }
        if self.dirty {
            self.file.sync_data()?;
            self.dirty = false;
        }
        // Tried once: a folder that may be written need not be readable.
        if std::mem::replace(&mut self.named, true) { Ok(()) } else { sync_folder_of(path) }
    }
}

fn identity_of(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|m| (m.dev(), m.ino()))
}

/// `path` becomes `path.1`, `path.1` becomes `path.2`, and so on; the oldest goes.
fn rotate(options: &FileOptions) -> io::Result<()> {
    if options.keep == 0 {
        return fs::remove_file(&options.path);
    }
    for n in (1..options.keep).rev() {
        match fs::rename(options.older(n), options.older(n + 1)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(&options.path, options.older(1))
}

/// Removes older files beyond those that are kept, as a greater `keep` of an
/// earlier run left them, and those last written longer ago than any could be that
/// is kept. Only files of ours: others may have such a name.
fn remove_surplus(options: &FileOptions, now: SystemTime) {
    let files = u32::try_from(options.keep).unwrap_or(u32::MAX).saturating_add(1);
    let oldest = options.rotate_age.0.saturating_mul(files);
    let mut gone: usize = 0;
    for n in 1..=MOST_FILES {
        let path = options.older(n);
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            // Nothing makes a hole that large.
            gone += 1;
            if gone > options.keep.max(100) {
                return;
            }
            continue;
        };
        let age = metadata.modified().ok().and_then(|time| now.duration_since(time).ok());
        let too_old = age.is_some_and(|age: Duration| age > oldest);
        if metadata.is_file() && (n > options.keep || too_old) && begins_as_ours(&path) {
            match fs::remove_file(&path) {
                Ok(()) => log::info!("removed \"{}\", which is no longer kept", path.display()),
                Err(error) => log::warn!("removing \"{}\": {error}", path.display()),
            }
        }
    }
}

fn begins_as_ours(path: &Path) -> bool {
    let mut beginning = [0; BEGINNING.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut beginning));
    read.is_ok() && beginning == *BEGINNING
}

/// Bytes after the last newline.
///
/// # Errors
/// The file cannot be read, or those bytes are not the beginning of one of our
/// lines: then it is somebody else's file, and cutting it would destroy data.
fn torn_tail(file: &mut File) -> io::Result<u64> {
    const STEP: u64 = 4096;
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

/// Appends all of `bytes` or nothing: what a full disk cut short is taken back to
/// `len`, the length before.
fn append_whole(file: &mut impl Appendable, len: u64, bytes: &[u8]) -> io::Result<()> {
    let mut left = bytes;
    while !left.is_empty() {
        let error = match file.append(left) {
            Ok(0) => ErrorKind::WriteZero.into(),
            Ok(written) => {
                left = left.get(written..).unwrap_or_default();
                continue;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => error,
        };
        if left.len() < bytes.len() {
            // Where even this fails, opening the file again does it.
            let _ = file.cut(len);
        }
        return Err(error);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::HeldClock;

    fn options(path: &Path) -> FileOptions {
        FileOptions { keep: 2, ..FileOptions::new(path) }
    }

    fn open(options: FileOptions, clock: Arc<dyn Clock>) -> Result<Rolling> {
        Rolling::open("test file", options, clock)
    }

    /// A line of some 125 bytes, as an event has.
    fn write(file: &mut Rolling, label: &str) -> io::Result<()> {
        let line = format!("{{\"v\":1,\"label\":\"{label}\",\"more\":\"{}\"}}\n", "-".repeat(80));
        file.append(line.as_bytes()).map(|_| ())
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
            let mut file = open(options(&path), HeldClock::new()).unwrap();
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
            let mut file = open(options(&path), HeldClock::new()).unwrap();
            write(&mut file, "next").unwrap();
            assert_eq!(labels(&path), ["whole", "next"], "{torn:.20}");
        }
        fs::write(&path, "{\"v\":1,\"torn").unwrap();
        drop(open(options(&path), HeldClock::new()).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn a_file_that_is_not_ours_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        fs::write(&path, "line\nmy notes").unwrap();
        let error = open(options(&path), HeldClock::new()).err().unwrap();
        assert!(error.to_string().contains("some other file"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "line\nmy notes");
    }

    #[test]
    fn two_daemons_do_not_share_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.jsonl");
        let _first = open(options(&path), HeldClock::new()).unwrap();
        let error = open(options(&path), HeldClock::new()).err().unwrap();
        assert!(error.to_string().contains("another process writes it"), "{error}");
    }

    #[test]
    fn a_full_file_is_rotated_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.jsonl");
        let mut file =
            open(FileOptions { rotate_bytes: 250, ..options(&path) }, HeldClock::new()).unwrap();
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
        let hand = HeldClock::new();
        let rotate_age = HumanDuration::seconds(60);
        let mut file = open(FileOptions { rotate_age, ..options(&path) }, hand.clone()).unwrap();
        write(&mut file, "a").unwrap();
        hand.pass(Duration::from_secs(59));
        write(&mut file, "b").unwrap();
        hand.pass(Duration::from_secs(1));
        write(&mut file, "c").unwrap();
        assert_eq!(labels(&path), ["c"]);
        assert_eq!(labels(&folder.path().join("p.jsonl.1")), ["a", "b"]);
    }

    #[test]
    fn a_file_moved_away_is_created_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.jsonl");
        let mut file = open(options(&path), HeldClock::new()).unwrap();
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
        let mut file = open(options(&path), HeldClock::new()).unwrap();
        assert!(write(&mut file, "a").is_err());
        fs::remove_file(&path).unwrap();
        write(&mut file, "b").unwrap();
        assert_eq!(labels(&path), ["b"]);
    }

    #[test]
    fn files_that_an_earlier_run_kept_are_removed_and_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.jsonl");
        let hand = HeldClock::new();
        let of = |n: u32| folder.path().join(format!("p.jsonl.{n}"));
        for n in [1, 2, 3, 4, 40] {
            fs::write(of(n), "{\"v\":1}\n").unwrap();
        }
        fs::write(of(5), "my notes\n").unwrap();
        fs::write(of(20_261_122), "{\"v\":1}\n").unwrap();
        drop(open(options(&path), hand.clone()).unwrap());
        let there = |n: &u32| of(*n).exists();
        let all = [1, 2, 3, 4, 5, 40, 20_261_122];
        let left = |all: &[u32]| all.iter().copied().filter(there).collect::<Vec<_>>();
        assert_eq!(left(&all), [1, 2, 5, 20_261_122]);
        // Two kept and the current one, a day each.
        hand.pass(Duration::from_secs(3 * 24 * 3600 - 60));
        drop(open(options(&path), hand.clone()).unwrap());
        assert_eq!(left(&all), [1, 2, 5, 20_261_122]);
        hand.pass(Duration::from_secs(120));
        drop(open(options(&path), hand).unwrap());
        assert_eq!(left(&all), [5, 20_261_122]);
    }

    #[test]
    fn a_file_that_cannot_be_rotated_does_not_grow_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.jsonl");
        // A folder that is in the way of the renamed file.
        fs::create_dir_all(folder.path().join("p.jsonl.1/in the way")).unwrap();
        let options = FileOptions { rotate_bytes: 250, keep: 1, ..FileOptions::new(&path) };
        let mut file = open(options, HeldClock::new()).unwrap();
        let written = (0..100).filter(|k| write(&mut file, &k.to_string()).is_ok()).count();
        assert!(fs::metadata(&path).unwrap().len() < 750 && (2..6).contains(&written), "{written}");
        fs::remove_dir_all(folder.path().join("p.jsonl.1")).unwrap();
        write(&mut file, "after").unwrap();
        assert_eq!(labels(&path), ["after"]);
    }

    #[test]
    fn a_folder_that_was_removed_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("of/lines/p.jsonl");
        let mut file = open(options(&path), HeldClock::new()).unwrap();
        write(&mut file, "a").unwrap();
        file.sync().unwrap();
        fs::remove_dir_all(folder.path().join("of")).unwrap();
        write(&mut file, "b").unwrap();
        assert_eq!(labels(&path), ["b"]);
    }
}
