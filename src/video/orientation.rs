//! Rotation tags: GStreamer's `image-orientation` to [`Orientation`].

use crate::video::Orientation;

impl Orientation {
    /// Reads the value of GStreamer's `image-orientation` tag: `rotate-90`,
    /// `flip-rotate-270` and so on. In the `flip-` ones the mirroring of left
    /// and right comes after the clockwise rotation, as GStreamer's own
    /// `gst_video_orientation_from_tag` takes them. `None` for anything else.
    pub(crate) fn from_tag(tag: &str) -> Option<Self> {
        let (flip, rest) = match tag.strip_prefix("flip-") {
            Some(rest) => (true, rest),
            None => (false, tag),
        };
        let quarters = match rest {
            "rotate-0" => 0,
            "rotate-90" => 1,
            "rotate-180" => 2,
            "rotate-270" => 3,
            _ => return None,
        };
        Some(Orientation { quarters, flip })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_eight_are_read() {
        let tags: Vec<_> = ["", "flip-"]
            .iter()
            .flat_map(|flip| [0, 90, 180, 270].map(|turn| format!("{flip}rotate-{turn}")))
            .map(|tag| Orientation::from_tag(&tag).unwrap())
            .collect();
        assert_eq!(tags[3], Orientation { quarters: 3, flip: false });
        assert_eq!(tags[5], Orientation { quarters: 1, flip: true });
        assert_eq!(Orientation::from_tag("rotate-45"), None);
    }
}
