//! A decoder process as the daemon holds it: started by a thread that outlives
//! every stream, listened to, ended and buried.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_setfl};

/// What the process is called, and how it knows that it is one.
pub(super) const NAME: &str = "kinewatch-decoder";

/// How often whoever waits for its end looks.
const LOOK: Duration = Duration::from_millis(5);
/// How long a killed process may take to go.
const BURIAL: Duration = Duration::from_secs(2);
/// The longest line of its standard error that is kept.
const LINE: usize = 400;

/// What GStreamer, its plugins and the C library may need to know. Everything
/// else, credentials in the daemon's environment above all, stays outside.
const PASSED: [&str; 16] = [
    "HOME",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "LIBVA_DRIVER_NAME",
    "LIBVA_DRIVERS_PATH",
    "LIBCAMERA_IPA_MODULE_PATH",
    "GIO_MODULE_DIR",
    "GIO_EXTRA_MODULES",
    "ORC_CODE",
    "PATH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TZ",
    "XDG_CACHE_HOME",
    "XDG_DATA_HOME",
];
/// These may hold a password, and only a stream from the network needs them.
const PROXIES: [&str; 6] =
    ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];

/// A decoder process; ended when dropped.
pub(super) struct Process {
    /// `None` once it was left to a thread to bury.
    child: Option<Child>,
    stderr: Option<ChildStderr>,
    line: Vec<u8>,
    last: String,
}

impl Process {
    /// Starts one. `socket` becomes its standard input, `memory` its output.
    ///
    /// # Errors
    /// The program or a thread cannot be started.
    pub fn start(
        program: &Path,
        stream: &str,
        socket: OwnedFd,
        memory: OwnedFd,
        network: bool,
    ) -> io::Result<Process> {
        let mut command = Command::new(program);
        // The name of the stream is for whoever looks at the list of processes.
        command.arg0(NAME).arg(stream.replace('\0', " ")).env_clear();
        let wanted = |name: &str| {
            name.starts_with("GST_")
                || PASSED.contains(&name)
                || (network && PROXIES.contains(&name))
        };
        command.envs(std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(wanted)));
        // As `service::share_arenas` has it for the daemon.
        command.env("MALLOC_ARENA_MAX", "1");
        command.stdin(socket).stdout(memory).stderr(Stdio::piped());
        let mut child = spawn(command)?;
        let stderr = child.stderr.take();
        if let Some(stderr) = &stderr {
            fcntl_setfl(stderr, OFlags::NONBLOCK)?;
        }
        Ok(Process { child: Some(child), stderr, line: Vec::new(), last: String::new() })
    }

    /// Hands over the lines that it wrote to standard error since the last call.
    pub fn lines(&mut self, mut each: impl FnMut(&str)) {
        let Some(stderr) = &mut self.stderr else { return };
        let mut bytes = [0; 1024];
        // A bound, so that one that never stops writing holds nobody up.
        for _ in 0..16 {
            let len = match stderr.read(&mut bytes) {
                Ok(len) if len > 0 => len,
                _ => break,
            };
            for byte in bytes.get(..len).unwrap_or_default() {
                if *byte == b'\n' {
                    let text = String::from_utf8_lossy(&self.line).into_owned();
                    self.line.clear();
                    if !text.trim().is_empty() {
                        each(&text);
                        self.last = text;
                    }
                } else if self.line.len() < LINE {
                    self.line.push(*byte);
                }
            }
        }
    }

    /// The last line that it wrote to standard error.
    pub fn last_words(&self) -> &str {
        &self.last
    }

    /// How it ended, if it does within `patience`.
    pub fn ended(&mut self, patience: Duration) -> Option<ExitStatus> {
        let child = self.child.as_mut()?;
        let since = Instant::now();
        loop {
            if let Ok(Some(status)) = child.try_wait() {
                return Some(status);
            }
            if since.elapsed() >= patience {
                return None;
            }
            thread::sleep(LOOK);
        }
    }

    /// Waits for its end as long as `grace`, and kills it then.
    pub fn end(&mut self, grace: Duration) {
        if self.ended(grace).is_some() {
            return;
        }
        if let Some(child) = &mut self.child {
            let _ = child.kill();
        }
        if self.ended(BURIAL).is_some() {
            return;
        }
        // One that hangs in a driver dies when the driver lets it.
        if let Some(mut child) = self.child.take() {
            log::warn!("the decoder process {} does not die: left behind", child.id());
            let wait = move || {
                let _ = child.wait();
            };
            let _ = thread::Builder::new().name("burial".into()).spawn(wait);
        }
    }
}

type Request = (Command, Sender<io::Result<Child>>);

/// Starts a process from a thread that never ends: the kernel ends the process
/// with the thread that started it (`PR_SET_PDEATHSIG`), and those of a stream
/// come and go.
fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Sender<Request>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, requests) = channel::<Request>();
        let serve = move || {
            for (mut command, answer) in requests {
                let _ = answer.send(command.spawn());
            }
        };
        // Where that fails the channel is closed, which is noticed below.
        let _ = thread::Builder::new().name("spawner".into()).spawn(serve);
        sender
    });
    let gone = || io::Error::other("the thread that starts processes cannot be started");
    let (answer, started) = channel();
    spawner.send((command, answer)).map_err(|_| gone())?;
    started.recv().map_err(|_| gone())?
}
