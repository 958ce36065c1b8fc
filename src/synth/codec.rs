//! What a camera's encoder leaves of a picture: H.264, there and back.
//!
//! At a camera's bit rate grain is lost, still parts freeze and each key frame
//! pulses; a network that never saw that takes a bare scene for a covered lens.
//! So training frames go through the real encoder and decoder.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::rng::Rng;
use super::write::Running;
use crate::error::{Error, Result};

/// An encoder of one camera's quality. Deterministic: one thread, and nothing
/// depends on time.
pub struct Codec {
    /// x264's constant rate factor; `None` for a camera that sends raw frames.
    quality: Option<u32>,
    preset: &'static str,
    /// Cheap encoders do not look ahead.
    lookahead: bool,
    /// Frames from one key frame to the next.
    interval: usize,
}

impl Codec {
    /// The codec of stream `seed`, with a key frame every one to four seconds
    /// of `fps` frames each.
    pub fn new(seed: u64, fps: f64) -> Self {
        let mut rng = Rng::new(seed, 9);
        Codec {
            quality: (!rng.chance(0.1)).then(|| rng.int(18, 33) as u32),
            preset: rng.pick(&["ultrafast", "superfast", "veryfast", "veryfast"]),
            lookahead: rng.chance(0.6),
            interval: ((f64::from(rng.range(1.0, 4.0)) * fps) as usize).max(1),
        }
    }

    /// What comes back of `frames`: luma of full range, `width` × `height`
    /// (both even) bytes each, in order.
    ///
    /// # Errors
    /// A missing GStreamer plugin, or the encoder or decoder failed.
    pub fn code(&self, frames: Vec<Vec<u8>>, width: usize, height: usize) -> Result<Vec<Vec<u8>>> {
        let Some(quality) = self.quality else { return Ok(frames) };
        let doing = "coding training frames as H.264";
        gst::init().map_err(|error| Error::unavailable("starting GStreamer", error))?;
        let tune = if self.lookahead { "" } else { "tune=zerolatency" };
        let description = format!(
            "appsrc name=in format=time max-bytes=0 \
             ! x264enc speed-preset={} {tune} pass=qual quantizer={quality} threads=1 key-int-max={} bframes=0 \
             ! h264parse ! avdec_h264 max-threads=1 ! video/x-raw,format=I420 \
             ! appsink name=out sync=false",
            self.preset, self.interval
        );
        let failed = |error: gst::glib::Error| {
            Error::unavailable(doing, error).remedy(
                "install gstreamer1.0-plugins-bad, gstreamer1.0-plugins-ugly and gstreamer1.0-libav",
            )
        };
        let pipeline = gst::parse::launch(&description)
            .map_err(failed)?
            .downcast::<gst::Pipeline>()
            .map_err(|_| Error::internal(doing, "the description did not make a pipeline"))?;
        let running = Running(pipeline);
        let missing = || Error::internal(doing, "an end of the pipeline is missing");
        let source = running.0.by_name("in").and_then(|e| e.downcast::<gst_app::AppSrc>().ok());
        let sink = running.0.by_name("out").and_then(|e| e.downcast::<gst_app::AppSink>().ok());
        let (source, sink) = (source.ok_or_else(missing)?, sink.ok_or_else(missing)?);
        source.set_caps(Some(
            &gst::Caps::builder("video/x-raw")
                .field("format", "I420")
                .field("width", width as i32)
                .field("height", height as i32)
                .field("framerate", gst::Fraction::new(8, 1))
                .build(),
        ));
        let lost = |error: &dyn std::fmt::Display| Error::unavailable(doing, error);
        running.0.set_state(gst::State::Playing).map_err(|error| lost(&error))?;
        let layout = Planes::new(width, height);
        for (index, frame) in frames.iter().enumerate() {
            let mut buffer = gst::Buffer::from_mut_slice(layout.pack(frame));
            if let Some(buffer) = buffer.get_mut() {
                buffer.set_pts(gst::ClockTime::from_mseconds(125 * index as u64));
                buffer.set_duration(gst::ClockTime::from_mseconds(125));
            }
            source.push_buffer(buffer).map_err(|error| lost(&error))?;
        }
        source.end_of_stream().map_err(|error| lost(&error))?;
        let mut back = Vec::with_capacity(frames.len());
        while let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_seconds(60)) {
            let map = sample.buffer().and_then(|buffer| buffer.map_readable().ok());
            let map = map.ok_or_else(|| lost(&"a decoded frame cannot be read"))?;
            back.push(layout.unpack(&map).ok_or_else(|| lost(&"a decoded frame is too short"))?);
        }
        if back.len() != frames.len() {
            let fault = format!("{} frames went in, {} came back", frames.len(), back.len());
            return Err(Error::unavailable(doing, fault));
        }
        Ok(back)
    }
}

