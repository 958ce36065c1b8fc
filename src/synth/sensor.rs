//! The camera behind the lens: vignette, tone, exposure drift, night, noise,
//! and the clock it prints into the picture.

use super::actor::Wobble;
use super::image::{Image, Rgb, scale};
use super::rng::Rng;

/// Normal deviates drawn once; each frame reads them from another place.
const DEVIATES: usize = 1 << 16;

pub struct Sensor {
    night: Option<Night>,
    contrast: f32,
    black: f32,
    /// Mean brightness that exposure control aims at.
    target: f32,
    gain: f32,
    gamma: f32,
    saturation: f32,
    vignette: f32,
    drift: (Wobble, f32),
    noise: f32,
    /// Share of the noise that neighbouring pixels have in common.
    grain: f32,
    clock: Option<Clock>,
    deviates: Vec<f32>,
}

struct Night {
    dim: f32,
    /// Strength of the infra-red lamp's hot spot.
    spot: f32,
}

struct Clock {
    top: bool,
    left: bool,
    /// Side of a font pixel as a share of the view's height.
    dot: f32,
    glyphs: [u16; 10],
    white: bool,
}

impl Sensor {
    pub fn new(rng: &mut Rng, night: bool) -> Self {
        Sensor {
            night: night.then(|| Night { dim: rng.range(0.35, 0.9), spot: rng.range(0.0, 1.5) }),
            contrast: rng.range(0.6, 1.15),
            black: rng.range(0.0, 0.12),
            target: rng.range(0.22, 0.55),
            gain: 1.0,
            gamma: rng.range(0.8, 1.25),
            saturation: if rng.chance(0.2) { 0.0 } else { rng.range(0.5, 1.2) },
            vignette: if rng.chance(0.5) { 0.0 } else { rng.range(0.05, 0.5) },
            drift: (Wobble::new(rng, 0.01, 0.08), rng.range(0.0, 0.05)),
            noise: if night { rng.log_range(0.008, 0.05) } else { rng.log_range(0.002, 0.03) },
            grain: rng.range(0.0, 0.6),
            clock: rng.chance(0.5).then(|| Clock {
                top: rng.chance(0.6),
                left: rng.chance(0.5),
                dot: rng.range(0.006, 0.011),
                glyphs: std::array::from_fn(|_| (rng.bits() & 0x7fff) as u16 | 0x0401),
                white: rng.chance(0.8),
            }),
            deviates: (0..DEVIATES).map(|_| rng.normal()).collect(),
        }
    }

    /// Sets exposure, contrast and noise reduction for the scene in `view`, as
    /// every camera does: without the first a bright wall would be a white
    /// picture and a dark one a black one, without the others there would be
    /// nights of which nothing but noise is left.
    pub fn meter(&mut self, view: &Image) {
        let count = view.data.len().max(1) as f32;
        let mean = view.data.iter().map(|colour| luma(*colour)).sum::<f32>() / count;
        self.gain = (self.target / mean.max(0.01)).clamp(0.4, 4.0);
        let square = |colour: &Rgb| (luma(*colour) - mean).powi(2);
        let spread = (view.data.iter().map(square).sum::<f32>() / count).sqrt()
            * self.gain
            * self.night.as_ref().map_or(1.0, |night| night.dim);
        self.contrast = self.contrast.max(0.05 / spread.max(0.02)).min(2.5);
        self.noise = self.noise.min(0.4 * spread * self.contrast);
    }

    /// Develops `image` in place: tone, then noise. `shot` picks the noise.
    pub fn expose(&self, image: &mut Image, time: f32, shot: u32) {
        let (width, height) = (image.width, image.height);
        let exposure = self.gain * (1.0 + self.drift.1 * self.drift.0.at(time));
        let mut place = (shot.wrapping_mul(2_654_435_761) >> 16) as usize;
        for y in 0..height {
            let v = (y as f32 / height as f32) * 2.0 - 1.0;
            let mut before = 0.0;
            // Rows start anywhere in the table, so no pattern repeats down the picture.
            place = place.wrapping_mul(31).wrapping_add(17 + y) % DEVIATES;
            for x in 0..width {
                let u = (x as f32 / width as f32) * 2.0 - 1.0;
                let r2 = u * u + v * v;
                let mut factor = exposure * (1.0 - self.vignette * 0.5 * r2);
                let pixel = &mut image.data[y * width + x];
                let mut colour = *pixel;
                if let Some(night) = &self.night {
                    factor *= night.dim * (1.0 + night.spot * (-1.5 * r2).exp());
                    colour = [luma(colour); 3];
                } else if self.saturation < 1.0 {
                    let grey = luma(colour);
                    colour = colour.map(|c| grey + (c - grey) * self.saturation);
                }
                let toned = scale(colour, factor).map(|c| {
                    let c = c.clamp(0.0, 1.5);
                    let c = if self.gamma == 1.0 { c } else { fast_power(c, self.gamma) };
                    self.black + c * self.contrast * (1.0 - self.black)
                });
                place = (place + 1) & (DEVIATES - 1);
                let deviate = self.deviates[place];
                let noise = self.noise * (deviate + self.grain * before);
                before = deviate;
                *pixel = toned.map(|c| c + noise);
            }
        }
        if let Some(clock) = &self.clock {
            clock.draw(image, time);
        }
    }
}

impl Clock {
    fn draw(&self, image: &mut Image, time: f32) {
        let dot = (self.dot * image.height as f32).max(1.0);
        let digits = 12;
        let (margin, advance) = (dot * 3.0, dot * 4.0);
        let left =
            if self.left { margin } else { image.width as f32 - margin - advance * digits as f32 };
        let top = if self.top { margin } else { image.height as f32 - margin - dot * 5.0 };
        let seconds = time as usize;
        for i in 0..digits {
            // The last two are seconds, the two before minutes; the date stands.
            let digit = match digits - i {
                1 => seconds % 10,
                2 => seconds / 10 % 6,
                3 => seconds / 60 % 10,
                _ => (i * 7) % 10,
            };
            let glyph = self.glyphs[digit];
            for bit in (0..15).filter(|bit| glyph >> bit & 1 == 1) {
                let x = left + i as f32 * advance + (bit % 3) as f32 * dot;
                let y = top + (bit / 3) as f32 * dot;
                let colour = if self.white { [0.95; 3] } else { [0.05; 3] };
                for py in y.max(0.0) as usize..((y + dot) as usize).min(image.height) {
                    for px in x.max(0.0) as usize..((x + dot) as usize).min(image.width) {
                        *image.at(px, py) = colour;
                    }
                }
            }
        }
    }
}

/// BT.601 luma.
pub fn luma(c: Rgb) -> f32 {
    0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2]
}

/// x^p for p near 1, to within 0.02: a quadratic through 0, 1 and the true
/// value at 1/4. A tone curve needs no more, and this runs on every pixel.
fn fast_power(x: f32, p: f32) -> f32 {
    let quarter = 0.25f32.powf(p);
    let bend = (0.25 - quarter) / 0.1875;
    (x + bend * (x * x - x)).max(0.0)
}
