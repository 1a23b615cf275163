"""Bad input is refused as scikit-learn's own estimators refuse it: the same types, close words."""

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.neural_network as reference
from data import digits
from sklearn.exceptions import NotFittedError

import flatnet

pytestmark = pytest.mark.filterwarnings("ignore")

X, Y = digits()
X, Y = X[:100].astype(np.float64), Y[:100]


def refused(call):
    """What each of the two packages raises."""
    raised = []
    for module in (flatnet, reference):
        with pytest.raises(Exception) as caught:
            call(module.MLPClassifier, module.MLPRegressor)
        raised.append(caught.value)
    return raised


def with_nan(value=np.nan):
    bad = X.copy()
    bad[3, 5] = value
    return bad


def sparse_nan():
    return sp.csr_matrix(with_nan())


@pytest.mark.parametrize(
    "call",
    {
        "NaN": lambda c, r: c().fit(with_nan(), Y),
        "inf": lambda c, r: c().fit(with_nan(np.inf), Y),
        "NaN, sparse": lambda c, r: c().fit(sparse_nan(), Y),
        "NaN target": lambda c, r: r().fit(X, np.where(Y == 3, np.nan, Y)),
        "words": lambda c, r: c().fit([["a", "b"], ["c", "d"]], [0, 1]),
        "empty": lambda c, r: c().fit(np.empty((0, 3)), []),
        "no columns": lambda c, r: c().fit(np.empty((3, 0)), [0, 1, 0]),
        "one dimension": lambda c, r: c().fit(X[0], Y[:1]),
        "other length": lambda c, r: c().fit(X, Y[:-1]),
        "no target": lambda c, r: c().fit(X, None),
        "wrong width": lambda c, r: c(max_iter=2).fit(X, Y).predict(X[:, :-1]),
        "NaN to predict": lambda c, r: c(max_iter=2).fit(X, Y).predict(with_nan()),
        "not fitted": lambda c, r: c().predict(X),
        "complex": lambda c, r: c().fit(X + 1j, Y),
        "no classes": lambda c, r: c().partial_fit(X, Y),
        "strange class": lambda c, r: c().partial_fit(X, Y, classes=[0, 1]),
        "other classes": lambda c, r: c(max_iter=2, warm_start=True).fit(X, Y).fit(X, Y % 2),
        "weights": lambda c, r: c().fit(X, Y, sample_weight=np.ones(3)),
        "alpha": lambda c, r: c(alpha=-1).fit(X, Y),
        "activation": lambda c, r: c(activation="step").fit(X, Y),
        "solver": lambda c, r: c(solver="newton").fit(X, Y),
        "hidden": lambda c, r: c(hidden_layer_sizes=(3, 0)).fit(X, Y),
        "batch": lambda c, r: c(batch_size=0).fit(X, Y),
        "validation": lambda c, r: c(early_stopping=True, validation_fraction=0.01).fit(X, Y),
        "part and stop": lambda c, r: c(early_stopping=True).partial_fit(X, Y, classes=np.arange(10)),
        "diverges": lambda c, r: r(solver="sgd", learning_rate_init=1e9).fit(X, 1e9 * Y),
    }.items(),
    ids=lambda case: case[0],
)
def test_the_same_is_refused(call):
    ours, theirs = refused(call[1])
    assert type(ours) is type(theirs), f"{ours!r}\n{theirs!r}"
    words = str(theirs).replace("'", " ").split()
    # Numbers, and lists of names that one has more of, may differ.
    kept = sum(word in str(ours) for word in words)
    assert kept >= 0.75 * len(words), f"{ours}\n{theirs}"


def test_what_only_this_package_refuses():
    for settings, words in (
        ({"solver": "lbfgs"}, "solver='lbfgs' is not supported"),
        ({"lr_schedule": "cosines"}, "lr_schedule: 'cosines' is not valid: expected one of constant"),
        ({"lr_schedule": "plateau:1:0.5"}, "waits for validation losses"),
        ({"dropout": 1.0}, "'dropout' parameter"),
        ({"dropout": [0.5, 1.5], "hidden_layer_sizes": (3, 3)}, "dropout must be at least 0 and below 1, got 1.5"),
        ({"dropout": [0.5, 0.5]}, "one for each of 1"),
        ({"activation": ["relu", "step"], "hidden_layer_sizes": (3, 3)}, "activation must be among"),
        ({"clip_norm": 0}, "'clip_norm' parameter"),
        ({"label_smoothing": 1}, "'label_smoothing' parameter"),
        ({"n_jobs": 0}, "n_jobs == 0"),
        ({"class_weight": "even"}, "'class_weight' parameter"),
    ):
        with pytest.raises(ValueError, match="") as caught:
            flatnet.MLPClassifier(**settings).fit(X, Y)
        assert words in str(caught.value), settings
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        flatnet.MLPClassifier().fit(X, Y, -np.ones(len(Y)))


def test_targets_of_another_kind():
    # scikit-learn's MLP prints all targets, or fails in a subtraction; its other estimators say this.
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        flatnet.MLPClassifier().fit(X, Y + 0.25)
    with pytest.raises(ValueError, match="could not convert string to float"):
        flatnet.MLPRegressor().fit(X, np.array(["a", "b"])[Y % 2])


def test_a_model_that_fails_to_train_is_not_half_trained():
    model = flatnet.MLPRegressor(max_iter=3).fit(X, Y)
    before = model.coefs_[0].copy()
    model.set_params(solver="sgd", learning_rate_init=1e9, warm_start=True)
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        model.fit(X, 1e9 * Y)
    assert np.array_equal(model.coefs_[0], before)


def test_not_fitted_is_said_by_every_method():
    for method in ("predict", "predict_proba", "predict_log_proba"):
        with pytest.raises(NotFittedError):
            getattr(flatnet.MLPClassifier(), method)(X)
