//! By how much one run is better than another.

use super::svg::{Anchor, Svg, n};

/// A figure's difference and its interval.
pub(in crate::report) struct Difference {
    pub name: String,
    pub estimate: Option<f64>,
    pub low: Option<f64>,
    pub high: Option<f64>,
    /// Whether more is better.
    pub more_is_better: bool,
}

const LEFT: f64 = 170.0;
const WIDTH: f64 = 380.0;
const ROW: f64 = 26.0;
const TOP: f64 = 34.0;

/// Draws each difference as a point with its interval; in colour where the
/// interval does not hold zero.
pub(in crate::report) fn differences(rows: &[Difference], title: &str) -> Svg {
    let height = TOP + ROW * rows.len() as f64 + 30.0;
    let description = "Points are differences, lines their intervals; zero is no difference";
    let mut svg = Svg::new(LEFT + WIDTH + 20.0, height, title, description);
    let ends = rows.iter().flat_map(|row| [row.estimate, row.low, row.high]).flatten();
    let reach = ends.map(f64::abs).fold(0.01, f64::max) * 1.1;
    let x = |value: f64| LEFT + WIDTH * (value + reach) / (2.0 * reach);
    let foot = TOP + ROW * rows.len() as f64;
    for part in [-1.0, -0.5, 0.0, 0.5, 1.0] {
        let value = part * reach / 1.1;
        svg.line(x(value), TOP - 8.0, x(value), foot, if part == 0.0 { "axis" } else { "grid" });
        svg.text(x(value), foot + 16.0, Anchor::Middle, "soft small", &n(100.0 * value));
    }
    svg.text(x(-reach), 14.0, Anchor::Start, "soft", "← first is greater");
    svg.text(x(reach), 14.0, Anchor::End, "soft", "second is greater →");
    for (i, row) in rows.iter().enumerate() {
        let y = TOP + ROW * (i as f64 + 0.5);
        svg.text(LEFT - 12.0, y + 4.0, Anchor::End, "ink", &row.name);
        let Some(estimate) = row.estimate else { continue };
        let sure = match (row.low, row.high) {
            (Some(low), _) if low > 0.0 => Some(row.more_is_better),
            (_, Some(high)) if high < 0.0 => Some(!row.more_is_better),
            _ => None,
        };
        let hue = match sure {
            Some(true) => "0",
            Some(false) => "1",
            None => "x",
        };
        let mut tip = format!("{}: {}", row.name, n(100.0 * estimate));
        if let (Some(low), Some(high)) = (row.low, row.high) {
            let ends = [(x(low), y), (x(high), y)];
            tip.push_str(&format!(", from {} to {}", n(100.0 * low), n(100.0 * high)));
            svg.polyline(&ends, &format!("curve thick s{hue}"), "", &tip);
        }
        svg.circle(x(estimate), y, 5.0, &format!("f{hue}"), &tip);
    }
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_in_colour_when_its_interval_leaves_zero_out() {
        let row = |low, high, more_is_better| Difference {
            name: "x".into(),
            estimate: Some((low + high) / 2.0),
            low: Some(low),
            high: Some(high),
            more_is_better,
        };
        let colours = |row| {
            let text = differences(&[row], "D").file(1.0);
            roxmltree::Document::parse(&text).unwrap();
            ["f0\"", "f1\"", "fx\""].map(|c| text.contains(&format!("r=\"5\" class=\"{c}")))
        };
        assert_eq!(colours(row(0.1, 0.2, true)), [true, false, false]);
        assert_eq!(colours(row(0.1, 0.2, false)), [false, true, false]);
        assert_eq!(colours(row(-0.2, -0.1, false)), [true, false, false]);
        assert_eq!(colours(row(-0.1, 0.1, true)), [false, false, true]);
    }
}
