//! The daemon's side: a source like any other, that believes nothing.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Once;
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use super::Isolation;
use super::job::Job;
use super::process::Process;
use super::protocol::{Book, Order, Picture, SLOTS, Said, Standing, nanos};
use super::sandbox::Needs;
use super::wire::{Inbox, LONGEST, Nonsense};
use crate::error::{Error, Kind, Result};
use crate::stop::Stop;
use crate::video::address::shown;
use crate::video::spec::SourceSpec;
use crate::video::{Connection, Frame, FrameSource, Next, Pace, Polled, Pulse, Recording, Want};

/// How often a waiting source looks at the stop flag.
const LOOK: Duration = Duration::from_millis(50);
/// How long the process may take to start, to renew GStreamer's registry on a
/// slow card even, and to open its source.
const OPENING: Duration = Duration::from_secs(60);
/// However short a source's own time-out is, a machine under load takes a while.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a live source may take to sign off at its camera.
const GRACE: Duration = Duration::from_millis(1_500);
/// How long after its last word a process may take to be gone.
const LAST_BREATH: Duration = Duration::from_secs(1);
/// How long an order may take to be heard.
const HEARING: Duration = Duration::from_secs(5);
/// Lines that a process may put into the log in [`WHILE`].
const LINES: u32 = 30;
const WHILE: Duration = Duration::from_secs(10);
/// Of a text from a process, so many characters are shown.
const SHOWN: usize = 1_000;

/// A source in a process of its own.
pub(crate) struct Isolated {
    doing: String,
    recording: bool,
    process: Process,
    socket: UnixStream,
    memory: File,
    inbox: Inbox,
    body: Vec<u8>,
    /// What is to be sent.
    order: Vec<u8>,
    book: Book,
    stop: Stop,
    patience: Duration,
    standing: Standing,
    /// What came so far.
    pulse: Pulse,
    /// For how long the process said nothing.
    silent: Duration,
    started: bool,
    voice: Voice,
    /// How it ended, once it did.
    over: Option<Result<()>>,
}

impl Isolated {
    /// Starts a decoder process from `program` and has it open `spec`. Where it is
    /// `watched`, the caller looks at its pulse, and gives up a live source that is
    /// silent.
    ///
    /// # Errors
    /// As [`Source::open`](crate::video::Source::open);
    /// [`Kind::Unavailable`] also where the process cannot be started or held.
    #[allow(clippy::too_many_arguments)]
    pub fn open(
        program: &Path,
        name: &str,
        spec: &SourceSpec,
        isolation: &Isolation,
        want: &Want,
        pace: Pace,
        watched: bool,
        stop: &Stop,
    ) -> Result<Self> {
        spec.check()?;
        let doing = format!("isolating {} of stream \"{name}\"", spec.describe());
        isolation
            .check()
            .map_err(|(key, fault)| Error::config(&doing, format!("isolate.{key}: {fault}")))?;
        let starting = doing.clone();
        let cannot = |error: io::Error| Error::unavailable(&starting, error);
        let memory = shared(isolation.slot() * SLOTS as u64).map_err(|e| cannot(e.into()))?;
        let (socket, theirs) = UnixStream::pair().map_err(cannot)?;
        socket.set_read_timeout(Some(LOOK)).map_err(cannot)?;
        socket.set_write_timeout(Some(HEARING)).map_err(cannot)?;
        let network = Needs::of(spec, isolation).network();
        let process = Process::start(
            program,
            name,
            theirs.into(),
            memory.try_clone().map_err(cannot)?.into(),
            network,
        )
        .map_err(cannot)?;
        let mut source = Isolated {
            recording: spec.is_recording(),
            process,
            socket,
            memory,
            inbox: Inbox::new(LONGEST),
            body: Vec::new(),
            order: Vec::new(),
            book: Book::new(isolation.slot(), want.colour),
            stop: stop.clone(),
            patience: spec.timeout().max(PATIENCE),
            standing: Standing { live: !spec.is_recording(), ..Standing::default() },
            pulse: Pulse::default(),
            silent: Duration::ZERO,
            started: false,
            voice: Voice::new(name, spec),
            over: None,
            doing,
        };
        let job = Job {
            name: name.to_owned(),
            spec: absolute(spec),
            isolation: isolation.clone(),
            want: want.clone(),
            pace,
            watched,
            verbosity: log::max_level() as u8,
        };
        let mut bytes = Vec::new();
        job.write(&mut bytes);
        source.send(&bytes)?;
        source.opened()?;
        Ok(source)
    }

