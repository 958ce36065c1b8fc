//! Convolutions, and what they have in common with pools.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::{Conv as ConvOp, KernelFormat, PoolSpec};
use tract_onnx::tract_core::ops::math::Mul;

use super::view::{Axis, View};
use super::{Import, Pending, Value, plain, unknown};
use crate::model::graph::{Conv, Op, Pad, Shape};
use crate::model::kernels::Activation;

/// Where the taps of a convolution or pool lie, time first, then down, then across.
pub(super) struct Geometry {
    pub kernel: [usize; 3],
    pub stride: [usize; 3],
    /// In time.
    pub dilation: usize,
    pub pad: Pad,
    /// Whether padding was asked for.
    pub padded: bool,
    /// Whether the last windows reach further than what was asked for (`ceil_mode`).
    pub beyond: bool,
    /// Which of the engine's kernel axes each is.
    pub axes: [Option<usize>; 3],
    /// Of the result, its channels as in the input.
    pub shape: Shape,
    pub view: View,
}

/// The engine's axis of `value` that `spec` takes for channels.
pub(super) fn channel_axis(spec: &PoolSpec) -> usize {
    match (spec.data_format.has_n(), spec.data_format.c_is_last()) {
        (n, false) => usize::from(n),
        (n, true) => usize::from(n) + spec.rank(),
    }
}

impl Geometry {
    /// Of `spec` over `value`.
    pub fn of(spec: &PoolSpec, value: &Value) -> Result<Self, String> {
        let sizes = value.view.sizes(&value.shape);
        let (rank, first) = (spec.rank(), spec.data_format.h_axis());
        let odd = [&spec.dilations, &spec.strides]
            .iter()
            .any(|list| list.as_ref().is_some_and(|list| list.len() != rank || list.contains(&0)));
        let lengths = match sizes.get(first..first + rank) {
            Some(lengths) if !odd && !spec.kernel_shape.contains(&0) => lengths,
            _ => return Err("its kernel does not fit its input".into()),
        };
        let computed = spec.computed_padding(lengths);
        let mut geometry = Geometry {
            kernel: [1; 3],
            stride: [1; 3],
            dilation: 1,
            pad: Pad::default(),
            padded: false,
            beyond: false,
            axes: [None; 3],
            shape: value.shape,
            view: value.view.clone(),
        };
        // From the last axis on: where an axis of length 1 has lost its meaning, the last is
        // across and the one before it down.
        for (at, dim) in computed.iter().enumerate().rev() {
            let (kernel, stride) =
                (spec.kernel_shape.get(at).copied().unwrap_or(1), spec.stride(at));
            if (kernel, stride, dim.pad_before, dim.pad_after) == (1, 1, 0, 0) {
                continue;
            }
            let usual = Axis::EXTENTS.get((at + 3).wrapping_sub(rank)).copied();
            let (Some(place), axis) = geometry.place(value, first + at, usual)? else {
                return Err("its kernel reaches along the channels".into());
            };
            // A place among three: it is always inside.
            geometry.kernel[place] = kernel;
            geometry.stride[place] = stride;
            // A file may say any number: none may overflow.
            let reach = (dim.convoluted.saturating_sub(1).saturating_mul(stride))
                .saturating_add((kernel - 1).saturating_mul(spec.dilation(at)))
                .saturating_add(1);
            let after = reach.saturating_sub(dim.pad_before.saturating_add(dim.deconvoluted));
            geometry.pad[place] = [dim.pad_before, dim.pad_after.max(after)];
            geometry.padded |= (dim.pad_before, dim.pad_after) != (0, 0);
            geometry.beyond |= after > dim.pad_after;
            geometry.axes[place] = Some(at);
            if kernel > 1 && spec.dilation(at) > 1 {
                if axis != Axis::Frames {
                    return Err("its kernel has gaps between pixels (dilation in space)".into());
                }
                geometry.dilation = spec.dilation(at);
            }
            match axis {
                Axis::Frames => geometry.shape.frames = dim.convoluted,
                Axis::Height => geometry.shape.height = dim.convoluted,
                _ => geometry.shape.width = dim.convoluted,
            }
        }
        Ok(geometry)
    }

