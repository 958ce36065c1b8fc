//! An ONNX file as it was written: what it takes, gives and is made of, before
//! the inference engine turns it into something to run.

use std::collections::HashSet;

use tract_onnx::Onnx;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dimension;
use tract_onnx::pb::type_proto::Value as Type;
use tract_onnx::pb::{GraphProto, ModelProto, TensorProto, ValueInfoProto};
use tract_onnx::prelude::*;

use super::extent::{LARGEST_TENSOR, LONGEST};
use super::skim;
use crate::error::{Error, Result};

/// An input or output as the file declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Declared {
    pub name: String,
    /// Its axes; none for one that the file leaves open.
    pub shape: Vec<Option<usize>>,
    /// What the file calls the open axes; the same name means the same length.
    pub axes: Vec<Option<String>>,
    pub datum: DatumType,
}

impl Declared {
    /// The shape as people write it, with what the file calls an open axis.
    pub fn sizes(&self) -> String {
        let size = |(size, name): (&Option<usize>, &Option<String>)| match (size, name) {
            (Some(size), _) => size.to_string(),
            (None, Some(name)) => name.clone(),
            (None, None) => "?".to_owned(),
        };
        self.shape.iter().zip(&self.axes).map(size).collect::<Vec<_>>().join("×")
    }
}

/// A parsed ONNX file whose operators are all known.
pub(super) struct OnnxFile {
    pub engine: Onnx,
    pub proto: ModelProto,
    pub inputs: Vec<Declared>,
    pub outputs: Vec<String>,
    /// Weights: values in the tensors of floating-point numbers or bytes (quantised
    /// weights) that the file holds.
    pub parameters: u64,
    pub bytes: usize,
}

/// The most unsupported operators that an error lists: a file of another
/// framework can have hundreds.
const LISTED: usize = 5;
/// The most inputs or outputs that an error names.
const NAMED: usize = 8;
/// The most bytes of an open axis's name.
const LONGEST_NAME: usize = 256;

impl OnnxFile {
    /// Parses `bytes`; `doing` opens every error's text.
    pub fn parse(bytes: &[u8], doing: &str) -> Result<Self> {
        let engine = tract_onnx::onnx();
        let fault = |fault: String| Error::config(doing, fault);
        skim::check(bytes).map_err(|too_much| {
            fault(too_much).remedy("export the model again, simplified and without comments")
        })?;
        let mut proto = engine.proto_model_for_read(&mut &*bytes).map_err(|error| {
            fault(format!(
                "it is not an ONNX file, or a damaged one ({} bytes; {})",
                bytes.len(),
                error.root_cause()
            ))
        })?;
        let graph = proto
            .graph
            .as_ref()
            .filter(|graph| !graph.node.is_empty())
            .ok_or_else(|| fault("it is not an ONNX file: it holds no graph".into()))?;
        refuse_unknown_operators(&engine, graph, doing)?;
        let stored: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
        let inputs = graph
            .input
            .iter()
            .filter(|input| !stored.contains(input.name.as_str()))
            .map(|input| declared(input, doing))
            .collect::<Result<Vec<_>>>()?;
        let outputs: Vec<String> = graph.output.iter().map(|output| output.name.clone()).collect();
        if inputs.is_empty() || outputs.is_empty() {
            return Err(fault(format!(
                "it has {} inputs and {} outputs; expected at least one of each",
                inputs.len(),
                outputs.len()
            )));
        }
        check_graph(graph, doing)?;
        let parameters =
            graph.initializer.iter().filter(|tensor| is_weight(tensor)).map(values).sum();
        if let Some(graph) = &mut proto.graph {
            forget_formulas(graph);
        }
        Ok(OnnxFile { inputs, outputs, parameters, bytes: bytes.len(), engine, proto })
    }

