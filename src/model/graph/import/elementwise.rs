//! What works value by value: activations, and sums and products of two tensors.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::math::{Add, Div, Max, Min, Mul, Neg, Square, Sub, SubF, Tanh};
use tract_onnx::tract_core::ops::nn::{HardSwish, LeakyRelu, Sigmoid, Silu};

use super::constant::PerChannel;
use super::{Import, Pending, Value, plain, unknown};
use crate::model::graph::{NodeId, Op, Shape};
use crate::model::kernels::{Activation, PoolKind};

/// The most by which a mean's divisor may differ from the number of values: f32 rounding.
const ROUNDING: f32 = 1e-6;

impl Import<'_> {
    pub(super) fn elementwise(
        &mut self,
        node: &TypedNode,
        op: &ElementWiseOp,
    ) -> Result<Value, String> {
        let Some(&input) = node.inputs.first() else { return Err(unknown(node)) };
        let value = self.whole(input)?;
        let op = &op.0;
        let op = if op.is::<Sigmoid>() {
            Op::Activation(Activation::Sigmoid)
        } else if op.is::<Silu>() {
            Op::Activation(Activation::Silu)
        } else if op.is::<Tanh>() {
            Op::Activation(Activation::Tanh)
        } else if op.is::<HardSwish>() {
            Op::Activation(Activation::HardSwish)
        } else if let Some(leaky) = op.downcast_ref::<LeakyRelu>() {
            Op::Activation(Activation::LeakyRelu(leaky.alpha))
        } else if op.is::<Neg>() {
            affine(value.shape.channels, PerChannel::Same(-1.0), PerChannel::Same(0.0))
        } else if op.is::<Square>() {
            let inputs = vec![value.node, value.node];
            let id =
                self.push(plain(&node.name), Op::Multiply(Activation::None), inputs, value.shape);
            return Ok(Value { node: id, ..value });
        } else {
            return Err(unknown(node));
        };
        let id = self.push(plain(&node.name), op, vec![value.node], value.shape);
        Ok(Value { node: id, ..value })
    }

    pub(super) fn binary(&mut self, node: &TypedNode, op: &TypedBinOp) -> Result<Value, String> {
        let [a, b] = node.inputs[..] else { return Err(unknown(node)) };
        let (left, right) = (self.constant(a)?, self.constant(b)?);
        let op = &op.0;
        if left.is_none() && right.is_none() {
            return if op.is::<Add>() {
                self.joined(node, Op::Add(Activation::None))
            } else if op.is::<Mul>() {
                self.joined(node, Op::Multiply(Activation::None))
            } else if op.is::<Sub>() || op.is::<SubF>() {
                self.difference(node, op.is::<SubF>())
            } else {
                Err(format!("it takes the {} of two computed tensors", op.name()))
            };
        }
        let (input, constant, constant_first) = match (left, right) {
            (None, Some(constant)) => (a, constant, false),
            (Some(constant), None) => (b, constant, true),
            _ => return Err(unknown(node)),
        };
        let mut value = self.value(input)?;
        if value.repeated {
            value = self.whole(input)?;
        }
        let constant = constant.per_channel(&value.view, &value.shape)?;
        // A mean comes as a sum and a product.
        let factor = match constant {
            PerChannel::Same(constant) if op.is::<Mul>() => Some(constant),
            PerChannel::Same(constant) if op.is::<Div>() && !constant_first => Some(1.0 / constant),
            _ => None,
        };
        if let (Pending::Times(times), Some(factor)) = (value.pending, factor) {
            let left = times * factor;
            let done = (left - 1.0).abs() <= ROUNDING;
            value.pending = if done { Pending::Nothing } else { Pending::Times(left) };
            return Ok(value);
        }
        let value = self.whole(input)?;
        let (zero, one) = (PerChannel::Same(0.0), PerChannel::Same(1.0));
        let minus = PerChannel::Same(-1.0);
        let channels = value.shape.channels;
        // Sub takes the second from the first, SubF the first from the second.
        let reversed = op.is::<SubF>() != constant_first;
        let op = if op.is::<Add>() {
            affine(channels, one, constant)
        } else if op.is::<Sub>() || op.is::<SubF>() {
            if reversed {
                affine(channels, minus, constant)
            } else {
                affine(channels, one, constant.map(|c| -c))
            }
        } else if op.is::<Mul>() {
            affine(channels, constant, zero)
        } else if op.is::<Div>() && !constant_first {
            affine(channels, constant.map(|c| 1.0 / c), zero)
        } else {
            Op::Activation(match constant {
                PerChannel::Same(0.0) if op.is::<Max>() => Activation::Relu,
                PerChannel::Same(low) if op.is::<Max>() => {
                    Activation::Clip { low, high: f32::INFINITY }
                }
                PerChannel::Same(high) if op.is::<Min>() => {
                    Activation::Clip { low: f32::NEG_INFINITY, high }
                }
                _ => return Err(unknown(node)),
            })
        };
        let id = self.push(plain(&node.name), op, vec![value.node], value.shape);
        Ok(Value { node: id, ..value })
    }

    /// One computed tensor less the other, in the order of the inputs unless `reversed`.
    fn difference(&mut self, node: &TypedNode, reversed: bool) -> Result<Value, String> {
        let [a, b] = node.inputs[..] else { return Err(unknown(node)) };
        let (plus, less) = if reversed { (b, a) } else { (a, b) };
        let (plus, less) = (self.side(plus)?, self.side(less)?);
        let minus = affine(less.shape.channels, PerChannel::Same(-1.0), PerChannel::Same(0.0));
        let id = self.push(plain(&node.name), minus, vec![less.node], less.shape);
        self.join(node, Op::Add(Activation::None), plus, Value { node: id, ..less })
    }

    fn joined(&mut self, node: &TypedNode, op: Op) -> Result<Value, String> {
        let [a, b] = node.inputs[..] else { return Err(unknown(node)) };
        let (a, b) = (self.side(a)?, self.side(b)?);
        self.join(node, op, a, b)
    }

    /// One side of an operator that repeats it by itself where that is asked for.
    fn side(&mut self, outlet: OutletId) -> Result<Value, String> {
        let value = self.value(outlet)?;
        if !value.repeated {
            return self.whole(outlet);
        }
        if value.pending != Pending::Nothing {
            return Err("it reads a tensor that is repeated along an axis".into());
        }
        Ok(Value { repeated: false, ..value })
    }

    fn join(&mut self, node: &TypedNode, op: Op, a: Value, b: Value) -> Result<Value, String> {
        let differ = "it joins two tensors whose axes do not match";
        let view = a.view.joined(&a.shape, &b.view, &b.shape).ok_or(differ)?;
        if a.shape.channels != b.shape.channels {
            return Err("it uses one value of a computed tensor for all channels".into());
        }
        // Which counts for all frames or pixels of the other stands second.
        let fits = |large: &Shape, small: &Shape| {
            (small.frames == large.frames || small.frames == 1)
                && ((small.height, small.width) == (large.height, large.width)
                    || (small.height, small.width) == (1, 1))
        };
        let (large, small) = if fits(&a.shape, &b.shape) {
            (a, b)
        } else if fits(&b.shape, &a.shape) {
            (b, a)
        } else {
            return Err(
                "it repeats rows, columns or frames of both its inputs to match the other".into()
            );
        };
        let id = self.push(plain(&node.name), op, vec![large.node, small.node], large.shape);
        Ok(Value { node: id, view, ..large })
    }

    /// Whether `node` gives no value below zero.
    pub(super) fn above_zero(&self, node: NodeId) -> bool {
        let Some(node) = self.nodes.get(node) else { return false };
        let mut inputs = node.inputs.iter();
        let after = |activation: &Activation| match activation {
            Activation::Relu | Activation::Sigmoid | Activation::HardSigmoid { .. } => true,
            Activation::Clip { low, .. } => *low >= 0.0,
            _ => false,
        };
        match &node.op {
            Op::Input => false,
            Op::Conv(conv) => after(&conv.after),
            Op::Activation(activation) => after(activation),
            Op::Affine { activation, .. } => after(activation),
            Op::Add(activation) | Op::Multiply(activation) => {
                after(activation)
                    || *activation == Activation::None
                        && inputs.all(|&input| self.above_zero(input))
            }
            Op::Pool { kind: PoolKind::Max | PoolKind::Mean | PoolKind::PaddedMean, .. }
            | Op::SpaceMean
            | Op::TimeMean
            | Op::Concat => inputs.all(|&input| self.above_zero(input)),
            Op::Softmax => true,
        }
    }
}

fn affine(channels: usize, scale: PerChannel, offset: PerChannel) -> Op {
    Op::Affine {
        scale: scale.spread(channels),
        offset: offset.spread(channels),
        activation: Activation::None,
    }
}
