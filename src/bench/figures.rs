//! What is measured of one mode.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::Mode;

/// What one mode of a model costs, at hop 1: with a prediction due for every sampled
/// frame, one after the other as fast as they go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    pub mode: Mode,
    /// What computes the network: `kinewatch` or `tract`.
    pub engine: String,
    /// Sampled frames that were timed.
    pub frames: usize,
    /// Predictions that they gave.
    pub predictions: usize,
    /// From a frame to its prediction; frames that give none are not among them.
    pub latency_ms: Latency,
    /// Sampled frames a second that one stream can take.
    pub frames_per_second: f64,
    /// Seconds of processor time, of all threads, for a second of video at the model's
    /// own rate.
    pub cpu_s_per_video_s: f64,
    /// The most memory that the process had resident, loading included. None where the
    /// system does not tell.
    pub peak_memory_bytes: Option<u64>,
    /// To read, verify and prepare the network.
    pub load_ms: f64,
    /// None where there is nothing to read it from; `no_energy` says why.
    pub energy: Option<Energy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_energy: Option<String>,
    /// Where the time goes, in the network's order, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Vec<Operator>>,
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    pub median: f64,
    /// The 95th percentile.
    pub p95: f64,
    pub min: f64,
}

impl Latency {
    /// Of some times; none of no times. Percentiles are times that were measured (the
    /// nearest rank).
    pub fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let at = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100).max(1);
            times.get(rank - 1).map(|time| time.as_secs_f64() * 1e3)
        };
        Some(Latency { median: at(50)?, p95: at(95)?, min: at(0)? })
    }
}

/// Of what the sensor sees: a package or a whole board, its idle share included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Energy {
    /// What was read.
    pub counter: String,
    /// On average while it was measured.
    pub watts: f64,
    pub joules_per_prediction: f64,
}

/// An operator of the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operator {
    pub name: String,
    pub kind: String,
    /// How often it ran for a sampled frame.
    pub calls: f64,
    /// For a sampled frame.
    pub ms: f64,
}

/// A mode that was not measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Skipped {
    pub mode: Mode,
    /// Why.
    pub error: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let ms = |times: &[u64]| {
            Latency::of(times.iter().map(|ms| Duration::from_millis(*ms)).collect())
        };
        let latency = |median, p95, min| Some(Latency { median, p95, min });
        assert_eq!(ms(&[]), None);
        assert_eq!(ms(&[7]), latency(7.0, 7.0, 7.0));
        assert_eq!(ms(&[4, 1, 3, 2]), latency(2.0, 4.0, 1.0));
        let hundred: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(ms(&hundred), latency(50.0, 95.0, 1.0));
    }
}
