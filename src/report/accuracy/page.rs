//! `accuracy.html`: accuracy logs for people.

use std::fmt::Write as _;
use std::time::Duration;

use super::history::History;
use super::plots::{Axis, FEWEST, plots};
use crate::accuracy::{Counts, Figures, Level};
use crate::duration::HumanDuration;
use crate::metric::Task;
use crate::report::chart::{escape, percent};
use crate::report::page::{Cell, Table, counted, document, section};

/// Alarms that are listed; of more, the last.
const LISTED: usize = 200;

/// The whole page.
pub(super) fn page(histories: &[History]) -> String {
    let mut body = format!(
        "<header><h1>Accuracy while it ran</h1><p class=\"sub\">{}, as the accuracy log tells. <b>Raw</b> is what the model says; <b>calibrated</b> is what was predicted, always with what had been learned before.</p>",
        counted(histories.len() as u64, "stream")
    );
    if histories.len() > 1 {
        body.push_str("<nav aria-label=\"Streams\"><ul>");
        for (at, history) in histories.iter().enumerate() {
            let _ =
                write!(body, "<li><a href=\"#stream-{at}\">{}</a></li>", escape(&history.stream));
        }
        body.push_str("</ul></nav>");
    }
    body.push_str("</header><main id=\"main\">");
    for (at, history) in histories.iter().enumerate() {
        body.push_str(&section(
            &format!("stream-{at}"),
            &escape(&history.stream),
            &stream(history),
        ));
    }
    let _ = write!(
        body,
        "</main><footer>Made by kinewatch {} from accuracy logs; <code>accuracy.csv</code> and <code>accuracy.json</code> beside this page hold every figure.</footer>",
        env!("CARGO_PKG_VERSION")
    );
    document("Accuracy – kinewatch", &body)
}

fn stream(history: &History) -> String {
    let (last, rows) = (&history.last, &history.rows);
    let mut body = String::from("<p class=\"sub\">");
    if let (Some(first), Some(end)) = (rows.first(), rows.last()) {
        let _ = write!(body, "{} from {}", counted(rows.len() as u64, "line"), escape(&first.at));
        if rows.len() > 1 {
            let _ = write!(body, " to {}", escape(&end.at));
        }
    }
    let restarts = history.restarts();
    if restarts > 0 {
        let _ = write!(
            body,
            "; the daemon was started again {}, and what is “since the start” since the last time",
            match restarts {
                1 => "once".to_owned(),
                n => format!("{n} times"),
            }
        );
    }
    body.push_str(".</p>");
    body.push_str(&headline(history));
    body.push_str(&counts(&last.counts));
    let axis = Axis::of(history);
    let charts = plots(history, &axis);
    if !charts.is_empty() {
        let _ = write!(
            body,
            "<h3>Over time</h3><p class=\"note\">Each point is over the last {} of the stream; where fewer than {FEWEST} of its clips are labelled there is none{}.</p><div class=\"plots\">",
            reach(last.window.seconds),
            match history.alarms.is_empty() {
                true => "",
                false => "; upright lines are drift alarms, numbered as below",
            }
        );
        for (_, svg) in &charts {
            let _ = write!(body, "<figure>{}</figure>", svg.inline());
        }
        body.push_str("</div>");
    }
    body.push_str(&alarms(history));
    body
}

/// How far back a window reaches, with its unit.
fn reach(seconds: f64) -> String {
    HumanDuration(Duration::try_from_secs_f64(seconds).unwrap_or_default()).to_string()
}

