//! A real RTSP server in a process of its own, to be killed and frozen.

use std::io::Read;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer_rtsp_server as rtsp_server;
use gstreamer_rtsp_server::prelude::*;

/// Tells the test binary to be a server: a port, and what it serves.
const TO_BE: &str = "KINEWATCH_TEST_RTSP_SERVER";
/// How long a server may take to listen.
const DEADLINE: Duration = Duration::from_secs(300);

/// What cameras send.
pub const H264: &str = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=160,height=120,framerate=15/1 \
     ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! rtph264pay name=pay0 config-interval=1";
pub const JPEG: &str = "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=10/1 \
     ! jpegenc ! rtpjpegpay name=pay0";
pub const VP8: &str = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=64,height=64,framerate=25/1 \
     ! vp8enc deadline=1 keyframe-max-dist=25 ! rtpvp8pay name=pay0";
/// So much that few pictures are many bytes.
pub const SNOW: &str = "videotestsrc is-live=true pattern=snow ! video/x-raw,width=160,height=120,framerate=15/1 \
     ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! rtph264pay name=pay0 config-interval=1";

/// A server process. Dropped, it is killed.
pub struct Server {
    pub port: u16,
    child: Child,
}

impl Server {
    /// Serves `launch` at `port`, and waits until somebody listens there.
    pub fn start(port: u16, launch: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "to_be_an_rtsp_server", "--ignored", "--nocapture"])
            .env(TO_BE, format!("{port} {launch}"))
            // It ends with this process, however that ends: see `serve`.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < DEADLINE, "no server at port {port}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Server { port, child }
    }

    /// Starts another one in the place of one that was killed.
    pub fn replace_dead(&mut self, launch: &str) {
        *self = Server::start(self.port, launch);
    }

    /// As a power cut does it.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the process does that [`Server::start`] starts; nothing in any other.
pub fn serve() {
    let Ok(told) = std::env::var(TO_BE) else { return };
    let (port, launch) = told.split_once(' ').unwrap();
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    gst::init().unwrap();
    let server = rtsp_server::RTSPServer::new();
    server.set_address("127.0.0.1");
    server.set_service(port);
    let factory = rtsp_server::RTSPMediaFactory::new();
    factory.set_launch(&format!("( {launch} )"));
    // Each client has a camera of its own; see `RtspServer`.
    factory.set_shared(false);
    server.mount_points().unwrap().add_factory("/camera", factory);
    let _source = server.attach(None).unwrap();
    gst::glib::MainLoop::new(None, false).run();
}
