//! The convolution written plainly, and the fast one held against it.

use std::ops::Range;

use super::weights::{int8, int8_scale, narrow};
use super::*;
use crate::model::kernels::Border;
use crate::model::kernels::random::Random;
use crate::model::kernels::vector::widen;

/// [`Dense::run`] with weights and bias as the network has them.
fn plain(
    shape: &DenseShape,
    weights: &[f32],
    bias: &[f32],
    task: &DenseTask,
    rows: Range<usize>,
    out: &mut [f32],
) {
    let [kt, kh, kw] = shape.kernel;
    let (input, output) = (&task.input, &task.output);
    let origin = output.rows(&rows).start;
    for row in rows {
        for column in 0..output.width {
            for o in 0..shape.outputs {
                let mut sum = f64::from(bias[o]);
                for (t, frame) in task.taps.iter().enumerate() {
                    let Some(frame) = frame else { continue };
                    for y in 0..kh {
                        for x in 0..kw {
                            let down = input.border.top + row * shape.stride[0] + y - shape.pad[0];
                            let across =
                                input.border.left + column * shape.stride[1] + x - shape.pad[1];
                            let at = down * input.pitch() + across * input.step;
                            for i in 0..shape.inputs {
                                let mut value = frame[at + i];
                                if let Some((scale, activation)) = task.before {
                                    value = activation.of(value * scale[i]);
                                }
                                let w = (((o * shape.inputs + i) * kt + t) * kh + y) * kw + x;
                                sum += f64::from(value) * f64::from(weights[w]);
                            }
                        }
                    }
                }
                if let Some((residual, extent)) = task.residual {
                    sum += f64::from(residual[extent.at(row, column) + o]);
                }
                out[output.at(row, column) - origin + o] = task.after.of(sum as f32);
            }
        }
    }
}

fn border(random: &mut Random) -> Border {
    let [top, left, bottom, right] = [0; 4].map(|_| random.between(0, 2));
    Border { top, left, bottom, right }
}

/// A convolution with everything that a run of it reads.
struct Case {
    isa: Isa,
    shape: DenseShape,
    precision: Precision,
    weights: Vec<f32>,
    bias: Vec<f32>,
    input: Extent,
    taps: Vec<Option<Vec<f32>>>,
    before: Option<(Vec<f32>, Activation)>,
    output: Extent,
    residual: Option<(Vec<f32>, Extent)>,
    after: Activation,
}

const ACTIVATIONS: [Activation; 5] = [
    Activation::None,
    Activation::Relu,
    Activation::Silu,
    Activation::Clip { low: 0.0, high: 6.0 },
    Activation::HardSwish,
];

impl Case {
    fn random(random: &mut Random, isa: Isa, precision: Precision) -> Case {
        let pointwise = random.between(0, 1) == 0;
        let kernel = if pointwise {
            [random.pick(&[1, 1, 2, 3]), 1, 1]
        } else {
            // Of the large ones more taps than a part has runs.
            let space = &[1, 2, 3, 3, 9];
            [random.pick(&[1, 1, 2, 3]), random.pick(space), random.pick(space)]
        };
        let stride = [random.pick(&[1, 1, 2, 3]), random.pick(&[1, 1, 2, 3])];
        let pad = [random.between(0, kernel[1] - 1), random.between(0, kernel[2] - 1)];
        let channels = |random: &mut Random| match random.between(0, 2) {
            0 => random.between(1, 5),
            1 => random.between(1, 39),
            _ => random.between(1, 149),
        };
        let shape =
            DenseShape { inputs: channels(random), outputs: channels(random), kernel, stride, pad };
        let (height, width) = match random.between(0, 3) {
            0 => (1, 1),
            1 => (random.between(1, 3), random.between(1, 3)),
            _ => (random.between(1, 14), random.between(1, 24)),
        };
        Case::of(random, isa, precision, shape, [height, width])
    }

    fn of(
        random: &mut Random,
        isa: Isa,
        precision: Precision,
        shape: DenseShape,
        [height, width]: [usize; 2],
    ) -> Case {
        // The taps reach this far; the border takes what of it is outside.
        let reach = |size: usize, stride: usize, taps: usize| (size - 1) * stride + taps;
        let [down, across] = [
            reach(height, shape.stride[0], shape.kernel[1]),
            reach(width, shape.stride[1], shape.kernel[2]),
        ];
        let spare = border(random);
        let bottom = random.between(0, (down - shape.pad[0]).min(3) - 1);
        let right = random.between(0, (across - shape.pad[1]).min(3) - 1);
        let mut input = Extent::new(
            isa,
            down - shape.pad[0] - bottom,
            across - shape.pad[1] - right,
            shape.inputs,
        );
        input.border = Border {
            top: shape.pad[0] + spare.top,
            left: shape.pad[1] + spare.left,
            bottom: bottom + spare.bottom,
            right: right + spare.right,
        };
        let simple = shape.kernel == [1; 3] && shape.stride == [1; 2];
        let before = (simple && random.between(0, 1) == 0)
            .then(|| (random.values(input.step), random.pick(&ACTIVATIONS)));
        if before.is_none() && random.between(0, 2) == 0 {
            input.step = input.channels;
        }
        let output = Extent::new(isa, height, width, shape.outputs).with_border(border(random));
        let taps = (0..shape.kernel[0])
            .map(|_| (random.between(0, 4) > 0).then(|| random.values(input.len())))
            .collect();
        let residual = (random.between(0, 1) == 0).then(|| {
            let extent = output.with_border(border(random));
            (random.values(extent.len()), extent)
        });
        let each = shape.inputs * shape.kernel.iter().product::<usize>();
        Case {
            isa,
            shape,
            precision,
            weights: random.values(shape.outputs * each),
            bias: random.values(shape.outputs),
            input,
            taps,
            before,
            output,
            residual,
            after: random.pick(&ACTIVATIONS),
        }
    }

