//! What was really there: label files in, labels at a time out.

mod csv;
mod track;

pub use track::{Span, Track};
