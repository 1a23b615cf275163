#!/usr/bin/env python3
"""A peer: NumPy with every array made once and every operation in place.

Weights are kept as NumPy multiplies them fastest: [in, out] in the first layer of either network, so that the gradient x^T g
needs no transposed copy.
"""

import common

ARGUMENTS = common.parse(__doc__, ["in-place"])

import numpy as np  # noqa: E402


class Linear:
    """z = x w + b for up to `batch` rows; w is [in, out]."""

    def __init__(self, weight, bias, batch):
        self.w, self.b = np.ascontiguousarray(weight.T), bias.copy()
        self.z, self.dw = np.empty((batch, len(bias)), np.float32), np.empty_like(self.w)

    def forward(self, x):
        z = self.z[: len(x)]
        np.dot(x, self.w, out=z)
        z += self.b
        return z

    def descend(self, x, dz, rate):
        np.dot(x.T, dz, out=self.dw)
        self.dw *= rate
        self.w -= self.dw
        self.b -= rate * dz.sum(axis=0)


def softmax_and_loss(z, labels, rows):
    """Turns logits into probabilities in place; returns the mean loss."""
    z -= z.max(axis=1, keepdims=True)
    of_label = z[rows, labels]
    np.exp(z, out=z)
    sums = z.sum(axis=1, keepdims=True)
    z /= sums
    return (np.log(sums).sum() - of_label.sum()) / len(z)


def build(task, _arguments):
    layers = [Linear(weight, bias, task.batch_size) for weight, bias in task.layers]
    rows = np.arange(task.batch_size)
    batches = [(task.train_x[part], task.train_y[part]) for part in task.batches()]
    hidden_gradient = np.empty_like(layers[0].z)

    def step_of_one(x, labels):
        (layer,) = layers
        z = layer.forward(x)
        np.maximum(z, 0, out=z)
        here = rows[: len(x)]
        loss = softmax_and_loss(z, labels, here)
        z[here, labels] -= 1
        layer.descend(x, z, task.lr / len(x))
        return loss

    def step_of_two(x, labels):
        first, second = layers
        hidden = first.forward(x)
        np.maximum(hidden, 0, out=hidden)
        z = second.forward(hidden)
        here = rows[: len(x)]
        loss = softmax_and_loss(z, labels, here)
        z[here, labels] -= 1
        dh = hidden_gradient[: len(x)]
        np.dot(z, second.w.T, out=dh)
        dh *= hidden > 0
        second.descend(hidden, z, task.lr / len(x))
        first.descend(x, dh, task.lr / len(x))
        return loss

    step = step_of_two if task.is_deep else step_of_one
    return (
        lambda: sum(float(step(x, labels)) for x, labels in batches) / len(batches),
        lambda: [(layer.w.T, layer.b) for layer in layers],
    )


common.run(ARGUMENTS, "NumPy", np.__version__, build)
