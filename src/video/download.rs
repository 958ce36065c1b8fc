//! Pictures in a device's memory, brought to system memory: only those that
//! the sampler kept. Untested on hardware.

use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use crate::error::{Error, Result};
use crate::video::package;

/// For each kind of memory (a caps feature), the elements that bring it to
/// system memory, the preferred first.
const ELEMENTS: [(&str, &[&str]); 7] = [
    ("memory:NVMM", &["nvvidconv", "nvvideoconvert"]),
    ("memory:VAMemory", &["vapostproc"]),
    ("memory:VASurface", &["vaapipostproc"]),
    ("memory:CUDAMemory", &["cudadownload", "cudaconvert"]),
    ("memory:GLMemory", &["gldownload"]),
    ("memory:DMABuf", &["v4l2convert", "vapostproc", "gldownload"]),
    ("memory:D3D11Memory", &["d3d11download"]),
];

/// The memory kind of these caps; `None` for system memory.
pub(crate) fn device_memory(caps: &gst::CapsRef) -> Option<&str> {
    caps.features(0)?
        .iter()
        .find(|feature| feature.as_str() != "memory:SystemMemory" && feature.starts_with("memory:"))
        .map(|feature| feature.as_str())
}

/// The first installed element that reads `memory`.
fn choose(memory: &str, installed: impl Fn(&str) -> bool) -> Result<&'static str> {
    let doing = || format!("reading decoded pictures out of {memory}");
    let names =
        ELEMENTS.iter().find(|(kind, _)| *kind == memory).map(|(_, names)| *names).ok_or_else(
            || {
                Error::unavailable(doing(), "no element is known that reads this memory")
                    .remedy("forbid this decoder: decoder = { forbid = [\"its name\"] }")
            },
        )?;
    names.iter().copied().find(|name| installed(name)).ok_or_else(|| {
        let package = names.iter().find_map(|name| package::of_element(name));
        Error::unavailable(doing(), format!("none of {} is installed", names.join(", ")))
            .remedy(format!("{}, or forbid this decoder", package::remedy(package)))
    })
}

/// `appsrc ! element ! video/x-raw ! appsink`, one picture in, one out.
pub(crate) struct Download {
    memory: String,
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    sink: gst_app::AppSink,
}

impl Download {
    pub fn new(memory: &str, context_of: &gst::Element) -> Result<Self> {
        let doing = || format!("reading decoded pictures out of {memory}");
        let internal = |error: gst::glib::BoolError| Error::internal(doing(), error.message);
        let name = choose(memory, |name| gst::ElementFactory::find(name).is_some())?;
        let pipeline = gst::Pipeline::new();
        let source = gst_app::AppSrc::builder()
            .format(gst::Format::Time)
            .is_live(false)
            .max_buffers(2)
            .build();
        let element = gst::ElementFactory::make(name).build().map_err(internal)?;
        let sink = gst_app::AppSink::builder()
            .caps(&gst::Caps::new_empty_simple("video/x-raw"))
            .sync(false)
            .max_buffers(2)
            .build();
        pipeline.add_many([source.upcast_ref(), &element, sink.upcast_ref()]).map_err(internal)?;
        gst::Element::link_many([source.upcast_ref(), &element, sink.upcast_ref()])
            .map_err(internal)?;
        for context in context_of.contexts() {
            pipeline.set_context(&context);
        }
        pipeline.set_state(gst::State::Playing).map_err(|_| {
            Error::unavailable(doing(), format!("{name} does not start"))
                .remedy("forbid this decoder")
        })?;
        Ok(Download { memory: memory.to_owned(), pipeline, source, sink })
    }

    pub fn reads(&self, memory: &str) -> bool {
        self.memory == memory
    }

    pub fn run(&self, sample: &gst::Sample) -> Result<gst::Sample> {
        let doing = || format!("reading a decoded picture out of {}", self.memory);
        self.source
            .push_sample(sample)
            .map_err(|error| Error::unavailable(doing(), error).remedy("forbid this decoder"))?;
        self.sink
            .try_pull_sample(gst::ClockTime::from_mseconds(
                Duration::from_secs(1).as_millis() as u64
            ))
            .ok_or_else(|| {
                Error::unavailable(doing(), "nothing came within a second")
                    .remedy("forbid this decoder")
            })
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_installed_element_is_chosen() {
        assert_eq!(choose("memory:NVMM", |_| true).unwrap(), "nvvidconv");
        assert_eq!(
            choose("memory:NVMM", |name| name == "nvvideoconvert").unwrap(),
            "nvvideoconvert"
        );
        let error = choose("memory:NVMM", |_| false).unwrap_err().to_string();
        assert!(error.contains("nvidia-l4t-gstreamer") && error.contains("forbid"), "{error}");
        assert!(choose("memory:Unheard", |_| true).is_err());
    }

    #[test]
    fn memory_kinds_are_told_apart() {
        gst::init().unwrap();
        for (caps, memory) in [
            ("video/x-raw, format=NV12", None),
            ("video/x-raw(memory:NVMM), format=NV12", Some("memory:NVMM")),
            ("video/x-raw(memory:DMABuf, meta:GstVideoOverlayComposition)", Some("memory:DMABuf")),
        ] {
            let caps: gst::Caps = caps.parse().unwrap();
            assert_eq!(device_memory(&caps), memory, "{caps}");
        }
    }
}
