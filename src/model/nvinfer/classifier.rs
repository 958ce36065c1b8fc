//! One stream's way through DeepStream's elements: a picture in, logits out.

use std::path::Path;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

use super::super::Classifier;
use super::deepstream::{DeepStream, ELEMENTS};
use super::files::UNIQUE_ID;
use super::layout::read_logits;
use crate::clip::{InputSpec, Resize};
use crate::error::{Error, Result};

/// A picture that is not through after so long never will be.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often whoever waits looks at the elements' messages.
const LOOK: gst::ClockTime = gst::ClockTime::from_mseconds(50);
/// So many messages are read at one look at most.
const MESSAGES: usize = 256;

/// A model on nvinfer, running over one stream.
///
/// nvdspreprocess gives its first clip after as many pictures as a clip has, and
/// then one every hop, for as long as it runs; what it holds cannot be emptied. So
/// the first prediction after a reset is that of the first clip which holds no picture
/// from before it: up to a hop less one picture later than where a clip is made anew.
pub struct Accelerated {
    deepstream: DeepStream,
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    convert: gst::Element,
    sink: gst_app::AppSink,
    input: InputSpec,
    hop: u64,
    /// The output that gives the logits.
    gives: String,
    logits: Vec<f32>,
    caps: Option<gst::Caps>,
    /// Pictures that went in since the elements started.
    pushed: u64,
    since_reset: u64,
    /// Pictures from a reset to where a clip begins that is given.
    lead: u64,
    /// What a picture died of on its way. It may still come out, in the next one's
    /// place: the elements are of no use any more.
    fault: Option<Error>,
    doing: String,
}

impl Accelerated {
    /// Starts the elements, which read the two configuration files; `logits` are the
    /// name and the length of the output.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](crate::error::Kind::Unavailable): they do not start.
    pub fn new(
        deepstream: DeepStream,
        input: &InputSpec,
        hop: usize,
        (gives, classes): (String, usize),
        preprocess: &Path,
        nvinfer: &Path,
        doing: String,
    ) -> Result<Self> {
        let internal = |error: gst::glib::BoolError| Error::internal(&doing, error.message);
        let make = |name: &str| gst::ElementFactory::make(name).build().map_err(internal);
        let source = gst_app::AppSrc::builder()
            .format(gst::Format::Time)
            .is_live(false)
            .block(true)
            .max_buffers(2)
            .build();
        let [convert, mux, prepare, infer] =
            [make(ELEMENTS[0])?, make(ELEMENTS[1])?, make(ELEMENTS[2])?, make(ELEMENTS[3])?];
        let [height, width] = input.size;
        let scaled = gst::Caps::builder("video/x-raw")
            .features(["memory:NVMM"])
            .field("format", "RGBA")
            .field("width", i32::try_from(width).unwrap_or(i32::MAX))
            .field("height", i32::try_from(height).unwrap_or(i32::MAX))
            .build();
        let filter = gst::ElementFactory::make("capsfilter")
            .property("caps", &scaled)
            .build()
            .map_err(internal)?;
        let sink = gst_app::AppSink::builder()
            .sync(false)
            .max_buffers(2)
            .enable_last_sample(false)
            .build();
        // 1: bilinear, of GstInterpolationMethod.
        set(&convert, "interpolation-method", "1");
        // The newer nvstreammux has no size of its own; it takes that of its pictures.
        set(&mux, "width", &width.to_string());
        set(&mux, "height", &height.to_string());
        set(&mux, "batch-size", "1");
        set(&prepare, "config-file", &preprocess.to_string_lossy());
        set(&infer, "config-file-path", &nvinfer.to_string_lossy());

        let pipeline = gst::Pipeline::new();
        pipeline
            .add_many([
                source.upcast_ref(),
                &convert,
                &filter,
                &mux,
                &prepare,
                &infer,
                sink.upcast_ref(),
            ])
            .map_err(internal)?;
        gst::Element::link_many([source.upcast_ref(), &convert, &filter]).map_err(internal)?;
        filter.link_pads(Some("src"), &mux, Some("sink_0")).map_err(internal)?;
        gst::Element::link_many([&mux, &prepare, &infer, sink.upcast_ref()]).map_err(internal)?;

        let accelerated = Accelerated {
            deepstream,
            pipeline,
            source,
            convert,
            sink,
            input: input.clone(),
            hop: hop.max(1) as u64,
            gives,
            logits: vec![0.0; classes],
            caps: None,
            pushed: 0,
            since_reset: 0,
            lead: 0,
            fault: None,
            doing,
        };
        if accelerated.pipeline.set_state(gst::State::Playing).is_err() {
            let fault = fault_on(&accelerated.pipeline);
            return Err(accelerated
                .error(fault.unwrap_or_else(|| "DeepStream's elements do not start".into())));
        }
        Ok(accelerated)
    }

