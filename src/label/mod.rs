//! What was really there: annotation files in, labels at a time out.
//!
//! [`Annotations::read`] takes a file or a folder in any of the [`Format`]s,
//! finds out which it is, and gives every video's [`Truth`]: one set of labels
//! for the whole recording, or spans in seconds. [`Aliases`] translate label
//! names to a model's classes, and a [`Survey`] lists what does not fit
//! together. `docs/labels.md` describes each format.

mod aliases;
mod annotations;
mod classes;
mod collect;
mod fault;
mod folder;
mod format;
mod json;
mod matching;
mod naming;
mod options;
mod read;
mod seconds;
mod survey;
mod table;
mod text;
mod track;
mod truth;

pub use aliases::Aliases;
pub use annotations::Annotations;
pub use fault::Fault;
pub use format::Format;
pub use matching::{Ambiguous, Match};
pub use options::{LabelSource, ReadOptions};
pub use survey::{PastEnd, Survey, UnknownLabel};
pub use track::{Span, Track};
pub use truth::{Entry, Truth};
