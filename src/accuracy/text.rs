//! The figures for a person: some aligned lines.

use std::fmt::Write as _;
use std::time::Duration;

use super::line::{Figures, Level, Line};
use crate::duration::HumanDuration;
use crate::metric::Task;

/// Width of a row's name, and of each of its four figures.
const NAME: usize = 16;
const COLUMN: usize = 12;

pub(super) fn summary(line: &Line) -> String {
    let counts = &line.counts;
    let mut text = format!(
        "accuracy of stream \"{}\": {} of {} predictions scored",
        line.stream, counts.scored, counts.predictions
    );
    for (count, what) in [
        (counts.waiting, "waiting for a label"),
        (counts.unlabelled, "without a label"),
        (counts.late, "labels came too late"),
        (counts.refused, "refused: not a number"),
    ] {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    match &line.cumulative.clip {
        None => text.push_str("; no clip lay within one label"),
        Some(all) => table(&mut text, line, all),
    }
    match (&line.cumulative.every, &line.cumulative.clip) {
        (Some(every), Some(clip)) if every.samples == clip.samples => {}
        (Some(every), _) => {
            let _ = write!(
                text,
                "\nover all {} labelled predictions, changes of label included: {} {} raw, {} calibrated",
                every.samples,
                first_name(line.task),
                percent(every.raw.accuracy),
                percent(every.calibrated.accuracy)
            );
        }
        (None, _) => {}
    }
    if let Some(last) = &line.drift.last {
        let alarms = line.drift.alarms;
        let _ = write!(
            text,
            "\ndrift: {alarms} {}, the last at {:.1} s: {}",
            if alarms == 1 { "alarm" } else { "alarms" },
            last.t,
            last.text
        );
    }
    text
}

fn table(text: &mut String, line: &Line, all: &Level) {
    let window = line.window.clip.as_ref();
    let reach = Duration::try_from_secs_f64(line.window.seconds).unwrap_or_default();
    let last = format!("the last {}", HumanDuration(reach));
    let _ = write!(text, "\n{:NAME$}{:>2$}{last:>2$}", "", "since the start", 2 * COLUMN);
    let cells = |cells: [String; 4]| cells.map(|cell| format!("{cell:>COLUMN$}")).concat();
    let mut row = |name: &str, figures: [String; 4]| {
        let _ = write!(text, "\n{}", format!("{name:NAME$}{}", cells(figures)).trim_end());
    };
    row("", ["raw", "calibrated", "raw", "calibrated"].map(str::to_owned));
    let mut figure = |name: &str, of: &dyn Fn(&Figures) -> Option<String>| {
        let of = |figures: Option<&Figures>| figures.and_then(of).unwrap_or_else(|| "-".into());
        row(
            name,
            [
                of(Some(&all.raw)),
                of(Some(&all.calibrated)),
                of(window.map(|w| &w.raw)),
                of(window.map(|w| &w.calibrated)),
            ],
        );
    };
    figure(first_name(line.task), &|f| Some(percent(f.accuracy)));
    for (at, top) in all.raw.top_k.iter().enumerate().filter(|(_, top)| top.k > 1) {
        figure(&format!("top-{}", top.k), &|f| f.top_k.get(at)?.accuracy.map(percent));
    }
    figure("macro-F1", &|f| f.macro_f1.map(percent));
    figure("ECE", &|f| Some(percent(f.ece)));
    figure("Brier score", &|f| Some(format!("{:.4}", f.brier)));
    figure("NLL", &|f| Some(format!("{:.4}", f.nll)));
    let mut of_sets = |name: &str, of: &dyn Fn(&Level) -> Option<String>| {
        let last = window.and_then(of);
        if let Some(all) = of(all) {
            row(name, [String::new(), all, String::new(), last.unwrap_or_else(|| "-".into())]);
        }
    };
    let coverage = match line.target {
        Some(target) => format!("in set ({:.0} %)", 100.0 * target),
        None => "in set".to_owned(),
    };
    of_sets(&coverage, &|level| level.coverage.map(percent));
    of_sets("set size", &|level| level.set_size.map(|size| format!("{size:.2}")));
    of_sets("clips", &|level| Some(level.samples.to_string()));
    of_sets("not overlapping", &|level| Some(format!("{:.1}", level.effective)));
}

fn first_name(task: Task) -> &'static str {
    match task {
        Task::SingleLabel => "top-1",
        Task::MultiLabel => "exact match",
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
