use super::*;
use crate::model::kernels::Border;
use crate::model::kernels::random::Random;

/// What `run` is to compute, straight from the definition.
fn plain(
    shape: &DepthwiseShape,
    (weights, bias): (&[f32], &[f32]),
    taps: &[Option<&[f32]>],
    (input, output): (&Extent, &Extent),
    after: Activation,
    rows: Range<usize>,
    out: &mut [f32],
) {
    let [kt, kh, kw] = shape.kernel;
    let origin = output.rows(&rows).start;
    for row in rows {
        for column in 0..output.width {
            for c in 0..shape.channels {
                let mut sum = f64::from(bias[c]);
                for (t, frame) in taps.iter().enumerate() {
                    let Some(frame) = frame else { continue };
                    for y in 0..kh {
                        for x in 0..kw {
                            let at = (input.border.top + row * shape.stride[0] + y - shape.pad[0])
                                * input.pitch()
                                + (input.border.left + column * shape.stride[1] + x - shape.pad[1])
                                    * input.step;
                            let weight = weights[((c * kt + t) * kh + y) * kw + x];
                            sum += f64::from(frame[at + c]) * f64::from(weight);
                        }
                    }
                }
                out[output.at(row, column) - origin + c] = after.of(sum as f32);
            }
        }
    }
}

const ACTIVATIONS: [Activation; 6] = [
    Activation::None,
    Activation::Relu,
    Activation::Clip { low: -0.5, high: 0.5 },
    Activation::Silu,
    Activation::HardSwish,
    Activation::LeakyRelu(0.1),
];

/// A value that nobody may write over.
const UNTOUCHED: f32 = 12345.0;

struct Case {
    shape: DepthwiseShape,
    input: Extent,
    output: Extent,
    weights: Vec<f32>,
    bias: Vec<f32>,
    frames: Vec<Option<Vec<f32>>>,
    after: Activation,
}

impl Case {
    fn new(random: &mut Random, isa: Isa, kernel: [usize; 3], stride: [usize; 2]) -> Self {
        let pad = [random.between(0, kernel[1] - 1), random.between(0, kernel[2] - 1)];
        let channels = random.between(1, 40);
        let (height, width) = (random.between(1, 5), random.between(1, 29));
        let mut border = |least: usize| least + random.between(0, 1);
        // As large as the last output pixel's taps need, and sometimes a pixel more.
        let (tall, wide) = (
            (height - 1) * stride[0] + kernel[1] - pad[0],
            (width - 1) * stride[1] + kernel[2] - pad[1],
        );
        let (below, right) = (border(0).min(tall - 1), border(0).min(wide - 1));
        let input = Extent::new(isa, tall - below, wide - right, channels).with_border(Border {
            top: border(pad[0]),
            left: border(pad[1]),
            bottom: below + border(0),
            right: right + border(0),
        });
        let output = Extent::new(isa, height, width, channels).with_border(Border {
            top: border(0),
            left: border(0),
            bottom: border(0),
            right: border(0),
        });
        let taps = kernel.iter().product::<usize>();
        let frames = (0..kernel[0])
            .map(|_| (random.between(0, 4) > 0).then(|| random.values(input.len())))
            .collect();
        Case {
            shape: DepthwiseShape { channels, kernel, stride, pad },
            input,
            output,
            weights: random.values(channels * taps),
            bias: random.values(channels),
            frames,
            after: random.pick(&ACTIVATIONS),
        }
    }

    fn check(&self, isa: Isa, rows: Range<usize>) {
        let Case { shape, input, output, weights, bias, after, .. } = self;
        let taps: Vec<Option<&[f32]>> = self.frames.iter().map(|frame| frame.as_deref()).collect();
        let mut right = vec![UNTOUCHED; output.rows(&rows).len()];
        let mut out = right.clone();
        let definition = (&weights[..], &bias[..]);
        plain(shape, definition, &taps, (input, output), *after, rows.clone(), &mut right);
        let layer = Depthwise::new(isa, *shape, weights, bias);
        layer.run(&taps, input, output, *after, rows.clone(), &mut out);
        for (at, (value, right)) in out.iter().zip(&right).enumerate() {
            let place = at % output.pitch() / output.step;
            let inside = (output.border.left..output.border.left + output.width).contains(&place);
            if inside && at % output.step >= output.channels {
                assert!(value.is_finite());
                continue;
            }
            assert!(
                (value - right).abs() <= 1e-4,
                "{}: {shape:?} {input:?} {output:?} {after:?} {rows:?} at {at}: {value}, not {right}",
                isa.name(),
            );
        }
    }
}

