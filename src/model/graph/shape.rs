//! What a graph's operators need of their inputs' shapes, and what they cost.

use super::node::MOST_TAPS;
use super::{Conv, Graph, Node, Op, Pad, Refusal, Shape};

impl Graph {
    /// Whether every node's inputs stand before it and have the shapes that it needs.
    ///
    /// # Errors
    /// The first node of which that is not so.
    pub fn check(&self) -> Result<(), Refusal> {
        for (at, node) in self.nodes.iter().enumerate() {
            let inputs: Option<Vec<&Shape>> = node
                .inputs
                .iter()
                .map(|&input| self.nodes.get(..at)?.get(input).map(|node| &node.shape))
                .collect();
            let fault = match inputs {
                Some(inputs) => fault(node, &inputs, at),
                None => Some("it stands before one of its inputs".into()),
            };
            let taps = node.op.taps();
            let fault = fault.or_else(|| {
                (taps > MOST_TAPS)
                    .then(|| format!("its kernel spans {taps} frames, more than {MOST_TAPS}"))
            });
            if let Some(fault) = fault {
                return Err(Refusal::new(&node.name, fault));
            }
        }
        match self.nodes.get(self.output).map(|node| node.shape) {
            Some(Shape { frames: 1, height: 1, width: 1, .. }) => Ok(()),
            _ => Err(Refusal::new("output", "it is not one frame of 1×1 pixels")),
        }
    }

    /// Products of a whole clip, those with zeros outside of it included.
    pub fn multiply_accumulates(&self) -> u64 {
        let each = self.nodes.iter().map(|node| node.multiply_accumulates(self));
        each.fold(0, u64::saturating_add)
    }
}

impl Op {
    /// Frames that a kernel spans: its taps in time.
    pub(super) fn taps(&self) -> usize {
        match self {
            Op::Conv(conv) => conv.kernel[0],
            Op::Pool { kernel, .. } => kernel[0],
            _ => 1,
        }
    }
}

impl Node {
    /// Multiply-accumulates of one frame, or what comes to the same.
    pub(super) fn frame_work(&self) -> usize {
        let pixels = self.shape.height * self.shape.width;
        let taps = match &self.op {
            Op::Conv(conv) => return pixels * conv.weights.len(),
            Op::Pool { kernel, .. } => kernel.iter().product(),
            _ => 1,
        };
        pixels * self.shape.channels * taps
    }

    /// Products of a whole clip, in convolutions and products of tensors; 0 for others.
    pub fn multiply_accumulates(&self, graph: &Graph) -> u64 {
        let each = match &self.op {
            Op::Conv(conv) if conv.depthwise => conv.kernel.iter().product(),
            Op::Conv(conv) => {
                let inputs = self.inputs.first().and_then(|&input| graph.nodes.get(input));
                inputs.map_or(0, |node| node.shape.channels) * conv.kernel.iter().product::<usize>()
            }
            Op::Multiply(_) | Op::Affine { .. } => 1,
            _ => 0,
        };
        let Shape { frames, height, width, channels } = self.shape;
        let sizes = [frames, height, width, channels, each];
        sizes.iter().fold(1, |all, &size| all.saturating_mul(size as u64))
    }
}

/// What is wrong with `node`, the graph's `at`-th.
fn fault(node: &Node, inputs: &[&Shape], at: usize) -> Option<String> {
    let Shape { frames, height, width, channels } = node.shape;
    if [frames, height, width, channels].contains(&0) {
        return Some("it gives nothing for a clip of this length and size".into());
    }
    let own = match (&node.op, inputs) {
        (Op::Input, []) => (at == 0).then_some(node.shape),
        (Op::Conv(conv), [input, more @ ..]) => conv_shape(conv, input, more, &node.shape),
        (Op::Pool { kernel, stride, pad, .. }, [input]) => windows(input, *kernel, *stride, 1, pad),
        (Op::SpaceMean, [input]) => Some(Shape { height: 1, width: 1, ..**input }),
        (Op::TimeMean, [input]) => Some(Shape { frames: 1, ..**input }),
        (Op::Activation(_) | Op::Softmax, [input]) => Some(**input),
        (Op::Affine { scale, offset, .. }, [input]) => {
            (scale.len() == input.channels && offset.len() == input.channels).then_some(**input)
        }
        (Op::Add(_) | Op::Multiply(_), [large, small]) => {
            let pixels = (small.height, small.width);
            let fits = small.channels == large.channels
                && [1, large.frames].contains(&small.frames)
                && [(1, 1), (large.height, large.width)].contains(&pixels);
            fits.then_some(**large)
        }
        (Op::Concat, [first, ..]) => {
            let channels = inputs.iter().map(|input| input.channels).sum();
            let same = inputs
                .iter()
                .all(|input| Shape { channels: 0, ..**input } == Shape { channels: 0, ..**first });
            same.then_some(Shape { channels, ..**first })
        }
        _ => None,
    };
    (own != Some(node.shape)).then(|| {
        let given: Vec<String> = inputs.iter().map(|shape| shape.to_string()).collect();
        format!("it cannot give {} from {}", node.shape, given.join(" and "))
    })
}

