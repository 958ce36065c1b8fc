//! Scaling one axis after the other with tables made once per geometry, so that
//! a frame costs multiplications and additions only.
//!
//! Pixel centres lie at half integers. Without antialiasing each output pixel
//! is a mix of its two nearest inputs, as `torch.nn.functional.interpolate(mode=
//! "bilinear", align_corners=False)` defines it; with it, the triangle widens
//! with the reduction, as `antialias=True` there and in torchvision, and as
//! Pillow's BILINEAR.

/// Which input pixels make each output pixel of one axis, and with what weight.
#[derive(Clone, Debug, Default)]
pub(super) struct Taps {
    /// Of each output pixel: its first input pixel, and where its weights end
    /// in `weights` (they begin where the last pixel's end).
    pixels: Vec<(usize, usize)>,
    weights: Vec<f32>,
    /// Most weights that any output pixel has.
    widest: usize,
    /// First input pixel that is needed, and the first after the last.
    needed: (usize, usize),
}

/// What [`Taps::fill`] makes a table for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// Input pixels.
    pub input: usize,
    /// Output pixels, were nothing cut off.
    pub full: usize,
    /// First output pixel that is kept, in upright order.
    pub from: usize,
    /// Output pixels that are kept.
    pub kept: usize,
    /// Whether upright order runs against the input's.
    pub reversed: bool,
    /// Whether the filter widens with the reduction.
    pub antialias: bool,
}

impl Taps {
    /// Makes the table anew for `axis`, reusing its memory.
    pub fn fill(&mut self, axis: Axis) {
        self.pixels.clear();
        self.weights.clear();
        self.widest = 0;
        self.needed = (axis.input, 0);
        let scale = axis.input as f64 / axis.full as f64;
        for kept in 0..axis.kept {
            let upright = axis.from + kept;
            let output = if axis.reversed { axis.full - 1 - upright } else { upright };
            let centre = (output as f64 + 0.5) * scale;
            let before = self.weights.len();
            let first = if axis.antialias {
                self.triangle(centre, scale.max(1.0), axis.input)
            } else {
                self.nearest_two(centre, axis.input)
            };
            let count = self.weights.len() - before;
            self.pixels.push((first, self.weights.len()));
            self.widest = self.widest.max(count);
            self.needed = (self.needed.0.min(first), self.needed.1.max(first + count));
        }
    }

    fn nearest_two(&mut self, centre: f64, input: usize) -> usize {
        let at = (centre - 0.5).max(0.0);
        let first = (at as usize).min(input - 1);
        let second = at - first as f64;
        if first + 1 < input && second > 0.0 {
            self.weights.extend([(1.0 - second) as f32, second as f32]);
        } else {
            self.weights.push(1.0);
        }
        first
    }

    fn triangle(&mut self, centre: f64, radius: f64, input: usize) -> usize {
        // Truncation after adding one half, on both ends: as torch does it.
        let first = ((centre - radius + 0.5).max(0.0) as usize).min(input - 1);
        let end = ((centre + radius + 0.5) as usize).clamp(first + 1, input);
        let weight = |pixel: usize| (1.0 - ((pixel as f64 + 0.5 - centre) / radius).abs()).max(0.0);
        let sum: f64 = (first..end).map(weight).sum();
        self.weights.extend((first..end).map(|pixel| (weight(pixel) / sum) as f32));
        first
    }

    /// Output pixels.
    fn len(&self) -> usize {
        self.pixels.len()
    }

    /// First input pixel and weights of each output pixel.
    fn iter(&self) -> impl Iterator<Item = (usize, &[f32])> {
        let mut begin = 0;
        self.pixels.iter().map(move |&(first, end)| {
            let weights = &self.weights[begin..end];
            begin = end;
            (first, weights)
        })
    }

    /// One or two weights of output pixel `index`: (first input pixel, second
    /// input pixel, weight of the first, weight of the second).
    fn pair(&self, index: usize) -> (usize, usize, f32, f32) {
        let begin = index.checked_sub(1).map_or(0, |before| self.pixels[before].1);
        let (first, end) = self.pixels[index];
        match self.weights[begin..end] {
            [one, two] => (first, first + 1, one, two),
            _ => (first, first, 1.0, 0.0),
        }
    }
}

