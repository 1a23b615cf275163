#!/usr/bin/env python3
"""A peer: scikit-learn's MLPClassifier. It has the network with a hidden layer and not the other one: there is no ReLU on its
outputs, and SGDClassifier trains one classifier per class, which is another model.

The weights are put in after a call that draws its own. Its loss of an epoch is a mean over samples, not over batches.
"""

import sys
import warnings

import common

ARGUMENTS = common.parse(__doc__, ["MLPClassifier"])

import numpy as np  # noqa: E402
import sklearn  # noqa: E402
from sklearn.neural_network import MLPClassifier  # noqa: E402


def build(task, _arguments):
    if not task.is_deep:
        sys.exit("scikit-learn has no network with a ReLU on its outputs")
    # One short last batch is smaller than batch_size, of which it warns.
    warnings.filterwarnings("ignore")
    model = MLPClassifier(
        hidden_layer_sizes=(len(task.layers[0][1]),),
        solver="sgd",
        alpha=0.0,
        batch_size=task.batch_size,
        learning_rate_init=task.lr,
        momentum=0.0,
        shuffle=False,
    )
    model.partial_fit(task.train_x[: task.batch_size], task.train_y[: task.batch_size], classes=np.arange(10))
    for index, (weight, bias) in enumerate(task.layers):
        model.coefs_[index][:] = weight.T
        model.intercepts_[index][:] = bias

    def train_epoch():
        model.partial_fit(task.train_x, task.train_y)
        return model.loss_

    return train_epoch, lambda: [(w.T, b) for w, b in zip(model.coefs_, model.intercepts_)]


common.run(ARGUMENTS, "scikit-learn", sklearn.__version__, build)
