"""Reference without any library: the network over a long clip, its padding in time replaced by what is not a number.

An output that is a number saw frames of the stream only: it belongs to the windowed network's inside. The step at
which it comes is that of the first prefix of the stream which has it.
"""

import bisect
import copy

import torch
from torch import nn

from networks import Streamed, around


class Interior:
    """`net` over long clips of which `take(n)` gives the first n frames.

    Averages are over `average` frames of the stream, by default those of `clip`. With `early`, what lies before the
    stream counts as nothing, as before a clip. Averages that only weigh channels never wait.
    """

    def __init__(self, net, clip, take, average=None, early=False):
        frames = clip_frames(net, clip)
        longer = (average or frames[net]) / frames[net]
        self.take, self.early, self.frames = take, early, frames[net]
        self.behind = self.variant(net, frames, longer, closed=True)
        self.net = self.variant(net, frames, longer, closed=False)

    def variant(self, net, frames, longer, closed):
        """With `closed`, nothing lies behind the stream, as behind a clip."""
        twin = copy.deepcopy(net)
        for module, original in zip(twin.modules(), net.modules()):
            if isinstance(module, Streamed):
                module.stream = max(1, round(frames[original] * longer))
                module.eager = self.early or getattr(module, "gate", False)
                fill(module, 0.0, self.early, closed)
            elif isinstance(module, (nn.Conv3d, nn.MaxPool3d, nn.AvgPool3d)):
                unpad(module, self.early, closed)
        return twin

    def logits(self, count, net=None):
        """What is a number of what the first `count` frames give, in order."""
        try:
            with torch.no_grad():
                logits = (net or self.net)(self.take(count))[0]
        except RuntimeError:  # fewer frames than a kernel has taps
            return torch.zeros(0, 1)
        return logits[~logits.isnan().any(1)]

    def prefix(self, which, longest, net=None):
        """The fewest frames that give so many outputs."""
        return bisect.bisect_left(range(longest + 1), which, key=lambda count: len(self.logits(count, net)))

    def run(self, count):
        """Steps with their logits, and how far the last one lags behind the clip that would have given it."""
        found = self.logits(count).numpy()
        last = self.prefix(len(found), count)
        every = last - self.prefix(len(found) - 1, count)
        assert self.prefix(1, count) == last - every * (len(found) - 1)
        steps = {last - 1 - every * (len(found) - 1 - at): row for at, row in enumerate(found)}
        delay = last - self.prefix(len(found), count, self.behind)
        if self.early:
            steps = {step: row for step, row in steps.items() if step >= self.frames - 1}
        return steps, every, delay


def clip_frames(net, clip):
    """How many frames of a clip each module is given; of the network itself, how many the clip has."""
    frames = {}

    def note(module, inputs):
        x = inputs[0]
        frames[module] = x.shape[getattr(module, "order", range(5))[2]] if x.ndim == 5 else 1

    hooks = [module.register_forward_pre_hook(note) for module in net.modules()]
    with torch.no_grad():
        net(clip)
    for hook in hooks:
        hook.remove()
    return frames


def fill(module, nothing, early, closed):
    module.before = nothing if early else torch.nan
    module.behind = nothing if closed else torch.nan


def unpad(module, early, closed):
    """Puts the padding in time in front of a module."""
    if isinstance(module.padding, int):
        module.padding = (module.padding,) * 3
    time = module.padding[0]
    if not time:
        return
    assert not isinstance(module, nn.AvgPool3d), "whether it counts what is not there is not settled"
    module.padding = (0, *module.padding[1:])
    if isinstance(module, nn.Conv3d):
        module._reversed_padding_repeated_twice = [p for p in reversed(module.padding) for _ in range(2)]
    fill(module, -torch.inf if isinstance(module, nn.MaxPool3d) else 0.0, early, closed)
    inner = module.forward
    module.forward = lambda x: inner(around(x, time, time, module))
