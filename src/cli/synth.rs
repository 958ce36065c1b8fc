//! `kinewatch synth`: labelled test streams, from a seed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::output::print;
use crate::clip::{InputSpec, Layout, Preprocess, Resize};
use crate::error::{Error, Result};
use crate::synth::{self, Dataset, Options};
use crate::video::{Colour, Frame};

/// Write labelled test streams: the same seed gives the same frames and labels.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A video (.mkv or .mp4; its labels go into a .csv beside it), or with
    /// --count a folder.
    #[arg(short, long, value_name = "PATH")]
    output: PathBuf,
    /// Chance's only source.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Length of a stream.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// Frames a second.
    #[arg(long, default_value_t = 25.0)]
    fps: f64,
    /// Width and height in pixels.
    #[arg(long, default_value = "640x360", value_parser = parse_size)]
    size: (usize, usize),
    /// Write this many streams, with this seed and the following, and one
    /// labels.csv for all.
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    /// With --count: write NumPy arrays as models/train wants them (frames.npy,
    /// labels.npy; luma of 128x96, 8 frames a second) instead of videos.
    #[arg(long, requires = "count")]
    dataset: bool,
}

fn parse_size(text: &str) -> std::result::Result<(usize, usize), String> {
    synth::parse_size(text).ok_or_else(|| "expected <width>x<height>, such as 640x360".to_string())
}

impl Args {
    /// Runs the verb; prints the names of what it wrote.
    ///
    /// # Errors
    /// Options out of range, or a file that could not be written.
    pub fn run(&self) -> Result<()> {
        let (width, height) = self.size;
        let options =
            Options { seed: self.seed, seconds: self.seconds, fps: self.fps, width, height };
        options.check()?;
        match self.count {
            None => {
                let labels = synth::write(&options, &self.output)?;
                print(format!("{}\n{}\n", self.output.display(), labels.display()).as_bytes())?;
            }
            Some(count) if self.dataset => self.write_dataset(count)?,
            Some(count) => self.write_many(&options, count)?,
        }
        Ok(())
    }

    fn write_many(&self, options: &Options, count: usize) -> Result<()> {
        make_folder(&self.output)?;
        let mut all = vec![];
        for seed in self.seed..self.seed + count as u64 {
            let options = Options { seed, ..options.clone() };
            let path = self.output.join(format!("synth-{seed:06}.mkv"));
            let stream = synth::Stream::new(&options)?;
            all.push((synth::name_of(&path), stream.spans().to_vec()));
            synth::encode(stream, &path)?;
            print(format!("{}\n", path.display()).as_bytes())?;
        }
        let videos: Vec<_> =
            all.iter().map(|(name, spans)| (name.clone(), spans.as_slice())).collect();
        let labels = self.output.join("labels.csv");
        fs::write(&labels, synth::label_csv(&videos)).map_err(|error| {
            Error::unavailable(format!("writing labels \"{}\"", labels.display()), error)
        })?;
        print(format!("{}\n", labels.display()).as_bytes())
    }

    fn write_dataset(&self, count: usize) -> Result<()> {
        make_folder(&self.output)?;
        let size = (128, 96);
        let spec = InputSpec {
            layout: Layout::NCTHW,
            frames: 1,
            rate: 8.0,
            size: [size.1, size.0],
            resize: Resize::Stretch,
            antialias: true,
            colour: Colour::Gray,
            mean: vec![0.0],
            std: vec![1.0],
        };
        let mut preprocess = Preprocess::new(&spec)?;
        let mut frame =
            Frame { arrived: Instant::now(), pts: Duration::ZERO, ..Frame::new(Colour::Gray) };
        let mut small = vec![0.0; spec.frame_len()];
        let dataset = Dataset {
            seed: self.seed,
            count,
            frames: (self.seconds * spec.rate).round() as usize,
            rate: spec.rate,
            size,
        };
        // The daemon's own preprocessing: what is trained on is what is seen.
        dataset.write(&self.output, &mut |luma, width, height, out| {
            frame.data.clear();
            frame.data.extend_from_slice(luma);
            (frame.width, frame.height) = (width, height);
            preprocess.run(&frame, &mut small)?;
            for (byte, value) in out.iter_mut().zip(&small) {
                *byte = (value * 255.0).round().clamp(0.0, 255.0) as u8;
            }
            Ok(())
        })
    }
}

fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| {
        Error::unavailable(format!("making the folder \"{}\"", folder.display()), error)
    })
}
