//! A few pictures of a recording, small, as JPEG.

use std::path::Path;
use std::time::{Duration, Instant};

use gst::glib;
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

/// Width of a picture, pixels; its height follows.
const WIDTH: i32 = 160;
/// JPEG quality, 0 to 100.
const QUALITY: i32 = 72;
/// A picture that takes longer than this is given up, and those after it.
const PATIENCE: Duration = Duration::from_secs(20);

/// The elements of the pipeline and the Debian packages that bring them.
const ELEMENTS: [(&str, &str); 6] = [
    ("uridecodebin", "gstreamer1.0-plugins-base"),
    ("videoconvert", "gstreamer1.0-plugins-base"),
    ("videoscale", "gstreamer1.0-plugins-base"),
    ("videoflip", "gstreamer1.0-plugins-good"),
    ("jpegenc", "gstreamer1.0-plugins-good"),
    ("appsink", "gstreamer1.0-plugins-base"),
];

/// The pictures of a recording at `times` (seconds, rising), each as a JPEG file;
/// or why there are none, for people.
pub(super) fn strip(path: &Path, times: &[f64]) -> Result<Vec<Vec<u8>>, String> {
    if !path.is_file() {
        return Err("the recording is no longer there".into());
    }
    gst::init().map_err(|error| error.to_string())?;
    for (element, package) in ELEMENTS {
        if gst::ElementFactory::find(element).is_none() {
            return Err(format!("GStreamer's {element} is missing (Debian package {package})"));
        }
    }
    let path = std::path::absolute(path).map_err(|error| error.to_string())?;
    let uri = glib::filename_to_uri(path, None).map_err(|error| error.message().to_owned())?;
    let film = Film::open(&uri).map_err(|error| error.to_string())?;
    film.pictures(times)
}

/// A paused pipeline, taken down when dropped.
struct Film {
    pipeline: gst::Pipeline,
    sink: gst_app::AppSink,
}

impl Film {
    fn open(uri: &str) -> Result<Self, glib::BoolError> {
        let pipeline = gst::Pipeline::new();
        let source = gst::ElementFactory::make("uridecodebin").property("uri", uri).build()?;
        // Sound is not decoded.
        source.connect("autoplug-continue", false, |values| {
            let caps = values.get(2).and_then(|caps| caps.get::<gst::Caps>().ok());
            let media =
                caps.as_ref().and_then(|caps| caps.structure(0)).map(|s| s.name().to_string());
            Some(media.is_none_or(|media| !media.starts_with("audio/")).to_value())
        });
        let make = |name: &str| gst::ElementFactory::make(name).build();
        let (flip, convert, scale) =
            (make("videoflip")?, make("videoconvert")?, make("videoscale")?);
        flip.set_property_from_str("video-direction", "auto");
        let small = gst::ElementFactory::make("capsfilter")
            .property(
                "caps",
                gst::Caps::builder("video/x-raw")
                    .field("format", "I420")
                    .field("width", WIDTH)
                    .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
                    .build(),
            )
            .build()?;
        let jpeg = gst::ElementFactory::make("jpegenc").property("quality", QUALITY).build()?;
        let sink = gst_app::AppSink::builder().sync(false).max_buffers(1).build();
        let chain = [&convert, &flip, &scale, &small, &jpeg, sink.upcast_ref()];
        pipeline.add(&source)?;
        pipeline.add_many(chain)?;
        gst::Element::link_many(chain)?;
        let into = convert.static_pad("sink");
        source.connect_pad_added(move |_, pad| {
            let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
            let video = caps.structure(0).is_some_and(|s| s.name().starts_with("video/x-raw"));
            if let Some(into) = into.as_ref().filter(|into| video && !into.is_linked()) {
                // What cannot be linked fails as an error on the bus.
                let _ = pad.link(into);
            }
        });
        Ok(Film { pipeline, sink })
    }

    fn pictures(&self, times: &[f64]) -> Result<Vec<Vec<u8>>, String> {
        self.pipeline.set_state(gst::State::Paused).map_err(|_| self.fault())?;
        self.settle(Instant::now() + PATIENCE)?;
        let mut pictures: Vec<Vec<u8>> = Vec::new();
        for &t in times {
            // Each has its own, so that a slow machine shows the same pictures.
            let deadline = Instant::now() + PATIENCE;
            let to = gst::ClockTime::from_seconds_f64(t.max(0.0));
            let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
            // Beyond the last frame there is none: the one before stays.
            if self.pipeline.seek_simple(flags, to).is_err() || self.settle(deadline).is_err() {
                break;
            }
            let Some(sample) = self.sink.try_pull_preroll(left(deadline)) else { continue };
            let Some(map) = sample.buffer().and_then(|buffer| buffer.map_readable().ok()) else {
                continue;
            };
            pictures.push(map.as_slice().to_vec());
        }
        if pictures.is_empty() { Err(self.fault()) } else { Ok(pictures) }
    }

    /// Waits until the pipeline shows a picture.
    fn settle(&self, deadline: Instant) -> Result<(), String> {
        let bus = self.pipeline.bus().ok_or("GStreamer gave the pipeline no bus")?;
        let kinds = [gst::MessageType::AsyncDone, gst::MessageType::Error, gst::MessageType::Eos];
        let Some(message) = bus.timed_pop_filtered(left(deadline), &kinds) else {
            return Err(format!("it gave no picture within {} s", PATIENCE.as_secs()));
        };
        match message.view() {
            gst::MessageView::Error(error) => Err(error.error().message().to_owned()),
            gst::MessageView::Eos(_) => Err("it ended".into()),
            _ => Ok(()),
        }
    }

    fn fault(&self) -> String {
        let error =
            self.pipeline.bus().and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
        match error.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Error(error)) => error.error().message().to_owned(),
            _ => "no picture could be decoded".into(),
        }
    }
}

/// Until then.
fn left(deadline: Instant) -> gst::ClockTime {
    let left = deadline.saturating_duration_since(Instant::now());
    gst::ClockTime::from_nseconds(left.as_nanos().try_into().unwrap_or(u64::MAX))
}

impl Drop for Film {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}
