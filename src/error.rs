//! One error type for the whole house: its kind, what was being done, to what,
//! and what the reader can do about it.

use std::fmt;

use crate::secret;

/// Which hand the fault lies in; decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A bad command line, configuration or model bundle: nothing was started.
    Config,
    /// A file, device, network peer or plugin that is missing or misbehaves.
    Unavailable,
    /// Bytes that are not what they claim to be: a corrupt recording or model.
    Data,
    /// A fault of kinewatch itself.
    Internal,
}

/// What went wrong, without secrets, as a person reads it:
/// `opening video "a.mp4": not a video file (text/plain). Remedy: …`.
#[derive(Clone, Debug)]
pub struct Error {
    kind: Kind,
    doing: String,
    fault: String,
    remedy: Option<String>,
}

/// The result of anything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// `doing` says what was being done and to what (`opening video "a.mp4"`);
    /// `fault` says what stood in the way.
    pub fn new(kind: Kind, doing: impl Into<String>, fault: impl fmt::Display) -> Self {
        let fault = secret::hidden(fault.to_string());
        Error { kind, doing: secret::hidden(doing.into()), fault, remedy: None }
    }

    /// [`Kind::Config`].
    pub fn config(doing: impl Into<String>, fault: impl fmt::Display) -> Self {
        Self::new(Kind::Config, doing, fault)
    }

    /// [`Kind::Unavailable`].
    pub fn unavailable(doing: impl Into<String>, fault: impl fmt::Display) -> Self {
        Self::new(Kind::Unavailable, doing, fault)
    }

    /// [`Kind::Data`].
    pub fn data(doing: impl Into<String>, fault: impl fmt::Display) -> Self {
        Self::new(Kind::Data, doing, fault)
    }

    /// [`Kind::Internal`].
    pub fn internal(doing: impl Into<String>, fault: impl fmt::Display) -> Self {
        Self::new(Kind::Internal, doing, fault)
    }

    /// Adds what the reader can do about it, as one sentence without its full stop.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(secret::hidden(remedy.into()));
        self
    }

    /// Whose hand the fault lies in.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What was being done, what stood in the way, and what can be done about it.
    pub fn parts(&self) -> (&str, &str, Option<&str>) {
        (&self.doing, &self.fault, self.remedy.as_deref())
    }

    /// The process exit code that this error asks for: 2 for a bad command line
    /// or configuration, 1 for anything that failed while running.
    pub fn exit_code(&self) -> u8 {
        if self.kind == Kind::Config { 2 } else { 1 }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.fault)?;
        if let Some(remedy) = &self.remedy {
            write!(f, ". Remedy: {remedy}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_to_what_and_the_remedy() {
        let error =
            Error::data("opening video \"a.mp4\"", "it is a text file").remedy("name a video");
        assert_eq!(
            error.to_string(),
            "opening video \"a.mp4\": it is a text file. Remedy: name a video"
        );
        assert_eq!(error.exit_code(), 1);
        assert_eq!(Error::config("reading the config", "no").exit_code(), 2);
    }
}
