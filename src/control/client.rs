//! The other side of a status socket.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::listener::Stream;
use super::request::Timed;
use crate::error::{Error, Result};

/// In which a daemon must have answered.
const PATIENCE: Duration = Duration::from_secs(5);
/// No status is as large: more is something else.
const LARGEST: u64 = 16 << 20;
const REQUEST: &[u8] = b"GET /status HTTP/1.0\r\n\r\n";

/// Asks the daemon behind the Unix socket at `path` how it is doing.
///
/// # Errors
/// [`Kind::Unavailable`](crate::error::Kind::Unavailable): nobody listens there or
/// it does not answer within 5 seconds; [`Kind::Data`](crate::error::Kind::Data):
/// what answers is no kinewatch.
pub fn ask(path: &Path) -> Result<Value> {
    let doing = || format!("asking the daemon at \"{}\"", path.display());
    let answer = exchange(path).map_err(|error| {
        let remedy = match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                "see that it runs, and name its socket with --socket"
            }
            ErrorKind::PermissionDenied => "ask as its user, as a member of its group, or as root",
            _ => "look at its log: it may hang",
        };
        Error::unavailable(doing(), error).remedy(remedy)
    })?;
    let text = std::str::from_utf8(&answer).unwrap_or_default();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    let is_fine = head.split_ascii_whitespace().nth(1) == Some("200");
    let status = is_fine.then(|| serde_json::from_str(body).ok()).flatten();
    status.ok_or_else(|| Error::data(doing(), "what answers there is not a kinewatch daemon"))
}

fn exchange(path: &Path) -> io::Result<Vec<u8>> {
    let mut stream = Stream::Unix(UnixStream::connect(path)?);
    let mut timed = Timed::new(&mut stream, PATIENCE);
    timed.write_all(REQUEST)?;
    let mut answer = Vec::new();
    timed.take(LARGEST).read_to_end(&mut answer).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => ErrorKind::TimedOut.into(),
        _ => error,
    })?;
    Ok(answer)
}
