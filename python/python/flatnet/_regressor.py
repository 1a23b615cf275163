"""The regressor."""

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import validate_data

from flatnet._base import BaseMLP

LOSSES = {
    "squared_error": "squared-error",
    "absolute_error": "absolute-error",
    "huber": "huber",
    "smooth_l1": "smooth-l1",
}


class MLPRegressor(RegressorMixin, BaseMLP):
    """A multi-layer perceptron that predicts values.

    Parameters and attributes are those of :class:`sklearn.neural_network.MLPRegressor` where it has them. It computes
    in float32.

    Parameters
    ----------
    loss : {'squared_error', 'absolute_error', 'huber', 'smooth_l1'}, default="squared_error"
        What is minimized: half the squared error as in scikit-learn, or a loss that minds outliers less.
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
    n_jobs : int, default=None
        Threads; None is 1. Results are the same bits for any number.
    clip_norm : float, default=None
        The most that the norm of all gradients may be.
    lr_schedule : str, default=None
        A schedule of the engine in place of `learning_rate`, for any solver: 'cosine', 'step:EPOCHS:GAMMA', 'one-cycle',
        'warmup:STEPS:cosine', ... over `max_iter` epochs.

    Attributes
    ----------
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
    >>> from flatnet import MLPRegressor
    >>> from sklearn.datasets import make_friedman1
    >>> X, y = make_friedman1(500, random_state=0)
    >>> y = (y - y.mean()) / y.std()
    >>> model = MLPRegressor(max_iter=300, learning_rate_init=0.01, random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.9
    True
    """

    def __init__(
        self,
        loss="squared_error",
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
        n_jobs=None,
        clip_norm=None,
        lr_schedule=None,
    ):
        self.loss = loss
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
        self.n_jobs = n_jobs
        self.clip_norm = clip_norm
        self.lr_schedule = lr_schedule

    _parameter_constraints = BaseMLP._parameter_constraints | {"loss": [StrOptions(set(LOSSES))]}

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Train the network.

        Ctrl-C ends the training after the batch at hand, with a warning; what was learned is kept.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows. float32 in C order and CSR matrices are not copied; other arrays are cast once.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Values.
        sample_weight : array-like of shape (n_samples,), default=None
            What each sample counts.

        Returns
        -------
        self : object
            The estimator.

        Examples
        --------
        >>> import numpy as np
        >>> from flatnet import MLPRegressor
        >>> X, y = np.array([[0.0], [1.0]] * 20), np.array([0, 1] * 20)
        >>> MLPRegressor(max_iter=500, learning_rate_init=0.01, random_state=0).fit(X, y).n_outputs_
        1
        """
        return self._fit(X, y, sample_weight)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch on these samples.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows. float32 in C order and CSR matrices are not copied; other arrays are cast once.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Values.
        sample_weight : array-like of shape (n_samples,), default=None
            What each sample counts.

        Returns
        -------
        self : object
            The estimator.

        Examples
        --------
        >>> import numpy as np
        >>> from flatnet import MLPRegressor
        >>> X, y = np.array([[0.0], [1.0]] * 20), np.array([0, 1] * 20)
        >>> MLPRegressor(random_state=0).partial_fit(X, y).n_iter_
        1
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X):
        """Predict values.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows. float32 in C order and CSR matrices are not copied; other arrays are cast once.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            float32 for float32, else float64.

        Examples
        --------
        >>> import numpy as np
        >>> from flatnet import MLPRegressor
        >>> X, y = np.array([[0.0], [1.0]] * 20), np.array([0, 1] * 20)
        >>> MLPRegressor(max_iter=500, learning_rate_init=0.01, random_state=0).fit(X, y).predict([[0.0], [1.0]]).round() + 0.0
        array([0., 1.])
        """
        output = self._outputs(X)
        return output.ravel() if output.shape[1] == 1 else output

    def _check_targets(self, X, y, incremental, reset):
        # Whether X is finite the engine finds out while it reads all of it anyway.
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse="csr",
            multi_output=True,
            y_numeric=True,
            dtype=np.float32,
            order="C",
            ensure_all_finite=False,
            reset=reset,
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        targets = y.reshape(len(y), -1).astype(np.float32)
        if not reset and targets.shape[1] != self.n_outputs_:
            raise ValueError(f"`y` has {targets.shape[1]} outputs, but {self.n_outputs_} before.")
        return X, y, targets

    def _judged(self, X, y):
        """Samples for a page."""
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse="csr",
            multi_output=True,
            y_numeric=True,
            dtype=np.float32,
            order="C",
            reset=False,
        )
        return X, y.reshape(len(y), -1).astype(np.float32)

    def _task(self):
        return "regress", ["y"] if self.n_outputs_ == 1 else [f"y{i}" for i in range(self.n_outputs_)]

    def _name_outputs(self, task, outputs):
        if task != "regress":
            raise ValueError(f"the model predicts {outputs}, which are no values")

    def _loss_name(self):
        return LOSSES[self.loss]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
