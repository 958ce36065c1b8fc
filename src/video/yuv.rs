//! 8-bit Y′CbCr to RGB or BGR, exactly.
//!
//! GStreamer's converter works with 8-bit coefficients here and is up to four
//! levels off, always downwards; models were trained on pictures without that.
//! Formulas: ITU-R BT.601-7, BT.709-6 and BT.2020-2, each with its own Kr and
//! Kb. A pixel takes the chroma sample that covers it, as FFmpeg's unscaled
//! conversion does, by which most training data was decoded.

use gst_video::prelude::*;
use gst_video::{VideoColorRange, VideoFrameRef, VideoInfo};
use gstreamer as gst;
use gstreamer_video as gst_video;

use crate::video::Colour;

/// Fractional bits of the coefficients.
const BITS: u32 = 16;

/// Pixels that are converted together.
const BLOCK: usize = 64;

/// The conversion for one format of pictures.
pub(crate) struct Yuv {
    luma: Component,
    blue: Component,
    red: Component,
    /// Shifts from a pixel's column and row to its chroma sample's.
    sub: (u32, u32),
    coefficients: Coefficients,
    bgr: bool,
    size: (usize, usize),
}

#[derive(Clone, Copy)]
struct Component {
    plane: u32,
    offset: usize,
    step: usize,
}

#[derive(Clone, Copy)]
struct Coefficients {
    black: i32,
    luma: i32,
    red_of_v: i32,
    green_of_u: i32,
    green_of_v: i32,
    blue_of_u: i32,
}

impl Coefficients {
    fn new(kr: f64, kb: f64, full: bool) -> Self {
        let (black, luma_span, chroma_span) =
            if full { (0, 255.0, 255.0) } else { (16, 219.0, 224.0) };
        let fixed = |value: f64| (value * f64::from(1 << BITS)).round() as i32;
        let kg = 1.0 - kr - kb;
        let chroma = 255.0 / chroma_span;
        Coefficients {
            black,
            luma: fixed(255.0 / luma_span),
            red_of_v: fixed(2.0 * (1.0 - kr) * chroma),
            green_of_u: fixed(-2.0 * (1.0 - kb) * kb / kg * chroma),
            green_of_v: fixed(-2.0 * (1.0 - kr) * kr / kg * chroma),
            blue_of_u: fixed(2.0 * (1.0 - kb) * chroma),
        }
    }

    #[inline(always)]
    fn rgb(&self, y: u8, u: u8, v: u8) -> [u8; 3] {
        // Nothing here can overflow: 24 bits are used. Saying so lets the
        // compiler make vector instructions of it in spite of overflow checks.
        let y = i32::from(y)
            .wrapping_sub(self.black)
            .wrapping_mul(self.luma)
            .wrapping_add(1 << (BITS - 1));
        let (u, v) = (i32::from(u).wrapping_sub(128), i32::from(v).wrapping_sub(128));
        let level = |sum: i32| (sum >> BITS).clamp(0, 255) as u8;
        [
            level(y.wrapping_add(self.red_of_v.wrapping_mul(v))),
            level(
                y.wrapping_add(self.green_of_u.wrapping_mul(u))
                    .wrapping_add(self.green_of_v.wrapping_mul(v)),
            ),
            level(y.wrapping_add(self.blue_of_u.wrapping_mul(u))),
        ]
    }
}

impl Yuv {
    /// `None` for formats that are not served here: not Y′CbCr, not 8 bits,
    /// tiled, or interlaced with chroma subsampled down the rows.
    pub fn new(info: &VideoInfo, colour: Colour) -> Option<Self> {
        let format = info.format_info();
        let served = colour != Colour::Gray
            && format.is_yuv()
            && !format.is_complex()
            && !format.is_tiled()
            && format.n_components() >= 3
            && format.depth().iter().take(3).all(|depth| *depth == 8)
            && format.shift().iter().take(3).all(|shift| *shift == 0)
            && !(info.is_interlaced() && format.h_sub().get(1) != Some(&0));
        if !served {
            return None;
        }
        let component = |index: usize| {
            Some(Component {
                plane: *format.plane().get(index)?,
                offset: *format.poffset().get(index)? as usize,
                step: usize::try_from(*format.pixel_stride().get(index)?)
                    .ok()
                    .filter(|step| *step > 0)?,
            })
        };
        let colorimetry = info.colorimetry();
        let (kr, kb) = colorimetry.matrix().kr_kb().ok()?;
        Some(Yuv {
            luma: component(0)?,
            blue: component(1)?,
            red: component(2)?,
            sub: (*format.w_sub().get(1)?, *format.h_sub().get(1)?),
            coefficients: Coefficients::new(
                kr,
                kb,
                colorimetry.range() == VideoColorRange::Range0_255,
            ),
            bgr: colour == Colour::Bgr,
            size: (info.width() as usize, info.height() as usize),
        })
    }

