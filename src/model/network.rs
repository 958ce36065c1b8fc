//! A network ready to run: optimised once, shared by every stream; and a
//! session, which is one stream's use of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::Cost;
use tract_onnx::tract_core::plan::SimpleState;
use tract_onnx::tract_hir::infer::{InferenceFact, InferenceModelExt};
use tract_onnx::tract_hir::internal::DimLike;

use super::onnx::OnnxFile;
use crate::error::{Error, Result};

/// The most characters of the engine's own words that an error repeats.
const LONGEST_FAULT: usize = 600;

/// An input or output of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// As the ONNX file names it.
    pub name: String,
    /// Length along each axis.
    pub shape: Vec<usize>,
    /// `f32`, `i64` …
    pub datum: String,
}

/// What a network takes, gives and costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// In the file's order.
    pub inputs: Vec<Tensor>,
    /// In the file's order.
    pub outputs: Vec<Tensor>,
    /// Weights: floating-point values that the file holds.
    pub parameters: u64,
    /// Of one step: a whole clip in window mode, one frame in stateful mode.
    /// None where the engine cannot tell.
    pub multiply_accumulates: Option<u64>,
    /// Operators, after optimising.
    pub nodes: usize,
    /// Size of the ONNX file.
    pub file_bytes: usize,
}

/// A network ready to run.
#[derive(Debug)]
pub(super) struct Network {
    plan: Arc<TypedSimplePlan>,
    pub inputs: Vec<(DatumType, Vec<usize>)>,
    pub outputs: Vec<(DatumType, Vec<usize>)>,
    pub facts: Facts,
}

impl Network {
    /// Optimises the network of `file` for inputs of exactly `shapes`, to be
    /// run by `threads` threads.
    pub fn build(
        file: OnnxFile,
        shapes: &[Vec<usize>],
        threads: usize,
        doing: &str,
    ) -> Result<Self> {
        guarded(doing, || {
            build(file, shapes, threads).map_err(|error| Error::config(doing, told(&error)))
        })
    }
}

fn build(file: OnnxFile, shapes: &[Vec<usize>], threads: usize) -> TractResult<Network> {
    let mut model = file.engine.model_for_proto_model(&file.proto)?;
    for (at, (input, shape)) in file.inputs.iter().zip(shapes).enumerate() {
        model.set_input_fact(at, InferenceFact::dt_shape(input.datum, shape))?;
    }
    // What the file says of its outputs' shapes may be written for another
    // batch or clip length; the shapes that follow from the inputs are right.
    for at in 0..model.output_outlets()?.len() {
        model.set_output_fact(at, InferenceFact::default())?;
    }
    let model = model.into_typed()?.into_decluttered()?;
    let multiply_accumulates = multiply_accumulates(&model);
    let model = model.into_optimized()?;
    let (inputs, outputs) = (typed_inputs(&model)?, typed_outputs(&model)?);
    let names = file.inputs.iter().map(|input| &input.name);
    let facts = Facts {
        inputs: described(names, &inputs),
        outputs: described(file.outputs.iter(), &outputs),
        parameters: file.parameters,
        multiply_accumulates,
        nodes: model.nodes().len(),
        file_bytes: file.bytes,
    };
    let executor = if threads > 1 {
        multithread::Executor::multithread_with_name(threads, "model")
    } else {
        multithread::Executor::SingleThread
    };
    let options = RunOptions { executor: Some(executor), ..RunOptions::default() };
    let plan = TypedSimplePlan::new_with_options(model, &options)?;
    Ok(Network { plan, inputs, outputs, facts })
}

fn typed_inputs(model: &TypedModel) -> TractResult<Vec<(DatumType, Vec<usize>)>> {
    (0..model.input_outlets()?.len()).map(|at| concrete(model.input_fact(at)?)).collect()
}

fn typed_outputs(model: &TypedModel) -> TractResult<Vec<(DatumType, Vec<usize>)>> {
    (0..model.output_outlets()?.len()).map(|at| concrete(model.output_fact(at)?)).collect()
}

fn concrete(fact: &TypedFact) -> TractResult<(DatumType, Vec<usize>)> {
    let shape = fact.shape.iter().map(|dim| Ok(dim.to_usize()?)).collect::<TractResult<_>>()?;
    Ok((fact.datum_type, shape))
}

