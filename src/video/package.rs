//! Which Debian package brings a GStreamer element or decoder.

/// The package of an element factory, by its name.
pub(crate) fn of_element(name: &str) -> Option<&'static str> {
    const EXACT: &[(&str, &str)] = &[
        ("appsink", "gstreamer1.0-plugins-base"),
        ("appsrc", "gstreamer1.0-plugins-base"),
        ("decodebin", "gstreamer1.0-plugins-base"),
        ("uridecodebin", "gstreamer1.0-plugins-base"),
        ("videoconvert", "gstreamer1.0-plugins-base"),
        ("videoscale", "gstreamer1.0-plugins-base"),
        ("videotestsrc", "gstreamer1.0-plugins-base"),
        ("rtspsrc", "gstreamer1.0-plugins-good"),
        ("souphttpsrc", "gstreamer1.0-plugins-good"),
        ("v4l2src", "gstreamer1.0-plugins-good"),
        ("jpegdec", "gstreamer1.0-plugins-good"),
        ("qtdemux", "gstreamer1.0-plugins-good"),
        ("matroskademux", "gstreamer1.0-plugins-good"),
        ("avidemux", "gstreamer1.0-plugins-good"),
        ("flvdemux", "gstreamer1.0-plugins-good"),
        ("tsdemux", "gstreamer1.0-plugins-bad"),
        ("hlsdemux", "gstreamer1.0-plugins-bad"),
        ("dashdemux", "gstreamer1.0-plugins-bad"),
        ("h264parse", "gstreamer1.0-plugins-bad"),
        ("h265parse", "gstreamer1.0-plugins-bad"),
        ("libcamerasrc", "gstreamer1.0-libcamera"),
        ("nvarguscamerasrc", "nvidia-l4t-gstreamer"),
        ("gldownload", "gstreamer1.0-gl"),
        ("x264enc", "gstreamer1.0-plugins-ugly"),
    ];
    const PREFIXES: &[(&str, &str)] = &[
        ("avdec_", "gstreamer1.0-libav"),
        ("avdemux_", "gstreamer1.0-libav"),
        ("avenc_", "gstreamer1.0-libav"),
        ("rtp", "gstreamer1.0-plugins-good"),
        ("v4l2", "gstreamer1.0-plugins-good"),
        ("vaapi", "gstreamer1.0-vaapi"),
        ("va", "gstreamer1.0-plugins-bad"),
        ("cuda", "gstreamer1.0-plugins-bad"),
        ("nvv4l2", "nvidia-l4t-gstreamer"),
        ("nvvid", "nvidia-l4t-gstreamer"),
        ("nvh", "gstreamer1.0-plugins-bad"),
    ];
    EXACT
        .iter()
        .find(|(element, _)| *element == name)
        .or_else(|| PREFIXES.iter().find(|(prefix, _)| name.starts_with(prefix)))
        .map(|(_, package)| *package)
}

/// The package that decodes or unpacks a media type (a caps name).
pub(crate) fn of_media(media: &str) -> Option<&'static str> {
    Some(match media {
        "video/x-h264"
        | "video/x-h265"
        | "video/mpeg"
        | "video/x-msmpeg"
        | "video/x-wmv"
        | "video/x-divx"
        | "video/x-xvid"
        | "video/x-flash-video"
        | "video/x-prores"
        | "video/x-dnxhd"
        | "video/x-svq"
        | "video/x-indeo"
        | "video/x-h263"
        | "video/x-dv" => "gstreamer1.0-libav",
        "video/x-vp8" | "video/x-vp9" | "image/jpeg" | "image/png" | "video/quicktime"
        | "video/x-matroska" | "video/webm" | "video/x-msvideo" | "video/x-flv"
        | "application/x-rtp" => "gstreamer1.0-plugins-good",
        "video/x-av1"
        | "video/mpegts"
        | "application/x-hls"
        | "application/dash+xml"
        | "application/mxf"
        | "image/webp" => "gstreamer1.0-plugins-bad",
        "video/x-theora" | "application/ogg" => "gstreamer1.0-plugins-base",
        "video/x-ms-asf" | "application/vnd.rn-realmedia" => "gstreamer1.0-plugins-ugly",
        _ => return None,
    })
}

/// The package that brings a URI scheme's source.
pub(crate) fn of_scheme(scheme: &str) -> Option<&'static str> {
    match scheme {
        "rtsp" | "rtspt" | "rtspu" | "rtsps" | "http" | "https" => {
            Some("gstreamer1.0-plugins-good")
        }
        "file" => Some("gstreamer1.0-plugins-base"),
        _ => None,
    }
}

/// The package for a missing-plugin message's installer detail string, which
/// reads `gstreamer|1.0|app|description|decoder-video/x-h264, …` (see
/// "Missing plugins" in GStreamer's plugin-base utilities documentation).
pub(crate) fn of_detail(detail: &str) -> Option<&'static str> {
    let wanted = detail.split('|').nth(4)?;
    let (kind, what) = wanted.split_once('-')?;
    match kind {
        "element" => of_element(what),
        "urisource" => of_scheme(what),
        _ => of_media(what.split([',', '(']).next()?.trim()),
    }
}

/// A remedy that names a package, or where to look when none is known.
pub(crate) fn remedy(package: Option<&str>) -> String {
    match package {
        Some(package) => format!("install the Debian package {package} (apt install {package})"),
        None => "install the GStreamer plugin that brings it: on Debian try gstreamer1.0-libav, \
                 gstreamer1.0-plugins-good, -bad and -ugly"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_name_packages() {
        for (detail, package) in [
            (
                "gstreamer|1.0|kinewatch|H.264 decoder|decoder-video/x-h264, level=(string)1",
                Some("gstreamer1.0-libav"),
            ),
            ("gstreamer|1.0|kinewatch|x|element-rtph264depay", Some("gstreamer1.0-plugins-good")),
            ("gstreamer|1.0|kinewatch|x|element-libcamerasrc", Some("gstreamer1.0-libcamera")),
            ("gstreamer|1.0|kinewatch|x|urisource-rtsp", Some("gstreamer1.0-plugins-good")),
            ("gstreamer|1.0|kinewatch|x|decoder-video/x-unheard-of", None),
            ("nonsense", None),
        ] {
            assert_eq!(of_detail(detail), package, "{detail}");
        }
        assert!(remedy(Some("gstreamer1.0-libav")).contains("apt install gstreamer1.0-libav"));
    }
}
