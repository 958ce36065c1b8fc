//! The largest or the mean of each channel's neighbourhood.

use std::ops::Range;

use super::vector::{Vector, vectorized};
use super::{Extent, Isa};

/// What a pool takes of its taps. Taps outside of the frame are not among them. NaN among
/// the taps gives NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// The largest; -∞ where no tap lies in the clip.
    Max,
    /// The mean of the taps that lie in the clip; 0 where none does.
    Mean,
    /// The mean with taps outside counted as zeros (`count_include_pad`).
    PaddedMean,
}

/// A pool over space and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    pub kind: PoolKind,
    /// Taps in time, down, across.
    pub kernel: [usize; 3],
    /// Down, across.
    pub stride: [usize; 2],
    /// Rows above and columns left of the frame that the first output pixel's taps
    /// reach. No border is needed for it.
    pub pad: [usize; 2],
}

impl Pool {
    /// Computes `rows` of an output frame; arguments as [`Depthwise::run`](super::Depthwise::run).
    ///
    /// # Panics
    /// As [`Dense::run`](super::Dense::run).
    pub fn run(
        &self,
        isa: Isa,
        taps: &[Option<&[f32]>],
        input: &Extent,
        output: &Extent,
        rows: Range<usize>,
        out: &mut [f32],
    ) {
        let vectors = output.channels.div_ceil(isa.lanes());
        assert_eq!(taps.len(), self.kernel[0], "a pool's taps in time");
        assert!(rows.start <= rows.end && rows.end <= output.height, "rows outside of the frame");
        if rows.is_empty() || output.width == 0 || vectors == 0 {
            return;
        }
        let values = vectors * isa.lanes();
        assert!(values <= input.step && values <= output.step, "pixels too small");
        assert!(taps.iter().flatten().all(|frame| frame.len() >= input.len()), "input too short");
        assert!(out.len() >= output.rows(&rows).len(), "output too short");
        let job = Job { pool: self, taps, input, output, rows, vectors };
        let out = &mut out[output.border.left * output.step..];
        let sweep = match self.kind {
            PoolKind::Max => sweep_max,
            PoolKind::Mean | PoolKind::PaddedMean => sweep_mean,
        };
        // SAFETY: `Job` says what has to hold, and it was asserted above; `out` begins with
        // the left border of the first row.
        unsafe { sweep(isa, &job, out.as_mut_ptr()) }
    }
}

/// A run.
///
/// What the loops rely on: each tap is as long as its extent, `out` as the rows, and a
/// pixel of both has room for all vectors.
struct Job<'a> {
    pool: &'a Pool,
    taps: &'a [Option<&'a [f32]>],
    input: &'a Extent,
    output: &'a Extent,
    rows: Range<usize>,
    vectors: usize,
}

vectorized! {
    /// # Safety
    /// As [`Job`] says; `out` is the first pixel.
    unsafe fn sweep_max(job: &Job, out: *mut f32) = max
}
vectorized! {
    /// # Safety
    /// As [`Job`] says; `out` is the first pixel.
    unsafe fn sweep_mean(job: &Job, out: *mut f32) = mean
}

#[inline(always)]
unsafe fn max<V: Vector>(job: &Job, out: *mut f32) {
    // SAFETY: the caller's promise, handed on. Below, too.
    unsafe { sweep::<V, true>(job, out) }
}

#[inline(always)]
unsafe fn mean<V: Vector>(job: &Job, out: *mut f32) {
    unsafe { sweep::<V, false>(job, out) }
}

/// All rows, the largest or the mean.
///
/// # Safety
/// As [`Job`] says; `out` is the first pixel; the CPU has `V`'s instructions.
#[inline(always)]
unsafe fn sweep<V: Vector, const MAX: bool>(job: &Job, out: *mut f32) {
    let Pool { kind, kernel: [kt, kh, kw], stride, pad } = *job.pool;
    let mut present = 0;
    for tap in job.taps {
        present += usize::from(tap.is_some());
    }
    for row in job.rows.clone() {
        let down = inside(row * stride[0], kh, pad[0], job.input.height);
        for column in 0..job.output.width {
            let across = inside(column * stride[1], kw, pad[1], job.input.width);
            let taps = match kind {
                PoolKind::PaddedMean => kt * kh * kw,
                _ => present * down.len() * across.len(),
            };
            let window = Window {
                from: job.input.at(down.start, across.start),
                down: down.len(),
                across: across.len(),
                factor: 1.0 / taps.max(1) as f32,
            };
            let to = (row - job.rows.start) * job.output.pitch() + column * job.output.step;
            // SAFETY: the window lies in the frame (where it is empty, nothing is read);
            // the pixel is one of the rows', and the vectors are all of it.
            unsafe {
                let mut to = out.add(to);
                let mut vector = 0;
                while vector + 4 <= job.vectors {
                    pixel::<V, MAX, 4>(job, &window, vector * V::LANES, to);
                    to = to.add(4 * V::LANES);
                    vector += 4;
                }
                while vector < job.vectors {
                    pixel::<V, MAX, 1>(job, &window, vector * V::LANES, to);
                    to = to.add(V::LANES);
                    vector += 1;
                }
            }
        }
    }
}

/// Those of `taps` places from `first - pad` on that lie in 0..`size`.
#[inline(always)]
fn inside(first: usize, taps: usize, pad: usize, size: usize) -> Range<usize> {
    let end = (first + taps).saturating_sub(pad).min(size);
    first.saturating_sub(pad).min(end)..end
}

/// The taps of an output pixel that lie in the frame.
struct Window {
    from: usize,
    down: usize,
    across: usize,
    /// What a sum is multiplied with for the mean.
    factor: f32,
}

/// `COUNT` vectors of channels of one output pixel.
///
/// # Safety
/// As [`Job`] says; `window` lies in each frame, the vectors from `channel` on in a pixel
/// and at `to`; the CPU has `V`'s instructions.
#[inline(always)]
unsafe fn pixel<V: Vector, const MAX: bool, const COUNT: usize>(
    job: &Job,
    window: &Window,
    channel: usize,
    mut to: *mut f32,
) {
    // SAFETY: as the caller says.
    unsafe {
        let mut sums = [V::splat(if MAX { f32::NEG_INFINITY } else { 0.0 }); COUNT];
        for frame in job.taps {
            let Some(frame) = frame else { continue };
            for y in 0..window.down {
                let mut from =
                    frame.as_ptr().wrapping_add(window.from + y * job.input.pitch() + channel);
                for _ in 0..window.across {
                    let mut value = from;
                    for sum in &mut sums {
                        *sum = match MAX {
                            true => sum.max(V::load(value)),
                            false => sum.add(V::load(value)),
                        };
                        value = value.wrapping_add(V::LANES);
                    }
                    from = from.wrapping_add(job.input.step);
                }
            }
        }
        for sum in sums {
            let value = if MAX { sum } else { sum.mul(V::splat(window.factor)) };
            value.store(to);
            to = to.wrapping_add(V::LANES);
        }
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
