//! A model, loaded and ready to be run over any number of streams.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tract_onnx::prelude::DatumType;

use super::backend::Readiness;
use super::classifier::Classifier;
use super::convolutional::{self, Convolutional};
use super::graph::Span;
use super::manifest::{NetworkFile, WarmUp};
use super::network::{Facts, Network, Tensor, guarded};
use super::onnx::{Declared, OnnxFile, quoted};
use super::stateful::{Stateful, Wiring};
use super::two_stage::{self, Arrangement, Stages, TwoStage};
use super::typed::Typed;
use super::window::{self, Window};
use super::{Bundle, Mode, ModelOptions, Precision};
use crate::clip::InputSpec;
use crate::error::{Error, Result};

/// The most threads that can be asked for: more than any edge board has cores,
/// and few enough that a slip of the pen starts no storm of threads.
const MOST_THREADS: usize = 64;

/// A model, loaded: weights are shared, state is each classifier's own.
#[derive(Debug)]
pub struct Model {
    bundle: Bundle,
    mode: Mode,
    way: Way,
    /// On another backend than tract.
    pub(super) readiness: Readiness,
}

/// A mode, with the networks that serve it.
#[derive(Debug)]
enum Way {
    /// The output that gives the logits.
    Window(Arc<Network>, usize),
    /// `window` or `continual` on kernels of our own.
    Convolutional(Convolutional, usize),
    Stateful(Arc<Network>, Wiring),
    TwoStage(Arc<Stages>),
}

impl Model {
    /// Reads, verifies and optimises the bundle's network for `mode` (none: the
    /// bundle's default), with `threads` threads to each step.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config): the mode cannot be had, or
    /// the network is not what the bundle says: wrong sum, damaged, operators
    /// that are not supported, another input shape, another number of classes.
    /// [`Kind::Internal`](crate::error::Kind::Internal): the inference engine
    /// gave up.
    pub fn load(bundle: Bundle, mode: Option<Mode>, threads: usize) -> Result<Arc<Model>> {
        Model::load_with(bundle, &ModelOptions { mode, threads, ..ModelOptions::default() })
    }

    /// As [`Model::load`], with all that `options` say but for the path.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load_with(bundle: Bundle, options: &ModelOptions) -> Result<Arc<Model>> {
        let mode = bundle.choose(options.mode)?;
        Model::build(bundle, mode, options.precision, options.threads)
    }

    /// As [`Model::load_with`], whether or not the bundle lists `mode`.
    pub(super) fn build(
        bundle: Bundle,
        mode: Mode,
        precision: Precision,
        threads: usize,
    ) -> Result<Arc<Model>> {
        if !(1..=MOST_THREADS).contains(&threads) {
            return Err(Error::config(
                format!("loading model \"{}\"", bundle.name()),
                format!("threads: {threads}; expected 1 to {MOST_THREADS}"),
            ));
        }
        let way = Way::load(&bundle, mode, precision, threads)?;
        Ok(Arc::new(Model { bundle, mode, way, readiness: Readiness::default() }))
    }

    /// What the bundle says.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// How it runs over a stream.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What its network takes, gives and costs.
    pub fn facts(&self) -> &Facts {
        match &self.way {
            Way::Window(network, _) | Way::Stateful(network, _) => &network.facts,
            Way::Convolutional(network, _) => &network.facts,
            Way::TwoStage(stages) => &stages.facts,
        }
    }

    /// The bytes of the ONNX file that serves its mode; of two, the first.
    // Only `nvinfer` asks for it.
    #[cfg_attr(not(nvinfer), allow(dead_code))]
    pub(super) fn onnx(&self) -> Result<Cow<'static, [u8]>> {
        let networks = self.bundle.networks(self.mode);
        let network = networks.first().ok_or_else(|| {
            Error::internal(
                format!("reading model \"{}\"", self.bundle.name()),
                "it has no network",
            )
        })?;
        self.bundle.onnx(network)
    }

    /// The output that gives the logits, of a network that takes whole clips.
    // Only `nvinfer` asks for it.
    #[cfg_attr(not(nvinfer), allow(dead_code))]
    pub(super) fn logits(&self) -> Option<&Tensor> {
        let at = match &self.way {
            Way::Window(_, logits) | Way::Convolutional(_, logits) => *logits,
            Way::Stateful(..) | Way::TwoStage(_) => return None,
        };
        self.facts().outputs.get(at)
    }

    /// What computes it: `tract`, or `kinewatch` for kernels of our own.
    pub fn engine(&self) -> &'static str {
        match &self.way {
            Way::Convolutional(..) => "kinewatch",
            _ => "tract",
        }
    }

    /// Begins to run it over another stream.
    ///
    /// # Errors
    /// [`Kind::Internal`](crate::error::Kind::Internal): no room for its input.
    pub fn classifier(self: &Arc<Self>) -> Result<Box<dyn Classifier>> {
        let (spec, classes) = (self.bundle.input(), self.bundle.labels().len());
        let doing = format!("running model \"{}\"", self.bundle.name());
        Ok(match &self.way {
            Way::Window(network, logits) => {
                Box::new(Window::new(network, *logits, spec, classes, doing)?)
            }
            Way::Convolutional(network, _) => network.classifier(spec, doing),
            Way::Stateful(network, wiring) => {
                let warm_up = self.bundle.run().warm_up.unwrap_or(spec.frames);
                Box::new(Stateful::new(network, wiring, spec, warm_up, classes, doing)?)
            }
            Way::TwoStage(stages) => {
                Box::new(TwoStage::new(stages, spec, classes, self.bundle.name())?)
            }
        })
    }
}

