//! The servers: one thread lets clients in, one serves each of them.

use std::io::Read;
use std::net::Shutdown;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

use super::doors::Doors;
use super::endpoint;
use super::listener::{Listener, Purpose, Stream};
use super::options::{ControlOptions, Place};
use super::request::{self, LARGEST_BODY, Request, Timed, Unread};
use super::response::Response;
use crate::error::{Error, Result};
use crate::label::Post;

/// In which a client must have sent its request.
const PATIENCE: Duration = Duration::from_secs(10);
/// In which it must have taken the answer.
const ANSWER: Duration = Duration::from_secs(5);
/// In which a client may still send what nobody reads.
const LINGER: Duration = Duration::from_millis(500);
/// After a failure to accept a client, such as too many open files.
const PAUSE: Duration = Duration::from_millis(200);
/// In which clients have left when the server ends.
const LEAVE: Duration = Duration::from_secs(1);

/// What answers a request.
type Answer = Box<dyn Fn(&Request) -> Response + Send + Sync>;

const LABELS: Purpose = Purpose {
    what: "labels",
    remedy: "set [control] socket to a path in a folder that this user may write to",
};
const STATUS: Purpose = Purpose {
    what: "questions about its status",
    remedy: "set [status] socket to a path in a folder that this user may write to, or to \"off\"",
};

/// Takes labels over HTTP until it is dropped.
pub struct Control {
    server: Serving,
    posts: Arc<RwLock<Vec<Post>>>,
}

impl Control {
    /// Begins to listen, and returns. Each post is a stream that takes labels.
    ///
    /// # Errors
    /// The options name no place, or nobody can listen there.
    pub fn start(options: &ControlOptions, posts: Vec<Post>) -> Result<Control> {
        Control::start_patient(options, posts, PATIENCE)
    }

    fn start_patient(
        options: &ControlOptions,
        posts: Vec<Post>,
        patience: Duration,
    ) -> Result<Control> {
        let doing = "taking labels over HTTP";
        let place = options
            .place()
            .map_err(|(key, fault)| Error::config(doing, format!("control.{key}: {fault}")))?
            .ok_or_else(|| Error::config(doing, "control: neither listen nor socket is set"))?;
        let posts = Arc::new(RwLock::new(posts));
        let known = posts.clone();
        let answer = move |request: &Request| {
            let posts = known.read().unwrap_or_else(PoisonError::into_inner).clone();
            endpoint::answer(request, &posts)
        };
        let server = Serving::start(place, LABELS, Box::new(answer), patience)?;
        let listener = &server.server.listener;
        log::info!("labels are taken at {} (POST /streams/NAME/labels)", listener.address());
        if listener.is_remote() {
            log::warn!(
                "whoever can reach {} can send labels: nobody is asked who they are",
                listener.address()
            );
        }
        Ok(Control { server, posts })
    }

    /// From now on these are the streams that take labels.
    pub fn set_posts(&self, posts: Vec<Post>) {
        *self.posts.write().unwrap_or_else(PoisonError::into_inner) = posts;
    }

    /// Where it listens: address and port, or the socket's path.
    pub fn address(&self) -> String {
        self.server.server.listener.address()
    }
}

/// Tells over a Unix socket how a daemon is doing, until it is dropped.
pub struct StatusDoor {
    _server: Serving,
}

impl StatusDoor {
    /// Begins to listen at `path`, and returns. `GET /status` is answered with what
    /// `status` gives.
    ///
    /// # Errors
    /// Nobody can listen there.
    pub fn open(
        path: &Path,
        status: impl Fn() -> Value + Send + Sync + 'static,
    ) -> Result<StatusDoor> {
        let answer = move |request: &Request| match (&*request.method, &*request.target) {
            ("GET", "/status") => Response::new(200, status()),
            ("GET", _) => Response::error(404, "there is nothing here", "ask for GET /status"),
            _ => Response::error(405, "that is not possible here", "use GET").allow("GET"),
        };
        let server = Serving::start(Place::Unix(path), STATUS, Box::new(answer), PATIENCE)?;
        log::debug!("the status is told at \"{}\"", path.display());
        Ok(StatusDoor { _server: server })
    }
}

