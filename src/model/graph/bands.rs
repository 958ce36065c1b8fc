//! A clip's first layers, band by band.
//!
//! They make large pictures of few channels: a frame of them, let alone the several that
//! a kernel in time reads, is more than the cache holds, and memory decides how long they
//! take. So they are computed for some rows of all frames, then for the next rows. Rows at
//! the edge of two bands that a kernel reaches across are computed for both.

use std::ops::Range;

use super::{Graph, Node, NodeId, Op};
use crate::model::kernels::{Border, Extent};

/// What a band may keep, in values: three quarters of a second-level cache of 2 MB.
pub(super) const ROOM: usize = 384 << 10;

/// The most multiply-accumulates that may be done twice, to all that there are: one in so
/// many.
const TWICE: usize = 8;

/// The nodes that are computed in bands, and their rows.
#[derive(Debug)]
pub(super) struct Cut {
    /// Of each node: whether it is computed in bands. The input counts as one of them.
    pub inside: Vec<bool>,
    /// Of each of these: whether others than these read it. Nobody else does.
    pub ends: Vec<bool>,
    /// Of each node: whether it is the mean over space of an end, which is summed up as
    /// the bands go by.
    pub means: Vec<bool>,
    /// The rows of each band.
    pub bands: Vec<Band>,
}

/// Some rows of every node inside.
#[derive(Debug)]
pub(super) struct Band(Vec<Part>);

/// The rows of one node in a band.
#[derive(Clone, Debug, Default)]
struct Part {
    rows: Range<usize>,
    /// Rows of zeros above and below them, where the frame ends and a kernel goes on.
    zeros: [usize; 2],
}

impl Cut {
    /// The first layers of `graph` whose frames lie as `extents` say, if there is something
    /// to be won where a band may keep `room` values.
    pub fn new(graph: &Graph, extents: &[Extent], room: usize) -> Option<Cut> {
        let count = graph.nodes.len();
        let mut inside = vec![false; count];
        for (at, node) in graph.nodes.iter().enumerate() {
            let high = node.shape.height > 1 && node.shape.height * 4 >= extents[0].height;
            inside[at] =
                at == 0 || (high && local(graph, node) && node.inputs.iter().all(|&i| inside[i]));
        }
        let read_by = |at: NodeId, whom: bool| {
            graph
                .nodes
                .iter()
                .enumerate()
                .any(|(r, node)| inside[r] == whom && node.inputs.contains(&at))
        };
        let ends: Vec<bool> = (0..count)
            .map(|at| at > 0 && inside[at] && (read_by(at, false) || at == graph.output))
            .collect();
        let found: Vec<NodeId> = (0..count).filter(|&at| ends[at]).collect();
        let height = extents[*found.first()?].height;
        let fits = |&at: &NodeId| extents[at].height == height && !read_by(at, true);
        if !found.iter().all(fits) || read_by(0, false) {
            return None;
        }
        // What one frame after the other would keep: as many frames as kernels have taps.
        let kept = |at: NodeId| {
            let readers = graph.nodes.iter().filter(|node| node.inputs.contains(&at));
            extents[at].len() * readers.map(|node| node.op.taps()).max().unwrap_or(1)
        };
        let kept: usize = (1..count).filter(|&at| inside[at] && !ends[at]).map(kept).sum();
        let all: usize =
            (1..count).filter(|&at| inside[at]).map(|at| graph.nodes[at].frame_work()).sum();
        let mut wanted = kept.div_ceil(room).min(height);
        while wanted > 1 {
            let edge = |band: usize| height * band / wanted;
            let bands: Vec<Band> = (0..wanted)
                .map(|band| Band::new(graph, &inside, &ends, edge(band)..edge(band + 1)))
                .collect();
            let done = |band: &Band| {
                let rows = |at: NodeId| {
                    graph.nodes[at].frame_work() * band.0[at].rows.len() / extents[at].height
                };
                (1..count).filter(|&at| inside[at]).map(rows).sum::<usize>()
            };
            if bands.iter().map(done).sum::<usize>() <= all + all / TWICE {
                let of_an_end = |node: &Node| {
                    matches!(node.op, Op::SpaceMean) && node.inputs.iter().all(|&i| ends[i])
                };
                let means = graph.nodes.iter().map(of_an_end).collect();
                return Some(Cut { inside, ends, means, bands });
            }
            wanted -= 1;
        }
        None
    }
}

