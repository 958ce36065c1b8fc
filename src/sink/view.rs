//! A view for a person at a terminal: one line that follows the stream, and a
//! new one whenever something changes.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::stdout::Output;
use super::{Record, Sink, SinkError};
use crate::calibrate::Watched;
use crate::error::Result;
use crate::predict::{Drift, Event, Prediction};

/// Cells of the bar.
const BAR: usize = 20;
/// A stream whose line is not the last on the screen is drawn this often, in
/// seconds of stream time, while nothing changes.
const QUIET: f64 = 2.0;

/// What a person must be told at once when it changes.
#[derive(Clone, Debug, Default, PartialEq)]
struct Shown {
    label: Option<String>,
    truth: Option<Vec<String>>,
    event: Option<String>,
}

/// Readable lines on standard output.
pub struct View {
    out: Output,
    screen: Screen,
}

impl View {
    /// `terminal`: the last line is rewritten in place, and hits and misses are
    /// coloured unless `colour` is off.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn open(terminal: bool, colour: bool) -> Result<Self> {
        Ok(View { out: Output::open()?, screen: Screen::new(terminal, terminal && colour) })
    }
}

impl Sink for View {
    fn name(&self) -> String {
        "standard output".into()
    }

    fn write(&mut self, record: Record<'_>) -> std::result::Result<(), SinkError> {
        // What stands on the screen changes only with what gets there.
        self.out.flush()?;
        let text = match record {
            Record::Prediction(prediction) => self.screen.prediction(prediction),
            Record::Event(event) => self.screen.event(event),
            Record::Drift(drift) => self.screen.drift(drift),
            Record::Lost(lost) => {
                self.screen.own_line(format!("{} lines were lost here\n", lost.lines))
            }
        };
        self.out.take(text.as_bytes())
    }

    fn flush(&mut self, _: bool) -> std::result::Result<Option<Duration>, SinkError> {
        self.out.flush().map(|()| None)
    }

    fn held(&self) -> u64 {
        u64::from(self.out.is_held())
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if self.screen.open.is_some() {
            // Nobody is left to tell if even this fails.
            let _ = self.out.take(b"\n").and_then(|()| self.out.flush());
        }
    }
}

/// What stands on the terminal; gives the text that brings it up to date.
struct Screen {
    terminal: bool,
    colour: bool,
    /// The stream whose line is the last one and not yet ended.
    open: Option<String>,
    shown: HashMap<String, (Shown, f64)>,
}

impl Screen {
    fn new(terminal: bool, colour: bool) -> Self {
        Screen { terminal, colour, open: None, shown: HashMap::new() }
    }

    fn prediction(&mut self, p: &Prediction) -> String {
        let line = self.line(p);
        if !self.terminal {
            return line + "\n";
        }
        let now = Shown { label: p.label.clone(), truth: p.truth.clone(), event: p.event.clone() };
        let before = self.shown.get(&p.stream);
        let changed = before.is_none_or(|(shown, _)| *shown != now);
        let quiet = before.is_some_and(|(_, t)| (p.t - t).abs() < QUIET);
        let ours = self.open.as_deref() == Some(p.stream.as_str());
        if !changed && !ours && quiet {
            return String::new();
        }
        let text = match (&self.open, ours && !changed) {
            (_, true) => format!("\r\x1b[2K{line}"),
            (Some(_), false) => format!("\n{line}"),
            (None, false) => line,
        };
        self.shown.insert(p.stream.clone(), (now, p.t));
        self.open = Some(p.stream.clone());
        text
    }

    fn event(&mut self, e: &Event) -> String {
        let line = format!(
            "{:>8.1} s  {:<10.10}  event: {} from {:.1} s to {:.1} s, at most {:.0} %\n",
            e.end,
            e.stream,
            e.label,
            e.start,
            e.end,
            e.peak * 100.0
        );
        self.own_line(line)
    }

    fn drift(&mut self, d: &Drift) -> String {
        let what = match (d.what, &d.label) {
            (Watched::Confidence, _) => "how sure the model is".to_owned(),
            (Watched::ClassMix, Some(label)) => format!("how often it says {label}"),
            (Watched::ClassMix, None) => "what it says how often".to_owned(),
            (Watched::Loss, _) => "how wrong the model is".to_owned(),
        };
        let line = format!(
            "{:>8.1} s  {:<10.10}  drift: {what} went from {:.2} to {:.2}\n",
            d.t, d.stream, d.from, d.to
        );
        self.own_line(line)
    }