    fn opened(&mut self) -> Result<()> {
        let mut ready = false;
        loop {
            match self.hear(OPENING, None)? {
                // Asked to end: so will the first frame be.
                None => return Ok(()),
                Some(Said::Ready { landlock }) if !ready => {
                    ready = true;
                    if !landlock {
                        say_once();
                    }
                }
                Some(Said::Opened(standing)) if ready => {
                    self.standing = standing;
                    return Ok(());
                }
                Some(Said::Failed(error, _)) => return Err(self.voice.error(&error)),
                Some(_) => return Err(self.nonsense(Nonsense("an answer to no question"))),
            }
        }
    }

    /// The next thing that the process says which is not for the log; `None`
    /// when an end was asked for, or nothing came `until` then.
    fn hear(&mut self, patience: Duration, until: Option<Instant>) -> Result<Option<Said>> {
        let mut bytes = [0; 4096];
        loop {
            if self.stop.asked() {
                return Ok(None);
            }
            let voice = &mut self.voice;
            self.process.lines(|line| voice.say(log::Level::Info, line));
            match self.inbox.take(&mut self.body) {
                Ok(false) => {}
                Ok(true) => match Said::read(&self.body) {
                    Ok(Said::Alive) => continue,
                    Ok(Said::Log(level, text)) => {
                        let level = log::Level::iter().nth(usize::from(level.max(1) - 1));
                        self.voice.say(level.unwrap_or(log::Level::Info), &text);
                        continue;
                    }
                    Ok(said) => return Ok(Some(said)),
                    Err(nonsense) => return Err(self.nonsense(nonsense)),
                },
                Err(nonsense) => return Err(self.nonsense(nonsense)),
            }
            let since = Instant::now();
            if until.is_some_and(|until| since >= until) {
                return Ok(None);
            }
            match self.socket.read(&mut bytes) {
                Ok(0) => return Err(self.died()),
                Ok(len) => {
                    self.inbox.push(bytes.get(..len).unwrap_or_default());
                    self.silent = Duration::ZERO;
                }
                Err(error) if waits(&error) => {
                    // What we slept ourselves, frozen or suspended, is not its fault.
                    self.silent += since.elapsed().min(2 * LOOK);
                    if self.silent > patience {
                        return Err(self.hangs(self.silent));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(self.died()),
            }
        }
    }

    fn tell(&mut self, order: &Order) -> Result<()> {
        let mut bytes = std::mem::take(&mut self.order);
        order.write(&mut bytes);
        let sent = self.send(&bytes);
        self.order = bytes;
        sent
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        match self.socket.write_all(bytes) {
            Ok(()) => Ok(()),
            Err(error) if waits(&error) => Err(self.hangs(HEARING)),
            // It ended; what it said before that is still to be read.
            Err(_) => Ok(()),
        }
    }

    fn fill(&mut self, picture: &Picture, frame: &mut Frame) -> Result<()> {
        let (len, at) = match self.book.take(picture) {
            Ok(place) => place,
            Err(nonsense) => return Err(self.nonsense(nonsense)),
        };
        frame.data.resize(len, 0);
        // By the kernel: however the process may scribble meanwhile, what is read
        // are bytes of our own, and nothing of its memory is mapped here.
        if let Err(error) = self.memory.read_exact_at(&mut frame.data, at) {
            return Err(Error::internal(&self.doing, error));
        }
        frame.colour = self.book.colour();
        picture.describe(frame);
        self.standing = picture.standing;
        self.pulse.pictures += 1;
        self.pulse.newest = Some(Instant::now());
        self.book.give_back(picture.slot);
        self.tell(&Order::Free(picture.slot))
    }

    /// One look, unless it is over: how it ended is told again and again.
    fn take(&mut self, frame: &mut Frame, until: Option<Instant>) -> Result<Polled> {
        if self.stop.asked() {
            return Ok(Polled::End);
        }
        if let Some(over) = &self.over {
            return over.clone().map(|()| Polled::End);
        }
        let outcome = self.step(frame, until);
        match &outcome {
            Ok(Polled::End) => self.over = Some(Ok(())),
            Err(error) => self.over = Some(Err(error.clone())),
            Ok(Polled::Frame | Polled::Nothing) => {}
        }
        outcome
    }

    /// The next frame; nothing only where there is an `until`.
    fn step(&mut self, frame: &mut Frame, until: Option<Instant>) -> Result<Polled> {
        if !self.started {
            self.started = true;
            self.tell(&Order::Start)?;
        }
        match self.hear(self.patience, until)? {
            None if self.stop.asked() => Ok(Polled::End),
            None => Ok(Polled::Nothing),
            Some(Said::Frame(picture)) => self.fill(&picture, frame).map(|()| Polled::Frame),
            Some(Said::End(standing)) => {
                self.standing = standing;
                Ok(Polled::End)
            }
            Some(Said::Failed(error, standing)) => {
                self.standing = standing;
                Err(self.voice.error(&error))
            }
            Some(_) => Err(self.nonsense(Nonsense("an answer to no question"))),
        }
    }

    fn nonsense(&mut self, Nonsense(what): Nonsense) -> Error {
        self.lost(&format!("its decoder process sent {what}, and was ended"))
    }

    fn hangs(&mut self, silent: Duration) -> Error {
        self.lost(&format!(
            "its decoder process has not answered for {:.0} s, and was killed",
            silent.as_secs_f64()
        ))
    }

    /// The process closed the socket without a last word.
    fn died(&mut self) -> Error {
        let status = self.process.ended(LAST_BREATH);
        let voice = &mut self.voice;
        self.process.lines(|line| voice.say(log::Level::Info, line));
        let mut fault = match status {
            Some(status) => format!("its decoder process {}", how(status)),
            None => "its decoder process closed its socket, and was killed".to_owned(),
        };
        if !self.process.last_words().is_empty() {
            fault =
                format!("{fault}; its last words: {}", self.voice.clean(self.process.last_words()));
        }
        self.lost(&fault)
    }

    /// The source is lost by what its process did.
    fn lost(&mut self, fault: &str) -> Error {
        self.process.end(Duration::ZERO);
        let (kind, remedy) = match self.recording {
            true => (
                Kind::Data,
                "the recording is damaged or made to do harm: leave it out; where it is known to be good, raise isolate.memory",
            ),
            false => (
                Kind::Unavailable,
                "where that goes on, raise isolate.memory or forbid the decoder",
            ),
        };
        Error::new(kind, &self.doing, fault).remedy(remedy)
    }
}

impl FrameSource for Isolated {
    fn next(&mut self, frame: &mut Frame) -> Result<Next> {
        self.take(frame, None).map(|polled| match polled {
            Polled::Frame => Next::Frame,
            Polled::Nothing | Polled::End => Next::End,
        })
    }

    fn live(&self) -> bool {
        self.standing.live
    }

    fn dropped(&self) -> u64 {
        self.standing.dropped
    }
}

impl Connection for Isolated {
    fn opened(&mut self, _wait: Duration) -> Result<bool> {
        Ok(true)
    }

    fn poll(&mut self, frame: &mut Frame, wait: Duration) -> Result<Polled> {
        self.take(frame, Some(Instant::now() + wait))
    }

    fn live(&self) -> bool {
        self.standing.live
    }

    /// Only of the frames that were sampled: of the others it hears nothing.
    fn pulse(&self) -> Pulse {
        Pulse { dropped: self.standing.dropped, ..self.pulse }
    }

    fn overdue(&self, time: Duration) -> Error {
        let fault = format!("no picture came for {:.0} s", time.as_secs_f64());
        Error::unavailable(&self.doing, fault)
            .remedy("check that the camera is on and reachable and its path is right")
    }
}

impl Recording for Isolated {
    fn length(&mut self) -> Result<Option<Duration>> {
        self.tell(&Order::Length)?;
        match self.hear(OPENING.max(self.patience), None)? {
            None => Ok(None),
            Some(Said::Length(length)) => Ok(length.map(Duration::from_nanos)),
            Some(Said::Failed(error, _)) => Err(self.voice.error(&error)),
            Some(_) => Err(self.nonsense(Nonsense("an answer to no question"))),
        }
    }

    fn sample_at(&mut self, times: Vec<Duration>) {
        let times = times.into_iter().map(nanos).collect();
        if let Err(error) = self.tell(&Order::SampleAt(times)) {
            self.over = Some(Err(error));
        }
    }

    fn reach(&self) -> Duration {
        Duration::from_nanos(self.standing.reach)
    }
}

impl Drop for Isolated {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        // A recording owes nobody a farewell.
        let grace = if self.recording { Duration::ZERO } else { GRACE };
        self.process.end(grace);
    }
}

/// Whether a read or write ended because its time was over.
fn waits(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Memory for both, whose size nobody can change any more. Pages that were never
/// written take no room.
fn shared(len: u64) -> rustix::io::Result<File> {
    let memory = memfd_create("kinewatch", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&memory, len)?;
    fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(File::from(memory))
}

/// The process need not know the folder that we run in.
fn absolute(spec: &SourceSpec) -> SourceSpec {
    let mut spec = spec.clone();
    for path in [&mut spec.path, &mut spec.device].into_iter().flatten() {
        if let Ok(whole) = std::path::absolute(&*path) {
            *path = whole;
        }
    }
    spec
}

fn how(status: ExitStatus) -> String {
    let Some(signal) = status.signal() else {
        return format!("ended with status {}", status.code().unwrap_or_default());
    };
    let name = match signal {
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGBUS => "SIGBUS",
        libc::SIGILL => "SIGILL",
        libc::SIGFPE => "SIGFPE",
        libc::SIGABRT => "SIGABRT",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGKILL => "SIGKILL",
        libc::SIGSYS => "SIGSYS: it tried what no decoder needs",
        _ => "another",
    };
    format!("was killed by signal {signal} ({name})")
}

fn say_once() {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        log::warn!(
            "this kernel has no Landlock: isolated sources are held by seccomp alone and can read what the daemon can. Remedy: a kernel of 5.13 or later with landlock in its list of lsm=, or isolate = {{ strict = true }} to refuse"
        );
    });
}

