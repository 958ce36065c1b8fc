//! Kept pictures taken through an element: out of a device's memory, and to a
//! smaller size where that is wanted. Only those that the sampler kept. Tried with
//! stand-ins for the elements, not on hardware.

use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use crate::error::{Error, Result};
use crate::video::package;
use crate::video::spec::ConverterChoice;

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

/// Those of [`ELEMENTS`] that change a picture's size too.
const SCALERS: [&str; 5] =
    ["nvvidconv", "nvvideoconvert", "vapostproc", "vaapipostproc", "v4l2convert"];

/// How long an element may take for a picture.
const PATIENCE: Duration = Duration::from_secs(1);

/// The memory kind of these caps; `None` for system memory.
pub(crate) fn device_memory(caps: &gst::CapsRef) -> Option<&str> {
    caps.features(0).and_then(memory_of)
}

fn memory_of(features: &gst::CapsFeaturesRef) -> Option<&str> {
    features
        .iter()
        .find(|feature| feature.as_str() != "memory:SystemMemory" && feature.starts_with("memory:"))
        .map(|feature| feature.as_str())
}

/// Whether everything that an element can give with these caps is in a memory that
/// nothing `installed` reads.
pub(crate) fn unreadable(caps: &gst::CapsRef, installed: impl Fn(&str) -> bool + Copy) -> bool {
    let readable = |(structure, features): (&gst::StructureRef, &gst::CapsFeaturesRef)| {
        structure.name() != "video/x-raw"
            || features.is_any()
            || memory_of(features).is_none_or(|memory| choose(memory, &[], installed).is_ok())
    };
    !caps.is_any() && !caps.is_empty() && !caps.iter_with_features().any(readable)
}

/// The first installed element that reads `memory`: of `prefer`, then of our own list.
fn choose(memory: &str, prefer: &[String], installed: impl Fn(&str) -> bool) -> Result<String> {
    if let Some(name) = prefer.iter().find(|name| installed(name)) {
        return Ok(name.clone());
    }
    let doing = || format!("reading decoded pictures out of {memory}");
    let names =
        ELEMENTS.iter().find(|(kind, _)| *kind == memory).map(|(_, names)| *names).ok_or_else(
            || {
                Error::unavailable(doing(), "no element is known that reads this memory")
                    .remedy("forbid this decoder: decoder = { forbid = [\"its name\"] }")
            },
        )?;
    names.iter().copied().find(|name| installed(name)).map(str::to_owned).ok_or_else(|| {
        let package = names.iter().find_map(|name| package::of_element(name));
        Error::unavailable(doing(), format!("none of {} is installed", names.join(", ")))
            .remedy(format!("{}, or forbid this decoder", package::remedy(package)))
    })
}

/// Whether an element of this name can be made and takes pictures of these caps.
fn takes(name: &str, caps: &gst::Caps) -> bool {
    gst::ElementFactory::find(name).is_some_and(|factory| factory.can_sink_any_caps(caps))
}

/// The size of a picture of `size` within `limit`, its sides in proportion and even
/// (as subsampled chroma wants them); `None` where it is no larger.
fn within(size: [u32; 2], limit: [u32; 2]) -> Option<[u32; 2]> {
    let [width, height] = size.map(f64::from);
    let factor = (f64::from(limit[0]) / width).min(f64::from(limit[1]) / height);
    let side = |side: f64| ((side * factor / 2.0).round() as u32 * 2).max(2);
    (factor < 1.0).then(|| [side(width), side(height)])
}

/// Takes the kept pictures of one source to where they can be converted.
pub(crate) struct Downloads {
    choice: ConverterChoice,
    route: Option<Route>,
    /// The last picture, by its serial number: a slow source's is asked for again.
    last: Option<(u64, gst::Sample)>,
    /// Whether the element failed that only made pictures smaller.
    gave_up: bool,
}

/// What is done with pictures of some caps.
struct Route {
    caps: gst::Caps,
    /// `None`: they are taken as they are.
    element: Option<Download>,
    /// Whether they could also be taken as they are.
    optional: bool,
}

impl Downloads {
    pub fn new(choice: &ConverterChoice) -> Self {
        Downloads { choice: choice.clone(), route: None, last: None, gave_up: false }
    }

