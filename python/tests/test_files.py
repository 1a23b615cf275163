"""Estimators as files, in other programs, and as a page."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import safetensors.numpy
from data import diabetes, digits

import flatnet
from flatnet import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def models():
    """Every kind of model, with rows that it can predict from."""
    X, y = digits()
    settings = {"max_iter": 3, "random_state": 0, "hidden_layer_sizes": (20, 10), "activation": ["gelu_tanh", "silu"]}
    yield MLPClassifier(**settings, dropout=[0.1, 0]).fit(X, y), X
    yield MLPClassifier(**settings).fit(X, np.array(["no", "yes"])[y % 2]), X
    yield MLPClassifier(**settings).fit(X, np.array(["c", "b", "a"])[y % 3]), X
    yield MLPClassifier(**settings).fit(X, np.column_stack([y > 4, y % 2])), X
    X, y = diabetes()
    yield MLPRegressor(max_iter=3, random_state=0, activation="leaky_relu").fit(X, y), X
    yield MLPRegressor(max_iter=3, random_state=0, hidden_layer_sizes=()).fit(X, np.column_stack([y, -y])), X


def test_a_saved_model_comes_back_to_the_bit(tmp_path):
    for model, X in models():
        model.save(tmp_path / "model.safetensors")
        again = flatnet.load(tmp_path / "model.safetensors")
        assert type(again) is type(model)
        for name in ("hidden_layer_sizes", "n_outputs_", "n_layers_", "n_features_in_", "out_activation_"):
            one, other = np.array(getattr(model, name)), np.array(getattr(again, name))
            assert np.array_equal(np.atleast_1d(one), np.atleast_1d(other)) or model.hidden_layer_sizes == (100,), name
        assert np.array_equal(model.predict(X), again.predict(X))
        if isinstance(model, MLPClassifier):
            assert np.array_equal(model.predict_proba(X), again.predict_proba(X))
            assert np.array_equal(model.classes_, again.classes_)
        # It goes on training.
        again.set_params(max_iter=1, warm_start=True)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        flatnet.load(tmp_path / "nowhere.safetensors")
    (tmp_path / "text").write_text("no model")
    with pytest.raises(ValueError, match="text"):
        flatnet.load(tmp_path / "text")


def test_names_of_columns_travel(tmp_path):
    import pandas as pd

    X, y = diabetes()
    frame = pd.DataFrame(X, columns=[f"c{i}" for i in range(X.shape[1])])
    MLPRegressor(max_iter=3, random_state=0).fit(frame, y).save(tmp_path / "m.safetensors")
    assert list(flatnet.load(tmp_path / "m.safetensors").feature_names_in_) == list(frame.columns)


def test_a_model_of_pixels_takes_pixels(tmp_path):
    """A state dict of another program: as the library says, its inputs are pixels / 255."""
    rng = np.random.default_rng(0)
    tensors = {
        "0.weight": rng.normal(size=(5, 9)).astype(np.float32),
        "0.bias": rng.normal(size=5).astype(np.float32),
        "2.weight": rng.normal(size=(3, 5)).astype(np.float32),
        "2.bias": rng.normal(size=3).astype(np.float32),
    }
    safetensors.numpy.save_file(tensors, tmp_path / "torch.safetensors")
    model = flatnet.load(tmp_path / "torch.safetensors")
    pixels = rng.integers(0, 256, (20, 9))
    hidden = np.maximum(pixels / 255 @ tensors["0.weight"].T + tensors["0.bias"], 0)
    logits = hidden @ tensors["2.weight"].T + tensors["2.bias"]
    wanted = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(pixels), wanted, atol=1e-5)
    assert model.hidden_layer_sizes == (5,) and model.activation == "relu"


def test_onnx_gives_what_predict_gives(tmp_path):
    for model, X in models():
        model.export_onnx(tmp_path / "model.onnx")
        session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
        _, found = session.run(None, {"x": X})
        if isinstance(model, MLPClassifier):
            np.testing.assert_allclose(found, model.predict_proba(X), atol=2e-6)
        else:
            np.testing.assert_allclose(found.reshape(len(X), -1), model.predict(X).reshape(len(X), -1), atol=1e-5)


def python_with_torch():
    """This Python if it has PyTorch, else Debian's."""
    for python in (sys.executable, "/usr/bin/python3"):
        if os.path.exists(python) and subprocess.run([python, "-c", "import torch"], capture_output=True).returncode == 0:
            return python
    return None


