//! A bad network between a camera and whoever watches it: RTSP over TCP, and its
//! RTP over UDP, with faults that come and go.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::simulated::Rng;

/// What the network does to what passes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fault {
    /// New connections are closed at once.
    pub refuse: bool,
    /// Nothing passes, and nothing is closed.
    pub hold: bool,
    /// Each packet is late by this.
    pub delay: Duration,
    /// Of a thousand packets, so many are lost, have a byte changed, or change places
    /// with the next.
    pub drop: u64,
    pub corrupt: u64,
    pub reorder: u64,
    /// A connection is cut when it has brought so many bytes.
    pub cut_after: Option<u64>,
}

struct Shared {
    fault: Mutex<Fault>,
    /// Counts up when every connection is to be cut.
    cut: AtomicU64,
    /// Connections that brought as many bytes as were asked for.
    brought: AtomicU64,
    over: AtomicBool,
    random: Mutex<Rng>,
}

/// Listens in front of a server on loopback.
pub struct Network {
    pub port: u16,
    shared: Arc<Shared>,
}

/// How often a waiting thread looks around.
const LOOK: Duration = Duration::from_millis(20);

impl Network {
    pub fn before(server: u16, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            fault: Mutex::default(),
            cut: AtomicU64::new(0),
            brought: AtomicU64::new(0),
            over: AtomicBool::new(false),
            random: Mutex::new(Rng(seed)),
        });
        let of_thread = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if of_thread.over.load(Ordering::Relaxed) {
                    break;
                }
                if of_thread.fault().refuse {
                    continue;
                }
                if let Ok(server) = TcpStream::connect(("127.0.0.1", server)) {
                    Wire::join(&client, &server, &of_thread);
                }
            }
        });
        Network { port, shared }
    }

    pub fn uri(&self) -> String {
        format!("rtsp://127.0.0.1:{}/camera", self.port)
    }

    pub fn set(&self, fault: Fault) {
        *self.shared.fault.lock().unwrap() = fault;
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        self.shared.cut.fetch_add(1, Ordering::Relaxed);
    }

    /// Connections that brought [`Fault::cut_after`] bytes.
    pub fn brought(&self) -> u64 {
        self.shared.brought.load(Ordering::Relaxed)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        self.cut();
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap()
    }

    fn happens(&self, of_a_thousand: u64) -> bool {
        of_a_thousand > 0 && self.random.lock().unwrap().below(1_000) < of_a_thousand
    }

    /// What arrives for one packet, in order; `kept` is the one that was overtaken.
    fn pass(&self, mut packet: Vec<u8>, kept: &mut Option<Vec<u8>>) -> Vec<Vec<u8>> {
        let fault = self.fault();
        if !fault.delay.is_zero() {
            std::thread::sleep(fault.delay);
        }
        if self.happens(fault.drop) {
            return Vec::new();
        }
        if self.happens(fault.corrupt) && !packet.is_empty() {
            let at = self.random.lock().unwrap().below(packet.len() as u64) as usize;
            packet[at] ^= 0x55;
        }
        if kept.is_none() && self.happens(fault.reorder) {
            *kept = Some(packet);
            return Vec::new();
        }
        [packet].into_iter().chain(kept.take()).collect()
    }
}

/// Both directions of one RTSP connection.
struct Wire {
    shared: Arc<Shared>,
    from: TcpStream,
    to: TcpStream,
    cut: u64,
    ports: Arc<Mutex<Ports>>,
    up: bool,
}

/// The client's UDP ports as it named them, and ours in their place.
#[derive(Default)]
struct Ports {
    theirs: String,
    ours: String,
}

impl Wire {
    fn join(client: &TcpStream, server: &TcpStream, shared: &Arc<Shared>) {
        let ports = Arc::new(Mutex::new(Ports::default()));
        for (from, to, up) in [(client, server, true), (server, client, false)] {
            let wire = Wire {
                shared: shared.clone(),
                from: from.try_clone().unwrap(),
                to: to.try_clone().unwrap(),
                cut: shared.cut.load(Ordering::Relaxed),
                ports: ports.clone(),
                up,
            };
            std::thread::spawn(move || wire.carry());
        }
    }

    fn is_cut(&self) -> bool {
        self.shared.cut.load(Ordering::Relaxed) != self.cut
    }

    fn carry(mut self) {
        self.from.set_read_timeout(Some(LOOK)).unwrap();
        let mut buffer = [0; 4096];
        let (mut kept, mut bytes) = (None, 0);
        while !self.is_cut() {
            if self.shared.fault().hold {
                std::thread::sleep(LOOK);
                continue;
            }
            let read = match self.from.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if is_timeout(&error) => continue,
                Err(_) => break,
            };
            let packet = buffer[..read].to_vec();
            let packets = if self.up {
                vec![self.requests(packet)]
            } else {
                let packet = self.answers(packet);
                self.shared.pass(packet, &mut kept)
            };
            bytes += read as u64;
            if packets.iter().any(|packet| self.to.write_all(packet).is_err()) {
                break;
            }
            if !self.up && self.shared.fault().cut_after.is_some_and(|most| bytes >= most) {
                self.shared.brought.fetch_add(1, Ordering::Relaxed);
                break;
            }
        }
        let _ = self.from.shutdown(Shutdown::Both);
        let _ = self.to.shutdown(Shutdown::Both);
    }

    /// Puts our UDP ports in the place of the client's.
    fn requests(&self, packet: Vec<u8>) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(&packet) else { return packet };
        let Some((_, rest)) = text.split_once("client_port=") else { return packet };
        let theirs: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '-').collect();
        let ours: Vec<String> = theirs
            .split('-')
            .filter_map(|port| port.parse().ok())
            .map(|port| self.carry_datagrams(port).to_string())
            .collect();
        let ours = ours.join("-");
        let text = text.replace(&format!("client_port={theirs}"), &format!("client_port={ours}"));
        *self.ports.lock().unwrap() = Ports { theirs, ours };
        text.into_bytes()
    }

    /// Puts the client's UDP ports in the place of ours.
    fn answers(&self, packet: Vec<u8>) -> Vec<u8> {
        let ports = self.ports.lock().unwrap();
        match std::str::from_utf8(&packet) {
            Ok(text) if !ports.ours.is_empty() => text
                .replace(
                    &format!("client_port={}", ports.ours),
                    &format!("client_port={}", ports.theirs),
                )
                .into_bytes(),
            _ => packet,
        }
    }

    /// A port of ours whose datagrams go to the client's; as long as the connection.
    fn carry_datagrams(&self, theirs: u16) -> u16 {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(LOOK)).unwrap();
        let port = socket.local_addr().unwrap().port();
        let to = SocketAddr::from(([127, 0, 0, 1], theirs));
        let (shared, cut) = (self.shared.clone(), self.cut);
        let alive = self.from.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            let mut kept = None;
            while shared.cut.load(Ordering::Relaxed) == cut && alive.peer_addr().is_ok() {
                let Ok((read, _)) = socket.recv_from(&mut buffer) else { continue };
                if shared.fault().hold {
                    continue;
                }
                for packet in shared.pass(buffer[..read].to_vec(), &mut kept) {
                    let _ = socket.send_to(&packet, to);
                }
            }
        });
        port
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}
