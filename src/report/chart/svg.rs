//! A picture that is put together from few shapes.

use std::fmt::Write as _;

use super::palette::style;

/// A picture of `width` × `height` units (pixels, at its own size).
pub struct Svg {
    width: f64,
    height: f64,
    title: String,
    description: String,
    body: String,
}

/// Where a text's given place is.
#[derive(Clone, Copy)]
pub enum Anchor {
    /// At the text's beginning.
    Start,
    /// In its middle.
    Middle,
    /// At its end.
    End,
}

/// Mean width of a character at the charts' size of type, pixels.
const CHARACTER: f64 = 6.4;

impl Svg {
    /// An empty picture. What it shows is said in `title` and `description`, for
    /// those who cannot see it.
    pub fn new(width: f64, height: f64, title: &str, description: &str) -> Self {
        Svg {
            width,
            height,
            title: title.to_owned(),
            description: description.to_owned(),
            body: String::new(),
        }
    }

    /// A text at a place.
    pub fn text(&mut self, x: f64, y: f64, anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let (x, y, text) = (n(x), n(y), escape(text));
        let _ =
            write!(self.body, "<text x=\"{x}\" y=\"{y}\"{anchor} class=\"{class}\">{text}</text>");
    }

    /// A text turned to the left by `degrees`, about its beginning.
    pub fn turned(
        &mut self,
        x: f64,
        y: f64,
        degrees: f64,
        anchor: Anchor,
        class: &str,
        text: &str,
    ) {
        let (cx, cy) = (n(x), n(y));
        let _ = write!(self.body, "<g transform=\"rotate({} {cx} {cy})\">", n(-degrees));
        self.text(x, y, anchor, class, text);
        self.body.push_str("</g>");
    }

    /// A rectangle; `tip` is told on hover, if there is one.
    pub fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, class: &str, tip: &str) {
        let _ = write!(
            self.body,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" class=\"{class}\"",
            n(x),
            n(y),
            n(width),
            n(height)
        );
        self.close("rect", tip);
    }

    /// A straight line.
    pub fn line(&mut self, x1: f64, y1: f64, x2: f64, y2: f64, class: &str) {
        let _ = write!(
            self.body,
            "<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" class=\"{class}\"/>",
            n(x1),
            n(y1),
            n(x2),
            n(y2)
        );
    }

    /// A disc; `tip` is told on hover, if there is one.
    pub fn circle(&mut self, x: f64, y: f64, radius: f64, class: &str, tip: &str) {
        let _ = write!(
            self.body,
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" class=\"{class}\"",
            n(x),
            n(y),
            n(radius)
        );
        self.close("circle", tip);
    }

    /// A line through points. `more` holds further attributes.
    pub fn polyline(&mut self, points: &[(f64, f64)], class: &str, more: &str, tip: &str) {
        let mut place = String::with_capacity(points.len() * 12);
        for (i, (x, y)) in points.iter().enumerate() {
            let _ = write!(place, "{}{} {}", if i == 0 { "M" } else { "L" }, n(*x), n(*y));
        }
        let _ = write!(self.body, "<path d=\"{place}\" class=\"{class}\"{more}");
        self.close("path", tip);
    }

    /// Anything else.
    pub fn raw(&mut self, text: &str) {
        self.body.push_str(text);
    }

    fn close(&mut self, name: &str, tip: &str) {
        let _ = match tip.is_empty() {
            true => write!(self.body, "/>"),
            false => write!(self.body, "><title>{}</title></{name}>", escape(tip)),
        };
    }

    fn open(&self, scale: f64, more: &str) -> String {
        let (width, height) = (n(self.width), n(self.height));
        let (wide, high) = (n(self.width * scale), n(self.height * scale));
        let label = escape(&format!("{}. {}", self.title, self.description));
        format!(
            "<svg viewBox=\"0 0 {width} {height}\" width=\"{wide}\" height=\"{high}\" role=\"img\" class=\"chart\" aria-label=\"{label}\"{more}>"
        )
    }

    /// As a part of a page that has the style.
    pub fn inline(&self) -> String {
        format!("{}{}</svg>", self.open(1.0, ""), self.body)
    }

    /// As a file of its own, `scale` times as large.
    pub fn file(&self, scale: f64) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}<title>{}</title><style>{}</style><rect width=\"100%\" height=\"100%\" class=\"paper\"/>{}</svg>\n",
            self.open(scale, " xmlns=\"http://www.w3.org/2000/svg\""),
            escape(&self.title),
            style(),
            self.body
        )
    }
}

/// A number with at most two places.
pub(super) fn n(x: f64) -> String {
    let x = (x * 100.0).round() / 100.0;
    // No -0.
    format!("{}", if x == 0.0 { 0.0 } else { x })
}

/// A text within HTML or XML, an attribute's value included. Characters that XML
/// forbids become the replacement character.
pub(in crate::report) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' | '\r' => out.push(c),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}

/// As much of a text as fits into `width` pixels, an ellipsis for the rest.
pub(super) fn fitted(text: &str, width: f64) -> String {
    let most = (width / CHARACTER).max(0.0) as usize;
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) if most < 2 => String::new(),
        Some(_) => text.chars().take(most - 1).chain(['…']).collect(),
    }
}

/// How wide a text will be, about, pixels.
pub(super) fn width_of(text: &str) -> f64 {
    text.chars().count() as f64 * CHARACTER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_cannot_break_out() {
        let mut svg = Svg::new(10.0, 10.0, "a\"b", "<script>");
        svg.text(0.0, 0.0, Anchor::Start, "ink", "<b>&\u{1}");
        svg.rect(0.0, 0.0, 1.0, 1.0, "f0", "</title><x>");
        let text = svg.file(1.0);
        assert!(!text.contains("<script>") && !text.contains("<b>") && !text.contains("<x>"));
        assert!(text.contains("&lt;b&gt;&amp;\u{fffd}"));
        roxmltree::Document::parse(&text).unwrap();
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!((n(1.0).as_str(), n(0.126).as_str(), n(-0.001).as_str()), ("1", "0.13", "0"));
    }

    #[test]
    fn long_texts_are_cut_by_characters() {
        assert_eq!(fitted("äöüäöü", 6.4 * 4.0), "äöü…");
        assert_eq!(fitted("ab", 100.0), "ab");
        assert_eq!(fitted("abc", 3.0), "");
    }
}
