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

import math  # noqa: E402
from functools import partial  # noqa: E402

import jax  # noqa: E402
import numpy as np  # noqa: E402
from jax import lax, numpy as jnp  # noqa: E402


def straight_through_relu(z):
    return z + lax.stop_gradient(jax.nn.relu(z) - z)


def loss_of(layers, x, one_hot):
    *hidden, (weight, bias) = layers
    z = x
    for hidden_weight, hidden_bias in hidden:
        z = jax.nn.relu(z @ hidden_weight + hidden_bias)
    z = z @ weight + bias
    if not hidden:
        z = straight_through_relu(z)
    return -jnp.mean(jnp.sum(jax.nn.log_softmax(z) * one_hot, axis=1))


def sgd(lr):
    """(slots before the first step, update): `update(parameters, slots, gradients)` gives the new parameters and slots."""
    return lambda _: (), lambda layers, slots, gradients: (jax.tree.map(lambda p, g: p - lr * g, layers, gradients), slots)


def adam(lr, betas, eps):
    """The same for Adam, by the formulas of torch.optim.Adam."""
    (beta1, beta2), zeros = betas, lambda layers: jax.tree.map(jnp.zeros_like, layers)

    def update(layers, slots, gradients):
        m, v, step = slots
        step += 1
        m = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, m, gradients)
        v = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, v, gradients)
        # 1 - beta^step; the difference itself would lose half of a float's digits in the first steps.
        rest_of = lambda beta: -jnp.expm1(step * math.log(beta))  # noqa: E731
        rate, root = lr / rest_of(beta1), jnp.sqrt(rest_of(beta2))
        return jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) / root + eps), layers, m, v), (m, v, step)

    return lambda layers: (zeros(layers), zeros(layers), jnp.float32(0)), update


def build(task, _arguments):
    layers = [(jnp.asarray(weight.T.copy()), jnp.asarray(bias)) for weight, bias in task.layers]
    one_hot = np.eye(10, dtype=np.float32)[task.train_y]
    full = len(one_hot) // task.batch_size
    whole = full * task.batch_size
    x, y = jnp.asarray(task.train_x), jnp.asarray(one_hot)
    shaped = lambda a: a[:whole].reshape(full, task.batch_size, -1)  # noqa: E731
    xs, ys, last = shaped(x), shaped(y), (x[whole:], y[whole:])

    slots_of, update = adam(task.lr, task.BETAS, task.EPS) if task.optimizer == "adam" else sgd(task.lr)
    state = (layers, slots_of(layers))

    def step(state, batch):
        layers, slots = state
        loss, gradients = jax.value_and_grad(loss_of)(layers, *batch)
        return update(layers, slots, gradients), loss

    @partial(jax.jit, donate_argnums=0)
    def epoch(state, xs, ys, last):
        state, losses = lax.scan(step, state, (xs, ys))
        if len(last[0]) == 0:
            return state, losses.mean()
        state, loss = step(state, last)
        return state, (losses.sum() + loss) / (full + 1)

    def train_epoch():
        nonlocal state
        state, loss = epoch(state, xs, ys, last)
        return jax.block_until_ready(loss)

    return train_epoch, lambda: [(np.asarray(weight).T, np.asarray(bias)) for weight, bias in state[0]]


common.run(ARGUMENTS, "JAX", jax.__version__, build, optimizers=("sgd", "adam"))
