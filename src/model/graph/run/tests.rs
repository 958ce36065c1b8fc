use super::super::plain;
use super::super::{Conv, Graph, Node, Op, Shape, Span};
use super::*;
use crate::model::kernels::{Activation, Isa, PoolKind, Precision};

/// Repeatable values in -1 to 1.
fn noise(seed: u32, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// Builds a graph node by node.
struct Build(Vec<Node>);

impl Build {
    fn new(frames: usize, size: usize, channels: usize) -> Self {
        let shape = Shape { frames, height: size, width: size, channels };
        Build(vec![Node { name: "clip".into(), op: Op::Input, inputs: vec![], shape }])
    }

    fn add(&mut self, op: Op, inputs: &[NodeId], shape: Shape) -> NodeId {
        let name = format!("node {}", self.0.len());
        self.0.push(Node { name, op, inputs: inputs.to_vec(), shape });
        self.0.len() - 1
    }

    fn shape(&self, at: NodeId) -> Shape {
        self.0[at].shape
    }

    /// A convolution padded to the input's size in space, and in time by `pad`.
    fn conv(
        &mut self,
        from: NodeId,
        outputs: usize,
        kernel: [usize; 3],
        stride: [usize; 3],
        pad: usize,
    ) -> NodeId {
        let shape = self.shape(from);
        let half = |k: usize| [k / 2, k / 2];
        let out = |size: usize, axis: usize, pad: usize| {
            (size + 2 * pad - kernel[axis]) / stride[axis] + 1
        };
        let depthwise = outputs == 0;
        let (outputs, inputs) =
            if depthwise { (shape.channels, 1) } else { (outputs, shape.channels) };
        let len = outputs * inputs * kernel.iter().product::<usize>();
        let seed = self.0.len() as u32;
        let weights = noise(seed, len).into_iter().map(|w| w / (len / outputs) as f32 * 3.0);
        let conv = Conv {
            kernel,
            stride,
            dilation: 1,
            pad: [[pad; 2], half(kernel[1]), half(kernel[2])],
            depthwise,
            weights: weights.collect(),
            bias: noise(seed + 1000, outputs),
            before: None,
            residual: false,
            after: Activation::Relu,
        };
        let shape = Shape {
            frames: out(shape.frames, 0, pad),
            height: out(shape.height, 1, kernel[1] / 2),
            width: out(shape.width, 2, kernel[2] / 2),
            channels: outputs,
        };
        self.add(Op::Conv(Box::new(conv)), &[from], shape)
    }

    fn finish(self, output: NodeId) -> Graph {
        Graph { nodes: self.0, output }
    }
}

fn one(channels: usize) -> Shape {
    Shape { frames: 1, height: 1, width: 1, channels }
}

/// Convolutions in time without padding, a branch, an inner product over the rest:
/// what it says of a clip depends on nothing outside of it.
fn unpadded(frames: usize) -> Graph {
    let mut build = Build::new(frames, 9, 3);
    let a = build.conv(0, 6, [1, 3, 3], [1, 2, 2], 0);
    let b = build.conv(a, 0, [3, 3, 3], [1, 1, 1], 0);
    let c = build.conv(a, 6, [3, 1, 1], [1, 1, 1], 0);
    let shape = build.shape(b);
    let sum = build.add(Op::Add(Activation::Relu), &[b, c], shape);
    let both = Shape { channels: 12, ..shape };
    let both = build.add(Op::Concat, &[sum, b], both);
    let pooled = Shape { height: 3, width: 3, frames: build.shape(both).frames - 1, channels: 12 };
    let pool = Op::Pool {
        kind: PoolKind::Max,
        kernel: [2, 3, 3],
        stride: [1, 2, 2],
        pad: [[0, 0], [1, 1], [1, 1]],
    };
    let pooled = build.add(pool, &[both], pooled);
    let flat = Shape { height: 1, width: 1, ..build.shape(pooled) };
    let mean = build.add(Op::SpaceMean, &[pooled], flat);
    let left = flat.frames;
    let out = build.conv(mean, 5, [left, 1, 1], [1, 1, 1], 0);
    build.finish(out)
}

fn close(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs().max(1.0))
}

