//! What is done pixel by pixel.
//!
//! In each of these `rows` are the output's rows to compute and `out` is
//! [`Extent::rows`] of the output frame; inputs are whole frames with the output's
//! height, width and channels, each with a border of its own. Borders are not written.
//!
//! # Panics
//! Where a frame is shorter than its extent says: the graph's shapes rule that out.

use std::ops::Range;

use super::vector::{Vector, vectorized};
use super::{Activation, Extent, Isa};

/// `activation(a + b)`.
pub fn add(
    isa: Isa,
    a: (&[f32], &Extent),
    b: (&[f32], &Extent),
    activation: Activation,
    output: &Extent,
    rows: Range<usize>,
    out: &mut [f32],
) {
    let job = Job::new(isa, [a, b], activation, output, &rows, out);
    // SAFETY: `Job::new` checked what `Job` asks for.
    unsafe { run_add(isa, &job) }
}

/// `activation(a · b)`.
pub fn multiply(
    isa: Isa,
    a: (&[f32], &Extent),
    b: (&[f32], &Extent),
    activation: Activation,
    output: &Extent,
    rows: Range<usize>,
    out: &mut [f32],
) {
    let job = Job::new(isa, [a, b], activation, output, &rows, out);
    // SAFETY: `Job::new` checked what `Job` asks for.
    unsafe { run_multiply(isa, &job) }
}

/// `activation(a · scale + offset)`, a scale and an offset for each channel (at least
/// `step` of them).
#[allow(clippy::too_many_arguments)]
pub fn scale_channels(
    isa: Isa,
    a: (&[f32], &Extent),
    scale: &[f32],
    offset: &[f32],
    activation: Activation,
    output: &Extent,
    rows: Range<usize>,
    out: &mut [f32],
) {
    let job = Job::new(isa, [a, a], activation, output, &rows, out);
    assert!(scale.len() >= output.step && offset.len() >= output.step, "a scale for each channel");
    // SAFETY: `Job::new` checked what `Job` asks for, and a pixel is whole vectors.
    unsafe { run_scale(isa, &job, output.step, scale.as_ptr(), offset.as_ptr()) }
}

/// Adds each channel's sum over the frame to `sums` (at least `step` of them).
pub fn channel_sums(isa: Isa, a: (&[f32], &Extent), sums: &mut [f32]) {
    let (frame, extent) = a;
    assert!(frame.len() >= extent.len(), "frame too short");
    assert!(extent.step.is_multiple_of(isa.lanes()), "pixels are whole vectors");
    let vectors = extent.channels.div_ceil(isa.lanes());
    let values = vectors * isa.lanes();
    assert!(values <= extent.step && values <= sums.len(), "a sum for each channel");
    // SAFETY: the frame is as long as its extent, and the vectors lie in a pixel and in
    // `sums`.
    unsafe { run_sums(isa, frame.as_ptr(), extent, vectors, sums.as_mut_ptr()) }
}

/// Where rows of two inputs and of the output lie.
///
/// What the loops rely on: from each place on, `lines` runs of `len` values, whole
/// vectors, begin a pitch after the other and can be read or written.
struct Job {
    inputs: [Place; 2],
    out: *mut f32,
    out_pitch: usize,
    lines: usize,
    len: usize,
    activation: Activation,
}

struct Place {
    from: *const f32,
    pitch: usize,
}

impl Job {
    fn new(
        isa: Isa,
        inputs: [(&[f32], &Extent); 2],
        activation: Activation,
        output: &Extent,
        rows: &Range<usize>,
        out: &mut [f32],
    ) -> Job {
        let len = output.width * output.step;
        assert!(output.step.is_multiple_of(isa.lanes()), "pixels are whole vectors");
        assert!(rows.start <= rows.end && rows.end <= output.height, "rows outside of the frame");
        assert!(out.len() >= output.rows(rows).len(), "output too short");
        let lines = rows.len();
        let mut together = output.pitch() == len;
        for (frame, extent) in inputs {
            assert!(extent.step == output.step && extent.width == output.width, "unlike frames");
            assert!(rows.end <= extent.height && frame.len() >= extent.len(), "input too short");
            together &= extent.pitch() == len;
        }
        // Without rows `out` may be shorter than a border.
        let (lines, len) = match lines {
            0 => (0, 0),
            // Rows that follow each other without a gap are one.
            _ if together => (1, lines * len),
            _ => (lines, len),
        };
        let place = |(frame, extent): (&[f32], &Extent)| Place {
            from: frame.as_ptr().wrapping_add(extent.at(rows.start, 0)),
            pitch: extent.pitch(),
        };
        Job {
            inputs: inputs.map(place),
            out: out.as_mut_ptr().wrapping_add(output.border.left * output.step),
            out_pitch: output.pitch(),
            lines,
            len,
            activation,
        }
    }
}

