//! The sections that only list what was measured.

use std::fmt::Write as _;

use super::{Cell, Table, counted, figure, section};
use crate::metric::Figure;
use crate::report::chart::{escape, percent};
use crate::report::figures::Figures;
use crate::report::metrics::{Level, Metrics};

/// Names listed before the rest is only counted.
const LISTED: usize = 20;

/// What does not fit together, if anything does not.
pub(super) fn survey(metrics: &Metrics) -> String {
    let (videos, survey) = (&metrics.videos, &metrics.survey);
    let mut lines = Vec::new();
    if videos.missing > 0 {
        lines.push(format!("{} of the run still to be done.", counted(videos.missing, "video")));
    }
    // Each with how it is counted, what is the matter, and which they are.
    let mut list = |noun: &str, what: &str, names: Vec<String>| {
        if names.is_empty() {
            return;
        }
        let mut text = names.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
        if names.len() > LISTED {
            let _ = write!(text, " and {} more", names.len() - LISTED);
        }
        lines.push(format!("{} {what}: {text}.", counted(names.len() as u64, noun)));
    };
    let plain = |names: &[String]| names.iter().map(|name| escape(name)).collect();
    let failed = videos.failed.iter();
    let failed = failed.map(|f| format!("{} ({})", escape(&f.video), escape(&f.error)));
    list("video", "failed and left out", failed.collect());
    list("video", "without a label", plain(&videos.unlabelled));
    list("video", "shorter than a clip", plain(&videos.without_clips));
    let unknown = survey.unknown_labels.iter();
    let unknown =
        unknown.map(|l| format!("“{}” (in {})", escape(&l.label), counted(l.videos, "video")));
    list("label", "unknown to the model", unknown.collect());
    let past_end = survey.past_end.iter().map(|p| {
        format!(
            "{}: {} ends at {:.1} s of {:.1}",
            escape(&p.video),
            escape(&p.label),
            p.end,
            p.seconds
        )
    });
    list("label", "past the end of the video", past_end.collect());
    if videos.scored > 0 {
        list("class", "in no label", plain(&survey.absent_classes));
    }
    if lines.is_empty() {
        return String::new();
    }
    let items: String = lines.iter().map(|line| format!("<li>{line}</li>")).collect();
    format!(
        "<div class=\"warn\" role=\"note\"><b>To know before reading on</b><ul>{items}</ul></div>\n"
    )
}

pub(super) fn curves(metrics: &Metrics, figures: &Figures) -> String {
    let mut body = String::from("<div class=\"pair\">");
    let levels = [
        ("clips", &figures.curves_clip, &metrics.clip),
        ("videos", &figures.curves_video, &metrics.video),
    ];
    for (name, svg, level) in levels {
        let (Some(svg), Some(level)) = (svg, level) else { continue };
        let mut options = String::new();
        let occurring = level.summary.per_class.iter().filter(|class| class.support > 0);
        for class in occurring {
            let label = escape(&metrics.model.classes[class.class]);
            let _ = write!(options, "<option value=\"{}\">{label}</option>", class.class);
        }
        let _ = write!(
            body,
            "<div id=\"curves-{name}\">{}<p hidden><label>Show one class of the {name} <select class=\"curve-of\" data-of=\"curves-{name}\" hidden><option value=\"\">all</option>{options}</select></label></p></div>",
            figure(svg, &format!("Of {name}; the percentage is the average precision"))
        );
    }
    body.push_str("</div>");
    section("curves", "Precision and recall", &body)
}

pub(super) fn calibration(metrics: &Metrics, figures: &Figures) -> String {
    let mut body = String::new();
    let levels = [
        ("clips", &figures.reliability_clip, &figures.confidence_clip, &metrics.clip),
        ("videos", &figures.reliability_video, &figures.confidence_video, &metrics.video),
    ];
    for (name, reliability, confidence, level) in levels {
        let (Some(reliability), Some(confidence), Some(level)) = (reliability, confidence, level)
        else {
            continue;
        };
        let _ = write!(body, "<h3>Of {name}</h3><div class=\"pair\">");
        body.push_str(&figure(reliability, "How often what is said is right (blue), and what the model claims (the line in each bar). Orange: it claims more than it keeps; light blue: less."));
        body.push_str(&figure(
            confidence,
            "How sure the model was, where it was right and where it was wrong",
        ));
        body.push_str("</div>");
        body.push_str(&before_and_after(level, name));
    }
    let note = "<p class=\"note\"><b>After</b> is temperature scaling: logits are divided by one number that was fitted on <i>other</i> videos \
                (cross-validation over videos), so it is what a calibrated model could be expected to do on new ones. No class changes its rank by it.</p>";
    section("calibration", "Calibration", &format!("{note}{body}"))
}

fn before_and_after(level: &Level, name: &str) -> String {
    let before = &level.summary.calibration;
    let after = level.tempered.as_ref().map(|t| &t.calibration);
    let figures: [(&str, f64, Option<f64>); 6] = [
        ("ECE, equal width", before.ece, after.map(|c| c.ece)),
        ("ECE, equal mass", before.ece_equal_mass, after.map(|c| c.ece_equal_mass)),
        ("Classwise ECE", before.classwise_ece, after.map(|c| c.classwise_ece)),
        ("Greatest gap (MCE)", before.mce, after.map(|c| c.mce)),
        ("Brier score", before.brier, after.map(|c| c.brier)),
        ("Log-loss (NLL)", before.nll, after.map(|c| c.nll)),
    ];
    let cell = |value: Option<f64>| Cell::Figure {
        value,
        shown: value.map_or_else(|| "–".into(), |v| format!("{v:.4}")),
        bar: false,
    };
    let rows = figures
        .into_iter()
        .map(|(name, before, after)| vec![Cell::Head(name.into()), cell(Some(before)), cell(after)])
        .collect();
    let after_name = match &level.tempered {
        Some(t) => format!("After (T = {:.2})", t.temperature),
        None => "After (needs two videos)".into(),
    };
    let columns = vec![("Error".into(), false), ("Before".into(), true), (after_name, true)];
    let caption = format!("Calibration of {name}; less is better");
    Table { id: None, caption: &caption, class: "", columns, rows }.html()
}

