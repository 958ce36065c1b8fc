//! The keys of DeepStream's configuration files, from its manual (Gst-nvdspreprocess
//! and Gst-nvinfer, "File Configuration Specifications") and the headers of the
//! parsers (`nvdspreprocess_property_parser.h`, `gstnvinfer_property_parser.h`), 6.3
//! to 7.1.

/// `[property]` of nvdspreprocess.
pub const PREPROCESS: [&str; 22] = [
    "enable",
    "target-unique-ids",
    "operate-on-gie-id",
    "unique-id",
    "gpu-id",
    "process-on-frame",
    "processing-width",
    "processing-height",
    "maintain-aspect-ratio",
    "symmetric-padding",
    "tensor-buf-pool-size",
    "scaling-buf-pool-size",
    "scaling-filter",
    "scaling-pool-compute-hw",
    "scaling-pool-memory-type",
    "network-input-order",
    "network-input-shape",
    "network-color-format",
    "tensor-data-type",
    "tensor-name",
    "custom-lib-path",
    "custom-tensor-preparation-function",
];

/// Those of them without which it does not start.
pub const PREPROCESS_NEEDS: [&str; 12] = [
    "processing-width",
    "processing-height",
    "target-unique-ids",
    "network-input-order",
    "network-input-shape",
    "network-color-format",
    "tensor-data-type",
    "tensor-name",
    "custom-lib-path",
    "custom-tensor-preparation-function",
    "scaling-filter",
    "scaling-pool-memory-type",
];

/// `[user-configs]`, as the sequence library of deepstream-3d-action-recognition reads it.
pub const SEQUENCE: [&str; 4] =
    ["channel-scale-factors", "channel-mean-offsets", "stride", "subsample"];

/// `[group-0]`, for source 0.
pub const GROUP: [&str; 4] =
    ["src-ids", "process-on-roi", "roi-params-src-0", "custom-input-transformation-function"];

/// `[property]` of nvinfer, without those of detectors.
pub const INFER: [&str; 32] = [
    "gie-unique-id",
    "process-mode",
    "interval",
    "labelfile-path",
    "gpu-id",
    "output-tensor-meta",
    "enable-dla",
    "use-dla-core",
    "batch-size",
    "tensor-meta-pool-size",
    "network-mode",
    "model-engine-file",
    "int8-calib-file",
    "workspace-size",
    "output-blob-names",
    "network-type",
    "force-implicit-batch-dim",
    "infer-dims",
    "output-io-formats",
    "layer-device-precision",
    "model-color-format",
    "net-scale-factor",
    "offsets",
    "mean-file",
    "maintain-aspect-ratio",
    "symmetric-padding",
    "scaling-filter",
    "scaling-compute-hw",
    "network-input-order",
    "input-tensor-from-meta",
    "custom-lib-path",
    "onnx-file",
];
