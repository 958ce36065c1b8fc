//! From the inference engine's network to a [`Graph`].
//!
//! The engine's tensors have any number of axes in any order, and it drops and adds axes
//! of length 1 as it simplifies; a graph's have four, always the same. For each tensor a
//! [`View`] says which is which, so that what only moves axes about costs nothing.

mod constant;
mod convolution;
mod elementwise;
mod pooling;
mod product;
#[cfg(test)]
mod tests;
mod view;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::array::{
    MultiBroadcastTo, Pad as PadOp, PadMode, Slice, TypedConcat,
};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::cnn::{Conv as ConvOp, MaxPool, SumPool};
use tract_onnx::tract_core::ops::downsample::Downsample;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::identity::Identity;
use tract_onnx::tract_core::ops::nn::{Reduce, Softmax, SoftmaxKind};
use tract_onnx::tract_core::ops::source::TypedSource;
use tract_onnx::tract_hir::internal::DimLike;

use super::{Conv, Graph, Node, NodeId, Op, Pad, Refusal, Shape};
use crate::model::kernels::{Activation, PoolKind};

pub use view::Axis;
use view::View;

/// What `model` computes as a graph. `model` is typed and simplified (`into_typed`, then
/// `into_decluttered`) but not optimised; `input` says what each axis of its one input
/// is, as `[Batch, Channels, Frames, Height, Width]` for a clip or `[Batch, Channels,
/// Height, Width]` for one frame. Of its outputs the one of index `output` counts.
///
/// # Errors
/// The first node, in the order of computing, that a graph cannot hold. It does not panic
/// for any network that the engine could simplify.
pub fn import(model: &TypedModel, output: usize, input: &[Axis]) -> Result<Graph, Refusal> {
    let whole = |reason: String| Refusal::new("output", reason);
    let output = model.output_outlets().ok().and_then(|outlets| outlets.get(output).copied());
    let output = output.ok_or_else(|| whole("it is missing: the network gives nothing".into()))?;
    let order = model.eval_order().map_err(|_| whole("it cannot be computed".into()))?;
    let needed = ancestors(model, output.node);
    let mut import = Import { model, nodes: Vec::new(), values: vec![None; model.nodes().len()] };
    for id in order {
        let Some(node) = model.nodes().get(id).filter(|_| needed.get(id) == Some(&true)) else {
            continue;
        };
        let constant = node.outputs.first().is_none_or(|output| output.fact.konst.is_some());
        if constant || convolution::only_scales_weights(model, node) {
            continue;
        }
        let value =
            import.node(node, input).map_err(|reason| Refusal::new(plain(&node.name), reason))?;
        if let Some(place) = import.values.get_mut(id) {
            *place = Some(value);
        }
    }
    let node = model.nodes().get(output.node).map_or("output", |node| plain(&node.name));
    let refuse = |reason: String| Refusal::new(node, reason);
    let value = import.whole(output).map_err(refuse)?;
    let Shape { frames, height, width, .. } = value.shape;
    if (frames, height, width) != (1, 1, 1) {
        return Err(refuse(format!(
            "it gives {frames} frames of {height}×{width} pixels; expected one vector"
        )));
    }
    let graph = Graph { nodes: import.nodes, output: value.node };
    graph.check()?;
    Ok(graph)
}

/// Which nodes `node` needs, itself among them.
fn ancestors(model: &TypedModel, node: usize) -> Vec<bool> {
    let mut needed = vec![false; model.nodes().len()];
    let mut open = vec![node];
    while let Some(id) = open.pop() {
        let (Some(seen), Some(node)) = (needed.get_mut(id), model.nodes().get(id)) else {
            continue;
        };
        if !*seen {
            *seen = true;
            open.extend(node.inputs.iter().map(|input| input.node));
        }
    }
    needed
}

/// A node's name in the ONNX file: the engine appends to it where it makes several
/// nodes of one.
fn plain(name: &str) -> &str {
    const APPENDED: [&str; 7] = [".low", ".high", ".sum", ".norm", ".einsum", ".silu", ".ab"];
    // As PyTorch names them: a path that ends in the operator, `/blocks.2/conv/Conv_1`.
    let operator = name.rfind('/').map_or(0, |at| at + 1);
    if name[operator..].starts_with(|c: char| c.is_ascii_uppercase()) {
        let appended = |c: char| !c.is_ascii_alphanumeric() && c != '_';
        let end = name[operator..].find(appended).map_or(name.len(), |at| operator + at);
        return &name[..end];
    }
    let shorter = APPENDED.iter().find_map(|end| name.strip_suffix(end));
    shorter.filter(|shorter| !shorter.is_empty()).unwrap_or(name)
}

