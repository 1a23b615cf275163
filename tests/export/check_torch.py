#!/usr/bin/env python3
"""Runs the Python that `flatnet export --to torch` prints, for every activation, and compares the probabilities of all 10,000
test images with those of a float64 forward pass; and has flatnet read the file as one of PyTorch's.

    python3 -B tests/export/check_torch.py [FLATNET...]

Needs PyTorch 1.13 or newer and NumPy. FLATNET is the program, by default `cargo run --release --locked --`.
"""

import json
import sys
import types

import common
import numpy as np
import torch


def load_file(path):
    """safetensors.torch.load_file, for a machine that does not have it."""
    from pathlib import Path

    return {name: torch.from_numpy(values) for name, values in common.tensors(Path(path)).items()}


try:
    import safetensors.torch
except ImportError:
    package, module = types.ModuleType("safetensors"), types.ModuleType("safetensors.torch")
    module.load_file = load_file
    sys.modules.update({"safetensors": package, "safetensors.torch": module})


def check(flatnet, layers, model, folder):
    path = folder / "for-pytorch.safetensors"
    names = {}
    exec(flatnet("export", "--model", model, "--to", "torch", "--out", path), names)
    assert common.metadata(path) == {"format": "pt"}, common.metadata(path)
    # As the printed comment says, with figures from the model itself.
    figures = json.loads(common.metadata(model)["scale"])
    mean, std = figures.get("mean", 0.0), figures.get("std", 1.0)
    x = (common.test_images().reshape(-1, 28, 28).astype(np.float64) / 255 - mean) / std
    with torch.no_grad():
        logits = names["model"](torch.from_numpy(x.astype(np.float32)))
    yield "PyTorch", common.softmax(logits.double().numpy())
    # The file says nothing of what follows the last linear layer, nor of two kinds in one network.
    between = [layer for layer in layers.split(",") if not layer.startswith(("linear", "dropout"))]
    if layers.endswith("linear:10") and len(between) == 1:
        words = ["--activation", between[0], "--normalize", f"{mean},{std}"]
        yield "the file in flatnet", flatnet.probabilities(path, folder, *words)


if __name__ == "__main__":
    torch.set_num_threads(1)
    program = sys.argv[1:] or ["cargo", "run", "--release", "--locked", "--"]
    sys.exit(common.check_all(program, check) or 0)
