//! A decoded picture, in whatever raw format it came, to RGB, BGR or luma.

use gst_video::{
    VideoColorMatrix, VideoColorRange, VideoColorimetry, VideoFormat, VideoFrameRef, VideoInfo,
};
use gstreamer as gst;
use gstreamer_video as gst_video;

use crate::error::{Error, Result};
use crate::video::yuv::Yuv;
use crate::video::{Colour, Frame};

/// Converts pictures for one stream. What depends on the format of the
/// pictures is built once for each format; a picture that is asked for twice
/// in a row is converted once.
pub(crate) struct Converter {
    colour: Colour,
    format: Option<Format>,
    /// The last converted picture, rows tight, and its serial number.
    pixels: Vec<u8>,
    holds: Option<u64>,
    conversions: u64,
}

/// What serves for one format of pictures.
struct Format {
    caps: gst::Caps,
    info: VideoInfo,
    way: Way,
}

/// How pictures of a format are converted.
enum Way {
    /// 8-bit Y′CbCr to RGB or BGR.
    Exact(Yuv),
    /// Everything else, by GStreamer.
    General(Box<General>),
}

struct General {
    out_info: VideoInfo,
    converter: gst_video::VideoConverter,
    picture: gst::Buffer,
    /// Limited-range luma to full range, where the converter only copied it.
    levels: Option<[u8; 256]>,
}

impl Converter {
    pub fn new(colour: Colour) -> Self {
        Converter { colour, format: None, pixels: Vec::new(), holds: None, conversions: 0 }
    }

    /// How many pictures were converted since the start.
    pub fn conversions(&self) -> u64 {
        self.conversions
    }

    /// Fills `data`, `width`, `height`, `colour` and `pixel_aspect` of `frame`
    /// from a sample in system memory. `serial` tells pictures apart.
    pub fn run(&mut self, serial: u64, sample: &gst::Sample, frame: &mut Frame) -> Result<()> {
        let doing = "converting a picture";
        let (Some(buffer), Some(caps)) = (sample.buffer(), sample.caps()) else {
            return Err(Error::internal(doing, "the sample has no picture or no format"));
        };
        if self.format.as_ref().is_none_or(|format| format.caps.as_ref() != caps) {
            self.holds = None;
            self.format = Some(Format::new(caps, self.colour)?);
        }
        let Some(format) = &mut self.format else {
            return Err(Error::internal(doing, "no converter"));
        };
        if self.holds != Some(serial) {
            self.holds = None;
            format.convert(buffer, self.colour, &mut self.pixels)?;
            self.conversions += 1;
            self.holds = Some(serial);
        }
        frame.data.clear();
        frame.data.extend_from_slice(&self.pixels);
        frame.colour = self.colour;
        frame.width = format.info.width() as usize;
        frame.height = format.info.height() as usize;
        let par = format.info.par();
        frame.pixel_aspect = match (u32::try_from(par.numer()), u32::try_from(par.denom())) {
            (Ok(n), Ok(d)) if n > 0 && d > 0 => (n, d),
            _ => (1, 1),
        };
        Ok(())
    }
}

impl Format {
    fn new(caps: &gst::CapsRef, colour: Colour) -> Result<Self> {
        let info = VideoInfo::from_caps(caps).map_err(|error| {
            Error::data(format!("converting pictures of format {caps}"), error.message)
        })?;
        let way = match Yuv::new(&info, colour) {
            Some(yuv) => Way::Exact(yuv),
            None => Way::General(Box::new(General::new(&info, colour)?)),
        };
        Ok(Format { caps: caps.to_owned(), info, way })
    }

    fn convert(
        &mut self,
        buffer: &gst::BufferRef,
        colour: Colour,
        pixels: &mut Vec<u8>,
    ) -> Result<()> {
        let doing = "converting a picture";
        let input = VideoFrameRef::from_buffer_ref_readable(buffer, &self.info)
            .map_err(|error| Error::data(doing, error.message))?;
        match &mut self.way {
            Way::Exact(yuv) => yuv
                .convert(&input, pixels)
                .ok_or_else(|| Error::data(doing, "it is smaller than its format says")),
            Way::General(general) => general.convert(&input, colour, pixels),
        }
    }
}

impl General {
    fn new(info: &VideoInfo, colour: Colour) -> Result<Self> {
        let doing = || format!("converting pictures of format {}", info.name());
        let format = match colour {
            Colour::Rgb => VideoFormat::Rgb,
            Colour::Bgr => VideoFormat::Bgr,
            Colour::Gray => VideoFormat::Gray8,
        };
        let of = info.colorimetry();
        // Luma of a picture that has luma is taken as it is, and brought to
        // full range afterwards: the converter's plane copy does not look at
        // ranges. Luma of RGB is that of BT.601, as Pillow and OpenCV have it.
        let has_luma = !info.is_rgb() && of.matrix() != VideoColorMatrix::Rgb;
        let full = |matrix| {
            VideoColorimetry::new(
                VideoColorRange::Range0_255,
                matrix,
                of.transfer(),
                of.primaries(),
            )
        };
        let colorimetry = match colour {
            Colour::Rgb | Colour::Bgr => full(VideoColorMatrix::Rgb),
            Colour::Gray if has_luma => of,
            Colour::Gray => full(VideoColorMatrix::Bt601),
        };
        let out_info = VideoInfo::builder(format, info.width(), info.height())
            .fps(info.fps())
            .par(info.par())
            .interlace_mode(info.interlace_mode())
            .colorimetry(&colorimetry)
            .build()
            .map_err(|error| Error::data(doing(), error.message))?;
        let mut config = gst_video::VideoConverterConfig::new();
        config.set_threads(1);
        config.set_dither_method(gst_video::VideoDitherMethod::None);
        let converter = gst_video::VideoConverter::new(info, &out_info, Some(config))
            .map_err(|error| Error::data(doing(), error.message))?;
        let picture = gst::Buffer::with_size(out_info.size()).map_err(|_| {
            Error::unavailable(doing(), "out of memory")
                .remedy("ask the camera for smaller pictures")
        })?;
        let limited = of.range() == VideoColorRange::Range16_235;
        let levels = (colour == Colour::Gray && has_luma && limited).then(full_range);
        Ok(General { out_info, converter, picture, levels })
    }

