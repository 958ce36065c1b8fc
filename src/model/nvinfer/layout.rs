//! The structures of DeepStream's metadata that are read, as its public headers lay
//! them out on 64-bit Linux, and the way through them to the logits.
//!
//! | structure | header |
//! |---|---|
//! | [`BaseMeta`], [`BatchMeta`], [`UserMeta`] | `nvdsmeta.h` |
//! | [`Dims`], [`LayerInfo`], [`NetworkInfo`] | `nvdsinfer.h` |
//! | [`TensorMeta`] | `gstnvdsinfer.h` |
//! | [`PreprocessMeta`] | `nvdspreprocess_meta.h` |
//! | [`RoiMeta`] | `nvds_roi_meta.h`, `nvll_osd_struct.h` |
//!
//! They are the same in 6.3 to 7.1; in later headers some grow at their end, which is
//! not read. With `input-tensor-from-meta`, nvinfer attaches a clip's output to the
//! region that nvdspreprocess made it of, and, up to some version of 7, that of the
//! whole batch to the batch itself (`gstnvinfer_meta_utils.cpp`,
//! `attach_tensor_output_meta`). Batches here are of one clip, so both are the same, and
//! either is taken.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::mem::{offset_of, size_of};

/// `NVDSINFER_TENSOR_OUTPUT_META` of `NvDsMetaType`.
pub const TENSOR_OUTPUT: c_int = 12;
/// `FLOAT` of `NvDsInferDataType`.
pub const FLOAT: c_int = 0;
/// `NVDS_PREPROCESS_BATCH_META`: 27 in 7.0 and 7.1, and one more once 3-D objects came.
/// (In 6.3 it is 21, and the batch has the tensor.) Nothing else of these numbers is
/// attached to a batch by the four elements that are used.
pub const PREPROCESS_BATCH: [c_int; 2] = [27, 28];
/// More nodes or layers than any buffer of ours carries.
const MOST: usize = 1024;

/// `GList`.
#[repr(C)]
pub struct List {
    pub data: *mut c_void,
    pub next: *mut List,
    pub previous: *mut List,
}

/// `NvDsBaseMeta`.
#[repr(C)]
pub struct BaseMeta {
    pub batch: *mut BatchMeta,
    pub kind: c_int,
    pub context: *mut c_void,
    pub copy: *mut c_void,
    pub release: *mut c_void,
}

/// `NvDsBatchMeta`.
#[repr(C)]
pub struct BatchMeta {
    pub base: BaseMeta,
    pub most_frames: c_uint,
    pub frames: c_uint,
    /// Of frames, objects, classifiers, displays, users, labels.
    pub pools: [*mut c_void; 6],
    pub frame_list: *mut List,
    pub user_list: *mut List,
    /// `GRecMutex`.
    pub mutex: (*mut c_void, [c_uint; 2]),
    pub misc: [i64; 4],
    pub reserved: [i64; 4],
}

/// `NvDsUserMeta`.
#[repr(C)]
pub struct UserMeta {
    pub base: BaseMeta,
    pub data: *mut c_void,
}

/// `NvDsInferDims`.
#[repr(C)]
pub struct Dims {
    pub count: c_uint,
    pub lengths: [c_uint; 8],
    pub elements: c_uint,
}

/// `NvDsInferLayerInfo`.
#[repr(C)]
pub struct LayerInfo {
    pub datum: c_int,
    pub dims: Dims,
    pub binding: c_int,
    pub name: *const c_char,
    pub buffer: *mut c_void,
    pub is_input: c_int,
}

/// `NvDsInferNetworkInfo`.
#[repr(C)]
pub struct NetworkInfo {
    pub width: c_uint,
    pub height: c_uint,
    pub channels: c_uint,
}

/// `NvDsInferTensorMeta`, without what newer versions append.
#[repr(C)]
pub struct TensorMeta {
    pub unique_id: c_uint,
    pub layers: c_uint,
    pub layer_info: *mut LayerInfo,
    pub host: *mut *mut c_void,
    pub device: *mut *mut c_void,
    pub gpu_id: c_int,
    pub private: *mut c_void,
    pub network: NetworkInfo,
    pub keeps_aspect: c_int,
}

/// `std::vector`, as libstdc++ and libc++ lay it out.
#[repr(C)]
pub struct Vector<T> {
    pub first: *mut T,
    pub end: *mut T,
    pub room: *mut T,
}

