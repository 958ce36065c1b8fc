//! nvdspreprocess with the sequence library of deepstream-3d-action-recognition: keeps
//! the newest pictures, normalised, and attaches a clip of them every `stride`.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::glib::ffi::gpointer;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gstreamer as gst;

use crate::keys::{GROUP, PREPROCESS, PREPROCESS_NEEDS, SEQUENCE};
use crate::{meta, nvmm, pads, templates};

glib::wrapper! {
    pub struct Preprocess(ObjectSubclass<imp::Preprocess>) @extends gst::Element, gst::Object;
}

/// What goes on to nvinfer.
pub struct Clip {
    pub values: Vec<f32>,
    pub shape: Vec<usize>,
    pub name: String,
    pub for_ids: Vec<i32>,
}

/// Reads the key file at `path`, whose groups and keys must all be known.
pub fn read(path: &str, groups: &[(&str, &[&str])]) -> Result<glib::KeyFile, String> {
    let file = glib::KeyFile::new();
    file.load_from_file(path, glib::KeyFileFlags::NONE).map_err(|error| error.to_string())?;
    for group in file.groups().iter() {
        let known = groups.iter().find(|(name, _)| *name == group.as_str());
        let (_, keys) = known.ok_or_else(|| format!("unknown group {group}"))?;
        for key in file.keys(group).map_err(|error| error.to_string())?.iter() {
            if !keys.contains(&key.as_str()) {
                return Err(format!("unknown key {key} in [{group}]"));
            }
        }
    }
    Ok(file)
}

/// The clip as it grows.
struct Sequence {
    frames: usize,
    channels: usize,
    size: (usize, usize),
    bgr: bool,
    factors: Vec<f32>,
    offsets: Vec<f32>,
    stride: i64,
    subsample: i64,
    name: String,
    for_ids: Vec<i32>,
    kept: VecDeque<Vec<f32>>,
    newest: Option<i64>,
    next_ready: i64,
}

impl Sequence {
    fn new(path: &str) -> Result<Sequence, String> {
        let groups = [
            ("property", &PREPROCESS[..]),
            ("user-configs", &SEQUENCE[..]),
            ("group-0", &GROUP[..]),
        ];
        let file = read(path, &groups)?;
        let text = |group: &str, key: &str| {
            file.string(group, key).map(|text| text.to_string()).map_err(|e| e.to_string())
        };
        for key in PREPROCESS_NEEDS {
            text("property", key).map_err(|_| "Some preprocess config properties not set")?;
        }
        let integer = |group: &str, key: &str| file.integer(group, key).map_err(|e| e.to_string());
        let property = |key: &str| integer("property", key);
        // CUSTOM, RGB or BGR, FP32, on frames.
        for (key, allowed) in [
            ("network-input-order", &[2][..]),
            ("network-color-format", &[0, 1]),
            ("tensor-data-type", &[0]),
            ("process-on-frame", &[1]),
            ("enable", &[1]),
        ] {
            let value = property(key)?;
            if !allowed.contains(&value) {
                return Err(format!("{key}={value}"));
            }
        }
        if text("property", "custom-tensor-preparation-function")?
            != "CustomSequenceTensorPreparation"
        {
            return Err("no such function in the library".into());
        }
        let library = text("property", "custom-lib-path")?;
        if !Path::new(&library).is_file() {
            return Err(format!("Could not open lib: {library}"));
        }
        let list = |group: &str, key: &str| -> Result<Vec<i32>, String> {
            text(group, key)?
                .split(';')
                .filter(|part| !part.is_empty())
                .map(|part| part.trim().parse().map_err(|_| format!("{key}: {part}")))
                .collect()
        };
        let floats = |key: &str| -> Result<Vec<f32>, String> {
            text("user-configs", key)?
                .split(';')
                .map(|part| part.trim().parse().map_err(|_| format!("{key}: {part}")))
                .collect()
        };
        let shape = list("property", "network-input-shape")?;
        let [1, channels @ 3, frames, height, width] = shape[..] else {
            return Err(format!("network-input-shape: {shape:?}"));
        };
        let region = list("group-0", "roi-params-src-0")?;
        let sized = (property("processing-width")?, property("processing-height")?);
        if sized != (width, height) || region != [0, 0, width, height] {
            return Err(format!("{sized:?} and {region:?} for {width}×{height}"));
        }
        if integer("group-0", "src-ids")? != 0 || integer("group-0", "process-on-roi")? != 1 {
            return Err("only source 0 and its region".into());
        }
        Ok(Sequence {
            frames: frames as usize,
            channels: channels as usize,
            size: (width as usize, height as usize),
            bgr: property("network-color-format")? == 1,
            factors: floats("channel-scale-factors")?,
            offsets: floats("channel-mean-offsets")?,
            stride: integer("user-configs", "stride")?.into(),
            subsample: integer("user-configs", "subsample")?.into(),
            name: text("property", "tensor-name")?,
            for_ids: list("property", "target-unique-ids")?,
            kept: VecDeque::new(),
            newest: None,
            next_ready: 0,
        })
    }

