#!/usr/bin/env python3
"""Makes the golden values of optimizers and learning rate schedules, by PyTorch in float64.

    python3 make_optimizers.py            writes optimizers.safetensors and schedules.safetensors beside this script
    python3 make_optimizers.py --check    recomputes them; exits with 1 if a committed file says anything else

Needs PyTorch 1.13 or newer and nothing else. It must not know flatnet: both sides share settings, starts and noise. The
tensors are described in README.md.
"""

import argparse
import json
import math
import struct
import sys
import warnings

import torch
from torch.optim import lr_scheduler

from make_golden import HERE, TOLERANCE, difference, read_safetensors, write_safetensors

# ------------------------------------------------------------------------------------------------------------- optimizers

# More than two vectors of sixteen, and not a whole number of them.
PARAMETERS = 37
RECORDED = [1, 2, 3, 10, 50]

# case -> optimizer, learning rate, settings as flatnet writes them
CASES = {
    "sgd": ("sgd", 0.1, {}),
    "sgd_decay": ("sgd", 0.1, {"weight_decay": 0.01}),
    "sgd_momentum": ("sgd", 0.05, {"momentum": 0.9}),
    "sgd_dampening": ("sgd", 0.1, {"momentum": 0.9, "dampening": 0.5, "weight_decay": 0.001}),
    "sgd_nesterov": ("sgd", 0.05, {"momentum": 0.9, "nesterov": True}),
    "sgd_nesterov_decay": ("sgd", 0.05, {"momentum": 0.8, "nesterov": True, "weight_decay": 0.01}),
    "adam": ("adam", 0.01, {}),
    "adam_decay": ("adam", 0.02, {"weight_decay": 0.1}),
    "adam_betas": ("adam", 0.02, {"beta1": 0.8, "beta2": 0.9, "eps": 1e-3}),
    "adam_amsgrad": ("adam", 0.02, {"beta2": 0.9, "amsgrad": True, "weight_decay": 0.01}),
    "adamw": ("adamw", 0.01, {}),
    "adamw_decay": ("adamw", 0.02, {"weight_decay": 0.5, "beta1": 0.7, "beta2": 0.95}),
    "adamw_amsgrad": ("adamw", 0.02, {"amsgrad": True, "beta2": 0.9}),
    "rmsprop": ("rmsprop", 0.01, {}),
    "rmsprop_decay": ("rmsprop", 0.01, {"alpha": 0.9, "eps": 1e-4, "weight_decay": 0.1}),
    "rmsprop_momentum": ("rmsprop", 0.002, {"momentum": 0.9}),
    "rmsprop_centered": ("rmsprop", 0.005, {"centered": True}),
    "rmsprop_centered_momentum": ("rmsprop", 0.002, {"centered": True, "momentum": 0.5, "alpha": 0.9, "weight_decay": 0.01}),
    "adagrad": ("adagrad", 0.1, {}),
    "adagrad_decay": ("adagrad", 0.1, {"weight_decay": 0.1, "lr_decay": 0.05, "eps": 1e-3}),
    "adagrad_accumulator": ("adagrad", 0.1, {"initial_accumulator_value": 0.5}),
    "adamax": ("adamax", 0.02, {}),
    "adamax_quick": ("adamax", 0.05, {"beta1": 0.5, "beta2": 0.8}),
    "adamax_decay": ("adamax", 0.02, {"weight_decay": 0.1, "beta1": 0.8, "beta2": 0.9, "eps": 1e-3}),
}

CLASSES = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "adamax": torch.optim.Adamax,
}


def float32(value):
    """The nearest float32: learning rates are that in flatnet."""
    return struct.unpack("<f", struct.pack("<f", value))[0]


def torch_settings(settings):
    settings = dict(settings)
    if "beta1" in settings or "beta2" in settings:
        settings["betas"] = (settings.pop("beta1", 0.9), settings.pop("beta2", 0.999))
    return settings


