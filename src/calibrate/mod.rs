//! Probabilities that mean what they say: while a stream carries labels, what a
//! model says is compared with what was true and corrected.
//!
//! A [`Calibrator`] predicts first and learns afterwards, when the truth of a
//! clip is known. [`Parameters`] is what it found: what predictions use, what an
//! accuracy log shows and what a model bundle may carry. The `fit_…` functions
//! fit the same to many samples at once ([`Batch`]).
//!
//! [`Conformal`] gives sets that hold the truth as often as they promise, and
//! [`Drift`] an alarm when the world has changed.

mod batch;
mod calibrator;
mod conformal;
mod curve;
mod drift;
pub mod exact;
mod expert;
mod hedge;
mod histogram;
mod multi_label;
mod options;
mod parameters;
mod platt;
mod probability;
mod scaler;
mod scaling;
mod state;
mod temperature;
mod top;
mod vector;
mod window;

pub use batch::Batch;
pub use calibrator::Calibrator;
pub use conformal::{Conformal, ConformalOptions, ConformalState, SetMethod, SetParameters};
pub use drift::{Alarm, Detector, Drift, DriftOptions, DriftState, DriftSummary, Watched};
pub use histogram::fit_histogram;
pub use multi_label::{fit_multi_label, fit_threshold};
pub use options::{CalibrateOptions, Method, OnDrift, Update};
pub use parameters::{Bin, ClassBins, First, Parameters};
pub use platt::fit_platt;
pub use probability::{logistic, probabilities, softmax};
pub use state::State;
pub use temperature::fit_temperature;
pub use vector::fit_vector;

use crate::metric::Task;

/// Fits `method` to all samples at once; the identity where there is none, or
/// the task cannot have the method.
pub fn fit(method: Method, batch: &Batch) -> Parameters {
    match (method, batch.task()) {
        _ if batch.is_empty() => Parameters::Identity,
        (Method::Temperature, Task::SingleLabel) => {
            Parameters::Temperature { temperature: fit_temperature(batch) }
        }
        (Method::Vector, Task::SingleLabel) => {
            let (temperature, bias) = fit_vector(batch);
            Parameters::Vector { temperature, bias }
        }
        (Method::Platt, Task::SingleLabel) => {
            let (a, b) = fit_platt(batch);
            Parameters::Platt { first: First::default(), a, b, bins: Vec::new() }
        }
        (Method::Histogram, Task::SingleLabel) => fit_histogram(batch),
        (Method::Temperature, Task::MultiLabel) => fit_multi_label(batch, false),
        (Method::Vector, Task::MultiLabel) => fit_multi_label(batch, true),
        (Method::None, _) | (_, Task::MultiLabel) => Parameters::Identity,
    }
}