/// `GstNvDsPreProcessBatchMeta`.
#[repr(C)]
pub struct PreprocessMeta {
    pub for_ids: Vector<u64>,
    pub tensor: *mut c_void,
    pub rois: Vector<RoiMeta>,
    pub private: *mut c_void,
}

/// `NvDsRoiMeta`, without what newer versions append: of the regions only the first is
/// read, so that their distance need not be known.
#[repr(C)]
pub struct RoiMeta {
    /// `NvOSD_RectParams`.
    pub rect: RectParams,
    pub polygon: [[c_uint; 2]; 8],
    pub converted: *mut c_void,
    pub frame: *mut c_void,
    /// Scales and offsets, along x and y.
    pub placed: [f64; 4],
    pub classifier_list: *mut List,
    pub user_list: *mut List,
}

/// `NvOSD_RectParams`.
#[repr(C)]
pub struct RectParams {
    pub place: [f32; 4],
    pub border_width: c_uint,
    pub border_colour: [f64; 4],
    pub has_background: c_uint,
    pub reserved: c_uint,
    pub background: [f64; 4],
    pub has_colour_info: c_int,
    pub colour_id: c_int,
}

// What a C compiler says of the headers; a wrong number fails the build.
const _: () = {
    assert!(size_of::<List>() == 24);
    assert!(offset_of!(List, data) == 0 && offset_of!(List, next) == 8);
    assert!(size_of::<BaseMeta>() == 40 && offset_of!(BaseMeta, kind) == 8);
    assert!(size_of::<BatchMeta>() == 192);
    assert!(offset_of!(BatchMeta, frame_list) == 96 && offset_of!(BatchMeta, user_list) == 104);
    assert!(size_of::<UserMeta>() == 48 && offset_of!(UserMeta, data) == 40);
    assert!(size_of::<Dims>() == 40 && offset_of!(Dims, elements) == 36);
    assert!(size_of::<LayerInfo>() == 72);
    assert!(offset_of!(LayerInfo, dims) == 4 && offset_of!(LayerInfo, binding) == 44);
    assert!(offset_of!(LayerInfo, name) == 48 && offset_of!(LayerInfo, buffer) == 56);
    assert!(offset_of!(LayerInfo, is_input) == 64);
    assert!(size_of::<NetworkInfo>() == 12);
    assert!(size_of::<TensorMeta>() == 64);
    assert!(offset_of!(TensorMeta, layers) == 4 && offset_of!(TensorMeta, layer_info) == 8);
    assert!(offset_of!(TensorMeta, host) == 16 && offset_of!(TensorMeta, device) == 24);
    assert!(offset_of!(TensorMeta, gpu_id) == 32 && offset_of!(TensorMeta, private) == 40);
    assert!(offset_of!(TensorMeta, network) == 48 && offset_of!(TensorMeta, keeps_aspect) == 60);
    assert!(size_of::<PreprocessMeta>() == 64 && offset_of!(PreprocessMeta, rois) == 32);
    assert!(size_of::<RectParams>() == 104 && offset_of!(RectParams, background) == 64);
    assert!(size_of::<RoiMeta>() == 232 && offset_of!(RoiMeta, converted) == 168);
    assert!(offset_of!(RoiMeta, classifier_list) == 216 && offset_of!(RoiMeta, user_list) == 224);
};

/// Copies the f32 values of the output `name` that the nvinfer with this `unique_id`
/// attached to `batch`, or to its first region, into `into`, which is as long as that
/// output. False where it attached nothing: the clip is not full.
///
/// # Errors
/// Something else is attached than is expected, in words.
///
/// # Safety
/// `batch` is null, or points to an `NvDsBatchMeta` whose lists and pointers are valid
/// and which nobody changes meanwhile.
pub unsafe fn read_logits(
    batch: *const BatchMeta,
    unique_id: u32,
    name: &str,
    into: &mut [f32],
) -> Result<bool, String> {
    // SAFETY: the caller vouches for `batch`.
    let Some(batch) = (unsafe { batch.as_ref() }) else {
        return Err("the buffer carries no NvDsBatchMeta".into());
    };
    // SAFETY: the caller vouches for its lists, and for what they hold.
    unsafe {
        let mut tensor = find_tensor(batch.user_list, unique_id)?;
        if tensor.is_none()
            && let Some(roi) = first_roi(batch.user_list)?
        {
            tensor = find_tensor(roi.user_list, unique_id)?;
        }
        match tensor {
            Some(tensor) => read_output(tensor, name, into).map(|()| true),
            None => Ok(false),
        }
    }
}

