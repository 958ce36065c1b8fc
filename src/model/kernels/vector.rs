//! Vectors of f32: what the loops are written over.
//!
//! A loop is an `#[inline(always)] unsafe fn body<V: Vector>(…)` and is compiled once for
//! each set of instructions by [`vectorized`], which also chooses between them by the
//! [`Isa`](super::Isa). Everything between that and the intrinsics has to be
//! `#[inline(always)]` (no closures, no iterator adaptors with closures): a function that
//! stays one of its own is compiled without the instructions.
//!
//! NaN: a network that diverges has to be seen, so no operation here turns a NaN of the
//! data into a number. [`Vector::at_least`], [`Vector::at_most`] and [`Vector::max`] say
//! how; `f32::max` and `f32::min` do not keep that rule, so plain twins use comparisons
//! (`if x < low { low } else { x }`).

/// A vector of f32.
///
/// # Safety
/// Every function may only be called where the CPU has the implementation's
/// instructions, and pointers have to be valid for [`LANES`](Vector::LANES) elements;
/// they need not be aligned.
pub(super) trait Vector: Copy {
    const LANES: usize;

    unsafe fn zero() -> Self;
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    /// Widens IEEE half-precision numbers (finite ones).
    unsafe fn load_f16(from: *const u16) -> Self;
    /// Widens whole numbers.
    unsafe fn load_i8(from: *const i8) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// Asks for the cache line at `from` to be brought to the second cache. Any address
    /// may be given.
    unsafe fn prefetch(from: *const u8);

    /// `index` itself, of which the compiler is not to know how it came about: where
    /// addresses grow with a number in sight of it, it makes them into pointers that it
    /// counts up, and with those the instructions for NEON's scalar operands are lost.
    #[inline(always)]
    fn hidden(index: usize) -> usize {
        index
    }

    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    unsafe fn div(self, other: Self) -> Self;
    /// `self · factor + addend`, rounded once where the CPU can.
    unsafe fn fma(self, factor: Self, addend: Self) -> Self;

    /// `if self < bound { bound } else { self }`: a NaN stays one. `bound` is not NaN.
    unsafe fn at_least(self, bound: Self) -> Self;
    /// `if self > bound { bound } else { self }`: a NaN stays one. `bound` is not NaN.
    unsafe fn at_most(self, bound: Self) -> Self;
    /// The larger; NaN where either is.
    unsafe fn max(self, other: Self) -> Self;
    /// `then` where `self < bound`, `otherwise` elsewhere (also for NaN).
    unsafe fn select_below(self, bound: Self, then: Self, otherwise: Self) -> Self;

    /// The whole number n that is nearest to `self · factor`, any of two, and 2ⁿ.
    /// For n from -126 to 127; of NaN it is NaN and anything.
    unsafe fn split(self, factor: Self) -> (Self, Self);
}

