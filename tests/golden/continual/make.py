"""Makes the *.onnx and *.json in this folder: networks without weights, and what they give over a stream.

    python tests/golden/continual/make.py [NETWORK ...]

tests/continual.rs fills the weights in by the same formula and compares.
"""

import logging
import pathlib
import sys
import warnings

import numpy as np
import onnxruntime
import torch

import formula
import interior
import library
import networks
import ranges
import rows
import skeleton

OUT = pathlib.Path(__file__).parent
CLASSES = 10
# Frames, height, width and layout of a clip; frames of the stream.
NETWORKS = {
    "residual": (8, 24, 32, "NCTHW", 40),
    "inception": (8, 32, 32, "NCTHW", 48),
    "c3d": (8, 32, 32, "NTCHW", 32),
    "i3d": (16, 32, 32, "NTHWC", 56),
    "slow": (8, 32, 32, "NCTHW", 40),
    "excite": (6, 24, 24, "NCTHW", 48),
    "x3d_s": (13, 64, 64, "NCTHW", 80),
    "r2plus1d_18": (16, 32, 32, "NCTHW", 158),
    "thinned": (8, 16, 16, "NCTHW", 32),
    # These cannot be streamed.
    "attention": (4, 16, 16, "NCTHW", 0),
    "cut": (4, 16, 16, "NCTHW", 0),
    "shifted": (4, 16, 16, "NCTHW", 0),
}
AXES = {"NCTHW": (0, 1, 2, 3, 4), "NTCHW": (0, 2, 1, 3, 4), "NTHWC": (0, 2, 3, 4, 1)}
# Averages over other numbers of frames than a clip has.
AVERAGES = {"excite": (3, 10), "r2plus1d_18": (32,)}
# So many steps are kept of each, the first ones.
KEPT = 8


def difference(a, b):
    return float(np.abs(np.asarray(a) - np.asarray(b)).max() / np.abs(np.asarray(b)).max())


def make(name):
    frames, height, width, layout, count = NETWORKS[name]
    axes = AXES[layout]
    torch.manual_seed(0)
    net = getattr(networks, name)(CLASSES).eval()

    def take(start, stop):
        return torch.from_numpy(formula.frames(start, stop, height, width)[None].transpose(axes).copy())

    def first(count):
        return take(0, count)

    clip = take(0, frames)
    spread = ranges.spread(net, torch.cat([take(0, frames), take(100, 100 + frames)]))
    model = skeleton.strip(skeleton.export(net, [clip], ["clip"], ["logits"]), net, spread)
    (OUT / f"{name}.onnx").write_bytes(model.SerializeToString())
    whole = skeleton.fill(model)

    # Windows: ONNX Runtime, and PyTorch beside it.
    session = onnxruntime.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
    window = {}
    for step in (frames - 1, frames + 6):
        clip = take(step + 1 - frames, step + 1)
        window[step] = session.run(None, {"clip": clip.numpy()})[0].reshape(-1)
        with torch.no_grad():
            assert difference(window[step], net(clip)[0].numpy()) < 1e-5
    report(f"{name}: {(OUT / f'{name}.onnx').stat().st_size} bytes, largest logit {peak(window):.2f}")

    golden = {"frames": frames, "size": [height, width], "layout": layout, "classes": CLASSES, "window": rows.of(window)}
    if count:
        golden["full"] = stream = inside(net, clip, first, count)
        golden["clip"] = inside(net, clip, first, count, early=True)
    if name == "x3d_s":
        golden["library"] = x3d_s(net, clip, first, frames, stream["warm_up"])
    elif name == "r2plus1d_18":
        golden["library"] = r2plus1d_18(net, clip, first, count, frames)
    for average in AVERAGES.get(name, ()):
        golden.setdefault("average", {})[average] = inside(net, clip, first, count, average=average)
    (OUT / f"{name}.json").write_text(rows.text(golden))


def inside(net, clip, first, count, **options):
    """What PyTorch gives over a stream."""
    found, every, delay = interior.Interior(net, clip, first, **options).run(count)
    warm_up = min(found) + 1
    values = np.stack(list(found.values()))
    # A test that takes a neighbour's logits for its own must fail.
    moved = min(difference(a, b) for a, b in zip(values, values[1:]))
    report(f"  {options}: first with frame {warm_up}, then every {every}, delay {delay}, largest logit "
           f"{np.abs(values).max():.2f}, neighbours differ by {moved:.2g}")
    assert moved > 0.003
    return {"warm_up": warm_up, "stride": every, "delay": delay, "logits": rows.of(kept(found))}


def x3d_s(net, clip, first, frames, warm_up):
    """The library's logits, and whether PyTorch's are the same."""
    count = 254
    stream = first(count)[0].numpy().swapaxes(0, 1)
    found = library.steps(*library.x3d(net, frames), stream)
    beside(found, interior.Interior(net, clip, first).logits(count))
    # Where each frame has its own gate, as in the authors' own CoX3D, nothing but convolutions and the head waits.
    paper = library.steps(*library.x3d(net, frames, "frame"), stream[:warm_up])
    assert list(paper) == [warm_up - 1]
    return rows.of(kept(found))


def r2plus1d_18(net, clip, first, count, frames):
    """The library's logits, from where on they depend on no padding: where other frames may stand before the stream."""
    stream = first(count)[0].numpy().swapaxes(0, 1)
    other = formula.frames(1000, 1128, *clip.shape[3:]).swapaxes(0, 1)
    found = library.steps(*library.r2plus1d(net, frames // 8), stream)
    after = library.steps(*library.r2plus1d(net, frames // 8), np.concatenate([other, stream]))
    padded = [step for step, logits in found.items() if difference(after[step + len(other)], logits) > 1e-5]
    found = {step: logits for step, logits in found.items() if step > max(padded)}
    beside(found, interior.Interior(net, clip, first).logits(count))
    return rows.of(kept(found))


def beside(found, logits):
    theirs = np.stack(list(found.values()))
    ours = logits[-len(theirs):].numpy()
    report(f"  library: first with frame {min(found) + 1}; PyTorch differs by {difference(ours, theirs):.1e}")
    assert difference(ours, theirs) < 1e-5


def kept(found):
    return dict(list(found.items())[:KEPT])


def peak(logits):
    return max(float(np.abs(row).max()) for row in logits.values())


def report(line):
    print(line, flush=True)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    for chosen in sys.argv[1:] or NETWORKS:
        make(chosen)
