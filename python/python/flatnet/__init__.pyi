from abc import ABCMeta
from os import PathLike
from typing import Any, Self, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["MLPClassifier", "MLPRegressor", "load", "load_mnist"]
__version__: str

class _Estimator(metaclass=ABCMeta):
    coefs_: list[NDArray[np.float32]]
    intercepts_: list[NDArray[np.float32]]
    loss_curve_: list[float]
    loss_: float
    best_loss_: float | None
    validation_scores_: list[float] | None
    best_validation_score_: float | None
    n_iter_: int
    n_layers_: int
    n_outputs_: int
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]
    out_activation_: str
    t_: int
    def get_params(self, deep: bool = ...) -> dict[str, Any]: ...
    def set_params(self, **params: Any) -> Self: ...
    def set_callbacks(self, *callbacks: Any) -> Self: ...
    def save(self, path: str | PathLike[str]) -> None: ...
    def export_onnx(self, path: str | PathLike[str]) -> None: ...
    def to_torch(self) -> Any: ...
    def report(
        self,
        path: str | PathLike[str],
        X: Any = ...,
        y: ArrayLike | None = ...,
        sample_weight: ArrayLike | None = ...,
    ) -> None: ...
    def score(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = ...) -> float: ...

class MLPClassifier(_Estimator):
    classes_: NDArray[Any]
    hidden_layer_sizes: int | Sequence[int]
    activation: str | Sequence[str]
    solver: str
    alpha: float
    batch_size: int | str
    learning_rate: str
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    random_state: int | np.random.RandomState | None
    tol: float
    verbose: bool | int
    warm_start: bool
    momentum: float
    nesterovs_momentum: bool
    early_stopping: bool
    validation_fraction: float
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: int | float
    dropout: float | Sequence[float]
    label_smoothing: float
    class_weight: dict[Any, float] | list[dict[Any, float]] | str | None
    n_jobs: int | None
    clip_norm: float | None
    lr_schedule: str | None
    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = ...,
        activation: str | Sequence[str] = ...,
        *,
        solver: str = ...,
        alpha: float = ...,
        batch_size: int | str = ...,
        learning_rate: str = ...,
        learning_rate_init: float = ...,
        power_t: float = ...,
        max_iter: int = ...,
        shuffle: bool = ...,
        random_state: int | np.random.RandomState | None = ...,
        tol: float = ...,
        verbose: bool | int = ...,
        warm_start: bool = ...,
        momentum: float = ...,
        nesterovs_momentum: bool = ...,
        early_stopping: bool = ...,
        validation_fraction: float = ...,
        beta_1: float = ...,
        beta_2: float = ...,
        epsilon: float = ...,
        n_iter_no_change: int | float = ...,
        dropout: float | Sequence[float] = ...,
        label_smoothing: float = ...,
        class_weight: dict[Any, float] | list[dict[Any, float]] | str | None = ...,
        n_jobs: int | None = ...,
        clip_norm: float | None = ...,
        lr_schedule: str | None = ...,
    ) -> None: ...
    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = ...) -> Self: ...
    def partial_fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = ...,
        classes: ArrayLike | None = ...,
    ) -> Self: ...
    def predict(self, X: Any) -> NDArray[Any]: ...
    def predict_proba(self, X: Any) -> NDArray[np.floating[Any]]: ...
    def predict_log_proba(self, X: Any) -> NDArray[np.floating[Any]]: ...

class MLPRegressor(_Estimator):
    loss: str
    hidden_layer_sizes: int | Sequence[int]
    activation: str | Sequence[str]
    solver: str
    alpha: float
    batch_size: int | str
    learning_rate: str
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    random_state: int | np.random.RandomState | None
    tol: float
    verbose: bool | int
    warm_start: bool
    momentum: float
    nesterovs_momentum: bool
    early_stopping: bool
    validation_fraction: float
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: int | float
    dropout: float | Sequence[float]
    n_jobs: int | None
    clip_norm: float | None
    lr_schedule: str | None
    def __init__(
        self,
        loss: str = ...,
        hidden_layer_sizes: int | Sequence[int] = ...,
        activation: str | Sequence[str] = ...,
        *,
        solver: str = ...,
        alpha: float = ...,
        batch_size: int | str = ...,
        learning_rate: str = ...,
        learning_rate_init: float = ...,
        power_t: float = ...,
        max_iter: int = ...,
        shuffle: bool = ...,
        random_state: int | np.random.RandomState | None = ...,
        tol: float = ...,
        verbose: bool | int = ...,
        warm_start: bool = ...,
        momentum: float = ...,
        nesterovs_momentum: bool = ...,
        early_stopping: bool = ...,
        validation_fraction: float = ...,
        beta_1: float = ...,
        beta_2: float = ...,
        epsilon: float = ...,
        n_iter_no_change: int | float = ...,
        dropout: float | Sequence[float] = ...,
        n_jobs: int | None = ...,
        clip_norm: float | None = ...,
        lr_schedule: str | None = ...,
    ) -> None: ...
    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = ...) -> Self: ...
    def partial_fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = ...) -> Self: ...
    def predict(self, X: Any) -> NDArray[np.floating[Any]]: ...

def load(path: str | PathLike[str]) -> MLPClassifier | MLPRegressor: ...
def load_mnist(
    folder: str | PathLike[str] | None = ...,
) -> tuple[
    tuple[NDArray[np.float32], NDArray[np.int64]],
    tuple[NDArray[np.float32], NDArray[np.int64]],
]: ...
