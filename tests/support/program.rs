//! The program under test.

use std::process::{Command, Stdio};

/// What the machine that runs the tests may say to kinewatch, and must not.
const NOT_FOR_TESTS: [&str; 13] = [
    "CREDENTIALS_DIRECTORY",
    "GST_DEBUG",
    "JOURNAL_STREAM",
    "KINEWATCH_CAMERA",
    "KINEWATCH_LOG",
    "LOGS_DIRECTORY",
    "NO_COLOR",
    "NOTIFY_SOCKET",
    "RUNTIME_DIRECTORY",
    "STATE_DIRECTORY",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "XDG_RUNTIME_DIR",
];

/// kinewatch as it was built, with nothing to read and told nothing but by the test.
pub fn kinewatch() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kinewatch"));
    command.stdin(Stdio::null());
    for variable in NOT_FOR_TESTS {
        command.env_remove(variable);
    }
    command
}
