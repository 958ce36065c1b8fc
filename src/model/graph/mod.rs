//! A convolutional video network as we run it: few kinds of operators over frames that
//! lie channels last, worked through frame by frame.
//!
//! A [`Graph`] is what the network computes. The same executor runs it over a whole
//! clip and over a stream without end; what differs is what is known of the frames
//! before the first and after the last.

mod bands;
mod describe;
mod fuse;
mod import;
mod node;
#[cfg(test)]
pub(crate) mod plain;
mod plan;
mod program;
mod refusal;
mod run;
mod shape;
#[cfg(test)]
mod sketch;
mod threads;
mod timing;

pub use fuse::fuse;
pub use import::{Axis, import};
pub use node::{Conv, Graph, Node, NodeId, Op, Pad, Shape};
pub use program::Program;
pub use refusal::Refusal;
pub use run::Run;
pub use timing::{Pace, Span};
