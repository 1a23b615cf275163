#!/usr/bin/env python3
"""A peer: scikit-learn's MLPClassifier. It has the networks with hidden layers and not the one without: there is no ReLU on its
outputs, and SGDClassifier trains one classifier per class, which is another model.

The weights are put in after a call that draws its own. Its loss of an epoch is a mean over samples, not over batches. Its Adam adds
eps to the root of the average of squares before the average is corrected; the others do it after.
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
        hidden_layer_sizes=[len(bias) for _, bias in task.layers[:-1]],
        solver=task.optimizer,
        alpha=0.0,
        batch_size=task.batch_size,
        learning_rate_init=task.lr,
        momentum=0.0,
        beta_1=task.BETAS[0],
        beta_2=task.BETAS[1],
        epsilon=task.EPS,
        shuffle=False,
    )
    model.partial_fit(task.train_x[: task.batch_size], task.train_y[: task.batch_size], classes=np.arange(10))
    for index, (weight, bias) in enumerate(task.layers):
        model.coefs_[index][:] = weight.T
        model.intercepts_[index][:] = bias
    # It counted a step of the call above; the next call makes another.
    del model._optimizer

    def train_epoch():
        model.partial_fit(task.train_x, task.train_y)
        return model.loss_

    return train_epoch, lambda: [(w.T, b) for w, b in zip(model.coefs_, model.intercepts_)]


common.run(ARGUMENTS, "scikit-learn", sklearn.__version__, build, optimizers=("sgd", "adam"))
