//! A stream's figures over time, as small charts side by side.

use super::columns::value;
use super::history::{History, Row, is_restart};
use crate::report::chart::{self, Panel, Svg};

/// Points of a curve that can be told apart in a chart.
const POINTS: usize = 600;
/// A pause of more intervals than this breaks a curve.
const PAUSE: f64 = 2.5;
/// Over fewer clips than this a window's figures jump about: they are in the
/// tables, and no part of a curve.
pub(super) const FEWEST: f64 = 30.0;
/// Alarms nearer to each other than this share of the axis are named together.
const NEAR: f64 = 0.04;
/// More alarms than this have no numbers in the charts.
const NUMBERED: usize = 12;

/// Where each row lies from left to right.
pub(super) struct Axis {
    /// Of each row, in units.
    x: Vec<f64>,
    /// Of the last row.
    end: f64,
    /// What is counted, with its unit.
    pub name: String,
    /// From line to line, in units.
    interval: f64,
    /// Seconds in a unit.
    unit: f64,
}

/// Units by the time that has to fit: up to so many seconds, the unit's length
/// and its name.
const UNITS: [(f64, f64, &str); 4] = [
    (300.0, 1.0, "seconds"),
    (4.0 * 3600.0, 60.0, "minutes"),
    (4.0 * 86_400.0, 3600.0, "hours"),
    (f64::INFINITY, 86_400.0, "days"),
];

impl Axis {
    /// The wall clock where the stream ran in real time; its own clock where a
    /// recording was played faster, each start of the daemon after the one before.
    pub fn of(history: &History) -> Axis {
        let rows = &history.rows;
        let own = own_clock(rows);
        let of_stream = own.last().copied().unwrap_or_default();
        let wall = wall_clock(rows)
            .filter(|wall| 2.0 * wall.last().copied().unwrap_or_default() >= of_stream);
        let real_time = wall.is_some();
        let seconds = wall.unwrap_or(own);
        let span = seconds.last().copied().unwrap_or_default();
        let (_, unit, name) =
            UNITS.into_iter().find(|(most, ..)| span <= *most).unwrap_or(UNITS[0]);
        let since = rows.first().map_or("", |row| row.at.get(..16).unwrap_or(&row.at));
        let name = match real_time {
            true => format!("{name} since {} UTC", since.replace('T', " ")),
            false => format!("{name} of the stream"),
        };
        Axis {
            x: seconds.iter().map(|s| s / unit).collect(),
            end: span / unit,
            name,
            interval: history.last.interval / unit,
            unit,
        }
    }
}

/// Seconds since the first row on the stream's own clock; where that began anew,
/// from there on.
fn own_clock(rows: &[Row]) -> Vec<f64> {
    let (mut passed, mut before) = (0.0, None);
    let mut x = Vec::with_capacity(rows.len());
    for row in rows {
        passed += match before {
            None => 0.0,
            Some(before) if row.t >= before => row.t - before,
            Some(_) => row.t.max(0.0),
        };
        before = Some(row.t);
        x.push(passed);
    }
    x
}

/// Seconds since the first row by the wall clock; `None` where a stamp cannot be
/// read or the clock was set back.
fn wall_clock(rows: &[Row]) -> Option<Vec<f64>> {
    let mut x: Vec<f64> = Vec::with_capacity(rows.len());
    let mut first = None;
    for row in rows {
        let at = seconds_of(&row.at)?;
        let seconds = at - *first.get_or_insert(at);
        if x.last().is_some_and(|last| seconds < *last) {
            return None;
        }
        x.push(seconds);
    }
    Some(x)
}

/// Seconds since 1970 of a stamp as the log has it, `2026-11-22T09:30:02.412Z`.
fn seconds_of(at: &str) -> Option<f64> {
    let number = |from: usize, to: usize| at.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let second: f64 = at.get(17..)?.strip_suffix('Z')?.parse().ok()?;
    // Years that begin in March end with the leap day.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let before = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5;
    let days = before + day - 719_469;
    Some((days * 86_400 + number(11, 13)? * 3600 + number(14, 16)? * 60) as f64 + second)
}

/// What a panel shows.
struct Plot {
    title: &'static str,
    /// The name of y.
    y: &'static str,
    /// Columns with what the legend calls them.
    curves: &'static [(&'static str, &'static str)],
    /// The least that y always reaches down to and up to.
    holds: [f64; 2],
    /// What it can never pass.
    bounds: [f64; 2],
    /// The column of a level to be held, and what it is called.
    level: Option<(&'static str, &'static str)>,
}

