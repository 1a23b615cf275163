#!/usr/bin/env python3
"""Holds flatnet to PyTorch: same start, same batches, same parameters after 1 and 20 epochs; and models that move both ways.

    python3 tests/agreement/agree.py --program target/release/flatnet

Needs PyTorch 1.13 or newer and NumPy. flatnet runs as a program; this script shares with it the data set, the files of its runs and
nothing else. Exits with 1 and a line per fault when something does not agree.

The bound on parameters is measured. PyTorch trains twice from the same start on the same batches, in float32 and in float64; how far
the two end apart, relative to the largest parameter of a tensor, is what rounding alone does to this training (the largest over the
tensors, because one draw of a small number varies). The distance of flatnet from the float64 run may be at most MARGIN times that, and
at most MOST: Adam divides a gradient by its own size, so where a gradient is all but rounding, PyTorch's float32 runs stray by
anything, and a bound taken from them alone would say nothing.
"""

import argparse
import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

CRATE = Path(__file__).resolve().parents[2]
MNIST = CRATE / "data" / "mnist"
sys.path.insert(0, str(CRATE / "benches" / "peers"))
import common

# Both add up the gradient of a batch and then round once into each parameter, in other orders. Measured, flatnet's worst tensor of both
# networks is as far from float64 as PyTorch's (at most 1.01 times), after 1 epoch and after 20. Orders of summation differ from machine
# to machine, so twice that, and then the next power of two:
EPOCHS = (1, 20)
MARGIN = 4.0
MOST = 5e-3
# A loss is right to four digits.
LOSS_TOLERANCE = 5e-5
NETS = {
    "784-10-relu": ["--layers", "linear:10,relu", "--relu-grad", "straight-through"],
    "784-128-relu-10": ["--layers", "linear:128,relu,linear:10", "--relu-grad", "exact", "--init", "kaiming-uniform"],
    "784-128-relu-10-adamw": ["--layers", "linear:128,relu,dropout:0,linear:10", "--optimizer", "adamw", "--lr", "0.001", "--weight-decay", "0.01", "--lr-schedule", "cosine"],
}
# A cosine has its end in the number of epochs, so a run of one is no part of a run of twenty.
EPOCHS_OF = {"784-128-relu-10-adamw": EPOCHS[-1:]}

faults = []


def require(what, holds):
    print(f"  {'ok   ' if holds else 'FAULT'} {what}", flush=True)
    if not holds:
        faults.append(what)


# ------------------------------------------------------------------------------------------------------------ files


def state_dict(path):
    return {name: torch.from_numpy(values) for name, values in common.read_safetensors(path).items()}


def read_metadata(path):
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    return json.loads(data[8 : 8 + length])["__metadata__"]


def write_safetensors(path, state, metadata=None):
    """What safetensors.torch.save_file(state, path, metadata) writes for a state dict of float32 tensors."""
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, tensor in state.items():
        values = tensor.detach().contiguous().numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


class Split:
    def __init__(self, prefix):
        images = common.read_idx(MNIST, f"{prefix}-images-idx3-ubyte")
        # Divided in float32, as flatnet scales.
        self.x = torch.from_numpy(images.reshape(len(images), -1).astype(np.float32) / np.float32(255))
        self.y = torch.from_numpy(common.read_idx(MNIST, f"{prefix}-labels-idx1-ubyte").astype(np.int64))


# ------------------------------------------------------------------------------------------------------------ PyTorch


class StraightThroughRelu(nn.Module):
    """max(z, 0) whose backward passes the gradient unchanged: the values change below autograd's sight."""

    def forward(self, z):
        z.detach().relu_()
        return z


