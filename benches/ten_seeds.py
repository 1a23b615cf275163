#!/usr/bin/env python3
"""The reference recipe over seeds 0 to 9, with both ReLU backwards: prints the first table of SEEDS.md.

Builds and runs `flatnet train --json` in release mode; the runs' own files go to a temporary folder. Twenty runs of 200 epochs
take some minutes. Needs cargo and nothing but Python's standard library.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

CRATE = Path(__file__).resolve().parents[1]
BACKWARDS = ("straight-through", "exact")
FIGURES = ("train_accuracy", "val_accuracy")


def build():
    """Builds the program and returns its path, wherever cargo's settings put it."""
    command = ["cargo", "build", "--release", "--bin", "flatnet", "--message-format", "json-render-diagnostics"]
    lines = subprocess.run(command, cwd=CRATE, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    programs = [message["executable"] for message in map(json.loads, lines) if message.get("executable")]
    return programs[-1]


def train(program, seed, relu_grad, epochs, folder):
    """The figures of a run's last epoch; accuracies are fractions."""
    out = Path(folder) / f"{relu_grad}-{seed}"
    command = [program, "train", "--seed", str(seed), "--relu-grad", relu_grad, "--epochs", str(epochs)]
    command += ["--data", str(CRATE / "data" / "mnist"), "--out", str(out), "--json", "--quiet"]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    summary = json.loads(run.stdout)
    if summary["epochs"] != epochs or summary["recipe"]["seed"] != seed:
        sys.exit(f"ten_seeds: asked for {epochs} epochs of seed {seed}, got {summary['epochs']} of {summary['recipe']['seed']}")
    return summary["final"]


def table(runs, seeds):
    """`runs[backward][seed]` are final figures. One row per seed, then mean, least and largest of each column."""
    head = [f"{backward}: {name}" for backward in BACKWARDS for name in ("training", "validation")]
    columns = [[runs[backward][seed][figure] for seed in seeds] for backward in BACKWARDS for figure in FIGURES]
    rows = [(str(seed), [column[index] for column in columns]) for index, seed in enumerate(seeds)]
    rows.append(("**mean**", [sum(column) / len(column) for column in columns]))
    rows.append(("least", [min(column) for column in columns]))
    rows.append(("largest", [max(column) for column in columns]))
    lines = ["| seed | " + " | ".join(head) + " |", "|---|" + "---:|" * len(head)]
    lines += [f"| {name} | " + " | ".join(f"{100 * value:.2f} %" for value in values) + " |" for name, values in rows]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="run seeds 0 to N - 1")
    parser.add_argument("--program", metavar="FILE", help="a flatnet that is built already")
    arguments = parser.parse_args()
    if arguments.seeds < 1 or arguments.epochs < 1:
        parser.error("expected at least 1 seed and 1 epoch")

    program = arguments.program or build()
    seeds = range(arguments.seeds)
    runs = {backward: {} for backward in BACKWARDS}
    with tempfile.TemporaryDirectory(prefix="flatnet-seeds-") as folder:
        for backward in BACKWARDS:
            for seed in seeds:
                final = runs[backward][seed] = train(program, seed, backward, arguments.epochs, folder)
                print(f"{backward}, seed {seed}: validation {final['val_accuracy']:.4f}", file=sys.stderr)
    print(table(runs, seeds))


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"ten_seeds: {' '.join(map(str, error.cmd))}: exit code {error.returncode}")
    except FileNotFoundError as error:
        sys.exit(f"ten_seeds: {error.filename} is missing")