/// What a process says, as far as it may be heard.
struct Voice {
    stream: String,
    secret: Option<String>,
    since: Instant,
    lines: u32,
}

impl Voice {
    fn new(stream: &str, spec: &SourceSpec) -> Self {
        let secret = match &spec.uri {
            Some(uri) => spec.address(uri).password,
            None => spec.password.clone(),
        };
        let secret = secret.filter(|secret| !secret.is_empty());
        Voice { stream: stream.to_owned(), secret, since: Instant::now(), lines: 0 }
    }

    /// Into the log, unless it says too much.
    fn say(&mut self, level: log::Level, text: &str) {
        if self.since.elapsed() > WHILE {
            if self.lines > LINES {
                log::warn!(
                    "stream \"{}\": its decoder process said {} lines more",
                    self.stream,
                    self.lines - LINES
                );
            }
            (self.since, self.lines) = (Instant::now(), 0);
        }
        self.lines = self.lines.saturating_add(1);
        if self.lines <= LINES {
            log::log!(level, "stream \"{}\", decoder process: {}", self.stream, self.clean(text));
        }
    }

    /// One line, not too long, without the password that the process was told.
    fn clean(&self, text: &str) -> String {
        let text = match &self.secret {
            Some(secret) => text.replace(secret.as_str(), "***"),
            None => text.to_owned(),
        };
        let text: String =
            text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
        shown(&text)
    }

