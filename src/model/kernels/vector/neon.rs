//! NEON.

use std::arch::aarch64::*;

use super::{Vector, WHOLE};

// SAFETY: of every block below: the caller says that the CPU has the instructions and
// that pointers are valid for the vector's elements; NEON's loads and stores need no
// alignment beyond the element's, and those of bytes none at all.

impl Vector for float32x4_t {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> Self {
        unsafe { vdupq_n_f32(0.0) }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        unsafe { vdupq_n_f32(value) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { vld1q_f32(from) }
    }

    #[inline(always)]
    unsafe fn load_f16(from: *const u16) -> Self {
        unsafe {
            // As `super::widen`: half-precision vectors are not in every Rust that we
            // build with.
            let half = vmovl_u16(vld1_u16(from));
            let size =
                vreinterpretq_f32_u32(vshlq_n_u32::<13>(vandq_u32(half, vdupq_n_u32(0x7fff))));
            let size = vmulq_f32(size, vdupq_n_f32(f32::from_bits((127 + 112) << 23)));
            let sign = vshlq_n_u32::<16>(vandq_u32(half, vdupq_n_u32(0x8000)));
            vreinterpretq_f32_u32(vorrq_u32(vreinterpretq_u32_f32(size), sign))
        }
    }

    #[inline(always)]
    unsafe fn load_i8(from: *const i8) -> Self {
        unsafe {
            let four = vcreate_s8(u64::from(from.cast::<u32>().read_unaligned()));
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(four))))
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { vst1q_f32(to, self) }
    }

    #[inline(always)]
    unsafe fn prefetch(from: *const u8) {
        unsafe {
            std::arch::asm!(
                "prfm pldl2keep, [{0}]",
                in(reg) from,
                options(readonly, nostack, preserves_flags)
            );
        }
    }

    #[inline(always)]
    fn hidden(mut index: usize) -> usize {
        // SAFETY: no instruction at all.
        unsafe {
            std::arch::asm!(
                "/* {0} */",
                inout(reg) index,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        index
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { vaddq_f32(self, other) }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        unsafe { vsubq_f32(self, other) }
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        unsafe { vmulq_f32(self, other) }
    }

    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        unsafe { vdivq_f32(self, other) }
    }

    #[inline(always)]
    unsafe fn fma(self, factor: Self, addend: Self) -> Self {
        unsafe { vfmaq_f32(addend, self, factor) }
    }

    // FMAX and FMIN give NaN where either operand is.

    #[inline(always)]
    unsafe fn at_least(self, bound: Self) -> Self {
        unsafe { vmaxq_f32(self, bound) }
    }

    #[inline(always)]
    unsafe fn at_most(self, bound: Self) -> Self {
        unsafe { vminq_f32(self, bound) }
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        unsafe { vmaxq_f32(self, other) }
    }

    #[inline(always)]
    unsafe fn select_below(self, bound: Self, then: Self, otherwise: Self) -> Self {
        unsafe { vbslq_f32(vcltq_f32(self, bound), then, otherwise) }
    }

    #[inline(always)]
    unsafe fn split(self, factor: Self) -> (Self, Self) {
        unsafe {
            let whole = vdupq_n_f32(WHOLE);
            let sum = vfmaq_f32(whole, self, factor);
            let power = vshlq_n_u32::<23>(vreinterpretq_u32_f32(sum));
            (vsubq_f32(sum, whole), vreinterpretq_f32_u32(power))
        }
    }
}
