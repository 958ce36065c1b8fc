//! Which frames of its inputs each frame of a node is made from, when they are there,
//! and how many of them must be kept.

use super::{Graph, Node, Op};

/// Over what a graph is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// One clip after the other, each whole: before its first and after its last frame
    /// there is nothing, which convolutions take for zeros.
    Clip,
    /// A stream without end.
    Stream {
        /// Means over time are over so many of the input's frames, 1 or more.
        average: usize,
        /// Whether what lies before the stream's first frame counts as nothing, as in a
        /// clip. If not, a node gives its first frame once every frame that it is made
        /// from is there: the receptive field is full. Means that only weigh channels
        /// (squeeze-and-excitation) do not wait in either case: in a network with a dozen
        /// of them, one after the other, that would take minutes.
        early: bool,
    },
}

/// The frames of one input that a node's frame `j` is made from: `stride·j - pad`, and
/// `taps - 1` more, each `dilation` after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reads {
    pub stride: usize,
    pub taps: usize,
    pub dilation: usize,
    pub pad: usize,
}

impl Reads {
    /// The input's frame of the same index.
    const SAME: Reads = Reads { stride: 1, taps: 1, dilation: 1, pad: 0 };
    /// Of a clip: the input's only frame, whatever the index.
    const STILL: Reads = Reads { stride: 0, taps: 1, dilation: 1, pad: 0 };

    /// The index of `tap` for frame `j`; none before frame 0.
    pub fn at(&self, j: usize, tap: usize) -> Option<usize> {
        (self.stride * j + tap * self.dilation).checked_sub(self.pad)
    }

    /// The first frame that `j` is made from, 0 if that lies before frame 0.
    fn oldest(&self, j: usize) -> usize {
        (self.stride * j).saturating_sub(self.pad)
    }
}

/// When a graph's frames exist.
#[derive(Debug)]
pub(super) struct Timing {
    /// Of each node, for each input.
    pub reads: Vec<Vec<Reads>>,
    /// Of each node: its inputs.
    inputs: Vec<Vec<usize>>,
    /// Of each node: whether a clip's frames of it need no making.
    pub given: Vec<bool>,
    /// Of each node: the first index that it gives.
    pub first: Vec<usize>,
    /// Of each node, in a clip: how many frames it gives.
    end: Option<Vec<usize>>,
}

/// Which frame each node gives next.
pub(super) type Next = Vec<usize>;

impl Timing {
    /// Of `graph` over `span`. Of the nodes that are `given` all of a clip's frames are
    /// there and need no making.
    pub fn new(graph: &Graph, span: Span, given: &[bool]) -> Self {
        let reads: Vec<Vec<Reads>> = graph
            .nodes
            .iter()
            .map(|node| (0..node.inputs.len()).map(|at| reads(graph, node, at, span)).collect())
            .collect();
        let full = matches!(span, Span::Stream { early: false, .. });
        let mut first = vec![0; graph.nodes.len()];
        let waits = waits(graph);
        for (at, node) in graph.nodes.iter().enumerate().filter(|_| full) {
            let eager = matches!(node.op, Op::TimeMean) && !waits[at];
            first[at] = node
                .inputs
                .iter()
                .zip(&reads[at])
                .map(|(&input, reads)| {
                    let pad = if eager { 0 } else { reads.pad };
                    (first[input] + pad).div_ceil(reads.stride.max(1))
                })
                .max()
                .unwrap_or(0);
        }
        let end = (span == Span::Clip)
            .then(|| graph.nodes.iter().map(|node| node.shape.frames).collect());
        let inputs = graph
            .nodes
            .iter()
            .zip(given)
            .map(|(node, given)| if *given { Vec::new() } else { node.inputs.clone() });
        let inputs = inputs.collect();
        Timing { reads, inputs, given: given.to_vec(), first, end }
    }

    /// Before the first frame.
    pub fn start(&self) -> Next {
        let mut next = self.first.clone();
        for (node, end) in self.end.iter().flatten().enumerate() {
            if self.given[node] {
                next[node] = *end;
            }
        }
        next
    }

    /// Whether all that `node`'s frame `j` is made from is there.
    pub fn ready(&self, node: usize, j: usize, next: &Next) -> bool {
        if self.end.as_ref().is_some_and(|end| j >= end[node]) {
            return false;
        }
        self.inputs[node].iter().zip(&self.reads[node]).all(|(&input, reads)| {
            let newest = match (reads.at(j, reads.taps - 1), &self.end) {
                (Some(newest), Some(end)) => Some(newest.min(end[input] - 1)),
                (newest, _) => newest,
            };
            newest.is_none_or(|newest| newest < next[input])
        })
    }

