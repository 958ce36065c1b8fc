use super::*;
use crate::model::kernels::Border;
use crate::model::kernels::random::Random;

/// What `run` is to compute, straight from the definition.
fn plain(
    pool: &Pool,
    taps: &[Option<&[f32]>],
    (input, output): (&Extent, &Extent),
    rows: Range<usize>,
    out: &mut [f32],
) {
    let [kt, kh, kw] = pool.kernel;
    let origin = output.rows(&rows).start;
    let inside = |at: usize, tap: usize, pad: usize, size: usize| {
        (at + tap).checked_sub(pad).filter(|&at| at < size)
    };
    for row in rows {
        for column in 0..output.width {
            for c in 0..output.channels {
                let (mut sum, mut most, mut count) = (0.0f64, f32::NEG_INFINITY, 0usize);
                for frame in taps.iter().flatten() {
                    for y in 0..kh {
                        for x in 0..kw {
                            let y = inside(row * pool.stride[0], y, pool.pad[0], input.height);
                            let x = inside(column * pool.stride[1], x, pool.pad[1], input.width);
                            let (Some(y), Some(x)) = (y, x) else { continue };
                            let value = frame[input.at(y, x) + c];
                            (sum, count) = (sum + f64::from(value), count + 1);
                            if value > most || value.is_nan() {
                                most = value;
                            }
                        }
                    }
                }
                out[output.at(row, column) - origin + c] = match pool.kind {
                    PoolKind::Max => most,
                    PoolKind::Mean => (sum / count.max(1) as f64) as f32,
                    PoolKind::PaddedMean => (sum / (kt * kh * kw) as f64) as f32,
                };
            }
        }
    }
}

/// A value that nobody may write over.
const UNTOUCHED: f32 = 12345.0;

fn random_border(random: &mut Random) -> Border {
    let mut size = || random.between(0, 2);
    Border { top: size(), left: size(), bottom: size(), right: size() }
}

#[test]
fn every_pool_agrees_with_its_definition() {
    for isa in Isa::all() {
        let mut random = Random::new(11);
        for round in 0..600 {
            let kernel = [random.between(1, 3), random.between(1, 5), random.between(1, 5)];
            let pool = Pool {
                kind: random.pick(&[PoolKind::Max, PoolKind::Mean, PoolKind::PaddedMean]),
                kernel,
                stride: [random.between(1, 3), random.between(1, 3)],
                pad: [random.between(0, kernel[1] - 1), random.between(0, kernel[2] - 1)],
            };
            let channels = random.between(1, 90);
            let (height, width) = (random.between(1, 7), random.between(1, 9));
            let input =
                Extent::new(isa, height, width, channels).with_border(random_border(&mut random));
            // One pixel more than has taps in the frame, as with `ceil_mode`.
            let count = |size: usize, axis: usize| {
                (size + 2 * pool.pad[axis]).saturating_sub(kernel[axis + 1]) / pool.stride[axis] + 2
            };
            let output = Extent::new(isa, count(height, 0), count(width, 1), channels)
                .with_border(random_border(&mut random));
            let nan = round % 4 == 0;
            let frames: Vec<Option<Vec<f32>>> = (0..kernel[0])
                .map(|_| {
                    let mut frame = random.values(input.len());
                    // What lies in the border is no tap.
                    frame[0] = if input.border.top > 0 { f32::NAN } else { 0.0 };
                    if nan {
                        let at =
                            input.at(random.between(0, height - 1), random.between(0, width - 1));
                        frame[at + random.between(0, channels - 1)] = f32::NAN;
                    }
                    (random.between(0, 4) > 0).then_some(frame)
                })
                .collect();
            let taps: Vec<Option<&[f32]>> = frames.iter().map(|frame| frame.as_deref()).collect();
            let from = random.between(0, output.height);
            let rows = from..random.between(from, output.height);
            let mut right = vec![UNTOUCHED; output.rows(&rows).len()];
            let mut out = right.clone();
            plain(&pool, &taps, (&input, &output), rows.clone(), &mut right);
            pool.run(isa, &taps, &input, &output, rows.clone(), &mut out);
            for (at, (&value, &right)) in out.iter().zip(&right).enumerate() {
                let place = at % output.pitch() / output.step;
                let inside =
                    (output.border.left..output.border.left + output.width).contains(&place);
                if inside && at % output.step >= channels {
                    continue;
                }
                assert!(
                    value == right
                        || (value - right).abs() <= 1e-5
                        || value.is_nan() && right.is_nan(),
                    "{}: {pool:?} {input:?} {output:?} {rows:?} at {at}: {value}, not {right}",
                    isa.name(),
                );
            }
        }
    }
}

#[test]
fn nan_is_the_largest_wherever_it_stands() {
    for isa in Isa::all() {
        let extent = Extent::new(isa, 1, 5, 1);
        let pool = Pool { kind: PoolKind::Max, kernel: [1, 1, 5], stride: [1, 1], pad: [0, 0] };
        for place in 0..5 {
            let mut frame = vec![0.0; extent.len()];
            for column in 0..5 {
                frame[extent.at(0, column)] = column as f32;
            }
            frame[extent.at(0, place)] = f32::NAN;
            let output = Extent::new(isa, 1, 1, 1);
            let mut out = vec![0.0; output.len()];
            pool.run(isa, &[Some(&frame)], &extent, &output, 0..1, &mut out);
            assert!(out[0].is_nan(), "{}: at {place}", isa.name());
        }
    }
}
