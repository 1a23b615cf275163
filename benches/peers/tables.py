#!/usr/bin/env python3
"""Times training on synthetic tables: flatnet, scikit-learn's MLPClassifier and PyTorch, the same network, Adam, batches of 200.

    python3 benches/peers/tables.py --program target/release/flatnet [--threads 1] [--rounds 5]

Two tables: one like UCI's covtype (100,000 rows, 10 measured columns and 44 of 0 and 1, 7 classes), and one as wide as an image
(20,000 x 784, dense). All run in turn, A B C A B C, each with the threads asked for; what counts is samples a second of the training
itself, the median of the rounds, and the accuracy on the rows trained on, by which one sees that all do the same. A peer that is not
installed is left out and said. Needs NumPy; scikit-learn and PyTorch from whatever Python runs this, or from --torch-python.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

BATCH, HIDDEN, LR = 200, 100, 0.001
TABLES = {"covtype-like, 100,000 x 54": (100_000, 10, 44, 7, 3), "wide, 20,000 x 784": (20_000, 784, 0, 10, 3)}

PEER = """
import json, sys, time
import numpy as np
name, data, epochs, threads = sys.argv[1], np.load(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
x, y = data["X"], data["y"]
x = ((x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1)).astype(np.float32)
if name == "scikit-learn":
    import warnings
    from sklearn.neural_network import MLPClassifier
    warnings.simplefilter("ignore")
    model = MLPClassifier((%d,), batch_size=%d, learning_rate_init=%g, alpha=0, max_iter=epochs, tol=0, n_iter_no_change=epochs, random_state=0)
    started = time.perf_counter()
    model.fit(x, y)
    seconds = time.perf_counter() - started
    accuracy = model.score(x, y)
else:
    import torch
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(x.shape[1], %d), torch.nn.ReLU(), torch.nn.Linear(%d, int(y.max()) + 1))
    try:
        optimizer = torch.optim.Adam(model.parameters(), lr=%g, fused=True)
    except RuntimeError:
        # Older versions have it for GPUs alone.
        optimizer = torch.optim.Adam(model.parameters(), lr=%g, foreach=True)
    tx, ty = torch.from_numpy(x), torch.from_numpy(y.astype(np.int64))
    started = time.perf_counter()
    for _ in range(epochs):
        order = torch.randperm(len(tx))
        for first in range(0, len(tx), %d):
            rows = order[first:first + %d]
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(model(tx[rows]), ty[rows]).backward()
            optimizer.step()
    seconds = time.perf_counter() - started
    accuracy = (model(tx).argmax(1) == ty).double().mean().item()
print(json.dumps({"seconds": seconds, "accuracy": accuracy}))
""" % (HIDDEN, BATCH, LR, HIDDEN, HIDDEN, LR, LR, BATCH, BATCH)


def make(path, rows, measured, flags, classes):
    import numpy

    random = numpy.random.default_rng(0)
    label = random.integers(0, classes, rows)
    centers = random.normal(0, 1, (classes, measured))
    columns = [centers[label] + random.normal(0, 2.0, (rows, measured))]
    if flags:
        # One of four areas, and one of the others' soils, as covtype has it.
        areas = (label + random.integers(0, 3, rows)) % 4
        soils = (5 * label + random.integers(0, 12, rows)) % (flags - 4)
        one_hot = numpy.zeros((rows, flags))
        one_hot[numpy.arange(rows), areas] = 1
        one_hot[numpy.arange(rows), 4 + soils] = 1
        columns.append(one_hot)
    numpy.savez(path, X=numpy.hstack(columns).astype(numpy.float32), y=label.astype(numpy.int64))


def flatnet(program, data, rows, classes, epochs, threads, out):
    words = [program, "train", "--data", data, "--layers", f"linear:{HIDDEN},relu,linear:{classes}", "--init", "xavier-uniform"]
    words += ["--optimizer", "adam", "--lr", LR, "--batch-size", BATCH, "--epochs", epochs, "--shuffle", "epoch", "--task", "classify"]
    # All rows but those of a validation as short as it can be.
    words += ["--val-split", 1 / rows, "--threads", threads, "--out", out, "--overwrite", "--json", "--quiet", "--no-report"]
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=True)
    run = json.loads(done.stdout)
    return {"seconds": run["seconds"]["train"], "accuracy": run["final"]["train_accuracy"]}


def peer(name, python, data, epochs, threads):
    environment = os.environ | {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "OPENBLAS", "MKL")}
    words = [python, "-c", PEER, name, data, str(epochs), str(threads)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        return done.stderr.strip().splitlines()[-1]
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--torch-python", default=sys.executable)
    arguments = parser.parse_args()
    print("| table | program | samples/s | flatnet is faster | training accuracy |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, (rows, measured, flags, classes, epochs) in TABLES.items():
            data = str(Path(folder) / "table.npz")
            make(data, rows, measured, flags, classes)
            runs = {
                "flatnet": lambda: flatnet(arguments.program, data, rows, classes, epochs, arguments.threads, f"{folder}/run"),
                "scikit-learn": lambda: peer("scikit-learn", sys.executable, data, epochs, arguments.threads),
                "PyTorch": lambda: peer("PyTorch", arguments.torch_python, data, epochs, arguments.threads),
            }
            found = {program: [] for program in runs}
            for _ in range(arguments.rounds):
                for program, run in runs.items():
                    found[program].append(run())
            own = None
            for program, results in found.items():
                if isinstance(results[0], str):
                    print(f"| {name} | {program} | - | - | {results[0]} |")
                    continue
                speed = statistics.median(epochs * rows / result["seconds"] for result in results)
                own = own or speed
                accuracy = statistics.median(result["accuracy"] for result in results)
                print(f"| {name} | {program} | {speed:,.0f} | {own / speed:.1f} x | {100 * accuracy:.1f} % |", flush=True)


if __name__ == "__main__":
    main()