pub(super) fn aggregates(metrics: &Metrics) -> String {
    if metrics.aggregates.is_empty() {
        return String::new();
    }
    let share = |value: Option<f64>| Cell::Figure {
        value,
        shown: value.map_or_else(|| "–".into(), percent),
        bar: true,
    };
    let rows = metrics
        .aggregates
        .iter()
        .map(|figures| {
            let chosen =
                if figures.aggregate == metrics.rules.aggregate { " (used above)" } else { "" };
            vec![
                Cell::Head(format!("{}{chosen}", figures.aggregate)),
                share(Some(figures.accuracy)),
                share(figures.top_5),
                share(figures.mean_average_precision),
                share(Some(figures.ece)),
            ]
        })
        .collect();
    let columns = ["Way", "Top-1", "Top-5", "mAP", "ECE"];
    let columns = columns.iter().enumerate().map(|(i, &name)| (name.to_owned(), i > 0)).collect();
    let caption = "The same clips, put together to videos in other ways";
    section(
        "aggregates",
        "Clip to video",
        &Table { id: None, caption, class: "", columns, rows }.html(),
    )
}

pub(super) fn events(metrics: &Metrics) -> String {
    let mut body = String::new();
    if let Some(frames) = &metrics.per_frame {
        let interval = frames.interval.as_ref().map(|i| &i.interval);
        let ends = interval.and_then(|i| Some((i.low?, i.high?)));
        let ends = ends.map(|(low, high)| format!(" ({:.1} to {:.1})", 100.0 * low, 100.0 * high));
        let mean = frames.average_precision.macro_present.map_or_else(|| "–".into(), percent);
        let _ = write!(
            body,
            "<p>Per-frame mAP <b>{mean}</b>{}, over {} predictions of {} videos, time without a label included.</p>",
            ends.unwrap_or_default(),
            frames.samples,
            frames.videos
        );
    }
    if let Some(events) = &metrics.events {
        let interval = |figure: Figure| {
            let found = events.intervals.iter().find(|i| i.figure == figure);
            found.and_then(|i| Some((i.interval.low?, i.interval.high?)))
        };
        let rows = events
            .summary
            .f1
            .iter()
            .map(|f1| {
                let share =
                    |value| Cell::Figure { value: Some(value), shown: percent(value), bar: true };
                vec![
                    Cell::Head(format!("IoU ≥ {}", f1.iou)),
                    share(f1.f1),
                    share(f1.precision),
                    share(f1.recall),
                    Cell::count(f1.true_positives),
                    Cell::count(f1.false_positives),
                    Cell::count(f1.missed),
                ]
            })
            .collect();
        let columns = ["Overlap", "F1", "Precision", "Recall", "Found", "False", "Missed"];
        let columns =
            columns.iter().enumerate().map(|(i, &name)| (name.to_owned(), i > 0)).collect();
        let caption = "Events against annotated spans of the same class";
        body.push_str(&Table { id: None, caption, class: "", columns, rows }.html());
        let latency = &events.summary.latency;
        let seconds =
            |value: Option<f64>| value.map_or_else(|| "–".into(), |v| format!("{v:.2} s"));
        let _ = write!(
            body,
            "<p>Detection latency: mean <b>{}</b>{}, median {}, 90th percentile {}, longest {}; {} of {} actions were noticed.</p>",
            seconds(latency.mean),
            interval(Figure::MeanLatency)
                .map_or_else(String::new, |(low, high)| format!(" ({low:.2} to {high:.2})")),
            seconds(latency.median),
            seconds(latency.p90),
            seconds(latency.max),
            latency.detected,
            latency.actions
        );
        body.push_str("<p class=\"note\">From an action's start to the first prediction by which an event of its class that overlaps it had held long enough.</p>");
    }
    match body.is_empty() {
        true => body,
        false => section("events", "Events", &body),
    }
}

pub(super) fn rules(metrics: &Metrics) -> String {
    let rules = &metrics.rules;
    let mut items = vec![
        format!(
            "Conventions for ties, empty classes and divisions by zero: <b>{}</b>.",
            rules.conventions
        ),
        format!("From clips to a video: <b>{}</b>.", rules.aggregate),
    ];
    items.extend(rules.notes.iter().map(|note| code(note)));
    let items: String = items.iter().map(|item| format!("<li>{item}</li>")).collect();
    let options = serde_json::to_string_pretty(&metrics.options).unwrap_or_default();
    let predict = serde_json::to_string_pretty(&metrics.predict).unwrap_or_default();
    let body = format!(
        "<ul>{items}</ul><details><summary>Options of the run</summary><p class=\"note\">Model SHA-256 <code>{}</code></p><pre tabindex=\"0\">{}</pre><pre tabindex=\"0\">{}</pre></details>",
        escape(&metrics.model.sha256),
        escape(&options),
        escape(&predict)
    );
    section("rules", "How this was measured", &body)
}

/// A text in which `…` is code.
fn code(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let mark = |(i, part): (usize, &str)| match i % 2 {
        0 => escape(part),
        _ => format!("<code>{}</code>", escape(part)),
    };
    parts.map(mark).collect()
}
