#!/usr/bin/env python3
"""Makes metrics.json, the golden values of flatnet's metrics, by scikit-learn in float64.

    python3 make_metrics.py            writes the file beside this script
    python3 make_metrics.py --check    recomputes it; exits with 1 if the committed file says anything else

Needs what requirements.txt names and nothing else; it must not know flatnet. The file is described in ../README.md.
"""

import argparse
import json
import math
import sys
import warnings
from pathlib import Path

import numpy
import sklearn
from scipy.stats import binomtest
from sklearn import metrics
from sklearn.calibration import calibration_curve

PATH = Path(__file__).resolve().parent / "metrics.json"

# Probabilities are whole numbers over this: exact in float32, and a row sums to 1 without rounding.
WHOLE = 2**20
BINS = 15
# Sums in another order may differ in the last digits.
TOLERANCE = 1e-12


# ------------------------------------------------------------------------------------------------------------------ the inputs


def probabilities(random, labels, classes, skill, hidden=()):
    """Whole parts [samples, classes] that sum to WHOLE: softmax of noise, raised at the label. `hidden` classes get 0."""
    scores = 2 * random.standard_normal((len(labels), classes))
    scores[numpy.arange(len(labels)), labels] += skill
    scores[:, list(hidden)] = -math.inf
    shares = numpy.exp(scores - scores.max(axis=1, keepdims=True))
    parts = numpy.floor(WHOLE * shares / shares.sum(axis=1, keepdims=True)).astype(int)
    # What rounding left over goes to the largest, which then has no equal.
    parts[numpy.arange(len(labels)), parts.argmax(axis=1)] += WHOLE - parts.sum(axis=1)
    return parts