/// I420 as GStreamer lays it out: rows padded to four bytes.
struct Planes {
    width: usize,
    height: usize,
    stride: usize,
    size: usize,
}

impl Planes {
    fn new(width: usize, height: usize) -> Self {
        let stride = width.next_multiple_of(4);
        let chroma = (width / 2).next_multiple_of(4) * (height / 2);
        Planes { width, height, stride, size: stride * height + 2 * chroma }
    }

    /// Full-range luma to limited-range I420 without colour (ITU-R BT.601-7).
    fn pack(&self, luma: &[u8]) -> Vec<u8> {
        let mut data = vec![128; self.size];
        for (from, to) in
            luma.chunks_exact(self.width).zip(data.chunks_exact_mut(self.stride)).take(self.height)
        {
            for (value, byte) in from.iter().zip(to) {
                *byte = 16 + ((u32::from(*value) * 219 + 127) / 255) as u8;
            }
        }
        data
    }

    /// The way back; `None` when there are not as many bytes as pixels.
    fn unpack(&self, data: &[u8]) -> Option<Vec<u8>> {
        let mut luma = Vec::with_capacity(self.width * self.height);
        for row in 0..self.height {
            let row = data.get(row * self.stride..row * self.stride + self.width)?;
            let full = |y: &u8| (u32::from(y.clamp(&16, &235) - 16) * 255 + 109) / 219;
            luma.extend(row.iter().map(|y| full(y) as u8));
        }
        Some(luma)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grainy(len: usize, frames: usize) -> Vec<Vec<u8>> {
        let mut rng = Rng::new(1, 1);
        let mut frame = || (0..len).map(|_| (128.0 + 3.0 * rng.normal()) as u8).collect();
        (0..frames).map(|_| frame()).collect()
    }

    fn change(frames: &[Vec<u8>]) -> f64 {
        let pairs = frames.windows(2).flat_map(|pair| pair[0].iter().zip(&pair[1]));
        let (sum, count) = pairs.fold((0u64, 0u64), |(sum, count), (a, b)| {
            (sum + u64::from(a.abs_diff(*b)), count + 1)
        });
        sum as f64 / count as f64
    }

    #[test]
    fn grain_freezes_and_brightness_stays() {
        let (width, height) = (62, 46);
        let frames = grainy(width * height, 6);
        let codec = Codec { quality: Some(30), preset: "veryfast", lookahead: true, interval: 100 };
        let back = codec.code(frames.clone(), width, height).unwrap();
        assert_eq!(back.len(), 6);
        assert!(change(&back) < 0.3 * change(&frames), "{} {}", change(&back), change(&frames));
        let mean =
            |frame: &[u8]| frame.iter().map(|v| f64::from(*v)).sum::<f64>() / frame.len() as f64;
        assert!((mean(&back[3]) - mean(&frames[3])).abs() < 1.5, "{}", mean(&back[3]));
    }

    #[test]
    fn the_same_frames_come_back_each_time() {
        let frames = grainy(64 * 48, 5);
        let codec = Codec { quality: Some(23), preset: "veryfast", lookahead: false, interval: 3 };
        assert!(codec.code(frames.clone(), 64, 48).unwrap() == codec.code(frames, 64, 48).unwrap());
    }
}
