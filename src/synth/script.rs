//! What happens when: a stream's script, and the labels that follow from it.

use super::actor::{Actor, Path};
use super::fault::{Cover, Defocus, Fault, Light, Pan, Shake};
use super::rng::Rng;
use super::subject::Figure;
use super::{IDLE, Span};

/// A piece of the stream with its own subjects and at most one fault.
pub struct Segment {
    pub end: f32,
    pub actors: Vec<Actor>,
    pub fault: Option<Fault>,
}

impl Segment {
    /// The label at `time`. A fault outranks every subject.
    fn action(&self, time: f32, aspect: f32) -> &'static str {
        self.fault
            .as_ref()
            .and_then(|fault| fault.action(time))
            .or_else(|| self.actors.iter().find_map(|actor| actor.action(time, aspect)))
            .unwrap_or(IDLE)
    }
}

/// Writes a script of `seconds` for a view of this aspect ratio.
pub fn write(rng: &mut Rng, seconds: f32, aspect: f32, horizon: f32, night: bool) -> Vec<Segment> {
    let mut segments = vec![];
    let (mut at, mut light) = (0.0, 1.0);
    while at < seconds {
        let (lead, tail) = (rng.range(0.2, 1.2), rng.range(0.2, 1.0));
        let action = at + lead;
        let kind = rng.int(0, 19);
        let mut actors = vec![];
        let mut fault = None;
        let mut done = action + rng.range(2.5, 5.5);
        match kind {
            0..=1 => {}
            2..=5 => {
                let sign = if kind < 4 { 1.0 } else { -1.0 };
                done = crowd(rng, &mut actors, action, sign, aspect, horizon, night);
            }
            6..=9 => {
                let length = rng.range(2.0, 5.5);
                done = action + length;
                let path = depth(rng, kind < 8, horizon);
                let figure = Figure::new(rng, night);
                actors.push(paced(rng, figure, path, action, done));
            }
            _ => {
                fault = Some(match kind {
                    10..=11 => Fault::Pan(Pan::new(rng, action, done, aspect)),
                    12..=13 => Fault::Shake(Shake::new(rng, action, done)),
                    14..=15 => Fault::Cover(Cover::new(rng, action, done)),
                    16..=17 => Fault::Defocus(Defocus::new(rng, action, done)),
                    _ => Fault::Light(Light::new(rng, action, done, light)),
                });
                if let Some(Fault::Light(change)) = &fault {
                    light *= change.settled();
                }
                // Life goes on under a fault.
                match rng.int(0, 9) {
                    0..=2 => {
                        let sign = rng.sign();
                        crowd(rng, &mut actors, action - 0.2, sign, aspect, horizon, night);
                    }
                    3..=4 => {
                        let path = {
                            let nearer = rng.chance(0.5);
                            depth(rng, nearer, horizon)
                        };
                        let figure = Figure::new(rng, night);
                        actors.push(paced(rng, figure, path, action, done));
                    }
                    _ => {}
                }
            }
        }
        let end = done + tail;
        far_first(&mut actors, action);
        // Whoever still stands there leaves before the segment does.
        for actor in &mut actors {
            actor.there.1 = actor.there.1.min(end);
        }
        segments.push(Segment { end, actors, fault });
        at = end;
    }
    segments
}

/// Those who stand about all the time, busy or not.
pub fn bystanders(rng: &mut Rng, seconds: f32, horizon: f32, night: bool) -> Vec<Actor> {
    let always = (-10.0, seconds + 10.0);
    let mut actors: Vec<Actor> = (0..rng.pick(&[0, 0, 0, 1, 1, 2, 3]))
        .map(|_| {
            let figure = Figure::new(rng, night);
            let size = rng.log_range(0.15, if figure.is_vehicle() { 0.4 } else { 0.9 });
            let path =
                Path::Stay { x: rng.range(0.05, 0.95), foot: ground(rng, size, horizon), size };
            Actor::new(rng, figure, path, always, (always.1, always.1 + 1.0))
        })
        .collect();
    far_first(&mut actors, 0.0);
    actors
}

/// The far are painted before the near.
fn far_first(actors: &mut [Actor], time: f32) {
    actors.sort_by(|a, b| a.pose(time).foot.total_cmp(&b.pose(time).foot));
}

/// Where the feet of a subject of this size are.
fn ground(rng: &mut Rng, size: f32, horizon: f32) -> f32 {
    let ratio = rng.range(0.7, 1.3);
    (horizon + size / ratio * 0.8 + rng.range(-0.1, 0.15)).clamp(0.3, 1.25)
}

