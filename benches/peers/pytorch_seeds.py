#!/usr/bin/env python3
"""What PyTorch's own approach gives for the reference's network over ten seeds, beside the reference recipe: the second table of SEEDS.md.

    python3 benches/peers/pytorch_seeds.py --program target/release/flatnet

PyTorch's approach is nn.Sequential(nn.Linear(784, 10), nn.ReLU()) as it comes: its own initialisation and the exact derivative of the
ReLU. flatnet runs the recipe; both train on the rows that flatnet draws for the seed, in the same order and batches, and both are judged
by their last parameters. A unit is dead when it is 0 for at least 99 % of its own class's training images. (That it is 0 for every
image is seldom seen: a few images of other classes still light it.) All seeds are trained at once, as one batched
product: their losses are added up, so that no seed's gradient depends on another. Needs PyTorch, NumPy and 3 GB of memory.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import common
import numpy as np
import torch
from torch import nn
from torch.nn import functional

MNIST = common.HERE.parents[1] / "data" / "mnist"


def train(tasks, epochs):
    """Layers per seed after `epochs` epochs from PyTorch's own start."""
    linears = []
    for seed in range(len(tasks)):
        torch.manual_seed(seed)
        linears.append(nn.Linear(784, 10))
    weight = torch.stack([linear.weight.detach() for linear in linears]).requires_grad_()
    bias = torch.stack([linear.bias.detach() for linear in linears]).unsqueeze(1).requires_grad_()
    x = torch.from_numpy(np.stack([task.train_x for task in tasks]))
    y = torch.from_numpy(np.stack([task.train_y for task in tasks]))
    optimizer, size = torch.optim.SGD([weight, bias], lr=tasks[0].lr), tasks[0].batch_size
    batches = [(inputs.contiguous(), labels.reshape(-1)) for inputs, labels in zip(x.split(size, 1), y.split(size, 1))]
    del x
    for epoch in range(1, epochs + 1):
        for inputs, labels in batches:
            optimizer.zero_grad()
            logits = torch.baddbmm(bias, inputs, weight.transpose(1, 2)).relu()
            loss = functional.cross_entropy(logits.reshape(-1, 10), labels, reduction="sum") / inputs.shape[1]
            loss.backward()
            optimizer.step()
        if epoch % 10 == 0:
            print(f"epoch {epoch}/{epochs}", file=sys.stderr, flush=True)
    return [[(w.numpy(), b[0].numpy())] for w, b in zip(weight.detach(), bias.detach())]


def figures(task, layers):
    """[training accuracy, validation accuracy, dead units]"""
    weight, bias = layers[0]
    lit = task.train_x @ weight.T + bias > 0
    dead = sum(int(lit[task.train_y == unit, unit].mean() <= 0.01) for unit in range(10))
    return [common.evaluate(task, layers, task.train_x, task.train_y)[1], common.evaluate(task, layers, task.val_x, task.val_y)[1], dead]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", type=Path, required=True, metavar="FILE", help="flatnet, built in release mode")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="seeds 0 to N - 1")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="flatnet-seeds-") as folder:
        tasks = []
        for seed in range(arguments.seeds):
            out = Path(folder) / str(seed)
            command = [arguments.program, "train", "--seed", seed, "--epochs", arguments.epochs, "--data", MNIST, "--out", out, "--quiet", "--no-report"]
            subprocess.run([str(word) for word in command], stdout=subprocess.DEVNULL, check=True)
            tasks.append(common.Task(out, MNIST))
            print(f"reference, seed {seed}: done", file=sys.stderr, flush=True)
    theirs = [figures(task, layers) for task, layers in zip(tasks, train(tasks, arguments.epochs))]
    # What a task calls its start is here the recipe's result.
    ours = [figures(task, task.layers) for task in tasks]
    print("| seed | PyTorch: training | validation | dead units | reference: training | validation | dead units |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    row = lambda name, a, b: print(f"| {name} | " + " | ".join(f"{100 * t:.2f} % | {100 * v:.2f} % | {d:g}" for t, v, d in (a, b)) + " |")  # noqa: E731
    for seed, (a, b) in enumerate(zip(theirs, ours)):
        row(seed, a, b)
    row("**mean**", np.mean(theirs, axis=0), np.mean(ours, axis=0))


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"pytorch_seeds: {' '.join(error.cmd)}: exit code {error.returncode}")
