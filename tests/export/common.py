"""What the checks of exported models share: flatnet as a program, networks of every activation, MNIST's test images."""

import csv
import gzip
import json
import math
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


# Two programs in float32 add up in other orders. How far flatnet itself is from float64 is what rounding does to a network; the
# other may be so many times as far, and no further than MOST.
MARGIN = 4
MOST = 1e-5


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


ACTIVATIONS = {
    "relu": lambda z: np.maximum(z, 0),
    "leaky-relu": lambda z, slope="0.01": np.where(z > 0, z, float(np.float32(slope)) * z),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "gelu": lambda z: z * (0.5 + 0.5 * np.vectorize(math.erf)(z / math.sqrt(2))),
    "gelu-tanh": lambda z: z * (0.5 + 0.5 * np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))),
    "silu": lambda z: z / (1 + np.exp(-z)),
    "softplus": lambda z: np.logaddexp(z, 0),
}


def exactly(model):
    """The probabilities of all test images in float64, from the file of flatnet alone."""
    said, values = metadata(model), tensors(model)
    figures = json.loads(said["scale"])
    x = (test_images() / 255 - figures.get("mean", 0.0)) / figures.get("std", 1.0)
    for number, layer in enumerate(said["layers"].split(",")):
        kind, *parameter = layer.split(":")
        if kind == "linear":
            x = x @ values[f"{number}.weight"].astype(np.float64).T + values[f"{number}.bias"]
        elif kind != "dropout":
            x = ACTIVATIONS[kind](x, *parameter)
    return softmax(x)


def softmax(logits):
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def far(found, expected):
    """The largest distance; NaN counts as infinite."""
    distance = np.abs(np.asarray(found, np.float64) - expected)
    return float("inf") if np.isnan(distance).any() else float(distance.max())


def check_all(program, check):
    """Calls `check(flatnet, layers, model, folder)` for each network: probabilities by what computed them. Returns a line for
    each that is too far from float64."""
    flatnet, faults = Flatnet(program), []
    for layers, scale in flatnet.networks():
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            model = flatnet.train(layers, scale, folder / "run")
            exact = exactly(model)
            own = far(flatnet.probabilities(model, folder), exact)
            bound = min(MARGIN * own, MOST)
            for what, probabilities in check(flatnet, layers, model, folder):
                distance = far(probabilities, exact)
                line = f"{layers}, {scale}: {what}: {distance:.1e} from float64, expected at most {bound:.1e} (flatnet: {own:.1e})"
                print(line, flush=True)
                if not distance <= bound:
                    faults.append(line)
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
