//! A request as it comes in: bounded in size and in time.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use super::listener::Stream;
use super::response::Response;

/// Request line and headers together, bytes.
const LARGEST_HEAD: usize = 16 << 10;
/// Headers of a request.
const MOST_HEADERS: usize = 64;
/// A body, bytes.
pub(super) const LARGEST_BODY: usize = 1 << 20;

/// What a client asks for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Request {
    pub method: String,
    /// As it was sent, with its escapes.
    pub target: String,
    /// The media type in lower case, without its parameters.
    pub content_type: Option<String>,
    pub body: Vec<u8>,
}

/// Why there is no request to answer.
#[derive(Debug)]
pub(super) enum Unread {
    /// It is not one; this is to be answered.
    Wrong(Response),
    /// The client is gone.
    Gone,
}

fn wrong(status: u16, error: &str, remedy: &str) -> Unread {
    Unread::Wrong(Response::error(status, error, remedy))
}

/// Head of a request, and how many bytes it took.
struct Head {
    request: Request,
    length: usize,
    body: usize,
    continues: bool,
}

/// Something with a deadline.
pub(super) struct Timed<'a> {
    stream: &'a mut Stream,
    until: Instant,
}

impl<'a> Timed<'a> {
    pub fn new(stream: &'a mut Stream, patience: Duration) -> Self {
        Timed { stream, until: Instant::now() + patience }
    }

    fn prepare(&self) -> io::Result<()> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.stream.set_timeout(left)
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.prepare()?;
        self.stream.read(buffer)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.prepare()?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads one request.
pub(super) fn read(from: &mut (impl Read + Write)) -> Result<Request, Unread> {
    let mut bytes = Vec::new();
    let head = loop {
        match head(&bytes)? {
            Some(head) => break head,
            None if bytes.len() >= LARGEST_HEAD => {
                return Err(wrong(
                    431,
                    &format!("the headers take more than {} KiB", LARGEST_HEAD >> 10),
                    "send fewer or shorter headers",
                ));
            }
            None => more(from, &mut bytes, LARGEST_HEAD)?,
        }
    };
    let Head { mut request, length, body, continues } = head;
    bytes.drain(..length);
    if continues && bytes.len() < body {
        // The client waits for this before it sends the body (RFC 9110, 10.1.1).
        from.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").map_err(|_| Unread::Gone)?;
    }
    while bytes.len() < body {
        more(from, &mut bytes, body)?;
    }
    bytes.truncate(body);
    request.body = bytes;
    Ok(request)
}

/// Reads some more bytes, up to `most` in all.
fn more(from: &mut impl Read, bytes: &mut Vec<u8>, most: usize) -> Result<(), Unread> {
    let mut buffer = [0; 4096];
    let room = most.saturating_sub(bytes.len()).min(buffer.len());
    let read = loop {
        match from.read(&mut buffer[..room]) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => break read,
        }
    };
    match read {
        Ok(0) if bytes.is_empty() => Err(Unread::Gone),
        Ok(0) => Err(wrong(400, "the request breaks off", "send all of it")),
        Ok(n) => {
            bytes.extend_from_slice(&buffer[..n]);
            Ok(())
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Err(wrong(408, "the request takes too long", "send all of it at once"))
        }
        Err(_) => Err(Unread::Gone),
    }
}

/// The head, once it is whole.
fn head(bytes: &[u8]) -> Result<Option<Head>, Unread> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(bytes) {
        Ok(httparse::Status::Partial) => return Ok(None),
        Ok(httparse::Status::Complete(length)) => length,
        Err(httparse::Error::TooManyHeaders) => {
            let error = format!("there are more than {MOST_HEADERS} headers");
            return Err(wrong(431, &error, "send fewer headers"));
        }
        Err(error) => {
            let error = format!("this is no HTTP/1.1 request: {error}");
            return Err(wrong(400, &error, "see docs/control.md for an example"));
        }
    };
    let all = |name: &'static str| {
        parsed.headers.iter().filter(move |h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value)
    };
    if all("Host").count() != 1 && parsed.version == Some(1) {
        return Err(wrong(400, "there is no Host header, or several", "send one"));
    }
    // A page that somebody looks at on this machine could otherwise label its streams.
    if all("Origin").next().is_some() {
        return Err(wrong(
            403,
            "requests from web pages are not taken",
            "send it from a program, such as curl",
        ));
    }
    if all("Transfer-Encoding").next().is_some() {
        return Err(wrong(411, "the body comes in chunks", "send its Content-Length"));
    }
    let mut lengths = all("Content-Length");
    let body = match (lengths.next(), lengths.next()) {
        (None, _) => 0,
        (Some(value), None) => length_of(value)?,
        _ => return Err(wrong(400, "there are several Content-Lengths", "send one")),
    };
    let text = |value: &[u8]| String::from_utf8_lossy(value).trim().to_ascii_lowercase();
    let media = |value: &[u8]| text(value.split(|b| *b == b';').next().unwrap_or_default());
    let request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        target: parsed.path.unwrap_or_default().to_owned(),
        content_type: all("Content-Type").next().map(media),
        body: Vec::new(),
    };
    let continues = all("Expect").any(|value| text(value) == "100-continue");
    Ok(Some(Head { request, length, body, continues }))
}

