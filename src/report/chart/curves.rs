//! Precision over recall.

use super::palette::HUES;
use super::percent;
use super::svg::{Anchor, Svg, fitted};
use crate::metric::Curve;

/// One class's curve.
pub(in crate::report) struct ClassCurve<'a> {
    pub class: usize,
    pub label: &'a str,
    pub average_precision: Option<f64>,
    pub curve: &'a Curve,
}

const LEFT: f64 = 46.0;
const TOP: f64 = 16.0;
const SIZE: f64 = 280.0;
/// Room for the names on the right.
const NAMES: f64 = 200.0;
/// With more classes than this only the best and the worst are named.
const ALL_NAMED: usize = HUES - 1;
/// How many of each then are.
const EXTREMES: usize = 3;
/// Curves drawn without a name, at most.
const UNNAMED: usize = 60;

/// Draws the curve of all classes together and of each; of many classes the best
/// and the worst have a colour and a name.
pub(in crate::report) fn curves(micro: &Curve, classes: &[ClassCurve<'_>], title: &str) -> Svg {
    let mut order: Vec<&ClassCurve<'_>> = classes.iter().collect();
    let ap = |c: &ClassCurve<'_>| c.average_precision.unwrap_or(0.0);
    order.sort_by(|a, b| ap(b).total_cmp(&ap(a)).then(a.class.cmp(&b.class)));
    let named: Vec<&ClassCurve<'_>> = if order.len() <= ALL_NAMED {
        order.clone()
    } else {
        let worst = order.len() - EXTREMES;
        order[..EXTREMES].iter().chain(&order[worst..]).copied().collect()
    };
    let description =
        format!("Precision over recall of {} classes and of all together", classes.len());
    let mut svg = Svg::new(LEFT + SIZE + NAMES, TOP + SIZE + 46.0, title, &description);
    let at = |x: f64, y: f64| (LEFT + SIZE * x, TOP + SIZE * (1.0 - y));
    for k in 0..=5 {
        let part = f64::from(k) / 5.0;
        let ((x, y0), (_, y1)) = (at(part, 0.0), at(part, 1.0));
        svg.line(x, y0, x, y1, "grid");
        svg.text(x, y0 + 16.0, Anchor::Middle, "soft small", &format!("{part:.1}"));
        let ((x0, y), (x1, _)) = (at(0.0, part), at(1.0, part));
        svg.line(x0, y, x1, y, "grid");
        svg.text(x0 - 6.0, y + 3.5, Anchor::End, "soft small", &format!("{part:.1}"));
    }
    svg.text(LEFT + SIZE / 2.0, TOP + SIZE + 36.0, Anchor::Middle, "soft", "recall");
    svg.turned(12.0, TOP + SIZE / 2.0, 90.0, Anchor::Middle, "soft", "precision");
    let points =
        |curve: &Curve| steps(curve).into_iter().map(|(x, y)| at(x, y)).collect::<Vec<_>>();
    let tip = |c: &ClassCurve<'_>| match c.average_precision {
        Some(ap) => format!("{}: AP {}", c.label, percent(ap)),
        None => c.label.to_owned(),
    };
    let is_named = |class: usize| named.iter().any(|c| c.class == class);
    for class in order.iter().filter(|c| !is_named(c.class)).take(UNNAMED) {
        let more = format!(" data-class=\"{}\"", class.class);
        svg.polyline(&points(class.curve), "curve thin sx", &more, &tip(class));
    }
    let (x, mut y) = (LEFT + SIZE + 14.0, TOP + 8.0);
    svg.line(x, y - 4.0, x + 22.0, y - 4.0, "curve thick axis");
    svg.text(x + 28.0, y, Anchor::Start, "ink bold", "all classes (micro)");
    y += 22.0;
    for (i, class) in named.iter().enumerate() {
        if order.len() > ALL_NAMED && (i == 0 || i == EXTREMES) {
            let text = if i == 0 { "best by AP" } else { "worst by AP" };
            y += 4.0;
            svg.text(x, y, Anchor::Start, "soft small", text);
            y += 16.0;
        }
        // A dash tells the curves apart where hues do not.
        let style = format!("curve s{} d{}", i % HUES, i % 4);
        let more = format!(" data-class=\"{}\"", class.class);
        svg.polyline(&points(class.curve), &style, &more, &tip(class));
        svg.line(x, y - 4.0, x + 22.0, y - 4.0, &style);
        let share = class.average_precision.map(percent).unwrap_or_default();
        let name = fitted(class.label, NAMES - 98.0);
        svg.text(x + 28.0, y, Anchor::Start, "ink", &name);
        svg.text(LEFT + SIZE + NAMES - 4.0, y, Anchor::End, "soft", &share);
        y += 18.0;
    }
    if order.len() > ALL_NAMED {
        y += 4.0;
        svg.line(x, y - 4.0, x + 22.0, y - 4.0, "curve thin sx");
        svg.text(x + 28.0, y, Anchor::Start, "soft", "other classes");
    }
    svg.polyline(&points(micro), "curve thick axis", "", "all classes together (micro)");
    svg
}

/// The curve as average precision adds it up: each precision holds from the
/// recall before it to its own (Davis and Goadrich, "The Relationship Between
/// Precision-Recall and ROC Curves", ICML 2006: lines between points would
/// promise too much).
fn steps(curve: &Curve) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = curve.points.iter().map(|p| (p.x, p.y)).collect();
    if points.first().zip(points.last()).is_some_and(|(first, last)| first.0 > last.0) {
        points.reverse();
    }
    let mut steps: Vec<(f64, f64)> = Vec::with_capacity(2 * points.len());
    for (recall, precision) in points {
        if let Some(&(before, level)) = steps.last()
            && recall > before
            && level != precision
        {
            steps.push((before, precision));
        }
        steps.push((recall, precision));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Point;

    #[test]
    fn a_precision_holds_up_to_its_recall() {
        let point = |x, y| Point { x, y, threshold: None };
        let curve = Curve { points: vec![point(1.0, 0.5), point(0.5, 0.75), point(0.0, 1.0)] };
        assert_eq!(steps(&curve), [(0.0, 1.0), (0.0, 0.75), (0.5, 0.75), (0.5, 0.5), (1.0, 0.5)]);
    }

    #[test]
    fn every_class_has_a_curve_and_of_many_only_some_have_names() {
        let point = |x, y| Point { x, y, threshold: None };
        let curve = Curve { points: vec![point(0.0, 1.0), point(1.0, 0.4)] };
        let labels: Vec<String> = (0..50).map(|i| format!("<class {i}>")).collect();
        for count in [1, 7, 8, 50] {
            let classes: Vec<ClassCurve<'_>> = (0..count)
                .map(|class| ClassCurve {
                    class,
                    label: &labels[class],
                    average_precision: Some(class as f64 / 50.0),
                    curve: &curve,
                })
                .collect();
            let text = curves(&curve, &classes, "PR").file(1.0);
            roxmltree::Document::parse(&text).unwrap();
            assert_eq!(text.matches("data-class").count(), count);
        }
    }
}
