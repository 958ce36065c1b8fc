"""Exports trained weights as the bundle's two ONNX files, and proves that they agree.

    python export.py --weights weights.pt --out ../camera-events

`model.onnx` takes a clip (1, 1, 16, 96, 128); `stream.onnx` takes one frame
(1, 1, 1, 96, 128) and the past of every temporal convolution, and gives them
back one frame later. Batch normalisation is folded into the convolutions, and
weights are stored in half precision. Both are checked with ONNX Runtime on random
frames, against each other and against PyTorch.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from network import FRAMES, HEIGHT, LABELS, MEAN, RATE, REACH, STD, WIDTH, Block, CameraEvents, weighed


def fold(sequence):
    """Convolution followed by batch normalisation as one convolution."""
    layers = []
    for layer in sequence:
        if isinstance(layer, nn.BatchNorm2d):
            layers[-1] = fuse_conv_bn_eval(layers[-1], layer)
        else:
            layers.append(layer)
    return nn.Sequential(*layers)


class FoldedStem(nn.Module):
    """The stem over frames (N, 41, 12, 16), its normalisation folded in."""

    def __init__(self, trained):
        super().__init__()
        self.here = fuse_conv_bn_eval(trained.here, trained.norm)
        scale = trained.norm.weight / torch.sqrt(trained.norm.running_var + trained.norm.eps)
        self.context = nn.Conv2d(trained.context.in_channels, trained.context.out_channels, 1, bias=False)
        self.context.weight.data = trained.context.weight.data * scale[:, None, None, None]

    def forward(self, x):
        return F.relu(self.here(x) + self.context(weighed(x)))


def pool(y):
    return torch.cat([y.mean((2, 3)), y.amax((2, 3))], dim=1)


class Stream(nn.Module):
    """One frame and the past in, logits and the past out."""

    def __init__(self, trained):
        super().__init__()
        self.front, self.stem = trained.front, FoldedStem(trained.stem)
        self.steps = nn.ModuleList()
        self.blocks = [isinstance(part, Block) for part in trained.blocks]
        self.times = nn.ParameterList()
        for part in trained.blocks:
            self.steps.append(fold(part.space.layers if isinstance(part, Block) else part.layers))
            if isinstance(part, Block):
                self.times.append(nn.Parameter(part.time.weight.detach()[:, None, :, None, None].clone()))
        self.head, self.classify = trained.head, trained.classify

    def states(self):
        """Shape of each state: the past frames that the front end compares with,
        two past inputs of each block, past pooled vectors."""
        shapes = [(1, REACH, HEIGHT, WIDTH)]
        with torch.no_grad():
            y = self.stem(self.front(torch.zeros(1, REACH + 1, HEIGHT, WIDTH))[:, 0])
            for is_block, step in zip(self.blocks, self.steps):
                if is_block:
                    shapes += [tuple(y.shape), tuple(y.shape)]
                else:
                    y = step(y)
        return shapes + [(1, 2 * y.shape[1], self.head.kernel_size[0] - 1)]

    def forward(self, frame, *states):
        states = list(states)
        out = []
        raw = states.pop(0)
        stacked = torch.cat([raw, frame[:, :, 0]], dim=1)
        out.append(stacked[:, 1:])
        y = self.stem(self.front(stacked)[:, 0])
        times = iter(self.times)
        for is_block, step in zip(self.blocks, self.steps):
            if is_block:
                older, old = states.pop(0), states.pop(0)
                w = next(times)
                out += [old, y]
                y = F.relu(y + step(w[0] * older + w[1] * old + w[2] * y))
            else:
                y = step(y)
        pooled = torch.cat([states.pop(0), pool(y).unsqueeze(-1)], dim=2)
        out.append(pooled[:, :, 1:])
        return (self.classify(F.relu(self.head(pooled))).squeeze(-1), *out)


class Clip(nn.Module):
    """A clip of 16 frames in, logits out: the same weights as 3-D convolutions."""

    def __init__(self, trained):
        super().__init__()
        self.front = trained.front
        self.stem = FoldedStem(trained.stem)
        self.parts = nn.ModuleList()
        for part in trained.blocks:
            is_block = isinstance(part, Block)
            self.parts.append(ClipPart(part.time.weight.detach() if is_block else None, fold(part.space.layers if is_block else part.layers)))
        self.head, self.classify = trained.head, trained.classify

    def forward(self, clip):
        y = self.stem(self.front(clip[:, 0])[0]).transpose(0, 1).unsqueeze(0)
        for part in self.parts:
            y = part(y)
        pooled = torch.cat([y.mean((3, 4)), y.amax((3, 4))], dim=1)
        return self.classify(F.relu(self.head(pooled))).squeeze(-1)


class ClipPart(nn.Module):
    def __init__(self, time, layers):
        super().__init__()
        self.time = None
        if time is not None:
            channels = time.shape[1]
            self.time = nn.Conv3d(channels, channels, (3, 1, 1), groups=channels, bias=False)
            self.time.weight.data = time.T[:, None, :, None, None].contiguous()
        self.layers = nn.ModuleList(lift(layer) for layer in layers)

    def forward(self, x):
        y = x if self.time is None else self.time(x)
        for layer in self.layers:
            y = layer(y)
        return y if self.time is None else F.relu(x[:, :, 2:] + y)


class Gates(nn.Module):
    """Squeeze and excite, each frame by its own average."""

    def __init__(self, trained):
        super().__init__()
        self.down, self.up = lift(trained.down), lift(trained.up)

    def forward(self, x):
        s = x.mean((3, 4), keepdim=True)
        return x * torch.sigmoid(self.up(F.relu(self.down(s))))


def lift(layer):
    """A 2-D layer as a 3-D one that looks at one frame at a time."""
    if isinstance(layer, nn.Conv2d):
        lifted = nn.Conv3d(
            layer.in_channels, layer.out_channels, (1, *layer.kernel_size), stride=(1, *layer.stride),
            padding=(0, *layer.padding), groups=layer.groups, bias=layer.bias is not None,
        )
        lifted.weight.data = layer.weight.data.unsqueeze(2)
        if layer.bias is not None:
            lifted.bias.data = layer.bias.data
        return lifted
    return Gates(layer) if hasattr(layer, "up") else nn.ReLU()


def share_constants(graph):
    """Keeps one copy of each constant (the exporter writes one a use), and gives
    intermediate values short names (the exporter repeats whole paths)."""
    kept, renamed = {}, {}
    for node in [n for n in graph.node if n.op_type == "Constant" and n.attribute[0].name == "value"]:
        value = node.attribute[0].t
        key = (value.data_type, tuple(value.dims), value.raw_data)
        if value.raw_data:
            renamed[node.output[0]] = kept.setdefault(key, node.output[0])
            if renamed[node.output[0]] != node.output[0]:
                graph.node.remove(node)
    for value in list(graph.initializer):
        key = (value.data_type, tuple(value.dims), value.raw_data)
        if len(value.raw_data) > 256:
            renamed[value.name] = kept.setdefault(key, value.name)
            if renamed[value.name] != value.name:
                graph.initializer.remove(value)
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)
    # A constant may now be used before the node that makes it: those go first.
    constants = [n for n in graph.node if n.op_type == "Constant"]
    others = [n for n in graph.node if n.op_type != "Constant"]
    del graph.node[:]
    graph.node.extend(constants + others)
    public = {value.name for value in [*graph.input, *graph.output, *graph.initializer]}
    short = {}
    for node in graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name and name not in public:
                    names[i] = short.setdefault(name, f"v{len(short)}")


def halve(graph):
    """Stores weights in half precision, to be cast when the model is loaded:
    half the size, and the arithmetic stays in single precision."""
    casts = []
    for value in graph.initializer:
        if value.data_type == onnx.TensorProto.FLOAT and len(value.raw_data) > 256:
            name = value.name
            values = onnx.numpy_helper.to_array(value).astype(np.float16)
            value.CopyFrom(onnx.numpy_helper.from_array(values, f"{name}_half"))
            casts.append(onnx.helper.make_node("Cast", [f"{name}_half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend(casts + nodes)


def save(model, inputs, path, input_names, output_names):
    torch.onnx.export(
        model, inputs, str(path), input_names=input_names, output_names=output_names,
        opset_version=17, dynamo=False, do_constant_folding=True,
    )
    graph = onnx.load(str(path))
    graph.producer_name, graph.producer_version, graph.doc_string = "kinewatch", "", ""
    for node in graph.graph.node:
        node.doc_string = ""
    share_constants(graph.graph)
    halve(graph.graph)
    onnx.checker.check_model(graph)
    onnx.save(graph, str(path))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    trained = CameraEvents()
    trained.load_state_dict(torch.load(args.weights))
    trained.eval()
    clip, stream = Clip(trained).eval(), Stream(trained).eval()
    with torch.no_grad():
        for weights in [*clip.parameters(), *stream.parameters()]:
            weights.copy_(weights.half().float())
    args.out.mkdir(parents=True, exist_ok=True)
    frames = torch.randn(1, 1, 2 * FRAMES, HEIGHT, WIDTH)
    states = [torch.zeros(shape) for shape in stream.states()]
    names = [f"state_{i}" for i in range(len(states))]
    save(clip, (frames[:, :, :FRAMES],), args.out / "model.onnx", ["clip"], ["logits"])
    save(stream, (frames[:, :, :1], *states), args.out / "stream.onnx", ["frame", *names], ["logits", *(f"{n}_out" for n in names)])

    options = onnxruntime.SessionOptions()
    by_clip = onnxruntime.InferenceSession(str(args.out / "model.onnx"), options)
    by_frame = onnxruntime.InferenceSession(str(args.out / "stream.onnx"), options)
    past = {name: state.numpy() for name, state in zip(names, states)}
    apart, rounded = 0.0, 0.0
    with torch.no_grad():
        reference = trained(frames[:, 0]).numpy()[0]
    for t in range(2 * FRAMES):
        logits, *after = by_frame.run(None, {"frame": frames[:, :, t : t + 1].numpy(), **past})
        past = dict(zip(names, after))
        if t >= FRAMES - 1:
            window = frames[:, :, t - FRAMES + 1 : t + 1].numpy()
            whole = by_clip.run(None, {"clip": window})[0]
            scale = np.abs(whole).max()
            apart = max(apart, np.abs(whole - logits).max() / scale)
            rounded = max(rounded, np.abs(whole[0] - reference[t - FRAMES + 1]).max() / scale)
    print(f"clip and stream differ by at most {apart:.1e} of the largest logit; from PyTorch, by their half-precision weights, {rounded:.1e}")
    assert apart < 1e-5, "the clip and the stream model do not agree"
    assert rounded < 5e-3, "the exported model is not the trained one"

    digest = {name: hashlib.sha256((args.out / name).read_bytes()).hexdigest() for name in ("model.onnx", "stream.onnx")}
    (args.out / "labels.txt").write_text("\n".join(LABELS) + "\n")
    (args.out / "model.toml").write_text(f'''# Written by models/train/export.py.
name    = "camera-events"
task    = "single-label"
file    = "model.onnx"
labels  = "labels.txt"
output  = "logits"
licence = "MIT OR Apache-2.0"
source  = "models/train, on streams made by kinewatch synth"
sha256  = "{digest['model.onnx']}"

[input]
layout    = "NCTHW"
frames    = {FRAMES}
rate      = {RATE}
size      = [{HEIGHT}, {WIDTH}]
resize    = "stretch"
antialias = true
colour    = "GRAY"
mean      = [{MEAN}]
std       = [{STD}]

[run]
modes = ["stateful", "window"]

[run.stateful]
file   = "stream.onnx"
sha256 = "{digest['stream.onnx']}"
''')


if __name__ == "__main__":
    main()
