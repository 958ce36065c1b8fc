//! Recordings with flipped bits, cut off, or with pieces moved, played in child
//! processes of limited memory: a panic of ours, a hang or memory without end fails the
//! test; a decoder that crashes takes its child with it and is counted.

#[allow(dead_code)]
#[path = "video_support/mod.rs"]
mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use gstreamer as gst;
use kinewatch::stop::Stop;
use kinewatch::video::{Colour, Frame, FrameSource, Next, Pace, Source, SourceSpec, Want};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use support::{Clip, make};

/// Where the children find their recordings, and the first that they play.
const FOLDER: &str = "KINEWATCH_BROKEN_MEDIA";
const FIRST: &str = "KINEWATCH_BROKEN_FIRST";
/// Recordings that one child plays.
const BATCH: usize = 8;
/// Children at once.
const AT_ONCE: usize = 8;
/// Address space of a child, KiB.
const MEMORY: usize = 6 << 20;
/// No recording takes as long, on a machine that does much else besides.
const HANGS: Duration = Duration::from_secs(120);
/// Frames of one recording that are looked at.
const FRAMES: usize = 60;

/// Sound recordings in several containers and codecs, of those that are installed.
fn recordings(clip: &Clip) -> Vec<(String, Vec<u8>)> {
    gst::init().unwrap();
    let source =
        "videotestsrc num-buffers=30 pattern=ball ! video/x-raw,width=64,height=48,framerate=10/1";
    let kinds: [(&str, &[&str]); 8] = [
        ("a.mp4", &["x264enc", "mp4mux"]),
        ("b.mkv", &["x264enc", "matroskamux"]),
        ("c.ts", &["x264enc", "mpegtsmux"]),
        ("d.avi", &["jpegenc", "avimux"]),
        ("e.webm", &["vp8enc", "webmmux"]),
        ("f.mkv", &["x265enc", "h265parse", "matroskamux"]),
        ("g.ogv", &["theoraenc", "oggmux"]),
        ("h.flv", &["x264enc", "flvmux"]),
    ];
    let installed =
        |elements: &&[&str]| elements.iter().all(|e| gst::ElementFactory::find(e).is_some());
    kinds
        .iter()
        .filter(|(_, elements)| installed(elements))
        .map(|(name, elements)| {
            let path = clip.path(name);
            make(&format!("{source} ! {}", elements.join(" ! ")), &path);
            ((*name).to_owned(), fs::read(path).unwrap())
        })
        .collect()
}

fn below(chance: &mut ChaCha8Rng, limit: usize) -> usize {
    (chance.next_u64() % limit.max(1) as u64) as usize
}

/// Breaks a recording as a bad card, a lost network or somebody who tries would.
fn breaks(chance: &mut ChaCha8Rng, bytes: &mut Vec<u8>) {
    let length = bytes.len();
    match below(chance, 8) {
        0 => bytes.truncate(below(chance, length)),
        1 => {
            let from = below(chance, length);
            let to = (from + below(chance, 2_000)).min(length);
            bytes.drain(from..to);
        }
        2 => {
            let from = below(chance, length);
            let piece = bytes[from..(from + below(chance, 2_000)).min(length)].to_vec();
            let at = below(chance, length);
            bytes.splice(at..at, piece);
        }
        3 => {
            // The head says sizes, which are what decoders trust most.
            for _ in 0..=below(chance, 6) {
                let at = below(chance, length.min(600));
                bytes[at] = below(chance, 256) as u8;
            }
        }
        4 => {
            let from = below(chance, length);
            let to = (from + below(chance, 4_000)).min(length);
            let fill = [0, 0xff, 0x41][below(chance, 3)];
            bytes[from..to].fill(fill);
        }
        _ => {
            for _ in 0..=below(chance, 40) {
                let at = below(chance, length);
                bytes[at] ^= 1 << below(chance, 8);
            }
        }
    }
}

/// Not a test of its own: what a child does.
#[test]
#[ignore = "run by the other tests of this file"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let first: usize = std::env::var(FIRST).unwrap().parse().unwrap();
    for at in first.. {
        let Some(path) = named(&folder, at) else { break };
        println!("begin {at}");
        let want = Want {
            rate: 8.0,
            colour: Colour::Rgb,
            max_gap: Duration::from_secs(1),
            pictures: false,
        };
        let mut frames = 0;
        let opened =
            Source::open("broken", &SourceSpec::path(&path), &want, Pace::Fast, &Stop::default());
        let outcome = opened.and_then(|mut source| {
            let mut frame = Frame::new(Colour::Rgb);
            while frames < FRAMES && source.next(&mut frame)? == Next::Frame {
                assert_eq!(frame.data.len(), frame.width * frame.height * 3);
                frames += 1;
            }
            Ok(())
        });
        if let Err(error) = &outcome {
            assert!(!error.to_string().is_empty());
        }
        println!("end {at} {frames} {}", outcome.is_ok());
    }
}

fn named(folder: &Path, at: usize) -> Option<PathBuf> {
    let begins = format!("{at:05}-");
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&begins))
    })
}

#[derive(Default, Debug)]
struct Tally {
    played: usize,
    with_frames: usize,
    refused: usize,
    /// What crashed, with the signal.
    crashed: Vec<String>,
    out_of_memory: Vec<String>,
}

