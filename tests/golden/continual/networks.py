"""The networks: two as published, the others small, each with what others lack.

A network gives the logits of one clip. Where `stream` is set on its modules it gives those of a long clip at every
frame: averages over time then run over the last `stream` frames, and what saw anything that is not there is not a
number.
"""

import sys

import torch
import torchvision
from torch import nn
from torch.nn import functional as F

sys.modules.setdefault("torchvision.transforms.functional_tensor", torchvision.transforms._functional_tensor)
from pytorchvideo.layers.swish import Swish
from pytorchvideo.models.resnet import create_resnet
from pytorchvideo.models.x3d import create_x3d


class Streamed(nn.Module):
    """Knows whether it runs over a clip (none) or over a stream, and over how many of its frames it then averages;
    whether it averages as soon as there is one; and what lies before and behind the stream."""

    stream = None
    eager = False
    before, behind = torch.nan, torch.nan

    def last(self, x):
        """The mean of each frame and those before it."""
        nothing = torch.full_like(x[:, :, :1], torch.nan).expand(-1, -1, self.stream - 1, -1, -1)
        windows = torch.cat([nothing, x], 2).unfold(2, self.stream, 1)
        mean = windows.nanmean(-1) if self.eager else windows.mean(-1)
        return torch.where(x.isnan(), torch.nan, mean)


class TimeMean(Streamed):
    """The mean over time and space, the axes kept."""

    def __init__(self, pooled=True, gate=False):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool3d(1) if pooled else None
        self.gate = gate

    def forward(self, x):
        if self.stream:
            return self.last(x.mean((3, 4), keepdim=True))
        return self.pool(x) if self.pool else x.mean((2, 3, 4), keepdim=True)


class PooledMean(Streamed):
    """The mean over time and space by a pool that is as large as its input."""

    def __init__(self, pool):
        super().__init__()
        self.pool = pool

    def forward(self, x):
        return self.last(x.mean((3, 4), keepdim=True)) if self.stream else self.pool(x)


class SqueezeExcite(nn.Module):
    def __init__(self, width, inner, gate=nn.Sigmoid, pooled=True):
        super().__init__()
        self.mean = TimeMean(pooled, gate=True)
        self.block = nn.Sequential(nn.Conv3d(width, inner, 1), nn.ReLU(), nn.Conv3d(inner, width, 1), gate())

    def forward(self, x):
        return x * self.block(self.mean(x))


def around(x, before, behind, fill):
    """Frames before and behind those of `x`."""
    x = F.pad(x, (0, 0, 0, 0, before, 0), value=fill.before)
    return F.pad(x, (0, 0, 0, 0, 0, behind), value=fill.behind)


