//! Why a [`Graph`](super::Graph) cannot hold a network.

use std::fmt;

/// The first node of a network that a [`Graph`](super::Graph) cannot hold, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// As the ONNX file calls it.
    pub node: String,
    /// What it does that cannot be done: a clause that begins with "it" or "its".
    pub reason: String,
}

impl Refusal {
    pub(super) fn new(node: &str, reason: impl Into<String>) -> Self {
        Refusal { node: node.to_owned(), reason: reason.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node \"{}\": {}", self.node, self.reason)
    }
}

impl std::error::Error for Refusal {}