const SHARE: [f64; 2] = [0.0, 1.0];
const POSITIVE: [f64; 2] = [0.0, f64::INFINITY];
const NOTHING: [f64; 2] = [f64::INFINITY, f64::NEG_INFINITY];
const RAW: &str = "raw";
const CALIBRATED: &str = "calibrated";

/// Columns that say how many, whatever that is.
const COUNTS: [&str; 2] = ["window_samples", "window_effective"];

/// Every panel, of which those that have a figure are drawn.
const PLOTS: [Plot; 9] = [
    Plot {
        title: "How often right (top-1, or exact match)",
        y: "share",
        curves: &[("window_accuracy", CALIBRATED), ("window_accuracy_raw", RAW)],
        holds: NOTHING,
        bounds: SHARE,
        level: None,
    },
    Plot {
        title: "Calibration error (ECE), less is better",
        y: "ECE",
        curves: &[("window_ece", CALIBRATED), ("window_ece_raw", RAW)],
        holds: [0.0, 0.02],
        bounds: SHARE,
        level: None,
    },
    Plot {
        title: "Log-loss (NLL), less is better",
        y: "nats",
        curves: &[("window_nll", CALIBRATED), ("window_nll_raw", RAW)],
        holds: [0.0, 0.1],
        bounds: POSITIVE,
        level: None,
    },
    Plot {
        title: "Coverage of prediction sets",
        y: "share",
        curves: &[("window_coverage", CALIBRATED)],
        holds: NOTHING,
        bounds: SHARE,
        level: Some(("target", "target")),
    },
    Plot {
        title: "Classes in a set, on average",
        y: "classes",
        curves: &[("window_set_size", CALIBRATED)],
        holds: [0.0, 1.0],
        bounds: POSITIVE,
        level: None,
    },
    Plot {
        title: "Temperature",
        y: "T",
        curves: &[("temperature", CALIBRATED)],
        holds: [0.9, 1.1],
        bounds: POSITIVE,
        level: None,
    },
    Plot {
        title: "Macro-F1",
        y: "share",
        curves: &[("window_macro_f1", CALIBRATED), ("window_macro_f1_raw", RAW)],
        holds: NOTHING,
        bounds: SHARE,
        level: None,
    },
    Plot {
        title: "Brier score, less is better",
        y: "score",
        curves: &[("window_brier", CALIBRATED), ("window_brier_raw", RAW)],
        holds: [0.0, 0.05],
        bounds: POSITIVE,
        level: None,
    },
    Plot {
        title: "Labelled clips in the window",
        y: "clips",
        curves: &[("window_samples", "clips"), ("window_effective", "that do not overlap")],
        holds: [0.0, 10.0],
        bounds: POSITIVE,
        level: None,
    },
];

/// The charts that a stream has figures for.
pub(super) fn plots(history: &History, axis: &Axis) -> Vec<(&'static str, Svg)> {
    let draw = |plot: &Plot| {
        let panel = panel(plot, history, axis)?;
        let description = format!(
            "{} of stream {} over {} lines of its accuracy log",
            plot.title,
            history.stream,
            history.rows.len()
        );
        Some((plot.title, chart::lines(&[panel], 1, plot.title, &description)))
    };
    PLOTS.iter().filter_map(draw).collect()
}

fn panel(plot: &Plot, history: &History, axis: &Axis) -> Option<Panel> {
    let mut lines = Vec::new();
    let [mut low, mut high] = plot.holds;
    for (at, (column, name)) in plot.curves.iter().enumerate() {
        let points = points(&history.rows, axis, column);
        for (_, y) in points.iter().filter(|(_, y)| y.is_finite()) {
            (low, high) = (low.min(*y), high.max(*y));
        }
        if points.iter().any(|(_, y)| y.is_finite()) {
            let points = thinned(points);
            let name = (*name).to_owned();
            lines.push(chart::Line { name, points, hue: at, dash: at, thin: false });
        }
    }
    if lines.is_empty() {
        return None;
    }
    // The first curve matters most: it is drawn last, over the others.
    lines.reverse();
    let mut levels = Vec::new();
    if let Some((column, name)) = plot.level {
        let level = history.rows.last().map_or(f64::NAN, |row| value(row, column));
        if level.is_finite() {
            (low, high) = (low.min(level), high.max(level));
            levels.push((level, format!("{name} {level:.2}")));
        }
    }
    let room = (0.08 * (high - low)).max(0.01 * high.abs()).max(1e-3);
    let y = [(low - room).max(plot.bounds[0]), (high + room).min(plot.bounds[1])];
    Some(Panel {
        title: plot.title.to_owned(),
        axes: [axis.name.clone(), plot.y.to_owned()],
        x: [0.0, axis.end.max(axis.interval).max(1e-6)],
        y: if y[1] - y[0] > 1e-9 { y } else { [(y[0] - 0.05).max(plot.bounds[0]), y[1]] },
        lines,
        levels,
        moments: moments(history, axis),
    })
}

