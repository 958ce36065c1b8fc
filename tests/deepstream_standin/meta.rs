//! DeepStream's metadata, laid out from its public headers once more and apart from
//! src/model/nvinfer/layout.rs, so that a slip in one of them shows.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::ptr::null_mut;
use std::sync::OnceLock;

use gst::ffi::{GstBuffer, GstMeta, GstMetaInfo};
use gst::glib::ffi::{GList, GRecMutex, gboolean, gpointer};
use gstreamer as gst;

pub const NVDS_BATCH_META: c_int = 1;
pub const NVDS_FRAME_META: c_int = 2;
pub const NVDSINFER_TENSOR_OUTPUT_META: c_int = 12;
/// In 7.x; it is another number in 6.3.
pub const NVDS_PREPROCESS_BATCH_META: c_int = 27;
const NVDS_BATCH_GST_META: c_int = 4096 + 1;

pub type Copy = Option<unsafe extern "C" fn(gpointer, gpointer) -> gpointer>;
pub type Release = Option<unsafe extern "C" fn(gpointer, gpointer)>;

#[repr(C)]
pub struct NvDsBaseMeta {
    pub batch_meta: *mut NvDsBatchMeta,
    pub meta_type: c_int,
    pub u_context: gpointer,
    pub copy_func: Copy,
    pub release_func: Release,
}

#[repr(C)]
pub struct NvDsBatchMeta {
    pub base_meta: NvDsBaseMeta,
    pub max_frames_in_batch: c_uint,
    pub num_frames_in_batch: c_uint,
    pub frame_meta_pool: gpointer,
    pub obj_meta_pool: gpointer,
    pub classifier_meta_pool: gpointer,
    pub display_meta_pool: gpointer,
    pub user_meta_pool: gpointer,
    pub label_info_meta_pool: gpointer,
    pub frame_meta_list: *mut GList,
    pub batch_user_meta_list: *mut GList,
    pub meta_mutex: GRecMutex,
    pub misc_batch_info: [i64; 4],
    pub reserved: [i64; 4],
}

#[repr(C)]
pub struct NvDsFrameMeta {
    pub base_meta: NvDsBaseMeta,
    pub pad_index: c_uint,
    pub batch_id: c_uint,
    pub frame_num: c_int,
    pub buf_pts: u64,
    pub ntp_timestamp: u64,
    pub source_id: c_uint,
    pub num_surfaces_per_frame: c_int,
    pub source_frame_width: c_uint,
    pub source_frame_height: c_uint,
    pub surface_type: c_uint,
    pub surface_index: c_uint,
    pub num_obj_meta: c_uint,
    pub infer_done: gboolean,
    pub obj_meta_list: *mut GList,
    pub display_meta_list: *mut GList,
    pub frame_user_meta_list: *mut GList,
    pub misc_frame_info: [i64; 4],
    pub pipeline_width: c_uint,
    pub pipeline_height: c_uint,
    pub reserved: [i64; 4],
}

#[repr(C)]
pub struct NvDsUserMeta {
    pub base_meta: NvDsBaseMeta,
    pub user_meta_data: gpointer,
}

#[repr(C)]
pub struct NvDsInferDims {
    pub num_dims: c_uint,
    pub d: [c_uint; 8],
    pub num_elements: c_uint,
}

#[repr(C)]
pub struct NvDsInferLayerInfo {
    pub data_type: c_int,
    pub infer_dims: NvDsInferDims,
    pub binding_index: c_int,
    pub layer_name: *const c_char,
    pub buffer: gpointer,
    pub is_input: c_int,
}

#[repr(C)]
pub struct NvDsInferNetworkInfo {
    pub width: c_uint,
    pub height: c_uint,
    pub channels: c_uint,
}

#[repr(C)]
pub struct NvDsInferTensorMeta {
    pub unique_id: c_uint,
    pub num_output_layers: c_uint,
    pub output_layers_info: *mut NvDsInferLayerInfo,
    pub out_buf_ptrs_host: *mut gpointer,
    pub out_buf_ptrs_dev: *mut gpointer,
    pub gpu_id: c_int,
    pub priv_data: gpointer,
    pub network_info: NvDsInferNetworkInfo,
    pub maintain_aspect_ratio: gboolean,
}

#[repr(C)]
pub struct NvOsdRectParams {
    pub left: f32,
    pub top: f32,
    pub width: f32,
    pub height: f32,
    pub border_width: c_uint,
    pub border_color: [f64; 4],
    pub has_bg_color: c_uint,
    pub reserved: c_uint,
    pub bg_color: [f64; 4],
    pub has_color_info: c_int,
    pub color_id: c_int,
}

