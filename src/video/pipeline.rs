//! One GStreamer pipeline: from what the config names to decoded pictures in a
//! bounded queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, TrySendError, bounded};
use gst::glib;
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

use crate::error::{Error, Result};
use crate::video::address::{Address, shown};
use crate::video::decoder;
use crate::video::errand::Errand;
use crate::video::fault::Faults;
use crate::video::spec::{SourceSpec, Target, Transport};
use crate::video::{Health, Orientation, synthetic};

/// Decoded pictures that wait for the sampler at most.
const QUEUE: usize = 4;
/// CSI cameras have four buffers in all: holding more of them stops the camera.
const QUEUE_CSI: usize = 2;
/// How often whoever waits looks whether the end was asked for.
const LOOK: Duration = Duration::from_millis(50);
/// How long taking a pipeline down may take before it is left behind.
const TEARDOWN: Duration = Duration::from_secs(2);

/// What comes out of a pipeline.
pub(crate) enum Arrival {
    Picture(Picture),
    End,
}

/// A decoded picture, not yet converted.
pub(crate) struct Picture {
    pub sample: gst::Sample,
    pub arrived: Instant,
    pub orientation: Orientation,
    pub serial: u64,
}

/// Whether losing this source is its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Liveness {
    Live,
    Recording,
    /// HTTP: a recording when its duration is known, which is after its first
    /// picture came.
    Unknown,
}

/// What GStreamer's threads and the reader share.
#[derive(Default)]
pub(crate) struct Shared {
    /// Whether the queue drops its oldest picture when it is full.
    pub drops: AtomicBool,
    /// Pictures that were dropped so.
    pub dropped: AtomicU64,
    /// Whether this is an MPEG transport or program stream, whose clock begins
    /// anywhere: its time counts from the first picture.
    pub clock_begins_anywhere: AtomicBool,
    /// Whether a video track was found, a sound track, text, and all were seen.
    pub video: AtomicBool,
    pub sound: AtomicBool,
    pub text: AtomicBool,
    pub all_tracks: AtomicBool,
    closing: AtomicBool,
    orientation: AtomicU8,
    serial: AtomicU64,
}

/// A running pipeline; taken down when dropped.
pub(crate) struct Running {
    pub pipeline: gst::Pipeline,
    pub bus: gst::Bus,
    pub pictures: Receiver<Arrival>,
    pub shared: Arc<Shared>,
    pub liveness: Liveness,
    health: Health,
}

impl Running {
    /// Builds the pipeline and sets it to playing. Should taking it down hang one
    /// day, that is counted in `health`.
    pub fn start(spec: &SourceSpec, faults: &mut Faults, health: &Health) -> Result<Self> {
        let target = spec.target()?;
        let pipeline = gst::Pipeline::new();
        let bus = pipeline
            .bus()
            .ok_or_else(|| Error::internal(faults.doing(), "GStreamer gave the pipeline no bus"))?;
        let shared = Arc::new(Shared::default());
        let queue = if matches!(target, Target::Csi(_)) { QUEUE_CSI } else { QUEUE };
        let (sink, pictures) = sink(&shared, queue);
        add(&pipeline, [sink.upcast_ref()], faults)?;
        let liveness = match target {
            Target::Path(path) => {
                let path = std::path::absolute(path)
                    .map_err(|error| Error::unavailable(faults.doing(), error))?;
                let uri = glib::filename_to_uri(path, None)
                    .map_err(|error| Error::config(faults.doing(), error.message()))?;
                open_uri(&pipeline, &sink, &shared, spec, &uri, faults)?;
                Liveness::Recording
            }
            Target::Uri(uri) => {
                open_uri(&pipeline, &sink, &shared, spec, uri, faults)?;
                match Address::parse(uri).scheme().as_str() {
                    "file" => Liveness::Recording,
                    "http" | "https" => Liveness::Unknown,
                    _ => Liveness::Live,
                }
            }
            Target::Device(device) => {
                let camera = faults.make("v4l2src")?;
                camera.set_property("device", device.to_string_lossy().as_ref());
                open_camera(&pipeline, &sink, &shared, spec, &camera, faults)?;
                Liveness::Live
            }
            Target::Csi(sensor) => {
                open_csi(&pipeline, &sink, &shared, spec, sensor, faults)?;
                Liveness::Live
            }
            Target::Pipeline(description) => {
                let bin = parse(description, faults)?;
                add(&pipeline, [bin.upcast_ref()], faults)?;
                link(bin.upcast_ref(), sink.upcast_ref(), faults)?;
                shared.video.store(true, Ordering::Release);
                Liveness::Unknown
            }
            Target::Synth(options) => {
                let source = synthetic::source(options)?;
                add(&pipeline, [source.upcast_ref()], faults)?;
                link(source.upcast_ref(), sink.upcast_ref(), faults)?;
                shared.video.store(true, Ordering::Release);
                Liveness::Recording
            }
        };
        let health = health.clone();
        let mut running = Running { pipeline, bus, pictures, shared, liveness, health };
        running.play(matches!(target, Target::Pipeline(_)), faults)?;
        if running.liveness == Liveness::Live {
            running.shared.drops.store(true, Ordering::Release);
        }
        Ok(running)
    }