def sequential(state, straight_through):
    """The module whose names the model file has, with its parameters loaded strictly."""
    relu, layers = StraightThroughRelu() if straight_through else nn.ReLU(), []
    for index in sorted(int(name.removesuffix(".weight")) for name in state if name.endswith(".weight")):
        # What stands after a linear layer before the next: a ReLU, and a dropout of 0 if there is one more.
        layers += [nn.Dropout(0.0)] * (index - len(layers))
        layers += [nn.Linear(state[f"{index}.weight"].shape[1], state[f"{index}.weight"].shape[0]), relu]
    model = nn.Sequential(*(layers if len(layers) == 2 else layers[:-1]))
    model.load_state_dict(state, strict=True)
    return model


def train(model, x, y, recipe, lr, epochs):
    """Yields (mean loss over the samples, parameters) after each epoch."""
    batches = list(zip(x.split(recipe["batch_size"]), y.split(recipe["batch_size"])))
    if recipe["optimizer"] == "adamw":
        optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=recipe["optimizer_settings"]["weight_decay"])
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    else:
        optimizer, schedule = torch.optim.SGD(model.parameters(), lr=lr), None
    for _ in range(epochs):
        losses = 0.0
        for inputs, labels in batches:
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(inputs), labels)
            loss.backward()
            optimizer.step()
            losses += loss.item() * len(inputs)
        if schedule:
            schedule.step()
        yield losses / len(x), {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def mean_loss(model, x, y, batch_size):
    with torch.no_grad():
        losses = [functional.cross_entropy(model(a), b, reduction="sum").item() for a, b in zip(x.split(batch_size), y.split(batch_size))]
    return sum(losses) / len(x)


# ------------------------------------------------------------------------------------------------------------ checks


def distance(state, exact):
    """Per tensor: largest difference, relative to the largest value of the tensor."""
    return {name: ((state[name].double() - exact[name]).abs().max() / exact[name].abs().max()).item() for name in exact}


def within(value, bound):
    """False for NaN."""
    return value <= bound


class Flatnet:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder

    def __call__(self, *words):
        command = [str(self.program), *map(str, words), "--json", "--data", str(MNIST)]
        return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)

    def train(self, net, epochs):
        out = self.folder / f"{net}-{epochs}"
        return out, self("train", *NETS[net], "--epochs", epochs, "--out", out, "--quiet", "--no-report", "--train-samples", SAMPLES[net])


# The hidden network costs ten times the other; fewer rows keep this below a minute.
SAMPLES = {"784-10-relu": 30_000, "784-128-relu-10": 3_000, "784-128-relu-10-adamw": 3_000}


def check_training(flatnet, net, train_split):
    print(f"{net}, {SAMPLES[net]} rows", flush=True)
    start, summary = flatnet.train(net, 0)
    recipe, rows = summary["recipe"], common.sampled_rows(start, "train")
    require(f"sample.csv: {len(rows)} training rows, none twice", len(rows) == len(set(rows)) == SAMPLES[net])
    state, straight_through = state_dict(start / "model.safetensors"), recipe["relu_grad"] == "straight-through"
    x, y, lr = train_split.x[rows], train_split.y[rows], recipe["lr"]
    in32 = train(sequential(state, straight_through), x, y, recipe, lr, max(EPOCHS))
    # The rate as float32 has it: flatnet's is one.
    in64 = train(sequential(state, straight_through).double(), x.double(), y, recipe, float(np.float32(lr)), max(EPOCHS))
    for epoch, ((loss32, state32), (loss64, state64)) in enumerate(zip(in32, in64), start=1):
        if epoch not in EPOCHS_OF.get(net, EPOCHS):
            continue
        run, summary = flatnet.train(net, epoch)
        loss, ours = summary["final"]["train_loss"], state_dict(run / "model.safetensors")
        rounding, found = max(distance(state32, state64).values()), distance(ours, state64)
        for name in state64:
            bound = min(MARGIN * rounding, MOST)
            what = f"epoch {epoch}, {name}: {found[name]:.2e} from float64, bound {bound:.2e} (PyTorch float32: {rounding:.2e})"
            require(what, within(found[name], bound))
        require(f"epoch {epoch}: loss {loss:.6f}, PyTorch {loss32:.6f}", within(abs(loss - loss64), LOSS_TOLERANCE * loss64))


