//! Backgrounds: what the camera looks at while nothing happens.
//!
//! Four kinds, all painted from the same few strokes: dead leaves (occluding
//! shapes of power-law size, whose statistics are those of natural images: Lee,
//! Mumford & Huang 2001), a room, a street, and plain 1/f noise.

use super::image::{Image, Rgb, bound, mix, scale};
use super::rng::Rng;
use super::texture::Texture;

/// How a surface is coloured.
#[derive(Clone, Copy)]
pub struct Surface {
    pub colour: Rgb,
    /// Second colour of the pattern.
    pub other: Rgb,
    pub pattern: Pattern,
    /// Amplitude of the 1/f detail, as a share of the colour.
    pub grain: f32,
    /// Cells of the coarsest grain across the picture's height.
    pub grain_scale: f32,
    /// Change of brightness across the shape.
    pub shade: f32,
}

/// What is drawn on a surface.
#[derive(Clone, Copy)]
pub enum Pattern {
    Plain,
    /// Bands of this width (share of the picture's height) at this angle.
    Stripes(f32, f32),
    /// Squares of this side.
    Checks(f32),
}

/// An outline, in units of the view's height.
#[derive(Clone, Copy)]
pub struct Shape {
    pub x: f32,
    pub y: f32,
    pub half_width: f32,
    pub half_height: f32,
    pub angle: f32,
    pub round: bool,
}

/// A painted world, larger than the view, that repeats at its edges.
pub struct Scene {
    /// The world: twice the view's width, one and a half times its height.
    pub image: Image,
    /// Share of the view's height at which the floor meets the wall.
    pub horizon: f32,
    pub texture: Texture,
    /// Things nearer than every subject, as (left, top, right, bottom) in
    /// pixels of the world.
    pub occluders: Vec<[f32; 4]>,
}

impl Scene {
    /// Paints a world for a view of `width` × `height` pixels.
    pub fn new(rng: &mut Rng, width: usize, height: usize) -> Self {
        let mut painter = Painter {
            image: Image::new(width * 2, height * 3 / 2),
            unit: height as f32,
            texture: Texture::new(rng),
        };
        let palette = Palette::new(rng);
        let horizon = rng.range(0.3, 0.75);
        let (world_width, world_height) =
            (painter.image.width as f32 / painter.unit, painter.image.height as f32 / painter.unit);
        match rng.int(0, 9) {
            0..=2 => room(&mut painter, rng, &palette, world_width, world_height, horizon),
            3..=5 => street(&mut painter, rng, &palette, world_width, world_height, horizon),
            6..=8 => leaves(&mut painter, rng, &palette, world_width, world_height),
            _ => clouds(&mut painter, rng, &palette, world_width, world_height),
        }
        // Small hard-edged things make every scene sharp somewhere: without
        // them a plain wall could not be told from one out of focus. Some scenes
        // are little more than a plain floor, with fine grain and a mark or two;
        // but a floor of nothing at all, which a cloth over the lens would look
        // like, no camera is ever mounted to watch: slabs have joints, and there
        // are patches large enough to be there still when focus is lost.
        let bare = rng.chance(0.15);
        if bare {
            let mut floor = palette.surface(rng, 0.0);
            (floor.pattern, floor.grain) = (Pattern::Plain, rng.range(0.01, 0.15));
            (floor.grain_scale, floor.shade) = (rng.range(20.0, 60.0), rng.range(-0.2, 0.2));
            painter.band(0.0, world_height, floor);
            patches(&mut painter, rng, floor, world_width, world_height);
            joints(&mut painter, rng, floor, world_width, world_height);
        }
        for _ in 0..if bare { rng.int(2, 14) } else { rng.int(6, 60) } {
            let shape = Shape {
                x: rng.range(0.0, world_width),
                y: rng.range(0.0, world_height),
                half_width: rng.log_range(0.004, 0.05),
                half_height: rng.log_range(0.004, 0.05),
                angle: if rng.chance(0.7) { 0.0 } else { rng.range(0.0, 3.0) },
                round: rng.chance(0.3),
            };
            let surface = palette.surface(rng, 0.05);
            painter.fill(shape, surface);
        }
        let occluders = occluders(&mut painter, rng, &palette);
        let Painter { image, texture, .. } = painter;
        Scene { image, horizon, texture, occluders }
    }
}

