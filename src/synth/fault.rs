//! What happens to the camera and the light, apart from any subject.

use super::actor::Wobble;
use super::image::{Rgb, smoothstep};
use super::rng::Rng;

/// A fault or a change of light between two moments; times in seconds.
pub enum Fault {
    Pan(Pan),
    Shake(Shake),
    Cover(Cover),
    Defocus(Defocus),
    Light(Light),
}

impl Fault {
    /// The label at `time`, `None` while the fault is too weak to be called one.
    pub fn action(&self, time: f32) -> Option<&'static str> {
        match self {
            Fault::Pan(pan) if pan.speed_at(time) > 0.04 => Some("camera-pan"),
            Fault::Shake(shake) if shake.envelope(time) > 0.3 => Some("camera-shake"),
            Fault::Cover(cover) if cover.share(time) > 0.6 => Some("covered"),
            Fault::Defocus(blur) if blur.sigma_at(time) > 0.009 => Some("out-of-focus"),
            Fault::Light(light) if light.changing(time) => Some("light-change"),
            _ => None,
        }
    }
}

/// The camera turns. Lengths in view heights.
pub struct Pan {
    pub start: f32,
    pub end: f32,
    /// Direction as a unit vector, and speed in view heights a second.
    pub direction: (f32, f32),
    pub speed: f32,
    /// When it turns back, if it does.
    pub back: Option<f32>,
    pub ramp: f32,
}

impl Pan {
    pub fn new(rng: &mut Rng, start: f32, end: f32, aspect: f32) -> Self {
        let angle = match rng.int(0, 9) {
            0..=6 => rng.normal() * 0.06,
            7 => rng.sign() * std::f32::consts::FRAC_PI_2,
            _ => rng.range(0.0, std::f32::consts::TAU),
        };
        let sign = rng.sign();
        Pan {
            start,
            end,
            direction: (sign * angle.cos(), sign * angle.sin()),
            speed: rng.log_range(0.06, 0.9) * aspect,
            back: (end - start > 3.0 && rng.chance(0.3)).then(|| rng.range(start + 1.2, end - 1.2)),
            ramp: rng.range(0.05, 0.4),
        }
    }

    fn velocity(&self, time: f32) -> f32 {
        let rise = |from: f32| smoothstep(from, from + self.ramp, time);
        let turn = self
            .back
            .map_or(1.0, |back| 1.0 - 2.0 * smoothstep(back - self.ramp, back + self.ramp, time));
        self.speed * turn * (rise(self.start) - rise(self.end - self.ramp))
    }

    /// Speed in view heights a second, whatever its sign; the instant of turning
    /// back counts as panning.
    fn speed_at(&self, time: f32) -> f32 {
        let near_turn = self.back.is_some_and(|back| (time - back).abs() < self.ramp);
        if near_turn { self.speed } else { self.velocity(time).abs() }
    }

    /// How far the camera has turned by `time`, in view heights.
    pub fn offset(&self, time: f32) -> (f32, f32) {
        // Integrated in fixed steps from the start: the same at any frame rate.
        let step = 0.02f32;
        let until = time.min(self.end);
        let mut at = self.start;
        let mut sum = 0.0;
        while at < until {
            let width = step.min(until - at);
            sum += self.velocity(at + width / 2.0) * width;
            at += step;
        }
        (sum * self.direction.0, sum * self.direction.1)
    }

    /// Blur by motion while the shutter is open, in view heights.
    pub fn smear(&self, time: f32, shutter: f32) -> (f32, f32) {
        let length = self.velocity(time) * shutter;
        (length * self.direction.0, length * self.direction.1)
    }
}

/// The camera is shaken by hand, wind or a lorry.
pub struct Shake {
    start: f32,
    end: f32,
    amplitude: (f32, f32),
    roll: f32,
    wobbles: [Wobble; 3],
}

impl Shake {
    pub fn new(rng: &mut Rng, start: f32, end: f32) -> Self {
        let amplitude = rng.log_range(0.009, 0.06);
        let (low, high) = if rng.chance(0.3) { (1.0, 4.0) } else { (2.0, 12.0) };
        // Wind shakes a mast sideways, a lorry shakes a bridge up and down.
        let (across, along) = match rng.int(0, 4) {
            0 => (1.0, 0.15),
            1 => (0.15, 1.0),
            _ => (1.0, rng.range(0.5, 1.0)),
        };
        Shake {
            start,
            end,
            amplitude: (amplitude * across, amplitude * along),
            roll: amplitude * rng.range(0.0, 0.8),
            wobbles: std::array::from_fn(|_| Wobble::new(rng, low, high)),
        }
    }

