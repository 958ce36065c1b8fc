//! How a frame of activations lies in memory.

use super::Isa;

/// Pixels of zeros around a frame, so that a convolution needs no checks at its edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Border {
    pub top: usize,
    pub left: usize,
    pub bottom: usize,
    pub right: usize,
}

/// How one frame lies in memory: rows of pixels, channels last. A pixel takes `step`
/// values, its channels and then padding that nobody reads the meaning of; a row has
/// the left and right border's pixels about it, and the frame the top and bottom
/// border's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    /// From one pixel to the next: `channels` rounded up to whole vectors.
    pub step: usize,
    pub border: Border,
}

impl Extent {
    /// A frame without a border, its pixels whole vectors of `isa`.
    pub fn new(isa: Isa, height: usize, width: usize, channels: usize) -> Self {
        let step = channels.next_multiple_of(isa.lanes());
        Extent { height, width, channels, step, border: Border::default() }
    }

    /// The same with a border.
    pub fn with_border(self, border: Border) -> Self {
        Extent { border, ..self }
    }

    /// Values from one row to the next.
    pub fn pitch(&self) -> usize {
        (self.border.left + self.width + self.border.right) * self.step
    }

    /// Values of the whole frame, border and padding included.
    #[expect(clippy::len_without_is_empty, reason = "no frame is empty")]
    pub fn len(&self) -> usize {
        (self.border.top + self.height + self.border.bottom) * self.pitch()
    }

    /// Where the pixel of `row` and `column` begins; (0, 0) is the first inside the
    /// border.
    pub fn at(&self, row: usize, column: usize) -> usize {
        (self.border.top + row) * self.pitch() + (self.border.left + column) * self.step
    }

    /// Where the memory of `rows` lies in a frame, their left and right border with it:
    /// what is handed to a loop that writes these rows.
    pub fn rows(&self, rows: &std::ops::Range<usize>) -> std::ops::Range<usize> {
        let pitch = self.pitch();
        (self.border.top + rows.start) * pitch..(self.border.top + rows.end) * pitch
    }
}
