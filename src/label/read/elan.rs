//! ELAN's `.eaf` (XML). `TIME_ORDER` lists `TIME_SLOT`s with `TIME_VALUE` in
//! milliseconds, or without where a time is not known: such slots lie evenly
//! between their neighbours. A `TIER` holds `ANNOTATION`s: an
//! `ALIGNABLE_ANNOTATION` from one slot to another, or a `REF_ANNOTATION` that
//! takes its time from the annotation it refers to. `MEDIA_DESCRIPTOR` names the
//! video; its `TIME_ORIGIN` is how far into the video the time line begins.
//!
//! Source: "EAF 3.0, ELAN Annotation Format: schema and description"
//! (mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf) and the schema
//! mpi.nl/tools/elan/EAFv3.0.xsd.

use std::collections::{BTreeMap, BTreeSet};

use roxmltree::{Document, Node, ParsingOptions};

use super::Source;
use crate::label::collect::Collector;
use crate::label::fault::Broken;
use crate::label::seconds;
use crate::label::text::Lines;

/// A document of more nodes is no annotation of a recording.
const MOST_NODES: u32 = 4_000_000;
/// References that lead through more annotations than this go in a circle.
const DEEPEST: usize = 64;

pub(super) fn read(source: &Source<'_>, out: &mut Collector) -> Result<(), Broken> {
    // DTDs, and with them entities of one's own, stay forbidden.
    let options = ParsingOptions { nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(source.text, options).map_err(|error| {
        let pos = error.pos();
        // The parser counts columns in characters.
        let line_at = Lines::new(source.text.as_bytes()).offset(pos.row as usize, 1);
        let line = source.text.get(line_at..).unwrap_or_default();
        let column = (pos.col as usize).saturating_sub(1);
        let within = line.char_indices().nth(column).map_or(0, |(i, _)| i);
        let fault = error.to_string();
        let fault = fault.rsplit_once(" at ").map_or(fault.as_str(), |(what, _)| what);
        Broken::at(line_at + within, fault)
    })?;
    let root = document.root_element();
    if !root.has_tag_name("ANNOTATION_DOCUMENT") {
        return Err(Broken::at(
            root.range().start,
            format!("the root is <{}>; expected <ANNOTATION_DOCUMENT>", root.tag_name().name()),
        ));
    }
    let video = source.stem();
    out.video(video, || 0)?;
    let origin = media(root, video, out);

    let tiers: Vec<Node<'_, '_>> = children(root, "TIER").collect();
    let times = Times::of(root, &tiers)?;
    for tier in chosen(&tiers, source)? {
        let mut empty = 0usize;
        for annotation in annotations(tier) {
            let at = || annotation.range().start;
            let label = value(annotation);
            if label.is_empty() {
                empty += 1;
                continue;
            }
            let Some((start, end)) = times.of_annotation(annotation) else {
                out.fault(format!("\"{label}\" has no time"), at)?;
                continue;
            };
            let on_video = |ms: f64| ((ms + origin) / 1000.0).max(0.0);
            let span = (on_video(start), on_video(end));
            if !seconds::sound(span.0) || !seconds::sound(span.1) {
                return Err(Broken::at(at(), "its time is beyond the length of any recording"));
            }
            out.span(video, span, label, at)?;
        }
        if empty > 0 {
            let name = tier.attribute("TIER_ID").unwrap_or_default();
            out.fault(format!("annotations of tier \"{name}\" without a value: {empty}"), || {
                tier.range().start
            })?;
        }
    }
    Ok(())
}

fn children<'a, 'd>(node: Node<'a, 'd>, name: &'static str) -> impl Iterator<Item = Node<'a, 'd>> {
    node.children().filter(move |child| child.has_tag_name(name))
}

/// The annotations of a tier, of either kind.
fn annotations<'a, 'd>(tier: Node<'a, 'd>) -> impl Iterator<Item = Node<'a, 'd>> {
    children(tier, "ANNOTATION").filter_map(|annotation| annotation.first_element_child())
}

fn value<'a>(annotation: Node<'a, '_>) -> &'a str {
    children(annotation, "ANNOTATION_VALUE")
        .next()
        .and_then(|v| v.text())
        .unwrap_or_default()
        .trim()
}

/// The videos that the document names; gives where the time line begins in the
/// first of them, in milliseconds.
fn media(root: Node<'_, '_>, video: &str, out: &mut Collector) -> f64 {
    let mut origin = None;
    for header in children(root, "HEADER") {
        for media in children(header, "MEDIA_DESCRIPTOR") {
            let url = media.attribute("RELATIVE_MEDIA_URL").or(media.attribute("MEDIA_URL"));
            let name = url.and_then(|url| url.rsplit(['/', '\\']).next()).unwrap_or_default();
            if !name.is_empty()
                && !media.attribute("MIME_TYPE").unwrap_or_default().starts_with("audio")
            {
                out.alternate(video, name.replace("%20", " "));
                let begins =
                    media.attribute("TIME_ORIGIN").and_then(|t| t.trim().parse::<f64>().ok());
                origin = origin.or(Some(begins.filter(|t| t.is_finite()).unwrap_or(0.0)));
            }
        }
    }
    origin.unwrap_or(0.0)
}

/// The tiers to read: the one asked for, all for `*`, or the only one that holds
/// anything.
fn chosen<'a, 'd>(
    tiers: &[Node<'a, 'd>],
    source: &Source<'_>,
) -> Result<Vec<Node<'a, 'd>>, Broken> {
    let filled: Vec<_> = tiers
        .iter()
        .copied()
        .filter(|tier| annotations(*tier).any(|a| !value(a).is_empty()))
        .collect();
    let name = |tier: &Node<'_, '_>| tier.attribute("TIER_ID").unwrap_or_default().to_owned();
    let listed = || {
        let names: Vec<_> = filled.iter().take(20).map(|t| format!("\"{}\"", name(t))).collect();
        names.join(", ")
    };
    match source.options.tier.as_deref() {
        Some("*") => Ok(filled),
        Some(wanted) => {
            let found: Vec<_> = tiers.iter().copied().filter(|tier| name(tier) == wanted).collect();
            if found.is_empty() {
                let fault = format!("no tier is called \"{wanted}\"; there are {}", listed());
                return Err(Broken::whole(fault));
            }
            Ok(found)
        }
        None if filled.len() > 1 => {
            Err(Broken::whole(format!("{} tiers hold annotations: {}", filled.len(), listed()))
                .remedy("say which one holds the labels (--tier NAME, or --tier '*' for all)"))
        }
        None => Ok(filled),
    }
}

/// When each annotation holds, in milliseconds of the time line.
struct Times<'a> {
    slots: BTreeMap<&'a str, f64>,
    /// For each annotation's id its slots, or the id of the one it refers to.
    annotations: BTreeMap<&'a str, Ties<'a>>,
}

