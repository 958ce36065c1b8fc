//! How much memory a network's tensors would take, worked out before any of them is
//! made: a file of a hundred bytes can ask for a tensor of any size.

use std::collections::HashMap;

use tract_onnx::ops::logic::If;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::model::order::eval_order_for_nodes;
use tract_onnx::tract_core::ops::cnn::Conv;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::scan::{InputMapping, Scan};
use tract_onnx::tract_hir::infer::{Factoid, InferenceFact, InferenceOp};
use tract_onnx::tract_hir::ops::scan::InferenceScan;

use crate::error::Error;

/// The most bytes of one tensor: stored, computed or taken as input.
pub(in crate::model) const LARGEST_TENSOR: u64 = 1 << 30;
/// The most bytes of all constants, stored or computed from what is stored.
const MOST_CONSTANT: u64 = 2 << 30;
/// The most bytes of all tensors that a step needs at once, constants included.
const MOST_AT_ONCE: u64 = 4 << 30;
/// Larger constants decide no shape, and are not computed here.
const SMALL: u64 = 64 << 10;
/// The longest that an axis, or a number that makes one, can be: any product of it
/// and a tensor's length still fits 64 bits.
pub(super) const LONGEST: i64 = 1 << 31;

const REMEDY: &str =
    "the file is damaged, or made to fill memory; if neither, export it for smaller clips";

/// Why a network is not run.
pub(super) enum Refusal {
    /// It takes more than it may.
    Size(String),
    /// The engine's own words.
    Engine(TractError),
}

impl From<TractError> for Refusal {
    fn from(error: TractError) -> Self {
        Refusal::Engine(error)
    }
}

impl Refusal {
    /// As an error about what was being done.
    pub fn into_error(self, doing: &str, told: impl Fn(&TractError) -> String) -> Error {
        match self {
            Refusal::Size(fault) => Error::config(doing, fault).remedy(REMEDY),
            Refusal::Engine(error) => Error::config(doing, told(&error)),
        }
    }
}

fn size(fault: String) -> Result<(), Refusal> {
    Err(Refusal::Size(fault))
}

/// A number of bytes for a person.
fn bytes(count: u64) -> String {
    const GIB: f64 = (1u64 << 30) as f64;
    if count >= 1 << 29 {
        format!("{:.1} GiB", count as f64 / GIB)
    } else {
        format!("{:.1} MiB", count as f64 / GIB * 1024.0)
    }
}

/// Bytes of a tensor; none where an axis is not known.
fn extent(axes: &[TDim], item: usize) -> Option<u64> {
    axes.iter().try_fold(item as u64, |all, axis| {
        let length = u64::try_from(axis.to_i64().ok()?).unwrap_or(u64::MAX);
        Some(all.saturating_mul(length))
    })
}

fn check_tensor(name: &str, axes: &[TDim], item: usize) -> Result<Option<u64>, Refusal> {
    let taken = extent(axes, item);
    if let Some(taken) = taken.filter(|taken| *taken > LARGEST_TENSOR) {
        let shape = axes.iter().map(|axis| axis.to_string()).collect::<Vec<_>>().join("×");
        let taken = if taken == u64::MAX { "no memory".into() } else { bytes(taken) };
        let limit = bytes(LARGEST_TENSOR);
        size(format!(
            "its tensor \"{name}\" ({shape}) would take {taken}; the limit for one tensor is {limit}"
        ))?;
    }
    Ok(taken)
}

fn extent_of(name: &str, fact: &InferenceFact) -> Result<Option<u64>, Refusal> {
    let Some(axes) = fact.shape.concretize() else { return Ok(None) };
    let item = fact.datum_type.concretize().map_or(8, |datum| datum.size_of());
    check_tensor(name, &axes, item)
}

/// Refuses a network whose tensors would be too large. The engine works out shapes and
/// values together, and computes constants of any size as it goes; here the shapes come
/// first, from its own rules, and a value is computed only where it is small.
pub(super) fn foresee(model: &InferenceModel) -> Result<(), Refusal> {
    Forecast { constant: 0 }.graph(model.clone(), &HashMap::new())
}

struct Forecast {
    /// Bytes of constants so far.
    constant: u64,
}

impl Forecast {
    /// `outer` are the facts that a graph in this one may name.
    fn graph(
        &mut self,
        mut model: InferenceModel,
        outer: &HashMap<String, InferenceFact>,
    ) -> Result<(), Refusal> {
        let inputs: Vec<usize> = model.input_outlets()?.iter().map(|input| input.node).collect();
        let all: Vec<usize> = (0..model.nodes().len()).collect();
        // Those that no output needs are worked out by the engine as well.
        let order = eval_order_for_nodes(model.nodes(), &inputs, &all, &[])?;
        let mut constant = vec![false; all.len()];
        for id in order {
            let is_constant = self.node(&mut model, id, &constant, outer)?;
            if let Some(one) = constant.get_mut(id) {
                *one = is_constant;
            }
        }
        Ok(())
    }