/// A handful of colours that belong together.
pub struct Palette {
    colours: Vec<Rgb>,
    /// How far surfaces differ from each other in brightness.
    contrast: f32,
}

impl Palette {
    pub fn new(rng: &mut Rng) -> Self {
        let (saturation, middle) = (rng.range(0.0, 0.5), rng.range(0.25, 0.7));
        let contrast = rng.range(0.35, 1.0);
        let colours =
            (0..rng.int(4, 9)).map(|_| colour(rng, saturation, middle, contrast)).collect();
        Palette { colours, contrast }
    }

    fn surface(&self, rng: &mut Rng, grain: f32) -> Surface {
        let base = rng.pick(&self.colours);
        let jitter = 1.0 + rng.range(-0.35, 0.35) * self.contrast;
        let pattern = match rng.int(0, 9) {
            0..=6 => Pattern::Plain,
            7..=8 => {
                Pattern::Stripes(rng.log_range(0.008, 0.08), rng.pick(&[0.0, 1.571, 0.785, 0.3]))
            }
            _ => Pattern::Checks(rng.log_range(0.015, 0.12)),
        };
        Surface {
            colour: scale(base, jitter),
            other: rng.pick(&self.colours),
            pattern,
            grain: rng.range(0.0, 2.0) * grain,
            grain_scale: rng.log_range(3.0, 40.0),
            shade: rng.range(-0.3, 0.3),
        }
    }
}

/// A colour of this saturation around this brightness.
pub fn colour(rng: &mut Rng, saturation: f32, middle: f32, contrast: f32) -> Rgb {
    let luma = (middle + rng.range(-0.6, 0.6) * contrast).clamp(0.02, 0.98);
    let mut draw = || (luma * (1.0 + saturation * rng.range(-1.0, 1.0))).clamp(0.0, 1.0);
    [draw(), draw(), draw()]
}

/// Strokes on a world; lengths in units of the view's height.
struct Painter {
    image: Image,
    unit: f32,
    texture: Texture,
}

impl Painter {
    fn fill(&mut self, shape: Shape, surface: Surface) {
        let reach = (shape.half_width.hypot(shape.half_height)) * self.unit + 1.0;
        let (cx, cy) = (shape.x * self.unit, shape.y * self.unit);
        let (x0, x1) =
            (bound(cx - reach, self.image.width), bound(cx + reach + 1.0, self.image.width));
        let (y0, y1) =
            (bound(cy - reach, self.image.height), bound(cy + reach + 1.0, self.image.height));
        let (sin, cos) = shape.angle.sin_cos();
        let shift = shape.x * 7.0 + shape.y * 3.0;
        for py in y0..y1 {
            for px in x0..x1 {
                let (dx, dy) = ((px as f32 - cx) / self.unit, (py as f32 - cy) / self.unit);
                let (u, v) = (dx * cos + dy * sin, dy * cos - dx * sin);
                let outside = if shape.round {
                    ((u / shape.half_width).hypot(v / shape.half_height) - 1.0)
                        * shape.half_width.min(shape.half_height)
                } else {
                    (u.abs() - shape.half_width).max(v.abs() - shape.half_height)
                };
                let cover = (0.5 - outside * self.unit).clamp(0.0, 1.0);
                if cover > 0.0 {
                    let mut colour = match surface.pattern {
                        Pattern::Plain => surface.colour,
                        Pattern::Stripes(width, angle) => {
                            let along = u * angle.cos() + v * angle.sin();
                            if (along / width).rem_euclid(2.0) < 1.0 {
                                surface.colour
                            } else {
                                surface.other
                            }
                        }
                        Pattern::Checks(side) => {
                            let odd = (u / side).floor() + (v / side).floor();
                            if odd.rem_euclid(2.0) < 1.0 { surface.colour } else { surface.other }
                        }
                    };
                    if surface.grain > 0.0 {
                        let grain = self.texture.fractal(
                            u * surface.grain_scale + shift,
                            v * surface.grain_scale,
                            4,
                            0.6,
                        );
                        colour = scale(colour, 1.0 + surface.grain * grain);
                    }
                    colour = scale(colour, 1.0 + surface.shade * (v / shape.half_height));
                    let pixel = self.image.at(px, py);
                    *pixel = mix(*pixel, colour, cover);
                }
            }
        }
    }