    fn convert(
        &mut self,
        input: &VideoFrameRef<&gst::BufferRef>,
        colour: Colour,
        pixels: &mut Vec<u8>,
    ) -> Result<()> {
        let doing = "converting a picture";
        let picture = self
            .picture
            .get_mut()
            .ok_or_else(|| Error::internal(doing, "its own buffer is shared"))?;
        let mut output = VideoFrameRef::from_buffer_ref_writable(picture, &self.out_info)
            .map_err(|error| Error::internal(doing, error.message))?;
        self.converter.frame_ref(input, &mut output);
        let padded = output.plane_data(0).map_err(|error| Error::internal(doing, error.message))?;
        let (width, height) = (self.out_info.width() as usize, self.out_info.height() as usize);
        let row = width * colour.channels();
        let stride =
            self.out_info.stride().first().map_or(row, |stride| stride.unsigned_abs() as usize);
        pixels.clear();
        pixels.reserve(row * height);
        for line in padded.chunks(stride).take(height) {
            let line =
                line.get(..row).ok_or_else(|| Error::internal(doing, "a row is too short"))?;
            match &self.levels {
                Some(levels) => pixels.extend(line.iter().map(|luma| levels[usize::from(*luma)])),
                None => pixels.extend_from_slice(line),
            }
        }
        Ok(())
    }
}

/// ITU-R BT.601/BT.709 limited-range luma (16 to 235) to 0 to 255.
fn full_range() -> [u8; 256] {
    std::array::from_fn(|luma| {
        ((luma as f32 - 16.0) * 255.0 / 219.0).round().clamp(0.0, 255.0) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(
        format: VideoFormat,
        colorimetry: &str,
        width: u32,
        fill: impl Fn(usize) -> u8,
    ) -> gst::Sample {
        gst::init().unwrap();
        let info = VideoInfo::builder(format, width, 4)
            .colorimetry(&colorimetry.parse().unwrap())
            .par(gst::Fraction::new(4, 3))
            .build()
            .unwrap();
        let bytes: Vec<u8> = (0..info.size()).map(fill).collect();
        let buffer = gst::Buffer::from_slice(bytes);
        gst::Sample::builder().buffer(&buffer).caps(&info.to_caps().unwrap()).build()
    }

    fn first_pixel(colour: Colour, sample: &gst::Sample) -> Vec<u8> {
        let mut frame = Frame::new(colour);
        Converter::new(colour).run(0, sample, &mut frame).unwrap();
        assert_eq!(frame.data.len(), frame.width * frame.height * colour.channels());
        assert_eq!(frame.pixel_aspect, (4, 3));
        frame.data[..colour.channels()].to_vec()
    }

    #[test]
    fn luma_is_full_range_whatever_the_source() {
        for (format, colorimetry, value, wanted) in [
            (VideoFormat::I420, "bt601", 16, 0),
            (VideoFormat::I420, "bt709", 235, 255),
            (VideoFormat::I420, "bt709", 126, 128),
            (VideoFormat::I420, "1:4:0:0", 16, 16),
            (VideoFormat::Nv12, "bt601", 126, 128),
            (VideoFormat::Rgb, "sRGB", 200, 200),
            (VideoFormat::Bgra, "sRGB", 17, 17),
            (VideoFormat::Gray8, "1:4:0:0", 16, 16),
        ] {
            let got = first_pixel(Colour::Gray, &sample(format, colorimetry, 6, |_| value))[0];
            assert!(
                got.abs_diff(wanted) <= 1,
                "{format:?} {colorimetry} {value}: {got}, not {wanted}"
            );
        }
    }

    #[test]
    fn channels_are_in_the_order_asked_for() {
        let red = sample(VideoFormat::Rgb, "sRGB", 8, |at| if at % 3 == 0 { 250 } else { 10 });
        assert_eq!(first_pixel(Colour::Rgb, &red), [250, 10, 10]);
        assert_eq!(first_pixel(Colour::Bgr, &red), [10, 10, 250]);
    }

    #[test]
    fn rows_are_tight_and_a_repeated_picture_is_converted_once() {
        let sample = sample(VideoFormat::Gray8, "1:4:0:0", 5, |at| if at % 8 < 5 { 9 } else { 77 });
        let mut converter = Converter::new(Colour::Gray);
        let mut frame = Frame::new(Colour::Gray);
        converter.run(3, &sample, &mut frame).unwrap();
        frame.data.clear();
        converter.run(3, &sample, &mut frame).unwrap();
        assert_eq!(frame.data, [9; 20]);
        assert_eq!(converter.conversions(), 1);
        converter.run(4, &sample, &mut frame).unwrap();
        assert_eq!(converter.conversions(), 2);
    }

    #[test]
    fn deeper_pictures_lose_only_their_last_bits() {
        // 10 bits, little endian: 0x01f8 = 504, limited range, is 128 of 255.
        let deep =
            sample(VideoFormat::I42010le, "bt709", 8, |at| if at % 2 == 0 { 0xf8 } else { 0x01 });
        let got = first_pixel(Colour::Gray, &deep)[0];
        assert!(got.abs_diff(128) <= 1, "{got}");
    }
}