/// The tensor meta of the nvinfer with this `unique_id`.
///
/// # Safety
/// `list` is null or a valid list of `NvDsUserMeta`.
unsafe fn find_tensor<'a>(
    list: *mut List,
    unique_id: u32,
) -> Result<Option<&'a TensorMeta>, String> {
    // SAFETY: the caller vouches for the list; a user meta of this kind holds an
    // `NvDsInferTensorMeta`.
    unsafe {
        find(list, |user| {
            let tensor = (user.base.kind == TENSOR_OUTPUT)
                .then(|| user.data.cast::<TensorMeta>().as_ref())
                .flatten();
            tensor.filter(|tensor| tensor.unique_id == unique_id)
        })
    }
}

/// The first region that nvdspreprocess made a clip of.
///
/// # Safety
/// `list` is null or a valid list of `NvDsUserMeta`.
unsafe fn first_roi<'a>(list: *mut List) -> Result<Option<&'a RoiMeta>, String> {
    // SAFETY: the caller vouches for the list; a user meta of this kind holds a
    // `GstNvDsPreProcessBatchMeta`, whose vector has room for what it says.
    unsafe {
        find(list, |user| {
            let meta = PREPROCESS_BATCH
                .contains(&user.base.kind)
                .then(|| user.data.cast::<PreprocessMeta>().as_ref())
                .flatten()?;
            let length = (meta.rois.end as usize).checked_sub(meta.rois.first as usize)?;
            // Only then is there one to refer to.
            if length >= size_of::<RoiMeta>() { meta.rois.first.as_ref() } else { None }
        })
    }
}

/// The first item of `list` of which `take` makes something.
///
/// # Safety
/// `list` is null or a valid list of `NvDsUserMeta`.
unsafe fn find<'a, T>(
    list: *mut List,
    take: impl Fn(&'a UserMeta) -> Option<T>,
) -> Result<Option<T>, String> {
    let mut node = list;
    for _ in 0..MOST {
        // SAFETY: a node of a GList that the caller vouches for, or null.
        let Some(item) = (unsafe { node.as_ref() }) else { return Ok(None) };
        // SAFETY: every item of this list is an `NvDsUserMeta`, says nvdsmeta.h.
        if let Some(found) = unsafe { item.data.cast::<UserMeta>().as_ref() }.and_then(&take) {
            return Ok(Some(found));
        }
        node = item.next;
    }
    Err(format!("a list of more than {MOST} user metas"))
}

/// # Safety
/// `tensor`'s arrays are as long as it says, and so are the values they point to.
unsafe fn read_output(tensor: &TensorMeta, name: &str, into: &mut [f32]) -> Result<(), String> {
    let count = usize::try_from(tensor.layers).unwrap_or(MOST).min(MOST);
    let mut seen = Vec::new();
    for at in 0..count {
        if tensor.layer_info.is_null() || tensor.host.is_null() {
            return Err("nvinfer attached no outputs in host memory".into());
        }
        // SAFETY: `at` is below `layers`, the length of both arrays.
        let (layer, host) = unsafe { (&*tensor.layer_info.add(at), *tensor.host.add(at)) };
        let called = if layer.name.is_null() {
            String::new()
        } else {
            // SAFETY: a layer's name is a C string that lives as long as the engine.
            unsafe { CStr::from_ptr(layer.name) }.to_string_lossy().into_owned()
        };
        if called != name {
            seen.push(called);
            continue;
        }
        if layer.datum != FLOAT {
            return Err(format!("its output \"{name}\" is of data type {}, not f32", layer.datum));
        }
        if usize::try_from(layer.dims.elements) != Ok(into.len()) {
            let elements = layer.dims.elements;
            return Err(format!(
                "its output \"{name}\" has {elements} values, but there are {} labels",
                into.len()
            ));
        }
        if host.is_null() {
            return Err(format!("its output \"{name}\" was not copied to host memory"));
        }
        // SAFETY: the output is `elements` f32 values long, which is `into`'s length, and
        // no buffer of ours; nothing is assumed of its alignment.
        unsafe {
            std::ptr::copy_nonoverlapping(
                host.cast::<u8>(),
                into.as_mut_ptr().cast::<u8>(),
                size_of_val(into),
            );
        }
        return Ok(());
    }
    Err(format!("nvinfer gave no output \"{name}\", but {}", seen.join(", ")))
}

#[cfg(test)]
mod tests {
    use std::ptr::null_mut;

