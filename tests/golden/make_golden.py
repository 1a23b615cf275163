#!/usr/bin/env python3
"""Makes the golden values that flatnet's tests are compared with, by PyTorch in float64.

    python3 make_golden.py            writes the *.safetensors files beside this script
    python3 make_golden.py --check    recomputes them; exits with 1 if a committed file says anything else

Needs PyTorch 1.13 or newer and nothing else. It must not know flatnet: both sides share only the pixels of data/mnist and the
initial weights, which are float32 here and there. The tensors are described in README.md.
"""

import argparse
import gzip
import json
import math
import struct
import sys
from pathlib import Path

import torch
from torch.nn import functional

HERE = Path(__file__).resolve().parent
MNIST = HERE.parents[1] / "data" / "mnist"
BATCHES, BATCH_SIZE = 10, 32
ROWS = BATCHES * BATCH_SIZE
FEATURES, CLASSES = 28 * 28, 10

# Two runs of PyTorch may add in another order; in float64 that moves a value by far less than this share of the largest value
# in its tensor. A value stored as float32 may further be half a unit in its last place away.
TOLERANCE = 1e-12
HALF_ULP_F32 = 2.0**-24


# ---------------------------------------------------------------------------------------------------------- safetensors files


def write_safetensors(path, tensors, metadata):
    """`tensors`: name -> tensor of float64, float32 or uint8. Widest types come first, so that each one is aligned."""
    header, data = {"__metadata__": metadata}, b""
    for name, tensor in sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0])):
        dtype, code = {torch.float64: ("F64", "d"), torch.float32: ("F32", "f"), torch.uint8: ("U8", "B")}[tensor.dtype]
        start = len(data)
        data += struct.pack(f"<{tensor.numel()}{code}", *tensor.reshape(-1).tolist())
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [start, len(data)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def read_safetensors(path):
    """The inverse: (tensors, metadata)."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    metadata, tensors = header.pop("__metadata__"), {}
    for name, entry in header.items():
        dtype, code = {"F64": (torch.float64, "d"), "F32": (torch.float32, "f"), "U8": (torch.uint8, "B")}[entry["dtype"]]
        start, end = entry["data_offsets"]
        count = (end - start) // struct.calcsize(code)
        values = struct.unpack_from(f"<{count}{code}", data, 8 + length + start)
        tensors[name] = torch.tensor(values, dtype=dtype).reshape(entry["shape"])
    return tensors, metadata


# ------------------------------------------------------------------------------------------------------- the training cases


class StraightThroughRelu(torch.autograd.Function):
    """max(z, 0) whose backward passes the gradient unchanged, as the reference's code does."""

    @staticmethod
    def forward(context, z):
        return z.clamp(min=0)

    @staticmethod
    def backward(context, gradient):
        return gradient


def first_rows():
    """The first 320 training images in file order: pixels float64 [320, 784] (x / 255 in float32, then widened), labels [320]."""
    with gzip.open(MNIST / "train-images-idx3-ubyte.gz") as file:
        assert struct.unpack(">4I", file.read(16)) == (0x803, 60_000, 28, 28)
        pixels = file.read(ROWS * FEATURES)
    with gzip.open(MNIST / "train-labels-idx1-ubyte.gz") as file:
        assert struct.unpack(">2I", file.read(8)) == (0x801, 60_000)
        labels = file.read(ROWS)
    # Rounding the float64 quotient of two small integers to float32 gives exactly the quotient that float32 division gives.
    scaled = [struct.unpack("<f", struct.pack("<f", value / 255))[0] for value in range(256)]
    x = torch.tensor([scaled[value] for value in pixels], dtype=torch.float64).reshape(ROWS, FEATURES)
    return x, torch.tensor(list(labels), dtype=torch.int64)


def unit_norm(seed):
    """The reference's start: weight and bias from N(0, 0.1), each scaled to an L2 norm of 1. Rounded to float32."""
    torch.manual_seed(seed)
    draws = {"0.weight": (CLASSES, FEATURES), "0.bias": (CLASSES,)}
    draws = {name: 0.1 * torch.randn(shape, dtype=torch.float64) for name, shape in draws.items()}
    return {name: (draw / draw.norm()).float() for name, draw in draws.items()}


def torch_default(seed):
    """PyTorch's own start of 784 -> 16 -> relu -> 10."""
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Linear(FEATURES, 16), torch.nn.ReLU(), torch.nn.Linear(16, CLASSES))
    return {name: value.detach().clone() for name, value in net.state_dict().items()}


