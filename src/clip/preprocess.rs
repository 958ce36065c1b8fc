//! A frame to a normalised tensor: turn, resize, crop, normalise.

use super::geometry::{Shape, Span, place};
use super::resample::{Axis, Resampler};
use super::{Crop, InputSpec, Resize};
use crate::error::{Error, Result};
use crate::video::{Colour, Frame};

/// Brings frames to the model's size and normalises them.
///
/// The tables for a geometry (decoded size, pixel aspect, orientation) are made
/// when it is first seen and whenever it changes; between changes a frame
/// allocates nothing.
#[derive(Clone, Debug)]
pub struct Preprocess {
    resize: Resize,
    crop: Crop,
    antialias: bool,
    colour: Colour,
    /// Height and width of the output.
    size: [usize; 2],
    /// By channel: normalised = value × scale + offset, of values 0 to 255.
    scale: Vec<f32>,
    offset: Vec<f32>,
    geometry: Option<Geometry>,
    resampler: Resampler,
}

#[derive(Clone, Copy, Debug)]
struct Geometry {
    shape: Shape,
    /// Along the upright picture's columns and rows.
    x: Span,
    y: Span,
}

impl Preprocess {
    /// Gets ready for a model's frames.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config): a size of nothing, or a
    /// mean or standard deviation that does not fit the channels.
    pub fn new(spec: &InputSpec) -> Result<Self> {
        spec.check("preparing to resize frames")?;
        let offset = spec.mean.iter().zip(&spec.std).map(|(mean, std)| -mean / std);
        Ok(Preprocess {
            resize: spec.resize,
            crop: Crop::default(),
            antialias: spec.antialias,
            colour: spec.colour,
            size: spec.size,
            scale: spec.std.iter().map(|std| 1.0 / (255.0 * std)).collect(),
            offset: offset.collect(),
            geometry: None,
            resampler: Resampler::default(),
        })
    }

    /// The same, keeping another part of what sticks out.
    #[must_use]
    pub fn keeping(mut self, crop: Crop) -> Self {
        self.crop = crop;
        self.geometry = None;
        self
    }

    /// Turns `frame` upright, brings it to the model's size and normalises it
    /// into `out`: channels × height × width, row-major.
    ///
    /// # Errors
    /// [`Kind::Internal`](crate::error::Kind::Internal) where the frame's bytes
    /// do not fit its size, its channels are not the model's, or `out` has
    /// another length.
    pub fn run(&mut self, frame: &Frame, out: &mut [f32]) -> Result<()> {
        let channels = self.colour.channels();
        let [height, width] = self.size;
        self.check(frame, out.len())?;
        let shape = Shape::of(frame);
        let Geometry { x, y, .. } = match self.geometry {
            Some(geometry) if geometry.shape == shape => geometry,
            _ => self.prepare(shape),
        };
        if x.kept < width || y.kept < height {
            // The bars of a letterbox: the mean, which normalises to zero.
            out.fill(0.0);
        }
        let (row_step, column_step) = if shape.transposed() { (1, width) } else { (width, 1) };
        let corner = y.to * width + x.to;
        let (scale, offset) = (&self.scale, &self.offset);
        self.resampler.run(
            &frame.data,
            frame.width * channels,
            channels,
            |channel, row, column, value| {
                let at = channel * height * width + corner + row * row_step + column * column_step;
                out[at] = value * scale[channel] + offset[channel];
            },
        );
        Ok(())
    }

    /// Makes the tables for another geometry.
    fn prepare(&mut self, shape: Shape) -> Geometry {
        let [height, width] = self.size;
        let (x, y) = place(self.resize, self.crop, shape.display(), (width, height));
        let (x_reversed, y_reversed) = shape.reversed();
        let axis = |input, span: Span, reversed| Axis {
            input,
            full: span.full,
            from: span.from,
            kept: span.kept,
            reversed,
            antialias: self.antialias,
        };
        let (columns, rows) = if shape.transposed() {
            (axis(shape.width, y, y_reversed), axis(shape.height, x, x_reversed))
        } else {
            (axis(shape.width, x, x_reversed), axis(shape.height, y, y_reversed))
        };
        self.resampler.fill(columns, rows, self.colour.channels());
        let geometry = Geometry { shape, x, y };
        self.geometry = Some(geometry);
        geometry
    }

