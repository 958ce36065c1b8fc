//! SIGTERM and SIGINT ask for the end; a second one ends the process. SIGHUP asks
//! for the configuration to be read again, SIGUSR1 how right the streams have been.

use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use crate::error::{Error, Result};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To end.
    End,
    /// To read the configuration again.
    Reload,
    /// To tell how things stand.
    Tell,
}

/// Calls `heed` for each signal, on a thread of its own.
///
/// # Errors
/// The handlers or their thread cannot be set up.
pub fn listen(mut heed: impl FnMut(Asked) + Send + 'static) -> Result<()> {
    let doing = "setting up signal handlers";
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1])
        .map_err(|error| Error::unavailable(doing, error))?;
    let listen = move || {
        let mut asked = false;
        for signal in signals.forever() {
            match signal {
                SIGHUP => heed(Asked::Reload),
                SIGUSR1 => heed(Asked::Tell),
                _ if asked => {
                    log::warn!("a second signal: ending at once");
                    std::process::exit(1);
                }
                _ => {
                    asked = true;
                    log::info!("ending; a second signal ends at once");
                    heed(Asked::End);
                }
            }
        }
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(listen)
        .map(|_| ())
        .map_err(|error| Error::unavailable(doing, error))
}