    fn envelope(&self, time: f32) -> f32 {
        smoothstep(self.start, self.start + 0.2, time) * smoothstep(self.end, self.end - 0.2, time)
    }

    /// Displacement in view heights and roll in radians.
    pub fn at(&self, time: f32) -> (f32, f32, f32) {
        let strength = self.envelope(time);
        (
            strength * self.amplitude.0 * self.wobbles[0].at(time),
            strength * self.amplitude.1 * self.wobbles[1].at(time),
            strength * self.roll * self.wobbles[2].at(time),
        )
    }
}

/// Something is put over the lens.
pub struct Cover {
    start: f32,
    end: f32,
    ramp: f32,
    /// Final share of the view covered.
    share: f32,
    /// Direction it comes from.
    angle: f32,
    pub colour: Rgb,
    pub grain: f32,
    pub grain_scale: f32,
    pub glow: (f32, f32, f32),
    /// Softness of its edge, in view heights.
    pub soft: f32,
    pub drift: Wobble,
}

impl Cover {
    pub fn new(rng: &mut Rng, start: f32, end: f32) -> Self {
        let dark = rng.chance(0.7);
        let luma = if dark { rng.log_range(0.004, 0.2) } else { rng.range(0.2, 0.9) };
        let warm = rng.range(0.0, 0.4);
        Cover {
            start,
            end,
            ramp: rng.log_range(0.08, 0.9),
            share: if rng.chance(0.65) { 1.0 } else { rng.range(0.82, 1.0) },
            angle: rng.range(0.0, std::f32::consts::TAU),
            colour: [luma * (1.0 + warm), luma, luma * (1.0 - warm)],
            grain: if rng.chance(0.5) { 0.0 } else { rng.range(0.0, 0.5) },
            grain_scale: rng.log_range(0.7, 5.0),
            glow: if rng.chance(0.4) {
                (rng.unit(), rng.unit(), rng.range(0.02, 0.3))
            } else {
                (0.0, 0.0, 0.0)
            },
            soft: rng.log_range(0.01, 0.3),
            drift: Wobble::new(rng, 0.1, 1.0),
        }
    }

    /// Share of the view covered at `time`.
    pub fn share(&self, time: f32) -> f32 {
        self.share
            * smoothstep(self.start, self.start + self.ramp, time)
            * smoothstep(self.end, self.end - self.ramp, time)
    }

    /// Opacity at a point of the view (-1..1 from its centre on both axes).
    pub fn opacity(&self, x: f32, y: f32, share: f32) -> f32 {
        // The edge moves from one corner to the other as the share grows.
        let along = (x * self.angle.cos() + y * self.angle.sin())
            / (self.angle.cos().abs() + self.angle.sin().abs());
        let edge = -1.0 - self.soft + share * (2.0 + 2.0 * self.soft);
        smoothstep(edge + self.soft, edge - self.soft, along)
    }
}

/// The lens loses focus.
pub struct Defocus {
    start: f32,
    end: f32,
    ramp: f32,
    /// Standard deviation of the blur as a share of the view's width.
    sigma: f32,
    hunt: Option<Wobble>,
}

impl Defocus {
    pub fn new(rng: &mut Rng, start: f32, end: f32) -> Self {
        Defocus {
            start,
            end,
            ramp: rng.log_range(0.05, 1.2),
            sigma: rng.log_range(0.0125, 0.07),
            // Autofocus that hunts.
            hunt: rng.chance(0.2).then(|| Wobble::new(rng, 0.2, 0.8)),
        }
    }

    /// Blur at `time`, as a share of the view's width.
    pub fn sigma_at(&self, time: f32) -> f32 {
        let swing = self.hunt.map_or(1.0, |hunt| 1.0 + 0.3 * hunt.at(time).clamp(-1.0, 1.0));
        (self.sigma * swing).max(0.011f32.min(self.sigma))
            * smoothstep(self.start, self.start + self.ramp, time)
            * smoothstep(self.end, self.end - self.ramp, time)
    }
}

