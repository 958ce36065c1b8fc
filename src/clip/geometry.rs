//! Where the picture goes: from decoded size, pixel aspect and orientation to
//! the size to scale to, what to cut out of it, and where that lands.

use super::{Crop, Resize};
use crate::video::{Frame, Orientation};

/// What of a frame decides the geometry; while it stays the same, so do the
/// tables that were made from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub width: usize,
    pub height: usize,
    pub pixel_aspect: (u32, u32),
    pub orientation: Orientation,
}

impl Shape {
    pub fn of(frame: &Frame) -> Self {
        Shape {
            width: frame.width,
            height: frame.height,
            pixel_aspect: frame.pixel_aspect,
            orientation: frame.orientation,
        }
    }

    /// Width and height of the picture as a viewer sees it: pixels made square
    /// by stretching the width, then turned upright.
    pub fn display(&self) -> (usize, usize) {
        let (n, d) = self.pixel_aspect;
        let width = if n == d || n == 0 || d == 0 {
            self.width
        } else {
            ((self.width as f64 * f64::from(n) / f64::from(d)).round_ties_even() as usize).max(1)
        };
        if self.transposed() { (self.height, width) } else { (width, self.height) }
    }

    /// Whether turning upright swaps rows and columns.
    pub fn transposed(&self) -> bool {
        self.orientation.quarters % 2 == 1
    }

    /// Whether the upright picture runs against the decoded one along its
    /// columns (x) and along its rows (y).
    pub fn reversed(&self) -> (bool, bool) {
        // Turned clockwise by q quarters, the upright picture U is made of the
        // decoded picture D (h rows, w columns) as
        //   q = 0: U[y][x] = D[y][x]          q = 1: U[y][x] = D[h-1-x][y]
        //   q = 2: U[y][x] = D[h-1-y][w-1-x]  q = 3: U[y][x] = D[x][w-1-y]
        // and a flip then reverses x.
        let (x, y) = match self.orientation.quarters % 4 {
            0 => (false, false),
            1 => (true, false),
            2 => (true, true),
            _ => (false, true),
        };
        (x ^ self.orientation.flip, y)
    }
}

/// One axis of the upright picture: scale all of it to `full` pixels, keep
/// `kept` of these from `from` on, and put them at `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub full: usize,
    pub from: usize,
    pub kept: usize,
    pub to: usize,
}

/// The spans of a picture of `display` (width, height) brought to `target`
/// (width, height), and which of what sticks out is kept: along x, along y.
pub(super) fn place(
    resize: Resize,
    crop: Crop,
    display: (usize, usize),
    target: (usize, usize),
) -> (Span, Span) {
    let full = match resize {
        Resize::Stretch => target,
        Resize::ShortSide => cover(display, target),
        Resize::Letterbox => fit(display, target),
    };
    // One axis sticks out at most: along the other nothing is left to choose.
    (crop.along(span(full.0, target.0)), crop.along(span(full.1, target.1)))
}

impl Crop {
    fn along(self, span: Span) -> Span {
        let from = match self {
            Crop::First => 0,
            Crop::Centre => span.from,
            Crop::Last => span.full - span.kept,
        };
        Span { from, ..span }
    }
}

/// Centres `full` scaled pixels on `target` output pixels. Half pixels are
/// rounded as Python's `round` does (to even), which is what torchvision's
/// centre crop uses.
fn span(full: usize, target: usize) -> Span {
    let half = |n: usize| (n as f64 / 2.0).round_ties_even() as usize;
    if full >= target {
        Span { full, from: half(full - target), kept: target, to: 0 }
    } else {
        Span { full, from: 0, kept: full, to: (target - full) / 2 }
    }
}

/// The smallest size of the same shape that covers `target`. For a square
/// target this is PyTorchVideo's `short_side_scale`: the short side becomes the
/// target's, the long side is floor(long / short × target).
fn cover(display: (usize, usize), target: (usize, usize)) -> (usize, usize) {
    let (width, height) = (display.0 as f64, display.1 as f64);
    if display.0 * target.1 < display.1 * target.0 {
        let full = (height / width * target.0 as f64).floor() as usize;
        (target.0, full.max(target.1))
    } else {
        let full = (width / height * target.1 as f64).floor() as usize;
        (full.max(target.0), target.1)
    }
}

