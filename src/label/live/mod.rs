//! Labels that come while a stream runs.
//!
//! Whoever knows what happens (a person, a test rig, another program) makes a
//! [`Claim`]: a label from a start to an end. A [`Post`] checks it and keeps it
//! on the stream's board; the stream's [`Inbox`] takes it from there into its
//! [`Truths`], which the predictions that wait are held against. All of it is
//! bounded, and nothing here waits for anything.

mod board;
mod claim;
mod claims;
mod inbox;
mod post;
mod truths;
mod watch;

pub use board::Rules;
pub use claim::{Claim, Receipt, Refusal, Refused, Why};
pub use claims::Claims;
pub use inbox::{Inbox, live};
pub use post::{Listing, Post};
pub use truths::{ClipTime, Known, Labels, Truths};
pub use watch::{FolderWatch, Looked};