#[test]
fn every_kernel_agrees_with_its_definition() {
    const KERNELS: [[usize; 3]; 10] = [
        [3, 3, 3],
        [1, 3, 3],
        [3, 1, 1],
        [5, 1, 1],
        [5, 3, 3],
        [1, 5, 5],
        [2, 4, 2],
        [1, 1, 7],
        [1, 2, 3],
        [2, 3, 5],
    ];
    const STRIDES: [[usize; 2]; 6] = [[1, 1], [2, 2], [1, 2], [2, 1], [3, 3], [1, 4]];
    for isa in Isa::all() {
        let mut random = Random::new(5);
        for kernel in KERNELS {
            for stride in STRIDES {
                for _ in 0..12 {
                    let case = Case::new(&mut random, isa, kernel, stride);
                    let from = random.between(0, case.output.height - 1);
                    case.check(isa, from..random.between(from, case.output.height));
                    case.check(isa, 0..case.output.height);
                }
            }
        }
    }
}

#[test]
fn every_width_is_filled() {
    for isa in Isa::all() {
        let mut random = Random::new(7);
        for width in 1..40 {
            for (kernel, stride) in [([1, 3, 3], [1, 1]), ([1, 3, 3], [2, 2]), ([2, 1, 1], [1, 1])]
            {
                let mut case = Case::new(&mut random, isa, kernel, stride);
                let wide = (width - 1) * stride[1] + kernel[2] - case.shape.pad[1];
                case.output.width = width;
                case.input.width = wide;
                case.frames = vec![Some(random.values(case.input.len())); kernel[0]];
                case.check(isa, 0..case.output.height);
            }
        }
    }
}

/// Frames too large for one strip.
#[test]
fn strips_join_without_a_seam() {
    for isa in Isa::all() {
        let mut random = Random::new(9);
        let mut case = Case::new(&mut random, isa, [3, 3, 3], [1, 1]);
        case.shape.channels = 24;
        case.shape.pad = [1, 1];
        let border = Border { top: 1, left: 1, bottom: 1, right: 1 };
        case.input = Extent::new(isa, 40, 80, 24).with_border(border);
        case.output = Extent::new(isa, 40, 80, 24);
        assert!(strip(case.input.pitch(), case.shape) < 40);
        case.weights = random.values(24 * 27);
        case.bias = random.values(24);
        case.frames = (0..3).map(|_| Some(random.values(case.input.len()))).collect();
        case.check(isa, 0..40);
        case.check(isa, 7..39);
    }
}

#[test]
fn nan_reaches_every_pixel_that_sees_it_and_no_other() {
    for isa in Isa::all() {
        let shape = DepthwiseShape { channels: 5, kernel: [1, 3, 3], stride: [1, 1], pad: [1, 1] };
        let border = Border { top: 1, left: 1, bottom: 1, right: 1 };
        let input = Extent::new(isa, 9, 9, 5).with_border(border);
        let output = Extent::new(isa, 9, 9, 5);
        let mut frame = vec![0.0; input.len()];
        frame[input.at(4, 4) + 2] = f32::NAN;
        for after in ACTIVATIONS {
            let layer = Depthwise::new(isa, shape, &[0.5; 45], &[0.0; 5]);
            let mut out = vec![0.0; output.len()];
            layer.run(&[Some(&frame)], &input, &output, after, 0..9, &mut out);
            for row in 0..9_usize {
                for column in 0..9_usize {
                    for c in 0..5 {
                        let sees = row.abs_diff(4) <= 1 && column.abs_diff(4) <= 1 && c == 2;
                        assert_eq!(out[output.at(row, column) + c].is_nan(), sees, "{after:?}");
                    }
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "border too narrow below")]
fn taps_outside_of_the_frame_are_refused() {
    let isa = Isa::best();
    let shape = DepthwiseShape { channels: 1, kernel: [1, 3, 3], stride: [1, 1], pad: [0, 0] };
    let extent = Extent::new(isa, 4, 4, 1);
    let frame = vec![0.0; extent.len()];
    let mut out = vec![0.0; extent.len()];
    let layer = Depthwise::new(isa, shape, &[0.0; 9], &[0.0]);
    layer.run(&[Some(&frame)], &extent, &extent, Activation::None, 0..4, &mut out);
}

/// Whoever shares the rows out among threads or strips gets the same bytes.
#[test]
fn a_row_is_the_same_alone() {
    for isa in Isa::all() {
        let mut random = Random::new(19);
        for (kernel, stride) in [([3, 3, 3], [1, 1]), ([3, 3, 3], [2, 2]), ([5, 1, 1], [1, 1])] {
            for _ in 0..10 {
                let case = Case::new(&mut random, isa, kernel, stride);
                let Case { shape, input, output, after, .. } = &case;
                let taps: Vec<Option<&[f32]>> =
                    case.frames.iter().map(|frame| frame.as_deref()).collect();
                let layer = Depthwise::new(isa, *shape, &case.weights, &case.bias);
                let mut whole = vec![UNTOUCHED; output.len()];
                let mut rows = whole.clone();
                let all = 0..output.height;
                let out = &mut whole[output.rows(&all)];
                layer.run(&taps, input, output, *after, all.clone(), out);
                for row in all {
                    let out = &mut rows[output.rows(&(row..row + 1))];
                    layer.run(&taps, input, output, *after, row..row + 1, out);
                }
                let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&whole), bits(&rows), "{}: {shape:?}", isa.name());
            }
        }
    }
}
