//! Predictions out: JSON lines to standard output and to files.
