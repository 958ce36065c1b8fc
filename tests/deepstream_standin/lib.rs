//! A stand-in for the elements of NVIDIA DeepStream that kinewatch uses, for a machine
//! without a Jetson: the same names, pads, properties, configuration files and metadata.
//! Pictures stay in system memory whatever the caps say, and tract computes in
//! TensorRT's place. What it cannot show is whether DeepStream itself agrees with its
//! documents.
//!
//! Environment variables change it, for tests: `STANDIN_VERSION` (of DeepStream),
//! `STANDIN_WITHOUT` (an element that is missing), `STANDIN_BUILD` (a file for which the
//! building of an engine waits), `STANDIN_STUCK` (a file; while it is there, no picture
//! comes out), `STANDIN_FAULT` (`engine`: it cannot be built; `kept`: it is not written;
//! `tensor`: none is attached; `picture`: the 21st fails, and comes out all the same).

mod convert;
mod infer;
mod keys;
mod meta;
mod mux;
mod preprocess;

use std::env;
use std::ffi::CString;
use std::path::Path;

use gst::glib;
use gst::glib::translate::from_glib_borrow;
use gst::prelude::*;
use gstreamer as gst;

const NVMM: &str = "memory:NVMM";

fn fault(name: &str) -> bool {
    env::var("STANDIN_FAULT").is_ok_and(|fault| fault == name)
}

/// Whether there is a file that this variable names.
fn is_there(variable: &str) -> bool {
    env::var_os(variable).is_some_and(|path| Path::new(&path).exists())
}

/// DeepStream's, as it is to seem.
fn version() -> String {
    env::var("STANDIN_VERSION").unwrap_or_else(|_| "7.1.0".into())
}

/// Caps of pictures in a Jetson's memory.
fn nvmm(formats: &[&str]) -> gst::Caps {
    gst::Caps::builder("video/x-raw")
        .features([NVMM])
        .field("format", gst::List::new(formats))
        .build()
}

/// An always pad of both directions, with their functions.
macro_rules! pads {
    ($type:ty, $class:expr) => {{
        let sink = gst::Pad::builder_from_template(&$class.pad_template("sink").unwrap())
            .chain_function(|_, parent, buffer| {
                <$type>::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |imp| imp.chain(buffer),
                )
            })
            .event_function(|pad, parent, event| {
                <$type>::catch_panic_pad_function(parent, || false, |imp| imp.event(pad, event))
            })
            .build();
        let src = gst::Pad::builder_from_template(&$class.pad_template("src").unwrap()).build();
        (sink, src)
    }};
}
use pads;

/// What an element of one file, `file`, is as an object: its pads `sink` and `src`, events
/// that go through, and the property that names the file.
macro_rules! configured {
    ($type:ident, $property:literal) => {
        impl $type {
            pub(crate) fn event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
                gst::Pad::event_default(pad, Some(&*self.obj()), event)
            }
        }

        impl ObjectImpl for $type {
            fn properties() -> &'static [glib::ParamSpec] {
                static PROPERTIES: std::sync::LazyLock<Vec<glib::ParamSpec>> =
                    std::sync::LazyLock::new(|| {
                        vec![glib::ParamSpecString::builder($property).build()]
                    });
                &PROPERTIES
            }

            fn set_property(&self, _: usize, value: &glib::Value, _: &glib::ParamSpec) {
                *self.file.lock().unwrap() = value.get().unwrap();
            }

            fn constructed(&self) {
                self.parent_constructed();
                self.obj().add_pad(&self.sink).unwrap();
                self.obj().add_pad(&self.src).unwrap();
            }
        }

        impl GstObjectImpl for $type {}
    };
}
use configured;

/// What `gst-inspect-1.0` says of an element.
macro_rules! described {
    ($name:literal, $kind:literal) => {{
        static METADATA: std::sync::LazyLock<gst::subclass::ElementMetadata> =
            std::sync::LazyLock::new(|| {
                gst::subclass::ElementMetadata::new(
                    concat!("Stand-in for ", $name),
                    $kind,
                    concat!("Does what DeepStream's ", $name, " does, for tests"),
                    "kinewatch",
                )
            });
        Some(&*METADATA)
    }};
}
use described;

fn templates(sink: gst::Caps, src: gst::Caps) -> Vec<gst::PadTemplate> {
    let make = |name: &str, direction, caps: &gst::Caps| {
        gst::PadTemplate::new(name, direction, gst::PadPresence::Always, caps).unwrap()
    };
    vec![make("sink", gst::PadDirection::Sink, &sink), make("src", gst::PadDirection::Src, &src)]
}

fn add_all(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    let without = env::var("STANDIN_WITHOUT").unwrap_or_default();
    let types: [(&str, glib::Type); 4] = [
        ("nvvideoconvert", convert::Convert::static_type()),
        ("nvstreammux", mux::Mux::static_type()),
        ("nvdspreprocess", preprocess::Preprocess::static_type()),
        ("nvinfer", infer::Infer::static_type()),
    ];
    for (name, kind) in types.into_iter().filter(|(name, _)| *name != without) {
        gst::Element::register(Some(plugin), name, gst::Rank::NONE, kind)?;
    }
    Ok(())
}

unsafe extern "C" fn init(plugin: *mut gst::ffi::GstPlugin) -> glib::ffi::gboolean {
    // SAFETY: GStreamer gives its own plugin object.
    let plugin: glib::translate::Borrowed<gst::Plugin> = unsafe { from_glib_borrow(plugin) };
    add_all(&plugin).is_ok().into()
}

/// What GStreamer asks a plugin's file for. Not by its macro: the version is not fixed.
#[unsafe(no_mangle)]
pub extern "C" fn gst_plugin_deepstream_standin_get_desc() -> *const gst::ffi::GstPluginDesc {
    let version = CString::new(version()).unwrap_or_default().into_raw();
    Box::leak(Box::new(gst::ffi::GstPluginDesc {
        major_version: gst::subclass::MAJOR_VERSION,
        minor_version: gst::subclass::MINOR_VERSION,
        name: c"deepstream_standin".as_ptr(),
        description: c"A stand-in for NVIDIA DeepStream".as_ptr(),
        plugin_init: Some(init),
        version,
        license: c"MIT/X11".as_ptr(),
        source: c"kinewatch".as_ptr(),
        package: c"kinewatch".as_ptr(),
        origin: c"kinewatch".as_ptr(),
        release_datetime: std::ptr::null(),
        _gst_reserved: [std::ptr::null_mut(); 4],
    }))
}