def draws():
    """Where parameters start and what pulls them: towards a target, by their own curvature, with noise in every step."""
    torch.manual_seed(5)
    double = torch.float64
    return {
        "start": torch.randn(PARAMETERS, dtype=double).float(),
        "target": torch.randn(PARAMETERS, dtype=double),
        "curvature": 0.5 + torch.rand(PARAMETERS, dtype=double),
        "noise": 0.3 * torch.randn(RECORDED[-1], PARAMETERS, dtype=double),
        "recorded": torch.tensor(RECORDED, dtype=double),
        "clip.grads": torch.randn(100, dtype=double).float(),
        "clip.max_norms": torch.tensor([0.001, 0.5, 9.0, 100.0], dtype=double),
    }


def descend(name, lr, settings, drawn):
    """The parameters after each recorded step, [recorded, parameters]."""
    w = drawn["start"].double().requires_grad_()
    optimizer = CLASSES[name]([w], lr=float32(lr), **torch_settings(settings))
    after = []
    for step in range(1, RECORDED[-1] + 1):
        w.grad = (drawn["curvature"] * (w - drawn["target"]) + drawn["noise"][step - 1]).detach()
        optimizer.step()
        if step in RECORDED:
            after.append(w.detach().clone())
    return torch.stack(after)


def clipped(drawn):
    results = {}
    for max_norm in drawn["clip.max_norms"].tolist():
        w = torch.zeros(drawn["clip.grads"].numel(), dtype=torch.float64, requires_grad=True)
        w.grad = drawn["clip.grads"].double()
        torch.nn.utils.clip_grad_norm_([w], max_norm)
        # As Rust writes an f64: 9.0 is 9.
        results[f"clip.norm.{max_norm:.15g}"] = w.grad
    return results


def optimizers(committed):
    # Random draws may differ between releases of PyTorch, and they are inputs: a check takes them as they are in the file.
    fresh = draws()
    drawn = {key: committed.get(key, value) for key, value in fresh.items()}
    results = {f"after.{case}": descend(*settings, drawn) for case, settings in CASES.items()}
    listed = [
        {"case": case, "optimizer": name, "lr": float32(lr), "settings": settings}
        for case, (name, lr, settings) in CASES.items()
    ]
    return drawn, results | clipped(drawn), {"cases": json.dumps(listed)}


# -------------------------------------------------------------------------------------------------------------- schedules

BASE_LR, EPOCHS, STEPS_PER_EPOCH = 0.1, 12, 7
STEPS = EPOCHS * STEPS_PER_EPOCH
# Better, better by less than the threshold, worse, not a number.
VAL_LOSSES = [1.0, 0.8, 0.79995, 0.79993, 0.85, 0.7, 0.71, 0.72, math.nan, 0.73, 0.74, 0.6]


def start_of(epochs):
    """LinearLR's factor from which the first of so many warm-up epochs (or steps) is no wasted one."""
    return {"start_factor": 1 / (epochs + 1), "total_iters": epochs}


def warmed_up(warmup, inner):
    return lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.LinearLR(o, **start_of(warmup)), inner(o)], [warmup])


def constant(o):
    return lr_scheduler.LambdaLR(o, lambda _: 1.0)


# spec as flatnet writes it -> whether PyTorch's scheduler steps after each batch (else after each epoch), the scheduler
SCHEDULES = {
    "constant": (False, constant),
    "step:3:0.5": (False, lambda o: lr_scheduler.StepLR(o, 3, 0.5)),
    "multi-step:2+5+6:0.1": (False, lambda o: lr_scheduler.MultiStepLR(o, [2, 5, 6], 0.1)),
    "exp:0.9": (False, lambda o: lr_scheduler.ExponentialLR(o, 0.9)),
    "cosine": (False, lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS)),
    "cosine:0.01": (False, lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS, 0.01)),
    "cosine-step": (True, lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS)),
    "cosine-step:0.001": (True, lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS, 0.001)),
    "one-cycle": (True, lambda o: lr_scheduler.OneCycleLR(o, BASE_LR, total_steps=STEPS, cycle_momentum=False)),
    "one-cycle:0.25:10:100": (
        True,
        lambda o: lr_scheduler.OneCycleLR(
            o, BASE_LR, total_steps=STEPS, pct_start=0.25, div_factor=10, final_div_factor=100, cycle_momentum=False
        ),
    ),
    "plateau:1:0.1": (False, lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=1, factor=0.1)),
    "plateau:0:0.5": (False, lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0, factor=0.5)),
    "poly:1": (False, lambda o: lr_scheduler.PolynomialLR(o, EPOCHS)),
    "poly:2": (False, lambda o: lr_scheduler.PolynomialLR(o, EPOCHS, 2.0)),
    "warmup:10:constant": (True, warmed_up(10, constant)),
    "warmup:10:cosine-step": (True, warmed_up(10, lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS - 10))),
    "warmup-epochs:3:constant": (False, warmed_up(3, constant)),
    "warmup-epochs:3:cosine:0.01": (False, warmed_up(3, lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS - 3, 0.01))),
    "warmup-epochs:2:step:4:0.5": (False, warmed_up(2, lambda o: lr_scheduler.StepLR(o, 4, 0.5))),
}


