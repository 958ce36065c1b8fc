//! A network ready to run: optimised once, shared by every stream; and a
//! session, which is one stream's use of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::floats::FloatPrecisionTranslator;
use tract_onnx::tract_core::plan::{self, SimpleState};
use tract_onnx::tract_core::transform::ModelTransform;

use super::kernels::Precision;
use super::onnx::OnnxFile;
use super::profile::Profile;
use super::typed::{Typed, weight_bytes};
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
    /// Weights: floating-point or quantised values that the file holds.
    pub parameters: u64,
    /// Of one step: a whole clip in window mode, else one frame that brings a
    /// prediction.
    /// None where the engine cannot tell.
    pub multiply_accumulates: Option<u64>,
    /// Bytes of the constants that a loaded network holds, once for all streams, in its
    /// precision. tract lays them out anew and may round up; kernels of our own round
    /// up to whole vectors, which is counted.
    pub weight_bytes: u64,
    /// Operators, after optimising.
    pub nodes: usize,
    /// Size of the ONNX file.
    pub file_bytes: usize,
}

/// A network ready to run.
#[derive(Debug)]
pub(super) struct Network {
    plan: Arc<TypedSimplePlan>,
    /// Whether it computes in half precision: what it takes and gives as f32 is turned
    /// into that and back.
    half: bool,
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
        precision: Precision,
        threads: usize,
        doing: &str,
    ) -> Result<Self> {
        Network::of(Typed::new(file, shapes, doing)?, precision, threads, doing)
    }

    /// Optimises `typed`, to be run with weights of `precision` by `threads` threads.
    pub fn of(typed: Typed, precision: Precision, threads: usize, doing: &str) -> Result<Self> {
        if precision == Precision::Int8 {
            return Err(Error::config(
                doing,
                "precision \"int8\" is for convolutional networks in mode \"window\" or \
                 \"continual\"; this one runs on tract",
            )
            .remedy("use precision \"f32\" or \"f16\""));
        }
        if precision == Precision::F16 && !has_half_arithmetic() {
            log::warn!("{doing}: this CPU has no arithmetic in half precision; f32 is faster here");
        }
        let half = precision == Precision::F16;
        guarded(doing, || {
            optimised(typed, half, threads).map_err(|error| Error::config(doing, told(&error)))
        })
    }
}

/// Whether the CPU computes in half precision itself (FEAT_FP16 of Arm v8.2).
fn has_half_arithmetic() -> bool {
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("fp16");
    #[cfg(not(target_arch = "aarch64"))]
    false
}

fn optimised(typed: Typed, half: bool, threads: usize) -> TractResult<Network> {
    let Typed { mut model, inputs, outputs, mut facts } = typed;
    if half {
        FloatPrecisionTranslator::new(DatumType::F32, DatumType::F16).transform(&mut model)?;
        model = model.into_decluttered()?;
        facts.weight_bytes = weight_bytes(&model);
    }
    let model = model.into_optimized()?;
    facts.nodes = model.nodes().len();
    let options = RunOptions { executor: Some(executor(threads)), ..RunOptions::default() };
    let plan = TypedSimplePlan::new_with_options(model, &options)?;
    Ok(Network { plan, half, inputs, outputs, facts })
}

#[cfg(feature = "threads")]
fn executor(threads: usize) -> multithread::Executor {
    match threads {
        ..=1 => multithread::Executor::SingleThread,
        2.. => multithread::Executor::multithread_with_name(threads, "model"),
    }
}

#[cfg(not(feature = "threads"))]
fn executor(threads: usize) -> multithread::Executor {
    if threads > 1 {
        log::warn!(
            "this kinewatch was built without the feature \"threads\": a model that runs on tract has one"
        );
    }
    multithread::Executor::SingleThread
}

/// One stream's use of a network: memory that is kept from run to run.
#[derive(Debug)]
pub(super) struct Session {
    network: Arc<Network>,
    state: Option<SimpleState<TypedFact, Box<dyn TypedOp>>>,
    doing: String,
    /// While operators are timed.
    profile: Option<Profile>,
}