    /// Takes the RGBA picture of this number; gives a clip where one is due.
    fn take(&mut self, number: i64, rgba: &[u8]) -> Option<Clip> {
        let step = self.subsample + 1;
        let span = (self.frames as i64 - 1) * step;
        match self.newest {
            None => self.next_ready = number + span,
            Some(newest)
                if number <= newest + self.subsample || number + span < self.next_ready =>
            {
                return None;
            }
            Some(_) => {}
        }
        self.newest = Some(number);
        self.kept.push_back(self.normalised(rgba));
        while self.kept.len() > self.frames {
            self.kept.pop_front();
        }
        if self.kept.len() < self.frames || number < self.next_ready {
            return None;
        }
        let plane = self.size.0 * self.size.1;
        let mut values = Vec::with_capacity(self.frames * self.channels * plane);
        for channel in 0..self.channels {
            for picture in &self.kept {
                values.extend_from_slice(&picture[channel * plane..(channel + 1) * plane]);
            }
        }
        self.next_ready = number + self.stride * step;
        for _ in 0..self.stride.min(self.frames as i64) {
            self.kept.pop_front();
        }
        let shape = vec![1, self.channels, self.frames, self.size.1, self.size.0];
        Some(Clip { values, shape, name: self.name.clone(), for_ids: self.for_ids.clone() })
    }

    /// One plane after the other.
    fn normalised(&self, rgba: &[u8]) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.channels * rgba.len() / 4);
        for channel in 0..self.channels {
            let byte = if self.bgr { 2 - channel } else { channel };
            let (factor, offset) = (self.factors[channel], self.offsets[channel]);
            values.extend(
                rgba.chunks_exact(4).map(|pixel| (f32::from(pixel[byte]) - offset) * factor),
            );
        }
        values
    }
}

/// Attaches a clip and its one region.
fn attach(batch: *mut meta::NvDsBatchMeta, clip: Clip) {
    // SAFETY: all zeros are a value of it.
    let mut roi: meta::NvDsRoiMeta = unsafe { std::mem::zeroed() };
    (roi.roi.width, roi.roi.height) = (clip.shape[4] as f32, clip.shape[3] as f32);
    let roi = Box::into_raw(Box::new(roi));
    let end = roi.wrapping_add(1);
    let held = meta::GstNvDsPreProcessBatchMeta {
        target_unique_ids: [std::ptr::null_mut(); 3],
        tensor_meta: Box::into_raw(Box::new(clip)).cast(),
        roi_vector: [roi, end, end],
        private_data: std::ptr::null_mut(),
    };
    let held = Box::into_raw(Box::new(held)).cast();
    meta::add_user_meta(batch, meta::NVDS_PREPROCESS_BATCH_META, held, Some(release));
}

unsafe extern "C" fn release(user: gpointer, _: gpointer) {
    // SAFETY: an `NvDsUserMeta` that holds what `attach` put into it, once.
    unsafe {
        let user = user.cast::<meta::NvDsUserMeta>();
        let held = (*user).user_meta_data.cast::<meta::GstNvDsPreProcessBatchMeta>();
        let held = Box::from_raw(held);
        let roi = Box::from_raw(held.roi_vector[0]);
        meta::release_users(roi.roi_user_meta_list);
        drop(Box::from_raw(held.tensor_meta.cast::<Clip>()));
    }
}

mod imp {
    use super::*;

    pub struct Preprocess {
        sink: gst::Pad,
        src: gst::Pad,
        file: Mutex<String>,
        sequence: Mutex<Option<Sequence>>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Preprocess {
        const NAME: &'static str = "StandInNvDsPreProcess";
        type Type = super::Preprocess;
        type ParentType = gst::Element;

        fn with_class(class: &Self::Class) -> Self {
            let (sink, src) = pads!(Self, class);
            Preprocess { sink, src, file: Mutex::default(), sequence: Mutex::default() }
        }
    }

    impl Preprocess {
        pub(crate) fn chain(
            &self,
            buffer: gst::Buffer,
        ) -> Result<gst::FlowSuccess, gst::FlowError> {
            {
                let batch = meta::batch(&buffer);
                let number = meta::frame_num(batch).ok_or(gst::FlowError::Error)?;
                let mut sequence = self.sequence.lock().unwrap();
                let sequence = sequence.as_mut().ok_or(gst::FlowError::Error)?;
                let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
                if let Some(clip) = sequence.take(number.into(), &map) {
                    attach(batch, clip);
                }
            }
            self.src.push(buffer)
        }
    }

    crate::configured!(Preprocess, "config-file");

    impl ElementImpl for Preprocess {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            crate::described!("nvdspreprocess", "Filter/Metadata")
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let caps = nvmm(&["NV12", "RGBA", "I420"]);
                templates(caps.clone(), caps)
            });
            &TEMPLATES
        }

        fn change_state(
            &self,
            change: gst::StateChange,
        ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
            if change == gst::StateChange::ReadyToPaused {
                let sequence = Sequence::new(&self.file.lock().unwrap());
                *self.sequence.lock().unwrap() = Some(sequence.map_err(|fault| {
                    gst::element_imp_error!(
                        self,
                        gst::LibraryError::Settings,
                        ("Configuration file parsing failed"),
                        ["{fault}"]
                    );
                    gst::StateChangeError
                })?);
            }
            self.parent_change_state(change)
        }
    }
}
