from os import PathLike
from typing import Any, Callable, final

import numpy as np
from numpy.typing import NDArray

_Csr = tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int64], int]
_Features = NDArray[np.float32] | _Csr
_Targets = tuple[NDArray[np.uint16], int] | NDArray[np.float32]
_Weights = tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]
_Samples = tuple[_Features, _Targets, NDArray[np.float32] | None]
_Images = tuple[NDArray[np.uint8], NDArray[np.uint16]]
_Epoch = tuple[float, float, float, float, float, float]

@final
class Fitted:
    @property
    def coefs(self) -> list[NDArray[np.float32]]: ...
    @property
    def intercepts(self) -> list[NDArray[np.float32]]: ...
    @property
    def optimizer(self) -> tuple[int, list[NDArray[np.float32]]]: ...
    @property
    def epochs(self) -> list[_Epoch]: ...
    @property
    def loss_curve(self) -> list[float]: ...
    @property
    def scores(self) -> list[float]: ...
    @property
    def best_loss(self) -> float: ...
    @property
    def best_score(self) -> float: ...
    @property
    def no_improvement_count(self) -> int: ...
    @property
    def end(self) -> str: ...

@final
class Network:
    def __new__(cls, layers: str, weights: _Weights) -> Network: ...
    def is_of(self, layers: str, weights: _Weights) -> bool: ...
    def predict(self, x: _Features, threads: int = ...) -> NDArray[np.float32]: ...

def fit(
    x: _Features,
    y: _Targets,
    sample_weight: NDArray[np.float32] | None,
    weights: _Weights,
    settings: dict[str, Any],
    *,
    validation: _Samples | None = ...,
    labels: bool = ...,
    optimizer: tuple[int, list[NDArray[np.float32]]] | None = ...,
    on_epoch: Callable[..., object] | None = ...,
) -> Fitted: ...
def read(
    path: str | PathLike[str],
) -> tuple[str, _Weights, str, list[str], list[str] | None]: ...
def write(path: str | PathLike[str], to: str, layers: str, weights: _Weights, about: dict[str, Any]) -> None: ...
def write_report(
    folder: str | PathLike[str],
    name: str,
    layers: str,
    weights: _Weights,
    about: dict[str, Any],
    epochs: list[_Epoch],
    recipe: str,
    data: str,
    judged: _Samples | None = ...,
) -> None: ...
def load_images(folder: str | PathLike[str]) -> tuple[_Images, _Images]: ...
