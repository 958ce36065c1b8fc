//! Which decoder a stream takes: by rank, but for what its own config prefers
//! or forbids. The choice is made inside one pipeline; other streams and the
//! registry's ranks are not touched.

use gst::glib;
use gst::prelude::*;
use gstreamer as gst;

use crate::video::spec::DecoderChoice;

/// Media that kinewatch never decodes; their tracks stay as they are.
const IGNORED: [&str; 5] = [
    "audio/",
    "text/",
    "subpicture/",
    "subtitle/",
    "application/x-subtitle",
];

/// Whether this media type is of a track that is not video.
pub(crate) fn ignored(media: &str) -> bool {
    IGNORED.iter().any(|prefix| media.starts_with(prefix))
}

/// Sets up `uridecodebin` or `decodebin`: no track but video is decoded, and
/// decoders are tried in the order of `choice`.
pub(crate) fn direct(bin: &gst::Element, choice: &DecoderChoice) {
    bin.connect("autoplug-continue", false, |values| {
        let go_on = values
            .get(2)
            .and_then(|caps| caps.get::<gst::Caps>().ok())
            .is_none_or(|caps| {
                !caps
                    .structure(0)
                    .is_some_and(|structure| ignored(structure.name()))
            });
        Some(go_on.to_value())
    });
    for name in choice
        .prefer
        .iter()
        .filter(|name| gst::ElementFactory::find(name).is_none())
    {
        log::warn!("the preferred decoder {name} is not installed: going by rank");
    }
    if !choice.forbid.is_empty() {
        let forbid = choice.forbid.clone();
        bin.connect("autoplug-select", false, move |values| {
            let factory = values
                .get(3)
                .and_then(|value| value.get::<gst::ElementFactory>().ok());
            let skip = factory
                .is_some_and(|factory| forbid.iter().any(|name| factory.name() == name.as_str()));
            select_result(if skip { "skip" } else { "try" })
        });
    }
    if !choice.prefer.is_empty() {
        let prefer = choice.prefer.clone();
        bin.connect("autoplug-sort", false, move |values| {
            let offered = values
                .get(3)
                .and_then(|value| value.get::<glib::ValueArray>().ok())?;
            let mut factories: Vec<glib::Value> = offered.iter().cloned().collect();
            // Parsers stay in front: a decoder wants what they make of a stream.
            factories.sort_by_key(|value| match value.get::<gst::ElementFactory>() {
                Ok(factory) if factory.has_type(gst::ElementFactoryType::PARSER) => 0,
                Ok(factory) => {
                    let place = prefer
                        .iter()
                        .position(|wanted| factory.name() == wanted.as_str());
                    place.map_or(usize::MAX, |place| place + 1)
                }
                Err(_) => usize::MAX,
            });
            Some(glib::ValueArray::from_values(factories).to_value())
        });
    }
}

/// A value of `GstAutoplugSelectResult`, an enumeration that decodebin
/// registers for itself.
fn select_result(nick: &str) -> Option<glib::Value> {
    let kind = glib::Type::from_name("GstAutoplugSelectResult")?;
    glib::EnumClass::with_type(kind)?.to_value_by_nick(nick)
}
