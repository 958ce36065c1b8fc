"""Scores a bundle on a folder of labelled videos through `kinewatch run`.

    python score.py --kinewatch target/release/kinewatch --videos DIR [--model DIR] [--mode stateful]

DIR holds videos and one labels.csv for all. Adds up the confusion matrices of
all runs and prints the figures of the model card: `clip` counts predictions
whose whole clip lies within one label, `every` counts all.
"""

import argparse
import csv
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np


def figures(matrix):
    """Top-1 and macro-F1 over the classes that occur (scikit-learn, zero_division=0)."""
    hits, total = np.diag(matrix), matrix.sum(0) + matrix.sum(1)
    there = total > 0
    return hits.sum() / matrix.sum(), (2 * hits[there] / total[there]).mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinewatch", required=True)
    parser.add_argument("--videos", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--list", action="store_true", help="show each video that is mostly wrong")
    args = parser.parse_args()
    labels = args.videos / "labels.csv"
    with open(labels) as file:
        videos = sorted({row["video"] for row in csv.DictReader(file)})
    total, names = {}, None
    for video in videos:
        with tempfile.NamedTemporaryFile(suffix=".json") as summary:
            command = [args.kinewatch, "-q", "run", "--fast", "--source", str(args.videos / video), "--labels", str(labels), "--summary", summary.name]
            if args.model:
                command += ["--model", str(args.model)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            score = json.load(open(summary.name))["streams"][0]["score"]
        names = score["labels"]
        for kind in ("clip", "every"):
            matrix = np.array(score[kind]["confusion"])
            total[kind] = total.get(kind, 0) + matrix
        every = np.array(score["every"]["confusion"])
        if args.list and np.diag(every).sum() < 0.5 * every.sum():
            print(video, {names[i]: {names[j]: int(n) for j, n in enumerate(row) if n} for i, row in enumerate(every) if row.any()})
    for kind, matrix in total.items():
        top1, f1 = figures(matrix)
        print(f"\n{kind}: {matrix.sum()} predictions of {len(videos)} videos, top-1 {top1:.4f}, macro-F1 {f1:.4f}\n")
        print("| true \\ predicted | " + " | ".join(names) + " |")
        print("|---|" + "---:|" * len(names))
        for name, row in zip(names, matrix):
            print(f"| {name} | " + " | ".join(str(n) for n in row) + " |")


if __name__ == "__main__":
    main()
