//! Products with a matrix of constants: convolutions of 1×1×1, fully connected layers.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::einsum::EinSum;

use super::convolution::{Strides, strides};
use super::view::{Axis, View};
use super::{Import, Pending, Value, plain, spread, unknown};
use crate::model::graph::{Conv, Op, Pad, Shape};
use crate::model::kernels::Activation;

impl Import<'_> {
    /// A sum of products over some axes: a convolution whose kernel spans all that is
    /// summed over.
    pub(super) fn product(&mut self, node: &TypedNode, op: &EinSum) -> Result<Value, String> {
        let [a, b] = node.inputs[..] else { return Err(unknown(node)) };
        let (input, slot, constant) = match (self.constant(a)?, self.constant(b)?) {
            (None, Some(constant)) => (a, 0, constant),
            (Some(constant), None) => (b, 1, constant),
            (None, None) => {
                return Err("it is a matrix product of two computed tensors".into());
            }
            (Some(_), Some(_)) => return Err(unknown(node)),
        };
        if op.q_params.is_some() {
            return Err("it computes with whole numbers (a quantised model)".into());
        }
        let value = self.value(input)?;
        let value = match value.pending {
            Pending::Nothing | Pending::Skip(_) | Pending::Pad(_) | Pending::Channels(_)
                if !value.repeated =>
            {
                value
            }
            _ => self.whole(input)?,
        };
        let by = strides(constant.shape);
        let rank = self.sizes(OutletId::new(node.id, 0))?.len();
        let (mut order, mut kernel, mut outputs) = (Strides::default(), [1; 3], 1);
        let mut view = View(vec![Vec::new(); rank]);
        let (mut output_axis, mut summed) = (None, Vec::new());
        for axis in op.axes.iter_all_axes() {
            let places = |list: Option<&TVec<usize>>| match list.map_or(&[][..], |list| &list[..]) {
                [] => Ok(None),
                [at] => Ok(Some(*at)),
                _ => Err("it takes a diagonal of a tensor".to_owned()),
            };
            let of_input = places(axis.inputs.get(slot))?;
            let of_constant = places(axis.inputs.get(1 - slot))?;
            let of_output = places(axis.outputs.first())?;
            let long = of_input.map_or(Vec::new(), |at| value.view.long(at, &value.shape));
            let length = of_constant.and_then(|at| constant.shape.get(at)).copied().unwrap_or(1);
            let step = of_constant.and_then(|at| by.get(at)).copied().unwrap_or(0);
            match (of_output, length > 1) {
                // Every value of the input along it is weighted and summed.
                (None, _) => {
                    let size: usize = long.iter().map(|axis| axis.size(&value.shape)).product();
                    if size != length {
                        return Err("it sums over an axis without weights".into());
                    }
                    let mut step = step;
                    for &axis in long.iter().rev() {
                        match Axis::EXTENTS.iter().position(|&other| other == axis) {
                            Some(place) => {
                                (order.taps[place], kernel[place]) =
                                    (step, axis.size(&value.shape));
                            }
                            None => order.input = step,
                        }
                        summed.push(axis);
                        step = step.saturating_mul(axis.size(&value.shape));
                    }
                }
                // The outputs.
                (Some(at), true) => {
                    if !long.is_empty() {
                        return Err("it is a product in groups, neither dense nor depthwise".into());
                    }
                    if output_axis.replace(at).is_some() {
                        return Err("its weights give outputs along more than one axis".into());
                    }
                    (outputs, order.output) = (length, step);
                }
                // What stays as it is.
                (Some(at), false) => {
                    if let (Some(axes), Some(from)) = (view.0.get_mut(at), of_input) {
                        *axes = value.view.0.get(from).cloned().unwrap_or_default();
                    }
                }
            }
        }
        if value.shape.channels > 1 && !summed.contains(&Axis::Channels) {
            let over = summed.first().map_or("nothing", |axis| axis.words());
            return Err(format!("it mixes {over} by a matrix product, not channels"));
        }
        if matches!(value.pending, Pending::Skip(_) | Pending::Pad(_)) && kernel != [1; 3] {
            return Err("it is a product over frames or pixels of which some are left out".into());
        }
        for (at, axes) in view.0.iter_mut().enumerate() {
            axes.retain(|&axis| axis != Axis::Channels);
            if output_axis == Some(at) {
                *axes = vec![Axis::Channels];
            }
        }
        let inputs = value.shape.channels;
        let (mut stride, mut pad) = ([1; 3], Pad::default());
        let mut weights = order.gather(constant.values, outputs, inputs, kernel)?;
        match value.pending {
            Pending::Skip(skip) => stride = skip,
            Pending::Pad(zeros) => pad = zeros,
            Pending::Channels(first) => {
                let of = self.nodes.get(value.node).map_or(inputs, |node| node.shape.channels);
                weights = spread(&weights, inputs, kernel.iter().product(), first, of);
            }
            _ => {}
        }
        let mut shape = Shape { channels: outputs, ..value.shape };
        for (place, size) in
            [&mut shape.frames, &mut shape.height, &mut shape.width].into_iter().enumerate()
        {
            if kernel[place] > 1 {
                *size = 1;
            }
        }
        let conv = Conv {
            kernel,
            stride,
            dilation: 1,
            pad,
            depthwise: false,
            weights,
            bias: vec![0.0; outputs],
            before: None,
            residual: false,
            after: Activation::None,
        };
        let id = self.push(plain(&node.name), Op::Conv(Box::new(conv)), vec![value.node], shape);
        Ok(Value::new(id, view, shape))
    }
}
