//! Procedural labelled test streams.
