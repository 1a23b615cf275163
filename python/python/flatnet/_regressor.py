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
        return self._fit(X, y, sample_weight)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X):
        output = self._outputs(X)
        return output.ravel() if output.shape[1] == 1 else output

    def _check_targets(self, X, y, incremental, reset):
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse="csr",
            multi_output=True,
            y_numeric=True,
            dtype=np.float32,
            order="C",
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