impl Way {
    fn load(bundle: &Bundle, mode: Mode, precision: Precision, threads: usize) -> Result<Self> {
        let spec = bundle.input();
        let networks = bundle.networks(mode);
        let parse = |network: &NetworkFile| {
            let doing = format!("loading {}", bundle.describe(network));
            let bytes = bundle.onnx(network)?;
            guarded(&doing, || OnnxFile::parse(&bytes, &doing)).map(|file| (file, doing))
        };
        let logits = |network: Given<'_>, wiring: Option<&Wiring>, doing: &str| {
            let named = bundle.run().logits.as_deref();
            find_logits(network, named, wiring, bundle.labels().len(), doing)
        };
        match (mode, networks.as_slice()) {
            (Mode::Window, [network]) => {
                let (file, doing) = parse(network)?;
                let shapes = window::shapes(&file, spec, &doing)?;
                let typed = Typed::new(file, &shapes, &doing)?;
                let logits = logits((&typed.facts, &typed.outputs), None, &doing)?;
                if own_kernels()? {
                    match convolutional::import(&typed, logits, spec) {
                        Ok(graph) => {
                            let (facts, span) = (typed.into_facts(), Span::Clip);
                            return Convolutional::new(
                                graph, facts, span, precision, threads, &doing,
                            )
                            .map(|network| Way::Convolutional(network, logits));
                        }
                        Err(refusal) => log::debug!("{doing}: it runs on tract, for {refusal}"),
                    }
                }
                let network = Network::of(typed, precision, threads, &doing)?;
                Ok(Way::Window(Arc::new(network), logits))
            }
            (Mode::Continual, [network]) => {
                let (file, doing) = parse(network)?;
                let shapes = window::shapes(&file, spec, &doing)?;
                let typed = Typed::new(file, &shapes, &doing)?;
                let logits = logits((&typed.facts, &typed.outputs), None, &doing)?;
                let graph = convolutional::import(&typed, logits, spec).map_err(|refusal| {
                    let fault = format!("it cannot run in mode \"continual\": {refusal}");
                    Error::config(&doing, fault).remedy("run it in mode \"window\"")
                })?;
                let facts = typed.into_facts();
                let options = bundle.run().continual;
                let span = Span::Stream {
                    average: options.average.unwrap_or(spec.frames),
                    early: options.warm_up == WarmUp::Clip,
                };
                Convolutional::new(graph, facts, span, precision, threads, &doing)
                    .map(|network| Way::Convolutional(network, logits))
            }
            (Mode::Stateful, [network]) => {
                let (file, doing) = parse(network)?;
                let mut wiring = Wiring::find(&file, bundle.run(), &doing)?;
                let shapes = wiring.shapes(&file, spec, bundle.run(), &doing)?;
                let network = Network::build(file, &shapes, precision, threads, &doing)?;
                wiring.check(&network, &doing)?;
                wiring.logits = logits((&network.facts, &network.outputs), Some(&wiring), &doing)?;
                Ok(Way::Stateful(Arc::new(network), wiring))
            }
            (Mode::TwoStage, [encoder, head]) => {
                let stages = bundle.run().two_stage.as_ref();
                let (file, doing) = parse(encoder)?;
                let shapes = two_stage::encoder_shapes(&file, spec, &doing)?;
                let encoder = Network::build(file, &shapes, precision, threads, &doing)?;
                let named = stages.and_then(|stages| stages.embedding.as_deref());
                let embedding = two_stage::find_embedding(&encoder, named, &doing)?;

                let (file, doing) = parse(head)?;
                let layout = stages.map(|stages| stages.layout).unwrap_or_default();
                let (_, axes) = &encoder.outputs[embedding];
                let arrangement = Arrangement::find(layout, spec.frames, axes, &file, &doing)?;
                let shapes = [arrangement.shape.clone()];
                let head = Network::build(file, &shapes, precision, threads, &doing)?;
                let logits = logits((&head.facts, &head.outputs), None, &doing)?;
                let stages = Stages::new((encoder, embedding), (head, logits), arrangement);
                Ok(Way::TwoStage(Arc::new(stages)))
            }
            (Mode::TwoStage, _) => Err(Error::config(
                format!("loading model \"{}\"", bundle.name()),
                "its model.toml names no encoder and no head",
            )
            .remedy("name their files under [run.two-stage]")),
            _ => Err(Error::internal(
                format!("loading model \"{}\"", bundle.name()),
                format!("mode \"{mode}\" has {} networks", networks.len()),
            )),
        }
    }
}