def linear_relu(relu):
    return lambda p, x: relu(functional.linear(x, p["0.weight"], p["0.bias"]))


def linear_relu_linear(p, x):
    hidden = torch.relu(functional.linear(x, p["0.weight"], p["0.bias"]))
    return functional.linear(hidden, p["2.weight"], p["2.bias"])


# name -> layers, learning rate, initial parameters, forward
CASES = {
    "linear10_relu_straight_through": ("linear:10,relu", 0.01, lambda: unit_norm(8), linear_relu(StraightThroughRelu.apply)),
    "linear10_relu_exact": ("linear:10,relu", 0.01, lambda: unit_norm(8), linear_relu(torch.relu)),
    "linear16_relu_linear10_exact": ("linear:16,relu,linear:10", 0.1, lambda: torch_default(2), linear_relu_linear),
}


def train(initial, forward, lr):
    """Ten steps of plain SGD on the mean cross entropy, all in float64. Returns every result, unrounded."""
    x, labels = first_rows()
    parameters = {name: value.double().requires_grad_() for name, value in initial.items()}
    results, losses = {}, []
    for step in range(BATCHES):
        rows = slice(step * BATCH_SIZE, (step + 1) * BATCH_SIZE)
        logits = forward(parameters, x[rows])
        cross_entropy = functional.cross_entropy(logits, labels[rows], reduction="none")
        loss = cross_entropy.mean()
        gradients = dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values()))))
        if step == 0:
            results["step0.logits"] = logits.detach().clone()
            results["step0.probabilities"] = functional.softmax(logits.detach(), dim=1)
            results["step0.cross_entropy"] = cross_entropy.detach().clone()
            results.update({f"step0.grad.{name}": gradient.clone() for name, gradient in gradients.items()})
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter -= lr * gradients[name]
        losses.append(loss.item())
    results["losses"] = torch.tensor(losses, dtype=torch.float64)
    results.update({f"final.{name}": parameter.detach() for name, parameter in parameters.items()})
    return results


def require_honest_start(name, initial):
    """A case tests what its name says only if the start is what the README says, and the ReLU has something to cut off."""
    x, _ = first_rows()
    z = functional.linear(x[:BATCH_SIZE], initial["0.weight"].double(), initial["0.bias"].double())
    share = (z < 0).double().mean().item()
    assert 0.1 < share < 0.9, f"{name}: {share:.0%} of the first layer's outputs are negative: choose another seed"
    if name.startswith("linear10"):
        for key, value in initial.items():
            assert abs(value.double().norm().item() - 1) < 1e-6, f"{name}: {key} has an L2 norm other than 1"


# -------------------------------------------------------------------------------------------------------- softmax at its limits


def extreme_logits():
    """float32 [8, 10] and one label a row: what overflows, cancels or ties in a softmax."""
    torch.manual_seed(3)
    random = torch.randn(2, CLASSES, dtype=torch.float64).float()
    rows = [
        [1e4] + [-1e4] * 9,  # certain and right: loss 0
        [1e4] + [-1e4] * 9,  # certain and wrong: loss 20000
        [1e4, 1e4, -1e4, 0.0, 9999.0, 9998.5, -9999.0, 1e4, 1.0, -1.0],  # three-way tie at the top
        [-1e4] * 10,  # all equal, where exp underflows
        [-0.0, 0.0] * 5,  # all equal, of both signs
        [-1e4, -5e3, -1e3, -100.0, -10.0, 0.0, 10.0, 20.0, 30.0, 40.0],  # a huge spread
        random[0].tolist(),
        (random[1] * 30).tolist(),
    ]
    return torch.tensor(rows, dtype=torch.float32), torch.tensor([0, 7, 4, 9, 0, 6, 2, 5], dtype=torch.uint8)


