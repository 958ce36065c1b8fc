//! What is wrong with an annotation file, and where.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something in an annotation file that had to be left out, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The file.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
    /// The column in that line, in characters from 1.
    pub column: usize,
    /// What is wrong there.
    pub fault: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}, column {}: {}", self.file, self.line, self.column, self.fault)
    }
}

/// Why a file cannot be read at all.
#[derive(Debug)]
pub(super) struct Broken {
    /// Byte offset in the text; none when it is about the whole file.
    pub at: Option<usize>,
    /// What is wrong there.
    pub fault: String,
    /// What the reader can do about it.
    pub remedy: Option<String>,
}

impl Broken {
    /// Something wrong at a byte offset.
    pub fn at(at: usize, fault: impl Into<String>) -> Self {
        Broken { at: Some(at), fault: fault.into(), remedy: None }
    }

    /// Something wrong with the file as a whole.
    pub fn whole(fault: impl Into<String>) -> Self {
        Broken { at: None, fault: fault.into(), remedy: None }
    }

    /// Adds what to do about it.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}
