//! What GStreamer reports, as an error that a person understands.

use gst::glib;
use gstreamer as gst;
use gstreamer_pbutils as gst_pbutils;

use crate::error::{Error, Result};
use crate::video::address::{Address, shown};
use crate::video::package;
use crate::video::spec::{SourceSpec, Target};

/// What can be done about a file that was not written to its end.
const CUT_OFF: &str =
    "record or copy it again: an MP4 whose recorder was cut off has no index and cannot be played";

/// Turns GStreamer's messages about one source into errors.
pub(crate) struct Faults {
    doing: String,
    kind: SourceKind,
    /// Whether a user name was given.
    has_user: bool,
    /// Whether the server's certificate is checked.
    vouched: bool,
    /// What a missing-plugin message asked for; the error that follows it says
    /// less.
    missing: Option<(String, Option<&'static str>)>,
    forbids: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SourceKind {
    Recording,
    Rtsp,
    Http,
    Camera,
    Other,
}

impl Faults {
    /// `name` is the stream's name in the config.
    pub fn new(name: &str, spec: &SourceSpec) -> Self {
        let (kind, has_user) = match spec.target() {
            Ok(Target::Path(_)) => (SourceKind::Recording, false),
            Ok(Target::Uri(uri)) => {
                let user = spec.user.is_some() || Address::parse(uri).user.is_some();
                match Address::parse(uri).scheme().as_str() {
                    "file" => (SourceKind::Recording, false),
                    "http" | "https" => (SourceKind::Http, user),
                    _ => (SourceKind::Rtsp, user),
                }
            }
            Ok(Target::Device(_) | Target::Csi(_)) => (SourceKind::Camera, false),
            _ => (SourceKind::Other, false),
        };
        let doing = match name {
            "" => format!("playing {}", spec.describe()),
            name => format!("playing {} (stream {name:?})", spec.describe()),
        };
        let scheme = spec.uri.as_deref().map(|uri| Address::parse(uri).scheme());
        let vouched =
            spec.tls_verify() && scheme.is_some_and(|s| matches!(s.as_str(), "rtsps" | "https"));
        let forbids = !spec.decoder.forbid.is_empty();
        Faults { doing, kind, has_user, vouched, missing: None, forbids }
    }

    /// What was being done, for errors that do not come from GStreamer.
    pub fn doing(&self) -> &str {
        &self.doing
    }

    /// Notes a missing-plugin message.
    pub fn note_missing(&mut self, message: &gst::MessageRef) {
        let Ok(missing) = gst_pbutils::MissingPluginMessage::parse(message) else {
            return;
        };
        let detail = missing.installer_detail();
        // Only what video needs: nobody misses a decoder for a track that is ignored.
        let of_track = detail.split('|').nth(4).and_then(|wanted| wanted.split_once('-'));
        if of_track.is_some_and(|(_, media)| crate::video::decoder::ignored(media)) {
            return;
        }
        // An archive or a document has no decoder anywhere.
        let package = package::of_detail(&detail);
        if package.is_none() && of_track.is_some_and(|(_, media)| media.starts_with("application/"))
        {
            return;
        }
        if self.missing.is_none() {
            self.missing = Some((missing.description().to_string(), package::of_detail(&detail)));
        }
    }

    /// The error for a plugin that was noted as missing, if one was.
    pub fn missing(&self) -> Option<Error> {
        let (what, package) = self.missing.as_ref()?;
        let mut remedy = package::remedy(*package);
        if self.forbids {
            remedy.push_str(", or forbid fewer decoders");
        }
        Some(Error::unavailable(&self.doing, format!("a plugin is missing: {what}")).remedy(remedy))
    }

    /// An element that is not installed.
    pub fn no_element(&self, name: &str) -> Error {
        Error::unavailable(&self.doing, format!("the GStreamer element {name:?} is not installed"))
            .remedy(package::remedy(package::of_element(name)))
    }

    /// Makes an element, or says which package brings it.
    pub fn make(&self, name: &str) -> Result<gst::Element> {
        gst::ElementFactory::make(name).build().map_err(|_| self.no_element(name))
    }

    /// No video track among those of a source that opened.
    pub fn no_video(&self, has_sound: bool) -> Error {
        let fault = if has_sound { "it has sound but no video" } else { "there is no video in it" };
        Error::data(&self.doing, fault).remedy("name a source that has a video track")
    }

    /// A file of no bytes.
    pub fn empty_file(&self) -> Error {
        Error::data(&self.doing, "the file is empty").remedy("record or copy it again")
    }

    /// Text where video should be.
    pub fn text(&self) -> Error {
        Error::data(&self.doing, "it is a text file, not a video").remedy("name a video file")
    }

    /// A recording whose pipeline rests without having ended.
    pub fn dead(&self, at: Option<f64>) -> Error {
        match at {
            None => Error::data(
                &self.doing,
                "the file is damaged or cut off (nothing in it can be played)",
            )
            .remedy(CUT_OFF),
            Some(at) => {
                Error::data(&self.doing, format!("after {at:.1} s: nothing more can be decoded"))
                    .remedy("the recording is damaged there; what came before it was used")
            }
        }
    }

    /// Nothing came for `seconds`; `first` says whether nothing ever came.
    pub fn timeout(&self, seconds: f64, first: bool) -> Error {
        let what = if first { "no picture came within" } else { "no further picture came for" };
        let remedy = match self.kind {
            SourceKind::Rtsp => {
                "check that the camera is on and reachable and its path is right; \
                 try the other transport (\"tcp\" or \"udp\"), or set a longer timeout"
            }
            SourceKind::Recording | SourceKind::Other => {
                "set a longer timeout if the source is only slow"
            }
            _ => "check that the source is on and sends, or set a longer timeout",
        };
        Error::unavailable(&self.doing, format!("{what} {seconds} s")).remedy(remedy)
    }

    /// A live source that said that it is over.
    pub fn ended(&self) -> Error {
        Error::unavailable(&self.doing, "the source ended")
            .remedy("see the camera's or server's own log")
    }

    /// A source that ended before it gave a picture.
    pub fn empty(&self) -> Error {
        Error::data(
            &self.doing,
            "it ended before its first picture: it is cut off, or nothing in it can be decoded",
        )
        .remedy("record or copy it again")
    }

    /// Pictures that no time can be told of.
    pub fn no_times(&self) -> Error {
        Error::data(&self.doing, "its pictures carry no presentation times")
            .remedy("add times to them: in a pipeline, with do-timestamp=true or a parser element")
    }

    /// GStreamer's own error. `at` is the time of the last picture in seconds,
    /// where one came.
    pub fn error(&self, error: &glib::Error, debug: Option<&str>, at: Option<f64>) -> Error {
        if let (Some(missing), None) = (self.missing(), at) {
            return missing;
        }
        let debug = debug.unwrap_or_default();
        let said = shown(error.message().trim_end_matches('.'));
        if let Some(at) = at {
            let fault = format!("after {at:.1} s: {said}{}", detail(debug));
            return match self.kind {
                SourceKind::Recording => Error::data(&self.doing, fault)
                    .remedy("the recording is damaged there; what came before it was used"),
                _ => Error::unavailable(&self.doing, fault)
                    .remedy("check the source and the network to it"),
            };
        }
        let wrong =
            |fault: &str, remedy: &str| Error::unavailable(&self.doing, fault).remedy(remedy);
        match self.kind {
            SourceKind::Rtsp | SourceKind::Http => {
                if error.matches(gst::ResourceError::NotAuthorized) || has_status(debug, "401") {
                    return if self.has_user {
                        wrong(
                            "the server refuses this user and password (401)",
                            "correct user and password",
                        )
                    } else {
                        wrong(
                            "the server asks for a user and password (401)",
                            "set user = \"…\" and password = \"…\"",
                        )
                    };
                }
                if has_status(debug, "403") {
                    return wrong(
                        "the server forbids it (403)",
                        "give this user access on the server",
                    );
                }
                if error.matches(gst::ResourceError::NotFound) || has_status(debug, "404") {
                    if debug.contains("resolve") || said.contains("resolve") {
                        return wrong(
                            "the host name is not known",
                            "correct the host name, or use its address",
                        );
                    }
                    return wrong(
                        "the server does not have this path (404)",
                        "correct the path in the URI",
                    );
                }
                if debug.contains("resolv") || said.contains("resolv") {
                    return wrong(
                        "the host name is not known",
                        "correct the host name, or use its address",
                    );
                }
                if debug.contains("TLS")
                    || debug.contains("certificate")
                    || said.contains("certificate")
                {
                    return wrong(
                        "the server's certificate is not accepted",
                        "install its authority's certificate, or set tls_verify = false on a network that you trust",
                    );
                }
                // libsoup's source reports a failed connection so, without more.
                let mute = self.kind == SourceKind::Http && debug.contains("reason error (-5)");
                let unreached = mute
                    || error.matches(gst::ResourceError::OpenReadWrite)
                    || error.matches(gst::ResourceError::OpenRead);
                if unreached && self.vouched && !debug.contains("refused") {
                    return wrong(
                        "no secure connection: the server breaks off, or its certificate is not accepted",
                        "install its authority's certificate, or set tls_verify = false on a network that you trust; check host and port",
                    );
                }
                if mute {
                    return wrong(
                        "the server cannot be reached or breaks off",
                        "check host and port, the network, and that the server runs",
                    );
                }
                if debug.contains("refused") {
                    return wrong(
                        "the server refuses connections",
                        "check host and port, and that the server runs",
                    );
                }
                if error.matches(gst::ResourceError::OpenReadWrite)
                    || error.matches(gst::ResourceError::OpenRead)
                {
                    return wrong(
                        &format!("it cannot be reached{}", detail(debug)),
                        "check host and port, the network, and that the server runs",
                    );
                }
            }
            SourceKind::Camera => {
                if error.matches(gst::ResourceError::Busy) || debug.contains("busy") {
                    return wrong(
                        "another program uses the camera",
                        "end that program: fuser shows which it is",
                    );
                }
                if error.matches(gst::ResourceError::NotFound) || debug.contains("No such file") {
                    return wrong(
                        "there is no such camera",
                        "plug it in, or list cameras with: v4l2-ctl --list-devices",
                    );
                }
                if error.matches(gst::ResourceError::OpenRead)
                    || error.matches(gst::ResourceError::OpenReadWrite)
                    || debug.contains("ermission")
                {
                    return wrong(
                        &format!("the camera cannot be opened{}", detail(debug)),
                        "let the user that runs kinewatch into the group video",
                    );
                }
                if debug.contains("not-negotiated") {
                    return wrong(
                        "the camera has no such size or rate",
                        "leave size and fps out, or list what it has: v4l2-ctl --list-formats-ext",
                    );
                }
                if error.matches(gst::ResourceError::Settings)
                    || debug.contains("not a capture")
                    || debug.contains("not a output")
                {
                    return wrong(
                        &format!("this is no video camera{}", detail(debug)),
                        "list cameras with: v4l2-ctl --list-devices",
                    );
                }
            }
            SourceKind::Recording | SourceKind::Other => {}
        }
        if error.matches(gst::StreamError::WrongType)
            && (said.contains("text") || debug.contains("text"))
        {
            return self.text();
        }
        if error.matches(gst::StreamError::TypeNotFound)
            || error.matches(gst::StreamError::WrongType)
        {
            return Error::data(&self.doing, "it is not a video that GStreamer knows")
                .remedy("name a video file, or convert it: ffmpeg -i IN OUT.mkv");
        }
        if error.matches(gst::StreamError::CodecNotFound)
            || error.matches(gst::CoreError::MissingPlugin)
        {
            let remedy = package::remedy(None);
            let remedy =
                if self.forbids { format!("{remedy}; or forbid fewer decoders") } else { remedy };
            return Error::unavailable(&self.doing, format!("no plugin decodes it: {said}"))
                .remedy(remedy);
        }
        if error.matches(gst::StreamError::Demux)
            || error.matches(gst::StreamError::Decode)
            || error.matches(gst::StreamError::Format)
            || (self.kind == SourceKind::Recording && error.matches(gst::StreamError::Failed))
        {
            return Error::data(
                &self.doing,
                format!("the file is damaged or cut off{}", detail(debug)),
            )
            .remedy(CUT_OFF);
        }
        if error.matches(gst::ResourceError::NotFound) {
            return wrong("the file does not exist", "check the name");
        }
        let fault = format!("{said}{}", detail(debug));
        match self.kind {
            SourceKind::Recording => {
                Error::data(&self.doing, fault).remedy("check that the file plays elsewhere")
            }
            _ => wrong(&fault, "check the source and the network to it"),
        }
    }
}

/// The last line of GStreamer's debug text, which is where elements say why,
/// in brackets.
fn detail(debug: &str) -> String {
    let line = debug.lines().skip(1).last().map(str::trim).unwrap_or_default();
    let line = line.trim_end_matches('.');
    if line.is_empty() { String::new() } else { format!(" ({})", shown(line)) }
}

/// Whether a status code stands in this text as a number of its own.
fn has_status(text: &str, code: &str) -> bool {
    text.match_indices(code).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + code.len()..].chars().next();
        let part_of_more =
            |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '.' || c == ':');
        // GStreamer's debug text begins with file.c(line): a line number is no status.
        !part_of_more(before)
            && !part_of_more(after)
            && !text[at..].starts_with(&format!("{code}):"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rtsp(uri: &str) -> Faults {
        Faults::new("gate", &SourceSpec::uri(uri))
    }

    #[test]
    fn a_wrong_password_is_named_but_not_shown() {
        let error = glib::Error::new(gst::ResourceError::NotAuthorized, "Unauthorized");
        let text = rtsp("rtsp://u:hunter2@h/x")
            .error(&error, Some("a.c(7): f ():\nUnauthorized (401)"), None)
            .to_string();
        assert!(
            text.contains("401")
                && text.contains("correct user and password")
                && !text.contains("hunter2"),
            "{text}"
        );
        let text = rtsp("rtsp://h/x").error(&error, None, None).to_string();
        assert!(text.contains("asks for a user"), "{text}");
    }

    #[test]
    fn status_codes_are_not_line_numbers() {
        assert!(has_status("Not Found (404)", "404"));
        assert!(!has_status("gstrtspsrc.c(404): gst_x ()", "404"));
        assert!(!has_status("port 4041", "404"));
        assert!(!has_status("host 10.0.0.404", "404"));
    }

    #[test]
    fn faults_after_the_first_picture_say_when() {
        let error = glib::Error::new(gst::StreamError::Demux, "Internal data stream error.");
        let faults = Faults::new("", &SourceSpec::path("/v/a.mkv"));
        let text = faults.error(&error, None, Some(3.25)).to_string();
        assert!(
            text.contains("after 3.2 s") && text.contains("what came before it was used"),
            "{text}"
        );
    }
}