def softmax(logits, labels):
    log_probabilities = functional.log_softmax(logits.double(), dim=1)
    picked = log_probabilities.gather(1, labels.long().unsqueeze(1)).squeeze(1)
    # Subtracted from 0, not negated: a loss of nothing is 0, not -0.
    return {"probabilities": log_probabilities.exp(), "cross_entropy": 0 - picked}


# ----------------------------------------------------------------------------------------------------- what is in which file


def stored(name, value):
    """Results are kept as float64, but for weights and their gradients: as float32 the files are half the size."""
    return value.float() if name.endswith(".weight") else value


def golden_files(committed):
    """Yields (name, inputs, unrounded results, metadata) of each file.

    `committed` gives a file's tensors, or None to draw afresh: random draws may differ in the last bit between releases of
    PyTorch, and they are inputs, not results, so a check takes them as they are in the file.
    """
    for name, (layers, lr, draw, forward) in CASES.items():
        fresh = draw()
        old = committed(name)
        initial = fresh if old is None else {key: old.get(key, fresh[key]) for key in fresh}
        require_honest_start(name, initial)
        metadata = {"case": name, "layers": layers, "lr": repr(lr), "scale": "unit", "batches": str(BATCHES)}
        metadata |= {"batch_size": str(BATCH_SIZE), "rows": f"train 0..{ROWS}, in file order"}
        yield name, initial, train(initial, forward, lr), metadata
    name = "softmax_extremes"
    logits, labels = extreme_logits()
    old = committed(name)
    if old is not None:
        logits, labels = old.get("logits", logits), old.get("labels", labels)
    yield name, {"logits": logits, "labels": labels}, softmax(logits, labels), {"case": name}


def write():
    for name, inputs, results, metadata in golden_files(lambda name: None):
        tensors = inputs | {key: stored(key, value) for key, value in results.items()}
        path = HERE / f"{name}.safetensors"
        write_safetensors(path, tensors, {"torch": torch.__version__} | metadata)
        print(f"{path.name}: {len(tensors)} tensors, {path.stat().st_size} bytes")


def difference(committed, fresh):
    """Largest |committed - fresh| beyond what rounding to the stored type explains, over the largest |fresh|."""
    if committed.shape != fresh.shape:
        return math.inf
    gap = (committed.double() - fresh).abs()
    if committed.dtype == torch.float32:
        gap = (gap - HALF_ULP_F32 * fresh.abs()).clamp(min=0)
    scale = fresh.abs().max().item()
    return gap.max().item() / scale if scale > 0 else gap.max().item()


def check():
    """Number of faults found in the committed files; each one is printed."""
    files, faults = {}, []
    for name in [*CASES, "softmax_extremes"]:
        try:
            files[name] = read_safetensors(HERE / f"{name}.safetensors")
        except (OSError, struct.error, ValueError, KeyError, RuntimeError) as fault:
            files[name] = {}, {}
            faults.append(f"{name}: cannot be read: {fault!r}")
    for name, inputs, results, metadata in golden_files(lambda name: files[name][0]):
        tensors, found = files[name]
        worst = 0.0
        if sorted(tensors) != sorted(inputs | results):
            faults.append(f"{name}: holds other tensors than {sorted(inputs | results)}")
            continue
        for key in metadata:
            if found.get(key) != metadata[key]:
                faults.append(f"{name}: metadata {key}: {found.get(key)!r}, expected {metadata[key]!r}")
        for key, fresh in results.items():
            if tensors[key].dtype != stored(key, fresh).dtype:
                faults.append(f"{name}: {key}: stored as {tensors[key].dtype}")
            gap = difference(tensors[key], fresh)
            if not gap <= TOLERANCE:
                faults.append(f"{name}: {key}: off by {gap:.1e} of its largest value")
            worst = max(worst, gap)
        print(f"{name}: {len(results)} results recomputed, worst difference {worst:.1e} (made by torch {found.get('torch')})")
    for fault in faults:
        print(f"golden: {fault}", file=sys.stderr)
    return len(faults)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the committed files instead of writing them")
    arguments = parser.parse_args()
    # One thread adds in one order.
    torch.set_num_threads(1)
    if not arguments.check:
        write()
    elif check():
        sys.exit(1)
    else:
        print(f"golden: every committed value is what torch {torch.__version__} computes")


if __name__ == "__main__":
    main()
