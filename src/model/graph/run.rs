//! One stream's run of a program: its frames, and the making of each.

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::NodeId;
use super::node::MOST_TAPS;
use super::plan::Step;
use super::program::{Banded, End, Prepared, Program, Stage, Work};
use super::threads::Task;
use super::timing::Next;
use crate::model::kernels::{self, Buffer, Extent, Isa};
use crate::model::profile::Profile;

/// One stream's run of a [`Program`]: the frames that it keeps.
#[derive(Debug)]
pub struct Run {
    program: Arc<Program>,
    /// Whole frames.
    frames: Vec<Buffer>,
    /// Rows of a band.
    rows: Vec<Buffer>,
    /// Room for the frames that are being made.
    out: Vec<Buffer>,
    /// The next frame of each node.
    next: Next,
    /// Input frames since the last reset.
    taken: usize,
    scratch: Vec<Buffer>,
    logits: Vec<f32>,
    /// While operators are timed.
    profile: Option<Profile>,
}

impl Program {
    /// Begins a run. All memory that it needs is taken here.
    pub fn run(self: &Arc<Self>) -> Run {
        Run {
            frames: Buffer::many(&self.main.plan.buffers).collect(),
            rows: Buffer::many(&self.band_buffers()).collect(),
            out: Vec::new(),
            next: self.main.timing.start(),
            taken: 0,
            scratch: vec![Buffer::default(); self.threads.count()],
            logits: vec![0.0; self.main.nodes[self.output].extent.channels],
            profile: None,
            program: self.clone(),
        }
    }
}

impl Run {
    /// Takes the next frame: channels × height × width, row-major.
    pub fn push(&mut self, frame: &[f32]) {
        let began = self.begin();
        let stage = &self.program.main;
        let slot = stage.slot(0, self.taken);
        lay_out(frame, &stage.nodes[0].extent, &mut self.frames[slot]);
        self.taken += 1;
        self.end(0, began);
    }

    /// Times every operator from now on.
    pub fn start_profile(&mut self) {
        self.profile = Some(Profile::default());
    }

    /// Ends timing, and gives what was timed.
    pub fn take_profile(&mut self) -> Option<Profile> {
        self.profile.take()
    }

    /// The time, if operators are timed.
    fn begin(&self) -> Option<Instant> {
        self.profile.is_some().then(Instant::now)
    }

    fn end(&mut self, node: NodeId, began: Option<Instant>) {
        if let (Some(profile), Some(began)) = (&mut self.profile, began) {
            let prepared = &self.program.main.nodes[node];
            let what = || (prepared.name.clone(), prepared.kind.clone());
            profile.add(node, began.elapsed(), what);
        }
    }

    /// Begins with new memory, after a fault.
    pub fn renew(&mut self) {
        *self = self.program.run();
    }

    /// What the last clip or step gave.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// Forgets every frame.
    pub fn reset(&mut self) {
        self.next = self.program.main.timing.start();
        self.taken = 0;
    }

    /// The logits of the clip that ends with the newest frame; none before there are as
    /// many as a clip has.
    pub fn clip(&mut self) -> Option<&[f32]> {
        let program = self.program.clone();
        let main = &program.main;
        let from = self.taken.checked_sub(main.plan.slots[0].len())?;
        self.banded(&program, from);
        for turn in main.turns() {
            for step in turn.iter().filter(|step| step.fresh) {
                let slot = main.slot(step.node, step.frame);
                clear_border(&main.nodes[step.node].extent, &mut self.frames[slot]);
            }
            if let [Step { node, frame, .. }, ..] = *turn {
                self.make(&program, node, frame..frame + turn.len(), from);
            }
        }
        Some(self.read(&program, 0))
    }

    /// Makes what the bands make.
    fn banded(&mut self, program: &Program, from: usize) {
        let Stage { nodes, timing, plan } = &program.main;
        for node in (1..nodes.len()).filter(|&node| timing.given[node]) {
            let (extent, mean) =
                (&nodes[node].extent, matches!(*nodes[node].work, Work::SpaceMean));
            for &slot in &plan.slots[node] {
                match mean {
                    true => self.frames[slot].fill(0.0),
                    false => clear_border(extent, &mut self.frames[slot]),
                }
            }
        }
        for band in &program.bands {
            for turn in band.stage.turns() {
                self.make_rows(program, band, turn, from);
            }
        }
        for node in (1..nodes.len()).filter(|&node| timing.given[node]) {
            if let (Work::SpaceMean, [view]) = (&*nodes[node].work, &nodes[node].views[..]) {
                for &slot in &plan.slots[node] {
                    divide(&mut self.frames[slot], view.height * view.width);
                }
            }
        }
    }