    /// Pictures that were decoded since the start.
    pub fn decoded(&self) -> u64 {
        self.shared.serial.load(Ordering::Relaxed)
    }

    /// Whether none of the pipeline's streaming threads runs.
    pub fn is_idle(&self) -> bool {
        !self.pipeline.iterate_recurse().into_iter().flatten().any(|element| {
            element.pads().iter().any(|pad| pad.task_state() == gst::TaskState::Started)
        })
    }

    fn play(&mut self, ask_liveness: bool, faults: &mut Faults) -> Result<()> {
        let mut change = self.pipeline.set_state(gst::State::Paused);
        if ask_liveness {
            // GStreamer's own notion: a live source gives nothing while paused.
            self.liveness = match change {
                Ok(gst::StateChangeSuccess::NoPreroll) => Liveness::Live,
                _ => Liveness::Recording,
            };
        }
        if change.is_ok() {
            change = self.pipeline.set_state(gst::State::Playing);
        }
        if change.is_ok() {
            return Ok(());
        }
        let mut fault = None;
        while let Some(message) = self.bus.pop() {
            match message.view() {
                gst::MessageView::Element(_) => faults.note_missing(&message),
                gst::MessageView::Error(error) if fault.is_none() => {
                    fault = Some(faults.error(&error.error(), error.debug().as_deref(), None));
                }
                _ => {}
            }
        }
        Err(fault.or_else(|| faults.missing()).unwrap_or_else(|| {
            Error::unavailable(faults.doing(), "GStreamer could not start it")
                .remedy("run with GST_DEBUG=3 to see why")
        }))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        // A driver or a server that hangs must not hang the daemon.
        let pipeline = self.pipeline.clone();
        let worker = Errand::start("video-teardown", &self.health, move || {
            let _ = pipeline.set_state(gst::State::Null);
        });
        match worker {
            Ok(mut worker) => {
                if let Ok(None) = worker.wait(TEARDOWN) {
                    // A camera that hangs each time is told of once, and counted.
                    let first = self.health.status().abandoned_in_all == 0;
                    log::log!(
                        if first { log::Level::Warn } else { log::Level::Debug },
                        "a video pipeline did not stop within {} s: left behind",
                        TEARDOWN.as_secs()
                    );
                }
            }
            Err(_) => {
                let _ = self.pipeline.set_state(gst::State::Null);
            }
        }
    }
}

