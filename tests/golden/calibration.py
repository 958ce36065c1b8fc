"""Golden fits of every calibrator, by others' optimisers.

    python3 -m venv venv && venv/bin/pip install -r calibration-requirements.txt
    venv/bin/python calibration.py

writes calibration/*.json beside this file. tests/calibration.rs holds
src/calibrate/ against them. Logits are not stored: both sides make them from the
same integer generator, below and in the test.

- temperature: scipy's bounded scalar minimiser over the weighted negative
  log-likelihood; checked here against netcal's TemperatureScaling where all
  weights are one.
- vector (one temperature, one bias a class, a Gaussian prior of precision 1 on
  each bias): scipy's trust-constr Newton method with torch's gradients and
  Hessians.
- Platt scaling of the top label's probability: scikit-learn's unpenalised
  logistic regression on its logit; checked against netcal's LogisticCalibration.
- histogram binning: numpy's histograms of the top label's probability, for all
  labels together and for each; checked against netcal's HistogramBinning where
  nothing is shrunk.
- multi-label: logistic regression of each class, and the threshold of greatest
  F1 from scikit-learn's precision-recall curve.
"""

import json
import warnings
from pathlib import Path

import numpy as np
import torch
from netcal.binning import HistogramBinning
from netcal.scaling import LogisticCalibration, TemperatureScaling
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_recall_curve

warnings.filterwarnings("ignore")
torch.set_default_dtype(torch.float64)
OUT = Path(__file__).with_name("calibration")
MASK = (1 << 64) - 1


class Generator:
    """SplitMix64 (Steele, Lea & Flood 2014)."""

    def __init__(self, seed):
        self.state = seed

    def bits(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def below(self, n):
        return (self.bits() >> 33) % n


def single(seed, samples, classes, sharpness):
    """Logits in 64ths, so that f32 holds them; a third of the labels are random."""
    g = Generator(seed)
    logits, truth, weight = [], [], []
    for _ in range(samples):
        label = g.below(classes)
        row = [(g.below(256) - 128) * sharpness / 64 for _ in range(classes)]
        row[label] += 3 * sharpness if g.below(4) else 0
        logits.append(row)
        truth.append(g.below(classes) if g.below(6) == 0 else label)
        weight.append((1 + g.below(4)) / 4)
    return np.array(logits), np.array(truth), np.array(weight)


def multi(seed, samples, classes, sharpness):
    g = Generator(seed)
    logits, truth, weight = [], [], []
    for _ in range(samples):
        row, holds = [], []
        for c in range(classes):
            is_there = g.below(c + 2) == 0
            z = (g.below(256) - 128) / 64 + (1.5 if is_there else -1.5)
            row.append(z * sharpness)
            holds.append(is_there if g.below(8) else not is_there)
        logits.append(row)
        truth.append(holds)
        weight.append((1 + g.below(4)) / 4)
    return np.array(logits), np.array(truth), np.array(weight)


def nll(logits, truth, weight):
    rows = np.arange(len(truth))
    return -(weight * log_softmax(logits, axis=1)[rows, truth]).sum()


def temperature(logits, truth, weight):
    loss = lambda s: nll(logits / np.exp(s), truth, weight)
    fit = minimize_scalar(loss, bounds=(-2.7, 2.7), method="bounded", options={"xatol": 1e-10})
    return float(np.exp(fit.x))


def vector(logits, truth, weight):
    z, y, w = torch.tensor(logits), torch.tensor(truth), torch.tensor(weight)

    def loss(x):
        terms = torch.nn.functional.cross_entropy(x[0] * z + x[1:], y, reduction="none")
        return (w * terms).sum() + 0.5 * (x[1:] ** 2).sum()

    def value(x):
        x = torch.tensor(x, requires_grad=True)
        l = loss(x)
        l.backward()
        return l.item(), x.grad.numpy()

    hessian = lambda x: torch.autograd.functional.hessian(loss, torch.tensor(x)).numpy()
    start = np.r_[1.0, np.zeros(logits.shape[1])]
    fit = minimize(value, start, jac=True, hess=hessian, method="trust-exact", options={"gtol": 1e-9})
    return 1 / fit.x[0], fit.x[1:], fit.fun


def top(logits):
    # A f32 has few digits left near 1.
    p = softmax(logits, axis=1).astype(np.float32).astype(float)
    return p.argmax(axis=1), p.max(axis=1)


def line(x, y, weight):
    fit = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10000).fit(x[:, None], y, sample_weight=weight)
    return float(fit.coef_[0, 0]), float(fit.intercept_[0])


