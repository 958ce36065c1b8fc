//! What systemd is told (`Type=notify`, sd_notify(3)). Without systemd, nothing
//! happens.

use sd_notify::NotifyState;

/// Every stream was started, or has failed.
pub(super) fn ready() {
    send(&[NotifyState::Ready]);
}

/// The end has begun.
pub(super) fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// One line for `systemctl status`.
pub(super) fn status(text: &str) {
    send(&[NotifyState::Status(text)]);
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::debug!("telling systemd: {error}");
    }
}
