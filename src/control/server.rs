//! The server: one thread lets clients in, one serves each of them.

use std::io::Read;
use std::net::Shutdown;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::doors::Doors;
use super::endpoint;
use super::listener::{Listener, Stream};
use super::options::ControlOptions;
use super::request::{self, LARGEST_BODY, Timed, Unread};
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

/// Takes labels over HTTP until it is dropped.
pub struct Control {
    server: Arc<Server>,
    acceptor: Option<JoinHandle<()>>,
}

struct Server {
    listener: Listener,
    doors: Doors,
    posts: Vec<Post>,
    patience: Duration,
    /// One request is looked into at a time: what it takes in memory, it takes once.
    turn: Mutex<()>,
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
        let listener = Listener::open(place)?;
        log::info!("labels are taken at {} (POST /streams/NAME/labels)", listener.address());
        if listener.is_remote() {
            log::warn!(
                "whoever can reach {} can send labels: nobody is asked who they are",
                listener.address()
            );
        }
        let (doors, turn) = (Doors::new(), Mutex::default());
        let server = Arc::new(Server { listener, doors, posts, patience, turn });
        let acceptor = thread::Builder::new()
            .name("control".into())
            .spawn({
                let server = server.clone();
                move || accept(&server)
            })
            .map_err(|error| Error::unavailable(doing, error))?;
        Ok(Control { server, acceptor: Some(acceptor) })
    }

    /// Where it listens: address and port, or the socket's path.
    pub fn address(&self) -> String {
        self.server.listener.address()
    }
}

impl Drop for Control {
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
            endpoint::answer(&request, &server.posts)
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
