"""Trains camera-events on streams from `kinewatch synth --dataset`.

    python train.py --data DIR [DIR ...] --validate DIR --out weights.pt

Prints one JSON line per epoch; the committed training.log is that output.
"""

import argparse
import copy
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from network import FRAMES, LABELS, MEAN, STD, CameraEvents

# A camera that looks in a mirror sees left-to-right as right-to-left.
MIRRORED = torch.tensor([0, 2, 1, 3, 4, 5, 6, 7, 8, 9])
# Frames after a change during which either label is right: they teach nothing.
SETTLE = 4
# What a clip that still holds a part of another label counts beside a whole one.
MIXED = 0.6
IGNORE = -100


def targets(labels):
    """Labels (N, T) with the frames just after each change ignored."""
    out = labels.astype(np.int64)
    for lag in range(SETTLE):
        out[:, lag:][changes(labels)[:, : labels.shape[1] - lag]] = IGNORE
    return out


def changes(labels):
    """Where labels (N, T) differ from the frame before."""
    changed = np.zeros_like(labels, dtype=bool)
    changed[:, 1:] = labels[:, 1:] != labels[:, :-1]
    return changed


def importance(labels):
    """What each frame of labels (N, T) counts in the loss: less while the clip
    that ends there is of two labels."""
    out = np.ones(labels.shape, np.float32)
    for lag in range(FRAMES - 1):
        out[:, lag:][changes(labels)[:, : labels.shape[1] - lag]] = MIXED
    return out


def load(folders):
    """Frames and targets of each folder that is a data set, or holds some.

    Parts that are still being written are passed over: training can begin
    before the last is drawn, and takes it up at the next epoch.
    """
    frames, labels, worth = [], [], []
    for folder in map(Path, folders):
        for part in [folder] if (folder / "frames.npy").exists() else sorted(folder.iterdir()):
            try:
                pictures = np.load(part / "frames.npy", mmap_mode="r")
                truth = np.load(part / "labels.npy")
            except (OSError, ValueError, EOFError):
                continue
            frames.append(pictures)
            labels.append(targets(truth))
            worth.append(importance(truth))
    return frames, labels, worth


def normalise(frames):
    return (frames.float() / 255.0 - MEAN) / STD


def augment(x, y, rng):
    """Chances that rendering does not already take: mirror, tone, zoom, noise.

    x: (B, T, H, W) in 0..1; y: (B, T).
    """
    b = x.shape[0]
    flip = torch.rand(b) < 0.5
    x[flip] = x[flip].flip(-1)
    y[flip] = torch.where(y[flip] == IGNORE, IGNORE, MIRRORED[y[flip].clamp(min=0)])
    negative = torch.rand(b) < 0.05
    x[negative] = 1.0 - x[negative]
    gain = torch.empty(b, 1, 1, 1).uniform_(0.7, 1.3)
    shift = torch.empty(b, 1, 1, 1).uniform_(-0.15, 0.15)
    x = (x * gain + shift).clamp(0.0, 1.0)
    for i in range(b):
        if rng.random() < 0.35:
            # A part of the view, seen larger: other sizes and aspect ratios.
            h, w = x.shape[2:]
            sh, sw = int(h * rng.uniform(0.65, 1.0)), int(w * rng.uniform(0.65, 1.0))
            top, left = rng.integers(0, h - sh + 1), rng.integers(0, w - sw + 1)
            part = x[i : i + 1, :, top : top + sh, left : left + sw]
            # A subject outside the part is not seen: only faults keep their label.
            if (y[i] >= 5).any() or (y[i] == 0).all():
                x[i] = F.interpolate(part, size=(h, w), mode="bilinear", align_corners=False)[0]
                inside = (y[i] >= 1) & (y[i] <= 4)
                y[i][inside] = IGNORE
    noise = torch.empty(b, 1, 1, 1).uniform_(0.0, 0.02)
    noise[torch.rand(b) < 0.5] = 0.0
    return x + noise * torch.randn_like(x), y


def batches(frames, labels, worth, length, size, rng):
    """One epoch: each stream cut once into chunks of `length`, at a random phase."""
    chunks = []
    for part, array in enumerate(frames):
        n, t = array.shape[:2]
        for stream in range(n):
            start = int(rng.integers(0, min(FRAMES, t - length) + 1))
            step = length - FRAMES + 1
            chunks += [(part, stream, s) for s in range(start, t - length + 1, step)]
    rng.shuffle(chunks)
    for i in range(0, len(chunks) - size + 1, size):
        picked = chunks[i : i + size]
        x = np.stack([frames[p][s, a : a + length] for p, s, a in picked])
        y = np.stack([labels[p][s, a : a + length] for p, s, a in picked])
        w = np.stack([worth[p][s, a : a + length] for p, s, a in picked])
        yield torch.from_numpy(x).float() / 255.0, torch.from_numpy(y), torch.from_numpy(w)


