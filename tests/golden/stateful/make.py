"""Makes stream.onnx and stream.json: a network that takes and returns its state, and what it gives frame by frame.

    python tests/golden/stateful/make.py          # needs tests/golden/continual/requirements.txt

As MoViNet's streaming networks (Kondratyuk et al., CVPR 2021): channels last outside, causal convolutions over time
that keep the frames before, squeeze-excite and a head that average over all frames so far and count them in i32.
tests/stateful.rs fills the weights in by the same formula and compares.
"""

import pathlib
import sys
import warnings

import numpy as np
import onnxruntime
import torch
from torch import nn

OUT = pathlib.Path(__file__).parent
sys.path.append(str(OUT.parent / "continual"))

import formula
import ranges
import rows
import skeleton

CLASSES, SIZE, FRAMES = 10, (32, 40), 10


class Causal(nn.Module):
    """A depthwise convolution over time that sees the frames before in a buffer, channels last."""

    def __init__(self, width, taps):
        super().__init__()
        self.time = nn.Conv3d(width, width, (taps, 1, 1), groups=width)

    def forward(self, x, buffer):
        x = torch.cat([buffer.permute(0, 4, 1, 2, 3), x], 2)
        return self.time(x), x[:, :, 1:].permute(0, 2, 3, 4, 1)


class Mean(nn.Module):
    """The mean over all frames so far, from the sum and the number of those before."""

    def forward(self, x, buffer, count):
        total = buffer.permute(0, 4, 1, 2, 3) + x.mean((3, 4), keepdim=True)
        count = count + torch.ones(1, dtype=torch.int32)
        return total / count.to(torch.float32), total.permute(0, 2, 3, 4, 1), count


class Block(nn.Module):
    def __init__(self, before, inner, after, stride, taps):
        super().__init__()
        self.expand = nn.Sequential(nn.Conv3d(before, inner, 1), nn.Hardswish())
        self.space = nn.Conv3d(inner, inner, (1, 3, 3), (1, stride, stride), (0, 1, 1), groups=inner)
        self.time = Causal(inner, taps)
        self.mean = Mean()
        self.gate = nn.Sequential(nn.Conv3d(inner, 8, 1), nn.Hardswish(), nn.Conv3d(8, inner, 1), nn.Hardsigmoid())
        self.project = nn.Conv3d(inner, after, 1)
        self.around = before == after and stride == 1

    def forward(self, x, stream, pool, count):
        y, stream = self.time(self.space(self.expand(x)), stream)
        y = nn.functional.hardswish(y)
        mean, pool, count = self.mean(y, pool, count)
        y = self.project(y * self.gate(mean))
        return x + y if self.around else y, stream, pool, count


class Stream(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv3d(3, 8, (1, 3, 3), (1, 2, 2), (0, 1, 1)), nn.Hardswish())
        self.blocks = nn.ModuleList([Block(8, 16, 8, 1, 3), Block(8, 24, 12, 2, 5), Block(12, 24, 12, 1, 3)])
        self.top = nn.Sequential(nn.Conv3d(12, 32, 1), nn.Hardswish())
        self.mean = Mean()
        self.head = nn.Linear(32, CLASSES)

    def forward(self, image, *states):
        x, after = self.stem(image.permute(0, 4, 1, 2, 3)), []
        for at, block in enumerate(self.blocks):
            x, *kept = block(x, *states[3 * at : 3 * at + 3])
            after += kept
        x, *kept = self.mean(self.top(x), *states[-2:])
        return self.head(x.flatten(1)), *after, *kept


def main():
    warnings.filterwarnings("ignore")
    torch.manual_seed(0)
    height, width = SIZE
    names, states = [], []
    for at, (inner, taps, size) in enumerate([(16, 3, 2), (24, 5, 4), (24, 3, 4)]):
        names += [f"block{at}_stream_buffer:0", f"block{at}_pool_buffer:0", f"block{at}_pool_frame_count:0"]
        states += [torch.zeros(1, taps - 1, height // size, width // size, inner), torch.zeros(1, 1, 1, 1, inner),
                   torch.zeros(1, dtype=torch.int32)]
    names += ["head_pool_buffer:0", "head_pool_frame_count:0"]
    states += [torch.zeros(1, 1, 1, 1, 32), torch.zeros(1, dtype=torch.int32)]
    returned = [f"StatefulPartitionedCall:{at}" for at in range(len(names) + 1)]

    def image(t):
        return torch.from_numpy(formula.frame(t, height, width).transpose(1, 2, 0)[None, None].copy())

    net = Stream().eval()
    spread = ranges.spread(net, image(0), *states)
    for _ in range(8):  # once more with states as they are in a running stream
        warm = states
        with torch.no_grad():
            for t in range(8):
                _, *warm = net(image(t), *warm)
        spread = ranges.spread(net, image(8), *warm)
    model = skeleton.export(net, [image(0), *states], ["image:0", *names], returned)
    model = skeleton.strip(model, net, spread)
    # As converters leave them: neither the inputs nor the outputs in any order that means something.
    for values in (model.graph.input, model.graph.output):
        ordered = sorted(values, key=lambda value: formula.uniform(value.name, 0))
        del values[:]
        values.extend(ordered)
    (OUT / "stream.onnx").write_bytes(model.SerializeToString())

    session = onnxruntime.InferenceSession(skeleton.fill(model).SerializeToString(), providers=["CPUExecutionProvider"])
    kept, logits = [state.numpy() for state in states], {}
    for t in range(FRAMES):
        feed = {"image:0": image(t).numpy(), **dict(zip(names, kept))}
        found, *kept = session.run(returned, feed)
        logits[t] = found[0]
    assert all(count == FRAMES for count in kept[2::3])
    values = np.stack(list(logits.values()))
    moved = min(np.abs(a - b).max() for a, b in zip(values, values[1:])) / np.abs(values).max()
    print(f"{(OUT / 'stream.onnx').stat().st_size} bytes, largest logit {np.abs(values).max():.2f}, "
          f"neighbours differ by {moved:.2g}")
    assert moved > 0.003
    states = [list(pair) for pair in zip(names, returned[1:])]
    golden = {"size": SIZE, "classes": CLASSES, "states": dict(states), "logits": rows.of(logits)}
    (OUT / "stream.json").write_text(rows.text(golden))


if __name__ == "__main__":
    main()