    fn check(&self, frame: &Frame, out: usize) -> Result<()> {
        let fault = |fault: String| Err(Error::internal("resizing a frame", fault));
        if frame.colour != self.colour {
            return fault(format!("it is {:?}, the model takes {:?}", frame.colour, self.colour));
        }
        let (width, height, channels) = (frame.width, frame.height, frame.colour.channels());
        if width == 0 || height == 0 {
            return fault(format!("it is {width}×{height} pixels"));
        }
        let expected = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(channels));
        if expected != Some(frame.data.len()) {
            return fault(format!(
                "{width}×{height} pixels of {channels} bytes cannot be {} bytes",
                frame.data.len()
            ));
        }
        let expected = channels * self.size[0] * self.size[1];
        if out != expected {
            return fault(format!("room for {out} values where the model takes {expected}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clip::Layout;
    use crate::video::Orientation;

    fn spec(size: [usize; 2], resize: Resize, colour: Colour) -> InputSpec {
        let channels = colour.channels();
        InputSpec {
            layout: Layout::NCTHW,
            frames: 1,
            rate: 1.0,
            size,
            resize,
            antialias: false,
            colour,
            mean: vec![0.0; channels],
            std: vec![1.0 / 255.0; channels],
        }
    }

    fn frame(width: usize, height: usize, colour: Colour, data: Vec<u8>) -> Frame {
        Frame { data, width, height, ..Frame::new(colour) }
    }

    fn run(spec: &InputSpec, frame: &Frame) -> Vec<f32> {
        let mut out = vec![f32::NAN; spec.frame_len()];
        Preprocess::new(spec).unwrap().run(frame, &mut out).unwrap();
        out
    }

    /// Turns pixels one by one, as the definition of [`Orientation`] says it.
    fn turned(frame: &Frame) -> Frame {
        let channels = frame.colour.channels();
        let mut now = frame.clone();
        for _ in 0..frame.orientation.quarters {
            let (w, h) = (now.width, now.height);
            let mut next = vec![0; now.data.len()];
            for y in 0..h {
                for x in 0..w {
                    // Clockwise: the left column, bottom to top, becomes the top row.
                    let (to_x, to_y) = (h - 1 - y, x);
                    for c in 0..channels {
                        next[(to_y * h + to_x) * channels + c] =
                            now.data[(y * w + x) * channels + c];
                    }
                }
            }
            now = Frame { data: next, width: h, height: w, ..now };
        }
        if frame.orientation.flip {
            for row in now.data.chunks_mut(now.width * channels) {
                let pixels: Vec<u8> = row.chunks(channels).rev().flatten().copied().collect();
                row.copy_from_slice(&pixels);
            }
        }
        now.orientation = Orientation::default();
        now
    }

    #[test]
    fn a_turned_picture_gives_what_the_upright_one_gives() {
        let data: Vec<u8> = (0..23 * 14 * 3).map(|i| (i * i % 251) as u8).collect();
        for resize in [Resize::ShortSide, Resize::Stretch, Resize::Letterbox] {
            for antialias in [false, true] {
                let spec = InputSpec { antialias, ..spec([9, 12], resize, Colour::Rgb) };
                for quarters in 0..4 {
                    for flip in [false, true] {
                        let mut frame = frame(23, 14, Colour::Rgb, data.clone());
                        frame.orientation = Orientation { quarters, flip };
                        let (got, want) = (run(&spec, &frame), run(&spec, &turned(&frame)));
                        for (a, b) in got.iter().zip(&want) {
                            assert!((a - b).abs() < 1e-3, "{resize:?} {quarters} {flip}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn wide_pixels_are_made_square() {
        // 4×4 with pixels twice as wide as high shows as 8×4: its middle four
        // columns, of a short side of 4, are decoded columns 1 and 2.
        let row = [0, 100, 200, 250];
        let mut frame = frame(4, 4, Colour::Gray, row.repeat(4));
        frame.pixel_aspect = (2, 1);
        let out = run(&spec([4, 4], Resize::ShortSide, Colour::Gray), &frame);
        for (got, want) in out.iter().zip([75.0, 125.0, 175.0, 212.5]) {
            assert!((got - want).abs() < 1e-3, "{out:?}");
        }
    }

    #[test]
    fn letterbox_bars_are_zero_after_normalising() {
        let mut spec = spec([4, 8], Resize::Letterbox, Colour::Gray);
        (spec.mean, spec.std) = (vec![0.5], vec![0.25]);
        let out = run(&spec, &frame(2, 2, Colour::Gray, vec![255; 4]));
        for row in out.chunks(8) {
            assert_eq!(row, [0.0, 0.0, 2.0, 2.0, 2.0, 2.0, 0.0, 0.0]);
        }
    }

    #[test]
    fn bars_are_cleared_when_the_shape_changes_midway() {
        let spec = spec([4, 8], Resize::Letterbox, Colour::Gray);
        let mut preprocess = Preprocess::new(&spec).unwrap();
        let mut out = vec![0.0; spec.frame_len()];
        preprocess.run(&frame(8, 4, Colour::Gray, vec![9; 32]), &mut out).unwrap();
        preprocess.run(&frame(4, 4, Colour::Gray, vec![9; 16]), &mut out).unwrap();
        assert_eq!(out[..8], [0.0, 0.0, 9.0, 9.0, 9.0, 9.0, 0.0, 0.0]);
    }

    #[test]
    fn one_pixel_fills_the_picture() {
        for resize in [Resize::ShortSide, Resize::Stretch] {
            let spec = spec([3, 5], resize, Colour::Rgb);
            let out = run(&spec, &frame(1, 1, Colour::Rgb, vec![10, 20, 30]));
            for (plane, value) in out.chunks(15).zip([10.0, 20.0, 30.0]) {
                assert!(plane.iter().all(|v| (v - value).abs() < 1e-4));
            }
        }
    }

    #[test]
    fn a_frame_that_does_not_fit_its_own_size_is_refused() {
        let spec = spec([4, 4], Resize::Stretch, Colour::Gray);
        let mut preprocess = Preprocess::new(&spec).unwrap();
        let mut out = vec![0.0; 16];
        let mut refused =
            |frame: &Frame, out: &mut [f32]| preprocess.run(frame, out).unwrap_err().to_string();
        let text = refused(&frame(4, 4, Colour::Gray, vec![0; 15]), &mut out);
        assert!(text.contains("4×4") && text.contains("15 bytes"), "{text}");
        let text = refused(&frame(0, 4, Colour::Gray, vec![]), &mut out);
        assert!(text.contains("0×4"), "{text}");
        let text = refused(&frame(4, 4, Colour::Rgb, vec![0; 48]), &mut out);
        assert!(text.contains("Rgb") && text.contains("Gray"), "{text}");
        let text = refused(&frame(4, 4, Colour::Gray, vec![0; 16]), &mut out[..3]);
        assert!(text.contains("room for 3 values"), "{text}");
    }
}
