//! Several operators in one, so that what passes from one to the next never goes through
//! memory.
//!
//! Every rule keeps the results to f32 rounding, and none applies where something else
//! reads the value in between.

#[cfg(test)]
mod tests;

use super::{Conv, Graph, Node, NodeId, Op, Pad};
use crate::model::kernels::Activation;

/// By how much a slope or offset may miss the exact fraction: f32 rounding.
const ROUNDING: f32 = 1e-6;

/// The same network, one that [`Graph::check`] passes, in fewer nodes.
pub fn fuse(graph: Graph) -> Graph {
    let mut fusing = Fusing {
        uses: vec![0; graph.nodes.len()],
        nodes: graph.nodes.into_iter().map(Some).collect(),
        output: graph.output,
    };
    fusing.bury();
    loop {
        let mut changed = false;
        for id in 0..fusing.nodes.len() {
            // Each rule looks at what `id` reads, and writes in its place.
            for rule in RULES {
                while rule(&mut fusing, id).is_some() {
                    fusing.bury();
                    changed = true;
                }
            }
        }
        if !changed {
            return fusing.numbered();
        }
    }
}

/// In the order in which they are tried: a sum of convolutions must be seen before one
/// of them takes the other as its residual.
const RULES: [fn(&mut Fusing, NodeId) -> Option<()>; 9] = [
    identity,
    sum_of_convolutions,
    affine_after,
    affine_before,
    activation,
    hard_sigmoid,
    gate,
    channel_scale,
    residual,
];

struct Fusing {
    /// None for one that nothing reads any more.
    nodes: Vec<Option<Node>>,
    /// How many inputs each is, and one more for the network's output.
    uses: Vec<usize>,
    output: NodeId,
}

impl Fusing {
    fn op(&self, id: NodeId) -> Option<&Op> {
        self.node(id).map(|node| &node.op)
    }

    fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id)?.as_ref()
    }

    fn node_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(id)?.as_mut()
    }

    /// The `at`-th input of `id`.
    fn input(&self, id: NodeId, at: usize) -> Option<NodeId> {
        self.node(id)?.inputs.get(at).copied()
    }

    /// `id` where one thing reads it.
    fn sole(&self, id: NodeId) -> Option<NodeId> {
        (self.uses.get(id) == Some(&1)).then_some(id)
    }

    /// Puts `by`, changed by `f`, in the place of `id`, which is its only reader.
    fn absorb(&mut self, id: NodeId, by: NodeId, f: impl FnOnce(&mut Node)) -> Option<()> {
        let mut node = self.nodes.get_mut(by)?.take()?;
        f(&mut node);
        *self.nodes.get_mut(id)? = Some(node);
        Some(())
    }

    /// Lets all that reads `id` read `by`.
    fn bypass(&mut self, id: NodeId, by: NodeId) {
        for node in self.nodes.iter_mut().flatten() {
            for input in node.inputs.iter_mut().filter(|input| **input == id) {
                *input = by;
            }
        }
        if self.output == id {
            self.output = by;
        }
    }

    /// Counts who reads whom and removes what nothing reads.
    fn bury(&mut self) {
        self.uses.fill(0);
        if let Some(uses) = self.uses.get_mut(self.output) {
            *uses = 1;
        }
        for id in (0..self.nodes.len()).rev() {
            let input = matches!(self.op(id), Some(Op::Input));
            if self.uses.get(id) == Some(&0) && !input {
                self.nodes[id] = None;
            }
            for &input in self.nodes[id].iter().flat_map(|node| &node.inputs) {
                if let Some(uses) = self.uses.get_mut(input) {
                    *uses += 1;
                }
            }
        }
    }

    fn numbered(self) -> Graph {
        let mut places = vec![0; self.nodes.len()];
        let mut nodes: Vec<Node> = Vec::new();
        for (id, node) in self.nodes.into_iter().enumerate() {
            let Some(mut node) = node else { continue };
            for input in &mut node.inputs {
                *input = places[*input];
            }
            places[id] = nodes.len();
            nodes.push(node);
        }
        Graph { output: places[self.output], nodes }
    }
}

