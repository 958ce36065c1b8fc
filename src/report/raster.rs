//! SVG to PNG.

use std::time::{Duration, Instant};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

/// What it takes, and the Debian packages that bring it.
const ELEMENTS: [(&str, &str); 3] = [
    ("rsvgdec", "gstreamer1.0-plugins-bad"),
    ("videoconvert", "gstreamer1.0-plugins-base"),
    ("pngenc", "gstreamer1.0-plugins-good"),
];
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether PNG can be made; else what is missing, for people.
pub(super) fn available() -> Result<(), String> {
    gst::init().map_err(|error| error.to_string())?;
    for (element, package) in ELEMENTS {
        if gst::ElementFactory::find(element).is_none() {
            return Err(format!("GStreamer's {element} is missing (Debian package {package})"));
        }
    }
    Ok(())
}

/// Renders an SVG file at its own size.
///
/// # Errors
/// Why it could not be drawn, for people.
pub(super) fn png(svg: &str) -> Result<Vec<u8>, String> {
    available()?;
    let pipeline = gst::Pipeline::new();
    let picture = render(&pipeline, svg);
    let _ = pipeline.set_state(gst::State::Null);
    picture
}

fn render(pipeline: &gst::Pipeline, svg: &str) -> Result<Vec<u8>, String> {
    let text = |error: gst::glib::BoolError| error.to_string();
    let caps = gst::Caps::builder("image/svg+xml").build();
    let source = gst_app::AppSrc::builder().caps(&caps).format(gst::Format::Time).build();
    let sink = gst_app::AppSink::builder().sync(false).build();
    let make = |name: &str| gst::ElementFactory::make(name).build().map_err(text);
    let (decode, convert, encode) = (make("rsvgdec")?, make("videoconvert")?, make("pngenc")?);
    let chain = [source.upcast_ref(), &decode, &convert, &encode, sink.upcast_ref()];
    pipeline.add_many(chain).map_err(text)?;
    gst::Element::link_many(chain).map_err(text)?;
    pipeline.set_state(gst::State::Playing).map_err(|error| error.to_string())?;
    let mut buffer = gst::Buffer::from_slice(svg.as_bytes().to_vec());
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(gst::ClockTime::ZERO);
    }
    source.push_buffer(buffer).map_err(|error| error.to_string())?;
    source.end_of_stream().map_err(|error| error.to_string())?;
    let bus = pipeline.bus().ok_or("GStreamer gave the pipeline no bus")?;
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let look = gst::ClockTime::from_mseconds(50);
        if let Some(sample) = sink.try_pull_sample(look) {
            let map = sample.buffer().and_then(|buffer| buffer.map_readable().ok());
            return map.map(|map| map.as_slice().to_vec()).ok_or_else(|| "an empty picture".into());
        }
        if let Some(message) = bus.pop_filtered(&[gst::MessageType::Error])
            && let gst::MessageView::Error(error) = message.view()
        {
            return Err(error.error().message().to_owned());
        }
        if sink.is_eos() {
            return Err("it gave no picture".into());
        }
    }
    Err(format!("it gave no picture within {} s", PATIENCE.as_secs()))
}