    /// The frames of input `at` that `node`'s frame `j` is made from, oldest first; none
    /// for one that lies outside of the clip or before the stream.
    pub fn taps(
        &self,
        node: usize,
        at: usize,
        j: usize,
    ) -> impl Iterator<Item = Option<usize>> + use<'_> {
        let (reads, input) = (self.reads[node][at], self.inputs[node][at]);
        let end = self.end.as_ref().map_or(usize::MAX, |end| end[input]);
        let there = self.first[input]..end;
        (0..reads.taps).map(move |tap| reads.at(j, tap).filter(|index| there.contains(index)))
    }

    /// Whether `node` has given its last frame.
    pub fn finished(&self, node: usize, next: &Next) -> bool {
        self.end.as_ref().is_some_and(|end| next[node] >= end[node])
    }

    /// How many of `node`'s frames must be kept: from the oldest that a reader has still
    /// to see to the newest.
    pub fn alive(&self, node: usize, next: &Next) -> usize {
        let oldest = self.oldest(node, next).unwrap_or(next[node].saturating_sub(1));
        next[node].saturating_sub(oldest.max(self.first[node])).max(1)
    }

    /// Whether a reader has still to see a frame that `node` has given.
    pub fn needed(&self, node: usize, next: &Next) -> bool {
        let oldest = self.oldest(node, next).map(|oldest| oldest.max(self.first[node]));
        oldest.is_some_and(|oldest| oldest < next[node])
    }

    /// The oldest frame of `node` that a reader has still to see.
    fn oldest(&self, node: usize, next: &Next) -> Option<usize> {
        let readers = self.inputs.iter().enumerate();
        readers
            .filter(|(reader, _)| !self.finished(*reader, next))
            .flat_map(|(reader, inputs)| {
                inputs.iter().zip(&self.reads[reader]).map(move |(&input, r)| (reader, input, r))
            })
            .filter(|&(_, input, _)| input == node)
            .map(|(reader, _, reads)| reads.oldest(next[reader]))
            .min()
    }
}

/// How the stream of a graph's outputs follows that of its inputs, in frames of the
/// input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From one output to the next.
    pub stride: usize,
    /// How far the newest frame that an output speaks of lies behind the newest one that
    /// there is when it comes: what padding in time would have stood for is waited for.
    pub delay: usize,
    /// From the first frame to the first output.
    pub warm_up: usize,
}

impl Pace {
    /// Of `graph` over a stream; with it, of each node, how many frames of the input
    /// there are to each of its own.
    pub(super) fn new(graph: &Graph, timing: &Timing) -> (Self, Vec<usize>) {
        // Output j of a node needs the input frames up to stride·j + needs, and speaks of
        // those up to stride·j + speaks: with padding of half a kernel on both sides, as
        // usual, of the frames in the middle of its kernel; without, of all of them.
        let (mut stride, mut needs, mut speaks) = (vec![1usize], vec![0isize], vec![0isize]);
        for (at, node) in graph.nodes.iter().enumerate().skip(1) {
            let (mut own, mut need, mut speak) = (1, 0, 0);
            for (place, &input) in node.inputs.iter().enumerate() {
                let reads = timing.reads[at][place];
                let step = stride[input] as isize;
                let reach = ((reads.taps - 1) * reads.dilation) as isize - reads.pad as isize;
                let padded = match &node.op {
                    Op::Conv(conv) if place == 0 => conv.pad[0][1] as isize,
                    Op::Pool { pad, .. } => pad[0][1] as isize,
                    _ => 0,
                };
                let (n, s) = (needs[input] + step * reach, speaks[input] + step * (reach - padded));
                (need, speak) = if place == 0 { (n, s) } else { (need.max(n), speak.max(s)) };
                own = if place == 0 { stride[input] * reads.stride } else { own };
            }
            stride.push(own);
            needs.push(need);
            speaks.push(speak);
        }
        let out = graph.output;
        let first = (stride[out] * timing.first[out]) as isize + needs[out].max(0);
        let pace = Pace {
            stride: stride[out],
            delay: usize::try_from(needs[out].max(0) - speaks[out]).unwrap_or(0),
            warm_up: usize::try_from(first).unwrap_or(0) + 1,
        };
        (pace, stride)
    }
}

/// Which nodes are on a way to the output on which they are more than a weight of
/// channels.
fn waits(graph: &Graph) -> Vec<bool> {
    let mut waits = vec![false; graph.nodes.len()];
    waits[graph.output] = true;
    for (at, node) in graph.nodes.iter().enumerate().rev() {
        if !waits[at] {
            continue;
        }
        for (place, &input) in node.inputs.iter().enumerate() {
            let shape = graph.nodes[input].shape;
            let weight = match &node.op {
                Op::Conv(conv) => conv.before.is_some() && place == 1,
                Op::Multiply(_) => {
                    place == 1 && (shape.frames, shape.height, shape.width) == (1, 1, 1)
                }
                _ => false,
            };
            waits[input] |= !weight;
        }
    }
    waits
}

fn reads(graph: &Graph, node: &Node, at: usize, span: Span) -> Reads {
    let frames = graph.nodes[node.inputs[at]].shape.frames;
    match (&node.op, span) {
        (Op::Conv(conv), _) if at == 0 => Reads {
            stride: conv.stride[0],
            taps: conv.kernel[0],
            dilation: conv.dilation,
            pad: conv.pad[0][0],
        },
        (Op::Pool { kernel, stride, pad, .. }, _) => {
            Reads { stride: stride[0], taps: kernel[0], dilation: 1, pad: pad[0][0] }
        }
        (Op::TimeMean, Span::Clip) => Reads { stride: 1, taps: frames, dilation: 1, pad: 0 },
        (Op::TimeMean, Span::Stream { average, .. }) => {
            // Strides before it have made its input slower than the stream.
            let clip = graph.nodes[0].shape.frames.max(1);
            let taps = (average * frames).div_ceil(clip).max(1);
            Reads { stride: 1, taps, dilation: 1, pad: taps - 1 }
        }
        (_, Span::Clip) if frames == 1 && node.shape.frames > 1 => Reads::STILL,
        _ => Reads::SAME,
    }
}