    /// Does what the newest frame of a stream asks for; the logits, where an output came
    /// of it. To be called once after each [`Run::push`].
    pub fn step(&mut self) -> Option<&[f32]> {
        let program = self.program.clone();
        let Stage { nodes, timing, plan } = &program.main;
        self.next[0] = self.taken;
        let mut newest = None;
        for (node, prepared) in nodes.iter().enumerate().skip(1) {
            while timing.ready(node, self.next[node], &self.next) {
                let frame = self.next[node];
                if plan.shared[node] {
                    let slot = program.main.slot(node, frame);
                    clear_border(&prepared.extent, &mut self.frames[slot]);
                }
                self.make(&program, node, frame..frame + 1, 0);
                self.next[node] += 1;
                if node == program.output {
                    newest = Some(frame);
                }
            }
        }
        newest.map(|frame| self.read(&program, frame))
    }

    fn read(&mut self, program: &Program, frame: usize) -> &[f32] {
        let (node, stage) = (program.output, &program.main);
        let (extent, slot) = (&stage.nodes[node].extent, stage.slot(node, frame));
        let at = extent.at(0, 0);
        self.logits.copy_from_slice(&self.frames[slot][at..at + extent.channels]);
        &self.logits
    }

    /// Makes `made` frames of `node`; the input's frames are counted from `from`.
    fn make(&mut self, program: &Program, node: NodeId, made: Range<usize>, from: usize) {
        let began = self.begin();
        let stage = &program.main;
        // Taken out, so that the rest can be read meanwhile.
        let mut out = std::mem::take(&mut self.out);
        out.extend(made.clone().map(|at| std::mem::take(&mut self.frames[stage.slot(node, at)])));
        let frames = &self.frames;
        let get = |input: NodeId, frame: usize| {
            &frames[stage.slot(input, if input == 0 { from + frame } else { frame })][..]
        };
        let task = stage.nodes[node].task(None);
        program.threads.make(&task, &mut out, &mut self.scratch, |at, rows, out, scratch| {
            let inputs = Inputs { stage, node, frame: made.start + at, get };
            compute(program.isa, &inputs, rows, out, scratch);
        });
        for (at, out) in made.zip(out.drain(..)) {
            self.frames[stage.slot(node, at)] = out;
        }
        self.out = out;
        self.end(node, began);
    }

    /// Makes a turn of `band`.
    fn make_rows(&mut self, program: &Program, band: &Banded, turn: &[Step], from: usize) {
        let [Step { node, .. }, ..] = *turn else { return };
        let began = self.begin();
        let (main, stage) = (&program.main, &band.stage);
        let end = band.ends[node].as_ref();
        let extent = &stage.nodes[node].extent;
        let mut out = std::mem::take(&mut self.out);
        for step in turn {
            let mut frame = std::mem::take(match end {
                Some(_) => &mut self.frames[main.slot(node, step.frame)],
                None => &mut self.rows[stage.slot(node, step.frame)],
            });
            if step.fresh && end.is_none() {
                clear_border(extent, &mut frame);
            }
            out.push(frame);
        }
        let (frames, rows) = (&self.frames, &self.rows);
        let get = |input: NodeId, frame: usize| match input {
            0 => &frames[main.slot(0, from + frame)][..],
            _ => &rows[stage.slot(input, frame)][..],
        };
        let task = stage.nodes[node].task(end.map(|end| end.memory.clone()));
        program.threads.make(&task, &mut out, &mut self.scratch, |at, rows, out, scratch| {
            let inputs = Inputs { stage, node, frame: turn[at].frame, get };
            compute(program.isa, &inputs, rows, out, scratch);
        });
        for (step, out) in turn.iter().zip(out.drain(..)) {
            let Some(End { memory, means }) = end else {
                self.rows[stage.slot(node, step.frame)] = out;
                continue;
            };
            for &mean in means {
                let pixel = main.nodes[mean].extent.at(0, 0);
                let sums = &mut self.frames[main.slot(mean, step.frame)][pixel..];
                kernels::channel_sums(program.isa, (&out[memory.clone()], extent), sums);
            }
            self.frames[main.slot(node, step.frame)] = out;
        }
        self.out = out;
        self.end(node, began);
    }
}

