"""Compares a bundle in kinewatch (tract) with ONNX Runtime.

    cargo build --release --example logits
    python models/export/parity.py BUNDLE [--mode MODE] [--clips 3] [--tolerance 1e-4]

Feeds the same normalised random frames to both. The difference is given as a
fraction of the largest logit's magnitude; more than the tolerance fails.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import tomllib

import numpy as np
import onnxruntime

ROOT = pathlib.Path(__file__).resolve().parents[2]


def window(file, spec, frames):
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    axes = {"NCTHW": (1, 0, 2, 3), "NTCHW": (0, 1, 2, 3), "NTHWC": (0, 2, 3, 1)}[spec["layout"]]
    count, took = spec["frames"], []
    for end in range(count, len(frames) + 1):
        clip = np.ascontiguousarray(frames[end - count : end].transpose(axes)[None])
        began = time.perf_counter()
        logits = session.run(None, {name: clip})[0].reshape(-1)
        took.append(time.perf_counter() - began)
        yield end - 1, logits
    print(f"ONNX Runtime: median {np.median(took) * 1e3:.1f} ms a step", file=sys.stderr)


def stateful(file, spec, pairs, frames):
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    inputs, outputs = session.get_inputs(), [output.name for output in session.get_outputs()]
    if not pairs:
        pairs = [(i.name, f"{i.name}_out") for i in inputs if f"{i.name}_out" in outputs]
    taken = {name for name, _ in pairs}
    frame_input = next(i for i in inputs if i.name not in taken)
    logits_output = next(name for name in outputs if name not in {out for _, out in pairs})
    kinds = {"tensor(float)": np.float32, "tensor(int32)": np.int32, "tensor(int64)": np.int64}
    fixed = {i.name: [d if isinstance(d, int) else 1 for d in i.shape] for i in inputs}
    states = {i.name: np.zeros(fixed[i.name], kinds[i.type]) for i in inputs if i.name in taken}
    with_time = {"NCTHW": (1, 0, 2, 3), "NTCHW": (0, 1, 2, 3), "NTHWC": (0, 2, 3, 1)}[spec["layout"]]
    for at, frame in enumerate(frames):
        clip = frame[None].transpose(with_time)[None]
        if len(frame_input.shape) == 4:
            clip = clip.squeeze(2 if spec["layout"] == "NCTHW" else 1)
        values = session.run(None, {frame_input.name: np.ascontiguousarray(clip), **states})
        values = dict(zip(outputs, values))
        states = {name: values[out] for name, out in pairs}
        yield at, values[logits_output].reshape(-1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=pathlib.Path)
    parser.add_argument("--mode", choices=["window", "stateful"])
    parser.add_argument("--clips", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frames", type=pathlib.Path,
                        help="an .npy of u8 frames (T, height, width, channels) in the model's size, instead of noise")
    args = parser.parse_args()

    manifest = tomllib.loads((args.bundle / "model.toml").read_text())
    spec, run = manifest["input"], manifest.get("run", {})
    spec.setdefault("layout", "NCTHW")
    mode = args.mode or run.get("modes", ["window"])[0]
    channels = 1 if spec["colour"] == "GRAY" else 3
    if args.frames:
        mean, std = (np.array(spec[k], np.float32)[:, None, None] for k in ("mean", "std"))
        frames = (np.load(args.frames).astype(np.float32).transpose(0, 3, 1, 2) / 255 - mean) / std
    else:
        count = spec["frames"] + args.clips - 1
        frames = np.random.default_rng(args.seed).standard_normal((count, channels, *spec["size"]))
    frames = np.ascontiguousarray(frames, np.float32)

    if mode == "window":
        expected = dict(window(args.bundle / manifest.get("file", "model.onnx"), spec, frames))
    else:
        file = run.get("stateful", {}).get("file", manifest.get("file", "model.onnx"))
        pairs = [(pair["input"], pair["output"]) for pair in run.get("state", [])]
        expected = dict(stateful(args.bundle / file, spec, pairs, frames))

    with tempfile.NamedTemporaryFile(suffix=".f32") as raw:
        frames.tofile(raw.name)
        program = ROOT / "target/release/examples/logits"
        ran = subprocess.run([program, args.bundle, raw.name, mode, str(args.threads)],
                             capture_output=True, text=True)
    if ran.returncode != 0:
        sys.exit(ran.stderr)
    print(ran.stderr.splitlines()[0], "…", ran.stderr.splitlines()[-1], file=sys.stderr)
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert lines, "kinewatch gave no logits"
    peak = max(np.abs(logits).max() for logits in expected.values())
    worst = max(np.abs(np.array(line["logits"]) - expected[line["frame"]]).max() for line in lines)
    print(f"{manifest['name']} ({mode}): {len(lines)} steps, largest |logit| {peak:.3g}, "
          f"largest difference {worst:.2e}, relative {worst / peak:.2e}")
    sys.exit(0 if worst <= args.tolerance * peak else 1)


if __name__ == "__main__":
    main()
