#!/usr/bin/env python3
"""A peer to measure flatnet against: the reference recipe in NumPy, float32, with the reference's own formulas.

784 -> linear:10 -> relu -> softmax cross entropy, plain SGD, 30,000 training and 5,000 validation images of data/mnist, batches
of 32 in the order drawn. The three layer classes do what the reference's classes do, step for step, and are not tuned; that
includes a ReLU whose backward passes the gradient unchanged and a softmax that does not subtract the maximum. (The reference's
zero_grad is absent: every backward overwrites the gradients.)

Prints one line of JSON. `us_per_batch` and `seconds` are training steps alone: forward, loss, backward, update; counting correct
predictions and validation are outside. NumPy's speed is that of the BLAS below it, so `blas` says which one it was: Debian's
plain libblas is several times slower than OpenBLAS. Set OPENBLAS_NUM_THREADS to choose the threads.
"""

import argparse
import gzip
import json
import os
import struct
import sys
import time
from pathlib import Path

import numpy as np

TRAIN_SAMPLES, VAL_SAMPLES = 30_000, 5_000
BATCH_SIZE = 32
LEARNING_RATE = 0.01
FEATURES, CLASSES = 784, 10


# --------------------------------------------------------------------------------------------------------------- the layers


class Linear:
    def __init__(self, num_features, num_classes, rng):
        weights = rng.normal(0, 0.1, size=(num_features, num_classes))
        bias = rng.normal(0, 0.1, size=num_classes)
        self.w = (weights / np.linalg.norm(weights)).astype(np.float32)
        self.b = (bias / np.linalg.norm(bias)).astype(np.float32)

    def forward(self, layer_input):
        self.layer_input = layer_input
        return np.dot(layer_input, self.w) + self.b

    def backward(self, gradient):
        m = self.layer_input.shape[0]
        self.dl_dw = (1 / m) * np.dot(self.layer_input.T, gradient)
        self.dl_db = (1 / m) * np.sum(gradient, axis=0, keepdims=True)


class Relu:
    def forward(self, layer_input):
        self.layer_input = layer_input
        return np.maximum(layer_input, 0)

    def backward(self, gradient):
        # After the first line everything is >= 0, so the mask becomes all ones: the reference's code, kept as it acts.
        self.layer_input[self.layer_input < 0] = 0
        self.layer_input[self.layer_input >= 0] = 1
        return self.layer_input * gradient


class SoftmaxCrossEntropy:
    def forward(self, logits, targets):
        self.probabilities = np.exp(logits) / np.sum(np.exp(logits), axis=1).reshape(targets.shape[0], 1)
        self.targets = targets
        cross_entropy = -1 * np.log(self.probabilities) * targets
        return self.probabilities, np.sum(cross_entropy) / targets.shape[0]

    def backward(self):
        return self.probabilities - self.targets


class Network:
    def __init__(self, rng):
        self.linear, self.relu, self.softmax = Linear(FEATURES, CLASSES, rng), Relu(), SoftmaxCrossEntropy()

    def forward(self, x, targets):
        """Probabilities [batch, 10] and the batch's mean loss."""
        return self.softmax.forward(self.relu.forward(self.linear.forward(x)), targets)

    def train_step(self, x, targets):
        probabilities, loss = self.forward(x, targets)
        self.linear.backward(self.relu.backward(self.softmax.backward()))
        self.linear.w = self.linear.w - LEARNING_RATE * self.linear.dl_dw
        self.linear.b = self.linear.b - LEARNING_RATE * self.linear.dl_db
        return probabilities, loss


# ------------------------------------------------------------------------------------------------------------- data and weights


