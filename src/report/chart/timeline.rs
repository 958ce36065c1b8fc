//! What was there and what was said, over a video's time.

use std::collections::{BTreeMap, BTreeSet};

use super::palette::HUES;
use super::svg::{Anchor, Svg, fitted, n, width_of};
use crate::report::timeline::{Bar, Timeline};

const WIDTH: f64 = 760.0;
const LEFT: f64 = 84.0;
const LANE: f64 = 22.0;
/// A bar narrower than this, pixels, is drawn together with its neighbours.
const NARROWEST: f64 = 0.75;

/// Which colour a label has: of the labels that fill most of the time one of its
/// own, the same in every video.
pub(in crate::report) struct Hues(BTreeMap<String, String>);

impl Hues {
    /// For these timelines.
    pub fn of<'a>(timelines: impl IntoIterator<Item = &'a Timeline>) -> Self {
        let mut time: BTreeMap<&str, f64> = BTreeMap::new();
        for bar in timelines.into_iter().flat_map(|t| t.truth.iter().chain(&t.predicted)) {
            *time.entry(&bar.label).or_default() += bar.end - bar.start;
        }
        let mut order: Vec<(&str, f64)> = time.into_iter().collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
        let hue = |i: usize| if i < HUES { i.to_string() } else { "x".to_owned() };
        Hues(order.into_iter().enumerate().map(|(i, (l, _))| (l.to_owned(), hue(i))).collect())
    }

    fn get(&self, label: &str) -> &str {
        self.0.get(label).map_or("x", String::as_str)
    }
}

/// Draws the truth above, below it what was predicted and the events. Bars of
/// one lane that overlap lie in rows.
pub(in crate::report) fn timeline(timeline: &Timeline, hues: &Hues) -> Svg {
    let seconds = timeline.seconds.max(1e-3);
    let x = |t: f64| LEFT + WIDTH * (t / seconds).clamp(0.0, 1.0);
    let mut lanes =
        vec![("truth", rows(&timeline.truth)), ("predicted", rows(&timeline.predicted))];
    if let Some(events) = &timeline.events {
        lanes.push(("events", rows(events)));
    }
    let height: f64 = lanes.iter().map(|(_, rows)| LANE * rows.len().max(1) as f64 + 6.0).sum();
    let legend = legend(timeline, hues);
    let legend_height = 20.0 * legend.len() as f64;
    let description = format!(
        "{} seconds: {} annotated spans, {} predicted",
        n(seconds),
        timeline.truth.len(),
        timeline.predicted.len()
    );
    let mut svg =
        Svg::new(LEFT + WIDTH + 14.0, height + 30.0 + legend_height, &timeline.video, &description);
    let step = step(seconds);
    for k in 0..=(seconds / step).floor() as usize {
        let t = k as f64 * step;
        svg.line(x(t), 0.0, x(t), height, "grid");
        svg.text(x(t), height + 14.0, Anchor::Middle, "soft small", &clock(t));
    }
    let mut y = 2.0;
    for (name, rows) in &lanes {
        svg.text(LEFT - 8.0, y + 15.0, Anchor::End, "soft", name);
        for row in rows {
            lane(&mut svg, row, y, &x, hues);
            y += LANE;
        }
        if rows.is_empty() {
            y += LANE;
        }
        y += 6.0;
    }
    for (i, line) in legend.iter().enumerate() {
        let y = height + 26.0 + 20.0 * i as f64;
        let mut at = LEFT;
        for (label, hue) in line {
            svg.rect(at, y, 12.0, 12.0, &format!("f{hue}"), "");
            svg.text(at + 17.0, y + 10.5, Anchor::Start, "ink", label);
            at += 33.0 + width_of(label);
        }
    }
    svg
}

fn lane(svg: &mut Svg, bars: &[&Bar], y: f64, x: &impl Fn(f64) -> f64, hues: &Hues) {
    let mut drawn_to = f64::NEG_INFINITY;
    for bar in bars {
        let (from, to) = (x(bar.start), x(bar.end));
        // Of bars too narrow to see, as many as there are pixels.
        if to - from < NARROWEST && from < drawn_to {
            continue;
        }
        let width = (to - from).max(NARROWEST);
        drawn_to = from + width;
        let hue = hues.get(&bar.label);
        // A narrow bar must not drown in its own edge.
        let edge = if width > 3.0 { " edge" } else { "" };
        let tip = format!("{}, {} to {} s", bar.label, n(bar.start), n(bar.end));
        svg.rect(from, y, width, LANE - 3.0, &format!("f{hue}{edge}"), &tip);
        let text = fitted(&bar.label, width - 8.0);
        if text.chars().count() >= 3 || text == bar.label {
            svg.text(from + 4.0, y + 13.5, Anchor::Start, &format!("t{hue}"), &text);
        }
    }
}

