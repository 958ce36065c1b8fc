//! How much memory the C library keeps for threads that come and go.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// glibc reads it once, before a program's first line runs (mallopt(3)).
const VARIABLE: &str = "MALLOC_ARENA_MAX";

/// Lets all threads share one of glibc's arenas, by starting the program again
/// in its own place where `MALLOC_ARENA_MAX` is not set.
///
/// Each video of a replay starts a dozen threads, GStreamer's and ours. By
/// default glibc spreads them over up to eight arenas a core, and what a thread
/// freed stays in its arena: over a thousand videos memory grew by a fifth, and
/// a run needed more than half as much again as it does with one arena. A daemon
/// keeps a fifth less (X3D-S over a 720p recording: 159 MB instead of 193). To be
/// called before any thread is started; does nothing with other C libraries.
pub fn share_arenas() {
    if !cfg!(target_env = "gnu") || env::var_os(VARIABLE).is_some() {
        return;
    }
    let Ok(program) = env::current_exe() else { return };
    // Comes back only where it failed; then all goes on as it would have.
    let error = Command::new(program).args(env::args_os().skip(1)).env(VARIABLE, "1").exec();
    log::debug!("starting again with {VARIABLE}=1: {error}");
}
