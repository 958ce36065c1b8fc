//! Who moves: walkers, vehicles, and blobs for everything else.

use super::image::{Image, Rgb, bound, mix, scale, smoothstep};
use super::rng::Rng;
use super::scene::colour;
use super::sensor::luma;
use super::texture::Texture;

/// How a subject stands to the camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Facing {
    Side,
    FrontOrBack,
}

/// A subject's build and clothes.
pub struct Figure {
    kind: Kind,
    colours: [Rgb; 6],
    grain: f32,
    grain_scale: f32,
    /// Width over height, about 1, of the whole figure.
    girth: f32,
    /// Walking cadence in cycles a second, or the wobble of a blob.
    cadence: f32,
    phase: f32,
    lobes: Vec<(f32, f32, f32, f32)>,
    /// Darkness of the shadow on the ground, 0 to 1; and its slant.
    shadow: f32,
    slant: f32,
    lamps: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Walker,
    Vehicle,
    Blob,
}

/// Where and how a figure stands at one moment, in units of the view: x as a
/// share of the width, foot and size as shares of the height.
#[derive(Clone, Copy, Debug)]
pub struct Pose {
    pub x: f32,
    pub foot: f32,
    pub size: f32,
    pub facing: Facing,
    /// -1 looks to the left, 1 to the right.
    pub heading: f32,
    /// 0 stands, 1 walks with full stride.
    pub stride: f32,
    /// Arms and lean of one who moves on the spot, each about -1..1.
    pub gesture: [f32; 4],
    /// 0 (not there) to 1.
    pub presence: f32,
    /// How far the figure moves while the shutter is open, as a share of the
    /// view's height.
    pub smear: f32,
}

/// A rounded bar from `a` to `b` in the figure's own units: height 1, foot at
/// the origin, y upwards.
struct Part {
    a: (f32, f32),
    b: (f32, f32),
    radius: (f32, f32),
    colour: Rgb,
}

impl Figure {
    pub fn new(rng: &mut Rng, night: bool) -> Self {
        let kind = match rng.int(0, 9) {
            0..=4 => Kind::Walker,
            5..=7 => Kind::Vehicle,
            _ => Kind::Blob,
        };
        let saturation = rng.range(0.0, 0.8);
        let middle = rng.range(0.15, 0.75);
        let mut colours = [[0.0; 3]; 6];
        for entry in &mut colours {
            *entry = colour(rng, saturation, middle, 0.8);
        }
        let skin = rng.range(0.25, 0.85);
        colours[0] = [skin, skin * 0.78, skin * 0.64];
        let lobes = (0..rng.int(1, 5))
            .map(|_| {
                (
                    rng.range(-0.45, 0.45),
                    rng.range(0.15, 0.8),
                    rng.range(0.12, 0.45),
                    rng.range(0.1, 0.35),
                )
            })
            .collect();
        Figure {
            kind,
            colours,
            grain: rng.range(0.0, 0.5),
            grain_scale: rng.log_range(3.0, 16.0),
            girth: rng.range(0.75, 1.35),
            cadence: rng.range(0.7, 1.5),
            phase: rng.unit(),
            lobes,
            shadow: if rng.chance(0.7) { rng.range(0.1, 0.55) } else { 0.0 },
            slant: rng.range(-0.8, 0.8),
            lamps: night && rng.chance(0.7),
        }
    }

    /// Width over height of the box that holds the figure.
    pub fn aspect(&self, facing: Facing) -> f32 {
        self.girth
            * match (self.kind, facing) {
                (Kind::Walker, _) => 0.42,
                (Kind::Vehicle, Facing::Side) => 2.4,
                (Kind::Vehicle, Facing::FrontOrBack) => 1.15,
                (Kind::Blob, _) => 1.2,
            }
    }

    /// How much brighter than mid-grey the figure makes the picture: the share
    /// of the view that it fills times its own brightness, about -0.5..0.5.
    /// `view` is the view's width over its height.
    pub fn brightness(&self, pose: &Pose, view: f32) -> f32 {
        let half = 0.5 * self.aspect(pose.facing) * pose.size / view;
        let inside = |low: f32, high: f32| (high.min(1.0) - low.max(0.0)).max(0.0);
        let share = inside(pose.x - half, pose.x + half) * inside(pose.foot - pose.size, pose.foot);
        pose.presence * share.min(1.0) * (luma(self.colours[1]) - 0.4)
    }

    /// Whether the figure holds its shape while it moves.
    pub fn is_vehicle(&self) -> bool {
        self.kind == Kind::Vehicle
    }

    fn parts(&self, pose: &Pose, time: f32) -> Vec<Part> {
        match self.kind {
            Kind::Walker => self.walker(pose, time),
            Kind::Vehicle => self.vehicle(pose),
            Kind::Blob => self.blob(pose, time),
        }
    }