/// The end of every pipeline: an appsink that takes any raw format and puts
/// pictures, undecoded no more but not yet converted, into a bounded queue.
fn sink(shared: &Arc<Shared>, queue: usize) -> (gst_app::AppSink, Receiver<Arrival>) {
    // System memory first: a decoder that can choose spares us a copy.
    let caps = gst::Caps::builder_full()
        .structure(gst::Structure::new_empty("video/x-raw"))
        .structure_with_any_features(gst::Structure::new_empty("video/x-raw"))
        .build();
    let sink = gst_app::AppSink::builder()
        .caps(&caps)
        .sync(false)
        .qos(false)
        .max_buffers(1)
        .drop(false)
        .wait_on_eos(false)
        .enable_last_sample(false)
        .build();
    let (sender, pictures) = bounded(queue);
    let on_sample = {
        let (sender, oldest, shared) = (sender.clone(), pictures.clone(), shared.clone());
        move |sink: &gst_app::AppSink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let picture = Picture {
                sample,
                arrived: Instant::now(),
                orientation: unpack(shared.orientation.load(Ordering::Acquire)),
                serial: shared.serial.fetch_add(1, Ordering::Relaxed),
            };
            put(&sender, &oldest, &shared, Arrival::Picture(picture))
        }
    };
    let on_end = {
        let (oldest, shared) = (pictures.clone(), shared.clone());
        move |_: &gst_app::AppSink| {
            let _ = put(&sender, &oldest, &shared, Arrival::End);
        }
    };
    sink.set_callbacks(
        gst_app::AppSinkCallbacks::builder().new_sample(on_sample).eos(on_end).build(),
    );
    if let Some(pad) = sink.static_pad("sink") {
        watch_tags(&pad, shared.clone());
        answer_allocation(&pad, queue);
    }
    (sink, pictures)
}

/// Puts an arrival into the queue. A live source drops the oldest when the
/// queue is full; a recording waits.
fn put(
    sender: &Sender<Arrival>,
    oldest: &Receiver<Arrival>,
    shared: &Shared,
    mut arrival: Arrival,
) -> Result<gst::FlowSuccess, gst::FlowError> {
    while !shared.closing.load(Ordering::Acquire) {
        if shared.drops.load(Ordering::Acquire) {
            match sender.try_send(arrival) {
                Ok(()) => return Ok(gst::FlowSuccess::Ok),
                Err(TrySendError::Disconnected(_)) => break,
                Err(TrySendError::Full(back)) => {
                    arrival = back;
                    if oldest.try_recv().is_ok() {
                        shared.dropped.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        } else {
            match sender.send_timeout(arrival, LOOK) {
                Ok(()) => return Ok(gst::FlowSuccess::Ok),
                Err(SendTimeoutError::Disconnected(_)) => break,
                Err(SendTimeoutError::Timeout(back)) => arrival = back,
            }
        }
    }
    Err(gst::FlowError::Flushing)
}

/// Keeps the newest `image-orientation` tag, in step with the pictures.
fn watch_tags(pad: &gst::Pad, shared: Arc<Shared>) {
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let Some(gst::PadProbeData::Event(event)) = &info.data {
            match event.view() {
                gst::EventView::StreamStart(_) => shared.orientation.store(0, Ordering::Release),
                gst::EventView::Tag(tag) => {
                    if let Some(value) = tag.tag().get::<gst::tags::ImageOrientation>()
                        && let Some(orientation) = Orientation::from_tag(value.get())
                    {
                        shared.orientation.store(pack(orientation), Ordering::Release);
                    }
                }
                _ => {}
            }
        }
        gst::PadProbeReturn::Ok
    });
}

/// Answers decoders that ask how to allocate: rows may be padded, so that they
/// hand over their own buffers instead of copying every picture, and some
/// buffers are held here, so that a decoder with few of its own makes more.
fn answer_allocation(pad: &gst::Pad, queue: usize) {
    let held = u32::try_from(queue).unwrap_or(u32::MAX).saturating_add(2);
    pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, move |_, info| {
        if let Some(query) = info.query_mut()
            && let gst::QueryViewMut::Allocation(allocation) = query.view_mut()
        {
            let size =
                allocation.get().0.and_then(|caps| gst_video::VideoInfo::from_caps(caps).ok());
            if let Some(size) = size.and_then(|info| u32::try_from(info.size()).ok()) {
                allocation.add_allocation_pool(None::<&gst::BufferPool>, size, held, 0);
            }
            allocation.add_allocation_meta::<gst_video::VideoMeta>(None);
            return gst::PadProbeReturn::Handled;
        }
        gst::PadProbeReturn::Ok
    });
}

