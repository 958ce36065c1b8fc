//! The `[accuracy]` table.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::duration::HumanDuration;

/// What is logged of how right a stream is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccuracyOptions {
    /// The folder in which each stream has its log; without it systemd's
    /// `$LOGS_DIRECTORY`, and where there is neither, no log.
    pub path: Option<PathBuf>,
    /// From one line to the next, on the stream's own clock.
    pub interval: HumanDuration,
    /// How far back the sliding figures reach, on the stream's own clock.
    pub window: HumanDuration,
    /// A new file is begun before this one grows beyond this many bytes.
    pub rotate_bytes: u64,
    /// A new file is begun when this one is this old.
    pub rotate_age: HumanDuration,
    /// How many files are kept besides the current one.
    pub keep: usize,
    /// The k of every top-k accuracy; those beyond the number of classes are
    /// left out.
    pub top_k: Vec<usize>,
}

/// Least bytes of a file: some lines of a model with very many classes.
const LEAST_BYTES: u64 = 64 << 10;

impl Default for AccuracyOptions {
    fn default() -> Self {
        AccuracyOptions {
            path: None,
            interval: HumanDuration::seconds(60),
            window: HumanDuration::seconds(3600),
            rotate_bytes: 16 << 20,
            rotate_age: HumanDuration::seconds(30 * 24 * 3600),
            keep: 5,
            top_k: vec![1, 5],
        }
    }
}

impl AccuracyOptions {
    /// # Errors
    /// The key below `[accuracy]`, and the fault.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if self.interval.0.is_zero() {
            return Err(("interval", "lines without end; expected a longer time".into()));
        }
        if self.window.0.is_zero() {
            return Err(("window", "no time holds no clip; expected a longer time".into()));
        }
        if self.rotate_bytes < LEAST_BYTES {
            return Err((
                "rotate_bytes",
                format!(
                    "{} bytes hold too few lines; expected {LEAST_BYTES} or more",
                    self.rotate_bytes
                ),
            ));
        }
        if self.rotate_age.0.is_zero() {
            return Err(("rotate_age", "a file of no age; expected a longer time".into()));
        }
        if self.top_k.contains(&0) {
            return Err(("top_k", "0 classes are never right; expected 1 or more".into()));
        }
        Ok(())
    }

    /// Where the logs go; `None`: nowhere.
    pub fn folder(&self) -> Option<PathBuf> {
        self.folder_beside(env::var_os("LOGS_DIRECTORY"))
    }

    /// `given` may list several folders, as systemd does (systemd.exec(5)).
    fn folder_beside(&self, given: Option<OsString>) -> Option<PathBuf> {
        let first = || env::split_paths(&given?).find(|path| !path.as_os_str().is_empty());
        self.path.clone().or_else(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_nothing_is_refused_by_key() {
        let read = |text: &str| toml::from_str::<AccuracyOptions>(text).unwrap().check();
        assert_eq!(read(""), Ok(()));
        for (text, key) in [
            ("interval = \"0 s\"", "interval"),
            ("window = \"0 s\"", "window"),
            ("rotate_bytes = 100", "rotate_bytes"),
            ("rotate_age = \"0 s\"", "rotate_age"),
            ("top_k = [1, 0]", "top_k"),
        ] {
            assert_eq!(read(text).unwrap_err().0, key, "{text}");
        }
        assert!(toml::from_str::<AccuracyOptions>("intervall = \"1 s\"").is_err());
    }

    #[test]
    fn the_folder_is_the_path_or_the_first_that_systemd_names() {
        let options = AccuracyOptions::default();
        assert_eq!(options.folder_beside(None), None);
        assert_eq!(options.folder_beside(Some("".into())), None);
        assert_eq!(options.folder_beside(Some("/a:/b".into())), Some("/a".into()));
        let named = AccuracyOptions { path: Some("logs".into()), ..options };
        assert_eq!(named.folder_beside(Some("/a".into())), Some("logs".into()));
    }
}
