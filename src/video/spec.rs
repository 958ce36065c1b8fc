//! What to open: the `source` table of a stream.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gstreamer::glib;
use serde::Deserialize;
use serde::de::{self, Deserializer};

use crate::duration::HumanDuration;
use crate::error::{Error, Result};
use crate::video::address::{Address, secrets_in, shown};
use crate::video::isolate::Isolation;
use crate::video::synthetic;

/// How RTP travels from an RTSP camera.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Interleaved in the RTSP connection: nothing is lost on the way.
    #[default]
    Tcp,
    /// Datagrams: less delay, losses show as damaged pictures.
    Udp,
    /// UDP first, TCP when nothing arrives.
    Auto,
}

/// Which decoder elements to take before others, and which never.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DecoderChoice {
    /// Element names, the most wanted first; the others follow by rank.
    pub prefer: Vec<String>,
    /// Element names that are never used.
    pub forbid: Vec<String>,
}

/// The `source` table: exactly one of `path`, `uri`, `device`, `csi`,
/// `pipeline` and `synth`, and options for it. See `docs/sources.md`.
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceSpec {
    /// A recording: any container and codec that the installed plugins decode.
    pub path: Option<PathBuf>,
    /// `rtsp`, `rtspt`, `rtspu`, `rtsps`, `http`, `https` or `file`.
    pub uri: Option<String>,
    /// A V4L2 camera: `/dev/video0`.
    pub device: Option<PathBuf>,
    /// A CSI camera, by sensor number.
    pub csi: Option<u32>,
    /// A GStreamer description that ends in `video/x-raw`.
    pub pipeline: Option<String>,
    /// A procedural stream: the options of `kinewatch synth`.
    pub synth: Option<String>,
    /// Width and height in pixels, asked of a camera (`device`, `csi`).
    pub size: Option<[u32; 2]>,
    /// Frames a second, asked of a camera (`device`, `csi`).
    pub fps: Option<f64>,
    /// RTSP only; default [`Transport::Tcp`].
    pub transport: Option<Transport>,
    /// RTSP jitter buffer; default 200 ms.
    pub latency: Option<HumanDuration>,
    /// No first frame, or no further one, for this long is an error; default
    /// 10 s.
    pub timeout: Option<HumanDuration>,
    /// User name for RTSP and HTTP.
    pub user: Option<String>,
    /// Password for RTSP and HTTP; never shown.
    pub password: Option<String>,
    /// Whether the server's certificate is checked (`rtsps`, `https`); default true.
    pub tls_verify: Option<bool>,
    /// Which decoders to prefer or forbid.
    pub decoder: DecoderChoice,
    /// Decode in a process of its own, held so. Not a key of this table: a
    /// stream's `isolate`.
    #[serde(skip)]
    pub isolate: Option<Isolation>,
}

/// What `source = …` says: one table, or a list of them, the first preferred.
#[derive(Clone, Debug, PartialEq)]
pub struct Sources(pub Vec<SourceSpec>);

