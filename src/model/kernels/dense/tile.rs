//! The innermost loop: some pixels by some vectors of output channels, their sums in
//! registers from the first tap to the last.

use super::super::isa::Kind;
use super::super::vector::{Vector, vectorized};
use super::super::{Activation, Isa};

/// What is the same for all tiles of some vectors of output channels, and of some or all
/// of the input that goes into them.
pub(super) struct Job<'a> {
    pub runs: &'a [Run],
    /// Rows of weights, one for each input value of a run after the other; the first of
    /// them is row `first`.
    pub weights: *const f32,
    pub first: usize,
    /// What sums begin with, a value for each channel; null: with what `out` holds.
    pub bias: *const f32,
    /// From the first of the channels on, as `residual`.
    pub out: *mut f32,
    /// Added at the end; null for nothing.
    pub residual: *const f32,
    /// Results are at least this.
    pub low: f32,
    /// What is needed after this job, and how many of its cache lines to ask for with each
    /// tile.
    pub ahead: *const u8,
    pub lines: usize,
}

/// Input values that lie next to each other, and so do their weights.
#[derive(Clone, Copy)]
pub(super) struct Run {
    /// Where they begin, less a pixel's [`input`](Pixel::input).
    pub from: *const f32,
    /// Their first row of weights.
    pub row: usize,
    pub len: usize,
}

/// Where the values of one output pixel begin.
#[derive(Clone, Copy, Default)]
pub(super) struct Pixel {
    /// In each tap's frame: what its first tap down and across reads.
    pub input: usize,
    /// In [`Job::out`].
    pub output: usize,
    /// In [`Job::residual`].
    pub residual: usize,
}

/// Computes tiles, the pixels of which follow each other.
///
/// # Safety
/// The CPU has the instructions of the [`Isa`] that the kernel was got for. With panels of
/// `n` vectors and from each of the pixels on, each run is valid for its values, and `out`
/// and `residual` for `n` vectors; `weights` is for the runs' rows of `n` vectors, and
/// `bias` for one.
pub(super) type Kernel = unsafe fn(&Job, &[Pixel]);

/// How many vectors the widest panel has.
pub(super) fn widest(isa: Isa) -> usize {
    tables(isa).many.len()
}

/// The kernels for panels of `n` vectors: of 1 pixel, of 2, …
pub(super) fn kernels(isa: Isa, n: usize) -> &'static [Kernel] {
    tables(isa).many[n - 1]
}

/// The kernel for a frame of one pixel: it adds up several sums for each channel, as one
/// alone would be waited for.
pub(super) fn lone(isa: Isa, n: usize) -> Kernel {
    tables(isa).lone[n - 1]
}

struct Tables {
    many: &'static [&'static [Kernel]],
    lone: &'static [Kernel],
}

macro_rules! table {
    ($tile:ident: $([$($m:literal)+] x $n:literal),+) => {
        &Tables { many: &[$(&[$($tile::<$m, $n, 1>),+]),+], lone: &[$($tile::<1, $n, 4>),+] }
    };
}

/// The sums of a tile, one panel row's weights and one input value have to fit into the
/// registers: 16, on AVX-512 and NEON 32.
fn tables(isa: Isa) -> &'static Tables {
    match isa.0 {
        Kind::Portable => table!(portable: [1 2 3 4 5 6 7 8] x 1, [1 2 3 4 5 6] x 2),
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => table!(avx2: [1 2 3 4 5 6 7 8] x 1, [1 2 3 4 5 6] x 2),
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => table!(avx512:
            [1 2 3 4 5 6 7 8] x 1,
            [1 2 3 4 5 6 7 8] x 2,
            [1 2 3 4 5 6 7 8] x 3,
            [1 2 3 4 5 6] x 4),
        #[cfg(target_arch = "aarch64")]
        Kind::Neon => table!(neon:
            [1 2 3 4 5 6 7 8] x 1,
            [1 2 3 4 5 6 7 8] x 2,
            [1 2 3 4 5 6 7 8] x 3,
            [1 2 3 4 5 6] x 4),
    }
}

