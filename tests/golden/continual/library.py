"""Reference by Hedegaard and Iosifidis' continual-inference library: X3D and R(2+1)D from its modules.

"Continual 3D Convolutional Neural Networks for Real-time Processing of Videos", ECCV 2022.
"""

import copy

import continual as co
import torch
from torch import nn


def x3d(net, last, scope="clip"):
    """PyTorchVideo's X3D without padding in time: nothing comes before all that it needs has come.

    `last` frames are averaged by the head and, with scope "clip", by squeeze-excite, whose gate multiplies the newest
    of them (`Skip`). With scope "frame", as in the paper's own code, each frame has its own gate.
    """
    net = copy.deepcopy(net).eval()
    stem, *stages, head = net.blocks
    parts = [unpadded(stem.conv.conv_t), unpadded(stem.conv.conv_xy), stem.norm, nn.ReLU()]
    for stage in stages:
        parts += [block(b, last if scope == "clip" else 1) for b in stage.res_blocks]
    pool = head.pool
    parts += [
        unpadded(pool.pre_conv), pool.pre_norm, nn.ReLU(), co.AdaptiveAvgPool3d((1, 1, 1), kernel_size=last),
        unpadded(pool.post_conv), nn.ReLU(),
    ]
    return co.Sequential(*parts), head.proj


def unpadded(module):
    return co.Conv3d.build_from(module, padding=(0, *module.padding[1:]))


def block(block, last):
    inner = block.branch2
    parts = [unpadded(inner.conv_a), inner.norm_a, nn.ReLU(), unpadded(inner.conv_b), inner.norm_b[0]]
    late = 0
    if hasattr(inner.norm_b[1], "block"):
        gate = inner.norm_b[1].block
        gated = co.Sequential(
            co.AdaptiveAvgPool3d((1, 1, 1), kernel_size=last), unpadded(gate[0]), nn.ReLU(), unpadded(gate[2]), nn.Sigmoid()
        )
        late = last - 1
        parts.append(co.Residual(gated, reduce="mul", residual_shrink="leading" if late else False))
    main = co.Sequential(*parts, nn.SiLU(), unpadded(inner.conv_c), inner.norm_c)
    # What goes around: the frame in the middle of conv_b's three, from the first one on for which main has all.
    around = [co.Skip(late)] if late else []
    around.append(co.Delay(1, auto_shrink=True))
    if block.branch1_conv is not None:
        around.append(unpadded(block.branch1_conv))
    if block.branch1_norm is not None:
        around.append(block.branch1_norm)
    return co.Sequential(
        co.BroadcastReduce(co.Sequential(*around), main, reduce="sum", auto_delay=False), nn.ReLU()
    )


def r2plus1d(net, last):
    """torchvision's R(2+1)D-18 as it stands, with its padding: its first outputs also see zeros from before the
    stream. `last` frames of the last layer are averaged."""
    net = copy.deepcopy(net).eval()
    stem, *layers, _, head = net
    parts = [converted(stem)]
    for layer in layers:
        for inner in layer:
            main = co.Sequential(converted(inner.conv1), converted(inner.conv2))
            if inner.downsample is None:
                joined = co.Residual(main)
            else:
                around = co.Sequential(co.Delay(main.delay), converted(inner.downsample))
                joined = co.BroadcastReduce(around, main, reduce="sum", auto_delay=False)
            parts += [joined, nn.ReLU()]
    parts.append(co.AdaptiveAvgPool3d((1, 1, 1), kernel_size=last))
    return co.Sequential(*parts), head.fc


def converted(module):
    if isinstance(module, nn.Conv3d):
        return co.Conv3d.build_from(module)
    if isinstance(module, nn.Sequential):
        return co.Sequential(*(converted(m) for m in module if not isinstance(m, nn.Identity)))
    return module


def steps(trunk, head, frames):
    """{step: logits} of the frames of a stream."""
    found = {}
    trunk.eval()
    with torch.no_grad():
        for step, frame in enumerate(frames):
            features = trunk.forward_step(torch.as_tensor(frame)[None])
            if isinstance(features, torch.Tensor):
                found[step] = head(features.flatten(1))[0].numpy().copy()
    return found
