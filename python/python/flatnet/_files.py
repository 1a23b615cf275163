"""Estimators as files and in other programs' forms, and the page of a fit."""

import json
import os

import numpy as np
from sklearn.utils.validation import check_is_fitted

from flatnet import _arrays, _layers, _native

# As `torch.nn` calls them.
TORCH = {
    "identity": "Identity",
    "logistic": "Sigmoid",
    "tanh": "Tanh",
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "gelu": "GELU",
    "gelu_tanh": "GELU",
    "silu": "SiLU",
    "softplus": "Softplus",
}


class FilesMixin:
    """What an estimator is written as. Not for use by itself."""

    def save(self, path):
        """Write flatnet's model file, which ``flatnet.load`` and the program `flatnet` read.

        Parameters
        ----------
        path : str or path-like
            The file, usually ``.safetensors``; one that stands there is replaced.

        Examples
        --------
        >>> import os, tempfile
        >>> from flatnet import MLPRegressor
        >>> model = MLPRegressor(max_iter=500, random_state=0).fit([[0.0], [1.0]] * 20, [0.0, 1.0] * 20)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(os.path.join(folder, "model.safetensors"))
        ...     os.listdir(folder)
        ['model.safetensors']
        """
        self._write(path, "safetensors")

    def export_onnx(self, path):
        """Write an ONNX model, which takes rows of float32 and gives logits, and probabilities or values.

        Parameters
        ----------
        path : str or path-like
            The file, usually ``.onnx``; one that stands there is replaced.

        Examples
        --------
        >>> import os, tempfile
        >>> from flatnet import MLPRegressor
        >>> model = MLPRegressor(max_iter=500, random_state=0).fit([[0.0], [1.0]] * 20, [0.0, 1.0] * 20)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.export_onnx(os.path.join(folder, "model.onnx"))
        ...     os.listdir(folder)
        ['model.onnx']
        """
        self._write(path, "onnx")

    def to_torch(self):
        """Make a ``torch.nn.Sequential`` with the same weights.

        It gives logits of classes (one for two classes), or values. Dropout stands in it as it does in training;
        the module is in evaluation mode.

        Returns
        -------
        module : torch.nn.Sequential
            The network in PyTorch, which must be installed.

        Examples
        --------
        >>> import os
        >>> from flatnet import MLPRegressor
        >>> model = MLPRegressor(max_iter=500, random_state=0).fit([[0.0], [1.0]] * 20, [0.0, 1.0] * 20)
        >>> module = model.to_torch()  # doctest: +SKIP
        """
        import torch

        check_is_fitted(self)
        hidden = len(self.coefs_) - 1
        names = _layers.activations(self.activation, hidden)
        shares = _layers.dropouts(self.dropout, hidden)
        modules = []
        for layer, (coef, intercept) in enumerate(zip(*_arrays.weights(self.coefs_, self.intercepts_))):
            linear = torch.nn.Linear(*coef.shape)
            with torch.no_grad():
                for parameter, values in ((linear.weight, coef.T), (linear.bias, intercept)):
                    # By way of bytes, which a PyTorch takes that was built for another NumPy.
                    buffer = torch.frombuffer(bytearray(values.tobytes()), dtype=torch.float32)
                    parameter.copy_(buffer.reshape(values.shape))
            modules.append(linear)
            if layer < hidden:
                settings = {"approximate": "tanh"} if names[layer] == "gelu_tanh" else {}
                modules.append(getattr(torch.nn, TORCH[names[layer]])(**settings))
                if shares[layer] > 0:
                    modules.append(torch.nn.Dropout(shares[layer]))
        return torch.nn.Sequential(*modules).eval()

    def report(self, path, X=None, y=None, sample_weight=None):
        """Write the page that the program `flatnet` writes of a run: ``report.html`` and graphs.

        After a fit with ``early_stopping=True`` it shows training beside validation.

        Parameters
        ----------
        path : str or path-like
            A folder, which is made if there is none.
        X : {array-like, sparse matrix} of shape (n_samples, n_features), optional
            Samples that took no part in the fit, for what the page shows of single samples: confusions and the most
            confident mistakes, or predictions over values.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), optional
            Their targets.
        sample_weight : array-like of shape (n_samples,), optional
            Their weights.

        Examples
        --------
        >>> import os, tempfile
        >>> from flatnet import MLPClassifier
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> model = MLPClassifier(early_stopping=True, random_state=0).fit(X[::2], y[::2])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.report(folder, X[1::2], y[1::2])
        ...     sorted(os.listdir(folder))
        ['graphs', 'report.html']
        """
        check_is_fitted(self)
        if "recipe" not in self._run:
            raise ValueError("report tells of a fit: this model was read from a file")
        judged = None
        if X is not None:
            X, targets = self._judged(X, y)
            weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float32)
            judged = (_arrays.features(X), targets, weight)
        layers, weights, about = self._described()
        recipe, data = self._run["recipe"], self._run["data"]
        recipe = recipe | {"layers": layers, "out": os.fspath(path)}
        classes = about["outputs"] if about["task"] == "classify" else []
        data = data | {"classes": len(classes), "class_names": classes, "outputs": len(about["outputs"])}
        name = os.path.basename(os.path.normpath(path))
        texts = (json.dumps(recipe), json.dumps(data))
        _native.write_report(path, name, layers, weights, about, self._run["epochs"], *texts, judged)

    def _write(self, path, form):
        check_is_fitted(self)
        layers, weights, about = self._described()
        _native.write(path, form, layers, weights, about)

    def _described(self):
        """Layers, weights, and what inputs and outputs are called, as files have them."""
        sizes = [coef.shape[1] for coef in self.coefs_[:-1]]
        coefs, intercepts = _arrays.weights(self.coefs_, self.intercepts_)
        task, outputs = self._task()
        if task == "classify" and coefs[-1].shape[1] == 1:
            # A softmax over 0 and z is the sigmoid of z: as everywhere in files, a class is an output.
            coefs[-1] = np.hstack([np.zeros_like(coefs[-1]), coefs[-1]])
            intercepts[-1] = np.concatenate([np.zeros_like(intercepts[-1]), intercepts[-1]])
        layers = _layers.spec(sizes, self.activation, self.dropout, coefs[-1].shape[1])
        names = getattr(self, "feature_names_in_", None)
        names = [f"x{i}" for i in range(self.n_features_in_)] if names is None else [str(name) for name in names]
        return layers, (coefs, intercepts), {"features": names, "task": task, "outputs": outputs}


