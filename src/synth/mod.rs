//! Procedural labelled test streams. (Stub: overwritten by its owner's.)

use std::str::FromStr;

use crate::error::{Error, Result};

/// What to generate.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Options {
    pub seconds: f64,
    pub fps: f64,
    pub width: usize,
    pub height: usize,
}

impl FromStr for Options {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut options = Options {
            seconds: 2.0,
            fps: 25.0,
            width: 64,
            height: 48,
        };
        for pair in text.split(',').filter(|pair| !pair.is_empty()) {
            let bad = || {
                Error::config(
                    "reading synth options",
                    format!("{pair:?} is not understood"),
                )
            };
            let (key, value) = pair.split_once('=').ok_or_else(bad)?;
            match key {
                "seconds" => options.seconds = value.parse().map_err(|_| bad())?,
                "fps" => options.fps = value.parse().map_err(|_| bad())?,
                "seed" => {}
                "size" => {
                    let (w, h) = value.split_once('x').ok_or_else(bad)?;
                    options.width = w.parse().map_err(|_| bad())?;
                    options.height = h.parse().map_err(|_| bad())?;
                }
                _ => return Err(bad()),
            }
        }
        Ok(options)
    }
}

/// A stream of frames.
pub struct Stream {
    options: Options,
    at: usize,
}

impl Stream {
    pub fn new(options: &Options) -> Result<Self> {
        Ok(Stream {
            options: options.clone(),
            at: 0,
        })
    }
    pub fn width(&self) -> usize {
        self.options.width
    }
    pub fn height(&self) -> usize {
        self.options.height
    }
    pub fn fps(&self) -> f64 {
        self.options.fps
    }
    pub fn next_frame(&mut self, rgb: &mut [u8]) -> bool {
        if self.at as f64 >= self.options.seconds * self.options.fps {
            return false;
        }
        rgb.fill(self.at as u8);
        self.at += 1;
        true
    }
}
