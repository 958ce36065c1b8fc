//! Clips, servers and deadlines for the tests of `video/`.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use gst::glib;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_rtsp_server as rtsp_server;
use rtsp_server::prelude::*;

use kinewatch::error::{Error, Kind, Result};
use kinewatch::stop::Stop;
use kinewatch::video::{
    Colour, Frame, FrameSource, Next, Orientation, Pace, Reset, Source, SourceSpec, Want,
};

/// Nothing in these tests may take longer.
const DEADLINE: Duration = Duration::from_secs(60);

/// A folder of clips, gone when dropped.
pub struct Clip(tempfile::TempDir);

impl Clip {
    pub fn new() -> Self {
        gst::init().unwrap();
        Clip(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Uncompressed grey frames in Matroska: frame i has level 10 + 10 i
    /// (modulo 256) and the PTS `times[i]` in milliseconds.
    pub fn raw_mkv(&self, path: &Path, (width, height): (usize, usize), times: &[u64]) {
        let pipeline = gst::Pipeline::new();
        let caps = gst::Caps::builder("video/x-raw")
            .field("format", "GRAY8")
            .field("width", width as i32)
            .field("height", height as i32)
            .field("framerate", gst::Fraction::new(0, 1))
            .build();
        let source = gst_app::AppSrc::builder().caps(&caps).format(gst::Format::Time).build();
        let mux = gst::ElementFactory::make("matroskamux").build().unwrap();
        let sink = gst::ElementFactory::make("filesink")
            .property("location", path.to_str().unwrap())
            .build()
            .unwrap();
        pipeline.add_many([source.upcast_ref(), &mux, &sink]).unwrap();
        gst::Element::link_many([source.upcast_ref(), &mux, &sink]).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let stride = width.div_ceil(4) * 4;
        for (index, time) in times.iter().enumerate() {
            let mut buffer =
                gst::Buffer::from_slice(vec![(10 + 10 * index) as u8; stride * height]);
            buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(*time));
            source.push_buffer(buffer).unwrap();
        }
        source.end_of_stream().unwrap();
        wait_for_end(&pipeline, "raw mkv");
    }

    /// Three frames of one colour in H.264, its Y′CbCr computed here:
    /// `weights` are the luma coefficients of R, G and B, `full` the range.
    pub fn solid(
        &self,
        path: &Path,
        rgb: [u8; 3],
        weights: [f64; 3],
        full: bool,
        colorimetry: &str,
    ) {
        let [r, g, b] = rgb.map(f64::from);
        let luma = weights[0] * r + weights[1] * g + weights[2] * b;
        let (black, span, chroma) =
            if full { (0.0, 1.0, 1.0) } else { (16.0, 219.0 / 255.0, 224.0 / 255.0) };
        let y = black + luma * span;
        let u = 128.0 + (b - luma) / (2.0 * (1.0 - weights[2])) * chroma;
        let v = 128.0 + (r - luma) / (2.0 * (1.0 - weights[0])) * chroma;
        let (width, height) = (64, 48);
        let mut picture = vec![y.round() as u8; width * height];
        picture.extend(std::iter::repeat_n(u.round() as u8, width * height / 4));
        picture.extend(std::iter::repeat_n(v.round() as u8, width * height / 4));
        let whole = format!(
            "appsrc name=pictures format=time caps=\"video/x-raw,format=I420,width={width},height={height},framerate=10/1,\
             colorimetry={colorimetry}\" ! x264enc pass=quant quantizer=1 ! matroskamux ! filesink location=\"{}\"",
            path.display()
        );
        let pipeline = gst::parse::launch(&whole).unwrap().downcast::<gst::Pipeline>().unwrap();
        let source = pipeline.by_name("pictures").unwrap().downcast::<gst_app::AppSrc>().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        for index in 0..3 {
            let mut buffer = gst::Buffer::from_slice(picture.clone());
            let times = buffer.get_mut().unwrap();
            times.set_pts(gst::ClockTime::from_mseconds(index * 100));
            times.set_duration(gst::ClockTime::from_mseconds(100));
            source.push_buffer(buffer).unwrap();
        }
        source.end_of_stream().unwrap();
        wait_for_end(&pipeline, &whole);
    }
}

fn wait_for_end(pipeline: &gst::Pipeline, what: &str) {
    let message = pipeline.bus().unwrap().timed_pop_filtered(
        gst::ClockTime::from_seconds(DEADLINE.as_secs()),
        &[gst::MessageType::Eos, gst::MessageType::Error],
    );
    pipeline.set_state(gst::State::Null).unwrap();
    match message.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Eos(_)) => {}
        Some(gst::MessageView::Error(error)) => {
            panic!("making {what}: {} {:?}", error.error(), error.debug())
        }
        _ => panic!("making {what} did not end"),
    }
}