def check_exchange(flatnet, net, test):
    """flatnet's file in PyTorch and PyTorch's in flatnet: the same classes on all test images."""
    print(f"{net}, exchange", flush=True)
    model_file = flatnet.folder / f"{net}-{max(EPOCHS)}" / "model.safetensors"
    model = sequential(state_dict(model_file), straight_through=False)
    with torch.no_grad():
        logits = model(test.x)
    ours = flatnet("evaluate", "--model", model_file)
    correct = int((logits.argmax(1) == test.y).sum())
    loss = mean_loss(model, test.x, test.y, 32)
    require(f"load_state_dict(strict=True): {correct} of {len(test.y)} right, flatnet {ours['correct']}", correct == ours["correct"])
    require(f"test loss {loss:.6f}, flatnet {ours['loss']:.6f}", within(abs(loss - ours["loss"]), LOSS_TOLERANCE * loss))

    # Each prediction, not their sum: a set whose labels are PyTorch's predictions must be all right.
    relabelled = flatnet.folder / f"{net}-relabelled"
    relabelled.mkdir()
    for name in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz"):
        (relabelled / name).symlink_to(MNIST / name)
    labels = logits.argmax(1).numpy().astype(np.uint8)
    (relabelled / "t10k-labels-idx1-ubyte").write_bytes(struct.pack(">BBBBI", 0, 0, 8, 1, len(labels)) + labels.tobytes())
    command = [str(flatnet.program), "evaluate", "--model", str(model_file), "--data", str(relabelled), "--json"]
    same = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)
    top = logits.topk(2, dim=1).values
    margin = (top[:, 0] - top[:, 1]).min().item()
    require(f"the same class for {same['correct']} of {len(labels)} test images (closest two logits of one: {margin:.1e} apart)", same["correct"] == len(labels))

    # A state dict does not say whether a ReLU follows the last linear layer. flatnet takes it that none does; where one does, the
    # metadata has to say so, as flatnet's own files do.
    torch.manual_seed(1)
    metadata = None if "128" in net else {key: value for key, value in read_metadata(model_file).items() if key != "recipe"}
    theirs = nn.Sequential(nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10)) if "128" in net else nn.Sequential(nn.Linear(784, 10), nn.ReLU())
    for _ in train(theirs, test.x[:3200], test.y[:3200], {"optimizer": "sgd", "batch_size": 32}, 0.1, 1):
        pass
    saved = flatnet.folder / f"{net}-by-pytorch.safetensors"
    write_safetensors(saved, theirs.state_dict(), metadata)
    ours = flatnet("evaluate", "--model", saved)
    with torch.no_grad():
        correct = int((theirs(test.x).argmax(1) == test.y).sum())
    loss = mean_loss(theirs, test.x, test.y, 32)
    require(f"saved by PyTorch: {correct} right, flatnet {ours['correct']}", correct == ours["correct"])
    require(f"its test loss {loss:.6f}, flatnet {ours['loss']:.6f}", within(abs(loss - ours["loss"]), LOSS_TOLERANCE * loss))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", type=Path, required=True, metavar="FILE", help="flatnet, built in release mode")
    arguments = parser.parse_args()
    print(f"PyTorch {torch.__version__}, NumPy {np.__version__}")
    # More would wait for one another: the products are small.
    torch.set_num_threads(1)
    train_split, test_split = Split("train"), Split("t10k")
    with tempfile.TemporaryDirectory(prefix="flatnet-agreement-") as folder:
        flatnet = Flatnet(arguments.program.resolve(), Path(folder))
        for net in NETS:
            check_training(flatnet, net, train_split)
            check_exchange(flatnet, net, test_split)
    if faults:
        sys.exit("agreement: " + "; ".join(faults))
    print("flatnet and PyTorch agree")


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"agreement: {' '.join(error.cmd)}: exit code {error.returncode}")
