#!/usr/bin/env python3
"""Writes tests/golden/drift: what others find where kinewatch looks for drift and
makes prediction sets.

  adwin.jsonl         river's ADWIN: where it sees a change
  page-hinkley.jsonl  river's PageHinkley, without forgetting (alpha = 1)
  conformal.jsonl     ACI and DtACI, derived here from the papers' formulas over
                      plain lists, and the bound on the misses

Both sides make the inputs from the same integers. To run:

  python -m pip install -r tests/golden/drift-requirements.txt
  python tests/golden/drift.py
"""

import json
import math
from pathlib import Path

import numpy as np
from river.drift import ADWIN, PageHinkley

OUT = Path(__file__).parent / "drift"
MASK = (1 << 64) - 1


class Generator:
    """SplitMix64."""

    def __init__(self, seed):
        self.state = seed

    def below(self, bound):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return (z ^ (z >> 31)) % bound


def stream(seed, segments):
    """Whole numbers of 1/1024, uniform between the ends of each segment."""
    generator = Generator(seed)
    for length, low, high in segments:
        for _ in range(length):
            yield (low + generator.below(high - low + 1)) / 1024


SEGMENTS = [
    [[2000, 300, 700]],
    [[1000, 100, 500], [1000, 500, 900]],
    [[1000, 500, 900], [1000, 450, 850], [1000, 300, 700]],
    [[50, 0, 100], [50, 900, 1024], [50, 0, 100], [400, 500, 600]],
    [[5000, 0, 1024], [3000, 200, 1024]],
    [[700, 512, 512], [700, 520, 520], [700, 0, 1]],
    [[300, 0, 1024], [300, 0, 512], [300, 256, 768], [300, 0, 1024], [300, 900, 1000]],
]


def write(name, cases):
    with open(OUT / name, "w") as file:
        for case in cases:
            file.write(json.dumps(case, separators=(",", ":")) + "\n")


def alarms(detector, values):
    found = []
    for index, value in enumerate(values):
        detector.update(value)
        if detector.drift_detected:
            found.append(index)
    return found


def adwin():
    for seed, segments in enumerate(SEGMENTS):
        for delta, clock, shortest, grace in [(0.002, 32, 5, 10), (0.05, 1, 5, 100), (1e-6, 8, 5, 100)]:
            options = dict(delta=delta, clock=clock, shortest=shortest, grace=grace)
            detector = ADWIN(
                delta=delta, clock=clock, max_buckets=5, min_window_length=shortest, grace_period=grace
            )
            yield dict(seed=seed, segments=segments, **options, alarms=alarms(detector, stream(seed, segments)))


def page_hinkley():
    for seed, segments in enumerate(SEGMENTS):
        for allowance, threshold, least in [(0.005, 5.0, 30), (0.05, 3.0, 1), (0.1, 10.0, 100)]:
            detector = PageHinkley(
                min_instances=least, delta=allowance, threshold=threshold, alpha=1.0, mode="both"
            )
            options = dict(allowance=allowance, threshold=threshold, least=least)
            yield dict(seed=seed, segments=segments, **options, alarms=alarms(detector, stream(seed, segments)))


class Levels:
    """DtACI (arXiv 2208.08401, algorithm 1) with the weighted mean of the experts'
    levels; with a single step size it is ACI (arXiv 2106.00170, equation 2)."""

    def __init__(self, target, gammas, eta, sigma):
        self.target, self.gammas, self.eta, self.sigma = target, np.array(gammas), eta, sigma
        self.alphas = np.full(len(gammas), target)
        self.weights = np.ones(len(gammas))

    def level(self):
        return float(np.dot(self.weights / self.weights.sum(), self.alphas))

    def learn(self, beta):
        ahead = beta - self.alphas
        loss = self.target * ahead - np.minimum(0.0, ahead)
        tilted = self.weights * np.exp(-self.eta * loss)
        self.weights = (1 - self.sigma) * tilted + self.sigma * tilted.sum() / len(self.alphas)
        # beta takes few values: a level that equals it has missed, as the set at
        # that level has.
        self.alphas = self.alphas + self.gammas * (self.target - (self.alphas >= beta))


def covers(window, level, p):
    """Whether the set at this level holds a truth of probability p: is its score
    among the ceil((1 - level)(n + 1)) smallest?"""
    scores = sorted(1 - held for held in window)
    rank = math.ceil((1 - level) * (len(scores) + 1) - 1e-9)
    if rank > len(scores):
        return True
    return rank >= 1 and 1 - p <= scores[rank - 1]


def conformal():
    interval, bound, strength, warm = 500, 11, 0.15, 50
    for method, coverage, window_length, seed, segments in [
        ("dtaci", 0.9, 200, 1, [[800, 100, 1024], [800, 0, 400], [400, 300, 1024]]),
        ("dtaci", 0.8, 100, 2, [[600, 0, 1024], [300, 900, 1024], [600, 0, 300]]),
        ("dtaci", 0.95, 1000, 3, [[2000, 0, 1024]]),
        ("aci", 0.9, 200, 4, [[800, 100, 1024], [800, 0, 400], [400, 300, 1024]]),
        ("aci", 0.99, 100, 5, [[1000, 0, 1024], [300, 500, 500]]),
    ]:
        target = 1 - coverage
        if method == "aci":
            levels = Levels(target, [0.02], 0.0, 0.0)
        else:
            gammas = [0.001 * 2**k for k in range(8)]
            # E[loss^2] where beta is uniform: integrate its two branches.
            square = target**2 * (1 - target) ** 3 / 3 + (1 - target) ** 2 * target**3 / 3
            eta = math.sqrt((math.log(2 * len(gammas) * interval) + 1) / (interval * square))
            levels = Levels(target, gammas, eta, 1 / (2 * interval))
        window, excess, missed, trace = [], 0.0, 0, []
        for index, p in enumerate(stream(seed, segments)):
            if index >= warm:
                if excess >= bound:
                    level = 0.0
                elif excess <= -bound:
                    level = 1.0
                else:
                    level = levels.level() - strength * target * math.tan(math.pi / 2 * excess / bound)
                if index % 100 == 0:
                    trace.append([index, min(max(level, 0.0), 1.0)])
                miss = not covers(window, level, p)
                missed += miss
                excess += miss - target
                better = sum(held > p for held in window)
                levels.learn(1 - better / (len(window) + 1))
            window = [*window, p][-window_length:]
        yield dict(
            method=method, coverage=coverage, window=window_length, seed=seed, segments=segments,
            levels=trace, missed=missed,
        )


OUT.mkdir(exist_ok=True)
write("adwin.jsonl", adwin())
write("page-hinkley.jsonl", page_hinkley())
write("conformal.jsonl", conformal())
