"""Makes models/: small networks, good and bad, and ONNX Runtime's logits for the good ones.

    python tests/golden/models.py

Weights are random (seeded), so nothing here was trained on anything.
tests/model.rs builds bundles from these files and compares.
"""

import hashlib
import pathlib

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper
from torch import nn

OUT = pathlib.Path(__file__).parent / "models"
CLASSES = ["one", "two", "three", "four", "five"]
OPSET = 17


class SqueezeExcite(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool3d(1), nn.Conv3d(width, 8, 1), nn.ReLU(), nn.Conv3d(8, width, 1), nn.Sigmoid()
        )

    def forward(self, x):
        return x * self.gate(x)


class Block(nn.Module):
    """X3D's bottleneck: 1x1x1, depthwise 3x3x3, squeeze-excite, swish, 1x1x1, residual."""

    def __init__(self, width, inner):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv3d(width, inner, 1, bias=False), nn.BatchNorm3d(inner), nn.ReLU(),
            nn.Conv3d(inner, inner, 3, padding=1, groups=inner, bias=False), nn.BatchNorm3d(inner),
            SqueezeExcite(inner), nn.SiLU(),
            nn.Conv3d(inner, width, 1, bias=False), nn.BatchNorm3d(width),
        )

    def forward(self, x):
        return torch.relu(x + self.body(x))