    /// Whether what it gives is constant.
    fn node(
        &mut self,
        model: &mut InferenceModel,
        id: usize,
        constant: &[bool],
        outer: &HashMap<String, InferenceFact>,
    ) -> Result<bool, Refusal> {
        let node = model.node(id).clone();
        let name = node.name.as_str();
        let (given, before) = model.node_facts(id)?;
        let (given, before): (Vec<InferenceFact>, Vec<InferenceFact>) =
            (given.into_iter().cloned().collect(), before.into_iter().cloned().collect());
        if node.inputs.is_empty() {
            let stored = node.op.as_op().is::<Const>();
            let mut facts: TVec<InferenceFact> = before.iter().cloned().collect();
            // A constant, or what follows from no input at all, such as noise.
            if !InferenceModel::is_source(&node.op) {
                let mut op = node.op.clone();
                facts = op.infer_facts(TVec::new(), before.iter().collect(), TVec::new())?.1;
            }
            for (slot, fact) in facts.into_iter().enumerate() {
                let taken = extent_of(name, &fact)?;
                self.add(taken.filter(|_| stored))?;
                model.set_outlet_fact(OutletId::new(id, slot), fact)?;
            }
            return Ok(stored);
        }
        check_numbers(node.op.as_ref(), name, &given)?;
        self.bodies(model, id, node.op.as_ref(), &given, outer)?;

        let observed: Vec<InferenceFact> = node
            .op
            .observe_outlets(model, &node)?
            .iter()
            .map(|outlet| Ok(model.outlet_fact(*outlet)?.clone()))
            .collect::<TractResult<_>>()?;
        let mut op = node.op.clone();
        let (_, mut after, _) = op.infer_facts(
            given.iter().collect(),
            before.iter().collect(),
            observed.iter().collect(),
        )?;
        let is_constant = node.inputs.iter().all(|input| constant.get(input.node) == Some(&true));
        let mut taken = Some(0u64);
        for fact in &after {
            let one = extent_of(name, fact)?;
            if is_constant {
                self.add(one)?;
            }
            taken = taken.zip(one).map(|(all, one)| all.saturating_add(one));
        }
        if is_constant && taken.is_none() {
            size(format!("the size of its tensor \"{name}\" cannot be told beforehand"))?;
        }
        if is_constant && taken.is_some_and(|taken| taken <= SMALL) {
            let values: Option<TVec<TValue>> = given.iter().map(small).collect();
            // Where the engine cannot, it says so when it loads the network.
            if let Some(Ok(Some(values))) = values.map(|values| op.eval_out_of_plan(values)) {
                after = values
                    .into_iter()
                    .map(|value| InferenceFact::try_from(value.into_arc_tensor()))
                    .collect::<TractResult<_>>()?;
            }
        }
        for (slot, (after, before)) in after.iter().zip(&before).enumerate() {
            model.set_outlet_fact(OutletId::new(id, slot), before.unify(after)?)?;
        }
        Ok(is_constant)
    }

    fn add(&mut self, taken: Option<u64>) -> Result<(), Refusal> {
        self.constant = self.constant.saturating_add(taken.unwrap_or(0));
        if self.constant > MOST_CONSTANT {
            let limit = bytes(MOST_CONSTANT);
            size(format!("its constants would take more than {limit}, which is the limit"))?;
        }
        Ok(())
    }

    /// The graphs in a node: the branches of If, the body of Scan.
    fn bodies(
        &mut self,
        model: &InferenceModel,
        id: usize,
        op: &dyn InferenceOp,
        given: &[InferenceFact],
        outer: &HashMap<String, InferenceFact>,
    ) -> Result<(), Refusal> {
        let op = op.as_op();
        if let Some(branches) = op.downcast_ref::<If>() {
            let mut names = outer.clone();
            for (outlet, fact) in model.node(id).inputs.iter().zip(given) {
                let label = model.outlet_label(*outlet).unwrap_or(&model.node(outlet.node).name);
                names.insert(label.to_owned(), fact.clone());
            }
            for branch in [&branches.then_body, &branches.else_body] {
                let mut body = branch.clone();
                for input in body.input_outlets()?.to_vec() {
                    if let Some(fact) = names.get(&body.node(input.node).name) {
                        body.set_outlet_fact(input, fact.clone())?;
                    }
                }
                self.graph(body, &names)?;
            }
        } else if let Some(scan) = op.downcast_ref::<InferenceScan>() {
            let mut body = scan.body.clone();
            let inputs = body.input_outlets()?.to_vec();
            for ((input, fact), mapping) in inputs.into_iter().zip(given).zip(&scan.input_mapping) {
                let mut fact = fact.clone();
                if let InputMapping::Scan(info) = mapping {
                    fact.shape.set_dim(info.axis, TDim::from(1));
                }
                body.set_outlet_fact(input, fact.without_value())?;
            }
            self.graph(body, outer)?;
        }
        Ok(())
    }
}

