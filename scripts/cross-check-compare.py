#!/usr/bin/env python3
"""Compares the predictions of two replays that cross-check-replay.sh made.

    cross-check-compare.py ONE OTHER

Writes how many were compared and the largest difference of a probability. Ends with 1
where a top-1 differs, a probability by more than 1e-4, or something is missing.
"""

import json
import math
import pathlib
import subprocess
import sys

TOLERANCE = 1e-4


def clips(path):
    """The clips of one video: (view, time) and the logits."""
    text = subprocess.run(["zstd", "-dc", path], check=True, capture_output=True).stdout
    _, *lines = map(json.loads, text.splitlines())
    return [((tuple(line["view"]), line["t"]), line["logits"]) for line in lines]


def softmax(logits):
    peak = max(logits)
    exponentials = [math.exp(value - peak) for value in logits]
    return [value / sum(exponentials) for value in exponentials]


def top(values):
    return values.index(max(values))


def stored(folder):
    return {path.relative_to(folder): clips(path) for path in folder.rglob("*.jsonl.zst")}


def main(one, other):
    one, other = stored(pathlib.Path(one)), stored(pathlib.Path(other))
    if not one or one.keys() != other.keys():
        sys.exit(f"not the same videos: {sorted(map(str, one))}, {sorted(map(str, other))}")
    count, largest, flips = 0, 0.0, 0
    for name, here in one.items():
        there = other[name]
        if not here or [key for key, _ in here] != [key for key, _ in there]:
            sys.exit(f"{name}: not the same clips")
        for (_, ours), (_, theirs) in zip(here, there):
            ours, theirs = softmax(ours), softmax(theirs)
            count += 1
            flips += top(ours) != top(theirs)
            largest = max(largest, *(abs(a - b) for a, b in zip(ours, theirs, strict=True)))
    print(count, f"{largest:.1e}")
    # Written so that a difference that is no number fails.
    if flips or not largest <= TOLERANCE:
        sys.exit(f"{flips} of {count} top-1 differ; a probability by {largest:.1e}")


if __name__ == "__main__":
    main(*sys.argv[1:])