/// The largest size of the same shape that fits into `target`, sides rounded.
fn fit(display: (usize, usize), target: (usize, usize)) -> (usize, usize) {
    let scale = (target.0 as f64 / display.0 as f64).min(target.1 as f64 / display.1 as f64);
    let side = |from: usize, most: usize| {
        ((from as f64 * scale).round_ties_even() as usize).clamp(1, most)
    };
    (side(display.0, target.0), side(display.1, target.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(width: usize, height: usize, pixel_aspect: (u32, u32), quarters: u8) -> Shape {
        Shape { width, height, pixel_aspect, orientation: Orientation { quarters, flip: false } }
    }

    #[test]
    fn pixels_are_made_square_before_the_picture_is_turned() {
        // PAL 4:3, as DVDs and analogue cameras carry it.
        assert_eq!(shape(720, 576, (16, 15), 0).display(), (768, 576));
        assert_eq!(shape(720, 576, (16, 15), 1).display(), (576, 768));
        // An unset ratio is taken as square.
        assert_eq!(shape(720, 576, (0, 1), 0).display(), (720, 576));
    }

    #[test]
    fn short_side_rounds_as_pytorchvideo_does() {
        let (x, y) = place(Resize::ShortSide, Crop::Centre, (340, 256), (182, 182));
        // 340 / 256 * 182 = 241.7; (241 - 182) / 2 = 29.5, to even 30.
        assert_eq!(x, Span { full: 241, from: 30, kept: 182, to: 0 });
        assert_eq!(y, Span { full: 182, from: 0, kept: 182, to: 0 });
        let (x, y) = place(Resize::ShortSide, Crop::Centre, (256, 340), (182, 182));
        assert_eq!((x.full, y.full, y.from), (182, 241, 30));
    }

    #[test]
    fn three_crops_lie_along_the_long_side() {
        let at = |crop, display| {
            let (x, y) = place(Resize::ShortSide, crop, display, (182, 182));
            assert_eq!((x.kept, y.kept), (182, 182));
            (x.from, y.from)
        };
        let all = |display| Crop::THREE.map(|crop| at(crop, display));
        assert_eq!(all((340, 256)), [(0, 0), (30, 0), (59, 0)]);
        assert_eq!(all((256, 340)), [(0, 0), (0, 30), (0, 59)]);
        assert_eq!(all((256, 256)), [(0, 0); 3]);
    }

    #[test]
    fn short_side_always_covers_a_target_that_is_not_square() {
        for display in [(1, 1), (1920, 1080), (1080, 1920), (333, 1000), (128, 96), (4, 3)] {
            let (x, y) = place(Resize::ShortSide, Crop::Centre, display, (128, 96));
            assert_eq!((x.kept, y.kept), (128, 96), "{display:?}");
            assert!(x.full == 128 || y.full == 96, "{display:?}");
            assert!(x.from + x.kept <= x.full && y.from + y.kept <= y.full, "{display:?}");
        }
    }

    #[test]
    fn absurd_pixel_aspects_still_fill_the_target() {
        for pixel_aspect in [(u32::MAX, 1), (1, u32::MAX)] {
            let display = shape(1920, 1080, pixel_aspect, 0).display();
            for resize in [Resize::ShortSide, Resize::Stretch, Resize::Letterbox] {
                let (x, y) = place(resize, Crop::Centre, display, (128, 96));
                assert!(x.kept >= 1 && x.to + x.kept <= 128, "{resize:?} {display:?}");
                assert!(y.kept >= 1 && y.to + y.kept <= 96, "{resize:?} {display:?}");
            }
        }
    }

    #[test]
    fn letterbox_keeps_the_whole_picture() {
        let (x, y) = place(Resize::Letterbox, Crop::Centre, (1920, 1080), (128, 96));
        assert_eq!(x, Span { full: 128, from: 0, kept: 128, to: 0 });
        assert_eq!(y, Span { full: 72, from: 0, kept: 72, to: 12 });
        // A picture so thin that a side would round to nothing keeps one pixel.
        let (x, _) = place(Resize::Letterbox, Crop::Centre, (1, 4000), (128, 96));
        assert_eq!((x.full, x.kept), (1, 1));
    }
}
