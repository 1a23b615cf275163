"""From ``hidden_layer_sizes``, ``activation`` and ``dropout`` to layers as the engine writes them, and their first weights."""

from numbers import Integral, Real

import numpy as np

# scikit-learn's names first.
ACTIVATIONS = {
    "identity": None,
    "logistic": "sigmoid",
    "tanh": "tanh",
    "relu": "relu",
    "leaky_relu": "leaky-relu:0.01",
    "gelu": "gelu",
    "gelu_tanh": "gelu-tanh",
    "silu": "silu",
    "softplus": "softplus",
}


def hidden_sizes(hidden_layer_sizes):
    """The widths of hidden layers as a list."""
    sizes = hidden_layer_sizes if hasattr(hidden_layer_sizes, "__iter__") else [hidden_layer_sizes]
    sizes = list(sizes)
    if not all(isinstance(size, Integral) and size > 0 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return [int(size) for size in sizes]


def of_each(name, value, layers, is_valid, expected):
    """A parameter's value for each of so many hidden layers: one for all, or as many as there are."""
    if isinstance(value, (str, Real)):
        values = [value] * layers
    else:
        values = list(value)
        if len(values) != layers:
            raise ValueError(f"{name} must be one for all hidden layers or one for each of {layers}, got {values!r}.")
    for found in values:
        if not is_valid(found):
            raise ValueError(f"{name} must be {expected}, got {found!r}.")
    return values


def activations(activation, layers):
    """The name of each hidden layer's activation."""
    expected = f"among {sorted(ACTIVATIONS)}"
    return of_each("activation", activation, layers, lambda name: name in ACTIVATIONS, expected)


def dropouts(dropout, layers):
    """The share of each hidden layer's units that is dropped."""
    return of_each("dropout", dropout, layers, lambda p: 0 <= p < 1, "at least 0 and below 1")


def spec(sizes, activation, dropout, outputs):
    """The network as the engine writes it: ``linear:100,relu,linear:10``."""
    names = activations(activation, len(sizes))
    shares = dropouts(dropout, len(sizes))
    layers = []
    for size, name, share in zip(sizes, names, shares):
        layers.append(f"linear:{size}")
        if ACTIVATIONS[name] is not None:
            layers.append(ACTIVATIONS[name])
        if share > 0:
            layers.append(f"dropout:{float(share)!r}")
    return ",".join([*layers, f"linear:{outputs}"])


def first_weights(units, names, random_state):
    """The weights and biases that scikit-learn draws first (Glorot and Bengio, 2010), with its own draws.

    ``units``: of the inputs, of each hidden layer, of the output; ``names``: the activation of each hidden layer.
    """
    coefs, intercepts = [], []
    for layer, (fan_in, fan_out) in enumerate(zip(units[:-1], units[1:])):
        # scikit-learn draws the last layer for the activation of the hidden ones too.
        name = names[min(layer, len(names) - 1)] if names else "relu"
        bound = np.sqrt((2.0 if name == "logistic" else 6.0) / (fan_in + fan_out))
        coefs.append(random_state.uniform(-bound, bound, (fan_in, fan_out)).astype(np.float32))
        intercepts.append(random_state.uniform(-bound, bound, fan_out).astype(np.float32))
    return coefs, intercepts


def parse(spec):
    """The other way: widths, activations and shares of dropout of the hidden layers of a network as the engine writes it.

    One activation or share for all where they are the same.
    """
    own = {engine: name for name, engine in ACTIVATIONS.items()}
    sizes, names, shares = [], [], []
    for layer in spec.split(","):
        kind, _, value = layer.partition(":")
        if kind == "linear":
            sizes.append(int(value))
            names.append("identity")
            shares.append(0.0)
        elif kind == "dropout" and shares[-1] == 0:
            shares[-1] = float(value)
        elif layer in own and names[-1] == "identity" and shares[-1] == 0:
            names[-1] = own[layer]
        else:
            raise ValueError(f"layers: {spec!r} is no network that an estimator can have: {layer!r} in its place")
    # The last layer is the output.
    sizes, names, shares = tuple(sizes[:-1]), names[:-1], shares[:-1]
    names = names[0] if len(set(names)) == 1 else (names or "relu")
    shares = shares[0] if len(set(shares)) == 1 else (shares or 0.0)
    return sizes, names, shares
