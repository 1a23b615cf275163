"""Small data that tests share."""

import numpy as np
import scipy.sparse as sp
from sklearn.datasets import load_diabetes, load_digits
from sklearn.preprocessing import StandardScaler


def digits():
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32), y


def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(X).astype(np.float32), ((y - y.mean()) / y.std())


def texts(rows=600, words=2000, classes=4, seed=0):
    """Counts of words, a CSR matrix: each class has words of its own."""
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=rows)
    X = sp.random(rows, words, density=0.01, format="csr", dtype=np.float32, random_state=rng)
    own = sp.csr_matrix(
        (np.ones(3 * rows, np.float32), (np.repeat(np.arange(rows), 3), (rng.integers(40, size=(rows, 3)) * classes + y[:, None]).ravel())),
        shape=X.shape,
    )
    return (X + own).tocsr(), y