/// Whether networks may run on kernels of our own, which the environment can forbid, so
/// that the two engines can be compared.
fn own_kernels() -> Result<bool> {
    match std::env::var_os("KINEWATCH_ENGINE") {
        None => Ok(true),
        Some(engine) if engine == "tract" => Ok(false),
        Some(other) => Err(Error::config(
            "reading the environment variable KINEWATCH_ENGINE",
            format!("{}; expected \"tract\" or nothing", other.display()),
        )),
    }
}

/// One way to run a bundle over a stream.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// The way.
    pub mode: Mode,
    /// Whether the bundle lists it, so that it can be chosen.
    pub listed: bool,
    /// What it costs, or why it cannot be had.
    pub costs: Result<Costs>,
}

/// What a way to run a bundle costs.
#[derive(Clone, Debug)]
pub struct Costs {
    /// What its networks take, give and cost.
    pub facts: Facts,
    /// Sampled frames from a reset to the first logits.
    pub warm_up: usize,
    /// How far the time that the logits speak of lies behind the newest frame.
    pub delay: Duration,
}

/// Every way to run a model over a stream, whether or not the bundle lists it.
pub fn inspect(bundle: &Bundle) -> Vec<Inspected> {
    let costs = |mode| {
        let model = Model::build(bundle.clone(), mode, Precision::F32, 1)?;
        let classifier = model.classifier()?;
        Ok(Costs {
            facts: model.facts().clone(),
            warm_up: classifier.warm_up(),
            delay: classifier.delay(),
        })
    };
    Mode::ALL
        .into_iter()
        .map(|mode| {
            let listed = bundle.modes().contains(&mode);
            Inspected { mode, listed, costs: costs(mode) }
        })
        .collect()
}

/// What an input may be.
pub(super) struct Allowed<'a> {
    /// The first is the one that errors name.
    pub shapes: &'a [Vec<usize>],
    /// Who says so: words that a shape follows.
    pub said: String,
    /// The order of the axes.
    pub layout: String,
    /// What to do where the file does not allow it.
    pub remedy: &'static str,
}

