//! Convolution of each channel by itself.
//!
//! A vector holds channels of one pixel. Sums of several output pixels next to each other
//! stay in registers while the taps in time and down go by, and each input pixel that is
//! loaded serves all the taps across that reach it. The output is made in strips of rows,
//! one vector of channels after the other: what a strip reads stays in the cache meanwhile.

use std::ops::Range;

use super::vector::{Vector, vectorized};
use super::{Activation, Buffer, Extent, Isa};

/// What a depthwise convolution is, apart from its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthwiseShape {
    pub channels: usize,
    /// Taps in time, down, across.
    pub kernel: [usize; 3],
    /// Down, across.
    pub stride: [usize; 2],
    /// As in [`DenseShape`](super::DenseShape).
    pub pad: [usize; 2],
}

/// A depthwise convolution, its weights packed for `isa`.
#[derive(Debug)]
pub struct Depthwise {
    isa: Isa,
    shape: DepthwiseShape,
    /// For each vector of channels, for each tap (time, down, across), the channels'.
    weights: Buffer,
    /// For each vector of channels, the channels'.
    bias: Buffer,
}

impl Depthwise {
    /// Packs `weights`, channels × time × down × across, and `bias`, a value for each
    /// channel.
    ///
    /// # Panics
    /// Where these are not as many values as the shape says.
    pub fn new(isa: Isa, shape: DepthwiseShape, weights: &[f32], bias: &[f32]) -> Self {
        let taps = shape.kernel.iter().product::<usize>();
        assert_eq!(weights.len(), shape.channels * taps, "weights of a depthwise convolution");
        assert_eq!(bias.len(), shape.channels, "biases of a depthwise convolution");
        let lanes = isa.lanes();
        let mut packed = Buffer::zeros(shape.channels.next_multiple_of(lanes) * taps);
        for c in 0..shape.channels {
            for tap in 0..taps {
                packed[(c / lanes * taps + tap) * lanes + c % lanes] = weights[c * taps + tap];
            }
        }
        let mut padded = Buffer::zeros(shape.channels.next_multiple_of(lanes));
        padded[..shape.channels].copy_from_slice(bias);
        Depthwise { isa, shape, weights: packed, bias: padded }
    }

    /// Bytes of the packed weights and biases.
    pub fn bytes(&self) -> usize {
        size_of_val::<[f32]>(&self.weights) + size_of_val::<[f32]>(&self.bias)
    }

    /// Computes `rows` of an output frame from the input frame of each tap in time
    /// (oldest first; none for one outside of the clip, which counts as zeros): `out`
    /// is [`Extent::rows`] of it. Its border is not written.
    ///
    /// # Panics
    /// As [`Dense::run`](super::Dense::run).
    pub fn run(
        &self,
        taps: &[Option<&[f32]>],
        input: &Extent,
        output: &Extent,
        after: Activation,
        rows: Range<usize>,
        out: &mut [f32],
    ) {
        let DepthwiseShape { channels, kernel: [kt, kh, kw], stride, pad } = self.shape;
        let vectors = channels.div_ceil(self.isa.lanes());
        assert_eq!(taps.len(), kt, "a depthwise convolution's taps in time");
        assert!(rows.start <= rows.end && rows.end <= output.height, "rows outside of the frame");
        if rows.is_empty() || output.width == 0 || channels == 0 {
            return;
        }
        let values = vectors * self.isa.lanes();
        assert!(values <= input.step && values <= output.step, "pixels too small");
        assert!(pad[0] <= input.border.top && pad[1] <= input.border.left, "border too narrow");
        let bottom = input.height + input.border.bottom + pad[0];
        let right = input.width + input.border.right + pad[1];
        assert!((rows.end - 1) * stride[0] + kh <= bottom, "border too narrow below");
        assert!((output.width - 1) * stride[1] + kw <= right, "border too narrow on the right");
        assert!(taps.iter().flatten().all(|frame| frame.len() >= input.len()), "input too short");
        assert!(out.len() >= output.rows(&rows).len(), "output too short");

        let (low, high) = after.bounds().unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
        let top = input.border.top - pad[0] + rows.start * stride[0];
        let job = Job {
            taps,
            kernel: [kh, kw],
            first: top * input.pitch() + (input.border.left - pad[1]) * input.step,
            line: input.pitch(),
            pixel: input.step,
            row: input.pitch() * stride[0],
            column: input.step * stride[1],
            out_pixel: output.step,
            out_row: output.pitch(),
            rows: rows.len(),
            width: output.width,
            strip: strip(input.pitch(), self.shape),
            vectors,
            weights: &self.weights,
            bias: &self.bias,
            bounds: [low, high],
            after: if after.bounds().is_some() { Activation::None } else { after },
        };
        let out = &mut out[output.border.left * output.step..];
        let sweep = match (kw, stride[1]) {
            (3, 1) => sweep_three,
            (3, 2) => sweep_three_by_two,
            (5, 1) => sweep_five,
            (5, 2) => sweep_five_by_two,
            _ => sweep_any,
        };
        // SAFETY: `Job` says what has to hold, and it was asserted above:
        // - the first and the last pixel of the first and last row's taps lie in the
        //   frame and its border, so all between them do, and each tap's frame is as long
        //   as its extent;
        // - so does every output pixel in `out`, which begins with the left border of the
        //   first row;
        // - a pixel, there and here, has room for all vectors of its channels;
        // - weights and biases were packed as whole vectors of `isa` by `new`.
        unsafe { sweep(self.isa, &job, out.as_mut_ptr()) }
    }
}