    fn walker(&self, pose: &Pose, time: f32) -> Vec<Part> {
        let c = &self.colours;
        let swing =
            (std::f32::consts::TAU * (self.cadence * time + self.phase)).sin() * pose.stride;
        let [left, right, lean, crouch] = pose.gesture;
        // One who bends or sits keeps the feet where they are.
        let drop = 0.22 * crouch.max(0.0);
        let tilt = 0.25 * lean;
        let (hip, shoulder) = ((tilt * 0.3, 0.5 - drop), (tilt, 0.8 - 1.3 * drop));
        let head = (tilt * 1.25, shoulder.1 + 0.12);
        let wide = self.girth;
        let mut parts = Vec::with_capacity(9);
        let (step, lift) = match pose.facing {
            Facing::Side => (0.17 * swing, 0.0),
            Facing::FrontOrBack => (0.0, 0.06 * swing),
        };
        let apart = if pose.facing == Facing::Side { 0.015 } else { 0.07 * wide };
        for (side, colour) in [(-1.0f32, scale(c[2], 0.85)), (1.0, c[2])] {
            let foot = (side * (apart + step * side.signum()), (lift * side).max(0.0));
            let knee = (
                (hip.0 + foot.0) / 2.0 + 0.04 * pose.heading * (swing * side).max(0.0) + drop * 0.3,
                (hip.1 + foot.1) / 2.0 - 0.01,
            );
            let foot = if pose.facing == Facing::Side { (side * step, foot.1) } else { foot };
            parts.push(Part {
                a: (hip.0 + side * apart * 0.6, hip.1),
                b: knee,
                radius: (0.055 * wide, 0.045 * wide),
                colour,
            });
            parts.push(Part { a: knee, b: foot, radius: (0.045 * wide, 0.03 * wide), colour });
            parts.push(Part {
                a: foot,
                b: (foot.0 + 0.05 * pose.heading, foot.1),
                radius: (0.028, 0.025),
                colour: c[3],
            });
        }
        let arm = |side: f32, raise: f32| {
            let reach = match pose.facing {
                Facing::Side => -0.13 * swing * side,
                Facing::FrontOrBack => side * 0.04,
            };
            let at = (
                shoulder.0 + side * if pose.facing == Facing::Side { 0.01 } else { 0.11 * wide },
                shoulder.1 - 0.03,
            );
            let up = raise.max(0.0);
            let hand = (at.0 + reach + side * 0.25 * up + 0.1 * raise, at.1 - 0.32 + 0.55 * up);
            Part { a: at, b: hand, radius: (0.035 * wide, 0.025 * wide), colour: scale(c[1], 0.9) }
        };
        parts.push(arm(-1.0, left));
        let breadth = if pose.facing == Facing::Side { 0.075 } else { 0.105 } * wide;
        parts.push(Part {
            a: hip,
            b: (shoulder.0, shoulder.1 - 0.04),
            radius: (breadth * 0.85, breadth),
            colour: c[1],
        });
        parts.push(Part {
            a: (head.0, head.1 - 0.02),
            b: (head.0, head.1 + 0.015),
            radius: (0.055, 0.06),
            colour: c[0],
        });
        parts.push(Part {
            a: (head.0, head.1 + 0.04),
            b: (head.0, head.1 + 0.05),
            radius: (0.052, 0.045),
            colour: c[4],
        });
        parts.push(arm(1.0, right));
        parts
    }

    fn vehicle(&self, pose: &Pose) -> Vec<Part> {
        let c = &self.colours;
        let half = self.aspect(pose.facing) / 2.0;
        let lamp: Rgb = if self.lamps { [1.6, 1.5, 1.3] } else { [0.8, 0.8, 0.7] };
        let bar = |x0: f32, x1: f32, y: f32, r: f32, colour: Rgb| Part {
            a: (x0, y),
            b: (x1, y),
            radius: (r, r),
            colour,
        };
        let glass = [0.12, 0.14, 0.17];
        match pose.facing {
            Facing::Side => {
                let nose = pose.heading * half;
                vec![
                    bar(-half * 0.55 + nose * -0.08, half * 0.5 + nose * -0.08, 0.68, 0.26, c[1]),
                    bar(-half * 0.5 + nose * -0.08, half * 0.42 + nose * -0.08, 0.7, 0.16, glass),
                    bar(-half * 0.88, half * 0.88, 0.38, 0.2, c[1]),
                    bar(-half * 0.86, half * 0.86, 0.26, 0.06, scale(c[1], 0.6)),
                    bar(-half * 0.58, -half * 0.57, 0.17, 0.17, [0.05; 3]),
                    bar(half * 0.57, half * 0.58, 0.17, 0.17, [0.05; 3]),
                    bar(nose * 0.92, nose * 0.93, 0.42, 0.06, lamp),
                ]
            }
            Facing::FrontOrBack => vec![
                bar(-half * 0.5, half * 0.5, 0.72, 0.24, c[1]),
                bar(-half * 0.45, half * 0.45, 0.75, 0.15, glass),
                bar(-half * 0.75, half * 0.75, 0.42, 0.25, c[1]),
                bar(-half * 0.7, half * 0.7, 0.22, 0.1, scale(c[1], 0.5)),
                bar(-half * 0.7, -half * 0.68, 0.09, 0.09, [0.05; 3]),
                bar(half * 0.68, half * 0.7, 0.09, 0.09, [0.05; 3]),
                bar(-half * 0.72, -half * 0.66, 0.42, 0.08, lamp),
                bar(half * 0.66, half * 0.72, 0.42, 0.08, lamp),
            ],
        }
    }

