//! What a model costs on this board: time, processor time, memory and energy of each
//! way to run it.

mod energy;
mod figures;
mod machine;
mod measure;
mod process;

pub use figures::{Energy, Figures, Latency, Operator, Skipped};
pub use machine::Machine;
pub use measure::{Options, measure};
