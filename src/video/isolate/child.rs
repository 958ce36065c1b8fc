//! The decoder process: the daemon's own source, in a sandbox.

use std::fs::{File, read_dir};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use gstreamer as gst;
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::job::Job;
use super::process::NAME;
use super::protocol::{Order, Picture, SLOTS, Said, Standing, nanos};
use super::sandbox::{self, Needs};
use super::wire::Inbox;
use crate::error::{Error, Result};
use crate::stop::Stop;
use crate::video::{Frame, FrameSource, Next, Recording, Source};

/// How often the daemon hears that the source goes on.
const BEAT: Duration = Duration::from_millis(500);
/// The longest order: a hundred thousand paths would fit.
const LONGEST_ORDER: usize = 64 << 20;
/// Descriptors that the process may have.
const DESCRIPTORS: u64 = 1024;

/// Runs as a decoder process, where this process was started as one; to be
/// called before anything else.
pub fn run_if_asked() -> Option<ExitCode> {
    if std::env::args_os().next().is_none_or(|name| name != NAME) {
        return None;
    }
    Some(match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The daemon reads it as this process's last words.
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    })
}

fn cannot(error: impl std::fmt::Display) -> Error {
    Error::unavailable("starting a decoder process", error)
}

fn run() -> Result<()> {
    // The daemon ends us by closing the socket. A terminal's Ctrl-C and systemd's
    // SIGTERM reach us too, and mean the daemon.
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false))).map_err(cannot)?;
    }
    close_inherited();
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(cannot)?;
    // Of what the machine must kill when memory runs out, us before the daemon.
    let _ = std::fs::write("/proc/self/oom_score_adj", "500");

    let socket = UnixStream::from(take(io::stdin().as_fd()).map_err(cannot)?);
    let memory = File::from(take(io::stdout().as_fd()).map_err(cannot)?);
    silence_output().map_err(cannot)?;
    let mut orders = Orders::new(socket.try_clone().map_err(cannot)?);
    let Some(body) = orders.next() else { return Ok(()) };
    let job = Job::read(&body)
        .ok_or_else(|| Error::internal("reading a decoder process's job", "it makes no sense"))?;
    let outbox = Arc::new(Outbox::new(socket));
    log::set_max_level(level(job.verbosity));
    let _ = log::set_boxed_logger(Box::new(Teller(outbox.clone())));

    let mut source = match Decoder::begin(&job, orders, &outbox) {
        Ok(source) => source,
        Err(error) => {
            outbox.say(&Said::Failed(error, Standing::default()));
            return Ok(());
        }
    };
    source.run(&memory, &outbox, job.isolation.slot());
    Ok(())
}

/// Lets nothing through that whoever started the daemon left open.
fn close_inherited() {
    let open = read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let open: Vec<i32> =
        open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // SAFETY: this process has just begun, has one thread and has opened
        // nothing that is still in use (the folder above is closed again, and
        // signal-hook's flags need no descriptor), so nobody owns what is closed.
        unsafe { libc::close(descriptor) };
    }
}