/// Runs a description into a file.
pub fn make(description: &str, path: &Path) {
    gst::init().unwrap();
    let whole = format!("{description} ! filesink location=\"{}\"", path.display());
    let pipeline = gst::parse::launch(&whole).unwrap().downcast::<gst::Pipeline>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    wait_for_end(&pipeline, &whole);
}

/// A sampled frame as the tests compare it: everything but the wall clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Shot {
    pub tick: Duration,
    pub pts: Duration,
    pub reset: Option<Reset>,
    pub width: usize,
    pub height: usize,
    pub pixel_aspect: (u32, u32),
    pub orientation: Orientation,
    pub data: Vec<u8>,
}

/// Opens a source that is stopped after a deadline.
pub fn play_as(spec: &SourceSpec, rate: f64, pace: Pace, colour: Colour) -> Result<Source> {
    gst::init().unwrap();
    let stop = Stop::default();
    let late = stop.clone();
    std::thread::spawn(move || {
        std::thread::sleep(DEADLINE);
        late.ask();
    });
    let want = Want { rate, colour, max_gap: Duration::from_secs(1), pictures: false };
    Source::open("test", spec, &want, pace, &stop)
}

pub fn play(spec: &SourceSpec, rate: f64, pace: Pace) -> Source {
    play_as(spec, rate, pace, Colour::Rgb).unwrap()
}

fn read(
    spec: &SourceSpec,
    rate: f64,
    pace: Pace,
    colour: Colour,
    most: usize,
) -> Result<Vec<Shot>> {
    let start = Instant::now();
    let mut source = play_as(spec, rate, pace, colour)?;
    let mut frame = Frame::new(colour);
    let mut shots = Vec::new();
    while shots.len() < most && source.next(&mut frame)? == Next::Frame {
        assert_eq!(frame.colour, colour);
        assert_eq!(frame.data.len(), frame.width * frame.height * colour.channels());
        shots.push(Shot {
            tick: frame.tick_time,
            pts: frame.pts,
            reset: frame.reset,
            width: frame.width,
            height: frame.height,
            pixel_aspect: frame.pixel_aspect,
            orientation: frame.orientation,
            data: frame.data.clone(),
        });
    }
    assert!(start.elapsed() < DEADLINE, "stopped by the deadline");
    Ok(shots)
}

/// Every sampled frame of a recording, in a colour.
pub fn collect_as(spec: &SourceSpec, rate: f64, pace: Pace, colour: Colour) -> Result<Vec<Shot>> {
    read(spec, rate, pace, colour, usize::MAX)
}

/// Every sampled frame of a recording, in RGB.
pub fn collect(spec: &SourceSpec, rate: f64, pace: Pace) -> Result<Vec<Shot>> {
    collect_as(spec, rate, pace, Colour::Rgb)
}

/// The first sampled frames of a live source.
pub fn first(spec: &SourceSpec, rate: f64, count: usize) -> Result<Vec<Shot>> {
    read(spec, rate, Pace::RealTime, Colour::Rgb, count)
}

fn failure(spec: &SourceSpec) -> Error {
    match collect(spec, 8.0, Pace::Fast) {
        Ok(shots) => panic!("{spec:?} gave {} frames", shots.len()),
        Err(error) => error,
    }
}

/// The error that this source ends with, which is of this kind.
pub fn fails(spec: &SourceSpec, kind: Kind) -> String {
    let error = failure(spec);
    assert_eq!(error.kind(), kind, "{error}");
    error.to_string()
}

/// The error that this source ends with.
pub fn fails_somehow(spec: &SourceSpec) -> String {
    failure(spec).to_string()
}

/// Ticks and PTS, for messages.
pub fn span(shots: &[Shot]) -> Vec<(Duration, Duration)> {
    shots.iter().map(|shot| (shot.tick, shot.pts)).collect()
}

pub fn spec_of(uri: &str, login: Option<(&str, &str)>) -> SourceSpec {
    SourceSpec {
        user: login.map(|(user, _)| user.to_owned()),
        password: login.map(|(_, password)| password.to_owned()),
        ..SourceSpec::uri(uri)
    }
}

/// A port on loopback that nobody listens on.
pub fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A real RTSP server on loopback.
pub struct RtspServer {
    port: i32,
    scheme: &'static str,
    main_loop: glib::MainLoop,
}

impl RtspServer {
    pub fn start(launch: &str, login: Option<(&'static str, &'static str)>) -> Self {
        Self::start_with(launch, login, None)
    }

