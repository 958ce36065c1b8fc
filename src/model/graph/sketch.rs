//! Small ONNX networks written down in tests, and whether the engine and a graph agree
//! on them.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::type_proto::{Tensor as TensorType, Value as TypeValue};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto,
};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::InferenceFact;

use super::{Axis, Graph, Program, Refusal, Span, fuse, import, plain};
use crate::model::kernels::{Isa, Precision};

/// An attribute of an ONNX node.
#[derive(Clone, Copy)]
pub(crate) enum Attribute<'a> {
    Int(i64),
    Ints(&'a [i64]),
    Float(f32),
    Text(&'a str),
}

/// An ONNX network in the making. Nodes are named after their operators: `Conv_0`,
/// `Relu_1` …; so are the tensors that they give.
pub(crate) struct Sketch {
    graph: GraphProto,
    dims: Vec<usize>,
    random: Random,
}

/// Numbers that are the same in every run (a linear congruential generator; Knuth, The
/// Art of Computer Programming, volume 2, 3.3.4).
pub(crate) struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((self.0 >> 33) as usize) % end
    }

    /// -1 to 1.
    pub fn value(&mut self) -> f32 {
        self.below(1 << 16) as f32 / f32::from(1u16 << 15) - 1.0
    }

    pub fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.value()).collect()
    }
}

fn signed(dims: &[usize]) -> Vec<i64> {
    dims.iter().map(|&dim| dim as i64).collect()
}

impl Sketch {
    /// A network that takes `clip`, of `dims`.
    pub fn new(dims: &[usize]) -> Self {
        let mut sketch =
            Sketch { graph: GraphProto::default(), dims: dims.to_vec(), random: Random(7) };
        sketch.input("clip", dims);
        sketch
    }

