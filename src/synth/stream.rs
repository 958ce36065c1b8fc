//! One synthetic stream, frame by frame.

use super::actor::{Actor, Wobble};
use super::fault::{Cover, Fault, Light};
use super::image::{Image, bound, mix, scale, smoothstep};
use super::options::Options;
use super::rng::Rng;
use super::scene::Scene;
use super::script::{self, Segment};
use super::sensor::{Sensor, luma};
use super::{LABELS, Span};
use crate::error::Result;

/// A stream being rendered: a scene, its script, a camera.
pub struct Stream {
    options: Options,
    scene: Scene,
    segments: Vec<Segment>,
    bystanders: Vec<Actor>,
    /// Where the camera looks at the start of each segment (view heights), and
    /// the level of the light there.
    bases: Vec<((f32, f32), f32)>,
    spans: Vec<Span>,
    sensor: Sensor,
    /// A mount that is never quite still: amplitude in view heights.
    tremble: (Wobble, Wobble, f32),
    leaves: Vec<Leaves>,
    screen: Option<(Wobble, [f32; 4])>,
    /// How strongly the exposure answers to a bright or dark subject.
    metering: f32,
    shutter: f32,
    image: Image,
    scratch: Image,
    next: u64,
}

/// Foliage that moves in the wind: centre and radius in view heights.
struct Leaves {
    centre: (f32, f32),
    radius: f32,
    amplitude: f32,
    wind: Wobble,
}

impl Stream {
    /// # Errors
    /// Options out of range.
    pub fn new(options: &Options) -> Result<Self> {
        options.check()?;
        let (width, height) = (options.width, options.height);
        let aspect = width as f32 / height as f32;
        let mut rng = Rng::new(options.seed, 1);
        let scene = Scene::new(&mut rng, width, height);
        let mut rng = Rng::new(options.seed, 2);
        let night = rng.chance(0.25);
        let segments =
            script::write(&mut rng, options.seconds as f32, aspect, scene.horizon, night);
        let mut rng = Rng::new(options.seed, 4);
        let bystanders = script::bystanders(&mut rng, options.seconds as f32, scene.horizon, night);
        let spans = script::spans(&segments, options.seconds, aspect);
        let mut rng = Rng::new(options.seed, 3);
        let mut sensor = Sensor::new(&mut rng, night);
        let tremble = if rng.chance(0.5) { 0.0 } else { rng.log_range(0.0002, 0.0016) };
        let leaves = (0..rng.pick(&[0, 0, 0, 1, 2]))
            .map(|_| Leaves {
                centre: (rng.range(0.0, aspect), rng.range(0.0, 0.8)),
                radius: rng.range(0.08, 0.35),
                amplitude: rng.log_range(0.002, 0.015),
                wind: Wobble::new(&mut rng, 0.3, 2.0),
            })
            .collect();
        let screen = rng.chance(0.15).then(|| {
            let (x, y) = (rng.range(0.0, aspect), rng.range(0.1, 0.8));
            (
                Wobble::new(&mut rng, 0.5, 3.0),
                [x, y, x + rng.range(0.04, 0.16), y + rng.range(0.03, 0.1)],
            )
        });
        let mut bases = vec![];
        let (mut at, mut light) = ((0.3 * aspect, 0.25), 1.0);
        for segment in &segments {
            bases.push((at, light));
            match &segment.fault {
                Some(Fault::Pan(pan)) => {
                    let (dx, dy) = pan.offset(segment.end);
                    at = (at.0 + dx, at.1 + dy);
                }
                Some(Fault::Light(change)) => light *= change.settled(),
                _ => {}
            }
        }
        let mut image = Image::new(width, height);
        let camera = Camera { origin: bases[0].0, roll: 0.0, smear: (0.0, 0.0) };
        camera.see(&scene, &[], &None, 0.0, &mut image);
        sensor.meter(&image);
        Ok(Stream {
            options: options.clone(),
            scene,
            segments,
            bystanders,
            bases,
            spans,
            sensor,
            tremble: (Wobble::new(&mut rng, 0.5, 8.0), Wobble::new(&mut rng, 0.5, 8.0), tremble),
            leaves,
            screen,
            metering: if rng.chance(0.3) { 0.0 } else { rng.range(0.5, 12.0) },
            shutter: rng.range(0.002, 0.03),
            image,
            scratch: Image::new(width, height),
            next: 0,
        })
    }