/// What leaves every value as it is.
fn identity(fusing: &mut Fusing, id: NodeId) -> Option<()> {
    let same = match fusing.op(id)? {
        Op::Activation(activation) => *activation == Activation::None,
        Op::Affine { scale, offset, activation } => {
            *activation == Activation::None
                && scale.iter().all(|&scale| scale == 1.0)
                && offset.iter().all(|&offset| offset == 0.0)
        }
        Op::Pool { kernel, stride, pad, .. } => {
            (*kernel, *stride, *pad) == ([1; 3], [1; 3], Pad::default())
        }
        _ => false,
    };
    let input = fusing.input(id, 0)?;
    same.then(|| fusing.bypass(id, input))
}

/// Two convolutions of the same tensor with windows in the same places, added: one with
/// the sum of their weights.
fn sum_of_convolutions(fusing: &mut Fusing, id: NodeId) -> Option<()> {
    let &Op::Add(after) = fusing.op(id)? else { return None };
    let (a, b) = (fusing.sole(fusing.input(id, 0)?)?, fusing.sole(fusing.input(id, 1)?)?);
    let (Op::Conv(one), Op::Conv(other)) = (fusing.op(a)?, fusing.op(b)?) else { return None };
    let alike = |conv: &Conv| (conv.kernel, conv.stride, conv.dilation, conv.pad, conv.depthwise);
    let plain =
        |conv: &Conv| conv.before.is_none() && !conv.residual && conv.after == Activation::None;
    if alike(one) != alike(other)
        || !plain(one)
        || !plain(other)
        || fusing.node(a)?.inputs != fusing.node(b)?.inputs
        || fusing.node(a)?.shape != fusing.node(b)?.shape
    {
        return None;
    }
    let Op::Conv(other) = fusing.nodes.get_mut(b)?.take()?.op else { return None };
    fusing.absorb(id, a, |node| {
        if let Op::Conv(conv) = &mut node.op {
            add_to(&mut conv.weights, &other.weights);
            add_to(&mut conv.bias, &other.bias);
            conv.after = after;
        }
    })
}

fn add_to(sums: &mut [f32], more: &[f32]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}

/// An affine into the convolution or the affine before it.
fn affine_after(fusing: &mut Fusing, id: NodeId) -> Option<()> {
    let before = fusing.sole(fusing.input(id, 0)?)?;
    let Op::Affine { scale, .. } = fusing.op(id)? else { return None };
    let moves = scale.iter().all(|&scale| scale == 1.0);
    let fits = match fusing.op(before)? {
        // The residual must not be scaled with the rest.
        Op::Conv(conv) => conv.after == Activation::None && (moves || !conv.residual),
        Op::Affine { activation, .. } => *activation == Activation::None,
        _ => false,
    };
    if !fits {
        return None;
    }
    let Op::Affine { scale, offset, activation: last } = fusing.nodes.get_mut(id)?.take()?.op
    else {
        return None;
    };
    fusing.absorb(id, before, |node| match &mut node.op {
        Op::Conv(conv) => {
            let each = conv.weights.len() / scale.len().max(1);
            for (weights, scale) in conv.weights.chunks_mut(each.max(1)).zip(&scale) {
                weights.iter_mut().for_each(|weight| *weight *= scale);
            }
            for ((bias, scale), offset) in conv.bias.iter_mut().zip(&scale).zip(&offset) {
                *bias = *bias * scale + offset;
            }
            conv.after = last;
        }
        Op::Affine { scale: first, offset: start, activation } => {
            for ((value, scale), offset) in start.iter_mut().zip(&scale).zip(&offset) {
                *value = *value * scale + offset;
            }
            first.iter_mut().zip(&scale).for_each(|(first, scale)| *first *= scale);
            *activation = last;
        }
        _ => {}
    })
}