/// Starts a child; gives the lines that it says.
fn begin(folder: &Path, command: &str, first: usize) -> (Child, mpsc::Receiver<String>) {
    // One at a time: a child that qemu-user forks while another thread holds one of qemu's
    // locks waits for it for ever.
    static BEGINNING: Mutex<()> = Mutex::new(());
    let _held = BEGINNING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut child = Command::new("sh")
        .args(["-c", command])
        .arg(std::env::current_exe().unwrap())
        .env(FOLDER, folder)
        .env(FIRST, first.to_string())
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(folder.join("said")).unwrap())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
    (child, told)
}

/// Plays what lies in `folder` from `first` on; gives the one to go on with.
fn play(folder: &Path, first: usize, count: usize, tally: &mut Tally) -> usize {
    // The shell sets the limit; `exec` leaves one process to wait for.
    let limited = format!("ulimit -v {MEMORY} && exec \"$0\" child --exact --ignored --nocapture");
    let (mut child, told) = begin(folder, &limited, first);
    let mut at = first;
    loop {
        match told.recv_timeout(HANGS) {
            Ok(line) => {
                let words: Vec<&str> = line.split(' ').collect();
                match words.as_slice() {
                    ["begin", number] => at = number.parse().unwrap(),
                    ["end", number, frames, good] => {
                        at = number.parse::<usize>().unwrap() + 1;
                        tally.played += 1;
                        tally.with_frames += usize::from(*frames != "0");
                        tally.refused += usize::from(*good != "true");
                    }
                    _ => {}
                }
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{} hangs", keep(folder, at));
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    let status = child.wait().unwrap();
    if status.success() {
        return count;
    }
    let said = fs::read_to_string(folder.join("said")).unwrap_or_default();
    let kept = keep(folder, at);
    if said.contains("panicked at") {
        panic!("{kept} makes kinewatch panic:\n{said}");
    }
    let last = said.lines().last().unwrap_or_default();
    let story = format!("{kept}: {status} (signal {:?}) {last}", status.signal());
    let memory = ["failed to allocate", "out of memory", "memory allocation", "Cannot allocate"];
    if memory.iter().any(|words| said.contains(words)) {
        tally.out_of_memory.push(story);
    } else {
        tally.crashed.push(story);
    }
    tally.played += 1;
    at + 1
}

/// Puts a recording where it can be looked at.
fn keep(folder: &Path, at: usize) -> String {
    let Some(path) = named(folder, at) else { return format!("recording {at}") };
    let kept = std::env::temp_dir()
        .join(format!("kinewatch-broken-{}", path.file_name().unwrap().to_string_lossy()));
    let _ = fs::copy(&path, &kept);
    kept.display().to_string()
}

/// Breaks and plays the recordings from the `from`th on.
fn play_batch(
    recordings: &[(String, Vec<u8>)],
    from: usize,
    count: usize,
    seed: u64,
    tally: &mut Tally,
) {
    let folder = tempfile::tempdir().unwrap();
    for at in 0..count {
        let mut chance = ChaCha8Rng::seed_from_u64(seed << 32 | (from + at) as u64);
        let (name, mut bytes) = recordings[below(&mut chance, recordings.len())].clone();
        for _ in 0..=below(&mut chance, 3) {
            if !bytes.is_empty() {
                breaks(&mut chance, &mut bytes);
            }
        }
        let name = format!("{at:05}-{seed}-{}-{name}", from + at);
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let mut next = 0;
    while next < count {
        next = play(folder.path(), next, count, tally);
    }
}

fn broken(count: usize, seed: u64) -> Tally {
    let clip = Clip::new();
    let recordings = recordings(&clip);
    assert!(recordings.len() >= 3, "only {} kinds of recording can be made", recordings.len());
    let batches = AtomicUsize::new(0);
    let tally = Mutex::new(Tally::default());
    // Many at once: to tell that nothing more comes takes time, and no work.
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let from = batches.fetch_add(1, Ordering::Relaxed) * BATCH;
                    if from >= count {
                        break;
                    }
                    let mut own = Tally::default();
                    play_batch(&recordings, from, BATCH.min(count - from), seed, &mut own);
                    let mut all = tally.lock().unwrap();
                    all.played += own.played;
                    all.with_frames += own.with_frames;
                    all.refused += own.refused;
                    all.crashed.extend(own.crashed);
                    all.out_of_memory.extend(own.out_of_memory);
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap();
    println!(
        "broken recordings: {} played, {} gave frames, {} ended with an error, {} crashed a decoder, {} ran out of memory",
        tally.played,
        tally.with_frames,
        tally.refused,
        tally.crashed.len(),
        tally.out_of_memory.len()
    );
    tally.crashed.iter().chain(&tally.out_of_memory).for_each(|story| println!("  {story}"));
    assert_eq!(tally.played, count);
    // Those that only refuse would pass otherwise.
    assert!(tally.with_frames > count / 10 && tally.refused > 0, "{tally:?}");
    tally
}

#[test]
fn broken_recordings_end_with_an_error_or_with_what_is_left_of_them() {
    let tally = broken(60, 1);
    assert!(tally.crashed.is_empty() && tally.out_of_memory.is_empty(), "{tally:?}");
}

/// A decoder that crashes here is GStreamer's or FFmpeg's to mend; it is why a stream
/// can be isolated. It is told, and no failure of this test.
#[test]
#[ignore = "takes minutes; run by `make torture-hostile`"]
fn ten_thousand_broken_recordings() {
    let count = std::env::var("KINEWATCH_BROKEN").map_or(10_000, |count| count.parse().unwrap());
    broken(count, 2);
}
