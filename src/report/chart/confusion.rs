//! The confusion matrix as a heat map.

use std::fmt::Write as _;

use super::palette::STEPS;
use super::percent;
use super::svg::{Anchor, Svg, fitted, n, width_of};

/// From here on there is no room for names beside the rows.
const NAMED: usize = 60;
/// Up to here there is room for a figure in each cell.
const FIGURED: usize = 20;
/// The matrix's width, pixels.
const SIZE: f64 = 600.0;
const LEGEND: f64 = 52.0;

/// Where the cells lie in the picture, for whoever points at them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::report) struct Cells {
    pub left: f64,
    pub top: f64,
    /// Width and height of one.
    pub size: f64,
}

/// Draws counts (rows are the truth), each row divided by its sum.
pub(in crate::report) fn confusion(
    counts: &[Vec<u64>],
    labels: &[String],
    title: &str,
) -> (Svg, Cells) {
    let count = labels.len().max(1);
    let named = count <= NAMED;
    let cell = (SIZE / count as f64).min(56.0);
    let size = cell * count as f64;
    let longest = labels.iter().map(|label| width_of(label)).fold(0.0, f64::max).clamp(30.0, 170.0);
    // Columns' names stand at 60°: they reach to the right, too.
    let (left, top) = if named { (longest + 26.0, longest * 0.87 + 34.0) } else { (52.0, 40.0) };
    let right = if named { longest * 0.5 + 10.0 } else { 14.0 };
    let cells = Cells { left, top, size: cell };
    let (hits, all) = counts.iter().enumerate().fold((0, 0), |(hits, all), (i, row)| {
        (hits + row.get(i).copied().unwrap_or(0), all + row.iter().sum::<u64>())
    });
    let description = format!(
        "Rows are the true class, columns the predicted one, {} classes; {hits} of {all} lie on the diagonal",
        labels.len()
    );
    let width = (left + size + right).max(left + 260.0);
    let mut svg = Svg::new(width, top + size + LEGEND, title, &description);

    svg.rect(left, top, size, size, "none", "");
    let mut steps = vec![String::new(); STEPS + 1];
    let mut figures = Vec::new();
    for (i, row) in counts.iter().enumerate() {
        let sum: u64 = row.iter().sum();
        for (j, &hits) in row.iter().enumerate().filter(|(_, hits)| **hits > 0) {
            let share = hits as f64 / sum as f64;
            let step = ((share * STEPS as f64).ceil() as usize).clamp(1, STEPS);
            let _ = write!(steps[step], "M{j} {i}h1v1h-1z");
            figures.push((i, j, share, step));
        }
    }
    let scale = n(cell);
    let mut group = format!("<g transform=\"translate({} {}) scale({scale})\">", n(left), n(top));
    for (step, path) in steps.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
        let _ = write!(group, "<path class=\"h{step}\" d=\"{path}\"/>");
    }
    group.push_str("</g>");
    svg.raw(&group);
    if count <= FIGURED {
        for (i, j, share, step) in figures {
            let class = if step > STEPS / 2 { "hhi small" } else { "hlo small" };
            let (x, y) = (left + (j as f64 + 0.5) * cell, top + (i as f64 + 0.5) * cell + 3.5);
            let text = match share {
                share if share >= 0.995 => "100".to_owned(),
                share if share < 0.005 => "<1".to_owned(),
                share => format!("{:.0}", 100.0 * share),
            };
            svg.text(x, y, Anchor::Middle, class, &text);
        }
    }
    if named {
        let class = if cell < 11.0 { "ink small" } else { "ink" };
        for (i, label) in labels.iter().enumerate() {
            let middle = (i as f64 + 0.5) * cell;
            let label = fitted(label, longest + 2.0);
            svg.text(left - 6.0, top + middle + 4.0, Anchor::End, class, &label);
            svg.turned(left + middle + 3.0, top - 6.0, 60.0, Anchor::Start, class, &label);
        }
    } else {
        let tick = if count > 250 { 50 } else { 20 };
        for i in (0..count).step_by(tick) {
            let middle = (i as f64 + 0.5) * cell;
            svg.text(left - 6.0, top + middle + 4.0, Anchor::End, "soft small", &i.to_string());
            svg.text(left + middle, top - 6.0, Anchor::Middle, "soft small", &i.to_string());
        }
    }
    svg.turned(12.0, top + size / 2.0, 90.0, Anchor::Middle, "soft", "true class");
    svg.text(left + size / 2.0, 14.0, Anchor::Middle, "soft", "predicted class");

    let (y, step_width) = (top + size + 20.0, 9.0);
    for step in 1..=STEPS {
        let x = left + (step - 1) as f64 * step_width;
        let to = percent(step as f64 / STEPS as f64);
        svg.rect(x, y, step_width + 0.2, 10.0, &format!("h{step}"), &format!("up to {to}"));
    }
    let end = left + STEPS as f64 * step_width;
    svg.text(left, y + 23.0, Anchor::Start, "soft small", "0");
    svg.text(end, y + 23.0, Anchor::End, "soft small", "100 %");
    svg.text(left + 20.0, y + 23.0, Anchor::Start, "soft small", "of the true class (row)");
    (svg, cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("class <{i}>")).collect()
    }

    #[test]
    fn rows_are_shares_and_names_are_there_while_there_is_room() {
        let (svg, cells) = confusion(&[vec![3, 1], vec![0, 0]], &labels(2), "Confusion");
        let text = svg.file(1.0);
        assert!(text.contains(">75<") && text.contains(">25<") && text.contains("class &lt;0&gt;"));
        assert!(text.contains("3 of 4 lie on the diagonal"));
        assert!(cells.size > 10.0);
        roxmltree::Document::parse(&text).unwrap();
    }

    #[test]
    fn four_hundred_classes_stay_small() {
        let counts: Vec<Vec<u64>> = (0..400)
            .map(|i| (0..400).map(|j| u64::from(i == j || (i * 7 + j * 13) % 40 == 0)).collect())
            .collect();
        let (svg, cells) = confusion(&counts, &labels(400), "Confusion");
        let text = svg.file(1.0);
        assert!(text.len() < 200_000, "{} bytes", text.len());
        assert!(cells.size >= 1.5 && !text.contains("class &lt;7"));
        roxmltree::Document::parse(&text).unwrap();
    }
}
