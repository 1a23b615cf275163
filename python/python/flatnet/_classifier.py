"""The classifier."""

from numbers import Real

import numpy as np
import scipy.sparse as sp
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call,
    check_classification_targets,
    type_of_target,
    unique_labels,
)
from sklearn.utils.validation import validate_data

from flatnet._base import BaseMLP


def _as_labels(names):
    """Classes as a file names them: whole numbers where all are, else words."""
    try:
        numbers = np.array([int(name) for name in names])
    except ValueError:
        return np.array(names)
    return numbers if [str(number) for number in numbers] == names else np.array(names)


class MLPClassifier(ClassifierMixin, BaseMLP):
    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        dropout=0.0,
        label_smoothing=0.0,
        class_weight=None,
        n_jobs=None,
        clip_norm=None,
        lr_schedule=None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.dropout = dropout
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.n_jobs = n_jobs
        self.clip_norm = clip_norm
        self.lr_schedule = lr_schedule

    _parameter_constraints = BaseMLP._parameter_constraints | {
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
    }

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        return self._fit(X, y, sample_weight)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None, classes=None):
        if _check_partial_fit_first_call(self, classes):
            self._multilabel = type_of_target(y).startswith("multilabel")
            if self._multilabel:
                self.classes_ = np.arange(np.shape(y)[1])
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X):
        output = self._outputs(X)
        if self._multilabel:
            return (output > 0).astype(int)
        if output.shape[1] > 1:
            return self.classes_[output.argmax(axis=1)]
        # A single class is the first whatever the network says.
        return self.classes_[(output[:, 0] > 0).astype(int) * (len(self.classes_) - 1)]

    def predict_proba(self, X):
        output = self._outputs(X)
        if self._multilabel:
            return expit(output)
        if output.shape[1] > 1:
            return softmax(output, axis=1)
        return self._of_two(expit, output)

    def predict_log_proba(self, X):
        output = self._outputs(X)
        if self._multilabel:
            return log_expit(output)
        if output.shape[1] > 1:
            return log_softmax(output, axis=1)
        return self._of_two(log_expit, output)

    def _of_two(self, function, output):
        if len(self.classes_) == 1:
            return function(np.full_like(output, np.inf))
        return function(np.hstack([-output, output]))

    def _check_targets(self, X, y, incremental, reset):
        X, y = validate_data(
            self, X, y, accept_sparse="csr", multi_output=True, dtype=np.float32, order="C", reset=reset
        )
        if sp.issparse(y):
            y = y.toarray()
        check_classification_targets(y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        kept = hasattr(self, "classes_") and (self.warm_start or incremental)
        if not kept:
            self._multilabel = y.ndim == 2
            self.classes_ = np.arange(y.shape[1]) if self._multilabel else unique_labels(y)
        else:
            self._check_classes(y)
        if self._multilabel:
            return X, y, y.astype(np.float32)
        if len(self.classes_) > 2:
            return X, y, (np.searchsorted(self.classes_, y).astype(np.uint16), len(self.classes_))
        target = (y == self.classes_[-1] if len(self.classes_) == 2 else np.zeros(len(y))).astype(np.float32)
        return X, y, self._smooth(target)[:, np.newaxis]

    def _judged(self, X, y):
        """Samples for a page, whose targets are class numbers where each has a class."""
        X, y = validate_data(
            self, X, y, accept_sparse="csr", multi_output=True, dtype=np.float32, order="C", reset=False
        )
        if self._multilabel:
            return X, y.astype(np.float32)
        strange = np.setdiff1d(y, self.classes_)
        if len(strange):
            raise ValueError(f"`y` has classes not in `self.classes_`: {strange}")
        return X, (np.searchsorted(self.classes_, y).astype(np.uint16), max(len(self.classes_), 2))

    def _task(self):
        names = [str(name) for name in self.classes_]
        return ("multi-label", names) if self._multilabel else ("classify", names)

    def _name_outputs(self, task, outputs):
        self._multilabel = task == "multi-label"
        if self._multilabel:
            self.classes_ = np.arange(len(outputs))
            return
        self.classes_ = _as_labels(outputs)
        if not np.array_equal(self.classes_, np.sort(self.classes_)):
            order = np.argsort(self.classes_)
            self.classes_ = self.classes_[order]
            self.coefs_[-1], self.intercepts_[-1] = self.coefs_[-1][:, order], self.intercepts_[-1][order]
        if len(outputs) == 2:
            # One output for two classes: what the second has more than the first.
            self.coefs_[-1] = self.coefs_[-1][:, 1:] - self.coefs_[-1][:, :1]
            self.intercepts_[-1] = self.intercepts_[-1][1:] - self.intercepts_[-1][:1]

    def _smooth(self, target):
        """What label smoothing makes of the targets of two classes, of which one has an output."""
        return (1 - np.float32(self.label_smoothing)) * target + np.float32(self.label_smoothing) / 2

    def _check_classes(self, y):
        if self._multilabel != (y.ndim == 2) or (self._multilabel and y.shape[1] != len(self.classes_)):
            raise ValueError(f"`y` has another shape than before: {y.shape}, for {len(self.classes_)} classes.")
        if self._multilabel:
            return
        classes = unique_labels(y)
        if self.warm_start:
            if set(classes) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                    f"Previously got {self.classes_}, `y` has {classes}"
                )
        elif len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {classes}."
            )

    def _loss_name(self):
        return "cross-entropy" if not self._multilabel and len(self.classes_) > 2 else "binary-cross-entropy"

    def _times_class_weight(self, y, sample_weight, incremental):
        if self.class_weight is None:
            return sample_weight
        if incremental and isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight 'balanced' is not supported for partial_fit. In order to use 'balanced' weights, use "
                "compute_class_weight('balanced', classes=classes, y=y) on all of y, and pass them as a dict."
            )
        of_class = compute_sample_weight(self.class_weight, y)
        return of_class if sample_weight is None else of_class * sample_weight

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