/// Scales pictures of interleaved bytes to planes of f32, along both axes.
#[derive(Clone, Debug, Default)]
pub(super) struct Resampler {
    /// Along the input's columns and rows.
    columns: Taps,
    rows: Taps,
    /// One row mixed from the input's rows, interleaved and then plane by plane.
    mixed: Vec<f32>,
    planes: Vec<f32>,
}

impl Resampler {
    /// Makes the tables for another geometry.
    pub fn fill(&mut self, columns: Axis, rows: Axis, channels: usize) {
        self.columns.fill(columns);
        self.rows.fill(rows);
        let needed = (self.columns.needed.1 - self.columns.needed.0) * channels;
        self.mixed.resize(needed, 0.0);
        self.planes.resize(needed, 0.0);
    }

    /// Scales `data` (rows of `stride` bytes, `channels` bytes a pixel), and
    /// gives each value, 0 to 255, to `put(channel, row, column, value)`; row
    /// and column are output pixels along the input's own axes.
    pub fn run(
        &mut self,
        data: &[u8],
        stride: usize,
        channels: usize,
        put: impl FnMut(usize, usize, usize, f32),
    ) {
        if self.columns.widest <= 2 && self.rows.widest <= 2 {
            self.gather(data, stride, channels, put);
        } else {
            self.filter(data, stride, channels, put);
        }
    }

    /// Two taps along both axes: only four bytes of the input matter to an
    /// output value, however large the input.
    fn gather(
        &self,
        data: &[u8],
        stride: usize,
        channels: usize,
        mut put: impl FnMut(usize, usize, usize, f32),
    ) {
        for row in 0..self.rows.len() {
            let (top, bottom, upper, lower) = self.rows.pair(row);
            let top = &data[top * stride..][..stride];
            let bottom = &data[bottom * stride..][..stride];
            for column in 0..self.columns.len() {
                let (left, right, l, r) = self.columns.pair(column);
                let (left, right) = (left * channels, right * channels);
                for channel in 0..channels {
                    let mix = |bytes: &[u8]| {
                        l * f32::from(bytes[left + channel]) + r * f32::from(bytes[right + channel])
                    };
                    put(channel, row, column, upper * mix(top) + lower * mix(bottom));
                }
            }
        }
    }

    /// Any number of taps: rows are mixed first, whole rows at a time, which
    /// the compiler turns into SIMD; then each mixed row's columns.
    fn filter(
        &mut self,
        data: &[u8],
        stride: usize,
        channels: usize,
        mut put: impl FnMut(usize, usize, usize, f32),
    ) {
        let (begin, end) = self.columns.needed;
        let wide = end - begin;
        for (row, (first, weights)) in self.rows.iter().enumerate() {
            let source = |k: usize| &data[(first + k) * stride..][begin * channels..end * channels];
            mix_rows(weights, source, &mut self.mixed);
            let planes: &[f32] = if channels == 1 {
                &self.mixed
            } else {
                separate(&self.mixed, channels, &mut self.planes);
                &self.planes
            };
            for (channel, plane) in planes.chunks_exact(wide).enumerate() {
                for (column, (first, weights)) in self.columns.iter().enumerate() {
                    put(channel, row, column, dot(weights, &plane[first - begin..]));
                }
            }
        }
    }
}

/// Values of a row that are mixed together before the next ones are begun: few
/// enough that the sums stay in the fastest cache.
const TILE: usize = 1024;

/// Adds up rows of bytes by weight, four at a time so that the sums are read
/// and written a quarter as often.
fn mix_rows<'a>(weights: &[f32], source: impl Fn(usize) -> &'a [u8], mixed: &mut [f32]) {
    for (tile, sums) in mixed.chunks_mut(TILE).enumerate() {
        let count = sums.len();
        let row = |k: usize| &source(k)[tile * TILE..][..count];
        let mut k = 0;
        sums.fill(0.0);
        let mut fours = weights.chunks_exact(4);
        for w in &mut fours {
            let (a, b, c, d) = (row(k), row(k + 1), row(k + 2), row(k + 3));
            for ((((sum, &a), &b), &c), &d) in sums.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                *sum += (w[0] * f32::from(a) + w[1] * f32::from(b))
                    + (w[2] * f32::from(c) + w[3] * f32::from(d));
            }
            k += 4;
        }
        for &w in fours.remainder() {
            for (sum, &value) in sums.iter_mut().zip(row(k)) {
                *sum += w * f32::from(value);
            }
            k += 1;
        }
    }
}

