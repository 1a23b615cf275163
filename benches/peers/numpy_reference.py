#!/usr/bin/env python3
"""A peer: the reference recipe in NumPy, float32, with the reference's own formulas.

The three layer classes do what the reference's classes do, step for step, and are not tuned; that includes a ReLU whose backward
passes the gradient unchanged and a softmax that does not subtract the maximum. (The reference's zero_grad is absent: every
backward overwrites the gradients.)
"""

import sys

import common

ARGUMENTS = common.parse(__doc__, ["formulas"])

import numpy as np  # noqa: E402


class Linear:
    def __init__(self, weight, bias):
        self.w, self.b = np.ascontiguousarray(weight.T), bias

    def forward(self, layer_input):
        self.layer_input = layer_input
        return np.dot(layer_input, self.w) + self.b

    def backward(self, gradient):
        m = self.layer_input.shape[0]
        self.dl_dw = (1 / m) * np.dot(self.layer_input.T, gradient)
        self.dl_db = (1 / m) * np.sum(gradient, axis=0)


class Relu:
    def forward(self, layer_input):
        self.layer_input = layer_input
        return np.maximum(layer_input, 0)

    def backward(self, gradient):
        # After the first line everything is >= 0, so the mask becomes all ones: the reference's code, kept as it acts.
        self.layer_input[self.layer_input < 0] = 0
        self.layer_input[self.layer_input >= 0] = 1
        return self.layer_input * gradient


class SoftmaxCrossEntropy:
    def forward(self, logits, targets):
        self.probabilities = np.exp(logits) / np.sum(np.exp(logits), axis=1).reshape(targets.shape[0], 1)
        self.targets = targets
        cross_entropy = -1 * np.log(self.probabilities) * targets
        return np.sum(cross_entropy) / targets.shape[0]

    def backward(self):
        return self.probabilities - self.targets


def build(task, _arguments):
    if task.is_deep:
        sys.exit("the reference has no hidden layer")
    linear, relu, softmax = Linear(*task.layers[0]), Relu(), SoftmaxCrossEntropy()
    targets = np.eye(10, dtype=np.float32)[task.train_y]

    def train_epoch():
        losses = []
        for part in task.batches():
            losses.append(softmax.forward(relu.forward(linear.forward(task.train_x[part])), targets[part]))
            linear.backward(relu.backward(softmax.backward()))
            linear.w = linear.w - task.lr * linear.dl_dw
            linear.b = linear.b - task.lr * linear.dl_db
        return np.mean(losses)

    return train_epoch, lambda: [(linear.w.T, linear.b)]


common.run(ARGUMENTS, "NumPy", np.__version__, build)
