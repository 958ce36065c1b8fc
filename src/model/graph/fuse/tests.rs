//! What becomes one node, and what must not; the engine's result stays in every case.

use crate::model::graph::Axis::{self, Batch, Channels, Frames, Height, Width};
use crate::model::graph::sketch::Attribute::{Int, Ints};
use crate::model::graph::sketch::{Random, Sketch, listed};
use crate::model::graph::{Graph, Op};
use crate::model::kernels::Activation;

const CLIP: [Axis; 5] = [Batch, Channels, Frames, Height, Width];
const MEANS: [&str; 2] = ["mean over space", "mean over time"];

/// The fused graph of what `f` makes of a clip of 6 frames of 9×8 pixels with 4
/// channels, averaged over all of them.
fn fused(f: impl FnOnce(&mut Sketch) -> String) -> Graph {
    let mut net = Sketch::new(&[1, 4, 6, 9, 8]);
    let output = f(&mut net);
    let output = net.pooled(&output);
    net.graphs(&output, &CLIP).unwrap().1
}

/// Asserts that what `f` makes becomes `expected`.
#[track_caller]
fn becomes(expected: &[&str], f: impl FnOnce(&mut Sketch) -> String) -> Graph {
    let graph = fused(f);
    let ops: Vec<String> = graph.nodes.iter().skip(1).map(|node| node.op.to_string()).collect();
    let expected: Vec<&str> = expected.iter().copied().chain(MEANS).collect();
    assert_eq!(ops, expected, "{}", listed(&graph));
    graph
}

fn batch_norm(net: &mut Sketch, input: &str, channels: usize) -> String {
    let mut random = Random(11);
    let scale = net.constant(&[channels], &random.values(channels));
    let offset = net.constant(&[channels], &random.values(channels));
    let mean = net.constant(&[channels], &random.values(channels));
    let variance: Vec<f32> = random.values(channels).iter().map(|v| v.abs() + 0.5).collect();
    let variance = net.constant(&[channels], &variance);
    net.node("BatchNormalization", &[input, &scale, &offset, &mean, &variance], &[])
}

fn pointwise(net: &mut Sketch, input: &str) -> String {
    net.conv(input, &[4, 4, 1, 1, 1], &[])
}

fn spatial(net: &mut Sketch, input: &str) -> String {
    net.conv(input, &[4, 4, 1, 3, 3], &[("pads", Ints(&[0, 1, 1, 0, 1, 1]))])
}

fn depthwise(net: &mut Sketch, input: &str) -> String {
    let same = Ints(&[1, 1, 1, 1, 1, 1]);
    net.conv(input, &[4, 1, 3, 3, 3], &[("group", Int(4)), ("pads", same)])
}

#[test]
fn a_batch_norm_and_an_activation_go_into_the_convolution() {
    for (conv, name) in [
        (pointwise as fn(&mut Sketch, &str) -> String, "conv 1×1×1"),
        (spatial, "conv 1×3×3"),
        (depthwise, "depthwise 3×3×3"),
    ] {
        let graph = becomes(&[name], |net| {
            let conv = conv(net, "clip");
            let norm = batch_norm(net, &conv, 4);
            net.node("Relu", &[&norm], &[])
        });
        let Op::Conv(conv) = &graph.nodes[1].op else { panic!("{}", listed(&graph)) };
        assert_eq!(conv.after, Activation::Relu);
        assert_eq!(graph.nodes[1].name, "Conv_0");
    }
}

#[test]
fn a_value_that_something_else_reads_is_kept() {
    becomes(&["conv 1×3×3", "activation", "add"], |net| {
        let conv = spatial(net, "clip");
        let relu = net.node("Relu", &[&conv], &[]);
        net.node("Add", &[&relu, &conv], &[])
    });
    becomes(&["conv 1×3×3", "scale and offset", "add"], |net| {
        let conv = spatial(net, "clip");
        let norm = batch_norm(net, &conv, 4);
        net.node("Add", &[&norm, &conv], &[])
    });
    becomes(&["conv 1×3×3", "mean over space", "multiply", "conv 1×1×1", "add"], |net| {
        let conv = spatial(net, "clip");
        let mean = net.node("ReduceMean", &[&conv], &[("axes", Ints(&[3, 4]))]);
        let scaled = net.node("Mul", &[&conv, &mean], &[]);
        let after = pointwise(net, &scaled);
        let relu = net.node("Relu", &[&after], &[]);
        net.node("Add", &[&relu, &scaled], &[])
    });
}