    /// The picture of `sample` in system memory; `serial` tells pictures apart.
    ///
    /// # Errors
    /// It is in a memory that nothing here reads.
    pub fn run(
        &mut self,
        serial: u64,
        sample: &gst::Sample,
        context_of: &gst::Element,
    ) -> Result<gst::Sample> {
        let Some(caps) = sample.caps() else { return Ok(sample.clone()) };
        if self.route.as_ref().is_none_or(|route| route.caps.as_ref() != caps) {
            self.last = None;
            self.route = Some(self.route_for(caps, context_of)?);
        }
        let Some(Route { element: Some(element), optional, .. }) = &self.route else {
            return Ok(sample.clone());
        };
        if let Some((last, sample)) = &self.last
            && *last == serial
        {
            return Ok(sample.clone());
        }
        match element.run(sample) {
            Ok(sample) => {
                self.last = Some((serial, sample.clone()));
                Ok(sample)
            }
            Err(error) if *optional => {
                log::warn!("{error}; pictures are taken as they are from now on");
                self.gave_up = true;
                self.route = None;
                Ok(sample.clone())
            }
            Err(error) => Err(error),
        }
    }

    fn route_for(&self, caps: &gst::CapsRef, context_of: &gst::Element) -> Result<Route> {
        let owned = caps.to_owned();
        let prefer = &self.choice.prefer;
        let size = self.choice.size.and_then(|limit| within(size_of(caps)?, limit));
        let installed = |name: &str| takes(name, &owned);
        let (name, size) = match device_memory(caps) {
            Some(memory) => {
                let name = choose(memory, prefer, installed)?;
                let scales = prefer.contains(&name) || SCALERS.contains(&name.as_str());
                (Some(name), size.filter(|_| scales))
            }
            None if size.is_none() || self.gave_up => (None, None),
            None => {
                let name = prefer.iter().find(|name| installed(name)).cloned();
                if name.is_none() && !prefer.is_empty() {
                    log::info!(
                        "no converter of {} is here: pictures are converted in software",
                        prefer.join(", ")
                    );
                }
                (name, size)
            }
        };
        let optional = device_memory(caps).is_none();
        let element = match name.map(|name| Download::new(&name, caps, size, context_of)) {
            None => None,
            Some(Ok(element)) => Some(element),
            Some(Err(error)) if optional => {
                log::warn!("{error}; pictures are taken as they are");
                None
            }
            Some(Err(error)) => return Err(error),
        };
        Ok(Route { caps: owned, element, optional })
    }
}

/// Width and height that caps of pictures state.
fn size_of(caps: &gst::CapsRef) -> Option<[u32; 2]> {
    let structure = caps.structure(0)?;
    let side = |name: &str| {
        structure.get::<i32>(name).ok().and_then(|side| u32::try_from(side).ok()).filter(|s| *s > 0)
    };
    Some([side("width")?, side("height")?])
}

/// `appsrc ! element ! video/x-raw ! appsink`, one picture in, one out.
struct Download {
    doing: String,
    remedy: &'static str,
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    sink: gst_app::AppSink,
}