class Clip(nn.Module):
    """(2+1)D stem, a max pool, two X3D blocks, an average pool, a classifier."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv3d(3, 12, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False),
            nn.Conv3d(12, 12, (3, 1, 1), padding=(1, 0, 0), bias=False), nn.BatchNorm3d(12), nn.ReLU(),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            Block(12, 28), Block(12, 28),
            nn.AvgPool3d((2, 1, 1)), nn.Conv3d(12, 32, 1), nn.ReLU(),
            nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(32, len(CLASSES)),
        )

    def forward(self, x):
        return self.body(x)


class Stream(nn.Module):
    """One frame in; a temporal convolution over kept features, a running mean and a frame counter."""

    def __init__(self):
        super().__init__()
        self.frame = nn.Sequential(nn.Conv2d(3, 10, 3, 2, 1), nn.SiLU(), nn.Conv2d(10, 12, 3, 2, 1), nn.ReLU())
        self.time = nn.Conv2d(36, 16, 1)
        self.head = nn.Linear(16, len(CLASSES))

    def forward(self, frame, past, total, count):
        now = self.frame(frame[:, :, 0])
        features = torch.relu(self.time(torch.cat([past, now], 1))).mean((2, 3))
        total = total + features
        count = count + 1
        return self.head(total / count.to(torch.float32)), torch.cat([past[:, 12:], now], 1), total, count


def save(graph_or_model, name):
    onnx.checker.check_model(graph_or_model)
    (OUT / name).write_bytes(graph_or_model.SerializeToString())


def small(nodes, outputs, inputs, initializers=()):
    graph = helper.make_graph(nodes, "small", inputs, outputs, list(initializers))
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("org.example", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def main():
    OUT.mkdir(exist_ok=True)
    torch.manual_seed(20261122)
    rng = np.random.default_rng(20261122)

    # Clip network: 6 frames of 24 x 32; 9 frames in the file, so 4 clips.
    frames = rng.standard_normal((9, 3, 24, 32)).astype(np.float32)
    np.save(OUT / "frames.npy", frames)
    net = Clip()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = None  # plain mean over the batches below
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    with torch.no_grad():
        for _ in range(4):
            net.train()(torch.randn(4, 3, 6, 24, 32))
    net.eval()
    clip = torch.zeros(1, 3, 6, 24, 32)
    torch.onnx.export(net, (clip,), OUT / "clip.onnx", opset_version=OPSET, dynamo=False,
                      input_names=["clip"], output_names=["logits"])
    session = onnxruntime.InferenceSession(OUT / "clip.onnx", providers=["CPUExecutionProvider"])
    logits = [session.run(None, {"clip": frames[t : t + 6].transpose(1, 0, 2, 3)[None]})[0][0] for t in range(4)]
    np.save(OUT / "clip-logits.npy", np.stack(logits).astype("<f4"))

    # The same network with its first axis left open, as many exporters leave it.
    model = onnx.load(OUT / "clip.onnx")
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    save(model, "open-batch.onnx")

    # Stateful network.
    net = Stream().eval()
    states = [torch.zeros(1, 24, 6, 8), torch.zeros(1, 16), torch.zeros(1, 1, dtype=torch.int64)]
    names = ["past", "total", "count"]
    torch.onnx.export(net, (clip[:, :, :1], *states), OUT / "stream.onnx", opset_version=OPSET, dynamo=False,
                      input_names=["frame", *names], output_names=["logits", *(f"{n}_out" for n in names)])
    session = onnxruntime.InferenceSession(OUT / "stream.onnx", providers=["CPUExecutionProvider"])
    states, logits = [s.numpy() for s in states], []
    for frame in frames:
        feed = {"frame": frame[None, :, None], **dict(zip(names, states))}
        out, *states = session.run(None, feed)
        logits.append(out[0])
    np.save(OUT / "stream-logits.npy", np.stack(logits).astype("<f4"))

    # Bad ones. Each takes the clip and gives five values.
    value = helper.make_tensor_value_info
    x = value("clip", TensorProto.FLOAT, [1, 3, 6, 24, 32])
    y = value("logits", TensorProto.FLOAT, [1, 5])
    mean = helper.make_node("ReduceMean", ["clip"], ["mean"], name="mean", axes=[2, 3, 4], keepdims=0)
    weight = helper.make_tensor("weight", TensorProto.FLOAT, [3, 5], [0.1 * i for i in range(15)])
    dense = helper.make_node("MatMul", ["mean", "weight"], ["dense"], name="dense")

    warp = helper.make_node("OpticalWarp", ["clip"], ["warped"], name="stage1/warp", domain="org.example")
    after = helper.make_node("ReduceMean", ["warped"], ["mean"], name="mean", axes=[2, 3, 4], keepdims=0)
    last = helper.make_node("MatMul", ["mean", "weight"], ["logits"], name="dense")
    save(small([warp, after, last], [y], [x], [weight]), "unsupported.onnx")

    # log(-1 - x^2) is never a number.
    square = helper.make_node("Mul", ["dense", "dense"], ["square"], name="square")
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [-1.0])
    below = helper.make_node("Sub", ["one", "square"], ["below"], name="below")
    log = helper.make_node("Log", ["below"], ["logits"], name="log")
    save(small([mean, dense, square, below, log], [y], [x], [weight, one]), "not-finite.onnx")

    slow = value("slow", TensorProto.FLOAT, [1, 3, 6, 24, 32])
    fast = value("fast", TensorProto.FLOAT, [1, 3, 24, 24, 32])
    means = [helper.make_node("ReduceMean", [n], [f"{n}_mean"], name=n, axes=[2, 3, 4], keepdims=0) for n in ("slow", "fast")]
    add = helper.make_node("Add", ["slow_mean", "fast_mean"], ["mean"], name="add")
    save(small([*means, add, last], [y], [slow, fast], [weight]), "two-inputs.onnx")

    whole = value("clip", TensorProto.UINT8, [1, 3, 6, 24, 32])
    cast = helper.make_node("Cast", ["clip"], ["cast"], name="cast", to=TensorProto.FLOAT)
    pooled = helper.make_node("ReduceMean", ["cast"], ["mean"], name="mean", axes=[2, 3, 4], keepdims=0)
    save(small([cast, pooled, last], [y], [whole], [weight]), "bytes.onnx")

    # Good ones of the other two layouts: later pictures weigh more.
    for name, shape in (("framewise", [1, 6, 3, 24, 32]), ("channels-last", [1, 6, 24, 32, 3])):
        pictures = value("clip", TensorProto.FLOAT, shape)
        later = helper.make_tensor("later", TensorProto.FLOAT, [1, 6, 1, 1, 1], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        weighed = helper.make_node("Mul", ["clip", "later"], ["weighed"], name="weigh")
        axes = [at for at in range(1, 5) if shape[at] != 3]
        pooled = helper.make_node("ReduceMean", ["weighed"], ["mean"], name="mean", axes=axes, keepdims=0)
        save(small([weighed, pooled, last], [y], [pictures], [weight, later]), f"{name}.onnx")

    # A state that comes back in another size than it went in.
    frame = value("frame", TensorProto.FLOAT, [1, 3, 1, 24, 32])
    past = value("past", TensorProto.FLOAT, [1, 2, 3])
    grown = value("past_out", TensorProto.FLOAT, [1, 3, 3])
    pool = helper.make_node("ReduceMean", ["frame"], ["mean"], name="mean", axes=[2, 3, 4], keepdims=0)
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [1])
    up = helper.make_node("Unsqueeze", ["mean", "axis"], ["row"], name="row")
    cat = helper.make_node("Concat", ["past", "row"], ["past_out"], name="grow", axis=1)
    save(small([pool, up, cat, last], [y, grown], [frame, past], [weight, axis]), "growing-state.onnx")

    # A stateful network as exporters of other frameworks leave it: states named each in
    # its own way, a counter of i32, a window whose length only the output declares (or
    # nothing at all), features before the logits. Frame 0 is divided by a count of zero.
    frame = value("image", TensorProto.FLOAT, ["batch", 3, 1, 24, 32])
    past = value("call:past", TensorProto.FLOAT, ["batch", "window", 3])
    count = value("call:count", TensorProto.INT32, [1])
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["now"], name="now", axes=[2, 3, 4], keepdims=0),
        helper.make_node("Unsqueeze", ["now", "one"], ["row"], name="row"),
        helper.make_node("Slice", ["call:past", "one", "end", "one"], ["rest"], name="rest"),
        helper.make_node("Concat", ["rest", "row"], ["return:1"], name="shift", axis=1),
        helper.make_node("Add", ["call:count", "step"], ["return:2"], name="count"),
        helper.make_node("Cast", ["call:count"], ["seen"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["return:1", "one"], ["sum"], name="sum", keepdims=0),
        helper.make_node("Div", ["sum", "seen"], ["features"], name="divide"),
        helper.make_node("MatMul", ["features", "weight"], ["scores"], name="dense"),
    ]
    constants = [
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("end", TensorProto.INT64, [1], [1 << 40]),
        helper.make_tensor("step", TensorProto.INT32, [1], [1]),
        helper.make_tensor("weight", TensorProto.FLOAT, [3, 5], [(-1) ** i * (8 + i) for i in range(15)]),
    ]
    for window, name in ((4, "named-states.onnx"), ("window", "open-states.onnx")):
        outputs = [
            value("features", TensorProto.FLOAT, ["batch", 3]), value("return:1", TensorProto.FLOAT, ["batch", window, 3]),
            value("return:2", TensorProto.INT32, [1]), value("scores", TensorProto.FLOAT, ["batch", 5]),
        ]
        save(small(nodes, outputs, [frame, past, count], constants), name)
    session = onnxruntime.InferenceSession(OUT / "named-states.onnx", providers=["CPUExecutionProvider"])
    past, count, logits = np.zeros((1, 4, 3), np.float32), np.zeros(1, np.int32), []
    for frame in frames:
        _, past, count, out = session.run(None, {"image": frame[None, :, None], "call:past": past, "call:count": count})
        logits.append(out[0])
    assert not np.isfinite(logits[0]).any() and np.isfinite(logits[1:]).all()
    np.save(OUT / "named-states-logits.npy", np.stack(logits[1:]).astype("<f4"))

    total = 0
    for file in sorted(OUT.iterdir()):
        total += file.stat().st_size
        print(f"{file.stat().st_size:7}  {file.name}  {hashlib.sha256(file.read_bytes()).hexdigest()[:12]}")
    print(total, "bytes")


if __name__ == "__main__":
    main()