impl<'de> Deserialize<'de> for Sources {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Sources;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of what to open, or a list of such tables")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Sources, A::Error> {
                let one = SourceSpec::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Sources(vec![one]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Sources, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = seq.next_element()? {
                    all.push(one);
                }
                Ok(Sources(all))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The one thing that a [`SourceSpec`] names.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'a> {
    Path(&'a Path),
    Uri(&'a str),
    Device(&'a Path),
    Csi(u32),
    Pipeline(&'a str),
    Synth(&'a str),
}

impl SourceSpec {
    /// A recording.
    pub fn path(path: impl Into<PathBuf>) -> Self {
        SourceSpec { path: Some(path.into()), ..Self::default() }
    }

    /// A URI.
    pub fn uri(uri: impl Into<String>) -> Self {
        SourceSpec { uri: Some(uri.into()), ..Self::default() }
    }

    /// A raw pipeline description.
    pub fn pipeline(description: impl Into<String>) -> Self {
        SourceSpec { pipeline: Some(description.into()), ..Self::default() }
    }

    /// A procedural stream.
    pub fn synth(options: impl Into<String>) -> Self {
        SourceSpec { synth: Some(options.into()), ..Self::default() }
    }

    /// Whether this is known, before opening it, to be a recording: it has an
    /// end, it can be played faster than real time, and nothing in it is lost.
    /// (`http` and `pipeline` sources are known only once they are open: see
    /// [`FrameSource::live`](crate::video::FrameSource::live).)
    pub fn is_recording(&self) -> bool {
        match self.target() {
            Ok(Target::Path(_) | Target::Synth(_)) => true,
            Ok(Target::Uri(uri)) => Address::parse(uri).scheme() == "file",
            _ => false,
        }
    }

    /// The source in a few words, without passwords: `video "a.mp4"`.
    pub fn describe(&self) -> String {
        // A secret may stand anywhere in it: `http://camera/${SECRET}/live`.
        crate::secret::hidden(match self.target() {
            Ok(Target::Path(path)) => format!("video {path:?}"),
            Ok(Target::Uri(uri)) => format!("{:?}", shown(&Address::parse(uri).uri)),
            Ok(Target::Device(device)) => format!("camera {device:?}"),
            Ok(Target::Csi(sensor)) => format!("CSI camera {sensor}"),
            Ok(Target::Pipeline(description)) => format!("pipeline {:?}", shown(description)),
            Ok(Target::Synth(options)) => format!("synth {options:?}"),
            Err(_) => "an incomplete source".to_owned(),
        })
    }

    /// Everything that can be said of this source without opening it.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config): not exactly one target, an
    /// option that its target does not have, an impossible value, a file that
    /// does not exist.
    pub fn check(&self) -> Result<()> {
        let target = self.target()?;
        let doing = format!("checking source {}", self.describe());
        let no =
            |fault: String, remedy: &str| Err(Error::config(doing.clone(), fault).remedy(remedy));
        let (mut camera, mut network, mut rtsp, mut tls) = (false, false, false, false);
        match target {
            Target::Path(path) => check_file(&doing, path)?,
            Target::Uri(uri) => {
                let address = Address::parse(uri);
                let scheme = address.scheme();
                match scheme.as_str() {
                    "rtsp" | "rtspt" | "rtspu" | "rtsps" | "http" | "https" => {
                        network = true;
                        rtsp = scheme.starts_with("rtsp");
                        tls = scheme.ends_with('s');
                        let authority = address.uri.split_once("://").map_or("", |(_, rest)| rest);
                        if authority.is_empty() || authority.starts_with(['/', ':', '?']) {
                            return no(
                                "the URI names no host".into(),
                                "write it as rtsp://host:port/path",
                            );
                        }
                    }
                    "file" => match gstreamer::glib::filename_from_uri(uri) {
                        Ok((path, _)) => check_file(&doing, &path)?,
                        Err(_) => {
                            return no(
                                "the URI is no valid file name".into(),
                                "use path = \"…\" instead",
                            );
                        }
                    },
                    "" => {
                        return no(
                            "the URI has no scheme".into(),
                            "write it as rtsp://host/path, or use path = \"…\" for a recording",
                        );
                    }
                    other => {
                        return no(
                            format!("the scheme {other:?} is not supported"),
                            "use rtsp, rtspt, rtspu, rtsps, http, https or file, or a pipeline = \"…\" description",
                        );
                    }
                }
            }
            Target::Device(device) => {
                camera = true;
                if device.as_os_str().is_empty() {
                    return no(
                        "the device name is empty".into(),
                        "name a camera such as /dev/video0",
                    );
                }
            }
            Target::Csi(_) => camera = true,
            Target::Pipeline(description) if description.trim().is_empty() => {
                return no(
                    "the description is empty".into(),
                    "write GStreamer elements that end in video/x-raw",
                );
            }
            Target::Pipeline(_) => {}
            Target::Synth(options) => {
                synthetic::check(options)?;
            }
        }
        let misplaced = [
            (self.size.is_some() && !camera, "size", "device and csi"),
            (self.fps.is_some() && !camera, "fps", "device and csi"),
            (self.transport.is_some() && !rtsp, "transport", "an rtsp uri"),
            (self.latency.is_some() && !rtsp, "latency", "an rtsp uri"),
            (self.user.is_some() && !network, "user", "an rtsp or http uri"),
            (self.password.is_some() && !network, "password", "an rtsp or http uri"),
            (self.tls_verify.is_some() && !tls, "tls_verify", "an rtsps or https uri"),
        ];
        if let Some((_, key, owner)) = misplaced.iter().find(|(wrong, ..)| *wrong) {
            return no(
                format!("{key:?} has no meaning for this source: it belongs to {owner}"),
                "take it out",
            );
        }
        let user_in_uri = self.uri.as_deref().is_some_and(|uri| Address::parse(uri).user.is_some());
        if self.password.is_some() && self.user.is_none() && !user_in_uri {
            return no("there is a password without a user".into(), "set user = \"…\" beside it");
        }
        if self.size.is_some_and(|size| size.iter().any(|side| !(1..=32_768).contains(side))) {
            return no(
                "size is out of range".into(),
                "write size = [width, height] in pixels, 1 to 32768 each",
            );
        }
        if self.fps.is_some_and(|fps| !(0.01..=1000.0).contains(&fps)) {
            return no(
                "fps is out of range".into(),
                "set it between 0.01 and 1000 frames a second",
            );
        }
        if self.timeout().is_zero() {
            return no(
                "timeout is zero: no source can answer in no time".into(),
                "set it to some seconds, \"10 s\" for example",
            );
        }
        if self.latency() > Duration::from_secs(60) {
            return no(
                "latency is more than a minute".into(),
                "a jitter buffer needs some hundred milliseconds: \"200 ms\"",
            );
        }
        if let Some(both) =
            self.decoder.prefer.iter().find(|name| self.decoder.forbid.contains(name))
        {
            return no(
                format!("decoder {both:?} is both preferred and forbidden"),
                "leave it in one of the two lists",
            );
        }
        Ok(())
    }

    /// The RTSP transport.
    pub fn transport(&self) -> Transport {
        self.transport.unwrap_or_default()
    }

    /// The RTSP jitter buffer.
    pub fn latency(&self) -> Duration {
        self.latency.map_or(Duration::from_millis(200), |latency| latency.0)
    }

    /// How long the source may be silent.
    pub fn timeout(&self) -> Duration {
        self.timeout.map_or(Duration::from_secs(10), |timeout| timeout.0)
    }

    /// Whether certificates are checked.
    pub fn tls_verify(&self) -> bool {
        self.tls_verify.unwrap_or(true)
    }

    /// Whether a secret stands in what it names: `rtsp://user:password@host`,
    /// `…?token=…`, `user-pw=…`.
    pub(crate) fn names_secret(&self) -> bool {
        let in_uri = self.uri.as_deref().and_then(|uri| Address::parse(uri).password);
        in_uri.is_some_and(|password| !password.is_empty()) || !self.secrets_in_text().is_empty()
    }

    fn secrets_in_text(&self) -> Vec<String> {
        self.uri.iter().chain(&self.pipeline).flat_map(|text| secrets_in(text)).collect()
    }

    /// Sees to it that its secrets appear in no text from now on.
    pub(crate) fn keep_secrets(&self) {
        let mut secrets = self.secrets_in_text();
        secrets.extend(self.password.clone());
        if let Some(uri) = &self.uri {
            secrets.extend(Address::parse(uri).password);
            let Address { user, password, .. } = self.address(uri);
            if let Some(password) = password.filter(|password| !password.is_empty()) {
                // As HTTP's Basic authentication says it (RFC 7617).
                let pair = format!("{}:{password}", user.unwrap_or_default());
                secrets.push(glib::base64_encode(pair.as_bytes()).into());
            }
        }
        secrets.iter().for_each(|secret| crate::secret::keep(secret));
    }

    /// The URI without its user information, and user and password from the
    /// options or else from the URI.
    pub(crate) fn address(&self, uri: &str) -> Address {
        let mut address = Address::parse(uri);
        if self.user.is_some() {
            address.user.clone_from(&self.user);
        }
        if self.password.is_some() {
            address.password.clone_from(&self.password);
        }
        address
    }

    /// The file of a recording, if this is one.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        match self.target() {
            Ok(Target::Path(path)) => Some(path.to_owned()),
            Ok(Target::Uri(uri)) => {
                gstreamer::glib::filename_from_uri(uri).ok().map(|(path, _)| path)
            }
            _ => None,
        }
    }

    pub(crate) fn target(&self) -> Result<Target<'_>> {
        let named: heapless::Vec<Target<'_>, 6> = [
            self.path.as_deref().map(Target::Path),
            self.uri.as_deref().map(Target::Uri),
            self.device.as_deref().map(Target::Device),
            self.csi.map(Target::Csi),
            self.pipeline.as_deref().map(Target::Pipeline),
            self.synth.as_deref().map(Target::Synth),
        ]
        .into_iter()
        .flatten()
        .collect();
        match named[..] {
            [one] => Ok(one),
            [] => Err(Error::config("checking a source", "it names nothing to open")
                .remedy("set one of path, uri, device, csi, pipeline or synth")),
            _ => Err(Error::config("checking a source", "it names more than one thing to open")
                .remedy(
                    "keep one of path, uri, device, csi, pipeline and synth; use a [[stream]] each",
                )),
        }
    }
}

fn check_file(doing: &str, path: &Path) -> Result<()> {
    let remedy_name = "check the name; a relative one is taken from where kinewatch was started";
    let meta = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Error::config(doing, "the file does not exist").remedy(remedy_name)
        }
        std::io::ErrorKind::PermissionDenied => Error::config(doing, "permission denied")
            .remedy("let the user that runs kinewatch read it"),
        _ => Error::config(doing, error).remedy(remedy_name),
    })?;
    if meta.is_dir() {
        return Err(
            Error::config(doing, "it is a directory, not a video").remedy("name one file in it")
        );
    }
    Ok(())
}

