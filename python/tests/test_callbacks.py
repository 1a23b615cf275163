"""scikit-learn's callbacks, which 1.9 and later have."""

import numpy as np
import pytest
from data import digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from flatnet import MLPClassifier

callback = pytest.importorskip("sklearn.callback")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Listener:
    """Keeps what it hears; asks for the end after so many epochs."""

    def __init__(self, most=None):
        self.heard, self.scores, self.most = [], [], most

    def setup(self, estimator, context):
        self.heard.append("setup")

    def teardown(self, estimator, context):
        self.heard.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None, fitted_estimator=None):
        self.heard.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        self.heard.append(f"end {context.task_name}")
        if context.task_name == "epoch":
            self.scores.append(fitted_estimator.score(X, y))
            self.metadata = metadata
            return len(self.scores) == self.most
        return False


def test_every_epoch_is_a_task():
    X, y = digits()
    listener = Listener()
    model = MLPClassifier(max_iter=3, random_state=0).set_callbacks(listener)
    model.fit(X, y)
    epochs = ["begin epoch", "end epoch"] * 3
    assert listener.heard == ["setup", "begin fit", *epochs, "end fit", "teardown"]
    # The estimator that a callback gets is that of its epoch.
    assert listener.scores == sorted(listener.scores) and listener.scores[-1] == model.score(X, y)
    quiet = MLPClassifier(max_iter=3, random_state=0).fit(X, y)
    assert np.array_equal(quiet.coefs_[0], model.coefs_[0])
    weights = np.ones(len(y))
    model.fit(X, y, weights)
    assert np.array_equal(listener.metadata["sample_weight"], weights)


def test_a_callback_may_end_the_training():
    X, y = digits()
    listener = Listener(most=4)
    model = MLPClassifier(max_iter=50, random_state=0).set_callbacks(listener).fit(X, y)
    assert model.n_iter_ == 4 and len(listener.scores) == 4
    assert listener.heard[-2:] == ["end fit", "teardown"]


def test_what_a_callback_raises_is_raised():
    class Failing(Listener):
        def on_fit_task_end(self, estimator, context):
            raise LookupError("not found")

    X, y = digits()
    listener = Failing()
    with pytest.raises(LookupError, match="not found"):
        MLPClassifier(max_iter=3).set_callbacks(listener).fit(X, y)
    assert listener.heard[-1] == "teardown"


def test_scikit_learns_own():
    X, y = digits()
    monitor = callback.ScoringMonitor(scoring="accuracy")
    model = MLPClassifier(max_iter=5, random_state=0).set_callbacks(monitor)
    search = GridSearchCV(make_pipeline(StandardScaler(), model), {"mlpclassifier__alpha": [1e-4, 1e-2]}, cv=2)
    search.set_callbacks(callback.ProgressBar()).fit(X, y)
    assert search.best_score_ > 0.5
    model.fit(X, y)
    scores = monitor.get_logs().data_as_pandas
    scores = scores() if callable(scores) else scores
    # One for every epoch, and one for the whole fit.
    assert len(scores) == 6 and scores["accuracy"].max() == model.score(X, y)
