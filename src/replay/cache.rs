//! Decoded, sampled and normalised frames on disk, for runs over many models
//! that are fed alike.
//!
//! An entry is one video under one input: a Zstandard stream (with its
//! checksum) of a line of JSON, then for each frame its time, whether a clip
//! begins with it, and its tensor as little-endian f32, then how far the video
//! was decoded. It is written beside its place and renamed, so that what bears
//! an entry's name is whole; one that is damaged all the same is thrown away
//! and made again.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::watch::{Watch, nanos};
use crate::clip::{Feed, Normalised};
use crate::error::{Error, Result};
use crate::hex::hex;
use crate::stop::Stop;
use crate::video::{Next, Reset};

/// Changes whenever an entry would be read or made differently.
const FORMAT: u32 = 1;
const ENDING: &str = "clips.zst";
/// Frames of noise hardly shrink; those of letterboxes and still pictures do.
const LEVEL: i32 = 1;
/// What a killed run left behind is taken away after this long.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);
/// The folder is looked through again after this part of the limit was written.
const RESCAN: u64 = 16;

/// A folder of bounded size.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    limit: u64,
    /// Bytes there may be, and bytes written since that was counted.
    bytes: Mutex<(u64, u64)>,
    serial: AtomicU64,
    warned: AtomicBool,
}

/// What an entry says before its frames.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    format: u32,
    /// Values in a frame.
    pub frame_len: usize,
    /// The length of the video that was announced, nanoseconds; 0 for none.
    pub length: u64,
}

impl Head {
    pub fn new(frame_len: usize, length: Duration) -> Self {
        Head { format: FORMAT, frame_len, length: nanos(length) }
    }
}

impl Cache {
    /// Opens the folder, making it where it does not exist, to hold `limit`
    /// bytes at most.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](crate::error::Kind::Unavailable): it cannot be
    /// made or read.
    pub fn open(folder: &Path, limit: u64) -> Result<Cache> {
        let cache = Cache {
            folder: folder.to_owned(),
            limit,
            bytes: Mutex::new((0, 0)),
            serial: AtomicU64::new(0),
            warned: AtomicBool::new(false),
        };
        fs::create_dir_all(folder).and_then(|()| cache.scan()).map(|()| cache).map_err(|error| {
            Error::unavailable(format!("opening the cache \"{}\"", folder.display()), error)
        })
    }

    /// The name of the entry for the video at `path`, as it is now, under
    /// everything that decides its frames (`views`).
    pub(super) fn key(path: &Path, views: &impl Serialize) -> Option<String> {
        let metadata = fs::metadata(path).ok()?;
        let modified = metadata.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let identity = (
            FORMAT,
            fs::canonicalize(path).ok()?.to_string_lossy().into_owned(),
            metadata.len(),
            modified.as_nanos().to_string(),
            gstreamer::version_string().to_string(),
            views,
        );
        let text = serde_json::to_string(&identity).ok()?;
        Some(hex(Sha256::digest(text)))
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.{ENDING}"))
    }

    /// The entry, if there is one that can be opened.
    pub(super) fn reader(&self, key: &str, frame_len: usize, watch: &Watch) -> Option<Reader> {
        let file = File::open(self.path(key)).ok()?;
        let reader = Reader::open(file, frame_len, watch.clone());
        if reader.is_none() {
            self.discard(key);
        }
        reader
    }

    /// Whether the entry can be read to its end and its checksum is right. A session
    /// that fails over what an entry holds gets no further, and so not to the checksum.
    pub(super) fn is_whole(&self, key: &str) -> bool {
        File::open(self.path(key))
            .and_then(zstd::Decoder::new)
            .and_then(|mut input| std::io::copy(&mut input, &mut std::io::sink()))
            .is_ok()
    }

    /// Takes a damaged entry away.
    pub(super) fn discard(&self, key: &str) {
        log::warn!("the cache entry \"{}\" is damaged: made anew", self.path(key).display());
        let _ = fs::remove_file(self.path(key));
    }

    /// Everything that `feed` gives is written down on its way, and kept unless
    /// `stop` ended it early. That this fails (a full disk) harms nobody but the
    /// cache.
    pub(super) fn recorder(
        self: &Arc<Self>,
        key: &str,
        head: Head,
        feed: Box<dyn Feed>,
        watch: &Watch,
        stop: &Stop,
    ) -> Box<dyn Feed> {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let temporary = self.folder.join(format!(".{key}.{}-{serial}.tmp", std::process::id()));
        let entry = Entry::create(&temporary, head, self.limit);
        let entry = entry.inspect_err(|error| self.warn(error)).ok();
        Box::new(Recorder {
            cache: self.clone(),
            key: key.to_owned(),
            temporary,
            entry,
            feed,
            watch: watch.clone(),
            stop: stop.clone(),
        })
    }

