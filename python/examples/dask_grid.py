"""A grid of fits on the workers of a Dask cluster.

scikit-learn hands its fits to joblib, and joblib to whatever backend is chosen. Here it is a cluster of two processes on
this machine; give ``Client`` the address of a scheduler, and the same lines use the machines that it has. What is needed
there is this package, at the same version.

Needs ``dask.distributed``. Run it as ``python dask_grid.py``.
"""

import warnings

import joblib
import numpy as np
from dask.distributed import Client, LocalCluster
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from flatnet import MLPClassifier

GRID = {"hidden_layer_sizes": [(16,), (32,)], "alpha": [1e-4, 1e-2], "learning_rate_init": [1e-3, 1e-2]}


def search(X, y, **settings):
    """The search, of 8 settings in 5 folds."""
    model = MLPClassifier(max_iter=10, random_state=0)
    return GridSearchCV(model, GRID, cv=5, **settings).fit(X, y)


def main():
    """Search on a cluster and on one process; return both searches."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, Client(cluster), joblib.parallel_config("dask"):
        there = search(X, y)
    return there, search(X, y)


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    there, here = main()
    print(f"40 fits: {there.best_params_}, accuracy {there.best_score_:.3f}")
    # Networks are the same bits wherever they are trained.
    print("the same here:", np.array_equal(there.best_estimator_.coefs_[0], here.best_estimator_.coefs_[0]))