    /// Brings one picture through all elements.
    fn pass(&mut self, picture: &gst::Sample) -> Result<gst::Sample> {
        let (Some(buffer), Some(caps)) = (picture.buffer(), picture.caps()) else {
            return Err(self.error("a picture without memory or caps".into()));
        };
        if self.caps.as_deref() != Some(caps) {
            // None is on its way, so that the crop holds from this one on.
            if self.input.resize == Resize::ShortSide {
                let crop = crop(caps, self.input.size).map_err(|fault| self.error(fault))?;
                set(&self.convert, "src-crop", &crop);
            }
            self.source.set_caps(Some(&caps.to_owned()));
            self.caps = Some(caps.to_owned());
        }
        // The memory is shared, the times are our own: those of a source may go back.
        let mut buffer = buffer.copy();
        let at = |count: u64| {
            gst::ClockTime::from_nseconds((count as f64 / self.input.rate * 1e9) as u64)
        };
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(at(self.pushed));
            buffer.set_dts(gst::ClockTime::NONE);
            buffer.set_duration(at(1));
        }
        if let Err(error) = self.source.push_buffer(buffer) {
            let fault = fault_on(&self.pipeline);
            return Err(
                self.error(fault.unwrap_or_else(|| format!("it takes no pictures: {error}")))
            );
        }
        self.pushed += 1;
        let begun = Instant::now();
        loop {
            if let Some(through) = self.sink.try_pull_sample(LOOK) {
                // So that messages do not pile up.
                return match fault_on(&self.pipeline) {
                    Some(fault) => Err(self.error(fault)),
                    None => Ok(through),
                };
            }
            if let Some(fault) = fault_on(&self.pipeline) {
                return Err(self.error(fault));
            }
            if self.sink.is_eos() || begun.elapsed() > PATIENCE {
                let fault = format!("no picture came through within {} s", PATIENCE.as_secs());
                return Err(self.error(fault));
            }
        }
    }

    fn read(&mut self, through: &gst::Sample) -> Result<()> {
        let Some(buffer) = through.buffer() else {
            return Err(self.error("nvinfer gave no buffer".into()));
        };
        let batch = self.deepstream.batch_meta(buffer);
        // SAFETY: DeepStream's own metadata, laid out as in the versions that
        // `DeepStream::find` lets pass; it lives as long as `through`, and nobody changes
        // it any more behind the last element.
        match unsafe { read_logits(batch, UNIQUE_ID, &self.gives, &mut self.logits) } {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.error("a clip is full, and nvinfer attached no tensor".into())),
            Err(fault) => Err(self.error(fault)),
        }
    }

    fn error(&self, fault: String) -> Error {
        Error::unavailable(&self.doing, fault)
            .remedy("run with GST_DEBUG=nvinfer:5,nvdspreprocess:5 to see why")
    }
}

impl Classifier for Accelerated {
    fn push(&mut self, _frame: &[f32], _due: bool) -> Result<Option<&[f32]>> {
        Err(Error::internal(&self.doing, "it takes pictures, and not tensors"))
    }

    fn takes_pictures(&self) -> bool {
        true
    }

