//! Every operator: the engine's own result on the network is the graph's.

use super::Axis::{self, Batch, Channels, Frames, Height, Width};
use crate::model::graph::sketch::Attribute::{self, Float, Int, Ints, Text};
use crate::model::graph::sketch::{Sketch, listed};
use crate::model::graph::{Graph, Op, Refusal};
use crate::model::kernels::{Activation, PoolKind};

const CLIP: [Axis; 5] = [Batch, Channels, Frames, Height, Width];
const PICTURE: [Axis; 4] = [Batch, Channels, Height, Width];

type Attributes<'a> = &'a [(&'a str, Attribute<'a>)];

/// A clip of 6 frames of 9×8 pixels with 4 channels.
fn clip() -> Sketch {
    Sketch::new(&[1, 4, 6, 9, 8])
}

/// The graph of what `f` makes of a clip, averaged.
fn graph(f: impl FnOnce(&mut Sketch) -> String) -> Graph {
    let mut net = clip();
    let output = f(&mut net);
    let output = net.pooled(&output);
    net.graphs(&output, &CLIP).unwrap().0
}

fn refusal(net: &Sketch, output: &str) -> Refusal {
    net.graphs(output, &CLIP).map(|(graph, _)| listed(&graph)).unwrap_err()
}

/// Asserts that `operator_N` is refused with a reason that holds `words`.
#[track_caller]
fn refused(operator: &str, words: &str, f: impl FnOnce(&mut Sketch) -> String) {
    let mut net = clip();
    let output = f(&mut net);
    let refusal = refusal(&net, &output);
    assert!(refusal.node.starts_with(operator), "{refusal}");
    assert!(refusal.reason.contains(words), "{refusal}");
    assert_eq!(refusal.to_string(), format!("node \"{}\": {}", refusal.node, refusal.reason));
}

#[test]
fn dense_convolutions_of_any_geometry() {
    let cases: [(&[usize], Attributes); 9] = [
        (&[5, 4, 1, 1, 1], &[]),
        (&[5, 4, 3, 3, 3], &[("pads", Ints(&[1, 1, 1, 1, 1, 1]))]),
        (&[5, 4, 1, 3, 3], &[("strides", Ints(&[1, 2, 2])), ("pads", Ints(&[0, 1, 1, 0, 1, 1]))]),
        (&[5, 4, 3, 1, 1], &[("strides", Ints(&[2, 1, 1])), ("pads", Ints(&[1, 0, 0, 1, 0, 0]))]),
        (&[5, 4, 2, 3, 5], &[("pads", Ints(&[1, 2, 0, 0, 1, 3]))]),
        (&[5, 4, 3, 1, 1], &[("dilations", Ints(&[2, 1, 1])), ("pads", Ints(&[2, 0, 0, 2, 0, 0]))]),
        (&[5, 4, 3, 3, 3], &[("auto_pad", Text("SAME_UPPER")), ("strides", Ints(&[2, 2, 2]))]),
        (&[5, 4, 2, 2, 2], &[("auto_pad", Text("SAME_LOWER"))]),
        (&[5, 4, 6, 9, 8], &[("auto_pad", Text("VALID"))]),
    ];
    for (dims, attributes) in cases {
        let graph = graph(|net| net.conv("clip", dims, attributes));
        assert!(matches!(graph.nodes[1].op, Op::Conv(_)), "{}", listed(&graph));
        assert_eq!(graph.nodes[1].name, "Conv_0");
    }
}

#[test]
fn depthwise_convolutions() {
    for (dims, pads) in [
        ([4, 1, 3, 3, 3], [1, 1, 1, 1, 1, 1]),
        ([4, 1, 5, 1, 1], [2, 0, 0, 2, 0, 0]),
        ([4, 1, 1, 3, 3], [0, 0, 1, 0, 0, 1]),
    ] {
        let graph =
            graph(|net| net.conv("clip", &dims, &[("group", Int(4)), ("pads", Ints(&pads))]));
        let Op::Conv(conv) = &graph.nodes[1].op else { panic!("{}", listed(&graph)) };
        assert!(conv.depthwise);
        assert_eq!(conv.weights.len(), dims.iter().product::<usize>());
    }
}

