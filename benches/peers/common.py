"""What the Python peers share: reading what flatnet exported, timing epochs, judging the result, printing one line of JSON.
tests/agreement/agree.py reads flatnet's files with it too.

It knows no framework: a peer is a function from a `Task` to a `Model`, and says in its own file how its library trains. Import
this module before NumPy or a framework: BLAS libraries read the number of threads when they are loaded.
"""

import argparse
import csv
import gzip
import json
import os
import re
import resource
import statistics
import struct
import sys
import time
from pathlib import Path

STARTED = time.perf_counter()
HERE = Path(__file__).resolve().parent


def parse(description, variants):
    parser = argparse.ArgumentParser(description=description.splitlines()[0], epilog="Prints one line of JSON. compare.py runs all peers.")
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="what `flatnet train --epochs 0 --out DIR` wrote")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "data" / "mnist", help="MNIST folder, raw or gzip")
    parser.add_argument("--epochs", type=int, default=5, help="the first one warms up: its time does not count (default 5)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--variant", choices=variants, default=variants[0])
    arguments = parser.parse_args()
    if arguments.epochs < 2 or arguments.threads < 1:
        parser.error("expected at least 2 epochs and 1 thread")
    for library in ("OPENBLAS", "MKL", "OMP", "BLIS", "VECLIB_MAXIMUM"):
        os.environ[f"{library}_NUM_THREADS"] = str(arguments.threads)
    return arguments


class Task:
    """A run of flatnet before its first step. Pixels are float32 [samples, 784] as x / 255, labels int64 [samples].

    `layers` are (weight [out, in], bias [out]) of each linear layer. One layer means 784-10-relu with the straight-through ReLU
    of the reference; more mean hidden layers, each with an exact ReLU behind it. `optimizer` is "sgd" or "adam", which is PyTorch's
    with BETAS and EPS.
    """

    BETAS, EPS = (0.9, 0.999), 1e-8
    RELU_LAST, HIDDEN = r"linear:10,relu \(straight-through\)", r"(linear:\d+,relu,)+linear:10 \(exact\)"

    def __init__(self, run, data):
        import numpy as np

        recipe = json.loads((run / "summary.json").read_text())["recipe"]
        network = f"{recipe['layers']} ({recipe['relu_grad']})"
        has_network = any(re.fullmatch(pattern, network) for pattern in (self.RELU_LAST, self.HIDDEN))
        is_plain = recipe["scale"] == "unit" and recipe["shuffle"] == "never" and "optimizer_settings" not in recipe
        if not has_network or not is_plain or recipe["optimizer"] not in ("sgd", "adam"):
            sys.exit(f"{run}: no peer has this recipe; see compare.py for those they have")
        self.lr, self.batch_size, self.optimizer = recipe["lr"], recipe["batch_size"], recipe["optimizer"]
        tensors = read_safetensors(run / "model.safetensors")
        indices = sorted(int(name.split(".")[0]) for name in tensors if name.endswith(".weight"))
        self.layers = [(tensors[f"{index}.weight"], tensors[f"{index}.bias"]) for index in indices]
        for phase, prefix in (("train", "train"), ("val", "t10k")):
            rows = sampled_rows(run, phase)
            images, labels = read_idx(data, f"{prefix}-images-idx3-ubyte"), read_idx(data, f"{prefix}-labels-idx1-ubyte")
            setattr(self, f"{phase}_x", images.reshape(len(images), -1)[rows].astype(np.float32) / np.float32(255))
            setattr(self, f"{phase}_y", labels[rows].astype(np.int64))

    @property
    def is_deep(self):
        return len(self.layers) > 1

    def batches(self):
        """Slices of the training rows in order; the last one is shorter."""
        return [slice(start, start + self.batch_size) for start in range(0, len(self.train_x), self.batch_size)]


def read_idx(folder, name):
    path = folder / name
    if path.exists():
        data = path.read_bytes()
    else:
        data = gzip.decompress((folder / f"{name}.gz").read_bytes())
    import numpy as np

    shape = struct.unpack_from(f">{data[3]}I", data, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def read_safetensors(path):
    """Name -> float32 array: eight bytes of length, a JSON header, raw values."""
    import numpy as np

    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header, tensors = json.loads(data[8 : 8 + length]), {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            tensors[name] = np.frombuffer(data[8 + length + start : 8 + length + end], "<f4").reshape(entry["shape"]).copy()
    return tensors


def sampled_rows(run, phase):
    with open(run / "sample.csv", newline="") as file:
        return [int(line["row"]) for line in csv.DictReader(file) if line["phase"] == phase]


def evaluate(task, layers, x, labels):
    """(mean loss of the samples, share of correct predictions), as flatnet counts them."""
    import numpy as np

    z = x
    for index, (weight, bias) in enumerate(layers):
        z = z @ weight.T + bias
        if index + 1 < len(layers) or not task.is_deep:
            z = np.maximum(z, 0)
    z = z.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    losses = np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), labels]
    return float(losses.mean()), float((z.argmax(axis=1) == labels).mean())


def run(arguments, library, version, build, optimizers=("sgd",)):
    """`build(task, arguments)` gives (train_epoch, parameters): a function that trains one epoch and returns the mean of its batch
    losses, and one that returns the layers as NumPy arrays [out, in]. Only train_epoch is timed."""
    task = Task(arguments.run, arguments.data)
    if task.optimizer not in optimizers:
        sys.exit(f"{library}: this peer has no optimizer {task.optimizer}")
    train_epoch, parameters = build(task, arguments)
    seconds = []
    for _ in range(arguments.epochs):
        started = time.perf_counter()
        epoch_loss = float(train_epoch())
        seconds.append(time.perf_counter() - started)
    # Linux counts in KiB, macOS in bytes. Taken before the evaluation, which is not the peer's.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    total_seconds = time.perf_counter() - STARTED
    layers, batches = parameters(), len(task.batches())
    train_loss, train_accuracy = evaluate(task, layers, task.train_x, task.train_y)
    val_loss, val_accuracy = evaluate(task, layers, task.val_x, task.val_y)
    result = {
        "library": library,
        "version": version,
        "variant": arguments.variant,
        "threads": arguments.threads,
        "epochs": arguments.epochs,
        "us_per_batch": round(1e6 * statistics.median(seconds[1:]) / batches, 2),
        "seconds": round(total_seconds, 3),
        "epoch_loss": epoch_loss,
        "train_loss": train_loss,
        "train_accuracy": train_accuracy,
        "val_loss": val_loss,
        "val_accuracy": val_accuracy,
        "peak_memory_mib": round(peak, 1),
    }
    print(json.dumps(result))
