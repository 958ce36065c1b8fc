//! The mode `two-stage`: an encoder sees each frame once, a temporal head sees the
//! embeddings of the last T frames.

use std::sync::Arc;

use tract_onnx::prelude::*;

use super::classifier::Classifier;
use super::input::{FrameInput, Input};
use super::loaded::{Allowed, check_input, only_input};
use super::manifest::HeadLayout;
use super::network::{Facts, Network, Session};
use super::onnx::{OnnxFile, quoted};
use crate::clip::InputSpec;
use crate::error::{Error, Result};

/// Both networks, and what passes between them.
#[derive(Debug)]
pub(super) struct Stages {
    pub encoder: Arc<Network>,
    /// The encoder's output that is the embedding.
    pub embedding: usize,
    pub head: Arc<Network>,
    /// The head's output that gives the logits.
    pub logits: usize,
    pub arrangement: Arrangement,
    /// Of both together: a frame that brings a prediction.
    pub facts: Facts,
}

impl Stages {
    pub fn new(
        (encoder, embedding): (Network, usize),
        (head, logits): (Network, usize),
        arrangement: Arrangement,
    ) -> Self {
        let (a, b) = (&encoder.facts, &head.facts);
        let facts = Facts {
            inputs: a.inputs.clone(),
            outputs: b.outputs.clone(),
            parameters: a.parameters + b.parameters,
            multiply_accumulates: a
                .multiply_accumulates
                .zip(b.multiply_accumulates)
                .map(|(a, b)| a + b),
            weight_bytes: a.weight_bytes + b.weight_bytes,
            nodes: a.nodes + b.nodes,
            file_bytes: a.file_bytes + b.file_bytes,
        };
        Stages {
            encoder: Arc::new(encoder),
            embedding,
            head: Arc::new(head),
            logits,
            arrangement,
            facts,
        }
    }
}

/// The shape to run an encoder's `file` with.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config): several inputs, or another shape or
/// kind of number than a frame's.
pub(super) fn encoder_shapes(
    file: &OnnxFile,
    spec: &InputSpec,
    doing: &str,
) -> Result<Vec<Vec<usize>>> {
    let input = only_input(file, "an encoder takes one frame and nothing else", doing)?;
    let shapes = FrameInput::shapes(spec);
    let fits = check_input(input, Allowed::by_manifest(&shapes, spec), doing)?;
    Ok(vec![shapes[fits].clone()])
}

/// Which output of the `encoder` is the embedding: the one `named`, else the first.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config): there is none of that name, or it
/// holds no f32 values.
pub(super) fn find_embedding(encoder: &Network, named: Option<&str>, doing: &str) -> Result<usize> {
    let outputs = &encoder.facts.outputs;
    let at = match named {
        None => 0,
        Some(name) => outputs.iter().position(|o| o.name == name).ok_or_else(|| {
            Error::config(
                doing,
                format!("run.two-stage.embedding names \"{name}\", which it does not give"),
            )
            .remedy(format!("it gives {}", quoted(outputs.iter().map(|o| o.name.as_str()))))
        })?,
    };
    let (datum, shape) = &encoder.outputs[at];
    if *datum != DatumType::F32 || shape.contains(&0) {
        let output = &outputs[at];
        return Err(Error::config(
            doing,
            format!(
                "its embedding \"{}\" is {} {:?}; only f32 values are supported",
                output.name, output.datum, output.shape
            ),
        ));
    }
    Ok(at)
}

/// How T embeddings of D values stand in the head's input. D = `before` × `after`:
/// value (b, a) of embedding t is the input's value (b, t, a).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrangement {
    /// The input's shape.
    pub shape: Vec<usize>,
    frames: usize,
    before: usize,
    after: usize,
}

