//! Many short streams as arrays, for training: what the model will be fed,
//! without a detour over video files.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::codec::Codec;
use super::options::Options;
use super::rng::Rng;
use super::stream::Stream;
use crate::error::{Error, Result};

/// Scales luma of some width and height to the size that the model takes.
pub type Shrink<'a> = dyn FnMut(&[u8], usize, usize, &mut [u8]) -> Result<()> + 'a;

/// What a training set is made of.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Seed of the first stream; the others follow it.
    pub seed: u64,
    /// Streams.
    pub count: usize,
    /// Sampled frames in each.
    pub frames: usize,
    /// Sampled frames a second.
    pub rate: f64,
    /// Width and height in pixels.
    pub size: (usize, usize),
}

impl Dataset {
    /// Writes `frames.npy` (streams × frames × height × width, u8 luma) and
    /// `labels.npy` (streams × frames, u8 index into [`super::LABELS`]) into
    /// `folder`, in NumPy's format version 1.0.
    ///
    /// Each stream is painted at a size and frame rate of its own, coded as
    /// H.264 and decoded, sampled on the time grid and brought to the model's
    /// size by `shrink`, as the daemon would do with a camera. Only frames that
    /// are sampled are painted, in every third stream also those halfway between.
    ///
    /// # Errors
    /// The folder or a file could not be written, or a GStreamer plugin is missing.
    pub fn write(&self, folder: &Path, shrink: &mut Shrink) -> Result<()> {
        let failed = |error: std::io::Error| {
            Error::unavailable(format!("writing a training set to \"{}\"", folder.display()), error)
        };
        let (width, height) = self.size;
        let open = |name: &str, shape: &str| -> Result<BufWriter<File>> {
            let mut file = BufWriter::new(File::create(folder.join(name)).map_err(failed)?);
            file.write_all(&npy_header(shape)).map_err(failed)?;
            Ok(file)
        };
        let mut frames =
            open("frames.npy", &format!("{}, {}, {height}, {width}", self.count, self.frames))?;
        let mut labels = open("labels.npy", &format!("{}, {}", self.count, self.frames))?;
        let mut small = vec![0; width * height];
        for seed in self.seed..self.seed + self.count as u64 {
            let (options, fps, each) = self.source(seed);
            let mut stream = Stream::new(&options)?;
            // The camera's frame nearest to the tick.
            let nearest =
                |index: usize| (index as f64 / (self.rate * each as f64) * fps).round() / fps;
            let painted = (0..self.frames * each)
                .map(|index| {
                    let mut luma = vec![0; options.width * options.height];
                    stream.luma_at(nearest(index), &mut luma);
                    luma
                })
                .collect();
            let codec = Codec::new(seed, self.rate * each as f64);
            let coded = codec.code(painted, options.width, options.height)?;
            for (index, luma) in coded.iter().enumerate().step_by(each) {
                shrink(luma, options.width, options.height, &mut small)?;
                frames.write_all(&small).map_err(failed)?;
                labels.write_all(&[stream.label_at(nearest(index)) as u8]).map_err(failed)?;
            }
        }
        frames.flush().map_err(failed)?;
        labels.flush().map_err(failed)
    }

    /// Size and frame rate of the camera that stream `seed` stands for, and how
    /// many of its frames are painted for each that is sampled.
    fn source(&self, seed: u64) -> (Options, f64, usize) {
        let mut rng = Rng::new(seed, 8);
        let (width, height) = rng.pick(&[
            (256, 144),
            (320, 180),
            (320, 180),
            (320, 240),
            (384, 216),
            (256, 192),
            (208, 156),
            (240, 180),
        ]);
        let fps = rng.pick(&[30.0, 30.0, 29.97, 25.0, 25.0, 20.0, 15.0, 12.5, 10.0, 8.0, 6.0]);
        let seconds = self.frames as f64 / self.rate;
        let each = rng.pick(&[1, 1, 2]);
        (Options { seed, seconds, fps, width, height }, fps, each)
    }
}

/// The header of a `.npy` file of `u8` in C order (numpy.lib.format, version 1.0).
fn npy_header(shape: &str) -> Vec<u8> {
    let mut text = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({shape}), }}");
    // Magic, version and length take 10 bytes; data starts at a multiple of 64.
    while (10 + text.len() + 1) % 64 != 0 {
        text.push(' ');
    }
    text.push('\n');
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend_from_slice(&(text.len() as u16).to_le_bytes());
    header.extend_from_slice(text.as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_fills_a_multiple_of_64_bytes_and_says_its_length() {
        let header = npy_header("2, 3, 96, 128");
        assert_eq!(header.len() % 64, 0);
        assert_eq!(usize::from(u16::from_le_bytes([header[8], header[9]])) + 10, header.len());
        assert_eq!(header.last(), Some(&b'\n'));
    }
}
