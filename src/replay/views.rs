//! Which clips of a recording are run, and which part of the picture.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::clip::{Crop, InputSpec, Resize, Ring};
use crate::error::{Error, Result};
use crate::model::{Bundle, Mode};

/// Where in time the clips lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clips {
    /// The stream's own sliding windows, one at each hop: what the daemon does.
    #[default]
    Window,
    /// A sliding window at every sampled frame.
    Dense,
    /// So many clips, spread evenly over the recording.
    Uniform(usize),
}

impl Clips {
    /// The most clips of one recording that can be asked for.
    const MOST: usize = 1000;
}

impl FromStr for Clips {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "window" => Ok(Clips::Window),
            "dense" => Ok(Clips::Dense),
            _ => match text.parse() {
                Ok(count) if (1..=Clips::MOST).contains(&count) => Ok(Clips::Uniform(count)),
                _ => Err(format!(
                    "expected \"window\", \"dense\" or a number of clips from 1 to {}",
                    Clips::MOST
                )),
            },
        }
    }
}

impl fmt::Display for Clips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Clips::Window => f.pad("window"),
            Clips::Dense => f.pad("dense"),
            Clips::Uniform(count) => write!(f, "{count}"),
        }
    }
}

/// How a recording is looked at: the sampling protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Views {
    /// Where in time the clips lie.
    pub clips: Clips,
    /// Spatial crops of each clip: 1 (the centre) or 3.
    pub crops: usize,
    /// The whole recording is sampled to this many frames, instead of at the
    /// model's rate.
    pub resample: Option<usize>,
}

impl Default for Views {
    fn default() -> Self {
        Views { clips: Clips::Window, crops: 1, resample: None }
    }
}

