//! The reliability diagram: how often the model is right where it says so.

use super::percent;
use super::svg::{Anchor, Svg};
use crate::metric::{Bin, Calibration};

const SIZE: f64 = 230.0;
const LEFT: f64 = 44.0;
const TOP: f64 = 44.0;
const GAP: f64 = 46.0;
const COUNTS: f64 = 44.0;

/// Draws accuracy over confidence, bin by bin, before calibration and after it
/// where there is an after; its title is the second of the pair.
pub fn reliability(before: &Calibration, after: Option<(&Calibration, &str)>, title: &str) -> Svg {
    let panels = 1.0 + f64::from(u8::from(after.is_some()));
    let width = LEFT + panels * SIZE + (panels - 1.0) * GAP + 12.0;
    let mut description = format!("Before calibration ECE is {}", percent(before.ece));
    if let Some((after, _)) = after {
        description.push_str(&format!("; after it {}", percent(after.ece)));
    }
    let mut svg = Svg::new(width, TOP + SIZE + COUNTS + 46.0, title, &description);
    panel(&mut svg, LEFT, "as the model says", before);
    if let Some((after, name)) = after {
        panel(&mut svg, LEFT + SIZE + GAP, name, after);
    }
    svg
}

fn panel(svg: &mut Svg, left: f64, name: &str, calibration: &Calibration) {
    let bins = &calibration.bins;
    let at = |x: f64, y: f64| (left + SIZE * x, TOP + SIZE * (1.0 - y));
    svg.text(left, 16.0, Anchor::Start, "ink bold", name);
    let figures = format!("ECE {} · MCE {}", percent(calibration.ece), percent(calibration.mce));
    svg.text(left, 34.0, Anchor::Start, "soft", &figures);
    for k in 0..=5 {
        let part = f64::from(k) / 5.0;
        let ((x0, y), (x1, _)) = (at(0.0, part), at(1.0, part));
        svg.line(x0, y, x1, y, "grid");
        svg.text(x0 - 6.0, y + 3.5, Anchor::End, "soft small", &format!("{part:.1}"));
    }
    let most = bins.iter().map(|bin| bin.count).max().unwrap_or(0).max(1) as f64;
    let foot = TOP + SIZE + 22.0 + COUNTS;
    for bin in bins.iter().filter(|bin| bin.count > 0) {
        let (Some(confidence), Some(accuracy)) = (bin.confidence, bin.accuracy) else { continue };
        // A bin of its own for confidence 1 has no width.
        let (low, high) = (bin.low.min(0.985), bin.high.max(bin.low.min(0.985) + 0.015));
        let (x, width) = (left + SIZE * low + 0.75, SIZE * (high - low) - 1.5);
        let tip = tip(bin, confidence, accuracy);
        let (_, top) = at(0.0, accuracy);
        svg.rect(x, top, width, SIZE + TOP - top, "f0", &tip);
        let (_, said) = at(0.0, confidence);
        // Only the gap is told in words by its tip, too: red above means that
        // the model claims more than it keeps.
        let class = if confidence > accuracy { "f1 gap" } else { "f5 gap" };
        svg.rect(x, said.min(top), width, (said - top).abs(), class, &tip);
        svg.line(x, said, x + width, said, "mark");
        let height = COUNTS * bin.count as f64 / most;
        svg.rect(x, foot - height, width, height, "fx", &tip);
    }
    let ((x0, y0), (x1, y1)) = (at(0.0, 0.0), at(1.0, 1.0));
    svg.line(x0, y0, x1, y1, "axis d1");
    svg.line(x0, y0, x1, y0, "axis");
    for k in 0..=5 {
        let part = f64::from(k) / 5.0;
        svg.text(
            left + SIZE * part,
            y0 + 14.0,
            Anchor::Middle,
            "soft small",
            &format!("{part:.1}"),
        );
    }
    svg.line(x0, foot, x1, foot, "axis");
    svg.text(left - 6.0, foot - COUNTS + 9.0, Anchor::End, "soft small", &format!("{most}"));
    svg.text(
        left + SIZE / 2.0,
        foot + 18.0,
        Anchor::Middle,
        "soft",
        "confidence (below: how many)",
    );
    svg.turned(left - 32.0, TOP + SIZE / 2.0, 90.0, Anchor::Middle, "soft", "right");
}

fn tip(bin: &Bin, confidence: f64, accuracy: f64) -> String {
    format!(
        "{:.2}–{:.2}: {} predictions, {} confident, {} right",
        bin.low,
        bin.high,
        bin.count,
        percent(confidence),
        percent(accuracy)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_panels_are_drawn_and_empty_bins_left_out() {
        let bin = |low: f64, count, accuracy| Bin {
            low,
            high: (low + 0.5).min(1.0),
            count,
            confidence: (count > 0).then_some(low + 0.2),
            accuracy,
        };
        let calibration = Calibration {
            ece: 0.1,
            ece_equal_mass: 0.1,
            classwise_ece: 0.1,
            mce: 0.2,
            brier: 0.3,
            nll: 0.4,
            bins: vec![bin(0.0, 0, None), bin(0.5, 9, Some(0.8)), bin(1.0, 2, Some(1.0))],
            equal_mass_bins: vec![],
        };
        let text = reliability(&calibration, Some((&calibration, "after <T>")), "R").file(1.0);
        roxmltree::Document::parse(&text).unwrap();
        assert!(text.contains("after &lt;T&gt;"));
        assert_eq!(text.matches("class=\"f0\"").count(), 4);
    }
}
