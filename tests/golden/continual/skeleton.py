"""ONNX files without their weights: each initializer keeps its name, its shape and, as its doc string, the
`scale offset` of formula.weights that gives its values."""

import io

import numpy as np
import onnx
import torch
from onnx import TensorProto, numpy_helper

import formula

OPSET = 17
# A float constant with fewer values than this is the network's own and stays in the file.
FEWEST = 4


def export(net, inputs, given, returned):
    """The network as an ONNX model, batch normalisation left as it is; with names for what it is given and returns."""
    file = io.BytesIO()
    with torch.no_grad():
        torch.onnx.export(net, tuple(inputs), file, opset_version=OPSET, dynamo=False, input_names=given,
                          output_names=returned, training=torch.onnx.TrainingMode.PRESERVE)
    model = onnx.load_from_string(file.getvalue())
    model.producer_version = ""
    return model


def strip(model, net, ranges):
    """Takes the weights out of `model` and gives `net` those of the formula.

    `ranges` has the scale and offset of each of the network's tensors.
    """
    tensors = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    renamed = {}
    for stored in model.graph.initializer:
        if stored.data_type != TensorProto.FLOAT or np.prod(stored.dims) < FEWEST:
            continue
        values = numpy_helper.to_array(stored)
        name, turned = found(values, tensors)
        label = f"{name}.T" if turned else name
        scale, offset = ranges[name]
        filled = formula.weights(label, values.shape, scale, offset)
        with torch.no_grad():
            tensors[name].copy_(torch.from_numpy(filled.T.copy() if turned else filled))
        renamed[stored.name] = label
        stored.ClearField("raw_data")
        stored.ClearField("float_data")
        stored.name = label
        stored.doc_string = f"{np.float32(scale)!s} {np.float32(offset)!s}"
    # Nodes keep their names; what flows between them gets short ones.
    kept = {value.name for value in (*model.graph.input, *model.graph.output, *model.graph.initializer)}
    for node in model.graph.node:
        for at, name in enumerate(node.output):
            if name not in kept:
                renamed[name] = str(len(renamed))
            node.output[at] = renamed.get(name, name)
        for at, name in enumerate(node.input):
            node.input[at] = renamed.get(name, name)
    return model


def found(values, tensors):
    for name, tensor in tensors.items():
        tensor = tensor.detach().numpy()
        if tensor.shape == values.shape and np.array_equal(tensor, values):
            return name, False
        if tensor.ndim == 2 and tensor.T.shape == values.shape and np.array_equal(tensor.T, values):
            return name, True
    raise ValueError(f"an initializer of shape {values.shape} is no tensor of the network")


def fill(model):
    """A skeleton with its weights, as tests/support/skeleton.rs fills it."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    for stored in model.graph.initializer:
        if stored.doc_string:
            scale, offset = (np.float32(word) for word in stored.doc_string.split())
            values = formula.weights(stored.name, tuple(stored.dims), scale, offset)
            stored.raw_data = values.astype("<f4").tobytes()
    return model
