//! Whether DeepStream is there, in a version whose structures are known, and its one
//! function that is called.

use std::ffi::{CStr, CString, c_void};

use gst::prelude::*;
use gstreamer as gst;

use super::layout::BatchMeta;
use crate::error::{Error, Result};

/// The elements that are used.
pub const ELEMENTS: [&str; 4] = ["nvvideoconvert", "nvstreammux", "nvdspreprocess", "nvinfer"];
/// Where the function lies: as the loader finds it, and where DeepStream installs it.
const LIBRARIES: [&CStr; 2] =
    [c"libnvdsgst_meta.so", c"/opt/nvidia/deepstream/deepstream/lib/libnvdsgst_meta.so"];
const FUNCTION: &CStr = c"gst_buffer_get_nvds_batch_meta";
/// The versions whose headers were read: from the first, to before the second.
const KNOWN: [(u32, u32); 2] = [(6, 3), (8, 0)];

type BatchMetaOf = unsafe extern "C" fn(*mut gst::ffi::GstBuffer) -> *mut BatchMeta;

/// DeepStream, found and fit.
#[derive(Clone, Copy, Debug)]
pub struct DeepStream {
    batch_meta_of: BatchMetaOf,
    /// As in `7.1`.
    pub version: (u32, u32),
}

impl DeepStream {
    /// Looks for it.
    ///
    /// # Errors
    /// [`Kind::Unavailable`](crate::error::Kind::Unavailable): an element is missing,
    /// its version is not known, or its library cannot be loaded.
    pub fn find() -> Result<Self> {
        let doing = "looking for DeepStream";
        gst::init().map_err(|error| Error::unavailable(doing, error.message()))?;
        let missing: Vec<&str> =
            ELEMENTS.into_iter().filter(|name| gst::ElementFactory::find(name).is_none()).collect();
        if !missing.is_empty() {
            let fault = format!("GStreamer has no element {}", missing.join(", "));
            return Err(Error::unavailable(doing, fault).remedy(
                "install DeepStream 6.3 or 7 on a Jetson (package deepstream-7.1, say), remove \
                 ~/.cache/gstreamer-1.0 and see whether `gst-inspect-1.0 nvinfer` finds it, or \
                 set model.fallback = \"tract\"",
            ));
        }
        let text = gst::ElementFactory::find("nvinfer")
            .and_then(|factory| factory.plugin())
            .map(|plugin| plugin.version().to_string())
            .unwrap_or_default();
        let version = parse(&text).filter(|version| (KNOWN[0]..KNOWN[1]).contains(version));
        let version = version.ok_or_else(|| {
            let fault = format!("nvinfer is of version \"{text}\"; 6.3 to 7.1 are known");
            Error::unavailable(doing, fault)
                .remedy("install one of these, or set model.fallback = \"tract\"")
        })?;
        Ok(DeepStream { batch_meta_of: load()?, version })
    }

    /// The metadata of the batch in `buffer`, which lives as long as that; null where it
    /// has none.
    pub fn batch_meta(&self, buffer: &gst::BufferRef) -> *const BatchMeta {
        // SAFETY: the function only looks for a meta; the buffer is alive, and its const
        // is cast away for a C API that has none.
        unsafe { (self.batch_meta_of)(buffer.as_ptr().cast_mut()) }
    }
}

/// Of `7.1.0`, the first two.
fn parse(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

fn load() -> Result<BatchMetaOf> {
    let doing = || format!("loading {}", LIBRARIES[0].to_string_lossy());
    let mut faults = Vec::new();
    for library in LIBRARIES {
        // SAFETY: a C string; the library's initialisers are DeepStream's own, which its
        // plugins run in any case. It is never unloaded.
        let handle = unsafe { libc::dlopen(library.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            faults.push(loader_fault());
            continue;
        }
        // SAFETY: the handle is good, and the name a C string.
        let symbol = unsafe { libc::dlsym(handle, FUNCTION.as_ptr()) };
        if symbol.is_null() {
            faults.push(loader_fault());
            continue;
        }
        // SAFETY: gstnvdsmeta.h declares `NvDsBatchMeta *gst_buffer_get_nvds_batch_meta
        // (GstBuffer *buffer)`.
        return Ok(unsafe { std::mem::transmute::<*mut c_void, BatchMetaOf>(symbol) });
    }
    Err(Error::unavailable(doing(), faults.join("; "))
        .remedy("reinstall DeepStream, or set model.fallback = \"tract\""))
}

fn loader_fault() -> String {
    // SAFETY: dlerror gives null or a C string of this thread, copied at once.
    let fault = unsafe {
        let text = libc::dlerror();
        (!text.is_null()).then(|| CString::from(CStr::from_ptr(text)))
    };
    fault.map_or_else(|| "no reason given".into(), |text| text.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_their_range_held() {
        for (text, known) in [
            ("6.2.0", false),
            ("6.3.0", true),
            ("6.4", true),
            ("7.0.0", true),
            ("7.1.0", true),
            ("8.0.0", false),
            ("", false),
            ("seven", false),
        ] {
            let found = parse(text).is_some_and(|version| (KNOWN[0]..KNOWN[1]).contains(&version));
            assert_eq!(found, known, "{text}");
        }
    }
}
