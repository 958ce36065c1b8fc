//! A graph made ready to be run: weights packed for this CPU, and a place for every
//! frame.

use std::ops::Range;
use std::sync::Arc;

use super::bands::{Band, Cut, ROOM};
use super::plan::Plan;
use super::threads::Threads;
use super::timing::{Pace, Span, Timing};
use super::{Conv, Graph, Node, NodeId, Op};
use crate::model::kernels::{
    Activation, Border, Dense, DenseShape, Depthwise, DepthwiseShape, Extent, Isa, Pool, Precision,
};

/// A graph made ready to be run over clips or a stream, shared by all who run it.
#[derive(Debug)]
pub struct Program {
    /// All nodes, those apart that bands make.
    pub(super) main: Stage,
    /// The first layers of a clip, band by band.
    pub(super) bands: Vec<Banded>,
    pub(super) output: NodeId,
    pub(super) pace: Pace,
    multiply_accumulates: u64,
    weight_bytes: u64,
    pub(super) isa: Isa,
    pub(super) threads: Threads,
}

/// Nodes, when their frames are made, and where they are kept.
#[derive(Debug)]
pub(super) struct Stage {
    pub nodes: Vec<Prepared>,
    pub timing: Timing,
    pub plan: Plan,
}

/// A band of the first layers.
#[derive(Debug)]
pub(super) struct Banded {
    pub stage: Stage,
    /// Of each node that others than the band's read: the rows that it makes of their
    /// frames, in the memory of those.
    pub ends: Vec<Option<End>>,
}

/// What a band makes for others.
#[derive(Debug)]
pub(super) struct End {
    /// Where its rows lie in the whole frame's memory.
    pub memory: Range<usize>,
    /// The nodes that are the mean over space of it: its pixels are added to theirs.
    pub means: Vec<NodeId>,
}

/// A node made ready.
#[derive(Debug)]
pub(super) struct Prepared {
    pub name: String,
    /// What it is, for people.
    pub kind: String,
    pub inputs: Vec<NodeId>,
    /// How each of its frames lies in memory.
    pub extent: Extent,
    /// How its inputs' frames lie in memory.
    pub views: Vec<Extent>,
    /// Multiply-accumulates, or what comes to the same, of a frame.
    pub cost: usize,
    pub work: Arc<Work>,
}

/// What a node does to make one frame.
#[derive(Debug)]
pub(super) enum Work {
    Input,
    Dense {
        dense: Dense,
        before: Option<Activation>,
        residual: bool,
        after: Activation,
    },
    Depthwise {
        depthwise: Depthwise,
        after: Activation,
    },
    Pool(Pool),
    SpaceMean,
    /// The mean of all taps that there are.
    TimeMean,
    Affine {
        scale: Vec<f32>,
        offset: Vec<f32>,
        after: Activation,
    },
    Add(Activation),
    Multiply(Activation),
    /// `activation(a + b)` with one pixel for all.
    AddPixel {
        ones: Vec<f32>,
        after: Activation,
    },
    /// `activation(a · b)` with one pixel for all.
    MultiplyPixel {
        zeros: Vec<f32>,
        after: Activation,
    },
    Concat,
    Softmax,
}

impl Work {
    /// Bytes of the constants that it reads.
    fn bytes(&self) -> usize {
        match self {
            Work::Dense { dense, .. } => dense.bytes(),
            Work::Depthwise { depthwise, .. } => depthwise.bytes(),
            Work::Affine { scale, offset, .. } => {
                size_of_val::<[f32]>(scale) + size_of_val::<[f32]>(offset)
            }
            Work::AddPixel { ones, .. } => size_of_val::<[f32]>(ones),
            Work::MultiplyPixel { zeros, .. } => size_of_val::<[f32]>(zeros),
            _ => 0,
        }
    }
}

impl Program {
    /// Makes `graph` ready to be run over `span` by `threads` threads, with weights of
    /// `precision`.
    pub fn new(
        graph: Graph,
        span: Span,
        precision: Precision,
        isa: Isa,
        threads: usize,
    ) -> Arc<Self> {
        Self::within(graph, span, precision, isa, threads, ROOM)
    }

    /// As [`Program::new`], with bands that may keep `room` values.
    pub(super) fn within(
        graph: Graph,
        span: Span,
        precision: Precision,
        isa: Isa,
        threads: usize,
        room: usize,
    ) -> Arc<Self> {
        let extents: Vec<Extent> =
            (0..graph.nodes.len()).map(|at| extent(&graph, at, isa)).collect();
        let (pace, strides) =
            Pace::new(&graph, &Timing::new(&graph, span, &vec![false; extents.len()]));
        let multiply_accumulates = match span {
            Span::Clip => graph.multiply_accumulates(),
            Span::Stream { .. } => {
                let nodes = graph.nodes.iter().zip(&strides);
                let convolutions = nodes.filter(|(node, _)| matches!(node.op, Op::Conv(_)));
                convolutions.map(|(node, stride)| (node.frame_work() / stride) as u64).sum()
            }
        };
        let cut = if span == Span::Clip { Cut::new(&graph, &extents, room) } else { None };
        let output = graph.output;
        let costs: Vec<usize> = graph.nodes.iter().map(Node::frame_work).collect();
        let (graph, works) = works(graph, &extents, precision, isa);
        let made = Made { graph: &graph, extents: &extents, works: &works, costs: &costs };
        let main = Stage::main(&made, span, cut.as_ref());
        let bands =
            cut.iter().flat_map(|cut| cut.bands.iter().map(|band| Banded::new(&made, cut, band)));
        Arc::new(Program {
            bands: bands.collect(),
            main,
            output,
            pace,
            multiply_accumulates,
            weight_bytes: works.iter().map(|work| work.bytes() as u64).sum(),
            isa,
            threads: Threads::new(threads),
        })
    }

