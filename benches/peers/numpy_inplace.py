#!/usr/bin/env python3
"""A peer: NumPy with every array made once and every operation in place.

Weights are kept as NumPy multiplies them fastest: [in, out], so that the gradient x^T g
needs no transposed copy.
"""

import common

ARGUMENTS = common.parse(__doc__, ["in-place"])

import numpy as np  # noqa: E402


class Linear:
    """z = x w + b for up to `batch` rows; w is [in, out]. `dx` holds the gradient with respect to x."""

    def __init__(self, weight, bias, batch):
        self.w, self.b = np.ascontiguousarray(weight.T), bias.copy()
        self.z, self.dw = np.empty((batch, len(bias)), np.float32), np.empty_like(self.w)
        self.dx = np.empty((batch, len(self.w)), np.float32)

    def forward(self, x):
        z = self.z[: len(x)]
        np.dot(x, self.w, out=z)
        z += self.b
        return z

    def backward(self, dz):
        dx = self.dx[: len(dz)]
        np.dot(dz, self.w.T, out=dx)
        return dx

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
    *hidden_layers, last = layers

    def step(x, labels):
        inputs = [x]
        for layer in hidden_layers:
            z = layer.forward(inputs[-1])
            inputs.append(np.maximum(z, 0, out=z))
        z = last.forward(inputs[-1])
        if not hidden_layers:
            np.maximum(z, 0, out=z)
        here, rate = rows[: len(x)], task.lr / len(x)
        loss = softmax_and_loss(z, labels, here)
        z[here, labels] -= 1
        # Straight-through where the ReLU stands last: its gradient is the one of its output.
        dz = z
        for index in reversed(range(len(layers))):
            dx = None
            if index > 0:
                dx = layers[index].backward(dz)
                dx *= inputs[index] > 0
            layers[index].descend(inputs[index], dz, rate)
            dz = dx
        return loss

    return (
        lambda: sum(float(step(x, labels)) for x, labels in batches) / len(batches),
        lambda: [(layer.w.T, layer.b) for layer in layers],
    )


common.run(ARGUMENTS, "NumPy", np.__version__, build)