def platt(logits, truth, weight):
    label, p = top(logits)
    p = np.clip(p, 1e-7, 1 - 1e-7)
    return line(np.log(p / (1 - p)), label == truth, weight)


EDGES = np.r_[0, expit(np.arange(-2, 7)), 1]


def histogram(logits, truth, weight, shrink, shrink_own):
    label, p = top(logits)
    right = (label == truth).astype(float)

    def counts(mask):
        # An edge belongs to the bin below it.
        place = np.searchsorted(EDGES[1:-1], p[mask], side="left")
        return (np.bincount(place, weight[mask], 10), np.bincount(place, (weight * right)[mask], 10))

    n, hits = counts(np.ones(len(p), bool))
    keep, add = shrink / (shrink + n), hits / (shrink + n)
    out = {"bins": [keep.tolist(), add.tolist()], "classes": {}}
    for c in np.unique(label):
        n, hits = counts(label == c)
        k, a = shrink_own / (shrink_own + n), hits / (shrink_own + n)
        out["classes"][str(c)] = [(k * keep).tolist(), (k * add + a).tolist()]
    return out


def multi_label(logits, truth, weight):
    fits = []
    for c in range(logits.shape[1]):
        a, b = line(logits[:, c], truth[:, c], weight)
        p = expit(a * logits[:, c] + b)
        precision, recall, thresholds = precision_recall_curve(truth[:, c], p, sample_weight=weight)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
        fits.append({"temperature": 1 / a, "bias": b, "f1": float(f1.max())})
    return fits


def check_netcal():
    logits, truth, _ = single(99, 2000, 4, 2.0)
    ones = np.ones(len(truth))
    p = softmax(logits, axis=1)
    torch.manual_seed(0)
    theirs = TemperatureScaling().fit(p, truth).temperature
    assert abs(1 / float(np.ravel(theirs)[0]) / temperature(logits, truth, ones) - 1) < 2e-2 or \
        abs(float(np.ravel(theirs)[0]) / temperature(logits, truth, ones) - 1) < 2e-2, theirs
    label, confidence = top(logits)
    right = (label == truth).astype(int)
    theirs = LogisticCalibration()
    theirs.fit(confidence, right)
    a, b = platt(logits, truth, ones)
    x = np.linspace(0.3, 0.99, 50)
    ours = expit(a * np.log(x / (1 - x)) + b)
    assert np.abs(np.ravel(theirs.transform(x)) - ours).max() < 2e-2
    bins = HistogramBinning(bins=10)
    bins.fit(confidence, right)
    mine = np.minimum((confidence * 10).astype(int), 9)
    filled = np.unique(mine)
    x = (filled + 0.5) / 10
    ours = np.array([right[mine == k].mean() for k in filled])
    assert np.abs(np.ravel(bins.transform(x)) - ours).max() < 1e-6


def main():
    OUT.mkdir(exist_ok=True)
    check_netcal()
    cases = []
    for seed, samples, classes, sharpness in [
        (1, 400, 3, 0.5), (2, 400, 3, 2.0), (3, 1000, 10, 1.0), (4, 1000, 10, 4.0), (5, 300, 40, 1.5),
        (6, 500, 2, 3.0),
    ]:
        logits, truth, weight = single(seed, samples, classes, sharpness)
        t, bias, loss = vector(logits, truth, weight)
        a, b = platt(logits, truth, weight)
        tt = temperature(logits, truth, weight)
        cases.append({
            "seed": seed, "samples": samples, "classes": classes, "sharpness": sharpness,
            "temperature": tt, "nll": nll(logits / tt, truth, weight),
            "vector": {"temperature": t, "bias": bias.tolist(), "objective": loss},
            "platt": [a, b],
            "histogram": histogram(logits, truth, weight, 5.0, 20.0),
        })
    (OUT / "single.json").write_text(json.dumps(cases, indent=1) + "\n")
    cases = []
    for seed, samples, classes, sharpness in [(11, 500, 3, 0.5), (12, 500, 5, 2.0), (13, 2000, 4, 1.0)]:
        logits, truth, weight = multi(seed, samples, classes, sharpness)
        cases.append({
            "seed": seed, "samples": samples, "classes": classes, "sharpness": sharpness,
            "fits": multi_label(logits, truth, weight),
        })
    (OUT / "multi.json").write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