#[test]
fn the_networks_output_is_kept() {
    let mut net = Sketch::new(&[1, 4, 1, 1, 1]);
    let conv = pointwise(&mut net, "clip");
    let flat = net.node("Flatten", &[&conv], &[]);
    let names = net.fused(&flat, &CLIP);
    assert_eq!(names, ["conv 1×1×1"]);
}

#[test]
fn a_batch_norm_goes_into_the_convolution_after_it_only_where_that_is_exact() {
    let after_pool = |net: &mut Sketch| {
        let pool = net.node("MaxPool", &["clip"], &[("kernel_shape", Ints(&[1, 3, 3]))]);
        batch_norm(net, &pool, 4)
    };
    becomes(&["max pool 1×3×3", "conv 1×1×1"], |net| {
        let norm = after_pool(net);
        pointwise(net, &norm)
    });
    // Padding is zero, not what the norm makes of zero.
    becomes(&["max pool 1×3×3", "scale and offset", "conv 1×3×3"], |net| {
        let norm = after_pool(net);
        spatial(net, &norm)
    });
    let scaled = |net: &mut Sketch| {
        let scale = net.constant(&[1, 4, 1, 1, 1], &[0.5, 2.0, -1.0, 3.0]);
        net.node("Mul", &["clip", &scale], &[])
    };
    for (conv, name) in
        [(spatial as fn(&mut Sketch, &str) -> String, "conv 1×3×3"), (depthwise, "depthwise 3×3×3")]
    {
        becomes(&[name], |net| {
            let scaled = scaled(net);
            conv(net, &scaled)
        });
    }
}

#[test]
fn affines_in_a_row_become_one() {
    becomes(&["scale and offset"], |net| {
        let norm = batch_norm(net, "clip", 4);
        let scale = net.constant(&[], &[-3.0]);
        let scaled = net.node("Mul", &[&norm, &scale], &[]);
        let relu = net.node("Relu", &[&scaled], &[]);
        let six = net.constant(&[], &[0.2]);
        net.node("Min", &[&relu, &six], &[])
    });
}

#[test]
fn ranges_in_a_row_become_one() {
    let graph = becomes(&["activation"], |net| {
        let relu = net.node("Relu", &["clip"], &[]);
        let bounds = [-0.5, 0.4].map(|bound| net.constant(&[], &[bound]));
        net.node("Clip", &[&relu, &bounds[0], &bounds[1]], &[])
    });
    let Op::Activation(activation) = graph.nodes[1].op else { panic!("{}", listed(&graph)) };
    assert_eq!(activation, Activation::Clip { low: 0.0, high: 0.4 });
    // A sigmoid is no range.
    becomes(&["activation", "activation"], |net| {
        let relu = net.node("Relu", &["clip"], &[]);
        net.node("Sigmoid", &[&relu], &[])
    });
}

#[test]
fn gates_become_one_activation() {
    let activation = |f: fn(&mut Sketch, &str) -> String| {
        let graph = becomes(&["conv 1×3×3"], |net| {
            let conv = spatial(net, "clip");
            f(net, &conv)
        });
        let Op::Conv(conv) = &graph.nodes[1].op else { panic!("{}", listed(&graph)) };
        conv.after
    };
    let silu = activation(|net, x| {
        let gate = net.node("Sigmoid", &[x], &[]);
        net.node("Mul", &[&gate, x], &[])
    });
    assert_eq!(silu, Activation::Silu);
    let swish = activation(|net, x| {
        let sixth = crate::model::graph::sketch::Attribute::Float(1.0 / 6.0);
        let gate = net.node("HardSigmoid", &[x], &[("alpha", sixth)]);
        net.node("Mul", &[&gate, x], &[])
    });
    assert_eq!(swish, Activation::HardSwish);
    // PyTorch's own way to write it: x · relu6(x + 3) / 6.
    becomes(&["conv 1×3×3", "conv 1×3×3"], |net| {
        let conv = spatial(net, "clip");
        let [three, zero, six] = [3.0, 0.0, 6.0].map(|value| net.constant(&[], &[value]));
        let moved = net.node("Add", &[&conv, &three], &[]);
        let kept = net.node("Clip", &[&moved, &zero, &six], &[]);
        let product = net.node("Mul", &[&conv, &kept], &[]);
        let swish = net.node("Div", &[&product, &six], &[]);
        spatial(net, &swish)
    });
}

