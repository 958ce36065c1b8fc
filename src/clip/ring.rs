//! The clip ring: the last T normalised frames.

use heapless::{Deque, Vec as Slots};

use super::{InputSpec, Layout};
use crate::error::{Error, Result};

/// A fixed-capacity ring of normalised frames. Every slot is allocated at the
/// start; pushing moves slots, not their contents.
#[derive(Debug)]
pub struct Ring {
    /// The frames, oldest first.
    frames: Deque<Box<[f32]>, { Ring::CAPACITY }>,
    /// Slots that hold no frame yet.
    free: Slots<Box<[f32]>, { Ring::CAPACITY }>,
    wanted: usize,
    channels: usize,
    /// Values in one channel of a frame: height × width.
    plane: usize,
}

impl Ring {
    /// The most sampled frames that a clip can have.
    pub const CAPACITY: usize = 64;

    /// A ring for the clips of one model, empty.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config): the model wants more than
    /// [`Ring::CAPACITY`] frames, or none.
    pub fn new(spec: &InputSpec) -> Result<Self> {
        spec.check("making the clip ring")?;
        Ok(Ring {
            frames: Deque::new(),
            free: (0..spec.frames).map(|_| vec![0.0; spec.frame_len()].into()).collect(),
            wanted: spec.frames,
            channels: spec.colour.channels(),
            plane: spec.size[0] * spec.size[1],
        })
    }

    /// Takes one frame (channels × height × width) as the newest; drops the
    /// oldest where the ring is full.
    ///
    /// # Errors
    /// [`Kind::Internal`](crate::error::Kind::Internal): the frame has another
    /// length than the ring's.
    pub fn push(&mut self, frame: &[f32]) -> Result<()> {
        let expected = self.channels * self.plane;
        if frame.len() != expected {
            return Err(Error::internal(
                "adding a frame to the clip",
                format!("it has {} values where the model takes {expected}", frame.len()),
            ));
        }
        let slot = self.free.pop().or_else(|| self.frames.pop_front());
        if let Some(mut slot) = slot {
            slot.copy_from_slice(frame);
            // There is room: as many slots exist as the ring has frames.
            let _ = self.frames.push_back(slot);
        }
        Ok(())
    }

    /// Frames held.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether no frame is held.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether a whole clip is held.
    pub fn is_full(&self) -> bool {
        self.frames.len() == self.wanted
    }

    /// Forgets every frame.
    pub fn clear(&mut self) {
        while let Some(slot) = self.frames.pop_front() {
            let _ = self.free.push(slot);
        }
    }

    /// Writes the clip, oldest frame first, in the order of axes that `layout`
    /// names (with a batch of one).
    ///
    /// # Errors
    /// [`Kind::Internal`](crate::error::Kind::Internal): the ring is not full,
    /// or `out` is not frames × channels × height × width values long.
    pub fn write_clip(&self, layout: Layout, out: &mut [f32]) -> Result<()> {
        let (plane, channels) = (self.plane, self.channels);
        let expected = self.wanted * channels * plane;
        if !self.is_full() || out.len() != expected {
            return Err(Error::internal(
                "assembling a clip",
                format!(
                    "{} of {} frames, room for {} of {expected} values",
                    self.frames.len(),
                    self.wanted,
                    out.len()
                ),
            ));
        }
        for (t, frame) in self.frames.iter().enumerate() {
            match layout {
                Layout::NCTHW => {
                    for (c, values) in frame.chunks_exact(plane).enumerate() {
                        out[(c * self.wanted + t) * plane..][..plane].copy_from_slice(values);
                    }
                }
                Layout::NTCHW => out[t * channels * plane..][..frame.len()].copy_from_slice(frame),
                Layout::NTHWC => {
                    let pixels = &mut out[t * channels * plane..][..frame.len()];
                    for (c, values) in frame.chunks_exact(plane).enumerate() {
                        let to = pixels.iter_mut().skip(c).step_by(channels);
                        to.zip(values).for_each(|(to, &value)| *to = value);
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clip::Resize;
    use crate::video::Colour;

    fn spec(frames: usize) -> InputSpec {
        InputSpec {
            layout: Layout::NCTHW,
            frames,
            rate: 1.0,
            size: [1, 2],
            resize: Resize::Stretch,
            antialias: false,
            colour: Colour::Rgb,
            mean: vec![0.0; 3],
            std: vec![1.0; 3],
        }
    }

    /// Frame `t` holds t × 10 + (0..6): channel by channel, two pixels each.
    fn frame(t: usize) -> Vec<f32> {
        (0..6).map(|i| (t * 10 + i) as f32).collect()
    }

    fn clip(ring: &Ring, layout: Layout) -> Vec<f32> {
        let mut out = vec![f32::NAN; 12];
        ring.write_clip(layout, &mut out).unwrap();
        out
    }

    #[test]
    fn holds_the_newest_frames_oldest_first() {
        let mut ring = Ring::new(&spec(2)).unwrap();
        for t in 0..5 {
            assert_eq!(ring.is_full(), t >= 2, "before frame {t}");
            ring.push(&frame(t)).unwrap();
        }
        assert_eq!(clip(&ring, Layout::NTCHW), [frame(3), frame(4)].concat());
    }

    #[test]
    fn writes_every_layout() {
        let mut ring = Ring::new(&spec(2)).unwrap();
        ring.push(&frame(0)).unwrap();
        ring.push(&frame(1)).unwrap();
        assert_eq!(
            clip(&ring, Layout::NCTHW),
            [0., 1., 10., 11., 2., 3., 12., 13., 4., 5., 14., 15.]
        );
        assert_eq!(
            clip(&ring, Layout::NTCHW),
            [0., 1., 2., 3., 4., 5., 10., 11., 12., 13., 14., 15.]
        );
        assert_eq!(
            clip(&ring, Layout::NTHWC),
            [0., 2., 4., 1., 3., 5., 10., 12., 14., 11., 13., 15.]
        );
    }

    #[test]
    fn is_empty_after_clear_and_fills_again() {
        let mut ring = Ring::new(&spec(2)).unwrap();
        (0..3).for_each(|t| ring.push(&frame(t)).unwrap());
        ring.clear();
        assert!(ring.is_empty() && !ring.is_full());
        assert!(ring.write_clip(Layout::NCTHW, &mut [0.0; 12]).is_err());
        (7..9).for_each(|t| ring.push(&frame(t)).unwrap());
        assert_eq!(clip(&ring, Layout::NTCHW), [frame(7), frame(8)].concat());
    }

    #[test]
    fn more_frames_than_slots_are_refused() {
        assert!(Ring::new(&spec(Ring::CAPACITY)).is_ok());
        let text = Ring::new(&spec(Ring::CAPACITY + 1)).unwrap_err().to_string();
        assert!(text.contains("65 frames") && text.contains("64"), "{text}");
    }

    #[test]
    fn a_frame_of_another_size_is_refused() {
        let text = Ring::new(&spec(2)).unwrap().push(&[0.0; 5]).unwrap_err().to_string();
        assert!(text.contains("5 values") && text.contains('6'), "{text}");
    }
}
