"""Weights and frames from counters: tests/support/formula.rs computes the same, bit for bit.

So that nothing large need be kept, every value is a hash of its name and place. Hashing is done in
integers; a value in [-1, 1) is a 24-bit integer divided by a power of two, which is exact in f32.
"""

import numpy as np

# Pixels of a frame that share a value, along each side.
CELL = 8


def seed(name):
    """FNV-1a of a name, 32 bits."""
    value = 0x811C9DC5
    for byte in name.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return np.uint32(value)


def uniform(name, places):
    """Values in [-1, 1), one for each place."""
    x = np.asarray(places, dtype=np.uint32) * np.uint32(0x9E3779B9) + seed(name)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x85EBCA6B)
    x ^= x >> np.uint32(13)
    x *= np.uint32(0xC2B2AE35)
    x ^= x >> np.uint32(16)
    return ((x >> np.uint32(8)).astype(np.int32) - (1 << 23)).astype(np.float32) / np.float32(1 << 23)


def weights(name, shape, scale, offset):
    """A tensor of values in [offset - scale, offset + scale), in C order."""
    values = uniform(name, np.arange(np.prod(shape, dtype=np.int64)))
    return (values * np.float32(scale) + np.float32(offset)).reshape(shape)


def frame(t, height, width):
    """The stream's t-th frame, 3 x height x width: coarse noise whose strength and mean change from frame to frame."""
    c, y, x = np.meshgrid(np.arange(3), np.arange(height), np.arange(width), indexing="ij")
    rows, columns = -(-height // CELL), -(-width // CELL)
    cells = uniform("cells", ((t * 3 + c) * rows + y // CELL) * columns + x // CELL)
    strength = uniform("strength", [t]) * np.float32(0.75) + np.float32(1)
    return cells * strength + uniform("light", t * 3 + c)


def frames(start, stop, height, width):
    """Frames `start` to `stop` as a clip, 3 x frames x height x width."""
    return np.stack([frame(t, height, width) for t in range(start, stop)], axis=1)
