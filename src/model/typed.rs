//! An ONNX file with every shape worked out, before it is made ready for one engine or
//! the other.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::Cost;
use tract_onnx::tract_core::ops::gru_seq::GruSeq;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::scan::Scan;
use tract_onnx::tract_hir::infer::{InferenceFact, InferenceModelExt};
use tract_onnx::tract_hir::internal::DimLike;

use super::extent::{self, Refusal};
use super::network::{Facts, Tensor, guarded, told};
use super::onnx::OnnxFile;
use crate::error::Result;

/// A network of which every tensor's shape is known.
pub(super) struct Typed {
    pub model: TypedModel,
    pub inputs: Vec<(DatumType, Vec<usize>)>,
    pub outputs: Vec<(DatumType, Vec<usize>)>,
    pub facts: Facts,
}

impl Typed {
    /// The network of `file` for inputs of exactly `shapes`; `doing` opens every error's
    /// text.
    pub fn new(file: OnnxFile, shapes: &[Vec<usize>], doing: &str) -> Result<Self> {
        guarded(doing, || typed(file, shapes).map_err(|refusal| refusal.into_error(doing, told)))
    }

    /// What it takes, gives and costs; the network itself goes, and its memory with it.
    pub fn into_facts(self) -> Facts {
        self.facts
    }
}

fn typed(file: OnnxFile, shapes: &[Vec<usize>]) -> Result<Typed, Refusal> {
    let mut model = file.engine.model_for_proto_model(&file.proto)?;
    for (at, (input, shape)) in file.inputs.iter().zip(shapes).enumerate() {
        model.set_input_fact(at, InferenceFact::dt_shape(input.datum, shape))?;
    }
    // What the file says of its outputs' shapes may be written for another
    // batch or clip length; the shapes that follow from the inputs are right.
    for at in 0..model.output_outlets()?.len() {
        model.set_output_fact(at, InferenceFact::default())?;
    }
    extent::foresee(&model)?;
    let mut model = model.into_typed()?;
    extent::check(&model)?;
    forget_between_runs(&mut model);
    let model = model.into_decluttered()?;
    let inputs = (0..model.input_outlets()?.len())
        .map(|at| concrete(model.input_fact(at)?))
        .collect::<TractResult<Vec<_>>>()?;
    let outputs = (0..model.output_outlets()?.len())
        .map(|at| concrete(model.output_fact(at)?))
        .collect::<TractResult<Vec<_>>>()?;
    let names = file.inputs.iter().map(|input| &input.name);
    let facts = Facts {
        inputs: described(names, &inputs),
        outputs: described(file.outputs.iter(), &outputs),
        parameters: file.parameters,
        multiply_accumulates: multiply_accumulates(&model),
        weight_bytes: weight_bytes(&model),
        nodes: model.nodes().len(),
        file_bytes: file.bytes,
    };
    Ok(Typed { model, inputs, outputs, facts })
}

/// A recurrence (LSTM, GRU, RNN, Scan) begins each run at its initial state, as ONNX
/// defines it; the engine would begin where its last run ended, and one clip would
/// reach into the next.
fn forget_between_runs(model: &mut TypedModel) {
    for node in model.nodes_mut() {
        if let Some(scan) = node.op_as_mut::<Scan>() {
            scan.reset_every_turn = true;
            forget_between_runs(&mut scan.body);
        } else if let Some(gru) = node.op_as_mut::<GruSeq>() {
            gru.reset_every_turn = true;
        }
    }
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

/// Bytes of the constants in `model` and in the loops in it.
pub(super) fn weight_bytes(model: &TypedModel) -> u64 {
    let bytes = |node: &TypedNode| match (node.op_as::<Const>(), node.op_as::<Scan>()) {
        (Some(constant), _) => {
            (constant.val().len() * constant.val().datum_type().size_of()) as u64
        }
        (_, Some(scan)) => weight_bytes(&scan.body),
        _ => 0,
    };
    model.nodes().iter().map(bytes).sum()
}
