//! A subject's path through the view, and what that path is called.

use super::image::smoothstep;
use super::rng::Rng;
use super::subject::{Facing, Figure, Pose};

/// Smooth pseudo-random motion: three sines of unrelated periods, about -1..1.
#[derive(Clone, Copy)]
pub struct Wobble([(f32, f32); 3]);

impl Wobble {
    /// Frequencies in hertz, drawn between `low` and `high`.
    pub fn new(rng: &mut Rng, low: f32, high: f32) -> Self {
        Wobble(std::array::from_fn(|_| {
            (rng.log_range(low, high), rng.range(0.0, std::f32::consts::TAU))
        }))
    }

    pub fn at(&self, time: f32) -> f32 {
        self.0
            .iter()
            .map(|(hertz, phase)| (std::f32::consts::TAU * hertz * time + phase).sin())
            .sum::<f32>()
            / 2.0
    }
}

/// Where a subject goes.
#[derive(Clone, Copy)]
pub enum Path {
    /// Across the view; x as a share of the width.
    Cross { from: f32, to: f32, foot: (f32, f32), size: (f32, f32) },
    /// Along the camera's axis. Distance changes evenly, so size does as 1/z;
    /// the foot lies at `horizon + size / ratio`, where `ratio` is the subject's
    /// height over the camera's; x runs from the vanishing point.
    Depth { size: (f32, f32), horizon: f32, ratio: f32, vanish: f32, near_x: f32, near_size: f32 },
    /// On the spot.
    Stay { x: f32, foot: f32, size: f32 },
}

/// A subject from its entrance to its exit; times in seconds of the stream.
pub struct Actor {
    pub figure: Figure,
    pub path: Path,
    /// When it is there at all.
    pub there: (f32, f32),
    /// When it moves along its path; it stands before and after.
    pub moving: (f32, f32),
    pub facing: Facing,
    /// -1 to the left, 1 to the right.
    pub heading: f32,
    gestures: [Wobble; 4],
    /// How lively it is on the spot, 0 to 1.
    liveliness: f32,
    /// How far it steps to and fro on the spot, as a share of its height.
    shuffle: f32,
    sway: Wobble,
}

/// What moves slower than this, in view heights a second, is not seen to move:
/// in the two seconds of a clip it goes a thirtieth of the view's height.
const VISIBLE: f32 = 0.016;

impl Actor {
    pub fn new(
        rng: &mut Rng,
        figure: Figure,
        path: Path,
        there: (f32, f32),
        moving: (f32, f32),
    ) -> Self {
        let (facing, heading) = match path {
            Path::Cross { from, to, .. } => (Facing::Side, (to - from).signum()),
            Path::Depth { .. } => (Facing::FrontOrBack, rng.sign()),
            Path::Stay { .. } => (rng.pick(&[Facing::Side, Facing::FrontOrBack]), rng.sign()),
        };
        // Half of those who stay on the spot are busy with something.
        let liveliness = if rng.chance(0.5) { rng.range(0.2, 1.0) } else { rng.range(0.0, 0.15) };
        Actor {
            figure,
            path,
            there,
            moving,
            facing,
            heading,
            gestures: std::array::from_fn(|i| {
                if i < 2 { Wobble::new(rng, 0.2, 1.6) } else { Wobble::new(rng, 0.08, 0.5) }
            }),
            liveliness,
            shuffle: if rng.chance(0.3) { rng.range(0.02, 0.12) } else { 0.0 },
            sway: Wobble::new(rng, 0.3, 1.2),
        }
    }

    /// Share of the path covered at `time`, easing in and out.
    fn progress(&self, time: f32) -> f32 {
        let (start, end) = self.moving;
        let span = (end - start).max(1e-3);
        let t = ((time - start) / span).clamp(0.0, 1.0);
        // Full speed within a quarter of a second of either end.
        let ease = (0.25 / span).min(0.5);
        let area = |t: f32| if t < ease { t * t / (2.0 * ease) } else { t - ease / 2.0 };
        let done = if t > 1.0 - ease { 1.0 - ease - area(1.0 - t) } else { area(t) };
        (done / (1.0 - ease)).clamp(0.0, 1.0)
    }