def rates(by_step, make):
    """The learning rate of every step, [epochs, steps_per_epoch]."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=BASE_LR)
    scheduler = make(optimizer)
    found = []
    for epoch in range(EPOCHS):
        for _ in range(STEPS_PER_EPOCH):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if by_step and len(found) < STEPS:
                scheduler.step()
        if not by_step:
            on_plateau = isinstance(scheduler, lr_scheduler.ReduceLROnPlateau)
            scheduler.step(*([VAL_LOSSES[epoch]] if on_plateau else []))
    return torch.tensor(found, dtype=torch.float64).reshape(EPOCHS, STEPS_PER_EPOCH)


def schedules(_):
    metadata = {"base_lr": repr(BASE_LR), "epochs": str(EPOCHS), "steps_per_epoch": str(STEPS_PER_EPOCH)}
    metadata["specs"] = json.dumps(list(SCHEDULES))
    inputs = {"val_losses": torch.tensor(VAL_LOSSES, dtype=torch.float64)}
    return inputs, {f"lr.{spec}": rates(*how) for spec, how in SCHEDULES.items()}, metadata


# ------------------------------------------------------------------------------------------------------------------ files

FILES = {"optimizers": optimizers, "schedules": schedules}


def write():
    for name, compute in FILES.items():
        inputs, results, metadata = compute({})
        path = HERE / f"{name}.safetensors"
        write_safetensors(path, inputs | results, {"torch": torch.__version__} | metadata)
        print(f"{path.name}: {len(inputs | results)} tensors, {path.stat().st_size} bytes")


def check():
    """Number of faults found in the committed files; each one is printed."""
    faults = []
    for name, compute in FILES.items():
        try:
            tensors, found = read_safetensors(HERE / f"{name}.safetensors")
        except (OSError, struct.error, ValueError, KeyError, RuntimeError) as fault:
            faults.append(f"{name}: cannot be read: {fault!r}")
            continue
        inputs, results, metadata = compute(tensors)
        if sorted(tensors) != sorted(inputs | results):
            faults.append(f"{name}: holds other tensors than {sorted(inputs | results)}")
            continue
        faults += [f"{name}: metadata {key}: {found.get(key)!r}" for key in metadata if found.get(key) != metadata[key]]
        worst = 0.0
        for key, fresh in results.items():
            gap = difference(tensors[key], fresh)
            if tensors[key].dtype != fresh.dtype or not gap <= TOLERANCE:
                faults.append(f"{name}: {key}: {tensors[key].dtype}, off by {gap:.1e} of its largest value")
            worst = max(worst, gap)
        print(f"{name}: {len(results)} results recomputed, worst difference {worst:.1e} (made by torch {found.get('torch')})")
    for fault in faults:
        print(f"golden: {fault}", file=sys.stderr)
    return len(faults)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the committed files instead of writing them")
    arguments = parser.parse_args()
    # SequentialLR calls its members in a way that PyTorch itself warns of.
    warnings.filterwarnings("ignore", category=UserWarning)
    torch.set_num_threads(1)
    if not arguments.check:
        write()
    elif check():
        sys.exit(1)
    else:
        print(f"golden: every committed value is what torch {torch.__version__} computes")


if __name__ == "__main__":
    main()