impl<'a> Allowed<'a> {
    /// Shapes that follow from `[input]`.
    pub fn by_manifest(shapes: &'a [Vec<usize>], spec: &InputSpec) -> Self {
        Allowed {
            shapes,
            said: "model.toml says".into(),
            layout: format!("{:?}", spec.layout),
            remedy: "correct input.layout, frames, size or colour in model.toml",
        }
    }
}

/// Whether `input` can take f32 values in one of the `allowed` shapes, and in which.
pub(super) fn check_input(input: &Declared, allowed: Allowed<'_>, doing: &str) -> Result<usize> {
    let name = &input.name;
    if input.datum != DatumType::F32 {
        return Err(Error::config(
            doing,
            format!("its input \"{name}\" takes {:?} values; only f32 is supported", input.datum),
        ));
    }
    let fits = |shape: &Vec<usize>| {
        shape.len() == input.shape.len()
            && shape
                .iter()
                .zip(&input.shape)
                .all(|(size, declared)| declared.is_none_or(|d| d == *size))
    };
    allowed.shapes.iter().position(fits).ok_or_else(|| {
        let says: Vec<_> = allowed.shapes.iter().take(1).flatten().map(usize::to_string).collect();
        let (takes, says) = (input.sizes(), says.join("×"));
        let Allowed { said, layout, remedy, .. } = allowed;
        Error::config(
            doing,
            format!("its input \"{name}\" is {takes}, but {said} {says} ({layout})"),
        )
        .remedy(remedy)
    })
}

/// The input of a network that must have one; `why` says what it is for.
pub(super) fn only_input<'a>(file: &'a OnnxFile, why: &str, doing: &str) -> Result<&'a Declared> {
    match file.inputs.as_slice() {
        [input] => Ok(input),
        inputs => {
            let names = quoted(inputs.iter().map(|input| input.name.as_str()));
            Err(Error::config(doing, format!("it has {} inputs ({names}); {why}", inputs.len())))
        }
    }
}

/// What a network gives, in words and in kinds and shapes.
type Given<'a> = (&'a Facts, &'a [(DatumType, Vec<usize>)]);

/// The output that gives the logits, one f32 value for each label: the one `named` by
/// the manifest, else the first such that is no state, for a network may give features
/// or attention besides.
fn find_logits(
    (facts, outputs): Given<'_>,
    named: Option<&str>,
    wiring: Option<&Wiring>,
    labels: usize,
    doing: &str,
) -> Result<usize> {
    let tensors = &facts.outputs;
    let is_state = |at: &usize| {
        wiring.is_some_and(|wiring| wiring.states.iter().any(|(_, output)| output == at))
    };
    let candidates: Vec<usize> = match named {
        Some(name) => (0..tensors.len()).filter(|&at| tensors[at].name == name).collect(),
        None => (0..outputs.len()).filter(|at| !is_state(at)).collect(),
    };
    let width = |at: usize| outputs[at].1.iter().product::<usize>();
    let fits = |at: &usize| width(*at) == labels && outputs[*at].0 == DatumType::F32;
    if let Some(at) = candidates.iter().copied().find(fits) {
        return Ok(at);
    }
    let Some(&at) = candidates.first() else {
        let names = quoted(tensors.iter().map(|tensor| tensor.name.as_str()));
        let named = named.unwrap_or_default();
        return Err(Error::config(
            doing,
            format!("run.logits names \"{named}\", which it does not give"),
        )
        .remedy(format!("it gives {names}")));
    };
    let (tensor, (_, shape)) = (&tensors[at], &outputs[at]);
    if width(at) != labels {
        return Err(Error::config(
            doing,
            format!(
                "its output \"{}\" is {} wide ({shape:?}), but there are {labels} labels",
                tensor.name,
                width(at)
            ),
        )
        .remedy("give the labels file one line for each class of the model"));
    }
    Err(Error::config(
        doing,
        format!("its output \"{}\" is {}; only f32 is supported", tensor.name, tensor.datum),
    ))
}
