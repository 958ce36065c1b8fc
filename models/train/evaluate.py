"""Scores weights on a folder of labelled videos, as the daemon would.

    python evaluate.py --weights weights.pt --videos DIR

For quick turns while training; the figures in the model card come from
`kinewatch run` itself.
"""

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image

from network import FRAMES, HEIGHT, LABELS, RATE, WIDTH, CameraEvents
from train import normalise, scores


def sample(path):
    """Luma frames (T, 96, 128) on the grid t0 + k / rate, and the tick times."""
    pictures, times = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if frame.time is not None:
                grey = Image.fromarray(frame.to_ndarray(format="gray"))
                pictures.append(np.asarray(grey.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)))
                times.append(frame.time)
    times = np.array(times)
    ticks = np.arange(times[0], times[-1], 1 / RATE)
    return np.stack([pictures[int(np.abs(times - t).argmin())] for t in ticks]), ticks - times[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--videos", type=Path, required=True)
    parser.add_argument("--list", action="store_true", help="show each clip that is mostly wrong")
    args = parser.parse_args()
    model = CameraEvents()
    model.load_state_dict(torch.load(args.weights))
    model.eval()
    spans = defaultdict(list)
    with open(args.videos / "labels.csv") as file:
        for row in csv.DictReader(file):
            spans[row["video"]].append((float(row["start"]), float(row["end"]), LABELS.index(row["label"])))
    predicted, truth, votes = [], [], []
    for video, parts in spans.items():
        cache = args.videos / (video + ".npz")
        if not cache.exists():
            frames, ticks = sample(args.videos / video)
            np.savez(cache, frames=frames, ticks=ticks)
        with np.load(cache) as held:
            frames, ticks = held["frames"], held["ticks"]
        if len(frames) < FRAMES:
            continue
        with torch.no_grad():
            labels = model(normalise(torch.from_numpy(frames))[None])[0].argmax(-1).numpy()
        start = parts[-1][0]
        want = parts[-1][2]
        # Where the label has held for the last half second.
        inside = ticks[FRAMES - 1 :] >= start + (0.5 if start else 0.0)
        predicted.append(labels[inside])
        truth.append(np.full(inside.sum(), want))
        if inside.any():
            vote = np.bincount(labels[inside], minlength=len(LABELS)).argmax()
            votes.append((vote, want))
            if args.list and (labels[inside] == want).mean() < 0.5:
                print(f"{video}: {LABELS[want]} taken for {LABELS[vote]} ({(labels[inside] == want).mean():.2f})")
    top1, f1, matrix = scores(np.concatenate(predicted), np.concatenate(truth))
    print(f"predictions: top-1 {top1:.3f}, macro-F1 {f1:.3f}")
    votes = np.array(votes)
    print(f"videos: top-1 {(votes[:, 0] == votes[:, 1]).mean():.3f} of {len(votes)}")
    print("rows: true; columns: predicted")
    print(" " * 16 + " ".join(f"{l[:7]:>7}" for l in LABELS))
    for label, row in zip(LABELS, matrix):
        print(f"{label:>15} " + " ".join(f"{n:7}" for n in row))


if __name__ == "__main__":
    main()
