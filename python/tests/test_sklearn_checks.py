"""scikit-learn's own checks of an estimator, all of them."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from flatnet import MLPClassifier, MLPRegressor

# The checks ask for predictions within 1e-7 of one another. A weight of 3 and a row that stands there three times are added
# up in another order, and sums of float32 differ by a rounding, 1.2e-7. `test_weights.py` holds them to float32's.
ROUNDING = "sums of float32 in another order differ by a rounding, 1.2e-7, and the check allows 1e-7"
EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": ROUNDING,
    "check_sample_weight_equivalence_on_sparse_data": ROUNDING,
}


@parametrize_with_checks(
    [MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_checks(estimator, check):
    check(estimator)