#[test]
fn without_padding_in_time_a_stream_gives_what_its_clips_give() {
    for isa in Isa::all() {
        let clip = Program::new(unpadded(8), Span::Clip, Precision::F32, isa, 1);
        let span = Span::Stream { average: 8, early: false };
        let stream = Program::new(unpadded(8), span, Precision::F32, isa, 2);
        assert_eq!((stream.pace().warm_up, stream.pace().delay, stream.pace().stride), (8, 0, 1));
        let (mut clip, mut stream) = (clip.run(), stream.run());
        let mut seen = 0;
        for at in 0..30 {
            let frame = noise(77 + at, 3 * 81);
            clip.push(&frame);
            stream.push(&frame);
            let (whole, step) = (clip.clip().map(<[f32]>::to_vec), stream.step());
            assert_eq!(whole.is_some(), step.is_some(), "frame {at}");
            if let (Some(whole), Some(step)) = (whole, step) {
                assert!(close(step, &whole), "frame {at}: {step:?}, whole {whole:?}");
                seen += 1;
            }
        }
        assert_eq!(seen, 23);
    }
}

#[test]
fn after_a_reset_all_begins_anew() {
    for span in [Span::Clip, Span::Stream { average: 8, early: false }] {
        let program = Program::new(unpadded(8), span, Precision::F32, Isa::best(), 1);
        let mut run = program.run();
        let mut passes = Vec::new();
        for _ in 0..2 {
            run.reset();
            let mut logits = Vec::new();
            for at in 0..11 {
                run.push(&noise(at, 3 * 81));
                let some = if span == Span::Clip { run.clip() } else { run.step() };
                logits.push(some.map(<[f32]>::to_vec));
            }
            passes.push(logits);
        }
        assert_eq!(passes[0], passes[1]);
        assert_eq!(passes[0].iter().flatten().count(), 4);
    }
}

/// Padded convolutions with strides in time, a shortcut and a mean over time.
fn strided(frames: usize) -> Graph {
    let mut build = Build::new(frames, 5, 2);
    let a = build.conv(0, 4, [3, 3, 3], [1, 1, 1], 1);
    let b = build.conv(a, 4, [3, 3, 3], [2, 1, 1], 1);
    let c = build.conv(a, 4, [1, 1, 1], [2, 1, 1], 0);
    let shape = build.shape(b);
    let sum = build.add(Op::Add(Activation::Relu), &[b, c], shape);
    let flat = Shape { height: 1, width: 1, ..shape };
    let mean = build.add(Op::SpaceMean, &[sum], flat);
    let mean = build.add(Op::TimeMean, &[mean], one(4));
    build.finish(mean)
}

#[test]
fn strides_in_time_give_an_output_every_few_frames() {
    let span = Span::Stream { average: 8, early: false };
    let program = Program::new(strided(8), span, Precision::F32, Isa::best(), 1);
    // A mean over 4 of its frames; the first that needs nothing before frame 0 has
    // index 1, reads frames up to 1 of the layer below and so up to 9 of the clip in
    // the end: index 4, frame 4·2 + 1 + 1.
    assert_eq!(program.pace(), super::super::Pace { stride: 2, delay: 2, warm_up: 11 });
    let mut run = program.run();
    let given: Vec<usize> = (0..20)
        .filter(|&at| {
            run.push(&noise(at as u32, 2 * 25));
            run.step().is_some()
        })
        .collect();
    assert_eq!(given, [10, 12, 14, 16, 18]);
}

/// Padded in time, but with a stride that lets no kernel reach beyond the last frame.
fn padded_in_front(frames: usize) -> Graph {
    let mut build = Build::new(frames, 5, 2);
    let a = build.conv(0, 4, [3, 3, 3], [2, 1, 1], 1);
    let b = build.conv(0, 4, [1, 1, 1], [2, 1, 1], 0);
    let shape = build.shape(a);
    let sum = build.add(Op::Add(Activation::Relu), &[a, b], shape);
    let flat = Shape { height: 1, width: 1, ..shape };
    let mean = build.add(Op::SpaceMean, &[sum], flat);
    let mean = build.add(Op::TimeMean, &[mean], one(4));
    build.finish(mean)
}