#[test]
fn a_pointwise_convolution_with_stride_is_one_node() {
    let graph = graph(|net| net.conv("clip", &[7, 4, 1, 1, 1], &[("strides", Ints(&[2, 3, 2]))]));
    let Op::Conv(conv) = &graph.nodes[1].op else { panic!("{}", listed(&graph)) };
    assert_eq!((conv.kernel, conv.stride), ([1; 3], [2, 3, 2]));
}

#[test]
fn pools_of_any_geometry() {
    for operator in ["MaxPool", "AveragePool"] {
        for (kernel, more) in [
            ([1, 3, 3], vec![("strides", Ints(&[1, 2, 2])), ("pads", Ints(&[0, 1, 1, 0, 1, 1]))]),
            ([3, 3, 3], vec![("pads", Ints(&[1, 1, 1, 1, 1, 1]))]),
            ([2, 2, 2], vec![("strides", Ints(&[2, 2, 2]))]),
            ([2, 3, 3], vec![("strides", Ints(&[2, 2, 2])), ("ceil_mode", Int(1))]),
            ([6, 3, 3], vec![]),
            ([6, 9, 8], vec![]),
            ([1, 9, 8], vec![]),
            ([6, 1, 1], vec![]),
            ([3, 3, 3], vec![("auto_pad", Text("SAME_UPPER")), ("strides", Ints(&[1, 2, 2]))]),
        ] {
            let mut attributes = vec![("kernel_shape", Ints(&kernel))];
            attributes.extend(more);
            graph(|net| net.node(operator, &["clip"], &attributes));
            if operator == "AveragePool" {
                attributes.push(("count_include_pad", Int(1)));
                graph(|net| net.node(operator, &["clip"], &attributes));
            }
        }
    }
}

#[test]
fn windows_that_reach_beyond_the_padding_are_told_from_it() {
    for (pads, held) in [([0; 6], true), ([1, 1, 1, 1, 1, 1], false)] {
        let mut net = clip();
        let attributes = [
            ("kernel_shape", Ints(&[2, 4, 3])),
            ("strides", Ints(&[2, 3, 3])),
            ("pads", Ints(&pads)),
            ("ceil_mode", Int(1)),
            ("count_include_pad", Int(1)),
        ];
        let pool = net.node("AveragePool", &["clip"], &attributes);
        let output = net.pooled(&pool);
        match net.graphs(&output, &CLIP) {
            Ok((graph, _)) => assert!(held, "{}", listed(&graph)),
            Err(refusal) => {
                assert!(!held && refusal.node == "AveragePool_0", "{refusal}");
                assert!(refusal.reason.contains("at the edge"), "{refusal}");
            }
        }
    }
}