/// As in 7.1.
#[repr(C)]
pub struct NvDsRoiMeta {
    pub roi: NvOsdRectParams,
    pub roi_polygon: [[c_uint; 2]; 8],
    pub converted_buffer: gpointer,
    pub frame_meta: *mut NvDsFrameMeta,
    pub scale_ratio_x: f64,
    pub scale_ratio_y: f64,
    pub offset_left: f64,
    pub offset_top: f64,
    pub classifier_meta_list: *mut GList,
    pub roi_user_meta_list: *mut GList,
    pub object_meta: gpointer,
}

/// Vectors are three pointers each.
#[repr(C)]
pub struct GstNvDsPreProcessBatchMeta {
    pub target_unique_ids: [gpointer; 3],
    /// In DeepStream an `NvDsPreProcessTensorMeta`, which nobody but nvinfer reads.
    pub tensor_meta: gpointer,
    pub roi_vector: [*mut NvDsRoiMeta; 3],
    pub private_data: gpointer,
}

#[repr(C)]
struct NvDsMeta {
    meta: GstMeta,
    meta_data: gpointer,
    user_data: gpointer,
    meta_type: c_int,
    copyfunc: Copy,
    freefunc: Release,
    gst_to_nvds_meta_transform_func: Copy,
    gst_to_nvds_meta_release_func: Release,
}

struct Registered {
    api: gst::glib::ffi::GType,
    info: *const GstMetaInfo,
}

// SAFETY: written once; GStreamer's registrations are for ever and for all threads.
unsafe impl Send for Registered {}
// SAFETY: as above.
unsafe impl Sync for Registered {}

fn registered() -> &'static Registered {
    static REGISTERED: OnceLock<Registered> = OnceLock::new();
    REGISTERED.get_or_init(|| {
        let mut tags = [std::ptr::null::<c_char>()];
        // SAFETY: names are C strings, the list of tags ends with null, and the
        // functions are of the types that GStreamer declares.
        unsafe {
            let api = gst::ffi::gst_meta_api_type_register(
                c"KinewatchStandInNvDsMetaAPI".as_ptr(),
                tags.as_mut_ptr(),
            );
            let info = gst::ffi::gst_meta_register(
                api,
                c"KinewatchStandInNvDsMeta".as_ptr(),
                size_of::<NvDsMeta>(),
                Some(init),
                Some(free),
                None,
            );
            Registered { api, info }
        }
    })
}

unsafe extern "C" fn init(meta: *mut GstMeta, _: gpointer, _: *mut GstBuffer) -> gboolean {
    // SAFETY: GStreamer made room for an `NvDsMeta`, of which it set the first field.
    unsafe {
        let meta = meta.cast::<NvDsMeta>();
        (*meta).meta_data = null_mut();
        (*meta).user_data = null_mut();
        (*meta).meta_type = -1;
        (*meta).copyfunc = None;
        (*meta).freefunc = None;
        (*meta).gst_to_nvds_meta_transform_func = None;
        (*meta).gst_to_nvds_meta_release_func = None;
    }
    1
}

unsafe extern "C" fn free(meta: *mut GstMeta, _: *mut GstBuffer) {
    // SAFETY: what `attach` put there, released once.
    unsafe {
        let meta = meta.cast::<NvDsMeta>();
        if let Some(free) = (*meta).freefunc {
            free((*meta).meta_data, (*meta).user_data);
        }
    }
}

/// Attaches a batch of one frame to `buffer`.
pub fn attach(buffer: &mut gst::BufferRef, frame_num: i32, width: u32, height: u32) {
    let base = |batch_meta, meta_type| NvDsBaseMeta {
        batch_meta,
        meta_type,
        u_context: null_mut(),
        copy_func: None,
        release_func: None,
    };
    // SAFETY: all zeros are values of these structures; each pointer is to what was
    // just made, and `release_batch` takes it apart again.
    unsafe {
        let batch: *mut NvDsBatchMeta = Box::into_raw(Box::new(std::mem::zeroed()));
        let mut frame: NvDsFrameMeta = std::mem::zeroed();
        frame.base_meta = base(batch, NVDS_FRAME_META);
        frame.frame_num = frame_num;
        frame.buf_pts = buffer.pts().map_or(u64::MAX, gst::ClockTime::nseconds);
        frame.num_surfaces_per_frame = 1;
        (frame.source_frame_width, frame.source_frame_height) = (width, height);
        (frame.pipeline_width, frame.pipeline_height) = (width, height);
        let frame = Box::into_raw(Box::new(frame));
        (*batch).base_meta = base(batch, NVDS_BATCH_META);
        (*batch).max_frames_in_batch = 1;
        (*batch).num_frames_in_batch = 1;
        (*batch).frame_meta_list = gst::glib::ffi::g_list_append(null_mut(), frame.cast());
        let meta =
            gst::ffi::gst_buffer_add_meta(buffer.as_mut_ptr(), registered().info, null_mut());
        let meta = meta.cast::<NvDsMeta>();
        (*meta).meta_data = batch.cast();
        (*meta).meta_type = NVDS_BATCH_GST_META;
        (*meta).freefunc = Some(release_batch);
    }
}

