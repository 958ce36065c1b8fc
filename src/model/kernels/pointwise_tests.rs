use super::*;
use crate::model::kernels::Border;
use crate::model::kernels::random::Random;

/// A value that nobody may write over.
const UNTOUCHED: f32 = 12345.0;

const ACTIVATIONS: [Activation; 9] = [
    Activation::None,
    Activation::Relu,
    Activation::Clip { low: -0.25, high: 0.25 },
    Activation::LeakyRelu(0.1),
    Activation::Sigmoid,
    Activation::Silu,
    Activation::Tanh,
    Activation::HardSigmoid { slope: 0.2, offset: 0.5 },
    Activation::HardSwish,
];

/// Two inputs and an output that are alike but for their borders.
struct Case {
    extents: [Extent; 3],
    frames: [Vec<f32>; 2],
    activation: Activation,
    rows: Range<usize>,
}

impl Case {
    fn new(random: &mut Random, isa: Isa) -> Self {
        let plain =
            Extent::new(isa, random.between(1, 7), random.between(1, 9), random.between(1, 90));
        let mut extent = || {
            let mut size = || random.between(0, 2);
            let border = Border { top: size(), left: size(), bottom: size(), right: size() };
            if random.between(0, 1) == 0 { plain } else { plain.with_border(border) }
        };
        let extents = [extent(), extent(), extent()];
        let frames = [random.values(extents[0].len()), random.values(extents[1].len())];
        let from = random.between(0, plain.height);
        let rows = from..random.between(from, plain.height);
        Case { extents, frames, activation: random.pick(&ACTIVATIONS), rows }
    }

    fn input(&self, which: usize) -> (&[f32], &Extent) {
        (&self.frames[which], &self.extents[which])
    }

    /// That `run` gives what `right` says for the row, column and channel.
    fn check(
        &self,
        isa: Isa,
        right: impl Fn(usize, usize, usize) -> f32,
        run: impl Fn(&Extent, Range<usize>, &mut [f32]),
    ) {
        let output = &self.extents[2];
        let mut out = vec![UNTOUCHED; output.rows(&self.rows).len()];
        run(output, self.rows.clone(), &mut out);
        let columns = output.border.left..output.border.left + output.width;
        for (at, value) in out.into_iter().enumerate() {
            let (place, c) = (at % output.pitch() / output.step, at % output.step);
            let row = self.rows.start + at / output.pitch();
            let right = match columns.contains(&place) {
                true if c >= output.channels => continue,
                true => self.activation.of(right(row, place - columns.start, c)),
                false => UNTOUCHED,
            };
            assert!(
                (value - right).abs() <= 2e-6 * right.abs().max(0.1),
                "{}: {:?} {:?} at {at}: {value}, not {right}",
                isa.name(),
                self.activation,
                self.extents,
            );
        }
    }
}

#[test]
fn every_pixel_is_the_sum_product_or_multiple() {
    for isa in Isa::all() {
        let mut random = Random::new(13);
        for _ in 0..500 {
            let case = Case::new(&mut random, isa);
            let (a, b) = (case.input(0), case.input(1));
            let value = |(frame, extent): (&[f32], &Extent), row, column, c| {
                frame[extent.at(row, column) + c]
            };
            case.check(
                isa,
                |row, column, c| value(a, row, column, c) + value(b, row, column, c),
                |output, rows, out| add(isa, a, b, case.activation, output, rows, out),
            );
            case.check(
                isa,
                |row, column, c| value(a, row, column, c) * value(b, row, column, c),
                |output, rows, out| multiply(isa, a, b, case.activation, output, rows, out),
            );
            let (scale, offset) = (random.values(a.1.step), random.values(a.1.step));
            case.check(
                isa,
                |row, column, c| value(a, row, column, c).mul_add(scale[c], offset[c]),
                |output, rows, out| {
                    scale_channels(isa, a, &scale, &offset, case.activation, output, rows, out);
                },
            );
        }
    }
}

#[test]
fn sums_are_added_to_what_is_there() {
    for isa in Isa::all() {
        let mut random = Random::new(17);
        for _ in 0..300 {
            let case = Case::new(&mut random, isa);
            let (frame, extent) = case.input(0);
            let start = random.values(extent.step);
            let mut sums = start.clone();
            channel_sums(isa, (frame, extent), &mut sums);
            for c in 0..extent.channels {
                let mut right = f64::from(start[c]);
                for row in 0..extent.height {
                    for column in 0..extent.width {
                        right += f64::from(frame[extent.at(row, column) + c]);
                    }
                }
                assert!((f64::from(sums[c]) - right).abs() <= 1e-5, "{}: {extent:?}", isa.name());
            }
        }
    }
}

#[test]
#[should_panic(expected = "input too short")]
fn frames_shorter_than_their_extent_are_refused() {
    let isa = Isa::best();
    let extent = Extent::new(isa, 4, 4, 8);
    let (frame, short) = (vec![0.0; extent.len()], vec![0.0; extent.len() - 1]);
    let mut out = vec![0.0; extent.len()];
    let (a, b) = ((&frame[..], &extent), (&short[..], &extent));
    add(isa, a, b, Activation::None, &extent, 0..1, &mut out);
}