impl Download {
    fn new(
        name: &str,
        caps: &gst::CapsRef,
        size: Option<[u32; 2]>,
        context_of: &gst::Element,
    ) -> Result<Self> {
        let (doing, remedy) = match device_memory(caps) {
            Some(memory) => (
                format!("reading decoded pictures out of {memory} with {name}"),
                "forbid this decoder: decoder = { forbid = [\"its name\"] }",
            ),
            None => (
                format!("making pictures smaller with {name}"),
                "take it out of the source's converter",
            ),
        };
        let internal = |error: gst::glib::BoolError| Error::internal(&doing, error.message);
        let pipeline = gst::Pipeline::new();
        let source = gst_app::AppSrc::builder()
            .format(gst::Format::Time)
            .is_live(false)
            .max_buffers(2)
            .build();
        let element = gst::ElementFactory::make(name).build().map_err(internal)?;
        let mut wanted = gst::Structure::new_empty("video/x-raw");
        if let Some([width, height]) = size.map(|size| size.map(i32::try_from)) {
            wanted.set("width", width.unwrap_or(i32::MAX));
            wanted.set("height", height.unwrap_or(i32::MAX));
        }
        let sink = gst_app::AppSink::builder()
            .caps(&gst::Caps::builder_full().structure(wanted).build())
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
            Error::unavailable(&doing, format!("{name} does not start")).remedy(remedy)
        })?;
        Ok(Download { doing, remedy, pipeline, source, sink })
    }

    fn run(&self, sample: &gst::Sample) -> Result<gst::Sample> {
        self.source
            .push_sample(sample)
            .map_err(|error| Error::unavailable(&self.doing, error).remedy(self.remedy))?;
        let patience = gst::ClockTime::from_mseconds(PATIENCE.as_millis() as u64);
        self.sink
            .try_pull_sample(patience)
            .ok_or_else(|| Error::unavailable(&self.doing, self.fault()).remedy(self.remedy))
    }

    /// Why no picture came, in GStreamer's words where it has some.
    fn fault(&self) -> String {
        let error =
            self.pipeline.bus().and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
        match error.as_deref().map(gst::MessageRef::view) {
            Some(gst::MessageView::Error(error)) => error.error().message().to_owned(),
            _ => "nothing came within a second".to_owned(),
        }
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
        let first = |prefer: &[String], installed: &dyn Fn(&str) -> bool| {
            choose("memory:NVMM", prefer, installed).unwrap()
        };
        assert_eq!(first(&[], &|_| true), "nvvidconv");
        assert_eq!(first(&[], &|name| name == "nvvideoconvert"), "nvvideoconvert");
        let prefer = ["gone".to_owned(), "nvvideoconvert".to_owned()];
        assert_eq!(first(&prefer, &|name| name != "gone"), "nvvideoconvert");
        assert_eq!(first(&prefer, &|name| name == "nvvidconv"), "nvvidconv");
        let error = choose("memory:NVMM", &[], |_| false).unwrap_err().to_string();
        assert!(error.contains("nvidia-l4t-gstreamer") && error.contains("forbid"), "{error}");
        assert!(choose("memory:Unheard", &[], |_| true).is_err());
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

    #[test]
    fn what_nothing_reads_is_known_beforehand() {
        gst::init().unwrap();
        let of = |caps: &str, installed: &[&str]| {
            let caps: gst::Caps = caps.parse().unwrap();
            unreadable(&caps, |name| installed.contains(&name))
        };
        assert!(of("video/x-raw(memory:NVMM)", &[]));
        assert!(!of("video/x-raw(memory:NVMM)", &["nvvideoconvert"]));
        assert!(!of("video/x-raw(memory:CUDAMemory); video/x-raw", &[]));
        assert!(!of("video/x-raw(ANY)", &[]));
        assert!(!of("video/x-raw", &[]));
        assert!(!of("ANY", &[]));
        assert!(!of("audio/x-raw", &[]));
    }

    #[test]
    fn pictures_shrink_in_proportion_and_never_grow() {
        assert_eq!(within([1920, 1080], [640, 640]), Some([640, 360]));
        assert_eq!(within([1280, 960], [640, 360]), Some([480, 360]));
        assert_eq!(within([1366, 768], [640, 640]), Some([640, 360]));
        assert_eq!(within([640, 360], [640, 360]), None);
        assert_eq!(within([320, 240], [640, 360]), None);
        assert_eq!(within([4000, 2], [100, 100]), Some([100, 2]));
    }

    fn picture(width: u32, height: u32) -> gst::Sample {
        gst::init().unwrap();
        let info =
            gstreamer_video::VideoInfo::builder(gstreamer_video::VideoFormat::I420, width, height)
                .build()
                .unwrap();
        let mut buffer = gst::Buffer::from_slice(vec![90u8; info.size()]);
        buffer.get_mut().unwrap().set_pts(gst::ClockTime::ZERO);
        gst::Sample::builder().buffer(&buffer).caps(&info.to_caps().unwrap()).build()
    }

    fn size_through(choice: &ConverterChoice, sample: &gst::Sample) -> [u32; 2] {
        let context_of = gst::Pipeline::new();
        let mut downloads = Downloads::new(choice);
        let small = downloads.run(0, sample, context_of.upcast_ref()).unwrap();
        // The same picture again is not taken through the element again.
        let again = downloads.run(0, sample, context_of.upcast_ref()).unwrap();
        assert_eq!(small.buffer().map(|b| b.as_ptr()), again.buffer().map(|b| b.as_ptr()));
        size_of(small.caps().unwrap()).unwrap()
    }

    #[test]
    fn a_preferred_converter_scales_and_a_missing_one_leaves_pictures_alone() {
        let sample = picture(1280, 720);
        let choice = |names: &[&str], size| ConverterChoice {
            prefer: names.iter().map(|name| (*name).to_owned()).collect(),
            size,
        };
        let limit = Some([320, 320]);
        assert_eq!(size_through(&choice(&["videoscale"], limit), &sample), [320, 180]);
        assert_eq!(size_through(&choice(&["nowhere", "videoscale"], limit), &sample), [320, 180]);
        assert_eq!(size_through(&choice(&["nowhere"], limit), &sample), [1280, 720]);
        assert_eq!(size_through(&choice(&[], limit), &sample), [1280, 720]);
        assert_eq!(size_through(&choice(&["videoscale"], None), &sample), [1280, 720]);
        // It cannot do what is asked: pictures are taken as they are.
        assert_eq!(size_through(&choice(&["videoconvert"], limit), &sample), [1280, 720]);
    }
}
