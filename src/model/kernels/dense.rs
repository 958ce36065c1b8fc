//! Convolution whose every output channel sees every input channel; 1×1×1 included.

mod tile;
#[cfg(test)]
mod twin;
mod walk;
mod weights;

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Activation, Buffer, Extent, Isa};
use tile::{Job, Pixel};
use walk::{GROUP, Pixels, Runs};
use weights::{Panel, Weights};

/// Weights that are gone through with all of a group's pixels before the next: they stay
/// in the first cache.
const PART: usize = 6144;

/// No frame is higher or wider, and no pixel takes more values, so that products of three
/// of them don't overflow.
const MOST: usize = 1 << 20;

/// How weights are held. Sums are f32 in each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    #[default]
    F32,
    /// IEEE half precision.
    F16,
    /// Eight bits with a scale for each output channel.
    Int8,
}

impl Precision {
    /// Every precision, the widest first.
    pub const ALL: [Precision; 3] = [Precision::F32, Precision::F16, Precision::Int8];

    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
            Precision::Int8 => "int8",
        }
    }
}

/// What a dense convolution is, apart from its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DenseShape {
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Taps in time, down, across.
    pub kernel: [usize; 3],
    /// Down, across.
    pub stride: [usize; 2],
    /// Rows above and columns left of the frame that the first output pixel's taps
    /// reach: the input's border is at least that wide.
    pub pad: [usize; 2],
}

