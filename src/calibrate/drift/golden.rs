//! What river finds, and the streams it was given: see tests/golden/drift.py.

use serde_json::Value;

/// SplitMix64, as in drift.py.
struct Generator(u64);

impl Generator {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

/// One line of a golden file.
pub(super) struct Case {
    pub line: Value,
}

impl Case {
    pub(super) fn all(text: &str) -> Vec<Case> {
        text.lines().map(|line| Case { line: serde_json::from_str(line).unwrap() }).collect()
    }

    pub(super) fn float(&self, key: &str) -> f64 {
        self.line[key].as_f64().unwrap()
    }

    pub(super) fn number(&self, key: &str) -> u64 {
        self.line[key].as_u64().unwrap()
    }

    pub(super) fn values(&self) -> Vec<f64> {
        let mut generator = Generator(self.number("seed"));
        let mut values = Vec::new();
        for segment in self.line["segments"].as_array().unwrap() {
            let [length, low, high] = [0, 1, 2].map(|at| segment[at].as_u64().unwrap());
            for _ in 0..length {
                values.push((low + generator.below(high - low + 1)) as f64 / 1024.0);
            }
        }
        values
    }

    /// Where alarms were given.
    pub(super) fn alarms(&self) -> Vec<usize> {
        let alarms = self.line["alarms"].as_array().unwrap();
        alarms.iter().map(|at| at.as_u64().unwrap() as usize).collect()
    }
}
