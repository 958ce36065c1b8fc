//! SIGTERM and SIGINT end the streams; a second one ends the process. SIGUSR1
//! asks how right the streams have been. SIGHUP, by which a terminal or a habit asks for the configuration to be read again,
//! does nothing yet and says so.

use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use super::notify;
use crate::error::{Error, Result};
use crate::stop::Stop;

/// Asks each of `stops` when a signal asks the process to end, and calls `tell`
/// when one asks how things stand.
///
/// # Errors
/// The handlers or their thread cannot be set up.
pub fn listen(stops: Vec<Stop>, tell: impl Fn() + Send + 'static) -> Result<()> {
    let doing = "setting up signal handlers";
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1])
        .map_err(|error| Error::unavailable(doing, error))?;
    let heed = move || {
        let mut asked = false;
        for signal in signals.forever() {
            match signal {
                SIGHUP => log::info!(
                    "SIGHUP: a running configuration cannot be read again yet; restart instead"
                ),
                SIGUSR1 => tell(),
                _ if asked => {
                    log::warn!("a second signal: ending at once");
                    std::process::exit(1);
                }
                _ => {
                    asked = true;
                    log::info!("ending; a second signal ends at once");
                    notify::stopping();
                    stops.iter().for_each(Stop::ask);
                }
            }
        }
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(heed)
        .map(|_| ())
        .map_err(|error| Error::unavailable(doing, error))
}
