"""What the checks of exported models share: flatnet as a program, networks of every activation, MNIST's test images."""

import csv
import gzip
import json
import pathlib
import re
import subprocess
import tempfile

import numpy as np

MNIST = pathlib.Path(__file__).resolve().parents[2] / "data/mnist"
IMAGES, CLASSES = 10_000, 10
# Networks that are trained long enough to be sure of themselves, so that logits are large and rounding counts.
TRAINED = ["linear:10,relu", "linear:128,relu,dropout:0.2,linear:10", "linear:64,gelu,linear:64,tanh,linear:10"]
SHORT = "--train-samples 2000 --val-samples 500 --epochs 3 --lr 0.1 --shuffle epoch --no-report --quiet --json"


class Flatnet:
    def __init__(self, program):
        self.program = program

    def __call__(self, *words):
        command = [*self.program, *map(str, words)]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def activations(self):
        """As the help of --layers lists them, so that one that is added is checked."""
        told = re.search(r"linear:N, dropout:P,(.*?);", " ".join(self("train", "--help").split())).group(1)
        names = [name.strip() for name in told.split(",")]
        assert len(names) >= 8 and "relu" in names, names
        return names

    def networks(self):
        """Layers and scale, one of each kind."""
        layers = TRAINED + [f"linear:24,{name},linear:10" for name in self.activations()] + ["linear:16,leaky-relu:-0.3,linear:10,softplus"]
        return [(text, ("unit", "standard")[number % 2]) for number, text in enumerate(layers)]

    def train(self, layers, scale, folder):
        words = ["--layers", layers, "--scale", scale, "--data", MNIST, "--out", folder]
        self("train", *words, *SHORT.split())
        return folder / "model.safetensors"

    def probabilities(self, model, folder, *words):
        """Of all test images, as flatnet writes them: the shortest text that reads back as the same float32."""
        path = pathlib.Path(folder) / "predictions.csv"
        self("evaluate", "--model", model, "--data", MNIST, "--predictions", path, "--overwrite", "--json", *words)
        with open(path) as file:
            rows = [[float(row[f"p_{c}"]) for c in range(CLASSES)] for row in csv.DictReader(file)]
        assert len(rows) == IMAGES
        return np.array(rows)


def test_images():
    """Pixels, [IMAGES, 784] of bytes."""
    with gzip.open(MNIST / "t10k-images-idx3-ubyte.gz") as file:
        data = np.frombuffer(file.read(), np.uint8, offset=16)
    return data.reshape(IMAGES, 784)


def softmax(logits):
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def far(found, expected):
    """The largest distance; NaN counts as infinite."""
    distance = np.abs(np.asarray(found, np.float64) - expected)
    return float("inf") if np.isnan(distance).any() else float(distance.max())


def check_all(program, bound, check):
    """Calls `check(flatnet, layers, scale, model, folder)` for each network: what was compared, by name, and how far apart."""
    flatnet, faults = Flatnet(program), []
    for layers, scale in flatnet.networks():
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            model = flatnet.train(layers, scale, folder / "run")
            for what, distance in check(flatnet, layers, scale, model, folder):
                print(f"{layers}, {scale}: {what}: {distance:.1e}", flush=True)
                if not distance <= bound:
                    faults.append(f"{layers}, {scale}: {what}: {distance:.1e}, expected at most {bound:.0e}")
    return "\n".join(faults)


def metadata(path):
    data = path.read_bytes()
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__", {})


def tensors(path):
    """Of a safetensors file of float32."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    part = lambda about: data[start + about["data_offsets"][0] : start + about["data_offsets"][1]]
    return {name: np.frombuffer(part(about), "<f4").reshape(about["shape"]).copy() for name, about in header.items()}