/// The light changes: a lamp, a cloud, slow swings.
pub struct Light {
    start: f32,
    end: f32,
    kind: LightKind,
    /// Where the lamp shines, in the view, and how local its light is (0: even).
    pub lamp: (f32, f32),
    pub local: f32,
    /// Tint of the added light.
    pub tint: Rgb,
    /// Exposure control takes back this share of a step, with this time
    /// constant in seconds.
    recovery: (f32, f32),
}

enum LightKind {
    /// Lamps switched at these moments, to these levels.
    Steps(Vec<(f32, f32)>),
    /// A cloud: from 1 to this level, between start and end.
    Ramp(f32),
    /// Slow swings of this depth and period in seconds; square ones blink.
    Swing { depth: f32, period: f32, square: bool },
}

/// A light step is called a light change for this long: what a person says who
/// looks at the last two seconds.
const STEP_SECONDS: f32 = 1.5;

impl Light {
    /// `base` is the light's level so far: far from 1, the light goes back.
    pub fn new(rng: &mut Rng, start: f32, end: f32, base: f32) -> Self {
        let level = |rng: &mut Rng| {
            let darker = if base < 0.7 {
                false
            } else if base > 1.4 {
                true
            } else {
                rng.chance(0.5)
            };
            // What is left must still be a picture: neither white nor black.
            if darker {
                rng.log_range(0.15, 0.72).max(0.25 / base).min(0.72)
            } else {
                rng.log_range(1.35, 3.0).min(2.2 / base).max(1.35)
            }
        };
        let kind = match rng.int(0, 9) {
            0..=4 => {
                let mut steps = vec![];
                let mut at = start;
                while at < end - 0.5 && steps.len() < 6 {
                    let next = if steps.len() % 2 == 0 { level(rng) } else { 1.0 };
                    steps.push((at, next));
                    at += rng.range(0.5, 2.2);
                }
                LightKind::Steps(steps)
            }
            5..=6 => LightKind::Ramp(level(rng)),
            _ => LightKind::Swing {
                depth: rng.range(0.2, 0.75),
                period: rng.log_range(0.6, 5.0),
                square: rng.chance(0.25),
            },
        };
        let warm = rng.range(-0.15, 0.15);
        Light {
            start,
            end,
            kind,
            lamp: (rng.range(-0.8, 0.8), rng.range(-0.8, 0.4)),
            local: if rng.chance(0.5) { 0.0 } else { rng.range(0.2, 0.9) },
            tint: [1.0 + warm, 1.0, 1.0 - warm],
            recovery: if rng.chance(0.6) {
                (rng.range(0.2, 0.9), rng.range(0.3, 1.5))
            } else {
                (0.0, 1.0)
            },
        }
    }

    /// Factor on the light at `time`; 1 before and (for swings) after.
    pub fn level(&self, time: f32) -> f32 {
        match &self.kind {
            LightKind::Steps(steps) => {
                let mut level = 1.0;
                for (at, next) in steps.iter().filter(|(at, _)| time >= *at) {
                    // A lamp takes some milliseconds to come on.
                    level += (next - level) * ((time - at) / 0.06).clamp(0.0, 1.0);
                }
                let Some((last, _)) = steps.iter().rfind(|(at, _)| time >= *at) else { return 1.0 };
                let (share, constant) = self.recovery;
                level.powf(1.0 - share * (1.0 - (-(time - last) / constant).exp()))
            }
            LightKind::Ramp(level) => level.powf(smoothstep(self.start, self.end, time)),
            LightKind::Swing { depth, period, square } => {
                let envelope = smoothstep(self.start, self.start + 0.3, time)
                    * smoothstep(self.end, self.end - 0.3, time);
                let mut wave = (std::f32::consts::TAU * (time - self.start) / period).sin();
                if *square {
                    wave = wave.signum();
                }
                1.0 + envelope * depth * wave
            }
        }
    }

    /// The level that stays when all is over.
    pub fn settled(&self) -> f32 {
        self.level(self.end + 60.0)
    }

    fn changing(&self, time: f32) -> bool {
        if time < self.start {
            return false;
        }
        match &self.kind {
            LightKind::Steps(steps) => {
                steps.iter().any(|(at, _)| time >= *at && time < at + STEP_SECONDS)
            }
            LightKind::Ramp(_) => {
                time > self.start + 0.2 * (self.end - self.start) && time < self.end + 0.3
            }
            LightKind::Swing { .. } => time < self.end,
        }
    }
}
