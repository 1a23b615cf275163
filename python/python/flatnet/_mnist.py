"""The bundled images."""

from pathlib import Path

import numpy as np

from flatnet import _native


def load_mnist(folder=None):
    """Load MNIST, which comes with this package: 60,000 and 10,000 images of handwritten digits.

    Parameters
    ----------
    folder : str or path-like, optional
        Another folder of four IDX files in MNIST's form, gzipped or not, such as Fashion-MNIST's.

    Returns
    -------
    (X_train, y_train), (X_test, y_test) : tuples of ndarray
        Pixels from 0 to 1 as float32, of shape (n_images, 784), and labels.

    Examples
    --------
    >>> import flatnet
    >>> (X_train, y_train), (X_test, y_test) = flatnet.load_mnist()
    >>> X_train.shape, X_test.shape, y_test[:5].tolist()
    ((60000, 784), (10000, 784), [7, 2, 1, 0, 4])
    """
    folder = Path(__file__).parent / "mnist" if folder is None else folder
    (x, y), (x_test, y_test) = _native.load_images(folder)
    white = np.float32(255)
    return (x / white, y.astype(np.int64)), (x_test / white, y_test.astype(np.int64))
