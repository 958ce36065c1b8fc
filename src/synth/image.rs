//! A picture in memory while it is being painted.

/// One colour: red, green, blue, each 0 (black) to 1 (white), display-referred.
pub type Rgb = [f32; 3];

/// `a` towards `b` by `t` in 0..1.
pub fn mix(a: Rgb, b: Rgb, t: f32) -> Rgb {
    [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t]
}

/// A colour times a factor.
pub fn scale(a: Rgb, by: f32) -> Rgb {
    [a[0] * by, a[1] * by, a[2] * by]
}

/// 0 below `low`, 1 above `high`, smooth between.
pub fn smoothstep(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// The pixel at a coordinate, held within 0..=`end`.
pub fn bound(coordinate: f32, end: usize) -> usize {
    (coordinate.max(0.0) as usize).min(end)
}

/// Rows top to bottom, `width × height` colours.
#[derive(Clone)]
pub struct Image {
    pub width: usize,
    pub height: usize,
    pub data: Vec<Rgb>,
}

impl Image {
    pub fn new(width: usize, height: usize) -> Self {
        Image { width, height, data: vec![[0.0; 3]; width * height] }
    }

    pub fn at(&mut self, x: usize, y: usize) -> &mut Rgb {
        &mut self.data[y * self.width + x]
    }

    /// Bilinear sample; coordinates wrap around both edges, so a camera can pan
    /// over it for ever.
    pub fn wrapped(&self, x: f32, y: f32) -> Rgb {
        let (fx, fy) = (x.floor(), y.floor());
        let (tx, ty) = (x - fx, y - fy);
        let x0 = (fx as i64).rem_euclid(self.width as i64) as usize;
        let y0 = (fy as i64).rem_euclid(self.height as i64) as usize;
        let x1 = if x0 + 1 == self.width { 0 } else { x0 + 1 };
        let y1 = if y0 + 1 == self.height { 0 } else { y0 + 1 };
        let (upper, lower) = (y0 * self.width, y1 * self.width);
        let top = mix(self.data[upper + x0], self.data[upper + x1], tx);
        let bottom = mix(self.data[lower + x0], self.data[lower + x1], tx);
        mix(top, bottom, ty)
    }

    /// Blurs with three box passes, close to a Gaussian of `sigma` pixels.
    /// `scratch` must be of the same size; it is overwritten.
    pub fn blur(&mut self, sigma: f32, scratch: &mut Image) {
        // Three boxes of radius r have the variance r(r+1), so r solves it for sigma².
        let radius = (((1.0 + 4.0 * sigma * sigma).sqrt() - 1.0) / 2.0).round() as usize;
        if radius == 0 {
            return;
        }
        for _ in 0..3 {
            box_rows(&self.data, &mut scratch.data, self.width, radius);
            box_columns(&scratch.data, &mut self.data, self.width, self.height, radius);
        }
    }
}

fn box_rows(from: &[Rgb], to: &mut [Rgb], width: usize, radius: usize) {
    for (source, target) in from.chunks_exact(width).zip(to.chunks_exact_mut(width)) {
        slide(width, radius, |i| source[i], |i, value| target[i] = value);
    }
}

fn box_columns(from: &[Rgb], to: &mut [Rgb], width: usize, height: usize, radius: usize) {
    for x in 0..width {
        slide(height, radius, |i| from[i * width + x], |i, value| to[i * width + x] = value);
    }
}

/// A running mean over `2 radius + 1` samples, the edges repeated.
fn slide(len: usize, radius: usize, get: impl Fn(usize) -> Rgb, mut put: impl FnMut(usize, Rgb)) {
    let weight = 1.0 / (2 * radius + 1) as f32;
    let clamped = |i: isize| get(i.clamp(0, len as isize - 1) as usize);
    let mut sum = [0.0f32; 3];
    for i in -(radius as isize)..=radius as isize {
        let value = clamped(i);
        sum = [sum[0] + value[0], sum[1] + value[1], sum[2] + value[2]];
    }
    for i in 0..len {
        put(i, scale(sum, weight));
        let (gone, come) =
            (clamped(i as isize - radius as isize), clamped(i as isize + radius as isize + 1));
        for c in 0..3 {
            sum[c] += come[c] - gone[c];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blur_keeps_the_mean_and_spreads_a_point() {
        let mut image = Image::new(41, 41);
        *image.at(20, 20) = [1.0; 3];
        let mut scratch = Image::new(41, 41);
        image.blur(3.0, &mut scratch);
        let sum: f32 = image.data.iter().map(|c| c[0]).sum();
        assert!((sum - 1.0).abs() < 1e-4, "sum {sum}");
        let variance: f32 =
            (0..41 * 41).map(|i| image.data[i][0] * ((i % 41) as f32 - 20.0).powi(2)).sum();
        assert!((variance.sqrt() - 3.0).abs() < 0.5, "sigma {}", variance.sqrt());
    }

    #[test]
    fn sampling_wraps_around_the_edges() {
        let mut image = Image::new(4, 4);
        *image.at(0, 0) = [1.0; 3];
        assert_eq!(image.wrapped(4.0, -4.0)[0], 1.0);
        assert_eq!(image.wrapped(3.5, 0.0)[0], 0.5);
    }
}