impl Views {
    /// Whether these views can be had of a model that takes `input`.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config), with what to do instead.
    pub fn check(&self, input: &InputSpec) -> Result<()> {
        let doing = "choosing the views of a replay";
        if !matches!(self.crops, 1 | 3) {
            return Err(Error::config(doing, format!("{} crops; expected 1 or 3", self.crops)));
        }
        if self.crops == 3 && input.resize != Resize::ShortSide {
            let how = match input.resize {
                Resize::Stretch => "stretches the whole picture (resize = \"stretch\")",
                _ => "is shown the whole picture (resize = \"letterbox\")",
            };
            return Err(Error::config(
                doing,
                format!("3 crops, but this model {how}: nothing sticks out that could be cropped"),
            )
            .remedy("leave --crops out; it is for models with resize = \"short-side\""));
        }
        if let Some(frames) = self.resample {
            if matches!(self.clips, Clips::Uniform(_)) {
                return Err(Error::config(
                    doing,
                    "--resample takes the whole recording and --clips N parts of it",
                )
                .remedy("give one of the two"));
            }
            if frames < input.frames || frames > 64 * Ring::CAPACITY {
                return Err(Error::config(
                    doing,
                    format!(
                        "resampling to {frames} frames; expected {} (the model's clip) to {}",
                        input.frames,
                        64 * Ring::CAPACITY
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Whether every clip is cut out and run by itself, so that no state reaches
    /// from one to the next.
    pub fn separate(&self) -> bool {
        self.crops > 1 || matches!(self.clips, Clips::Uniform(_))
    }

    /// How to run the model: as asked for, else whole clips where the views are
    /// those of published protocols, else as the daemon does.
    ///
    /// # Errors
    /// As [`Bundle::choose`].
    pub fn mode(&self, bundle: &Bundle, asked: Option<Mode>) -> Result<Mode> {
        let whole = self.separate() || self.clips == Clips::Dense;
        let mut exact = [Mode::Window, Mode::TwoStage].into_iter();
        let exact = exact.find(|mode| whole && bundle.modes().contains(mode));
        bundle.choose(asked.or(exact))
    }

    /// The crops in the order in which they are run.
    pub fn crops(&self) -> &'static [Crop] {
        if self.crops == 3 { &Crop::THREE } else { &[Crop::Centre] }
    }

    /// When each clip of a recording of `length` begins.
    ///
    /// N clips begin at k · max(length − clip, 0) / N, where a clip is
    /// frames / rate long: PySlowFast's test views (`get_start_end_idx` in
    /// slowfast/datasets/decoder.py). A single clip lies in the middle, as with
    /// MMAction2's `SampleFrames(num_clips=1, test_mode=True)`.
    pub fn starts(count: usize, input: &InputSpec, length: Duration) -> Vec<Duration> {
        let clip = input.frames as f64 / input.rate;
        let room = (length.as_secs_f64() - clip).max(0.0);
        let step = |k: usize| match count {
            1 => room / 2.0,
            _ => room * k as f64 / count as f64,
        };
        (0..count).map(|k| Duration::from_secs_f64(step(k))).collect()
    }

    /// Sampled frames a second: the model's, or what brings a recording of
    /// `length` to as many frames as were asked for.
    pub fn rate(&self, input: &InputSpec, length: Duration) -> f64 {
        match self.resample {
            Some(frames) if !length.is_zero() => frames as f64 / length.as_secs_f64(),
            _ => input.rate,
        }
    }
}

impl fmt::Display for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.clips)?;
        match self.clips {
            Clips::Uniform(_) => write!(f, "x{}", self.crops)?,
            _ if self.crops > 1 => write!(f, " x{}", self.crops)?,
            _ => {}
        }
        match self.resample {
            Some(frames) => write!(f, ", resampled to {frames} frames"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clip::Layout;
    use crate::video::Colour;

    fn input(resize: Resize) -> InputSpec {
        InputSpec {
            layout: Layout::NCTHW,
            frames: 16,
            rate: 8.0,
            size: [4, 4],
            resize,
            antialias: false,
            colour: Colour::Gray,
            mean: vec![0.5],
            std: vec![0.5],
        }
    }

    fn starts(count: usize, length: f64) -> Vec<f64> {
        Views::starts(count, &input(Resize::Stretch), Duration::from_secs_f64(length))
            .iter()
            .map(Duration::as_secs_f64)
            .collect()
    }

    #[test]
    fn uniform_clips_begin_where_pyslowfast_begins_them() {
        // 300 frames at 30 a second, clips of 60: delta = 240 frames = 8 s.
        assert_eq!(starts(10, 10.0), [0.0, 0.8, 1.6, 2.4, 3.2, 4.0, 4.8, 5.6, 6.4, 7.2]);
        assert_eq!(starts(1, 10.0), [4.0]);
        assert_eq!(starts(3, 1.0), [0.0; 3], "shorter than one clip");
    }

    #[test]
    fn views_that_make_no_sense_are_refused_with_the_way_out() {
        let refused = |views: Views, resize| views.check(&input(resize)).unwrap_err().to_string();
        let three = Views { crops: 3, ..Views::default() };
        assert!(refused(three, Resize::Stretch).contains("short-side"));
        assert!(refused(three, Resize::Letterbox).contains("letterbox"));
        assert!(three.check(&input(Resize::ShortSide)).is_ok());
        let both = Views { clips: Clips::Uniform(2), resample: Some(16), crops: 1 };
        assert!(refused(both, Resize::Stretch).contains("one of the two"));
        let few = Views { resample: Some(15), ..Views::default() };
        assert!(refused(few, Resize::Stretch).contains("expected 16"));
    }

    #[test]
    fn numbers_of_clips_are_read_and_nonsense_is_not() {
        assert_eq!("10".parse(), Ok(Clips::Uniform(10)));
        assert_eq!("dense".parse(), Ok(Clips::Dense));
        for text in ["0", "-1", "ten", "1001", ""] {
            assert!(text.parse::<Clips>().is_err(), "{text}");
        }
    }

    #[test]
    fn resampling_sets_the_rate() {
        let views = Views { resample: Some(64), ..Views::default() };
        let rate = views.rate(&input(Resize::Stretch), Duration::from_secs(10));
        assert!((rate - 6.4).abs() < 1e-12);
    }
}
