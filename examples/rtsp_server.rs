//! Plays a recording to RTSP clients as a camera would: in real time, once for
//! each client, from its first frame.
//!
//! ```text
//! cargo run --release --example rtsp_server -- FILE --port 8554
//! cargo run --release --bin kinewatch -- run configs/rtsp.toml
//! ```
//!
//! The demo and the tests use it as their camera; the daemon does not depend on
//! it. Nothing is transcoded, so the recording must hold a codec that RTSP
//! cameras speak: H.264, H.265 or Motion JPEG.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use gstreamer as gst;
use gstreamer::glib;
use gstreamer_pbutils as pbutils;
use gstreamer_pbutils::prelude::*;
use gstreamer_rtsp as rtsp;
use gstreamer_rtsp_server as server;
use gstreamer_rtsp_server::prelude::*;

/// The role that a client with the right password plays.
const VIEWER: &str = "viewer";
/// How long the recording may take to tell what it holds.
const PROBE: gst::ClockTime = gst::ClockTime::from_seconds(10);
/// How often sessions of clients that went away without a word are dropped.
const SWEEP: Duration = Duration::from_secs(5);

/// Plays a recording to RTSP clients as a camera would: in real time, once for
/// each client, from its first frame.
#[derive(Parser)]
struct Args {
    /// A recording that holds H.264, H.265 or Motion JPEG video
    file: PathBuf,
    /// TCP port to listen on; 0 lets the system choose a free one
    #[arg(long, default_value_t = 8554)]
    port: u16,
    /// Address to listen on; 0.0.0.0 serves the whole network
    #[arg(long, default_value = "127.0.0.1")]
    address: String,
    /// Last part of the URL, as in rtsp://HOST:PORT/NAME
    #[arg(long, default_value = "demo")]
    name: String,
    /// Ask clients for this user and --password
    #[arg(long, requires = "password")]
    user: Option<String>,
    /// The password that --user must give
    #[arg(long, requires = "user")]
    password: Option<String>,
}

fn main() -> ExitCode {
    match serve(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("rtsp_server: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until the process is ended.
fn serve(args: &Args) -> Result<(), String> {
    gst::init().map_err(|fault| format!("starting GStreamer: {fault}"))?;
    let file =
        args.file.canonicalize().map_err(|fault| format!("opening {:?}: {fault}", args.file))?;
    let factory = factory(&file)?;

    let rtsp_server = server::RTSPServer::new();
    rtsp_server.set_address(&args.address);
    rtsp_server.set_service(&args.port.to_string());
    if let (Some(user), Some(password)) = (&args.user, &args.password) {
        demand_password(&rtsp_server, &factory, user, password);
    }
    let mounts = rtsp_server.mount_points().ok_or("the RTSP server has no mount points")?;
    mounts.add_factory(&format!("/{}", args.name), factory);
    let _attached = rtsp_server.attach(None).map_err(|_| {
        format!("listening on {}:{}: the address is taken or not ours", args.address, args.port)
    })?;
    // Weak: the sweep must not be what keeps the server alive.
    let weak = rtsp_server.downgrade();
    glib::timeout_add(SWEEP, move || {
        let Some(rtsp_server) = weak.upgrade() else {
            return glib::ControlFlow::Break;
        };
        if let Some(sessions) = rtsp_server.session_pool() {
            sessions.cleanup();
        }
        glib::ControlFlow::Continue
    });

    println!("rtsp://{}:{}/{}", args.address, rtsp_server.bound_port(), args.name);
    glib::MainLoop::new(None, false).run();
    Ok(())
}

/// A new pipeline for each client, so that each sees the recording from its start.
fn factory(file: &Path) -> Result<server::RTSPMediaFactory, String> {
    let (caps, payload) = payload(file)?;
    let factory = server::RTSPMediaFactory::new();
    factory.set_shared(false);
    factory.set_launch(&format!(
        "( filesrc name=file ! parsebin ! {caps} ! {payload} name=pay0 pt=96 )"
    ));
    // Set as a property: a path inside the launch line would need quoting.
    let location = file.to_path_buf();
    factory.connect_media_configure(move |_, media| {
        let source =
            media.element().downcast::<gst::Bin>().ok().and_then(|bin| bin.by_name("file"));
        if let Some(source) = source {
            source.set_property("location", &location);
        }
    });
    Ok(factory)
}

/// The caps of the recording's video and the elements that pack it into RTP.
fn payload(file: &Path) -> Result<(&'static str, &'static str), String> {
    let about = |fault: String| format!("reading {file:?}: {fault}");
    let uri = glib::filename_to_uri(file, None).map_err(|fault| about(fault.to_string()))?;
    let found = pbutils::Discoverer::new(PROBE)
        .and_then(|discoverer| discoverer.discover_uri(&uri))
        .map_err(|fault| about(fault.to_string()))?;
    let video = found.video_streams();
    let caps = video.first().and_then(|stream| stream.caps());
    let codec = caps.as_ref().and_then(|caps| caps.structure(0)).map(|s| s.name().as_str());
    // Parameter sets go out before each keyframe: a client may join anywhere.
    match codec {
        Some("video/x-h264") => Ok((
            "video/x-h264",
            "h264parse ! rtph264pay config-interval=-1 aggregate-mode=zero-latency",
        )),
        Some("video/x-h265") => Ok((
            "video/x-h265",
            "h265parse ! rtph265pay config-interval=-1 aggregate-mode=zero-latency",
        )),
        Some("image/jpeg") => Ok(("image/jpeg", "jpegparse ! rtpjpegpay")),
        Some(other) => Err(about(format!("{other} is none of H.264, H.265 and Motion JPEG"))),
        None => Err(about("there is no video in it".to_owned())),
    }
}

/// Lets nobody in but `user` with `password`, by the Digest scheme as cameras do.
fn demand_password(
    rtsp_server: &server::RTSPServer,
    factory: &server::RTSPMediaFactory,
    user: &str,
    password: &str,
) {
    let token =
        server::RTSPToken::builder().field(server::RTSP_TOKEN_MEDIA_FACTORY_ROLE, VIEWER).build();
    let auth = server::RTSPAuth::new();
    auth.set_supported_methods(rtsp::RTSPAuthMethod::Digest);
    auth.add_digest(user, password, &token);
    rtsp_server.set_auth(Some(&auth));
    factory.add_role_from_structure(
        &gst::Structure::builder(VIEWER)
            .field(server::RTSP_PERM_MEDIA_FACTORY_ACCESS, true)
            .field(server::RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, true)
            .build(),
    );
}