unsafe extern "C" fn release_batch(batch: gpointer, _: gpointer) {
    // SAFETY: what `attach` and `add_user_meta` made, once.
    unsafe {
        let batch = Box::from_raw(batch.cast::<NvDsBatchMeta>());
        release_users(batch.batch_user_meta_list);
        if let Some(first) = batch.frame_meta_list.as_ref() {
            drop(Box::from_raw(first.data.cast::<NvDsFrameMeta>()));
        }
        gst::glib::ffi::g_list_free(batch.frame_meta_list);
    }
}

/// Releases the user metas of a list, and the list.
///
/// # Safety
/// What [`add_to`] made of it, and nobody uses it any more.
pub unsafe fn release_users(list: *mut GList) {
    // SAFETY: as the caller says.
    unsafe {
        let mut node = list;
        while let Some(item) = node.as_ref() {
            let user = item.data.cast::<NvDsUserMeta>();
            if let Some(release) = (*user).base_meta.release_func {
                release(user.cast(), null_mut());
            }
            drop(Box::from_raw(user));
            node = item.next;
        }
        gst::glib::ffi::g_list_free(list);
    }
}

/// DeepStream's own function, of the same name and type.
///
/// # Safety
/// `buffer` is a buffer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gst_buffer_get_nvds_batch_meta(
    buffer: *mut GstBuffer,
) -> *mut NvDsBatchMeta {
    // SAFETY: the caller vouches for the buffer, and its metas of this API are ours.
    unsafe {
        let meta = gst::ffi::gst_buffer_get_meta(buffer, registered().api).cast::<NvDsMeta>();
        match meta.as_ref() {
            Some(meta) if meta.meta_type == NVDS_BATCH_GST_META => meta.meta_data.cast(),
            _ => null_mut(),
        }
    }
}

/// The batch on `buffer`; null where there is none.
pub fn batch(buffer: &gst::BufferRef) -> *mut NvDsBatchMeta {
    // SAFETY: a buffer that is alive.
    unsafe { gst_buffer_get_nvds_batch_meta(buffer.as_ptr().cast_mut()) }
}

/// The number of the one frame in `batch`.
pub fn frame_num(batch: *mut NvDsBatchMeta) -> Option<i32> {
    // SAFETY: null, or what `attach` made.
    unsafe {
        Some((*batch.as_ref()?.frame_meta_list.as_ref()?.data.cast::<NvDsFrameMeta>()).frame_num)
    }
}

/// Adds `data` to `batch`; `release` is given the `NvDsUserMeta`.
pub fn add_user_meta(batch: *mut NvDsBatchMeta, kind: c_int, data: *mut c_void, release: Release) {
    // SAFETY: `batch` is what `attach` made, and this thread alone has its buffer.
    let list = unsafe { &mut (*batch).batch_user_meta_list };
    add_to(batch, list, kind, data, release);
}

/// As [`add_user_meta`], to the list of a part of the batch.
pub fn add_to(
    batch: *mut NvDsBatchMeta,
    list: &mut *mut GList,
    kind: c_int,
    data: *mut c_void,
    release: Release,
) {
    // SAFETY: a list that this thread alone has.
    unsafe {
        let user = Box::into_raw(Box::new(NvDsUserMeta {
            base_meta: NvDsBaseMeta {
                batch_meta: batch,
                meta_type: kind,
                u_context: null_mut(),
                copy_func: None,
                release_func: release,
            },
            user_meta_data: data,
        }));
        *list = gst::glib::ffi::g_list_append(*list, user.cast());
    }
}

/// The data of the first user meta of `kind` on `batch`.
pub fn user_meta(batch: *mut NvDsBatchMeta, kind: c_int) -> Option<*mut c_void> {
    // SAFETY: null, or what `attach` and `add_user_meta` made.
    unsafe {
        let mut node = batch.as_ref()?.batch_user_meta_list;
        while let Some(item) = node.as_ref() {
            let user = item.data.cast::<NvDsUserMeta>();
            if (*user).base_meta.meta_type == kind {
                return Some((*user).user_meta_data);
            }
            node = item.next;
        }
        None
    }
}