impl Session {
    /// `doing` opens every error's text.
    pub fn new(network: &Arc<Network>, doing: String) -> Self {
        Session { network: network.clone(), state: None, doing, profile: None }
    }

    /// Runs the network once.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) where the engine refuses,
    /// [`Kind::Internal`](crate::error::Kind::Internal) where it panics.
    pub fn run(&mut self, inputs: TVec<TValue>) -> Result<TVec<TValue>> {
        // After a fault the state is not put back: what it holds is unknown.
        let (kept, network, doing) = (self.state.take(), &self.network, &self.doing);
        let profile = &mut self.profile;
        let (state, outputs) = guarded(doing, || {
            let mut state = match kept {
                Some(state) => state,
                None => network.plan.spawn().map_err(|error| Error::data(doing, told(&error)))?,
            };
            let inputs = if network.half { cast(inputs, DatumType::F16, doing)? } else { inputs };
            let outputs = state.run_plan_with_eval(inputs, |context, state, node, inputs| {
                let Some(profile) = profile else {
                    return plan::eval(context, state, node, inputs);
                };
                let began = Instant::now();
                let outputs = plan::eval(context, state, node, inputs)?;
                profile.add(node.id, began.elapsed(), || {
                    (node.name.clone(), node.op.name().into_owned())
                });
                Ok(outputs)
            });
            let outputs = outputs.map_err(|error| Error::data(doing, told(&error)))?;
            let outputs =
                if network.half { cast(outputs, DatumType::F32, doing)? } else { outputs };
            Ok((state, outputs))
        })?;
        self.state = Some(state);
        Ok(outputs)
    }

    /// Times every operator from now on.
    pub fn start_profile(&mut self) {
        self.profile = Some(Profile::default());
    }

    /// Ends timing, and gives what was timed.
    pub fn take_profile(&mut self) -> Option<Profile> {
        self.profile.take()
    }

    /// Copies an output of f32 values to `logits`.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) where a value is not finite:
    /// weights or frames are damaged, and nothing true can be said from it.
    pub fn read(&self, output: &TValue, logits: &mut [f32]) -> Result<()> {
        self.read_values(output, logits, "class")
    }

    /// Copies an output of f32 values to `to`; errors call one of them a `what`.
    ///
    /// # Errors
    /// As [`Session::read`].
    pub fn read_values(&self, output: &TValue, to: &mut [f32], what: &str) -> Result<()> {
        let view = output.try_as_plain_ram().and_then(|view| view.as_slice::<f32>());
        let values = view.map_err(|error| Error::internal(&self.doing, told(&error)))?;
        if values.len() != to.len() {
            return Err(Error::internal(
                &self.doing,
                format!("it gave {} values where it promised {}", values.len(), to.len()),
            ));
        }
        to.copy_from_slice(values);
        check_finite(to, what, &self.doing).map_err(|error| {
            let remedy = "a value above 65504 is infinite in precision \"f16\": use \"f32\"";
            if self.network.half { error.remedy(remedy) } else { error }
        })
    }
}

/// The floating-point values among `values` as `to`.
fn cast(values: TVec<TValue>, to: DatumType, doing: &str) -> Result<TVec<TValue>> {
    let one = |value: TValue| -> TractResult<TValue> {
        let float = value.datum_type().is_float();
        Ok(if float { value.cast_to_dt(to)?.into_owned().into_tvalue() } else { value })
    };
    let cast: TractResult<TVec<TValue>> = values.into_iter().map(one).collect();
    cast.map_err(|error| Error::internal(doing, told(&error)))
}

/// Whether all `values` are finite numbers; errors call one of them a `what`.
pub(super) fn check_finite(values: &[f32], what: &str, doing: &str) -> Result<()> {
    match values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some((at, value)) => Err(Error::data(
            doing,
            format!("it gave {value} for {what} {at}, which is not a finite number"),
        )
        .remedy(
            "check that the model's file is whole and that its input.mean and input.std are right",
        )),
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
pub(super) fn told(error: &TractError) -> String {
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