/// Rows of output whose input is small enough to stay in the second-level cache while
/// all channels go by.
fn strip(pitch: usize, shape: DepthwiseShape) -> usize {
    const VALUES: usize = 256 * 1024 / size_of::<f32>();
    let [kt, kh, _] = shape.kernel;
    let lines = VALUES / (pitch * kt).max(1);
    (lines.saturating_sub(kh) / shape.stride[0].max(1)).max(1)
}

/// A run: where everything lies. Distances are in values.
///
/// What the loops rely on: with `last = (rows - 1) · row + (width - 1) · column +
/// (kernel[0] - 1) · line + (kernel[1] - 1) · pixel`, each tap has at least `first + last
/// + vectors` whole vectors; the output `(rows - 1) · out_row + (width - 1) · out_pixel`
/// and as much; `weights` and `bias` are whole vectors for all taps of all channels.
struct Job<'a> {
    taps: &'a [Option<&'a [f32]>],
    /// Taps down, across.
    kernel: [usize; 2],
    /// Of the first tap of the first output pixel.
    first: usize,
    /// From one input row to the next.
    line: usize,
    /// From one input pixel to the next.
    pixel: usize,
    /// In the input, from one output row's first tap to the next row's.
    row: usize,
    /// In the input, from one output pixel's first tap to the next pixel's.
    column: usize,
    out_pixel: usize,
    out_row: usize,
    rows: usize,
    width: usize,
    /// Rows to make for one vector of channels before the next.
    strip: usize,
    vectors: usize,
    weights: &'a [f32],
    bias: &'a [f32],
    bounds: [f32; 2],
    /// What is done when the values have been clipped to the bounds.
    after: Activation,
}

vectorized! {
    /// # Safety
    /// As [`Job`] says; `out` is the first pixel.
    unsafe fn sweep_three(job: &Job, out: *mut f32) = three
}
vectorized! {
    /// # Safety
    /// As [`Job`] says; `out` is the first pixel.
    unsafe fn sweep_three_by_two(job: &Job, out: *mut f32) = three_by_two
}
vectorized! {
    /// # Safety
    /// As [`Job`] says; `out` is the first pixel.
    unsafe fn sweep_five(job: &Job, out: *mut f32) = five
}
vectorized! {
    /// # Safety
    /// As [`Job`] says; `out` is the first pixel.
    unsafe fn sweep_five_by_two(job: &Job, out: *mut f32) = five_by_two
}
vectorized! {
    /// # Safety
    /// As [`Job`] says; `out` is the first pixel.
    unsafe fn sweep_any(job: &Job, out: *mut f32) = any
}

#[inline(always)]
unsafe fn three<V: Vector>(job: &Job, out: *mut f32) {
    // SAFETY: the caller's promise, handed on. In the following four, too.
    unsafe { sweep::<V, 3, 1>(job, out) }
}

#[inline(always)]
unsafe fn three_by_two<V: Vector>(job: &Job, out: *mut f32) {
    unsafe { sweep::<V, 3, 2>(job, out) }
}

#[inline(always)]
unsafe fn five<V: Vector>(job: &Job, out: *mut f32) {
    unsafe { sweep::<V, 5, 1>(job, out) }
}

#[inline(always)]
unsafe fn five_by_two<V: Vector>(job: &Job, out: *mut f32) {
    unsafe { sweep::<V, 5, 2>(job, out) }
}

#[inline(always)]
unsafe fn any<V: Vector>(job: &Job, out: *mut f32) {
    unsafe { sweep::<V, 0, 1>(job, out) }
}

