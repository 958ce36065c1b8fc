//! What a decoder process may still do: read what GStreamer needs, compute, and
//! talk to the daemon; one that has a camera or a server to talk to, that too.
//!
//! seccomp with a list of what is denied, not of what is allowed: plugins and
//! drivers are many and change with every update of a board, and a system call
//! more that one of them makes must not end a camera's stream at night. What an
//! intruder would need is denied, and so is whatever a kernel newer than this
//! list brings. Landlock, where the kernel has it, is the other way round: files
//! that are not named cannot be opened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gstreamer as gst;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter_all_threads, sock_filter,
};

use super::Isolation;
use crate::error::{Error, Result};
use crate::video::address::Address;
use crate::video::spec::{SourceSpec, Target};

/// Whom a source must talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Talk {
    /// Nobody: a recording.
    Nobody,
    /// Daemons and drivers of this machine: a camera at it.
    Machine,
    /// A server.
    Network,
}

/// What a source needs besides a processor.
pub(super) struct Needs {
    talk: Talk,
    read: Vec<PathBuf>,
    devices: Vec<PathBuf>,
}

/// For the dynamic loader, GStreamer and its plugins. Not `/etc`, `/home`, `/run`
/// or `/var`, where secrets lie.
const READ: [&str; 11] = [
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/sys/devices/system",
];
/// To find a server and to trust it.
const READ_NETWORK: [&str; 16] = [
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/gai.conf",
    "/etc/gnutls",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/pki",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl",
    "/run/systemd/resolve",
    "/run/avahi-daemon",
    "/run/nscd",
    "/var/run/nscd",
];
/// To find out what a device is.
const READ_DEVICES: [&str; 4] = ["/sys", "/run/udev", "/etc/vulkan", "/etc/OpenCL"];
/// Harmless ones that libraries open.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
/// Where CSI cameras hide: libcamera's, and those of NVIDIA's boards.
const CSI: [&str; 5] = ["/dev/video", "/dev/media", "/dev/v4l-subdev", "/dev/nv", "/dev/dma_heap"];

impl Needs {
    pub fn of(spec: &SourceSpec, isolation: &Isolation) -> Needs {
        let mut needs = Needs {
            talk: Talk::Nobody,
            read: isolation.read.clone(),
            devices: isolation.devices.clone(),
        };
        match spec.target() {
            Ok(Target::Path(_) | Target::Synth(_)) | Err(_) => {}
            Ok(Target::Uri(uri)) if Address::parse(uri).scheme() == "file" => {}
            // A pipeline may do anything; what it reads is named by `isolate.read`.
            Ok(Target::Uri(_) | Target::Pipeline(_)) => needs.talk = Talk::Network,
            Ok(Target::Device(device)) => {
                needs.talk = Talk::Machine;
                needs.devices.push(device.to_owned());
            }
            Ok(Target::Csi(_)) => {
                needs.talk = Talk::Machine;
                let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
                let paths = entries.map(|entry| entry.path());
                let camera = |path: &PathBuf| {
                    path.to_str().is_some_and(|path| CSI.iter().any(|csi| path.starts_with(csi)))
                };
                needs.devices.extend(paths.filter(camera));
            }
        }
        needs.read.extend(spec.file());
        needs
    }

    /// Whether there is a server to talk to.
    pub fn network(&self) -> bool {
        self.talk == Talk::Network
    }
}

/// Puts this process into its sandbox, for good; to be called with one thread.
/// Whether Landlock is part of it.
///
/// # Errors
/// seccomp or Landlock refuse, or this processor is unknown to them.
pub(super) fn restrict(needs: &Needs) -> Result<bool> {
    let doing = "holding a decoder process";
    let fault = |error: &dyn std::fmt::Display| Error::unavailable(doing, error);
    drop_capabilities().map_err(|error| fault(&error))?;
    let landlock = restrict_files(needs).map_err(|error| fault(&error))?;
    restrict_calls(needs.talk).map_err(|error| {
        fault(&error).remedy("under systemd, the unit must allow it: SystemCallFilter=seccomp")
    })?;
    Ok(landlock)
}