    /// How its outputs follow its inputs, over a stream.
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// Of a clip; over a stream, of each frame on average.
    pub fn multiply_accumulates(&self) -> u64 {
        self.multiply_accumulates
    }

    /// Bytes of weights as they are packed, all streams together.
    pub fn weight_bytes(&self) -> u64 {
        self.weight_bytes
    }

    /// Bytes of activations that each stream keeps.
    #[cfg(test)]
    pub fn memory(&self) -> usize {
        let own = self.main.plan.buffers.iter().sum::<usize>();
        (own + self.band_buffers().iter().sum::<usize>()) * size_of::<f32>()
    }

    /// Values of each piece of memory that the bands use, one band after the other.
    pub(super) fn band_buffers(&self) -> Vec<usize> {
        let mut most = Vec::new();
        for band in &self.bands {
            let buffers = &band.stage.plan.buffers;
            most.resize(most.len().max(buffers.len()), 0);
            for (most, &len) in most.iter_mut().zip(buffers) {
                *most = len.max(*most);
            }
        }
        most
    }
}

impl Stage {
    /// All of `graph` but for what `cut` leaves to bands.
    fn main(made: &Made, span: Span, cut: Option<&Cut>) -> Self {
        let Made { graph, extents, .. } = *made;
        let given: Vec<bool> = (0..extents.len())
            .map(|at| cut.map_or(at == 0, |cut| cut.inside[at] || cut.means[at]))
            .collect();
        let timing = Timing::new(graph, span, &given);
        let lens: Vec<usize> = (0..extents.len())
            .map(|at| {
                let inner = cut.is_some_and(|cut| at > 0 && cut.inside[at] && !cut.ends[at]);
                if inner { 0 } else { extents[at].len() }
            })
            .collect();
        let plan = Plan::new(graph, span, &timing, &lens);
        let prepared = |at: NodeId| {
            let views = graph.nodes[at].inputs.iter().map(|&input| extents[input]).collect();
            made.prepared(at, extents[at], views)
        };
        Stage { nodes: (0..extents.len()).map(prepared).collect(), timing, plan }
    }
}

impl Banded {
    fn new(made: &Made, cut: &Cut, band: &Band) -> Self {
        let Made { graph, extents, .. } = *made;
        let given: Vec<bool> =
            cut.inside.iter().enumerate().map(|(at, inside)| at == 0 || !inside).collect();
        let timing = Timing::new(graph, Span::Clip, &given);
        let kept = |at: NodeId| at > 0 && cut.inside[at];
        let own: Vec<Extent> = (0..extents.len())
            .map(|at| if kept(at) { band.own(at, &extents[at]) } else { extents[at] })
            .collect();
        // The network's input and the ends lie in the whole frames' memory.
        let lens: Vec<usize> = (0..own.len())
            .map(|at| if kept(at) && !cut.ends[at] { own[at].len() } else { 0 })
            .collect();
        let plan = Plan::new(graph, Span::Clip, &timing, &lens);
        let prepared = |at: NodeId| {
            let node = &graph.nodes[at];
            let view = |(place, &input): (usize, &NodeId)| {
                if kept(at) { band.view(node, at, place, &extents[input]) } else { extents[input] }
            };
            let views = node.inputs.iter().enumerate().map(view).collect();
            made.prepared(at, own[at], views)
        };
        let end = |at: NodeId| {
            let means = (0..own.len())
                .filter(|&mean| cut.means[mean] && graph.nodes[mean].inputs.contains(&at));
            let memory = extents[at].rows(&band.rows(at));
            cut.ends[at].then(|| End { memory, means: means.collect() })
        };
        Banded {
            ends: (0..own.len()).map(end).collect(),
            stage: Stage { nodes: (0..own.len()).map(prepared).collect(), timing, plan },
        }
    }
}

/// What stages are made of. The graph's weights are in the works.
#[derive(Clone, Copy)]
struct Made<'a> {
    graph: &'a Graph,
    extents: &'a [Extent],
    works: &'a [Arc<Work>],
    costs: &'a [usize],
}

impl Made<'_> {
    /// Node `at` with frames, or rows of frames, of `extent`, made from `views`.
    fn prepared(&self, at: NodeId, extent: Extent, views: Vec<Extent>) -> Prepared {
        let node = &self.graph.nodes[at];
        Prepared {
            name: node.name.clone(),
            kind: node.op.to_string(),
            inputs: node.inputs.clone(),
            extent,
            views,
            cost: self.costs[at] / node.shape.height.max(1) * extent.height,
            work: self.works[at].clone(),
        }
    }
}