impl Stage {
    /// Where a node's frame lies.
    fn slot(&self, node: NodeId, frame: usize) -> usize {
        let slots = &self.plan.slots[node];
        slots[frame % slots.len()]
    }

    /// The steps of a clip, those together that make frames of one node, one after the
    /// other, each with a place of its own: none of them reads another.
    fn turns(&self) -> impl Iterator<Item = &[Step]> {
        self.plan.clip.chunk_by(|a, b| a.node == b.node).flat_map(|turn| {
            let places = turn.first().map_or(1, |step| self.plan.slots[step.node].len());
            turn.chunks(places.max(1))
        })
    }
}

/// The input frames of a node's frame, each with how it lies in memory.
struct Inputs<'a, G> {
    stage: &'a Stage,
    node: NodeId,
    frame: usize,
    /// A node's frame.
    get: G,
}

impl<'a, G: Fn(NodeId, usize) -> &'a [f32]> Inputs<'a, G> {
    /// The frames of input `at`, oldest first.
    fn taps(&self, at: usize) -> impl Iterator<Item = Option<&'a [f32]>> {
        let input = self.stage.nodes[self.node].inputs[at];
        let taps = self.stage.timing.taps(self.node, at, self.frame);
        taps.map(move |index| index.map(|index| (self.get)(input, index)))
    }

    /// The one frame of input `at`.
    fn one(&self, at: usize) -> (&'a [f32], &'a Extent) {
        (self.taps(at).flatten().next().unwrap_or_default(), self.extent(at))
    }

    fn extent(&self, at: usize) -> &'a Extent {
        &self.stage.nodes[self.node].views[at]
    }

    /// The channels of the one pixel of input `at`, padding included.
    fn pixel(&self, at: usize) -> &'a [f32] {
        let (frame, extent) = self.one(at);
        let begin = extent.at(0, 0);
        &frame[begin..begin + extent.step]
    }
}

impl Prepared {
    /// The making of its frames, which lie at `memory` in their buffers, or fill them.
    fn task(&self, memory: Option<Range<usize>>) -> Task<'_> {
        let memory = memory.unwrap_or(0..self.extent.len());
        Task { extent: &self.extent, memory, cost: self.cost, by_rows: self.work.by_rows() }
    }
}

impl Work {
    /// Whether rows of a frame can be made apart from the others.
    fn by_rows(&self) -> bool {
        !matches!(
            self,
            Work::Input | Work::SpaceMean | Work::TimeMean | Work::Concat | Work::Softmax
        )
    }
}

/// Makes `rows` of a node's frame in `out`, their memory; all rows, where its work is not
/// done by rows.
fn compute<'a>(
    isa: Isa,
    inputs: &Inputs<'a, impl Fn(NodeId, usize) -> &'a [f32]>,
    rows: Range<usize>,
    out: &mut [f32],
    scratch: &mut Buffer,
) {
    let Prepared { extent, work, inputs: read, .. } = &inputs.stage.nodes[inputs.node];
    let mut taps: heapless::Vec<Option<&[f32]>, MOST_TAPS> = heapless::Vec::new();
    match &**work {
        Work::Input => {}
        Work::Dense { dense, before, residual, after } => {
            taps.extend(inputs.taps(0).take(MOST_TAPS));
            let task = kernels::DenseTask {
                taps: &taps,
                input: *inputs.extent(0),
                before: before.map(|activation| (inputs.pixel(1), activation)),
                output: *extent,
                residual: residual.then(|| {
                    let (frame, extent) = inputs.one(if before.is_some() { 2 } else { 1 });
                    (frame, *extent)
                }),
                after: *after,
            };
            dense.run(&task, rows, out, scratch);
        }
        Work::Depthwise { depthwise, after } => {
            taps.extend(inputs.taps(0).take(MOST_TAPS));
            depthwise.run(&taps, inputs.extent(0), extent, *after, rows, out);
        }
        Work::Pool(pool) => {
            taps.extend(inputs.taps(0).take(MOST_TAPS));
            pool.run(isa, &taps, inputs.extent(0), extent, rows, out);
        }
        Work::SpaceMean => {
            let a = inputs.one(0);
            // Its one pixel, which may have a border about it.
            let sums = &mut out[place(extent, 0, 0)..][..extent.step];
            sums.fill(0.0);
            kernels::channel_sums(isa, a, sums);
            divide(sums, a.1.height * a.1.width);
        }
        Work::TimeMean => time_mean(inputs, extent, out),
        Work::Affine { scale, offset, after } => {
            let a = inputs.one(0);
            kernels::scale_channels(isa, a, scale, offset, *after, extent, rows, out);
        }
        Work::Add(after) => {
            kernels::add(isa, inputs.one(0), inputs.one(1), *after, extent, rows, out);
        }
        Work::Multiply(after) => {
            kernels::multiply(isa, inputs.one(0), inputs.one(1), *after, extent, rows, out);
        }
        Work::AddPixel { ones, after } => {
            let (a, pixel) = (inputs.one(0), inputs.pixel(1));
            kernels::scale_channels(isa, a, ones, pixel, *after, extent, rows, out);
        }
        Work::MultiplyPixel { zeros, after } => {
            let (a, pixel) = (inputs.one(0), inputs.pixel(1));
            kernels::scale_channels(isa, a, pixel, zeros, *after, extent, rows, out);
        }
        Work::Concat => concat(inputs, read.len(), extent, out),
        Work::Softmax => softmax(inputs.one(0), extent, out),
    }
}