/// Declares `$name(isa, …)`, which runs `$body::<V>(…)` for the vectors of `isa`.
macro_rules! vectorized {
    ($(#[$meta:meta])* $vis:vis unsafe fn $name:ident($($arg:ident: $kind:ty),* $(,)?) $(-> $out:ty)? = $body:ident) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis unsafe fn $name(isa: $crate::model::kernels::Isa, $($arg: $kind),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            unsafe fn avx2($($arg: $kind),*) $(-> $out)? {
                // SAFETY: the caller's promise, handed on; the instructions are enabled here.
                unsafe { $body::<std::arch::x86_64::__m256>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,f16c")]
            unsafe fn avx512($($arg: $kind),*) $(-> $out)? {
                // SAFETY: as above.
                unsafe { $body::<std::arch::x86_64::__m512>($($arg),*) }
            }
            #[cfg(target_arch = "aarch64")]
            #[target_feature(enable = "neon")]
            unsafe fn neon($($arg: $kind),*) $(-> $out)? {
                // SAFETY: as above.
                unsafe { $body::<std::arch::aarch64::float32x4_t>($($arg),*) }
            }
            // SAFETY: the caller's promise, handed on; `isa` proves that the CPU has the
            // instructions.
            unsafe {
                match isa.0 {
                    $crate::model::kernels::isa::Kind::Portable => $body::<[f32; 4]>($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::model::kernels::isa::Kind::Avx2 => avx2($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::model::kernels::isa::Kind::Avx512 => avx512($($arg),*),
                    #[cfg(target_arch = "aarch64")]
                    $crate::model::kernels::isa::Kind::Neon => neon($($arg),*),
                }
            }
        }
    };
}
pub(super) use vectorized;

#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(test)]
mod tests;

/// Added to a number n, it leaves a whole one, since f32 has no digits after the point at
/// 1.5 · 2²³, and the sum's lowest bits are n + 127: the exponent of 2ⁿ.
const WHOLE: f32 = 12_582_912.0 + 127.0;

/// Any CPU. Multiplication and addition are rounded each by itself.
impl Vector for [f32; 4] {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> Self {
        [0.0; 4]
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        [value; 4]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller says that four f32 are there; an array has their layout.
        unsafe { from.cast::<[f32; 4]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> Self {
        // SAFETY: as in `load`.
        let [a, b, c, d] = unsafe { from.cast::<[u16; 4]>().read_unaligned() };
        [widen(a), widen(b), widen(c), widen(d)]
    }

    #[inline(always)]
    unsafe fn load_i8(from: *const i8) -> Self {
        // SAFETY: as in `load`.
        let [a, b, c, d] = unsafe { from.cast::<[i8; 4]>().read_unaligned() };
        [f32::from(a), f32::from(b), f32::from(c), f32::from(d)]
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller says that there is room for four f32.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self) }
    }

    #[inline(always)]
    unsafe fn prefetch(_from: *const u8) {}

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self, other);
        [a + e, b + f, c + g, d + h]
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self, other);
        [a - e, b - f, c - g, d - h]
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self, other);
        [a * e, b * f, c * g, d * h]
    }

    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self, other);
        [a / e, b / f, c / g, d / h]
    }

    #[inline(always)]
    unsafe fn fma(self, factor: Self, addend: Self) -> Self {
        // SAFETY: plain code.
        unsafe { self.mul(factor).add(addend) }
    }

    #[inline(always)]
    unsafe fn at_least(self, bound: Self) -> Self {
        // SAFETY: plain code.
        unsafe { self.select_below(bound, bound, self) }
    }

    #[inline(always)]
    unsafe fn at_most(self, bound: Self) -> Self {
        // SAFETY: plain code.
        unsafe { bound.select_below(self, bound, self) }
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        let pick = |a: f32, b: f32| if a > b || a.is_nan() { a } else { b };
        let ([a, b, c, d], [e, f, g, h]) = (self, other);
        [pick(a, e), pick(b, f), pick(c, g), pick(d, h)]
    }

    #[inline(always)]
    unsafe fn select_below(self, bound: Self, then: Self, otherwise: Self) -> Self {
        let mut out = otherwise;
        for (((out, x), bound), then) in out.iter_mut().zip(self).zip(bound).zip(then) {
            if x < bound {
                *out = then;
            }
        }
        out
    }

    #[inline(always)]
    unsafe fn split(self, factor: Self) -> (Self, Self) {
        // SAFETY: plain code.
        let sum = unsafe { self.fma(factor, [WHOLE; 4]) };
        let [a, b, c, d] = sum;
        let power = |x: f32| f32::from_bits(x.to_bits() << 23);
        // SAFETY: plain code.
        (unsafe { sum.sub([WHOLE; 4]) }, [power(a), power(b), power(c), power(d)])
    }
}

/// A finite half-precision number as f32.
pub(super) fn widen(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    // Exponent and fraction moved to f32's places read as a number that is 2^(127 - 15)
    // times too small, a subnormal one included.
    let size = f32::from_bits(u32::from(half & 0x7fff) << 13) * f32::from_bits((127 + 112) << 23);
    f32::from_bits(size.to_bits() | sign)
}