impl fmt::Debug for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceSpec")
            .field("source", &self.describe())
            .field("size", &self.size)
            .field("fps", &self.fps)
            .field("transport", &self.transport)
            .field("latency", &self.latency)
            .field("timeout", &self.timeout)
            .field("user", &self.user.as_ref().map(|_| "***"))
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("tls_verify", &self.tls_verify)
            .field("decoder", &self.decoder)
            .field("isolate", &self.isolate)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SourceSpec, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let spec = read("uri = 'rtsp://cam/1'").unwrap();
        spec.check().unwrap();
        assert_eq!(spec.transport(), Transport::Tcp);
        assert_eq!(spec.latency(), Duration::from_millis(200));
        assert_eq!(spec.timeout(), Duration::from_secs(10));
        assert!(spec.tls_verify());
        assert!(!spec.is_recording());
        assert!(SourceSpec::path("a.mp4").is_recording());
        assert!(SourceSpec::uri("file:///a.mp4").is_recording());
    }

    #[test]
    fn unknown_keys_and_bare_durations_are_refused() {
        assert!(
            read("uri = 'rtsp://cam/1'\nlooped = true").unwrap_err().to_string().contains("looped")
        );
        assert!(
            read("uri = 'rtsp://cam/1'\nlatency = '200'").unwrap_err().to_string().contains("ms")
        );
        assert!(read("uri = 'rtsp://cam/1'\ntransport = 'sctp'").is_err());
        assert!(read("uri = 'rtsp://cam/1'\ndecoder = { prefers = [] }").is_err());
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_remedy() {
        for (text, word) in [
            ("", "names nothing"),
            ("csi = 0\ndevice = '/dev/video0'", "more than one"),
            ("uri = 'rtsp://'", "no host"),
            ("uri = 'rtsp:///x'", "no host"),
            ("uri = 'cam.local/1'", "no scheme"),
            ("uri = 'gopher://h/'", "gopher"),
            ("uri = 'rtsp://h/'\nsize = [1, 1]", "size"),
            ("device = '/dev/video0'\ntransport = 'udp'", "transport"),
            ("uri = 'rtsp://h/'\ntls_verify = false", "tls_verify"),
            ("uri = 'rtsp://h/'\npassword = 'x'", "without a user"),
            ("uri = 'rtsp://h/'\ntimeout = '0 s'", "timeout"),
            ("uri = 'rtsp://h/'\nlatency = '1 h'", "latency"),
            ("device = '/dev/video0'\nsize = [0, 480]", "size"),
            ("csi = 0\nfps = 0.0", "fps"),
            ("pipeline = ' '", "empty"),
            ("path = '/nonexistent/a.mp4'", "does not exist"),
            ("path = '/'", "directory"),
            ("uri = 'rtsp://h/'\ndecoder = { prefer = ['a'], forbid = ['a'] }", "both"),
        ] {
            let error = read(text).unwrap().check().unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("Remedy"), "{text}: {error}");
        }
    }

    #[test]
    fn passwords_are_in_no_text() {
        let spec = read("uri = 'rtsp://admin:hunter2@cam/1'\nuser = 'root'\npassword = 'hunter3'")
            .unwrap();
        let text = format!("{spec:?} {}", spec.describe());
        assert!(!text.contains("hunter") && text.contains("cam/1"), "{text}");
        let address = spec.address(spec.uri.as_deref().unwrap());
        assert_eq!(
            (address.user.as_deref(), address.password.as_deref()),
            (Some("root"), Some("hunter3"))
        );
        let spec = SourceSpec::pipeline("rtspsrc location=rtsp://a:hunter2@h user-pw=hunter3 ! x");
        assert!(!format!("{spec:?}").contains("hunter"));
    }
}
