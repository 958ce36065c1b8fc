//! Where a network's time goes, operator by operator.

use std::time::Duration;

/// One operator of a network, and the time that it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// As the ONNX file calls it, or what the engine made of that.
    pub name: String,
    /// What it does, such as `depthwise 3×3×3`.
    pub kind: String,
    /// How often it ran.
    pub calls: u64,
    /// All calls together, by the wall clock.
    pub time: Duration,
}

/// What was timed between [`Classifier::start_profile`](super::Classifier::start_profile)
/// and [`Classifier::take_profile`](super::Classifier::take_profile).
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// By the operators' places in the network.
    rows: Vec<Option<Row>>,
}

impl Profile {
    /// Counts a call of the operator at place `at`, a small number. `what` gives its
    /// name and kind, and is asked once for each place.
    pub fn add(&mut self, at: usize, time: Duration, what: impl FnOnce() -> (String, String)) {
        if at >= self.rows.len() {
            self.rows.resize(at + 1, None);
        }
        let Some(slot) = self.rows.get_mut(at) else { return };
        let row = slot.get_or_insert_with(|| {
            let (name, kind) = what();
            Row { name, kind, calls: 0, time: Duration::ZERO }
        });
        row.calls += 1;
        row.time += time;
    }

    /// Every operator that ran, in the network's order.
    pub fn rows(self) -> Vec<Row> {
        self.rows.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_add_up_in_the_networks_order() {
        let mut profile = Profile::default();
        let mut add = |at: usize, ms: u64| {
            profile.add(at, Duration::from_millis(ms), || (format!("n{at}"), "conv".into()));
        };
        add(4, 2);
        add(1, 3);
        add(4, 5);
        let row = |name: &str, calls, ms| Row {
            name: name.into(),
            kind: "conv".into(),
            calls,
            time: Duration::from_millis(ms),
        };
        assert_eq!(profile.rows(), [row("n1", 1, 3), row("n4", 2, 7)]);
    }
}