/// Where the daemon runs as root, the process keeps only what opens files, which
/// is for Landlock to judge.
fn drop_capabilities() -> rustix::io::Result<()> {
    let held = capabilities(None)?;
    if held.permitted.is_empty() && held.inheritable.is_empty() {
        // Under systemd even asking for fewer may be forbidden.
        return Ok(());
    }
    let kept = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
    set_capabilities(
        None,
        CapabilitySets {
            effective: held.effective & kept,
            permitted: held.permitted & kept,
            inheritable: CapabilitySet::empty(),
        },
    )
}

fn restrict_files(needs: &Needs) -> std::result::Result<bool, landlock::RulesetError> {
    // Newer kernels could do more; only what was tried here is asked for.
    let abi = ABI::V6;
    let look = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut net: BitFlags<AccessNet> = AccessNet::BindTcp.into();
    if needs.talk != Talk::Network {
        net |= AccessNet::ConnectTcp;
    }
    let rules = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(net)?
        .scope(Scope::from_all(abi))?
        .create()?;
    let mut read: Vec<&Path> = READ.iter().map(Path::new).collect();
    let plugins = plugin_folders();
    read.extend(plugins.iter().map(PathBuf::as_path));
    read.extend(needs.read.iter().map(PathBuf::as_path));
    if needs.talk == Talk::Network {
        read.extend(READ_NETWORK.iter().map(Path::new));
    }
    if !needs.devices.is_empty() {
        read.extend(READ_DEVICES.iter().map(Path::new));
    }
    let devices = DEVICES.iter().map(Path::new).chain(needs.devices.iter().map(PathBuf::as_path));
    let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    let whole = look | AccessFs::WriteFile | AccessFs::IoctlDev;
    let rule = |path: &Path, folder: BitFlags<AccessFs>, file: BitFlags<AccessFs>| {
        // What is not there needs no rule.
        let access = if path.is_dir() { folder } else { file };
        PathFd::new(path).ok().map(|opened| PathBeneath::new(opened, access))
    };
    let rules = rules.add_rules(
        read.into_iter()
            .filter_map(|path| rule(path, look, AccessFs::ReadFile.into()))
            .chain(devices.filter_map(|path| rule(path, whole, device)))
            .map(Ok::<_, landlock::RulesetError>),
    )?;
    Ok(rules.restrict_self()?.ruleset != RulesetStatus::NotEnforced)
}

/// Where GStreamer's plugins lie on this machine.
fn plugin_folders() -> Vec<PathBuf> {
    if !gst::INITIALIZED.load(std::sync::atomic::Ordering::SeqCst) {
        return Vec::new();
    }
    let mut folders: Vec<PathBuf> = gst::Registry::get()
        .plugins()
        .iter()
        .filter_map(|plugin| Some(PathBuf::from(plugin.filename()?).parent()?.to_owned()))
        .filter(|folder| !folder.starts_with("/usr"))
        .collect();
    folders.extend(std::env::var_os("LD_LIBRARY_PATH").iter().flat_map(std::env::split_paths));
    folders.retain(|folder| folder.is_absolute());
    folders.sort();
    folders.dedup();
    folders
}

/// The newest system call that this list knows: mseal(2), of Linux 6.10. The
/// numbers are the same on all processors since 424.
const NEWEST: u32 = 462;

/// A decoder has no reason for these, and no library tries them: the process is
/// killed, and the log says so.
const DEADLY: [libc::c_long; 27] = [
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_setns,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_open_by_handle_at,
];