fn pack(orientation: Orientation) -> u8 {
    orientation.quarters | u8::from(orientation.flip) << 2
}

fn unpack(packed: u8) -> Orientation {
    Orientation { quarters: packed & 3, flip: packed & 4 != 0 }
}

fn open_uri(
    pipeline: &gst::Pipeline,
    sink: &gst_app::AppSink,
    shared: &Arc<Shared>,
    spec: &SourceSpec,
    uri: &str,
    faults: &Faults,
) -> Result<()> {
    let address = spec.address(uri);
    let bin = faults.make("uridecodebin")?;
    bin.set_property("uri", &address.uri);
    decode_video_only(&bin, sink, shared, spec);
    let spec = spec.clone();
    let shared = shared.clone();
    bin.connect("source-setup", false, move |values| {
        let source = values.get(1)?.get::<gst::Element>().ok()?;
        match source.factory()?.name().as_str() {
            "rtspsrc" => set_up_rtsp(&source, &spec, &address, &shared),
            "souphttpsrc" => set_up_http(&source, &spec, &address),
            _ => {}
        }
        None
    });
    add(pipeline, [&bin], faults)
}

fn set_up_rtsp(source: &gst::Element, spec: &SourceSpec, address: &Address, shared: &Arc<Shared>) {
    // rtspt:// and rtspu:// say it themselves.
    let scheme = address.scheme();
    if spec.transport.is_some() || scheme == "rtsp" || scheme == "rtsps" {
        source.set_property_from_str(
            "protocols",
            match spec.transport() {
                Transport::Tcp => "tcp",
                Transport::Udp => "udp+udp-mcast",
                Transport::Auto => "tcp+udp+udp-mcast",
            },
        );
    }
    let micros = u64::try_from(spec.timeout().as_micros()).unwrap_or(u64::MAX);
    source.set_property("latency", u32::try_from(spec.latency().as_millis()).unwrap_or(u32::MAX));
    source.set_property("tcp-timeout", micros);
    if spec.transport() == Transport::Auto {
        // After this long without a datagram rtspsrc tries TCP: leave that time
        // to give its first picture.
        source.set_property("timeout", micros / 3);
    } else {
        source.set_property("timeout", micros);
    }
    sign_in(source, address);
    if !spec.tls_verify()
        && let Some(property) = source.find_property("tls-validation-flags")
        && let Some(none) = glib::FlagsClass::with_type(property.value_type())
            .and_then(|class| class.builder().build())
    {
        source.set_property_from_value("tls-validation-flags", &none);
    }
    let shared = shared.clone();
    source.connect("select-stream", false, move |values| {
        let media = values
            .get(2)
            .and_then(|value| value.get::<gst::Caps>().ok())
            .and_then(|caps| caps.structure(0).and_then(|s| s.get::<String>("media").ok()));
        match media.as_deref() {
            Some("video") | None => Some(true.to_value()),
            Some(other) => {
                if other == "audio" {
                    shared.sound.store(true, Ordering::Release);
                }
                Some(false.to_value())
            }
        }
    });
}

fn set_up_http(source: &gst::Element, spec: &SourceSpec, address: &Address) {
    let seconds = u32::try_from(spec.timeout().as_secs()).unwrap_or(3_600).clamp(1, 3_600);
    source.set_property("timeout", seconds);
    source.set_property("ssl-strict", spec.tls_verify());
    source.set_property("user-agent", concat!("kinewatch/", env!("CARGO_PKG_VERSION")));
    sign_in(source, address);
}

fn sign_in(source: &gst::Element, address: &Address) {
    if let Some(user) = &address.user {
        source.set_property("user-id", user);
        source.set_property("user-pw", address.password.as_deref().unwrap_or_default());
    }
}

