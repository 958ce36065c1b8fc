//! How sure the model was where it was right, and where it was wrong.

use super::percent;
use super::svg::{Anchor, Svg};
use crate::metric::ConfidenceBin;

const WIDTH: f64 = 390.0;
const HALF: f64 = 130.0;
const LEFT: f64 = 54.0;
const TOP: f64 = 26.0;

/// Draws right answers upward and wrong ones downward, by confidence.
pub(in crate::report) fn confidence(bins: &[ConfidenceBin], title: &str) -> Svg {
    let sum = |part: fn(&ConfidenceBin) -> u64| bins.iter().map(part).sum::<u64>();
    let (right, wrong) = (sum(|bin| bin.right), sum(|bin| bin.wrong));
    let description = format!("{right} right answers above the line, {wrong} wrong ones below it");
    let mut svg = Svg::new(LEFT + WIDTH + 16.0, TOP + 2.0 * HALF + 62.0, title, &description);
    let most = bins.iter().map(|bin| bin.right.max(bin.wrong)).max().unwrap_or(0).max(1) as f64;
    let zero = TOP + HALF;
    for (y, text) in
        [(TOP, most.to_string()), (zero, "0".to_owned()), (zero + HALF, most.to_string())]
    {
        svg.line(LEFT, y, LEFT + WIDTH, y, "grid");
        svg.text(LEFT - 6.0, y + 3.5, Anchor::End, "soft small", &text);
    }
    let width = WIDTH / bins.len().max(1) as f64;
    for (i, bin) in bins.iter().enumerate() {
        let x = LEFT + width * i as f64 + 0.75;
        let range = format!("{} to {}", percent(bin.low), percent(bin.high));
        let up = HALF * bin.right as f64 / most;
        if bin.right > 0 {
            let tip = format!("{range}: {} right", bin.right);
            svg.rect(x, zero - up, width - 1.5, up, "f0", &tip);
        }
        if bin.wrong > 0 {
            let down = HALF * bin.wrong as f64 / most;
            let tip = format!("{range}: {} wrong", bin.wrong);
            svg.rect(x, zero, width - 1.5, down, "f1", &tip);
        }
    }
    svg.line(LEFT, zero, LEFT + WIDTH, zero, "axis");
    svg.text(LEFT, 15.0, Anchor::Start, "ink", &format!("right, {right}"));
    svg.text(LEFT, zero + HALF + 16.0, Anchor::Start, "ink", &format!("wrong, {wrong}"));
    for k in 0..=5 {
        let x = LEFT + WIDTH * f64::from(k) / 5.0;
        let text = format!("{:.1}", f64::from(k) / 5.0);
        svg.text(x, zero + HALF + 34.0, Anchor::Middle, "soft small", &text);
    }
    svg.text(LEFT + WIDTH / 2.0, zero + HALF + 52.0, Anchor::Middle, "soft", "confidence");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_and_wrong_are_counted() {
        let bins = [
            ConfidenceBin { low: 0.0, high: 0.5, right: 0, wrong: 2 },
            ConfidenceBin { low: 0.5, high: 1.0, right: 5, wrong: 1 },
        ];
        let text = confidence(&bins, "C").file(1.0);
        roxmltree::Document::parse(&text).unwrap();
        assert!(text.contains("5 right answers") && text.contains("3 wrong ones"));
        assert_eq!(
            (text.matches("class=\"f0\"").count(), text.matches("class=\"f1\"").count()),
            (1, 2)
        );
    }
}
