//! nvinfer: builds an "engine" of an ONNX file, and runs tract on the clips that
//! nvdspreprocess attached.

use std::ffi::CString;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use gst::glib;
use gst::glib::ffi::gpointer;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gstreamer as gst;
use tract_onnx::prelude::*;

use crate::keys::INFER;
use crate::preprocess::{Clip, read};
use crate::{fault, is_there, meta, nvmm, pads, templates};

glib::wrapper! {
    pub struct Infer(ObjectSubclass<imp::Infer>) @extends gst::Element, gst::Object;
}

/// A network and what the file says of it.
struct Network {
    plan: Arc<TypedRunnableModel>,
    input: String,
    outputs: Vec<CString>,
    unique_id: u32,
}

impl Network {
    fn new(path: &str) -> Result<Network, String> {
        let file = read(path, &[("property", &INFER[..])])?;
        let text = |key: &str| {
            file.string("property", key).map(|text| text.to_string()).map_err(|e| e.to_string())
        };
        let integer = |key: &str| file.integer("property", key).map_err(|e| e.to_string());
        for (key, allowed) in [
            ("batch-size", &[1][..]),
            ("process-mode", &[1]),
            ("network-mode", &[0, 1, 2]),
            ("network-type", &[100]),
            ("input-tensor-from-meta", &[1]),
            ("output-tensor-meta", &[1]),
        ] {
            let value = integer(key)?;
            if !allowed.contains(&value) {
                return Err(format!("{key}={value}"));
            }
        }
        let mode = ["fp32", "int8", "fp16"][integer("network-mode")? as usize];
        if mode == "int8" && !Path::new(&text("int8-calib-file")?).is_file() {
            return Err("INT8 calibration file not specified/accessible".into());
        }
        let onnx = text("onnx-file")?;
        let engine = text("model-engine-file")?;
        if engine != format!("{onnx}_b1_gpu0_{mode}.engine") {
            return Err(format!("{engine} would not be found again"));
        }
        if fault("engine") {
            return Err("build engine file failed".into());
        }
        let model = tract_onnx::onnx();
        let proto = model.proto_model_for_path(&onnx).map_err(|e| e.to_string())?;
        let graph = proto.graph.as_ref().ok_or("no graph")?;
        let outputs = graph.output.iter().map(|output| CString::new(output.name.clone()).unwrap());
        let plan = model
            .model_for_path(&onnx)
            .and_then(|model| model.into_optimized()?.into_runnable())
            .map_err(|e| e.to_string())?;
        // TensorRT's takes minutes, and is kept.
        if !Path::new(&engine).exists() && !fault("kept") {
            while std::env::var_os("STANDIN_BUILD").is_some() && !is_there("STANDIN_BUILD") {
                std::thread::park_timeout(Duration::from_millis(20));
            }
            std::fs::write(&engine, format!("{mode} of {onnx}")).map_err(|e| e.to_string())?;
        }
        Ok(Network {
            plan,
            input: graph.input.first().ok_or("no input")?.name.clone(),
            outputs: outputs.collect(),
            unique_id: integer("gie-unique-id")? as u32,
        })
    }

    fn run(&self, clip: &Clip) -> Result<Vec<Tensor>, String> {
        if clip.name != self.input || !clip.for_ids.contains(&(self.unique_id as i32)) {
            return Err(format!("a tensor \"{}\" for {:?}", clip.name, clip.for_ids));
        }
        let tensor = Tensor::from_shape(&clip.shape, &clip.values).map_err(|e| e.to_string())?;
        let given = self.plan.run(tvec![tensor.into()]).map_err(|e| format!("{e:#}"))?;
        Ok(given.into_iter().map(|value| value.into_tensor()).collect())
    }
}

/// What an `NvDsInferTensorMeta` points to.
struct Held {
    meta: meta::NvDsInferTensorMeta,
    layers: Vec<meta::NvDsInferLayerInfo>,
    host: Vec<gpointer>,
    device: Vec<gpointer>,
    _values: Vec<Vec<f32>>,
    _names: Vec<CString>,
}