    use super::*;

    fn base(kind: c_int) -> BaseMeta {
        BaseMeta {
            batch: null_mut(),
            kind,
            context: null_mut(),
            copy: null_mut(),
            release: null_mut(),
        }
    }

    /// What is read of a batch whose tensor meta hangs on it, or on its region.
    fn read_at(
        at_region: bool,
        change: impl FnOnce(&mut TensorMeta, &mut LayerInfo),
    ) -> Result<Vec<f32>, String> {
        let mut values = [1.5_f32, -2.0, 3.25];
        let mut layer = LayerInfo {
            datum: FLOAT,
            dims: Dims { count: 1, lengths: [3, 0, 0, 0, 0, 0, 0, 0], elements: 3 },
            binding: 1,
            name: c"logits".as_ptr(),
            buffer: null_mut(),
            is_input: 0,
        };
        let mut host = [values.as_mut_ptr().cast::<c_void>()];
        let mut tensor = TensorMeta {
            unique_id: 1,
            layers: 1,
            layer_info: null_mut(),
            host: host.as_mut_ptr(),
            device: null_mut(),
            gpu_id: 0,
            private: null_mut(),
            network: NetworkInfo { width: 1, height: 1, channels: 3 },
            keeps_aspect: 0,
        };
        change(&mut tensor, &mut layer);
        tensor.layer_info = &raw mut layer;
        let mut user = UserMeta { base: base(TENSOR_OUTPUT), data: (&raw mut tensor).cast() };
        let mut last =
            List { data: (&raw mut user).cast(), next: null_mut(), previous: null_mut() };
        // SAFETY: all zeros are a value of it.
        let mut roi: RoiMeta = unsafe { std::mem::zeroed() };
        roi.user_list = if at_region { &raw mut last } else { null_mut() };
        let first = &raw mut roi;
        let end = first.wrapping_add(1);
        let mut preprocess = PreprocessMeta {
            for_ids: Vector { first: null_mut(), end: null_mut(), room: null_mut() },
            tensor: null_mut(),
            rois: Vector { first, end, room: end },
            private: null_mut(),
        };
        let mut other =
            UserMeta { base: base(PREPROCESS_BATCH[0]), data: (&raw mut preprocess).cast() };
        let mut head = List {
            data: (&raw mut other).cast(),
            next: if at_region { null_mut() } else { &raw mut last },
            previous: null_mut(),
        };
        let batch = BatchMeta {
            base: base(1),
            most_frames: 1,
            frames: 1,
            pools: [null_mut(); 6],
            frame_list: null_mut(),
            user_list: &raw mut head,
            mutex: (null_mut(), [0; 2]),
            misc: [0; 4],
            reserved: [0; 4],
        };
        let mut into = vec![0.0; 3];
        // SAFETY: all of it lives on this stack.
        let found = unsafe { read_logits(&raw const batch, 1, "logits", &mut into) }?;
        Ok(if found { into } else { Vec::new() })
    }

    fn read(change: impl FnOnce(&mut TensorMeta, &mut LayerInfo)) -> Result<Vec<f32>, String> {
        read_at(false, change)
    }

    #[test]
    fn the_named_output_is_read() {
        for at_region in [false, true] {
            assert_eq!(read_at(at_region, |_, _| ()), Ok(vec![1.5, -2.0, 3.25]));
            let of_another = read_at(at_region, |tensor, _| tensor.unique_id = 2);
            assert_eq!(of_another, Ok(vec![]), "another nvinfer's");
        }
    }

    #[test]
    fn what_is_not_as_expected_is_told_and_not_read() {
        type Change = fn(&mut TensorMeta, &mut LayerInfo);
        let cases: [(&str, Change); 6] = [
            ("no output \"logits\", but other", |_, layer| layer.name = c"other".as_ptr()),
            ("no output \"logits\"", |_, layer| layer.name = std::ptr::null()),
            ("data type 1", |_, layer| layer.datum = 1),
            ("has 4 values, but there are 3 labels", |_, layer| layer.dims.elements = 4),
            ("no outputs in host memory", |tensor, _| tensor.host = null_mut()),
            ("no output \"logits\"", |tensor, _| tensor.layers = 0),
        ];
        for (words, change) in cases {
            let error = read(change).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        // SAFETY: null is allowed.
        let none = unsafe { read_logits(std::ptr::null(), 1, "logits", &mut []) };
        assert!(none.unwrap_err().contains("no NvDsBatchMeta"));
    }
}
