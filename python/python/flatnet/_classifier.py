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
    """A multi-layer perceptron that tells classes apart, or labels.

    Parameters and attributes are those of :class:`sklearn.neural_network.MLPClassifier` where it has them. It computes
    in float32.

    Parameters
    ----------
    hidden_layer_sizes : int or array-like of int, default=(100,)
        The widths of the hidden layers; none for a linear model.
    activation : str or list of str, default="relu"
        Of the hidden layers, one for all or one for each: 'identity', 'logistic', 'tanh', 'relu', 'leaky_relu' (slope
        0.01), 'gelu', 'gelu_tanh', 'silu' or 'softplus'.
    solver : {'adam', 'sgd', 'adamw', 'adamax', 'rmsprop', 'adagrad'}, default="adam"
        scikit-learn's 'lbfgs' is refused.
    alpha : float, default=0.0001
        Strength of the L2 penalty, shared out among the samples of a batch as scikit-learn does. With ``solver="adamw"``
        it is AdamW's decoupled decay as it is.
    batch_size : int, default="auto"
        Samples of a step; 'auto' is ``min(200, n_samples)``.
    learning_rate : {'constant', 'invscaling', 'adaptive'}, default="constant"
        How the rate of ``solver="sgd"`` changes.
    learning_rate_init : float, default=0.001
        The rate to begin with.
    power_t : float, default=0.5
        The exponent of 'invscaling'.
    max_iter : int, default=200
        The most epochs.
    shuffle : bool, default=True
        Whether samples come in a new order in every epoch.
    random_state : int, RandomState instance or None, default=None
        Decides first weights, orders, dropout, and what early stopping holds out. The first weights and what is held out
        are scikit-learn's for the same number.
    tol : float, default=1e-4
        By how much an epoch must be better to count as better.
    verbose : bool, default=False
        Whether every epoch is told on the standard output.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the weights of the last one.
    momentum : float, default=0.9
        Of ``solver="sgd"``; at least 0 and below 1.
    nesterovs_momentum : bool, default=True
        Whether that momentum is Nesterov's.
    early_stopping : bool, default=False
        Whether to hold out a share of the samples and to end when their score is no better, with the best epoch's weights.
    validation_fraction : float, default=0.1
        That share.
    beta_1, beta_2 : float, default=0.9 and 0.999
        What Adam's averages keep of themselves.
    epsilon : float, default=1e-8
        What is added to divisors, of every solver but 'sgd'.
    n_iter_no_change : int, default=10
        The most epochs without a better one before training ends.
    dropout : float or list of float, default=0.0
        The share of the units of the hidden layers that is dropped in training, one for all or one for each.
    label_smoothing : float, default=0.0
        The share of the target that is spread over all classes.
    class_weight : dict, 'balanced' or list of dict, default=None
        What samples of a class weigh, times their own weight.
    n_jobs : int, default=None
        Threads; None is 1. Results are the same bits for any number.
    clip_norm : float, default=None
        The most that the norm of all gradients may be.
    lr_schedule : str, default=None
        A schedule of the engine in place of `learning_rate`, for any solver: 'cosine', 'step:EPOCHS:GAMMA', 'one-cycle',
        'warmup:STEPS:cosine', ... over `max_iter` epochs.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes, in the order of the probabilities.
    coefs_ : list of ndarray of shape (n_in, n_out)
        The weights of each layer, float32.
    intercepts_ : list of ndarray of shape (n_out,)
        The biases.
    loss_curve_ : list of float
        The training loss of every epoch.
    loss_, best_loss_ : float
        The last and the lowest of them; `best_loss_` is None with early stopping.
    validation_scores_ : list of float
        With early stopping, the score of every epoch; `best_validation_score_` is the best.
    n_iter_ : int
        Epochs of the last fit.
    n_features_in_ : int
        Columns of `X`.
    feature_names_in_ : ndarray of str
        Their names, where all are texts.
    n_layers_, n_outputs_, out_activation_, t_
        As scikit-learn's.

    Examples
    --------
    >>> from flatnet import MLPClassifier
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> X, y = load_digits(return_X_y=True)
    >>> X, X_test, y, y_test = train_test_split(X / 16, y, random_state=0)
    >>> model = MLPClassifier(dropout=0.2, max_iter=150, random_state=0).fit(X, y)
    >>> model.score(X_test, y_test) > 0.96
    True
    """

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
        """Train the network.

        Ctrl-C ends the training after the batch at hand, with a warning; what was learned is kept.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows. float32 in C order and CSR matrices are not copied; other arrays are cast once.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Classes, or a column of 0 and 1 for each label.
        sample_weight : array-like of shape (n_samples,), default=None
            What each sample counts.

        Returns
        -------
        self : object
            The estimator.

        Examples
        --------
        >>> import numpy as np
        >>> from flatnet import MLPClassifier
        >>> X, y = np.array([[0.0], [1.0]] * 20), np.array([0, 1] * 20)
        >>> MLPClassifier(max_iter=300, learning_rate_init=0.01, random_state=0, tol=0.01).fit(X, y).n_outputs_
        1
        """
        return self._fit(X, y, sample_weight)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """Train for one epoch on these samples.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows. float32 in C order and CSR matrices are not copied; other arrays are cast once.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Classes, or a column of 0 and 1 for each label.
        sample_weight : array-like of shape (n_samples,), default=None
            What each sample counts.
        classes : array-like of shape (n_classes,), default=None
            All classes that any call has; the first call needs it.

        Returns
        -------
        self : object
            The estimator.

        Examples
        --------
        >>> import numpy as np
        >>> from flatnet import MLPClassifier
        >>> X, y = np.array([[0.0], [1.0]] * 20), np.array([0, 1] * 20)
        >>> MLPClassifier(random_state=0).partial_fit(X, y, classes=[0, 1, 2]).classes_
        array([0, 1, 2])
        """
        if _check_partial_fit_first_call(self, classes):
            self._multilabel = type_of_target(y).startswith("multilabel")
            if self._multilabel:
                self.classes_ = np.arange(np.shape(y)[1])
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X):
        """Predict classes, or labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows. float32 in C order and CSR matrices are not copied; other arrays are cast once.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_classes)
            Of every row the likeliest class; or 1 for each label that is more likely than not.

        Examples
        --------
        >>> import numpy as np
        >>> from flatnet import MLPClassifier
        >>> X, y = np.array([[0.0], [1.0]] * 20), np.array([0, 1] * 20)
        >>> MLPClassifier(max_iter=300, learning_rate_init=0.01, random_state=0, tol=0.01).fit(X, y).predict([[0.0], [1.0]])
        array([0, 1])
        """
        output = self._outputs(X)
        if self._multilabel:
            return (output > 0).astype(int)
        if output.shape[1] > 1:
            return self.classes_[output.argmax(axis=1)]
        # A single class is the first whatever the network says.
        return self.classes_[(output[:, 0] > 0).astype(int) * (len(self.classes_) - 1)]

    def predict_proba(self, X):
        """Predict probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows. float32 in C order and CSR matrices are not copied; other arrays are cast once.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            Of every class in the order of `classes_`; float32 for float32.

        Examples
        --------
        >>> import numpy as np
        >>> from flatnet import MLPClassifier
        >>> X, y = np.array([[0.0], [1.0]] * 20), np.array([0, 1] * 20)
        >>> MLPClassifier(max_iter=300, learning_rate_init=0.01, random_state=0, tol=0.01).fit(X, y).predict_proba([[0.0], [1.0]]).round()
        array([[1., 0.],
               [0., 1.]])
        """
        output = self._outputs(X)
        if self._multilabel:
            return expit(output)
        if output.shape[1] > 1:
            return softmax(output, axis=1)
        return self._of_two(expit, output)

    def predict_log_proba(self, X):
        """Predict logarithms of probabilities, which are finite where a probability is too small for a number.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows. float32 in C order and CSR matrices are not copied; other arrays are cast once.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            Of every class in the order of `classes_`.

        Examples
        --------
        >>> import numpy as np
        >>> from flatnet import MLPClassifier
        >>> X, y = np.array([[0.0], [1.0]] * 20), np.array([0, 1] * 20)
        >>> bool((MLPClassifier(max_iter=300, learning_rate_init=0.01, random_state=0, tol=0.01).fit(X, y).predict_log_proba(X) < 0).all())
        True
        """
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
        # Whether X is finite the engine finds out while it reads all of it anyway.
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse="csr",
            multi_output=True,
            dtype=np.float32,
            order="C",
            ensure_all_finite=False,
            reset=reset,
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