    fn error(&self, error: &Error) -> Error {
        let (doing, fault, remedy) = error.parts();
        let clean = Error::new(error.kind(), self.clean(doing), self.clean(fault));
        match remedy {
            Some(remedy) => clean.remedy(self.clean(remedy)),
            None => clean,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;
    use crate::video::Colour;
    use crate::video::isolate::wire::Pen;

    /// A program that takes the place of the decoder process: its standard input
    /// is the socket.
    fn impostor(folder: &tempfile::TempDir, script: &str) -> PathBuf {
        let path = folder.path().join("impostor");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Opens a source whose process says `said` and then does `then`; what came.
    fn meets(said: &[Said], then: &str) -> Result<usize> {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = Vec::new();
        for said in said {
            bytes.extend_from_slice(said.write(&mut Vec::new()));
        }
        meets_bytes(&folder, &bytes, then)
    }

    fn meets_bytes(folder: &tempfile::TempDir, bytes: &[u8], then: &str) -> Result<usize> {
        let said = folder.path().join("said");
        fs::write(&said, bytes).unwrap();
        let program = impostor(folder, &format!("cat '{}' >&0\n{then}", said.display()));
        let spec = SourceSpec {
            timeout: Some(crate::duration::HumanDuration::seconds(1)),
            ..SourceSpec::synth("seed=1,seconds=1")
        };
        let want = Want {
            rate: 8.0,
            colour: Colour::Rgb,
            max_gap: Duration::from_secs(1),
            pictures: false,
        };
        let isolation = Isolation::default();
        let stop = Stop::default();
        let mut source =
            Isolated::open(&program, "gate", &spec, &isolation, &want, Pace::Fast, false, &stop)?;
        let mut frame = Frame::new(Colour::Rgb);
        let mut frames = 0;
        while source.next(&mut frame)? == Next::Frame {
            assert_eq!(frame.data.len(), frame.width * frame.height * 3);
            frames += 1;
        }
        Ok(frames)
    }

    fn picture(tick: u64) -> Picture {
        let mut frame = Frame::new(Colour::Rgb);
        (frame.width, frame.height) = (4, 2);
        frame.reset = (tick == 0).then_some(crate::video::Reset::Start);
        frame.tick_time = Duration::from_nanos(tick);
        Picture::of(&frame, 0, Standing::default())
    }

    const SLEEPS: &str = "exec sleep 60";

    fn begun(rest: &[Said]) -> Vec<Said> {
        let mut all = vec![Said::Ready { landlock: true }, Said::Opened(Standing::default())];
        all.extend_from_slice(rest);
        all
    }

    #[test]
    fn a_process_that_keeps_to_the_protocol_is_believed() {
        let said = begun(&[
            Said::Frame(picture(0)),
            Said::Frame(picture(5)),
            Said::End(Standing::default()),
        ]);
        assert_eq!(meets(&said, SLEEPS).unwrap(), 2);
    }

    #[test]
    fn whoever_breaks_the_protocol_is_ended() {
        let opened = Said::Opened(Standing::default());
        let mut outside = picture(0);
        (outside.width, outside.height) = (32_768, 32_768);
        let mut endless = begun(&[]);
        endless.extend((0..4).map(|tick| Said::Frame(picture(tick * 10))));
        endless.push(Said::Frame(Picture { tick: 3, ..picture(10) }));
        for (said, what) in [
            (vec![opened.clone()], "an answer to no question"),
            (vec![Said::Frame(picture(0))], "an answer to no question"),
            (begun(&[opened]), "an answer to no question"),
            (begun(&[Said::Length(Some(3))]), "an answer to no question"),
            (begun(&[Said::Frame(picture(7))]), "a clip without a beginning"),
            (begun(&[Said::Frame(outside)]), "larger than its slot"),
            (endless, "times that run backwards"),
        ] {
            let since = Instant::now();
            let error = meets(&said, SLEEPS).unwrap_err();
            assert!(error.to_string().contains(what), "{what}: {error}");
            assert!(since.elapsed() < Duration::from_secs(30), "{what}");
        }
    }

    #[test]
    fn bytes_at_random_are_a_crash() {
        use rand_chacha::ChaCha8Rng;
        use rand_chacha::rand_core::{Rng, SeedableRng};
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let mut bytes = Vec::new();
            for said in begun(&[]) {
                bytes.extend_from_slice(said.write(&mut Vec::new()));
            }
            let mut noise = vec![0; 400];
            rng.fill_bytes(&mut noise);
            // A plausible length, so that the noise is read as a message.
            let mut pen = Vec::new();
            Pen::begin(&mut pen, noise[0] % 9).bytes(&noise).end();
            bytes.extend_from_slice(&pen);
            bytes.extend_from_slice(&noise);
            let error = meets_bytes(&folder, &bytes, "exit 3").unwrap_err().to_string();
            assert!(error.contains("its decoder process"), "{error}");
        }
    }

    #[test]
    fn one_that_says_nothing_is_killed_once_patience_is_over() {
        let error = meets(&begun(&[]), SLEEPS).unwrap_err();
        assert!(error.to_string().contains("has not answered for 5 s"), "{error}");
    }

    #[test]
    fn the_way_it_ended_and_its_last_words_are_told() {
        for (then, parts) in [
            ("kill -SEGV $$", ["signal 11 (SIGSEGV)", ""]),
            ("echo out of memory >&2; kill -ABRT $$", ["SIGABRT", "last words: out of memory"]),
            ("exit 7", ["ended with status 7", ""]),
        ] {
            let error = meets(&begun(&[Said::Frame(picture(0))]), then).unwrap_err();
            assert_eq!(error.kind(), Kind::Data, "of a recording");
            for part in parts {
                assert!(error.to_string().contains(part), "{part}: {error}");
            }
        }
        let missing = Path::new("/nonexistent/kinewatch");
        let spec = SourceSpec::synth("seed=1,seconds=1");
        let want = Want {
            rate: 8.0,
            colour: Colour::Rgb,
            max_gap: Duration::from_secs(1),
            pictures: false,
        };
        let isolation = Isolation::default();
        let open = Isolated::open(
            missing,
            "a",
            &spec,
            &isolation,
            &want,
            Pace::Fast,
            false,
            &Stop::default(),
        );
        assert_eq!(open.err().unwrap().kind(), Kind::Unavailable);
    }

    /// A process that shrinks or grows what is shared, and one that asks to end.
    #[test]
    fn the_shared_memory_keeps_its_size() {
        let memory = shared(8192).unwrap();
        assert!(memory.set_len(0).is_err() && memory.set_len(1 << 30).is_err());
        assert!(memory.write_all_at(&[1], 8192).is_err());
        memory.write_all_at(&[1], 8191).unwrap();
    }

    #[test]
    fn an_ask_to_stop_is_heard_while_a_process_is_silent() {
        let folder = tempfile::tempdir().unwrap();
        let program = impostor(&folder, SLEEPS);
        let spec = SourceSpec::uri("rtsp://camera.invalid/1");
        let want = Want {
            rate: 8.0,
            colour: Colour::Rgb,
            max_gap: Duration::from_secs(1),
            pictures: false,
        };
        let stop = Stop::default();
        let late = stop.clone();
        let asker = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            late.ask();
        });
        let since = Instant::now();
        let isolation = Isolation::default();
        let mut source = Isolated::open(
            &program,
            "gate",
            &spec,
            &isolation,
            &want,
            Pace::RealTime,
            false,
            &stop,
        )
        .unwrap();
        assert!(FrameSource::live(&source));
        assert_eq!(source.next(&mut Frame::new(Colour::Rgb)).unwrap(), Next::End);
        drop(source);
        asker.join().unwrap();
        assert!(since.elapsed() < Duration::from_secs(30), "{:?}", since.elapsed());
    }

    #[test]
    fn what_a_process_says_is_one_line_without_its_password() {
        let spec = SourceSpec {
            user: Some("viewer".into()),
            password: Some("s3cret".into()),
            ..SourceSpec::uri("rtsp://cam/1")
        };
        let voice = Voice::new("", &spec);
        let said = voice.clean(&format!("a\nb s3cret rtsp://u:p@h/ {}", "x".repeat(5_000)));
        assert!(said.starts_with("a b *** rtsp://***@h/"), "{said}");
        assert!(said.chars().count() <= SHOWN + 10);
    }
}