/// Interleaved values to one plane after the other.
fn separate(interleaved: &[f32], channels: usize, planes: &mut [f32]) {
    let wide = interleaved.len() / channels;
    if channels == 3 {
        // The usual case, in a form whose bounds the compiler sees.
        let (red, rest) = planes.split_at_mut(wide);
        let (green, blue) = rest.split_at_mut(wide);
        let pixels = interleaved.as_chunks::<3>().0;
        for (((&[r, g, b], red), green), blue) in pixels.iter().zip(red).zip(green).zip(blue) {
            (*red, *green, *blue) = (r, g, b);
        }
        return;
    }
    for (channel, plane) in planes.chunks_exact_mut(wide).enumerate() {
        let values = interleaved.iter().skip(channel).step_by(channels);
        plane.iter_mut().zip(values).for_each(|(to, &value)| *to = value);
    }
}

/// Σ weights × values, in eight running sums so that additions need not wait
/// for one another.
fn dot(weights: &[f32], values: &[f32]) -> f32 {
    let values = &values[..weights.len()];
    let mut sums = [0.0f32; 8];
    let (w, v) = (weights.chunks_exact(8), values.chunks_exact(8));
    let rest: f32 = w.remainder().iter().zip(v.remainder()).map(|(w, v)| w * v).sum();
    for (w, v) in w.zip(v) {
        for ((sum, w), v) in sums.iter_mut().zip(w).zip(v) {
            *sum += w * v;
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taps(input: usize, full: usize, antialias: bool, reversed: bool) -> Vec<(usize, Vec<f32>)> {
        let mut taps = Taps::default();
        taps.fill(Axis { input, full, from: 0, kept: full, reversed, antialias });
        taps.iter().map(|(first, weights)| (first, weights.to_vec())).collect()
    }

    #[test]
    fn halving_without_antialias_takes_the_middle_two_of_each_pair() {
        assert_eq!(taps(4, 2, false, false), [(0, vec![0.5, 0.5]), (2, vec![0.5, 0.5])]);
    }

    #[test]
    fn halving_with_antialias_takes_a_triangle_of_four() {
        let taps = taps(8, 4, true, false);
        let (first, weights) = &taps[1];
        assert_eq!(*first, 1);
        for (weight, expected) in weights.iter().zip([0.125, 0.375, 0.375, 0.125]) {
            assert!((weight - expected).abs() < 1e-7, "{weights:?}");
        }
    }

    #[test]
    fn weights_sum_to_one_and_stay_inside() {
        for (input, full) in [(1, 1), (1, 9), (1080, 96), (7, 96), (97, 96), (3840, 1), (2, 5)] {
            for antialias in [false, true] {
                let taps = taps(input, full, antialias, false);
                assert_eq!(taps.len(), full);
                for (first, weights) in taps {
                    assert!(first + weights.len() <= input, "{input} to {full}");
                    assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{input} to {full}");
                }
            }
        }
    }

    #[test]
    fn a_reversed_axis_is_the_same_table_backwards() {
        let mut forward = taps(50, 7, true, false);
        forward.reverse();
        assert_eq!(taps(50, 7, true, true), forward);
    }

    #[test]
    fn gathering_and_filtering_agree() {
        // An enlargement has two taps with and without antialiasing, so both
        // paths can do it.
        let data: Vec<u8> = (0..5 * 4 * 3).map(|i| (i * 37 % 256) as u8).collect();
        let axis = |input, full| Axis {
            input,
            full,
            from: 1,
            kept: full - 2,
            reversed: false,
            antialias: true,
        };
        let mut resampler = Resampler::default();
        resampler.fill(axis(5, 13), axis(4, 11), 3);
        let (mut gathered, mut filtered) = (Vec::new(), vec![0.0; 3 * 9 * 11]);
        resampler.gather(&data, 15, 3, |c, y, x, v| gathered.push((c, y, x, v)));
        resampler.filter(&data, 15, 3, |c, y, x, v| filtered[(c * 9 + y) * 11 + x] = v);
        assert_eq!(gathered.len(), filtered.len());
        for (c, y, x, v) in gathered {
            assert!((filtered[(c * 9 + y) * 11 + x] - v).abs() < 1e-3);
        }
    }
}