/// These fail as if the user had no right to them, and libraries that try go on
/// without.
const DENIED: [libc::c_long; 33] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_unshare,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_mount_setattr,
    libc::SYS_fanotify_init,
    libc::SYS_quotactl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_shmget,
    libc::SYS_semget,
    libc::SYS_msgget,
    libc::SYS_mq_open,
    libc::SYS_personality,
];

/// The old ways to a new process, and those to a port of the machine.
#[cfg(target_arch = "x86_64")]
const DENIED_HERE: [libc::c_long; 5] =
    [libc::SYS_fork, libc::SYS_vfork, libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_modify_ldt];
#[cfg(not(target_arch = "x86_64"))]
const DENIED_HERE: [libc::c_long; 0] = [];

/// From asm-generic/ioctls.h: typing on somebody's terminal.
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn restrict_calls(talk: Talk) -> seccompiler::Result<()> {
    apply_filter_all_threads(&unknown_calls())?;
    let arch = std::env::consts::ARCH.try_into()?;
    let deadly: Rules = DEADLY.iter().map(|call| (*call, Vec::new())).collect();
    let mut denied: Rules =
        DENIED.iter().chain(&DENIED_HERE).map(|call| (*call, Vec::new())).collect();
    conditional(&mut denied, talk)?;
    for (rules, action) in [
        (deadly, SeccompAction::KillProcess),
        (denied, SeccompAction::Errno(libc::EPERM.unsigned_abs())),
    ] {
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, arch)?;
        let program: seccompiler::BpfProgram = filter.try_into()?;
        apply_filter_all_threads(&program)?;
    }
    Ok(())
}

/// What depends on a call's arguments; each rule says when it is denied.
fn conditional(rules: &mut Rules, talk: Talk) -> seccompiler::Result<()> {
    let is = |argument, operator, value: u64| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
    };
    let mut deny = |call: libc::c_long, conditions| -> seccompiler::Result<()> {
        rules.entry(call).or_default().push(SeccompRule::new(conditions)?);
        Ok(())
    };
    let own = u64::from(std::process::id());
    // No process but threads; clone3, whose flags a filter cannot see, is unknown.
    let thread = libc::CLONE_THREAD as u64;
    deny(libc::SYS_clone, vec![is(0, SeccompCmpOp::MaskedEq(thread), 0)?])?;
    // Signals to nobody else: abort(3) sends one to itself.
    for call in [libc::SYS_kill, libc::SYS_tgkill] {
        deny(call, vec![is(0, SeccompCmpOp::Ne, own)?])?;
    }
    // Nobody else's limits or priorities.
    for call in [
        libc::SYS_prlimit64,
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setscheduler,
    ] {
        deny(call, vec![is(0, SeccompCmpOp::Ne, 0)?, is(0, SeccompCmpOp::Ne, own)?])?;
    }
    deny(libc::SYS_setpriority, vec![is(1, SeccompCmpOp::Ne, 0)?])?;
    // The daemon's end stays the process's own.
    let death = libc::PR_SET_PDEATHSIG as u64;
    deny(libc::SYS_prctl, vec![is(0, SeccompCmpOp::Eq, death)?])?;
    for request in [TIOCSTI, TIOCLINUX] {
        deny(libc::SYS_ioctl, vec![is(1, SeccompCmpOp::Eq, request)?])?;
    }
    // Sockets are made in these families only. Pairs of them lead nowhere else.
    let families: &[libc::c_int] = match talk {
        Talk::Nobody => &[],
        Talk::Machine => &[libc::AF_UNIX, libc::AF_NETLINK],
        Talk::Network => &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK],
    };
    if families.is_empty() {
        rules.insert(libc::SYS_socket, Vec::new());
        return Ok(());
    }
    let other = families
        .iter()
        .map(|family| is(0, SeccompCmpOp::Ne, u64::from(family.unsigned_abs())))
        .collect::<std::result::Result<_, _>>()?;
    deny(libc::SYS_socket, other)?;
    // Of netlink what is asked for when an address or a device is looked for.
    let netlink = vec![
        is(0, SeccompCmpOp::Eq, u64::from(libc::AF_NETLINK.unsigned_abs()))?,
        is(2, SeccompCmpOp::Ne, u64::from(libc::NETLINK_ROUTE.unsigned_abs()))?,
        is(2, SeccompCmpOp::Ne, u64::from(libc::NETLINK_KOBJECT_UEVENT.unsigned_abs()))?,
    ];
    deny(libc::SYS_socket, netlink)
}