def inputs():
    """By case: classes, labels and whole parts; outputs and targets in float32; or logits in quarters and labels of 0 and 1."""
    random = numpy.random.default_rng(12)
    cases = {}

    def classified(name, classes, labels, parts):
        cases[name] = {"classes": classes, "labels": [int(label) for label in labels], "parts": numpy.asarray(parts).tolist()}

    def drawn(name, classes, samples, skill, among=None, hidden=()):
        labels = random.choice(classes if among is None else among, samples)
        classified(name, classes, labels, probabilities(random, labels, classes, skill, hidden))

    drawn("ten_classes", 10, 150, 3)
    drawn("hundred_classes", 100, 30, 4)
    # Class 1 has samples and is never predicted, class 2 has none, and class 4 neither.
    drawn("absent_classes", 5, 60, 2, among=[0, 0, 0, 1, 3], hidden=[1, 4])
    drawn("two_classes", 2, 80, 1)
    # Eight steps for sixty samples, so that most of them are equal to others of both classes.
    labels = random.integers(0, 2, 60)
    steps = numpy.clip(random.integers(0, 7, 60) + 2 * labels, 0, 8) * (WHOLE // 8)
    classified("two_classes_with_ties", 2, labels, numpy.stack([WHOLE - steps, steps], axis=1))
    classified("one_class_of_two", 2, [1, 1, 1], [[WHOLE // 4, 3 * WHOLE // 4]] * 3)
    labels = random.integers(0, 4, 40)
    classified("perfect", 4, labels, WHOLE * numpy.eye(4, dtype=int)[labels])
    classified("one_answer", 4, labels, [[WHOLE, 0, 0, 0]] * 40)
    # As after a ReLU: most classes are equally unlikely.
    labels = random.integers(0, 8, 64)
    parts = numpy.zeros((64, 8), dtype=int)
    parts[numpy.arange(64), random.integers(0, 8, 64)] = WHOLE // 2
    parts[numpy.arange(64), labels] += WHOLE // 4
    classified("equal_probabilities", 8, labels, parts + (WHOLE // 4) // 8)

    def measured(name, predictions, targets):
        cases[name] = {"predictions": predictions.astype("f4").tolist(), "targets": targets.astype("f4").tolist()}

    targets = random.standard_normal((50, 1))
    measured("one_output", targets + 0.3 * random.standard_normal((50, 1)), targets)
    targets = random.standard_normal((40, 3)) * [1, 10, 0.01] + [0, 1000, -5]
    measured("three_outputs", targets + random.standard_normal((40, 3)) * [0.5, 20, 0.001], targets)

    def labelled(name, shares, samples, skill):
        """Labels that `shares` of the samples have; one in ten or so is told wrongly."""
        truth = (random.random((samples, len(shares))) < shares).astype(int)
        logits = numpy.round(4 * (skill * (2 * truth - 1) + random.standard_normal(truth.shape))) / 4
        cases[name] = {"logits": logits.tolist(), "truth": truth.tolist()}

    labelled("five_labels", [0.5, 0.3, 0.1, 0.7, 0.05], 80, 1.2)
    labelled("one_label", [0.4], 50, 0.5)
    # The second label has no sample, and the third is never predicted.
    labelled("absent_labels", [0.5, 0.0, 0.2], 40, 1.5)
    for row in cases["absent_labels"]["logits"]:
        row[2] = -1.0
    cases["nothing_to_find"] = {"logits": [[-1.0, -0.25]] * 6, "truth": [[0, 0]] * 6}
    return cases


# ----------------------------------------------------------------------------------------------------------------- the results


def number(value):
    """JSON has no NaN, which stands for what is not defined."""
    value = float(value)
    return None if math.isnan(value) else value


def expected_calibration_error(right, confidence):
    """scikit-learn has the bins, each with its share and its mean probability, but not how many samples they have."""
    share, mean = calibration_curve(right, confidence, n_bins=BINS, strategy="uniform")
    bins = numpy.searchsorted(numpy.linspace(0, 1, BINS + 1)[1:-1], confidence)
    counts = numpy.bincount(bins, minlength=BINS)
    counts = counts[counts > 0]
    return float((counts * numpy.abs(share - mean)).sum() / counts.sum())


def top_k(labels, p, k):
    """Of equal probabilities scikit-learn takes the higher class first. Where all are counted from behind, that is the lower
    one, as a prediction is chosen."""
    classes = p.shape[1]
    return metrics.top_k_accuracy_score(classes - 1 - labels, p[:, ::-1], k=k, labels=list(range(classes)))


def classification(case):
    labels, classes = numpy.array(case["labels"]), case["classes"]
    p = numpy.array(case["parts"]) / WHOLE
    predictions, every = p.argmax(axis=1), list(range(classes))
    right = predictions == labels
    interval = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    found = {
        "confusion": metrics.confusion_matrix(labels, predictions, labels=every).tolist(),
        "accuracy": metrics.accuracy_score(labels, predictions),
        "accuracy_interval": [float(interval.low), float(interval.high)],
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, predictions),
        "kappa": metrics.cohen_kappa_score(labels, predictions, labels=every),
        # 0 where it would divide by 0, which here is not defined.
        "matthews": metrics.matthews_corrcoef(labels, predictions)
        if len(set(labels)) > 1 and len(set(predictions)) > 1
        else math.nan,
        "log_loss": metrics.log_loss(labels, p, labels=every),
        "brier_score": metrics.brier_score_loss(labels, p, labels=every),
        "calibration_error": expected_calibration_error(right, p.max(axis=1)),
        "roc_auc": metrics.roc_auc_score(labels, p[:, 1]) if classes == 2 else math.nan,
    }
    for k in (3, 5):
        found[f"top_{k}_accuracy"] = top_k(labels, p, k) if classes > k else math.nan
    for name, average in (("per_class", None), ("macro_avg", "macro"), ("weighted_avg", "weighted")):
        figures = metrics.precision_recall_fscore_support(
            labels, predictions, labels=every, average=average, zero_division=numpy.nan
        )
        for figure, values in zip(("precision", "recall", "f1"), figures):
            found[f"{name}.{figure}"] = [number(value) for value in numpy.atleast_1d(values)]
    return {name: value if isinstance(value, list) else number(value) for name, value in found.items()}


def regression(case):
    predictions, targets = (numpy.array(case[name], dtype="f4").astype("f8") for name in ("predictions", "targets"))
    return {
        "mse": metrics.mean_squared_error(targets, predictions),
        "mae": metrics.mean_absolute_error(targets, predictions),
        "r2": metrics.r2_score(targets, predictions),
    }


def multi_label(case):
    truth, predicted = numpy.array(case["truth"]), (numpy.array(case["logits"]) > 0).astype(int)
    found = {"subset_accuracy": metrics.accuracy_score(truth, predicted), "hamming_loss": metrics.hamming_loss(truth, predicted)}
    # Of one column scikit-learn takes 0 and 1 for two classes, of which the label is the second.
    labels = [1] if truth.shape[1] == 1 else None
    for name, average in (("per_label", None), ("micro_avg", "micro"), ("macro_avg", "macro")):
        figures = metrics.precision_recall_fscore_support(
            truth, predicted, labels=labels, average=average, zero_division=numpy.nan
        )
        for figure, values in zip(("precision", "recall", "f1"), figures):
            found[f"{name}.{figure}"] = [number(value) for value in numpy.atleast_1d(values)]
    found["f1_micro"], found["f1_macro"] = found["micro_avg.f1"][0], found["macro_avg.f1"][0]
    return {name: value if isinstance(value, list) or value is None else number(value) for name, value in found.items()}


def results(case):
    with warnings.catch_warnings():
        # Of what is not defined, which some cases are there for.
        warnings.simplefilter("ignore")
        if "truth" in case:
            return multi_label(case)
        return classification(case) if "labels" in case else regression(case)


# --------------------------------------------------------------------------------------------------------------- file and check


def write():
    cases = {name: case | {"expected": results(case)} for name, case in inputs().items()}
    made = {"scikit-learn": sklearn.__version__, "whole": WHOLE, "cases": cases}
    # A line for each case, so that what changes can be seen.
    lines = ",\n".join(f"{json.dumps(name)}:{json.dumps(case, separators=(',', ':'))}" for name, case in cases.items())
    head = json.dumps({name: value for name, value in made.items() if name != "cases"}, separators=(",", ":"))
    PATH.write_text(f'{head[:-1]},"cases":{{\n{lines}\n}}}}\n')
    print(f"{PATH.name}: {len(cases)} cases, {PATH.stat().st_size} bytes")


def difference(committed, fresh):
    """The largest difference of two numbers or lists of them, over 1 or the number; infinite where they are of two kinds."""
    if isinstance(fresh, list):
        if not isinstance(committed, list) or len(committed) != len(fresh):
            return math.inf
        return max((difference(one, other) for one, other in zip(committed, fresh)), default=0.0)
    if committed is None or fresh is None:
        return 0.0 if committed is fresh else math.inf
    gap = abs(committed - fresh) / max(1.0, abs(fresh))
    return gap if gap == gap else math.inf


def check():
    """Number of faults found in the committed file; each one is printed."""
    made = json.loads(PATH.read_text())
    cases, faults, worst = made["cases"], [], 0.0
    if cases.keys() != inputs().keys() or made["whole"] != WHOLE:
        faults.append(f"holds other cases than {sorted(inputs())}")
    for name, case in cases.items():
        # Draws are inputs, not results: they are taken as they are in the file.
        fresh, committed = results(case), case["expected"]
        if fresh.keys() != committed.keys():
            faults.append(f"{name}: holds other figures than {sorted(fresh)}")
            continue
        for figure, value in fresh.items():
            gap = difference(committed[figure], value)
            worst = max(worst, gap)
            if not gap <= TOLERANCE:
                faults.append(f"{name}: {figure}: {committed[figure]}, not {value}")
    print(f"metrics: {len(cases)} cases recomputed, worst difference {worst:.1e}", end=" ")
    print(f"(made by scikit-learn {made['scikit-learn']})")
    for fault in faults:
        print(f"golden: metrics: {fault}", file=sys.stderr)
    return len(faults)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the committed file instead of writing it")
    if not parser.parse_args().check:
        write()
    elif check():
        sys.exit(1)
    else:
        print(f"golden: every committed value is what scikit-learn {sklearn.__version__} computes")


if __name__ == "__main__":
    main()