    fn push_picture(&mut self, picture: &gst::Sample, due: bool) -> Result<Option<&[f32]>> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        self.since_reset += 1;
        let through = self.pass(picture).inspect_err(|fault| self.fault = Some(fault.clone()))?;
        if !due || self.since_reset < self.warm_up() as u64 {
            return Ok(None);
        }
        self.read(&through)?;
        if self.logits.iter().any(|value| !value.is_finite()) {
            return Err(self.error("nvinfer gave values that are not finite".into()));
        }
        Ok(Some(&self.logits))
    }

    fn reset(&mut self) {
        self.since_reset = 0;
        self.lead = (self.hop - self.pushed % self.hop) % self.hop;
    }

    fn warm_up(&self) -> usize {
        self.input.frames + usize::try_from(self.lead).unwrap_or(usize::MAX)
    }

    fn stride(&self) -> usize {
        usize::try_from(self.hop).unwrap_or(usize::MAX)
    }

    fn needs_every_frame(&self) -> bool {
        true
    }
}

impl Drop for Accelerated {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// The first error that the elements of `pipeline` have posted, in their own words.
pub fn fault_on(pipeline: &gst::Pipeline) -> Option<String> {
    let bus = pipeline.bus()?;
    let mut fault = None;
    for message in (0..MESSAGES).map_while(|_| bus.pop()) {
        if let gst::MessageView::Error(error) = message.view() {
            let name = message.src().map(|source| source.name().to_string()).unwrap_or_default();
            // Its first lines say where in the source it was posted.
            let debug = error.debug().and_then(|debug| Some(debug.lines().last()?.to_owned()));
            let debug = debug.map(|debug| format!(" ({debug})")).unwrap_or_default();
            fault.get_or_insert_with(|| format!("{name}: {}{debug}", error.error().message()));
        }
    }
    fault
}

/// Sets a property that the element's version may not have.
fn set(element: &gst::Element, property: &str, value: &str) {
    if element.find_property(property).is_some() {
        element.set_property_from_str(property, value);
    }
}

/// The middle of a picture that has the shape of `size` (height, width), as
/// nvvideoconvert's `src-crop` takes it: left:top:width:height, in even numbers.
fn crop(caps: &gst::CapsRef, [height, width]: [usize; 2]) -> Result<String, String> {
    // (Caps of compressed pictures make an information, too, without a size.)
    let info = gst_video::VideoInfo::from_caps(caps)
        .ok()
        .filter(|info| info.width() > 0 && info.height() > 0)
        .ok_or_else(|| format!("pictures of an unknown kind: {caps}"))?;
    let (w, h, par) = (f64::from(info.width()), f64::from(info.height()), info.par());
    let pixel = match f64::from(par.numer()) / f64::from(par.denom()) {
        aspect if aspect.is_finite() && aspect > 0.0 => aspect,
        _ => 1.0,
    };
    let target = width as f64 / height as f64 / pixel;
    let (kept_w, kept_h) = if w / h > target { (h * target, h) } else { (w, w / target) };
    let even = |value: f64| (value / 2.0).round() as u32 * 2;
    let (kept_w, kept_h) = (even(kept_w).max(2), even(kept_h).max(2));
    let middle = |whole: u32, kept: u32| whole.saturating_sub(kept) / 4 * 2;
    let (left, top) = (middle(info.width(), kept_w), middle(info.height(), kept_h));
    Ok(format!("{left}:{top}:{kept_w}:{kept_h}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_cut_out_in_the_model_s_shape() {
        gst::init().unwrap();
        let of = |text: &str, size| crop(&text.parse::<gst::Caps>().unwrap(), size).unwrap();
        let full_hd =
            "video/x-raw(memory:NVMM), format=NV12, width=1920, height=1080, framerate=30/1";
        assert_eq!(of(full_hd, [182, 182]), "420:0:1080:1080");
        assert_eq!(of(full_hd, [96, 128]), "240:0:1440:1080");
        assert_eq!(of(full_hd, [90, 160]), "0:0:1920:1080");
        let tall = "video/x-raw, format=I420, width=480, height=640, framerate=30/1";
        assert_eq!(of(tall, [64, 64]), "0:80:480:480");
        // PAL with pixels wider than high: 720 of them look like 1024.
        let wide = "video/x-raw, format=I420, width=720, height=576, framerate=25/1, pixel-aspect-ratio=64/45";
        assert_eq!(of(wide, [64, 64]), "156:0:406:576");
        assert!(crop(&"image/jpeg".parse::<gst::Caps>().unwrap(), [1, 1]).is_err());
    }
}
