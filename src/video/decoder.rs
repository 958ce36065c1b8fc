//! Which decoder a stream takes: by rank, but for what its own config prefers
//! or forbids. The choice is made inside one pipeline; other streams and the
//! registry's ranks are not touched.

use gst::glib;
use gst::prelude::*;
use gstreamer as gst;

use crate::video::spec::DecoderChoice;

/// Media that kinewatch never decodes; their tracks stay as they are.
const IGNORED: [&str; 5] =
    ["audio/", "text/", "subpicture/", "subtitle/", "application/x-subtitle"];

/// Whether this media type is of a track that is not video.
pub(crate) fn ignored(media: &str) -> bool {
    IGNORED.iter().any(|prefix| media.starts_with(prefix))
}

/// Sets up `uridecodebin` or `decodebin`: no track but video is decoded, and
/// decoders are tried in the order of `choice`.
///
/// `seen` is told every media type on the way from the container to the
/// decoder.
pub(crate) fn direct(
    bin: &gst::Element,
    choice: &DecoderChoice,
    seen: impl Fn(&str) + Send + Sync + 'static,
) {
    bin.connect("autoplug-continue", false, move |values| {
        let caps = values.get(2).and_then(|caps| caps.get::<gst::Caps>().ok());
        let structure = caps.as_ref().and_then(|caps| caps.structure(0));
        let go_on = structure.is_none_or(|structure| {
            seen(structure.name());
            !ignored(structure.name())
        });
        Some(go_on.to_value())
    });
    for name in choice.prefer.iter().filter(|name| gst::ElementFactory::find(name).is_none()) {
        log::warn!("the preferred decoder {name} is not installed: going by rank");
    }
    let mut choice = choice.clone();
    let installed = |name: &str| gst::ElementFactory::find(name).is_some();
    for name in unreadable_decoders(installed) {
        log::warn!(
            "the decoder {name} is not used: nothing is installed that brings its pictures to \
             system memory"
        );
        choice.forbid.push(name);
    }
    if choice.prefer.is_empty() && choice.forbid.is_empty() {
        return;
    }
    // Not `autoplug-select`: by the time it is asked, decodebin has already
    // fixed the parser's output for the decoder of the highest rank.
    bin.connect("autoplug-factories", false, move |values| {
        let caps = values.get(2)?.get::<gst::Caps>().ok()?;
        let factories = factories_for(&caps, &choice);
        Some(
            glib::ValueArray::from_values(factories.iter().map(|factory| factory.to_value()))
                .to_value(),
        )
    });
}

/// Decoders of video that leave every picture in a memory which no `installed` element
/// reads: another one is of more use.
fn unreadable_decoders(installed: impl Fn(&str) -> bool + Copy) -> Vec<String> {
    let decoders = gst::ElementFactory::factories_with_type(
        gst::ElementFactoryType::DECODER | gst::ElementFactoryType::MEDIA_VIDEO,
        gst::Rank::MARGINAL,
    );
    let gives_none = |factory: &&gst::ElementFactory| {
        let mut sources = factory
            .static_pad_templates()
            .into_iter()
            .filter(|pad| pad.direction() == gst::PadDirection::Src)
            .peekable();
        sources.peek().is_some()
            && sources.all(|pad| crate::video::download::unreadable(&pad.caps(), installed))
    };
    decoders.iter().filter(gives_none).map(|factory| factory.name().to_string()).collect()
}

/// What decodebin may plug behind a pad with these caps, in the order in which
/// it is to try them: as it would by itself (parsers first, then by rank), but
/// for the preferred, which come before other decoders, and the forbidden.
fn factories_for(caps: &gst::Caps, choice: &DecoderChoice) -> Vec<gst::ElementFactory> {
    let decodable = gst::ElementFactory::factories_with_type(
        gst::ElementFactoryType::DECODABLE,
        gst::Rank::MARGINAL,
    );
    let place = |factory: &gst::ElementFactory| {
        if factory.has_type(gst::ElementFactoryType::PARSER) {
            return 0;
        }
        let wanted = choice.prefer.iter().position(|name| factory.name() == name.as_str());
        wanted.map_or(usize::MAX, |wanted| wanted + 1)
    };
    let mut factories: Vec<gst::ElementFactory> = decodable
        .iter()
        .filter(|factory| !choice.forbid.iter().any(|name| factory.name() == name.as_str()))
        .filter(|factory| {
            if caps.is_fixed() {
                factory.can_sink_all_caps(caps)
            } else {
                factory.can_sink_any_caps(caps)
            }
        })
        .cloned()
        .collect();
    factories
        .sort_by_key(|factory| (place(factory), std::cmp::Reverse(factory.rank()), factory.name()));
    factories
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoders_into_system_memory_are_all_readable() {
        gst::init().unwrap();
        for name in ["jpegdec", "avdec_h264", "vp8dec"] {
            assert!(!unreadable_decoders(|_| false).iter().any(|known| known == name), "{name}");
        }
    }

    #[test]
    fn the_preferred_come_first_and_the_forbidden_not_at_all() {
        gst::init().unwrap();
        let caps: gst::Caps = "image/jpeg, parsed=true".parse().unwrap();
        let names = |prefer: &[&str], forbid: &[&str]| -> Vec<String> {
            let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let choice = DecoderChoice { prefer: own(prefer), forbid: own(forbid) };
            factories_for(&caps, &choice)
                .iter()
                .filter(|factory| !factory.has_type(gst::ElementFactoryType::PARSER))
                .map(|factory| factory.name().to_string())
                .collect()
        };
        let by_rank = names(&[], &[]);
        let last = by_rank.last().unwrap().as_str();
        assert_eq!(names(&[last], &[])[0], last);
        assert!(!names(&[], &[last]).iter().any(|name| name == last));
        assert_eq!(names(&[], &[last]).len(), by_rank.len() - 1);
    }
}