    /// Another input.
    pub fn input(&mut self, name: &str, dims: &[usize]) {
        let dim = |&size: &i64| Dimension {
            value: Some(dimension::Value::DimValue(size)),
            ..Dimension::default()
        };
        let shape = TensorShapeProto { dim: signed(dims).iter().map(dim).collect() };
        let tensor = TensorType { elem_type: DataType::Float as i32, shape: Some(shape) };
        self.graph.input.push(ValueInfoProto {
            name: name.into(),
            r#type: Some(TypeProto {
                value: Some(TypeValue::TensorType(tensor)),
                ..TypeProto::default()
            }),
            ..ValueInfoProto::default()
        });
    }

    pub fn constant(&mut self, dims: &[usize], values: &[f32]) -> String {
        assert_eq!(values.len(), dims.iter().product::<usize>());
        self.store(TensorProto {
            dims: signed(dims),
            data_type: DataType::Float as i32,
            float_data: values.to_vec(),
            ..TensorProto::default()
        })
    }

    pub fn integers(&mut self, values: &[i64]) -> String {
        self.store(TensorProto {
            dims: vec![values.len() as i64],
            data_type: DataType::Int64 as i32,
            int64_data: values.to_vec(),
            ..TensorProto::default()
        })
    }

    fn store(&mut self, tensor: TensorProto) -> String {
        let name = format!("stored_{}", self.graph.initializer.len());
        self.graph.initializer.push(TensorProto { name: name.clone(), ..tensor });
        name
    }

    /// Random constants, small enough that sums stay near 1.
    pub fn weights(&mut self, dims: &[usize]) -> String {
        let fan = dims.iter().skip(1).product::<usize>().max(1) as f32;
        let count = dims.iter().product();
        let values: Vec<f32> =
            self.random.values(count).iter().map(|value| value * 1.7 / fan.sqrt()).collect();
        self.constant(dims, &values)
    }

    /// Adds a node and gives the name of its output.
    pub fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute)],
    ) -> String {
        let name = format!("{operator}_{}", self.graph.node.len());
        let attribute = attributes.iter().map(|&(name, value)| {
            let mut attribute = AttributeProto { name: name.into(), ..AttributeProto::default() };
            attribute.r#type = match value {
                Attribute::Int(value) => {
                    attribute.i = value;
                    AttributeType::Int
                }
                Attribute::Ints(values) => {
                    attribute.ints = values.to_vec();
                    AttributeType::Ints
                }
                Attribute::Float(value) => {
                    attribute.f = value;
                    AttributeType::Float
                }
                Attribute::Text(value) => {
                    attribute.s = value.as_bytes().to_vec();
                    AttributeType::String
                }
            } as i32;
            attribute
        });
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|&input| input.into()).collect(),
            output: vec![name.clone()],
            name: name.clone(),
            op_type: operator.into(),
            attribute: attribute.collect(),
            ..NodeProto::default()
        });
        name
    }

    /// A convolution with random weights: outputs, inputs in a group, taps.
    pub fn conv(
        &mut self,
        input: &str,
        dims: &[usize],
        attributes: &[(&str, Attribute)],
    ) -> String {
        let (weights, bias) = (self.weights(dims), self.weights(&dims[..1]));
        self.node("Conv", &[input, &weights, &bias], attributes)
    }

    /// The mean over frames and pixels of a tensor of five axes, as a vector.
    pub fn pooled(&mut self, input: &str) -> String {
        let pooled = self.node("GlobalAveragePool", &[input], &[]);
        self.node("Flatten", &[&pooled], &[])
    }

    /// What the engine makes of it: typed and simplified.
    pub fn model(&self, output: &str) -> TypedModel {
        let mut graph = self.graph.clone();
        graph.output = vec![ValueInfoProto { name: output.into(), ..ValueInfoProto::default() }];
        let version = OperatorSetIdProto { domain: String::new(), version: 17 };
        let proto = ModelProto {
            ir_version: 8,
            opset_import: vec![version],
            graph: Some(graph),
            ..ModelProto::default()
        };
        let mut model = tract_onnx::onnx().model_for_proto_model(&proto).unwrap();
        model.set_output_fact(0, InferenceFact::default()).unwrap();
        model.into_typed().unwrap().into_decluttered().unwrap()
    }

    /// The graph of the network that gives `output`, before and after fusing; checked:
    /// both compute what the engine computes.
    pub fn graphs(&self, output: &str, axes: &[Axis]) -> Result<(Graph, Graph), Refusal> {
        let model = self.model(output);
        let whole = import(&model, 0, axes)?;
        let fused = fuse(whole.clone());
        fused.check().unwrap();
        let values = Random(3).values(self.dims.iter().product());
        let clip = Tensor::from_shape(&self.dims, &values).unwrap();
        let expected = model.into_runnable().unwrap().run(tvec!(clip.into_tvalue())).unwrap();
        let view = expected[0].try_as_plain_ram().unwrap();
        let expected = view.as_slice::<f32>().unwrap();
        let clip = channels_last(&values, &self.dims, axes);
        for (graph, which) in [(&whole, "imported"), (&fused, "fused")] {
            let got = plain::run(graph, &clip);
            assert_eq!(got.len(), expected.len(), "{which}: {graph:?}");
            for (got, expected) in got.iter().zip(expected) {
                let far = (got - expected).abs();
                assert!(
                    far <= 1e-4 * expected.abs().max(1.0),
                    "{which}: {got} where the engine gives {expected}\n{}",
                    listed(graph)
                );
            }
        }
        for isa in Isa::all() {
            let program = Program::new(fused.clone(), Span::Clip, Precision::F32, isa, 1);
            let (mut run, shape) = (program.run(), fused.nodes[0].shape);
            let plane = shape.height * shape.width;
            for frame in clip.chunks_exact(plane * shape.channels) {
                let planes = (0..frame.len())
                    .map(|at| frame[at % plane * shape.channels + at / plane])
                    .collect::<Vec<_>>();
                run.push(&planes);
            }
            for (got, expected) in run.clip().unwrap().iter().zip(expected) {
                let far = (got - expected).abs();
                assert!(
                    far <= 1e-4 * expected.abs().max(1.0),
                    "{}: {got} where the engine gives {expected}\n{}",
                    isa.name(),
                    listed(&fused)
                );
            }
        }
        Ok((whole, fused))
    }

    /// The fused graph's operators in words, without its input, as [`Sketch::graphs`].
    pub fn fused(&self, output: &str, axes: &[Axis]) -> Vec<String> {
        let (_, fused) = self.graphs(output, axes).unwrap();
        fused.nodes.iter().skip(1).map(|node| node.op.to_string()).collect()
    }
}

/// A graph for a person to read.
pub(crate) fn listed(graph: &Graph) -> String {
    let line = |(at, node): (usize, &super::Node)| {
        format!("{at}: {} = {} of {:?} gives {}\n", node.name, node.op, node.inputs, node.shape)
    };
    graph.nodes.iter().enumerate().map(line).collect()
}

/// `values` of `dims`, ordered as a graph's input.
fn channels_last(values: &[f32], dims: &[usize], axes: &[Axis]) -> Vec<f32> {
    let order = [Axis::Frames, Axis::Height, Axis::Width, Axis::Channels];
    let steps: Vec<(usize, usize)> = order
        .iter()
        .map(|axis| match axes.iter().position(|other| other == axis) {
            Some(at) => (dims[at], dims[at + 1..].iter().product()),
            None => (1, 0),
        })
        .collect();
    let mut ordered = Vec::with_capacity(values.len());
    for t in 0..steps[0].0 {
        for y in 0..steps[1].0 {
            for x in 0..steps[2].0 {
                for c in 0..steps[3].0 {
                    let at = [t, y, x, c];
                    let at: usize = at.iter().zip(&steps).map(|(at, (_, step))| at * step).sum();
                    ordered.push(values[at]);
                }
            }
        }
    }
    ordered
}