class Same(Streamed):
    """Zeros around, before convolving without padding: as many as TensorFlow's SAME takes, the odd one behind."""

    def __init__(self, kernel, stride, size):
        super().__init__()
        self.sides = []
        for k, s, n in zip(kernel, stride, size):
            total = max(k - s if n % s == 0 else k - n % s, 0)
            self.sides.append((total // 2, total - total // 2))

    def forward(self, x):
        time, down, across = self.sides
        if not self.stream:
            return F.pad(x, (*across, *down, *time))
        return around(F.pad(x, (*across, *down)), *time, self)


class Flat(Streamed):
    """All of a clip's values in a row."""

    def __init__(self, frames):
        super().__init__()
        self.frames = frames

    def forward(self, x):
        if not self.stream:
            return torch.flatten(x, 1)
        return torch.stack([torch.flatten(x[:, :, t : t + self.frames], 1)
                            for t in range(x.shape[2] - self.frames + 1)], 1)


class Head(Streamed):
    """A classifier of frames of one pixel."""

    def __init__(self, width, classes):
        super().__init__()
        self.fc = nn.Linear(width, classes)

    def forward(self, x):
        return self.fc(x.flatten(2).transpose(1, 2)) if self.stream else self.fc(x.flatten(1))


class Turned(nn.Module):
    """Takes its clip in another layout."""

    def __init__(self, net, order):
        super().__init__()
        self.net, self.order = net, order

    def forward(self, clip):
        return self.net(clip.permute(self.order))


def conv(before, after, kernel, stride=1, padding=0, norm=False, activation=nn.ReLU, groups=1, dilation=1):
    layers = [nn.Conv3d(before, after, kernel, stride, padding, dilation, groups, bias=not norm)]
    layers += [nn.BatchNorm3d(after, eps=1e-3)] if norm else []
    layers += [activation()] if activation else []
    return nn.Sequential(*layers)


class Sum(nn.Module):
    def __init__(self, main, beside=None, activation=nn.ReLU):
        super().__init__()
        self.main, self.beside = main, beside or nn.Identity()
        self.activation = activation() if activation else nn.Identity()

    def forward(self, x):
        return self.activation(self.main(x) + self.beside(x))


class Concat(nn.Module):
    def __init__(self, *branches):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


class FrameMean(nn.Module):
    """The mean over each frame's pixels."""

    def forward(self, x):
        return x.mean((3, 4), keepdim=True)


def residual(classes):
    """No average over time: residuals around strides, dilation and two pools over time, and a last convolution that
    takes what is left of a clip. 8 frames of 24 x 32."""
    return nn.Sequential(
        conv(3, 8, (3, 5, 5), (1, 2, 2), (1, 2, 2)),
        nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        Sum(nn.Sequential(conv(8, 8, 3, padding=1), conv(8, 8, (3, 1, 1), padding=(1, 0, 0), activation=None))),
        conv(8, 8, (3, 3, 3), padding=(2, 1, 1), groups=8, dilation=(2, 1, 1), activation=nn.Hardswish),
        Sum(nn.Sequential(conv(8, 16, 3, 2, 1), conv(16, 16, 3, padding=1, activation=None)),
            conv(8, 16, 1, 2, activation=None)),
        nn.MaxPool3d(3, 1, 1),
        Sum(nn.Sequential(conv(16, 24, 1), conv(24, 24, 3, padding=1, groups=24), conv(24, 16, 1, activation=None))),
        nn.AvgPool3d((2, 1, 1), (2, 1, 1)),
        conv(16, 24, (2, 3, 4)),
        Head(24, classes),
    )


def inception(classes):
    """As S3D: separated convolutions with batch normalisation, branches that meet by channel, pools of three frames,
    and a mean over what is left. 8 frames of 32 x 32."""

    def separated(before, after, kernel, stride=1):
        pad = kernel // 2
        return nn.Sequential(
            conv(before, after, (1, kernel, kernel), (1, stride, stride), (0, pad, pad), norm=True),
            conv(after, after, (kernel, 1, 1), (stride, 1, 1), (pad, 0, 0), norm=True),
        )

    def block(before, one, three, double, pool):
        return Concat(
            conv(before, one, 1, norm=True),
            nn.Sequential(conv(before, three, 1, norm=True), separated(three, three, 3)),
            nn.Sequential(conv(before, double, 1, norm=True), separated(double, double, 3)),
            nn.Sequential(nn.MaxPool3d(3, 1, 1), conv(before, pool, 1, norm=True)),
        )

    return nn.Sequential(
        separated(3, 12, 7, 2),
        nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        block(12, 6, 8, 4, 4),
        nn.MaxPool3d(3, (2, 2, 2), 1),
        block(22, 8, 10, 6, 5),
        FrameMean(),
        PooledMean(nn.AvgPool3d((2, 1, 1), 1)),
        conv(29, classes, 1, activation=None),
        Mean(),
    )


class Mean(Streamed):
    """The mean over time of logits that stand at each frame."""

    def forward(self, x):
        if self.stream:
            return self.last(x).flatten(2).transpose(1, 2)
        return torch.mean(x, dim=(2, 3, 4))


def c3d(classes):
    """As C3D: 3x3x3 convolutions, pools of two frames, and fully connected layers over all of what is left.
    8 frames of 32 x 32, time before channels."""
    net = nn.Sequential(
        conv(3, 8, 3, padding=1), nn.MaxPool3d((1, 2, 2)),
        conv(8, 16, 3, padding=1), nn.MaxPool3d(2),
        conv(16, 16, 3, padding=1), conv(16, 16, 3, padding=1), nn.MaxPool3d((1, 2, 2), (1, 2, 2), (0, 1, 1)),
        Flat(4), nn.Linear(16 * 4 * 5 * 5, 32), nn.ReLU(), nn.Linear(32, classes),
    )
    return Turned(net, (0, 2, 1, 3, 4))


def i3d(classes):
    """As I3D: padding that is not the same before and behind, zeros in front of max pools, and a mean over the logits
    of what is left. 16 frames of 32 x 32, channels last."""

    def same(layer, kernel, stride, size):
        return nn.Sequential(Same(kernel, stride, size), layer)

    def unit(before, after, kernel, stride, size):
        layer = nn.Conv3d(before, after, kernel, stride, bias=False)
        return nn.Sequential(same(layer, (kernel,) * 3, (stride,) * 3, size), nn.BatchNorm3d(after, eps=1e-3), nn.ReLU())

    def pool(kernel, stride, size):
        return same(nn.MaxPool3d(kernel, stride), kernel, stride, size)

    net = nn.Sequential(
        unit(3, 8, 7, 2, (16, 32, 32)),
        pool((1, 3, 3), (1, 2, 2), (8, 16, 16)),
        unit(8, 8, 1, 1, (8, 8, 8)),
        unit(8, 16, 3, 1, (8, 8, 8)),
        Concat(
            unit(16, 6, 1, 1, (8, 8, 8)),
            nn.Sequential(unit(16, 8, 1, 1, (8, 8, 8)), unit(8, 8, 3, 1, (8, 8, 8))),
            nn.Sequential(pool((3, 3, 3), (1, 1, 1), (8, 8, 8)), unit(16, 6, 1, 1, (8, 8, 8))),
        ),
        pool((2, 2, 2), (2, 2, 2), (8, 8, 8)),
        unit(20, 24, 3, 1, (4, 4, 4)),
        nn.AvgPool3d((2, 4, 4), 1),
        nn.Conv3d(24, classes, 1),
        Mean(),
    )
    return Turned(net, (0, 4, 1, 2, 3))


class SlowHead(Streamed):
    """PyTorchVideo's head after its pool: a projection of the last axis, then a mean over what is left."""

    def __init__(self, head):
        super().__init__()
        self.pool, self.proj, self.output_pool = head.pool, head.proj, nn.AdaptiveAvgPool3d(1)
        if isinstance(self.pool, nn.AvgPool3d):
            self.pool = PooledMean(self.pool)
        else:
            self.pool.pool = PooledMean(self.pool.pool)

    def forward(self, x):
        x = self.proj(self.pool(x).permute((0, 2, 3, 4, 1)))
        if self.stream:
            return x.flatten(1, 3)
        return self.output_pool(x.permute((0, 4, 1, 2, 3))).flatten(1)


def plain(net):
    """PyTorchVideo's network as modules that export, stream and do not drop."""
    for key, child in net.named_children():
        if isinstance(child, Swish):  # an autograd function of its own
            setattr(net, key, nn.SiLU())
        elif type(child).__name__ == "SqueezeExcitation":
            squeeze = SqueezeExcite(1, 1, pooled=False)
            squeeze.block = child.block
            setattr(net, key, squeeze)
        elif type(child).__name__ == "ResNetBasicHead":
            setattr(net, key, SlowHead(child))
        else:
            plain(child)
    return net


def slow(classes):
    """PyTorchVideo's Slow-R50, an eighth as wide. 8 frames of 32 x 32."""
    return plain(create_resnet(
        model_depth=50, model_num_class=classes, stem_dim_out=8, dropout_rate=0, head_pool_kernel_size=(8, 1, 1),
        head_activation=None,
    ))


def excite(classes):
    """As X3D, small: squeeze-excite around depthwise convolutions, both gates in use. 6 frames of 24 x 24."""

    def block(before, inner, after, stride, gate):
        main = nn.Sequential(
            conv(before, inner, 1, norm=True),
            conv(inner, inner, 3, (1, stride, stride), 1, norm=True, activation=None, groups=inner),
            SqueezeExcite(inner, 8, gate), nn.SiLU(),
            conv(inner, after, 1, norm=True, activation=None),
        )
        beside = conv(before, after, 1, (1, stride, stride), norm=True, activation=None) if stride > 1 else None
        return Sum(main, beside)

    return nn.Sequential(
        conv(3, 8, (1, 3, 3), (1, 2, 2), (0, 1, 1), activation=nn.Identity),
        conv(8, 8, (5, 1, 1), padding=(2, 0, 0), groups=8, norm=True),
        block(8, 18, 12, 2, nn.Sigmoid), block(12, 27, 12, 1, nn.Hardsigmoid),
        conv(12, 24, 1, norm=True), TimeMean(), Head(24, classes),
    )


def x3d_s(classes):
    """PyTorchVideo's X3D-S as it is but for the crop. 13 frames of 64 x 64."""
    return plain(create_x3d(input_clip_length=13, input_crop_size=64, model_num_class=classes, depth_factor=2.2,
                            dropout_rate=0, head_activation=None))


def r2plus1d_18(classes):
    """torchvision's R(2+1)D-18 as it is but for the crop, batch normalisation folded into the convolutions as
    exporters do. 16 frames of 32 x 32."""
    net = torchvision.models.video.r2plus1d_18(weights=None, num_classes=classes)
    net.avgpool, net.fc = TimeMean(), Head(512, classes)
    net.flatten = None

    def fold(module):
        for key, child in module.named_children():
            if isinstance(child, nn.BatchNorm3d):
                setattr(module, key, nn.Identity())
            elif isinstance(child, nn.Conv3d):
                child.bias = nn.Parameter(torch.zeros(child.out_channels))
            else:
                fold(child)

    fold(net)
    return nn.Sequential(net.stem, net.layer1, net.layer2, net.layer3, net.layer4, net.avgpool, net.fc)


class Attention(nn.Module):
    """A non-local block: every pixel of every frame attends to all others."""

    def __init__(self, width):
        super().__init__()
        self.query, self.key, self.value = (nn.Conv3d(width, width, 1) for _ in range(3))

    def forward(self, x):
        query, key, value = (layer(x).flatten(2) for layer in (self.query, self.key, self.value))
        weights = torch.softmax(query.transpose(1, 2) @ key / x.shape[1] ** 0.5, -1)
        return x + (value @ weights.transpose(1, 2)).reshape(x.shape)


def attention(classes):
    """Cannot be streamed: attention over time. 4 frames of 16 x 16."""
    return nn.Sequential(conv(3, 8, 3, (1, 2, 2), 1), Attention(8), TimeMean(), Head(8, classes))


class Every(nn.Module):
    """Every second frame."""

    def forward(self, x):
        return x[:, :, ::2]


def thinned(classes):
    """Frames left out between convolutions. 8 frames of 16 x 16."""
    return nn.Sequential(conv(3, 8, 3, (1, 2, 2), 1), Every(), conv(8, 8, 3, padding=1), TimeMean(), Head(8, classes))


class Cut(nn.Module):
    """The frames in the middle of a clip."""

    def forward(self, x):
        return x[:, :, 1:3]


def cut(classes):
    """Cannot be streamed: some frames of a clip. 4 frames of 16 x 16."""
    return nn.Sequential(conv(3, 8, 3, (1, 2, 2), 1), Cut(), conv(8, 8, 3, padding=1), TimeMean(), Head(8, classes))


class Shift(nn.Module):
    """A temporal shift: some channels of the frame before, some of the next one, as TSM moves them."""

    def forward(self, x):
        nothing = torch.zeros_like(x[:, :2, :1])
        past = torch.cat([nothing, x[:, :2, :-1]], 2)
        future = torch.cat([x[:, 2:4, 1:], nothing], 2)
        return torch.cat([past, future, x[:, 4:]], 1)


def shifted(classes):
    """Cannot be streamed yet: channels that move along time. 4 frames of 16 x 16."""
    return nn.Sequential(conv(3, 8, 3, (1, 2, 2), 1), Shift(), conv(8, 8, 3, padding=1), TimeMean(), Head(8, classes))
