//! Fractal value noise: the 1/f detail that real surfaces have.

use super::rng::Rng;

const SIDE: usize = 64;

/// A lattice of random values, repeated in both directions.
pub struct Texture {
    lattice: Vec<f32>,
}

impl Texture {
    pub fn new(rng: &mut Rng) -> Self {
        Texture { lattice: (0..SIDE * SIDE).map(|_| rng.range(-1.0, 1.0)).collect() }
    }

    /// Smooth noise in -1..1, one lattice cell a unit.
    pub fn value(&self, x: f32, y: f32) -> f32 {
        let (fx, fy) = (x.floor(), y.floor());
        let ease = |t: f32| t * t * (3.0 - 2.0 * t);
        let (tx, ty) = (ease(x - fx), ease(y - fy));
        let wrap = |v: i64| (v & (SIDE as i64 - 1)) as usize;
        let (x0, y0) = (wrap(fx as i64), wrap(fy as i64));
        let (x1, y1) = (wrap(fx as i64 + 1), wrap(fy as i64 + 1));
        let at = |x: usize, y: usize| self.lattice[y * SIDE + x];
        let top = at(x0, y0) + (at(x1, y0) - at(x0, y0)) * tx;
        let bottom = at(x0, y1) + (at(x1, y1) - at(x0, y1)) * tx;
        top + (bottom - top) * ty
    }

    /// `octaves` of noise, each at twice the frequency and `gain` times the
    /// amplitude of the one before; about -1..1.
    pub fn fractal(&self, x: f32, y: f32, octaves: usize, gain: f32) -> f32 {
        let (mut sum, mut weight, mut total, mut frequency) = (0.0, 1.0, 0.0, 1.0);
        for octave in 0..octaves {
            let shift = octave as f32 * 17.3;
            sum += weight * self.value(x * frequency + shift, y * frequency - shift);
            total += weight;
            weight *= gain;
            frequency *= 2.0;
        }
        sum / total
    }
}