/// An X3D block: expand, depthwise, squeeze-and-excitation, project, add.
fn bottleneck(net: &mut Sketch, input: &str, means: &[i64]) -> String {
    let expanded = pointwise(net, input);
    let expanded = batch_norm(net, &expanded, 4);
    let expanded = net.node("Relu", &[&expanded], &[]);
    let convolved = depthwise(net, &expanded);
    let convolved = batch_norm(net, &convolved, 4);
    let mean = net.node("ReduceMean", &[&convolved], &[("axes", Ints(means))]);
    let squeezed = net.conv(&mean, &[3, 4, 1, 1, 1], &[]);
    let squeezed = net.node("Relu", &[&squeezed], &[]);
    let excited = net.conv(&squeezed, &[4, 3, 1, 1, 1], &[]);
    let excited = net.node("Sigmoid", &[&excited], &[]);
    let scaled = net.node("Mul", &[&convolved, &excited], &[]);
    let gate = net.node("Sigmoid", &[&scaled], &[]);
    let scaled = net.node("Mul", &[&scaled, &gate], &[]);
    let projected = pointwise(net, &scaled);
    let projected = batch_norm(net, &projected, 4);
    let sum = net.node("Add", &[input, &projected], &[]);
    net.node("Relu", &[&sum], &[])
}

#[test]
fn a_bottleneck_with_squeeze_and_excitation_is_convolutions_and_means() {
    for (axes, means) in [(&[2, 3, 4][..], &MEANS[..]), (&[3, 4], &MEANS[..1])] {
        let mut expected = vec!["conv 1×1×1", "depthwise 3×3×3"];
        expected.extend(means);
        expected.extend(["conv 1×1×1"; 3]);
        let graph = becomes(&expected, |net| bottleneck(net, "clip", axes));
        let last = expected.len();
        let Op::Conv(conv) = &graph.nodes[last].op else { panic!("{}", listed(&graph)) };
        assert_eq!(
            (conv.before, conv.residual, conv.after),
            (Some(Activation::Silu), true, Activation::Relu)
        );
        // The picture, its scale, the residual.
        assert_eq!(graph.nodes[last].inputs, [2, last - 1, 0]);
    }
}

#[test]
fn a_scale_goes_only_into_a_pointwise_convolution() {
    for (conv, name) in
        [(spatial as fn(&mut Sketch, &str) -> String, "conv 1×3×3"), (depthwise, "depthwise 3×3×3")]
    {
        becomes(&["mean over space", "multiply", name], |net| {
            let mean = net.node("ReduceMean", &["clip"], &[("axes", Ints(&[3, 4]))]);
            let scaled = net.node("Mul", &["clip", &mean], &[]);
            conv(net, &scaled)
        });
    }
    // What differs from pixel to pixel is no scale.
    becomes(&["depthwise 3×3×3", "multiply", "conv 1×1×1"], |net| {
        let mask = depthwise(net, "clip");
        let scaled = net.node("Mul", &["clip", &mask], &[]);
        pointwise(net, &scaled)
    });
}

#[test]
fn a_residual_goes_into_the_later_convolution() {
    // The engine computes the longer branch first.
    let graph = becomes(&["conv 1×3×3", "conv 1×3×3", "conv 1×1×1"], |net| {
        let shortcut = pointwise(net, "clip");
        let one = spatial(net, "clip");
        let two = spatial(net, &one);
        net.node("Add", &[&two, &shortcut], &[])
    });
    let residuals = graph.nodes.iter().filter_map(|node| match &node.op {
        Op::Conv(conv) => Some(conv.residual),
        _ => None,
    });
    assert_eq!(residuals.collect::<Vec<_>>(), [false, false, true]);
    // A depthwise one has no place for it.
    becomes(&["depthwise 3×3×3", "add"], |net| {
        let conv = depthwise(net, "clip");
        net.node("Add", &["clip", &conv], &[])
    });
    // Nor has one whose result is repeated, or that is repeated for the sum.
    becomes(&["mean over space", "conv 1×1×1", "add"], |net| {
        let mean = net.node("ReduceMean", &["clip"], &[("axes", Ints(&[3, 4]))]);
        let conv = pointwise(net, &mean);
        net.node("Add", &["clip", &conv], &[])
    });
}