    fn warn(&self, error: &std::io::Error) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            log::warn!(
                "the cache \"{}\" cannot be written ({error}): going on without",
                self.folder.display()
            );
        }
    }

    /// Gives an entry its name, and makes room.
    fn keep(&self, temporary: &Path, key: &str) -> std::io::Result<()> {
        let size = fs::metadata(temporary)?.len();
        fs::rename(temporary, self.path(key))?;
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        *bytes = (bytes.0 + size, bytes.1 + size);
        let look = bytes.0 > self.limit || bytes.1 > self.limit / RESCAN;
        drop(bytes);
        if look { self.scan() } else { Ok(()) }
    }

    /// Counts what is there, other processes' entries too, and takes the oldest
    /// away until the rest fits.
    fn scan(&self) -> std::io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // Another process may have taken it away already.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            let Ok(modified) = metadata.modified() else { continue };
            if name.ends_with(ENDING) {
                entries.push((modified, path, metadata.len()));
            } else if name.starts_with('.')
                && name.ends_with(".tmp")
                && modified.elapsed().is_ok_and(|age| age > ABANDONED)
            {
                let _ = fs::remove_file(path);
            }
        }
        entries.sort();
        let mut bytes: u64 = entries.iter().map(|entry| entry.2).sum();
        for (_, path, size) in entries {
            if bytes <= self.limit {
                break;
            }
            fs::remove_file(path)?;
            bytes -= size;
        }
        *self.bytes.lock().unwrap_or_else(PoisonError::into_inner) = (bytes, 0);
        Ok(())
    }
}

const FRAME: u8 = 1;
const END: u8 = 2;

fn code_of(reset: Option<Reset>) -> u8 {
    match reset {
        None => 0,
        Some(Reset::Start) => 1,
        Some(Reset::Gap) => 2,
        Some(Reset::Backwards) => 3,
        Some(Reset::Reconnect) => 4,
        Some(Reset::Overload) => 5,
        Some(Reset::Clip) => 6,
        Some(Reset::Fault) => 7,
    }
}

fn reset_of(code: u8) -> Option<Option<Reset>> {
    Some(match code {
        0 => None,
        1 => Some(Reset::Start),
        2 => Some(Reset::Gap),
        3 => Some(Reset::Backwards),
        4 => Some(Reset::Reconnect),
        5 => Some(Reset::Overload),
        6 => Some(Reset::Clip),
        7 => Some(Reset::Fault),
        _ => return None,
    })
}

/// An entry that is being written.
struct Entry {
    out: zstd::Encoder<'static, BufWriter<Counted>>,
    bytes: Vec<u8>,
    limit: u64,
}

/// A file and how much was written to it.
struct Counted {
    file: File,
    written: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Entry {
    fn create(path: &Path, head: Head, limit: u64) -> std::io::Result<Self> {
        let file = Counted { file: File::create(path)?, written: 0 };
        let mut out = zstd::Encoder::new(BufWriter::new(file), LEVEL)?;
        out.include_checksum(true)?;
        serde_json::to_writer(&mut out, &head)?;
        out.write_all(b"\n")?;
        Ok(Entry { out, bytes: Vec::new(), limit })
    }

    /// Whether it still fits the cache.
    fn frame(&mut self, frame: &Normalised) -> std::io::Result<bool> {
        self.bytes.clear();
        self.bytes.push(FRAME);
        self.bytes.extend_from_slice(&nanos(frame.t).to_le_bytes());
        self.bytes.push(code_of(frame.reset));
        self.bytes.extend(frame.tensor.iter().flat_map(|value| value.to_le_bytes()));
        self.out.write_all(&self.bytes)?;
        Ok(self.out.get_ref().get_ref().written <= self.limit)
    }

    fn end(mut self, reach: Duration) -> std::io::Result<()> {
        self.out.write_all(&[END])?;
        self.out.write_all(&nanos(reach).to_le_bytes())?;
        let file = self.out.finish()?.into_inner().map_err(|error| error.into_error())?;
        // An entry that a power cut emptied would be found damaged and made
        // anew: no need to wait for the disk.
        drop(file);
        Ok(())
    }
}

struct Recorder {
    cache: Arc<Cache>,
    key: String,
    temporary: PathBuf,
    entry: Option<Entry>,
    feed: Box<dyn Feed>,
    watch: Watch,
    stop: Stop,
}

impl Recorder {
    fn record(&mut self, next: Next, frame: &Normalised) -> std::io::Result<()> {
        let Some(entry) = &mut self.entry else { return Ok(()) };
        if next == Next::Frame {
            if !entry.frame(frame)? {
                log::debug!("a video is larger than the whole cache: not kept");
                self.entry = None;
            }
        } else if let Some(entry) = self.entry.take()
            && !self.stop.asked()
        {
            entry.end(self.watch.reach())?;
            self.cache.keep(&self.temporary, &self.key)?;
        }
        Ok(())
    }
}

impl Feed for Recorder {
    fn next(&mut self, into: &mut Normalised) -> Result<Next> {
        let next = self.feed.next(into)?;
        if let Err(error) = self.record(next, into) {
            self.cache.warn(&error);
            self.entry = None;
        }
        Ok(next)
    }