    /// What the engine's axis `at` is, `usual` if nothing is known of it, and its place
    /// among time, down, across.
    fn place(
        &mut self,
        value: &Value,
        at: usize,
        usual: Option<Axis>,
    ) -> Result<(Option<usize>, Axis), String> {
        let listed = value.view.0.get(at).map_or(&[][..], Vec::as_slice);
        let axis = match (&value.view.long(at, &value.shape)[..], listed) {
            ([axis], _) | ([], [axis, ..]) => *axis,
            ([], []) => usual
                .into_iter()
                .chain(Axis::EXTENTS.into_iter().rev())
                .find(|&axis| !self.view.holds(axis))
                .ok_or("its kernel has more axes than time, height and width")?,
            _ => return Err("its kernel reaches along merged axes".into()),
        };
        if let Some(axes) = self.view.0.get_mut(at) {
            *axes = vec![axis];
        }
        Ok((Axis::EXTENTS.iter().position(|&other| other == axis), axis))
    }
}

/// Whether `node` multiplies constant weights with something computed.
fn scales_weights(node: &TypedNode) -> bool {
    node.op_as::<TypedBinOp>().is_some_and(|op| op.0.is::<Mul>())
}

/// Whether `node` does that and nothing but convolutions reads it, as their weights.
pub(super) fn only_scales_weights(model: &TypedModel, node: &TypedNode) -> bool {
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        let readers = node.outputs.first().map_or(&[][..], |output| &output.successors[..]);
        if !scales_weights(node) || readers.is_empty() {
            return false;
        }
        for reader in readers {
            let Some(node) = model.nodes().get(reader.node) else { return false };
            match node.op_is::<ConvOp>() {
                true if reader.slot == 1 => {}
                true => return false,
                false => open.push(node),
            }
        }
    }
    true
}

/// Where the weight for an output, an input and a tap lies in a constant.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Strides {
    pub output: usize,
    pub input: usize,
    pub taps: [usize; 3],
}

impl Strides {
    /// The weights in a graph's order: outputs × inputs × time × down × across.
    pub fn gather(
        &self,
        values: &[f32],
        outputs: usize,
        inputs: usize,
        kernel: [usize; 3],
    ) -> Result<Vec<f32>, String> {
        let [times, rows, columns] = kernel;
        let count =
            [inputs, times, rows, columns].iter().try_fold(outputs, |n, &size| n.checked_mul(size));
        if count != Some(values.len()) {
            return Err("its weights do not fit its input".into());
        }
        let [by_time, by_row, by_column] = self.taps;
        let mut weights = Vec::with_capacity(values.len());
        for o in 0..outputs {
            for i in 0..inputs {
                for t in 0..times {
                    for y in 0..rows {
                        for x in 0..columns {
                            let at = o * self.output
                                + i * self.input
                                + t * by_time
                                + y * by_row
                                + x * by_column;
                            let weight =
                                values.get(at).ok_or("its weights do not fit its input")?;
                            weights.push(*weight);
                        }
                    }
                }
            }
        }
        Ok(weights)
    }
}

/// How far apart the values along each axis of a constant of `shape` lie.
pub(super) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for at in (1..shape.len()).rev() {
        strides[at - 1] = strides[at].saturating_mul(shape[at]);
    }
    strides
}

