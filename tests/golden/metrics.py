"""Golden figures of every metric, from scikit-learn and torchmetrics.

    python3 -m venv venv && venv/bin/pip install -r metrics-requirements.txt
    venv/bin/python metrics.py

writes metrics/*.jsonl beside this file. tests/metrics.rs holds src/metric/
against them. Inputs are not stored: both sides make them from the same integer
generator, below and in the test.

Each case lists a figure twice, as scikit-learn and as torchmetrics give it;
null is NaN. torchmetrics converts counts to float32 on the way to its ratios,
so its own reduction functions are given the same tensors in float64, and what
its public functions say in float32 is checked against that here, to 1e-5.

Neither library has some figures. Then the reference is written out below:
- ECE and MCE of scikit-learn: from the bins of its `calibration_curve`.
- equal-mass ECE: the same with strategy="quantile"; for torchmetrics too.
- classwise ECE: the mean of the binary ECE of each class against the rest.
- Brier score and NLL of torchmetrics: scikit-learn's.
- AUPRC: scikit-learn's `auc` over its precision-recall curve, of classes that
  occur; torchmetrics' trapezoids over its own.
- balanced accuracy of multi-label tasks: the mean of each label's own.
- event F1 and detection latency: written from the definition in
  src/metric/events.rs.
"""

import json
import math
import warnings
from pathlib import Path

import numpy as np
import torch
from scipy.stats import binomtest, chi2
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve
from torchmetrics.functional import classification as tm
from torchmetrics.functional.classification.accuracy import _accuracy_reduce
from torchmetrics.functional.classification.auroc import _reduce_auroc
from torchmetrics.functional.classification.average_precision import (
    _reduce_average_precision,
)
from torchmetrics.functional.classification.calibration_error import _ce_compute
from torchmetrics.functional.classification.f_beta import _fbeta_reduce
from torchmetrics.functional.classification.precision_recall import (
    _precision_recall_reduce,
)
from torchmetrics.functional.classification.stat_scores import (
    _multiclass_stat_scores_update,
    _multilabel_stat_scores_update,
)

torch.set_default_dtype(torch.float64)
warnings.filterwarnings("ignore")
OUT = Path(__file__).with_name("metrics")
MASK = (1 << 64) - 1


class Generator:
    """SplitMix64 (Steele, Lea & Flood 2014)."""

    def __init__(self, seed):
        self.state = seed

    def below(self, bound):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return (z ^ (z >> 31)) % bound


# ---------------------------------------------------------------- the inputs


