//! Data on standard output.

use std::io::{self, ErrorKind, Write};

use crate::error::{Error, Result};

/// Writes `bytes` to standard output. A reader that has seen enough (`| head`)
/// is no failure.
///
/// # Errors
/// Standard output cannot be written.
pub(super) fn print(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::unavailable("writing to standard output", error))
        }
        _ => Ok(()),
    }
}
