//! `compare.html`: runs side by side.

use std::fmt::Write as _;

use super::{Cell, Table, estimate, figure, headlines, less_is_better, section};
use crate::report::chart::{Difference, differences, escape};
use crate::report::compare::{Comparison, difference, mcnemar};
use crate::report::page::document;

/// The whole page.
pub(in crate::report) fn comparison(comparison: &Comparison) -> String {
    let names: Vec<String> = comparison.runs.iter().map(|run| escape(&run.name)).collect();
    let mut body = format!(
        "<header><h1>{}</h1><p class=\"sub\">{} runs side by side; differences are against the first.</p></header><main id=\"main\">",
        names.join(" · "),
        names.len()
    );
    for (level, of) in comparison.levels() {
        let mut columns = vec![("Figure".to_owned(), false)];
        columns.extend(comparison.runs.iter().map(|run| {
            let count = of(&run.metrics).map_or(0, |level| level.summary.samples);
            (format!("{} ({count})", run.name), false)
        }));
        columns.extend(
            comparison.pairs.iter().map(|pair| (format!("{} − first", pair.second), false)),
        );
        let rows = headlines(comparison.task())
            .into_iter()
            .filter(|(_, _, value)| {
                comparison.runs.iter().any(|run| of(&run.metrics).and_then(value).is_some())
            })
            .map(|(name, figure, value)| {
                let mut row = vec![Cell::Head(name.to_owned())];
                row.extend(comparison.runs.iter().map(|run| {
                    let level = of(&run.metrics);
                    let interval = level.and_then(|level| level.interval(figure));
                    estimate(figure, level.and_then(value), interval)
                }));
                row.extend(comparison.pairs.iter().map(|pair| {
                    let found = pair.level(level).and_then(|level| level.of(figure));
                    Cell::text(difference(figure, found))
                }));
                row
            })
            .collect();
        let caption = format!(
            "Over {level}, with intervals; differences are paired, in points where figures are in percent"
        );
        let mut part = Table { id: None, caption: &caption, class: "head", columns, rows }.html();
        for pair in &comparison.pairs {
            let Some(found) = pair.level(level) else { continue };
            let rows: Vec<Difference> = headlines(comparison.task())
                .into_iter()
                .filter_map(|(name, figure, _)| {
                    let interval = found.of(figure)?.difference;
                    interval.estimate?;
                    Some(Difference {
                        name: name.to_owned(),
                        estimate: interval.estimate,
                        low: interval.low,
                        high: interval.high,
                        more_is_better: !less_is_better(figure),
                    })
                })
                .collect();
            if !rows.is_empty() {
                let title = format!("{} less {}, over {level}", pair.second, pair.first);
                let caption = format!(
                    "{title}: hundredths of a figure, over the {} videos of both. Blue: {} is surely better, orange: {}; grey: the interval holds zero",
                    found.videos, pair.second, pair.first
                );
                part.push_str(&figure(&differences(&rows, &title), &caption));
            }
            if found.only_in_one > 0 {
                let _ = write!(
                    part,
                    "<p class=\"note\">{} videos that only one of the two scored are left out of the difference.</p>",
                    found.only_in_one
                );
            }
        }
        if level == "videos" {
            for pair in &comparison.pairs {
                if let Some(test) = &pair.mcnemar {
                    let _ = write!(part, "<p>{}.</p>", escape(&mcnemar(pair, test)));
                }
            }
        }
        body.push_str(&section(level, &format!("Over {level}"), &part));
    }
    if comparison.levels().is_empty() {
        body.push_str("<p>Neither run has anything that could be compared with a label.</p>");
    }
    body.push_str(&per_class(comparison));
    body.push_str("</main>");
    document("Runs side by side – kinewatch", &body)
}

/// Each class's F1 over clips in each run.
fn per_class(comparison: &Comparison) -> String {
    let Some(first) = comparison.runs.first().filter(|run| run.metrics.clip.is_some()) else {
        return String::new();
    };
    let mut columns = vec![("Class".to_owned(), false), ("Clips".to_owned(), true)];
    columns.extend(comparison.runs.iter().map(|run| (format!("F1, {}", run.name), true)));
    let rows = first
        .metrics
        .model
        .classes
        .iter()
        .map(|label| {
            let of = |run: &crate::report::compare::Compared| {
                let class = run.metrics.model.classes.iter().position(|other| other == label)?;
                let figures = run.metrics.clip.as_ref()?.summary.per_class.get(class)?;
                Some((figures.support, figures.f1, figures.support + figures.predicted > 0))
            };
            let support = of(first).map_or(0, |(support, ..)| support);
            let mut row = vec![Cell::Head(label.clone()), Cell::count(support)];
            row.extend(comparison.runs.iter().map(|run| {
                Cell::share(of(run).filter(|(_, _, there)| *there).map(|(_, f1, _)| f1))
            }));
            row
        })
        .collect();
    let caption = "F1 of each class over clips; a column's heading sorts by it";
    section(
        "classes",
        "Classes",
        &Table { id: Some("per-class"), caption, class: "", columns, rows }.html(),
    )
}
