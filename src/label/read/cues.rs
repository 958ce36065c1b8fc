//! WebVTT and SubRip: one file for each video, of the same name, whose cues are
//! the labels. A cue is a line `start --> end` and the lines below it to the next
//! blank one, each a label; cues may overlap. Markup (`<b>`, `<v Name>`,
//! `{\an8}`) and WebVTT's `NOTE`, `STYLE` and `REGION` blocks are left out.
//!
//! WebVTT times are `HH:MM:SS.mmm` or `MM:SS.mmm` (W3C, "WebVTT: The Web Video
//! Text Tracks Format", w3.org/TR/webvtt1, section 4.1); SubRip's are
//! `HH:MM:SS,mmm` (there is no specification; its author's guide is kept at
//! matroska.org/technical/subtitles.html#srt-subtitles).

use super::Source;
use crate::label::collect::Collector;
use crate::label::fault::Broken;
use crate::label::seconds;
use crate::label::text;

pub(super) fn read_webvtt(source: &Source<'_>, out: &mut Collector) -> Result<(), Broken> {
    let signed = source.text.strip_prefix("WEBVTT");
    if !signed.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n', '\r'])) {
        return Err(Broken::at(0, "it does not begin with WEBVTT"));
    }
    read(source, out)
}

pub(super) fn read_srt(source: &Source<'_>, out: &mut Collector) -> Result<(), Broken> {
    if !source.text.trim().is_empty() && !source.text.contains("-->") {
        return Err(Broken::at(
            0,
            "it holds no cue; expected lines such as 00:00:01,000 --> 00:00:02,500",
        ));
    }
    read(source, out)
}

fn read(source: &Source<'_>, out: &mut Collector) -> Result<(), Broken> {
    let video = source.stem();
    out.video(video, || 0)?;
    let mut lines = text::lines(source.text);
    while let Some((at, line)) = lines.next() {
        let Some((start, rest)) = line.split_once("-->") else { continue };
        // Settings of the cue may follow its end.
        let end = rest.split_whitespace().next().unwrap_or_default();
        let end_at = at + line.len() - rest.len() + rest.find(end).unwrap_or(0);
        let times = (time(start, at)?, time(end, end_at)?);
        let mut labels = 0usize;
        for (at, line) in lines.by_ref().take_while(|(_, line)| !line.trim().is_empty()) {
            let label = plain(line);
            if !label.is_empty() {
                labels += 1;
                out.span(video, times, &label, || at)?;
            }
        }
        if labels == 0 {
            out.fault(format!("the cue at {} s has no text", times.0), || at)?;
        }
    }
    Ok(())
}

fn time(text: &str, at: usize) -> Result<f64, Broken> {
    let (at, text) = text::trimmed(at, text);
    seconds::clock(text)
        .ok_or_else(|| Broken::at(at, format!("\"{text}\" is no time; expected HH:MM:SS.mmm")))
}

/// A line of a cue without markup.
fn plain(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(open) = rest.find(['<', '{']) {
        let close = if rest[open..].starts_with('<') { '>' } else { '}' };
        // A brace is markup only where a backslash follows.
        let markup = close == '>' || rest[open + 1..].starts_with('\\');
        match rest[open..].find(close).filter(|_| markup) {
            Some(end) => {
                out.push_str(&rest[..open]);
                rest = &rest[open + end + 1..];
            }
            None => {
                out.push_str(&rest[..=open]);
                rest = &rest[open + 1..];
            }
        }
    }
    out.push_str(rest);
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&nbsp;", " "),
        ("&lrm;", ""),
        ("&rlm;", ""),
        ("&amp;", "&"),
    ];
    if out.contains('&') {
        for (entity, character) in entities {
            out = out.replace(entity, character);
        }
    }
    out.trim().to_owned()
}
