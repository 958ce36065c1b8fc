"""Makes preprocess/: small pictures, and what PyTorchVideo and torchvision make of them.

    python tests/golden/preprocess.py

Each case is a picture made here (seeded; u8, height x width x channels) and the
f32 tensor (channels x height x width) that a model would be fed. `short-side`
without antialiasing goes through PyTorchVideo's own functions; everything else
through torch's `interpolate`, torchvision's `center_crop` and `normalize`.
tests/preprocess.rs reads index.json and the .npy files beside it.
"""

import json
import pathlib
import sys

import numpy as np
import torch
import torchvision.transforms._functional_tensor
import torchvision.transforms.functional as tv
from torch.nn.functional import interpolate, pad

# PyTorchVideo 0.1.5 imports this module by the name it had before torchvision 0.17.
sys.modules["torchvision.transforms.functional_tensor"] = torchvision.transforms._functional_tensor
from pytorchvideo.transforms.functional import short_side_scale  # noqa: E402

OUT = pathlib.Path(__file__).parent / "preprocess"


def picture(rng, height, width, channels):
    """Slow waves, hard edges and noise: what a resampler can get wrong."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    planes = []
    for c in range(channels):
        wave = np.sin(2 * np.pi * (x * (3 + c) + y * (2 - c) + rng.random()))
        edge = np.sign(np.sin(9 * np.pi * (x + 0.6 * y * (1 + c))))
        noise = rng.standard_normal((height, width))
        planes.append(128 + 55 * wave + 40 * edge + 12 * noise)
    return np.clip(np.round(np.stack(planes, -1)), 0, 255).astype(np.uint8)


def expected(u8, resize, antialias, size, mean, std):
    x = torch.from_numpy(u8.astype(np.float32) / np.float32(255)).permute(2, 0, 1)
    h, w = x.shape[1:]
    th, tw = size

    def scale(height, width):
        return interpolate(
            x[None], size=(height, width), mode="bilinear", align_corners=False, antialias=antialias
        )[0]

    if resize == "stretch":
        y = scale(th, tw)
    elif resize == "letterbox":
        ratio = min(th / h, tw / w)
        nh, nw = max(1, round(h * ratio)), max(1, round(w * ratio))
        top, left = (th - nh) // 2, (tw - nw) // 2
        y = tv.normalize(scale(nh, nw), mean, std)
        return pad(y, (left, tw - nw - left, top, th - nh - top)).numpy()
    else:
        assert th == tw, "PyTorchVideo knows squares only"
        if antialias:
            y = tv.resize(x, th, antialias=True)  # torchvision's short side: int(), not floor()
        else:
            y = short_side_scale(x[:, None], th)[:, 0]
        y = tv.center_crop(y, [th, tw])
    return tv.normalize(y, mean, std).numpy()


def main():
    OUT.mkdir(exist_ok=True)
    rng = np.random.default_rng(20261122)
    cases = []
    # name, height, width, channels, target: heavy reduction, odd sizes both ways, enlargement
    for name, h, w, channels, target in [
        ("reduce", 180, 320, 1, (24, 32)),
        ("portrait", 131, 77, 3, (26, 26)),
        ("landscape", 61, 107, 3, (28, 28)),
        ("enlarge", 13, 19, 3, (31, 31)),
    ]:
        u8 = picture(rng, h, w, channels)
        np.save(OUT / f"{name}.npy", u8)
        mean = [0.45, 0.40, 0.35][:channels]
        std = [0.225, 0.25, 0.275][:channels]
        for resize in ["short-side", "stretch", "letterbox"]:
            if resize == "short-side" and target[0] != target[1]:
                size = (24, 24)
            elif resize != "short-side" and target[0] == target[1]:
                size = (target[0], target[1] - 9)
            else:
                size = target
            for antialias in [False, True]:
                file = f"{name}-{resize}-{'antialias' if antialias else 'plain'}.npy"
                np.save(OUT / file, expected(u8, resize, antialias, size, mean, std).astype("<f4"))
                cases.append(
                    dict(frame=f"{name}.npy", expected=file, resize=resize, antialias=antialias,
                         size=size, colour="RGB" if channels == 3 else "GRAY", mean=mean, std=std)
                )
    (OUT / "index.json").write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
    print(sum(f.stat().st_size for f in OUT.iterdir()), "bytes,", len(cases), "cases")


if __name__ == "__main__":
    main()