/// The drift alarms, by their numbers where there are few.
fn moments(history: &History, axis: &Axis) -> Vec<(f64, String)> {
    let numbered = history.alarms.len() <= NUMBERED;
    let mark = |(i, (row, mark)): (usize, &(usize, crate::accuracy::Mark))| {
        let at = *axis.x.get(*row)?;
        // Told with the line after it: as much earlier as it was raised.
        let late = history.rows.get(*row).map_or(0.0, |row| row.t - mark.t);
        let x = (at - late.max(0.0) / axis.unit).max(0.0);
        Some((x, if numbered { (i + 1).to_string() } else { String::new() }))
    };
    let mut moments: Vec<(f64, String)> =
        history.alarms.iter().enumerate().filter_map(mark).collect();
    for at in (1..moments.len()).rev() {
        let (before, own) = moments.split_at_mut(at);
        if let (Some((x, name)), Some((own_x, own_name))) = (before.last_mut(), own.first_mut())
            && numbered
            && *own_x - *x < NEAR * axis.end
        {
            *name = format!("{name}, {}", std::mem::take(own_name));
        }
    }
    moments
}

/// A curve, broken where the daemon was started again or paused.
fn points(rows: &[Row], axis: &Axis, column: &str) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::with_capacity(rows.len());
    for (at, (row, &x)) in rows.iter().zip(&axis.x).enumerate() {
        if at > 0 && (is_restart(&rows[at - 1], row) || x - axis.x[at - 1] > PAUSE * axis.interval)
        {
            points.push((x, f64::NAN));
        }
        let few = column.starts_with("window_")
            && !COUNTS.contains(&column)
            && value(row, "window_samples") < FEWEST;
        points.push((x, if few { f64::NAN } else { value(row, column) }));
    }
    points
}

/// Of very many points, in each stretch the least and the greatest, and each
/// break.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if points.len() <= POINTS {
        return points;
    }
    let stretch = points.len().div_ceil(POINTS / 2);
    let mut kept = Vec::new();
    for part in points.chunks(stretch) {
        let finite = || part.iter().enumerate().filter(|(_, (_, y))| y.is_finite());
        let by = |a: &(usize, &(f64, f64)), b: &(usize, &(f64, f64))| a.1.1.total_cmp(&b.1.1);
        let broken = part.iter().position(|(_, y)| !y.is_finite());
        let mut chosen: Vec<usize> =
            [finite().min_by(by), finite().max_by(by)].into_iter().flatten().map(|p| p.0).collect();
        chosen.extend(broken);
        chosen.sort_unstable();
        chosen.dedup();
        kept.extend(chosen.into_iter().filter_map(|at| part.get(at)));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_extremes_and_breaks() {
        let mut points: Vec<(f64, f64)> =
            (0..10_000).map(|i| (f64::from(i), f64::from(i % 7))).collect();
        points[5_000].1 = 99.0;
        points[6_000].1 = f64::NAN;
        let kept = thinned(points.clone());
        assert!(kept.len() <= POINTS + 2, "{}", kept.len());
        assert!(kept.contains(&(5_000.0, 99.0)));
        assert_eq!(kept.iter().filter(|(_, y)| y.is_nan()).count(), 1);
        assert!(kept.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(thinned(points[..600].to_vec()), points[..600]);
    }

    #[test]
    fn stamps_are_read_as_they_are_written() {
        for (at, seconds) in [
            ("1970-01-01T00:00:00.000Z", 0.0),
            ("2000-02-29T12:00:00.500Z", 951_825_600.5),
            ("2026-11-22T09:30:02.412Z", 1_795_339_802.412),
        ] {
            assert_eq!(seconds_of(at), Some(seconds), "{at}");
        }
        assert_eq!(seconds_of("x"), None);
        assert_eq!(seconds_of("2026-11-22T09:30:02.412+01:00"), None);
    }

    #[test]
    fn the_streams_own_clock_goes_on_after_a_restart() {
        let row = |t: f64, at: &str| Row {
            at: at.into(),
            t,
            values: Vec::new(),
            top_k: Default::default(),
        };
        let rows = [row(60.0, "2026-11-22T09:00:00.000Z"), row(120.0, "x"), row(30.0, "x")];
        assert_eq!(own_clock(&rows), [0.0, 60.0, 90.0]);
        assert_eq!(wall_clock(&rows), None);
        let later = row(61.0, "2026-11-22T09:00:01.500Z");
        assert_eq!(wall_clock(&[row(60.0, &rows[0].at), later]), Some(vec![0.0, 1.5]));
    }
}
