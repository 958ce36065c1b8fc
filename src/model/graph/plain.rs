//! A graph computed by the definitions of its operators, over a whole clip: slow, for
//! tests to compare with.

use super::{Conv, Graph, NodeId, Op, Pad, Shape};
use crate::model::kernels::{Activation, PoolKind};

/// A tensor: frames, rows, columns, channels.
#[derive(Clone, Debug)]
pub(crate) struct Values {
    pub shape: Shape,
    pub data: Vec<f32>,
}

impl Values {
    fn get(&self, t: usize, y: usize, x: usize, c: usize) -> f32 {
        let Shape { height, width, channels, .. } = self.shape;
        self.data[((t * height + y) * width + x) * channels + c]
    }

    /// `value(t, y, x, c)` everywhere.
    fn filled(shape: Shape, value: impl Fn(usize, usize, usize, usize) -> f32) -> Self {
        let mut data = Vec::new();
        for t in 0..shape.frames {
            for y in 0..shape.height {
                for x in 0..shape.width {
                    data.extend((0..shape.channels).map(|c| value(t, y, x, c)));
                }
            }
        }
        Values { shape, data }
    }
}

/// The output's values for `clip`: frames × height × width × channels.
pub(crate) fn run(graph: &Graph, clip: &[f32]) -> Vec<f32> {
    let mut done: Vec<Values> = Vec::new();
    for node in &graph.nodes {
        let input = |at: usize| &done[node.inputs[at]];
        let shape = node.shape;
        let values = match &node.op {
            Op::Input => Values { shape, data: clip.to_vec() },
            Op::Conv(conv) => convolution(conv, &node.inputs, shape, &done),
            Op::Pool { kind, kernel, stride, pad } => {
                let input = input(0);
                let all = kernel.iter().product::<usize>() as f32;
                Values::filled(shape, |t, y, x, c| {
                    let taps = taps([t, y, x], *kernel, *stride, 1, pad, &input.shape);
                    let values = taps.map(|(_, [t, y, x])| input.get(t, y, x, c));
                    let values: Vec<f32> = values.collect();
                    match kind {
                        PoolKind::Max => values.iter().copied().fold(f32::NEG_INFINITY, f32::max),
                        PoolKind::Mean => values.iter().sum::<f32>() / values.len() as f32,
                        PoolKind::PaddedMean => values.iter().sum::<f32>() / all,
                    }
                })
            }
            Op::SpaceMean => {
                let input = input(0);
                let Shape { height, width, .. } = input.shape;
                Values::filled(shape, |t, _, _, c| {
                    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
                    pixels.map(|(y, x)| input.get(t, y, x, c)).sum::<f32>()
                        / (height * width) as f32
                })
            }
            Op::TimeMean => {
                let input = input(0);
                let frames = input.shape.frames;
                Values::filled(shape, |_, y, x, c| {
                    (0..frames).map(|t| input.get(t, y, x, c)).sum::<f32>() / frames as f32
                })
            }
            Op::Activation(f) => {
                Values { shape, data: input(0).data.iter().map(|&value| f.of(value)).collect() }
            }
            Op::Affine { scale, offset, activation } => {
                let input = input(0);
                Values::filled(shape, |t, y, x, c| {
                    activation.of(input.get(t, y, x, c) * scale[c] + offset[c])
                })
            }
            Op::Add(f) => joined(shape, input(0), input(1), *f, |a, b| a + b),
            Op::Multiply(f) => joined(shape, input(0), input(1), *f, |a, b| a * b),
            Op::Concat => Values::filled(shape, |t, y, x, mut c| {
                for &part in &node.inputs {
                    let part = &done[part];
                    if c < part.shape.channels {
                        return part.get(t, y, x, c);
                    }
                    c -= part.shape.channels;
                }
                unreachable!("a channel that no input has")
            }),
            Op::Softmax => {
                let input = input(0);
                Values::filled(shape, |t, y, x, c| {
                    let all = |c: usize| input.get(t, y, x, c).exp();
                    all(c) / (0..shape.channels).map(all).sum::<f32>()
                })
            }
        };
        assert_eq!(
            values.data.len(),
            shape.frames * shape.height * shape.width * shape.channels,
            "{}",
            node.name
        );
        done.push(values);
    }
    done.swap_remove(graph.output).data
}

fn joined(
    shape: Shape,
    a: &Values,
    b: &Values,
    activation: Activation,
    f: impl Fn(f32, f32) -> f32,
) -> Values {
    Values::filled(shape, |t, y, x, c| {
        let t_b = if b.shape.frames == 1 { 0 } else { t };
        let (y_b, x_b) = if b.shape.height * b.shape.width == 1 { (0, 0) } else { (y, x) };
        activation.of(f(a.get(t, y, x, c), b.get(t_b, y_b, x_b, c)))
    })
}

fn convolution(conv: &Conv, inputs: &[NodeId], shape: Shape, done: &[Values]) -> Values {
    let mut inputs = inputs.iter().map(|&input| &done[input]);
    let input = inputs.next().unwrap();
    let picture = match conv.before {
        Some(before) => joined(input.shape, input, inputs.next().unwrap(), before, |a, b| a * b),
        None => input.clone(),
    };
    let residual = conv.residual.then(|| inputs.next().unwrap());
    let [kt, kh, kw] = conv.kernel;
    let channels = if conv.depthwise { 1 } else { input.shape.channels };
    Values::filled(shape, |t, y, x, o| {
        let mut sum = conv.bias[o];
        let at = taps([t, y, x], conv.kernel, conv.stride, conv.dilation, &conv.pad, &input.shape);
        for ([dt, dy, dx], [t, y, x]) in at {
            for i in 0..channels {
                let weight = conv.weights[(((o * channels + i) * kt + dt) * kh + dy) * kw + dx];
                sum += weight * picture.get(t, y, x, if conv.depthwise { o } else { i });
            }
        }
        conv.after.of(sum + residual.map_or(0.0, |values| values.get(t, y, x, o)))
    })
}

/// The taps of a window that lie inside of a tensor of `shape`, and where.
fn taps<'a>(
    at: [usize; 3],
    kernel: [usize; 3],
    stride: [usize; 3],
    dilation: usize,
    pad: &'a Pad,
    shape: &'a Shape,
) -> impl Iterator<Item = ([usize; 3], [usize; 3])> + 'a {
    let sizes = [shape.frames, shape.height, shape.width];
    let gaps = [dilation, 1, 1];
    let [kt, kh, kw] = kernel;
    let all = (0..kt).flat_map(move |t| (0..kh).flat_map(move |y| (0..kw).map(move |x| [t, y, x])));
    all.filter_map(move |tap| {
        let mut place = [0; 3];
        for axis in 0..3 {
            place[axis] =
                (at[axis] * stride[axis] + tap[axis] * gaps[axis]).checked_sub(pad[axis][0])?;
        }
        (0..3).all(|axis| place[axis] < sizes[axis]).then_some((tap, place))
    })
}