/// Whatever a library prints must not land among the pixels.
fn silence_output() -> io::Result<()> {
    let nowhere = File::options().write(true).open("/dev/null")?;
    // SAFETY: both are open descriptors; standard output stays one, and nobody
    // holds the shared memory by that number.
    match unsafe { libc::dup2(nowhere.as_raw_fd(), libc::STDOUT_FILENO) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// A descriptor of our own for standard input or output.
fn take(stream: impl AsFd) -> io::Result<OwnedFd> {
    stream.as_fd().try_clone_to_owned()
}

fn level(verbosity: u8) -> log::LevelFilter {
    log::LevelFilter::iter().nth(verbosity.into()).unwrap_or(log::LevelFilter::Info)
}

/// The way to the daemon.
struct Outbox(Mutex<(UnixStream, Vec<u8>)>);

impl Outbox {
    fn new(socket: UnixStream) -> Self {
        Outbox(Mutex::new((socket, Vec::new())))
    }

    /// Whether the daemon is still there.
    fn say(&self, said: &Said) -> bool {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (socket, buffer) = &mut *guard;
        socket.write_all(said.write(buffer)).is_ok()
    }
}

/// The log, told to the daemon.
struct Teller(Arc<Outbox>);

impl log::Log for Teller {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.target().starts_with("kinewatch") {
            self.0.say(&Said::Log(record.level() as u8, record.args().to_string()));
        }
    }

    fn flush(&self) {}
}

/// What the daemon says.
struct Orders {
    socket: UnixStream,
    inbox: Inbox,
}

impl Orders {
    fn new(socket: UnixStream) -> Self {
        Orders { socket, inbox: Inbox::new(LONGEST_ORDER) }
    }

    /// `None` once the daemon is gone.
    fn next(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        let mut bytes = [0; 4096];
        while !self.inbox.take(&mut body).ok()? {
            match self.socket.read(&mut bytes) {
                Ok(0) => return None,
                Ok(len) => self.inbox.push(bytes.get(..len)?),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        Some(body)
    }
}

struct Decoder {
    source: Source,
    orders: Receiver<Order>,
    slots: Receiver<usize>,
    colour: crate::video::Colour,
}

impl Decoder {
    /// Initialises GStreamer, goes into the sandbox, and only then opens what
    /// strangers may have written.
    fn begin(job: &Job, orders: Orders, outbox: &Arc<Outbox>) -> Result<Decoder> {
        let limit = |resource, most| {
            let limit = Rlimit { current: Some(most), maximum: Some(most) };
            setrlimit(resource, limit).map_err(cannot)
        };
        limit(Resource::Data, job.isolation.memory)?;
        limit(Resource::Core, 0)?;
        limit(Resource::Nofile, DESCRIPTORS)?;
        // Reads, or renews, the registry of plugins: the last time that anything
        // is written or another program started.
        gst::init().map_err(|error| cannot(error.message()))?;
        // Landlock holds for the thread that asks for it and those that it starts.
        let threads = read_dir("/proc/self/task").map_err(cannot)?.count();
        if threads != 1 {
            return Err(Error::internal(
                "starting a decoder process",
                format!("it has {threads} threads before it is in its sandbox"),
            ));
        }
        let landlock = sandbox::restrict(&Needs::of(&job.spec, &job.isolation))?;
        if !landlock && job.isolation.strict {
            return Err(Error::unavailable(
                "isolating a source",
                "this kernel has no Landlock, and isolate.strict asks for it",
            )
            .remedy("start a kernel of 5.13 or later with Landlock in its list of lsm=, or take strict out"));
        }
        outbox.say(&Said::Ready { landlock });

        let stop = Stop::default();
        let (orders, slots) = listen(orders, stop.clone())?;
        let source = Source::open(&job.name, &job.spec, &job.want, job.pace, &stop)?;
        let source = if job.watched { source.watched() } else { source };
        beat(source.steps(), outbox.clone(), stop)?;
        Ok(Decoder { source, orders, slots, colour: job.want.colour })
    }

    fn standing(&self) -> Standing {
        Standing {
            live: self.source.live(),
            dropped: self.source.dropped(),
            reach: nanos(self.source.reach()),
        }
    }

    fn run(&mut self, memory: &File, outbox: &Outbox, slot_len: u64) {
        outbox.say(&Said::Opened(self.standing()));
        let last = match self.prepare(outbox) {
            Ok(false) => return,
            Ok(true) => self.frames(memory, outbox, slot_len),
            Err(error) => Err(error),
        };
        let standing = self.standing();
        outbox.say(&match last {
            Ok(()) => Said::End(standing),
            Err(error) => Said::Failed(error, standing),
        });
    }

    /// What comes before the first frame; whether there is to be one.
    fn prepare(&mut self, outbox: &Outbox) -> Result<bool> {
        for order in &self.orders {
            match order {
                Order::Length => {
                    let length = self.source.length()?;
                    outbox.say(&Said::Length(length.map(nanos)));
                }
                Order::SampleAt(times) => {
                    self.source.sample_at(times.into_iter().map(Duration::from_nanos).collect());
                }
                Order::Start => return Ok(true),
                Order::Free(_) => {}
            }
        }
        Ok(false)
    }

    fn frames(&mut self, memory: &File, outbox: &Outbox, slot_len: u64) -> Result<()> {
        let mut frame = Frame::new(self.colour);
        // Only with a slot in hand: a frame that waits for one would be older
        // than the pictures that a live source drops meanwhile.
        while let Ok(slot) = self.slots.recv() {
            if self.source.next(&mut frame)? == Next::End {
                break;
            }
            let doing = "handing over a picture";
            if frame.data.len() as u64 > slot_len {
                let fault = format!(
                    "{}×{} pixels are more than the {slot_len} bytes that isolate.memory leaves for one",
                    frame.width, frame.height
                );
                return Err(Error::data(doing, fault).remedy("raise isolate.memory"));
            }
            memory
                .write_all_at(&frame.data, slot as u64 * slot_len)
                .map_err(|error| Error::unavailable(doing, error))?;
            if !outbox.say(&Said::Frame(Picture::of(&frame, slot, self.standing()))) {
                break;
            }
        }
        Ok(())
    }
}

/// Sorts what the daemon says; asks `stop` when it is gone.
fn listen(mut from: Orders, stop: Stop) -> Result<(Receiver<Order>, Receiver<usize>)> {
    let (orders, ordered): (Sender<Order>, _) = unbounded();
    let (free, slots) = unbounded();
    for slot in 0..SLOTS {
        let _ = free.send(slot);
    }
    let run = move || {
        while let Some(order) = from.next().as_deref().and_then(Order::read) {
            let heard = match order {
                Order::Free(slot) => free.send(slot).is_ok(),
                order => orders.send(order).is_ok(),
            };
            if !heard {
                break;
            }
        }
        stop.ask();
    };
    thread::Builder::new().name("orders".into()).spawn(run).map_err(cannot)?;
    Ok((ordered, slots))
}

/// Tells the daemon that the source goes on, as long as it does.
fn beat(steps: Arc<AtomicU64>, outbox: Arc<Outbox>, stop: Stop) -> Result<()> {
    let run = move || {
        let mut told = 0;
        while !stop.asked() {
            thread::sleep(BEAT);
            let now = steps.load(Ordering::Relaxed);
            if now != told && !outbox.say(&Said::Alive) {
                break;
            }
            told = now;
        }
    };
    thread::Builder::new().name("beat".into()).spawn(run).map(|_| ()).map_err(cannot)
}
