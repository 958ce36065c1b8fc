//! In which order a graph's frames are made, and where each is kept.

use super::timing::{Next, Span, Timing};
use super::{Graph, NodeId};

/// A node makes no more frames in a row than its inputs and outputs of so many values
/// (1 MB) allow, so that the next node finds them in the cache; and where frames are
/// small it makes many in a row, so that its weights stay there.
const TURN: usize = 256 << 10;

/// Where frames are kept, and for clips the order in which they are made.
#[derive(Debug)]
pub(super) struct Plan {
    /// Values of each piece of memory.
    pub buffers: Vec<usize>,
    /// Of each node: frame `j` lies in the piece of memory `slots[j % slots.len()]`.
    pub slots: Vec<Vec<usize>>,
    /// The frames of a clip, in the order to make them. Empty for a stream, whose order
    /// is: each node in turn, as soon as its inputs are there.
    pub clip: Vec<Step>,
    /// In a stream, of each node: whether others use its memory between its frames.
    pub shared: Vec<bool>,
}

/// One frame to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub node: NodeId,
    pub frame: usize,
    /// Whether others used its memory before: its border must be cleared.
    pub fresh: bool,
}

impl Plan {
    /// For a graph whose frames take `lens` values each.
    pub fn new(graph: &Graph, span: Span, timing: &Timing, lens: &[usize]) -> Self {
        match span {
            Span::Clip => clip(graph, timing, lens),
            Span::Stream { .. } => stream(graph, timing, lens),
        }
    }
}

/// In a stream a node keeps its memory if a later step reads its frames again. What is
/// read within the step in which it is made shares memory, which so stays in the cache.
fn stream(graph: &Graph, timing: &Timing, lens: &[usize]) -> Plan {
    let mut next = timing.start();
    let mut most = vec![1; lens.len()];
    let mut kept = vec![false; lens.len()];
    (kept[0], kept[graph.output]) = (true, true);
    // Once the output comes, everything repeats with the product of the strides in time,
    // which is far smaller than this many outputs.
    let last = timing.first[graph.output] + 64;
    while next[graph.output] < last {
        next[0] += 1;
        most[0] = most[0].max(timing.alive(0, &next));
        for node in 1..lens.len() {
            while timing.ready(node, next[node], &next) {
                next[node] += 1;
                most[node] = most[node].max(timing.alive(node, &next));
            }
        }
        for (node, kept) in kept.iter_mut().enumerate() {
            *kept |= timing.needed(node, &next);
        }
    }
    let mut readers: Vec<NodeId> = (0..lens.len()).collect();
    for (at, node) in graph.nodes.iter().enumerate() {
        node.inputs.iter().for_each(|&input| readers[input] = readers[input].max(at));
    }
    let mut plan =
        Plan { buffers: Vec::new(), slots: Vec::new(), clip: Vec::new(), shared: Vec::new() };
    let mut free: Vec<usize> = Vec::new();
    for (node, &count) in most.iter().enumerate() {
        let shared = !kept[node] && count == 1;
        let slots = (0..count).map(|_| {
            if shared {
                return take(&mut free, &mut plan.buffers, lens[node]);
            }
            plan.buffers.push(lens[node]);
            plan.buffers.len() - 1
        });
        let slots: Vec<usize> = slots.collect();
        plan.slots.push(slots);
        plan.shared.push(shared);
        let done = (0..=node).filter(|&at| plan.shared[at] && readers[at] == node);
        free.extend(done.map(|at| plan.slots[at][0]));
    }
    plan
}

/// In a clip memory is used again once a node's last reader is done.
fn clip(graph: &Graph, timing: &Timing, lens: &[usize]) -> Plan {
    let frames = |node: NodeId| graph.nodes[node].shape.frames;
    let turns: Vec<usize> = graph
        .nodes
        .iter()
        .enumerate()
        .map(|(at, node)| {
            let values = lens[at] + node.inputs.iter().map(|&input| lens[input]).sum::<usize>();
            (TURN / values.max(1)).max(1)
        })
        .collect();
    let mut next: Next = timing.start();
    let mut most = vec![1; lens.len()];
    let mut steps = Vec::new();
    loop {
        let before = steps.len();
        for node in 1..lens.len() {
            let from = next[node];
            let mut ahead = from;
            while ahead - from < turns[node] && timing.ready(node, ahead, &next) {
                ahead += 1;
            }
            let all = graph.nodes[node].inputs.iter().all(|&i| timing.finished(i, &next));
            if ahead - from < turns[node] && ahead < frames(node) && !all {
                continue;
            }
            for frame in from..ahead {
                next[node] += 1;
                most[node] = most[node].max(timing.alive(node, &next));
                steps.push(Step { node, frame, fresh: frame < most[node] });
            }
        }
        if steps.len() == before {
            break;
        }
    }
    for node in (0..lens.len()).filter(|&node| timing.given[node]) {
        most[node] = frames(node);
    }
    place(graph, timing, lens, &most, steps)
}

/// Gives every node its memory for as long as it needs it.
fn place(
    graph: &Graph,
    timing: &Timing,
    lens: &[usize],
    most: &[usize],
    mut steps: Vec<Step>,
) -> Plan {
    let mut last = vec![0; lens.len()];
    for (at, step) in steps.iter().enumerate() {
        last[step.node] = last[step.node].max(at);
        for &input in &graph.nodes[step.node].inputs {
            last[input] = last[input].max(at);
        }
    }
    let mut plan = Plan {
        buffers: Vec::new(),
        slots: vec![Vec::new(); lens.len()],
        clip: Vec::new(),
        shared: Vec::new(),
    };
    for node in (0..lens.len()).filter(|&node| timing.given[node] && lens[node] > 0) {
        let from = plan.buffers.len();
        plan.buffers.resize(from + most[node], lens[node]);
        plan.slots[node] = (from..from + most[node]).collect();
    }
    let mut free: Vec<usize> = Vec::new();
    for (at, step) in steps.iter_mut().enumerate() {
        let node = step.node;
        step.fresh = step.frame < most[node];
        if plan.slots[node].is_empty() {
            for _ in 0..most[node] {
                let slot = take(&mut free, &mut plan.buffers, lens[node]);
                plan.slots[node].push(slot);
            }
        }
        let mut done: Vec<NodeId> = graph.nodes[node].inputs.clone();
        done.push(node);
        done.sort_unstable();
        done.dedup();
        for done in done {
            if last[done] == at && done != 0 && done != graph.output {
                free.extend(&plan.slots[done]);
            }
        }
    }
    plan.clip = steps;
    plan
}

/// The smallest free piece of memory that is large enough, else the largest made larger,
/// else a new one.
fn take(free: &mut Vec<usize>, buffers: &mut Vec<usize>, len: usize) -> usize {
    let fits = |&at: &usize| buffers[free[at]] >= len;
    let best = (0..free.len())
        .filter(fits)
        .min_by_key(|&at| buffers[free[at]])
        .or_else(|| (0..free.len()).max_by_key(|&at| buffers[free[at]]));
    match best {
        Some(at) => {
            let slot = free.swap_remove(at);
            buffers[slot] = buffers[slot].max(len);
            slot
        }
        None => {
            buffers.push(len);
            buffers.len() - 1
        }
    }
}