#[test]
fn convolutions_of_one_tensor_that_are_added_become_one() {
    // So the engine writes a convolution of a concatenation that something else reads.
    let pool = [("kernel_shape", Ints(&[1, 9, 8]))];
    becomes(
        &["conv 1×3×3", "depthwise 3×3×3", "concat", "conv 1×1×1", "max pool 1×9×8", "add"],
        |net| {
            let one = spatial(net, "clip");
            let other = depthwise(net, "clip");
            let all = net.node("Concat", &[&one, &other, "clip"], &[("axis", Int(1))]);
            let conv = net.conv(&all, &[12, 12, 1, 1, 1], &[]);
            let relu = net.node("Relu", &[&conv], &[]);
            let most = net.node("MaxPool", &[&all], &pool);
            net.node("Add", &[&relu, &most], &[])
        },
    );
    // If nothing does there is no concatenation: each convolution adds to the one before.
    becomes(
        &["conv 1×3×3", "conv 1×1×1", "depthwise 3×3×3", "conv 1×1×1", "conv 1×1×1"],
        |net| {
            let one = spatial(net, "clip");
            let other = depthwise(net, "clip");
            let all = net.node("Concat", &[&one, &other, "clip"], &[("axis", Int(1))]);
            let conv = net.conv(&all, &[5, 12, 1, 1, 1], &[]);
            net.node("Relu", &[&conv], &[])
        },
    );
    becomes(&["conv 1×3×3"], |net| {
        let (one, other) = (spatial(net, "clip"), spatial(net, "clip"));
        net.node("Add", &[&one, &other], &[])
    });
    becomes(&["conv 1×3×3", "conv 1×1×1"], |net| {
        let (one, other) = (spatial(net, "clip"), pointwise(net, "clip"));
        net.node("Add", &[&one, &other], &[])
    });
}

/// Networks put together at random: whatever meets whatever, results stay.
#[test]
fn random_networks_compute_what_the_engine_computes() {
    for seed in 0..120 {
        let mut random = Random(seed);
        let mut net = Sketch::new(&[1, 4, 6, 9, 8]);
        let mut tensors = vec!["clip".to_owned()];
        for _ in 0..3 + random.below(10) {
            // The newest most often, so that chains grow.
            let newest = tensors.len() - 1;
            let at = if random.below(3) == 0 { random.below(tensors.len()) } else { newest };
            let (x, y) = (tensors[at].clone(), tensors[random.below(tensors.len())].clone());
            let scale = |net: &mut Sketch, axes: &[i64]| {
                let mean = net.node("ReduceMean", &[&y], &[("axes", Ints(axes))]);
                let mean = pointwise(net, &mean);
                let mean = net.node("Sigmoid", &[&mean], &[]);
                net.node("Mul", &[&x, &mean], &[])
            };
            let same = [("kernel_shape", Ints(&[3, 3, 3])), ("pads", Ints(&[1; 6]))];
            tensors.push(match random.below(14) {
                0 | 1 => pointwise(&mut net, &x),
                2 => spatial(&mut net, &x),
                3 => depthwise(&mut net, &x),
                4 => batch_norm(&mut net, &x, 4),
                5 => net.node("Relu", &[&x], &[]),
                6 => net.node("Sigmoid", &[&x], &[]),
                7 => net.node("Add", &[&x, &y], &[]),
                8 => net.node("Mul", &[&x, &y], &[]),
                9 => scale(&mut net, &[2, 3, 4]),
                10 => scale(&mut net, &[3, 4]),
                11 => net.node("MaxPool", &[&x], &same),
                12 => {
                    let all = net.node("Concat", &[&x, &y], &[("axis", Int(1))]);
                    net.conv(&all, &[4, 8, 1, 1, 1], &[])
                }
                _ => bottleneck(&mut net, &x, &[2, 3, 4]),
            });
        }
        let output = net.pooled(tensors.last().unwrap());
        let (whole, fused) = net.graphs(&output, &CLIP).unwrap();
        assert!(fused.nodes.len() <= whole.nodes.len(), "{seed}: {}", listed(&fused));
    }
}
