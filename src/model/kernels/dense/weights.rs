//! The weights of a dense convolution as its loop reads them.

use super::super::vector::{Vector, vectorized};
use super::super::{Buffer, Isa};
use super::{DenseShape, Precision, tile};

/// Bytes of weights that do not stay in the second cache from frame to frame.
const LARGE: usize = 1 << 20;

/// Weights and bias, packed into panels.
#[derive(Debug)]
pub(super) struct Weights {
    panels: Vec<Panel>,
    values: Values,
    /// A value for each output, the panels' padding included.
    bias: Buffer,
}

/// Some vectors of output channels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panel {
    /// Its first output channel.
    pub first: usize,
    /// Its vectors, and their channels.
    pub vectors: usize,
    pub width: usize,
    /// Where its weights begin: a row of `width` for each tap in time × down × across ×
    /// input channel.
    start: usize,
}

#[derive(Debug)]
enum Values {
    F32(Buffer),
    F16(Vec<u16>),
    /// With the scale of each output channel, panels' padding included.
    Int8(Vec<i8>, Buffer),
}

impl Weights {
    /// Packs `weights`, outputs × inputs × time × down × across, and `bias`.
    ///
    /// # Panics
    /// Where their lengths are not the shape's.
    pub fn new(
        isa: Isa,
        shape: &DenseShape,
        precision: Precision,
        weights: &[f32],
        bias: &[f32],
    ) -> Self {
        let taps: usize = shape.kernel.iter().product();
        let each = shape.inputs * taps;
        assert!(weights.len() == shape.outputs * each && bias.len() == shape.outputs);
        let panels = panels(isa, shape.outputs, each);
        let padded = shape.outputs.next_multiple_of(isa.lanes());
        let mut padded_bias = Buffer::zeros(padded);
        padded_bias[..bias.len()].copy_from_slice(bias);
        let packed = Packing { taps, inputs: shape.inputs, panels: &panels, weights };
        let values = match precision {
            Precision::F32 => {
                let mut values = Buffer::zeros(padded * each);
                packed.each(|at, _, weight| values[at] = weight);
                Values::F32(values)
            }
            Precision::F16 => {
                let mut values = vec![0; padded * each];
                packed.each(|at, _, weight| values[at] = narrow(weight));
                Values::F16(values)
            }
            Precision::Int8 => {
                let mut scales = Buffer::zeros(padded);
                for (scale, weights) in scales.iter_mut().zip(weights.chunks_exact(each)) {
                    *scale = int8_scale(weights);
                }
                let mut values = vec![0; padded * each];
                packed.each(|at, output, weight| values[at] = int8(weight, scales[output]));
                Values::Int8(values, scales)
            }
        };
        Weights { panels, values, bias: padded_bias }
    }

    pub fn panels(&self) -> &[Panel] {
        &self.panels
    }

    /// What sums of a panel begin with.
    pub fn bias(&self, panel: &Panel) -> &[f32] {
        &self.bias[panel.first..panel.first + panel.width]
    }

    /// Whether they are held in fewer bits than f32 has.
    pub fn narrow(&self) -> bool {
        !matches!(self.values, Values::F32(_))
    }

    /// `len` rows of a panel as f32, from `first` on: where they are held in fewer bits,
    /// `room` is what they are written to.
    pub fn read<'a>(
        &'a self,
        isa: Isa,
        panel: &Panel,
        first: usize,
        len: usize,
        room: &'a mut [f32],
    ) -> &'a [f32] {
        let start = panel.start + first * panel.width;
        let range = start..start + len * panel.width;
        match &self.values {
            Values::F32(values) => &values[range],
            Values::F16(values) => {
                let (to, from) = (&mut room[..range.len()], &values[range]);
                // SAFETY: both have the same length, whole vectors.
                unsafe { widen_f16(isa, from, to) };
                to
            }
            Values::Int8(values, scales) => {
                let (to, from) = (&mut room[..range.len()], &values[range]);
                let scales = &scales[panel.first..panel.first + panel.width];
                // SAFETY: both have the same length, whole rows of as many whole vectors
                // as there are scales.
                unsafe { widen_int8(isa, from, scales, to) };
                to
            }
        }
    }

    /// Where the weights are that come after `len` rows of a panel from `first` on, and how
    /// many bytes as many of them are; none where all of them stay in the cache.
    pub fn ahead(&self, panel: &Panel, first: usize, len: usize) -> (*const u8, usize) {
        let len = len * panel.width;
        let start = panel.start + first * panel.width + len;
        let (from, bytes): (*const u8, usize) = match &self.values {
            Values::F32(values) => (values.as_ptr().wrapping_add(start).cast(), 4),
            Values::F16(values) => (values.as_ptr().wrapping_add(start).cast(), 2),
            Values::Int8(values, _) => (values.as_ptr().wrapping_add(start).cast(), 1),
        };
        (from, if self.bytes() > LARGE { len * bytes } else { 0 })
    }

    /// Bytes of weights and bias.
    pub fn bytes(&self) -> usize {
        let values = match &self.values {
            Values::F32(values) => size_of_val::<[f32]>(values),
            Values::F16(values) => size_of_val::<[u16]>(values),
            Values::Int8(values, scales) => {
                size_of_val::<[i8]>(values) + size_of_val::<[f32]>(scales)
            }
        };
        values + size_of_val::<[f32]>(&self.bias)
    }
}

