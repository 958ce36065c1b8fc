//! A model, loaded and ready to be run over any number of streams.

use std::sync::Arc;

use super::classifier::Classifier;
use super::network::{Facts, Network, guarded};
use super::onnx::{Declared, OnnxFile};
use super::stateful::{Stateful, Wiring};
use super::window::{self, Window};
use super::{Bundle, Mode};
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
    network: Arc<Network>,
    /// In mode `stateful`: what its inputs and outputs are.
    wiring: Option<Wiring>,
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
        let mode = bundle.choose(mode)?;
        let doing = format!("loading {}", bundle.describe(mode));
        if !(1..=MOST_THREADS).contains(&threads) {
            return Err(Error::config(
                doing,
                format!("threads: {threads}; expected 1 to {MOST_THREADS}"),
            ));
        }
        let bytes = bundle.onnx(mode)?;
        let file = guarded(&doing, || OnnxFile::parse(&bytes, &doing))?;
        let (wiring, shapes) = if mode == Mode::Stateful {
            let inputs: Vec<&str> = file.inputs.iter().map(|input| input.name.as_str()).collect();
            let outputs: Vec<&str> = file.outputs.iter().map(String::as_str).collect();
            let wiring = Wiring::find(&inputs, &outputs, &bundle.run().state, &doing)?;
            let shapes = wiring.shapes(&file, bundle.input(), &doing)?;
            (Some(wiring), shapes)
        } else {
            (None, window::shapes(&file, bundle.input(), &doing)?)
        };
        let network = Network::build(file, &shapes, threads, &doing)?;
        if let Some(wiring) = &wiring {
            wiring.check(&network, &doing)?;
        }
        let logits = wiring.as_ref().map_or(0, |wiring| wiring.logits);
        check_output(&network, logits, bundle.labels().len(), &doing)?;
        Ok(Arc::new(Model { bundle, mode, network: Arc::new(network), wiring }))
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
        &self.network.facts
    }

    /// Begins to run it over another stream.
    ///
    /// # Errors
    /// [`Kind::Internal`](crate::error::Kind::Internal): no room for its input.
    pub fn classifier(self: &Arc<Self>) -> Result<Box<dyn Classifier>> {
        let (spec, classes) = (self.bundle.input(), self.bundle.labels().len());
        let doing = format!("running model \"{}\"", self.bundle.name());
        Ok(match &self.wiring {
            Some(wiring) => {
                let warm_up = self.bundle.run().warm_up.unwrap_or(spec.frames);
                Box::new(Stateful::new(&self.network, wiring, spec, warm_up, classes, doing)?)
            }
            None => Box::new(Window::new(&self.network, spec, classes, doing)?),
        })
    }
}

/// Every way to run a model over a stream, and for each: what the network that
/// serves it costs, or why it cannot be had.
pub fn inspect(bundle: &Bundle) -> Vec<(Mode, Result<Facts>)> {
    Mode::ALL
        .into_iter()
        .map(|mode| {
            let facts =
                Model::load(bundle.clone(), Some(mode), 1).map(|model| model.facts().clone());
            (mode, facts)
        })
        .collect()
}

/// Whether `input` can take f32 values in one of the shapes `allowed`, and in
/// which.
pub(super) fn check_input(
    input: &Declared,
    allowed: &[&[usize]],
    spec: &InputSpec,
    doing: &str,
) -> Result<usize> {
    use tract_onnx::prelude::DatumType;
    let name = &input.name;
    if input.datum != DatumType::F32 {
        return Err(Error::config(
            doing,
            format!("its input \"{name}\" takes {:?} values; only f32 is supported", input.datum),
        ));
    }
    let fits = |shape: &&[usize]| {
        shape.len() == input.shape.len()
            && shape
                .iter()
                .zip(&input.shape)
                .all(|(size, declared)| declared.is_none_or(|d| d == *size))
    };
    allowed.iter().position(fits).ok_or_else(|| {
        let sizes = |sizes: &mut dyn Iterator<Item = String>| sizes.collect::<Vec<_>>().join("×");
        let takes =
            sizes(&mut input.shape.iter().map(|size| size.map_or("?".into(), |n| n.to_string())));
        let says = sizes(&mut allowed[0].iter().map(usize::to_string));
        Error::config(
            doing,
            format!(
                "its input \"{name}\" is {takes}, but model.toml says {says} ({:?})",
                spec.layout
            ),
        )
        .remedy("correct input.layout, frames, size or colour in model.toml")
    })
}

/// Whether the network gives one f32 value for each label.
fn check_output(network: &Network, output: usize, labels: usize, doing: &str) -> Result<()> {
    use tract_onnx::prelude::DatumType;
    let (tensor, (datum, shape)) = (&network.facts.outputs[output], &network.outputs[output]);
    let width: usize = shape.iter().product();
    if width != labels {
        return Err(Error::config(
            doing,
            format!(
                "its output \"{}\" is {width} wide ({shape:?}), but there are {labels} labels",
                tensor.name
            ),
        )
        .remedy("give the labels file one line for each class of the model"));
    }
    if *datum != DatumType::F32 {
        return Err(Error::config(
            doing,
            format!("its output \"{}\" is {}; only f32 is supported", tensor.name, tensor.datum),
        ));
    }
    Ok(())
}