/// The value of a fact, where there is one of few bytes.
fn small(fact: &InferenceFact) -> Option<TValue> {
    let tensor = fact.value.concretize()?;
    let bytes = (tensor.len() * tensor.datum_type().size_of()) as u64;
    (bytes <= SMALL && tensor.is_plain_ram()).then(|| tensor.into_tvalue())
}

/// Numbers that become lengths: multiplied, they must still fit 64 bits.
fn check_numbers(op: &dyn InferenceOp, name: &str, given: &[InferenceFact]) -> Result<(), Refusal> {
    const MAKES_LENGTHS: [&str; 7] =
        ["Tile", "Expand", "MultiBroadcast", "ConstantOfShape", "Range", "OneHot", "Resize"];
    let kind = op.as_op().name();
    if !MAKES_LENGTHS.iter().any(|known| kind.contains(known)) && !kind.contains("Pad") {
        return Ok(());
    }
    for tensor in given.iter().filter_map(small) {
        let integer = tensor.datum_type().is_integer() || tensor.datum_type().is_tdim();
        let Ok(numbers) = tensor.cast_to::<i64>() else { continue };
        let Ok(numbers) = numbers.try_as_plain_ram() else { continue };
        let numbers = numbers.as_slice::<i64>().unwrap_or_default();
        if let Some(number) =
            numbers.iter().find(|number| integer && number.unsigned_abs() > LONGEST.unsigned_abs())
        {
            size(format!(
                "its node \"{name}\" ({kind}) makes an axis from the number {number}; the limit is {LONGEST}"
            ))?;
        }
    }
    Ok(())
}

/// Refuses a network that needs too much memory at once, before constants are computed
/// and operators are laid out.
pub(super) fn check(model: &TypedModel) -> Result<(), Refusal> {
    let taken = at_once(model)?;
    if taken > MOST_AT_ONCE {
        let (taken, limit) = (bytes(taken), bytes(MOST_AT_ONCE));
        size(format!("one step would take {taken} of memory; the limit is {limit}"))?;
    }
    Ok(())
}

/// The most bytes that live at the same time, in the order in which nodes are run.
fn at_once(model: &TypedModel) -> Result<u64, Refusal> {
    let taken = |outlet: OutletId| -> Result<u64, Refusal> {
        let (fact, name) = (model.outlet_fact(outlet)?, &model.node(outlet.node).name);
        let item = fact.datum_type.size_of();
        check_tensor(name, &fact.shape, item)?.ok_or_else(|| {
            Refusal::Size(format!(
                "the size of its tensor \"{name}\" ({}) depends on what the picture shows",
                fact.shape.iter().map(|axis| axis.to_string()).collect::<Vec<_>>().join("×")
            ))
        })
    };
    let (mut live, mut most) = (0u64, 0u64);
    let mut users: HashMap<OutletId, usize> = HashMap::new();
    let outputs = model.output_outlets()?;
    for id in model.eval_order()? {
        let node = model.node(id);
        let is_constant = node.op_is::<Const>();
        for slot in 0..node.outputs.len() {
            let outlet = OutletId::new(id, slot);
            live = live.saturating_add(taken(outlet)?);
            let kept = is_constant || outputs.contains(&outlet);
            let count = node.outputs[slot].successors.len();
            users.insert(outlet, if kept { usize::MAX } else { count });
        }
        let mut inside = 0;
        if let Some(scan) = node.op_as::<Scan>() {
            inside = at_once(&scan.body)?;
        } else if let Some(conv) = node.op_as::<Conv>() {
            inside = gathered(conv, &model.outlet_fact(OutletId::new(id, 0))?.shape);
        }
        most = most.max(live.saturating_add(inside));
        for slot in 0..node.outputs.len() {
            let outlet = OutletId::new(id, slot);
            if users.get(&outlet) == Some(&0) {
                live = live.saturating_sub(taken(outlet)?);
            }
        }
        for input in &node.inputs {
            let Some(left) = users.get_mut(input).filter(|left| **left != usize::MAX) else {
                continue;
            };
            *left = left.saturating_sub(1);
            if *left == 0 {
                live = live.saturating_sub(taken(*input)?);
            }
        }
    }
    Ok(most)
}

/// What a convolution gathers before it multiplies: for a clip it does so piece by
/// piece, for a batch of frames all at once.
fn gathered(conv: &Conv, output: &[TDim]) -> u64 {
    let shape: Vec<u64> = output
        .iter()
        .map(|axis| axis.to_i64().ok().and_then(|n| n.try_into().ok()).unwrap_or(1))
        .collect();
    if shape.first().is_none_or(|batch| *batch == 1) {
        return 0;
    }
    let channels = conv.output_channels().max(1) as u64;
    let places = shape.iter().fold(4, |all: u64, n| all.saturating_mul(*n)) / channels;
    let kernel = conv
        .pool_spec
        .kernel_shape
        .iter()
        .fold(conv.input_channels() as u64, |all, n| all.saturating_mul(*n as u64));
    places.saturating_mul(kernel) / (conv.group.max(1) as u64)
}