def single_label(seed, samples, classes, levels, kind):
    """Truths and probabilities. Weights are integers from 0 to `levels`, so few
    levels make many ties; a probability is a weight over its row's sum."""
    g = Generator(seed)
    truths, rows = [], []
    only = g.below(classes)
    for _ in range(samples):
        if kind == "one-class":
            truth = only
        elif kind == "first-class":
            truth = 0
        elif kind == "absent":
            truth = g.below((classes + 1) // 2) * 2  # even classes only
        else:
            truth = g.below(classes)
        weights = [g.below(levels + 1) for _ in range(classes)]
        if kind == "perfect" or g.below(2) == 0:
            weights[truth] += levels
        if kind == "perfect":
            weights[truth] += 1
        total = sum(weights)
        if total == 0:
            weights[0] = total = 1
        truths.append(truth)
        rows.append([w / total for w in weights])
    return np.array(truths), np.array(rows)


def multi_label(seed, samples, classes, levels, kind):
    """Truths (0 or 1 for each label) and probabilities k / levels."""
    g = Generator(seed)
    truths, rows = [], []
    for _ in range(samples):
        truth, row = [], []
        for label in range(classes):
            drawn = g.below(3) == 0
            if kind == "never":
                drawn = False
            elif kind == "always":
                drawn = True
            elif kind == "absent":
                drawn = drawn and label % 2 == 0
            k = g.below(levels + 1)
            if drawn and (kind == "perfect" or g.below(2) == 0):
                k = levels - g.below(levels // 2 + 1)
            elif kind == "perfect":
                k = g.below(levels // 2 + 1) // 2
            truth.append(int(drawn))
            row.append(k / levels)
        truths.append(truth)
        rows.append(row)
    return np.array(truths), np.array(rows)


# ------------------------------------------------- what neither library has


def curve_bins(right, confidence, bins, strategy):
    """(count, accuracy, confidence) of the bins of `calibration_curve` that are
    not empty; it does not give the counts."""
    if strategy == "uniform":
        edges = np.linspace(0.0, 1.0, bins + 1)
    else:
        edges = np.percentile(confidence, np.linspace(0, 1, bins + 1) * 100)
    index = np.searchsorted(edges[1:-1], confidence)
    counts = np.bincount(index, minlength=bins)
    accuracy, mean = calibration_curve(
        right, confidence, n_bins=bins, strategy=strategy, pos_label=1
    )
    counts = counts[counts > 0]
    assert len(counts) == len(accuracy)
    return counts, accuracy, mean


def curve_ece(right, confidence, bins, strategy="uniform"):
    counts, accuracy, mean = curve_bins(right, confidence, bins, strategy)
    return float(np.sum(counts * np.abs(accuracy - mean)) / np.sum(counts))


def curve_mce(right, confidence, bins):
    _, accuracy, mean = curve_bins(right, confidence, bins, "uniform")
    return float(np.max(np.abs(accuracy - mean)))


def digest(*columns):
    """A curve in a few numbers: its length and each column's sum, the first
    point counting once, the second twice …"""
    place = np.arange(1, len(columns[0]) + 1)
    return [len(columns[0])] + [float(np.sum(place * column)) for column in columns]


def curves(truth, score):
    precision, recall, thresholds = sk.precision_recall_curve(truth, score, pos_label=1)
    pr = digest(recall[::-1], precision[::-1]) + [digest(thresholds[::-1])[1]]
    false, true, thresholds = sk.roc_curve(
        truth, score, pos_label=1, drop_intermediate=False
    )
    false, true = np.nan_to_num(false), np.nan_to_num(true)
    return pr + digest(false, true) + [digest(thresholds[1:])[1]]


# ------------------------------------------------------------- scikit-learn


def nan_mean(values):
    kept = [v for v in values if not math.isnan(v)]
    return float(np.mean(kept)) if kept else math.nan


def sk_ranking(onehot, scores):
    classes = range(onehot.shape[1])
    present = [c for c in classes if onehot[:, c].any()]
    ap = [float(sk.average_precision_score(onehot[:, c], scores[:, c])) for c in classes]
    auroc = [float(sk.roc_auc_score(onehot[:, c], scores[:, c])) for c in classes]
    auprc = []
    for c in classes:
        precision, recall, _ = sk.precision_recall_curve(onehot[:, c], scores[:, c])
        auprc.append(float(sk.auc(recall, precision)) if c in present else math.nan)
    flat = onehot.ravel(), scores.ravel()
    precision, recall, _ = sk.precision_recall_curve(*flat)
    averages = ["macro", "weighted", "micro"]
    return {
        "ap": [float(sk.average_precision_score(onehot, scores, average=a)) for a in averages]
        + [nan_mean([ap[c] for c in present])],
        "auroc": [float(sk.roc_auc_score(onehot, scores, average=a)) for a in averages]
        + [nan_mean([auroc[c] for c in present])],
        "auprc": [
            nan_mean(auprc),
            float(sk.auc(recall, precision)) if onehot.any() else math.nan,
        ],
        "ap_of": ap,
        "auroc_of": auroc,
        "auprc_of": auprc,
        "curves": curves(onehot[:, 0], scores[:, 0]),
        "curves_micro": curves(*flat),
    }


def sk_prf(truth, predicted, classes):
    figures = {}
    names = ["precision", "recall", "f1"]
    averages = [
        sk.precision_recall_fscore_support(truth, predicted, average=a, zero_division=0)
        for a in ["macro", "weighted", "micro"]
    ]
    every = sk.precision_recall_fscore_support(
        truth, predicted, average=None, labels=range(classes), zero_division=0
    )
    support = every[3]
    for k, name in enumerate(names):
        figures[name] = [float(a[k]) for a in averages] + [
            float(np.mean(every[k])),
            nan_mean([v if s else math.nan for v, s in zip(every[k], support)]),
        ]
        figures[name + "_of"] = [float(v) for v in every[k]]
    return figures


def sk_single(truth, scores, bins, ks):
    classes = scores.shape[1]
    labels = np.arange(classes)
    predicted = scores.argmax(1)
    onehot = np.eye(classes, dtype=int)[truth]
    confidence, right = scores.max(1), (predicted == truth).astype(int)
    top_k = lambda k: sk.top_k_accuracy_score(
        truth, scores[:, 1] if classes == 2 else scores, k=k, labels=labels
    )
    return {
        "accuracy": float(sk.accuracy_score(truth, predicted)),
        "hamming": math.nan,
        "top_k": [float(top_k(k)) for k in ks],
        "balanced": float(sk.balanced_accuracy_score(truth, predicted)),
        **sk_prf(truth, predicted, classes),
        **sk_ranking(onehot, scores),
        "ece": curve_ece(right, confidence, bins),
        "ece_mass": curve_ece(right, confidence, bins, "quantile"),
        "mce": curve_mce(right, confidence, bins),
        "ece_of": [curve_ece(onehot[:, c], scores[:, c], bins) for c in labels],
        "brier": float(sk.brier_score_loss(truth, scores, labels=labels)),
        "nll": float(sk.log_loss(truth, scores, labels=labels)),
    }


def sk_multi(truth, scores, bins, ks):
    labels = range(scores.shape[1])
    predicted = (scores > 0.5).astype(int)
    flat = truth.ravel(), scores.ravel()
    column = lambda f: float(np.mean([f(truth[:, c], scores[:, c]) for c in labels]))
    rows = [i for i in range(len(truth)) if truth[i].any()]

    def hit(i, k):  # of equal scores the highest index first
        order = np.argsort(scores[i], kind="stable")[::-1][:k]
        return truth[i][order].any()

    return {
        "accuracy": float(sk.accuracy_score(truth, predicted)),
        "hamming": 1.0 - float(sk.hamming_loss(truth, predicted)),
        "top_k": [nan_mean([float(hit(i, k)) for i in rows]) for k in ks],
        "balanced": float(
            np.mean([sk.balanced_accuracy_score(truth[:, c], predicted[:, c]) for c in labels])
        ),
        **sk_prf(truth, predicted, scores.shape[1]),
        **sk_ranking(truth, scores),
        "ece": curve_ece(*flat, bins),
        "ece_mass": curve_ece(*flat, bins, "quantile"),
        "mce": curve_mce(*flat, bins),
        "ece_of": [curve_ece(truth[:, c], scores[:, c], bins) for c in labels],
        "brier": column(lambda y, p: sk.brier_score_loss(y, p, pos_label=1)),
        "nll": column(lambda y, p: sk.log_loss(y, p, labels=[0, 1])),
    }


# ------------------------------------------------------------- torchmetrics


def close(double, public):
    """float64 by the same code agrees with the public function's float32."""
    double, public = np.array(double), np.array(public)
    assert np.allclose(double, public, atol=1e-5, equal_nan=True), (double, public)


def tm_prf(stats, multi):
    tp, fp, tn, fn = (t.double() for t in stats)
    figures = {}
    for name in ["precision", "recall", "f1"]:
        if name == "f1":
            reduce = lambda a: _fbeta_reduce(tp, fp, tn, fn, 1.0, a, multilabel=multi)
        else:
            reduce = lambda a: _precision_recall_reduce(
                name, tp, fp, tn, fn, a, multilabel=multi
            )
        every = reduce(None)
        figures[name] = [float(reduce(a)) for a in ["macro", "weighted", "micro"]] + [
            float(every.mean()),
            nan_mean([float(v) if s else math.nan for v, s in zip(every, tp + fn)]),
        ]
        figures[name + "_of"] = every.tolist()
    return figures


def tm_areas(curves, roc, onehot, binary):
    """`curves`: (precision, recall) of each class; `roc`: (fpr, tpr)."""
    support = torch.tensor(onehot.sum(0)).double()
    present = support > 0
    figures = {}
    precision, recall = [c[0] for c in curves], [c[1] for c in curves]
    fpr, tpr = [c[0] for c in roc], [c[1] for c in roc]
    for name, reduce in [
        ("ap", lambda a: _reduce_average_precision(precision, recall, a, support)),
        ("auroc", lambda a: _reduce_auroc(fpr, tpr, a, support)),
    ]:
        every = reduce(None)
        of_present = [float(v) for v, p in zip(every, present) if p]
        figures[name] = [
            float(reduce("macro")),
            float(reduce("weighted")),
            float(binary[name]),
            nan_mean(of_present),
        ]
        figures[name + "_of"] = every.tolist()
    auprc = [
        float(-torch.trapz(p, r)) if here else math.nan
        for p, r, here in zip(precision, recall, present)
    ]
    p, r = binary["curve"]
    figures["auprc_of"] = auprc
    figures["auprc"] = [
        nan_mean(auprc),
        float(-torch.trapz(p, r)) if onehot.any() else math.nan,
    ]
    return figures


def tm_binary(onehot, scores):
    flat = torch.tensor(scores.ravel()), torch.tensor(onehot.ravel())
    return {
        "ap": tm.binary_average_precision(*flat),
        "auroc": tm.binary_auroc(*flat),
        "curve": tm.binary_precision_recall_curve(*flat)[:2],
    }


def tm_single(truth, scores, bins, ks):
    samples, classes = scores.shape
    p, y = torch.tensor(scores), torch.tensor(truth)
    onehot = np.eye(classes, dtype=int)[truth]
    stats = _multiclass_stat_scores_update(
        p.argmax(1).reshape(samples, -1), y.reshape(samples, -1), classes, 1, "macro"
    )
    tp, fp, tn, fn = (t.double() for t in stats)
    balanced = float(_accuracy_reduce(tp, fp, tn, fn, "macro"))
    close(balanced, tm.multiclass_accuracy(p, y, classes, average="macro"))
    prf = tm_prf(stats, False)
    for name, public in [
        ("precision", tm.multiclass_precision),
        ("recall", tm.multiclass_recall),
        ("f1", tm.multiclass_f1_score),
    ]:
        for k, average in enumerate(["macro", "weighted", "micro"]):
            close(prf[name][k], public(p, y, classes, average=average))
    pr = tm.multiclass_precision_recall_curve(p, y, classes)
    roc = tm.multiclass_roc(p, y, classes)
    areas = tm_areas(
        list(zip(pr[0], pr[1])), list(zip(roc[0], roc[1])), onehot, tm_binary(onehot, scores)
    )
    for name, public in [("ap", tm.multiclass_average_precision), ("auroc", tm.multiclass_auroc)]:
        for k, average in enumerate(["macro", "weighted"]):
            close(areas[name][k], public(p, y, classes, average=average))
    confidence, predicted = p.max(1)
    assert (predicted == torch.tensor(scores.argmax(1))).all(), "argmax: first of equals"
    right = predicted.eq(y)
    top_k = []
    for k in ks:
        of_truth = scores[np.arange(samples), truth][:, None]
        ahead, level = (scores > of_truth).sum(1), (scores == of_truth).sum(1)
        least, most = np.mean(ahead + level <= k), np.mean(ahead < k)
        found = float(tm.multiclass_accuracy(p, y, classes, average="micro", top_k=k))
        assert least - 1e-6 <= found <= most + 1e-6
        # torch.topk promises no order among equals: nothing to hold on to.
        sure = least == most
        if k == 1:
            found = float(right.double().mean())
        top_k.append((float(most) if k > 1 else found) if sure or k == 1 else math.nan)
        if sure or k == 1:
            close(top_k[-1], tm.multiclass_accuracy(p, y, classes, average="micro", top_k=k))
    ece, mce = (float(_ce_compute(confidence, right, bins, norm)) for norm in ["l1", "max"])
    one = lambda c: float(_ce_compute(p[:, c], y.eq(c), bins, "l1"))
    return {
        "accuracy": float(tp.sum() / samples),
        "hamming": math.nan,
        "top_k": top_k,
        "balanced": balanced,
        **prf,
        **areas,
        "ece": ece,
        "mce": mce,
        "ece_of": [one(c) for c in range(classes)],
    }


def tm_multi(truth, scores, bins, ks):
    samples, classes = scores.shape
    p, y = torch.tensor(scores), torch.tensor(truth)
    predicted = (p > 0.5).long()
    stats = _multilabel_stat_scores_update(
        predicted.reshape(samples, classes, -1), y.reshape(samples, classes, -1)
    )
    prf = tm_prf(stats, True)
    for name, public in [
        ("precision", tm.multilabel_precision),
        ("recall", tm.multilabel_recall),
        ("f1", tm.multilabel_f1_score),
    ]:
        for k, average in enumerate(["macro", "weighted", "micro"]):
            close(prf[name][k], public(p, y, classes, average=average))
    pr = tm.multilabel_precision_recall_curve(p, y, classes)
    roc = tm.multilabel_roc(p, y, classes)
    areas = tm_areas(
        list(zip(pr[0], pr[1])), list(zip(roc[0], roc[1])), truth, tm_binary(truth, scores)
    )
    for name, public in [("ap", tm.multilabel_average_precision), ("auroc", tm.multilabel_auroc)]:
        for k, average in enumerate(["macro", "weighted", "micro"]):
            close(areas[name][k], public(p, y, classes, average=average))
    balanced = []
    for c in range(classes):
        two = _multiclass_stat_scores_update(
            predicted[:, c].reshape(samples, -1), y[:, c].reshape(samples, -1), 2, 1, "macro"
        )
        balanced.append(float(_accuracy_reduce(*(t.double() for t in two), "macro")))
    hamming = float((predicted == y).double().mean())
    close(hamming, tm.multilabel_accuracy(p, y, classes, average="micro"))
    exact = float((predicted == y).all(1).double().mean())
    close(exact, tm.multilabel_exact_match(p, y, classes))
    flat = p.flatten(), y.flatten()
    close(_ce_compute(*flat, bins, "l1"), tm.binary_calibration_error(*flat, n_bins=bins))
    rows = [i for i in range(samples) if truth[i].any()]

    def hit(i, k):  # of equal scores the lowest index first
        order = np.argsort(-scores[i], kind="stable")[:k]
        return truth[i][order].any()

    return {
        "accuracy": exact,
        "hamming": hamming,
        "top_k": [nan_mean([float(hit(i, k)) for i in rows]) for k in ks],
        "balanced": float(np.mean(balanced)),
        **prf,
        **areas,
        "ece": float(_ce_compute(*flat, bins, "l1")),
        "mce": float(_ce_compute(*flat, bins, "max")),
        "ece_of": [float(_ce_compute(p[:, c], y[:, c], bins, "l1")) for c in range(classes)],
    }


# ---------------------------------------------------------- events, McNemar


def spans(seed):
    """Actions and events: (class, start, end, raised) in quarters of a second."""
    g = Generator(seed)

    def some(most, late):
        drawn = []
        for _ in range(g.below(most + 1)):
            label, start, length = g.below(3), g.below(120), g.below(40)
            drawn.append((label, start, start + length, start + g.below(late + 1)))
        return drawn

    return some(7, 0), some(9, 8)


def event_figures(actions, events):
    """F1@{10, 25, 50} and latency, as src/metric/events.rs defines them."""
    hits = []
    for least in [0.1, 0.25, 0.5]:
        count = 0
        for label in range(3):
            true = sorted(a[1:3] for a in actions if a[0] == label)
            found = sorted(e[1:3] for e in events if e[0] == label)
            taken = set()
            if not true:
                continue
            for start, end in found:
                together = np.array([min(end, b) - max(start, a) for a, b in true])
                either = np.array([max(end, b) - min(start, a) for a, b in true])
                overlap = np.maximum(together, 0) / np.maximum(either, 1e-9)
                best = int(np.argmax(overlap))
                if overlap[best] >= least and best not in taken:
                    taken.add(best)
                    count += 1
        hits.append(count)
    latencies, early = [], 0
    for label, start, end, _ in actions:
        raised = [e[3] for e in events if e[0] == label and e[1] < end and e[2] > start]
        if raised:
            early += min(raised) < start
            latencies.append(max(0, min(raised) - start) / 4)
    totals = len(actions) + len(events)
    return {
        "hits": hits,
        "f1": [2 * h / totals if totals else 0.0 for h in hits],
        "detected": len(latencies),
        "early": early,
        "mean": float(np.mean(latencies)) if latencies else math.nan,
        "p90": float(np.percentile(latencies, 90)) if latencies else math.nan,
    }


def mcnemar(only_a, only_b):
    differ = only_a + only_b
    exact = binomtest(min(only_a, only_b), differ, 0.5).pvalue if differ else 1.0
    statistic = 0.0 if only_a == only_b else (abs(only_a - only_b) - 1) ** 2 / differ
    return [exact, statistic, float(chi2.sf(statistic, 1))]


# ------------------------------------------------------------------- output


def compact(value):
    """Twelve digits are enough for 1e-9; NaN becomes null."""
    if isinstance(value, dict):
        return {k: compact(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [compact(v) for v in value]
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.12g}")
    return value


def write(name, lines):
    text = "".join(
        json.dumps(compact(line), separators=(",", ":"), allow_nan=False) + "\n" for line in lines
    )
    (OUT / name).write_text(text)
    print(f"{name}: {len(lines)} cases, {len(text)} bytes")


def cases(task):
    """(seed, samples, classes, levels, kind, bins): 260 of each task."""
    kinds = {
        "single-label": ["mixed", "mixed", "mixed", "absent", "one-class", "first-class", "perfect"],
        "multi-label": ["mixed", "mixed", "mixed", "absent", "never", "always", "perfect"],
    }[task]
    g = Generator(2026 if task == "single-label" else 2027)
    for case in range(260):
        classes = [2, 3, 4, 5, 7, 2, 3][g.below(7)]
        samples = 1 + g.below(40)
        if case % 13 == 0:
            samples = 1
        if case % 40 == 7:
            classes = 30  # many
        if case % 40 == 27:
            samples = 300
        levels = [1, 2, 4, 10, 1000, 1 << 40][g.below(6)]
        yield case + 1, samples, classes, levels, kinds[g.below(len(kinds))], [15, 10, 4][g.below(3)]


def main():
    OUT.mkdir(exist_ok=True)
    for bad in [math.nan, math.inf]:
        try:
            sk.average_precision_score([0, 1], [0.5, bad])
        except ValueError:
            continue
        raise AssertionError(f"scikit-learn takes {bad}")
    for task, make, of_sk, of_tm in [
        ("single-label", single_label, sk_single, tm_single),
        ("multi-label", multi_label, sk_multi, tm_multi),
    ]:
        lines = []
        for seed, samples, classes, levels, kind, bins in cases(task):
            truth, scores = make(seed, samples, classes, levels, kind)
            ks = [k for k in [1, 2, 3, 5] if k <= classes]
            sklearn, torchm = of_sk(truth, scores, bins, ks), of_tm(truth, scores, bins, ks)
            lines.append(
                {
                    "seed": seed,
                    "samples": samples,
                    "classes": classes,
                    "levels": levels,
                    "kind": kind,
                    "bins": bins,
                    "scikit-learn": sklearn,
                    # Only what differs.
                    "torchmetrics": {
                        k: v for k, v in torchm.items() if compact(v) != compact(sklearn[k])
                    },
                }
            )
        write(f"{task}.jsonl", lines)
    write("events.jsonl", [{"seed": s, **event_figures(*spans(s))} for s in range(1, 301)])
    g = Generator(3)
    tables = [(g.below(1 + case), g.below(1 + case)) for case in range(220)]
    tables += [(0, 0), (0, 1), (5000, 4700), (100000, 99000)]
    write("mcnemar.jsonl", [{"only": t, "p": mcnemar(*t)} for t in tables])


if __name__ == "__main__":
    main()