fn described<'a>(
    names: impl Iterator<Item = &'a String>,
    facts: &[(DatumType, Vec<usize>)],
) -> Vec<Tensor> {
    names
        .zip(facts)
        .map(|(name, (datum, shape))| Tensor {
            name: name.clone(),
            shape: shape.clone(),
            datum: format!("{datum:?}").to_lowercase(),
        })
        .collect()
}

/// Adds up what the engine says each operator costs; none where one does not
/// know its own cost.
fn multiply_accumulates(model: &TypedModel) -> Option<u64> {
    let mut sum = 0u64;
    for node in model.nodes() {
        let facts = model.node_input_facts(node.id).ok()?;
        for (cost, count) in node.op.cost(&facts).ok()? {
            if matches!(cost, Cost::FMA(_)) {
                sum = sum.checked_add(u64::try_from(count.to_i64().ok()?).ok()?)?;
            }
        }
    }
    Some(sum)
}

/// One stream's use of a network: memory that is kept from run to run.
#[derive(Debug)]
pub(super) struct Session {
    network: Arc<Network>,
    state: Option<SimpleState<TypedFact, Box<dyn TypedOp>>>,
    doing: String,
}

impl Session {
    /// `doing` opens every error's text.
    pub fn new(network: &Arc<Network>, doing: String) -> Self {
        Session { network: network.clone(), state: None, doing }
    }

    /// Runs the network once.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) where the engine refuses,
    /// [`Kind::Internal`](crate::error::Kind::Internal) where it panics.
    pub fn run(&mut self, inputs: TVec<TValue>) -> Result<TVec<TValue>> {
        // After a fault the state is not put back: what it holds is unknown.
        let (kept, network, doing) = (self.state.take(), &self.network, &self.doing);
        let (state, outputs) = guarded(doing, || {
            let mut state = match kept {
                Some(state) => state,
                None => network.plan.spawn().map_err(|error| Error::data(doing, told(&error)))?,
            };
            let outputs = state.run(inputs).map_err(|error| Error::data(doing, told(&error)))?;
            Ok((state, outputs))
        })?;
        self.state = Some(state);
        Ok(outputs)
    }

    /// Copies an output of f32 values to `logits`.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) where a value is not finite:
    /// weights or frames are damaged, and nothing true can be said from it.
    pub fn read(&self, output: &TValue, logits: &mut [f32]) -> Result<()> {
        let view = output.try_as_plain_ram().and_then(|view| view.as_slice::<f32>());
        let values = view.map_err(|error| Error::internal(&self.doing, told(&error)))?;
        if values.len() != logits.len() {
            return Err(Error::internal(
                &self.doing,
                format!("it gave {} values where it promised {}", values.len(), logits.len()),
            ));
        }
        if let Some(class) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::data(
                &self.doing,
                format!("it gave {} for class {class}, which is not a finite number", values[class]),
            )
            .remedy("check that the model's file is whole and that its input.mean and input.std are right"));
        }
        logits.copy_from_slice(values);
        Ok(())
    }
}

/// Runs `f`; a panic inside the engine becomes an error, so that one model's
/// fault ends one stream and not the daemon.
pub(super) fn guarded<T>(doing: &str, f: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        let words = panic
            .downcast_ref::<&str>()
            .map(|words| (*words).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "without a word".into());
        let words = shortened(words);
        Err(Error::internal(doing, format!("the inference engine (tract) gave up: {words}")))
    })
}

/// The engine's own words on a fault: the whole chain of causes, in one line.
fn told(error: &TractError) -> String {
    shortened(format!("{error:#}"))
}

fn shortened(words: String) -> String {
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST_FAULT) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_panic_becomes_an_error() {
        let error = guarded::<()>("running model \"m\"", || panic!("index 7")).unwrap_err();
        assert_eq!(error.kind(), Kind::Internal);
        assert!(error.to_string().contains("running model \"m\""), "{error}");
        assert!(error.to_string().contains("index 7"), "{error}");
    }

    #[test]
    fn long_words_are_cut_between_characters() {
        assert_eq!(shortened("a\n  b".into()), "a b");
        assert_eq!(shortened("é".repeat(2000)).chars().count(), LONGEST_FAULT + 2);
    }
}