def load(path):
    """Read a model file of flatnet, or a state dict that another program saved as safetensors.

    Parameters
    ----------
    path : str or path-like
        What ``save`` or the program `flatnet` wrote.

    Returns
    -------
    estimator : MLPClassifier or MLPRegressor
        Ready to predict. It takes the columns of the table as they are, and pixels from 0 to 255, whatever the model's
        file makes of them first. Parameters that a file does not hold have their defaults.

    Examples
    --------
    >>> import os, tempfile
    >>> import flatnet
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = flatnet.MLPClassifier(max_iter=300, learning_rate_init=0.01, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "iris.safetensors")
    ...     model.save(path)
    ...     again = flatnet.load(path)
    >>> bool((again.predict(X) == model.predict(X)).all())
    True
    """
    from flatnet import MLPClassifier, MLPRegressor

    layers, (coefs, intercepts), task, outputs, inputs = _native.read(path)
    sizes, names, shares = _layers.parse(layers)
    settings = {"hidden_layer_sizes": sizes, "activation": names, "dropout": shares}
    model = MLPRegressor(**settings) if task == "regress" else MLPClassifier(**settings)
    model._restore(coefs, intercepts, task, outputs)
    if inputs is not None and inputs != [f"x{i}" for i in range(len(inputs))]:
        model.feature_names_in_ = np.array(inputs, dtype=object)
    return model
