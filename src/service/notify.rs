//! What systemd is told (`Type=notify` and `Type=notify-reload`, sd_notify(3)).
//! Without systemd, nothing happens.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use sd_notify::NotifyState;

/// How long it may take to tell.
const PATIENCE: Duration = Duration::from_millis(200);

/// Every stream was started, or has failed; or what was asked for by a reload is
/// done, well or not.
pub(super) fn ready() {
    send(&[NotifyState::Ready]);
}

/// The configuration is read again.
pub(super) fn reloading() {
    // Without its time, systemd would not know to which reload it belongs.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => log::debug!("telling systemd: {error}"),
    }
}

/// The end has begun.
pub(super) fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// One line for `systemctl status`.
pub(super) fn status(text: &str) {
    send(&[NotifyState::Status(text)]);
}

/// What is being done now may take this much longer.
pub(super) fn extend(by: Duration) {
    let by = u32::try_from(by.as_micros()).unwrap_or(u32::MAX);
    send(&[NotifyState::ExtendTimeoutUsec(by)]);
}

/// All is well.
pub(super) fn feed() {
    send(&[NotifyState::Watchdog]);
}

/// How often [`feed`] is expected, if it is.
pub(super) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero())
}

fn send(states: &[NotifyState<'_>]) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let text: String = states.iter().map(|state| format!("{state}\n")).collect();
    // Not `sd_notify::notify`, which waits for as long as nobody listens: the main
    // thread would hang with systemd.
    let tell = || {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.send_to(text.as_bytes(), &path)
    };
    if let Err(error) = tell() {
        log::debug!("telling systemd: {error}");
    }
}
