#!/usr/bin/env python3
"""Makes the pictures and the accuracies of README.md again, from the commands that stand there.

    cargo build --release
    python3 docs/figures.py --program target/release/flatnet            writes them
    python3 docs/figures.py --program target/release/flatnet --check    exits with 1 where README.md or a picture says otherwise

The reference recipe has the same bits on every machine, so its figures and pictures have to be the same to the last character.
A hidden layer runs on matrixmultiply, whose instructions depend on the CPU: its accuracy may differ by 0.3 points. Takes half a
minute. Needs Python's standard library alone.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

CRATE = pathlib.Path(__file__).resolve().parent.parent
README = CRATE / "README.md"
PICTURES = ["loss-by-epoch.svg", "weights.svg"]

# As README.md writes them; the first is the reference recipe.
NETWORKS = [
    ["--epochs", "200"],
    ["--layers", "linear:128,relu,linear:10", "--lr", "0.1", "--epochs", "10"],
    [
        "--layers",
        "linear:128,relu,dropout:0.2,linear:10",
        *("--optimizer", "adamw", "--lr", "0.001", "--lr-schedule", "cosine", "--train-samples", "all", "--val-samples", "all"),
        *("--epochs", "20", "--shuffle", "epoch"),
    ],
]


def train(program, flags, out):
    command = [program, "train", *flags, "--data", CRATE / "data/mnist", "--out", out, "--json", "--quiet"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"figures: {' '.join(flags)}: exit code {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)["final"]


def row(flags, final):
    return f"| `{' '.join(flags)}` | {100 * final['train_accuracy']:.2f} % | {100 * final['val_accuracy']:.2f} % |"


def accuracies(line):
    """The two figures of a row."""
    return [float(cell.strip().removesuffix(" %")) for cell in line.split("|")[-3:-1]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", required=True, type=pathlib.Path, help="the flatnet program")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where something differs")
    arguments = parser.parse_args()
    program, text, faults = arguments.program.resolve(), README.read_text(), []
    begin, end = "<!-- accuracies: begin -->\n", "<!-- accuracies: end -->"
    before, _, rest = text.partition(begin)
    block, marker, after = rest.partition(end)
    if not marker:
        sys.exit(f"figures: {README.name}: the lines {begin.strip()} and {end} are missing")
    head, said = block.splitlines()[:2], block.splitlines()[2:]

    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for index, flags in enumerate(NETWORKS):
            out = pathlib.Path(folder) / str(index)
            rows.append(row(flags, train(program, flags, out)))
            print(rows[-1])
        for name in PICTURES:
            made = (pathlib.Path(folder) / "0" / "graphs" / name).read_bytes()
            path = CRATE / "docs" / name
            if not arguments.check:
                path.write_bytes(made)
            elif path.read_bytes() != made:
                faults.append(f"docs/{name} is not the picture that the reference recipe gives now")

    if not arguments.check:
        README.write_text(before + begin + "\n".join(head + rows) + "\n" + end + after)
        return
    for index, (old, new) in enumerate(zip(said, rows, strict=False)):
        tolerance = 0.0 if index == 0 else 0.3
        same_flags = old.split("|")[:2] == new.split("|")[:2]
        if not same_flags or any(abs(a - b) > tolerance for a, b in zip(accuracies(old), accuracies(new), strict=True)):
            faults.append(f"README.md says {old}, found {new}")
    if len(said) != len(rows):
        faults.append(f"README.md has {len(said)} rows of accuracies, expected {len(rows)}")
    for fault in faults:
        print(f"figures: {fault}", file=sys.stderr)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