    /// `line`, below the one that is open, if one is.
    fn own_line(&mut self, line: String) -> String {
        if self.open.take().is_some() { format!("\n{line}") } else { line }
    }

    fn line(&self, p: &Prediction) -> String {
        let (best, probability) = p.top.first().map_or(("", 0.0), |s| (s.label.as_str(), s.p));
        let full = (probability * BAR as f32).round() as usize;
        let mut line = format!(
            "{:>8.1} s  {:<10.10}  {}{}  {:>3.0} %  ",
            p.t,
            p.stream,
            "█".repeat(full.min(BAR)),
            "░".repeat(BAR - full.min(BAR)),
            probability * 100.0
        );
        let said = if p.label.is_some() { best.to_owned() } else { format!("({best}?)") };
        let _ = write!(line, "{said:<16}");
        if let Some(truth) = &p.truth {
            let (mark, colour) = match truth.as_slice() {
                [] => (" ", ""),
                labels if labels.iter().any(|l| l == best) => ("✓", "\x1b[32m"),
                _ => ("✗", "\x1b[31m"),
            };
            let truth = truth.join("+");
            let _ = match self.colour {
                true => write!(line, "  {colour}{mark}\x1b[0m {truth:<16}"),
                false => write!(line, "  {mark} {truth:<16}"),
            };
        }
        if let Some(top1) = p.clip_top1 {
            let _ = write!(line, "  {:.0} % right", top1 * 100.0);
        }
        line.truncate(line.trim_end().len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predict::{EndedBy, EventKind, Scored};

    fn prediction(stream: &str, t: f64, label: &str) -> Prediction {
        Prediction {
            stream: stream.into(),
            seq: 0,
            t,
            start: t - 1.0,
            at: String::new(),
            label: Some(label.into()),
            top: vec![Scored { label: label.into(), p: 0.9 }],
            set: None,
            event: None,
            truth: Some(vec!["wave".into()]),
            delay_s: 0.0,
            latency_ms: 1.0,
            skipped: 0,
            reset: None,
            clip_top1: Some(0.5),
        }
    }

    #[test]
    fn a_line_says_when_what_how_sure_the_truth_and_the_accuracy() {
        let mut screen = Screen::new(false, false);
        let line = screen.prediction(&prediction("gate", 12.4, "wave"));
        for part in ["12.4 s", "gate", "90 %", "wave", "✓ wave", "50 % right"] {
            assert!(line.contains(part), "{part} in {line}");
        }
        assert!(line.ends_with('\n') && !line.contains('\x1b'));
        assert!(screen.prediction(&prediction("gate", 12.5, "run")).contains("✗ wave"));
        let unsure = Prediction { label: None, ..prediction("gate", 13.0, "run") };
        assert!(screen.prediction(&unsure).contains("(run?)"));
    }

    #[test]
    fn a_terminal_line_is_rewritten_until_something_changes() {
        let mut screen = Screen::new(true, false);
        assert!(screen.prediction(&prediction("gate", 1.0, "wave")).starts_with(' '));
        assert!(screen.prediction(&prediction("gate", 1.1, "wave")).starts_with("\r\x1b[2K"));
        assert!(screen.prediction(&prediction("gate", 1.2, "run")).starts_with('\n'));
    }

    #[test]
    fn two_streams_do_not_flood_the_terminal() {
        let mut screen = Screen::new(true, false);
        screen.prediction(&prediction("a", 1.0, "wave"));
        screen.prediction(&prediction("b", 1.0, "wave"));
        assert_eq!(screen.prediction(&prediction("a", 1.1, "wave")), "");
        assert!(screen.prediction(&prediction("a", 1.2, "run")).starts_with('\n'));
        assert!(screen.prediction(&prediction("b", 4.0, "wave")).starts_with('\n'));
    }

    #[test]
    fn an_event_gets_its_own_line() {
        let mut screen = Screen::new(true, false);
        screen.prediction(&prediction("gate", 1.0, "wave"));
        let event = Event {
            v: 1,
            kind: EventKind,
            stream: "gate".into(),
            label: "wave".into(),
            start: 1.0,
            end: 3.5,
            peak: 0.97,
            ended_by: EndedBy::Off,
            at: String::new(),
        };
        let line = screen.event(&event);
        assert!(
            line.starts_with('\n') && line.contains("wave from 1.0 s to 3.5 s, at most 97 %"),
            "{line}"
        );
        assert!(screen.prediction(&prediction("gate", 3.6, "run")).starts_with(' '));
    }
}
