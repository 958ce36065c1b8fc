//! nvvideoconvert: cuts out, scales and converts, and says that the result lies in
//! NVMM memory.

use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;

use crate::{nvmm, pads, templates};

glib::wrapper! {
    pub struct Convert(ObjectSubclass<imp::Convert>) @extends gst::Element, gst::Object;
}

mod imp {
    use super::*;

    /// The converter, and what it takes and gives.
    struct Work {
        converter: gst_video::VideoConverter,
        from: gst_video::VideoInfo,
        to: gst_video::VideoInfo,
    }

    pub struct Convert {
        sink: gst::Pad,
        src: gst::Pad,
        crop: Mutex<String>,
        work: Mutex<Option<Work>>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Convert {
        const NAME: &'static str = "StandInNvVideoConvert";
        type Type = super::Convert;
        type ParentType = gst::Element;

        fn with_class(class: &Self::Class) -> Self {
            let (sink, src) = pads!(Self, class);
            Convert { sink, src, crop: Mutex::default(), work: Mutex::default() }
        }
    }

    impl Convert {
        pub(crate) fn event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
            let gst::EventView::Caps(caps) = event.view() else {
                return gst::Pad::event_default(pad, Some(&*self.obj()), event);
            };
            self.take(caps.caps())
                .is_ok_and(|caps| self.src.push_event(gst::event::Caps::new(&caps)))
        }

        fn take(&self, caps: &gst::CapsRef) -> Result<gst::Caps, glib::BoolError> {
            let from = gst_video::VideoInfo::from_caps(caps)?;
            let mut wanted = self.src.peer_query_caps(None);
            wanted.fixate();
            let to = wanted.structure(0).and_then(|wanted| {
                Some((wanted.get::<i32>("width").ok()?, wanted.get::<i32>("height").ok()?))
            });
            let (width, height) = to.unwrap_or((from.width() as i32, from.height() as i32));
            let format = wanted.structure(0).and_then(|wanted| wanted.get::<String>("format").ok());
            let format = format.unwrap_or_else(|| "NV12".into());
            let plain = gst_video::VideoInfo::builder(
                gst_video::VideoFormat::from_string(&format),
                width as u32,
                height as u32,
            )
            .fps(from.fps())
            .build()?;
            let mut config = gst_video::VideoConverterConfig::new();
            config.set_resampler_method(gst_video::VideoResamplerMethod::Linear);
            let crop = self.crop.lock().unwrap().clone();
            let parts: Vec<i32> = crop.split(':').filter_map(|part| part.parse().ok()).collect();
            if let [left, top, width, height] = parts[..] {
                config.set_src_x(left);
                config.set_src_y(top);
                config.set_src_width(Some(width));
                config.set_src_height(Some(height));
            }
            let converter = gst_video::VideoConverter::new(&from, &plain, Some(config))?;
            let mut caps = plain.to_caps()?;
            caps.make_mut().set_features_simple(Some(gst::CapsFeatures::new([crate::NVMM])));
            *self.work.lock().unwrap() = Some(Work { converter, from, to: plain });
            Ok(caps)
        }

        pub(crate) fn chain(
            &self,
            buffer: gst::Buffer,
        ) -> Result<gst::FlowSuccess, gst::FlowError> {
            let made = {
                let work = self.work.lock().unwrap();
                let work = work.as_ref().ok_or(gst::FlowError::NotNegotiated)?;
                let mut made = gst::Buffer::with_size(work.to.size()).unwrap();
                {
                    let made = made.get_mut().unwrap();
                    made.set_pts(buffer.pts());
                    made.set_duration(buffer.duration());
                    let from =
                        gst_video::VideoFrameRef::from_buffer_ref_readable(&buffer, &work.from);
                    let to = gst_video::VideoFrameRef::from_buffer_ref_writable(made, &work.to);
                    let (Ok(from), Ok(mut to)) = (from, to) else {
                        return Err(gst::FlowError::Error);
                    };
                    work.converter.frame_ref(&from, &mut to);
                }
                made
            };
            self.src.push(made)
        }
    }

    impl ObjectImpl for Convert {
        fn properties() -> &'static [glib::ParamSpec] {
            static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
                vec![
                    glib::ParamSpecString::builder("src-crop").build(),
                    glib::ParamSpecUInt::builder("interpolation-method").maximum(6).build(),
                ]
            });
            &PROPERTIES
        }

        fn set_property(&self, _: usize, value: &glib::Value, spec: &glib::ParamSpec) {
            if spec.name() == "src-crop" {
                *self.crop.lock().unwrap() = value.get::<String>().unwrap();
            }
        }

        fn constructed(&self) {
            self.parent_constructed();
            self.obj().add_pad(&self.sink).unwrap();
            self.obj().add_pad(&self.src).unwrap();
        }
    }

    impl GstObjectImpl for Convert {}

    impl ElementImpl for Convert {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            crate::described!("nvvideoconvert", "Filter/Converter/Video/Scaler")
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let mut both = gst::Caps::new_empty_simple("video/x-raw");
                both.merge(nvmm(&["NV12", "I420", "RGBA", "BGRx"]));
                templates(both.clone(), both)
            });
            &TEMPLATES
        }
    }
}
