//! Figures over time, or over anything else that goes from left to right: panels
//! beside and below each other, with one legend.

use super::palette::HUES;
use super::svg::{Anchor, Svg, n, width_of};

/// A curve.
pub struct Line {
    /// What the legend calls it; curves of one name share hue, dash and entry.
    pub name: String,
    /// In the order of x. A point that is not finite breaks the curve.
    pub points: Vec<(f64, f64)>,
    /// The hue: 0 to 7, else grey.
    pub hue: usize,
    /// The dash, for those who cannot tell the hue: 0 is none, up to 3.
    pub dash: usize,
    /// Where curves repeat (one for each seed) they are drawn thin.
    pub thin: bool,
}

/// One system of axes.
pub struct Panel {
    /// What stands above it.
    pub title: String,
    /// What x and y are, with their units.
    pub axes: [String; 2],
    /// From and to.
    pub x: [f64; 2],
    /// From and to.
    pub y: [f64; 2],
    /// The curves, first drawn first.
    pub lines: Vec<Line>,
    /// Levels of y with a name, such as a target.
    pub levels: Vec<(f64, String)>,
    /// Moments of x with a name, such as a change.
    pub moments: Vec<(f64, String)>,
}

const LEFT: f64 = 58.0;
const TOP: f64 = 34.0;
const WIDTH: f64 = 310.0;
const HEIGHT: f64 = 190.0;
/// Below a panel: its numbers and the name of its axis.
const FOOT: f64 = 48.0;
const GAP: f64 = 66.0;
const LEGEND: f64 = 22.0;
/// Steps between the numbers of an axis, about.
const TICKS: f64 = 5.0;

/// Draws `panels` in rows of `columns`, and the legend of all below.
pub fn lines(panels: &[Panel], columns: usize, title: &str, description: &str) -> Svg {
    let columns = columns.clamp(1, panels.len().max(1));
    let rows = panels.len().div_ceil(columns);
    let width = LEFT + columns as f64 * WIDTH + (columns - 1) as f64 * GAP + 16.0;
    let row = TOP + HEIGHT + FOOT;
    let legend = legend(panels, width - LEFT);
    let height = rows as f64 * row + LEGEND * legend.len() as f64 + 6.0;
    let mut svg = Svg::new(width, height, title, description);
    for (at, panel) in panels.iter().enumerate() {
        let left = LEFT + (at % columns) as f64 * (WIDTH + GAP);
        draw(&mut svg, panel, left, TOP + (at / columns) as f64 * row);
    }
    for (at, entries) in legend.iter().enumerate() {
        let y = rows as f64 * row + LEGEND * at as f64 + 12.0;
        for (x, line) in entries {
            svg.line(LEFT + x, y - 4.0, LEFT + x + 26.0, y - 4.0, &class(line, false));
            svg.text(LEFT + x + 32.0, y, Anchor::Start, "ink", &line.name);
        }
    }
    svg
}

/// Every name once, with its place, in rows of `width`.
fn legend(panels: &[Panel], width: f64) -> Vec<Vec<(f64, &Line)>> {
    let mut rows: Vec<Vec<(f64, &Line)>> = Vec::new();
    let mut x = f64::INFINITY;
    let mut known: Vec<&str> = Vec::new();
    for line in panels.iter().flat_map(|panel| &panel.lines) {
        if known.contains(&line.name.as_str()) {
            continue;
        }
        known.push(&line.name);
        let own = 32.0 + width_of(&line.name) + 22.0;
        if x + own > width {
            rows.push(Vec::new());
            x = 0.0;
        }
        if let Some(row) = rows.last_mut() {
            row.push((x, line));
        }
        x += own;
    }
    rows
}

fn class(line: &Line, thin: bool) -> String {
    let hue = if line.hue < HUES { line.hue.to_string() } else { "x".to_owned() };
    format!("curve s{hue} d{}{}", line.dash % 4, if thin { " thin" } else { "" })
}