    fn place(&self, time: f32) -> (f32, f32, f32) {
        let t = self.progress(time);
        let lerp = |(a, b): (f32, f32)| a + (b - a) * t;
        match self.path {
            Path::Cross { from, to, foot, size } => (lerp((from, to)), lerp(foot), lerp(size)),
            Path::Depth { size, horizon, ratio, vanish, near_x, near_size } => {
                let size = 1.0 / lerp((1.0 / size.0, 1.0 / size.1));
                (vanish + (near_x - vanish) * size / near_size, horizon + size / ratio, size)
            }
            Path::Stay { x, foot, size } => (x, foot, size),
        }
    }

    /// How the figure stands at `time`.
    pub fn pose(&self, time: f32) -> Pose {
        let (x, foot, size) = self.place(time);
        let (before, _, _) = self.place(time - 0.01);
        let going = self.going(time);
        let stride = if going { 1.0 } else { 0.0 };
        let still = (1.0 - stride) * self.liveliness;
        Pose {
            // A walker's body sways with its step, one who stands shifts weight.
            x: x + self.sway.at(time) * size * (0.006 + (0.012 + self.shuffle) * still),
            foot,
            size,
            facing: self.facing,
            heading: self.heading,
            stride,
            gesture: std::array::from_fn(|i| self.gestures[i].at(time) * still),
            presence: smoothstep(self.there.0, self.there.0 + 0.15, time)
                * smoothstep(self.there.1, self.there.1 - 0.15, time),
            smear: (x - before).abs() * 1.2,
        }
    }

    fn going(&self, time: f32) -> bool {
        !matches!(self.path, Path::Stay { .. }) && time > self.moving.0 && time < self.moving.1
    }

    /// How fast its head, its feet or its middle move, whichever is fastest, in
    /// view heights a second.
    fn speed(&self, time: f32, aspect: f32) -> f32 {
        const STEP: f32 = 0.1;
        let ((x0, foot0, size0), (x1, foot1, size1)) =
            (self.place(time - STEP / 2.0), self.place(time + STEP / 2.0));
        let head = ((foot1 - size1) - (foot0 - size0)).abs();
        ((x1 - x0).abs() * aspect).max((foot1 - foot0).abs()).max(head) / STEP
    }

    /// What the subject is seen to do at `time`: `None` while it stands still or
    /// as good as still, or less than a third of it is in view. `aspect` is the
    /// view's width over its height.
    pub fn action(&self, time: f32, aspect: f32) -> Option<&'static str> {
        let there = time >= self.there.0 && time <= self.there.1;
        if !self.going(time) || !there || self.speed(time, aspect) < VISIBLE {
            return None;
        }
        let (x, foot, size) = self.place(time);
        let half = 0.5 * self.figure.aspect(self.facing) * size / aspect;
        let inside = |low: f32, high: f32| (high.min(1.0) - low.max(0.0)).max(0.0) / (high - low);
        if inside(x - half, x + half) * inside(foot - size, foot) < 0.33 {
            return None;
        }
        match self.path {
            Path::Cross { from, to, .. } if to > from => Some("left-to-right"),
            Path::Cross { .. } => Some("right-to-left"),
            Path::Depth { size, .. } if size.1 > size.0 => Some("approaching"),
            Path::Depth { .. } => Some("receding"),
            Path::Stay { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crossing(to: f32) -> Option<&'static str> {
        let mut rng = Rng::new(1, 1);
        let figure = Figure::new(&mut rng, false);
        let path = Path::Cross { from: 0.4, to, foot: (0.8, 0.8), size: (0.5, 0.5) };
        Actor::new(&mut rng, figure, path, (0.0, 10.0), (0.0, 10.0)).action(5.0, 1.5)
    }

    #[test]
    fn what_hardly_moves_is_not_said_to_move() {
        assert_eq!(crossing(0.9), Some("left-to-right"));
        assert_eq!(crossing(0.1), Some("right-to-left"));
        // A tenth of a pixel a frame at the model's size.
        assert_eq!(crossing(0.45), None);
    }
}