impl Band {
    /// The rows of every node that rows `ends` of the ends need.
    fn new(graph: &Graph, inside: &[bool], is_end: &[bool], ends: Range<usize>) -> Self {
        let mut parts = vec![Part::default(); graph.nodes.len()];
        for at in (1..graph.nodes.len()).rev().filter(|&at| inside[at]) {
            if is_end[at] {
                parts[at].rows = ends.clone();
            }
            let (node, rows) = (&graph.nodes[at], parts[at].rows.clone());
            if rows.is_empty() {
                continue;
            }
            for (place, &input) in node.inputs.iter().enumerate() {
                let [kernel, stride, pad] = down(node, place);
                let height = graph.nodes[input].shape.height;
                let (first, last) = (rows.start * stride, (rows.end - 1) * stride + kernel);
                let zeros = [pad.saturating_sub(first), last.saturating_sub(height + pad)];
                let read = first.saturating_sub(pad)..(last - pad.min(last)).min(height);
                let part = &mut parts[input];
                part.rows = if part.rows.is_empty() {
                    read
                } else {
                    part.rows.start.min(read.start)..part.rows.end.max(read.end)
                };
                part.zeros = [part.zeros[0].max(zeros[0]), part.zeros[1].max(zeros[1])];
            }
        }
        Band(parts)
    }

    /// Its rows of an end.
    pub fn rows(&self, end: NodeId) -> Range<usize> {
        self.0[end].rows.clone()
    }

    /// How its rows of `node`, whose whole frames lie as `whole` says, lie in memory. An
    /// end's lie in the whole frame, without rows of zeros.
    pub fn own(&self, node: NodeId, whole: &Extent) -> Extent {
        let Part { rows, zeros: [top, bottom] } = &self.0[node];
        let border = Border { top: *top, bottom: *bottom, ..whole.border };
        Extent { height: rows.len(), border, ..*whole }
    }

    /// How the rows that `node` reads of its input `place` lie in memory, seen from its
    /// own rows: its first is made from row 0. The input whose whole frames lie as `whole`
    /// says is a band too, unless it is the network's.
    pub fn view(&self, node: &Node, at: NodeId, place: usize, whole: &Extent) -> Extent {
        let input = node.inputs[place];
        let [_, stride, _] = down(node, place);
        let own = if input == 0 { *whole } else { self.own(input, whole) };
        let first = if input == 0 { 0 } else { self.0[input].rows.start };
        let total = own.border.top + own.height + own.border.bottom;
        let rows = &self.0[at].rows;
        let top = own.border.top + rows.start * stride - first;
        let height = if stride == 1 && !matches!((&node.op, place), (Op::Conv(_), 0)) {
            rows.len()
        } else {
            total - top
        };
        let border = Border { top, bottom: total - top - height, ..own.border };
        Extent { height, border, ..own }
    }
}

/// Whether a node makes its rows from rows near them, and nothing else.
fn local(graph: &Graph, node: &Node) -> bool {
    match &node.op {
        Op::Conv(conv) => conv.before.is_none(),
        Op::Activation(_) | Op::Affine { .. } => true,
        Op::Add(_) => node.inputs.iter().all(|&input| graph.nodes[input].shape == node.shape),
        _ => false,
    }
}

/// Taps, stride and padding down a frame of the input at `place`.
fn down(node: &Node, place: usize) -> [usize; 3] {
    match &node.op {
        Op::Conv(conv) if place == 0 => [conv.kernel[1], conv.stride[1], conv.pad[1][0]],
        _ => [1, 1, 0],
    }
}
