//! What the CPU can do at most: the two sides of a roofline (Williams, Waterman and
//! Patterson, "Roofline", 2009). Nothing but measurements uses these loops.

use super::Isa;
use super::vector::{Vector, vectorized};

/// Sums that are carried side by side. More than the CPU's multiply-add units times
/// their latency, and few enough to stay in AVX2's and NEON's registers.
const CHAINS: usize = 12;
/// f32 values in the widest vector.
const WIDEST: usize = 16;

/// Multiplies and adds in registers only, `rounds` times over all chains. Gives a number
/// that depends on all of it (at most `CHAINS` × 16), and the floating-point operations
/// done: two for each multiply-add.
pub fn multiply_adds(isa: Isa, rounds: usize) -> (f32, u64) {
    let mut last = [0.0; WIDEST];
    // SAFETY: `last` has room for the widest vector.
    unsafe { run_chains(isa, rounds, last.as_mut_ptr()) };
    (last.iter().sum(), rounds as u64 * (CHAINS * isa.lanes() * 2) as u64)
}

vectorized! {
    /// # Safety
    /// `out` has room for a vector.
    unsafe fn run_chains(rounds: usize, out: *mut f32) = chains
}

/// # Safety
/// As [`run_chains`], and the CPU has V's instructions.
#[inline(always)]
unsafe fn chains<V: Vector>(rounds: usize, out: *mut f32) {
    // SAFETY: the caller's promises; all but the last line stays in registers.
    unsafe {
        // Each value rises from 0 towards 1, so that none becomes subnormal, and slow.
        let (factor, addend) = (V::splat(0.5), V::splat(0.5));
        let mut sums = [V::zero(); CHAINS];
        for _ in 0..rounds {
            let mut at = 0;
            while at < CHAINS {
                sums[at] = sums[at].fma(factor, addend);
                at += 1;
            }
        }
        let mut total = V::zero();
        let mut at = 0;
        while at < CHAINS {
            total = total.add(sums[at]);
            at += 1;
        }
        total.store(out);
    }
}

/// The sum of `values`: reads each once, and hardly computes. Values left over where
/// their number is no multiple of 128 are not read.
pub fn read_sum(isa: Isa, values: &[f32]) -> f32 {
    let mut last = [0.0; WIDEST];
    // SAFETY: `values` are as many as they say, and `last` has room for the widest vector.
    unsafe { run_sum(isa, values.as_ptr(), values.len(), last.as_mut_ptr()) };
    last.iter().sum()
}

vectorized! {
    /// # Safety
    /// `values` are `len` f32; `out` has room for a vector.
    unsafe fn run_sum(values: *const f32, len: usize, out: *mut f32) = sum
}

/// Sums that are carried side by side while reading.
const READERS: usize = 8;

/// # Safety
/// As [`run_sum`], and the CPU has V's instructions.
#[inline(always)]
unsafe fn sum<V: Vector>(values: *const f32, len: usize, out: *mut f32) {
    // SAFETY: the caller's promises; a step reads READERS · LANES values, at most READERS
    // · WIDEST, and there are as many whole steps as fit in `len`.
    unsafe {
        let mut sums = [V::zero(); READERS];
        let (mut from, mut left) = (values, len - len % (READERS * WIDEST));
        while left > 0 {
            let mut at = 0;
            while at < READERS {
                sums[at] = sums[at].add(V::load(from.add(at * V::LANES)));
                at += 1;
            }
            from = from.add(READERS * V::LANES);
            left -= READERS * V::LANES;
        }
        let mut total = V::zero();
        let mut at = 0;
        while at < READERS {
            total = total.add(sums[at]);
            at += 1;
        }
        total.store(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_end_where_arithmetic_says() {
        for isa in Isa::all() {
            // After n rounds each of the values is 1 - 2^-n.
            let (value, operations) = multiply_adds(isa, 3);
            assert_eq!(value, 0.875 * (CHAINS * isa.lanes()) as f32, "{}", isa.name());
            assert_eq!(operations, (3 * 2 * CHAINS * isa.lanes()) as u64);
        }
    }

    #[test]
    fn every_value_is_read_once() {
        let values: Vec<f32> = (0..1000).map(|i| (i % 7) as f32).collect();
        let whole = 1000 - 1000 % 128;
        let expected: f32 = values[..whole].iter().sum();
        for isa in Isa::all() {
            assert_eq!(read_sum(isa, &values), expected, "{}", isa.name());
            assert_eq!(read_sum(isa, &values[..100]), 0.0, "{}", isa.name());
        }
    }
}