impl Arrangement {
    /// For the head's `file`, of `frames` embeddings of shape `embedding`.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config): the file has several inputs, or
    /// does not take the embeddings in this `layout`.
    pub fn find(
        layout: HeadLayout,
        frames: usize,
        embedding: &[usize],
        file: &OnnxFile,
        doing: &str,
    ) -> Result<Self> {
        let input = only_input(file, "a head takes the embeddings and nothing else", doing)?;
        let shapes = shapes(layout, frames, embedding);
        if shapes.is_empty() {
            return Err(Error::config(
                doing,
                format!(
                    "the encoder's embedding is {embedding:?}; layout NCTHW needs channels, rows \
                     and columns"
                ),
            )
            .remedy("correct run.two-stage.layout or embedding in model.toml"));
        }
        let allowed = Allowed {
            shapes: &shapes,
            said: format!("{frames} embeddings of {embedding:?} make"),
            layout: format!("{layout:?}"),
            remedy: "correct input.frames, or layout or embedding of run.two-stage, in model.toml",
        };
        let shape = shapes[check_input(input, allowed, doing)?].clone();
        let width: usize = embedding.iter().product();
        let before = match layout {
            HeadLayout::NTD | HeadLayout::TND | HeadLayout::TD => 1,
            HeadLayout::NDT => width,
            HeadLayout::NCTHW => shape[1],
        };
        Ok(Arrangement { shape, frames, before, after: width / before })
    }
}

/// The shapes that the head's input may have: D as one axis first, then with the axes
/// that the embedding has, with and without the leading ones of length 1.
fn shapes(layout: HeadLayout, frames: usize, embedding: &[usize]) -> Vec<Vec<usize>> {
    let width = embedding.iter().product();
    let ones = embedding.iter().take_while(|&&length| length == 1).count();
    let split = (0..=ones).filter_map(|from| embedding.get(from..));
    match layout {
        HeadLayout::NDT => vec![vec![1, width, frames]],
        HeadLayout::NCTHW => split
            .filter_map(|axes| <[usize; 3]>::try_from(axes).ok())
            .map(|[c, h, w]| vec![1, c, frames, h, w])
            .collect(),
        HeadLayout::NTD | HeadLayout::TND | HeadLayout::TD => {
            let first: &[usize] = match layout {
                HeadLayout::NTD => &[1, frames],
                HeadLayout::TND => &[frames, 1],
                _ => &[frames],
            };
            let split = split.filter(|axes| axes.len() > 1);
            std::iter::once(&[width][..]).chain(split).map(|axes| [first, axes].concat()).collect()
        }
    }
}

/// The last T embeddings of one stream.
struct Embeddings {
    /// T slots, used in turn.
    values: Vec<f32>,
    width: usize,
    /// The slot that the next embedding goes to; once all are taken, the oldest.
    next: usize,
    held: usize,
}

impl Embeddings {
    fn new(frames: usize, width: usize) -> Self {
        Embeddings { values: vec![0.0; frames * width], width, next: 0, held: 0 }
    }

    fn frames(&self) -> usize {
        self.values.len() / self.width
    }

    /// Lets `write` fill the oldest slot, which then is the newest.
    fn push(&mut self, write: impl FnOnce(&mut [f32]) -> Result<()>) -> Result<()> {
        let frames = self.frames();
        if let Some(slot) = self.values.chunks_exact_mut(self.width).nth(self.next) {
            write(slot)?;
        }
        self.next = (self.next + 1) % frames;
        self.held = (self.held + 1).min(frames);
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.held == self.frames()
    }

    fn clear(&mut self) {
        (self.next, self.held) = (0, 0);
    }

    /// Writes them, oldest first, as `arrangement` says; the ring must be full.
    fn write(&self, arrangement: &Arrangement, to: &mut [f32]) {
        let &Arrangement { frames, after, .. } = arrangement;
        let slots = self.values.chunks_exact(self.width).cycle().skip(self.next).take(frames);
        for (t, embedding) in slots.enumerate() {
            let places = to.chunks_exact_mut(after).skip(t).step_by(frames);
            places.zip(embedding.chunks_exact(after)).for_each(|(to, run)| to.copy_from_slice(run));
        }
    }
}

/// A model of two stages, running over one stream.
pub(super) struct TwoStage {
    encoder: Session,
    head: Session,
    stages: Arc<Stages>,
    frame: FrameInput,
    embeddings: Embeddings,
    clip: Input,
    logits: Vec<f32>,
}

impl TwoStage {
    pub fn new(
        stages: &Arc<Stages>,
        spec: &InputSpec,
        classes: usize,
        model: &str,
    ) -> Result<Self> {
        let (_, frame) = &stages.encoder.inputs[0];
        let (_, embedding) = &stages.encoder.outputs[stages.embedding];
        Ok(TwoStage {
            encoder: Session::new(
                &stages.encoder,
                format!("running the encoder of model \"{model}\""),
            ),
            head: Session::new(&stages.head, format!("running the head of model \"{model}\"")),
            frame: FrameInput::new(spec, frame)?,
            embeddings: Embeddings::new(spec.frames, embedding.iter().product()),
            clip: Input::new(&stages.arrangement.shape)?,
            logits: vec![0.0; classes],
            stages: stages.clone(),
        })
    }

