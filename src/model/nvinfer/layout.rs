//! The structures of DeepStream's metadata that are read, as its public headers lay
//! them out on 64-bit Linux, and the way through them to the logits.
//!
//! | structure | header |
//! |---|---|
//! | [`BaseMeta`], [`BatchMeta`], [`UserMeta`] | `nvdsmeta.h` |
//! | [`Dims`], [`LayerInfo`], [`NetworkInfo`] | `nvdsinfer.h` |
//! | [`TensorMeta`] | `gstnvdsinfer.h` |
//!
//! They are the same in 6.3 to 7.1; in later headers `NvDsInferTensorMeta` grows at its
//! end, which is not read. With `input-tensor-from-meta`, nvinfer attaches the tensors
//! of a whole batch to the batch itself (`gstnvinfer_meta_utils.cpp`,
//! `attach_tensor_output_meta`), so that neither frames nor regions need to be read.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::mem::{offset_of, size_of};

/// `NVDSINFER_TENSOR_OUTPUT_META` of `NvDsMetaType`.
pub const TENSOR_OUTPUT: c_int = 12;
/// `FLOAT` of `NvDsInferDataType`.
pub const FLOAT: c_int = 0;
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
};

/// Copies the f32 values of the output `name` that the nvinfer with this `unique_id`
/// attached to `batch` into `into`, which is as long as that output. False where it
/// attached nothing: the clip is not full.
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
    let mut node = batch.user_list;
    for _ in 0..MOST {
        // SAFETY: a node of a GList that the caller vouches for, or null.
        let Some(item) = (unsafe { node.as_ref() }) else { return Ok(false) };
        // SAFETY: every item of this list is an `NvDsUserMeta`, says nvdsmeta.h.
        let user = unsafe { item.data.cast::<UserMeta>().as_ref() };
        if let Some(user) = user.filter(|user| user.base.kind == TENSOR_OUTPUT) {
            // SAFETY: a user meta of this kind holds an `NvDsInferTensorMeta`.
            let tensor = unsafe { user.data.cast::<TensorMeta>().as_ref() };
            if let Some(tensor) = tensor.filter(|tensor| tensor.unique_id == unique_id) {
                // SAFETY: the caller vouches for what it points to.
                return unsafe { read_output(tensor, name, into) }.map(|()| true);
            }
        }
        node = item.next;
    }
    Err(format!("the buffer carries more than {MOST} user metas"))
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

    /// What is read of a batch with one tensor meta behind one of another kind.
    fn read(change: impl FnOnce(&mut TensorMeta, &mut LayerInfo)) -> Result<Vec<f32>, String> {
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
        let mut other = UserMeta { base: base(27), data: null_mut() };
        let mut user = UserMeta { base: base(TENSOR_OUTPUT), data: (&raw mut tensor).cast() };
        let mut second =
            List { data: (&raw mut user).cast(), next: null_mut(), previous: null_mut() };
        let mut first =
            List { data: (&raw mut other).cast(), next: &raw mut second, previous: null_mut() };
        let batch = BatchMeta {
            base: base(1),
            most_frames: 1,
            frames: 1,
            pools: [null_mut(); 6],
            frame_list: null_mut(),
            user_list: &raw mut first,
            mutex: (null_mut(), [0; 2]),
            misc: [0; 4],
            reserved: [0; 4],
        };
        let mut into = vec![0.0; 3];
        // SAFETY: all of it lives on this stack.
        let found = unsafe { read_logits(&raw const batch, 1, "logits", &mut into) }?;
        Ok(if found { into } else { Vec::new() })
    }

    #[test]
    fn the_named_output_is_read() {
        assert_eq!(read(|_, _| ()), Ok(vec![1.5, -2.0, 3.25]));
        assert_eq!(read(|tensor, _| tensor.unique_id = 2), Ok(vec![]), "another nvinfer's");
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
