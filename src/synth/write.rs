//! Streams as files: H.264 in Matroska or MP4, and the labels beside it.

use std::fs;
use std::path::{Path, PathBuf};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::{Options, Span, Stream};
use crate::error::{Error, Result};

/// Writes the stream that `options` describe to `path` (`.mkv` or `.mp4`) and
/// its labels to a CSV beside it (see [`label_csv`]); returns the CSV's path.
///
/// The frames and labels depend on the options alone. The container's own date
/// and identifiers do not, so two files of the same stream differ in some bytes.
///
/// # Errors
/// Options out of range, a name with another ending, a missing GStreamer
/// plugin, or a file that could not be written. A file begun is removed.
pub fn write(options: &Options, path: &Path) -> Result<PathBuf> {
    let labels = path.with_extension("csv");
    let stream = Stream::new(options)?;
    let csv = label_csv(&[(name_of(path), stream.spans())]);
    if let Err(error) = encode(stream, path) {
        let _ = fs::remove_file(path);
        return Err(error);
    }
    fs::write(&labels, csv).map_err(|error| {
        Error::unavailable(format!("writing labels \"{}\"", labels.display()), error)
    })?;
    Ok(labels)
}

/// Labels in kinewatch's own CSV: `video,start,end,label`, seconds.
pub fn label_csv(videos: &[(String, &[Span])]) -> String {
    let mut csv = String::from("video,start,end,label\n");
    for (video, spans) in videos {
        for span in *spans {
            csv.push_str(&format!("{video},{:.2},{:.2},{}\n", span.start, span.end, span.label));
        }
    }
    csv
}

/// The file name as it stands in a label file.
pub fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Encodes the whole of `stream` into `path`.
///
/// # Errors
/// As [`write()`].
pub fn encode(mut stream: Stream, path: &Path) -> Result<()> {
    let doing = || format!("writing the video \"{}\"", path.display());
    let muxer = match path.extension().and_then(|ending| ending.to_str()) {
        Some("mkv") => "matroskamux",
        Some("mp4") => "mp4mux",
        _ => {
            return Err(Error::config(doing(), "its name ends neither in .mkv nor in .mp4")
                .remedy("give the output a name such as \"demo.mkv\""));
        }
    };
    gst::init().map_err(|error| Error::unavailable("starting GStreamer", error))?;
    let options = stream.options().clone();
    // Two threads always: x264 divides the picture by their number, and the
    // same stream should be the same on every board.
    let keyframes = (options.fps * 2.0).round().max(1.0);
    let description = format!(
        "appsrc name=frames format=time block=true max-bytes=16000000 ! videoconvert ! video/x-raw,format=I420 \
         ! x264enc speed-preset=veryfast pass=qual quantizer=23 threads=2 key-int-max={keyframes} bframes=0 \
         ! h264parse ! {muxer} ! filesink name=file"
    );
    let pipeline = gst::parse::launch(&description)
        .map_err(|error| {
            Error::unavailable(doing(), error).remedy(
                "install gstreamer1.0-plugins-base, gstreamer1.0-plugins-good, gstreamer1.0-plugins-bad and gstreamer1.0-plugins-ugly",
            )
        })?
        .downcast::<gst::Pipeline>()
        .map_err(|_| Error::internal(doing(), "the description did not make a pipeline"))?;
    let running = Running(pipeline);
    let element = |name: &str| {
        running
            .0
            .by_name(name)
            .ok_or_else(|| Error::internal(doing(), format!("no element \"{name}\"")))
    };
    element("file")?.set_property("location", path.to_string_lossy().as_ref());
    let source = element("frames")?
        .downcast::<gst_app::AppSrc>()
        .map_err(|_| Error::internal(doing(), "\"frames\" is not an appsrc"))?;
    let rate = gst::Fraction::approximate_f64(options.fps).ok_or_else(|| {
        Error::config(doing(), format!("{} frames a second is no fraction", options.fps))
    })?;
    let caps = gst::Caps::builder("video/x-raw")
        .field("format", "RGB")
        .field("width", options.width as i32)
        .field("height", options.height as i32)
        .field("framerate", rate)
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .build();
    source.set_caps(Some(&caps));
    running
        .0
        .set_state(gst::State::Playing)
        .map_err(|error| failure(&running.0, doing(), error))?;
    // Rows of an RGB picture are padded to four bytes in GStreamer.
    let (row, stride) = (options.width * 3, (options.width * 3).div_ceil(4) * 4);
    let mut rgb = vec![0; row * options.height];
    let mut index = 0u64;
    while stream.next_frame(&mut rgb) {
        let mut padded = vec![0; stride * options.height];
        for (from, to) in rgb.chunks_exact(row).zip(padded.chunks_exact_mut(stride)) {
            to[..row].copy_from_slice(from);
        }
        let mut buffer = gst::Buffer::from_mut_slice(padded);
        if let Some(buffer) = buffer.get_mut() {
            let at = |index: u64| {
                gst::ClockTime::from_nseconds((index as f64 * 1e9 / options.fps).round() as u64)
            };
            buffer.set_pts(at(index));
            buffer.set_duration(at(index + 1) - at(index));
        }
        source.push_buffer(buffer).map_err(|error| failure(&running.0, doing(), error))?;
        index += 1;
    }
    source.end_of_stream().map_err(|error| failure(&running.0, doing(), error))?;
    let Some(bus) = running.0.bus() else {
        return Err(Error::internal(doing(), "the pipeline has no bus"));
    };
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    match bus.timed_pop_filtered(gst::ClockTime::from_seconds(120), &ends) {
        Some(message) if message.type_() == gst::MessageType::Eos => Ok(()),
        Some(message) => Err(told(&message, doing())),
        None => Err(Error::unavailable(doing(), "the encoder did not finish within two minutes")),
    }
}

/// A pipeline that is stopped when it goes out of scope.
pub(super) struct Running(pub(super) gst::Pipeline);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
    }
}

/// What the pipeline itself says is wrong, rather than only that something is.
fn failure(pipeline: &gst::Pipeline, doing: String, error: impl std::fmt::Display) -> Error {
    let message = pipeline.bus().and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
    match message {
        Some(message) => told(&message, doing),
        None => Error::unavailable(doing, error),
    }
}

fn told(message: &gst::Message, doing: String) -> Error {
    match message.view() {
        gst::MessageView::Error(error) => Error::unavailable(doing, error.error())
            .remedy("check that the folder exists, is writable and has room"),
        _ => Error::unavailable(doing, "the pipeline failed"),
    }
}
