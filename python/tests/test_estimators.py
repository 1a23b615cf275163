"""What scikit-learn's own tools do with the estimators, and what only these estimators have."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from data import diabetes, digits, texts
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import recall_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from flatnet import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def same_bits(one, other):
    pairs = zip([*one.coefs_, *one.intercepts_], [*other.coefs_, *other.intercepts_])
    return all(np.array_equal(a, b) for a, b in pairs) and one.loss_curve_ == other.loss_curve_


def fitted(X, y, **settings):
    return MLPClassifier(**({"max_iter": 5, "random_state": 0} | settings)).fit(X, y)


@pytest.mark.parametrize("settings", [{}, {"dropout": 0.3, "clip_norm": 0.5, "hidden_layer_sizes": (300, 200)}])
def test_the_same_bits_for_any_number_of_jobs(settings):
    X, y = digits()
    one = fitted(X, y, n_jobs=1, **settings)
    for jobs in (2, -1):
        other = fitted(X, y, n_jobs=jobs, **settings)
        assert same_bits(one, other)
        assert np.array_equal(one.predict_proba(X), other.predict_proba(X))
    assert not same_bits(one, fitted(X, y, n_jobs=1, **settings | {"random_state": 1}))


def test_float64_is_float32_after_one_rounding():
    X, y = digits()
    wide = X.astype(np.float64) * (1 + 1e-10)
    assert not np.array_equal(wide, X)
    assert same_bits(fitted(X, y), fitted(wide, y))
    model = fitted(X, y)
    assert model.predict_proba(X).dtype == np.float32 and model.predict_proba(wide).dtype == np.float64
    for other in (np.asfortranarray(X), X[::-1][::-1], pd.DataFrame(X), np.repeat(X, 2, axis=1)[:, ::2]):
        assert same_bits(model, fitted(other, y))


def test_a_frame_names_its_columns():
    X, y = digits()
    frame = pd.DataFrame(X, columns=[f"pixel {i}" for i in range(64)])
    model = fitted(frame, y)
    assert list(model.feature_names_in_) == list(frame.columns)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[frame.columns[::-1]])


def test_sparse_rows_are_the_same_rows():
    X, y = texts()
    dense = X.toarray()
    one, other = fitted(X, y), fitted(dense, y)
    # Zeros that are left out add nothing: the bits are the same.
    assert same_bits(one, other)
    assert np.array_equal(one.predict_proba(X), other.predict_proba(dense))
    assert one.score(X, y) > 0.6
    assert same_bits(one, fitted(X, y, n_jobs=2))
    for same in (X.tocsc(), X.tocoo(), X.astype(np.float64)):
        assert same_bits(one, fitted(same, y))
    # Columns out of order and values in two parts; the matrix is left as it was.
    twice = X.copy()
    twice.indices, twice.data = np.repeat(X.indices, 2), np.repeat(X.data / 2, 2)
    twice.indptr = X.indptr * 2
    twice.has_canonical_format = False
    assert same_bits(one, fitted(twice, y)) and twice.nnz == 2 * X.nnz


def test_early_stopping_keeps_the_best_epoch_of_sparse_rows():
    X, y = texts()
    model = fitted(X, y, early_stopping=True, max_iter=50, n_iter_no_change=3, learning_rate_init=0.01)
    assert model.n_iter_ < 50 and model.best_loss_ is None
    assert model.best_validation_score_ == max(model.validation_scores_)


def test_copies_are_the_same_model():
    X, y = digits()
    model = fitted(X, y)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert same_bits(model, other) and np.array_equal(model.predict_proba(X), other.predict_proba(X))
        # What an optimizer remembers travels too.
        assert same_bits(model, other)
        model_on, other_on = (copy.deepcopy(m).partial_fit(X, y) for m in (model, other))
        assert same_bits(model_on, other_on)
    fresh = clone(model)
    assert not hasattr(fresh, "coefs_") and fresh.get_params() == model.get_params()


def test_search_pipeline_and_cross_validation():
    X, y = digits()
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(max_iter=10, random_state=0))
    assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.85
    grid = {"mlpclassifier__hidden_layer_sizes": [(8,), (64,)], "mlpclassifier__alpha": [1e-4, 10]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(X, y)
    assert search.best_params_ == {"mlpclassifier__hidden_layer_sizes": (64,), "mlpclassifier__alpha": 1e-4}
    X, y = diabetes()
    assert cross_val_score(MLPRegressor(max_iter=100, random_state=0), X, y, cv=3).mean() > 0.3


def test_classes_may_weigh_differently():
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(0, 1, (950, 2)), rng.normal(1.5, 1, (50, 2))])
    y = np.array(["many"] * 950 + ["few"] * 50)
    plain, balanced, given = (
        fitted(X, y, max_iter=40, class_weight=weight) for weight in (None, "balanced", {"few": 10, "many": 10 / 19})
    )
    recall = [recall_score(y, model.predict(X), pos_label="few") for model in (plain, balanced)]
    assert recall[1] > recall[0] + 0.3
    assert same_bits(balanced, given)
    by_hand = MLPClassifier(max_iter=40, random_state=0).fit(X, y, np.where(y == "few", 10, 10 / 19))
    assert same_bits(balanced, by_hand)
    with pytest.raises(ValueError, match="'balanced' is not supported for partial_fit"):
        MLPClassifier(class_weight="balanced").partial_fit(X, y, classes=["few", "many"])


def test_a_row_with_a_weight_is_the_row_several_times():
    X, y = digits()
    X, y = X[:60], y[:60]
    weights = np.random.default_rng(0).integers(0, 4, 60)
    rows = np.repeat(np.arange(60), weights)
    for model, target in ((MLPClassifier, y), (MLPRegressor, y / 9)):
        model = model(max_iter=20, random_state=0, alpha=0.1)
        weighted = clone(model).fit(X, target, weights)
        repeated = clone(model).fit(X[rows], target[rows])
        for one, other in zip(weighted.coefs_, repeated.coefs_):
            np.testing.assert_allclose(one, other, atol=2e-6)


def test_dropout_smoothing_clipping_and_schedules_do_something():
    X, y = digits()
    plain = fitted(X, y)
    for setting in (
        {"dropout": 0.5},
        {"label_smoothing": 0.2},
        {"clip_norm": 0.01},
        {"lr_schedule": "cosine"},
        {"solver": "adamw", "alpha": 0.1},
        {"solver": "rmsprop"},
        {"solver": "adamax"},
        {"solver": "adagrad", "learning_rate_init": 0.05},
        {"activation": "gelu"},
        {"activation": ["silu"]},
    ):
        other = fitted(X, y, **setting)
        assert not np.array_equal(plain.coefs_[0], other.coefs_[0]), setting
        assert other.score(X, y) > 0.5, setting
    smoothed = fitted(X, y, label_smoothing=0.3, max_iter=100)
    # 0.73 is aimed at.
    sure = [model.predict_proba(X).max(axis=1).mean() for model in (smoothed, fitted(X, y, max_iter=100))]
    assert 0.65 < sure[0] < 0.8 < 0.95 < sure[1], sure
    two = y < 2
    smoothed = fitted(X[two], y[two], label_smoothing=0.3, max_iter=300, n_iter_no_change=np.inf)
    # Of two classes, 0.85 and 0.15 are aimed at.
    assert abs(smoothed.predict_proba(X[two]).max(axis=1).mean() - 0.85) < 0.02


def test_a_layer_may_have_an_activation_and_a_dropout_of_its_own():
    X, y = digits()
    model = fitted(X, y, hidden_layer_sizes=(40, 20), activation=("tanh", "relu"), dropout=[0.1, 0.0], max_iter=30)
    hidden = np.tanh(X @ model.coefs_[0] + model.intercepts_[0])
    hidden = np.maximum(hidden @ model.coefs_[1] + model.intercepts_[1], 0)
    logits = hidden @ model.coefs_[2] + model.intercepts_[2]
    assert np.array_equal(logits.argmax(axis=1), model.predict(X)) and model.score(X, y) > 0.9


def test_other_losses_care_less_for_outliers():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 1)).astype(np.float32)
    y = 2 * X[:, 0]
    y[:40] += 50
    errors = {}
    for loss in ("squared_error", "absolute_error", "huber", "smooth_l1"):
        model = MLPRegressor(loss, (), max_iter=300, learning_rate_init=0.05, random_state=0, n_iter_no_change=np.inf)
        errors[loss] = abs(model.fit(X, y).predict(X)[40:] - y[40:]).mean()
    assert all(errors[loss] < 0.5 < errors["squared_error"] for loss in errors if loss != "squared_error"), errors


def test_weights_that_a_caller_sets_are_used():
    X, y = digits()
    model = fitted(X, y)
    assert len(set(model.predict(X))) > 1
    # In place, and by another array.
    model.coefs_[-1][:] = 0
    model.intercepts_[-1] = np.eye(10)[7] * 100
    assert set(model.predict(X)) == {7}


def test_what_was_told_of_a_training(capsys):
    X, y = digits()
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(2\) reached"):
        model = MLPClassifier(max_iter=2, random_state=0, verbose=True, early_stopping=True).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Iteration 1, loss = {model.loss_curve_[0]:.8f}"
    assert lines[1] == f"Validation score: {model.validation_scores_[0]:f}"
    assert len(lines) == 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MLPClassifier(max_iter=500, tol=0.1, random_state=0, verbose=True).fit(X, y)
    assert capsys.readouterr().out.splitlines()[-1].startswith("Training loss did not improve more than tol=0.1")


def test_labels_may_be_words_or_one_class_alone():
    X, y = digits()
    words = np.array(["zero", "one", "two"])[y % 3]
    model = fitted(X, words)
    assert list(model.classes_) == ["one", "two", "zero"] and set(model.predict(X)) <= set(model.classes_)
    one = fitted(X, np.full(len(X), "only"))
    assert set(one.predict(X)) == {"only"} and np.array_equal(one.predict_proba(X), np.ones((len(X), 1)))
