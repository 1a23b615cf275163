"""Every public name has its words and an example that runs."""

import doctest
import inspect
import subprocess
import sys

import pytest

import flatnet
from flatnet import _classifier, _files, _mnist, _regressor

OWN = ["fit", "partial_fit", "predict", "predict_proba", "predict_log_proba", "save", "export_onnx", "to_torch", "report"]


@pytest.mark.parametrize("module", [_classifier, _regressor, _files, _mnist])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_examples_run(module):
    found = doctest.testmod(module)
    assert found.attempted >= 3 and found.failed == 0


def test_every_public_name_has_an_example():
    for name in flatnet.__all__:
        assert "Examples\n" in inspect.getdoc(getattr(flatnet, name)), name
    for estimator in (flatnet.MLPClassifier, flatnet.MLPRegressor):
        for name in OWN:
            if hasattr(estimator, name):
                assert "Examples\n" in inspect.getdoc(getattr(estimator, name)), name


@pytest.mark.parametrize("estimator", [flatnet.MLPClassifier, flatnet.MLPRegressor])
def test_every_parameter_and_attribute_is_described(estimator):
    words = inspect.getdoc(estimator)
    parameters = words[words.index("Parameters\n") : words.index("Attributes\n")]
    for name in estimator().get_params():
        assert f"\n{name} : " in parameters or f", {name} : " in parameters or f"\n{name}, " in parameters, name
    attributes = words[words.index("Attributes\n") :]
    X = [[0.0], [1.0]] * 20
    with pytest.warns():
        model = estimator(max_iter=2, early_stopping=True).fit(X, [0, 1] * 20)
    for name in vars(model):
        if name.endswith("_") and not name.startswith("_"):
            assert name in attributes, name


TYPED = """
import flatnet
import numpy as np

model: flatnet.MLPClassifier = flatnet.MLPClassifier((10,), dropout=0.1, n_jobs=2).fit(np.zeros((2, 2)), [0, 1])
curve: list[float] = model.loss_curve_
(X, y), _ = flatnet.load_mnist()
X.shape
reveal_type(model.predict_proba(X))
flatnet.MLPRegressor(dropuot=0.1)
"""


CONFIG = """
[mypy]
ignore_missing_imports = True
[mypy-flatnet._arrays,flatnet._base,flatnet._classifier,flatnet._epochs,flatnet._files]
ignore_errors = True
[mypy-flatnet._layers,flatnet._mnist,flatnet._regressor]
ignore_errors = True
"""


def test_stubs_are_those_of_the_package(tmp_path):
    # Modules that begin with _ have no stubs; what is public and what is native does.
    (tmp_path / "mypy.ini").write_text(CONFIG)
    stubtest = ["mypy.stubtest", "flatnet", "--ignore-missing-stub", "--mypy-config-file", tmp_path / "mypy.ini"]
    check = subprocess.run([sys.executable, "-m", *stubtest], capture_output=True, text=True, cwd=tmp_path)
    assert check.returncode == 0, check.stdout + check.stderr
    (tmp_path / "typed.py").write_text(TYPED)
    check = subprocess.run([sys.executable, "-m", "mypy", "typed.py"], capture_output=True, text=True, cwd=tmp_path)
    kinds = [line for line in check.stdout.splitlines() if "error:" in line or "Revealed" in line]
    assert "numpy.ndarray" in kinds[0] and 'argument "dropuot"' in kinds[1] and len(kinds) == 2, check.stdout