#[derive(Clone, Copy)]
enum Ties<'a> {
    Slots(&'a str, &'a str),
    Reference(&'a str),
}

fn ties<'a>(annotation: Node<'a, '_>) -> Option<Ties<'a>> {
    match annotation.tag_name().name() {
        "ALIGNABLE_ANNOTATION" => Some(Ties::Slots(
            annotation.attribute("TIME_SLOT_REF1")?,
            annotation.attribute("TIME_SLOT_REF2")?,
        )),
        "REF_ANNOTATION" => Some(Ties::Reference(annotation.attribute("ANNOTATION_REF")?)),
        _ => None,
    }
}

impl<'a> Times<'a> {
    fn of(root: Node<'a, '_>, tiers: &[Node<'a, '_>]) -> Result<Self, Broken> {
        let mut slots = BTreeMap::new();
        for order in children(root, "TIME_ORDER") {
            for slot in children(order, "TIME_SLOT") {
                let at = slot.range().start;
                let Some(id) = slot.attribute("TIME_SLOT_ID") else {
                    return Err(Broken::at(at, "a TIME_SLOT has no TIME_SLOT_ID"));
                };
                let Some(value) = slot.attribute("TIME_VALUE") else { continue };
                let milliseconds = value
                    .trim()
                    .parse::<f64>()
                    .ok()
                    .filter(|ms| seconds::sound(*ms / 1000.0))
                    .ok_or_else(|| {
                        Broken::at(at, format!("TIME_VALUE is \"{value}\"; expected milliseconds"))
                    })?;
                slots.insert(id, milliseconds);
            }
        }
        let mut times = Times { slots, annotations: BTreeMap::new() };
        for tier in tiers {
            let mut next: BTreeMap<&str, &str> = BTreeMap::new();
            for annotation in annotations(*tier) {
                let Some(ties) = ties(annotation) else { continue };
                if let Some(id) = annotation.attribute("ANNOTATION_ID") {
                    times.annotations.insert(id, ties);
                }
                if let Ties::Slots(start, end) = ties {
                    next.insert(start, end);
                }
            }
            times.fill(&next);
        }
        Ok(times)
    }

    /// Gives a time to the slots of a tier that have none: each run of them lies
    /// evenly between the two known ones that it connects.
    fn fill(&mut self, next: &BTreeMap<&'a str, &'a str>) {
        let mut seen = BTreeSet::new();
        for (&start, &after) in next {
            let Some(&from) = self.slots.get(start) else { continue };
            let mut run = Vec::new();
            let mut slot = after;
            while !self.slots.contains_key(slot) && seen.insert(slot) {
                run.push(slot);
                match next.get(slot) {
                    Some(&following) => slot = following,
                    None => break,
                }
            }
            let Some(&to) = self.slots.get(slot) else { continue };
            let parts = (run.len() + 1) as f64;
            for (i, slot) in run.into_iter().enumerate() {
                self.slots.insert(slot, from + (to - from) * (i + 1) as f64 / parts);
            }
        }
    }

    fn of_annotation(&self, annotation: Node<'a, '_>) -> Option<(f64, f64)> {
        let mut at = ties(annotation)?;
        for _ in 0..DEEPEST {
            match at {
                Ties::Slots(start, end) => {
                    return Some((*self.slots.get(start)?, *self.slots.get(end)?));
                }
                Ties::Reference(id) => at = *self.annotations.get(id)?,
            }
        }
        None
    }
}
