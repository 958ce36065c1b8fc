//! What is done to each value after a layer.

use super::vector::Vector;

/// A function of one value. Formulas as in PyTorch's `torch.nn.functional` of the same
/// name. NaN gives NaN in each.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Activation {
    #[default]
    None,
    Relu,
    /// `min(max(x, low), high)`; ReLU6 is (0, 6). Neither is NaN.
    Clip {
        low: f32,
        high: f32,
    },
    LeakyRelu(f32),
    Sigmoid,
    /// `x · sigmoid(x)`, also called Swish.
    Silu,
    Tanh,
    /// `clip(x · slope + offset, 0, 1)`; ONNX's default is (0.2, 0.5), PyTorch's (1/6, 0.5).
    HardSigmoid {
        slope: f32,
        offset: f32,
    },
    /// `x · clip(x/6 + 1/2, 0, 1)`.
    HardSwish,
}

impl Activation {
    /// Its value for `x`.
    pub fn of(self, x: f32) -> f32 {
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        match self {
            Activation::None => x,
            Activation::Relu => clip(x, 0.0, f32::INFINITY),
            Activation::Clip { low, high } => clip(x, low, high),
            Activation::LeakyRelu(slope) => {
                if x < 0.0 {
                    x * slope
                } else {
                    x
                }
            }
            Activation::Sigmoid => sigmoid(x),
            Activation::Silu => x * sigmoid(x),
            Activation::Tanh => x.tanh(),
            Activation::HardSigmoid { slope, offset } => clip(x * slope + offset, 0.0, 1.0),
            Activation::HardSwish => x * clip(x / 6.0 + 0.5, 0.0, 1.0),
        }
    }

    /// The values of a vector, within 1e-6 of [`of`](Self::of), relative to it.
    ///
    /// # Safety
    /// The CPU has `V`'s instructions.
    #[inline(always)]
    pub(super) unsafe fn apply<V: Vector>(self, x: V) -> V {
        // SAFETY: the caller's promise, handed on.
        unsafe {
            match self {
                Activation::None => x,
                Activation::Relu => x.at_least(V::zero()),
                Activation::Clip { low, high } => x.at_least(V::splat(low)).at_most(V::splat(high)),
                Activation::LeakyRelu(slope) => {
                    x.select_below(V::zero(), x.mul(V::splat(slope)), x)
                }
                Activation::Sigmoid => sigmoid(x),
                Activation::Silu => x.mul(sigmoid(x)),
                Activation::Tanh => tanh(x),
                Activation::HardSigmoid { slope, offset } => x
                    .fma(V::splat(slope), V::splat(offset))
                    .at_least(V::zero())
                    .at_most(V::splat(1.0)),
                Activation::HardSwish => {
                    let gate = x.fma(V::splat(1.0 / 6.0), V::splat(0.5));
                    x.mul(gate.at_least(V::zero()).at_most(V::splat(1.0)))
                }
            }
        }
    }

    /// `low` and `high` where the function is a clip to them, none where it is another.
    pub(super) fn bounds(self) -> Option<(f32, f32)> {
        match self {
            Activation::None => Some((f32::NEG_INFINITY, f32::INFINITY)),
            Activation::Relu => Some((0.0, f32::INFINITY)),
            Activation::Clip { low, high } => Some((low, high)),
            _ => None,
        }
    }
}

