//! Logits to predictions: probabilities, smoothing over time, the top k,
//! abstaining, and events with a start and an end.

mod drift;
mod events;
mod options;
mod prediction;
mod predictor;
mod probability;
mod smoother;

pub use drift::Drift;
pub use options::{EventOptions, PredictOptions, SmoothOptions};
pub use prediction::{EndedBy, Event, EventKind, FORMAT, Prediction, Scored};
pub use predictor::{Moment, Predictor};
pub use probability::probabilities;