@torch.no_grad()
def predict(model, frames, batch=4):
    """Logits (N, T - 15, 10) over whole streams."""
    model.eval()
    out = [model(normalise(torch.from_numpy(np.asarray(frames[i : i + batch])))) for i in range(0, len(frames), batch)]
    return torch.cat(out).numpy()


def scores(predicted, truth):
    """Top-1 and macro-F1 over the frames that have a label."""
    keep = truth != IGNORE
    matrix = np.zeros((len(LABELS), len(LABELS)), int)
    np.add.at(matrix, (truth[keep], predicted[keep]), 1)
    hits = np.diag(matrix)
    f1 = 2 * hits / np.maximum(matrix.sum(0) + matrix.sum(1), 1)
    return hits.sum() / max(matrix.sum(), 1), f1.mean(), matrix


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--validate", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--init", help="weights to start from")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop the schedule here")
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--length", type=int, default=79)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    frames, labels, worth = load(args.data)
    held_frames, held_labels, _ = load([args.validate])
    model = CameraEvents()
    if args.init:
        weights = torch.load(args.init)
        # Features added to the front end since begin at nothing.
        for name in ("stem.here.weight", "stem.context.weight"):
            missing = model.state_dict()[name].shape[1] - weights[name].shape[1]
            weights[name] = F.pad(weights[name], (0, 0, 0, 0, 0, missing))
        model.load_state_dict(weights)
    averaged = copy.deepcopy(model)
    # Fused, a step takes two thirds of the time.
    fused = torch.compile(model)
    print(json.dumps({"parameters": sum(p.numel() for p in model.parameters()), "args": vars(args)}), flush=True)
    counts = np.bincount(np.concatenate([l[l >= 0].ravel() for l in labels]), minlength=len(LABELS))
    weight = torch.tensor((counts / counts.sum()) ** -0.5, dtype=torch.float32)
    weight /= (weight * torch.tensor(counts / counts.sum())).sum()
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.02}, {"params": plain, "weight_decay": 0.0}], lr=args.lr)
    started, step = time.time(), 0
    for epoch in range(args.epochs):
        frames, labels, worth = load(args.data)
        # What the epochs to come will take if no more streams are added.
        total = step + count_batches(frames, args.length, args.batch) * (args.epochs - epoch)
        model.train()
        losses = []
        for x, y, w in batches(frames, labels, worth, args.length, args.batch, rng):
            # Whichever ends first, the steps or the minutes, sets the pace.
            done = max(step / total, (time.time() - started) / 60 / args.minutes)
            if done >= 1.0:
                break
            for group in optimiser.param_groups:
                group["lr"] = args.lr * min(1.0, (step + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * done))
            x, y = augment(x, y, rng)
            logits = fused((x - MEAN) / STD)
            y, w = y[:, FRAMES - 1 :].flatten(), w[:, FRAMES - 1 :].flatten()
            each = F.cross_entropy(logits.flatten(0, 1), y, weight, ignore_index=IGNORE, label_smoothing=0.05, reduction="none")
            loss = (each * w).sum() / (weight[y.clamp(min=0)] * w * (y != IGNORE)).sum().clamp(min=1.0)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
            optimiser.step()
            step += 1
            losses.append(loss.item())
            if step % 50 == 0:
                print(json.dumps({"step": step, "of": total, "loss": round(float(np.mean(losses[-50:])), 4), "minutes": round((time.time() - started) / 60, 2)}), flush=True)
            keep = min(0.995, step / (step + 20))
            with torch.no_grad():
                for a, p in zip(averaged.state_dict().values(), model.state_dict().values()):
                    a.copy_(p) if not a.is_floating_point() else a.lerp_(p, 1 - keep)
        predicted = predict(averaged, held_frames[0]).argmax(-1)
        top1, f1, _ = scores(predicted, held_labels[0][:, FRAMES - 1 :])
        print(json.dumps({
            "epoch": epoch + 1, "streams": sum(len(f) for f in frames), "loss": round(float(np.mean(losses)), 4), "top1": round(float(top1), 4),
            "macro_f1": round(float(f1), 4), "minutes": round((time.time() - started) / 60, 1),
        }), flush=True)
        torch.save(averaged.state_dict(), args.out)
        if (time.time() - started) / 60 >= args.minutes:
            break


def count_batches(frames, length, size):
    """How many batches one epoch has, at its shortest."""
    step = length - FRAMES + 1
    chunks = sum(f.shape[0] * len(range(FRAMES, f.shape[1] - length + 1, step)) for f in frames)
    return max(chunks // size, 1)


if __name__ == "__main__":
    main()