/// Bars in rows, so that none covers another.
fn rows(bars: &[Bar]) -> Vec<Vec<&Bar>> {
    let mut rows: Vec<Vec<&Bar>> = Vec::new();
    for bar in bars {
        let free = rows.iter_mut().find(|row| row.last().is_none_or(|last| last.end <= bar.start));
        match free {
            Some(row) => row.push(bar),
            None => rows.push(vec![bar]),
        }
    }
    rows
}

/// The labels that have a hue, in lines that fit.
fn legend(timeline: &Timeline, hues: &Hues) -> Vec<Vec<(String, String)>> {
    let bars = timeline.truth.iter().chain(&timeline.predicted);
    let labels: BTreeSet<&str> = bars.map(|bar| bar.label.as_str()).collect();
    let mut order: Vec<(&str, &str)> =
        labels.into_iter().map(|label| (label, hues.get(label))).collect();
    order.sort_by_key(|&(label, hue)| (hue, label));
    let mut entries: Vec<(String, String)> = order
        .iter()
        .filter(|(_, hue)| *hue != "x")
        .map(|(label, hue)| (fitted(label, 200.0), (*hue).to_owned()))
        .collect();
    let others = order.len() - entries.len();
    if others > 0 {
        entries.push((format!("{others} more"), "x".to_owned()));
    }
    let mut lines: Vec<Vec<(String, String)>> = Vec::new();
    let mut room = 0.0;
    for entry in entries {
        let width = 33.0 + width_of(&entry.0);
        match lines.last_mut() {
            Some(line) if width <= room => line.push(entry),
            _ => {
                room = WIDTH;
                lines.push(vec![entry]);
            }
        }
        room -= width;
    }
    lines
}

/// Seconds between two marks: some 8 of them, at round times.
fn step(seconds: f64) -> f64 {
    const ROUND: [f64; 13] =
        [0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];
    let fits = |step: &&f64| seconds / **step <= 10.0;
    ROUND.iter().find(fits).copied().unwrap_or_else(|| (seconds / 10.0 / 3600.0).ceil() * 3600.0)
}

/// Seconds as minutes and seconds, or as hours too.
fn clock(t: f64) -> String {
    let whole = t as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, _) if t.fract() > 0.0 => format!("{t:.1}"),
        (0, minutes, seconds) => format!("{minutes}:{seconds:02}"),
        (hours, minutes, seconds) => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(start: f64, end: f64, label: &str) -> Bar {
        Bar { start, end, label: label.into() }
    }

    #[test]
    fn overlapping_bars_lie_in_rows_and_hours_of_flicker_stay_small() {
        let flicker: Vec<Bar> = (0..36_000)
            .map(|i| {
                bar(f64::from(i) / 10.0, f64::from(i + 1) / 10.0, ["<a>", "b"][i as usize % 2])
            })
            .collect();
        let video = Timeline {
            video: "v".into(),
            seconds: 3600.0,
            truth: vec![bar(0.0, 1800.0, "<a>"), bar(900.0, 2700.0, "b"), bar(2000.0, 3000.0, "c")],
            predicted: flicker,
            events: Some(vec![]),
        };
        let text = timeline(&video, &Hues::of([&video])).file(1.0);
        roxmltree::Document::parse(&text).unwrap();
        assert!(text.len() < 250_000, "{}", text.len());
        assert!(text.contains("&lt;a&gt;, 0 to 1800 s"));
    }

    #[test]
    fn marks_stand_at_round_times() {
        assert_eq!((step(7.3), step(95.0), step(4000.0)), (1.0, 10.0, 600.0));
        assert_eq!(
            (clock(0.5), clock(75.0), clock(3725.0)),
            ("0.5".into(), "1:15".into(), "1:02:05".into())
        );
        assert!(step(1e6) >= 1e5 / 3600.0);
    }
}