impl Import<'_> {
    pub(super) fn convolution(&mut self, node: &TypedNode, op: &ConvOp) -> Result<Value, String> {
        let spec = &op.pool_spec;
        if op.q_params.is_some() {
            return Err("it computes with whole numbers (a quantised model)".into());
        }
        let [input, weights, bias] = node.inputs[..] else { return Err(unknown(node)) };
        // The engine multiplies weights with what follows as a factor of each channel, and
        // adds to the bias what follows as an offset.
        let (mut weights, mut scales) = (weights, Vec::new());
        while self.constant(weights)?.is_none() {
            let scaled = self.model.nodes().get(weights.node).filter(|node| scales_weights(node));
            let [a, b] = scaled.map_or(&[][..], |node| &node.inputs[..])[..] else {
                return Err("its weights are computed, not constant".into());
            };
            let onward = self.values.get(a.node).is_none_or(Option::is_none);
            let (next, scale) = if onward { (a, b) } else { (b, a) };
            scales.push(self.whole(scale)?);
            weights = next;
        }
        let weights = self.constant(weights)?.ok_or("its weights are computed, not constant")?;
        let (offset, bias) = match self.constant(bias)? {
            Some(bias) => (None, bias.values),
            None => (Some(self.whole(bias)?), &[0.0][..]),
        };
        let value = self.value(input)?;
        let mut value = if value.repeated { self.whole(input)? } else { value };
        let mut geometry = Geometry::of(spec, &value)?;
        value = self.taken(input, value, &mut geometry)?;
        let (inputs, outputs) = (value.shape.channels, spec.output_channels);
        let at = channel_axis(spec);
        let channels = value.view.long(at, &value.shape);
        if !(channels.is_empty() && inputs == 1 || channels == [Axis::Channels]) {
            return Err("it takes frames or pixels for channels".into());
        }
        let depthwise = op.group > 1;
        if depthwise && (op.group != inputs || outputs != inputs) {
            return Err(format!(
                "it is a convolution in {} groups of {inputs} channels, neither dense nor depthwise",
                op.group
            ));
        }
        // The engine's kernel axes, and among them the channels'.
        let (first, input_axis, output_axis) = match op.kernel_fmt {
            KernelFormat::OIHW => (2, 1, 0),
            KernelFormat::HWIO => (0, spec.rank(), spec.rank() + 1),
            KernelFormat::OHWI => (1, spec.rank() + 1, 0),
        };
        let by = strides(weights.shape);
        let stride = |axis: usize| by.get(axis).copied().unwrap_or(0);
        let mut order =
            Strides { output: stride(output_axis), input: stride(input_axis), taps: [0; 3] };
        if depthwise && op.kernel_fmt != KernelFormat::OIHW {
            order.output = order.input;
        }
        for (taps, axis) in order.taps.iter_mut().zip(geometry.axes) {
            *taps = axis.map_or(0, |axis| stride(first + axis));
        }
        let weights = order.gather(
            weights.values,
            outputs,
            if depthwise { 1 } else { inputs },
            geometry.kernel,
        )?;
        let bias = match bias {
            [one] => vec![*one; outputs],
            each if each.len() == outputs => each.to_vec(),
            _ => return Err("its bias does not fit its output".into()),
        };
        let shape = Shape { channels: outputs, ..geometry.shape };
        let mut view = geometry.view;
        for (place, axes) in view.0.iter_mut().enumerate() {
            axes.retain(|&axis| axis != Axis::Channels);
            if place == at {
                *axes = vec![Axis::Channels];
            }
        }
        let conv = Conv {
            kernel: geometry.kernel,
            stride: geometry.stride,
            dilation: geometry.dilation,
            pad: geometry.pad,
            depthwise,
            weights,
            bias,
            before: None,
            residual: false,
            after: Activation::None,
        };
        let name = plain(&node.name);
        let (bias, conv) = if scales.is_empty() {
            (None, conv)
        } else {
            (Some(conv.bias), Conv { bias: vec![0.0; outputs], ..conv })
        };
        let mut id = self.push(name, Op::Conv(Box::new(conv)), vec![value.node], shape);
        let vector = Shape { frames: 1, height: 1, width: 1, channels: outputs };
        if scales.iter().chain(&offset).any(|value| value.shape != vector) {
            return Err("its weights are computed, not constant".into());
        }
        for scale in scales {
            id = self.push(name, Op::Multiply(Activation::None), vec![id, scale.node], shape);
        }
        if let Some(offset) = bias.filter(|_| offset.is_none()) {
            let (scale, activation) = (vec![1.0; outputs], Activation::None);
            id = self.push(name, Op::Affine { scale, offset, activation }, vec![id], shape);
        }
        if let Some(offset) = offset {
            id = self.push(name, Op::Add(Activation::None), vec![id, offset.node], shape);
        }
        Ok(Value::new(id, view, shape))
    }

    /// `value` with nothing pending: `geometry` takes over what a convolution can.
    pub(super) fn taken(
        &mut self,
        input: OutletId,
        value: Value,
        geometry: &mut Geometry,
    ) -> Result<Value, String> {
        match value.pending {
            // What it skips no tap reaches.
            Pending::Skip(skip)
                if (0..3).all(|at| {
                    skip[at] == 1 || (geometry.kernel[at], geometry.pad[at]) == (1, [0; 2])
                }) =>
            {
                for (stride, skip) in geometry.stride.iter_mut().zip(skip) {
                    *stride = stride.saturating_mul(skip);
                }
            }
            Pending::Pad(pad) => {
                for (sides, more) in geometry.pad.iter_mut().zip(pad) {
                    for (side, more) in sides.iter_mut().zip(more) {
                        *side = side.saturating_add(more);
                    }
                }
            }
            _ => return self.whole(input),
        }
        Ok(Value { pending: Pending::Nothing, ..value })
    }
}
