//! `report.html`: a run for people.

mod comparison;
mod html;
mod parts;

use std::fmt::Write as _;

use super::chart::{Svg, escape, percent};
use super::evaluation::Evaluation;
use super::figures::{Figures, Heat};
use super::metrics::{Level, Metrics};
use super::mistake::Mistake;
use crate::metric::{Figure, FigureInterval};
use crate::model::Task;
pub(super) use comparison::comparison;
pub(super) use html::{Cell, Table, data, document};
use parts::{aggregates, calibration, curves, events, rules, survey};

/// The pictures of a mistake's clip as JPEG, or why there are none.
pub(super) type Strip = Result<Vec<Vec<u8>>, String>;

/// The whole page.
pub(super) fn page(run: &Evaluation, figures: &Figures, strips: &[Strip]) -> String {
    let metrics = &run.metrics;
    let mut body = header(metrics);
    body.push_str("<main id=\"main\">");
    body.push_str(&survey(metrics));
    body.push_str(&headline(metrics));
    if metrics.clip.is_some() || metrics.video.is_some() {
        body.push_str(&classes(metrics));
        body.push_str(&confusion(metrics, figures));
        body.push_str(&curves(metrics, figures));
        body.push_str(&calibration(metrics, figures));
        body.push_str(&aggregates(metrics));
    }
    body.push_str(&events(metrics));
    body.push_str(&timelines(metrics, figures));
    body.push_str(&mistakes(metrics, &run.mistakes, strips));
    body.push_str(&rules(metrics));
    body.push_str("</main>");
    let _ = write!(
        body,
        "<footer>Made by kinewatch {} from the stored predictions; <code>metrics.json</code> beside this page holds every figure.</footer>",
        env!("CARGO_PKG_VERSION")
    );
    document(&format!("{} – kinewatch report", metrics.model.name), &body)
}

/// A section with a heading to jump to.
pub(super) fn section(id: &str, title: &str, body: &str) -> String {
    format!(
        "<section id=\"{id}\" aria-labelledby=\"{id}-h\"><h2 id=\"{id}-h\">{title}</h2>{body}</section>\n"
    )
}

/// A chart with what it says below.
pub(super) fn figure(svg: &Svg, caption: &str) -> String {
    format!("<figure>{}<figcaption>{}</figcaption></figure>", svg.inline(), escape(caption))
}

/// A chart that may be wider than the page, in a box that scrolls.
pub(super) fn wide(svg: &Svg, name: &str) -> String {
    format!(
        "<div class=\"scroll wide\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">{}</div>",
        escape(name),
        svg.inline()
    )
}

fn header(metrics: &Metrics) -> String {
    let (model, videos) = (&metrics.model, &metrics.videos);
    let task = match model.task {
        Task::SingleLabel => "one class at a time",
        Task::MultiLabel => "several classes at a time",
    };
    let labels = metrics.labels.as_ref().map_or_else(
        || "no labels".to_owned(),
        |labels| format!("labels {} ({})", labels.name, labels.format),
    );
    let mut sections = vec![("headline", "Headline")];
    if metrics.clip.is_some() || metrics.video.is_some() {
        sections.push(("classes", "Classes"));
        if model.task == Task::SingleLabel {
            sections.push(("confusion", "Confusion"));
        }
        sections.extend([
            ("curves", "Precision and recall"),
            ("calibration", "Calibration"),
            ("aggregates", "Clip to video"),
        ]);
    }
    if metrics.per_frame.is_some() || metrics.events.is_some() {
        sections.push(("events", "Events"));
    }
    if !metrics.timelines.is_empty() {
        sections.push(("timelines", "Timelines"));
    }
    sections.extend([("mistakes", "Worst mistakes"), ("rules", "How this was measured")]);
    let mut nav = String::new();
    for (id, name) in sections {
        let _ = write!(nav, "<li><a href=\"#{id}\">{name}</a></li>");
    }
    format!(
        "<header><h1>{}</h1><p class=\"sub\">{}, {task}, run as {}; {}.<br>{} ({}), {}; {} scored.</p><nav aria-label=\"Sections\"><ul>{nav}</ul></nav></header>\n",
        escape(&model.name),
        counted(model.classes.len() as u64, "class"),
        escape(&model.mode),
        escape(&labels),
        counted(videos.total, "video"),
        time(videos.seconds),
        counted(videos.clips, "clip"),
        counted(videos.scored, "video")
    )
}