fn conv_shape(conv: &Conv, input: &Shape, more: &[&Shape], output: &Shape) -> Option<Shape> {
    let shape = windows(input, conv.kernel, conv.stride, conv.dilation, &conv.pad)?;
    let shape = Shape { channels: output.channels, ..shape };
    let expected = usize::from(conv.before.is_some()) + usize::from(conv.residual);
    let mut more = more.iter();
    let before = conv.before.is_none()
        || more.next().is_some_and(|scale| {
            (scale.height, scale.width, scale.channels) == (1, 1, input.channels)
                && [1, input.frames].contains(&scale.frames)
                && !conv.depthwise
                && (conv.kernel, conv.stride, conv.pad) == ([1; 3], [1; 3], Pad::default())
        });
    let residual = !conv.residual || (!conv.depthwise && more.next() == Some(&&shape));
    let inputs = if conv.depthwise { 1 } else { input.channels };
    let weights = conv.kernel.iter().try_fold(inputs, |n, &taps| n.checked_mul(taps));
    let fits = weights.and_then(|n| n.checked_mul(output.channels)) == Some(conv.weights.len())
        && conv.bias.len() == output.channels
        && (!conv.depthwise || output.channels == input.channels)
        && before
        && residual
        && more.next().is_none()
        && expected <= 2;
    fits.then_some(shape)
}