    fn live(&self) -> bool {
        self.feed.live()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // Renamed where it was ended well.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// An entry as a feed.
pub(super) struct Reader {
    pub head: Head,
    input: zstd::Decoder<'static, BufReader<File>>,
    bytes: Vec<u8>,
    watch: Watch,
    damaged: Arc<AtomicBool>,
    ended: bool,
}

impl Reader {
    fn open(file: File, frame_len: usize, watch: Watch) -> Option<Self> {
        let mut input = zstd::Decoder::new(file).ok()?;
        let mut line = Vec::new();
        let mut byte = [0];
        while line.len() < 1024 {
            input.read_exact(&mut byte).ok()?;
            if byte[0] == b'\n' {
                break;
            }
            line.push(byte[0]);
        }
        let head: Head = serde_json::from_slice(&line).ok()?;
        let fits = head.format == FORMAT && head.frame_len == frame_len;
        fits.then(|| {
            watch.set_length(Duration::from_nanos(head.length));
            let bytes = vec![0; 9 + 4 * frame_len];
            Reader { head, input, bytes, watch, damaged: Arc::default(), ended: false }
        })
    }

    /// Set once something is found wrong with it; what it gave until then was
    /// not to be trusted.
    pub fn damaged(&self) -> Arc<AtomicBool> {
        self.damaged.clone()
    }

    fn read(&mut self, into: &mut Normalised) -> std::io::Result<Next> {
        let wrong = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what);
        let mut tag = [0];
        self.input.read_exact(&mut tag)?;
        if tag[0] == END {
            let mut reach = [0; 8];
            self.input.read_exact(&mut reach)?;
            // Reading on to the very end is what verifies the checksum.
            if self.input.read(&mut tag)? != 0 {
                return Err(wrong("something follows its end"));
            }
            self.watch.set_reach(Duration::from_nanos(u64::from_le_bytes(reach)));
            return Ok(Next::End);
        }
        self.input.read_exact(&mut self.bytes)?;
        let (time, rest) = self.bytes.split_at(8);
        let time = time.try_into().map(u64::from_le_bytes).map_err(|_| wrong("no time"))?;
        let reset = rest.first().copied().and_then(reset_of).filter(|_| tag[0] == FRAME);
        into.reset = reset.ok_or_else(|| wrong("no frame where one should be"))?;
        into.t = Duration::from_nanos(time);
        into.arrived = Instant::now();
        for (value, bytes) in into.tensor.iter_mut().zip(rest[1..].as_chunks().0) {
            *value = f32::from_le_bytes(*bytes);
        }
        self.watch.set_reach(into.t);
        Ok(Next::Frame)
    }
}

impl Feed for Reader {
    fn next(&mut self, into: &mut Normalised) -> Result<Next> {
        if self.ended {
            return Ok(Next::End);
        }
        let next = self.read(into).map_err(|error| {
            self.damaged.store(true, Ordering::Release);
            Error::data("reading a cache entry", error)
        })?;
        self.ended = next == Next::End;
        Ok(next)
    }

