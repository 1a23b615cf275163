"""flatnet's engine as scikit-learn estimators.

Small dense networks, trained on CPUs: the same parameters and attributes as
:mod:`sklearn.neural_network`, and what it has no room for.
"""

from flatnet._classifier import MLPClassifier
from flatnet._files import load
from flatnet._mnist import load_mnist
from flatnet._regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "load", "load_mnist"]
__version__ = "0.1.0"