/// What each node of `graph` does, its weights packed; and the graph, without them.
fn works(
    graph: Graph,
    extents: &[Extent],
    precision: Precision,
    isa: Isa,
) -> (Graph, Vec<Arc<Work>>) {
    let shapes: Vec<_> = graph.nodes.iter().map(|node| node.shape).collect();
    let mut works = Vec::with_capacity(shapes.len());
    let mut nodes = Vec::with_capacity(shapes.len());
    for (mut node, extent) in graph.nodes.into_iter().zip(extents) {
        let pixel = node.inputs.get(1).is_some_and(|&second| {
            let (second, own) = (shapes[second], node.shape);
            (second.height, second.width) == (1, 1) && (own.height, own.width) != (1, 1)
        });
        works.push(Arc::new(work(&mut node.op, extent, pixel, precision, isa)));
        nodes.push(node);
    }
    (Graph { nodes, output: graph.output }, works)
}

/// How the frames of node `at` lie in memory: with the border that the convolutions that
/// read them need.
fn extent(graph: &Graph, at: NodeId, isa: Isa) -> Extent {
    let shape = graph.nodes[at].shape;
    let mut border = Border::default();
    let mut dense_only = true;
    for node in graph.nodes.iter().filter(|node| node.inputs.contains(&at)) {
        let Op::Conv(conv) = &node.op else {
            dense_only = false;
            continue;
        };
        dense_only &= !conv.depthwise && node.inputs[1..].iter().all(|&input| input != at);
        if node.inputs[0] != at {
            continue;
        }
        let after = |size: usize, out: usize, axis: usize| {
            ((out - 1) * conv.stride[axis] + conv.kernel[axis])
                .saturating_sub(conv.pad[axis][0] + size)
        };
        border.top = border.top.max(conv.pad[1][0]);
        border.left = border.left.max(conv.pad[2][0]);
        border.bottom = border.bottom.max(after(shape.height, node.shape.height, 1));
        border.right = border.right.max(after(shape.width, node.shape.width, 2));
    }
    let extent = Extent::new(isa, shape.height, shape.width, shape.channels).with_border(border);
    // Three channels padded to sixteen would be five times the memory, and dense
    // convolutions read value by value.
    let tight = dense_only && matches!(graph.nodes[at].op, Op::Input);
    if tight { Extent { step: shape.channels, ..extent } } else { extent }
}

/// What `op` does; its weights are taken out of it.
fn work(op: &mut Op, extent: &Extent, pixel: bool, precision: Precision, isa: Isa) -> Work {
    match op {
        Op::Input => Work::Input,
        Op::Conv(conv) => convolution(conv, extent.channels, precision, isa),
        Op::Pool { kind, kernel, stride, pad } => Work::Pool(Pool {
            kind: *kind,
            kernel: *kernel,
            stride: [stride[1], stride[2]],
            pad: [pad[1][0], pad[2][0]],
        }),
        Op::SpaceMean => Work::SpaceMean,
        Op::TimeMean => Work::TimeMean,
        Op::Activation(after) => {
            let after = *after;
            let (scale, offset) = (vec![1.0; extent.step], vec![0.0; extent.step]);
            Work::Affine { scale, offset, after }
        }
        Op::Affine { scale, offset, activation } => {
            let (mut scale, mut offset) = (std::mem::take(scale), std::mem::take(offset));
            scale.resize(extent.step, 0.0);
            offset.resize(extent.step, 0.0);
            Work::Affine { scale, offset, after: *activation }
        }
        Op::Add(after) if pixel => Work::AddPixel { ones: vec![1.0; extent.step], after: *after },
        Op::Add(after) => Work::Add(*after),
        Op::Multiply(after) if pixel => {
            Work::MultiplyPixel { zeros: vec![0.0; extent.step], after: *after }
        }
        Op::Multiply(after) => Work::Multiply(*after),
        Op::Concat => Work::Concat,
        Op::Softmax => Work::Softmax,
    }
}

fn convolution(conv: &mut Conv, outputs: usize, precision: Precision, isa: Isa) -> Work {
    let weights = std::mem::take(&mut conv.weights);
    let Conv { kernel, stride, pad, residual, after, before, .. } = *conv;
    let (stride, pad) = ([stride[1], stride[2]], [pad[1][0], pad[2][0]]);
    if conv.depthwise {
        let shape = DepthwiseShape { channels: outputs, kernel, stride, pad };
        let depthwise = Depthwise::new(isa, shape, &weights, &conv.bias);
        return Work::Depthwise { depthwise, after };
    }
    let taps: usize = kernel.iter().product();
    let inputs = weights.len() / (taps * outputs).max(1);
    let shape = DenseShape { inputs, outputs, kernel, stride, pad };
    let dense = Dense::new(isa, shape, precision, &weights, &conv.bias);
    Work::Dense { dense, before, residual, after }
}
