//! Records as JSON lines.

use super::{Record, SinkError};

/// Writes a record into a buffer as one line with its newline, so that it can
/// leave in one write.
#[derive(Debug, Default)]
pub(super) struct LineBuffer(Vec<u8>);

impl LineBuffer {
    pub fn fill(&mut self, record: Record<'_>) -> Result<&[u8], SinkError> {
        self.0.clear();
        let written = match record {
            Record::Prediction(prediction) => serde_json::to_writer(&mut self.0, prediction),
            Record::Event(event) => serde_json::to_writer(&mut self.0, event),
            Record::Drift(drift) => serde_json::to_writer(&mut self.0, drift),
            Record::Lost(lost) => serde_json::to_writer(&mut self.0, lost),
        };
        written.map_err(|error| SinkError::Lost(error.to_string()))?;
        self.0.push(b'\n');
        Ok(&self.0)
    }
}