/// The vectors that hold `outputs` channels, as evenly as can be among panels.
fn panels(isa: Isa, outputs: usize, each: usize) -> Vec<Panel> {
    let vectors = outputs.div_ceil(isa.lanes());
    let count = vectors.div_ceil(tile::widest(isa));
    let (mut panels, mut done) = (Vec::with_capacity(count), 0);
    for left in (1..=count).rev() {
        let vectors = (vectors - done).div_ceil(left);
        let first = done * isa.lanes();
        let width = vectors * isa.lanes();
        panels.push(Panel { first, vectors, width, start: first * each });
        done += vectors;
    }
    panels
}

/// A walk through weights in the network's order.
struct Packing<'a> {
    taps: usize,
    inputs: usize,
    panels: &'a [Panel],
    weights: &'a [f32],
}

impl Packing<'_> {
    /// Calls `put` with each weight's place among the packed ones, its output channel and
    /// itself.
    fn each(&self, mut put: impl FnMut(usize, usize, f32)) {
        for panel in self.panels {
            let each = self.inputs * self.taps;
            for (column, weights) in
                self.weights.chunks_exact(each).skip(panel.first).take(panel.width).enumerate()
            {
                for (i, &weight) in weights.iter().enumerate() {
                    let (input, tap) = (i / self.taps, i % self.taps);
                    let row = tap * self.inputs + input;
                    put(panel.start + row * panel.width + column, panel.first + column, weight);
                }
            }
        }
    }
}

/// The scale of one output's weights: the largest becomes 127.
pub(super) fn int8_scale(weights: &[f32]) -> f32 {
    let largest = weights.iter().fold(0.0, |largest: f32, weight| largest.max(weight.abs()));
    largest / 127.0
}

/// The nearest of the 255 steps.
pub(super) fn int8(weight: f32, scale: f32) -> i8 {
    // A scale of 0 means that all are 0: 0/0 is NaN, and that is cast to 0.
    (weight / scale).round_ties_even().clamp(-127.0, 127.0) as i8
}

/// The nearest half-precision number, at most the largest finite one.
pub(super) fn narrow(weight: f32) -> u16 {
    let sign = (weight.to_bits() >> 16) as u16 & 0x8000;
    let size = weight.abs().min(65504.0);
    // The smallest normal one is 2^-14; below it they are 2^-24 apart, as f32 are from
    // 0.5 on, and adding 0.5 rounds to those.
    let half = if size < f32::from_bits((127 - 14) << 23) {
        (size + 0.5).to_bits() - 0.5f32.to_bits()
    } else {
        let bits = size.to_bits() - (112 << 23);
        // To the nearest, of two the even one; a carry into the exponent is right there.
        (bits + 0xfff + ((bits >> 13) & 1)) >> 13
    };
    sign | half as u16
}

vectorized! {
    /// Widens as many values as both have.
    ///
    /// # Safety
    /// Both have the same length, a multiple of the vectors' lanes.
    unsafe fn widen_f16(from: &[u16], to: &mut [f32]) = f16_widened
}

#[inline(always)]
unsafe fn f16_widened<V: Vector>(from: &[u16], to: &mut [f32]) {
    let (from, to, len) = (from.as_ptr(), to.as_mut_ptr(), to.len());
    let mut at = 0;
    while at < len {
        // SAFETY: `at` is a multiple of the lanes below both lengths.
        unsafe { V::load_f16(from.add(at)).store(to.add(at)) };
        at += V::LANES;
    }
}

vectorized! {
    /// Widens rows of as many values as there are scales, and multiplies by those.
    ///
    /// # Safety
    /// `from` and `to` have the same length, whole rows, and a row is whole vectors.
    unsafe fn widen_int8(from: &[i8], scales: &[f32], to: &mut [f32]) = int8_widened
}

#[inline(always)]
unsafe fn int8_widened<V: Vector>(from: &[i8], scales: &[f32], to: &mut [f32]) {
    let (from, to, len) = (from.as_ptr(), to.as_mut_ptr(), to.len());
    let mut at = 0;
    while at < len {
        let mut column = 0;
        while column < scales.len() {
            // SAFETY: rows are whole, so that `at + column` is a multiple of the lanes
            // below both lengths.
            unsafe {
                let scale = V::load(scales.as_ptr().add(column));
                V::load_i8(from.add(at + column)).mul(scale).store(to.add(at + column));
            }
            column += V::LANES;
        }
        at += scales.len();
    }
}