/// An affine into the convolution after it. With padding only where it has no offset:
/// what lies outside is zero, not the offset.
fn affine_before(fusing: &mut Fusing, id: NodeId) -> Option<()> {
    let Op::Conv(conv) = fusing.op(id)? else { return None };
    let affine = fusing.sole(fusing.input(id, 0)?)?;
    let Op::Affine { scale, offset, activation: Activation::None } = fusing.op(affine)? else {
        return None;
    };
    let padded = conv.pad != Pad::default() && offset.iter().any(|&offset| offset != 0.0);
    if conv.before.is_some() || padded {
        return None;
    }
    let (scale, offset) = (scale.clone(), offset.clone());
    let input = fusing.input(affine, 0)?;
    let node = fusing.node_mut(id)?;
    *node.inputs.first_mut()? = input;
    let Op::Conv(conv) = &mut node.op else { return None };
    let taps = conv.kernel.iter().product::<usize>().max(1);
    let inputs = if conv.depthwise { 1 } else { scale.len() };
    let of_input = conv.weights.chunks_mut(taps).enumerate();
    for (at, weights) in of_input {
        let (output, mut input) = (at / inputs.max(1), at % inputs.max(1));
        if conv.depthwise {
            input = output;
        }
        let (Some(scale), Some(offset)) = (scale.get(input), offset.get(input)) else { continue };
        if let Some(bias) = conv.bias.get_mut(output) {
            *bias += weights.iter().sum::<f32>() * offset;
        }
        weights.iter_mut().for_each(|weight| *weight *= scale);
    }
    Some(())
}

/// An activation into what gives the value.
fn activation(fusing: &mut Fusing, id: NodeId) -> Option<()> {
    let &Op::Activation(last) = fusing.op(id)? else { return None };
    let before = fusing.sole(fusing.input(id, 0)?)?;
    let both = composed(*after_mut(&mut fusing.node_mut(before)?.op)?, last)?;
    fusing.absorb(id, before, |node| {
        if let Some(after) = after_mut(&mut node.op) {
            *after = both;
        }
    })
}

/// What an operator does to each value at its end.
fn after_mut(op: &mut Op) -> Option<&mut Activation> {
    match op {
        Op::Conv(conv) => Some(&mut conv.after),
        Op::Affine { activation, .. }
        | Op::Add(activation)
        | Op::Multiply(activation)
        | Op::Activation(activation) => Some(activation),
        _ => None,
    }
}

/// One activation for `first`, then `last`, where there is one.
fn composed(first: Activation, last: Activation) -> Option<Activation> {
    if first == Activation::None {
        return Some(last);
    }
    let ((low, high), (least, most)) = (range(first)?, range(last)?);
    let (low, high) = (low.max(least).min(most), high.max(least).min(most));
    Some(match (low, high) {
        (0.0, f32::INFINITY) => Activation::Relu,
        _ => Activation::Clip { low, high },
    })
}

/// The range that an activation keeps values in, where it does nothing else.
fn range(activation: Activation) -> Option<(f32, f32)> {
    match activation {
        Activation::None => Some((f32::NEG_INFINITY, f32::INFINITY)),
        Activation::Relu => Some((0.0, f32::INFINITY)),
        Activation::Clip { low, high } => (low <= high).then_some((low, high)),
        _ => None,
    }
}

/// `clip(x · slope + offset, 0, 1)`, the same for all channels.
fn hard_sigmoid(fusing: &mut Fusing, id: NodeId) -> Option<()> {
    let Op::Affine { scale, offset, activation } = fusing.op(id)? else { return None };
    if *activation != (Activation::Clip { low: 0.0, high: 1.0 }) {
        return None;
    }
    let (slope, offset) = (same(scale)?, same(offset)?);
    fusing.node_mut(id)?.op = Op::Activation(Activation::HardSigmoid { slope, offset });
    Some(())
}

