//! A Jetson's decoder and converter, with stand-ins: elements of the same names that
//! give and take what those give and take, pictures in the caps of `memory:NVMM`.
//! Alone in this file: elements are registered for a whole process.

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;

use kinewatch::video::{ConverterChoice, Pace, SourceSpec};

#[allow(dead_code)]
mod video_support;
use video_support::{Clip, Shot, collect, make};

/// Elements that stand for hardware's.
mod stand_in {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use gst::glib;
    use gst::subclass::prelude::*;
    use gstreamer as gst;
    use gstreamer::prelude::*;

    pub const NVMM: &str = "memory:NVMM";
    /// Pictures that left a stand-in's device memory.
    pub static TAKEN_OUT: AtomicU64 = AtomicU64::new(0);

    fn template(name: &str, direction: gst::PadDirection, caps: &str) -> gst::PadTemplate {
        let caps: gst::Caps = caps.parse().unwrap();
        gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps).unwrap()
    }

    /// Passes pictures on as being in another memory.
    #[derive(Default)]
    pub struct Relabel;

    #[glib::object_subclass]
    impl ObjectSubclass for Relabel {
        const NAME: &'static str = "KinewatchTestRelabel";
        type Type = super::Relabel;
        type ParentType = gst::Element;
    }

    impl ObjectImpl for Relabel {
        fn constructed(&self) {
            self.parent_constructed();
            let element = self.obj();
            let any: gst::Caps = "video/x-raw(ANY)".parse().unwrap();
            let pad = |name: &str, direction| {
                let template =
                    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &any).unwrap();
                gst::Pad::builder_from_template(&template)
            };
            let source = pad("src", gst::PadDirection::Src).build();
            let (out, out2) = (source.clone(), source.clone());
            let sink = pad("sink", gst::PadDirection::Sink)
                .chain_function(move |_, _, buffer| {
                    let caps = out.current_caps().unwrap();
                    if !caps.features(0).unwrap().contains(NVMM) {
                        TAKEN_OUT.fetch_add(1, Ordering::Relaxed);
                    }
                    out.push(buffer)
                })
                .event_function(move |pad, parent, event| match event.view() {
                    gst::EventView::Caps(caps) => {
                        let caps = caps.caps();
                        let inside = caps.features(0).unwrap().contains(NVMM);
                        let mut other = gst::Caps::new_empty();
                        let features = gst::CapsFeatures::new([if inside {
                            "memory:SystemMemory"
                        } else {
                            NVMM
                        }]);
                        other.get_mut().unwrap().append_structure_full(
                            caps.structure(0).unwrap().to_owned(),
                            Some(features),
                        );
                        out2.push_event(gst::event::Caps::new(&other))
                    }
                    _ => gst::Pad::event_default(pad, parent, event),
                })
                .build();
            element.add_pad(&sink).unwrap();
            element.add_pad(&source).unwrap();
        }
    }

    impl GstObjectImpl for Relabel {}
    impl ElementImpl for Relabel {}

    /// Makes a bin of `parts`, one after the other, with ghosts of its ends.
    fn fill(
        bin: &gst::Bin,
        parts: &[gst::Element],
        sink: &gst::PadTemplate,
        src: &gst::PadTemplate,
    ) {
        bin.add_many(parts).unwrap();
        gst::Element::link_many(parts).unwrap();
        let first = parts.first().unwrap().static_pad("sink").unwrap();
        let last = parts.last().unwrap().static_pad("src").unwrap();
        for (template, target) in [(sink, first), (src, last)] {
            let ghost = gst::GhostPad::builder_from_template_with_target(template, &target)
                .unwrap()
                .build();
            bin.add_pad(&ghost).unwrap();
        }
    }

    fn part(name: &str) -> gst::Element {
        gst::ElementFactory::make(name).build().unwrap()
    }

    /// `nvv4l2decoder`: H.264 to pictures in device memory.
    #[derive(Default)]
    pub struct Decoder;

    static DECODER_PADS: LazyLock<[gst::PadTemplate; 2]> = LazyLock::new(|| {
        [
            template(
                "sink",
                gst::PadDirection::Sink,
                "video/x-h264, stream-format=byte-stream, alignment=au, parsed=true",
            ),
            template("src", gst::PadDirection::Src, "video/x-raw(memory:NVMM)"),
        ]
    });

    #[glib::object_subclass]
    impl ObjectSubclass for Decoder {
        const NAME: &'static str = "KinewatchTestDecoder";
        type Type = super::Decoder;
        type ParentType = gst::Bin;
    }

    impl ObjectImpl for Decoder {
        fn constructed(&self) {
            self.parent_constructed();
            let parts = [part("avdec_h264"), glib::Object::new::<super::Relabel>().upcast()];
            let [sink, src] = &*DECODER_PADS;
            fill(self.obj().upcast_ref(), &parts, sink, src);
        }
    }

    impl GstObjectImpl for Decoder {}
    impl ElementImpl for Decoder {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static ABOUT: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                gst::subclass::ElementMetadata::new(
                    "stand-in decoder",
                    "Codec/Decoder/Video/Hardware",
                    "as nvv4l2decoder",
                    "kinewatch",
                )
            });
            Some(&ABOUT)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            &*DECODER_PADS
        }
    }
    impl BinImpl for Decoder {}

    /// `nvvidconv`: pictures out of device memory, in another size if wanted.
    #[derive(Default)]
    pub struct Converter;

    static CONVERTER_PADS: LazyLock<[gst::PadTemplate; 2]> = LazyLock::new(|| {
        [
            template("sink", gst::PadDirection::Sink, "video/x-raw(memory:NVMM)"),
            template("src", gst::PadDirection::Src, "video/x-raw"),
        ]
    });

    #[glib::object_subclass]
    impl ObjectSubclass for Converter {
        const NAME: &'static str = "KinewatchTestConverter";
        type Type = super::Converter;
        type ParentType = gst::Bin;
    }

    impl ObjectImpl for Converter {
        fn constructed(&self) {
            self.parent_constructed();
            let parts = [glib::Object::new::<super::Relabel>().upcast(), part("videoscale")];
            let [sink, src] = &*CONVERTER_PADS;
            fill(self.obj().upcast_ref(), &parts, sink, src);
        }
    }

    impl GstObjectImpl for Converter {}
    impl ElementImpl for Converter {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static ABOUT: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                gst::subclass::ElementMetadata::new(
                    "stand-in converter",
                    "Filter/Converter/Video/Scaler",
                    "as nvvidconv",
                    "kinewatch",
                )
            });
            Some(&ABOUT)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            &*CONVERTER_PADS
        }
    }
    impl BinImpl for Converter {}
}