/// Sets up a (uri)decodebin: it decodes video alone, to any raw format in any
/// memory, and its first video track goes to the sink.
fn decode_video_only(
    bin: &gst::Element,
    sink: &gst_app::AppSink,
    shared: &Arc<Shared>,
    spec: &SourceSpec,
) {
    let raw = gst::Caps::builder("video/x-raw").any_features().build();
    bin.set_property("caps", &raw);
    let tracks = shared.clone();
    decoder::direct(bin, &spec.decoder, move |media| match media {
        "video/mpegts" | "video/mpeg" => {
            tracks.clock_begins_anywhere.store(true, Ordering::Release)
        }
        _ if media.starts_with("audio/") => tracks.sound.store(true, Ordering::Release),
        _ if media.starts_with("text/") => tracks.text.store(true, Ordering::Release),
        _ => {}
    });
    let (weak, tracks) = (sink.downgrade(), shared.clone());
    bin.connect_pad_added(move |_, pad| {
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let media =
            caps.structure(0).map(|structure| structure.name().as_str()).unwrap_or_default();
        if media != "video/x-raw" {
            return;
        }
        let Some(sink) = weak.upgrade().and_then(|sink| sink.static_pad("sink")) else {
            return;
        };
        if sink.is_linked() {
            log::info!("the source has more than one video track: the first is used");
        } else if pad.link(&sink).is_ok() {
            tracks.video.store(true, Ordering::Release);
        }
    });
    let tracks = shared.clone();
    bin.connect_no_more_pads(move |_| tracks.all_tracks.store(true, Ordering::Release));
}

/// Raw first, so that nothing is decoded that need not be; then MJPEG, then H.264.
fn camera_caps(spec: &SourceSpec, media: &[&str], feature: Option<&str>) -> gst::Caps {
    let mut caps = gst::Caps::new_empty();
    if let Some(caps) = caps.get_mut() {
        for name in media {
            let mut structure = gst::Structure::new_empty(*name);
            if let Some([width, height]) = spec.size {
                structure.set("width", i32::try_from(width).unwrap_or(i32::MAX));
                structure.set("height", i32::try_from(height).unwrap_or(i32::MAX));
            }
            if let Some(fps) = spec.fps.and_then(gst::Fraction::approximate_f64) {
                structure.set("framerate", fps);
            }
            match feature {
                Some(feature) => {
                    caps.append_structure_full(structure, Some(gst::CapsFeatures::new([feature])))
                }
                None => caps.append_structure(structure),
            }
        }
    }
    caps
}

fn open_camera(
    pipeline: &gst::Pipeline,
    sink: &gst_app::AppSink,
    shared: &Arc<Shared>,
    spec: &SourceSpec,
    camera: &gst::Element,
    faults: &Faults,
) -> Result<()> {
    let filter = faults.make("capsfilter")?;
    filter.set_property(
        "caps",
        camera_caps(spec, &["video/x-raw", "image/jpeg", "video/x-h264"], None),
    );
    let bin = faults.make("decodebin")?;
    decode_video_only(&bin, sink, shared, spec);
    add(pipeline, [camera, &filter, &bin], faults)?;
    link(camera, &filter, faults)?;
    link(&filter, &bin, faults)
}

fn open_csi(
    pipeline: &gst::Pipeline,
    sink: &gst_app::AppSink,
    shared: &Arc<Shared>,
    spec: &SourceSpec,
    sensor: u32,
    faults: &Faults,
) -> Result<()> {
    let (camera, caps) = if gst::ElementFactory::find("nvarguscamerasrc").is_some() {
        let camera = faults.make("nvarguscamerasrc")?;
        camera.set_property("sensor-id", i32::try_from(sensor).unwrap_or(i32::MAX));
        (camera, camera_caps(spec, &["video/x-raw"], Some("memory:NVMM")))
    } else {
        let camera = faults.make("libcamerasrc")?;
        if sensor > 0 {
            let mut names: Vec<String> = gst::DeviceProviderFactory::by_name("libcameraprovider")
                .map(|provider| provider.devices())
                .into_iter()
                .flatten()
                .map(|device| device.display_name().to_string())
                .collect();
            names.sort();
            let name = names.get(sensor as usize).ok_or_else(|| {
                Error::unavailable(faults.doing(), format!("libcamera has {} cameras", names.len()))
                    .remedy("number them from csi = 0, or list them with: cam --list")
            })?;
            camera.set_property("camera-name", name);
        }
        (camera, camera_caps(spec, &["video/x-raw"], None))
    };
    let filter = faults.make("capsfilter")?;
    filter.set_property("caps", caps);
    add(pipeline, [&camera, &filter], faults)?;
    link(&camera, &filter, faults)?;
    link(&filter, sink.upcast_ref(), faults)?;
    shared.video.store(true, Ordering::Release);
    Ok(())
}