    /// Writes tight rows of three bytes a pixel. `None` when the picture is
    /// smaller than its format says.
    pub fn convert(
        &self,
        picture: &VideoFrameRef<&gst::BufferRef>,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let (width, height) = self.size;
        out.clear();
        out.resize(width * height * 3, 0);
        let chroma_width = width.div_ceil(1 << self.sub.0);
        for (row, line) in out.chunks_exact_mut(width * 3).enumerate() {
            let chroma_row = row >> self.sub.1;
            let y = samples(picture, self.luma, row, width)?;
            let u = samples(picture, self.blue, chroma_row, chroma_width)?;
            let v = samples(picture, self.red, chroma_row, chroma_width)?;
            match (self.luma.step, self.blue.step, self.red.step, self.sub.0) {
                (1, 1, 1, 1) => self.line::<1, 1, 1>(y, u, v, line), // I420, YV12, Y42B
                (1, 2, 2, 1) => self.line::<1, 2, 1>(y, u, v, line), // NV12, NV21, NV16
                (2, 4, 4, 1) => self.line::<2, 4, 1>(y, u, v, line), // YUY2, UYVY
                (1, 1, 1, 0) => self.line::<1, 1, 0>(y, u, v, line), // Y444
                (1, 1, 1, 2) => self.line::<1, 1, 2>(y, u, v, line), // Y41B
                (4, 4, 4, 0) => self.line::<4, 4, 0>(y, u, v, line), // AYUV
                (y_step, u_step, v_step, shift) => {
                    for (x, pixel) in line.chunks_exact_mut(3).enumerate() {
                        let chroma = x >> shift;
                        self.put(
                            *y.get(x * y_step)?,
                            *u.get(chroma * u_step)?,
                            *v.get(chroma * v_step)?,
                            pixel,
                        );
                    }
                }
            }
        }
        Some(())
    }

    /// One line, its steps known to the compiler: a block at a time, channel by
    /// channel, so that it becomes vector instructions.
    fn line<const Y: usize, const C: usize, const SHIFT: u32>(
        &self,
        y: &[u8],
        u: &[u8],
        v: &[u8],
        line: &mut [u8],
    ) {
        let chroma = BLOCK >> SHIFT;
        let blocks = y.chunks(BLOCK * Y).zip(u.chunks(chroma * C)).zip(v.chunks(chroma * C));
        for (pixels, ((y, u), v)) in line.chunks_mut(BLOCK * 3).zip(blocks) {
            let (mut ys, mut us, mut vs) = ([0; BLOCK], [0; BLOCK], [0; BLOCK]);
            for (to, from) in ys.iter_mut().zip(y.iter().step_by(Y)) {
                *to = *from;
            }
            for (to, from) in us.chunks_exact_mut(1 << SHIFT).zip(u.iter().step_by(C)) {
                to.fill(*from);
            }
            for (to, from) in vs.chunks_exact_mut(1 << SHIFT).zip(v.iter().step_by(C)) {
                to.fill(*from);
            }
            let mut channels = [[0; BLOCK]; 3];
            let [red, green, blue] = &mut channels;
            for x in 0..BLOCK {
                [red[x], green[x], blue[x]] = self.coefficients.rgb(ys[x], us[x], vs[x]);
            }
            if self.bgr {
                channels.swap(0, 2);
            }
            let [first, second, third] = &channels;
            for (((pixel, first), second), third) in
                pixels.chunks_exact_mut(3).zip(first).zip(second).zip(third)
            {
                pixel.copy_from_slice(&[*first, *second, *third]);
            }
        }
    }

    #[inline(always)]
    fn put(&self, y: u8, u: u8, v: u8, pixel: &mut [u8]) {
        let [r, g, b] = self.coefficients.rgb(y, u, v);
        pixel.copy_from_slice(&if self.bgr { [b, g, r] } else { [r, g, b] });
    }
}