    fn band(&mut self, y0: f32, y1: f32, surface: Surface) {
        let world_width = self.image.width as f32 / self.unit;
        let shape = Shape {
            x: world_width / 2.0,
            y: (y0 + y1) / 2.0,
            half_width: world_width,
            half_height: (y1 - y0) / 2.0,
            angle: 0.0,
            round: false,
        };
        self.fill(shape, surface);
    }
}

/// Rugs, pools of light, where it was mended: darker or lighter than the floor.
fn patches(p: &mut Painter, rng: &mut Rng, floor: Surface, width: f32, height: f32) {
    // One about in each half of a view, so that none is without.
    let cell = 0.6;
    for row in 0..(height / cell) as usize {
        for column in 0..(width / cell) as usize {
            let share = if rng.chance(0.6) { rng.range(0.4, 0.75) } else { rng.range(1.3, 1.7) };
            let shape = Shape {
                x: (column as f32 + rng.range(0.2, 0.8)) * cell,
                y: (row as f32 + rng.range(0.2, 0.8)) * cell,
                half_width: rng.range(0.08, 0.35),
                half_height: rng.range(0.08, 0.3),
                angle: rng.range(-0.3, 0.3),
                round: rng.chance(0.4),
            };
            if rng.chance(0.7) {
                p.fill(shape, Surface { colour: scale(floor.colour, share), ..floor });
            }
        }
    }
}

/// The joints between a plain floor's slabs, darker or lighter than they are.
fn joints(p: &mut Painter, rng: &mut Rng, floor: Surface, width: f32, height: f32) {
    let share = if rng.chance(0.7) { rng.range(0.25, 0.75) } else { rng.range(1.3, 1.8) };
    let joint = Surface { colour: scale(floor.colour, share), ..floor };
    let half = rng.log_range(0.004, 0.016);
    let slab = rng.range(0.35, 0.9);
    let mut x = rng.range(0.0, slab);
    while x < width {
        p.fill(rect(x, height / 2.0, half, height), joint);
        x += slab * rng.range(0.8, 1.2);
    }
    let slab = rng.range(0.3, 0.8);
    let mut y = rng.range(0.0, slab);
    while y < height {
        p.band(y - half, y + half, joint);
        y += slab * rng.range(0.8, 1.2);
    }
}

/// Posts, hedges, counters: what a subject passes behind.
fn occluders(p: &mut Painter, rng: &mut Rng, palette: &Palette) -> Vec<[f32; 4]> {
    let (width, height) = (p.image.width as f32 / p.unit, p.image.height as f32 / p.unit);
    let count = rng.pick(&[0, 0, 0, 1, 1, 2]);
    let mut found = vec![];
    for _ in 0..count {
        let post = rng.chance(0.7);
        let shape = if post {
            rect(
                rng.range(0.0, width),
                rng.range(0.4, height),
                rng.log_range(0.01, 0.08),
                rng.range(0.3, 1.0),
            )
        } else {
            rect(
                rng.range(0.0, width),
                rng.range(0.9, height),
                rng.range(0.1, 0.5),
                rng.range(0.04, 0.15),
            )
        };
        let surface = palette.surface(rng, 0.1);
        p.fill(shape, surface);
        found.push(
            [
                shape.x - shape.half_width,
                shape.y - shape.half_height,
                shape.x + shape.half_width,
                shape.y + shape.half_height,
            ]
            .map(|v| v * p.unit),
        );
    }
    found
}