/// A kernel that is newer than this list looks like an older one, and the second
/// set of numbers that x86-64 has (x32, from 2³⁰ on) is not there: what is
/// unknown does not exist, and libraries do without. Nor does clone3, so that the
/// C library uses clone, whose flags can be looked at.
fn unknown_calls() -> [sock_filter; 5] {
    let operation = |code: u32, jt, jf, k| sock_filter { code: code as u16, jt, jf, k };
    let clone3 = libc::SYS_clone3 as u32;
    [
        // The call's number is the first word of what a filter sees (seccomp(2)).
        operation(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        operation(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K, 1, 0, NEWEST),
        operation(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, clone3),
        operation(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs(),
        ),
        operation(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Error as IoError;
    use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::UnixStream;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Output};

    use super::*;

    /// Which test the second process runs, and what it is to try there.
    const TRY: &str = "KINEWATCH_TEST_TRY";

    /// Runs this test binary again, as a process that goes into the sandbox and
    /// tries `what` there; the file it may read is `recording`.
    fn sandboxed(what: &str, recording: &Path) -> Output {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "video::isolate::sandbox::tests::inside", "--ignored", "--nocapture"])
            .env(TRY, what)
            .env("KINEWATCH_TEST_RECORDING", recording)
            .output()
            .unwrap()
    }

    fn said(output: &Output) -> String {
        let text = [&output.stdout[..], &output.stderr[..]].concat();
        String::from_utf8_lossy(&text).into_owned()
    }

    fn refused(outcome: std::io::Result<()>) -> Result<(), String> {
        match outcome {
            Err(error) if error.raw_os_error().is_some() => Ok(()),
            Err(error) => Err(format!("failed otherwise: {error}")),
            Ok(()) => Err("succeeded".into()),
        }
    }

    /// A system call with arguments that would do no harm if it were allowed.
    fn call(number: libc::c_long, arguments: [libc::c_long; 4]) -> std::io::Result<()> {
        let [a, b, c, d] = arguments;
        // SAFETY: in this throw-away process; the calls that are tried take
        // numbers or null pointers here, and write to no memory of ours.
        match unsafe { libc::syscall(number, a, b, c, d) } {
            -1 => Err(IoError::last_os_error()),
            _ => Ok(()),
        }
    }

    /// Not a test by itself: what the process in the sandbox does.
    #[test]
    #[ignore = "started by the other tests in a process of its own"]
    fn inside() {
        let Ok(what) = std::env::var(TRY) else { return };
        let recording = PathBuf::from(std::env::var_os("KINEWATCH_TEST_RECORDING").unwrap());
        let (kind, what) = what.split_once(' ').unwrap();
        let spec = match kind {
            "file" => SourceSpec::path(&recording),
            "camera" => SourceSpec { device: Some("/dev/video0".into()), ..SourceSpec::default() },
            _ => SourceSpec::uri("rtsp://127.0.0.1/1"),
        };
        // A thread that is there before, as libtest has it: seccomp reaches it too.
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = port.local_addr().unwrap();
        let landlock = restrict(&Needs::of(&spec, &Isolation::default())).unwrap();
        assert!(landlock, "these tests need a kernel with Landlock");
        let parent = i64::from(std::os::unix::process::parent_id());
        let zero = [0; 4];
        let outcome = match what {
            "deadly" => call(libc::SYS_ptrace, [libc::PTRACE_ATTACH.into(), parent, 0, 0]),
            "deadly-memory" => call(libc::SYS_process_vm_readv, [parent, 0, 0, 0]),
            "mount" => call(libc::SYS_mount, zero),
            "all" => return everything(&recording, address, kind, parent),
            "x32" => call(0x4000_0000 + 39, zero),
            other => panic!("{other}"),
        };
        println!("{what}: {:?}", refused(outcome));
    }

    #[expect(clippy::too_many_lines, reason = "one line for each thing that is forbidden")]
    fn everything(recording: &Path, address: SocketAddr, kind: &str, parent: i64) {
        let zero = [0; 4];
        let socket = |family: libc::c_int, kind: libc::c_int, protocol: libc::c_int| {
            call(libc::SYS_socket, [family.into(), kind.into(), protocol.into(), 0])
        };
        let folder = recording.parent().unwrap();
        let mut wrong = Vec::new();
        let mut denied = vec![
            ("execve", Command::new("/bin/true").status().map(|_| ())),
            ("execve itself", call(libc::SYS_execve, zero)),
            ("fork", call(libc::SYS_clone, [libc::SIGCHLD.into(), 0, 0, 0])),
            ("clone3", call(libc::SYS_clone3, zero)),
            ("unshare", call(libc::SYS_unshare, [libc::CLONE_NEWUSER.into(), 0, 0, 0])),
            ("io_uring", call(libc::SYS_io_uring_setup, [1, 0, 0, 0])),
            ("keyctl", call(libc::SYS_keyctl, zero)),
            ("a signal to the parent", call(libc::SYS_kill, [parent, 0, 0, 0])),
            ("a signal to all", call(libc::SYS_kill, [-1, 0, 0, 0])),
            ("tgkill", call(libc::SYS_tgkill, [parent, parent, 0, 0])),
            ("tkill", call(libc::SYS_tkill, [parent, 0, 0, 0])),
            ("pidfd_open", call(libc::SYS_pidfd_open, [parent, 0, 0, 0])),
            ("prlimit", call(libc::SYS_prlimit64, [parent, 7, 0, 0])),
            ("renice", call(libc::SYS_setpriority, [0, parent, 19, 0])),
            ("scheduler", call(libc::SYS_sched_setscheduler, [parent, 5, 0, 0])),
            ("PDEATHSIG", call(libc::SYS_prctl, [1, 0, 0, 0])),
            ("TIOCSTI", call(libc::SYS_ioctl, [0, 0x5412, 0, 0])),
            ("newer than the list", call(463, zero)),
            ("netlink audit", socket(libc::AF_NETLINK, libc::SOCK_RAW, 9)),
            ("packets", socket(libc::AF_PACKET, libc::SOCK_RAW, 0)),
            ("vsock", socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0)),
            ("bluetooth", socket(libc::AF_BLUETOOTH, libc::SOCK_RAW, 0)),
            ("alg", socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0)),
            ("a server", TcpListener::bind("127.0.0.1:0").map(|_| ())),
            ("passwd", fs::read("/etc/passwd").map(|_| ())),
            ("shadow", fs::read("/etc/shadow").map(|_| ())),
            ("the parent's memory", File::open(format!("/proc/{parent}/maps")).map(|_| ())),
            ("the parent's environment", fs::read(format!("/proc/{parent}/environ")).map(|_| ())),
            ("home", fs::read_dir("/root").map(|_| ())),
            ("the folder of the recording", fs::read_dir(folder).map(|_| ())),
            ("its neighbour", fs::read(folder.join("secret")).map(|_| ())),
            ("a new file", File::create(folder.join("new")).map(|_| ())),
            ("a temporary file", File::create("/tmp/kinewatch-sandbox-test").map(|_| ())),
            ("removing it", fs::remove_file(recording)),
            ("a link", std::os::unix::fs::symlink("/etc/passwd", folder.join("link"))),
        ];
        let write = fs::OpenOptions::new().write(true).open(recording).map(|_| ());
        let read = fs::read(recording).map(|_| ());
        let connect = TcpStream::connect(address).map(|_| ());
        let datagram = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map(|_| ());
        let unix = socket(libc::AF_UNIX, libc::SOCK_STREAM, 0);
        let netlink = socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE);
        denied.push(("writing the recording", write));
        let mut allowed = vec![
            ("a thread", std::thread::spawn(|| ()).join().map_err(|_| IoError::other("lost"))),
            ("a pair of sockets", UnixStream::pair().map(|_| ())),
            ("a library", fs::read_dir("/usr/lib").map(|_| ())),
            ("a signal to itself", call(libc::SYS_kill, [std::process::id().into(), 0, 0, 0])),
            ("/dev/null", fs::write("/dev/null", "x")),
        ];
        let (nobody, network) = (kind == "file", kind == "network");
        for (name, outcome, allows) in [
            ("the recording", read, nobody),
            ("TCP", connect, network),
            ("UDP", datagram, network),
            ("a unix socket", unix, !nobody),
            ("netlink", netlink, !nobody),
        ] {
            if allows { &mut allowed } else { &mut denied }.push((name, outcome));
        }
        for (name, outcome) in denied {
            wrong.extend(refused(outcome).err().map(|why| format!("{name} {why}")));
        }
        for (name, outcome) in allowed {
            wrong.extend(outcome.err().map(|error| format!("{name} was refused: {error}")));
        }
        assert!(wrong.is_empty(), "{kind}: {wrong:#?}");
        println!("held {kind}");
    }

    fn recording() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mkv");
        fs::write(&path, "x").unwrap();
        fs::write(folder.path().join("secret"), "y").unwrap();
        (folder, path)
    }

    #[test]
    fn what_is_forbidden_fails_and_what_is_needed_does_not() {
        let (_folder, path) = recording();
        for kind in ["file", "camera", "network"] {
            let output = sandboxed(&format!("{kind} all"), &path);
            assert!(output.status.success(), "{}", said(&output));
            assert!(said(&output).contains(&format!("held {kind}")), "{}", said(&output));
        }
    }

    #[test]
    fn what_no_decoder_tries_kills_the_process() {
        let (_folder, path) = recording();
        for what in ["deadly", "deadly-memory", "mount"] {
            let output = sandboxed(&format!("file {what}"), &path);
            assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{what}: {}", said(&output));
        }
    }

    /// 39 is getpid: allowed by its own number, not by its x32 twin's.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_second_set_of_numbers_is_not_there() {
        let (_folder, path) = recording();
        let output = sandboxed("file x32", &path);
        assert!(said(&output).contains("x32: Ok(())"), "{}", said(&output));
    }

    #[test]
    fn a_recording_talks_to_nobody_and_a_server_to_the_network() {
        let isolation = Isolation::default();
        let talk = |spec: &SourceSpec| Needs::of(spec, &isolation).talk;
        assert_eq!(talk(&SourceSpec::path("/a.mp4")), Talk::Nobody);
        assert_eq!(talk(&SourceSpec::uri("file:///a.mp4")), Talk::Nobody);
        assert_eq!(talk(&SourceSpec::synth("seed=1")), Talk::Nobody);
        assert_eq!(talk(&SourceSpec::uri("rtsp://cam/1")), Talk::Network);
        assert_eq!(talk(&SourceSpec::pipeline("videotestsrc")), Talk::Network);
        let camera = SourceSpec { device: Some("/dev/video3".into()), ..SourceSpec::default() };
        let needs = Needs::of(&camera, &isolation);
        assert_eq!((needs.talk, needs.devices), (Talk::Machine, vec!["/dev/video3".into()]));
        assert_eq!(Needs::of(&SourceSpec::path("/a.mp4"), &isolation).read, [Path::new("/a.mp4")]);
    }
}