/// A tensor of the engine's network as a node of the graph gives it.
#[derive(Clone, Debug)]
struct Value {
    node: NodeId,
    view: View,
    /// After what is pending.
    shape: Shape,
    pending: Pending,
    /// Whether the engine's tensor repeats this one along some axes.
    repeated: bool,
}

/// What is still to be done to a node's result: what reads it can often do it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Pending {
    Nothing,
    /// Of each so many frames, rows and columns only the first is wanted.
    Skip([usize; 3]),
    /// Zeros stand around it.
    Pad(Pad),
    /// Only the channels from this one on are wanted, as many as its shape says.
    Channels(usize),
    /// It is to be multiplied: a sum, of which the node gives the mean.
    Times(f32),
}

impl Value {
    fn new(node: NodeId, view: View, shape: Shape) -> Self {
        Value { node, view, shape, pending: Pending::Nothing, repeated: false }
    }
}

struct Import<'m> {
    model: &'m TypedModel,
    nodes: Vec<Node>,
    /// By the engine's node: of its first output.
    values: Vec<Option<Value>>,
}

impl<'m> Import<'m> {
    fn fact(&self, outlet: OutletId) -> Result<&'m TypedFact, String> {
        self.model.outlet_fact(outlet).map_err(|_| "it has no known shape".into())
    }

    /// The lengths of the axes of `outlet`.
    fn sizes(&self, outlet: OutletId) -> Result<&'m [usize], String> {
        let sizes = self.fact(outlet)?.shape.as_concrete();
        sizes.ok_or_else(|| "the shape of its input or output is not fixed".into())
    }

    /// The computed tensor that `outlet` is.
    fn value(&self, outlet: OutletId) -> Result<Value, String> {
        if outlet.slot > 0 {
            return Err("it reads a second output of another node".into());
        }
        let value = self.values.get(outlet.node).and_then(Option::as_ref);
        value.cloned().ok_or_else(|| "it reads constants where a computed tensor belongs".into())
    }

    /// The same with nothing pending.
    fn whole(&mut self, outlet: OutletId) -> Result<Value, String> {
        let value = self.value(outlet)?;
        if value.repeated {
            return Err("it reads a tensor that is repeated along an axis".into());
        }
        let name = self.model.nodes().get(outlet.node).map_or("", |node| plain(&node.name));
        let settled = self.settled(value, name);
        if let Some(place) = self.values.get_mut(outlet.node) {
            *place = Some(settled.clone());
        }
        Ok(settled)
    }

    /// The value with what was pending done by a node called `name`.
    fn settled(&mut self, value: Value, name: &str) -> Value {
        let channels = value.shape.channels;
        let one_tap = |pad: Pad, depthwise: bool, weights: Vec<f32>| {
            Op::Conv(Box::new(Conv {
                kernel: [1; 3],
                stride: [1; 3],
                dilation: 1,
                pad,
                depthwise,
                weights,
                bias: vec![0.0; channels],
                before: None,
                residual: false,
                after: Activation::None,
            }))
        };
        let op = match value.pending {
            Pending::Nothing => return value,
            // The largest of one value is itself.
            Pending::Skip(stride) => {
                Op::Pool { kind: PoolKind::Max, kernel: [1; 3], stride, pad: Pad::default() }
            }
            // What lies outside are zeros.
            Pending::Pad(pad) => one_tap(pad, true, vec![1.0; channels]),
            Pending::Channels(first) => {
                let of = self.nodes.get(value.node).map_or(0, |node| node.shape.channels);
                let identity: Vec<f32> = (0..channels * channels)
                    .map(|at| f32::from(u8::from(at % (channels + 1) == 0)))
                    .collect();
                one_tap(Pad::default(), false, spread(&identity, channels, 1, first, of))
            }
            Pending::Times(factor) => Op::Affine {
                scale: vec![factor; channels],
                offset: vec![0.0; channels],
                activation: Activation::None,
            },
        };
        let node = self.push(name, op, vec![value.node], value.shape);
        Value { node, pending: Pending::Nothing, ..value }
    }

    fn push(&mut self, name: &str, op: Op, inputs: Vec<NodeId>, shape: Shape) -> NodeId {
        self.nodes.push(Node { name: name.to_owned(), op, inputs, shape });
        self.nodes.len() - 1
    }

    /// Imports one node of the engine's.
    fn node(&mut self, node: &TypedNode, input: &[Axis]) -> Result<Value, String> {
        let value = self.operator(node, input)?;
        let sizes = self.sizes(OutletId::new(node.id, 0))?;
        if !value.repeated && value.view.sizes(&value.shape) != sizes {
            return Err(format!("its result's shape {sizes:?} cannot be followed"));
        }
        Ok(value)
    }

    fn operator(&mut self, node: &TypedNode, input: &[Axis]) -> Result<Value, String> {
        for outlet in node.inputs.iter().copied().chain([OutletId::new(node.id, 0)]) {
            let datum = self.fact(outlet)?.datum_type;
            if datum != DatumType::F32 {
                let datum = format!("{datum:?}").to_lowercase();
                return Err(format!("it computes with {datum} values; only f32 is supported"));
            }
        }
        if node.op_is::<TypedSource>() {
            return self.source(node, input);
        }
        let Some(&first) = node.inputs.first() else {
            return Err(unknown(node));
        };
        if let Some(op) = node.op_as::<ConvOp>() {
            self.convolution(node, op)
        } else if let Some(op) = node.op_as::<EinSum>() {
            self.product(node, op)
        } else if let Some(op) = node.op_as::<MaxPool>() {
            self.max_pool(node, op)
        } else if let Some(op) = node.op_as::<SumPool>() {
            self.sum_pool(node, op)
        } else if let Some(op) = node.op_as::<Reduce>() {
            self.reduce(node, op)
        } else if let Some(op) = node.op_as::<ElementWiseOp>() {
            self.elementwise(node, op)
        } else if let Some(op) = node.op_as::<TypedBinOp>() {
            self.binary(node, op)
        } else if let Some(op) = node.op_as::<AxisOp>() {
            self.axes(first, op)
        } else if let Some(op) = node.op_as::<TypedConcat>() {
            self.concat(node, op)
        } else if let Some(op) = node.op_as::<Softmax>() {
            self.softmax(node, op)
        } else if let Some(op) = node.op_as::<Downsample>() {
            self.downsample(first, op)
        } else if let Some(op) = node.op_as::<PadOp>() {
            self.pad(first, op)
        } else if let Some(op) = node.op_as::<Slice>() {
            self.slice(first, op)
        } else if node.op_is::<Identity>() || node.op_is::<Cast>() {
            self.value(first)
        } else if node.op_is::<MultiBroadcastTo>() {
            let value = self.value(first)?;
            let repeated = self.sizes(first)? != self.sizes(OutletId::new(node.id, 0))?;
            Ok(Value { repeated: repeated || value.repeated, ..value })
        } else {
            Err(unknown(node))
        }
    }

    fn source(&mut self, node: &TypedNode, input: &[Axis]) -> Result<Value, String> {
        if !self.nodes.is_empty() {
            return Err("it is a second input; only one is supported".into());
        }
        let sizes = self.sizes(OutletId::new(node.id, 0))?;
        if sizes.len() != input.len() {
            return Err(format!("it has {} axes where {} were expected", sizes.len(), input.len()));
        }
        let size = |axis: Axis| {
            input
                .iter()
                .zip(sizes)
                .filter(|(other, _)| **other == axis)
                .map(|(_, size)| size)
                .product()
        };
        if size(Axis::Batch) != 1 {
            return Err("it takes more than one clip at a time".into());
        }
        let shape = Shape {
            frames: size(Axis::Frames),
            height: size(Axis::Height),
            width: size(Axis::Width),
            channels: size(Axis::Channels),
        };
        let axes = input.iter().map(|&axis| match axis {
            Axis::Batch => Vec::new(),
            axis => vec![axis],
        });
        let view = View(axes.collect());
        let id = self.push(plain(&node.name), Op::Input, Vec::new(), shape);
        Ok(Value::new(id, view, shape))
    }

    /// What only renames, adds, removes, moves or merges axes.
    fn axes(&mut self, input: OutletId, op: &AxisOp) -> Result<Value, String> {
        let mut value = self.value(input)?;
        if value.repeated {
            value = self.whole(input)?;
        }
        let axes = &mut value.view.0;
        match op {
            AxisOp::Add(at) if *at <= axes.len() => axes.insert(*at, Vec::new()),
            AxisOp::Rm(at) if *at < axes.len() => {
                if axes.remove(*at).iter().any(|axis| axis.size(&value.shape) > 1) {
                    return Err("it drops an axis that is longer than 1".into());
                }
            }
            AxisOp::Move(from, to) if *from < axes.len() && *to < axes.len() => {
                let moved = axes.remove(*from);
                axes.insert(*to, moved);
            }
            AxisOp::Reshape(at, from, to) => {
                let to: Option<Vec<usize>> = to.iter().map(|dim| dim.to_usize().ok()).collect();
                let view =
                    to.and_then(|to| value.view.reshaped(&value.shape, *at, from.len(), &to));
                value.view = view.ok_or(
                    "it cuts or reorders channels, frames or pixels by changing the shape",
                )?;
            }
            _ => return Err("it changes axes that are not there".into()),
        }
        Ok(value)
    }

    fn downsample(&mut self, input: OutletId, op: &Downsample) -> Result<Value, String> {
        let mut value = self.value(input)?;
        if value.repeated || !matches!(value.pending, Pending::Nothing | Pending::Skip(_)) {
            value = self.whole(input)?;
        }
        let stride = usize::try_from(op.stride).ok().filter(|&stride| stride > 0);
        let (Some(stride), 0) = (stride, op.modulo) else {
            return Err("it leaves out values, the first among them".into());
        };
        let mut skip = if let Pending::Skip(skip) = value.pending { skip } else { [1; 3] };
        match value.view.long(op.axis, &value.shape)[..] {
            [] => return Ok(value),
            [axis] => {
                let Some(at) = Axis::EXTENTS.iter().position(|&other| other == axis) else {
                    return Err("it leaves out channels".into());
                };
                if let Some(skip) = skip.get_mut(at) {
                    *skip = skip.saturating_mul(stride);
                }
                let size = match axis {
                    Axis::Frames => &mut value.shape.frames,
                    Axis::Height => &mut value.shape.height,
                    _ => &mut value.shape.width,
                };
                *size = size.div_ceil(stride);
            }
            _ => return Err("it leaves out values along merged axes".into()),
        }
        value.pending = Pending::Skip(skip);
        Ok(value)
    }

    fn pad(&mut self, input: OutletId, op: &PadOp) -> Result<Value, String> {
        let value = self.value(input)?;
        let mut value = match value.pending {
            Pending::Nothing | Pending::Pad(_) if !value.repeated => value,
            _ => self.whole(input)?,
        };
        if op.pads.iter().all(|&pads| pads == (0, 0)) {
            return Ok(value);
        }
        let zeros = match &op.mode {
            PadMode::Constant(value) => {
                value.cast_to_scalar::<f32>().is_ok_and(|value| value == 0.0)
            }
            _ => false,
        };
        if !zeros {
            return Err("it pads with something other than zeros".into());
        }
        let mut pad = if let Pending::Pad(pad) = value.pending { pad } else { Pad::default() };
        for (at, &(before, after)) in
            op.pads.iter().enumerate().filter(|(_, pads)| **pads != (0, 0))
        {
            let axes = value.view.0.get(at).map_or(&[][..], Vec::as_slice);
            let axis = match (&value.view.long(at, &value.shape)[..], axes) {
                ([axis], _) | ([], [axis]) => *axis,
                _ => return Err("it pads an axis that is not frames, rows or columns".into()),
            };
            let Some(place) = Axis::EXTENTS.iter().position(|&other| other == axis) else {
                return Err("it pads channels with zeros".into());
            };
            if let Some([b, a]) = pad.get_mut(place) {
                (*b, *a) = (b.saturating_add(before), a.saturating_add(after));
            }
            let size = match axis {
                Axis::Frames => &mut value.shape.frames,
                Axis::Height => &mut value.shape.height,
                _ => &mut value.shape.width,
            };
            *size = size.saturating_add(before).saturating_add(after);
        }
        value.pending = Pending::Pad(pad);
        Ok(value)
    }

    fn slice(&mut self, input: OutletId, op: &Slice) -> Result<Value, String> {
        let value = self.value(input)?;
        let size = self.sizes(input)?.get(op.axis).copied();
        let (start, end) = (op.start.to_usize().ok(), op.end.to_usize().ok());
        if (start, end) == (Some(0), size) {
            return Ok(value);
        }
        let (Some(start), Some(end)) = (start, end) else {
            return Err("it takes a part of a tensor that is not fixed".into());
        };
        let of = value.view.long(op.axis, &value.shape);
        if of != [Axis::Channels] || start >= end || end > value.shape.channels {
            let of = of.first().map_or("values", |axis| axis.words());
            return Err(format!("it takes only the {of} from {start} to {end} of a tensor"));
        }
        let (mut value, first) = match value.pending {
            Pending::Channels(first) if !value.repeated => (value, first + start),
            _ => (self.whole(input)?, start),
        };
        value.shape.channels = end - start;
        value.pending = Pending::Channels(first);
        Ok(value)
    }

    fn concat(&mut self, node: &TypedNode, op: &TypedConcat) -> Result<Value, String> {
        let mut parts = Vec::new();
        for &input in &node.inputs {
            if self.fact(input)?.konst.is_some() {
                return Err("it appends constants".into());
            }
            parts.push(self.whole(input)?);
        }
        let Some(first) = parts.first().cloned() else { return Err(unknown(node)) };
        let along = |part: &Value| match part.view.long(op.axis, &part.shape)[..] {
            [axis] => axis == Axis::Channels,
            // One channel.
            [] => part.shape.channels == 1,
            _ => false,
        };
        if !parts.iter().all(along) {
            return Err("it joins tensors along something other than channels".into());
        }
        let mut view = first.view.clone();
        for (at, axes) in view.0.iter_mut().enumerate() {
            if at == op.axis {
                *axes = vec![Axis::Channels];
            } else {
                axes.retain(|&axis| axis != Axis::Channels);
            }
        }
        let mut shape = Shape { channels: 0, ..first.shape };
        for part in &parts {
            let same = Shape { channels: shape.channels, ..part.shape } == shape
                && view.0.iter().enumerate().all(|(at, _)| {
                    at == op.axis
                        || part.view.long(at, &part.shape) == first.view.long(at, &first.shape)
                });
            if !same {
                return Err("it joins tensors whose frames or pixels differ".into());
            }
            shape.channels += part.shape.channels;
        }
        let inputs = parts.iter().map(|part| part.node).collect();
        let id = self.push(plain(&node.name), Op::Concat, inputs, shape);
        Ok(Value::new(id, view, shape))
    }

    fn softmax(&mut self, node: &TypedNode, op: &Softmax) -> Result<Value, String> {
        let Some(&input) = node.inputs.first() else { return Err(unknown(node)) };
        let value = self.whole(input)?;
        if op.kind != SoftmaxKind::Softmax {
            return Err("it is a logarithm of a softmax".into());
        }
        let over: Vec<Axis> =
            op.axes.iter().flat_map(|&axis| value.view.long(axis, &value.shape)).collect();
        if over != [Axis::Channels] {
            return Err("it is a softmax over something other than channels".into());
        }
        let id = self.push(plain(&node.name), Op::Softmax, vec![value.node], value.shape);
        Ok(Value::new(id, value.view, value.shape))
    }
}

/// Weights of which each output has `inputs` (times its taps), for `of` inputs of which
/// those from `first` on count.
fn spread(weights: &[f32], inputs: usize, taps: usize, first: usize, of: usize) -> Vec<f32> {
    let mut spread = Vec::with_capacity(weights.len() / inputs * of);
    for output in weights.chunks_exact(inputs * taps) {
        spread.resize(spread.len() + first * taps, 0.0);
        spread.extend_from_slice(output);
        spread.resize(spread.len() + (of - first - inputs) * taps, 0.0);
    }
    spread
}

fn unknown(node: &TypedNode) -> String {
    format!("its operator {} is not among those that can be run frame by frame", node.op.name())
}