fn rect(x: f32, y: f32, half_width: f32, half_height: f32) -> Shape {
    Shape { x, y, half_width, half_height, angle: 0.0, round: false }
}

/// The view's top edge lies a quarter of a view height down the world.
const TOP: f32 = 0.25;

fn room(p: &mut Painter, rng: &mut Rng, palette: &Palette, width: f32, height: f32, horizon: f32) {
    let floor = TOP + horizon;
    let mut wall = palette.surface(rng, 0.08);
    if rng.chance(0.8) {
        wall.pattern = Pattern::Plain;
    }
    p.band(0.0, floor, wall);
    let mut ground = palette.surface(rng, 0.15);
    if rng.chance(0.4) {
        ground.pattern = Pattern::Checks(rng.range(0.03, 0.12));
    }
    p.band(floor, height, ground);
    let skirting = palette.surface(rng, 0.03);
    p.band(floor - 0.012, floor, skirting);
    for _ in 0..rng.int(3, 12) {
        // Doors and cupboards stand on the floor, pictures and windows hang.
        let (w, h) = (rng.log_range(0.04, 0.3), rng.log_range(0.05, 0.4));
        let y =
            if rng.chance(0.5) { floor - h + rng.range(0.0, 0.15) } else { rng.range(0.1, floor) };
        let x = rng.range(0.0, width);
        let (frame, inside) = (palette.surface(rng, 0.05), palette.surface(rng, 0.12));
        p.fill(rect(x, y, w + 0.012, h + 0.012), frame);
        p.fill(rect(x, y, w, h), inside);
        if rng.chance(0.4) {
            p.fill(rect(x, y, 0.006, h), frame);
        }
    }
    for _ in 0..rng.int(0, 6) {
        let (w, h) = (rng.range(0.05, 0.35), rng.range(0.04, 0.2));
        let shape = Shape {
            x: rng.range(0.0, width),
            y: floor + rng.range(0.0, 0.5),
            half_width: w,
            half_height: h,
            angle: rng.range(-0.1, 0.1),
            round: rng.chance(0.2),
        };
        let surface = palette.surface(rng, 0.2);
        p.fill(shape, surface);
    }
}