macro_rules! compiled {
    ($name:ident, $vector:ty $(, $features:literal)?) => {
        $(#[target_feature(enable = $features)])?
        unsafe fn $name<const M: usize, const N: usize, const S: usize>(
            job: &Job,
            pixels: &[Pixel],
        ) {
            // SAFETY: the caller's promise, handed on.
            unsafe { tiles::<$vector, M, N, S>(job, pixels) }
        }
    };
}

compiled!(portable, [f32; 4]);
#[cfg(target_arch = "x86_64")]
compiled!(avx2, std::arch::x86_64::__m256, "avx2,fma,f16c");
#[cfg(target_arch = "x86_64")]
compiled!(avx512, std::arch::x86_64::__m512, "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,f16c");
#[cfg(target_arch = "aarch64")]
compiled!(neon, std::arch::aarch64::float32x4_t, "neon");

/// A [`Kernel`] of `M` pixels by `N` vectors, with `S` sums for each: which input goes to
/// which does not depend on `M` and `N`, so that a pixel's result does not depend on the
/// tile that it comes to lie in.
#[inline(always)]
unsafe fn tiles<V: Vector, const M: usize, const N: usize, const S: usize>(
    job: &Job,
    pixels: &[Pixel],
) {
    let width = N * V::LANES;
    let mut ahead = job.ahead;
    // SAFETY: every access is one of those that `Kernel` lists: `at` goes through a run's
    // rows of weights, and `from` through its values at each pixel of the tile.
    unsafe {
        let low = V::splat(job.low);
        for tile in pixels.as_chunks::<M>().0 {
            for _ in 0..job.lines {
                V::prefetch(ahead);
                ahead = ahead.wrapping_add(64);
            }
            let mut sums = [[[V::zero(); N]; M]; S];
            for (sums, pixel) in sums[0].iter_mut().zip(tile) {
                let from = if job.bias.is_null() { job.out.add(pixel.output) } else { job.bias };
                for (n, sum) in sums.iter_mut().enumerate() {
                    *sum = V::load(from.add(n * V::LANES));
                }
            }
            for run in job.runs {
                let mut at = job.weights.add(run.row.wrapping_sub(job.first).wrapping_mul(width));
                let mut from = [run.from; M];
                for (from, pixel) in from.iter_mut().zip(tile) {
                    *from = from.add(pixel.input);
                }
                let mut k = 0;
                while k < run.len / S * S {
                    k = V::hidden(k);
                    for (s, sums) in sums.iter_mut().enumerate() {
                        step(sums, at.add(s * width), &from, k.wrapping_add(s));
                    }
                    at = at.add(S * width);
                    k = k.wrapping_add(S);
                }
                while k < run.len {
                    step(&mut sums[0], at, &from, k);
                    at = at.add(width);
                    k = k.wrapping_add(1);
                }
            }
            if let [sums, others @ ..] = &mut sums[..] {
                for others in others {
                    for (sums, others) in sums.iter_mut().zip(others) {
                        for (sum, other) in sums.iter_mut().zip(others) {
                            *sum = sum.add(*other);
                        }
                    }
                }
            }
            for (sums, pixel) in sums[0].iter_mut().zip(tile) {
                if !job.residual.is_null() {
                    let from = job.residual.add(pixel.residual);
                    for (n, sum) in sums.iter_mut().enumerate() {
                        *sum = sum.add(V::load(from.add(n * V::LANES)));
                    }
                }
                let to = job.out.add(pixel.output);
                for (n, sum) in sums.iter().enumerate() {
                    sum.at_least(low).store(to.add(n * V::LANES));
                }
            }
        }
    }
}

/// Adds one input value's products to the sums: the one at `k` from each of `from`.
///
/// # Safety
/// As [`tiles`].
#[inline(always)]
unsafe fn step<V: Vector, const M: usize, const N: usize>(
    sums: &mut [[V; N]; M],
    weights: *const f32,
    from: &[*const f32; M],
    k: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut row = [V::zero(); N];
        for (n, weight) in row.iter_mut().enumerate() {
            *weight = V::load(weights.add(n * V::LANES));
        }
        for (sums, from) in sums.iter_mut().zip(from) {
            let value = V::splat(*from.add(k));
            for (sum, weight) in sums.iter_mut().zip(&row) {
                *sum = value.fma(*weight, *sum);
            }
        }
    }
}

vectorized! {
    /// Writes `activation(input · scale)` of each pixel to `to`, `step` values for each.
    ///
    /// # Safety
    /// `step` is a multiple of the vectors' lanes; `scale` and, from each pixel's first
    /// value on, `frame` are valid for `step` values, and `to` for as many for each pixel.
    pub(super) unsafe fn prepare(
        frame: *const f32,
        pixels: &[Pixel],
        scale: *const f32,
        activation: Activation,
        step: usize,
        to: *mut f32,
    ) = prepared
}

#[inline(always)]
unsafe fn prepared<V: Vector>(
    frame: *const f32,
    pixels: &[Pixel],
    scale: *const f32,
    activation: Activation,
    step: usize,
    mut to: *mut f32,
) {
    // SAFETY: the caller's promise.
    unsafe {
        for pixel in pixels {
            let from = frame.add(pixel.input);
            let mut c = 0;
            while c < step {
                let value = V::load(from.add(c)).mul(V::load(scale.add(c)));
                activation.apply(value).store(to.add(c));
                c += V::LANES;
            }
            to = to.add(step);
        }
    }
}

vectorized! {
    /// Replaces the first `count` values of each pixel by their `activation`.
    ///
    /// # Safety
    /// `count` is a multiple of the vectors' lanes, and `out` is valid there.
    pub(super) unsafe fn activate(
        out: *mut f32,
        pixels: &[Pixel],
        count: usize,
        activation: Activation,
    ) = activated
}

#[inline(always)]
unsafe fn activated<V: Vector>(
    out: *mut f32,
    pixels: &[Pixel],
    count: usize,
    activation: Activation,
) {
    // SAFETY: the caller's promise.
    unsafe {
        for pixel in pixels {
            let to = out.add(pixel.output);
            let mut c = 0;
            while c < count {
                activation.apply(V::load(to.add(c))).store(to.add(c));
                c += V::LANES;
            }
        }
    }
}