/// `min(max(x, low), high)` that leaves NaN as it is (unlike `f32::max`), and asks for
/// no order of the bounds (unlike `f32::clamp`).
fn clip(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// Where e to the power of it and of its negative are ordinary f32 with ordinary
/// reciprocals: ln(2) · 126, less a margin.
const EXP_BOUND: f32 = 87.3;

/// e to the power of `x`, for -[`EXP_BOUND`] ≤ x ≤ [`EXP_BOUND`] or NaN; relative error at
/// most 1e-7.
///
/// e^x = 2^n · e^r with the whole n nearest to x / ln(2), so that |r| ≤ ln(2)/2, where
/// e^r = 1 + r + r²·q(r): q is the minimax polynomial for the relative error (3e-9), found
/// with the Remez exchange.
///
/// # Safety
/// The CPU has `V`'s instructions.
#[inline(always)]
unsafe fn exp<V: Vector>(x: V) -> V {
    // ln(2) in two parts. The first has so few digits that its product with n is exact.
    const LN_2_HIGH: f32 = 355.0 / 512.0;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // SAFETY: the caller's promise, handed on.
    unsafe {
        let (n, scale) = x.split(V::splat(std::f32::consts::LOG2_E));
        let r = n.fma(V::splat(-LN_2_LOW), n.fma(V::splat(-LN_2_HIGH), x));
        let q = r.fma(V::splat(1.381_454e-3), V::splat(8.368_745e-3));
        let q = r.fma(q, V::splat(4.166_839_1e-2));
        let q = r.fma(q, V::splat(1.666_652_1e-1));
        let q = r.fma(q, V::splat(4.999_999_4e-1));
        let rest = r.mul(r).fma(q, r);
        rest.fma(scale, scale)
    }
}

/// `1 / (1 + exp(-x))`; 0 below -[`EXP_BOUND`], where it is less than 1.3e-38, since
/// subnormal numbers are slow on many CPUs.
///
/// # Safety
/// The CPU has `V`'s instructions.
#[inline(always)]
unsafe fn sigmoid<V: Vector>(x: V) -> V {
    // SAFETY: the caller's promise, handed on.
    unsafe {
        let lowest = V::splat(-EXP_BOUND);
        let bounded = x.at_least(lowest).at_most(V::splat(EXP_BOUND));
        let one = V::splat(1.0);
        let value = one.div(one.add(exp(V::zero().sub(bounded))));
        x.select_below(lowest, V::zero(), value)
    }
}

/// `(1 - e) / (1 + e)` with e = exp(-2·|x|), and x's sign; near 0, where the difference
/// would lose digits, `x + x³·q(x²)` with the minimax polynomial q (relative error 4e-8).
///
/// # Safety
/// The CPU has `V`'s instructions.
#[inline(always)]
unsafe fn tanh<V: Vector>(x: V) -> V {
    /// From here on tanh is 1 in f32.
    const ONE_FROM: f32 = 9.1;
    const SMALL: f32 = 0.55;
    // SAFETY: the caller's promise, handed on.
    unsafe {
        let (zero, one) = (V::zero(), V::splat(1.0));
        let size = x.select_below(zero, zero.sub(x), x);
        let e = exp(size.at_most(V::splat(ONE_FROM)).mul(V::splat(-2.0)));
        let large = one.sub(e).div(one.add(e));
        let large = x.select_below(zero, zero.sub(large), large);
        let square = x.mul(x);
        let q = square.fma(V::splat(1.643_758e-2), V::splat(-5.267_181_3e-2));
        let q = square.fma(q, V::splat(1.332_072_5e-1));
        let q = square.fma(q, V::splat(-3.333_294_7e-1));
        let small = x.mul(square).fma(q, x);
        size.select_below(V::splat(SMALL), small, large)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Isa, vector::vectorized};
    use super::*;

    const ALL: [Activation; 12] = [
        Activation::None,
        Activation::Relu,
        Activation::Clip { low: 0.0, high: 6.0 },
        Activation::Clip { low: 1.0, high: -1.0 },
        Activation::Clip { low: f32::NEG_INFINITY, high: 0.5 },
        Activation::LeakyRelu(0.01),
        Activation::Sigmoid,
        Activation::Silu,
        Activation::Tanh,
        Activation::HardSigmoid { slope: 0.2, offset: 0.5 },
        Activation::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 },
        Activation::HardSwish,
    ];

    /// # Safety
    /// The CPU has `V`'s instructions; `values` are whole vectors.
    #[inline(always)]
    unsafe fn body<V: Vector>(activation: Activation, values: &mut [f32]) {
        for chunk in values.chunks_exact_mut(V::LANES) {
            // SAFETY: a chunk is one vector.
            unsafe { activation.apply(V::load(chunk.as_ptr())).store(chunk.as_mut_ptr()) }
        }
    }

    vectorized! {
        /// # Safety
        /// `values` are whole vectors.
        unsafe fn apply_all(activation: Activation, values: &mut [f32]) = body
    }

    fn applied(isa: Isa, activation: Activation, inputs: &[f32]) -> Vec<f32> {
        let mut values = inputs.to_vec();
        values.resize(inputs.len().next_multiple_of(16), 0.0);
        // SAFETY: 16 elements are whole vectors of every kind.
        unsafe { apply_all(isa, activation, &mut values) };
        values.truncate(inputs.len());
        values
    }

    /// The definition in f64, with the bounds and factors as f32 holds them.
    fn formula(activation: Activation, x: f64) -> f64 {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let clip = |x: f64, low: f64, high: f64| match x {
            x if x.is_nan() => x,
            x => x.max(low).min(high),
        };
        match activation {
            Activation::None => x,
            Activation::Relu => clip(x, 0.0, f64::INFINITY),
            Activation::Clip { low, high } => clip(x, low.into(), high.into()),
            Activation::LeakyRelu(slope) if x < 0.0 => x * f64::from(slope),
            Activation::LeakyRelu(_) => x,
            Activation::Sigmoid => sigmoid(x),
            Activation::Silu => x * sigmoid(x),
            Activation::Tanh => x.tanh(),
            Activation::HardSigmoid { slope, offset } => {
                clip(x * f64::from(slope) + f64::from(offset), 0.0, 1.0)
            }
            Activation::HardSwish => x * clip(x / 6.0 + 0.5, 0.0, 1.0),
        }
    }

    /// Values from far below to far above everything that happens, and those that are
    /// special.
    fn inputs() -> Vec<f32> {
        let mut inputs = vec![0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
        for size in [f32::MIN_POSITIVE, 1e-45, 1e-30, 87.3, 87.4, 88.0, 104.0, 1e4, f32::MAX] {
            inputs.extend([size, -size]);
        }
        inputs.extend((-200_000..=200_000).map(|i| i as f32 * 5e-4));
        // Every size, evenly over the exponents.
        for i in 0..100_000 {
            let size = (-40.0 + i as f32 * 5e-4_f32).exp();
            inputs.extend([size, -size]);
        }
        inputs
    }

    #[test]
    fn vectors_agree_with_the_formulas_in_f64() {
        let inputs = inputs();
        for isa in Isa::all() {
            for activation in ALL {
                let values = applied(isa, activation, &inputs);
                for (&x, value) in inputs.iter().zip(values) {
                    let right = formula(activation, x.into());
                    // A hard gate's sum of two terms of one size cancels.
                    let cancelled = match activation {
                        Activation::HardSigmoid { .. } => 1e-7,
                        Activation::HardSwish => 4e-7,
                        _ => 2e-38,
                    };
                    // Sigmoids are 0 where they would be subnormal, silu's factor x apart.
                    let zero = if x < -87.3 { 2e-36 } else { 0.0 };
                    let bound = 1e-6 * right.abs() + cancelled + zero;
                    let same = f64::from(value) == right
                        || (value.is_nan() && right.is_nan())
                        || (f64::from(value) - right).abs() <= bound
                        // Beyond f32's range in f64's only.
                        || (value.is_infinite() && right.abs() > f64::from(f32::MAX));
                    assert!(
                        same,
                        "{}: {activation:?} of {x:e}: {value:e}, not {right:e}",
                        isa.name()
                    );
                }
            }
        }
    }

    #[test]
    fn scalars_agree_with_the_formulas_in_f64() {
        for activation in ALL {
            for x in inputs() {
                let (value, right) = (activation.of(x), formula(activation, x.into()));
                let same = f64::from(value) == right
                    || (value.is_nan() && right.is_nan())
                    || (f64::from(value) - right).abs() <= 1e-6 * right.abs() + 4e-7
                    || (value.is_infinite() && right.abs() > f64::from(f32::MAX));
                assert!(same, "{activation:?} of {x:e}: {value:e}, not {right:e}");
            }
        }
    }

    #[test]
    fn a_clip_is_known_by_its_bounds() {
        for activation in ALL {
            let Some((low, high)) = activation.bounds() else { continue };
            for x in [-7.0, -0.5, 0.0, 0.25, 3.0, 7.0, f32::INFINITY] {
                assert_eq!(Activation::Clip { low, high }.of(x), activation.of(x));
            }
        }
        assert_eq!(Activation::HardSwish.bounds(), None);
    }

    /// A model that diverged must be seen to.
    #[test]
    fn nan_stays_nan() {
        for activation in ALL {
            assert!(activation.of(f32::NAN).is_nan(), "{activation:?}");
            for isa in Isa::all() {
                let values = applied(isa, activation, &[f32::NAN, -f32::NAN]);
                assert!(
                    values.iter().all(|value| value.is_nan()),
                    "{}: {activation:?}",
                    isa.name()
                );
            }
        }
    }

    #[test]
    fn exp_is_near_the_last_digit() {
        #[inline(always)]
        unsafe fn body<V: Vector>(values: &mut [f32]) {
            for chunk in values.chunks_exact_mut(V::LANES) {
                // SAFETY: a chunk is one vector.
                unsafe { exp(V::load(chunk.as_ptr())).store(chunk.as_mut_ptr()) }
            }
        }
        vectorized! {
            /// # Safety
            /// `values` are whole vectors.
            unsafe fn exp_all(values: &mut [f32]) = body
        }
        let inputs: Vec<f32> =
            (0..1 << 20).map(|i| -87.3 + i as f32 * (174.6 / 1048575.0)).collect();
        for isa in Isa::all() {
            let mut values = inputs.clone();
            // SAFETY: 2^20 elements are whole vectors of every kind.
            unsafe { exp_all(isa, &mut values) };
            let worst = inputs.iter().zip(&values).map(|(&x, &value)| {
                let right = f64::from(x).exp();
                ((f64::from(value) - right) / right).abs()
            });
            let worst = worst.fold(0.0, f64::max);
            assert!(worst < 1.5e-7, "{}: {worst:e}", isa.name());
        }
    }
}