fn street(
    p: &mut Painter,
    rng: &mut Rng,
    palette: &Palette,
    width: f32,
    height: f32,
    horizon: f32,
) {
    // Seen from high up there is no sky: road from edge to edge.
    let overhead = rng.chance(0.35);
    let line = if overhead { 0.0 } else { TOP + horizon };
    let sky = palette.surface(rng, 0.1);
    p.band(0.0, line.max(0.01), Surface { pattern: Pattern::Plain, ..sky });
    let mut ground = palette.surface(rng, 0.2);
    ground.pattern = Pattern::Plain;
    p.band(line, height, ground);
    if !overhead {
        for _ in 0..rng.int(2, 10) {
            let (w, h) = (rng.range(0.08, 0.4), rng.range(0.08, 0.45));
            let x = rng.range(0.0, width);
            let facade = palette.surface(rng, 0.1);
            if rng.chance(0.6) {
                p.fill(rect(x, line - h, w, h), facade);
                let window = palette.surface(rng, 0.02);
                let step = rng.range(0.05, 0.1);
                let (columns, rows) = ((2.0 * w / step) as usize, (2.0 * h / step) as usize);
                for i in 0..columns.min(8) {
                    for j in 0..rows.min(8) {
                        let (wx, wy) = (
                            x - w + (i as f32 + 0.5) * step,
                            line - 2.0 * h + (j as f32 + 0.5) * step,
                        );
                        p.fill(rect(wx, wy, step * 0.28, step * 0.33), window);
                    }
                }
            } else {
                // Foliage: a clump of grainy rounds.
                let leaf = Surface {
                    grain: 0.7,
                    grain_scale: rng.range(20.0, 50.0),
                    pattern: Pattern::Plain,
                    ..facade
                };
                for _ in 0..rng.int(3, 9) {
                    let shape = Shape {
                        x: x + rng.range(-w, w),
                        y: line - rng.range(0.0, 1.5) * h,
                        half_width: w * rng.range(0.2, 0.6),
                        half_height: h * rng.range(0.2, 0.6),
                        angle: rng.range(0.0, 3.0),
                        round: true,
                    };
                    p.fill(
                        shape,
                        Surface { colour: scale(leaf.colour, rng.range(0.7, 1.3)), ..leaf },
                    );
                }
            }
        }
    }
    let asphalt = Surface {
        grain: 0.15,
        grain_scale: 40.0,
        pattern: Pattern::Plain,
        ..palette.surface(rng, 0.1)
    };
    let tilt = if rng.chance(0.5) { 0.0 } else { rng.range(-1.6, 1.6) };
    let (x, y) = (
        width / 2.0 + rng.range(-0.6, 0.6),
        if overhead { height / 2.0 } else { line + rng.range(0.15, 0.5) },
    );
    let half = rng.range(0.12, 0.5);
    if overhead || tilt == 0.0 {
        p.fill(
            Shape { x, y, half_width: 4.0, half_height: half, angle: tilt, round: false },
            asphalt,
        );
        let mark = Surface {
            grain: 0.05,
            pattern: Pattern::Plain,
            colour: scale([0.9, 0.9, 0.85], rng.range(0.6, 1.1)),
            ..asphalt
        };
        let (sin, cos) = tilt.sin_cos();
        for lane in [-0.9, 0.0, 0.9] {
            let dashed = lane == 0.0 || rng.chance(0.3);
            for i in -14..=14 {
                let along = i as f32 * 0.2;
                let (dx, dy) = (along * cos - lane * half * sin, along * sin + lane * half * cos);
                let length = if dashed { 0.055 } else { 0.101 };
                let shape = Shape {
                    x: x + dx,
                    y: y + dy,
                    half_width: length,
                    half_height: 0.008,
                    angle: tilt,
                    round: false,
                };
                p.fill(shape, mark);
            }
        }
    } else {
        // A path that leads away from the camera.
        for i in 0..24 {
            let depth = i as f32 / 24.0;
            let y = line + depth * depth * 0.9;
            p.fill(
                rect(x + tilt * 0.1 * depth, y, 0.03 + half * 1.3 * depth, 0.035 + 0.03 * depth),
                asphalt,
            );
        }
    }
}

fn leaves(p: &mut Painter, rng: &mut Rng, palette: &Palette, width: f32, height: f32) {
    let base = palette.surface(rng, 0.2);
    p.band(0.0, height, base);
    let count = rng.int(80, 420);
    let smallest = rng.log_range(0.008, 0.03);
    for i in 0..count {
        // Sizes fall off as r^-3, large ones first so that the small show.
        let share = (i as f32 + 0.5) / count as f32;
        let radius = (0.5f32.powi(-2) + share * (smallest.powi(-2) - 0.5f32.powi(-2))).powf(-0.5);
        let shape = Shape {
            x: rng.range(-0.1, width + 0.1),
            y: rng.range(-0.1, height + 0.1),
            half_width: radius * rng.range(0.5, 1.4),
            half_height: radius * rng.range(0.5, 1.4),
            angle: rng.range(0.0, std::f32::consts::PI),
            round: rng.chance(0.5),
        };
        let surface = palette.surface(rng, 0.2);
        p.fill(shape, surface);
    }
}

fn clouds(p: &mut Painter, rng: &mut Rng, palette: &Palette, width: f32, height: f32) {
    let base = palette.surface(rng, 0.0);
    let surface = Surface {
        grain: rng.range(0.3, 0.8),
        grain_scale: rng.log_range(1.5, 8.0),
        pattern: Pattern::Plain,
        ..base
    };
    p.band(0.0, height, surface);
    for _ in 0..rng.int(4, 25) {
        let (x, y) = (rng.range(0.0, width), rng.range(0.0, height));
        let (w, h) = (rng.log_range(0.02, 0.3), rng.log_range(0.02, 0.3));
        let surface = palette.surface(rng, 0.3);
        p.fill(rect(x, y, w, h), surface);
    }
}