/// `1 video`, `2 videos`, `2 classes`.
pub(super) fn counted(count: u64, what: &str) -> String {
    match (count, what.ends_with('s')) {
        (1, _) => format!("1 {what}"),
        (_, true) => format!("{count} {what}es"),
        (_, false) => format!("{count} {what}s"),
    }
}

/// Seconds in the unit that suits them.
fn time(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.1} minutes", s / 60.0),
        s => format!("{:.1} hours", s / 3600.0),
    }
}

/// A row of the headline: its name, the figure, and what it is of a level.
type Headline = (&'static str, Figure, fn(&Level) -> Option<f64>);

/// What the headline table shows, best known first.
pub(super) fn headlines(task: Task) -> Vec<Headline> {
    let mut rows: Vec<Headline> = match task {
        Task::SingleLabel => vec![
            ("Top-1 accuracy", Figure::Accuracy, |l| Some(l.summary.accuracy)),
            ("Top-5 accuracy", Figure::TopK(5), |l| {
                l.summary.top_k.iter().find(|top| top.k == 5).and_then(|top| top.accuracy)
            }),
            ("Balanced accuracy", Figure::BalancedAccuracy, |l| l.summary.balanced_accuracy),
        ],
        Task::MultiLabel => vec![
            ("Exact match", Figure::Accuracy, |l| Some(l.summary.accuracy)),
            ("Micro F1", Figure::MicroF1, |l| l.summary.f1.micro),
        ],
    };
    let rest: [Headline; 7] = [
        ("Macro F1", Figure::MacroF1, |l| l.summary.f1.macro_average),
        ("Weighted F1", Figure::WeightedF1, |l| l.summary.f1.weighted),
        ("mAP", Figure::MeanAveragePrecisionPresent, |l| l.summary.average_precision.macro_present),
        ("AUROC", Figure::MacroAurocPresent, |l| l.summary.auroc.macro_present),
        ("Calibration error (ECE)", Figure::Ece, |l| Some(l.summary.calibration.ece)),
        ("Brier score", Figure::Brier, |l| Some(l.summary.calibration.brier)),
        ("Log-loss (NLL)", Figure::Nll, |l| Some(l.summary.calibration.nll)),
    ];
    rows.extend(rest);
    rows
}

/// Whether a figure is a share, shown in percent.
pub(super) fn is_share(figure: Figure) -> bool {
    !matches!(figure, Figure::Brier | Figure::Nll)
}

/// Whether less of a figure is better.
pub(super) fn less_is_better(figure: Figure) -> bool {
    matches!(figure, Figure::Ece | Figure::EceEqualMass | Figure::Brier | Figure::Nll)
}

pub(super) fn shown(figure: Figure, value: f64) -> String {
    if is_share(figure) { percent(value) } else { format!("{value:.3}") }
}

/// A p-value as papers print it.
pub(super) fn significance(p: f64) -> String {
    if p < 0.0005 { "< 0.001".into() } else { format!("{p:.3}") }
}

/// A figure and its interval.
fn estimate(figure: Figure, value: Option<f64>, interval: Option<&FigureInterval>) -> Cell {
    let Some(value) = value else { return Cell::text("–") };
    let mut markup = format!("<b>{}</b>", shown(figure, value));
    if let Some((low, high)) = interval.and_then(|i| Some((i.interval.low?, i.interval.high?))) {
        let ends = match is_share(figure) {
            true => format!("{:.1} to {:.1}", 100.0 * low, 100.0 * high),
            false => format!("{low:.3} to {high:.3}"),
        };
        let _ = write!(markup, " <small>{ends}</small>");
    }
    Cell::Markup(markup)
}

/// Whether an interval does not hold its own estimate: means over classes of
/// which a resample holds few videos, or none, are biased.
fn leaves_itself_out(interval: &FigureInterval) -> bool {
    let interval = &interval.interval;
    match (interval.estimate, interval.low, interval.high) {
        (Some(estimate), Some(low), Some(high)) => estimate < low || estimate > high,
        _ => false,
    }
}

fn headline(metrics: &Metrics) -> String {
    let levels: Vec<(&str, &Level)> = [
        ("Clips", metrics.clip.as_ref()),
        ("Every prediction", metrics.every.as_ref()),
        ("Videos", metrics.video.as_ref()),
    ]
    .into_iter()
    .filter_map(|(name, level)| Some((name, level?)))
    .collect();
    if levels.is_empty() {
        let why = match metrics.videos {
            ref videos if videos.total == 0 => "The run holds no video yet.",
            ref videos if videos.scored == 0 => {
                "No video has both a clip and a label that the model knows: there is nothing to compare with."
            }
            _ => "No clip could be compared with a label.",
        };
        return section("headline", "Headline", &format!("<p>{why}</p>"));
    }
    let mut columns = vec![("Figure".to_owned(), false)];
    columns.extend(levels.iter().map(|(name, level)| {
        (format!("{name} ({} in {})", level.summary.samples, level.summary.videos), false)
    }));
    if let Some((_, level)) = levels.iter().find(|(name, _)| *name == "Videos")
        && let Some(column) = columns.last_mut()
    {
        column.0 = format!("Videos ({})", level.summary.samples);
    }
    let rows = headlines(metrics.model.task)
        .into_iter()
        .filter(|(_, _, of)| levels.iter().any(|(_, level)| of(level).is_some()))
        .map(|(name, figure, of)| {
            let mut row = vec![Cell::Head(name.to_owned())];
            let cell =
                |(_, level): &(&str, &Level)| estimate(figure, of(level), level.interval(figure));
            row.extend(levels.iter().map(cell));
            row
        })
        .collect();
    let bootstrap = &metrics.rules.bootstrap;
    let caption = match bootstrap.replicates {
        0 => "Figures without intervals".to_owned(),
        count => format!(
            "Figures with their {:.0} % intervals ({count} bootstrap resamples of the videos)",
            100.0 * bootstrap.level
        ),
    };
    let table = Table { id: None, caption: &caption, class: "head", columns, rows }.html();
    let mut note = String::from(
        "<p class=\"note\"><b>Clips</b> are those that lie whole within one label; clips in parentheses are counted, then the videos they come from.",
    );
    if metrics.every.is_some() {
        note.push_str(" <b>Every prediction</b> is compared with the label at its own time, changes of label included.");
    }
    if metrics.video.is_some() {
        let _ = write!(
            note,
            " <b>Videos</b>: the clips of each, put together by {}.",
            metrics.rules.aggregate
        );
    }
    let outside = levels.iter().any(|(_, level)| level.intervals.iter().any(leaves_itself_out));
    if outside {
        note.push_str(" Where an interval leaves its own figure out, the classes have too few videos each for the bootstrap to be trusted.");
    }
    note.push_str(" mAP and AUROC are means over the classes that occur; of the last three rows, less is better.</p>");
    section("headline", "Headline", &format!("{table}{note}"))
}

fn classes(metrics: &Metrics) -> String {
    let (clip, video) = (metrics.clip.as_ref(), metrics.video.as_ref());
    let mut columns = vec![("Class".to_owned(), false)];
    let mut add =
        |names: &[&str]| columns.extend(names.iter().map(|&name| (name.to_owned(), true)));
    if clip.is_some() {
        add(&["Clips", "Predicted", "Precision", "Recall", "F1", "AP", "AUROC"]);
    }
    if video.is_some() {
        add(&["Videos", "Video recall", "Video F1", "Video AP"]);
    }
    let rows = metrics
        .model
        .classes
        .iter()
        .enumerate()
        .map(|(i, label)| {
            let mut row = vec![Cell::Head(label.clone())];
            // What a class that does not occur has is not worth a bar.
            let of = |there: bool, value: f64| Cell::share(there.then_some(value));
            if let Some(c) = clip.and_then(|level| level.summary.per_class.get(i)) {
                let there = c.support > 0;
                row.extend([
                    Cell::count(c.support),
                    Cell::count(c.predicted),
                    of(c.predicted > 0, c.precision),
                    of(there, c.recall),
                    of(there || c.predicted > 0, c.f1),
                    Cell::share(c.average_precision.filter(|_| there)),
                    Cell::share(c.auroc.filter(|_| there)),
                ]);
            }
            if let Some(c) = video.and_then(|level| level.summary.per_class.get(i)) {
                let there = c.support > 0;
                row.extend([
                    Cell::count(c.support),
                    of(there, c.recall),
                    of(there || c.predicted > 0, c.f1),
                    Cell::share(c.average_precision.filter(|_| there)),
                ]);
            }
            row
        })
        .collect();
    let caption = "Each class; a column's heading sorts by it";
    let table = Table { id: Some("per-class"), caption, class: "", columns, rows }.html();
    let filter = match metrics.model.classes.len() {
        0..=16 => "",
        _ => "<p><label>Find a class <input type=\"search\" data-filter=\"per-class\"></label></p>",
    };
    section("classes", "Classes", &format!("{filter}{table}"))
}

fn confusion(metrics: &Metrics, figures: &Figures) -> String {
    let levels = [
        ("clips", &figures.confusion_clip, &metrics.clip),
        ("videos", &figures.confusion_video, &metrics.video),
    ];
    let labels = &metrics.model.classes;
    let mut body = String::new();
    for (name, heat, level) in levels {
        let (Some(heat), Some(counts)) = (heat, level.as_ref().and_then(|l| l.confusion.as_ref()))
        else {
            continue;
        };
        let _ = write!(body, "<h3>Of {name}</h3><div class=\"pair\">");
        body.push_str(&heat_map(heat, labels, counts, name));
        body.push_str(&confused(labels, counts, name));
        body.push_str("</div>");
    }
    if body.is_empty() {
        return body;
    }
    let note = "<p class=\"note\">Rows are what was there, columns what was said; each row is divided by its sum. \
                Point at a cell to read it; click it, or walk with the arrow keys (with Shift by ten), to list where its row and its column went.</p>";
    section("confusion", "Confusion", &format!("{note}{body}"))
}

fn heat_map(heat: &Heat, labels: &[String], counts: &[Vec<u64>], name: &str) -> String {
    let rows: Vec<Vec<(usize, u64)>> = counts
        .iter()
        .map(|row| row.iter().copied().enumerate().filter(|(_, count)| *count > 0).collect())
        .collect();
    let json = serde_json::json!({
        "labels": labels,
        "rows": rows,
        "left": heat.cells.left,
        "top": heat.cells.top,
        "size": heat.cells.size,
    });
    let zoom = match labels.len() {
        0..=24 => "",
        _ => {
            "<p><button type=\"button\" class=\"zoom\" data-by=\"2\" hidden>Zoom in</button> <button type=\"button\" class=\"zoom\" data-by=\"0.5\" hidden>Zoom out</button></p>"
        }
    };
    format!(
        "<div class=\"heat\"><div class=\"scroll\" role=\"region\" aria-label=\"Confusion matrix of {name}\">{}</div>{zoom}<output class=\"tell\"></output><div class=\"lists\"></div>{}</div>",
        heat.svg.inline(),
        data(&json.to_string())
    )
}

/// Pairs listed.
const PAIRS: usize = 15;

/// The pairs of classes that were taken for each other most often.
fn confused(labels: &[String], counts: &[Vec<u64>], name: &str) -> String {
    let mut pairs: Vec<(usize, usize, u64, u64)> = counts
        .iter()
        .enumerate()
        .flat_map(|(i, row)| {
            let sum = row.iter().sum();
            row.iter().enumerate().map(move |(j, &count)| (i, j, count, sum))
        })
        .filter(|(i, j, count, _)| i != j && *count > 0)
        .collect();
    pairs.sort_by(|a, b| b.2.cmp(&a.2).then((a.0, a.1).cmp(&(b.0, b.1))));
    if pairs.is_empty() {
        return format!("<p>No {name} were confused.</p>");
    }
    let more = pairs.len().saturating_sub(PAIRS);
    let rows = pairs
        .iter()
        .take(PAIRS)
        .map(|&(i, j, count, sum)| {
            vec![
                Cell::Head(labels[i].clone()),
                Cell::text(labels[j].clone()),
                Cell::count(count),
                Cell::Figure {
                    value: Some(count as f64 / sum as f64),
                    shown: percent(count as f64 / sum as f64),
                    bar: true,
                },
            ]
        })
        .collect();
    let columns = vec![
        ("Was".into(), false),
        ("Said".into(), false),
        ("Count".into(), true),
        ("Of its class".into(), true),
    ];
    let caption = match more {
        0 => format!("Confused {name}"),
        more => format!("Most confused {name} (and {more} further pairs)"),
    };
    Table { id: None, caption: &caption, class: "", columns, rows }.html()
}

/// Timelines that are open at first.
const OPEN: usize = 8;

fn timelines(metrics: &Metrics, figures: &Figures) -> String {
    if figures.timelines.is_empty() {
        return String::new();
    }
    let mut body = String::from(
        "<p class=\"note\">The annotation above, what was predicted below it; <i>events</i> are what the daemon would have raised. A class has one colour throughout; grey are further ones.</p>",
    );
    let (drawn, all) = (figures.timelines.len(), metrics.timelines.len());
    if drawn < all {
        let _ = write!(
            body,
            "<p class=\"note\">The {drawn} longest of {all} videos; <code>metrics.json</code> has the others' bars.</p>"
        );
    }
    for (i, (video, svg)) in figures.timelines.iter().enumerate() {
        let open = if i < OPEN { " open" } else { "" };
        let _ = write!(
            body,
            "<details{open}><summary>{}</summary>{}</details>",
            escape(video),
            wide(svg, video)
        );
    }
    section("timelines", "Timelines", &body)
}

fn mistakes(metrics: &Metrics, mistakes: &[Mistake], strips: &[Strip]) -> String {
    let labels = &metrics.model.classes;
    if mistakes.is_empty() {
        let text = match metrics.clip {
            Some(_) => "<p>No clip within one label was wrong.</p>",
            None => "<p>Nothing was scored.</p>",
        };
        return section("mistakes", "Worst mistakes", text);
    }
    let mut body = String::from(
        "<p class=\"note\">Of each video the clip in which the model was surest of what was not so; the surest first. Frames run from the clip's start to its end.</p><div class=\"cards\">",
    );
    for (i, mistake) in mistakes.iter().enumerate() {
        let name = |class: &usize| escape(&labels[*class]);
        let truth: Vec<String> = mistake.truth.iter().map(name).collect();
        let truth = if truth.is_empty() { "nothing".to_owned() } else { truth.join(", ") };
        let said = match mistake.invented {
            true => format!("said <b>{}</b> ({})", name(&mistake.class), percent(mistake.p)),
            false => format!("missed <b>{}</b> ({})", name(&mistake.class), percent(mistake.p)),
        };
        let top: Vec<String> = mistake
            .top
            .iter()
            .map(|(class, p)| format!("{} {}", name(class), percent(*p)))
            .collect();
        let _ = write!(
            body,
            "<article class=\"card\"><p>{said}, was <b>{truth}</b></p><p class=\"note\">{} · {:.1} to {:.1} s<br>{}</p>",
            escape(&mistake.video),
            mistake.start,
            mistake.t,
            top.join(" · ")
        );
        match strips.get(i) {
            Some(Ok(pictures)) => {
                body.push_str("<div class=\"strip\">");
                for (k, jpeg) in pictures.iter().enumerate() {
                    let _ = write!(
                        body,
                        "<img alt=\"frame {} of {}\" src=\"data:image/jpeg;base64,{}\">",
                        k + 1,
                        pictures.len(),
                        gstreamer::glib::base64_encode(jpeg)
                    );
                }
                body.push_str("</div>");
            }
            Some(Err(why)) => {
                let _ = write!(body, "<p class=\"note\">No frames: {}.</p>", escape(why));
            }
            None => {}
        }
        body.push_str("</article>");
    }
    body.push_str("</div>");
    section("mistakes", "Worst mistakes", &body)
}