/// One to three subjects that cross the view in one direction; returns when the
/// last is through.
fn crowd(
    rng: &mut Rng,
    actors: &mut Vec<Actor>,
    start: f32,
    sign: f32,
    aspect: f32,
    horizon: f32,
    night: bool,
) -> f32 {
    let mut last = start + 1.5;
    for i in 0..rng.pick(&[1, 1, 1, 1, 2, 3]) {
        let figure = Figure::new(rng, night);
        let size =
            if figure.is_vehicle() { rng.log_range(0.1, 0.55) } else { rng.log_range(0.14, 0.95) };
        let half = 0.5 * figure.aspect(super::subject::Facing::Side) * size / aspect;
        let speed = rng.log_range(0.09, 0.75);
        // Most come in at the edge, some step out of a door or start to walk.
        let inside = rng.chance(0.35);
        let from = if inside { rng.range(0.1, 0.6) } else { -half };
        let to = if rng.chance(0.3) { rng.range((from + 0.3).min(0.95), 1.0) } else { 1.0 + half };
        let begin = start + if i == 0 { 0.0 } else { rng.range(0.0, 1.5) };
        let length = ((to - from) / speed).min(8.0);
        let to = from + speed * length;
        let foot = ground(rng, size, horizon);
        let slope = rng.range(-0.22, 0.22) * (to - from);
        // Nobody walks quite square to the camera.
        let growth = if rng.chance(0.3) { rng.log_range(0.5, 2.0) } else { rng.range(0.85, 1.18) };
        let across = |x: f32| if sign > 0.0 { x } else { 1.0 - x };
        let path = Path::Cross {
            from: across(from),
            to: across(to),
            foot: (foot, foot + slope),
            size: (size, size * growth),
        };
        last = last.max(begin + length);
        actors.push(paced(rng, figure, path, begin, begin + length));
    }
    last
}

/// A path along the camera's axis. From an overhead camera (horizon far above
/// the view) it is mostly a way down or up the picture, at eye level mostly a
/// change of size.
fn depth(rng: &mut Rng, approaching: bool, horizon: f32) -> Path {
    let overhead = rng.chance(0.3);
    let (horizon, ratio, near, ratio_of_sizes) = if overhead {
        let near = rng.log_range(0.2, 0.6);
        (rng.range(-4.0, -0.5), 0.0, near, 0.0)
    } else {
        (
            horizon + rng.range(-0.15, 0.1),
            rng.range(0.5, 1.6),
            rng.log_range(0.3, 1.3),
            rng.range(1.6, 4.0),
        )
    };
    let (far, ratio) = if overhead {
        // The foot goes from the top of the view to below its lower edge.
        let (top, bottom) = (rng.range(0.0, 0.4), rng.range(0.8, 1.35));
        let ratio = near / (bottom - horizon);
        ((top - horizon) * ratio, ratio)
    } else {
        (near / ratio_of_sizes, ratio)
    };
    let near_x = rng.range(0.15, 0.85);
    let vanish = near_x + rng.range(-0.3, 0.3) * if overhead { 0.5 } else { 1.0 };
    let size = if approaching { (far, near) } else { (near, far) };
    Path::Depth { size, horizon, ratio, vanish, near_x, near_size: near }
}

/// An actor that may stand for a while before it moves and after.
fn paced(rng: &mut Rng, figure: Figure, path: Path, start: f32, end: f32) -> Actor {
    let before = if rng.chance(0.4) { rng.range(0.5, 3.0) } else { 0.0 };
    let after = if rng.chance(0.4) { rng.range(0.5, 4.0) } else { 0.0 };
    Actor::new(rng, figure, path, (start - before, end + after), (start, end))
}

/// The labels of a script: its action at any time, as spans without gaps.
/// Changes that last less than a quarter of a second join the span before.
pub fn spans(segments: &[Segment], seconds: f64, aspect: f32) -> Vec<Span> {
    const STEP: f64 = 0.02;
    const SHORTEST: f64 = 0.25;
    let mut spans: Vec<Span> = vec![];
    for i in 0..(seconds / STEP).round() as usize {
        let time = i as f64 * STEP;
        let label = segments
            .iter()
            .find(|segment| time < f64::from(segment.end))
            .map_or(IDLE, |segment| segment.action(time as f32, aspect));
        match spans.last_mut() {
            Some(span) if span.label == label => span.end = time + STEP,
            _ => spans.push(Span { start: time, end: time + STEP, label }),
        }
    }
    let mut merged: Vec<Span> = vec![];
    for span in spans {
        match merged.last_mut() {
            Some(last) if last.label == span.label || span.end - span.start < SHORTEST => {
                last.end = span.end
            }
            _ => merged.push(span),
        }
    }
    let round = |seconds: f64| (seconds * 100.0).round() / 100.0;
    for span in &mut merged {
        (span.start, span.end) = (round(span.start), round(span.end));
    }
    merged
}