glib::wrapper! {
    pub struct Relabel(ObjectSubclass<stand_in::Relabel>) @extends gst::Element, gst::Object;
}
glib::wrapper! {
    pub struct Decoder(ObjectSubclass<stand_in::Decoder>)
        @extends gst::Bin, gst::Element, gst::Object,
        @implements gst::ChildProxy;
}
glib::wrapper! {
    pub struct Converter(ObjectSubclass<stand_in::Converter>)
        @extends gst::Bin, gst::Element, gst::Object,
        @implements gst::ChildProxy;
}

fn taken_out() -> u64 {
    stand_in::TAKEN_OUT.swap(0, std::sync::atomic::Ordering::Relaxed)
}

/// All frames red, and of this size.
fn red(shots: &[Shot], size: (usize, usize)) {
    assert_eq!(shots.len(), 10);
    for shot in shots {
        assert_eq!((shot.width, shot.height), size);
        let far = shot.data.chunks(3).filter(|p| p[0] < 240 || p[1] > 20 || p[2] > 20).count();
        assert_eq!(far, 0, "a picture is not red");
    }
}

#[test]
fn a_decoder_into_device_memory_is_used_where_something_reads_it_and_left_where_nothing_does() {
    let clip = Clip::new();
    let path = clip.path("red.mp4");
    make(
        "videotestsrc num-buffers=20 pattern=red \
         ! video/x-raw,format=I420,width=320,height=180,framerate=20/1 \
         ! x264enc speed-preset=ultrafast tune=zerolatency ! h264parse ! mp4mux",
        &path,
    );
    let rank = gst::Rank::PRIMARY + 100;
    gst::Element::register(None, "nvv4l2decoder", rank, Decoder::static_type()).unwrap();
    let mut spec = SourceSpec::path(&path);
    let frames = |spec: &SourceSpec| collect(spec, 10.0, Pace::Fast).unwrap();

    // No converter is installed: software decodes, whether or not it is asked for.
    red(&frames(&spec), (320, 180));
    spec.decoder.prefer = vec!["nvv4l2decoder".into()];
    red(&frames(&spec), (320, 180));
    assert_eq!(taken_out(), 0);

    // With one, pictures that the sampler kept go through it, and no others.
    let rank = gst::Rank::NONE;
    gst::Element::register(None, "nvvidconv", rank, Converter::static_type()).unwrap();
    red(&frames(&spec), (320, 180));
    assert_eq!(taken_out(), 10);

    // It makes them smaller where that is wanted, of its own accord or named.
    for prefer in ["nvvidconv", "nvvideoconvert"] {
        spec.converter = ConverterChoice { prefer: vec![prefer.into()], size: Some([160, 160]) };
        red(&frames(&spec), (160, 90));
        assert_eq!(taken_out(), 10, "{prefer}");
    }
}
