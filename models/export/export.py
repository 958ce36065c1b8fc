"""Writes a kinewatch model bundle for a published video network.

    python models/export/export.py x3d_s OUT                      # random weights, seeded
    python models/export/export.py x3d_s OUT --weights X3D_S.pyth --labels kinetics400.txt

Builds the network with PyTorchVideo (X3D) or torchvision (R(2+1)D), loads the
weights that were given, exports it to ONNX with a fixed shape and a batch of
one, compares PyTorch with ONNX Runtime on random clips, and writes OUT/model.onnx,
OUT/labels.txt and OUT/model.toml. Nothing is downloaded. parity.py beside this
file compares the bundle in kinewatch with ONNX Runtime.
"""

import argparse
import hashlib
import json
import pathlib
import sys
import warnings

import numpy as np
import onnxruntime
import torch
import torchvision
from torch import nn

OPSET = 17

# frames, sampled frames a second, square size, normalisation, where it comes from, licence of published weights.
# Rates: the sampling interval of training at 30 frames a second (PyTorchVideo model_zoo.md: XS 4x12, S 13x6,
# M 16x5); torchvision's reference for R(2+1)D-18 samples 15 frames a second.
X3D = dict(mean=[0.45] * 3, std=[0.225] * 3, antialias=False, licence="Apache-2.0",
           source="PyTorchVideo model zoo, Kinetics-400")
MODELS = {
    "x3d_xs": dict(frames=4, rate=2.5, size=182, **X3D),
    "x3d_s": dict(frames=13, rate=5.0, size=182, **X3D),
    "x3d_m": dict(frames=16, rate=6.0, size=256, **X3D),
    "r2plus1d_18": dict(frames=16, rate=15.0, size=112, mean=[0.43216, 0.394666, 0.37645],
                        std=[0.22803, 0.22145, 0.216989], antialias=False, licence="BSD-3-Clause",
                        source="torchvision, Kinetics-400"),
}


def build(name, classes):
    if name == "r2plus1d_18":
        return torchvision.models.video.r2plus1d_18(weights=None, num_classes=classes)
    # The package's own __init__ pulls in transforms that name a module which
    # newer torchvisions have renamed.
    sys.modules.setdefault(
        "torchvision.transforms.functional_tensor", torchvision.transforms._functional_tensor
    )
    from pytorchvideo.layers.swish import Swish
    from pytorchvideo.models.x3d import create_x3d

    spec = MODELS[name]
    # The head pools over input_crop_size / 32; the weights do not depend on it.
    # Without an activation it gives logits in evaluation too.
    net = create_x3d(
        input_clip_length=spec["frames"], input_crop_size=spec["size"], model_num_class=classes,
        depth_factor=2.2, head_activation=None,
    )

    def plain(module):  # Swish is an autograd function of its own, which does not export
        for key, child in module.named_children():
            if isinstance(child, Swish):
                setattr(module, key, nn.SiLU())
            else:
                plain(child)

    plain(net)
    return net


def randomise(net, shape, seed):
    """Weights that make a comparison mean something.

    As initialised, batch normalisation hardly scales and X3D's residual branches
    are zero; so draw its weights, and take its statistics from random clips.
    """
    torch.manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0.0, 0.2)
            module.momentum = None  # plain mean over the clips below
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.05)
    net.train()
    with torch.no_grad():
        for _ in range(2):
            net(torch.randn(2, *shape[1:]))


def load(net, file):
    stored = torch.load(file, map_location="cpu", weights_only=True)
    for key in ("model_state", "state_dict", "model"):
        if isinstance(stored, dict) and key in stored:
            stored = stored[key]
    net.load_state_dict(stored)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--weights", type=pathlib.Path, help="a published checkpoint; without one, random")
    parser.add_argument("--labels", type=pathlib.Path, help="one class a line, in index order")
    parser.add_argument("--size", type=int, help="height and width in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--modes", nargs="+", default=["window"], help="for run.modes; the first is the default")
    parser.add_argument("--save-weights", type=pathlib.Path, help="write the weights for PyTorch as well")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")

    spec = MODELS[args.model]
    if args.size:
        spec["size"] = args.size
    labels = args.labels.read_text().split("\n") if args.labels else [f"class-{i:03}" for i in range(400)]
    labels = [label.strip() for label in labels if label.strip()]
    shape = (1, 3, spec["frames"], spec["size"], spec["size"])
    net = build(args.model, len(labels))
    if args.weights:
        load(net, args.weights)
    else:
        randomise(net, shape, args.seed)
    net.eval()
    if args.save_weights:
        args.save_weights.parent.mkdir(parents=True, exist_ok=True)
        torch.save(net.state_dict(), args.save_weights)

    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "model.onnx"
    with torch.no_grad():
        torch.onnx.export(net, (torch.zeros(shape),), file, opset_version=OPSET, dynamo=False,
                          input_names=["clip"], output_names=["logits"])
    compare(net, file, shape)

    (args.out / "labels.txt").write_text("\n".join(labels) + "\n")
    source = spec["source"] if args.weights else f"random weights, seed {args.seed}"
    licence = spec["licence"] if args.weights else "MIT OR Apache-2.0"
    (args.out / "model.toml").write_text(
        f"""name    = "{args.model}"
task    = "single-label"
file    = "model.onnx"
labels  = "labels.txt"
output  = "logits"
licence = "{licence}"
source  = "{source}"
sha256  = "{hashlib.sha256(file.read_bytes()).hexdigest()}"

[input]
layout    = "NCTHW"
frames    = {spec["frames"]}
rate      = {spec["rate"]}
size      = [{spec["size"]}, {spec["size"]}]
resize    = "short-side"
antialias = {json.dumps(spec["antialias"])}
colour    = "RGB"
mean      = {spec["mean"]}
std       = {spec["std"]}

[run]
modes = {json.dumps(args.modes)}
"""
    )


def compare(net, file, shape):
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    worst = 0.0
    for seed in range(2):
        clip = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            ours = net(clip).numpy()
        theirs = session.run(None, {"clip": clip.numpy()})[0]
        worst = max(worst, float(np.abs(ours - theirs).max() / np.abs(theirs).max()))
    print(f"{file}: PyTorch and ONNX Runtime differ by {worst:.1e} of the largest logit")
    assert worst < 1e-4, "the export is not the network"


if __name__ == "__main__":
    main()
