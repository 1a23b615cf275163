#!/usr/bin/env python3
"""Writes the small tables beside this script, as scikit-learn has them, for tests and for compare.py.

    python3 tests/tables/make_tables.py            writes them
    python3 tests/tables/make_tables.py --check    compares them with what would be written

Needs scikit-learn (tests/golden/metrics/requirements.txt). The data are public: Fisher's iris, Forina's wine, Wolberg's breast cancer and
Alpaydin's digits (all UCI, CC BY 4.0), Efron's diabetes; friedman is made by the formula of Friedman (1991) with noise.
"""

import argparse
import csv
import gzip
import io
import sys
from pathlib import Path

from sklearn import datasets

HERE = Path(__file__).resolve().parent


def name(text):
    return text.replace(" (cm)", "").replace(" ", "_").replace("/", "_per_")


def number(value):
    """The shortest text that reads back as the same number."""
    return repr(int(value)) if float(value).is_integer() else repr(float(value))


def table(set_, target, words):
    """Rows of a set of scikit-learn; with `words`, classes by name."""
    yield [*map(name, set_.feature_names), target]
    for row, label in zip(set_.data, set_.target):
        yield [*map(number, row), str(set_.target_names[label]) if words else number(label)]


def friedman(rows=600):
    x, y = datasets.make_friedman1(n_samples=rows, n_features=8, noise=1.0, random_state=0)
    yield [*(f"x{column}" for column in range(x.shape[1])), "y"]
    for row, value in zip(x.round(6), y.round(6)):
        yield [*map(number, row), number(value)]


TABLES = {
    "iris.csv": lambda: table(datasets.load_iris(), "species", True),
    "wine.csv": lambda: table(datasets.load_wine(), "cultivar", True),
    "breast_cancer.csv": lambda: table(datasets.load_breast_cancer(), "diagnosis", True),
    "digits.csv.gz": lambda: table(datasets.load_digits(), "label", False),
    "diabetes.csv": lambda: table(datasets.load_diabetes(scaled=False), "progression", False),
    "friedman.csv": friedman,
}


def text(rows):
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file differs")
    check = parser.parse_args().check
    faults = []
    for file, rows in TABLES.items():
        path, wanted = HERE / file, text(rows())
        packed = file.endswith(".gz")
        if not check:
            # Without a time, so that the same rows give the same bytes.
            path.write_bytes(gzip.compress(wanted.encode(), 9, mtime=0) if packed else wanted.encode())
        else:
            found = gzip.decompress(path.read_bytes()).decode() if packed else path.read_text()
            if found != wanted:
                faults.append(file)
    if faults:
        sys.exit(f"tests/tables: not as scikit-learn has it: {', '.join(faults)}")


if __name__ == "__main__":
    main()