/// A description from the config as a bin with one open end.
fn parse(description: &str, faults: &Faults) -> Result<gst::Bin> {
    const END: &str = "kinewatch_end";
    let description = description.trim().trim_end_matches('!').trim_end();
    let whole = format!("{description} ! capsfilter name={END} caps=\"video/x-raw(ANY)\"");
    let mut context = gst::ParseContext::new();
    let bad = |fault: &str| {
        Error::config(faults.doing(), fault)
            .remedy("write it as for gst-launch-1.0, ending in an element or caps that give video/x-raw, without a sink")
    };
    let bin = gst::parse::bin_from_description_full(
        &whole,
        false,
        Some(&mut context),
        gst::ParseFlags::FATAL_ERRORS,
    )
    .map_err(|error| match context.missing_elements().first() {
        Some(name) => faults.no_element(name),
        None => bad(&shown(error.message())),
    })?
    .downcast::<gst::Bin>()
    .map_err(|_| bad("it is a single element"))?;
    let end = bin
        .by_name(END)
        .and_then(|end| end.static_pad("src"))
        .ok_or_else(|| bad("it has no open end"))?;
    let ghost = gst::GhostPad::with_target(&end).map_err(|error| bad(&error.message))?;
    ghost
        .set_active(true)
        .and_then(|()| bin.add_pad(&ghost))
        .map_err(|error| bad(&error.message))?;
    Ok(bin)
}

fn add<'a>(
    pipeline: &gst::Pipeline,
    elements: impl IntoIterator<Item = &'a gst::Element>,
    faults: &Faults,
) -> Result<()> {
    pipeline.add_many(elements).map_err(|error| Error::internal(faults.doing(), error.message))
}

fn link(from: &gst::Element, to: &gst::Element, faults: &Faults) -> Result<()> {
    from.link(to).map_err(|_| {
        Error::config(
            faults.doing(),
            format!("{} gives nothing that {} takes", from.name(), to.name()),
        )
        .remedy("check what the source gives: it must be video")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orientations_survive_packing() {
        for packed in 0..8 {
            assert_eq!(pack(unpack(packed)), packed);
        }
    }

    #[test]
    fn cameras_are_asked_for_raw_first() {
        gst::init().unwrap();
        let spec = SourceSpec { size: Some([640, 480]), fps: Some(15.0), ..SourceSpec::default() };
        let caps = camera_caps(&spec, &["video/x-raw", "image/jpeg"], None).to_string();
        assert!(
            caps.starts_with(
                "video/x-raw, width=(int)640, height=(int)480, framerate=(fraction)15/1"
            ),
            "{caps}"
        );
        assert!(caps.contains("image/jpeg, width=(int)640"), "{caps}");
    }

    /// A full queue: a live source loses its oldest picture, and that is counted.
    #[test]
    fn a_live_queue_keeps_the_newest() {
        gst::init().unwrap();
        let shared = Shared::default();
        shared.drops.store(true, Ordering::Release);
        let (sender, receiver) = bounded(2);
        for serial in 0..5 {
            let picture = Picture {
                sample: gst::Sample::builder().build(),
                arrived: Instant::now(),
                orientation: Orientation::default(),
                serial,
            };
            put(&sender, &receiver, &shared, Arrival::Picture(picture)).unwrap();
        }
        let left: Vec<u64> = receiver
            .try_iter()
            .map(|arrival| match arrival {
                Arrival::Picture(picture) => picture.serial,
                Arrival::End => u64::MAX,
            })
            .collect();
        assert_eq!(left, [3, 4]);
        assert_eq!(shared.dropped.load(Ordering::Relaxed), 3);
    }
}
