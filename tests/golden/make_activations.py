#!/usr/bin/env python3
"""Makes the golden values of the activations, by PyTorch in float64.

    python3 make_activations.py            writes activations.safetensors beside this script
    python3 make_activations.py --check    recomputes it; exits with 1 if the committed file says anything else

Needs PyTorch 1.13 or newer and nothing else. The tensors are described in README.md.
"""

import argparse
import sys

import torch
from torch.nn import functional

from make_golden import HERE, TOLERANCE, difference, read_safetensors, write_safetensors

PATH = HERE / "activations.safetensors"

# PyTorch's default, as a float32 holds it.
SLOPE = torch.tensor(0.01, dtype=torch.float32).item()

# The names are those of `--layers`.
ACTIVATIONS = {
    "relu": torch.relu,
    "leaky-relu": lambda z: functional.leaky_relu(z, SLOPE),
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": functional.gelu,
    "gelu-tanh": lambda z: functional.gelu(z, approximate="tanh"),
    "silu": functional.silu,
    "softplus": functional.softplus,
}


def grid():
    """From -10 to 10 by eighths, which float64 holds exactly, and some values near 0 and far out."""
    far = torch.tensor([2.0**-10, 2.0**-30, 20.0, 50.0, 100.0], dtype=torch.float64)
    return torch.cat([torch.arange(-80, 81, dtype=torch.float64) / 8, far, -far])


def compute():
    z = grid().requires_grad_()
    tensors = {"z": z.detach()}
    for name, activation in ACTIVATIONS.items():
        value = activation(z)
        tensors[f"{name}.value"] = value.detach()
        (tensors[f"{name}.derivative"],) = torch.autograd.grad(value.sum(), z)
    return tensors


def check():
    """The faults found in the committed file."""
    try:
        committed, metadata = read_safetensors(PATH)
    except (OSError, ValueError, KeyError) as fault:
        return [f"cannot be read: {fault!r}"]
    fresh = compute()
    if sorted(committed) != sorted(fresh):
        return [f"holds other tensors than {sorted(fresh)}"]
    gaps = {name: difference(committed[name], tensor) for name, tensor in fresh.items()}
    print(f"{len(gaps)} tensors recomputed, worst difference {max(gaps.values()):.1e} (made by torch {metadata.get('torch')})")
    return [f"{name}: off by {gap:.1e} of its largest value" for name, gap in gaps.items() if not gap <= TOLERANCE]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the committed file instead of writing it")
    if not parser.parse_args().check:
        tensors = compute()
        write_safetensors(PATH, tensors, {"torch": torch.__version__, "case": "activations"})
        print(f"{PATH.name}: {len(tensors)} tensors, {PATH.stat().st_size} bytes")
        return
    faults = check()
    for fault in faults:
        print(f"golden: {PATH.name}: {fault}", file=sys.stderr)
    if faults:
        sys.exit(1)
    print(f"golden: every committed value is what torch {torch.__version__} computes")


if __name__ == "__main__":
    main()