vectorized! {
    /// # Safety
    /// As [`Job`] says.
    unsafe fn run_add(job: &Job) = sum
}
vectorized! {
    /// # Safety
    /// As [`Job`] says.
    unsafe fn run_multiply(job: &Job) = product
}
vectorized! {
    /// # Safety
    /// As [`Job`] says; its runs are pixels of `step` values, as many as `scale` and
    /// `offset` have.
    unsafe fn run_scale(job: &Job, step: usize, scale: *const f32, offset: *const f32) = scaled
}
vectorized! {
    /// # Safety
    /// `frame` is as long as `extent`; `vectors` of channels lie in a pixel and in `sums`.
    unsafe fn run_sums(frame: *const f32, extent: &Extent, vectors: usize, sums: *mut f32) = sums_of
}

#[inline(always)]
unsafe fn sum<V: Vector>(job: &Job) {
    // SAFETY: the caller's promise, handed on. Below, too.
    unsafe { joined::<V, false>(job) }
}

#[inline(always)]
unsafe fn product<V: Vector>(job: &Job) {
    unsafe { joined::<V, true>(job) }
}

/// The product or the sum.
///
/// # Safety
/// As [`Job`] says; the CPU has `V`'s instructions.
#[inline(always)]
unsafe fn joined<V: Vector, const PRODUCT: bool>(job: &Job) {
    let [a, b] = &job.inputs;
    for line in 0..job.lines {
        let a = a.from.wrapping_add(line * a.pitch);
        let b = b.from.wrapping_add(line * b.pitch);
        let out = job.out.wrapping_add(line * job.out_pitch);
        let mut at = 0;
        while at < job.len {
            // SAFETY: `at` begins one of the run's vectors.
            unsafe {
                let (a, b) = (V::load(a.add(at)), V::load(b.add(at)));
                let value = if PRODUCT { a.mul(b) } else { a.add(b) };
                job.activation.apply(value).store(out.add(at));
            }
            at += V::LANES;
        }
    }
}

/// # Safety
/// As [`run_scale`]; the CPU has `V`'s instructions.
#[inline(always)]
unsafe fn scaled<V: Vector>(job: &Job, step: usize, scale: *const f32, offset: *const f32) {
    let [a, _] = &job.inputs;
    for line in 0..job.lines {
        let a = a.from.wrapping_add(line * a.pitch);
        let out = job.out.wrapping_add(line * job.out_pitch);
        let mut pixel = 0;
        while pixel < job.len {
            let mut at = 0;
            while at < step {
                // SAFETY: `pixel + at` begins one of the run's vectors, `at` one of the
                // channels'.
                unsafe {
                    let (scale, offset) = (V::load(scale.add(at)), V::load(offset.add(at)));
                    let value = V::load(a.add(pixel + at)).fma(scale, offset);
                    job.activation.apply(value).store(out.add(pixel + at));
                }
                at += V::LANES;
            }
            pixel += step;
        }
    }
}

/// # Safety
/// As [`run_sums`]; the CPU has `V`'s instructions.
#[inline(always)]
unsafe fn sums_of<V: Vector>(frame: *const f32, extent: &Extent, vectors: usize, sums: *mut f32) {
    for row in 0..extent.height {
        let mut vector = 0;
        // SAFETY: the vectors are those of a pixel, and the row is the extent's.
        unsafe {
            let line = frame.wrapping_add(extent.at(row, 0));
            while vector + 4 <= vectors {
                line_sums::<V, 4>(
                    line.wrapping_add(vector * V::LANES),
                    extent,
                    sums.add(vector * V::LANES),
                );
                vector += 4;
            }
            while vector < vectors {
                line_sums::<V, 1>(
                    line.wrapping_add(vector * V::LANES),
                    extent,
                    sums.add(vector * V::LANES),
                );
                vector += 1;
            }
        }
    }
}

/// Adds a row's sums of `COUNT` vectors of channels: each row by itself first, so that
/// little is lost where a frame is large.
///
/// # Safety
/// `pixel` is the first of a row of `extent`'s, and it and `sums` have so many vectors;
/// the CPU has `V`'s instructions.
#[inline(always)]
unsafe fn line_sums<V: Vector, const COUNT: usize>(
    mut pixel: *const f32,
    extent: &Extent,
    mut sums: *mut f32,
) {
    // SAFETY: as the caller says.
    unsafe {
        let mut totals = [V::zero(); COUNT];
        for _ in 0..extent.width {
            let mut value = pixel;
            for total in &mut totals {
                *total = total.add(V::load(value));
                value = value.wrapping_add(V::LANES);
            }
            pixel = pixel.wrapping_add(extent.step);
        }
        for total in totals {
            V::load(sums).add(total).store(sums);
            sums = sums.wrapping_add(V::LANES);
        }
    }
}

#[cfg(test)]
#[path = "pointwise_tests.rs"]
mod tests;