    fn encode(&mut self, frame: &[f32]) -> Result<()> {
        let outputs = self.encoder.run(tvec![self.frame.take(frame)?])?;
        let (encoder, embedding) = (&self.encoder, &outputs[self.stages.embedding]);
        self.embeddings.push(|slot| encoder.read_values(embedding, slot, "embedding value"))
    }
}

impl Classifier for TwoStage {
    fn push(&mut self, frame: &[f32], due: bool) -> Result<Option<&[f32]>> {
        // What lies before a frame that could not be encoded is no clip with what
        // comes after it.
        self.encode(frame).inspect_err(|_| self.embeddings.clear())?;
        if !due || !self.embeddings.is_full() {
            return Ok(None);
        }
        let clip = self.clip.write(|values| {
            self.embeddings.write(&self.stages.arrangement, values);
            Ok(())
        })?;
        let outputs = self.head.run(tvec![clip])?;
        self.head.read(&outputs[self.stages.logits], &mut self.logits)?;
        Ok(Some(&self.logits))
    }

    fn reset(&mut self) {
        self.embeddings.clear();
    }

    fn warm_up(&self) -> usize {
        self.embeddings.frames()
    }

    /// Most of the work is the encoder's, and every frame must pass through it. A
    /// frame that is left out costs T frames, as with a state.
    fn needs_every_frame(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heads_input_may_have_the_embeddings_axes_or_one() {
        use HeadLayout::*;
        assert_eq!(
            shapes(NTD, 6, &[1, 32, 1, 1]),
            [vec![1, 6, 32], vec![1, 6, 1, 32, 1, 1], vec![1, 6, 32, 1, 1]]
        );
        assert_eq!(shapes(TND, 6, &[32]), [[6, 1, 32]]);
        assert_eq!(shapes(TD, 6, &[1, 32]), [vec![6, 32], vec![6, 1, 32]]);
        assert_eq!(shapes(NDT, 6, &[1, 4, 8]), [[1, 32, 6]]);
        assert_eq!(shapes(NCTHW, 6, &[1, 4, 3, 2]), [[1, 4, 6, 3, 2]]);
        assert_eq!(shapes(NCTHW, 6, &[1, 1, 3, 2]), [[1, 1, 6, 3, 2]]);
        assert!(shapes(NCTHW, 6, &[1, 32]).is_empty());
    }

    #[test]
    fn the_ring_holds_the_last_embeddings_in_order() {
        let mut ring = Embeddings::new(3, 4);
        let push = |ring: &mut Embeddings, first: u8| {
            let fill = |slot: &mut [f32]| {
                slot.iter_mut().zip(0u8..).for_each(|(to, i)| *to = (10 * first + i).into());
                Ok(())
            };
            ring.push(fill).unwrap();
        };
        let written = |ring: &Embeddings, before| {
            let arrangement = Arrangement { shape: vec![12], frames: 3, before, after: 4 / before };
            let mut to = vec![0.0; 12];
            ring.write(&arrangement, &mut to);
            to.iter().map(|&value| value as u8).collect::<Vec<_>>()
        };
        (1..=2).for_each(|first| push(&mut ring, first));
        assert!(!ring.is_full());
        (3..=5).for_each(|first| push(&mut ring, first));
        assert!(ring.is_full());
        assert_eq!(written(&ring, 1), [30, 31, 32, 33, 40, 41, 42, 43, 50, 51, 52, 53]);
        assert_eq!(written(&ring, 2), [30, 31, 40, 41, 50, 51, 32, 33, 42, 43, 52, 53]);
        assert_eq!(written(&ring, 4), [30, 40, 50, 31, 41, 51, 32, 42, 52, 33, 43, 53]);

        ring.clear();
        assert!(!ring.is_full());
        (6..=8).for_each(|first| push(&mut ring, first));
        assert_eq!(written(&ring, 1)[..4], [60, 61, 62, 63]);
    }

    #[test]
    fn an_embedding_that_could_not_be_read_is_not_held() {
        let mut ring = Embeddings::new(1, 1);
        assert!(ring.push(|_| Err(Error::data("reading", "it is NaN"))).is_err());
        assert!(!ring.is_full());
    }
}