#[test]
fn an_early_stream_begins_as_a_clip_does() {
    let span = Span::Stream { average: 8, early: true };
    let stream = Program::new(padded_in_front(8), span, Precision::F32, Isa::best(), 1);
    let clip = Program::new(padded_in_front(8), Span::Clip, Precision::F32, Isa::best(), 1);
    let (mut stream, mut clip) = (stream.run(), clip.run());
    let mut last = None;
    for at in 0..8 {
        let frame = noise(at, 50);
        clip.push(&frame);
        stream.push(&frame);
        last = stream.step().map(<[f32]>::to_vec);
    }
    let whole = clip.clip().unwrap();
    assert!(close(&last.unwrap(), whole), "{whole:?}");
}

/// A stem of two layers, an inverted bottleneck with a shortcut beside it, its mean.
fn wide(frames: usize, size: usize) -> Graph {
    let mut build = Build::new(frames, size, 3);
    let a = build.conv(0, 5, [1, 3, 3], [1, 2, 2], 0);
    let b = build.conv(a, 0, [5, 1, 1], [1, 1, 1], 2);
    let c = build.conv(b, 9, [1, 1, 1], [1, 1, 1], 0);
    let d = build.conv(c, 0, [3, 3, 3], [1, 2, 2], 1);
    let e = build.conv(b, 9, [1, 1, 1], [1, 2, 2], 0);
    let shape = build.shape(d);
    let mean = Shape { height: 1, width: 1, ..shape };
    let weight = build.add(Op::SpaceMean, &[d], mean);
    let weight = build.add(Op::TimeMean, &[weight], one(9));
    let f = build.add(Op::Multiply(Activation::Silu), &[d, weight], shape);
    let f = build.add(Op::Add(Activation::Relu), &[f, e], shape);
    let out = build.add(Op::SpaceMean, &[f], mean);
    let out = build.add(Op::TimeMean, &[out], one(9));
    build.finish(out)
}

#[test]
fn bands_of_rows_make_what_whole_frames_make() {
    // Heights that do and do not divide evenly, many bands and few.
    for (size, room, bands) in [(37, 3000, 2..6), (64, 6000, 2..9), (90, 9000, 3..12)] {
        let clip: Vec<Vec<f32>> = (0..7).map(|at| noise(at, 3 * size * size)).collect();
        let run = |room: usize, isa: Isa, threads: usize| {
            let graph = wide(7, size);
            let span = Span::Clip;
            let program = Program::within(graph, span, Precision::F32, isa, threads, room);
            let mut run = program.run();
            // The second clip finds the first one's remains in memory.
            clip.iter().rev().for_each(|frame| run.push(frame));
            run.clip().unwrap();
            clip.iter().for_each(|frame| run.push(frame));
            (program.bands.len(), run.clip().unwrap().to_vec())
        };
        let frame = |frame: &Vec<f32>| {
            let plane = size * size;
            (0..3 * plane).map(|at| frame[at % 3 * plane + at / 3]).collect::<Vec<_>>()
        };
        let expected = plain::run(&wide(7, size), &clip.iter().flat_map(frame).collect::<Vec<_>>());
        for isa in Isa::all() {
            let (none, whole) = run(usize::MAX, isa, 1);
            let (some, banded) = run(room, isa, 1);
            assert!(none == 0 && bands.contains(&some), "{size}: {some} bands");
            assert!(close(&whole, &expected), "{whole:?} {expected:?}");
            assert!(close(&banded, &expected), "{size}: {banded:?} {expected:?}");
            assert_eq!(run(room, isa, 3).1, banded);
        }
    }
}

#[test]
fn the_plan_of_a_clip_uses_memory_again() {
    let mut build = Build::new(8, 16, 4);
    let mut at = 0;
    for _ in 0..10 {
        at = build.conv(at, 4, [3, 3, 3], [1, 1, 1], 1);
    }
    let mean = build.add(Op::SpaceMean, &[at], Shape { frames: 8, ..one(4) });
    let mean = build.add(Op::TimeMean, &[mean], one(4));
    let program = Program::new(build.finish(mean), Span::Clip, Precision::F32, Isa::best(), 1);
    let all: usize = program.main.nodes.iter().map(|node| node.extent.len() * 8 * 4).sum();
    assert!(program.memory() < all / 3, "{} of {all}", program.memory());
}
