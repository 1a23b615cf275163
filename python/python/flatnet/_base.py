"""What the two estimators share: parameters, and training from validated arrays."""

import threading
import warnings
from abc import ABC, abstractmethod
from numbers import Integral, Real
from weakref import WeakKeyDictionary

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import assert_all_finite, check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from flatnet import _arrays, _layers, _native
from flatnet._epochs import CallbackSupportMixin, Epochs
from flatnet._files import FilesMixin

SOLVERS = {"sgd", "adam", "adamw", "adamax", "rmsprop", "adagrad"}


# The networks that predicted last. Not in the estimators: to predict changes nothing of them, and their copies and pickles
# need none.
_networks = WeakKeyDictionary()


def _length(targets):
    return len(targets[0] if isinstance(targets, tuple) else targets)


class BaseMLP(FilesMixin, CallbackSupportMixin, BaseEstimator, ABC):
    """A network over the native engine. Not for use by itself."""

    _parameter_constraints = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(_layers.ACTIVATIONS)), list, tuple],
        # lbfgs is refused with its reason.
        "solver": [StrOptions(SOLVERS | {"lbfgs"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
        "n_jobs": [Integral, None],
        "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
        "lr_schedule": [str, None],
    }

    @abstractmethod
    def _check_targets(self, X, y, incremental, reset):
        """Validate both, set what follows from targets alone; return X, y, and y as the engine takes it."""

    @abstractmethod
    def _loss_name(self):
        """The loss as the engine calls it."""

    def _fit(self, X, y, sample_weight=None, incremental=False):
        if self.solver == "lbfgs":
            raise ValueError(
                "solver='lbfgs' is not supported: the engine trains on mini-batches. Use one of "
                f"{sorted(SOLVERS)}, or scikit-learn's own estimator."
            )
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        sizes = _layers.hidden_sizes(self.hidden_layer_sizes)
        names = _layers.activations(self.activation, len(sizes))
        first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        X, y, targets = self._check_targets(X, y, incremental, first)
        given_weight = sample_weight
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        sample_weight = self._times_class_weight(y, sample_weight, incremental)
        if sample_weight is not None:
            sample_weight = sample_weight.astype(np.float32)

        random_state = self._random_state = check_random_state(self.random_state)
        outputs = targets[1] if isinstance(targets, tuple) else targets.shape[1]
        if first:
            self._begin(X.shape[1], sizes, names, outputs, random_state)
        if first or not incremental:
            self._optimizer = None

        validation = None
        if self.early_stopping:
            X, targets, sample_weight, validation = self._hold_out(X, targets, sample_weight, random_state)
        settings = self._settings(X.shape[0], sizes, outputs, incremental, random_state)
        epochs = None if incremental else Epochs(self, X, y, given_weight)
        try:
            fitted = _native.fit(
                _arrays.features(X),
                targets,
                sample_weight,
                _arrays.weights(self.coefs_, self.intercepts_),
                settings,
                validation=validation,
                labels=self._loss_name() == "binary-cross-entropy",
                optimizer=self._optimizer,
                on_epoch=epochs if epochs and epochs.is_needed else None,
            )
        except ValueError as error:
            # Of numbers that are not finite, scikit-learn's words.
            assert_all_finite(X, estimator_name=type(self).__name__, input_name="X")
            raise ValueError(str(error)) from None
        self._take(fitted, X.shape[0], incremental)
        self._run = self._as_run(settings, fitted, X, validation)
        if epochs:
            epochs.close()
        return self

    def _begin(self, features, sizes, names, outputs, random_state):
        """Set everything that a fit from the beginning sets."""
        units = [features, *sizes, outputs]
        self.n_iter_ = self.t_ = 0
        self.n_outputs_ = outputs
        self.n_layers_ = len(units)
        self.out_activation_ = self._out_activation()
        self.coefs_, self.intercepts_ = _layers.first_weights(units, names, random_state)
        self.loss_curve_ = []
        self._no_improvement_count = 0
        self.validation_scores_ = [] if self.early_stopping else None
        self.best_validation_score_ = -np.inf if self.early_stopping else None
        self.best_loss_ = None if self.early_stopping else np.inf

    def _take(self, fitted, samples, incremental):
        """Take over what training gave, and say why it ended."""
        self.coefs_, self.intercepts_ = fitted.coefs, fitted.intercepts
        self._optimizer = fitted.optimizer
        self._no_improvement_count = fitted.no_improvement_count
        self.n_iter_ = len(fitted.loss_curve)
        self.t_ += samples * self.n_iter_
        self.loss_curve_ += fitted.loss_curve
        if self.loss_curve_:
            self.loss_ = self.loss_curve_[-1]
        if self.early_stopping:
            self.validation_scores_ = [*(self.validation_scores_ or []), *fitted.scores]
            self.best_validation_score_ = fitted.best_score
        else:
            self.best_loss_ = fitted.best_loss
        if fitted.end == "interrupted":
            warnings.warn("Training interrupted by user.")
        elif fitted.end == "max_iter" and not incremental:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't "
                "converged yet.",
                ConvergenceWarning,
            )
        elif fitted.end == "no_change" and self.verbose:
            what = "Validation score" if self.early_stopping else "Training loss"
            print(
                f"{what} did not improve more than tol={self.tol:f} for {self.n_iter_no_change} consecutive epochs. "
                "Stopping."
            )

    def _as_run(self, settings, fitted, X, validation):
        """What a page tells of this fit, as a run of the program has it in its summary."""
        recipe = {"data": "X", "train_samples": "all", "val_samples": "all", "epochs": settings["max_iter"]}
        recipe |= {"batch_size": settings["batch_size"], "lr": self.learning_rate_init, "optimizer": self.solver}
        recipe |= {"label_smoothing": settings["label_smoothing"], "loss": settings["loss"], "seed": settings["seed"]}
        recipe |= {"lr_schedule": self.lr_schedule or "constant", "shuffle": "epoch" if self.shuffle else "never"}
        recipe |= {"init": "xavier-uniform", "relu_grad": "exact", "scale": "unit", "threads": settings["n_jobs"]}
        recipe |= {"simd": "auto", "kernel": "auto", "overwrite": True, "json": False, "quiet": True}
        if self.clip_norm is not None:
            recipe["clip_norm"] = self.clip_norm
        held_out = 0 if validation is None else _length(validation[1])
        data = {"source": "X", "train_samples": X.shape[0], "val_samples": held_out, "features": X.shape[1]}
        return {
            "recipe": recipe,
            "data": data | {"kind": "rows"},
            "epochs": fitted.epochs,
        }

    def _restore(self, coefs, intercepts, task, outputs):
        """Become what a file says, ready to predict."""
        self.coefs_, self.intercepts_ = coefs, intercepts
        self.n_features_in_ = coefs[0].shape[0]
        self.n_layers_ = len(coefs) + 1
        self._name_outputs(task, outputs)
        self.n_outputs_ = self.coefs_[-1].shape[1]
        self.out_activation_ = self._out_activation()
        self.n_iter_ = self.t_ = self._no_improvement_count = 0
        self.loss_curve_, self.validation_scores_, self.best_validation_score_ = [], None, None
        self.best_loss_ = np.inf
        self._optimizer, self._run = None, {}

    def _out_activation(self):
        names = {"cross-entropy": "softmax", "binary-cross-entropy": "logistic"}
        return names.get(self._loss_name(), "identity")

    def _hold_out(self, X, targets, sample_weight, random_state):
        """Hold out what early stopping scores: the rows that scikit-learn holds out."""
        labels, classes = targets if isinstance(targets, tuple) else (targets, None)
        # As scikit-learn: classes keep their shares only where there are two.
        two_classes = self._loss_name() == "binary-cross-entropy" and self.n_outputs_ == 1
        weights = [] if sample_weight is None else [sample_weight]
        X, X_val, labels, labels_val, *weights = train_test_split(
            X,
            labels,
            *weights,
            random_state=random_state,
            test_size=self.validation_fraction,
            stratify=labels if two_classes else None,
        )
        if X_val.shape[0] < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        weight, weight_val = weights or (None, None)
        if classes is not None:
            labels, labels_val = (labels, classes), (labels_val, classes)
        return X, labels, weight, (_arrays.features(X_val), labels_val, weight_val)

    def _batch_size(self, samples):
        if self.batch_size == "auto":
            return min(200, samples)
        if self.batch_size > samples:
            warnings.warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped")
        return min(int(self.batch_size), samples)

    def _settings(self, samples, sizes, outputs, incremental, random_state):
        """The parameters as the native part takes them."""
        if self.lr_schedule is not None and "plateau" in self.lr_schedule:
            raise ValueError(
                "lr_schedule='plateau:...' waits for validation losses, which no fit has here; "
                "use learning_rate='adaptive' with solver='sgd', or another schedule."
            )
        # Otherwise every call would shuffle and drop out alike.
        seed = int(random_state.randint(np.iinfo(np.int32).max)) + self.t_
        names = ["solver", "alpha", "learning_rate", "learning_rate_init", "power_t", "lr_schedule", "momentum"]
        names += ["nesterovs_momentum", "beta_1", "beta_2", "epsilon", "clip_norm", "shuffle", "tol"]
        settings = {name: getattr(self, name) for name in names}
        forever = self.n_iter_no_change == np.inf
        return settings | {
            "layers": _layers.spec(sizes, self.activation, self.dropout, outputs),
            "loss": self._loss_name(),
            "label_smoothing": getattr(self, "label_smoothing", 0.0) if self._loss_name() == "cross-entropy" else 0.0,
            "batch_size": self._batch_size(samples),
            "max_iter": 1 if incremental else int(self.max_iter),
            "seed": seed,
            "n_iter_no_change": None if forever else int(self.n_iter_no_change),
            "n_jobs": self._threads(),
            "t": self.t_ if incremental else 0,
            "best_loss": np.inf if self.best_loss_ is None else self.best_loss_,
            "best_score": -np.inf if self.best_validation_score_ is None else self.best_validation_score_,
            "no_improvement_count": self._no_improvement_count,
            "signals": threading.current_thread() is threading.main_thread(),
        }

    def _threads(self):
        return 1 if self.n_jobs is None else effective_n_jobs(self.n_jobs)

    def _times_class_weight(self, y, sample_weight, incremental):
        """The weights of samples times those of their classes, where there are classes."""
        return sample_weight

    def _outputs(self, X):
        """What the last layer gives: logits of classes, or values; ``[n_samples, n_outputs]``, of the precision of `X`."""
        check_is_fitted(self)
        precision = _arrays.precision(X)
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float32, order="C", reset=False)
        sizes = [coef.shape[1] for coef in self.coefs_[:-1]]
        layers = _layers.spec(sizes, self.activation, 0.0, self.coefs_[-1].shape[1])
        weights = _arrays.weights(self.coefs_, self.intercepts_)
        network = _networks.get(self)
        if network is None or not network.is_of(layers, weights):
            network = _networks[self] = _native.Network(layers, weights)
        outputs = network.predict(_arrays.features(X), threads=self._threads())
        return outputs.astype(precision, copy=False)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
