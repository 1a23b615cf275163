#!/usr/bin/env python3
"""Compares flatnet with scikit-learn's MLPClassifier and MLPRegressor on the tables beside this script: the same rows, network,
optimizer and number of epochs, ten seeds; prints the table that README.md has, and fails where flatnet is worse.

    python3 tests/tables/compare.py --program target/release/flatnet [--seeds 10] [--check]

flatnet holds out a quarter of the rows by each seed; scikit-learn gets the very same rows by way of sample.csv. Both scale columns by
mean and deviation of the training rows, and for regressions the target likewise. scikit-learn divides alpha by the batch, and leaves
biases alone: so does what flatnet is told. What is compared is the mean over the seeds of the held-out rows' accuracy, or R2. --check
asks that flatnet is not worse by more than one point of accuracy, or by more than 2 % of R2.

Needs scikit-learn (tests/golden/metrics/requirements.txt).
"""

import argparse
import csv
import gzip
import json
import statistics
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).resolve().parent
HIDDEN, LR, ALPHA, BATCH = 100, 0.001, 0.0001, 32
EPOCHS = 200
# File, target, and whether it is a regression.
TABLES = [
    ("iris.csv", "species", False),
    ("wine.csv", "cultivar", False),
    ("breast_cancer.csv", "diagnosis", False),
    ("digits.csv.gz", "label", False),
    ("diabetes.csv", "progression", True),
    ("friedman.csv", "y", True),
]


def read(file, target, is_regression):
    raw = (HERE / file).read_bytes()
    rows = list(csv.DictReader((gzip.decompress(raw) if file.endswith(".gz") else raw).decode().splitlines()))
    y = [row.pop(target) for row in rows]
    x = numpy.array([[float(cell) for cell in row.values()] for row in rows])
    return x, numpy.array([float(value) for value in y]) if is_regression else numpy.array(y)


def run(words):
    """The JSON that a command prints. What it says on stderr, such as that a run overfits, is shown where it fails."""
    done = subprocess.run([*map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def flatnet(program, file, target, classes, is_regression, seed, out):
    outputs = 1 if is_regression else classes
    words = [program, "train", "--data", HERE / file, "--target", target, "--val-split", 0.25, "--seed", seed, "--out", out]
    words += ["--layers", f"linear:{HIDDEN},relu,linear:{outputs}", "--init", "xavier-uniform", "--optimizer", "adam", "--lr", LR]
    words += ["--weight-decay", ALPHA / BATCH, "--no-bias-decay", "--batch-size", BATCH, "--epochs", EPOCHS, "--shuffle", "epoch"]
    words += ["--transform", "standard", "--task", "regress" if is_regression else "classify"]
    run([*words, "--quiet", "--no-report", "--json"])
    evaluated = run([program, "evaluate", "--model", out, "--sample", "run", "--json"])
    rows = {"train": [], "val": []}
    for row in csv.DictReader((Path(out) / "sample.csv").read_text().splitlines()):
        rows[row["phase"]].append(int(row["row"]))
    return evaluated["metrics"]["r2"] if is_regression else evaluated["accuracy"], rows["train"], rows["val"]


def scikit_learn(x, y, train, val, is_regression, seed):
    settings = {"hidden_layer_sizes": (HIDDEN,), "learning_rate_init": LR, "alpha": ALPHA, "batch_size": BATCH, "max_iter": EPOCHS}
    settings |= {"random_state": seed, "tol": 0.0, "n_iter_no_change": EPOCHS}
    network = MLPRegressor(**settings) if is_regression else MLPClassifier(**settings)
    model = make_pipeline(StandardScaler(), network)
    if is_regression:
        model = TransformedTargetRegressor(model, transformer=StandardScaler())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x[train], y[train])
    return model.score(x[val], y[val])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    faults = []
    print("| table | rows x columns | figure | flatnet | scikit-learn |\n|---|---|---|---|---|")
    for file, target, is_regression in TABLES:
        x, y = read(file, target, is_regression)
        found, wanted = [], []
        with tempfile.TemporaryDirectory() as folder:
            for seed in range(arguments.seeds):
                out = f"{folder}/{seed}"
                figure, train, val = flatnet(arguments.program, file, target, len(set(y)), is_regression, seed, out)
                found.append(figure)
                wanted.append(scikit_learn(x, y, train, val, is_regression, seed))
        shown = (lambda v: f"{v:.3f}") if is_regression else (lambda v: f"{100 * v:.2f} %")
        mean, peer = statistics.fmean(found), statistics.fmean(wanted)
        spread = [shown(statistics.stdev(values)) if len(values) > 1 else "-" for values in (found, wanted)]
        name = "R2" if is_regression else "accuracy"
        print(f"| {file.split('.')[0]} | {len(x)} x {x.shape[1]} | {name} | {shown(mean)} ± {spread[0]} | {shown(peer)} ± {spread[1]} |")
        least = peer - 0.02 * abs(peer) if is_regression else peer - 0.01
        if mean < least:
            faults.append(f"{file}: {name} {shown(mean)}, expected {shown(least)} at least")
    if arguments.check and faults:
        sys.exit("tables: " + "; ".join(faults))


if __name__ == "__main__":
    main()