    fn live(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of four values.
    struct Script(u64, u64);

    impl Feed for Script {
        fn next(&mut self, into: &mut Normalised) -> Result<Next> {
            if self.0 == self.1 {
                return Ok(Next::End);
            }
            // Noise, so that sizes are what they seem.
            into.tensor.iter_mut().enumerate().for_each(|(at, value)| {
                let mixed = (self.0 * 1009 + at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                *value = (mixed >> 40) as f32;
            });
            into.t = Duration::from_millis(self.0 * 125);
            into.reset = (self.0 == 0).then_some(Reset::Start);
            self.0 += 1;
            Ok(Next::Frame)
        }

        fn live(&self) -> bool {
            false
        }
    }

    const LEN: usize = 1000;

    type Drained = Vec<(Vec<f32>, Duration, Option<Reset>)>;

    fn drain(feed: &mut dyn Feed) -> Result<Drained> {
        let mut into = Normalised::new(LEN);
        let mut out = Vec::new();
        while feed.next(&mut into)? == Next::Frame {
            out.push((into.tensor.clone(), into.t, into.reset));
        }
        Ok(out)
    }

    fn record(cache: &Arc<Cache>, key: &str, frames: u64) {
        let watch = Watch::default();
        watch.set_reach(Duration::from_secs(7));
        let head = Head::new(LEN, Duration::from_secs(8));
        let feed = Box::new(Script(0, frames));
        drain(&mut *cache.recorder(key, head, feed, &watch, &Stop::default())).unwrap();
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_kept_comes_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Arc::new(Cache::open(folder.path(), 1 << 20).unwrap());
        record(&cache, "a", 5);
        let watch = Watch::default();
        let mut reader = cache.reader("a", LEN, &watch).unwrap();
        assert_eq!(drain(&mut reader).unwrap(), drain(&mut Script(0, 5)).unwrap());
        assert_eq!((watch.reach().as_secs(), watch.length().as_secs()), (7, 8));
        assert!(cache.reader("b", LEN, &watch).is_none());
    }

    #[test]
    fn a_damaged_entry_is_noticed_wherever_the_damage_is() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Arc::new(Cache::open(folder.path(), 1 << 20).unwrap());
        record(&cache, "a", 5);
        let path = cache.path("a");
        let whole = fs::read(&path).unwrap();
        let noticed = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            match cache.reader("a", LEN, &Watch::default()) {
                None => true,
                Some(mut reader) => {
                    let damaged = reader.damaged();
                    drain(&mut reader).is_err() && damaged.load(Ordering::Acquire)
                }
            }
        };
        assert!(!noticed(&whole) && cache.is_whole("a"), "the whole one is good");
        for at in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            assert!(noticed(&bytes) && !cache.is_whole("a"), "byte {at} of {}", whole.len());
            assert!(noticed(&whole[..at]), "cut off at {at}");
        }
    }

    #[test]
    fn the_oldest_entries_make_room() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Arc::new(Cache::open(folder.path(), 30_000).unwrap());
        for (age, key) in [(30, "a"), (20, "b"), (10, "c")] {
            record(&cache, key, 3);
            let old = SystemTime::now() - Duration::from_secs(age);
            if let Ok(file) = File::options().write(true).open(cache.path(key)) {
                file.set_modified(old).unwrap();
            }
        }
        assert_eq!(names(folder.path()), ["b.clips.zst", "c.clips.zst"]);
        record(&cache, "d", 3);
        assert_eq!(names(folder.path()), ["c.clips.zst", "d.clips.zst"]);
        record(&cache, "too-large", 50);
        assert_eq!(names(folder.path()).len(), 2, "{:?}", names(folder.path()));
    }

    #[test]
    fn what_is_not_finished_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Arc::new(Cache::open(folder.path(), 1 << 20).unwrap());
        let head = Head::new(LEN, Duration::ZERO);
        let (watch, stop) = (Watch::default(), Stop::default());
        let script = || Box::new(Script(0, 5));
        let mut feed = cache.recorder("a", head, script(), &watch, &stop);
        feed.next(&mut Normalised::new(LEN)).unwrap();
        drop(feed);
        assert!(names(folder.path()).is_empty());
        // A source that is asked to stop ends as if it were at its end.
        let mut feed = cache.recorder("a", head, script(), &watch, &stop);
        stop.ask();
        drain(&mut *feed).unwrap();
        drop(feed);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn another_file_under_the_same_name_is_another_entry() {
        let folder = tempfile::tempdir().unwrap();
        let video = folder.path().join("a.mp4");
        fs::write(&video, "one").unwrap();
        let key = Cache::key(&video, &"window").unwrap();
        assert_eq!(Cache::key(&video, &"window").unwrap(), key);
        assert_ne!(Cache::key(&video, &"dense").unwrap(), key);
        fs::write(&video, "three").unwrap();
        assert_ne!(Cache::key(&video, &"window").unwrap(), key);
        assert_eq!(Cache::key(&folder.path().join("gone.mp4"), &"window"), None);
    }
}
