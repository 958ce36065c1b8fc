//! Each operation of each CPU's vectors against its definition.

use super::Vector;
use crate::model::kernels::Isa;

/// How many operations `probe` writes the results of.
const OPERATIONS: usize = 11;

vectorized! {
    /// # Safety
    /// The slices of `values` have the same length, a multiple of the lanes, `to` as much
    /// for each operation.
    unsafe fn probe(values: [&[f32]; 3], to: &mut [f32]) = probed
}

#[inline(always)]
unsafe fn probed<V: Vector>([a, b, c]: [&[f32]; 3], to: &mut [f32]) {
    let len = a.len();
    // SAFETY: whole vectors of slices and of `to`.
    unsafe {
        for at in (0..len).step_by(V::LANES) {
            let [a, b, c] = [a, b, c].map(|from| from.as_ptr().add(at));
            let [a, b, c] = [V::load(a), V::load(b), V::load(c)];
            let (whole, power) = a.split(b);
            let results = [
                V::zero(),
                a.add(b),
                a.sub(b),
                a.mul(b),
                a.div(b),
                a.at_least(c),
                a.at_most(c),
                a.max(b),
                a.select_below(c, b, a),
                whole,
                power,
            ];
            for (operation, result) in results.into_iter().enumerate() {
                result.store(to.as_mut_ptr().add(operation * len + at));
            }
        }
    }
}

#[test]
fn operations_are_what_they_say() {
    let numbers = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.3,
        -2.5,
        3.5,
        1e-30,
        -7e20,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
    ];
    let bounds = [0.0, -1.0, 6.0, f32::INFINITY, f32::NEG_INFINITY];
    let (mut a, mut b, mut c) = (Vec::new(), Vec::new(), Vec::new());
    for x in numbers {
        for y in numbers {
            for z in bounds {
                a.push(x);
                b.push(y);
                c.push(z);
            }
        }
    }
    for list in [&mut a, &mut b, &mut c] {
        list.resize(list.len().next_multiple_of(16), 0.5);
    }
    let len = a.len();
    for isa in Isa::all() {
        let mut out = vec![0.0; OPERATIONS * len];
        // SAFETY: lengths as asked for.
        unsafe { probe(isa, [&a, &b, &c], &mut out) };
        for i in 0..len {
            let (x, y, z) = (a[i], b[i], c[i]);
            let larger = if x.is_nan() || x > y { x } else { y };
            let expected = [
                0.0,
                x + y,
                x - y,
                x * y,
                x / y,
                if x < z { z } else { x },
                if x > z { z } else { x },
                larger,
                if x < z { y } else { x },
            ];
            for (operation, expected) in expected.into_iter().enumerate() {
                let is = out[operation * len + i];
                assert!(
                    is == expected || is.is_nan() && expected.is_nan(),
                    "{}: operation {operation} of {x}, {y}, {z} is {is}, not {expected}",
                    isa.name()
                );
            }
            let product = x * y;
            let (whole, power) = (out[9 * len + i], out[10 * len + i]);
            if product.is_nan() {
                assert!(whole.is_nan(), "{}: {x} · {y}", isa.name());
            } else if product.abs() <= 126.0 {
                let near = whole.fract() == 0.0 && (whole - product).abs() <= 0.5;
                assert!(near, "{}: {x} · {y} split at {whole}", isa.name());
                assert_eq!(power, 2f32.powi(whole as i32), "{}", isa.name());
            }
        }
    }
}