    /// As [`Self::start`], over TLS with the certificate and key in `pem`.
    pub fn start_with(
        launch: &str,
        login: Option<(&'static str, &'static str)>,
        pem: Option<String>,
    ) -> Self {
        gst::init().unwrap();
        let scheme = if pem.is_some() { "rtsps" } else { "rtsp" };
        let (tell, told) = mpsc::channel();
        let launch = launch.to_owned();
        std::thread::spawn(move || {
            let context = glib::MainContext::new();
            let main_loop = glib::MainLoop::new(Some(&context), false);
            let server = rtsp_server::RTSPServer::new();
            server.set_address("127.0.0.1");
            server.set_service("0");
            let factory = rtsp_server::RTSPMediaFactory::new();
            factory.set_launch(&launch);
            // Each client has a camera of its own: gst-rtsp-server takes a shared one down
            // with the client that leaves, now and then under the one that has just come.
            factory.set_shared(false);
            if let Some((user, password)) = login {
                let auth = rtsp_server::RTSPAuth::new();
                let token = rtsp_server::RTSPToken::builder()
                    .field(rtsp_server::RTSP_TOKEN_MEDIA_FACTORY_ROLE.as_str(), "viewer")
                    .build();
                if let Some(pem) = &pem {
                    let certificate = rtsp_server::gio::TlsCertificate::from_pem(pem).unwrap();
                    auth.set_tls_certificate(Some(&certificate));
                }
                auth.add_basic(&rtsp_server::RTSPAuth::make_basic(user, password), &token);
                server.set_auth(Some(&auth));
                factory.add_role_from_structure(
                    &gst::Structure::builder("viewer")
                        .field(rtsp_server::RTSP_PERM_MEDIA_FACTORY_ACCESS.as_str(), true)
                        .field(rtsp_server::RTSP_PERM_MEDIA_FACTORY_CONSTRUCT.as_str(), true)
                        .build(),
                );
            }
            server.mount_points().unwrap().add_factory("/camera", factory);
            let _source = server.attach(Some(&context)).unwrap();
            tell.send((server.bound_port(), main_loop.clone())).unwrap();
            main_loop.run();
        });
        let (port, main_loop) = told.recv_timeout(DEADLINE).unwrap();
        RtspServer { port, scheme, main_loop }
    }

    /// The camera's URI, with user information such as `user:password@`.
    pub fn uri(&self, login: &str) -> String {
        format!("{}://{login}127.0.0.1:{}/camera", self.scheme, self.port)
    }
}

impl Drop for RtspServer {
    fn drop(&mut self) {
        self.main_loop.quit();
    }
}

/// Takes connections and says nothing.
pub struct SilentServer {
    pub port: u16,
}

impl SilentServer {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || listener.incoming().flatten().collect::<Vec<TcpStream>>());
        SilentServer { port }
    }
}

/// Serves one file, in ranges, to whoever knows the password.
pub struct HttpServer {
    port: u16,
}

impl HttpServer {
    pub fn start(body: Vec<u8>, login: Option<(&'static str, &'static str)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let wanted = login.map(|(user, password)| {
            format!("Basic {}", glib::base64_encode(format!("{user}:{password}").as_bytes()))
        });
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (body, wanted) = (body.clone(), wanted.clone());
                std::thread::spawn(move || serve(stream, &body, wanted.as_deref()));
            }
        });
        HttpServer { port }
    }

    pub fn uri(&self) -> String {
        format!("http://127.0.0.1:{}/clip", self.port)
    }
}

fn serve(mut stream: TcpStream, body: &[u8], wanted: Option<&str>) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let request = lines.next()?.ok()?;
    let mut range = None;
    let mut login = None;
    for line in lines {
        let line = line.ok()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        match name.to_ascii_lowercase().as_str() {
            "range" => range = value.trim().strip_prefix("bytes=").map(str::to_owned),
            "authorization" => login = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    let mut answer = |status: &str, extra: &str, body: &[u8]| {
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{extra}\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        if !request.starts_with("HEAD") {
            stream.write_all(body).ok()?;
        }
        Some(())
    };
    if wanted.is_some() && login.as_deref() != wanted {
        return answer("401 Unauthorized", "WWW-Authenticate: Basic realm=\"test\"\r\n", b"");
    }
    if !request.split(' ').nth(1)?.ends_with("/clip") {
        return answer("404 Not Found", "", b"");
    }
    let Some(range) = range else {
        return answer("200 OK", "Accept-Ranges: bytes\r\n", body);
    };
    let (from, to) = range.split_once('-')?;
    let from: usize = from.parse().ok()?;
    let to = to.parse::<usize>().map_or(body.len(), |to| (to + 1).min(body.len()));
    if from >= to {
        return answer(
            "416 Range Not Satisfiable",
            &format!("Content-Range: bytes */{}\r\n", body.len()),
            b"",
        );
    }
    let extra = format!(
        "Accept-Ranges: bytes\r\nContent-Range: bytes {from}-{}/{}\r\n",
        to - 1,
        body.len()
    );
    answer("206 Partial Content", &extra, &body[from..to])
}