fn length_of(value: &[u8]) -> Result<usize, Unread> {
    let text = std::str::from_utf8(value).unwrap_or_default().trim();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits {
        return Err(wrong(400, "the Content-Length is no number", "send a number of bytes"));
    }
    // A number too large to hold is too large.
    match text.parse::<usize>() {
        Ok(length) if length <= LARGEST_BODY => Ok(length),
        _ => Err(wrong(
            413,
            &format!("the body takes more than {} MiB", LARGEST_BODY >> 20),
            "send the labels in several requests",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// A client that sends these pieces and then nothing.
    struct Client {
        pieces: VecDeque<Vec<u8>>,
        told: Vec<u8>,
    }

    impl Client {
        fn new(pieces: &[&[u8]]) -> Self {
            Client { pieces: pieces.iter().map(|p| p.to_vec()).collect(), told: Vec::new() }
        }
    }

    impl Read for Client {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some(piece) = self.pieces.front_mut() else { return Ok(0) };
            let n = piece.len().min(buffer.len());
            buffer[..n].copy_from_slice(&piece[..n]);
            piece.drain(..n);
            if piece.is_empty() {
                self.pieces.pop_front();
            }
            Ok(n)
        }
    }

    impl Write for Client {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.told.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const POST: &[u8] = b"POST /streams/a/labels HTTP/1.1\r\nHost: x\r\ncontent-type: Text/CSV; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello";

    fn status(request: &[u8]) -> u16 {
        match read(&mut Client::new(&[request])) {
            Ok(request) => panic!("{request:?}"),
            Err(Unread::Wrong(response)) => response.status(),
            Err(Unread::Gone) => 0,
        }
    }

    #[test]
    fn a_request_may_come_in_any_pieces() {
        for size in [1, 2, 7, 1000] {
            let pieces: Vec<&[u8]> = POST.chunks(size).collect();
            let request = read(&mut Client::new(&pieces)).unwrap();
            assert_eq!(
                (request.method.as_str(), request.target.as_str()),
                ("POST", "/streams/a/labels")
            );
            assert_eq!(
                (request.content_type.as_deref(), request.body.as_slice()),
                (Some("text/csv"), &b"hello"[..])
            );
        }
    }

    #[test]
    fn a_client_that_asks_first_is_told_to_go_on() {
        let head =
            b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
        let mut client = Client::new(&[head, b"ok"]);
        assert_eq!(read(&mut client).unwrap().body, b"ok");
        assert!(client.told.starts_with(b"HTTP/1.1 100 Continue\r\n\r\n"));
    }

    #[test]
    fn what_is_no_request_is_told_so() {
        let get =
            |headers: &str| format!("GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n").into_bytes();
        for (request, expected) in [
            (b"".to_vec(), 0),
            (b"nonsense\r\n\r\n".to_vec(), 400),
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), 400),
            (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n".to_vec(), 400),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), 400),
            (POST[..POST.len() - 1].to_vec(), 400),
            (get("Content-Length: five\r\n"), 400),
            (get("Content-Length: -1\r\n"), 400),
            (get("Content-Length: +1\r\n"), 400),
            (get("Content-Length: 1\r\nContent-Length: 1\r\n"), 400),
            (get("Content-Length: 1048577\r\n"), 413),
            (get("Content-Length: 99999999999999999999999\r\n"), 413),
            (get("Transfer-Encoding: chunked\r\n"), 411),
            (get("Origin: https://example.org\r\n"), 403),
            (get(&"X: y\r\n".repeat(100)), 431),
            (get(&format!("X: {}\r\n", "y".repeat(20_000))), 431),
            (vec![b'A'; 100_000], 431),
        ] {
            let shown = String::from_utf8_lossy(&request[..request.len().min(80)]).into_owned();
            assert_eq!(status(&request), expected, "{shown:?}");
        }
        // HTTP/1.0 knows no Host.
        assert!(read(&mut Client::new(&[b"GET / HTTP/1.0\r\n\r\n"])).is_ok());
    }
}