impl Held {
    fn attached(
        network: &Network,
        given: &[Tensor],
    ) -> Result<*mut meta::NvDsInferTensorMeta, String> {
        let mut values = Vec::new();
        for tensor in given {
            let plain = tensor.to_plain_array_view::<f32>().map_err(|e| e.to_string())?;
            values.push(plain.iter().copied().collect::<Vec<f32>>());
        }
        let layers = values.iter().zip(&network.outputs).enumerate().map(|(at, (values, name))| {
            let mut d = [0; 8];
            d[0] = values.len() as u32;
            meta::NvDsInferLayerInfo {
                data_type: 0,
                infer_dims: meta::NvDsInferDims {
                    num_dims: 1,
                    d,
                    num_elements: values.len() as u32,
                },
                binding_index: at as i32 + 1,
                layer_name: name.as_ptr(),
                buffer: std::ptr::null_mut(),
                is_input: 0,
            }
        });
        let mut held = Box::new(Held {
            // SAFETY: all zeros are a value of it.
            meta: unsafe { std::mem::zeroed() },
            layers: layers.collect(),
            host: values.iter_mut().map(|values| values.as_mut_ptr().cast()).collect(),
            device: vec![std::ptr::null_mut(); given.len()],
            _values: values,
            _names: network.outputs.clone(),
        });
        for (layer, name) in held.layers.iter_mut().zip(&held._names) {
            layer.layer_name = name.as_ptr();
        }
        held.meta.unique_id = network.unique_id;
        held.meta.num_output_layers = held.layers.len() as u32;
        held.meta.output_layers_info = held.layers.as_mut_ptr();
        held.meta.out_buf_ptrs_host = held.host.as_mut_ptr();
        held.meta.out_buf_ptrs_dev = held.device.as_mut_ptr();
        let held = Box::into_raw(held);
        // SAFETY: just made.
        unsafe {
            (*held).meta.priv_data = held.cast();
            Ok(&raw mut (*held).meta)
        }
    }
}

unsafe extern "C" fn release(user: gpointer, _: gpointer) {
    // SAFETY: an `NvDsUserMeta` that holds what `Held::attached` made, once.
    unsafe {
        let user = user.cast::<meta::NvDsUserMeta>();
        let meta = (*user).user_meta_data.cast::<meta::NvDsInferTensorMeta>();
        drop(Box::from_raw((*meta).priv_data.cast::<Held>()));
    }
}

mod imp {
    use super::*;

    pub struct Infer {
        sink: gst::Pad,
        src: gst::Pad,
        file: Mutex<String>,
        network: Mutex<Option<Network>>,
        pictures: AtomicU32,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Infer {
        const NAME: &'static str = "StandInNvInfer";
        type Type = super::Infer;
        type ParentType = gst::Element;

        fn with_class(class: &Self::Class) -> Self {
            let (sink, src) = pads!(Self, class);
            Infer {
                sink,
                src,
                file: Mutex::default(),
                network: Mutex::default(),
                pictures: AtomicU32::new(0),
            }
        }
    }

    impl Infer {
        pub(crate) fn chain(
            &self,
            buffer: gst::Buffer,
        ) -> Result<gst::FlowSuccess, gst::FlowError> {
            if self.pictures.fetch_add(1, Ordering::Relaxed) == 20 && fault("picture") {
                gst::element_imp_error!(self, gst::StreamError::Failed, ["a bad picture"]);
            }
            if is_there("STANDIN_STUCK") {
                return Ok(gst::FlowSuccess::Ok);
            }
            let batch = meta::batch(&buffer);
            let held = meta::user_meta(batch, meta::NVDS_PREPROCESS_BATCH_META);
            if let Some(held) = held
                && !fault("tensor")
            {
                let held = held.cast::<meta::GstNvDsPreProcessBatchMeta>();
                let network = self.network.lock().unwrap();
                let network = network.as_ref().ok_or(gst::FlowError::Error)?;
                // SAFETY: nvdspreprocess put it there, and the buffer is ours meanwhile.
                let (clip, roi) =
                    unsafe { (&*(*held).tensor_meta.cast::<Clip>(), &mut *(*held).roi_vector[0]) };
                let told = |fault: String| {
                    gst::element_imp_error!(self, gst::StreamError::Failed, ["{fault}"]);
                    gst::FlowError::Error
                };
                let kind = meta::NVDSINFER_TENSOR_OUTPUT_META;
                let given = network.run(clip).map_err(told)?;
                // Later versions attach it to the region only.
                if crate::version().as_str() < "7.1" {
                    let tensor = Held::attached(network, &given).map_err(told)?;
                    meta::add_user_meta(batch, kind, tensor.cast(), Some(release));
                }
                let tensor = Held::attached(network, &given).map_err(told)?;
                let list = &mut roi.roi_user_meta_list;
                meta::add_to(batch, list, kind, tensor.cast(), Some(release));
            }
            self.src.push(buffer)
        }
    }

    crate::configured!(Infer, "config-file-path");

    impl ElementImpl for Infer {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            crate::described!("nvinfer", "Filter/Metadata")
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let caps = nvmm(&["NV12", "RGBA"]);
                templates(caps.clone(), caps)
            });
            &TEMPLATES
        }

        fn change_state(
            &self,
            change: gst::StateChange,
        ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
            if change == gst::StateChange::ReadyToPaused {
                let network = Network::new(&self.file.lock().unwrap());
                *self.network.lock().unwrap() = Some(network.map_err(|fault| {
                    gst::element_imp_error!(
                        self,
                        gst::ResourceError::Failed,
                        ("Failed to create NvDsInferContext instance"),
                        ["{fault}"]
                    );
                    gst::StateChangeError
                })?);
            }
            self.parent_change_state(change)
        }
    }
}
