//! Measures of how well predictions agree with what was really there: pure
//! accumulators that know nothing of streams or models.

mod confusion;

pub use confusion::Confusion;
