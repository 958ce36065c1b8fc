//! A convolutional network on kernels of our own: whole clips for the mode `window`, a
//! stream for the mode `continual`.

use std::sync::Arc;
use std::time::Duration;

use super::classifier::Classifier;
use super::graph::{self, Axis, Pace, Program, Refusal, Run, Span};
use super::kernels::{Isa, Precision};
use super::network::{Facts, check_finite, guarded};
use super::profile::Profile;
use super::typed::Typed;
use crate::clip::{InputSpec, Layout};
use crate::error::{Error, Result};

/// A convolutional network, ready to run.
#[derive(Debug)]
pub(super) struct Convolutional {
    program: Arc<Program>,
    span: Span,
    pub facts: Facts,
}

/// The axes of a clip.
fn axes(layout: Layout) -> [Axis; 5] {
    use Axis::{Batch, Channels, Frames, Height, Width};
    match layout {
        Layout::NCTHW => [Batch, Channels, Frames, Height, Width],
        Layout::NTCHW => [Batch, Frames, Channels, Height, Width],
        Layout::NTHWC => [Batch, Frames, Height, Width, Channels],
    }
}

/// The network of `typed` as a graph of our own that gives its output `logits`, or what in
/// it cannot be one.
pub(super) fn import(
    typed: &Typed,
    logits: usize,
    spec: &InputSpec,
) -> Result<graph::Graph, Refusal> {
    graph::import(&typed.model, logits, &axes(spec.layout)).map(graph::fuse)
}

impl Convolutional {
    /// Makes `graph`, the network of `facts`, ready to be run over `span`.
    pub fn new(
        graph: graph::Graph,
        mut facts: Facts,
        span: Span,
        precision: Precision,
        threads: usize,
        doing: &str,
    ) -> Result<Self> {
        facts.nodes = graph.nodes.len();
        let isa = instructions()?;
        let program = guarded(doing, || Ok(Program::new(graph, span, precision, isa, threads)))?;
        facts.multiply_accumulates = Some(program.multiply_accumulates());
        facts.weight_bytes = program.weight_bytes();
        Ok(Convolutional { program, span, facts })
    }

    /// Begins to run it over another stream of frames of `spec`; `doing` opens every
    /// error's text.
    pub fn classifier(&self, spec: &InputSpec, doing: String) -> Box<dyn Classifier> {
        let Pace { stride, delay, warm_up } = self.program.pace();
        let frames = |frames: usize| Duration::from_secs_f64(frames as f64 / spec.rate);
        let pace = match self.span {
            Span::Clip => Pace { stride: 1, delay: 0, warm_up: spec.frames },
            Span::Stream { early: true, .. } => {
                // The first output at or after the frame that makes a clip full.
                let late = spec.frames.saturating_sub(warm_up);
                Pace { stride, delay, warm_up: warm_up + late.next_multiple_of(stride) }
            }
            Span::Stream { .. } => Pace { stride, delay, warm_up },
        };
        Box::new(Framewise {
            run: self.program.run(),
            span: self.span,
            pace,
            delay: frames(pace.delay),
            taken: 0,
            values: spec.frame_len(),
            doing,
        })
    }
}

/// The instructions that kernels of our own use: the fastest that the CPU has, unless the
/// environment names others, so that what they gain can be measured.
fn instructions() -> Result<Isa> {
    let Some(name) = std::env::var_os("KINEWATCH_ISA") else { return Ok(Isa::best()) };
    name.to_str().and_then(Isa::named).ok_or_else(|| {
        let known: Vec<_> = Isa::all().into_iter().map(Isa::name).collect();
        Error::config(
            "reading the environment variable KINEWATCH_ISA",
            format!("{}; this CPU has {}", name.display(), known.join(", ")),
        )
        .remedy("name one of them, or leave it out")
    })
}

/// A convolutional network running over one stream.
struct Framewise {
    run: Run,
    span: Span,
    pace: Pace,
    delay: Duration,
    /// Frames since the last reset.
    taken: usize,
    /// Of a frame.
    values: usize,
    doing: String,
}

impl Classifier for Framewise {
    fn push(&mut self, frame: &[f32], due: bool) -> Result<Option<&[f32]>> {
        let doing = &self.doing;
        if frame.len() != self.values {
            let (given, expected) = (frame.len(), self.values);
            let fault = format!("the frame has {given} values where the model takes {expected}");
            return Err(Error::internal(doing, fault));
        }
        let full = self.taken + 1 >= self.pace.warm_up;
        let (run, span) = (&mut self.run, self.span);
        let came = guarded(doing, || {
            run.push(frame);
            Ok(match span {
                Span::Clip => due && full && run.clip().is_some(),
                Span::Stream { .. } => run.step().is_some(),
            })
        });
        self.taken += 1;
        if came.is_err() {
            // What the fault left behind is not known.
            self.run.renew();
        }
        if !(came? && due && full) {
            return Ok(None);
        }
        check_finite(self.run.logits(), "class", doing)?;
        Ok(Some(self.run.logits()))
    }

    fn reset(&mut self) {
        self.run.reset();
        self.taken = 0;
    }

    fn warm_up(&self) -> usize {
        self.pace.warm_up
    }

    fn stride(&self) -> usize {
        self.pace.stride
    }

    fn delay(&self) -> Duration {
        self.delay
    }

    fn needs_every_frame(&self) -> bool {
        self.span != Span::Clip
    }

    fn start_profile(&mut self) {
        self.run.start_profile();
    }

    fn take_profile(&mut self) -> Option<Profile> {
        self.run.take_profile()
    }
}