    fn dense(&self) -> Dense {
        Dense::new(self.isa, self.shape, self.precision, &self.weights, &self.bias)
    }

    fn with_task<T>(&self, then: impl FnOnce(&DenseTask) -> T) -> T {
        let taps: Vec<_> = self.taps.iter().map(Option::as_deref).collect();
        then(&DenseTask {
            taps: &taps,
            input: self.input,
            before: self.before.as_ref().map(|(scale, activation)| (&scale[..], *activation)),
            output: self.output,
            residual: self.residual.as_ref().map(|(frame, extent)| (&frame[..], *extent)),
            after: self.after,
        })
    }

    fn fast(&self, dense: &Dense, rows: Range<usize>, out: &mut [f32], scratch: &mut Buffer) {
        self.with_task(|task| dense.run(task, rows, out, scratch));
    }

    /// What the plain loop gives for weights rounded as the fast one holds them.
    fn expected(&self, rows: Range<usize>, out: &mut [f32]) {
        let each = self.weights.len() / self.shape.outputs;
        let rounded: Vec<f32> = match self.precision {
            Precision::F32 => self.weights.clone(),
            Precision::F16 => self.weights.iter().map(|&weight| widen(narrow(weight))).collect(),
            Precision::Int8 => self
                .weights
                .chunks(each)
                .flat_map(|weights| {
                    let scale = int8_scale(weights);
                    weights.iter().map(move |&weight| f32::from(int8(weight, scale)) * scale)
                })
                .collect(),
        };
        self.with_task(|task| plain(&self.shape, &rounded, &self.bias, task, rows, out));
    }

    /// Sees that `fast` is `plain` in every channel, and untouched outside of pixels.
    fn compare(&self, rows: Range<usize>, fast: &[f32], plain: &[f32], untouched: f32) {
        let taps: usize = self.shape.kernel.iter().product();
        // Each product and each sum is rounded once, all are at most 1 in size.
        let tolerance = 2e-6 + (self.shape.inputs * taps) as f32 * 1e-7;
        let (output, origin) = (&self.output, self.output.rows(&rows).start);
        let mut inside = vec![false; fast.len()];
        for row in rows.clone() {
            for column in 0..output.width {
                let at = output.at(row, column) - origin;
                inside[at..at + output.step].fill(true);
                for c in at..at + output.channels {
                    assert!(
                        (fast[c] - plain[c]).abs() <= tolerance * plain[c].abs().max(1.0),
                        "{} against {} at row {row} column {column} channel {}, {} {:?} {:?} {:?}",
                        fast[c],
                        plain[c],
                        c - at,
                        self.isa.name(),
                        self.precision,
                        self.shape,
                        self.after,
                    );
                }
                assert!(fast[at..at + output.step].iter().all(|value| value.is_finite()));
            }
        }
        for (value, inside) in fast.iter().zip(inside) {
            assert!(inside || *value == untouched, "written outside of the pixels");
        }
    }
}

#[test]
fn gives_what_the_plain_loop_gives() {
    let random = &mut Random::new(5);
    let mut scratch = Buffer::default();
    for isa in Isa::all() {
        for precision in [Precision::F32, Precision::F16, Precision::Int8] {
            for _ in 0..150 {
                let case = Case::random(random, isa, precision);
                let first = random.between(0, case.output.height - 1);
                let rows = first..random.between(first, case.output.height - 1) + 1;
                let len = case.output.rows(&rows).len();
                let (mut fast, mut plain) = (vec![7.5; len], vec![7.5; len]);
                case.fast(&case.dense(), rows.clone(), &mut fast, &mut scratch);
                case.expected(rows.clone(), &mut plain);
                case.compare(rows, &fast, &plain, 7.5);
            }
        }
    }
}