fn headline(history: &History) -> String {
    let last = &history.last;
    let Some(all) = &last.cumulative.clip else {
        return "<p>No clip lay within one label that the model knows: there is nothing to score.</p>"
            .into();
    };
    let window = last.window.clip.as_ref();
    let share = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), percent);
    let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |v| format!("{v:.3}"));
    let row = |name: String, cells: [String; 4]| {
        let mut row = vec![Cell::Head(name)];
        row.extend(cells.map(|cell| Cell::Markup(format!("<b>{}</b>", escape(&cell)))));
        row
    };
    let four = |of: &dyn Fn(&Figures) -> String| {
        let none = || "–".to_owned();
        [
            of(&all.raw),
            of(&all.calibrated),
            window.map_or_else(none, |w| of(&w.raw)),
            window.map_or_else(none, |w| of(&w.calibrated)),
        ]
    };
    let name = match last.task {
        Task::SingleLabel => "Top-1 accuracy",
        Task::MultiLabel => "Exact match",
    };
    let mut rows = vec![row(name.into(), four(&|f| percent(f.accuracy)))];
    for (at, top) in all.raw.top_k.iter().enumerate().filter(|(_, top)| top.k > 1) {
        rows.push(row(
            format!("Top-{} accuracy", top.k),
            four(&|f| share(f.top_k.get(at).and_then(|top| top.accuracy))),
        ));
    }
    rows.push(row("Macro F1".into(), four(&|f| share(f.macro_f1))));
    rows.push(row("Calibration error (ECE)".into(), four(&|f| percent(f.ece))));
    if window.is_some_and(|w| w.raw.ece_equal_mass.is_some()) {
        rows.push(row("ECE, bins of equal mass".into(), four(&|f| share(f.ece_equal_mass))));
    }
    rows.push(row("Brier score".into(), four(&|f| number(Some(f.brier)))));
    rows.push(row("Log-loss (NLL)".into(), four(&|f| number(Some(f.nll)))));
    let mut of_sets = |name: String, of: &dyn Fn(&Level) -> String| {
        let last = window.map_or_else(|| "–".to_owned(), of);
        rows.push(row(name, [String::new(), of(all), String::new(), last]));
    };
    if all.coverage.is_some() {
        let target = last.target.map(|t| format!(" (target {})", percent(t))).unwrap_or_default();
        of_sets(format!("Coverage of sets{target}"), &|level| share(level.coverage));
        of_sets("Classes in a set".into(), &|level| number(level.set_size));
    }
    of_sets("Clips".into(), &|level| level.samples.to_string());
    of_sets("… that do not overlap, about".into(), &|level| format!("{:.1}", level.effective));
    let reach = reach(last.window.seconds);
    let columns = ["Figure", "Raw", "Calibrated", "Raw, last", "Calibrated, last"];
    let columns = columns.iter().map(|name| ((*name).to_owned(), false)).collect();
    let caption = format!(
        "At the last line: since the daemon began, and over the last {reach} of the stream; clips that lie whole within one label"
    );
    Table { id: None, caption: &caption, class: "head", columns, rows }.html()
}

fn counts(counts: &Counts) -> String {
    let mut text =
        format!("<p>{} of {} scored", counts.scored, counted(counts.predictions, "prediction"));
    for (count, what) in [
        (counts.waiting, "waiting for a label"),
        (counts.unlabelled, "given up without a label"),
        (counts.refused, "refused, being no numbers"),
    ] {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    if counts.late > 0 {
        let _ = write!(text, "; {} came too late to be used", counted(counts.late, "label"));
    }
    text.push_str(".</p>");
    text
}

fn alarms(history: &History) -> String {
    let alarms = &history.alarms;
    if alarms.is_empty() {
        return String::new();
    }
    let skipped = alarms.len().saturating_sub(LISTED);
    let rows = alarms
        .iter()
        .enumerate()
        .skip(skipped)
        .map(|(at, (row, mark))| {
            let written = history.rows.get(*row).map_or("", |row| row.at.as_str());
            vec![
                Cell::Head((at + 1).to_string()),
                Cell::text(format!("{:.1} s", mark.t)),
                Cell::text(written.get(..16).unwrap_or(written).replace('T', " ")),
                Cell::text(mark.text.clone()),
            ]
        })
        .collect();
    let caption = match skipped {
        0 => {
            "Every alarm, with the stream's own time and the line that told of it (UTC)".to_owned()
        }
        _ => format!("The last {LISTED} of {} alarms", alarms.len()),
    };
    let columns = ["Alarm", "Stream time", "Told", "What changed"];
    let columns = columns.iter().map(|name| ((*name).to_owned(), false)).collect();
    format!(
        "<h3>Drift alarms</h3>{}",
        Table { id: None, caption: &caption, class: "", columns, rows }.html()
    )
}
