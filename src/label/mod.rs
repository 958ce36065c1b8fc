//! What was really there: annotation files in, labels at a time out.
//!
//! [`Annotations::read`] takes a file or a folder in any of the [`Format`]s,
//! finds out which it is, and gives every video's [`Truth`]: one set of labels
//! for the whole recording, or spans in seconds. [`Aliases`] translate label
//! names to a model's classes, and a [`Survey`] lists what does not fit
//! together. `docs/labels.md` describes each format.
//!
//! Labels may also come while a stream runs: [`live()`] gives the two ends of the
//! way from whoever knows to the stream, and [`Truths`] is all that is known of
//! one stream so far.

mod aliases;
mod annotations;
mod classes;
mod collect;
mod fault;
mod folder;
mod format;
mod json;
mod live;
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
mod wall;

pub use aliases::Aliases;
pub use annotations::Annotations;
pub use fault::Fault;
pub use format::Format;
pub use live::{
    Claim, Claims, ClipTime, FolderWatch, Inbox, Known, Labels, Listing, Looked, Post, Receipt,
    Refusal, Refused, Rules, Truths, Why, live,
};
pub use matching::{Ambiguous, Match};
pub use options::{LabelClock, LabelSource, ReadOptions, WAIT};
pub use survey::{PastEnd, Survey, UnknownLabel};
pub use track::{Span, Track};
pub use truth::{Entry, Truth};
