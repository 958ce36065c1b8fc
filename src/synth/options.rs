//! What a stream is made from.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Everything that determines a synthetic stream: the same options give the
/// same frames and labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Chance's only source.
    pub seed: u64,
    /// Length in seconds.
    pub seconds: f64,
    /// Frames a second.
    pub fps: f64,
    /// Width in pixels, even.
    pub width: usize,
    /// Height in pixels, even.
    pub height: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { seed: 0, seconds: 60.0, fps: 25.0, width: 640, height: 360 }
    }
}

impl Options {
    /// Refuses what cannot be rendered or encoded.
    ///
    /// # Errors
    /// A value out of its range, named with the range.
    pub fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::config("reading synth options", what));
        if !(self.seconds > 0.0 && self.seconds <= 86_400.0) {
            return wrong(format!(
                "seconds is {}, expected more than 0, at most 86400",
                self.seconds
            ));
        }
        if !(self.fps >= 1.0 && self.fps <= 120.0) {
            return wrong(format!("fps is {}, expected 1 to 120", self.fps));
        }
        for (name, value) in [("width", self.width), ("height", self.height)] {
            if !(32..=4096).contains(&value) || value % 2 == 1 {
                return wrong(format!(
                    "{name} is {value}, expected an even number from 32 to 4096"
                ));
            }
        }
        Ok(())
    }

    /// How many frames the stream has.
    pub fn frames(&self) -> u64 {
        (self.seconds * self.fps).round() as u64
    }
}

/// Reads `seed=7,seconds=60,fps=25,size=640x360`; what is left out keeps its
/// default.
impl FromStr for Options {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut options = Options::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let wrong = |expected: &str| {
                Error::config(
                    format!("reading synth options \"{text}\""),
                    format!("\"{part}\" is not {expected}"),
                )
                .remedy("write for example \"seed=7,seconds=60,fps=25,size=640x360\"")
            };
            let (key, value) = part.split_once('=').ok_or_else(|| wrong("key=value"))?;
            match key.trim() {
                "seed" => options.seed = value.parse().map_err(|_| wrong("seed=<whole number>"))?,
                "seconds" => {
                    options.seconds = value.parse().map_err(|_| wrong("seconds=<number>"))?
                }
                "fps" => options.fps = value.parse().map_err(|_| wrong("fps=<number>"))?,
                "size" => {
                    (options.width, options.height) =
                        parse_size(value).ok_or_else(|| wrong("size=<width>x<height>"))?
                }
                _ => return Err(wrong("one of seed, seconds, fps, size")),
            }
        }
        options.check()?;
        Ok(options)
    }
}

/// Reads `640x360` as (width, height).
pub fn parse_size(text: &str) -> Option<(usize, usize)> {
    let (width, height) = text.split_once('x')?;
    Some((width.parse().ok()?, height.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_given_and_keeps_the_rest() {
        let options: Options = "seed=7, size=320x240".parse().unwrap();
        assert_eq!(options, Options { seed: 7, width: 320, height: 240, ..Options::default() });
    }

    #[test]
    fn refuses_what_it_cannot_render() {
        for (text, word) in [
            ("speed=3", "one of seed"),
            ("seed=x", "whole number"),
            ("size=320", "<width>x<height>"),
            ("size=31x20", "even number"),
            ("fps=0", "1 to 120"),
            ("seconds=-1", "more than 0"),
        ] {
            let error = text.parse::<Options>().unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
