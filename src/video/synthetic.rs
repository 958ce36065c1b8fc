//! A procedural stream as a GStreamer source, so that it goes the same way as
//! every other.

use std::time::Duration;

use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

use crate::error::{Error, Result};
use crate::synth;

/// Whether a stream can be drawn with these options.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config): an option that is none.
pub(crate) fn check(options: &str) -> Result<()> {
    options.parse::<synth::Options>().map(|_| ())
}

/// An `appsrc` that generates a picture whenever one is wanted.
pub(crate) fn source(options: &str) -> Result<gst_app::AppSrc> {
    let doing = "setting up a synth stream";
    let options: synth::Options = options.parse()?;
    let mut stream = synth::Stream::new(&options)?;
    let (width, height, fps) = (options.width, options.height, options.fps);
    let rate = gst::Fraction::approximate_f64(fps)
        .filter(|_| fps > 0.0)
        .ok_or_else(|| Error::config(doing, format!("{fps} frames a second are impossible")))?;
    let side = |side: usize| {
        u32::try_from(side).map_err(|_| Error::config(doing, "the picture is too large"))
    };
    let info =
        gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, side(width)?, side(height)?)
            .fps(rate)
            .build()
            .map_err(|error| Error::config(doing, error.message))?;
    let caps = info.to_caps().map_err(|error| Error::internal(doing, error.message))?;
    let source =
        gst_app::AppSrc::builder().caps(&caps).format(gst::Format::Time).max_buffers(2).build();
    let mut rgb = vec![0; width * height * 3];
    let stride = info.stride().first().map_or(width * 3, |stride| stride.unsigned_abs() as usize);
    let mut index: u64 = 0;
    let time = move |index: u64| {
        gst::ClockTime::try_from(Duration::from_secs_f64(index as f64 / fps)).ok()
    };
    let need = move |source: &gst_app::AppSrc, _: u32| {
        if !stream.next_frame(&mut rgb) {
            let _ = source.end_of_stream();
            return;
        }
        let Ok(mut buffer) = gst::Buffer::with_size(info.size()) else {
            let _ = source.end_of_stream();
            return;
        };
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(time(index));
            buffer.set_duration(time(1));
            if let Ok(mut pixels) = buffer.map_writable() {
                for (to, from) in pixels.chunks_mut(stride).zip(rgb.chunks(width * 3)) {
                    to[..from.len()].copy_from_slice(from);
                }
            }
        }
        index += 1;
        // An error here means that the pipeline is being taken down.
        let _ = source.push_buffer(buffer);
    };
    source.set_callbacks(gst_app::AppSrcCallbacks::builder().need_data(need).build());
    Ok(source)
}