    /// The length that the file gives for an axis of an output; none where it is open.
    pub fn output_size(&self, output: usize, axis: usize) -> Option<usize> {
        let kind = self.proto.graph.as_ref()?.output.get(output)?.r#type.as_ref()?;
        let Type::TensorType(tensor) = kind.value.as_ref()?;
        size(&tensor.shape.as_ref()?.dim.get(axis)?.value)
    }

    /// Whether `name` has a value of its own in the file.
    pub fn is_stored(&self, name: &str) -> bool {
        let graph = self.proto.graph.as_ref();
        graph.is_some_and(|graph| graph.initializer.iter().any(|tensor| tensor.name == name))
    }
}

/// Refuses tensors that are not what their shape says, lie elsewhere or are too large,
/// and numbers that the engine would multiply beyond 64 bits.
fn check_graph(graph: &GraphProto, doing: &str) -> Result<()> {
    graph.initializer.iter().try_for_each(|tensor| check_tensor(tensor, doing))?;
    for node in &graph.node {
        // The end of a slice may be any number.
        let slices = matches!(node.op_type.as_str(), "Slice" | "Constant");
        for attribute in &node.attribute {
            attribute
                .t
                .iter()
                .chain(&attribute.tensors)
                .try_for_each(|t| check_tensor(t, doing))?;
            let mut numbers = attribute.ints.iter().chain([&attribute.i]);
            if let Some(number) =
                numbers.find(|n| !slices && n.unsigned_abs() > LONGEST.unsigned_abs())
            {
                let fault = format!(
                    "its node \"{}\" ({}) says {} = {number}; the limit is {LONGEST}",
                    node.name, node.op_type, attribute.name
                );
                return Err(Error::config(doing, fault).remedy("export the model again"));
            }
            let mut inner = attribute.g.iter().chain(&attribute.graphs);
            inner.try_for_each(|graph| check_graph(graph, doing))?;
        }
    }
    Ok(())
}

fn check_tensor(tensor: &TensorProto, doing: &str) -> Result<()> {
    let fault = |fault: String| Err(Error::config(doing, fault));
    let name = &tensor.name;
    if tensor.data_location == Some(DataLocation::External as i32) {
        return fault(format!("the weights \"{name}\" lie in another file"))
            .map_err(|e| e.remedy("export the model again with its weights inside the ONNX file"));
    }
    let datum = DataType::try_from(tensor.data_type).ok().and_then(|d| DatumType::try_from(d).ok());
    let item = datum.map_or(1, |datum| datum.size_of()) as u64;
    let bytes = tensor
        .dims
        .iter()
        .try_fold(item, |all, &dim| all.checked_mul(u64::try_from(dim).ok()?))
        .filter(|bytes| *bytes <= LARGEST_TENSOR);
    let shape = || tensor.dims.iter().map(i64::to_string).collect::<Vec<_>>().join("×");
    let held = tensor.raw_data.len() as u64;
    match bytes {
        None => fault(format!(
            "its tensor \"{name}\" ({}) is declared larger than {} GiB, the limit for one tensor",
            shape(),
            LARGEST_TENSOR >> 30
        )),
        Some(bytes) if held > 0 && held != bytes => fault(format!(
            "its tensor \"{name}\" ({}) holds {held} bytes; expected {bytes}",
            shape()
        )),
        Some(_) => return Ok(()),
    }
    .map_err(|error| error.remedy("the file is damaged or made to do harm: get it again"))
}

/// Leaves axes open whose length is given as a formula: nothing here needs it, and
/// the engine's parser takes nested ones apart for ever.
fn forget_formulas(graph: &mut GraphProto) {
    let named = |text: &str| {
        text.len() <= LONGEST_NAME && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let infos = graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info);
    for info in infos {
        let Some(Type::TensorType(tensor)) = info.r#type.as_mut().and_then(|t| t.value.as_mut())
        else {
            continue;
        };
        for dim in tensor.shape.iter_mut().flat_map(|shape| &mut shape.dim) {
            if matches!(&dim.value, Some(Dimension::DimParam(text)) if !named(text)) {
                dim.value = None;
            }
        }
    }
    for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
        attribute.g.iter_mut().chain(&mut attribute.graphs).for_each(forget_formulas);
    }
}