    /// What this stream was made from.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What happens when; spans follow each other without gaps from 0 to the end.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Index into [`LABELS`] of what happens at `time` seconds.
    pub fn label_at(&self, time: f64) -> usize {
        let label =
            self.spans.iter().find(|span| time < span.end).map_or(LABELS[0], |span| span.label);
        LABELS.iter().position(|other| *other == label).unwrap_or(0)
    }

    /// Fills `rgb` (width × height × 3 bytes) with the next frame; false at the
    /// end.
    pub fn next_frame(&mut self, rgb: &mut [u8]) -> bool {
        if self.next >= self.options.frames() {
            return false;
        }
        self.render(self.next as f64 / self.options.fps);
        self.next += 1;
        for (pixel, bytes) in self.image.data.iter().zip(rgb.chunks_exact_mut(3)) {
            for (value, byte) in pixel.iter().zip(bytes) {
                *byte = (value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
            }
        }
        true
    }

    /// Fills `luma` (width × height bytes, full range) with the frame at `time`
    /// seconds.
    pub fn luma_at(&mut self, time: f64, out: &mut [u8]) {
        self.render(time);
        for (pixel, byte) in self.image.data.iter().zip(out) {
            *byte = (luma(*pixel).clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
        }
    }

    fn render(&mut self, time: f64) {
        let shot = (time * 1000.0).round() as u32;
        let time = time as f32;
        let index = self
            .segments
            .iter()
            .position(|s| time < s.end)
            .unwrap_or(self.segments.len().saturating_sub(1));
        let Some(segment) = self.segments.get(index) else { return };
        let (base, light_base) = self.bases[index];
        let (mut moved, mut roll, mut smear) = ((0.0, 0.0), 0.0, (0.0, 0.0));
        match &segment.fault {
            Some(Fault::Pan(pan)) => {
                moved = pan.offset(time);
                smear = pan.smear(time, self.shutter);
            }
            Some(Fault::Shake(shake)) => {
                let (x, y, turn) = shake.at(time);
                let (x1, y1, _) = shake.at(time + self.shutter);
                (moved, roll, smear) = ((x, y), turn, (x1 - x, y1 - y));
            }
            _ => {}
        }
        moved.0 += self.tremble.2 * self.tremble.0.at(time);
        moved.1 += self.tremble.2 * self.tremble.1.at(time);
        let camera = Camera { origin: (base.0 + moved.0, base.1 + moved.1), roll, smear };
        camera.see(&self.scene, &self.leaves, &self.screen, time, &mut self.image);

        let (width, height) = (self.image.width as f32, self.image.height as f32);
        let unit = height;
        let world = (self.scene.image.width as f32, self.scene.image.height as f32);
        // An occluder may lie in this repeat of the world or the next.
        let occluders: Vec<[f32; 4]> = self
            .scene
            .occluders
            .iter()
            .map(|[x0, y0, x1, y1]| {
                let left = (x0 - camera.origin.0 * unit + world.0 / 4.0).rem_euclid(world.0)
                    - world.0 / 4.0;
                let top = (y0 - camera.origin.1 * unit + world.1 / 3.0).rem_euclid(world.1)
                    - world.1 / 3.0;
                [left, top, left + x1 - x0, top + y1 - y0]
            })
            .collect();
        let hidden = |x: usize, y: usize| {
            let (x, y) = (x as f32, y as f32);
            occluders.iter().any(|[x0, y0, x1, y1]| x >= *x0 && x < *x1 && y >= *y0 && y < *y1)
        };
        let (sin, cos) = roll.sin_cos();
        let mut metered = 0.0;
        // Bystanders keep their place in the world, the others enter the view
        // as it is when their segment begins.
        let first = self.bases[0].0;
        let turned = (camera.origin.0 - first.0, camera.origin.1 - first.1);
        let cast = self.bystanders.iter().map(|actor| (actor, turned));
        for (actor, moved) in cast.chain(segment.actors.iter().map(|actor| (actor, moved))) {
            let mut pose = actor.pose(time);
            let (x, y) = ((pose.x - 0.5) * width / unit - moved.0, pose.foot - 0.5 - moved.1);
            pose.x = 0.5 + (x * cos + y * sin) * unit / width;
            pose.foot = 0.5 + y * cos - x * sin;
            pose.smear = (pose.smear * self.shutter * 100.0 * width / unit).min(0.1)
                + smear.0.hypot(smear.1);
            // Exposure control takes its time.
            for lag in [0.2, 0.5, 0.9] {
                metered += actor.figure.brightness(&actor.pose(time - lag), width / unit) / 3.0;
            }
            actor.figure.draw(&mut self.image, &self.scene.texture, &pose, time, &hidden);
        }

        let light = match &segment.fault {
            Some(Fault::Light(light)) => Some(light),
            _ => None,
        };
        // A white car makes the camera darken the whole picture.
        let exposure = (1.0 - self.metering * metered).clamp(0.4, 1.6);
        shine(&mut self.image, light, light_base * exposure, time);
        if let Some(Fault::Defocus(blur)) = &segment.fault {
            self.image.blur(blur.sigma_at(time) * width, &mut self.scratch);
        }
        if let Some(Fault::Cover(cover)) = &segment.fault {
            put_over(&mut self.image, cover, &self.scene, time);
        }
        self.sensor.expose(&mut self.image, time, shot);
    }
}

struct Camera {
    /// Top left of the view in the world, in view heights.
    origin: (f32, f32),
    roll: f32,
    smear: (f32, f32),
}

impl Camera {
    fn see(
        &self,
        scene: &Scene,
        leaves: &[Leaves],
        screen: &Option<(Wobble, [f32; 4])>,
        time: f32,
        out: &mut Image,
    ) {
        let (width, height) = (out.width, out.height);
        let unit = height as f32;
        let (sin, cos) = self.roll.sin_cos();
        let (cx, cy) = (width as f32 / 2.0, height as f32 / 2.0);
        let (ox, oy) = (self.origin.0 * unit, self.origin.1 * unit);
        let (sx, sy) = (self.smear.0 * unit, self.smear.1 * unit);
        let taps = (sx.hypot(sy).round() as usize).clamp(1, 6);
        let gusts: Vec<_> = leaves
            .iter()
            .map(|l| {
                let amplitude = l.amplitude * unit;
                (
                    l.centre.0 * unit,
                    l.centre.1 * unit,
                    l.radius * unit,
                    amplitude,
                    l.wind.at(time),
                    l.wind.at(time + 0.7),
                )
            })
            .collect();
        for py in 0..height {
            for px in 0..width {
                let (x, y) = (px as f32 - cx, py as f32 - cy);
                let (mut wx, mut wy) = (x * cos - y * sin + cx, x * sin + y * cos + cy);
                for &(gx, gy, radius, amplitude, a, b) in &gusts {
                    let weight = smoothstep(radius, radius * 0.5, (wx - gx).hypot(wy - gy));
                    if weight > 0.0 {
                        // Neighbouring leaves do not move as one.
                        let turn = (wx * 0.13 + wy * 0.09).sin();
                        wx += amplitude * weight * (a * turn + b * (1.0 - turn.abs()));
                        wy += amplitude * weight * 0.5 * (b * turn);
                    }
                }
                let mut colour = scene.image.wrapped(wx + ox, wy + oy);
                for tap in 1..taps {
                    let t = tap as f32 / taps as f32;
                    let more = scene.image.wrapped(wx + ox + sx * t, wy + oy + sy * t);
                    colour = mix(colour, more, 1.0 / (tap + 1) as f32);
                }
                out.data[py * width + px] = colour;
            }
        }
        if let Some((flicker, [x0, y0, x1, y1])) = screen {
            let glow = 0.6 + 0.5 * flicker.at(time);
            for py in bound(y0 * unit, height)..bound(y1 * unit, height) {
                for px in bound(x0 * unit, width)..bound(x1 * unit, width) {
                    let pixel = out.at(px, py);
                    *pixel = scale(mix(*pixel, [0.6, 0.7, 0.8], 0.5), glow);
                }
            }
        }
    }
}

fn shine(image: &mut Image, light: Option<&Light>, base: f32, time: f32) {
    let level = light.map_or(1.0, |light| light.level(time));
    if level == 1.0 && base == 1.0 {
        return;
    }
    let (width, height) = (image.width, image.height);
    for y in 0..height {
        for x in 0..width {
            let mut factor = [base; 3];
            if let Some(light) = light {
                let (u, v) =
                    (2.0 * x as f32 / width as f32 - 1.0, 2.0 * y as f32 / height as f32 - 1.0);
                let (dx, dy) = (u - light.lamp.0, v - light.lamp.1);
                let near = 1.6 / (1.0 + 1.5 * (dx * dx + dy * dy));
                let share = 1.0 - light.local + light.local * near;
                let here = (1.0 + (level - 1.0) * share).max(0.02) * base;
                factor = light
                    .tint
                    .map(|tint| here * (1.0 + (tint - 1.0) * (level - 1.0).clamp(-1.0, 1.0)));
            }
            let pixel = image.at(x, y);
            for (value, factor) in pixel.iter_mut().zip(factor) {
                *value *= factor;
            }
        }
    }
}

fn put_over(image: &mut Image, cover: &Cover, scene: &Scene, time: f32) {
    let share = cover.share(time);
    if share <= 0.0 {
        return;
    }
    let (width, height) = (image.width, image.height);
    let drift = cover.drift.at(time) * 0.05;
    for y in 0..height {
        for x in 0..width {
            let (u, v) =
                (2.0 * x as f32 / width as f32 - 1.0, 2.0 * y as f32 / height as f32 - 1.0);
            let opacity = cover.opacity(u, v, share);
            if opacity > 0.0 {
                let mut colour = cover.colour;
                if cover.grain > 0.0 {
                    let (gx, gy) =
                        ((u + drift) * cover.grain_scale, (v - drift) * cover.grain_scale);
                    colour =
                        scale(colour, 1.0 + cover.grain * scene.texture.fractal(gx, gy, 2, 0.5));
                }
                let (gx, gy, glow) = cover.glow;
                if glow > 0.0 {
                    // Light leaks in past the edge.
                    let distance = (u - (2.0 * gx - 1.0)).hypot(v - (2.0 * gy - 1.0));
                    colour = colour.map(|c| c + glow * (-2.0 * distance).exp());
                }
                let pixel = image.at(x, y);
                *pixel = mix(*pixel, colour, opacity);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(seed: u64) -> Options {
        Options { seed, seconds: 20.0, fps: 10.0, width: 96, height: 64 }
    }

    fn frames(options: &Options) -> Vec<u8> {
        let mut stream = Stream::new(options).unwrap();
        let mut all = vec![];
        let mut rgb = vec![0; options.width * options.height * 3];
        while stream.next_frame(&mut rgb) {
            all.extend_from_slice(&rgb);
        }
        all
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
        let once = frames(&options(5));
        assert_eq!(once.len(), 200 * 96 * 64 * 3);
        assert!(once == frames(&options(5)), "seed 5 gave two different streams");
        assert!(once != frames(&options(6)), "seeds 5 and 6 gave the same stream");
    }

    #[test]
    fn spans_cover_the_whole_stream_without_gaps() {
        for seed in 0..50 {
            let stream = Stream::new(&options(seed)).unwrap();
            let spans = stream.spans();
            assert_eq!(spans[0].start, 0.0);
            assert!((spans[spans.len() - 1].end - 20.0).abs() < 0.021, "seed {seed}");
            for pair in spans.windows(2) {
                assert_eq!(pair[0].end, pair[1].start, "seed {seed}");
                assert_ne!(pair[0].label, pair[1].label, "seed {seed}");
            }
        }
    }

    #[test]
    fn no_scene_is_white_black_or_bare() {
        for seed in 0..80 {
            // The first action begins later.
            let mut luma = vec![0; 96 * 64];
            Stream::new(&options(seed)).unwrap().luma_at(0.0, &mut luma);
            let count = luma.len() as f64;
            let mean = luma.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
            let square = luma.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>();
            let spread = (square / count).sqrt();
            assert!((20.0..225.0).contains(&mean), "seed {seed}: mean {mean}");
            assert!(spread > 5.0, "seed {seed}: standard deviation {spread}");
        }
    }

    #[test]
    fn every_label_occurs() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..60 {
            let stream = Stream::new(&options(seed)).unwrap();
            seen.extend(stream.spans().iter().map(|span| span.label));
        }
        assert_eq!(seen.len(), LABELS.len(), "{seen:?}");
    }
}
