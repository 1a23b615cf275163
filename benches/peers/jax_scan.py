#!/usr/bin/env python3
"""A peer: JAX, the training of one epoch jitted as one lax.scan, the gradient by jax.value_and_grad.

Parameters are donated, so that they are updated in place. Weights are kept [in, out]. XLA takes every core that it may use, so the
process is held to as many cores as there are threads asked for.
"""

import os

import common

ARGUMENTS = common.parse(__doc__, ["scan"])
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-ARGUMENTS.threads :])

from functools import partial  # noqa: E402

import jax  # noqa: E402
import numpy as np  # noqa: E402
from jax import lax, numpy as jnp  # noqa: E402


def straight_through_relu(z):
    return z + lax.stop_gradient(jax.nn.relu(z) - z)


def loss_of(layers, x, one_hot):
    (weight, bias), *rest = layers
    z = x @ weight + bias
    if rest:
        ((weight, bias),) = rest
        z = jax.nn.relu(z) @ weight + bias
    else:
        z = straight_through_relu(z)
    return -jnp.mean(jnp.sum(jax.nn.log_softmax(z) * one_hot, axis=1))


def build(task, _arguments):
    layers = [(jnp.asarray(weight.T.copy()), jnp.asarray(bias)) for weight, bias in task.layers]
    one_hot = np.eye(10, dtype=np.float32)[task.train_y]
    full = len(one_hot) // task.batch_size
    whole = full * task.batch_size
    x, y = jnp.asarray(task.train_x), jnp.asarray(one_hot)
    shaped = lambda a: a[:whole].reshape(full, task.batch_size, -1)  # noqa: E731
    xs, ys, last = shaped(x), shaped(y), (x[whole:], y[whole:])

    def step(layers, batch):
        loss, gradients = jax.value_and_grad(loss_of)(layers, *batch)
        return jax.tree.map(lambda p, g: p - task.lr * g, layers, gradients), loss

    @partial(jax.jit, donate_argnums=0)
    def epoch(layers, xs, ys, last):
        layers, losses = lax.scan(step, layers, (xs, ys))
        if len(last[0]) == 0:
            return layers, losses.mean()
        layers, loss = step(layers, last)
        return layers, (losses.sum() + loss) / (full + 1)

    def train_epoch():
        nonlocal layers
        layers, loss = epoch(layers, xs, ys, last)
        return jax.block_until_ready(loss)

    return train_epoch, lambda: [(np.asarray(weight).T, np.asarray(bias)) for weight, bias in layers]


common.run(ARGUMENTS, "JAX", jax.__version__, build)