/// Every kernel: as many pixels as any tile has, and more than a group.
#[test]
fn any_number_of_pixels_and_outputs() {
    let random = &mut Random::new(6);
    let mut scratch = Buffer::default();
    for isa in Isa::all() {
        for vectors in 1..=5 {
            for pixels in (1..=30).chain([GROUP - 1, GROUP, GROUP + 1, 2 * GROUP + 25]) {
                let shape = DenseShape {
                    inputs: 7,
                    outputs: vectors * isa.lanes() - 1,
                    kernel: [1; 3],
                    stride: [1; 2],
                    pad: [0; 2],
                };
                let case = Case::of(random, isa, Precision::F32, shape, [1, pixels]);
                let len = case.output.rows(&(0..1)).len();
                let (mut fast, mut plain) = (vec![7.5; len], vec![7.5; len]);
                case.fast(&case.dense(), 0..1, &mut fast, &mut scratch);
                case.expected(0..1, &mut plain);
                case.compare(0..1, &fast, &plain, 7.5);
            }
        }
    }
}

#[test]
fn a_row_is_the_same_alone() {
    let random = &mut Random::new(7);
    let mut scratch = Buffer::default();
    for isa in Isa::all() {
        for _ in 0..50 {
            let case = Case::random(random, isa, Precision::F32);
            let (dense, output) = (case.dense(), &case.output);
            let mut whole = vec![0.0; output.rows(&(0..output.height)).len()];
            case.fast(&dense, 0..output.height, &mut whole, &mut scratch);
            for (row, whole) in whole.chunks(output.pitch()).enumerate() {
                let mut alone = vec![0.0; output.pitch()];
                case.fast(&dense, row..row + 1, &mut alone, &mut scratch);
                assert_eq!(alone, whole, "{} {:?}", isa.name(), case.shape);
            }
        }
    }
}

#[test]
fn not_a_number_stays_one() {
    let random = &mut Random::new(8);
    for isa in Isa::all() {
        for after in ACTIVATIONS {
            let shape =
                DenseShape { inputs: 20, outputs: 20, kernel: [1; 3], stride: [1; 2], pad: [0; 2] };
            let mut case = Case::of(random, isa, Precision::F32, shape, [2, 3]);
            case.after = after;
            case.taps = vec![Some(vec![0.25; case.input.len()])];
            let at = case.input.at(1, 2) + 17;
            case.taps.iter_mut().flatten().for_each(|frame| frame[at] = f32::NAN);
            let mut out = vec![0.0; case.output.rows(&(0..2)).len()];
            case.fast(&case.dense(), 0..2, &mut out, &mut Buffer::default());
            let origin = case.output.rows(&(0..2)).start;
            let at = case.output.at(1, 2) - origin;
            assert!(out[at..at + 20].iter().all(|value| value.is_nan()), "{after:?}");
            let at = case.output.at(1, 1) - origin;
            assert!(out[at..at + 20].iter().all(|value| value.is_finite()), "{after:?}");
        }
    }
}

/// Golden: numpy's `float16`, rounded from these.
#[test]
fn half_precision_rounds_to_the_nearest() {
    let expected = [
        (1.0, 0x3c00),
        (-2.0, 0xc000),
        (0.1, 0x2e66),
        (1.0 / 3.0, 0x3555),
        (65504.0, 0x7bff),
        (1e9, 0x7bff),
        (1.0004883, 0x3c00),
        (1.0014648, 0x3c02),
        (6.1e-5, 0x03ff),
        (6.104e-5, 0x0400),
        (6e-8, 0x0001),
        (1e-9, 0x0000),
        (-1e-5, 0x80a8),
        (1023.7, 0x63ff),
        (1023.8, 0x6400),
    ];
    for (value, half) in expected {
        assert_eq!(narrow(value), half, "{value}");
    }
    for half in (0..0x7c00).chain(0x8000..0xfc00) {
        assert_eq!(narrow(widen(half)), half);
    }
}

#[test]
fn eight_bits_reach_the_largest_weight() {
    let weights = [0.02, -1.27, 0.634, -0.006, 0.0];
    let scale = int8_scale(&weights);
    assert_eq!(weights.map(|weight| int8(weight, scale)), [2, -127, 63, -1, 0]);
    assert_eq!(int8(0.0, int8_scale(&[0.0; 3])), 0);
}

#[test]
fn fewer_bits_take_less_room() {
    let shape =
        DenseShape { inputs: 64, outputs: 64, kernel: [1, 3, 3], stride: [1; 2], pad: [1; 2] };
    let weights = vec![0.5; 64 * 64 * 9];
    for isa in Isa::all() {
        let bytes = |precision| Dense::new(isa, shape, precision, &weights, &[0.0; 64]).bytes();
        assert_eq!(bytes(Precision::F32), 64 * 64 * 9 * 4 + 64 * 4);
        assert_eq!(bytes(Precision::F16), 64 * 64 * 9 * 2 + 64 * 4);
        assert_eq!(bytes(Precision::Int8), 64 * 64 * 9 + 2 * 64 * 4);
    }
}

#[test]
fn a_frame_too_short_is_refused() {
    let random = &mut Random::new(9);
    for _ in 0..20 {
        let mut case = Case::random(random, Isa::best(), Precision::F32);
        case.taps = vec![Some(vec![0.0; case.input.len() - 1]); case.shape.kernel[0]];
        let mut out = vec![0.0; case.output.len()];
        let dense = case.dense();
        let rows = 0..case.output.height;
        let run = || case.fast(&dense, rows, &mut out, &mut Buffer::default());
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
    }
}