TO_TORCH = """
import sys
sys.path[:0] = sys.argv[2:]
import pickle, torch
torch.manual_seed(0)
for model, X, wanted in pickle.load(open(sys.argv[1], "rb")):
    module = model.to_torch()
    assert not module.training and isinstance(module, torch.nn.Sequential)
    found = module(torch.tensor(X.tolist()))
    difference = (found - torch.tensor(wanted.tolist())).abs().max().item()
    assert difference < 1e-5, (model, difference)
print("models agree")
"""


def test_torch_gives_what_predict_gives(tmp_path):
    import pickle

    python = python_with_torch()
    if python is None:
        pytest.skip("no Python here has PyTorch: nobody ran to_torch()")
    cases = [(model, X, model._outputs(X)) for model, X in models()]
    (tmp_path / "models.pickle").write_bytes(pickle.dumps(cases))
    # Debian's has no scikit-learn, so it borrows this one's packages, which come before its own.
    run = subprocess.run(
        [python, "-c", TO_TORCH, tmp_path / "models.pickle", *map(str, filter(None, sys.path))],
        capture_output=True,
        text=True,
    )
    assert run.stdout == "models agree\n", run.stderr


def test_the_page_of_a_fit(tmp_path):
    X, y = digits()
    settings = {"max_iter": 4, "random_state": 0, "early_stopping": True}
    model = MLPClassifier(**settings).fit(X[500:], y[500:])
    model.report(tmp_path / "digits", X[:500], y[:500])
    page = (tmp_path / "digits" / "report.html").read_text()
    # Graphs, the last epoch's loss of training and of what was held out, and what became of the samples given.
    assert page.count("<svg") >= 2
    assert all(f"{loss:.3f}" in page for loss in (model._run["epochs"][-1][0], model._run["epochs"][-1][2]))
    recall = (model.predict(X[:500]) == y[:500])[y[:500] == 3].mean()
    assert f"{100 * recall:.1f}" in page
    assert len(list((tmp_path / "digits" / "graphs").glob("*.svg"))) >= 2
    for target in (y % 2, np.column_stack([y > 4, y % 2])):
        MLPClassifier(**settings).fit(X, target).report(tmp_path / "other", X[:50], target[:50])
    values = MLPRegressor(**settings).fit(X, y)
    values.report(tmp_path / "other", X[:50], y[:50])
    values.report(tmp_path / "other")
    assert "no samples were given" in (tmp_path / "other" / "report.html").read_text()
    model.save(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="this model was read from a file"):
        flatnet.load(tmp_path / "model.safetensors").report(tmp_path / "none")


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_the_page_of_a_fit_without_validation(tmp_path, kind):
    X, y = digits()
    model = kind(max_iter=4, random_state=0).fit(X[500:], y[500:])
    model.report(tmp_path / "digits", X[:500], y[:500])
    page = (tmp_path / "digits" / "report.html").read_text()
    assert page.count("<svg") >= 2 and f"{model._run['epochs'][-1][0]:.4f}" in page
    assert "no samples were held out" in page
    assert "NaN" not in page and ">validation<" not in page and "Validation loss" not in page
    if kind is MLPClassifier:
        recall = (model.predict(X[:500]) == y[:500])[y[:500] == 3].mean()
        assert f"{100 * recall:.1f}" in page
    model.report(tmp_path / "alone")
    assert "no samples were given" in (tmp_path / "alone" / "report.html").read_text()
    model.partial_fit(X, y).report(tmp_path / "partial")


def test_mnist_is_bundled():
    (X, y), (X_test, y_test) = flatnet.load_mnist()
    assert X.shape == (60_000, 784) and X_test.shape == (10_000, 784)
    assert X.dtype == np.float32 and X.min() == 0 and X.max() == 1
    # https://yann.lecun.com/exdb/mnist: the means that are used everywhere.
    assert abs(X.mean() - 0.1307) < 5e-5 and abs(X.std() - 0.3081) < 5e-5
    assert np.bincount(y).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert len(y_test) == 10_000
    with pytest.raises(FileNotFoundError, match="nowhere"):
        flatnet.load_mnist(Path("nowhere"))