/// A server that runs.
struct Serving {
    server: Arc<Server>,
    acceptor: Option<JoinHandle<()>>,
}

struct Server {
    listener: Listener,
    doors: Doors,
    answer: Answer,
    patience: Duration,
    /// One request is looked into at a time: what it takes in memory, it takes once.
    turn: Mutex<()>,
}

impl Serving {
    fn start(
        place: Place<'_>,
        purpose: Purpose,
        answer: Answer,
        patience: Duration,
    ) -> Result<Serving> {
        let listener = Listener::open(place, purpose)?;
        let (doors, turn) = (Doors::new(), Mutex::default());
        let server = Arc::new(Server { listener, doors, answer, patience, turn });
        let acceptor = thread::Builder::new()
            .name("control".into())
            .spawn({
                let server = server.clone();
                move || accept(&server)
            })
            .map_err(|error| {
                Error::unavailable(format!("listening for {}", purpose.what), error)
            })?;
        Ok(Serving { server, acceptor: Some(acceptor) })
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.server.doors.close();
        let woken = self.server.listener.wake();
        if let Some(acceptor) = self.acceptor.take()
            && (woken || acceptor.is_finished())
        {
            // That it panicked was on standard error.
            let _ = acceptor.join();
        }
        self.server.listener.hide();
        self.server.doors.wait_until_empty(LEAVE);
    }
}

fn accept(server: &Arc<Server>) {
    let mut failing = false;
    while !server.doors.are_closed() {
        let stream = match server.listener.accept() {
            Ok(stream) => stream,
            Err(error) => {
                if !failing {
                    log::warn!("no client can be let in to {}: {error}", server.listener.address());
                }
                failing = true;
                thread::park_timeout(PAUSE);
                continue;
            }
        };
        failing = false;
        // The doors keep a handle of their own, to show clients out.
        let Ok(handle) = stream.try_clone() else { continue };
        let Some(ticket) = server.doors.enter(handle) else { return };
        let server = server.clone();
        let serve = move || {
            serve(&server, stream);
            drop(server);
            // The last: whoever waits for it finds nothing left.
            drop(ticket);
        };
        if let Err(error) = thread::Builder::new().name("control client".into()).spawn(serve) {
            log::warn!("a client was turned away: no thread could be started: {error}");
        }
    }
}

/// Reads one request, answers it and closes.
fn serve(server: &Server, mut stream: Stream) {
    let response = match request::read(&mut Timed::new(&mut stream, server.patience)) {
        Ok(request) => {
            let _turn = server.turn.lock().unwrap_or_else(PoisonError::into_inner);
            (server.answer)(&request)
        }
        Err(Unread::Wrong(response)) => response,
        Err(Unread::Gone) => return,
    };
    response.send(&mut Timed::new(&mut stream, ANSWER));
    // To close while bytes come in would take the answer back (RFC 9112, 9.6).
    stream.shutdown(Shutdown::Write);
    let rest = Timed::new(&mut stream, LINGER);
    let _ = std::io::copy(&mut rest.take(2 * LARGEST_BODY as u64), &mut std::io::sink());
    stream.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_client_that_takes_too_long_is_told_so() {
        let options = ControlOptions { listen: Some("127.0.0.1:0".into()), ..Default::default() };
        let control =
            Control::start_patient(&options, Vec::new(), Duration::from_millis(50)).unwrap();
        for part in [
            &b"GET / HTTP/1.1\r\nHost: x\r\n"[..],
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n1",
        ] {
            let mut client = TcpStream::connect(control.address()).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            client.write_all(part).unwrap();
            let mut told = String::new();
            client.read_to_string(&mut told).unwrap();
            assert!(told.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{told}");
        }
    }
}