def read_idx(path):
    with gzip.open(path) as file:
        data = file.read()
    shape = struct.unpack_from(f">{data[3]}I", data, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def draw(folder, prefix, samples, rng):
    """`samples` images without replacement: pixels [samples, 784] as x / 255, and their labels [samples]."""
    images = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz").reshape(-1, FEATURES)
    labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
    rows = rng.choice(len(images), samples, replace=False)
    return images[rows].astype(np.float32) / np.float32(255), labels[rows]


def read_weights(path, layer):
    """Takes `0.weight` [10, 784] and `0.bias` [10] from a model file of flatnet (or one of its golden files)."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header, tensors = json.loads(data[8 : 8 + length]), {}
    for name in ("0.weight", "0.bias"):
        start, end = header[name]["data_offsets"]
        tensors[name] = np.frombuffer(data[8 + length + start : 8 + length + end], "<f4").reshape(header[name]["shape"])
    layer.w = np.ascontiguousarray(tensors["0.weight"].T)
    layer.b = tensors["0.bias"].copy()


# --------------------------------------------------------------------------------------------------------------------- the run


def batches(x, labels, targets):
    for start in range(0, len(x), BATCH_SIZE):
        rows = slice(start, start + BATCH_SIZE)
        yield x[rows], labels[rows], targets[rows]


def epoch(run, x, labels, targets):
    """Mean of the batch losses, share of correct predictions, seconds inside `run`, number of batches."""
    losses, correct, seconds = [], 0, 0.0
    for batch, batch_labels, batch_targets in batches(x, labels, targets):
        started = time.perf_counter()
        probabilities, loss = run(batch, batch_targets)
        seconds += time.perf_counter() - started
        losses.append(float(loss))
        correct += int(np.count_nonzero(probabilities.argmax(axis=1) == batch_labels))
    return sum(losses) / len(losses), correct / len(x), seconds, len(losses)


def loaded_blas():
    """File name of the BLAS library in this process, as far as Linux tells."""
    try:
        paths = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "blas" in line or "mkl_rt" in line}
    except OSError:
        return "unknown"
    return ", ".join(sorted({Path(path).name for path in paths})) or "built in"


def blas_threads(blas):
    if "openblas" not in blas and "mkl" not in blas:
        return 1
    chosen = os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("MKL_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS")
    return int(chosen) if chosen else len(os.sched_getaffinity(0))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "data" / "mnist", help="MNIST folder")
    parser.add_argument("--seed", type=int, default=0, help="draws the samples and the initial weights")
    parser.add_argument("--weights", type=Path, metavar="FILE.safetensors", help="start from these weights instead")
    arguments = parser.parse_args()
    if arguments.epochs < 1:
        parser.error("--epochs: expected at least 1")

    rng = np.random.default_rng(arguments.seed)
    one_hot = np.eye(CLASSES, dtype=np.float32)
    train_x, train_labels = draw(arguments.data, "train", TRAIN_SAMPLES, rng)
    val_x, val_labels = draw(arguments.data, "t10k", VAL_SAMPLES, rng)
    network = Network(rng)
    if arguments.weights:
        read_weights(arguments.weights, network.linear)

    total_seconds, total_batches = 0.0, 0
    for number in range(1, arguments.epochs + 1):
        train_loss, train_accuracy, seconds, count = epoch(network.train_step, train_x, train_labels, one_hot[train_labels])
        val_loss, val_accuracy, _, _ = epoch(network.forward, val_x, val_labels, one_hot[val_labels])
        total_seconds, total_batches = total_seconds + seconds, total_batches + count
        print(f"epoch {number}: training {train_accuracy:.4f}, validation {val_accuracy:.4f}", file=sys.stderr)

    blas = loaded_blas()
    result = {
        "library": "numpy",
        "version": np.__version__,
        "threads": blas_threads(blas),
        "us_per_batch": round(1e6 * total_seconds / total_batches, 2),
        "epochs": arguments.epochs,
        "batches": total_batches,
        "train_loss": train_loss,
        "train_accuracy": train_accuracy,
        "val_loss": val_loss,
        "val_accuracy": val_accuracy,
        "seconds": round(total_seconds, 3),
        "blas": blas,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
