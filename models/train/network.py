"""The camera-events network: a motion front end and a small causal (2+1)D trunk.

It sees luma frames of 96 x 128 pixels, 8 a second. The front end is fixed: at
three scales it compares each frame with the one before and with the third
before, by the sums of products of spatial and temporal differences that Lucas
and Kanade (1981) solve for motion. What it gives (how fast each part of the
view moves and which way, how sharp it is, how much it changed) hardly depends
on what the picture shows, so what the trunk learns on drawn streams holds on
real ones. The trunk is learned: blocks of temporal and spatial depthwise
convolutions with pointwise ones between, as in X3D (Feichtenhofer 2020).

Every temporal convolution looks back only and none is padded: 16 frames give
exactly one output, and the same weights run over a clip of 16 frames or one
frame at a time with their past kept as state; both give the same logits.

Temporal reach: front end 4 frames, five blocks of +2, head +2: 16 frames (2 s).
"""

import torch
from torch import nn
from torch.nn import functional as F

LABELS = [
    "idle", "left-to-right", "right-to-left", "approaching", "receding",
    "camera-pan", "camera-shake", "covered", "out-of-focus", "light-change",
]
FRAMES, HEIGHT, WIDTH, RATE = 16, 96, 128, 8.0
MEAN, STD = 0.45, 0.25
# Frames between the two that are compared.
LAGS = (1, 3)
REACH = max(LAGS)
GRID = (12, 16)
# Cells across the windows in which growing and shrinking are looked for.
WINDOWS = (3, 5)
# Differences below this are the sensor's own: in units of the normalised input.
FLOOR = 0.03


# The feature that says how much a cell changed: middle scale, longer lag.
CHANGE = 5 * (1 * len(LAGS) + 1) + 3


