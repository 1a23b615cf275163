"""Beside scikit-learn's own estimators, with the same settings and the same seed."""

import numpy as np
import pytest
import sklearn.neural_network as reference
from data import diabetes, digits
from sklearn.model_selection import train_test_split

import flatnet

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SETTINGS = [
    {},
    {"solver": "sgd", "learning_rate_init": 0.1},
    {"solver": "sgd", "learning_rate_init": 0.1, "nesterovs_momentum": False, "momentum": 0.5},
    {"solver": "sgd", "learning_rate_init": 0.1, "momentum": 0.0, "alpha": 0.1},
    {"solver": "sgd", "learning_rate_init": 0.2, "momentum": 0.0, "learning_rate": "invscaling", "power_t": 0.25},
    {"solver": "sgd", "learning_rate_init": 0.1, "momentum": 0.0, "learning_rate": "adaptive", "tol": 0.2},
    {"activation": "tanh", "hidden_layer_sizes": (30, 20), "alpha": 0.01},
    {"activation": "logistic", "batch_size": 64},
    {"activation": "identity", "hidden_layer_sizes": 8},
    {"early_stopping": True, "validation_fraction": 0.2},
]


def pair(name, **settings):
    """An estimator of this package and scikit-learn's, which begin with the same weights and take rows in their order."""
    settings = {"max_iter": 12, "shuffle": False, "random_state": 3, "n_iter_no_change": 2} | settings
    return [getattr(module, name)(**settings) for module in (flatnet, reference)]


def assert_same_course(ours, theirs, tolerance=2e-3):
    assert ours.n_iter_ == theirs.n_iter_
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=tolerance)
    if theirs.validation_scores_ is not None:
        np.testing.assert_allclose(ours.validation_scores_, theirs.validation_scores_, atol=0.006)
    assert [coef.shape for coef in ours.coefs_] == [coef.shape for coef in theirs.coefs_]
    assert [bias.shape for bias in ours.intercepts_] == [bias.shape for bias in theirs.intercepts_]
    for name in ("n_layers_", "n_outputs_", "out_activation_", "t_"):
        assert getattr(ours, name) == getattr(theirs, name), name


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("classes", [10, 2])
def test_a_classifier_takes_the_same_course(settings, classes):
    X, y = digits()
    X, y = X[y < classes], y[y < classes]
    ours, theirs = (estimator.fit(X, y) for estimator in pair("MLPClassifier", **settings))
    assert_same_course(ours, theirs)
    # Adam makes steps of one length of gradients of any: what is a rounding in one becomes a step in the other.
    tolerance = 1e-3 if settings.get("solver") == "sgd" else 0.02
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=tolerance)
    np.testing.assert_allclose(ours.predict_log_proba(X).mean(), theirs.predict_log_proba(X).mean(), rtol=0.01)
    assert (ours.predict(X) == theirs.predict(X)).mean() > 0.995


@pytest.mark.parametrize("settings", [setting for setting in SETTINGS if setting.get("tol") is None])
def test_a_regressor_takes_the_same_course(settings):
    X, y = diabetes()
    settings = settings | {"learning_rate_init": settings.get("learning_rate_init", 0.01) / 10}
    for y in (y, np.column_stack([y, X[:, 0] - y])):
        ours, theirs = (estimator.fit(X, y) for estimator in pair("MLPRegressor", **settings))
        assert_same_course(ours, theirs)
        assert ours.predict(X).shape == theirs.predict(X).shape
        np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=0.01)


def test_several_labels_take_the_same_course():
    X, y = digits()
    labels = np.column_stack([y % 2, y > 4, y == 3])
    ours, theirs = (estimator.fit(X, labels) for estimator in pair("MLPClassifier", **SETTINGS[1]))
    assert_same_course(ours, theirs)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-3)
    assert ours.predict(X).shape == labels.shape and (ours.predict(X) == theirs.predict(X)).mean() > 0.995
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)


def test_weights_take_the_same_course():
    X, y = digits()
    weights = np.random.default_rng(0).uniform(0, 3, len(y))
    ours, theirs = (estimator.fit(X, y, weights) for estimator in pair("MLPClassifier", alpha=0.1))
    assert_same_course(ours, theirs)
    ours, theirs = (
        estimator.fit(X, y, weights) for estimator in pair("MLPClassifier", early_stopping=True, batch_size=100)
    )
    assert_same_course(ours, theirs)


def test_parts_and_warm_starts_take_the_same_course():
    X, y = digits()
    ours, theirs = pair("MLPClassifier", max_iter=3, warm_start=True)
    for _ in range(3):
        ours.fit(X, y), theirs.fit(X, y)
    assert len(ours.loss_curve_) == 9
    assert_same_course(ours, theirs)
    ours, theirs = pair("MLPClassifier", solver="adam")
    for part in range(6):
        rows = slice(part * 250, (part + 1) * 250)
        for estimator in (ours, theirs):
            estimator.partial_fit(X[rows], y[rows], classes=np.arange(10))
    assert len(ours.loss_curve_) == 6
    assert_same_course(ours, theirs)


@pytest.mark.parametrize("seed", range(3))
def test_accuracy_is_scikit_learns(seed):
    X, y = digits()
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=seed, stratify=y)
    settings = {"random_state": seed, "max_iter": 60, "shuffle": True, "n_iter_no_change": 10}
    ours, theirs = (estimator.fit(X, y) for estimator in pair("MLPClassifier", **settings))
    # One standard deviation of a share of 0.97 of 450 is 0.008.
    assert abs(ours.score(X_test, y_test) - theirs.score(X_test, y_test)) < 0.017
