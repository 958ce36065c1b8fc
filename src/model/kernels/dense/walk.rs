//! In which order a dense convolution goes through pixels and taps.

use std::ops::Range;

use super::super::Extent;
use super::tile::{Pixel, Run};
use super::{DenseShape, DenseTask};

/// The most pixels that are worked through with the same weights before the next. Many, as
/// weights that don't fit into the cache are read once for each group; few, as a group's
/// input should stay in it.
pub(super) const GROUP: usize = 216;

/// How many of `count` pixels to work through together: a multiple of most tiles' pixels.
pub(super) fn group(count: usize) -> usize {
    count.div_ceil(count.div_ceil(GROUP).max(1)).next_multiple_of(24).min(GROUP)
}

/// The output's pixels, row by row.
pub(super) struct Pixels<'a> {
    shape: &'a DenseShape,
    task: &'a DenseTask<'a>,
    /// Where the rows that are computed begin in the output frame.
    origin: usize,
    /// Of the next pixel.
    row: usize,
    column: usize,
}

impl<'a> Pixels<'a> {
    pub fn new(shape: &'a DenseShape, task: &'a DenseTask, rows: &Range<usize>) -> Self {
        let origin = task.output.rows(rows).start;
        Pixels { shape, task, origin, row: rows.start, column: 0 }
    }

    /// Writes the next pixels to all of `to`.
    pub fn fill(&mut self, mut to: &mut [Pixel]) {
        let (shape, input, output) = (self.shape, &self.task.input, &self.task.output);
        let residual = self.task.residual.as_ref().map(|(_, extent)| extent);
        let step = Pixel {
            input: shape.stride[1] * input.step,
            output: output.step,
            residual: residual.map_or(0, |extent| extent.step),
        };
        while !to.is_empty() {
            let down = input.border.top + self.row * shape.stride[0] - shape.pad[0];
            let across = input.border.left + self.column * shape.stride[1] - shape.pad[1];
            let mut next = Pixel {
                input: down * input.pitch() + across * input.step,
                output: output.at(self.row, self.column) - self.origin,
                residual: residual.map_or(0, |extent| extent.at(self.row, self.column)),
            };
            let (these, others) = to.split_at_mut(to.len().min(output.width - self.column));
            for pixel in these.iter_mut() {
                *pixel = next;
                next.input = next.input.wrapping_add(step.input);
                next.output = next.output.wrapping_add(step.output);
                next.residual = next.residual.wrapping_add(step.residual);
            }
            self.column += these.len();
            if self.column == output.width {
                (self.row, self.column) = (self.row + 1, 0);
            }
            to = others;
        }
    }
}

/// The most runs that are worked through together.
pub(super) const RUNS: usize = 64;

/// The input that goes into each pixel, some runs at a time.
pub(super) struct Runs<'a> {
    shape: &'a DenseShape,
    input: &'a Extent,
    taps: &'a [Option<&'a [f32]>],
    /// The next tap in time, down, across, and its next channel.
    tap: [usize; 3],
    channel: usize,
    /// The row of weights of that.
    row: usize,
    /// Rows that are still to come.
    left: usize,
    /// Rows in each part.
    part: usize,
    runs: [Run; RUNS],
}

impl<'a> Runs<'a> {
    /// In equal parts of at most `most` rows of weights.
    pub fn new(
        shape: &'a DenseShape,
        input: &'a Extent,
        taps: &'a [Option<&'a [f32]>],
        most: usize,
    ) -> Self {
        let [_, down, across] = shape.kernel;
        let left = taps.iter().flatten().count() * down * across * shape.inputs;
        let part = left.div_ceil(left.div_ceil(most).max(1));
        let none = Run { from: std::ptr::null(), row: 0, len: 0 };
        let (tap, runs) = ([0; 3], [none; RUNS]);
        Runs { shape, input, taps, tap, channel: 0, row: 0, left, part, runs }
    }

    /// The next part, its rows of weights one after the other, and whether it is the last.
    /// Without any input the only one is empty.
    pub fn next(&mut self) -> (&[Run], bool) {
        let [_, down, across] = self.shape.kernel;
        let (mut count, mut rows) = (0, 0);
        while count < RUNS && rows < self.part {
            let [t, y, x] = self.tap;
            let Some(tap) = self.taps.get(t) else { break };
            let Some(frame) = tap else {
                // Its weights are left out.
                if count > 0 {
                    break;
                }
                self.row += down * across * self.shape.inputs;
                self.tap = [t + 1, 0, 0];
                continue;
            };
            let len = (self.shape.inputs - self.channel).min(self.part - rows);
            let from = y * self.input.pitch() + x * self.input.step + self.channel;
            let from = frame.as_ptr().wrapping_add(from);
            match self.runs[..count].last_mut() {
                // Without padding between pixels the taps of a row follow each other.
                Some(last) if last.from.wrapping_add(last.len) == from => last.len += len,
                _ => {
                    self.runs[count] = Run { from, row: self.row, len };
                    count += 1;
                }
            }
            rows += len;
            self.row += len;
            self.left -= len;
            self.channel += len;
            if self.channel == self.shape.inputs {
                self.channel = 0;
                self.tap = match self.tap {
                    [t, y, x] if x + 1 < across => [t, y, x + 1],
                    [t, y, _] if y + 1 < down => [t, y + 1, 0],
                    [t, ..] => [t + 1, 0, 0],
                };
            }
        }
        (&self.runs[..count], self.left == 0)
    }
}