/// All rows and channels. `ACROSS` taps across and their `STRIDE` are known, or 0 where
/// the job says.
///
/// # Safety
/// As [`Job`] says; `out` is the first pixel; the CPU has `V`'s instructions.
#[inline(always)]
unsafe fn sweep<V: Vector, const ACROSS: usize, const STRIDE: usize>(job: &Job, out: *mut f32) {
    let taps = job.taps.len() * job.kernel[0] * job.kernel[1];
    let mut start = 0;
    while start < job.rows {
        let end = job.rows.min(start + job.strip);
        for vector in 0..job.vectors {
            let channel = vector * V::LANES;
            // SAFETY: `vector` is one of the job's, and a row of the strip and a block of
            // the row lie in the output, so that the distances stay within what `Job` says.
            unsafe {
                let weights = job.weights.as_ptr().add(channel * taps);
                let bias = V::load(job.bias.as_ptr().add(channel));
                for row in start..end {
                    let from = job.first + row * job.row + channel;
                    let to = out.add(row * job.out_row + channel);
                    let mut column = 0;
                    while column < job.width {
                        let (at, size) = block_at(column, job.width);
                        let (from, to) = (from + at * job.column, to.add(at * job.out_pixel));
                        match size {
                            8 => block::<V, ACROSS, STRIDE, 8>(job, from, weights, bias, to),
                            6 => block::<V, ACROSS, STRIDE, 6>(job, from, weights, bias, to),
                            4 => block::<V, ACROSS, STRIDE, 4>(job, from, weights, bias, to),
                            _ => block::<V, ACROSS, STRIDE, 1>(job, from, weights, bias, to),
                        }
                        column = at + size;
                    }
                }
                if job.after != Activation::None {
                    for row in start..end {
                        let mut to = out.add(row * job.out_row + channel);
                        for _ in 0..job.width {
                            job.after.apply(V::load(to)).store(to);
                            to = to.add(job.out_pixel);
                        }
                    }
                }
            }
        }
        start = end;
    }
}

/// Where the block of pixels that `column` begins starts and how many it has: the last one
/// of a row may start earlier and make some pixels again, rather than be a small one.
#[inline(always)]
fn block_at(column: usize, width: usize) -> (usize, usize) {
    let left = width - column;
    let enough = match left {
        1 => 1,
        2..=4 => 4,
        5 | 6 => 6,
        _ => 8,
    };
    if left >= 8 {
        (column, 8)
    } else if enough <= width {
        (width - enough, enough)
    } else {
        let fits = match left {
            6.. => 6,
            4 | 5 => 4,
            _ => 1,
        };
        (column, fits)
    }
}

/// Repeats the body with `$i` as each of the numbers: a loop that surely leaves nothing
/// but its body, so that arrays become registers.
macro_rules! unrolled {
    ($i:ident in [$($n:literal)*] $body:block) => {
        $({
            let $i: usize = $n;
            $body
        })*
    };
}

/// `COUNT` output pixels next to each other, of one vector of channels.
///
/// # Safety
/// As [`Job`] says; `from` is where the block's first tap lies in each frame, `weights`
/// the channels', `to` the first pixel's place; the CPU has `V`'s instructions.
#[inline(always)]
unsafe fn block<V: Vector, const ACROSS: usize, const STRIDE: usize, const COUNT: usize>(
    job: &Job,
    from: usize,
    mut weights: *const f32,
    bias: V,
    mut to: *mut f32,
) {
    let [down, across] = job.kernel;
    // SAFETY: the pixels read are those of the block's taps, the weights as many as taps,
    // and the pixels written the block's.
    unsafe {
        let mut sums = [bias; COUNT];
        for tap in job.taps {
            let Some(frame) = tap else {
                weights = weights.add(down * across * V::LANES);
                continue;
            };
            let mut line = frame.as_ptr().add(from);
            for _ in 0..down {
                if ACROSS == 0 {
                    let mut first = line;
                    for _ in 0..across {
                        let factor = V::load(weights);
                        weights = weights.add(V::LANES);
                        let mut pixel = first;
                        for sum in &mut sums {
                            *sum = V::load(pixel).fma(factor, *sum);
                            pixel = pixel.wrapping_add(job.column);
                        }
                        first = first.wrapping_add(job.pixel);
                    }
                } else {
                    let mut factors = [bias; ACROSS];
                    for factor in &mut factors {
                        *factor = V::load(weights);
                        weights = weights.add(V::LANES);
                    }
                    const { assert!((COUNT - 1) * STRIDE + ACROSS <= 19 && ACROSS <= 5) };
                    let mut pixel = line;
                    unrolled!(i in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18] {
                        if i < (COUNT - 1) * STRIDE + ACROSS {
                            if i > 0 {
                                pixel = pixel.wrapping_add(job.pixel);
                            }
                            let value = V::load(pixel);
                            unrolled!(k in [0 1 2 3 4] {
                                // Pixel i is tap k of the output pixel (i - k) / STRIDE.
                                if k < ACROSS && k <= i && (i - k).is_multiple_of(STRIDE) {
                                    let at = (i - k) / STRIDE;
                                    if at < COUNT {
                                        sums[at] = value.fma(factors[k], sums[at]);
                                    }
                                }
                            });
                        }
                    });
                }
                line = line.wrapping_add(job.line);
            }
        }
        let [low, high] = job.bounds;
        let (low, high) = (V::splat(low), V::splat(high));
        for sum in sums {
            sum.at_least(low).at_most(high).store(to);
            to = to.wrapping_add(job.out_pixel);
        }
    }
}

#[cfg(test)]
#[path = "depthwise_tests.rs"]
mod tests;