fn draw(svg: &mut Svg, panel: &Panel, left: f64, top: f64) {
    let [x0, x1] = panel.x;
    let [y0, y1] = panel.y;
    let part = |v: f64, from: f64, to: f64| ((v - from) / (to - from)).clamp(0.0, 1.0);
    let at =
        |x: f64, y: f64| (left + WIDTH * part(x, x0, x1), top + HEIGHT * (1.0 - part(y, y0, y1)));
    svg.text(left, top - 12.0, Anchor::Start, "ink bold", &panel.title);
    for (y, text) in ticks(y0, y1) {
        let (_, y) = at(x0, y);
        svg.line(left, y, left + WIDTH, y, "grid");
        svg.text(left - 6.0, y + 3.5, Anchor::End, "soft small", &text);
    }
    for (x, text) in ticks(x0, x1) {
        let (x, _) = at(x, y0);
        svg.line(x, top, x, top + HEIGHT, "grid");
        svg.text(x, top + HEIGHT + 15.0, Anchor::Middle, "soft small", &text);
    }
    for (x, text) in &panel.moments {
        let (x, _) = at(*x, y0);
        svg.line(x, top, x, top + HEIGHT, "axis d2");
        // On the side where there is room.
        let right = x + 5.0 + width_of(text) < left + WIDTH;
        let (x, anchor) = if right { (x + 5.0, Anchor::Start) } else { (x - 5.0, Anchor::End) };
        svg.text(x, top + 12.0, anchor, "soft small", text);
    }
    for (y, text) in &panel.levels {
        let (_, y) = at(x0, *y);
        svg.line(left, y, left + WIDTH, y, "axis d1");
        svg.text(left + WIDTH - 4.0, y + 13.0, Anchor::End, "soft small", text);
    }
    for line in &panel.lines {
        let class = class(line, line.thin);
        for run in line.points.split(|(x, y)| !(x.is_finite() && y.is_finite())) {
            let points: Vec<(f64, f64)> = run.iter().map(|&(x, y)| at(x, y)).collect();
            if !points.is_empty() {
                svg.polyline(&points, &class, "", &line.name);
            }
        }
    }
    svg.line(left, top + HEIGHT, left + WIDTH, top + HEIGHT, "axis");
    let [x, y] = &panel.axes;
    svg.text(left + WIDTH / 2.0, top + HEIGHT + 33.0, Anchor::Middle, "soft", x);
    svg.turned(left - 44.0, top + HEIGHT / 2.0, 90.0, Anchor::Middle, "soft", y);
}

/// Round numbers between two, with as many places as they need.
fn ticks(from: f64, to: f64) -> Vec<(f64, String)> {
    let span = to - from;
    if !(span > 0.0 && span.is_finite()) {
        return vec![(from, n(from))];
    }
    let rough = span / TICKS;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough * 0.999)
        .unwrap_or(10.0 * power);
    let places = (0..7).find(|&p| {
        let scaled = step * 10f64.powi(p);
        (scaled - scaled.round()).abs() < 1e-6 * scaled
    });
    let places = usize::try_from(places.unwrap_or(6)).unwrap_or(0);
    let first = (from / step - 1e-9).ceil();
    let count = ((to / step + 1e-9).floor() - first).max(0.0) as usize;
    (0..=count)
        .map(|k| {
            let value = (first + k as f64) * step;
            (value, format!("{:.places$}", if value == 0.0 { 0.0 } else { value }))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(points: Vec<(f64, f64)>) -> Panel {
        let line = |name: &str, thin| Line {
            name: name.into(),
            points: points.clone(),
            hue: 0,
            dash: 1,
            thin,
        };
        Panel {
            title: "<title>".into(),
            axes: ["x".into(), "y".into()],
            x: [0.0, 1000.0],
            y: [0.0, 0.2],
            lines: vec![line("one", false), line("one", true), line("two", false)],
            levels: vec![(0.1, "target".into())],
            moments: vec![(990.0, "a change".into())],
        }
    }

    #[test]
    fn a_point_that_is_not_finite_breaks_the_curve_and_names_come_once() {
        let broken = panel(vec![(0.0, 0.1), (1.0, f64::NAN), (2.0, 0.3), (3.0, 0.1)]);
        let text = lines(&[broken], 2, "T", "D").file(1.0);
        roxmltree::Document::parse(&text).unwrap();
        assert!(!text.contains("NaN"), "{text}");
        assert_eq!(text.matches("<path").count(), 6);
        assert_eq!(text.matches(">two</text>").count(), 1);
    }

    #[test]
    fn ticks_are_round_and_lie_within() {
        let texts = |from, to| ticks(from, to).into_iter().map(|(_, t)| t).collect::<Vec<_>>();
        assert_eq!(texts(0.0, 1000.0), ["0", "200", "400", "600", "800", "1000"]);
        assert_eq!(texts(0.85, 0.95), ["0.86", "0.88", "0.90", "0.92", "0.94"]);
        assert_eq!(texts(-0.1, 0.1), ["-0.10", "-0.05", "0.00", "0.05", "0.10"]);
        assert_eq!(texts(3.0, 3.0), ["3"]);
    }
}