/// One run of a [`Dense`]: what it reads.
#[derive(Clone, Copy, Debug)]
pub struct DenseTask<'a> {
    /// The input frame of each tap in time, oldest first; none for one that lies
    /// outside of the clip and counts as zeros.
    pub taps: &'a [Option<&'a [f32]>],
    /// How each of them lies in memory.
    pub input: Extent,
    /// What the input is multiplied with first, a value for each channel (at least
    /// `input.step` of them), and what is done to it then. Only for 1×1×1 kernels of
    /// stride 1.
    pub before: Option<(&'a [f32], Activation)>,
    /// How the output frame lies in memory.
    pub output: Extent,
    /// Added to the sum, before `after`: a frame of the output's height, width and
    /// channels.
    pub residual: Option<(&'a [f32], Extent)>,
    /// What is done to the sum.
    pub after: Activation,
}

/// A dense convolution, its weights packed for `isa`.
#[derive(Debug)]
pub struct Dense {
    isa: Isa,
    shape: DenseShape,
    weights: Weights,
}

impl Dense {
    /// Packs `weights`, outputs × inputs × time × down × across, and `bias`, a value for
    /// each output.
    ///
    /// # Panics
    /// Where there are fewer or more of them than `shape` says.
    pub fn new(
        isa: Isa,
        shape: DenseShape,
        precision: Precision,
        weights: &[f32],
        bias: &[f32],
    ) -> Self {
        Dense { isa, shape, weights: Weights::new(isa, &shape, precision, weights, bias) }
    }

    /// Bytes of the packed weights and biases.
    pub fn bytes(&self) -> usize {
        self.weights.bytes()
    }

    /// Computes `rows` of an output frame: `out` is [`Extent::rows`] of it. Its border
    /// is not written. `scratch` is room that is kept from run to run. A pixel's result
    /// does not depend on which other rows are computed with it.
    ///
    /// # Panics
    /// Where a frame is shorter than its extent says or extents and shape disagree:
    /// the graph's own shapes rule that out.
    pub fn run(&self, task: &DenseTask, rows: Range<usize>, out: &mut [f32], scratch: &mut Buffer) {
        self.check(task, &rows, out);
        let shape = &self.shape;
        let count = rows.len() * task.output.width;
        if count == 0 {
            return;
        }
        let group = walk::group(count);
        // The room's first part takes weights, the second a group's input.
        let step = shape.inputs.next_multiple_of(self.isa.lanes());
        let weights_room = if self.weights.narrow() { PART } else { 0 };
        let input_room = if task.before.is_some() { group * step } else { 0 };
        if scratch.len() < weights_room + input_room {
            *scratch = Buffer::zeros(weights_room + input_room);
        }
        let (weights_room, input_room) = scratch.split_at_mut(weights_room);
        let mut pixels = [Pixel::default(); GROUP];
        let mut places = Pixels::new(shape, task, &rows);
        let mut done = 0;
        while done < count {
            let pixels = &mut pixels[..group.min(count - done)];
            places.fill(pixels);
            done += pixels.len();
            let prepared;
            let mut taps = task.taps;
            if let (Some((scale, activation)), [Some(frame)]) = (task.before, task.taps) {
                let to = &mut input_room[..pixels.len() * step];
                // SAFETY: `check` has seen that `scale` and the frame's pixels have `step`
                // values, a multiple of the lanes; `to` has as many for each pixel.
                unsafe {
                    let (frame, scale, to) = (frame.as_ptr(), scale.as_ptr(), to.as_mut_ptr());
                    tile::prepare(self.isa, frame, pixels, scale, activation, step, to);
                }
                for (i, pixel) in pixels.iter_mut().enumerate() {
                    pixel.input = i * step;
                }
                prepared = [Some(&*to)];
                taps = &prepared;
            }
            for panel in self.weights.panels() {
                // SAFETY: `check` has seen that frames hold what their extents say, that
                // every tap of every output pixel lies in the input's extent, that the
                // output's and the residual's pixels have room for all panels, and that
                // `out` holds `rows`, where `Pixels` puts the pixels; a prepared frame has
                // its pixels' inputs one after the other.
                unsafe { self.panel(panel, task, taps, pixels, out.as_mut_ptr(), weights_room) };
            }
        }
    }

    /// A panel's channels of some pixels, one or more.
    ///
    /// # Safety
    /// From each of the pixels on, `taps` are valid at each tap down and across for the
    /// inputs, and `out` and the residual for the panel's channels.
    unsafe fn panel(
        &self,
        panel: &Panel,
        task: &DenseTask,
        taps: &[Option<&[f32]>],
        pixels: &[Pixel],
        out: *mut f32,
        room: &mut [f32],
    ) {
        let out = out.wrapping_add(panel.first);
        let lone = task.output.height * task.output.width == 1;
        let mut bias = self.weights.bias(panel).as_ptr();
        let mut runs = Runs::new(&self.shape, &task.input, taps, PART / panel.width);
        loop {
            let (runs, last) = runs.next();
            let first = runs.first().map_or(0, |run| run.row);
            let len = runs.iter().map(|run| run.len).sum();
            let weights = self.weights.read(self.isa, panel, first, len, room).as_ptr();
            let (ahead, bytes) = self.weights.ahead(panel, first, len);
            let (mut residual, mut low) = (std::ptr::null(), f32::NEG_INFINITY);
            if last {
                if let Some((frame, _)) = task.residual {
                    residual = frame.as_ptr().wrapping_add(panel.first);
                }
                if task.after == Activation::Relu {
                    low = 0.0;
                }
            }
            let lines = if lone { 0 } else { bytes / 64 };
            let job = Job { runs, first, weights, bias, out, residual, low, ahead, lines };
            // SAFETY: the caller's promise; the kernels are those of this CPU, a part's
            // rows follow each other, and `weights` are all of them.
            unsafe {
                if lone {
                    tile::lone(self.isa, panel.vectors)(&job, pixels);
                } else {
                    self.tiles(job, panel.vectors, pixels);
                }
            }
            if last {
                break;
            }
            // The next part goes on with the sums that are in `out` now.
            bias = std::ptr::null();
        }
        if !matches!(task.after, Activation::None | Activation::Relu) {
            // SAFETY: the caller's promise; a panel is whole vectors.
            unsafe { tile::activate(self.isa, out, pixels, panel.width, task.after) };
        }
    }

    /// A panel's tiles, as few and as equal as can be.
    ///
    /// # Safety
    /// As [`tile::Kernel`] for all of `pixels`, of which there is one at least.
    unsafe fn tiles(&self, mut job: Job, vectors: usize, pixels: &[Pixel]) {
        let kernels = tile::kernels(self.isa, vectors);
        let blocks = pixels.len().div_ceil(kernels.len());
        let (each, larger) = (pixels.len() / blocks, pixels.len() % blocks);
        job.lines = job.lines.div_ceil(blocks);
        let (first, second) = pixels.split_at(larger * (each + 1));
        // SAFETY: the caller's promise.
        unsafe {
            if larger > 0 {
                kernels[each](&job, first);
                job.ahead = job.ahead.wrapping_add(larger * job.lines * 64);
            }
            kernels[each - 1](&job, second);
        }
    }

    /// Everything that the unsafe code builds upon.
    fn check(&self, task: &DenseTask, rows: &Range<usize>, out: &[f32]) {
        let shape = &self.shape;
        let [time, down, across] = shape.kernel;
        let (input, output) = (&task.input, &task.output);
        let padded = |channels: usize| channels.next_multiple_of(self.isa.lanes());
        bounded(input);
        bounded(output);
        assert!([down, across].into_iter().chain(shape.stride).all(|size| size <= MOST));
        assert!(task.taps.len() == time && rows.start <= rows.end && rows.end <= output.height);
        for frame in task.taps.iter().flatten() {
            assert!(frame.len() >= input.len());
        }
        // The last output pixel's last tap, counted from the border's first pixel.
        let last = |size: usize, stride: usize, taps: usize| size.saturating_sub(1) * stride + taps;
        let border = &input.border;
        assert!(border.top >= shape.pad[0] && border.left >= shape.pad[1]);
        let (top, left) = (border.top - shape.pad[0], border.left - shape.pad[1]);
        let height = border.top + input.height + border.bottom;
        let width = border.left + input.width + border.right;
        assert!(top + last(output.height, shape.stride[0], down) <= height);
        assert!(left + last(output.width, shape.stride[1], across) <= width);
        assert!(input.step >= shape.inputs && output.step >= padded(shape.outputs));
        assert!(out.len() >= output.rows(rows).len());
        if let Some((scale, _)) = task.before {
            assert!(shape.kernel == [1; 3] && shape.stride == [1; 2]);
            assert!(scale.len().min(input.step) >= padded(shape.inputs));
        }
        if let Some((frame, extent)) = task.residual {
            bounded(&extent);
            assert!(extent.height >= output.height && extent.width >= output.width);
            assert!(extent.step >= padded(shape.outputs) && frame.len() >= extent.len());
        }
    }
}

/// Sees that sizes computed from `extent` do not overflow.
fn bounded(extent: &Extent) {
    let Extent { height, width, channels, step, border } = *extent;
    let sizes =
        [height, width, channels, step, border.top, border.left, border.bottom, border.right];
    assert!(sizes.into_iter().all(|size| size <= MOST));
}
