"""From validated arrays to what the native part takes: float32 in rows, or CSR."""

import numpy as np
import scipy.sparse as sp


def features(X):
    """`X` as the native part takes it; copied only where its layout asks for it."""
    if not sp.issparse(X):
        return np.require(X, np.float32, ["C_CONTIGUOUS", "ALIGNED"])
    if not X.has_canonical_format:
        # In a copy: the matrix is the caller's.
        X = X.copy()
        X.sum_duplicates()
    indices, starts = (X.indices, np.int32), (X.indptr, np.int64)
    columns, starts = (array.astype(dtype, copy=False) for array, dtype in (indices, starts))
    return X.data.astype(np.float32, copy=False), columns, starts, X.shape[1]


def weights(coefs, intercepts):
    """The weights of all layers as float32; what a caller put in their place may be anything."""
    return (
        [np.asarray(coef, dtype=np.float32) for coef in coefs],
        [np.asarray(intercept, dtype=np.float32) for intercept in intercepts],
    )


def precision(X):
    """The type of what is predicted from `X`: float32 of float32, as in scikit-learn, else float64."""
    dtypes = {getattr(X, "dtype", None)} if hasattr(X, "dtype") else set(getattr(X, "dtypes", [None]))
    return np.float32 if dtypes == {np.dtype(np.float32)} else np.float64