/// A tensor times a function of itself.
fn gate(fusing: &mut Fusing, id: NodeId) -> Option<()> {
    let Op::Multiply(Activation::None) = fusing.op(id)? else { return None };
    let (a, b) = (fusing.input(id, 0)?, fusing.input(id, 1)?);
    [(a, b), (b, a)].into_iter().find_map(|(value, gate)| {
        let gate = fusing.sole(gate)?;
        let (gated, times) = gated(fusing.op(gate)?)?;
        if fusing.input(gate, 0)? != value {
            return None;
        }
        let channels = fusing.node(id)?.shape.channels;
        fusing.node_mut(gate)?.op = Op::Activation(gated);
        let node = fusing.node_mut(id)?;
        node.inputs = vec![gate];
        node.op = Op::Affine {
            scale: vec![times; channels],
            offset: vec![0.0; channels],
            activation: Activation::None,
        };
        Some(())
    })
}

/// What `x · gate(x)` is, and how many times it.
fn gated(gate: &Op) -> Option<(Activation, f32)> {
    let (slope, offset, high) = match gate {
        Op::Activation(Activation::Sigmoid) => return Some((Activation::Silu, 1.0)),
        Op::Activation(Activation::HardSigmoid { slope, offset }) => (*slope, *offset, 1.0),
        // x · clip(x + 3, 0, 6), as PyTorch writes it for old operator sets.
        Op::Affine { scale, offset, activation: Activation::Clip { low: 0.0, high } } => {
            (same(scale)?, same(offset)?, *high)
        }
        _ => return None,
    };
    let near = |value: f32, exact: f32| (value / high - exact).abs() <= ROUNDING;
    let hard_swish = high > 0.0 && near(slope, 1.0 / 6.0) && near(offset, 0.5);
    hard_swish.then_some((Activation::HardSwish, high))
}

/// The value that all are.
fn same(values: &[f32]) -> Option<f32> {
    let &first = values.first()?;
    values.iter().all(|&value| value == first).then_some(first)
}

/// A product with a value for each channel (squeeze-and-excitation) into the convolution
/// after it.
fn channel_scale(fusing: &mut Fusing, id: NodeId) -> Option<()> {
    let Op::Conv(conv) = fusing.op(id)? else { return None };
    let plain = !conv.depthwise
        && (conv.kernel, conv.stride, conv.pad) == ([1; 3], [1; 3], Pad::default())
        && conv.before.is_none();
    let product = fusing.sole(fusing.input(id, 0)?)?;
    let &Op::Multiply(before) = fusing.op(product)? else { return None };
    let (picture, scale) = (fusing.input(product, 0)?, fusing.input(product, 1)?);
    let scale_shape = fusing.node(scale)?.shape;
    if !plain || (scale_shape.height, scale_shape.width) != (1, 1) {
        return None;
    }
    let node = fusing.node_mut(id)?;
    node.inputs.splice(..1, [picture, scale]);
    if let Op::Conv(conv) = &mut node.op {
        conv.before = Some(before);
    }
    Some(())
}

/// A sum into the convolution that gives one of its sides, the later one if both are.
fn residual(fusing: &mut Fusing, id: NodeId) -> Option<()> {
    let &Op::Add(after) = fusing.op(id)? else { return None };
    let (a, b) = (fusing.input(id, 0)?, fusing.input(id, 1)?);
    if fusing.node(a)?.shape != fusing.node(b)?.shape {
        return None;
    }
    let fits = |id: NodeId| {
        let conv = match fusing.op(fusing.sole(id)?)? {
            Op::Conv(conv) => conv,
            _ => return None,
        };
        (!conv.depthwise && !conv.residual && conv.after == Activation::None).then_some(id)
    };
    let conv = fits(a.max(b)).or_else(|| fits(a.min(b)))?;
    let other = if conv == a { b } else { a };
    fusing.absorb(id, conv, |node| {
        node.inputs.push(other);
        if let Op::Conv(conv) = &mut node.op {
            (conv.residual, conv.after) = (true, after);
        }
    })
}