    fn blob(&self, pose: &Pose, time: f32) -> Vec<Part> {
        let wobble = |i: usize| {
            0.05 * (pose.stride + pose.gesture[0].abs())
                * (std::f32::consts::TAU * (self.cadence * time + self.phase + i as f32 * 0.37))
                    .sin()
        };
        self.lobes
            .iter()
            .enumerate()
            .map(|(i, &(x, y, w, r))| {
                let (x, y) = (x * self.girth * pose.heading + wobble(i), y + wobble(i + 3));
                Part {
                    a: (x - w * 0.5, y),
                    b: (x + w * 0.5, y),
                    radius: (r, r * 0.9),
                    colour: self.colours[1 + i % 4],
                }
            })
            .collect()
    }

    /// Paints the figure's shadow and then the figure. `hidden` says which
    /// pixels something nearer covers.
    pub fn draw(
        &self,
        image: &mut Image,
        texture: &Texture,
        pose: &Pose,
        time: f32,
        hidden: &dyn Fn(usize, usize) -> bool,
    ) {
        if pose.presence <= 0.0 {
            return;
        }
        let height = image.height as f32;
        let (foot_x, foot_y) = (pose.x * image.width as f32, pose.foot * height);
        let unit = pose.size * height;
        if self.shadow > 0.0 {
            let half = 0.6 * self.aspect(pose.facing) * unit;
            let shadow = (
                foot_x + self.slant * unit * 0.35,
                foot_y,
                half + unit * 0.3 * self.slant.abs(),
                unit * 0.09,
            );
            self.darken(image, shadow, pose.presence * self.shadow, hidden);
        }
        let soft = 0.5 + 0.5 * pose.smear * height;
        for part in self.parts(pose, time) {
            let reach = part.radius.0.max(part.radius.1) * unit + soft + 1.0;
            let (ax, ay) = (foot_x + part.a.0 * unit, foot_y - part.a.1 * unit);
            let (bx, by) = (foot_x + part.b.0 * unit, foot_y - part.b.1 * unit);
            let (x0, x1) = (
                bound(ax.min(bx) - reach, image.width),
                bound(ax.max(bx) + reach + 1.0, image.width),
            );
            let (y0, y1) = (
                bound(ay.min(by) - reach, image.height),
                bound(ay.max(by) + reach + 1.0, image.height),
            );
            let (dx, dy) = (bx - ax, by - ay);
            let length = (dx * dx + dy * dy).max(1e-6);
            for py in y0..y1 {
                for px in x0..x1 {
                    let (ex, ey) = (px as f32 - ax, py as f32 - ay);
                    let along = ((ex * dx + ey * dy) / length).clamp(0.0, 1.0);
                    let distance = (ex - along * dx).hypot(ey - along * dy);
                    let radius = (part.radius.0 + (part.radius.1 - part.radius.0) * along) * unit;
                    let cover = smoothstep(soft, -soft, distance - radius) * pose.presence;
                    if cover > 0.0 && !hidden(px, py) {
                        let (u, v) = ((px as f32 - foot_x) / unit, (py as f32 - foot_y) / unit);
                        let grain = texture.fractal(
                            u * self.grain_scale * pose.heading,
                            v * self.grain_scale,
                            2,
                            0.6,
                        );
                        // Round bodies are darker at their edges.
                        let round = 1.0 - 0.25 * (distance / radius.max(0.5)).min(1.0).powi(2);
                        let pixel = image.at(px, py);
                        *pixel = mix(
                            *pixel,
                            scale(part.colour, round * (1.0 + self.grain * grain)),
                            cover,
                        );
                    }
                }
            }
        }
    }

    fn darken(
        &self,
        image: &mut Image,
        (cx, cy, half_width, half_height): (f32, f32, f32, f32),
        strength: f32,
        hidden: &dyn Fn(usize, usize) -> bool,
    ) {
        for py in bound(cy - half_height, image.height)..bound(cy + half_height + 1.0, image.height)
        {
            for px in bound(cx - half_width, image.width)..bound(cx + half_width + 1.0, image.width)
            {
                let distance =
                    ((px as f32 - cx) / half_width).hypot((py as f32 - cy) / half_height);
                let depth = strength * smoothstep(1.0, 0.5, distance);
                if depth > 0.0 && !hidden(px, py) {
                    let pixel = image.at(px, py);
                    *pixel = scale(*pixel, 1.0 - depth);
                }
            }
        }
    }
}
