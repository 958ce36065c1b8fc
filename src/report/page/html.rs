//! Pieces of a page.

use std::fmt::Write as _;

use crate::report::chart::{escape, style};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// A page that needs nothing beside itself: style, script and pictures are in
/// it, and it may load nothing.
pub(in crate::report) fn document(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{}</title>\n<style>{STYLE}{}</style></head>\n<body>\
         <a class=\"skip\" href=\"#main\">To the figures</a>\n{body}\n<script>{SCRIPT}</script></body></html>\n",
        escape(title),
        style()
    )
}

/// One cell.
pub(in crate::report) enum Cell {
    /// The row's own name.
    Head(String),
    Text(String),
    /// A figure, how it is shown, and whether a bar from 0 to 1 lies behind it.
    Figure {
        value: Option<f64>,
        shown: String,
        bar: bool,
    },
    /// Markup that was escaped before.
    Markup(String),
}

impl Cell {
    pub fn text(text: impl Into<String>) -> Self {
        Cell::Text(text.into())
    }

    pub fn count(count: u64) -> Self {
        Cell::Figure { value: Some(count as f64), shown: count.to_string(), bar: false }
    }

    /// A share, with a bar behind it; `–` where it is undefined.
    pub fn share(share: Option<f64>) -> Self {
        let shown = share.map_or_else(|| "–".to_owned(), |share| format!("{share:.3}"));
        Cell::Figure { value: share, shown, bar: true }
    }

    fn html(&self) -> String {
        match self {
            Cell::Head(text) => format!("<th scope=\"row\">{}</th>", escape(text)),
            Cell::Text(text) => format!("<td>{}</td>", escape(text)),
            Cell::Markup(markup) => format!("<td>{markup}</td>"),
            Cell::Figure { value, shown, bar } => {
                let sorted = value.map(|v| v.to_string()).unwrap_or_default();
                let meter = match value.filter(|_| *bar) {
                    Some(v) => format!(" meter\" style=\"--w:{:.1}%", 100.0 * v.clamp(0.0, 1.0)),
                    None => String::new(),
                };
                format!("<td class=\"n{meter}\" data-v=\"{sorted}\">{}</td>", escape(shown))
            }
        }
    }
}

/// A table. With an `id` it sorts, and has a height of its own in which it
/// scrolls.
pub(in crate::report) struct Table<'a> {
    pub id: Option<&'a str>,
    pub caption: &'a str,
    pub class: &'a str,
    /// Names of the columns, and whether they hold figures.
    pub columns: Vec<(String, bool)>,
    pub rows: Vec<Vec<Cell>>,
}

impl Table<'_> {
    pub fn html(&self) -> String {
        let mut out = String::new();
        let caption = escape(self.caption);
        let tall = if self.id.is_some() && self.rows.len() > 16 { " tall" } else { "" };
        let _ = write!(
            out,
            "<div class=\"scroll{tall}\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\">"
        );
        let _ = match self.id {
            Some(id) => write!(out, "<table id=\"{id}\" class=\"sort {}\">", self.class),
            None => write!(out, "<table class=\"{}\">", self.class),
        };
        let _ = write!(out, "<caption>{caption}</caption><thead><tr>");
        for (name, figures) in &self.columns {
            let class = if *figures { " class=\"n\"" } else { "" };
            let name = escape(name);
            let _ = match self.id {
                Some(_) => write!(
                    out,
                    "<th scope=\"col\"{class}><button type=\"button\">{name}</button></th>"
                ),
                None => write!(out, "<th scope=\"col\"{class}><span>{name}</span></th>"),
            };
        }
        out.push_str("</tr></thead><tbody>\n");
        for row in &self.rows {
            out.push_str("<tr>");
            row.iter().for_each(|cell| out.push_str(&cell.html()));
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody></table></div>\n");
        out
    }
}

/// Data for the script, inside the page: no `<` can end its element.
pub(in crate::report) fn data(json: &str) -> String {
    let json = json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028");
    format!("<script type=\"application/json\">{json}</script>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_comes_from_outside_is_markup() {
        let table = Table {
            id: Some("t"),
            caption: "<c>",
            class: "",
            columns: vec![("<h>".into(), false)],
            rows: vec![vec![Cell::Head("<r>".into())], vec![Cell::text("<d>")]],
        };
        let html = document("<t>", &table.html());
        for tag in ["<c>", "<h>", "<r>", "<d>", "<t>"] {
            assert!(!html.contains(tag), "{tag}");
        }
        assert!(!data("[\"</script>\"]").contains("</script>\""));
    }

    #[test]
    fn the_page_loads_nothing() {
        let html = document("t", "");
        for way in ["http://", "https://", "@import", "url("] {
            assert!(!html.contains(way), "{way}");
        }
    }
}
