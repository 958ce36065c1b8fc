//! `isolate = true`: a stream's source in a process of its own, so that bytes
//! from strangers are decoded where they can do no harm.
//!
//! ```text
//!   the daemon                          the decoder process (sandbox)
//!   Isolated ── job, Free(slot) ──────► child: Source (pipeline, sampler, …)
//!            ◄─ Frame(slot), End, … ───
//!            ◄─ pixels ── sealed memory ◄─ pixels
//! ```
//!
//! Nothing that the process says is believed: every message is read into memory
//! of our own, every field is checked, pixels are copied out by the kernel, and
//! nonsense counts as a crash. `docs/isolate.md` says what this protects from.

mod child;
mod job;
mod options;
mod parent;
mod process;
mod protocol;
mod sandbox;
mod wire;

pub use child::run_if_asked;
pub use options::{Isolate, Isolation};
pub(crate) use parent::Isolated;