fn is_weight(tensor: &TensorProto) -> bool {
    match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float | DataType::Float16 | DataType::Bfloat16 | DataType::Double) => true,
        // A single byte is where zero lies among the others.
        Ok(DataType::Int8 | DataType::Uint8) => values(tensor) > 1,
        _ => false,
    }
}

fn values(tensor: &TensorProto) -> u64 {
    tensor.dims.iter().fold(1, |all, &dim| all.saturating_mul(u64::try_from(dim).unwrap_or(0)))
}

fn declared(info: &ValueInfoProto, doing: &str) -> Result<Declared> {
    let fault = |fault: &str| Error::config(doing, format!("its input \"{}\" {fault}", info.name));
    let Some(Type::TensorType(tensor)) = info.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return Err(fault("is not a tensor"));
    };
    let datum = DataType::try_from(tensor.elem_type)
        .ok()
        .and_then(|datum| DatumType::try_from(datum).ok())
        .ok_or_else(|| fault("is of a kind of number that is not supported"))?;
    let shape = tensor.shape.as_ref().ok_or_else(|| fault("has no declared shape"))?;
    let name = |value: &Option<Dimension>| match value {
        Some(Dimension::DimParam(name)) if !name.is_empty() => Some(name.clone()),
        _ => None,
    };
    Ok(Declared {
        name: info.name.clone(),
        shape: shape.dim.iter().map(|dim| size(&dim.value)).collect(),
        axes: shape.dim.iter().map(|dim| name(&dim.value)).collect(),
        datum,
    })
}

fn size(value: &Option<Dimension>) -> Option<usize> {
    match value {
        Some(Dimension::DimValue(size)) => usize::try_from(*size).ok(),
        _ => None,
    }
}

/// Names in quotes: the first of them, where there are as many as of a network with
/// dozens of states.
pub(super) fn quoted<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let left = names.len().saturating_sub(NAMED);
    let mut text: Vec<String> = names.take(NAMED).map(|name| format!("\"{name}\"")).collect();
    if left > 0 {
        text.push(format!("{left} more"));
    }
    text.join(", ")
}

/// The engine itself would stop at the first such operator, and bury its name
/// in the whole node's text.
fn refuse_unknown_operators(engine: &Onnx, graph: &GraphProto, doing: &str) -> Result<()> {
    let mut unknown = Vec::new();
    collect_unknown(engine, graph, &mut unknown);
    if unknown.is_empty() {
        return Ok(());
    }
    let mut list = unknown[..unknown.len().min(LISTED)].join(", ");
    if unknown.len() > LISTED {
        list += &format!(" and {} more", unknown.len() - LISTED);
    }
    Err(Error::config(doing, format!("unsupported operator: {list}"))
        .remedy("export the model without it, or with an ONNX operator set of 9 to 18"))
}

fn collect_unknown(engine: &Onnx, graph: &GraphProto, unknown: &mut Vec<String>) {
    for (at, node) in graph.node.iter().enumerate() {
        if !engine.op_register.0.contains_key(&node.op_type) {
            let name = match (node.name.as_str(), node.output.first()) {
                ("", Some(output)) => format!("the node that makes \"{output}\""),
                ("", None) => format!("node {at}"),
                (name, _) => format!("node \"{name}\""),
            };
            let domain = if node.domain.is_empty() || node.domain == "ai.onnx" {
                String::new()
            } else {
                format!("{}.", node.domain)
            };
            unknown.push(format!("{domain}{} ({name})", node.op_type));
        }
        for attribute in &node.attribute {
            let inner = attribute.g.iter().chain(&attribute.graphs);
            inner.for_each(|graph| collect_unknown(engine, graph, unknown));
        }
    }
}