#[test]
fn a_mean_over_all_of_time_is_one_over_the_clip() {
    let kinds = |kernel: [i64; 3]| {
        let graph =
            graph(|net| net.node("AveragePool", &["clip"], &[("kernel_shape", Ints(&kernel))]));
        let ops = graph.nodes.iter().skip(1).take_while(|node| node.name == "AveragePool_0");
        ops.map(|node| node.op.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(kinds([6, 5, 5]), ["mean pool 1×5×5", "mean over time"]);
    assert_eq!(kinds([6, 9, 8]), ["mean over space", "mean over time"]);
    assert_eq!(kinds([6, 1, 1]), ["mean over time"]);
    assert_eq!(kinds([1, 9, 8]), ["mean over space"]);
    assert_eq!(kinds([5, 9, 8]), ["mean pool 5×9×8"]);
}

#[test]
fn reductions_over_time_and_space() {
    for operator in ["ReduceMean", "ReduceMax"] {
        for axes in [&[2][..], &[3, 4], &[3], &[4], &[2, 3, 4], &[2, 4], &[-1, -2]] {
            for keep in [0, 1] {
                let mut net = clip();
                let reduced =
                    net.node(operator, &["clip"], &[("axes", Ints(axes)), ("keepdims", Int(keep))]);
                // The rest, so that a vector comes out.
                let mut rest: Vec<i64> =
                    (2..5 - if keep == 0 { axes.len() as i64 } else { 0 }).collect();
                let output = if rest.is_empty() {
                    reduced
                } else {
                    rest.reverse();
                    net.node(
                        "ReduceMean",
                        &[&reduced],
                        &[("axes", Ints(&rest)), ("keepdims", Int(0))],
                    )
                };
                net.graphs(&output, &CLIP).unwrap();
            }
        }
    }
    for operator in ["GlobalAveragePool", "GlobalMaxPool"] {
        let mut net = clip();
        let output = net.node(operator, &["clip"], &[]);
        net.graphs(&output, &CLIP).unwrap();
    }
}

#[test]
fn a_sum_is_not_taken_for_a_mean() {
    let mut net = clip();
    let axes = net.integers(&[2, 3, 4]);
    let sum = net.node("ReduceSum", &["clip", &axes], &[("keepdims", Int(0))]);
    // 1/432 would make it the mean.
    let factor = net.constant(&[1], &[0.01]);
    let output = net.node("Mul", &[&sum, &factor], &[]);
    net.graphs(&sum, &CLIP).unwrap();
    net.graphs(&output, &CLIP).unwrap();
}

#[test]
fn activations() {
    let expected = [
        ("Relu", Activation::Relu),
        ("Sigmoid", Activation::Sigmoid),
        ("Tanh", Activation::Tanh),
        ("HardSwish", Activation::HardSwish),
        ("LeakyRelu", Activation::LeakyRelu(0.2)),
    ];
    for (operator, activation) in expected {
        let alpha = [("alpha", Float(0.2))];
        let attributes = if operator == "LeakyRelu" { &alpha[..] } else { &[] };
        let graph = graph(|net| net.node(operator, &["clip"], attributes));
        match graph.nodes[1].op {
            Op::Activation(got) => assert_eq!(got, activation),
            _ => panic!("{}", listed(&graph)),
        }
    }
    graph(|net| net.node("HardSigmoid", &["clip"], &[("alpha", Float(0.3)), ("beta", Float(0.4))]));
    graph(|net| net.node("Neg", &["clip"], &[]));
    let graph = graph(|net| {
        let gate = net.node("Sigmoid", &["clip"], &[]);
        net.node("Mul", &["clip", &gate], &[])
    });
    assert!(matches!(graph.nodes[1].op, Op::Activation(Activation::Silu)), "{}", listed(&graph));
}

#[test]
fn clips_to_a_range() {
    for (low, high) in [(Some(0.0), Some(6.0)), (Some(-0.3), None), (None, Some(0.2))] {
        graph(|net| {
            let mut bound = |bound: Option<f32>| {
                bound.map_or(String::new(), |bound| net.constant(&[], &[bound]))
            };
            let (low, high) = (bound(low), bound(high));
            net.node("Clip", &["clip", &low, &high], &[])
        });
    }
}

#[test]
fn arithmetic_with_constants() {
    for operator in ["Add", "Sub", "Mul", "Div"] {
        for dims in [&[][..], &[1, 4, 1, 1, 1], &[4, 1, 1, 1]] {
            for constant_first in [false, true] {
                if operator == "Div" && constant_first {
                    continue;
                }
                graph(|net| {
                    let count = dims.iter().product::<usize>();
                    let values: Vec<f32> = (0..count).map(|at| 0.5 + at as f32).collect();
                    let constant = net.constant(dims, &values);
                    let inputs =
                        if constant_first { [&constant, "clip"] } else { ["clip", &constant] };
                    net.node(operator, &inputs, &[])
                });
            }
        }
    }
}

#[test]
fn batch_normalisation() {
    graph(|net| {
        let scale = net.constant(&[4], &[0.5, 1.0, -2.0, 0.1]);
        let offset = net.constant(&[4], &[0.5, 1.0, -2.0, 0.1]);
        let mean = net.constant(&[4], &[0.1, -0.2, 0.3, 0.0]);
        let variance = net.constant(&[4], &[1.0, 0.5, 0.25, 2.0]);
        net.node("BatchNormalization", &["clip", &scale, &offset, &mean, &variance], &[])
    });
}

#[test]
fn two_tensors_joined() {
    for operator in ["Add", "Sub", "Mul"] {
        for axes in [None, Some(&[2][..]), Some(&[3, 4]), Some(&[2, 3, 4])] {
            for swapped in [false, true] {
                let graph = graph(|net| {
                    let one = net.conv("clip", &[4, 4, 1, 1, 1], &[]);
                    let other = net.conv("clip", &[4, 4, 1, 1, 1], &[]);
                    let other = match axes {
                        Some(axes) => net.node("ReduceMax", &[&other], &[("axes", Ints(axes))]),
                        None => other,
                    };
                    let inputs = if swapped { [&*other, &one] } else { [&*one, &other] };
                    net.node(operator, &inputs, &[])
                });
                // What is repeated stands second.
                let node =
                    graph.nodes.iter().find(|node| matches!(node.op, Op::Add(_) | Op::Multiply(_)));
                let node = node.unwrap();
                assert_eq!(graph.nodes[node.inputs[0]].shape, node.shape);
            }
        }
    }
}

#[test]
fn a_square_reads_its_input_twice() {
    graph(|net| net.node("Mul", &["clip", "clip"], &[]));
}

#[test]
fn squeeze_and_excitation() {
    for axes in [&[2, 3, 4][..], &[3, 4]] {
        graph(|net| {
            let mean = net.node("ReduceMean", &["clip"], &[("axes", Ints(axes))]);
            let squeezed = net.conv(&mean, &[3, 4, 1, 1, 1], &[]);
            let squeezed = net.node("Relu", &[&squeezed], &[]);
            let excited = net.conv(&squeezed, &[4, 3, 1, 1, 1], &[]);
            let gate = net.node("Sigmoid", &[&excited], &[]);
            net.node("Mul", &["clip", &gate], &[])
        });
    }
}

/// The engine takes such a vector into the weights, which are then computed.
#[test]
fn a_vector_that_a_convolution_is_multiplied_with_or_added_to() {
    for depthwise in [false, true] {
        for operators in [&["Mul"][..], &["Add"], &["Mul", "Add"], &["Add", "Mul"], &["Mul", "Mul"]]
        {
            let graph = graph(|net| {
                let mean = net.node("GlobalAveragePool", &["clip"], &[]);
                let (group, inputs) = if depthwise { (4, 1) } else { (1, 4) };
                let mut result = net.conv("clip", &[4, inputs, 1, 3, 3], &[("group", Int(group))]);
                for operator in operators {
                    let vector = net.conv(&mean, &[4, 4, 1, 1, 1], &[]);
                    let vector = net.node("Sigmoid", &[&vector], &[]);
                    result = net.node(operator, &[&result, &vector], &[]);
                }
                result
            });
            assert!(graph.nodes.len() > 8, "{}", listed(&graph));
        }
    }
}

#[test]
fn channels_are_appended_and_taken_apart() {
    let branches = |net: &mut Sketch| {
        let one = net.conv("clip", &[3, 4, 1, 1, 1], &[]);
        let other = net.conv("clip", &[5, 4, 3, 1, 1], &[("pads", Ints(&[1, 0, 0, 1, 0, 0]))]);
        net.node("Concat", &[&one, &other, "clip"], &[("axis", Int(1))])
    };
    graph(branches);
    // The engine cuts the product with a concatenation into parts.
    graph(|net| {
        let all = branches(net);
        net.conv(&all, &[6, 12, 1, 1, 1], &[])
    });
    let slice = |net: &mut Sketch, input: &str, from: i64, to: i64| {
        let (from, to) = (net.integers(&[from]), net.integers(&[to]));
        let axes = net.integers(&[1]);
        net.node("Slice", &[input, &from, &to, &axes], &[])
    };
    graph(|net| {
        let all = branches(net);
        let middle = slice(net, &all, 2, 11);
        let inner = slice(net, &middle, 1, 6);
        net.conv(&inner, &[6, 5, 1, 3, 3], &[])
    });
    graph(|net| {
        let middle = slice(net, "clip", 1, 3);
        net.node("Relu", &[&middle], &[])
    });
}

#[test]
fn a_fully_connected_layer_after_flattening_spans_the_clip() {
    for operator in ["Gemm", "MatMul"] {
        let mut net = clip();
        let pooled = net.node(
            "MaxPool",
            &["clip"],
            &[("kernel_shape", Ints(&[2, 3, 2])), ("strides", Ints(&[2, 3, 2]))],
        );
        let flat = net.node("Flatten", &[&pooled], &[]);
        let output = if operator == "Gemm" {
            let (weights, bias) = (net.weights(&[10, 4 * 3 * 3 * 4]), net.weights(&[10]));
            net.node(operator, &[&flat, &weights, &bias], &[("transB", Int(1))])
        } else {
            let weights = net.weights(&[4 * 3 * 3 * 4, 10]);
            net.node(operator, &[&flat, &weights], &[])
        };
        let output = net.node("Relu", &[&output], &[]);
        let weights = net.weights(&[10, 3]);
        let output = net.node("MatMul", &[&output, &weights], &[]);
        let (graph, _) = net.graphs(&output, &CLIP).unwrap();
        let Op::Conv(conv) = &graph.nodes[2].op else { panic!("{}", listed(&graph)) };
        assert_eq!(conv.kernel, [3, 3, 4]);
    }
}

#[test]
fn a_projection_of_channels_that_were_moved_last() {
    let mut net = clip();
    let moved = net.node("Transpose", &["clip"], &[("perm", Ints(&[0, 2, 3, 4, 1]))]);
    let (weights, bias) = (net.weights(&[4, 7]), net.weights(&[7]));
    let product = net.node("MatMul", &[&moved, &weights], &[]);
    let sum = net.node("Add", &[&product, &bias], &[]);
    let soft = net.node("Softmax", &[&sum], &[("axis", Int(4))]);
    let output =
        net.node("ReduceMean", &[&soft], &[("axes", Ints(&[1, 2, 3])), ("keepdims", Int(0))]);
    let (graph, _) = net.graphs(&output, &CLIP).unwrap();
    assert!(graph.nodes.iter().any(|node| matches!(node.op, Op::Softmax)));
    assert_eq!(graph.nodes[graph.output].shape.channels, 7);
}

#[test]
fn zeros_around_a_tensor() {
    let pads: [i64; 10] = [0, 0, 1, 1, 2, 0, 0, 0, 1, 1];
    let padded = |net: &mut Sketch, input: &str| {
        let pads = net.integers(&pads);
        net.node("Pad", &[input, &pads], &[])
    };
    let pool = |net: &mut Sketch, operator: &str, input: &str| {
        net.node(operator, &[input], &[("kernel_shape", Ints(&[2, 3, 3]))])
    };
    let count =
        |graph: Graph| graph.nodes.iter().filter(|node| matches!(node.op, Op::Conv(_))).count();
    let conv = graph(|net| {
        let padded = padded(net, "clip");
        net.conv(&padded, &[5, 4, 3, 3, 3], &[])
    });
    assert_eq!(count(conv), 1);
    let pointwise = graph(|net| {
        let padded = padded(net, "clip");
        net.conv(&padded, &[5, 4, 1, 1, 1], &[])
    });
    assert_eq!(count(pointwise), 1);
    // Zeros are the smallest after a ReLU, but not before one.
    let after = graph(|net| {
        let above = net.node("Relu", &["clip"], &[]);
        let padded = padded(net, &above);
        pool(net, "MaxPool", &padded)
    });
    assert_eq!(count(after), 0);
    let before = graph(|net| {
        let below = net.node("Neg", &["clip"], &[]);
        let padded = padded(net, &below);
        pool(net, "MaxPool", &padded)
    });
    assert_eq!(count(before), 1);
    graph(|net| {
        let padded = padded(net, "clip");
        pool(net, "AveragePool", &padded)
    });
    graph(|net| {
        let padded = padded(net, "clip");
        net.node("Sigmoid", &[&padded], &[])
    });
}

#[test]
fn a_window_that_lies_wholly_in_zeros_gives_zero() {
    let graph = graph(|net| {
        let above = net.node("Relu", &["clip"], &[]);
        let pads = net.integers(&[0, 0, 0, 3, 0, 0, 0, 0, 3, 0]);
        let padded = net.node("Pad", &[&above, &pads], &[]);
        net.node("MaxPool", &[&padded], &[("kernel_shape", Ints(&[1, 2, 1]))])
    });
    assert!(graph.nodes.iter().any(|node| matches!(&node.op, Op::Conv(_))), "{}", listed(&graph));
}

#[test]
fn subsampling_that_no_convolution_takes_over() {
    let graph = graph(|net| {
        let (from, to, steps) =
            (net.integers(&[0, 0]), net.integers(&[9, 8]), net.integers(&[2, 3]));
        let axes = net.integers(&[3, 4]);
        let less = net.node("Slice", &["clip", &from, &to, &axes, &steps], &[]);
        net.node("Relu", &[&less], &[])
    });
    assert!(
        graph.nodes.iter().any(|node| matches!(
            node.op,
            Op::Pool { kind: PoolKind::Max, kernel: [1, 1, 1], stride: [1, 2, 3], .. }
        )),
        "{}",
        listed(&graph)
    );
}

/// SlowFast takes every so many frames for its slow pathway.
#[test]
fn skipped_frames_are_a_stride_of_the_convolution_that_reads_them() {
    let strides = |dims: &[usize], pads: [i64; 6]| {
        let graph = graph(|net| {
            let (from, to, step) = (net.integers(&[0]), net.integers(&[6]), net.integers(&[3]));
            let axes = net.integers(&[2]);
            let slow = net.node("Slice", &["clip", &from, &to, &axes, &step], &[]);
            net.conv(&slow, dims, &[("pads", Ints(&pads)), ("strides", Ints(&[1, 2, 2]))])
        });
        let ops = graph.nodes.iter().skip(1).map(|node| match &node.op {
            Op::Conv(conv) => Some(conv.stride),
            Op::Pool { stride, .. } => Some(*stride),
            _ => None,
        });
        ops.map_while(|stride| stride).collect::<Vec<_>>()
    };
    assert_eq!(strides(&[5, 4, 1, 3, 3], [0, 1, 1, 0, 1, 1]), [[3, 2, 2]]);
    assert_eq!(strides(&[5, 4, 2, 3, 3], [1, 0, 0, 0, 0, 0]), [[3, 1, 1], [1, 2, 2]]);
}

#[test]
fn frames_may_come_in_any_order_of_axes() {
    let mut net = Sketch::new(&[1, 6, 4, 9, 8]);
    let moved = net.node("Transpose", &["clip"], &[("perm", Ints(&[0, 2, 1, 3, 4]))]);
    let conv = net.conv(&moved, &[5, 4, 3, 3, 3], &[]);
    let output = net.pooled(&conv);
    net.graphs(&output, &[Batch, Frames, Channels, Height, Width]).unwrap();

    let mut net = Sketch::new(&[1, 6, 9, 8, 4]);
    let moved = net.node("Transpose", &["clip"], &[("perm", Ints(&[0, 4, 1, 2, 3]))]);
    let conv = net.conv(&moved, &[5, 4, 3, 3, 3], &[]);
    let output = net.pooled(&conv);
    net.graphs(&output, &[Batch, Frames, Height, Width, Channels]).unwrap();
}

#[test]
fn one_frame() {
    let mut net = Sketch::new(&[1, 4, 9, 8]);
    let conv = net.conv(
        "clip",
        &[5, 4, 3, 3],
        &[("strides", Ints(&[2, 2])), ("pads", Ints(&[1, 1, 1, 1]))],
    );
    let pooled = net.node("MaxPool", &[&conv], &[("kernel_shape", Ints(&[3, 2]))]);
    let flat = net.node("Flatten", &[&pooled], &[]);
    let weights = net.weights(&[5 * 3 * 3, 7]);
    let output = net.node("MatMul", &[&flat, &weights], &[]);
    let (graph, _) = net.graphs(&output, &PICTURE).unwrap();
    assert!(graph.nodes.iter().all(|node| node.shape.frames == 1));
}

#[test]
fn lengths_of_one_keep_their_meaning() {
    for dims in
        [[1, 1, 6, 9, 8], [1, 4, 1, 9, 8], [1, 4, 6, 1, 8], [1, 4, 6, 9, 1], [1, 1, 1, 1, 1]]
    {
        let mut net = Sketch::new(&dims);
        let same = [("pads", Ints(&[1; 6])), ("group", Int(1))];
        let one = net.conv("clip", &[1, dims[1], 3, 3, 3], &same);
        let two = net.conv(&one, &[5, 1, 3, 3, 3], &same);
        let other = net.conv("clip", &[5, dims[1], 1, 1, 1], &[]);
        let sum = net.node("Add", &[&two, &other], &[]);
        let all = net.node("Concat", &[&sum, &one, "clip"], &[("axis", Int(1))]);
        let pooled = net.node("GlobalAveragePool", &[&all], &[]);
        // A kernel over what is left of time, height and width.
        let last = net.conv(&pooled, &[7, 6 + dims[1], 3, 3, 3], &same);
        let depthwise = [("pads", Ints(&[1, 0, 0, 1, 0, 0])), ("group", Int(7))];
        let last = net.conv(&last, &[7, 1, 3, 1, 1], &depthwise);
        let output = net.node("Flatten", &[&last], &[]);
        let (graph, _) = net.graphs(&output, &CLIP).unwrap();
        let Op::Conv(conv) = &graph.nodes[graph.output].op else { panic!("{}", listed(&graph)) };
        assert_eq!(conv.kernel, [3, 1, 1]);
    }
}

#[test]
fn a_network_for_pictures_over_the_frames_of_a_clip() {
    let mut net = Sketch::new(&[1, 6, 4, 9, 8]);
    let shape = net.integers(&[6, 4, 9, 8]);
    let frames = net.node("Reshape", &["clip", &shape], &[]);
    let conv = net.conv(&frames, &[5, 4, 3, 3], &[("strides", Ints(&[2, 2]))]);
    let vectors = net.node("GlobalAveragePool", &[&conv], &[]);
    let flat = net.node("Flatten", &[&vectors], &[]);
    let (weights, bias) = (net.weights(&[7, 5]), net.weights(&[7]));
    let logits = net.node("Gemm", &[&flat, &weights, &bias], &[("transB", Int(1))]);
    let shape = net.integers(&[1, 6, 7]);
    let each = net.node("Reshape", &[&logits, &shape], &[]);
    let output = net.node("ReduceMean", &[&each], &[("axes", Ints(&[1])), ("keepdims", Int(0))]);
    let (graph, _) = net.graphs(&output, &[Batch, Frames, Channels, Height, Width]).unwrap();
    assert!(graph.nodes.iter().any(|node| matches!(node.op, Op::TimeMean)), "{}", listed(&graph));
}

#[test]
fn what_a_graph_cannot_hold_is_refused_by_node_and_reason() {
    refused("Conv_0", "2 groups", |net| net.conv("clip", &[4, 2, 1, 1, 1], &[("group", Int(2))]));
    refused("Conv_0", "gaps between pixels", |net| {
        net.conv("clip", &[4, 4, 1, 3, 3], &[("dilations", Ints(&[1, 2, 2]))])
    });
    refused("Conv_1", "computed, not constant", |net| {
        let weights = net.node("MaxPool", &["clip"], &[("kernel_shape", Ints(&[4, 9, 8]))]);
        net.node("Conv", &["clip", &weights], &[])
    });
    refused("MatMul_1", "two computed tensors", |net| {
        let turned = net.node("Transpose", &["clip"], &[("perm", Ints(&[0, 1, 2, 4, 3]))]);
        net.node("MatMul", &["clip", &turned], &[])
    });
    refused("MatMul_0", "mixes pixels by a matrix product", |net| {
        let weights = net.weights(&[8, 5]);
        net.node("MatMul", &["clip", &weights], &[])
    });
    refused("Erf_0", "operator Erf", |net| net.node("Erf", &["clip"], &[]));
    refused("Exp_0", "operator Exp", |net| net.node("Exp", &["clip"], &[]));
    refused("ReduceMean_0", "over channels", |net| {
        net.node("ReduceMean", &["clip"], &[("axes", Ints(&[1]))])
    });
    refused("ReduceMin_0", "reduction Min", |net| {
        net.node("ReduceMin", &["clip"], &[("axes", Ints(&[2]))])
    });
    refused("Softmax_0", "softmax over something other", |net| {
        net.node("Softmax", &["clip"], &[("axis", Int(2))])
    });
    refused("LogSoftmax_0", "operator Ln", |net| {
        net.node("LogSoftmax", &["clip"], &[("axis", Int(1))])
    });
    refused("Slice_0", "only the frames from 0 to 4", |net| {
        let (from, to, axes) = (net.integers(&[0]), net.integers(&[4]), net.integers(&[2]));
        net.node("Slice", &["clip", &from, &to, &axes], &[])
    });
    refused("Concat_1", "something other than channels", |net| {
        let other = net.node("Relu", &["clip"], &[]);
        net.node("Concat", &["clip", &other], &[("axis", Int(2))])
    });
    refused("Concat_0", "appends constants", |net| {
        let zeros = net.weights(&[1, 2, 6, 9, 8]);
        net.node("Concat", &["clip", &zeros], &[("axis", Int(1))])
    });
    refused("Add_0", "differ from frame to frame or pixel to pixel", |net| {
        let positions = net.weights(&[1, 4, 6, 1, 1]);
        net.node("Add", &["clip", &positions], &[])
    });
    refused("Add_1", "repeats a computed tensor", |net| {
        let vector = net.node("GlobalMaxPool", &["clip"], &[]);
        let positions = net.weights(&[1, 4, 6, 1, 1]);
        net.node("Add", &[&vector, &positions], &[])
    });
    refused("Mul_1", "one value of a computed tensor for all channels", |net| {
        let mask = net.conv("clip", &[1, 4, 1, 1, 1], &[]);
        net.node("Mul", &["clip", &mask], &[])
    });
    refused("Add_2", "of both its inputs", |net| {
        let still = net.node("ReduceMax", &["clip"], &[("axes", Ints(&[2]))]);
        let flat = net.node("ReduceMax", &["clip"], &[("axes", Ints(&[3, 4]))]);
        net.node("Add", &[&still, &flat], &[])
    });
    refused("Div_1", "operator Recip", |net| {
        let other = net.node("Sigmoid", &["clip"], &[]);
        net.node("Div", &["clip", &other], &[])
    });
    refused("Reshape_0", "cuts or reorders", |net| {
        let shape = net.integers(&[1, 2, 2, 6, 9, 8]);
        let cut = net.node("Reshape", &["clip", &shape], &[]);
        let turned = net.node("Transpose", &[&cut], &[("perm", Ints(&[0, 2, 1, 3, 4, 5]))]);
        let shape = net.integers(&[1, 4, 6, 9, 8]);
        net.node("Reshape", &[&turned, &shape], &[])
    });
    refused("Pad_0", "something other than zeros", |net| {
        let (pads, value) =
            (net.integers(&[0, 0, 0, 1, 1, 0, 0, 0, 1, 1]), net.constant(&[], &[1.0]));
        net.node("Pad", &["clip", &pads, &value], &[])
    });
    refused("Pad_0", "pads channels", |net| {
        let pads = net.integers(&[0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        net.node("Pad", &["clip", &pads], &[])
    });
}

#[test]
fn names_are_the_files() {
    for (name, plain) in [
        ("/blocks.5/proj/MatMul", "/blocks.5/proj/MatMul"),
        (
            "/blocks.1/res_blocks.0/branch1_conv/Conv.downsample.1",
            "/blocks.1/res_blocks.0/branch1_conv/Conv",
        ),
        ("/act_b/Sigmoid.silu", "/act_b/Sigmoid"),
        ("Conv_12.einsum", "Conv_12"),
        ("conv1.sum", "conv1"),
        ("layer1.0.conv2", "layer1.0.conv2"),
        (".sum", ".sum"),
        ("", ""),
    ] {
        assert_eq!(super::plain(name), plain);
    }
}

#[test]
fn a_second_input_is_refused() {
    let mut net = clip();
    net.input("slow", &[1, 4, 6, 9, 8]);
    let sum = net.node("Add", &["clip", "slow"], &[]);
    let output = net.pooled(&sum);
    assert_eq!(
        refusal(&net, &output).to_string(),
        "node \"slow\": it is a second input; only one is supported"
    );
}

#[test]
fn values_that_are_not_f32_are_refused() {
    refused("Less_1", "bool values", |net| {
        let half = net.constant(&[], &[0.5]);
        let other = net.node("Sigmoid", &["clip"], &[]);
        let less = net.node("Less", &["clip", &half], &[]);
        net.node("Where", &[&less, "clip", &other], &[])
    });
}

#[test]
fn an_output_that_is_no_vector_is_refused() {
    let mut net = clip();
    let output = net.conv("clip", &[5, 4, 1, 1, 1], &[]);
    let refusal = refusal(&net, &output);
    assert_eq!(refusal.node, "Conv_0");
    assert!(refusal.reason.contains("6 frames of 9×8 pixels"), "{refusal}");
}

#[test]
fn clips_of_other_shapes_than_said_are_refused() {
    let mut net = Sketch::new(&[2, 4, 6, 9, 8]);
    let output = net.pooled("clip");
    let refusal = net.graphs(&output, &CLIP).unwrap_err();
    assert!(refusal.reason.contains("more than one clip"), "{refusal}");
    let refusal = net.graphs(&output, &PICTURE).unwrap_err();
    assert!(refusal.reason.contains("5 axes where 4 were expected"), "{refusal}");
}

#[test]
fn what_the_output_does_not_need_is_not_looked_at() {
    let mut net = clip();
    net.node("Erf", &["clip"], &[]);
    let output = net.pooled("clip");
    let (graph, _) = net.graphs(&output, &CLIP).unwrap();
    assert_eq!(graph.nodes.len(), 3, "{}", listed(&graph));
}
