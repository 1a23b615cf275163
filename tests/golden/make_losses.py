#!/usr/bin/env python3
"""Makes losses.safetensors, the golden values of flatnet's losses, by PyTorch in float64.

    python3 make_losses.py            writes the file beside this script
    python3 make_losses.py --check    recomputes it; exits with 1 if the committed file says anything else

Needs PyTorch 1.13 or newer and nothing else; it must not know flatnet. The tensors are described in README.md.
"""

import argparse
import itertools
import sys

import torch
from torch.nn import functional

from make_golden import HERE, TOLERANCE, difference, read_safetensors, write_safetensors

PATH = HERE / "losses.safetensors"
SAMPLES, CLASSES, OUTPUTS = 7, 5, 3
SMOOTHINGS, DELTAS = (0.0, 0.1), (1.0, 0.3)


def inputs():
    """Outputs, targets and weights, float32 (labels uint8): both sides begin with these bits."""
    torch.manual_seed(5)
    logits = (4 * torch.randn(SAMPLES, CLASSES, dtype=torch.float64)).float()
    logits[5] = torch.tensor([100.0, -100.0, 0.0, 99.0, -0.0])
    values = (3 * torch.randn(SAMPLES, OUTPUTS, dtype=torch.float64)).float()
    values[6] = torch.tensor([90.0, -90.0, 0.0])
    targets = torch.randn(SAMPLES, OUTPUTS, dtype=torch.float64).float()
    targets[2] = values[2]  # met: where |d| has its kink
    shares = torch.tensor([[0, 1, 0.25], [1, 1, 0], [0, 0, 0], [0.5, 0, 1], [1, 0, 1], [0, 1, 1], [0, 0, 0.75]])
    return {
        "logits": logits,
        "labels": torch.tensor([3, 0, 4, 4, 2, 1, 0], dtype=torch.uint8),
        "class_weights": torch.tensor([1.0, 0.25, 3.0, 0.0, 1.7]),
        "values": values,
        "targets": targets,
        "shares": shares,
        "sample_weights": torch.tensor([1.0, 0.5, 0.0, 2.0, 1.3, 0.7, 4.0]),
    }


def weighted_mean(losses, counts, weights):
    """The mean over samples: PyTorch has weights of classes, but none of samples, so those are put in by hand."""
    return (weights * losses).sum() / (weights * counts).sum()


def results(given):
    """Of every case its losses [samples], mean [1] and gradient of the mean, unrounded."""
    given = {name: tensor.double() for name, tensor in given.items()}
    labels, found = given["labels"].long(), {}
    ones = torch.ones(SAMPLES, dtype=torch.float64)

    def case(name, output, losses_of, mean_of, counts=ones):
        for kind, weights in (("", None), (".sample_weights", given["sample_weights"])):
            x = output.clone().requires_grad_()
            losses = losses_of(x)
            mean = mean_of(x) if weights is None else weighted_mean(losses, counts, weights)
            # Both ways to the unweighted mean are one.
            assert weights is not None or abs(mean - weighted_mean(losses, counts, ones)) <= 1e-12 * abs(mean)
            (gradient,) = torch.autograd.grad(mean, x)
            found[f"{name}{kind}.mean"] = mean.detach().reshape(1)
            found[f"{name}{kind}.grad"] = gradient
        found[f"{name}.losses"] = losses.detach()

    for smoothing, class_weights in itertools.product(SMOOTHINGS, (None, given["class_weights"])):
        name = "cross_entropy" + (".smoothing" if smoothing else "") + ("" if class_weights is None else ".class_weights")

        def cross_entropy(x, reduction, smoothing=smoothing, weight=class_weights):
            return functional.cross_entropy(x, labels, weight, reduction=reduction, label_smoothing=smoothing)

        counts = ones if class_weights is None else class_weights[labels]
        case(name, given["logits"], lambda x: cross_entropy(x, "none"), lambda x: cross_entropy(x, "mean"), counts)

    elementwise = {
        "binary_cross_entropy": (functional.binary_cross_entropy_with_logits, "shares", {}),
        "squared_error": (functional.mse_loss, "targets", {}),
        "absolute_error": (functional.l1_loss, "targets", {}),
    }
    elementwise |= {f"huber.{delta}": (functional.huber_loss, "targets", {"delta": delta}) for delta in DELTAS}
    elementwise |= {f"smooth_l1.{beta}": (functional.smooth_l1_loss, "targets", {"beta": beta}) for beta in DELTAS}
    for name, (loss, target, settings) in elementwise.items():
        target = given[target]
        case(
            name,
            given["values"],
            lambda x: loss(x, target, reduction="none", **settings).mean(dim=1),
            lambda x: loss(x, target, **settings),
        )
    return found


def write():
    given = inputs()
    write_safetensors(PATH, given | results(given), {"torch": torch.__version__, "case": "losses"})
    print(f"{PATH.name}: {PATH.stat().st_size} bytes")


def check():
    """Number of faults found in the committed file; each one is printed."""
    tensors, found = read_safetensors(PATH)
    names = inputs().keys()
    if not names <= tensors.keys():
        print(f"golden: losses: holds none of {sorted(names - tensors.keys())}", file=sys.stderr)
        return 1
    # Draws are inputs, not results: they are taken as they are in the file.
    fresh = results({name: tensors[name] for name in names})
    faults = [] if tensors.keys() == names | fresh.keys() else [f"holds other tensors than {sorted(names | fresh.keys())}"]
    gaps = {name: difference(tensors[name], value) for name, value in fresh.items() if name in tensors}
    faults += [f"{name}: off by {gap:.1e} of its largest value" for name, gap in gaps.items() if not gap <= TOLERANCE]
    print(f"losses: {len(fresh)} results recomputed, worst difference {max(gaps.values(), default=0):.1e}", end=" ")
    print(f"(made by torch {found.get('torch')})")
    for fault in faults:
        print(f"golden: losses: {fault}", file=sys.stderr)
    return len(faults)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the committed file instead of writing it")
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