/// The samples of a component in a row, from the first to the last.
fn samples<'a>(
    picture: &'a VideoFrameRef<&gst::BufferRef>,
    component: Component,
    row: usize,
    count: usize,
) -> Option<&'a [u8]> {
    let stride = usize::try_from(*picture.plane_stride().get(component.plane as usize)?).ok()?;
    let start = row * stride + component.offset;
    let length = (count.checked_sub(1)?) * component.step + 1;
    picture.plane_data(component.plane).ok()?.get(start..start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_come_back_within_one_level() {
        for (kr, kb) in [(0.299, 0.114), (0.2126, 0.0722), (0.2627, 0.0593)] {
            for full in [false, true] {
                let coefficients = Coefficients::new(kr, kb, full);
                for code in 0..16 * 16 * 16_u32 {
                    let rgb = [code & 15, (code >> 4) & 15, code >> 8]
                        .map(|level| f64::from(level) * 17.0);
                    let luma = kr * rgb[0] + (1.0 - kr - kb) * rgb[1] + kb * rgb[2];
                    let (black, span, chroma) =
                        if full { (0.0, 1.0, 1.0) } else { (16.0, 219.0 / 255.0, 224.0 / 255.0) };
                    let y = (black + luma * span).round() as u8;
                    let u = (128.0 + (rgb[2] - luma) / (2.0 * (1.0 - kb)) * chroma)
                        .round()
                        .min(255.0) as u8;
                    let v = (128.0 + (rgb[0] - luma) / (2.0 * (1.0 - kr)) * chroma)
                        .round()
                        .min(255.0) as u8;
                    // Rounding to 8-bit Y′CbCr alone costs up to 0.5 × (1.16 + 2.15) levels.
                    for (got, wanted) in coefficients.rgb(y, u, v).iter().zip(rgb) {
                        assert!(
                            (f64::from(*got) - wanted).abs() <= 2.2,
                            "{rgb:?} {kr} {full}: {got}"
                        );
                    }
                }
            }
        }
    }

    /// Every layout against a picture written sample by sample.
    #[test]
    fn every_layout_gives_the_same_picture() {
        use gst_video::VideoFormat as F;
        gst::init().unwrap();
        let (width, height) = (7_usize, 5_usize);
        let mut reference = None;
        for format in [
            F::I420,
            F::Yv12,
            F::Nv12,
            F::Nv21,
            F::Yuy2,
            F::Uyvy,
            F::Yvyu,
            F::Y444,
            F::Y42b,
            F::Ayuv,
            F::Y41b,
            F::V308,
        ] {
            let info = VideoInfo::builder(format, width as u32, height as u32)
                .colorimetry(&"bt709".parse().unwrap())
                .build()
                .unwrap();
            let mut bytes = vec![0_u8; info.size()];
            // Chroma changes every four columns and two rows: alike in all subsamplings.
            for row in 0..height {
                for x in 0..width {
                    let values = [20 + 25 * x + 5 * row, 60 + 40 * (x / 4), 100 + 30 * (row / 2)];
                    for (index, value) in values.iter().enumerate() {
                        let f = info.format_info();
                        let (w, h) = (f.w_sub()[index], f.h_sub()[index]);
                        let plane = f.plane()[index] as usize;
                        let at = info.offset()[plane]
                            + (row >> h) * info.stride()[plane] as usize
                            + (x >> w) * f.pixel_stride()[index] as usize
                            + f.poffset()[index] as usize;
                        bytes[at] = *value as u8;
                    }
                }
            }
            let buffer = gst::Buffer::from_slice(bytes);
            let picture = VideoFrameRef::from_buffer_ref_readable(&buffer, &info).unwrap();
            let (mut rgb, mut bgr) = (Vec::new(), Vec::new());
            let yuv =
                Yuv::new(&info, Colour::Rgb).unwrap_or_else(|| panic!("{format:?} is not served"));
            yuv.convert(&picture, &mut rgb).unwrap();
            Yuv::new(&info, Colour::Bgr).unwrap().convert(&picture, &mut bgr).unwrap();
            assert_eq!(rgb.len(), width * height * 3);
            assert!(rgb.chunks(3).zip(bgr.chunks(3)).all(|(a, b)| [a[2], a[1], a[0]] == b));
            assert_eq!(reference.get_or_insert_with(|| rgb.clone()), &rgb, "{format:?}");
        }
    }

    #[test]
    fn other_formats_are_left_to_gstreamer() {
        use gst_video::VideoFormat as F;
        gst::init().unwrap();
        for format in [F::Rgb, F::Gray8, F::I42010le, F::P01010le, F::V210] {
            let info = VideoInfo::builder(format, 16, 16).build().unwrap();
            assert!(Yuv::new(&info, Colour::Rgb).is_none(), "{format:?}");
        }
    }
}
