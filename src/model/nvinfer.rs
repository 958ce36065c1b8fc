//! TensorRT on a Jetson, through the elements of NVIDIA DeepStream.
//!
//! ```text
//! sampled picture ──► nvvideoconvert ──► nvstreammux ──► nvdspreprocess ──► nvinfer
//! (the decoder's       crops, scales,     makes the       keeps the clip,    runs the
//!  own memory)         to RGBA            batch of 1      normalises         engine
//!                                                                              │
//! logits ◄── NvDsInferTensorMeta on the buffer ◄──────────────────────────────┘
//! ```
//!
//! Nothing of DeepStream is linked: its elements come from GStreamer's registry, its
//! one function that is called is looked up with `dlopen`, and its structures are
//! written down in [`layout`]. This has only ever run with the stand-in in
//! tests/deepstream_standin, never on a Jetson: docs/jetson.md.

mod classifier;
mod deepstream;
mod engine;
mod files;
mod layout;

pub(super) use engine::Engine;