fn divide(sums: &mut [f32], pixels: usize) {
    sums.iter_mut().for_each(|sum| *sum /= pixels as f32);
}

/// Where a pixel begins in the memory of all rows.
fn place(extent: &Extent, row: usize, column: usize) -> usize {
    extent.at(row, column) - extent.border.top * extent.pitch()
}

/// Each value's mean over the frames that there are.
fn time_mean<'a>(
    inputs: &Inputs<'a, impl Fn(NodeId, usize) -> &'a [f32]>,
    extent: &Extent,
    out: &mut [f32],
) {
    let own = inputs.extent(0);
    let mut count = 0;
    for frame in inputs.taps(0).flatten() {
        for row in 0..extent.height {
            let (to, from) = (place(extent, row, 0), own.at(row, 0));
            let len = extent.width * extent.step;
            let sums = &mut out[to..to + len];
            if count == 0 {
                sums.copy_from_slice(&frame[from..from + len]);
            } else {
                for (sum, value) in sums.iter_mut().zip(&frame[from..from + len]) {
                    *sum += value;
                }
            }
        }
        count += 1;
    }
    for row in 0..extent.height {
        let to = place(extent, row, 0);
        for sum in &mut out[to..to + extent.width * extent.step] {
            *sum /= count.max(1) as f32;
        }
    }
}

fn concat<'a>(
    inputs: &Inputs<'a, impl Fn(NodeId, usize) -> &'a [f32]>,
    count: usize,
    extent: &Extent,
    out: &mut [f32],
) {
    let mut channel = 0;
    for at in 0..count {
        let (frame, own) = inputs.one(at);
        for row in 0..extent.height {
            for column in 0..extent.width {
                let (to, from) = (place(extent, row, column) + channel, own.at(row, column));
                out[to..to + own.channels].copy_from_slice(&frame[from..from + own.channels]);
            }
        }
        channel += own.channels;
    }
}

fn softmax((frame, own): (&[f32], &Extent), extent: &Extent, out: &mut [f32]) {
    for row in 0..extent.height {
        for column in 0..extent.width {
            let from = &frame[own.at(row, column)..][..own.channels];
            let to = &mut out[place(extent, row, column)..][..own.channels];
            let most = from.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut sum = 0.0;
            for (to, value) in to.iter_mut().zip(from) {
                *to = (value - most).exp();
                sum += *to;
            }
            to.iter_mut().for_each(|to| *to /= sum);
        }
    }
}

/// Channels × height × width to channels last.
fn lay_out(frame: &[f32], extent: &Extent, out: &mut Buffer) {
    let plane = extent.height * extent.width;
    for row in 0..extent.height {
        let begin = extent.at(row, 0);
        let line = &mut out[begin..begin + extent.width * extent.step];
        for channel in 0..extent.channels {
            let from = &frame[channel * plane + row * extent.width..][..extent.width];
            for (pixel, value) in line.chunks_exact_mut(extent.step).zip(from) {
                pixel[channel] = *value;
            }
        }
    }
}

/// Zeros the border of a frame.
fn clear_border(extent: &Extent, frame: &mut Buffer) {
    let (pitch, border) = (extent.pitch(), extent.border);
    let inner = extent.rows(&(0..extent.height));
    frame[..inner.start].fill(0.0);
    frame[inner.end..extent.len()].fill(0.0);
    if border.left + border.right == 0 {
        return;
    }
    for row in frame[inner].chunks_exact_mut(pitch) {
        row[..border.left * extent.step].fill(0.0);
        row[pitch - border.right * extent.step..].fill(0.0);
    }
}