/// The shape of what a kernel gives, its channels as in `input`.
fn windows(
    input: &Shape,
    kernel: [usize; 3],
    stride: [usize; 3],
    dilation: usize,
    pad: &Pad,
) -> Option<Shape> {
    let count = |size: usize, at: usize, dilation: usize| {
        let reach = kernel[at].checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
        let size = size.checked_add(pad[at][0])?.checked_add(pad[at][1])?;
        Some(size.checked_sub(reach)?.checked_div(stride[at])? + 1)
    };
    Some(Shape {
        frames: count(input.frames, 0, dilation)?,
        height: count(input.height, 1, 1)?,
        width: count(input.width, 2, 1)?,
        channels: input.channels,
    })
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} × {} × {} × {}", self.frames, self.height, self.width, self.channels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::graph::NodeId;
    use crate::model::kernels::{Activation, PoolKind};

    const CLIP: Shape = Shape { frames: 4, height: 6, width: 5, channels: 3 };

    fn node(op: Op, inputs: &[NodeId], shape: Shape) -> Node {
        Node { name: format!("{op}"), op, inputs: inputs.to_vec(), shape }
    }

    fn conv(kernel: [usize; 3], outputs: usize) -> Conv {
        Conv {
            kernel,
            stride: [1; 3],
            dilation: 1,
            pad: Pad::default(),
            depthwise: false,
            weights: vec![0.0; outputs * 3 * kernel.iter().product::<usize>()],
            bias: vec![0.0; outputs],
            before: None,
            residual: false,
            after: Activation::None,
        }
    }

    /// A clip, what `op` makes of it and of `more`, and a vector as output.
    fn check(op: Op, more: &[NodeId], shape: Shape) -> Result<(), Refusal> {
        let vector = Shape { frames: 1, height: 1, width: 1, channels: 3 };
        let still = Shape { height: 1, width: 1, ..CLIP };
        let inputs: Vec<NodeId> = [0].iter().chain(more).copied().collect();
        let nodes = vec![
            node(Op::Input, &[], CLIP),
            node(Op::SpaceMean, &[0], still),
            node(Op::TimeMean, &[1], vector),
            node(op, &inputs, shape),
        ];
        Graph { nodes, output: 2 }.check()
    }

    #[test]
    fn a_kernel_over_more_frames_than_a_clip_may_have_is_refused() {
        let pool = |taps: usize| Op::Pool {
            kind: PoolKind::Max,
            kernel: [taps, 1, 1],
            stride: [1; 3],
            pad: [[taps / 2, taps - 1 - taps / 2], [0; 2], [0; 2]],
        };
        assert!(check(pool(MOST_TAPS), &[], CLIP).is_ok());
        let refusal = check(pool(MOST_TAPS + 1), &[], CLIP).unwrap_err();
        assert!(refusal.reason.contains("spans 65 frames"), "{refusal}");
    }

    #[test]
    fn a_convolution_fits_its_input_weights_and_output() {
        let fits = |change: fn(&mut Conv), more: &[NodeId], shape: Shape| {
            let mut conv = conv([3, 3, 1], 2);
            change(&mut conv);
            check(Op::Conv(Box::new(conv)), more, shape).is_ok()
        };
        let shape = Shape { frames: 2, height: 4, width: 5, channels: 2 };
        assert!(fits(|_| (), &[], shape));
        assert!(!fits(|_| (), &[], CLIP));
        assert!(!fits(|_| (), &[1], shape));
        assert!(!fits(|conv| conv.bias.push(0.0), &[], shape));
        assert!(!fits(|conv| conv.weights.push(0.0), &[], shape));
        assert!(!fits(|conv| conv.depthwise = true, &[], shape));
        assert!(!fits(|conv| conv.stride = [0, 1, 1], &[], shape));
        assert!(!fits(|conv| conv.kernel = [0, 3, 3], &[], shape));
        assert!(!fits(|conv| conv.kernel = [5, 3, 1], &[], shape));
        assert!(!fits(|conv| conv.residual = true, &[], shape));
        assert!(!fits(|conv| conv.residual = true, &[0], shape));
        assert!(!fits(|conv| conv.before = Some(Activation::None), &[2], shape));
        let padded = |conv: &mut Conv| conv.pad = [[2, 0], [1, 1], [0, 0]];
        assert!(fits(padded, &[], Shape { frames: 4, height: 6, width: 5, channels: 2 }));
        let far = |conv: &mut Conv| conv.pad[0][0] = usize::MAX;
        assert!(!fits(far, &[], shape));
        let gaps = |conv: &mut Conv| (conv.dilation, conv.pad[0]) = (2, [1, 0]);
        assert!(fits(gaps, &[], Shape { frames: 1, height: 4, width: 5, channels: 2 }));
    }

    #[test]
    fn a_pointwise_convolution_may_take_a_scale_and_a_residual() {
        let fits = |more: &[NodeId]| {
            let fused = Conv { before: Some(Activation::Silu), residual: true, ..conv([1; 3], 3) };
            check(Op::Conv(Box::new(fused)), more, CLIP).is_ok()
        };
        assert!(fits(&[1, 0]) && fits(&[2, 0]));
        assert!(!fits(&[0, 0]) && !fits(&[1]) && !fits(&[1, 1]) && !fits(&[0, 1]));
        assert!(!fits(&[1, 0, 0]) && !fits(&[]));
    }

    #[test]
    fn what_is_repeated_stands_second_and_channels_agree() {
        let add = |more: &[NodeId]| check(Op::Add(Activation::None), more, CLIP).is_ok();
        assert!(add(&[0]) && add(&[1]) && add(&[2]));
        assert!(!add(&[]) && !add(&[0, 0]));
        let nodes = vec![
            node(Op::Input, &[], CLIP),
            node(Op::SpaceMean, &[0], Shape { height: 1, width: 1, ..CLIP }),
            node(Op::Multiply(Activation::None), &[1, 0], CLIP),
        ];
        let refusal = Graph { nodes, output: 1 }.check().unwrap_err();
        assert_eq!(refusal.node, "multiply");
        assert_eq!(
            refusal.reason,
            "it cannot give 4 × 6 × 5 × 3 from 4 × 1 × 1 × 3 and 4 × 6 × 5 × 3"
        );
    }

    #[test]
    fn constants_are_one_for_each_channel() {
        let affine = |scale: usize, offset: usize| {
            let (scale, offset) = (vec![1.0; scale], vec![0.0; offset]);
            check(Op::Affine { scale, offset, activation: Activation::None }, &[], CLIP).is_ok()
        };
        assert!(affine(3, 3) && !affine(2, 3) && !affine(3, 4));
    }

    #[test]
    fn inputs_stand_before_their_readers() {
        let nodes = vec![node(Op::Input, &[], CLIP), node(Op::Softmax, &[1], CLIP)];
        let refusal = Graph { nodes, output: 1 }.check().unwrap_err();
        assert!(refusal.reason.contains("before one of its inputs"), "{refusal}");
    }

    #[test]
    fn the_output_is_one_vector() {
        let graph = Graph { nodes: vec![node(Op::Input, &[], CLIP)], output: 0 };
        assert!(graph.check().is_err());
        assert!(Graph { output: 7, ..graph }.check().is_err());
    }

    #[test]
    fn products_are_counted() {
        let outputs = Shape { channels: 2, ..CLIP };
        let depthwise = Conv { depthwise: true, ..conv([3, 3, 3], 1) };
        let nodes = vec![
            node(Op::Input, &[], CLIP),
            node(Op::Conv(Box::new(conv([3, 1, 1], 2))), &[0], outputs),
            node(Op::Conv(Box::new(depthwise)), &[0], CLIP),
            node(Op::Multiply(Activation::None), &[2, 0], CLIP),
            node(Op::Concat, &[1, 3], Shape { channels: 5, ..CLIP }),
        ];
        let graph = Graph { nodes, output: 4 };
        let each: Vec<u64> =
            graph.nodes.iter().map(|node| node.multiply_accumulates(&graph)).collect();
        // 120 pixels: 2 outputs × 3 inputs × 3 taps; 3 channels × 27 taps; 3 channels.
        assert_eq!(each, [0, 120 * 18, 120 * 81, 120 * 3, 0]);
        assert_eq!(graph.multiply_accumulates(), 120 * 102);
    }
}
