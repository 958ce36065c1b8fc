//! nvstreammux: makes a batch of one picture and attaches `NvDsBatchMeta`.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gstreamer as gst;

use crate::{meta, nvmm};

glib::wrapper! {
    pub struct Mux(ObjectSubclass<imp::Mux>) @extends gst::Element, gst::Object;
}

mod imp {
    use super::*;

    pub struct Mux {
        src: gst::Pad,
        /// Width, height, batch size.
        set: Mutex<[u32; 3]>,
        next: AtomicI32,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Mux {
        const NAME: &'static str = "StandInNvStreamMux";
        type Type = super::Mux;
        type ParentType = gst::Element;

        fn with_class(class: &Self::Class) -> Self {
            let src = gst::Pad::builder_from_template(&class.pad_template("src").unwrap()).build();
            Mux { src, set: Mutex::new([0; 3]), next: AtomicI32::new(0) }
        }
    }

    impl Mux {
        fn event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
            if let gst::EventView::Caps(caps) = event.view() {
                let [width, height, batch] = *self.set.lock().unwrap();
                let is = caps.caps().structure(0).is_some_and(|caps| {
                    caps.get::<i32>("width") == Ok(width as i32)
                        && caps.get::<i32>("height") == Ok(height as i32)
                });
                if !is || batch != 1 {
                    gst::element_imp_error!(
                        self,
                        gst::StreamError::Format,
                        ["this stand-in does not scale, and makes batches of 1"]
                    );
                    return false;
                }
            }
            // Every event goes on to the one source pad.
            let _ = pad;
            self.src.push_event(event)
        }

        fn chain(&self, mut buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
            let [width, height, _] = *self.set.lock().unwrap();
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            meta::attach(buffer.make_mut(), number, width, height);
            self.src.push(buffer)
        }
    }

    impl ObjectImpl for Mux {
        fn properties() -> &'static [glib::ParamSpec] {
            static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
                ["width", "height", "batch-size"]
                    .map(|name| glib::ParamSpecUInt::builder(name).build())
                    .to_vec()
            });
            &PROPERTIES
        }

        fn set_property(&self, _: usize, value: &glib::Value, spec: &glib::ParamSpec) {
            let at = match spec.name() {
                "width" => 0,
                "height" => 1,
                _ => 2,
            };
            self.set.lock().unwrap()[at] = value.get().unwrap();
        }

        fn constructed(&self) {
            self.parent_constructed();
            self.obj().add_pad(&self.src).unwrap();
        }
    }

    impl GstObjectImpl for Mux {}

    impl ElementImpl for Mux {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            crate::described!("nvstreammux", "Generic")
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let caps = nvmm(&["NV12", "RGBA", "I420"]);
                let (sink, src) = (gst::PadDirection::Sink, gst::PadDirection::Src);
                vec![
                    gst::PadTemplate::new("sink_%u", sink, gst::PadPresence::Request, &caps)
                        .unwrap(),
                    gst::PadTemplate::new("src", src, gst::PadPresence::Always, &caps).unwrap(),
                ]
            });
            &TEMPLATES
        }

        fn request_new_pad(
            &self,
            template: &gst::PadTemplate,
            name: Option<&str>,
            _: Option<&gst::Caps>,
        ) -> Option<gst::Pad> {
            let pad = gst::Pad::builder_from_template(template)
                .name(name.unwrap_or("sink_0"))
                .chain_function(|_, parent, buffer| {
                    Mux::catch_panic_pad_function(
                        parent,
                        || Err(gst::FlowError::Error),
                        |imp| imp.chain(buffer),
                    )
                })
                .event_function(|pad, parent, event| {
                    Mux::catch_panic_pad_function(parent, || false, |imp| imp.event(pad, event))
                })
                .build();
            self.obj().add_pad(&pad).ok()?;
            Some(pad)
        }
    }
}