class FrontEnd(nn.Module):
    """Frames (B, T, 96, 128) to features (B, T - 3, 43, 12, 16)."""

    channels = len(LAGS) * 3 * 5 + 3 + len(LAGS) * 2 * len(WINDOWS) + 2

    def __init__(self):
        super().__init__()
        for level in range(4):
            h, w = HEIGHT >> level, WIDTH >> level
            # Differences reach over the picture's edge: not to be trusted there.
            inside = torch.zeros(1, 1, h, w)
            inside[..., 1 : h - 1, 1 : w - 1] = 1.0
            self.register_buffer(f"inside_{level}", inside, persistent=False)
        for size in WINDOWS:
            offset = torch.arange(size) - (size - 1) / 2
            across = offset[None, :].expand(size, size)
            ramps = torch.stack([across, across.T, 0.5 * (across**2 + across.T**2)])
            self.register_buffer(f"ramps_{size}", ramps[:, None], persistent=False)

    def growth(self, tx, ty, energy, size):
        """How fast what lies in a window grows: the divergence that explains the
        change best, in eighths of a cell a cell. All (B, T, 12, 16)."""
        ramps = getattr(self, f"ramps_{size}")

        def weighed(product, i):
            flat = product.reshape(-1, 1, *GRID)
            return F.conv2d(flat, ramps[i : i + 1], padding=size // 2).reshape(product.shape)
        along = weighed(tx, 0) + weighed(ty, 1)
        return torch.clamp(-8.0 * along / (weighed(energy, 2) + FLOOR * FLOOR), -2.0, 2.0)

    def forward(self, x):
        t = x.shape[1] - REACH
        features, growths = [], []
        level_x = x
        for level in range(3):
            level_x = F.avg_pool2d(level_x, 2)
            cell = level_x.shape[2] // GRID[0]
            inside = getattr(self, f"inside_{level + 1}")
            floor = FLOOR * FLOOR
            new = level_x[:, REACH:]
            for lag in LAGS:
                old = level_x[:, REACH - lag : REACH - lag + t]
                middle = (new + old) * 0.5
                wide = F.pad(middle, (1, 1, 1, 1))
                dx = (wide[..., 1:-1, 2:] - wide[..., 1:-1, :-2]) * 0.5 * inside
                dy = (wide[..., 2:, 1:-1] - wide[..., :-2, 1:-1]) * 0.5 * inside
                dt = (new - old) * inside

                def pooled(product):
                    return F.avg_pool2d(product, cell) if cell > 1 else product
                xx, yy, tt = pooled(dx * dx), pooled(dy * dy), pooled(dt * dt)
                tx, ty = pooled(dx * dt), pooled(dy * dt)
                if level < 2:
                    growths += [self.growth(tx, ty, xx + yy, size) for size in WINDOWS]
                features += [
                    torch.clamp(-tx / (xx + floor), -2.0, 2.0),
                    torch.clamp(-ty / (yy + floor), -2.0, 2.0),
                    0.5 * torch.log(xx + yy + floor),
                    0.5 * torch.log(tt + floor),
                    tt / (xx + yy + tt + floor),
                ]
        # Brightness, and how it changed in an eighth and three eighths of a second.
        grid = level_x
        now = grid[:, REACH:]
        features += [now] + [now - grid[:, REACH - lag : REACH - lag + t] for lag in LAGS]
        return torch.stack(features + growths + self.sharpness(x[:, REACH:]), dim=2)

    def sharpness(self, x):
        """The finest detail there is, at full size: gradient and Laplacian energy.
        Beside the coarser scales' it tells a soft picture from a plain one."""
        wide = F.pad(x, (1, 1, 1, 1))
        left, right = wide[..., 1:-1, :-2], wide[..., 1:-1, 2:]
        above, below = wide[..., :-2, 1:-1], wide[..., 2:, 1:-1]
        dx, dy = (right - left) * 0.5 * self.inside_0, (below - above) * 0.5 * self.inside_0
        curve = (left + right + above + below - 4.0 * x) * self.inside_0
        return [
            0.5 * torch.log(F.avg_pool2d(energy, HEIGHT // GRID[0]) + FLOOR * FLOOR)
            for energy in (dx * dx + dy * dy, curve * curve)
        ]


class Stem(nn.Module):
    """Features (B, T, 43, 12, 16) to (B, T, C, 12, 16).

    Each cell sees its own features and, for context, their average over the
    whole view weighed by how much each cell changed: which way whatever moves
    is moving, however small it is.
    """

    def __init__(self, channels):
        super().__init__()
        self.here = nn.Conv2d(FrontEnd.channels, channels, 1, bias=False)
        self.context = nn.Conv2d(FrontEnd.channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, features):
        b, t = features.shape[:2]
        x = features.flatten(0, 1)
        return F.relu(self.norm(self.here(x) + self.context(weighed(x)))).unflatten(0, (b, t))


def weighed(x):
    """Averages of features (N, 43, 12, 16) by change: (N, 43, 1, 1)."""
    change = torch.clamp(torch.exp(2.0 * x[:, CHANGE : CHANGE + 1]) - 2.0 * FLOOR * FLOOR, min=0.0) + 1e-5
    return (x * change).sum((2, 3), keepdim=True) / change.sum((2, 3), keepdim=True)


class TemporalDepthwise(nn.Module):
    """Each channel's own filter over the last three frames.

    Input (B, T, C, H, W), output (B, T - 2, C, H, W).
    """

    def __init__(self, channels):
        super().__init__()
        # A third of the channels begins as the newest frame, a third as its
        # difference from two frames before, a third as the average.
        starts = torch.tensor([[0.0, 0.0, 1.0], [-1.0, 0.0, 1.0], [0.33, 0.34, 0.33]])
        weight = starts[torch.arange(channels) % 3].T
        self.weight = nn.Parameter(weight + 0.1 * torch.randn(3, channels))

    def forward(self, x):
        t = x.shape[1]
        w = self.weight[:, None, None, :, None, None]
        return w[0] * x[:, : t - 2] + w[1] * x[:, 1 : t - 1] + w[2] * x[:, 2:]


class PerFrame(nn.Module):
    """A 2-D module applied to each frame of (B, T, C, H, W)."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        b, t = x.shape[:2]
        y = self.layers(x.flatten(0, 1))
        return y.unflatten(0, (b, t))


class SqueezeExcite(nn.Module):
    """Channel gates from the frame's own average (Hu et al. 2018)."""

    def __init__(self, channels):
        super().__init__()
        self.down = nn.Conv2d(channels, channels // 4, 1)
        self.up = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x):
        s = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.up(F.relu(self.down(s))))


class Block(nn.Module):
    """Temporal depthwise, spatial depthwise 3 x 3, gates, pointwise; residual.

    Its output has two frames fewer than its input.
    """

    def __init__(self, channels):
        super().__init__()
        self.time = TemporalDepthwise(channels)
        self.space = PerFrame(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            SqueezeExcite(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x):
        return F.relu(x[:, 2:] + self.space(self.time(x)))


def down(inputs, outputs):
    """Halves height and width: depthwise 3 x 3 of stride 2, pointwise."""
    return PerFrame(
        nn.Conv2d(inputs, inputs, 3, stride=2, padding=1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class CameraEvents(nn.Module):
    """Frames (B, T, 96, 128), normalised, to logits (B, T - 15, 10)."""

    def __init__(self, widths=(48, 96), hidden=96):
        super().__init__()
        a, b = widths
        self.front = FrontEnd()
        self.stem = Stem(a)
        self.blocks = nn.Sequential(Block(a), Block(a), down(a, b), Block(b), Block(b), Block(b))
        self.head = nn.Conv1d(2 * b, hidden, 3)
        self.classify = nn.Conv1d(hidden, len(LABELS), 1)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        with torch.no_grad():
            features = self.front(x)
        y = self.blocks(self.stem(features))
        pooled = torch.cat([y.mean((3, 4)), y.amax((3, 4))], dim=2).transpose(1, 2)
        hidden = self.dropout(F.relu(self.head(pooled)))
        return self.classify(hidden).transpose(1, 2)
